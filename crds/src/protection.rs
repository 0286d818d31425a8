//! How the identities of a ring are wrapped at rest: by Vault's transit engine, by an AWS KMS key, or not at all.
//!
//! `kind` says how new identities are wrapped. Both blocks may stand beside each other, so that what was wrapped one
//! way can still be opened when new identities are wrapped another way. What a block refers to lies in the operator's
//! namespace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    schema,
    store::{AwsAuth, AwsProvider, AwsService, CaProvider, VaultAuth, VaultProvider},
};

/// How identities are wrapped at rest.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::protection)]
#[serde(rename_all = "camelCase")]
pub struct Protection {
    /// How new identities are wrapped. Those that are there stay as they are.
    pub kind: ProtectionKind,
    /// A key of Vault's transit engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault_transit: Option<VaultTransit>,
    /// A key of AWS KMS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws_kms: Option<AwsKms>,
}

/// The ways of wrapping identities at rest.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
pub enum ProtectionKind {
    /// An identity is a Secret like any other, as safe as the cluster keeps its Secrets.
    #[default]
    None,
    /// Wrapped by HashiCorp Vault's transit engine.
    VaultTransit,
    /// Wrapped by an AWS KMS key.
    AwsKms,
}

impl Protection {
    /// Whether the key that new identities are wrapped by may be the one that wrote `wrapped_by` into a Secret
    /// ([`WrappedBy::key`]). What cannot be told is taken for the same: an alias of AWS's, or another server or mount of
    /// Vault's.
    #[must_use]
    pub fn may_name(&self, wrapped_by: &str) -> bool {
        /// The id in an ARN, or an id alone. A key that AWS keeps in several regions has one.
        fn id(key: &str) -> Option<&str> {
            let is_id = |text: &&str| !text.is_empty() && !text.contains([':', '/']);
            key.rsplit_once(":key/").map_or(Some(key), |(_, id)| Some(id)).filter(is_id)
        }
        match self.kind {
            ProtectionKind::None => true,
            ProtectionKind::VaultTransit => {
                self.vault_transit.as_ref().is_none_or(|transit| transit.key == wrapped_by)
            }
            ProtectionKind::AwsKms => {
                let wanted = self.aws_kms.as_ref().and_then(|kms| id(&kms.key_id));
                wanted.zip(id(wrapped_by)).is_none_or(|(wanted, found)| wanted == found)
            }
        }
    }
}

impl ProtectionKind {
    /// The word in the spec.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::VaultTransit => "VaultTransit",
            Self::AwsKms => "AwsKms",
        }
    }
}

/// A key of Vault's transit engine, which never leaves Vault.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::vault_transit)]
#[serde(rename_all = "camelCase")]
pub struct VaultTransit {
    /// The address of the server, such as `https://vault.example.com:8200`.
    pub server: String,
    /// Where the transit engine is mounted. Default `transit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
    /// The name of the key: one that takes associated data, such as the default `aes256-gcm96`.
    pub key: String,
    /// The namespace of Vault Enterprise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Certificates to trust, in PEM and then base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<String>,
    /// Where to read the certificates to trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_provider: Option<CaProvider>,
    /// How to log in: exactly one way.
    pub auth: VaultAuth,
}

impl VaultTransit {
    /// Where the engine is when the spec says nothing.
    pub const DEFAULT_MOUNT: &str = "transit";

    /// The same server and login as a store has them.
    #[must_use]
    pub fn as_store(&self) -> VaultProvider {
        VaultProvider {
            server: self.server.clone(),
            path: Some(self.mount.clone().unwrap_or_else(|| Self::DEFAULT_MOUNT.to_owned())),
            namespace: self.namespace.clone(),
            ca_bundle: self.ca_bundle.clone(),
            ca_provider: self.ca_provider.clone(),
            auth: Some(self.auth.clone()),
            ..VaultProvider::default()
        }
    }
}

/// A symmetric key of AWS KMS, which never leaves AWS.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::aws_kms)]
#[serde(rename_all = "camelCase")]
pub struct AwsKms {
    /// The region, such as `eu-central-1`.
    pub region: String,
    /// The key: its id, its ARN, or an alias (`alias/waxwing`).
    pub key_id: String,
    /// The ARN of the role to assume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Credentials of its own. Without them the operator's own identity is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AwsAuth>,
    /// The URL of the service, where it is not AWS's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The URL of the security token service, where it is not AWS's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sts_endpoint: Option<String>,
    /// Certificates to trust, in PEM and then base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<String>,
    /// Where to read the certificates to trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_provider: Option<CaProvider>,
}

impl AwsKms {
    /// The same account and login as a store has them.
    #[must_use]
    pub fn as_store(&self) -> AwsProvider {
        AwsProvider {
            service: AwsService::default(),
            region: self.region.clone(),
            role: self.role.clone(),
            auth: self.auth.clone(),
            endpoint: self.endpoint.clone(),
            sts_endpoint: self.sts_endpoint.clone(),
            ca_bundle: self.ca_bundle.clone(),
            ca_provider: self.ca_provider.clone(),
            ..AwsProvider::default()
        }
    }
}

/// What a wrapped identity's Secret says of its wrapping, as JSON under [`crate::names::IDENTITY_PROTECTION`]. Whoever can
/// write the Secret can write this: the key that wrapped the identity holds it to ring and recipient, this only finds the
/// key.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WrappedBy {
    /// The way of wrapping.
    pub kind: ProtectionKind,
    /// The key that wrapped it: the name of Vault's, the ARN of AWS's.
    pub key: String,
    /// The KeyRing that it was wrapped for.
    pub ring: String,
}
