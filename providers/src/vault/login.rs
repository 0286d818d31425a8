//! Logging in: the credentials are read again each time, so that a rotated one is picked up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::header::{HeaderMap, HeaderValue};
use rustify::endpoint::Endpoint;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use vaultrs::api::token::requests::{LookupTokenSelfRequest, RenewTokenSelfRequest};
use waxwing_core::{
    Secret,
    store::{Failure, Kind},
};
use zeroize::Zeroizing;

use super::{
    Vault,
    answer::{Answer, Auth as Login},
    refusal,
    settings::{Auth, SecretKey, Source},
    wire::{At, NAMESPACE, TOKEN, Wire, secret_header},
};
use crate::session::{Door, Granted};

/// What a login gives.
#[derive(Clone)]
pub(super) struct Pass {
    /// The connection that the login was made on. A token from a certificate login is good only there.
    pub(super) wire: Arc<Wire>,
    /// The token.
    pub(super) token: HeaderValue,
    /// Tells the login from others, without telling anything about it. Leases end with the login they came from.
    pub(super) mark: String,
    /// Set when versions may not be looked at, so that this is tried once a login.
    no_versions: Arc<AtomicBool>,
}

impl Pass {
    /// Notes that this login may not see versions.
    pub(super) fn give_up_versions(&self) {
        self.no_versions.store(true, Ordering::Relaxed);
    }

    /// Whether that was found out.
    pub(super) fn may_not_see_versions(&self) -> bool {
        self.no_versions.load(Ordering::Relaxed)
    }
}

/// What a token says about itself.
#[derive(Deserialize)]
struct Looked {
    #[serde(default)]
    accessor: String,
    /// Seconds left; 0 where it does not expire.
    #[serde(default)]
    ttl: u64,
    #[serde(default)]
    renewable: bool,
}

impl Door for Vault {
    type Pass = Pass;

    async fn log_in(&self) -> Result<Granted<Pass>, Failure> {
        let wire = self.connect().await?;
        match &self.settings.auth {
            Auth::Token(secret) => self.take_token(wire, secret).await,
            Auth::Login { path, fields, .. } => {
                let body = self.body(fields).await?;
                let answer = wire.send(&At::post(path.clone(), body), self.login_headers()).await?;
                self.remember_index(&answer);
                self.refuse_sealed(&wire, &answer).await?;
                granted(wire, &answer).map_err(|failure| failure.at(path))
            }
        }
    }

    async fn renew(&self, pass: &Pass) -> Result<Granted<Pass>, Failure> {
        let answer = self.send_with(pass, &RenewTokenSelfRequest { increment: None }).await?;
        if !answer.is_ok() {
            return Err(refusal::of_answer(&answer));
        }
        let envelope = answer.envelope()?;
        let Some(login) = envelope.auth else { return Err(answer.not_vault()) };
        Ok(Granted { pass: pass.clone(), lasts: seconds(login.lease_duration), renewable: login.renewable })
    }
}

impl Vault {
    /// Takes the token out of the Secret, and asks Vault about it.
    async fn take_token(&self, wire: Arc<Wire>, secret: &SecretKey) -> Result<Granted<Pass>, Failure> {
        let token = self.credential(secret).await?;
        let token = secret_header(Zeroizing::new(token.expose().to_vec()))
            .map_err(|()| unreadable(secret, "the token holds characters that no token has"))?;
        let pass = Pass { wire, token, mark: mark(""), no_versions: Arc::default() };
        let answer = self.look_up(&pass).await?;
        match answer.status {
            // The token may be good and not allowed to look at itself. What is read will tell.
            403 if !answer.says("invalid token") => {
                return Ok(Granted { pass, lasts: None, renewable: false });
            }
            403 => {
                let failure =
                    Failure::new(Kind::Unauthenticated, "Vault does not know the token, or no longer");
                return Err(failure.at(secret.to_string()).with_code(403));
            }
            _ if !answer.is_ok() => return Err(refusal::of_answer(&answer)),
            _ => {}
        }
        let looked: Looked = answer.data()?;
        // When it cannot be renewed, the next login looks whether the Secret has a new one.
        let pass = Pass { mark: mark(&looked.accessor), ..pass };
        Ok(Granted { pass, lasts: seconds(looked.ttl), renewable: looked.renewable })
    }

    /// Asks Vault what the token is.
    pub(super) async fn look_up(&self, pass: &Pass) -> Result<Answer, Failure> {
        self.send_with(pass, &LookupTokenSelfRequest {}).await
    }

