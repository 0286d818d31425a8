//! Connections to an API server: kube's client on a connector that resolves by our rules.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{
    Request, Uri,
    header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT},
};
use http_body_util::BodyExt as _;
use hyper_util::{
    client::legacy::{
        Client as Hyper,
        connect::{HttpConnector, dns::Name},
    },
    rt::TokioExecutor,
};
use kube::{
    Client, Config,
    client::{Body, ConfigExt as _},
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde::Deserialize;
use tokio::time::timeout;
use tower::ServiceBuilder;
use waxwing_core::{
    Secret,
    store::{Failure, Kind},
};
use zeroize::Zeroizing;

use crate::{
    OwnServer,
    net::{self, Rules},
};

/// A Secret with its data.
pub(super) const JSON: &str = "application/json";
/// A Secret's metadata alone.
pub(super) const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
/// The same of many.
pub(super) const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// Where, whom to trust, and who we are.
pub(super) struct Access {
    /// The server.
    pub(super) server: OwnServer,
    /// Whether it is the one that the store itself came from, whose address no store can choose.
    pub(super) own: bool,
    /// Who we are.
    pub(super) identity: Identity,
}

/// Who we are.
pub(super) enum Identity {
    /// A certificate and its key, in PEM.
    Certificate { cert: Secret, key: Secret },
    /// Nobody yet.
    None,
    /// A token.
    Token(Secret),
}

impl Access {
    /// A server with these authorities, in PEM, in the place of those that are known.
    ///
    /// # Errors
    /// `BadStore` when there is no certificate in them.
    pub(super) fn new(server: OwnServer, own: bool, pem: Option<&[u8]>) -> Result<Self, Failure> {
        let mut access = Self { server, own, identity: Identity::None };
        if let Some(pem) = pem {
            let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
            let authorities = parsed.ok().filter(|authorities| !authorities.is_empty());
            let authorities = authorities.ok_or(Failure::new(
                Kind::BadStore,
                "the certificate authorities are not certificates in PEM",
            ))?;
            access.server.authorities = authorities.iter().map(|der| der.to_vec()).collect();
        }
        Ok(access)
    }
}

/// A client with its login.
pub(super) struct Wire {
    client: Client,
    bearer: Option<HeaderValue>,
}

impl Wire {
    /// # Errors
    /// `BadStore` when the credentials are not what they should be.
    pub(super) fn new(access: Access, rules: &Arc<Rules>) -> Result<Self, Failure> {
        net::ring();
        let url: Uri = access.server.url.parse().map_err(|_| bad("the server's URL is none"))?;
        let mut config = Config::new(url);
        config.tls_server_name = access.server.server_name;
        config.root_cert = Some(access.server.authorities).filter(|authorities| !authorities.is_empty());
        let mut bearer = None;
        match access.identity {
            Identity::None => {}
            Identity::Certificate { cert, key } => {
                // Why exposed: kube takes them in base64.
                config.auth_info.client_certificate_data = Some(BASE64_STANDARD.encode(cert.expose()));
                config.auth_info.client_key_data = Some(BASE64_STANDARD.encode(key.expose()).into());
            }
            Identity::Token(token) => {
                // Why exposed: it becomes a header.
                let token = token.expose().trim_ascii();
                let mut value = Zeroizing::new(Vec::with_capacity(7 + token.len()));
                value.extend_from_slice(b"Bearer ");
                value.extend_from_slice(token);
                let mut value = HeaderValue::from_bytes(&value)
                    .ok()
                    .filter(|_| !token.is_empty())
                    .ok_or(bad("the token has characters that no token has, or is empty"))?;
                value.set_sensitive(true);
                bearer = Some(value);
            }
        }
        let rules = (!access.own).then(|| Arc::clone(rules));
        let resolver = tower::service_fn(move |name: Name| resolve(rules.clone(), name));
        let mut http = HttpConnector::new_with_resolver(resolver);
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(net::CONNECT));
        let https = config.rustls_https_connector_with_connector(http).map_err(|_| {
            bad("the client certificate, its key or the authorities are not what they should be")
        })?;
        let service = ServiceBuilder::new()
            .layer(config.base_uri_layer())
            .service(Hyper::builder(TokioExecutor::new()).build(https));
        Ok(Self { client: Client::new(service, config.default_namespace), bearer })
    }

    /// One request, in time and with a bound on the answer. Redirects are answers like others.
    ///
    /// # Errors
    /// When there is no answer, or it is too large.
    pub(super) async fn get(&self, path: &str, accept: &'static str) -> Result<Reply, Failure> {
        let mut request = Request::get(path)
            .header(ACCEPT, accept)
            .header(USER_AGENT, AGENT)
            .body(Body::empty())
            .map_err(|_| Failure::new(Kind::Rejected, "no request can be made of it"))?;
        if let Some(bearer) = &self.bearer {
            request.headers_mut().insert(AUTHORIZATION, bearer.clone());
        }
        let exchange = async {
            let answer = self.client.send(request).await.map_err(|error| net::failure(&error))?;
            let (head, mut body) = answer.into_parts();
            // With room for all of it: a vector that grows leaves unwiped copies behind.
            let length = content_length(&head.headers).unwrap_or(LARGEST);
            let mut bytes = Zeroizing::new(Vec::with_capacity(length.min(LARGEST)));
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| net::failure(&error))?;
                let Ok(data) = frame.into_data() else { continue };
                if bytes.len() + data.len() > LARGEST {
                    return Err(Failure::new(Kind::TooLarge, "the answer is larger than 4 MiB"));
                }
                bytes.extend_from_slice(&data);
            }
            let retry_after =
                head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let retry_after = retry_after.map(Duration::from_secs);
            Ok(Reply { status: head.status.as_u16(), retry_after, body: bytes })
        };
        timeout(net::REQUEST, exchange)
            .await
            .unwrap_or(Err(Failure::new(Kind::Unavailable, "no answer came in time")))
    }
}

