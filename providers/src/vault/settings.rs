//! A Vault store's spec, checked once.

use std::fmt;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;
use waxwing_core::store::{Failure, Kind};
use waxwing_crds::{
    CaProvider, SecretKeyRef, ServiceAccountRef, VaultAuth, VaultEngine, VaultProvider, VaultVersion,
};

use super::wire::NAMESPACE;
use crate::{connect::Place, net};

/// What kind of engine the store reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    /// Any path that issues credentials.
    Dynamic,
    /// Key/value, version 1.
    Kv1,
    /// Key/value, version 2.
    Kv2,
}

/// A key of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SecretKey {
    /// The Secret.
    pub(super) name: String,
    /// The key.
    pub(super) key: String,
}

impl fmt::Display for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret {}, key {}", self.name, self.key)
    }
}

/// Where the value of a field of a login comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// From a Secret.
    Secret(SecretKey),
    /// From the store's spec.
    Text(String),
    /// A new token of a ServiceAccount.
    Token {
        /// Its name.
        service_account: String,
        /// Whom the token is for.
        audiences: Vec<String>,
        /// How long it is good.
        seconds: u32,
    },
}

/// How the store logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Auth {
    /// By a write to a path. All methods but tokens are that.
    Login {
        /// The path below `v1/`.
        path: String,
        /// What is written.
        fields: Vec<(&'static str, Source)>,
        /// The certificate and the key that the connection presents.
        identity: Option<(SecretKey, SecretKey)>,
    },
    /// With a token from a Secret.
    Token(SecretKey),
}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The server, perhaps with a path before `v1/`.
    pub(super) server: Url,
    /// The mount, without slashes around it.
    pub(super) mount: Option<String>,
    /// What is mounted there.
    pub(super) engine: Engine,
    /// Whether an entry has one spelling only: grants are held against keys as they are spelled.
    pub(super) one_spelling: bool,
    /// How to log in.
    pub(super) auth: Auth,
    /// Where: the namespace, if it is another than that of the entries.
    pub(super) auth_namespace: Option<HeaderValue>,
    /// Headers of all requests: the namespace, and what the store adds.
    pub(super) headers: HeaderMap,
    /// The CAs that the server's certificate may be from, in the spec.
    pub(super) ca_bundle: Option<String>,
    /// Or where to read them.
    pub(super) ca_provider: Option<CaProvider>,
    /// The certificate and the key that all connections present.
    pub(super) identity: Option<(SecretKey, SecretKey)>,
    /// Whether every answer has to know what the one before knew.
    pub(super) read_your_writes: bool,
    /// Whether a node that does not know it passes the request on.
    pub(super) forward_inconsistent: bool,
}

impl Settings {
    /// Reads a spec.
    ///
    /// # Errors
    /// `BadStore` with the field, or `EndpointRefused`.
    pub(super) fn read(spec: &VaultProvider, place: &Place) -> Result<Self, Failure> {
        let endpoint = place.endpoint(&spec.server).map_err(|failure| failure.at("server"))?;
        let server = Url::parse(&endpoint.to_string()).map_err(|_| bad("it is not a URL").at("server"))?;
        let engine = match (spec.engine.unwrap_or_default(), spec.version.unwrap_or_default()) {
            (VaultEngine::Dynamic, _) if spec.version.is_some() => {
                return Err(bad("only the key/value engine has versions").at("version"));
            }
            (VaultEngine::Dynamic, _) => Engine::Dynamic,
            (VaultEngine::Kv, VaultVersion::V1) => Engine::Kv1,
            (VaultEngine::Kv, VaultVersion::V2) => Engine::Kv2,
        };
        match (&spec.ca_bundle, &spec.ca_provider) {
            (Some(_), Some(_)) => return Err(bad("set one of caBundle and caProvider").at("caProvider")),
            (Some(bundle), None) => drop(net::bundle(bundle)?),
            _ => {}
        }
        let auth = spec.auth.as_ref().ok_or(bad("a store needs a way to log in").at("auth"))?;
        let namespace = spec.namespace.as_deref().map(|text| namespace(text, "namespace")).transpose()?;
        let mut headers = more_headers(&spec.headers)?;
        if let Some(namespace) = &namespace {
            headers.insert(NAMESPACE, namespace.clone());
        }
        Ok(Self {
            server,
            mount: spec.path.as_deref().map(|text| path(text, "path")).transpose()?,
            engine,
            one_spelling: place.namespace.is_none(),
            auth: read_auth(auth)?,
            auth_namespace: auth
                .namespace
                .as_deref()
                .map(|text| self::namespace(text, "auth.namespace"))
                .transpose()?,
            headers,
            ca_bundle: spec.ca_bundle.clone(),
            ca_provider: spec.ca_provider.clone(),
            identity: match &spec.tls {
                None => None,
                Some(tls) => match (&tls.cert_secret_ref, &tls.key_secret_ref) {
                    (Some(cert), Some(key)) => Some((cert.into(), key.into())),
                    (None, None) => None,
                    _ => return Err(bad("a certificate needs its key, and a key its certificate").at("tls")),
                },
            },
            read_your_writes: spec.read_your_writes.unwrap_or_default(),
            forward_inconsistent: spec.forward_inconsistent.unwrap_or_default(),
        })
    }
}

impl From<&SecretKeyRef> for SecretKey {
    fn from(reference: &SecretKeyRef) -> Self {
        Self { name: reference.name.clone(), key: reference.key.clone() }
    }
}

