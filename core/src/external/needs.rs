//! What an ExternalSecret asks for, and what came of it.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use waxwing_crds::StoreReference;

use crate::store::{Entry, Find, Read};

/// The two kinds of stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub enum StoreKind {
    /// Of the whole cluster; it grants namespaces their paths.
    ClusterSecretStore,
    /// Of the ExternalSecret's own namespace.
    #[default]
    SecretStore,
}

impl StoreKind {
    /// The word in manifests and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClusterSecretStore => "ClusterSecretStore",
            Self::SecretStore => "SecretStore",
        }
    }
}

impl From<waxwing_crds::StoreKind> for StoreKind {
    fn from(kind: waxwing_crds::StoreKind) -> Self {
        match kind {
            waxwing_crds::StoreKind::SecretStore => Self::SecretStore,
            waxwing_crds::StoreKind::ClusterSecretStore => Self::ClusterSecretStore,
        }
    }
}

impl From<StoreKind> for waxwing_crds::StoreKind {
    fn from(kind: StoreKind) -> Self {
        match kind {
            StoreKind::SecretStore => Self::SecretStore,
            StoreKind::ClusterSecretStore => Self::ClusterSecretStore,
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A store by kind and name. It has no namespace: that is the ExternalSecret's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub struct StoreRef {
    /// Its kind.
    pub kind: StoreKind,
    /// Its name.
    pub name: String,
}

impl fmt::Display for StoreRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// What a store is asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ask {
    /// All entries that match.
    Find(Find),
    /// One entry.
    Read(Read),
}

/// One thing that has to be fetched, whatever it is used for and however often.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Need {
    /// The stores to ask, the next one only when those before it are in trouble.
    pub stores: Vec<StoreRef>,
    /// What to ask.
    pub ask: Ask,
}

impl Need {
    /// The same for one consumer: what is issued to one object is never shared with another.
    #[must_use]
    pub fn of_consumer(mut self, uid: &str) -> Self {
        if let Ask::Read(read) = &mut self.ask {
            uid.clone_into(&mut read.consumer);
        }
        self
    }

    /// The same for nobody in particular, as answers are kept.
    fn of_nobody(self) -> Self {
        self.of_consumer("")
    }
}

/// What came of a need.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The entry that was read.
    Entry(Arc<Entry>),
    /// The entries that were found, by their key.
    Found(Vec<(String, Arc<Entry>)>),
}

/// The answers to the needs of one object.
#[derive(Clone, Debug, Default)]
pub struct Answers(BTreeMap<Need, Answer>);

impl Answers {
    /// Keeps an answer. Whether the need names its consumer makes no difference: all are of one object.
    pub fn insert(&mut self, need: Need, answer: Answer) {
        self.0.insert(need.of_nobody(), answer);
    }

    /// The answer to a need.
    #[must_use]
    pub fn get(&self, need: &Need) -> Option<&Answer> {
        match &need.ask {
            Ask::Read(read) if !read.consumer.is_empty() => self.0.get(&need.clone().of_nobody()),
            _ => self.0.get(need),
        }
    }
}

impl FromIterator<(Need, Answer)> for Answers {
    fn from_iter<I: IntoIterator<Item = (Need, Answer)>>(answers: I) -> Self {
        let mut kept = Self::default();
        answers.into_iter().for_each(|(need, answer)| kept.insert(need, answer));
        kept
    }
}

impl From<&StoreReference> for StoreRef {
    /// As a status names it.
    fn from(store: &StoreReference) -> Self {
        Self { kind: store.kind.map(StoreKind::from).unwrap_or_default(), name: store.name.clone() }
    }
}

impl From<&StoreRef> for StoreReference {
    fn from(store: &StoreRef) -> Self {
        Self { kind: Some(store.kind.into()), name: store.name.clone() }
    }
}
