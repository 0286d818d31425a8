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
use waxwing_core::{
    external::StoreKind,
    store::{Failure, Kind},
};
use waxwing_crds::StoreProvider;

use crate::{
    Broker, References,
    broker::{Health, Observer},
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

/// The connections that there are. One for each key.
#[derive(Default)]
pub struct Clients(Mutex<Shelf<Broker>>);

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
        let make = || Ok(Broker::new(connect(provider, place, references)?, observer));
        self.lock().take(key, Instant::now(), distrusts, make)
    }

    /// Lets the connection of a store go that is no longer there.
    pub fn forget(&self, kind: StoreKind, uid: &str) {
        self.lock().0.remove(&(kind, uid.to_owned()));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Shelf<Broker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether whom the connection trusts may be out of date: it is read once, and the ConfigMaps that it is read from are not
/// watched.
fn distrusts(broker: &Broker) -> bool {
    matches!(&*broker.health().borrow(), Health::Sick(failure) if failure.kind == Kind::Untrusted)
}

/// One connection for each store, as long as everything that it was made from is as it was.
struct Shelf<T>(HashMap<(StoreKind, String), Kept<T>>);

struct Kept<T> {
    key: ClientKey,
    made: Instant,
    used: Instant,
    client: T,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Clone> Shelf<T> {
    fn take(
        &mut self,
        key: &ClientKey,
        now: Instant,
        is_stale: impl Fn(&T) -> bool,
        make: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if key.uid.is_empty() {
            // Nothing tells it from another one.
            return make();
        }
        let store = (key.kind, key.uid.clone());
        if let Some(kept) = self.0.get_mut(&store)
            && kept.key == *key
            && !(is_stale(&kept.client) && now.duration_since(kept.made) >= STALE)
        {
            kept.used = now;
            return Ok(kept.client.clone());
        }
        let client = make()?;
        self.0.retain(|_, kept| now.duration_since(kept.used) < IDLE);
        if self.0.len() >= MOST
            && !self.0.contains_key(&store)
            && let Some(oldest) =
                self.0.iter().min_by_key(|(_, kept)| kept.used).map(|(store, _)| store.clone())
        {
            self.0.remove(&oldest);
        }
        self.0.insert(store, Kept { key: key.clone(), made: now, used: now, client: client.clone() });
        Ok(client)
    }
}

/// How long a connection is kept that nobody uses: longer than objects usually wait for their next refresh.
const IDLE: Duration = Duration::from_secs(2 * 3600);
/// How often a connection that trusts nobody is made anew.
const STALE: Duration = Duration::from_secs(30);
/// So many are kept; beyond, the one that was used longest ago goes.
const MOST: usize = 1000;

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use serde_json::json;

    use super::*;
    use crate::{Rules, references::tests::Nothing};

    /// What tenants choose comes from few words, so that it is often the same. What the API server chooses is never.
    fn key() -> impl Strategy<Value = ClientKey> {
        let word = || prop::sample::select(vec!["", "a", "b", "a/b", "team-a", "1", "\0"]);
        let version = (word(), word()).prop_map(|(uid, resource_version)| Version {
            uid: uid.to_owned(),
            resource_version: resource_version.to_owned(),
        });
        let secrets =
            prop::collection::btree_map(word().prop_map(str::to_owned), prop::option::of(version), 0..3);
        let accounts = prop::collection::btree_set(word().prop_map(str::to_owned), 0..2);
        let kind = prop::sample::select(vec![StoreKind::SecretStore, StoreKind::ClusterSecretStore]);
        (kind, 0..3usize, 0..2i64, word(), secrets, accounts).prop_map(
            |(kind, uid, generation, namespace, secrets, service_accounts)| ClientKey {
                kind,
                uid: format!("uid-{uid}"),
                generation,
                namespace: namespace.to_owned(),
                secrets,
                service_accounts,
            },
        )
    }

    proptest! {
        /// K05: whatever names two tenants choose, neither gets a client that was made for the other, or from what the
        /// store said before.
        /// Guard: the comparison of the whole key in `Shelf::take`; without any one of its fields this fails.
        #[test]
        fn nobody_gets_a_client_that_was_made_for_another_key(keys in vec(key(), 1..40)) {
            let mut shelf = Shelf::default();
            let now = Instant::now();
            for key in &keys {
                let taken = shelf.take(key, now, |_| false, || Ok(Arc::new(key.clone()))).unwrap();
                prop_assert_eq!(&*taken, key);
                let again = shelf.take(key, now, |_| false, || Ok(Arc::new(key.clone()))).unwrap();
                prop_assert!(Arc::ptr_eq(&taken, &again));
            }
            prop_assert!(shelf.0.len() <= 6);
        }
    }

    fn plain(uid: &str) -> ClientKey {
        ClientKey {
            kind: StoreKind::SecretStore,
            uid: uid.to_owned(),
            generation: 1,
            namespace: "a".to_owned(),
            secrets: BTreeMap::new(),
            service_accounts: BTreeSet::new(),
        }
    }

    #[test]
    fn a_store_without_a_uid_shares_with_nobody() {
        let mut shelf = Shelf::default();
        let mut take = || shelf.take(&plain(""), Instant::now(), |_| false, || Ok(Arc::new(()))).unwrap();
        assert!(!Arc::ptr_eq(&take(), &take()));
        assert!(shelf.0.is_empty());
    }

    #[test]
    fn idle_clients_go_and_their_number_is_bounded() {
        let mut shelf = Shelf::default();
        let start = Instant::now();
        for number in 0..MOST + 10 {
            let at = start + Duration::from_millis(number as u64);
            shelf.take(&plain(&number.to_string()), at, |_| false, || Ok(number)).unwrap();
        }
        assert_eq!(shelf.0.len(), MOST);
        assert!(!shelf.0.contains_key(&(StoreKind::SecretStore, "9".to_owned())));
        assert!(shelf.0.contains_key(&(StoreKind::SecretStore, "10".to_owned())));
        shelf.take(&plain("new"), start + Duration::from_millis(500) + IDLE, |_| false, || Ok(0)).unwrap();
        assert_eq!(shelf.0.len(), MOST + 10 - 501 + 1);
    }

    #[test]
    fn a_client_that_trusts_nobody_is_made_anew_now_and_then() {
        let mut shelf = Shelf::default();
        let start = Instant::now();
        let mut take = |seconds, stale: bool, next: u8| {
            shelf.take(&plain("u"), start + Duration::from_secs(seconds), |_| stale, || Ok(next)).unwrap()
        };
        assert_eq!(take(0, false, 1), 1);
        assert_eq!(take(100, false, 2), 1);
        assert_eq!(take(100, true, 3), 3);
        assert_eq!(take(129, true, 4), 3);
        assert_eq!(take(130, true, 5), 5);
    }

    #[test]
    fn a_spec_that_makes_no_sense_leaves_what_there_is() {
        let mut shelf = Shelf::default();
        let now = Instant::now();
        assert_eq!(shelf.take(&plain("u"), now, |_| false, || Ok(1)).unwrap(), 1);
        let failure = Failure::new(Kind::BadStore, "x");
        let changed = ClientKey { generation: 2, ..plain("u") };
        assert_eq!(shelf.take(&changed, now, |_| false, || Err(failure.clone())), Err(failure));
        assert_eq!(shelf.take(&plain("u"), now, |_| false, || Ok(2)).unwrap(), 1);
    }

    #[tokio::test]
    async fn a_store_is_connected_to_once_until_it_is_forgotten() {
        let clients = Clients::default();
        let directory = tempfile::tempdir().unwrap();
        let provider: StoreProvider =
            serde_json::from_value(json!({"file": {"directory": directory.path()}})).unwrap();
        let place = Place {
            namespace: None,
            store: "s".to_owned(),
            ambient: true,
            rules: Rules::new(Default::default()),
        };
        let reach = || clients.reach(&plain("u"), &provider, &place, Arc::new(Nothing), Arc::new(()));
        let broker = reach().unwrap();
        assert_eq!(broker.check().await, Ok(()));
        // The same broker knows what the first one found out.
        assert_eq!(*reach().unwrap().health().borrow(), Health::Well);
        assert_eq!(clients.len(), 1);
        clients.forget(StoreKind::SecretStore, "u");
        assert!(clients.is_empty());
        assert_eq!(*reach().unwrap().health().borrow(), Health::Unknown);
    }
}
