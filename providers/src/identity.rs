//! Connections by the full identity that they are made with.
//!
//! A connection holds a login, so whoever gets one acts as whoever it was made for. The key therefore has all that decides
//! who that is: the store itself by its uid and generation, the namespace that its references lie in, and the uid and
//! version of every Secret among them. Names alone would let one tenant's store be taken for another's.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use waxwing_core::{external::StoreKind, store::Failure};
use waxwing_crds::StoreProvider;

use crate::{
    Broker, References,
    broker::Observer,
    connect::{Place, connect},
};

/// Who a connection is made for, and with what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey {
    /// The store's kind.
    pub kind: StoreKind,
    /// The store's uid.
    pub uid: String,
    /// The store's generation.
    pub generation: i64,
    /// Where its references lie.
    pub namespace: String,
    /// The Secrets that it refers to; none where one is not there, or not seen.
    pub secrets: BTreeMap<String, Option<Version>>,
    /// The ServiceAccounts that it refers to, by name: a token names its account's uid to the provider.
    pub service_accounts: BTreeSet<String>,
}

/// One state of one Secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Its uid.
    pub uid: String,
    /// Its resource version.
    pub resource_version: String,
}

/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(2 * 3600);
/// So many are kept; beyond, the one that was used longest ago goes.
const MOST: usize = 1000;

/// The connections that there are. One for each key.
#[derive(Default)]
pub struct Clients(Mutex<HashMap<ClientKey, Kept>>);

struct Kept {
    broker: Broker,
    used: Instant,
}

impl Clients {
    /// The connection for this key: the one that there is, or a new one. Making one asks nobody for anything.
    ///
    /// # Errors
    /// When the store's spec makes no sense.
    pub fn reach(
        &self,
        key: &ClientKey,
        provider: &StoreProvider,
        place: &Place,
        references: Arc<dyn References>,
        observer: Arc<dyn Observer>,
    ) -> Result<Broker, Failure> {
        let now = Instant::now();
        let mut kept = self.lock();
        if let Some(kept) = kept.get_mut(key) {
            kept.used = now;
            return Ok(kept.broker.clone());
        }
        let broker = Broker::new(connect(provider, place, references)?, observer);
        // What the same store was reached by before it, or a Secret of it, changed.
        kept.retain(|other, held| {
            (other.kind, &other.uid) != (key.kind, &key.uid) && now.duration_since(held.used) < IDLE
        });
        if kept.len() >= MOST
            && let Some(oldest) = kept.iter().min_by_key(|(_, held)| held.used).map(|(key, _)| key.clone())
        {
            kept.remove(&oldest);
        }
        kept.insert(key.clone(), Kept { broker: broker.clone(), used: now });
        Ok(broker)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClientKey, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
