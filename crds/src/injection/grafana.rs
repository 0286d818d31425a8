//! `GrafanaInjection`: data sources, contact points and notification policies whose credentials come from Secrets and stores.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DocumentKey, InjectionPolicy, InjectionStatus, Native, Reload};
use crate::schema;

/// What one Grafana is provisioned with, and how it gets there.
#[expect(clippy::duplicated_attributes, reason = "each printer column repeats the words of the others")]
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "waxwing.dev",
    version = "v1alpha1",
    kind = "GrafanaInjection",
    namespaced,
    status = "InjectionStatus",
    shortname = "wgf",
    category = "waxwing",
    derive = "Default",
    derive = "PartialEq",
    annotation("argocd.argoproj.io/sync-options", "Prune=false,Delete=false"),
    annotation("helm.sh/resource-policy", "keep"),
    doc = "Grafana provisioning whose credentials come from Secrets and stores.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    )
)]
#[schemars(transform = schema::grafana_injection_spec)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrafanaInjectionSpec {
    /// Data sources, each as in a provisioning file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub datasources: Vec<Native>,
    /// Contact points, each as in a provisioning file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contact_points: Vec<Native>,
    /// Notification policies, each the tree of one organisation as in a provisioning file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Native>,
    /// How often entries of stores are read again, and what the API shows is looked at, as `15m`. Default is `1h`. Secrets
    /// are watched instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_interval: Option<String>,
    /// How it gets to Grafana.
    pub target: GrafanaTarget,
    /// What happens when credentials cannot be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<InjectionPolicy>,
}

/// How provisioning gets to Grafana.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::grafana_target)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrafanaTarget {
    /// The way. Default is `Sidecar`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<GrafanaTargetKind>,
    /// For `Sidecar` and `Mounted`: the Secret that holds the files. Default is the name of the injection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// For `Mounted`: Grafana's own URL, as `http://grafana:3000`. It is told there that there is something new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload: Option<Reload>,
    /// For `API`: the URL of Grafana.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// For `API` and `reload`: what to log in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<GrafanaAuth>,
    /// For `API`: whether what is made there stays editable by people. Default is no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub editable: Option<bool>,
}

/// How provisioning gets to Grafana.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum GrafanaTargetKind {
    /// A Secret with the labels that a sidecar looks for.
    #[default]
    Sidecar,
    /// A Secret that the pod has mounted, and a call that makes Grafana read it.
    Mounted,
    /// Grafana's HTTP API.
    #[serde(rename = "API")]
    Api,
}

/// What to log in to Grafana with: a token, or name and password.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::grafana_auth)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrafanaAuth {
    /// A key of a Secret with a service account token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<DocumentKey>,
    /// A key of a Secret with the name of a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<DocumentKey>,
    /// A key of a Secret with that user's password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<DocumentKey>,
}
