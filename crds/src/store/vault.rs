//! Vault.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CaProvider, SecretKeyRef, ServiceAccountRef};
use crate::schema;

/// A Vault server, one mount of it, and how to log in.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::vault_provider)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VaultProvider {
    /// The address of the server, such as `https://vault.example.com:8200`.
    pub server: String,
    /// The mount of the engine. Without one, each key begins with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The version of the KV engine. Default `v2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VaultVersion>,
    /// What kind of engine: `KV`, or `Dynamic` for one that issues values, such as database or PKI. Default `KV`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<VaultEngine>,
    /// The namespace of Vault Enterprise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Whether each answer has to know what the one before it knew (Vault Enterprise).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_your_writes: Option<bool>,
    /// With `readYourWrites`, whether a node that is behind passes the request on to the active one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward_inconsistent: Option<bool>,
    /// Certificates to trust, in PEM and then base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<String>,
    /// Where to read the certificates to trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_provider: Option<CaProvider>,
    /// The client certificate that each connection presents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<VaultTls>,
    /// Further headers of each request, such as a proxy asks for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// How to log in: exactly one way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<VaultAuth>,
}

/// A client certificate.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::vault_tls)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VaultTls {
    /// The certificate, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_secret_ref: Option<SecretKeyRef>,
    /// Its private key, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_secret_ref: Option<SecretKeyRef>,
}

/// Which version of the KV engine.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum VaultVersion {
    /// With versions.
    #[default]
    #[serde(rename = "v2")]
    V2,
    /// Without.
    #[serde(rename = "v1")]
    V1,
}

/// What kind of engine.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum VaultEngine {
    /// Keys and values.
    #[default]
    #[serde(rename = "KV")]
    Kv,
    /// One that issues credentials with a lease: databases, PKI and so on.
    Dynamic,
}

/// How to log in: exactly one method.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::vault_auth)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VaultAuth {
    /// A token from a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeyRef>,
    /// AppRole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_role: Option<VaultAppRole>,
    /// The token of a ServiceAccount, which Vault has reviewed by the cluster's API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<VaultKubernetes>,
    /// A JSON Web Token, which Vault checks itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<VaultJwt>,
    /// The name and password of a user of Vault's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_pass: Option<VaultUserPass>,
    /// The name and password of a user in an LDAP directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ldap: Option<VaultLdap>,
    /// A client certificate to log in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<VaultCert>,
    /// The namespace to log in to, where it is not that of the entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// AppRole.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::vault_app_role)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VaultAppRole {
    /// The mount of the method. Default `approle`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The role id. Either this or `roleRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_id: Option<String>,
    /// The role id, from a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_ref: Option<SecretKeyRef>,
    /// The secret id.
    pub secret_ref: SecretKeyRef,
}

/// The token of a ServiceAccount, looked up by Vault.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::vault_kubernetes)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VaultKubernetes {
    /// The mount of the method. Default `kubernetes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_path: Option<String>,
    /// The role in Vault.
    pub role: String,
    /// The ServiceAccount. Its token is made for the audience `vault`, unless it says for which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_ref: Option<ServiceAccountRef>,
    /// A Secret with a token, instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
}

/// A JSON Web Token.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::vault_jwt)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VaultJwt {
    /// The mount of the method. Default `jwt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The role in Vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// A Secret with the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
    /// A token made for a ServiceAccount, instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes_service_account_token: Option<VaultServiceAccountToken>,
}

/// The token of a ServiceAccount.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::vault_service_account_token)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VaultServiceAccountToken {
    /// The ServiceAccount that the token is made for.
    pub service_account_ref: ServiceAccountRef,
    /// For whom the token is made, besides those that `serviceAccountRef` names. Default `vault`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// How many seconds the token is good for. Default 600, which is also the least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration_seconds: Option<u32>,
}

/// Name and password.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::vault_user)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VaultUserPass {
    /// The mount of the method. Default `userpass`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The name of the user.
    pub username: String,
    /// The password.
    pub secret_ref: SecretKeyRef,
}

/// Name and password of a directory.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::vault_user)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VaultLdap {
    /// The mount of the method. Default `ldap`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The name of the user.
    pub username: String,
    /// The password.
    pub secret_ref: SecretKeyRef,
}

/// A client certificate.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::vault_cert)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VaultCert {
    /// The mount of the method. Default `cert`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The role in Vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault_role: Option<String>,
    /// The certificate, in PEM.
    pub client_cert: SecretKeyRef,
    /// Its private key, in PEM.
    pub secret_ref: SecretKeyRef,
}
