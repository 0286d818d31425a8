//! What is asked of a provider, and one request of it with its time limit and its one second try.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};
use waxwing_core::store::{Entry, Failure, Find, Kind, Lease, Read};

use super::Observer;
use crate::{Provider, net};

/// What a request was, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Call {
    /// Whether the provider is there.
    Check,
    /// A search for keys.
    Find,
    /// Renewing the login.
    KeepAlive,
    /// One or more values.
    Read,
    /// Prolonging a lease.
    Renew,
    /// Ending a lease.
    Revoke,
    /// The version of a value.
    Version,
}

impl Call {
    /// Every call, in the order of documents.
    pub const ALL: [Self; 7] =
        [Self::Check, Self::Find, Self::KeepAlive, Self::Read, Self::Renew, Self::Revoke, Self::Version];

    /// The word in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Find => "find",
            Self::KeepAlive => "keep_alive",
            Self::Read => "read",
            Self::Renew => "renew",
            Self::Revoke => "revoke",
            Self::Version => "version",
        }
    }
}

/// One question.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Ask {
    Check,
    Find(Find),
    KeepAlive,
    Read(Read),
    Renew(Lease),
    Revoke(String),
    Version(Read),
}

impl Ask {
    /// Whether one answer is good for everybody who asks the same. Credentials that are made for one object are not, and
    /// neither is what changes something.
    pub(super) fn shareable(&self) -> bool {
        match self {
            Self::Check | Self::Find(_) | Self::Version(_) => true,
            Self::Read(read) => read.consumer.is_empty() && read.parameters.is_empty(),
            Self::KeepAlive | Self::Renew(_) | Self::Revoke(_) => false,
        }
    }

    pub(super) const fn call(&self) -> Call {
        match self {
            Self::Check => Call::Check,
            Self::Find(_) => Call::Find,
            Self::KeepAlive => Call::KeepAlive,
            Self::Read(_) => Call::Read,
            Self::Renew(_) => Call::Renew,
            Self::Revoke(_) => Call::Revoke,
            Self::Version(_) => Call::Version,
        }
    }
}

/// One answer. Clones share the value.
#[derive(Clone)]
pub(super) enum Answer {
    Alive(Option<u64>),
    Done,
    Entry(Arc<Entry>),
    Keys(Arc<[String]>),
    Lease(Lease),
    Version(Option<String>),
}

impl Answer {
    /// About how many bytes keeping it takes.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Alive(_) | Self::Done => 0,
            Self::Entry(entry) => entry.value.len(),
            Self::Keys(keys) => keys.iter().map(String::len).sum(),
            Self::Lease(lease) => lease.id.len(),
            Self::Version(version) => version.as_ref().map_or(0, String::len),
        }
    }
}

/// Makes one request for all of these, which are of one call, and for what failed a second one if that is likely to
/// help. One answer for each, in their order.
pub(super) async fn request(
    provider: Arc<dyn Provider>,
    observer: Arc<dyn Observer>,
    asks: Vec<Arc<Ask>>,
    twice: bool,
) -> Vec<Result<Answer, Failure>> {
    let began = Instant::now();
    let mut answers = attempt(&*provider, &*observer, &asks).await;
    // A request that took long has used up its callers' patience.
    let again: Vec<usize> = (0..asks.len())
        .filter(|&at| twice && began.elapsed() < QUICK && asks[at].shareable() && may_pass(&answers[at]))
        .collect();
    if !again.is_empty() {
        sleep(PAUSE.mul_f64(1.0 + 2.0 * fastrand::f64())).await;
        let once_more: Vec<_> = again.iter().map(|&at| Arc::clone(&asks[at])).collect();
        for (at, answer) in again.into_iter().zip(attempt(&*provider, &*observer, &once_more).await) {
            answers[at] = answer;
        }
    }
    answers
}

/// Whether the failure is one that is often over a moment later: the connection's, or the server's own.
fn may_pass(answer: &Result<Answer, Failure>) -> bool {
    matches!(answer, Err(failure) if failure.kind == Kind::Unavailable && failure.code.is_none_or(|code| code >= 500))
}

async fn attempt(
    provider: &dyn Provider,
    observer: &dyn Observer,
    asks: &[Arc<Ask>],
) -> Vec<Result<Answer, Failure>> {
    let Some(first) = asks.first() else { return Vec::new() };
    let limit = if matches!(**first, Ask::Find(_)) { FIND } else { net::REQUEST + Duration::from_secs(1) };
    let began = Instant::now();
    let late = Failure::new(Kind::Unavailable, "no answer came in time");
    let mut answers =
        timeout(limit, put(provider, asks)).await.unwrap_or_else(|_| vec![Err(late); asks.len()]);
    answers.resize(asks.len(), Err(Failure::new(Kind::BadData, "the provider left out an answer")));
    let failed = answers.iter().all(Result::is_err);
    let outcome = match answers.first() {
        Some(Err(failure)) if failed => Err(failure.kind),
        _ => Ok(()),
    };
    // A provider that has no versions was not asked for one.
    if !matches!(answers[..], [Ok(Answer::Version(None))]) {
        observer.requested(provider.name(), first.call(), outcome, began.elapsed());
    }
    answers
}

async fn put(provider: &dyn Provider, asks: &[Arc<Ask>]) -> Vec<Result<Answer, Failure>> {
    let reads: Vec<Read> = asks
        .iter()
        .filter_map(|ask| match &**ask {
            Ask::Read(read) => Some(read.clone()),
            _ => None,
        })
        .collect();
    if !reads.is_empty() {
        let answers = provider.read(&reads).await;
        return answers.into_iter().map(|answer| Ok(Answer::Entry(Arc::new(answer?)))).collect();
    }
    let mut answers = Vec::with_capacity(asks.len());
    for ask in asks {
        answers.push(match &**ask {
            Ask::Check => provider.check().await.map(|()| Answer::Done),
            Ask::Find(find) => provider.find(find).await.map(|keys| Answer::Keys(keys.into())),
            Ask::KeepAlive => Ok(Answer::Alive(provider.keep_alive().await)),
            Ask::Read(_) => Err(Failure::new(Kind::Unsupported, "reads are asked for together")),
            Ask::Renew(lease) => provider.renew(lease).await.map(Answer::Lease),
            Ask::Revoke(id) => provider.revoke(id).await.map(|()| Answer::Done),
            Ask::Version(read) => provider.version(read).await.transpose().map(Answer::Version),
        });
    }
    answers
}

/// A second try comes only after a first one that failed at once.
const QUICK: Duration = Duration::from_secs(2);
/// The second try comes 50 to 150 ms after the first.
const PAUSE: Duration = Duration::from_millis(50);
/// A search may take many requests, each with a time limit of its own.
const FIND: Duration = Duration::from_secs(60);
