//! Fetches what an ExternalSecret needs: from the first store of its list that is not in trouble.
//!
//! The operator and `waxwing render` differ in where stores come from, and in nothing else: see [`Stores`].

use std::{collections::BTreeMap, fmt};

use async_trait::async_trait;
use futures::future::join_all;
use waxwing_core::{
    Secret,
    external::{
        Answer, Answers, Ask, Grants, Need, Spec, StoreRef, assemble,
        plan::{Cause, Fetch, Fetched, Input, entry_status},
    },
    store::{Entry, Failure, Kind, Lease, Read},
};
use waxwing_crds::{EntryStatus, Reason, StoreProvider, VaultEngine};

use crate::{
    Broker,
    broker::{Freshness, Refreshed},
};

/// Gives connections to the stores that objects of one namespace name.
#[async_trait]
pub trait Stores: Sync {
    /// A connection to the store of this name.
    ///
    /// # Errors
    /// When there is no such store, or it makes no sense.
    async fn reach(&self, store: &StoreRef) -> Result<Reached, Refused>;

    /// Is told that a store was in trouble, so that the next one is asked.
    fn passed_over(&self, store: &StoreRef) {
        let _ = store;
    }
}

/// Why a store gives nothing, in words that are safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The reason that conditions, events and metrics carry.
    pub reason: Reason,
    /// What is wrong.
    pub message: String,
    /// Whether another store may be asked instead.
    pub outage: bool,
    /// Whether the provider has said positively that the entry does not exist.
    pub missing: bool,
}

impl Refused {
    /// A refusal that no other store can make good.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), outage: false, missing: false }
    }

    /// A provider's failure, at a store.
    pub fn of(store: &impl fmt::Display, failure: &Failure) -> Self {
        Self {
            reason: failure.reason(),
            message: format!("{store}: {failure}"),
            outage: failure.kind.is_outage(),
            missing: failure.kind == Kind::EntryMissing,
        }
    }
}

/// What a ClusterSecretStore grants, and to whom it is at the moment.
#[derive(Clone, Debug)]
pub struct Granted {
    /// All its grants.
    pub grants: Grants,
    /// The namespace of the object that asks.
    pub namespace: String,
    /// That namespace's labels.
    pub labels: BTreeMap<String, String>,
}

/// A store that can be asked.
#[derive(Clone)]
pub struct Reached {
    /// The way to it.
    pub broker: Broker,
    /// Whether what it gives belongs to one object each; see [`is_dynamic`].
    pub dynamic: bool,
    /// What it grants; none for a SecretStore, which is for its own namespace.
    pub granted: Option<Granted>,
}

impl Reached {
    /// Whether the store lets the namespace ask this.
    fn permits(&self, need: &Need) -> bool {
        let permits =
            |Granted { grants, namespace, labels }: &Granted| grants.permits(namespace, labels, &need.ask);
        self.granted.as_ref().is_none_or(permits)
    }

    /// Whether it lets the namespace read an entry that was found.
    fn permits_key(&self, key: &str) -> bool {
        let permits =
            |Granted { grants, namespace, labels }: &Granted| grants.permits_key(namespace, labels, key);
        self.granted.as_ref().is_none_or(permits)
    }

    /// What to ask in the place of this need.
    fn ask(&self, need: &Need, uid: &str) -> Ask {
        if self.dynamic { need.clone().of_consumer(uid).ask } else { need.ask.clone() }
    }
}

/// Whether what this provider gives is issued anew for everybody who asks.
#[must_use]
pub fn is_dynamic(provider: &StoreProvider) -> bool {
    let vault = provider.vault.as_ref();
    vault.is_some_and(|vault| vault.engine == Some(VaultEngine::Dynamic))
}

/// Fetches everything, or finds that nothing has changed.
pub async fn fetch(stores: &dyn Stores, input: &Input<'_>, fetch: &Fetch) -> Fetched {
    let freshness = if fetch.cause == Cause::Forced { Freshness::Forced } else { Freshness::Shared };
    // Outside of a cluster objects are told apart by their names.
    let named = format!("{}/{}", input.object.namespace, input.object.name);
    let object = Object {
        stores,
        namespace: input.object.namespace,
        uid: if input.object.uid.is_empty() { &named } else { input.object.uid },
        freshness,
        now: input.now,
    };
    let needs = fetch.spec.needs(object.uid);
    if let Some(known) = fetch.known(input)
        && let Some(entries) = object.still(&needs, known, fetch.cause, input).await
    {
        return Fetched::Same(entries);
    }
    match object.all(&needs).await {
        Ok((answers, entries, store)) => Fetched::Values { answers, entries, store },
        Err(Refused { reason, message, missing, .. }) => {
            Fetched::Failed { reason, message, all_missing: missing }
        }
    }
}

