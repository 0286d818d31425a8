//! Makes the provider that a store's spec describes.

use std::sync::Arc;

use waxwing_core::store::{
    Failure,
    endpoint::{self, Caller, Endpoint},
};

use crate::net::Rules;

/// Where a store stands, which decides what it may do.
#[derive(Clone, Debug)]
pub struct Place {
    /// The namespace of a SecretStore; none for a ClusterSecretStore.
    pub namespace: Option<String>,
    /// The store's name, for messages and for names that the provider's audit log shows.
    pub store: String,
    /// Whether the process's own identity may be used where the store names none. Never for a SecretStore in the
    /// operator: whoever writes it would act as the operator.
    pub ambient: bool,
    /// Which hosts may be reached.
    pub rules: Arc<Rules>,
}

impl Place {
    /// Who names the URLs.
    #[must_use]
    pub fn caller(&self) -> Caller<'_> {
        self.namespace.as_deref().map_or(Caller::Cluster, Caller::Namespace)
    }

    /// The endpoint that a URL in the store means. The client is to be given what this returns, not the URL.
    ///
    /// # Errors
    /// `EndpointRefused`, without the URL, which may hold a password.
    pub fn endpoint(&self, url: &str) -> Result<Endpoint, Failure> {
        Ok(endpoint::check(url, self.caller(), &self.rules.allow)?)
    }

    /// # Errors
    /// `BadStore` when the process's own identity may not be used.
    pub fn ambient(&self) -> Result<(), Failure> {
        if self.ambient { Ok(()) } else { Err(NEEDS_CREDENTIALS) }
    }
}

const NEEDS_CREDENTIALS: Failure = Failure::new(
    waxwing_core::store::Kind::BadStore,
    "it needs credentials of its own: the operator's own identity is for ClusterSecretStores",
);
