//! Where values are pulled from: Vault, AWS, GCP, Azure, Kubernetes and files, behind one trait.
//!
//! One module and one cargo feature each. A provider asks and parses, nothing else: what is asked is decided in
//! `waxwing_core`, how often and for whom in [`Broker`]. No provider's text leaves this crate: every error becomes a
//! [`Failure`], which can hold fixed phrases only.

#[cfg(any(feature = "azure", feature = "gcp"))]
mod assertion;
#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "azure")]
pub mod azure;
pub mod broker;
mod connect;
pub mod fetch;
pub mod file;
#[cfg(feature = "gcp")]
pub mod gcp;
pub mod identity;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
#[cfg(any(feature = "azure", feature = "gcp", feature = "vault"))]
#[cfg_attr(
    not(any(feature = "azure", feature = "gcp")),
    expect(dead_code, reason = "Vault's connections can present certificates, and are its own")
)]
mod link;
mod net;
pub mod protect;
mod references;
#[cfg(feature = "http")]
pub mod server;
#[cfg(feature = "tls")]
#[cfg_attr(not(feature = "vault"), expect(dead_code, reason = "only Vault uses all of it"))]
mod session;
#[cfg(feature = "vault")]
pub mod vault;

use async_trait::async_trait;
use waxwing_core::store::{Entry, Failure, Find, Lease, Read};

pub use broker::{Broker, Call, Freshness, Health, Observer, Refreshed};
pub use connect::{Place, connect, references};
pub use identity::{ClientKey, Clients};
pub use net::Rules;
pub use protect::{Bond, Protector, Wrapped};
pub use references::{OwnServer, Referenced, References, Token};

/// One account of one provider, reached with one set of credentials.
///
/// Implementations log in when they are first used, keep and renew what the login gave, and log in again once when it is
/// refused. Every request has a timeout. None is tried again here, and nothing is cached: the [`Broker`] does both.
#[async_trait]
pub trait Provider: Send + Sync {
    /// The word for it in metrics and messages: `vault`, `aws` and so on.
    fn name(&self) -> &'static str;

    /// How many reads one request can take. Above 1, [`Provider::read`] is given up to so many at once.
    fn batch(&self) -> usize {
        1
    }

    /// Requests a second that the provider stands without throttling, and how many at once after a pause.
    fn pace(&self) -> Pace {
        Pace { per_second: 100, burst: 500 }
    }

    /// Reads these, in as few requests as the provider allows. One answer for each, in their order.
    async fn read(&self, reads: &[Read]) -> Vec<Result<Entry, Failure>>;

    /// What the newest version is, without reading the value. `None` where that is not possible or costs as much.
    async fn version(&self, read: &Read) -> Option<Result<String, Failure>> {
        let _ = read;
        None
    }

    /// The keys of all entries that match, sorted.
    async fn find(&self, find: &Find) -> Result<Vec<String>, Failure>;

    /// Whether the provider is there and takes the credentials.
    async fn check(&self) -> Result<(), Failure>;

    /// Prolongs a lease, and says what it is now.
    async fn renew(&self, lease: &Lease) -> Result<Lease, Failure> {
        let _ = lease;
        Err(Failure::new(waxwing_core::store::Kind::Unsupported, "this provider leases nothing"))
    }

    /// Ends a lease, and with it the credentials.
    async fn revoke(&self, lease_id: &str) -> Result<(), Failure> {
        let _ = lease_id;
        Ok(())
    }

    /// Renews the login itself where somebody depends on its staying alive. Says in how many seconds to call again.
    async fn keep_alive(&self) -> Option<u64> {
        None
    }
}

/// How fast a provider may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Requests a second.
    pub per_second: u32,
    /// Requests at once after a pause.
    pub burst: u32,
}
