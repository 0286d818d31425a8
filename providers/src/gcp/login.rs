//! From what a store names to a bearer token.
//!
//! A service account's key signs a token for Secret Manager itself: no token service is asked, and whatever URLs stand in
//! the key's file are not used. A ServiceAccount's token is exchanged at Google's Security Token Service, and that again
//! for one of a Google service account if there is one. Google's own library is used for the identity of the process only:
//! it gives up for good after some failures, and cannot be told which hosts it may reach.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use google_cloud_auth::credentials::{AccessTokenCredentials, Builder};
use reqwest::{
    Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use serde::Deserialize;
use serde_json::json;
use url::form_urlencoded::Serializer;
use waxwing_core::store::{Failure, Kind};
use zeroize::{Zeroize as _, Zeroizing};

use super::refusal;
use crate::{
    assertion::{Algorithm, Key},
    link::{self, Link},
    net,
    references::References,
    session::{Door, Granted, Session, Sessions},
};

/// What requests are sent with: the whole header.
pub(super) type Pass = HeaderValue;

/// Where a token comes from.
pub(super) enum Origin {
    /// The process's own identity, wherever Google's library finds it.
    Ambient,
    /// A ServiceAccount, trusted by a workload identity pool.
    Federated(Box<Federated>),
    /// The key of a service account, in a Secret.
    Key {
        /// The Secret.
        name: String,
        /// The key in it.
        key: String,
        /// Whether the secrets are regional.
        regional: bool,
    },
}

/// A ServiceAccount, trusted by a workload identity pool.
pub(super) struct Federated {
    /// Its name.
    pub(super) account: String,
    /// Whom its token is for.
    pub(super) audiences: Vec<String>,
    /// What the token service calls the pool's provider.
    pub(super) pool: String,
    /// The Google service account to act as, if the store says so. Else the ServiceAccount's annotation does.
    pub(super) email: Option<String>,
    /// The token service.
    pub(super) sts: Url,
    /// IAM credentials.
    pub(super) iam: Url,
}

/// A login that all requests of one store share.
pub(super) struct Login {
    origin: Origin,
    references: Arc<dyn References>,
    sessions: Sessions<Pass>,
    /// What Google's library has found. It keeps and renews its tokens itself.
    ambient: Mutex<Option<AccessTokenCredentials>>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

impl Login {
    pub(super) fn new(origin: Origin, references: Arc<dyn References>) -> Self {
        Self { origin, references, sessions: Sessions::default(), ambient: Mutex::default() }
    }

    /// A login that holds.
    pub(super) async fn live(&self, link: &Link) -> Result<Arc<Session<Pass>>, Failure> {
        self.sessions.live(&Desk { login: self, link }).await
    }

    /// Drops a login that was refused.
    pub(super) fn forget(&self, session: &Session<Pass>) {
        self.sessions.forget(session);
        self.forget_ambient();
    }

    fn forget_ambient(&self) {
        *self.ambient.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A token that the account signs for itself (AIP-4111).
    async fn sign(&self, name: &str, key: &str, regional: bool) -> Result<Granted<Pass>, Failure> {
        let file = self.references.secret(name, key).await?;
        let bad = |what| Failure::new(Kind::CredentialMissing, what).at(format!("Secret {name}, key {key}"));
        // To sign with what is in it.
        let file: KeyFile = serde_json::from_slice(file.expose())
            .map_err(|_| bad("it is not the JSON file of a service account's key"))?;
        let private_key = Zeroizing::new(file.private_key);
        if file.kind != "service_account" {
            return Err(bad("it is not the key of a service account"));
        }
        if file.universe_domain.as_deref().is_some_and(|universe| universe != UNIVERSE) {
            return Err(bad("it is the key of another universe than googleapis.com"));
        }
        let signer = Key::from_pem(private_key.as_bytes()).map_err(|_| bad(NO_KEY))?;
        let token = signer
            .token(
                Algorithm::Rs256,
                json!({"kid": file.private_key_id}),
                &claims(&file.client_email, now(), regional),
            )
            .map_err(|_| bad(NO_KEY))?;
        Ok(Granted { pass: bearer(token)?, lasts: Some(SIGNED), renewable: false })
    }

    /// Exchanges a ServiceAccount's token.
    async fn exchange(&self, it: &Federated, link: &Link) -> Result<Granted<Pass>, Failure> {
        let email = match &it.email {
            Some(email) => Some(email.clone()),
            None => self.references.service_account(&it.account).await?.remove(ANNOTATION),
        };
        let subject = self.references.token(&it.account, &it.audiences, ACCOUNT_SECONDS).await?;
        // To be exchanged.
        let subject = std::str::from_utf8(subject.token.expose())
            .map_err(|_| Failure::new(Kind::CredentialMissing, "the ServiceAccount's token is not text"))?;
        let form = Serializer::new(String::with_capacity(4 * subject.len() + 1024))
            .append_pair("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
            .append_pair("requested_token_type", "urn:ietf:params:oauth:token-type:access_token")
            .append_pair("subject_token_type", "urn:ietf:params:oauth:token-type:jwt")
            .append_pair("scope", SCOPE)
            .append_pair("audience", &it.pool)
            .append_pair("subject_token", subject)
            .finish();
        let client = link.client().await?;
        let request = client
            .post(below(&it.sts, &["v1", "token"])?)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(wiped(form));
        let answer = link::exchange(request).await?;
        if !answer.is_ok() {
            return Err(refusal::of_exchange(&answer));
        }
        let exchanged: Exchanged = serde_json::from_slice(&answer.body).map_err(|_| NOT_A_TOKEN)?;
        let (pass, lasts) = (bearer(exchanged.access_token)?, Duration::from_secs(exchanged.expires_in));
        let Some(email) = email else {
            return Ok(Granted { pass, lasts: Some(lasts), renewable: false });
        };
        if !is_email(&email) {
            return Err(Failure::new(
                Kind::CredentialMissing,
                "it is not the e-mail address of a service account",
            )
            .at(format!("ServiceAccount {}, annotation {ANNOTATION}", it.account)));
        }
        let act_as = format!("{email}:generateAccessToken");
        let request = client
            .post(below(&it.iam, &["v1", "projects", "-", "serviceAccounts", &act_as])?)
            .header(AUTHORIZATION, pass)
            .header(CONTENT_TYPE, "application/json")
            .body(json!({"scope": [SCOPE], "lifetime": format!("{}s", ACTING.as_secs())}).to_string());
        let answer = link::exchange(request).await?;
        if !answer.is_ok() {
            return Err(refusal::of_impersonation(&answer).at(email));
        }
        let acting: Acting = serde_json::from_slice(&answer.body).map_err(|_| NOT_A_TOKEN)?;
        Ok(Granted { pass: bearer(acting.access_token)?, lasts: Some(ACTING), renewable: false })
    }

    /// Asks Google's library who we are.
    async fn ambient(&self) -> Result<Granted<Pass>, Failure> {
        net::ring();
        let nobody =
            Failure::new(Kind::CredentialMissing, "the process has no identity that Google's library finds");
        let found = {
            let mut ambient = self.ambient.lock().unwrap_or_else(PoisonError::into_inner);
            match &*ambient {
                Some(found) => found.clone(),
                None => {
                    let found = Builder::default()
                        .with_scopes([SCOPE])
                        .build_access_token_credentials()
                        .map_err(|_| nobody)?;
                    ambient.insert(found).clone()
                }
            }
        };
        let late = Failure::new(Kind::Unavailable, "the identity of the process could not be had in time");
        match tokio::time::timeout(net::REQUEST, found.access_token()).await.map_err(|_| late)? {
            Ok(token) => Ok(Granted { pass: bearer(token.token)?, lasts: Some(AMBIENT), renewable: false }),
            Err(error) => {
                // Such a failure is its last word; another time it is asked anew.
                self.forget_ambient();
                let kind = if error.is_transient() { Kind::Unavailable } else { Kind::Unauthenticated };
                Err(Failure::new(kind, "the process was given no token for its own identity"))
            }
        }
    }
}

/// A login, and the connection that it may need.
struct Desk<'a> {
    login: &'a Login,
    link: &'a Link,
}

impl Door for Desk<'_> {
    type Pass = Pass;

    async fn log_in(&self) -> Result<Granted<Pass>, Failure> {
        match &self.login.origin {
            Origin::Ambient => self.login.ambient().await,
            Origin::Federated(it) => self.login.exchange(it, self.link).await,
            Origin::Key { name, key, regional } => self.login.sign(name, key, *regional).await,
        }
    }

    async fn renew(&self, _: &Pass) -> Result<Granted<Pass>, Failure> {
        self.log_in().await
    }
}

/// What is used of a service account's key file.
#[derive(Deserialize)]
struct KeyFile {
    #[serde(rename = "type")]
    kind: String,
    client_email: String,
    private_key_id: String,
    private_key: String,
    #[serde(default)]
    universe_domain: Option<String>,
}

/// What the token service gives.
#[derive(Deserialize)]
struct Exchanged {
    access_token: String,
    expires_in: u64,
}

/// What IAM credentials gives.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Acting {
    access_token: String,
}

/// The claims of a token that an account signs for itself.
///
/// Google takes one for an hour at most, and none from the future. So it begins before now, and is not used to its end:
/// a clock that is wrong by less than [`SKEW`] does no harm.
fn claims(email: &str, now: u64, regional: bool) -> serde_json::Value {
    let begins = now.saturating_sub(SKEW.as_secs());
    let mut claims = json!({"iss": email, "sub": email, "iat": begins, "exp": begins + LONGEST.as_secs()});
    // Good for nothing else. Only the global endpoint is documented to be an audience.
    if regional {
        claims["scope"] = SCOPE.into();
    } else {
        claims["aud"] = "https://secretmanager.googleapis.com/".into();
    }
    claims
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The header of a token, which is wiped where it was.
fn bearer(mut token: String) -> Result<HeaderValue, Failure> {
    let header = Zeroizing::new(format!("Bearer {token}"));
    token.zeroize();
    let mut header = HeaderValue::from_maybe_shared(wiped_bytes(header)).map_err(|_| NOT_A_TOKEN)?;
    header.set_sensitive(true);
    Ok(header)
}

fn wiped(text: String) -> reqwest::Body {
    wiped_bytes(Zeroizing::new(text)).into()
}

/// Bytes that are wiped when their last copy is dropped.
fn wiped_bytes(mut text: Zeroizing<String>) -> bytes::Bytes {
    bytes::Bytes::from_owner(Zeroizing::new(std::mem::take(&mut *text).into_bytes()))
}

fn below(base: &Url, path: &[&str]) -> Result<Url, Failure> {
    let mut url = base.clone();
    url.path_segments_mut()
        .map_err(|()| Failure::new(Kind::BadStore, "it is not a URL").at("stsEndpoint"))?
        .pop_if_empty()
        .extend(path);
    Ok(url)
}

/// Whether it can be the e-mail address of a service account, which becomes a part of a URL.
pub(super) fn is_email(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"-_.@".contains(&b);
    text.len() <= 320 && text.bytes().all(inner) && text.matches('@').count() == 1
}

const NOT_A_TOKEN: Failure = Failure::new(Kind::Unavailable, "the token service gave no token");
const NO_KEY: &str = "its private key is not an RSA key in PEM";
/// The only scope that Secret Manager knows.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const UNIVERSE: &str = "googleapis.com";
/// What names the Google service account of a ServiceAccount.
const ANNOTATION: &str = "iam.gke.io/gcp-service-account";
/// How far off our clock may be.
const SKEW: Duration = Duration::from_secs(12 * 60);
const LONGEST: Duration = Duration::from_secs(3600);
/// How long a token that we signed is used: what is left of the hour if the clock is off by as much, either way.
const SIGNED: Duration = Duration::from_secs(LONGEST.as_secs() - 2 * SKEW.as_secs());
/// How long one that acts as a Google service account is asked for.
const ACTING: Duration = LONGEST;
/// How long what Google's library gave is used before it is asked again. It renews four minutes before the end.
const AMBIENT: Duration = Duration::from_secs(60);
/// The least that the API server gives.
const ACCOUNT_SECONDS: u32 = 600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_token_stands_a_clock_that_is_ten_minutes_off() {
        let now = 1_800_000_000;
        let claims = claims("a@b.iam.gserviceaccount.com", now, false);
        let (iat, exp) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
        assert!(exp - iat <= 3600, "Google takes no more");
        let used_until = now + SIGNED.as_secs();
        for skew in [-600_i64, 0, 600] {
            assert!(iat <= now.saturating_add_signed(skew), "not from the future at {skew}");
            assert!(used_until.saturating_add_signed(skew) <= exp, "not over at {skew}");
        }
    }

    /// K16. What is sent to an endpoint is good for Secret Manager alone.
    /// Guard: `aud` in `claims`.
    #[test]
    fn a_signed_token_is_for_secret_manager() {
        let global = claims("a@b", 1_800_000_000, false);
        assert_eq!(
            (&global["aud"], global.get("scope")),
            (&json!("https://secretmanager.googleapis.com/"), None)
        );
        let regional = claims("a@b", 1_800_000_000, true);
        assert_eq!((&regional["scope"], regional.get("aud")), (&json!(SCOPE), None));
    }

    #[test]
    fn an_address_cannot_leave_its_place_in_a_url() {
        assert!(is_email("reader@shop-prod.iam.gserviceaccount.com"));
        for bad in ["", "reader", "a@b@c", "a/../b@c", "a@b:x", "a@b?x", "a@b c"] {
            assert!(!is_email(bad), "{bad}");
        }
    }

    #[test]
    fn no_token_is_shown() {
        let header = bearer("canary".to_owned()).unwrap();
        assert_eq!(header, "Bearer canary");
        assert!(!format!("{header:?}").contains("canary"));
        assert!(bearer("canary\n".to_owned()).is_err());
    }
}