fn read_auth(auth: &VaultAuth) -> Result<Auth, Failure> {
    let mut methods = Vec::new();
    if let Some(secret) = &auth.token_secret_ref {
        methods.push(Auth::Token(secret.into()));
    }
    if let Some(method) = &auth.app_role {
        let id = match (&method.role_id, &method.role_ref) {
            (Some(id), None) => Source::Text(id.clone()),
            (None, Some(secret)) => Source::Secret(secret.into()),
            _ => return Err(bad("set one of roleId and roleRef").at("auth.appRole")),
        };
        let fields = vec![("role_id", id), ("secret_id", Source::Secret((&method.secret_ref).into()))];
        methods.push(login(&method.path, "approle", None, fields)?);
    }
    if let Some(method) = &auth.kubernetes {
        let token = match (&method.service_account_ref, &method.secret_ref) {
            (Some(account), None) => token(account, &[], None),
            (None, Some(secret)) => Source::Secret(secret.into()),
            _ => return Err(bad("set one of serviceAccountRef and secretRef").at("auth.kubernetes")),
        };
        let fields = vec![("role", Source::Text(method.role.clone())), ("jwt", token)];
        methods.push(login(&method.mount_path, "kubernetes", None, fields)?);
    }
    if let Some(method) = &auth.jwt {
        let token = match (&method.kubernetes_service_account_token, &method.secret_ref) {
            (Some(wanted), None) => {
                token(&wanted.service_account_ref, &wanted.audiences, wanted.expiration_seconds)
            }
            (None, Some(secret)) => Source::Secret(secret.into()),
            _ => return Err(bad("set one of kubernetesServiceAccountToken and secretRef").at("auth.jwt")),
        };
        let role = method.role.iter().map(|role| ("role", Source::Text(role.clone())));
        methods.push(login(&method.path, "jwt", None, role.chain([("jwt", token)]).collect())?);
    }
    for (method, default) in [
        (auth.user_pass.as_ref().map(|m| (&m.path, &m.username, &m.secret_ref)), "userpass"),
        (auth.ldap.as_ref().map(|m| (&m.path, &m.username, &m.secret_ref)), "ldap"),
    ] {
        let Some((path, user, secret)) = method else { continue };
        if user.is_empty() || matches!(user.as_str(), "." | "..") || user.contains('/') {
            return Err(bad("it is not the name of a user").at("auth.username"));
        }
        methods.push(login(path, default, Some(user), vec![("password", Source::Secret(secret.into()))])?);
    }
    if let Some(method) = &auth.cert {
        let role = method.vault_role.iter().map(|role| ("name", Source::Text(role.clone()))).collect();
        let mut login = login(&method.path, "cert", None, role)?;
        if let Auth::Login { identity, .. } = &mut login {
            *identity = Some(((&method.client_cert).into(), (&method.secret_ref).into()));
        }
        methods.push(login);
    }
    match methods.pop() {
        Some(method) if methods.is_empty() => Ok(method),
        _ => Err(bad("set exactly one way to log in").at("auth")),
    }
}

fn login(
    mount: &Option<String>,
    default: &str,
    user: Option<&str>,
    fields: Vec<(&'static str, Source)>,
) -> Result<Auth, Failure> {
    let mount = path(mount.as_deref().unwrap_or(default), "auth.path")?;
    // The whole API path is meant by some.
    let mount = mount.strip_prefix("auth/").unwrap_or(&mount);
    let path = match user {
        Some(user) => format!("auth/{mount}/login/{user}"),
        None => format!("auth/{mount}/login"),
    };
    Ok(Auth::Login { path, fields, identity: None })
}

/// A token of a ServiceAccount is for Vault alone, unless the store says for whom: one for the API server would let Vault,
/// or whoever answers in its place, act as the ServiceAccount.
fn token(account: &ServiceAccountRef, more: &[String], seconds: Option<u32>) -> Source {
    let mut audiences = account.audiences.clone();
    audiences.extend(more.iter().filter(|audience| !account.audiences.contains(audience)).cloned());
    if audiences.is_empty() {
        audiences.push("vault".to_owned());
    }
    // The API server gives none for less.
    let seconds = seconds.unwrap_or(SECONDS).max(SECONDS);
    Source::Token { service_account: account.name.clone(), audiences, seconds }
}

/// A path of Vault's, without slashes around it.
fn path(text: &str, field: &'static str) -> Result<String, Failure> {
    let path = text.trim_matches('/');
    if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(bad("a path must not be empty, or have empty segments, `.` or `..`").at(field));
    }
    Ok(path.to_owned())
}

fn namespace(text: &str, field: &'static str) -> Result<HeaderValue, Failure> {
    HeaderValue::from_str(text).map_err(|_| bad("it is not the name of a namespace").at(field))
}

fn more_headers(headers: &std::collections::BTreeMap<String, String>) -> Result<HeaderMap, Failure> {
    let mut more = HeaderMap::new();
    for (name, value) in headers {
        let bad_header = |what| bad(what).at(format!("headers.{name}"));
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad_header("it is not a header"))?;
        // The store has fields for some of Vault's own, and the others would change what an answer is.
        let name = parsed.as_str();
        if name.starts_with("x-vault-") || REFUSED.contains(&name) {
            return Err(bad_header("this header is not the store's to set"));
        }
        let mut value =
            HeaderValue::from_str(value).map_err(|_| bad_header("it is not the value of a header"))?;
        value.set_sensitive(true);
        more.insert(parsed, value);
    }
    Ok(more)
}

const fn bad(what: &'static str) -> Failure {
    Failure::new(Kind::BadStore, what)
}

/// How long tokens of ServiceAccounts are good for.
const SECONDS: u32 = 600;
/// Headers that say how the connection is used, and for whom.
const REFUSED: [&str; 8] =
    ["connection", "content-length", "content-type", "expect", "host", "te", "transfer-encoding", "upgrade"];

#[cfg(test)]
mod tests;
