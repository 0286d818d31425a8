//! What a store's spec says, checked once, and the login that comes of it.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use waxwing_core::{
    Secret,
    store::{Failure, Kind, endpoint::Endpoint},
};
use waxwing_crds::{CaProvider, KubernetesProvider, SecretKeyRef};

use super::{
    kubeconfig::Kubeconfig,
    wire::{Access, Identity},
};
use crate::{OwnServer, Place, References, net};

/// The spec.
pub(super) struct Settings {
    /// The namespace.
    pub(super) namespace: String,
    login: Login,
}

enum Login {
    Direct { server: Server, bundle: Option<String>, provider: Option<CaProvider>, method: Method },
    Kubeconfig(SecretKeyRef),
}

enum Server {
    /// The one that the store itself came from.
    Own,
    /// One that the store names, and may name.
    Named(Endpoint),
}

enum Method {
    Certificate { cert: SecretKeyRef, key: SecretKeyRef },
    ServiceAccount { name: String, audiences: Vec<String> },
    Token(SecretKeyRef),
}

impl Settings {
    /// # Errors
    /// `BadStore`, with the field, or `EndpointRefused`.
    pub(super) fn read(spec: &KubernetesProvider, place: &Place) -> Result<Self, Failure> {
        let bad =
            |what, field: &str| Err(Failure::new(Kind::BadStore, what).at(format!("kubernetes.{field}")));
        let namespace = spec.remote_namespace.clone().unwrap_or_else(|| "default".to_owned());
        if !is_dns_label(&namespace) {
            return bad("it is no name of a namespace", "remoteNamespace");
        }
        let login = match (&spec.auth, &spec.auth_ref) {
            (None, None) => return bad("set one of auth and authRef", "auth"),
            (Some(_), Some(_)) => return bad("set one of auth and authRef", "authRef"),
            (None, Some(_)) if spec.server.is_some() => {
                return bad("with authRef, the kubeconfig says which server", "server");
            }
            (None, Some(kubeconfig)) => Login::Kubeconfig(kubeconfig.clone()),
            (Some(auth), None) => {
                let named = spec.server.as_ref();
                let server = match named.and_then(|server| server.url.as_deref()) {
                    Some(url) => {
                        Server::read(url, place).map_err(|failure| failure.at("kubernetes.server.url"))?
                    }
                    None => Server::Own,
                };
                let method = match (&auth.service_account, &auth.token, &auth.cert) {
                    (Some(account), None, None) => Method::ServiceAccount {
                        name: account.name.clone(),
                        audiences: account.audiences.clone(),
                    },
                    (None, Some(token), None) => Method::Token(token.bearer_token.clone()),
                    (None, None, Some(cert)) => {
                        Method::Certificate { cert: cert.client_cert.clone(), key: cert.client_key.clone() }
                    }
                    _ => return bad("set exactly one method", "auth"),
                };
                if let Method::ServiceAccount { audiences, .. } = &method {
                    let field = "auth.serviceAccount.audiences";
                    match server {
                        Server::Own if !audiences.is_empty() => {
                            return bad("it is not set for this cluster's own API server", field);
                        }
                        Server::Named(_) if audiences.is_empty() => {
                            return bad("another API server's own audience is to be set", field);
                        }
                        Server::Own | Server::Named(_) => {}
                    }
                }
                if let Some(text) = named.and_then(|server| server.ca_bundle.as_deref()) {
                    net::bundle(text)?;
                }
                Login::Direct {
                    server,
                    bundle: named.and_then(|server| server.ca_bundle.clone()),
                    provider: named.and_then(|server| server.ca_provider.clone()),
                    method,
                }
            }
        };
        Ok(Self { namespace, login })
    }

    /// Reads the credentials, and says for how many seconds they are good if that is known.
    ///
    /// # Errors
    /// When they are not there, or make no sense.
    pub(super) async fn log_in(
        &self,
        place: &Place,
        references: &dyn References,
    ) -> Result<(Access, Option<u64>), Failure> {
        match &self.login {
            Login::Kubeconfig(at) => {
                let text = references.secret(&at.name, &at.key).await?;
                let access = kubeconfig(&text, place, references).await;
                let access = access.map_err(|failure| within(failure, at))?;
                Ok((access, None))
            }
            Login::Direct { server, bundle, provider, method } => {
                let pem = net::authorities(bundle.as_deref(), provider.as_ref(), references).await?;
                let (server, own) = match server {
                    Server::Own => (references.own_server().await?, true),
                    Server::Named(endpoint) => {
                        (OwnServer { url: endpoint.to_string(), ..OwnServer::default() }, false)
                    }
                };
                let mut access = Access::new(server, own, pem.as_deref())?;
                let seconds = access.identify(method, references).await?;
                Ok((access, seconds))
            }
        }
    }
}

