//! `ExternalSecret`: a Secret whose values are pulled from a store.
//!
//! The shape follows `external-secrets.io/v1` for every field that is supported. A field that is not is refused by name.

mod remote;
mod status;

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{TemplateMetadata, schema};
pub use remote::*;
pub use status::*;

/// Which values are pulled, and what becomes of them.
#[expect(clippy::duplicated_attributes, reason = "each printer column repeats the words of the others")]
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "waxwing.dev",
    version = "v1alpha1",
    kind = "ExternalSecret",
    namespaced,
    status = "ExternalSecretStatus",
    shortname = "wes",
    category = "waxwing",
    derive = "Default",
    derive = "PartialEq",
    annotation("argocd.argoproj.io/sync-options", "Prune=false,Delete=false"),
    annotation("helm.sh/resource-policy", "keep"),
    doc = "A Secret whose values are pulled from a store.",
    printcolumn(name = "Store", type_ = "string", json_path = ".spec.secretStoreRef.name"),
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
    printcolumn(name = "Refreshed", type_ = "date", json_path = ".status.refreshTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "From", type_ = "string", json_path = ".status.store.name", priority = 1),
    printcolumn(name = "Revision", type_ = "string", json_path = ".status.source.revision", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    )
)]
#[schemars(transform = schema::external_secret_spec)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExternalSecretSpec {
    /// The store that is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_store_ref: Option<StoreReference>,
    /// Several stores instead: the next one is asked when those before it are in trouble.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_store_refs: Vec<StoreReference>,
    /// When values are pulled again. Default `Periodic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_policy: Option<RefreshPolicy>,
    /// With `Periodic`, how often, such as `15m`. `0` is the same as `OnChange`. Default `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_interval: Option<String>,
    /// The Secret that is produced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<ExternalTarget>,
    /// Single keys of the Secret, each from one entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<ExternalData>,
    /// Many keys of the Secret at once, from whole entries. Later ones override earlier ones, and `data` all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_from: Vec<ExternalDataFrom>,
}

/// A store: of the same namespace, or of the cluster.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::store_reference)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoreReference {
    /// The name of the store.
    pub name: String,
    /// The kind of the store. Default `SecretStore`, of the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<StoreKind>,
}

/// The kinds of stores.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum StoreKind {
    /// Of one namespace.
    #[default]
    SecretStore,
    /// Of the cluster.
    ClusterSecretStore,
}

/// When values are pulled again.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum RefreshPolicy {
    /// When the interval is over, and when the object changes.
    #[default]
    Periodic,
    /// When the object changes.
    OnChange,
    /// Never, once the Secret is there.
    CreatedOnce,
}

/// The Secret.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::external_target)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExternalTarget {
    /// The name of the Secret. Default is the name of the ExternalSecret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whose Secret it is: the ExternalSecret's (`Owner`), the same but left behind (`Orphan`), somebody else's that gets
    /// keys added (`Merge`), or none at all (`None`). Default `Owner`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_policy: Option<CreationPolicy>,
    /// What becomes of it when the provider says twice, a refresh apart, that the entries do not exist. Default `Retain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Whether the Secret is immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub immutable: Option<bool>,
    /// What else the Secret carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<ExternalTemplate>,
    /// Workloads of the same namespace that are restarted when a value changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rollout: Vec<Rollout>,
}

/// Whose the Secret is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::creation_policy)]
pub enum CreationPolicy {
    /// The object's: it goes with it.
    #[default]
    Owner,
    /// The object's, and it stays.
    Orphan,
    /// Somebody else's: keys are added to it.
    Merge,
    /// Nobody's: none is written.
    None,
}

/// What becomes of the Secret when its entries are gone.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::deletion_policy)]
pub enum DeletionPolicy {
    /// It stays.
    #[default]
    Retain,
    /// It goes, when the provider has said so twice.
    Delete,
}

/// What the Secret carries besides values.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::external_template)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExternalTemplate {
    /// The type of the Secret. Default `Opaque`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub secret_type: Option<String>,
    /// Labels and annotations of the Secret.
    #[serde(default, deserialize_with = "strict_metadata", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<StrictMetadata>")]
    pub metadata: Option<TemplateMetadata>,
    /// Values composed by minijinja templates from those that were pulled, by the key that they get in the Secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
    /// Whether composed values replace those that were pulled, or stand beside them. Default `Replace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge_policy: Option<MergePolicy>,
}

/// [`TemplateMetadata`] and nothing else: what is refused here, such as finalizers, is never passed over in silence.
#[derive(Deserialize, JsonSchema)]
#[schemars(transform = schema::external_metadata)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StrictMetadata {
    /// Labels of the Secret.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Annotations of the Secret.
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

fn strict_metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TemplateMetadata>, D::Error> {
    let metadata = Option::<StrictMetadata>::deserialize(deserializer)?;
    Ok(metadata.map(|StrictMetadata { labels, annotations }| TemplateMetadata { labels, annotations }))
}

/// What composed values do to the others.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum MergePolicy {
    /// They take their place.
    #[default]
    Replace,
    /// They stand beside them.
    Merge,
}

/// A workload of the same namespace.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::rollout)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rollout {
    /// The kind of the workload.
    pub kind: RolloutKind,
    /// The name of the workload.
    pub name: String,
}

/// Kinds of workloads.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum RolloutKind {
    /// A Deployment.
    #[default]
    Deployment,
    /// A StatefulSet.
    StatefulSet,
    /// A DaemonSet.
    DaemonSet,
}