    /// The document of a login.
    async fn body(&self, fields: &[(&'static str, Source)]) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let mut values = Vec::with_capacity(fields.len());
        for (name, source) in fields {
            let value = match source {
                Source::Text(text) => Secret::new(text.as_bytes().to_vec()),
                Source::Secret(secret) => self.credential(secret).await?,
                Source::Token { service_account, audiences, seconds } => {
                    self.references.token(service_account, audiences, *seconds).await?.token
                }
            };
            values.push((*name, value));
        }
        document(&values).ok_or_else(|| Failure::new(Kind::CredentialMissing, "the credentials are not text"))
    }

    /// One value of a Secret, without the line break that editors put at its end.
    async fn credential(&self, secret: &SecretKey) -> Result<Secret, Failure> {
        let value = self.references.secret(&secret.name, &secret.key).await?;
        // To leave out its end, and to be sent.
        let bytes = value.expose();
        let trimmed = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let trimmed = trimmed.strip_suffix(b"\r").unwrap_or(trimmed);
        if trimmed.is_empty() {
            return Err(unreadable(secret, "the Secret's value is empty"));
        }
        Ok(Secret::new(trimmed.to_vec()))
    }

    fn login_headers(&self) -> HeaderMap {
        let mut headers = self.common_headers();
        if let Some(namespace) = &self.settings.auth_namespace {
            headers.insert(NAMESPACE, namespace.clone());
        }
        headers
    }

    /// Sends a request with a token.
    pub(super) async fn send_with<E: Endpoint>(&self, pass: &Pass, endpoint: &E) -> Result<Answer, Failure> {
        let mut headers = self.common_headers();
        headers.insert(TOKEN, pass.token.clone());
        let answer = pass.wire.send(endpoint, headers).await?;
        self.remember_index(&answer);
        self.refuse_sealed(&pass.wire, &answer).await?;
        Ok(answer)
    }
}

fn granted(wire: Arc<Wire>, answer: &Answer) -> Result<Granted<Pass>, Failure> {
    if !answer.is_ok() {
        return Err(refusal::of_login(answer));
    }
    let Some(login) = answer.envelope()?.auth else { return Err(answer.not_vault()) };
    let Login { client_token, accessor, lease_duration, renewable } = login;
    if client_token.is_empty() {
        return Err(Failure::new(Kind::Unsupported, "the login asks for a second factor"));
    }
    let token =
        secret_header(Zeroizing::new(client_token.as_bytes().to_vec())).map_err(|()| answer.not_vault())?;
    let pass = Pass { wire, token, mark: mark(&accessor), no_versions: Arc::default() };
    Ok(Granted { pass, lasts: seconds(lease_duration), renewable })
}

/// The same for the same token after a restart, where the token has an accessor. An accessor is no secret.
fn mark(accessor: &str) -> String {
    let number = match accessor {
        "" => fastrand::u32(..),
        accessor => {
            let hash = Sha256::digest(accessor.as_bytes());
            u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
        }
    };
    format!("{number:08x}")
}

fn seconds(seconds: u64) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

/// A JSON object of these fields; none if a value is no text.
pub(super) fn document(fields: &[(&str, Secret)]) -> Option<Zeroizing<Vec<u8>>> {
    // The largest it can become, for a vector that grows leaves copies: a character is escaped to at most six.
    let size = fields.iter().map(|(name, value)| name.len() + 6 * value.len() + 8).sum::<usize>() + 2;
    let mut document = Zeroizing::new(Vec::with_capacity(size));
    for (position, (name, value)) in fields.iter().enumerate() {
        document.push(if position == 0 { b'{' } else { b',' });
        serde_json::to_writer(&mut *document, name).ok()?;
        document.push(b':');
        // To be sent.
        serde_json::to_writer(&mut *document, str::from_utf8(value.expose()).ok()?).ok()?;
    }
    document.extend_from_slice(if fields.is_empty() { b"{}" } else { b"}" });
    Some(document)
}

fn unreadable(secret: &SecretKey, what: &'static str) -> Failure {
    Failure::new(Kind::CredentialMissing, what).at(secret.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_document_is_json_and_never_moves() {
        let secret = |text: &str| Secret::new(text.as_bytes().to_vec());
        let written = document(&[("role", secret("app")), ("jwt", secret("a\"\n\u{1}"))]).unwrap();
        assert_eq!(str::from_utf8(&written).unwrap(), r#"{"role":"app","jwt":"a\"\n\u0001"}"#);
        let worst = document(&[("k", secret(&"\u{1}".repeat(1000)))]).unwrap();
        assert!(worst.capacity() <= 6 * 1000 + 11 && worst.len() > 6000);
        assert_eq!(str::from_utf8(&document(&[]).unwrap()).unwrap(), "{}");
        assert!(document(&[("k", Secret::new(vec![0xff]))]).is_none());
    }

    #[test]
    fn a_mark_is_the_same_for_the_same_accessor() {
        assert_eq!(mark("abc"), mark("abc"));
        assert_ne!(mark("abc"), mark("abd"));
        assert_eq!(mark("").len(), 8);
    }
}
