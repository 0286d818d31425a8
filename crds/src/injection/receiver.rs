//! `AlertReceiver`: a team's own receiver, which an AlertmanagerInjection of somebody else takes in.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Native;
use crate::{lenient, schema};

/// A receiver, and the routes to it, which are confined to the alerts of its namespace.
#[expect(clippy::duplicated_attributes, reason = "each printer column repeats the words of the others")]
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "waxwing.dev",
    version = "v1alpha1",
    kind = "AlertReceiver",
    namespaced,
    status = "AlertReceiverStatus",
    shortname = "war",
    category = "waxwing",
    derive = "Default",
    derive = "PartialEq",
    annotation("argocd.argoproj.io/sync-options", "Prune=false,Delete=false"),
    annotation("helm.sh/resource-policy", "keep"),
    doc = "A team's receiver, which an AlertmanagerInjection takes in.",
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
#[schemars(transform = schema::alert_receiver_spec)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AlertReceiverSpec {
    /// The injection that may take it in. No other can, so nobody else gets at its credentials.
    pub injection: InjectionName,
    /// A receiver as in alertmanager.yaml, without its name: that is `<namespace>/<name>` of this object. References
    /// mean Secrets and stores of this namespace.
    pub receiver: Native,
    /// Routes as in alertmanager.yaml, without a receiver: that is this one. Each matches only alerts of this
    /// namespace, whatever its matchers say. Without any, all alerts of the namespace are its.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Native>,
}

/// An AlertmanagerInjection.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::injection_name)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InjectionName {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// What the operator found.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::alert_receiver_status)]
#[serde(rename_all = "camelCase", default)]
pub struct AlertReceiverStatus {
    /// The generation that the rest of this status speaks of.
    #[serde(deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` says whether it is part of a published configuration; `Reconciling` and `Stalled` as for every kind.
    #[serde(deserialize_with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
