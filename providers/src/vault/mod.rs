//! HashiCorp Vault and OpenBao: key/value entries, and credentials that are made when they are asked for.
//!
//! One login serves all readers of a store (`session`). A request that is refused is followed by the question whether the
//! token still lives; if it does not, there is one new login and one more try. A missing entry is reported as missing only
//! when Vault says so in the one form that means it, and the mount is what the store says.

mod answer;
mod dynamic;
mod find;
mod kv;
mod location;
mod login;
mod refusal;
mod settings;
mod transit;
mod wire;

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::future::join_all;
use reqwest::header::{HeaderMap, HeaderValue};
use rustify::endpoint::Endpoint;
use serde::Deserialize;
use vaultrs::api::sys::requests::ReadHealthRequest;
use waxwing_core::{
    Secret,
    store::{Entry, Failure, Find, Kind, Lease, Read},
};
use waxwing_crds::VaultProvider;
use zeroize::Zeroizing;

pub use self::transit::protector;
use self::{
    answer::Answer,
    location::Location,
    login::Pass,
    settings::{Auth, Engine, SecretKey, Settings},
    wire::{INCONSISTENT, INDEX, Wire},
};
use crate::{
    Provider, References,
    connect::Place,
    net::{self, Rules},
    session::{Session, Sessions},
};

/// Makes the provider of a Vault store. Nothing is sent and no Secret is read before it is first used.
///
/// # Errors
/// `BadStore` when the spec makes no sense, `EndpointRefused` when it may not name the server.
pub fn connect(
    spec: &VaultProvider,
    place: &Place,
    references: Arc<dyn References>,
) -> Result<Arc<dyn Provider>, Failure> {
    Ok(Arc::new(Vault::new(spec, place, references)?))
}

/// One Vault server, with one way to log in.
struct Vault {
    settings: Settings,
    references: Arc<dyn References>,
    rules: Arc<Rules>,
    /// The connections, and what they were made from. A login that finds it changed makes new ones.
    wire: tokio::sync::Mutex<Option<(Material, Arc<Wire>)>>,
    sessions: Sessions<Pass>,
    /// How far the last answer had got.
    index: Mutex<Option<HeaderValue>>,
}

/// What a connection is made from that can change.
struct Material {
    ca: Option<Vec<u8>>,
    identity: Option<Secret>,
}

impl Material {
    fn same_as(&self, other: &Self) -> bool {
        let identity = match (&self.identity, &other.identity) {
            (Some(one), Some(other)) => one.same_as(other),
            (None, None) => true,
            _ => false,
        };
        identity && self.ca == other.ca
    }
}

#[async_trait]
impl Provider for Vault {
    fn name(&self) -> &'static str {
        "vault"
    }

    async fn read(&self, reads: &[Read]) -> Vec<Result<Entry, Failure>> {
        join_all(reads.iter().map(|read| self.read_one(read))).await
    }

    async fn version(&self, read: &Read) -> Option<Result<String, Failure>> {
        if self.settings.engine != Engine::Kv2 || read.metadata {
            return None;
        }
        let location = match self.locate(&read.key) {
            Ok(location) => location,
            Err(failure) => return Some(Err(failure)),
        };
        let session = match self.live().await {
            Ok(session) => session,
            Err(failure) => return Some(Err(failure)),
        };
        if session.pass.may_not_see_versions() {
            return None;
        }
        match self.version_of(&location, read.version.as_deref()).await {
            // A policy may allow the value and not what is told about it.
            Err(failure) if failure.kind == Kind::Forbidden => {
                session.pass.give_up_versions();
                None
            }
            Err(failure) => Some(Err(placed(failure, || read.key.clone()))),
            Ok(version) => version.map(Ok),
        }
    }

    async fn find(&self, find: &Find) -> Result<Vec<String>, Failure> {
        let place = || find.path.as_deref().or(self.settings.mount.as_deref()).unwrap_or_default().to_owned();
        self.find_entries(find).await.map_err(|failure| placed(failure, place))
    }

    async fn check(&self) -> Result<(), Failure> {
        let session = self.live().await?;
        let answer = self.look_up(&session.pass).await?;
        // It may be good, and not allowed to look at itself.
        if answer.status == 403 && answer.says(INVALID_TOKEN) {
            self.sessions.forget(&session);
            self.live().await?;
        } else if !answer.is_ok() && answer.status != 403 {
            return Err(refusal::of_answer(&answer));
        }
        match &self.settings.mount {
            Some(mount) => self.check_mount(mount).await,
            None => Ok(()),
        }
    }

    async fn renew(&self, lease: &Lease) -> Result<Lease, Failure> {
        self.renew_lease(lease).await
    }

    async fn revoke(&self, lease_id: &str) -> Result<(), Failure> {
        self.revoke_lease(lease_id).await
    }

    async fn keep_alive(&self) -> Option<u64> {
        match self.live().await {
            Ok(session) => session.until_due().map(|due| due.as_secs().saturating_add(1)),
            Err(_) => Some(KEEP_TRYING),
        }
    }
}

