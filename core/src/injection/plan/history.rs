//! Revisions that were published, each in a Secret of its own: the bytes, and the value of every reference in them.
//!
//! Who can read the published Secret's namespace can read these too, and nobody else. They belong to the injection and go
//! with it.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use waxwing_crds::names;
use zeroize::Zeroizing;

use super::{Object, Wish, Write, owner, produced_annotations};
use crate::{
    Secret,
    inject::Reference,
    plan::{Data, Produced},
    seal::DataKey,
};

/// The key of a history Secret with the values of the references. No published file is called so.
pub const CREDENTIALS: &str = "waxwing-credentials.json";
/// The longest name of a Secret.
const NAME_MAX: usize = 253;

/// A revision that was published.
pub struct Revision {
    /// Its number, from 1 on.
    pub number: i64,
    /// The Secret that holds it.
    pub name: String,
    /// That Secret's uid.
    pub uid: String,
    /// That Secret's resource version.
    pub resource_version: String,
    /// What was published, by key.
    pub data: Data,
    /// The values of its references.
    pub credentials: BTreeMap<Reference, Secret>,
    /// Whether every endpoint was seen with it.
    pub loaded: bool,
    /// It was not loaded in time: the value of `waxwing.dev/refresh` then.
    pub failed: Option<String>,
}

/// One value, as JSON.
#[derive(Deserialize, Serialize)]
struct Credential<T> {
    reference: Reference,
    value: T,
}

impl Revision {
    /// Reads a history Secret. Whoever can write it can write the published one as well, so nothing of it is checked but
    /// its form.
    #[must_use]
    pub fn read(
        (name, uid, resource_version): (String, String, String),
        annotations: &BTreeMap<String, String>,
        data: Data,
    ) -> Option<Self> {
        let number = annotations.get(names::REVISION)?.parse().ok()?;
        // To read what we wrote.
        let credentials: Vec<Credential<String>> = match data.get(CREDENTIALS) {
            Some(text) => serde_json::from_slice(text.expose()).ok()?,
            None => Vec::new(),
        };
        let credentials = credentials.into_iter().map(|Credential { reference, value }| {
            let value = BASE64_STANDARD.decode(Zeroizing::new(value).as_bytes()).ok()?;
            Some((reference, Secret::new(value)))
        });
        let published = data.iter().filter(|(key, _)| key.as_str() != CREDENTIALS);
        Some(Self {
            number,
            name,
            uid,
            resource_version,
            data: published.map(|(key, value)| (key.clone(), value.clone())).collect(),
            credentials: credentials.collect::<Option<_>>()?,
            // The Secret may have held another revision before.
            loaded: annotations.get(names::LOADED).is_some_and(|of| of.parse() == Ok(number)),
            failed: annotations
                .get(names::FAILED)
                .and_then(|failed| failed.split_once('/'))
                .filter(|(of, _)| of.parse() == Ok(number))
                .map(|(_, asked)| asked.to_owned()),
        })
    }
}

/// The last good value of each reference: of the newest revision that has one.
#[must_use]
pub fn last_good(history: &[Revision]) -> BTreeMap<Reference, Secret> {
    let mut found = BTreeMap::new();
    for revision in history {
        found
            .extend(revision.credentials.iter().map(|(reference, value)| (reference.clone(), value.clone())));
    }
    found
}