/// One value that an injection refers to, as an ExternalSecret with nothing but this key would have it, and its version.
///
/// # Errors
/// Why there is none, in words that are safe to show.
pub async fn value(
    stores: &dyn Stores,
    asker: &Asker<'_>,
    spec: &Spec,
) -> Result<(Secret, Option<String>), Refused> {
    let freshness = if asker.forced { Freshness::Forced } else { Freshness::Shared };
    let Asker { namespace, uid, now, .. } = *asker;
    let object = Object { stores, namespace, uid, freshness, now };
    for store in spec.stores() {
        if stores.reach(store).await?.dynamic {
            let what = format!(
                "{store} issues values anew for everybody who asks, which only an ExternalSecret keeps alive"
            );
            return Err(Refused::new(Reason::NotSupportedByProvider, what));
        }
    }
    let (answers, entries, _) = object.all(&spec.needs(uid)).await?;
    let values = assemble(spec, &answers).map_err(|error| Refused::new(error.reason(), error.to_string()))?;
    let value = values.iter().next().map(|(_, value)| value.clone());
    let value = value.ok_or_else(|| Refused::new(Reason::NothingFound, "there is no value"))?;
    Ok((value, entries.into_iter().next().and_then(|entry| entry.version)))
}

/// Who refers to a value.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The namespace of the document that refers to it.
    pub namespace: &'a str,
    /// The uid of the object; its name outside of a cluster.
    pub uid: &'a str,
    /// Unix seconds.
    pub now: i64,
    /// Whether no answer may be older than this moment.
    pub forced: bool,
}

/// Who asks.
struct Object<'a> {
    stores: &'a dyn Stores,
    namespace: &'a str,
    uid: &'a str,
    freshness: Freshness,
    now: i64,
}