impl Server {
    fn read(url: &str, place: &Place) -> Result<Self, Failure> {
        if is_own(url) { Ok(Self::Own) } else { place.endpoint(url).map(Self::Named) }
    }
}

impl Access {
    /// Adds who we are.
    async fn identify(
        &mut self,
        method: &Method,
        references: &dyn References,
    ) -> Result<Option<u64>, Failure> {
        let (token, seconds) = match method {
            Method::Certificate { cert, key } => {
                self.identity = Identity::Certificate {
                    cert: references.secret(&cert.name, &cert.key).await?,
                    key: references.secret(&key.name, &key.key).await?,
                };
                return Ok(None);
            }
            Method::Token(at) => (references.secret(&at.name, &at.key).await?, None),
            // The one token that this cluster's API server takes goes to its own address.
            Method::ServiceAccount { name, .. } if self.own => {
                let token = references.own_token(name, SECONDS).await?;
                (token.token, Some(token.seconds))
            }
            Method::ServiceAccount { name, audiences } => {
                let token = references.token(name, audiences, SECONDS).await?;
                (token.token, Some(token.seconds))
            }
        };
        self.identity = Identity::Token(token);
        Ok(seconds)
    }
}

/// What a kubeconfig says, under the same rules as the fields of a store.
async fn kubeconfig(text: &Secret, place: &Place, references: &dyn References) -> Result<Access, Failure> {
    let config = Kubeconfig::read(text)?;
    let (server, own) = match Server::read(&config.server, place).map_err(|failure| failure.at("server"))? {
        Server::Own => (references.own_server().await?, true),
        Server::Named(endpoint) => (OwnServer { url: endpoint.to_string(), ..OwnServer::default() }, false),
    };
    let decoded = |text: &Secret, field: &str| {
        // Why exposed: it is decoded into a Secret again.
        let bytes = BASE64_STANDARD.decode(text.expose().trim_ascii());
        bytes.map(Secret::new).map_err(|_| Failure::new(Kind::BadStore, "it is not base64").at(field))
    };
    let authorities = match &config.authorities {
        Some(text) => Some(decoded(text, "certificate-authority-data")?),
        None => None,
    };
    // Why exposed: certificates of authorities are no secret.
    let mut access = Access::new(server, own, authorities.as_ref().map(Secret::expose))?;
    if let Some(name) = config.server_name {
        access.server.server_name = Some(name);
    }
    access.identity = match (config.token, config.certificate) {
        (Some(token), None) => Identity::Token(token),
        (None, Some((cert, key))) => Identity::Certificate {
            cert: decoded(&cert, "client-certificate-data")?,
            key: decoded(&key, "client-key-data")?,
        },
        _ => {
            let what = "its user needs either a token or a client certificate with its key";
            return Err(Failure::new(Kind::BadStore, what));
        }
    };
    Ok(access)
}

/// A failure within a kubeconfig, with the Secret that it is in.
fn within(failure: Failure, at: &SecretKeyRef) -> Failure {
    let place = match &failure.place {
        Some(place) => format!("Secret {}, key {}, {place}", at.name, at.key),
        None => format!("Secret {}, key {}", at.name, at.key),
    };
    failure.at(place)
}

/// A Secret's name, or one key in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// The Secret.
    pub(super) secret: String,
    /// The key.
    pub(super) key: Option<String>,
}

impl Name {
    /// Reads `name` or `name/key`. Both become parts of a URL's path as they are.
    ///
    /// # Errors
    /// `Rejected` when no Secret can have such a name.
    pub(super) fn read(text: &str) -> Result<Self, Failure> {
        let (secret, key) = match text.split_once('/') {
            Some((secret, key)) => (secret, Some(key)),
            None => (text, None),
        };
        let fits = secret.len() <= 253 && secret.split('.').all(is_dns_part);
        let fits = fits && key.is_none_or(is_data_key);
        if !fits {
            return Err(Failure::new(Kind::Rejected, "a key is a Secret's name, or name/key"));
        }
        Ok(Self { secret: secret.to_owned(), key: key.map(str::to_owned) })
    }
}

/// The ways in which a cluster's own API server is named from inside it.
fn is_own(url: &str) -> bool {
    let host = url.strip_prefix("https://").unwrap_or(url).trim_end_matches('/');
    let host = host.strip_suffix(":443").unwrap_or(host);
    matches!(host, "kubernetes.default" | "kubernetes.default.svc" | "kubernetes.default.svc.cluster.local")
}

fn is_dns_label(text: &str) -> bool {
    text.len() <= 63 && is_dns_part(text)
}

fn is_dns_part(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_data_key(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=253).contains(&text.len()) && text.bytes().all(inner) && text != "." && !text.starts_with("..")
}

/// For how long tokens are made.
const SECONDS: u32 = 3600;

#[cfg(test)]
mod tests;
