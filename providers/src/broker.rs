//! One broker stands before each [`Provider`], and is all that consumers see of it.
//!
//! Reads of one entry by many objects are one request, and so are up to [`Provider::batch`] different ones. A broker keeps
//! to the provider's pace, stops asking one that is in trouble, and says when it is back.
//!
//! Nothing that one object asked for reaches another one but the answer to exactly the same question of the same account:
//! also failures are told to others without the place where they happened.

mod breaker;
mod call;
mod desk;
mod kept;
mod pace;

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot, watch};
use waxwing_core::store::{Entry, Failure, Find, Kind, Lease, Read};

use self::{
    call::{Answer, Ask},
    desk::{Desk, Order},
};
use crate::Provider;

pub use call::Call;

/// How old a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// A few seconds, so that objects that share it share the request.
    Shared,
    /// It must have been asked for after this call.
    Forced,
}

/// What a refresh found.
#[derive(Clone, Debug)]
pub enum Refreshed {
    /// The version that is known already.
    Same,
    /// Another one, or a provider that does not count versions.
    Changed(Arc<Entry>),
}

/// How the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nobody has asked yet.
    Unknown,
    /// It answered when it was last asked.
    Well,
    /// Asking it fails for everybody, in this way.
    Sick(Failure),
}

/// Is told about every request, for metrics.
pub trait Observer: Send + Sync {
    /// One request has ended: whose word is [`Provider::name`], what it was, what kind of failure it had if any, and how
    /// long it took.
    fn requested(&self, provider: &'static str, call: Call, outcome: Result<(), Kind>, duration: Duration);
}

/// Whoever wants no metrics.
impl Observer for () {
    fn requested(&self, _: &'static str, _: Call, _: Result<(), Kind>, _: Duration) {}
}

/// Stands before one provider. Clones share it; when the last one is dropped, whatever it was doing ends.
#[derive(Clone)]
pub struct Broker {
    orders: mpsc::UnboundedSender<Order>,
    health: watch::Receiver<Health>,
    large: Arc<Large>,
    name: &'static str,
}

impl Broker {
    /// Starts one. Must be called where tokio runs.
    #[must_use]
    pub fn new(provider: Arc<dyn Provider>, observer: Arc<dyn Observer>) -> Self {
        let (orders, taken) = mpsc::unbounded_channel();
        let (said, health) = watch::channel(Health::Unknown);
        let name = provider.name();
        tokio::spawn(Desk::new(provider, observer, taken, said).run());
        Self { orders, health, large: Arc::default(), name }
    }

    /// The provider's word in metrics and messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// One value. Who gives up waiting for it stops nothing that others wait for too.
    ///
    /// # Errors
    /// The provider's, or at once the last one while the store is sick.
    pub async fn read(&self, read: &Read, freshness: Freshness) -> Result<Arc<Entry>, Failure> {
        match self.ask(Ask::Read(read.clone()), freshness).await? {
            Answer::Entry(entry) => {
                self.large.note(read, entry.value.len() > LARGE);
                Ok(entry)
            }
            _ => Err(LOST),
        }
    }

    /// One value, unless its version is still the known one. Where the value is large, its version is asked for first.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub async fn refresh(
        &self,
        read: &Read,
        known: &str,
        freshness: Freshness,
    ) -> Result<Refreshed, Failure> {
        if self.large.has(read) {
            match self.ask(Ask::Version(read.clone()), freshness).await {
                Ok(Answer::Version(Some(version))) if version == known => return Ok(Refreshed::Same),
                Err(failure) if failure.kind.is_outage() => return Err(failure),
                // Another version, or none can be had: perhaps versions need a permission of their own.
                _ => {}
            }
        }
        let entry = self.read(read, freshness).await?;
        if entry.version.as_deref() == Some(known) {
            Ok(Refreshed::Same)
        } else {
            Ok(Refreshed::Changed(entry))
        }
    }

    /// The keys that match, sorted.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub async fn find(&self, find: &Find, freshness: Freshness) -> Result<Arc<[String]>, Failure> {
        match self.ask(Ask::Find(find.clone()), freshness).await? {
            Answer::Keys(keys) => Ok(keys),
            _ => Err(LOST),
        }
    }

    /// Whether the provider is there and takes the credentials, now.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub async fn check(&self) -> Result<(), Failure> {
        self.ask(Ask::Check, Freshness::Forced).await.map(drop)
    }

    /// Prolongs a lease, and says what it is now.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub async fn renew(&self, lease: &Lease) -> Result<Lease, Failure> {
        match self.ask(Ask::Renew(lease.clone()), Freshness::Forced).await? {
            Answer::Lease(lease) => Ok(lease),
            _ => Err(LOST),
        }
    }

    /// Ends a lease, and with it the credentials.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub async fn revoke(&self, lease_id: &str) -> Result<(), Failure> {
        self.ask(Ask::Revoke(lease_id.to_owned()), Freshness::Forced).await.map(drop)
    }

    /// Renews the login itself. Says in how many seconds to call again, or `None` when there is nothing to renew.
    pub async fn keep_alive(&self) -> Option<u64> {
        match self.ask(Ask::KeepAlive, Freshness::Forced).await {
            Ok(Answer::Alive(seconds)) => seconds,
            _ => Some(AGAIN),
        }
    }

    /// How the store is, and how it will be: whoever gave up on a sick store waits for this to change.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    async fn ask(&self, ask: Ask, freshness: Freshness) -> Result<Answer, Failure> {
        let (reply, answer) = oneshot::channel();
        // Neither can fail while the desk is there, and it is there as long as this sender.
        let _ = self.orders.send(Order { ask, freshness, reply });
        answer.await.unwrap_or(Err(LOST))
    }
}

/// Which reads gave a large value when they were last made. Bounded, and without the keys: a false hit costs one look at a
/// version.
#[derive(Default)]
struct Large {
    hashes: Mutex<HashSet<u64>>,
    state: RandomState,
}

impl Large {
    fn note(&self, read: &Read, large: bool) {
        let hash = self.state.hash_one(read);
        let mut hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        if !large {
            hashes.remove(&hash);
        } else if hashes.len() < MOST_LARGE {
            hashes.insert(hash);
        }
    }

    fn has(&self, read: &Read) -> bool {
        let hash = self.state.hash_one(read);
        self.hashes.lock().unwrap_or_else(PoisonError::into_inner).contains(&hash)
    }
}

/// The request ended without an answer, which only a defect can do.
const LOST: Failure = Failure::new(Kind::Unavailable, "the request ended without an answer");
/// From this size on, asking for the version first costs less than reading: a request more now and then, against as many
/// kilobytes each time.
const LARGE: usize = 16 * 1024;
const MOST_LARGE: usize = 8192;
/// In how many seconds to try again to keep a login alive, when that could not be asked.
const AGAIN: u64 = 5;

#[cfg(test)]
mod tests;
