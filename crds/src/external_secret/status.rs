//! What the operator says of an ExternalSecret.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{RolloutKind, StoreReference};
use crate::{Source, lenient, schema};

/// What the operator found and did. A hint for people and tools.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::external_secret_status)]
#[serde(rename_all = "camelCase", default)]
pub struct ExternalSecretStatus {
    /// The generation that the rest of this status speaks of.
    #[serde(deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Reconciling`, `Stalled` and, where it applies, `Degraded`.
    #[serde(deserialize_with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// When values were pulled, told at most once an hour where they did not change.
    #[serde(deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub refresh_time: Option<Time>,
    /// The value of the annotation `waxwing.dev/refresh` that was done last.
    #[serde(deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub refreshed: Option<String>,
    /// The store that gave the values.
    #[serde(deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreReference>,
    /// The entries that were read.
    #[serde(deserialize_with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<EntryStatus>,
    /// What was applied last.
    #[serde(deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub applied: Option<ExternalApplied>,
    /// When the provider first said that the entries do not exist.
    #[serde(deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub missing_since: Option<Time>,
    /// The commit that the GitOps tool had synced when the generation changed.
    #[serde(deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Which workloads were restarted, and for which values.
    #[serde(deserialize_with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub rollouts: Vec<RolloutStatus>,
}

/// An entry that was read.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryStatus {
    /// The key of the entry.
    pub key: String,
    /// The version that was read, where the provider counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// For how long it is good, where it is leased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseStatus>,
}

/// For how long a value is good.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaseStatus {
    /// The provider's name for the lease; empty where the value just expires.
    pub id: String,
    /// Whether it can be prolonged.
    pub renewable: bool,
    /// When it ends.
    pub expires_at: Time,
}

/// What was applied last, so that a restart finds out cheaply that nothing is to do.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalApplied {
    /// A keyed digest over everything that decided the last apply.
    pub digest: String,
    /// The short id of the identity whose derived key made the digests.
    pub key_id: String,
    /// The Secret's resource version after that apply.
    pub resource_version: String,
    /// The Secret's uid.
    pub secret_uid: String,
    /// A keyed digest of the produced values.
    pub values: String,
}

/// For which values a workload was restarted.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// The kind of the workload.
    pub kind: RolloutKind,
    /// The name of the workload.
    pub name: String,
    /// A keyed digest of the values that it was restarted for.
    pub digest: String,
    /// When it was restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarted_at: Option<Time>,
}
