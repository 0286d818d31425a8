//! What a store refers to: Secrets, ConfigMaps and ServiceAccounts of one namespace.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use waxwing_core::{Secret, store::Failure};

/// Reads what a store refers to. The namespace is fixed by whoever implements it: the store's own, or the operator's for
/// a ClusterSecretStore. There is no way to name another one.
#[async_trait]
pub trait References: Send + Sync {
    /// One value of a Secret.
    ///
    /// # Errors
    /// `CredentialMissing`, with the Secret's name and key as the place.
    async fn secret(&self, name: &str, key: &str) -> Result<Secret, Failure>;

    /// One value of a ConfigMap.
    ///
    /// # Errors
    /// `CredentialMissing`, with the ConfigMap's name and key as the place.
    async fn config_map(&self, name: &str, key: &str) -> Result<String, Failure>;

    /// A new token of a ServiceAccount for exactly these audiences, which are never the API server's.
    ///
    /// # Errors
    /// `CredentialMissing` when there is no such ServiceAccount, `EndpointRefused` when the audiences are none, or the
    /// API server's.
    async fn token(&self, service_account: &str, audiences: &[String], seconds: u32)
    -> Result<Token, Failure>;

    /// The annotations of a ServiceAccount, such as the role that it takes in the cloud.
    ///
    /// # Errors
    /// `CredentialMissing` when there is no such ServiceAccount.
    async fn service_account(&self, name: &str) -> Result<BTreeMap<String, String>, Failure>;
}

/// A ServiceAccount's token.
pub struct Token {
    /// The token itself.
    pub token: Secret,
    /// How many seconds it is good for.
    pub seconds: u64,
}

/// The names that a store refers to. A change of one of them means new clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Referenced {
    /// Secrets.
    pub secrets: BTreeSet<String>,
    /// ConfigMaps.
    pub config_maps: BTreeSet<String>,
    /// ServiceAccounts.
    pub service_accounts: BTreeSet<String>,
}
