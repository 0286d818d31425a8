//! Secrets of one namespace, of this cluster or another one, under that side's RBAC.
//!
//! The key is a Secret's name, and the value a JSON object of its data: text as it is, anything else in base64, since JSON
//! has no bytes. The key `name/key` is one value of it, byte for byte. The version is the Secret's `resourceVersion`.
//! Requests name the one namespace that the store names; nothing is ever asked of all of them.

mod answer;
mod kubeconfig;
mod ring;
mod settings;
mod wire;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use waxwing_core::{
    external::Pattern,
    store::{Entry, Failure, Find, Kind, Read},
};
use waxwing_crds::KubernetesProvider;

pub use self::ring::key_ring;
use self::{
    answer::{Metadata, Page},
    settings::{Name, Settings},
    wire::{Reply, Wire},
};
use crate::{
    Pace, Place, Provider, References,
    session::{Door, Granted, Sessions},
};

/// Makes the provider.
///
/// # Errors
/// When the spec makes no sense, or names a server that may not be reached.
pub fn connect(
    spec: &KubernetesProvider,
    place: &Place,
    references: Arc<dyn References>,
) -> Result<Arc<dyn Provider>, Failure> {
    let settings = Settings::read(spec, place)?;
    Ok(Arc::new(Kubernetes { settings, place: place.clone(), references, sessions: Sessions::default() }))
}

struct Kubernetes {
    settings: Settings,
    place: Place,
    references: Arc<dyn References>,
    sessions: Sessions<Arc<Wire>>,
}

impl Door for Kubernetes {
    type Pass = Arc<Wire>;

    async fn log_in(&self) -> Result<Granted<Arc<Wire>>, Failure> {
        let (access, seconds) = self.settings.log_in(&self.place, &*self.references).await?;
        let pass = Arc::new(Wire::new(access, &self.place.rules)?);
        Ok(Granted { pass, lasts: seconds.map(Duration::from_secs), renewable: false })
    }

    /// Tokens are made anew.
    async fn renew(&self, _: &Arc<Wire>) -> Result<Granted<Arc<Wire>>, Failure> {
        self.log_in().await
    }
}

#[async_trait]
impl Provider for Kubernetes {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    fn pace(&self) -> Pace {
        Pace { per_second: 50, burst: 200 }
    }

    async fn read(&self, reads: &[Read]) -> Vec<Result<Entry, Failure>> {
        let mut answers = Vec::with_capacity(reads.len());
        for read in reads {
            answers.push(self.entry(read).await.map_err(|failure| match failure.place {
                Some(_) => failure,
                None => failure.at(&read.key),
            }));
        }
        answers
    }

    async fn version(&self, read: &Read) -> Option<Result<String, Failure>> {
        Some(async { Ok(self.metadata(&Name::read(&read.key)?).await?.resource_version) }.await)
    }

    async fn find(&self, find: &Find) -> Result<Vec<String>, Failure> {
        if find.path.is_some() {
            return Err(Failure::new(Kind::Unsupported, "Secrets have no paths").at("path"));
        }
        let pattern = match &find.name {
            Some(text) => Some(Pattern::new(text).ok_or_else(|| {
                Failure::new(Kind::Rejected, "it is not a regular expression that is supported")
                    .at("name.regexp")
            })?),
            None => None,
        };
        let wanted = |metadata: &Metadata| {
            pattern.as_ref().is_none_or(|pattern| pattern.is_match(&metadata.name))
                && find.tags.iter().all(|(key, value)| metadata.labels.get(key) == Some(value))
        };
        let mut keys = Vec::new();
        let mut next = Some(String::new());
        for _ in 0..PAGES {
            let Some(token) = next.take() else { break };
            let page = self.page(&token).await?;
            keys.extend(page.items.into_iter().filter(wanted).map(|metadata| metadata.name));
            next = page.next;
        }
        if next.is_some() {
            return Err(Failure::new(Kind::TooLarge, "the namespace has more than 10000 Secrets"));
        }
        keys.sort();
        Ok(keys)
    }

    /// Every request with credentials is refused when they are not accepted, also one that needs no permission.
    async fn check(&self) -> Result<(), Failure> {
        let reply = self.ask("/version", wire::JSON).await?;
        if reply.status == 200 { Ok(()) } else { Err(reply.failure("get", None)) }
    }
}

impl Kubernetes {
    async fn entry(&self, read: &Read) -> Result<Entry, Failure> {
        if read.version.is_some() {
            return Err(Failure::new(Kind::Unsupported, "Kubernetes keeps no earlier versions"));
        }
        if !read.parameters.is_empty() {
            return Err(Failure::new(Kind::Unsupported, "Secrets take no parameters"));
        }
        let name = Name::read(&read.key)?;
        if read.metadata {
            if name.key.is_some() {
                return Err(Failure::new(Kind::Rejected, "labels are those of a Secret, not of a key in it"));
            }
            let metadata = self.metadata(&name).await?;
            let version = Some(metadata.resource_version.clone());
            return Ok(Entry { value: metadata.json()?, version, lease: None });
        }
        let reply = self.get(&name, wire::JSON).await?;
        answer::entry(&reply.body, name.key.as_deref())
    }

    async fn metadata(&self, name: &Name) -> Result<Metadata, Failure> {
        answer::metadata(&self.get(name, wire::METADATA).await?.body)
    }

    async fn get(&self, name: &Name, accept: &'static str) -> Result<Reply, Failure> {
        let path = format!("/api/v1/namespaces/{}/secrets/{}", self.settings.namespace, name.secret);
        let reply = self.ask(&path, accept).await?;
        if reply.status == 200 { Ok(reply) } else { Err(reply.failure("get", Some(&name.secret))) }
    }

    async fn page(&self, next: &str) -> Result<Page, Failure> {
        let mut path = format!("/api/v1/namespaces/{}/secrets?limit={PAGE}", self.settings.namespace);
        if !next.is_empty() {
            path.push_str("&continue=");
            path.push_str(next);
        }
        let reply = self.ask(&path, wire::METADATA_LIST).await?;
        if reply.status == 200 { answer::page(&reply.body) } else { Err(reply.failure("list", None)) }
    }

    /// One request, with one more login when the first one is no longer accepted.
    async fn ask(&self, path: &str, accept: &'static str) -> Result<Reply, Failure> {
        let session = self.sessions.live(self).await?;
        let reply = session.pass.get(path, accept).await?;
        if reply.status != 401 {
            return Ok(reply);
        }
        self.sessions.forget(&session);
        self.sessions.live(self).await?.pass.get(path, accept).await
    }
}

/// Secrets in one answer of a search, and answers.
const PAGE: usize = 500;
const PAGES: usize = 20;