impl Vault {
    fn new(spec: &VaultProvider, place: &Place, references: Arc<dyn References>) -> Result<Self, Failure> {
        Ok(Self {
            settings: Settings::read(spec, place)?,
            references,
            rules: place.rules.clone(),
            wire: tokio::sync::Mutex::default(),
            sessions: Sessions::default(),
            index: Mutex::default(),
        })
    }

    async fn read_one(&self, read: &Read) -> Result<Entry, Failure> {
        let result = match self.settings.engine {
            Engine::Dynamic => self.issue(read).await,
            Engine::Kv1 | Engine::Kv2 => self.read_kv(read).await,
        };
        result.map_err(|failure| placed(failure, || read.key.clone()))
    }

    fn locate(&self, key: &str) -> Result<Location, Failure> {
        Location::of(self.settings.mount.as_deref(), self.settings.engine, self.settings.one_spelling, key)
    }

    /// A login that holds.
    async fn live(&self) -> Result<Arc<Session<Pass>>, Failure> {
        self.sessions.live(self).await
    }

    /// Sends a request, with a new login if the last one has ended before its time.
    ///
    /// # Errors
    /// All that is neither an answer nor a 404, of which there are several kinds.
    async fn ask<E: Endpoint>(&self, endpoint: &E) -> Result<Answer, Failure> {
        self.ask_with(endpoint).await.map(|(answer, _)| answer)
    }

    /// As [`Vault::ask`], with the login that the answer came from.
    async fn ask_with<E: Endpoint>(&self, endpoint: &E) -> Result<(Answer, Arc<Session<Pass>>), Failure> {
        let session = self.live().await?;
        let answer = self.send_with(&session.pass, endpoint).await?;
        let (answer, session) = if answer.status == 403 && self.has_ended(&session, &answer).await? {
            self.sessions.forget(&session);
            let session = self.live().await?;
            (self.send_with(&session.pass, endpoint).await?, session)
        } else {
            (answer, session)
        };
        if answer.is_ok() || answer.status == 404 {
            Ok((answer, session))
        } else {
            Err(refusal::of_answer(&answer))
        }
    }

    /// Whether a refused request means that the token is no longer good: revoked, used up, or expired by Vault's clock.
    async fn has_ended(&self, session: &Session<Pass>, answer: &Answer) -> Result<bool, Failure> {
        if answer.says(INVALID_TOKEN) {
            return Ok(true);
        }
        let looked = self.look_up(&session.pass).await?;
        Ok(match looked.status {
            // Older versions of Vault say no more than this. A token that may not look at itself says it too: so a login that is
            // new is believed.
            403 => looked.says(INVALID_TOKEN) || !session.is_new(),
            _ if looked.is_ok() => false,
            _ => return Err(refusal::of_answer(&looked)),
        })
    }

