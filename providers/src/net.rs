//! Which hosts may be reached, and how connections to them are made.
//!
//! Every client of a host that a store names is built here, or at least resolves names here: a name is looked up each time
//! a connection is made, and what it points at is checked against the same rules as what the store says. Fixed hosts of a
//! provider's own library, such as its metadata service, are not a store's to name and do not come through here.

#[cfg(feature = "tls")]
mod ca;
#[cfg(feature = "tls")]
mod failure;
#[cfg(feature = "http")]
mod http;

use std::{sync::Arc, time::Duration};

use waxwing_core::store::endpoint::Allow;
#[cfg(feature = "tls")]
use waxwing_core::store::{Failure, Kind};

#[cfg(any(feature = "aws", feature = "kubernetes", feature = "vault"))]
pub(crate) use self::ca::bundle;
#[cfg(feature = "http")]
pub(crate) use self::http::client_builder;
#[cfg(feature = "tls")]
pub(crate) use self::{ca::authorities, failure::failure};

/// How long making a connection may take, the look-up of the name included.
#[cfg(feature = "tls")]
pub(crate) const CONNECT: Duration = Duration::from_secs(5);
/// How long one request may take, connecting and reading the answer included.
pub(crate) const REQUEST: Duration = Duration::from_secs(10);

/// What the operator allows. One for the whole process.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The `--allow-endpoint` list.
    pub allow: Allow,
}

impl Rules {
    /// The rules, to be shared.
    #[must_use]
    pub fn new(allow: Allow) -> Arc<Self> {
        Arc::new(Self { allow })
    }

    /// The addresses of a host that may be connected to.
    ///
    /// # Errors
    /// `Unavailable` when the name has none, `EndpointRefused` when it has none that is allowed.
    #[cfg(feature = "tls")]
    pub(crate) async fn resolve(&self, host: &str) -> Result<Vec<std::net::IpAddr>, Failure> {
        let unknown =
            || Failure::new(Kind::Unavailable, "the name of the host could not be resolved").at(host);
        // A literal is not looked up, but is held to the rules all the same.
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        let found = match literal {
            Ok(address) => vec![address],
            Err(_) => tokio::time::timeout(CONNECT, tokio::net::lookup_host((host, 0)))
                .await
                .map_err(|_| unknown())?
                .map_err(|_| unknown())?
                .map(|found| found.ip())
                .collect(),
        };
        let mut refused = None;
        let mut good = Vec::with_capacity(found.len());
        for address in found {
            match self.allow.reachable(host, address) {
                Ok(()) => good.push(address),
                Err(fault) => refused = Some(fault),
            }
        }
        match refused {
            Some(fault) if good.is_empty() => Err(Failure::from(fault).at(host)),
            _ if good.is_empty() => Err(unknown()),
            _ => Ok(good),
        }
    }
}

/// Whom to trust, and who we are.
#[cfg(feature = "http")]
#[derive(Default)]
pub(crate) struct Trust {
    /// The only certificate authorities that are trusted, in PEM. Without any, the system's.
    pub(crate) ca_pem: Option<Vec<u8>>,
    /// Our certificate and its key, in PEM.
    pub(crate) identity_pem: Option<zeroize::Zeroizing<Vec<u8>>>,
}

/// Makes ring the process's cryptography, for libraries that take whatever is installed. To be called before they are used.
#[cfg(feature = "tls")]
pub(crate) fn ring() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // The error is that somebody was first, which can only have been with ring: there is no other in the tree.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

#[cfg(feature = "tls")]
#[cfg(test)]
mod tests;
