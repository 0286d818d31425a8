//! `SecretStore` and `ClusterSecretStore`: where values are pulled from, and with which credentials.
//!
//! The shape follows `external-secrets.io/v1` for every field that is supported. A field that is not is refused by name.

mod aws;
mod azure;
mod gcp;
mod kubernetes;
mod vault;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{lenient, schema};
pub use aws::*;
pub use azure::*;
pub use gcp::*;
pub use kubernetes::*;
pub use vault::*;

/// A store for the ExternalSecrets of its own namespace.
#[expect(clippy::duplicated_attributes, reason = "each printer column repeats the words of the others")]
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "waxwing.dev",
    version = "v1alpha1",
    kind = "SecretStore",
    namespaced,
    status = "SecretStoreStatus",
    shortname = "wst",
    category = "waxwing",
    derive = "Default",
    derive = "PartialEq",
    annotation("argocd.argoproj.io/sync-options", "Prune=false,Delete=false"),
    annotation("helm.sh/resource-policy", "keep"),
    doc = "Where values are pulled from, for the ExternalSecrets of one namespace.",
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
#[schemars(transform = schema::secret_store_spec)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretStoreSpec {
    /// The provider: exactly one. What it refers to lies in the namespace of the store.
    pub provider: StoreProvider,
    /// How often the provider is asked whether it still takes the credentials, such as `30m`. Default `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_interval: Option<String>,
}

/// A store for the namespaces that it names.
#[expect(clippy::duplicated_attributes, reason = "each printer column repeats the words of the others")]
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "waxwing.dev",
    version = "v1alpha1",
    kind = "ClusterSecretStore",
    status = "SecretStoreStatus",
    shortname = "wcst",
    category = "waxwing",
    derive = "Default",
    derive = "PartialEq",
    annotation("argocd.argoproj.io/sync-options", "Prune=false,Delete=false"),
    annotation("helm.sh/resource-policy", "keep"),
    doc = "Where values are pulled from, for the namespaces that it grants that.",
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
#[schemars(transform = schema::cluster_secret_store_spec)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSecretStoreSpec {
    /// The provider: exactly one. What it refers to lies in the operator's namespace.
    pub provider: StoreProvider,
    /// How often the provider is asked whether it still takes the credentials, such as `30m`. Default `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_interval: Option<String>,
    /// Which namespaces may read which keys. Without grants, nobody may read anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
}

/// Some namespaces may read some paths.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::grant)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grant {
    /// The namespaces, by name. Either these or `namespaceSelector`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// The namespaces, by their labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Patterns of the keys: `*` and `?` within a step, `**` for any number of steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}

/// Exactly one provider.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::store_provider)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoreProvider {
    /// HashiCorp Vault, or OpenBao.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault: Option<VaultProvider>,
    /// AWS Secrets Manager or Parameter Store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsProvider>,
    /// Google Cloud Secret Manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gcpsm: Option<GcpProvider>,
    /// Azure Key Vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azurekv: Option<AzureProvider>,
    /// Secrets of another namespace or another cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesProvider>,
    /// A directory, for `waxwing render` and tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileProvider>,
}

/// A directory on the machine that reads it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::file_provider)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileProvider {
    /// The path of the directory. A key is the path of a file in it; links out of it are refused.
    pub directory: String,
}

/// A key of a Secret of the store's own namespace (the operator's for a ClusterSecretStore).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::secret_key_ref)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKeyRef {
    /// The name of the Secret.
    pub name: String,
    /// The key in it.
    pub key: String,
}

/// A ServiceAccount of the store's own namespace (the operator's for a ClusterSecretStore).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::service_account_ref)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAccountRef {
    /// The name of the ServiceAccount.
    pub name: String,
    /// For whom its token is made. The default is the provider's own audience, never the API server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
}

/// Certificates to trust, in PEM.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::ca_provider)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaProvider {
    /// The kind of object that holds them.
    #[serde(rename = "type")]
    pub kind: CaProviderType,
    /// The name of the object.
    pub name: String,
    /// The key in it. Default `ca.crt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What holds certificates.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum CaProviderType {
    /// A Secret.
    #[default]
    Secret,
    /// A ConfigMap.
    ConfigMap,
}

/// What the operator found. A hint for people and tools.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::secret_store_status)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretStoreStatus {
    /// The generation that the rest of this status speaks of.
    #[serde(deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Reconciling` and `Stalled`.
    #[serde(deserialize_with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// What the store can do: always `ReadOnly`.
    #[serde(deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<String>,
}