    /// The connections, made anew if a certificate has changed.
    async fn connect(&self) -> Result<Arc<Wire>, Failure> {
        let login_identity = match &self.settings.auth {
            Auth::Login { identity, .. } => identity.as_ref(),
            Auth::Token(_) => None,
        };
        let identity = match login_identity.or(self.settings.identity.as_ref()) {
            Some((cert, key)) => Some(self.identity(cert, key).await?),
            None => None,
        };
        let Settings { ca_bundle, ca_provider, .. } = &self.settings;
        let ca = net::authorities(ca_bundle.as_deref(), ca_provider.as_ref(), &*self.references).await?;
        let material = Material { ca, identity };
        let mut wire = self.wire.lock().await;
        if let Some((made_from, wire)) = &*wire
            && made_from.same_as(&material)
        {
            return Ok(wire.clone());
        }
        let trust = net::Trust {
            ca_pem: material.ca.clone(),
            // To be presented.
            identity_pem: material.identity.as_ref().map(|pem| Zeroizing::new(pem.expose().to_vec())),
        };
        let mut builder = net::client_builder(&self.rules, &trust)?;
        if self.settings.server.scheme() == "http" {
            // Without this it would want the system's CAs, which may not be there, and are not needed.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|_| {
            Failure::new(
                Kind::BadStore,
                "no client can be made: a certificate does not fit its key, or the system trusts no CA",
            )
        })?;
        let made = Arc::new(Wire::new(client, self.settings.server.clone()));
        *wire = Some((material, made.clone()));
        Ok(made)
    }

    /// A certificate and its key, as one PEM.
    async fn identity(&self, cert: &SecretKey, key: &SecretKey) -> Result<Secret, Failure> {
        let cert = self.references.secret(&cert.name, &cert.key).await?;
        let key = self.references.secret(&key.name, &key.key).await?;
        let mut pem = Vec::with_capacity(cert.len() + key.len() + 1);
        for (part, end) in [(cert, &b"\n"[..]), (key, b"")] {
            // To be presented.
            pem.extend_from_slice(part.expose());
            pem.extend_from_slice(end);
        }
        Ok(Secret::new(pem))
    }

    /// The headers of every request.
    fn common_headers(&self) -> HeaderMap {
        let mut headers = self.settings.headers.clone();
        if self.settings.read_your_writes
            && let Some(index) = &*self.index.lock().unwrap_or_else(PoisonError::into_inner)
        {
            headers.insert(INDEX, index.clone());
            if self.settings.forward_inconsistent {
                headers.insert(INCONSISTENT, HeaderValue::from_static("forward-active-node"));
            }
        }
        headers
    }

    fn remember_index(&self, answer: &Answer) {
        if let Some(index) = &answer.index {
            *self.index.lock().unwrap_or_else(PoisonError::into_inner) = Some(index.clone());
        }
    }

    /// A 503 can be many things. Whether Vault is sealed it tells everybody.
    async fn refuse_sealed(&self, wire: &Wire, answer: &Answer) -> Result<(), Failure> {
        if answer.status != 503 {
            return Ok(());
        }
        // No namespace and no token: this is asked of the server as a whole.
        let health = wire.send(&ReadHealthRequest::default(), HeaderMap::new()).await;
        let sealed = health.is_ok_and(|health| {
            serde_json::from_slice(&health.body).is_ok_and(|health: Health| health.sealed)
        });
        if sealed { Err(refusal::sealed()) } else { Ok(()) }
    }
}

/// What Vault tells everybody about itself.
#[derive(Deserialize)]
struct Health {
    sealed: bool,
}

/// The failure, with a place if it has none yet.
fn placed(failure: Failure, place: impl FnOnce() -> String) -> Failure {
    if failure.place.is_some() { failure } else { failure.at(place()) }
}

/// How Vault tells a token that it does not know from one that may not do something; older versions do not.
const INVALID_TOKEN: &str = "invalid token";
/// Seconds until a login that failed is tried again for those who need it to stay alive.
const KEEP_TRYING: u64 = 30;
