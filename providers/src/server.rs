//! The servers that injections configure: small HTTP calls by the same rules of hosts as those to stores.
//!
//! Nothing that a server answers is repeated in an error: whoever named it may have pointed it anywhere.

use std::{net::SocketAddr, sync::Arc};

pub use reqwest::Method;
use waxwing_core::store::{
    Failure, Kind,
    endpoint::{self, Caller, Endpoint, Host},
};
use zeroize::Zeroizing;

use crate::net::{CONNECT, Rules, Trust, client_builder};

/// The most that is read of an answer: metrics of a large Alertmanager are some hundred KiB.
const MOST: usize = 4 * 1024 * 1024;

/// One replica of a server.
#[derive(Clone)]
pub struct Server {
    client: reqwest::Client,
    base: String,
    /// The address, for messages.
    pub address: SocketAddr,
}

/// What is sent along.
#[derive(Default)]
pub struct Sent {
    /// Headers. Their values are credentials, and are marked so.
    pub headers: Vec<(&'static str, Zeroizing<String>)>,
    /// The body, with its media type.
    pub body: Option<(&'static str, Zeroizing<Vec<u8>>)>,
}

/// An answer.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Zeroizing<Vec<u8>>,
}

/// The endpoint that a URL in an injection of this namespace means.
///
/// # Errors
/// `EndpointRefused`, without the URL, which may hold a password.
pub fn endpoint(rules: &Rules, namespace: &str, url: &str) -> Result<Endpoint, Failure> {
    Ok(endpoint::check(url, Caller::Injection(namespace), &rules.allow)?)
}

/// Every replica behind a URL: one for each address that its name has at the moment.
///
/// # Errors
/// `EndpointRefused`, or `Unavailable` where the name has no address.
pub async fn replicas(rules: &Arc<Rules>, namespace: &str, url: &str) -> Result<Vec<Server>, Failure> {
    let endpoint = endpoint(rules, namespace, url)?;
    let host = endpoint.host.to_string();
    let mut addresses = rules.resolve(&host).await?;
    addresses.sort_unstable();
    addresses.dedup();
    let one = |address| {
        let address = SocketAddr::new(address, endpoint.port);
        let mut builder = client_builder(rules, &Trust::default())?;
        if let Host::Name(name) = &endpoint.host {
            builder = builder.resolve(name, address);
        }
        let client =
            builder.build().map_err(|_| Failure::new(Kind::Unavailable, "no client could be made"))?;
        Ok(Server { client, base: endpoint.to_string(), address })
    };
    addresses.into_iter().map(one).collect()
}

impl Server {
    /// Asks once. `path` begins with `/`, and is added to the path of the URL.
    ///
    /// # Errors
    /// `Unavailable` where there is no whole answer in time.
    pub async fn ask(&self, method: Method, path: &str, sent: Sent) -> Result<Answer, Failure> {
        let failed = |error: reqwest::Error| {
            let what = if error.is_timeout() {
                "it did not answer in time"
            } else if error.is_connect() {
                "no connection could be made"
            } else {
                "it did not answer as HTTP"
            };
            Failure::new(Kind::Unavailable, what)
        };
        let mut request = self.client.request(method, format!("{}{path}", self.base)).timeout(CONNECT * 2);
        for (name, value) in &sent.headers {
            let mut value = reqwest::header::HeaderValue::from_str(value).map_err(|_| {
                Failure::new(Kind::BadStore, "a credential has characters that no header can carry")
            })?;
            value.set_sensitive(true);
            request = request.header(*name, value);
        }
        if let Some((media, body)) = sent.body {
            // The HTTP library's copy is not wiped; what is held here is.
            request = request.header("content-type", media).body(body.to_vec());
        }
        let mut answer = request.send().await.map_err(failed)?;
        let status = answer.status().as_u16();
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MOST {
                return Err(Failure::new(Kind::Unavailable, "its answer is too large"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
    }
}
