//! `ExternalSecret`: a Secret whose values are pulled from a store.
//!
//! The shape follows `external-secrets.io/v1` for every field that is supported. A field that is not is refused by name.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Source, TemplateMetadata, lenient, schema};

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

/// One key of the Secret.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::external_data)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExternalData {
    /// The key that the value gets in the Secret.
    pub secret_key: String,
    /// Where the value is.
    pub remote_ref: RemoteRef,
    /// Another store than that of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ref: Option<SourceRef>,
}

/// Where a value is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::remote_ref)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemoteRef {
    /// The name or path of the entry, as the provider knows it.
    pub key: String,
    /// The part of the entry that is wanted, as a path into JSON such as `users.0.name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub property: Option<String>,
    /// The version of the entry. Default is the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether the entry's tags or labels are read instead of its value. Default `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_policy: Option<MetadataPolicy>,
    /// What an engine that issues values is given, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// What becomes of characters that no key of a Secret may have: `Default` makes underscores of them, `Unicode` their
    /// numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversion_strategy: Option<ConversionStrategy>,
    /// How values are decoded. Default `None`: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoding_strategy: Option<DecodingStrategy>,
    /// Whether values with zero bytes are refused. Default `Ignore`: they are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null_byte_policy: Option<NullBytePolicy>,
}

/// Many keys of the Secret.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::external_data_from)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExternalDataFrom {
    /// All fields of one entry. Either this or `find`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extract: Option<RemoteRef>,
    /// All entries that match: each becomes one key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub find: Option<FindRef>,
    /// Steps that change the keys, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewrite: Vec<Rewrite>,
    /// Another store than that of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ref: Option<SourceRef>,
}

/// Entries that match all of this.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::find_ref)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FindRef {
    /// Only entries below this path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Only entries with such names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<FindName>,
    /// Only entries with all these tags or labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// What becomes of characters that no key of a Secret may have: `Default` makes underscores of them, `Unicode` their
    /// numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversion_strategy: Option<ConversionStrategy>,
    /// How values are decoded. Default `None`: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoding_strategy: Option<DecodingStrategy>,
    /// Whether values with zero bytes are refused. Default `Ignore`: they are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null_byte_policy: Option<NullBytePolicy>,
}

/// By name.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::find_name)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FindName {
    /// A regular expression, which may match any part of the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regexp: Option<String>,
}

/// Another store.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::source_ref)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceRef {
    /// The store that is asked for this item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_ref: Option<StoreReference>,
}

/// Exactly one change of the keys.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::rewrite)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rewrite {
    /// Replaces what a regular expression matches in each key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regexp: Option<RewriteRegexp>,
    /// Makes each key anew by a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform: Option<RewriteTransform>,
    /// Puts the fields of all values, which are JSON objects, together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<RewriteMerge>,
}

/// By a regular expression.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::rewrite_regexp)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RewriteRegexp {
    /// The regular expression.
    pub source: String,
    /// What each match becomes; `$1` or `${name}` is a group.
    pub target: String,
}

/// By a template.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::rewrite_transform)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RewriteTransform {
    /// The template, in which the old key is `value`.
    pub template: String,
}

/// Fields of JSON values become keys.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::rewrite_merge)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RewriteMerge {
    /// With strategy `JSON`, the key of the merged object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// Whether each field becomes a key (`Extract`), or all together one JSON object (`JSON`). Default `Extract`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<MergeStrategy>,
    /// Whether a field that two values have is an error, or the later one counts. Default `Error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict_policy: Option<ConflictPolicy>,
    /// Keys whose values count last, and so win, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub priority: Vec<String>,
    /// Whether a key in `priority` that is not there is an error. Default `Strict`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_policy: Option<PriorityPolicy>,
}

/// What becomes of fields.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum MergeStrategy {
    /// Keys.
    #[default]
    Extract,
    /// One JSON value.
    #[serde(rename = "JSON")]
    Json,
}

/// What becomes of a key that two have.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum ConflictPolicy {
    /// An error.
    #[default]
    Error,
    /// The later one counts.
    Ignore,
}

/// What becomes of a name that is not there.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum PriorityPolicy {
    /// An error.
    #[default]
    Strict,
    /// Nothing.
    IgnoreNotFound,
}

/// What becomes of characters that no key may have.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum ConversionStrategy {
    /// Underscores.
    #[default]
    Default,
    /// Their numbers, as `_U0020_`.
    Unicode,
}

/// How values are decoded.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum DecodingStrategy {
    /// Not at all.
    #[default]
    None,
    /// As what they look like.
    Auto,
    /// As base64.
    Base64,
    /// As base64 for URLs.
    #[serde(rename = "Base64URL")]
    Base64Url,
}

/// Whether tags are read instead of the value.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum MetadataPolicy {
    /// The value.
    #[default]
    None,
    /// The tags.
    Fetch,
}

/// What becomes of values with zero bytes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum NullBytePolicy {
    /// They are taken.
    #[default]
    Ignore,
    /// They are refused.
    Fail,
}

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
