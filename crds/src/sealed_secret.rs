//! `SealedSecret`: a Secret that may lie in Git, and what the operator has made of it.
//!
//! The types carry the text as written. Grammar, limits and meaning belong to `waxwing_core::seal`; the rules in the
//! schema are a first net at admission, and the operator relies on none of them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{lenient, schema};

/// What a developer commits: sealed values, the envelopes that hold their data keys, and what else the Secret carries.
#[expect(clippy::duplicated_attributes, reason = "each printer column repeats the words of the others")]
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "waxwing.dev",
    version = "v1alpha1",
    kind = "SealedSecret",
    namespaced,
    status = "SealedSecretStatus",
    shortname = "wss",
    category = "waxwing",
    derive = "Default",
    derive = "PartialEq",
    annotation("argocd.argoproj.io/sync-options", "Prune=false,Delete=false"),
    annotation("helm.sh/resource-policy", "keep"),
    doc = "A Secret whose values only the cluster can open, so that it may lie in Git.",
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
    printcolumn(name = "Scope", type_ = "string", json_path = ".spec.scope"),
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Revision", type_ = "string", json_path = ".status.source.revision", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    )
)]
#[schemars(transform = schema::sealed_secret_spec)]
#[serde(rename_all = "camelCase")]
pub struct SealedSecretSpec {
    /// The sealed format; always `wax1`.
    pub format: String,
    /// What the values are bound to: `strict` (namespace and name), `namespace`, or `cluster`.
    pub scope: String,
    /// The type of the produced Secret.
    #[serde(rename = "type")]
    pub secret_type: String,
    /// One envelope for each sealing act that a value still refers to, by envelope id.
    pub envelopes: BTreeMap<String, EnvelopeSpec>,
    /// The sealed values, by the key that they get in the Secret.
    pub data: BTreeMap<String, String>,
    /// Whether the produced Secret is immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub immutable: Option<bool>,
    /// Labels, annotations and composed values of the produced Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<SealedTemplate>,
}

/// A data key, wrapped to every recipient of one sealing act.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::envelope)]
#[serde(rename_all = "camelCase")]
pub struct EnvelopeSpec {
    /// The commitment to the data key: base64url without padding of 32 bytes.
    pub commit: String,
    /// Hints that say which identities fit, as `name/short id`. Never evidence.
    pub to: Vec<String>,
    /// One binary age file in standard base64.
    pub age: String,
}

/// What the produced Secret carries besides the sealed values.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::sealed_template)]
#[serde(rename_all = "camelCase")]
pub struct SealedTemplate {
    /// Labels and annotations of the produced Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// Values composed from the opened keys by minijinja templates, by the key that they get in the Secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
}

/// Labels and annotations of the produced Secret.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::template_metadata)]
#[serde(rename_all = "camelCase")]
pub struct TemplateMetadata {
    /// Labels of the produced Secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the produced Secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What the operator found and did. A hint for people and tools: no check is skipped because of it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::sealed_secret_status)]
#[serde(rename_all = "camelCase", default)]
pub struct SealedSecretStatus {
    /// The generation that the rest of this status speaks of.
    #[serde(deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Reconciling`, `Stalled` and, where it applies, `Degraded`.
    #[serde(deserialize_with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The highest sequence number seen for each key, also for keys that were removed.
    #[serde(deserialize_with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeySeq>,
    /// What was applied last.
    #[serde(deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub applied: Option<Applied>,
    /// The commit that the GitOps tool had synced when the generation changed.
    #[serde(deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The same data keys wrapped to the ring's present recipients, so that a rewrap needs no identity.
    #[serde(deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub proposed_envelopes: Option<ProposedEnvelopes>,
}

/// How far one key has come.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::key_seq)]
#[serde(rename_all = "camelCase", default)]
pub struct KeySeq {
    /// The key of the Secret.
    pub name: String,
    /// The highest sequence number seen for this key.
    pub seq: u64,
    /// The short id of the identity that opened it last.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key_id: String,
    /// True when the spec no longer has this key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<bool>,
}

/// What was applied last, so that a restart finds out cheaply that nothing is to do.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Applied {
    /// A keyed digest over everything that decided the last apply.
    pub digest: String,
    /// The short id of the identity whose derived key made the digest.
    pub key_id: String,
    /// The produced Secret's resource version after that apply.
    pub resource_version: String,
    /// The produced Secret's uid.
    pub secret_uid: String,
}

/// Where a change came from.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Source {
    /// The GitOps tool: `flux` or `argocd`.
    pub tool: String,
    /// The object of that tool, as `namespace/name`.
    pub name: String,
    /// The revision it was synced at.
    pub revision: String,
}

/// Envelopes that a person may put into the spec: the same data keys for other recipients.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProposedEnvelopes {
    /// The value of the annotation `waxwing.dev/propose-rewrap` that asked; absent when a key's retirement asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// The digest of the recipient list that the envelopes are wrapped to.
    pub recipients: String,
    /// The envelopes, by envelope id.
    pub envelopes: BTreeMap<String, EnvelopeSpec>,
}