/// Everything that is published, as one map: no two of the Secrets have the same key.
pub(super) fn joined(secrets: &[Wish]) -> Data {
    secrets
        .iter()
        .flat_map(|wish| wish.data.iter())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Another revision's data in the Secrets where its keys belong; a key that no Secret has goes into the first.
pub(super) fn split(secrets: &[Wish], data: &Data) -> Vec<Wish> {
    let home =
        |key: &DataKey| secrets.iter().position(|wish| wish.data.get(key.as_str()).is_some()).unwrap_or(0);
    let one = |(index, wish): (usize, &Wish)| Wish {
        labels: wish.labels.clone(),
        data: data
            .iter()
            .filter(|(key, _)| home(key) == index)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
    };
    secrets.iter().enumerate().map(one).collect()
}

impl Revision {
    /// That every endpoint was seen with it: `waxwing.dev/loaded`.
    #[must_use]
    pub fn loaded_value(number: i64) -> String {
        number.to_string()
    }

    /// That it was not loaded in time: `waxwing.dev/failed`.
    #[must_use]
    pub fn failed_value(number: i64, asked: &str) -> String {
        format!("{number}/{asked}")
    }
}

/// The Secret for a new revision: a new one, or, where there are enough, the one of the oldest revision that is needed no
/// more. So nothing has to be deleted, for which the operator may have no right.
pub(super) fn write(
    object: &Object<'_>,
    number: i64,
    data: Data,
    credentials: &BTreeMap<Reference, Secret>,
    (history, keep): (&[Revision], usize),
) -> Write {
    // What is published at the moment has to stay until the new one is.
    let published = object.status.published.as_ref().map_or(0, |published| published.revision);
    let reused = (history.len() >= keep).then(|| dispensable(history, published).next()).flatten();
    // To be kept where the published bytes are kept, which hold them too.
    let encoded = |value: &Secret| Zeroizing::new(BASE64_STANDARD.encode(value.expose()));
    let values: Vec<_> = credentials.iter().map(|(reference, value)| (reference, encoded(value))).collect();
    let credentials: Vec<_> = values
        .iter()
        .map(|(reference, value)| Credential { reference: (*reference).clone(), value: value.as_str() })
        .collect();
    let text = serde_json::to_vec(&credentials).expect("texts are JSON");
    let key: DataKey = CREDENTIALS.parse().expect("is a key of a Secret");
    let mut annotations = produced_annotations(object);
    annotations.insert(names::REVISION.to_owned(), number.to_string());
    let labels = [(names::MANAGED_BY, names::MANAGER), (names::HISTORY_OF, object.uid)];
    let produced = Produced {
        namespace: object.namespace.to_owned(),
        name: reused.map_or_else(|| name(object, number), |reused| reused.name.clone()),
        secret_type: "Opaque".to_owned(),
        immutable: false,
        labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        annotations,
        owner: Some(owner(object)),
        data: data.with([(key, Secret::new(text))].into_iter().collect()),
        manager: names::field_manager(object.kind, object.name),
    };
    match reused {
        None => Write::Create(produced),
        Some(reused) => Write::Apply { uid: reused.uid.clone(), stale_owners: Vec::new(), produced },
    }
}

/// The revisions that nothing goes back to, oldest first: neither what is published nor what was loaded last.
fn dispensable(history: &[Revision], published: i64) -> impl Iterator<Item = &Revision> {
    let loaded = history.iter().rev().find(|revision| revision.loaded).map(|revision| revision.number);
    history.iter().filter(move |revision| Some(revision.number) != loaded && revision.number != published)
}

/// The name of a new Secret. No two injections share one: the uid is in it.
fn name(object: &Object<'_>, number: i64) -> String {
    let tail = format!("-{}-{number}", object.uid.chars().take(8).collect::<String>());
    let start: String = object.name.chars().take(NAME_MAX - tail.len()).collect();
    format!("{start}{tail}")
}

/// The removal of what is too much, where fewer are to be kept than before. It needs a right that the operator may lack:
/// then they stay.
pub(super) fn prune(object: &Object<'_>, history: &[Revision], keep: usize, published: i64) -> Vec<Write> {
    let removed = dispensable(history, published).take(history.len().saturating_sub(keep));
    removed
        .map(|revision| Write::Delete {
            namespace: object.namespace.to_owned(),
            name: revision.name.clone(),
            uid: revision.uid.clone(),
            resource_version: revision.resource_version.clone(),
        })
        .collect()
}
