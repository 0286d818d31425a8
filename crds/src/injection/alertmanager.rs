//! `AlertmanagerInjection`: an alertmanager.yaml whose credentials come from Secrets and stores.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{InjectionStatus, Native};
use crate::schema;

/// The configuration of one Alertmanager, where it goes, and what happens when something is wrong with it.
#[expect(clippy::duplicated_attributes, reason = "each printer column repeats the words of the others")]
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "waxwing.dev",
    version = "v1alpha1",
    kind = "AlertmanagerInjection",
    namespaced,
    status = "InjectionStatus",
    shortname = "wam",
    category = "waxwing",
    derive = "Default",
    derive = "PartialEq",
    annotation("argocd.argoproj.io/sync-options", "Prune=false,Delete=false"),
    annotation("helm.sh/resource-policy", "keep"),
    doc = "An Alertmanager configuration whose credentials come from Secrets and stores.",
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
    printcolumn(name = "Loaded", type_ = "string", json_path = ".status.loadedReplicas"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    )
)]
#[schemars(transform = schema::alertmanager_injection_spec)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AlertmanagerInjectionSpec {
    /// A native alertmanager.yaml with references.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Native>,
    /// Where an alertmanager.yaml lies that somebody else makes, such as a Helm chart. `set` puts the references in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_from: Option<ConfigFrom>,
    /// References to put into the configuration. One whose place does not exist is an error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<SetField>,
    /// Receivers and routes of teams, taken in from their AlertReceivers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<Include>,
    /// How often entries of stores are read again, as `15m`. Default is `1h`. Secrets are watched instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_interval: Option<String>,
    /// Where the configuration goes.
    pub target: AlertmanagerTarget,
    /// What happens when credentials cannot be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<InjectionPolicy>,
    /// Proof that it was loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
    /// Whether delivery is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<Probes>,
    /// Alerts and the receivers that are to get them. If one goes elsewhere, nothing is published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub route_tests: Vec<RouteTest>,
}

/// Which AlertReceivers are taken in. Each of them must name this injection too.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::include)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Include {
    /// The AlertReceivers, by their labels; all of the selected namespaces where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiver_selector: Option<LabelSelector>,
    /// Their namespaces, by labels; the injection's own where it is left out, every one where it is `{}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// The label of alerts that names the namespace. Default is `namespace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_label: Option<String>,
}

/// A document that somebody else makes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::config_from)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigFrom {
    /// A key of a ConfigMap in the namespace of the injection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<DocumentKey>,
    /// A key of a Secret in the namespace of the injection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<DocumentKey>,
}

/// A key of a ConfigMap or a Secret.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::document_key)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DocumentKey {
    /// The name of the object.
    pub name: String,
    /// The key in it.
    pub key: String,
}

/// A reference, and where it belongs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::set_field)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetField {
    /// The receiver within which the field lies. Without it the field is one of the whole document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiver: Option<String>,
    /// The field, as `pagerduty_configs[0].routing_key` or `global.slack_api_url`. All but the last name must exist.
    pub field: String,
    /// The reference, `{$secret: …}` or `{$store: …}`.
    pub value: Native,
}

/// Where a configuration goes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::alertmanager_target)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AlertmanagerTarget {
    /// Who reads the Secret. Default is `Plain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<AlertmanagerTargetKind>,
    /// The Secret that holds the configuration; for prometheus-operator, the `configSecret` of the Alertmanager.
    pub secret_name: String,
    /// The key in it. Default is `alertmanager.yaml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The version of Alertmanager, as `0.31`. Default is the newest that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The version of prometheus-operator, as `0.93`. Default is the newest that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_version: Option<String>,
    /// For `Plain`: whom to tell that there is something new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload: Option<Reload>,
    /// What becomes of the Secret when the injection is deleted. Default is `Retain`: without its Secret
    /// prometheus-operator gives Alertmanager a configuration that drops every alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<AfterDeletion>,
}

/// What becomes of a published Secret when its injection is deleted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum AfterDeletion {
    /// It stays.
    #[default]
    Retain,
    /// It goes too.
    Delete,
}

/// Who reads a published Secret.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum AlertmanagerTargetKind {
    /// prometheus-operator, which makes another Secret of it.
    PrometheusOperator,
    /// A pod that has it mounted.
    #[default]
    Plain,
}

/// A call that makes a server read its files again.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::reload)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reload {
    /// The URL to post to, as `http://alertmanager:9093/-/reload`.
    pub url: String,
}

/// What happens when credentials cannot be had.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::injection_policy)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InjectionPolicy {
    /// What becomes of a credential that cannot be had. Default is `KeepLastGood`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_unresolved: Option<OnUnresolved>,
    /// The receiver whose integrations a receiver gets that has none left. Default is the root route's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_receiver: Option<String>,
    /// For how long the last good value of a credential is taken, as `72h`, which is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_stale: Option<String>,
    /// How many earlier revisions are kept. Default is 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<u8>,
}

/// What becomes of a credential that cannot be had.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum OnUnresolved {
    /// Its last good value is published again; where there never was one, the integration is left out.
    #[default]
    KeepLastGood,
    /// The integration is left out.
    Quarantine,
    /// Nothing is published.
    Block,
}

/// Proof that a configuration was loaded.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::verify)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Verify {
    /// The servers, as `http://alertmanager-operated:9093`. A name with several addresses stands for all of them.
    pub endpoints: Vec<String>,
    /// How long loading may take, as `3m`, which is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// What happens after that. Default is `Rollback`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnLoadFailure>,
}

/// What happens when a configuration is not loaded in time.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum OnLoadFailure {
    /// The last one that was loaded is published again, once.
    #[default]
    Rollback,
    /// It is only said.
    Alert,
}

/// Whether delivery is looked at. It needs `verify.endpoints`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::probes)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Probes {
    /// How. Default is `Passive`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ProbeMode>,
    /// For `Send`: the receiver that gets the canary alert. Default is the root route's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiver: Option<String>,
    /// For `Send`: how often, as `6h`. Default is `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
}

/// How delivery is looked at.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum ProbeMode {
    /// Not at all.
    Off,
    /// By Alertmanager's own metrics.
    #[default]
    Passive,
    /// By a canary alert to one receiver, besides.
    Send,
}

/// An alert, and who is to get it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::route_test)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteTest {
    /// What the test is about.
    pub name: String,
    /// The labels of the alert.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// When it fires. Without it time intervals are not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// The labels of other alerts that fire. Without any, inhibition is not looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub firing: Vec<BTreeMap<String, String>>,
    /// What is to happen with it.
    pub expect: RouteExpectation,
}

/// What is to happen with an alert. What is not named may be anything.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::route_expectation)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteExpectation {
    /// The receivers that get it, in the order of the tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receivers: Option<Vec<String>>,
    /// Those of them that are muted by a time interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted: Option<Vec<String>>,
    /// Whether another alert keeps it quiet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inhibited: Option<bool>,
}