impl Object<'_> {
    /// The entries, if each still has the version that it had; leases are prolonged.
    async fn still(
        &self,
        needs: &[Need],
        known: &[EntryStatus],
        cause: Cause,
        input: &Input<'_>,
    ) -> Option<Vec<EntryStatus>> {
        // Versions of another store than the present first one say nothing.
        let first = needs.first()?.stores.first()?;
        let asked = input.object.status.store.as_ref().map(StoreRef::from)?;
        if *first != asked || needs.iter().any(|need| need.stores.first() != Some(first)) {
            return None;
        }
        let reached = self.stores.reach(first).await.ok()?;
        let one = async |(need, known): (&Need, &EntryStatus)| {
            if !reached.permits(need) {
                return None;
            }
            let Ask::Read(read) = reached.ask(need, self.uid) else { return None };
            match (&known.lease, &known.version) {
                (Some(lease), _) => {
                    let left = lease.expires_at.0.as_second() - self.now;
                    let lease = Lease {
                        id: lease.id.clone(),
                        seconds: u64::try_from(left).ok()?,
                        renewable: lease.renewable,
                    };
                    self.prolong(&reached, known, lease).await
                }
                // What is not leased is not looked at when only a lease is due.
                (None, _) if cause == Cause::Lease => Some(known.clone()),
                (None, Some(version)) => match reached.broker.refresh(&read, version, self.freshness).await {
                    Ok(Refreshed::Same) => Some(known.clone()),
                    Ok(Refreshed::Changed(_)) | Err(_) => None,
                },
                (None, None) => None,
            }
        };
        join_all(needs.iter().zip(known).map(one)).await.into_iter().collect()
    }

    /// Prolongs a lease; none when it cannot be, or hardly.
    async fn prolong(&self, reached: &Reached, known: &EntryStatus, lease: Lease) -> Option<EntryStatus> {
        if !lease.renewable || lease.id.is_empty() {
            return None;
        }
        let renewed = reached.broker.renew(&lease).await.ok()?;
        // Where it has reached its longest time it only runs on: a new one is issued while the old one still works.
        let is_longer = renewed.seconds > lease.seconds.saturating_add(1);
        is_longer.then(|| entry_status(&known.key, known.version.clone(), Some(&renewed), self.now))
    }

    async fn all(&self, needs: &[Need]) -> Result<(Answers, Vec<EntryStatus>, Option<StoreRef>), Refused> {
        let groups = join_all(groups(needs).into_iter().map(|group| self.group(group))).await;
        let (mut answers, mut entries, mut store, mut failures) = (Vec::new(), Vec::new(), None, Vec::new());
        for group in groups {
            match group {
                Ok((from, given)) => {
                    store.get_or_insert(from);
                    answers.extend(given);
                }
                Err(refused) => failures.push(refused),
            }
        }
        // All are missing only if none was found.
        let is_missing = answers.is_empty() && failures.iter().all(|refused| refused.missing);
        if let Some(worst) = worst(failures) {
            return Err(Refused { missing: worst.missing && is_missing, ..worst });
        }
        let answers: Answers = answers.into_iter().collect();
        for need in needs {
            if let (Ask::Read(read), Some(Answer::Entry(entry))) = (&need.ask, answers.get(need)) {
                let Entry { version, lease, .. } = &**entry;
                entries.push(entry_status(&read.key, version.clone(), lease.as_ref(), self.now));
            }
        }
        Ok((answers, entries, store))
    }

    /// Needs with the same stores, from one of them: what belongs together is not put together from two.
    async fn group(&self, needs: Vec<&Need>) -> Result<(StoreRef, Vec<(Need, Answer)>), Refused> {
        let stores = needs.first().map(|need| need.stores.as_slice()).unwrap_or_default();
        let mut last = Refused::new(Reason::InvalidSpec, "no store is named");
        for store in stores {
            match self.from(store, &needs).await {
                Ok(answers) => return Ok((store.clone(), answers)),
                Err(refused) if refused.outage => {
                    self.stores.passed_over(store);
                    last = refused;
                }
                Err(refused) => return Err(refused),
            }
        }
        Err(last)
    }

    async fn from(&self, store: &StoreRef, needs: &[&Need]) -> Result<Vec<(Need, Answer)>, Refused> {
        let reached = self.stores.reach(store).await?;
        let asked = join_all(needs.iter().map(|need| self.one(store, &reached, need))).await;
        let is_missing = asked.iter().all(|answer| answer.as_ref().is_err_and(|refused| refused.missing));
        let (mut answers, mut failures) = (Vec::new(), Vec::new());
        for (need, answer) in needs.iter().zip(asked) {
            match answer {
                Ok(answer) => answers.push(((*need).clone(), answer)),
                Err(refused) => failures.push(refused),
            }
        }
        match worst(failures) {
            None => Ok(answers),
            Some(worst) => Err(Refused { missing: worst.missing && is_missing, ..worst }),
        }
    }

    async fn one(&self, store: &StoreRef, reached: &Reached, need: &Need) -> Result<Answer, Refused> {
        let refused = |failure| Refused::of(store, &failure);
        let ungranted = |key: &str| {
            let message = format!("{store} grants namespace {} no path like {key}", self.namespace);
            Refused::new(Reason::PathNotGranted, message)
        };
        let ask = reached.ask(need, self.uid);
        match &ask {
            Ask::Read(read) => {
                if !reached.permits(need) {
                    return Err(ungranted(&read.key));
                }
                reached.broker.read(read, self.freshness).await.map(Answer::Entry).map_err(refused)
            }
            Ask::Find(find) => {
                if !reached.permits(need) {
                    return Err(ungranted(find.path.as_deref().unwrap_or("the whole store")));
                }
                let mut keys = reached.broker.find(find, self.freshness).await.map_err(refused)?.to_vec();
                keys.retain(|key| reached.permits_key(key));
                if keys.is_empty() {
                    return Err(Refused::new(Reason::NothingFound, format!("{store}: no entry matches")));
                }
                let read = async |key: String| {
                    let read = Read { key: key.clone(), ..Read::default() };
                    reached.broker.read(&read, self.freshness).await.map(|entry| (key, entry))
                };
                let found = join_all(keys.into_iter().map(read)).await;
                // An entry that went between the two questions was found by the first one: look again later.
                let found = found
                    .into_iter()
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|failure| Refused { missing: false, ..refused(failure) });
                found.map(Answer::Found)
            }
        }
    }
}

/// Needs with the same list of stores, together.
fn groups(needs: &[Need]) -> Vec<Vec<&Need>> {
    let mut groups: Vec<Vec<&Need>> = Vec::new();
    for need in needs {
        let same = groups.iter_mut().find(|group| group.iter().all(|other| other.stores == need.stores));
        match same {
            Some(group) => group.push(need),
            None => groups.push(vec![need]),
        }
    }
    groups
}

/// The one to tell: what is in trouble before what is missing, so that nothing is called missing that is only not seen.
fn worst(failures: Vec<Refused>) -> Option<Refused> {
    failures.into_iter().min_by_key(|refused| (!refused.outage, refused.missing))
}