/// Looks a name up: by the rules, unless it is the cluster's own server, which no store can choose.
async fn resolve(
    rules: Option<Arc<Rules>>,
    name: Name,
) -> Result<std::vec::IntoIter<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
    let found: Vec<SocketAddr> = match rules {
        Some(rules) => rules
            .resolve(name.as_str())
            .await?
            .into_iter()
            .map(|address| SocketAddr::new(address, 0))
            .collect(),
        None => tokio::net::lookup_host((name.as_str(), 0)).await?.collect(),
    };
    Ok(found.into_iter())
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// An answer, whatever its status.
pub(super) struct Reply {
    /// The HTTP status.
    pub(super) status: u16,
    retry_after: Option<Duration>,
    /// All of the body.
    pub(super) body: Zeroizing<Vec<u8>>,
}

impl Reply {
    /// What an answer other than 200 means for this verb, and this Secret if it is about one.
    pub(super) fn failure(&self, verb: &str, secret: Option<&str>) -> Failure {
        let failure = match self.status {
            401 => Failure::new(Kind::Unauthenticated, "the API server does not accept the credentials"),
            403 if verb == "list" => {
                Failure::new(Kind::Forbidden, "that side's RBAC does not allow listing Secrets")
            }
            403 => Failure::new(Kind::Forbidden, "that side's RBAC does not allow getting this Secret"),
            404 if secret.is_some_and(|secret| self.is_missing(secret)) => {
                Failure::new(Kind::EntryMissing, "there is no such Secret in the namespace")
            }
            404 => Failure::new(Kind::MountMissing, "the server does not know what a Secret is"),
            410 => Failure::new(Kind::Unavailable, "the list was too old to go on with"),
            429 => Failure::new(Kind::Throttled, "the API server asks for fewer requests"),
            500.. => Failure::new(Kind::Unavailable, "the API server is in trouble"),
            300..=399 => Failure::new(Kind::Rejected, "the server redirects, which is not followed"),
            _ => Failure::new(Kind::Rejected, "the API server rejects the request"),
        };
        failure.with_code(self.status).after(self.retry_after)
    }

    /// Whether an API server says positively that this Secret is not there. A 404 of anything else, such as a proxy, says
    /// nothing about it.
    fn is_missing(&self, secret: &str) -> bool {
        #[derive(Deserialize)]
        struct Status {
            kind: String,
            reason: String,
            details: Details,
        }
        #[derive(Deserialize)]
        struct Details {
            name: String,
            kind: String,
        }
        serde_json::from_slice::<Status>(&self.body).is_ok_and(|status| {
            status.kind == "Status"
                && status.reason == "NotFound"
                && status.details.kind == "secrets"
                && status.details.name == secret
        })
    }
}

const fn bad(what: &'static str) -> Failure {
    Failure::new(Kind::BadStore, what)
}

/// How the API server's audit log names us.
const AGENT: &str = concat!("waxwing/", env!("CARGO_PKG_VERSION"));
/// The largest answer that is read. A Secret has at most 1 MiB, and a third more in base64.
const LARGEST: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests;
