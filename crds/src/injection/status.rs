//! What the operator says of an injection.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Source, lenient, schema};

/// What the operator found and did. A hint for people and tools.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::injection_status)]
#[serde(rename_all = "camelCase", default)]
pub struct InjectionStatus {
    /// The generation that the rest of this status speaks of.
    #[serde(deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Reconciling`, `Stalled`, `ConfigValid`, and, where they apply, `Degraded` and `Loaded`.
    #[serde(deserialize_with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// What was published last.
    #[serde(deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub published: Option<Published>,
    /// When entries of stores were read last.
    #[serde(deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub refreshed_at: Option<Time>,
    /// The value of `waxwing.dev/refresh` that was followed last.
    #[serde(deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub refreshed: Option<String>,
    /// How many of the endpoints have loaded it, as `2/3`.
    #[serde(deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub loaded_replicas: Option<String>,
    /// The receivers, contact points or data sources, and how each is.
    #[serde(deserialize_with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub receivers: Vec<ReceiverStatus>,
    /// Credentials that stand in the configuration itself, in the words of the configuration.
    #[serde(deserialize_with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub literals: Vec<String>,
    /// The commit that the GitOps tool had synced when the generation changed.
    #[serde(deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

/// What was published last.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Published {
    /// Its number. The history Secret of the same number holds it too.
    pub revision: i64,
    /// A keyed digest over everything that decided it, and over the rest of this status.
    pub digest: String,
    /// The short id of the identity whose derived key made the digest.
    pub key_id: String,
    /// The Secrets that it lies in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<PublishedSecret>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// When every endpoint had loaded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loaded_at: Option<Time>,
    /// The revision that was not loaded in time, where this one was published again in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back_from: Option<i64>,
}

/// A published Secret.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishedSecret {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its resource version after it was written.
    pub resource_version: String,
}

/// One receiver, contact point or data source.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiverStatus {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: ReceiverState,
    /// Its credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<CredentialStatus>,
}

/// How a receiver is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum ReceiverState {
    /// It is published with the credentials that it should have.
    #[default]
    Live,
    /// It is published with the last good value of a credential that cannot be had now.
    Stale,
    /// An integration of it is left out, because a credential of it was never had.
    Quarantined,
    /// Alertmanager's notifications through it are refused.
    Failing,
}

/// One credential.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialStatus {
    /// Where it stands, as `pagerduty_configs[0].routing_key`.
    pub field: String,
    /// Where it comes from, as `Secret/receivers, key pagerduty`.
    pub from: String,
    /// Its namespace, where that is another one: of an AlertReceiver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Which version of that it is; never anything that tells the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What is wrong with it, if anything is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Since when its last good value stands in for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_since: Option<Time>,
}
