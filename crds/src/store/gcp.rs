//! Google Cloud.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CaProvider, SecretKeyRef, ServiceAccountRef};
use crate::schema;

/// Google Cloud Secret Manager.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::gcp_provider)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GcpProvider {
    /// The project of the secrets.
    #[serde(rename = "projectID", default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// The location of regional secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// What happens when the newest version is disabled or destroyed. Always `LatestOrFail`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_version_selection_policy: Option<GcpVersionSelection>,
    /// Credentials of its own. Without them a ClusterSecretStore uses the operator's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<GcpAuth>,
    /// The URL of the service, where it is not Google's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The URL of the token service and of IAM credentials, where it is not Google's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sts_endpoint: Option<String>,
    /// Certificates to trust, in PEM and then base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<String>,
    /// Where to read the certificates to trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_provider: Option<CaProvider>,
}

/// What to do when the newest version cannot be read.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::gcp_version_selection)]
pub enum GcpVersionSelection {
    /// Fail.
    #[default]
    LatestOrFail,
}

/// Credentials: exactly one kind.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::gcp_auth)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GcpAuth {
    /// The key of a Google service account, from a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<GcpKey>,
    /// The token of a ServiceAccount, in GKE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<GcpWorkloadIdentity>,
    /// The token of a ServiceAccount, in any other cluster that a workload identity pool trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_identity_federation: Option<GcpFederation>,
}

/// The key of a service account.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GcpKey {
    /// The key, as its JSON file.
    pub secret_access_key_secret_ref: SecretKeyRef,
}

/// The token of a ServiceAccount, in GKE.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::gcp_workload_identity)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GcpWorkloadIdentity {
    /// The ServiceAccount.
    pub service_account_ref: ServiceAccountRef,
    /// The location of the cluster that this runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_location: Option<String>,
    /// The name of that cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// The project of that cluster. Default is that of the secrets.
    #[serde(rename = "clusterProjectID", default, skip_serializing_if = "Option::is_none")]
    pub cluster_project_id: Option<String>,
}

/// The token of a ServiceAccount, for a workload identity pool.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::gcp_federation)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GcpFederation {
    /// The pool's provider: `//iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/NAME`.
    pub audience: String,
    /// The ServiceAccount. Its token is made for the audience `https:AUDIENCE`, unless it says for which.
    pub service_account_ref: ServiceAccountRef,
    /// The Google service account to act as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gcp_service_account_email: Option<String>,
}
