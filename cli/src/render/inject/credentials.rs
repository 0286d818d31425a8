//! Where the values for references come from: the Secrets that this render makes, plain ones among the manifests, and
//! stores.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use tokio::runtime::Runtime;
use waxwing_core::{
    Secret,
    external::{StoreRef, plan as external},
    inject::{Answer, Reference},
    injection::{Fault, Origin, OriginKind, value},
    plan::KIND,
};
use waxwing_crds::Reason;
use waxwing_providers::fetch::{self, Asker};
use zeroize::Zeroizing;

use super::{One, Renderer};
use crate::{
    error::Result,
    render::{
        output::{Output, Unit},
        source::{Key, Source},
        state::Given,
    },
    stores::Reach,
};

/// What references give.
pub(super) type Answers = BTreeMap<Reference, Answer>;

/// What stores gave, for as long as one process goes on looking: they are not asked at each look.
#[derive(Default)]
pub(in crate::render) struct Fetched {
    /// By namespace.
    entries: BTreeMap<(String, Reference), Entry>,
    /// Those that the present look has wanted.
    wanted: BTreeSet<(String, Reference)>,
}

struct Entry {
    /// Which store it was: another spec is another store.
    store: String,
    /// When, in Unix seconds.
    at: i64,
    value: Secret,
}

impl Fetched {
    /// Forgets what the look that ends here has not wanted.
    pub(super) fn forget(&mut self) {
        let wanted = std::mem::take(&mut self.wanted);
        self.entries.retain(|key, _| wanted.contains(key));
    }
}

/// The values within reach of one injection.
pub(super) struct Credentials<'a> {
    namespace: &'a str,
    name: &'a str,
    source: &'a Source,
    output: &'a Output,
    given: BTreeMap<Key, Given>,
    /// Secrets that were read.
    units: RefCell<BTreeMap<Key, Option<Unit>>>,
    reach: &'a Reach,
    runtime: &'a Runtime,
    fetched: &'a mut Fetched,
    now: i64,
}

impl<'a> Credentials<'a> {
    pub(super) fn new(renderer: &'a mut Renderer, one: &One<'a>) -> Self {
        Self {
            namespace: &one.key.namespace,
            name: &one.key.name,
            source: one.source,
            given: renderer.state.targets(),
            output: &renderer.output,
            units: RefCell::default(),
            reach: &one.around.reach,
            runtime: &one.around.runtime,
            fetched: &mut renderer.fetched,
            now: one.now,
        }
    }

    /// The text of a document that somebody else makes, if it is there.
    pub(super) fn text(&self, origin: &Origin) -> super::Outcome<Option<Zeroizing<String>>> {
        let Origin { kind, name, key } = origin;
        if *kind == OriginKind::ConfigMap {
            let found = self.reach.manifests().config_map_of(self.namespace, name);
            return Ok(found.and_then(|keys| keys.get(key)).cloned().map(Zeroizing::new));
        }
        let wrong = |message: String| Fault { reason: Reason::DocumentMissing, message };
        let found = self.secret(self.namespace, name, key);
        let value = found.map_err(|what| wrong(format!("{origin}: {what}")))?;
        // Why exposed: the document is read.
        let text = std::str::from_utf8(value.expose());
        let text = text.map_err(|_| Fault {
            reason: Reason::ConfigInvalid,
            message: format!("{origin}: is not UTF-8"),
        })?;
        Ok(Some(Zeroizing::new(text.to_owned())))
    }

    /// What references give. Entries of stores are fetched again after so many seconds.
    pub(super) fn answers(&mut self, references: impl Iterator<Item = Reference>, refresh: i64) -> Answers {
        let references: BTreeSet<Reference> = references.collect();
        let mut answers = Answers::new();
        for reference in references {
            let (namespace, inner) = reference.within(self.namespace);
            let found = match inner {
                Reference::Secret { name, key } => self.secret(namespace, name, key),
                inner @ Reference::Store { store, .. } => {
                    let (namespace, store, inner) = (namespace.to_owned(), store.clone(), inner.clone());
                    self.stored(&namespace, &store, inner, refresh)
                }
                Reference::Of { .. } => Err("it was not looked up".to_owned()),
            };
            let answer = found.map_or_else(Answer::Unresolved, Answer::Value);
            answers.insert(reference, answer);
        }
        answers
    }

    /// The value under a key of a Secret: of one that is rendered here, else of a plain one.
    fn secret(&self, namespace: &str, name: &str, key: &str) -> std::result::Result<Secret, String> {
        let missing = || "no manifest here gives the Secret, or what gives it was refused".to_owned();
        let no_key = || "the Secret has no such key".to_owned();
        let Some(secret) = Key::new(namespace, name) else { return Err(missing()) };
        let mut units = self.units.borrow_mut();
        if !units.contains_key(&secret) {
            let unit = self.rendered(&secret).map_err(|failure| failure.to_string())?;
            units.insert(secret.clone(), unit);
        }
        if let Some(Some(unit)) = units.get(&secret) {
            return unit.value(key).cloned().ok_or_else(no_key);
        }
        let plain = self.reach.manifests().secret_of(namespace, name).ok_or_else(missing)?;
        plain.get(key).cloned().ok_or_else(no_key)
    }

    /// A Secret that a SealedSecret or an ExternalSecret here gives.
    fn rendered(&self, secret: &Key) -> Result<Option<Unit>> {
        let owner = if self.source.objects.contains_key(secret) {
            Some((KIND, secret.name.as_str()))
        } else {
            let given = self.given.get(secret).filter(|given| given.kind == external::KIND);
            let given = given.filter(|given| self.source.external.contains_key(&given.by));
            given.map(|given| (given.kind, given.by.name.as_str()))
        };
        let Some((kind, name)) = owner else { return Ok(None) };
        Ok(self.output.read(secret)?.filter(|unit| unit.is_of(kind, name)))
    }

    /// An entry of a store, as it was fetched not long ago, or fetched now.
    fn stored(
        &mut self,
        namespace: &str,
        store: &StoreRef,
        reference: Reference,
        refresh: i64,
    ) -> std::result::Result<Secret, String> {
        let stores = self.reach.within(namespace);
        let fact = stores.fact(store).uid;
        let fetched_as = (namespace.to_owned(), reference.clone());
        self.fetched.wanted.insert(fetched_as.clone());
        let is_good = |entry: &&Entry| entry.store == fact && self.now < entry.at.saturating_add(refresh);
        if let Some(entry) = self.fetched.entries.get(&fetched_as).filter(is_good)
            && !stores.is_directory(store)
        {
            return Ok(entry.value.clone());
        }
        let spec =
            value(&reference).ok_or("it is no entry of a store")?.map_err(|error| error.to_string())?;
        let asker = Asker { namespace, uid: self.name, now: self.now, forced: true };
        let found = self.runtime.block_on(fetch::value(&stores, &asker, &spec));
        let (value, _) = found.map_err(|refused| refused.message)?;
        let entry = Entry { store: fact, at: self.now, value: value.clone() };
        self.fetched.entries.insert(fetched_as, entry);
        Ok(value)
    }
}
