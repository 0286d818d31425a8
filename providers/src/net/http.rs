//! HTTP clients for hosts that stores name.

use std::{net::SocketAddr, sync::Arc};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use waxwing_core::store::{Failure, Kind};

use super::{CONNECT, REQUEST, Rules, Trust, ring};

/// A client's beginning, with everything that keeps credentials where they belong.
///
/// # Guarantees
/// - No redirect is followed: the answer to one is an answer like any other, to be taken for what it is.
/// - No proxy: with one, the names would be resolved where the rules do not reach.
/// - No cookies, no `Referer`, and no second try: the broker decides about that.
/// - A name that points at an address which is never connected to fails with `EndpointRefused`. IP addresses in a URL are
///   not looked up, so the URL has to have passed [`Place::endpoint`](crate::connect::Place::endpoint).
///
/// # Errors
/// `BadStore` when what is to be trusted or presented is not PEM.
pub(crate) fn client_builder(rules: &Arc<Rules>, trust: &Trust) -> Result<reqwest::ClientBuilder, Failure> {
    ring();
    let mut builder = reqwest::Client::builder()
        .user_agent(AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(CONNECT)
        .timeout(REQUEST)
        .pool_max_idle_per_host(IDLE)
        .dns_resolver(Ruled(Arc::clone(rules)));
    if let Some(pem) = &trust.ca_pem {
        let certificates = reqwest::Certificate::from_pem_bundle(pem)
            .ok()
            .filter(|certificates| !certificates.is_empty())
            .ok_or(Failure::new(Kind::BadStore, "the CA bundle has no certificate in PEM"))?;
        builder = builder.tls_certs_only(certificates);
    }
    if let Some(pem) = &trust.identity_pem {
        let identity = reqwest::Identity::from_pem(pem).map_err(|_| {
            Failure::new(Kind::BadStore, "the client certificate and its key are not PEM, or one is missing")
        })?;
        builder = builder.identity(identity);
    }
    Ok(builder)
}

/// Resolves by the rules.
struct Ruled(Arc<Rules>);

impl Resolve for Ruled {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = Arc::clone(&self.0);
        Box::pin(async move {
            let found = rules.resolve(name.as_str()).await?;
            let addresses: Addrs = Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

/// How providers see us.
const AGENT: &str = concat!("waxwing/", env!("CARGO_PKG_VERSION"));
/// Connections that are kept for the next request: as many as a broker has requests in flight.
const IDLE: usize = 16;
