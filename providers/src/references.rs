//! What a store refers to: Secrets, ConfigMaps and ServiceAccounts of one namespace.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use waxwing_core::{
    Secret,
    store::{Failure, Kind},
};

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
    async fn token(
        &self,
        service_account: &str,
        audiences: &[String],
        seconds: u32,
    ) -> Result<Token, Failure>;

    /// The API server that these objects are read from.
    ///
    /// # Errors
    /// `Unsupported` where there is none.
    async fn own_server(&self) -> Result<OwnServer, Failure> {
        Err(Failure::new(Kind::Unsupported, "there is no API server here that is this cluster's own"))
    }

    /// A new token of a ServiceAccount for that API server. Whoever has it acts there as that account, so it is sent there
    /// and nowhere else.
    ///
    /// # Errors
    /// As for [`token`](Self::token), and `Unsupported` where there is no such server.
    async fn own_token(&self, service_account: &str, seconds: u32) -> Result<Token, Failure> {
        let _ = (service_account, seconds);
        Err(Failure::new(Kind::Unsupported, "there is no API server here that is this cluster's own"))
    }

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

/// An API server, with whom to trust for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnServer {
    /// Its URL.
    pub url: String,
    /// The certificate authorities, in DER; the system's when there are none.
    pub authorities: Vec<Vec<u8>>,
    /// The name in its certificate, where it is not the URL's host.
    pub server_name: Option<String>,
}

#[cfg(feature = "kubernetes")]
impl From<&kube::Config> for OwnServer {
    fn from(config: &kube::Config) -> Self {
        Self {
            url: config.cluster_url.to_string(),
            authorities: config.root_cert.clone().unwrap_or_default(),
            server_name: config.tls_server_name.clone(),
        }
    }
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Nothing is there.
    pub(crate) struct Nothing;

    fn missing<T>(name: &str) -> Result<T, Failure> {
        Err(Failure::new(Kind::CredentialMissing, "it does not exist").at(name))
    }

    #[async_trait]
    impl References for Nothing {
        async fn secret(&self, name: &str, _: &str) -> Result<Secret, Failure> {
            missing(name)
        }

        async fn config_map(&self, name: &str, _: &str) -> Result<String, Failure> {
            missing(name)
        }

        async fn token(&self, service_account: &str, _: &[String], _: u32) -> Result<Token, Failure> {
            missing(service_account)
        }

        async fn service_account(&self, name: &str) -> Result<BTreeMap<String, String>, Failure> {
            missing(name)
        }
    }
}
