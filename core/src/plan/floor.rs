//! How far each key has come: the highest sequence number ever seen, so that an older value's return is noticed.
//!
//! It is kept twice, in the status and in an annotation of the produced Secret, and the higher one counts: editing
//! the status downward hides nothing.

use std::collections::{BTreeMap, BTreeSet};

use waxwing_crds::{KeySeq, names};

use super::{Object, Target};
use crate::{
    keys::KeyId,
    seal::{DataKey, Opened, Sealed, limits},
};

/// Keys that are remembered after they were removed. With the present ones, and all names as long as they can be, they
/// take 140 of the 256 KiB that the API server allows annotations.
const REMEMBERED: usize = 256;

/// The highest sequence number seen of each key.
pub(super) fn floor(object: &Object<'_>, target: Option<&Target>, now: i64) -> BTreeMap<String, u64> {
    let annotation = target.and_then(|target| target.annotations.get(names::SEQ));
    let annotated: BTreeMap<String, u64> =
        annotation.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let reported = object.status.keys.iter().map(|key| (key.name.clone(), key.seq));
    // No value that opens can have come further, so what claims it was not written by us.
    let possible = u64::try_from(now).unwrap_or(0).saturating_add(limits::SEQ_AHEAD_SECONDS).min(limits::SEQ);
    let mut floor = BTreeMap::new();
    for (key, seq) in annotated.into_iter().chain(reported) {
        if seq <= possible && key.parse::<DataKey>().is_ok() {
            let highest = floor.entry(key).or_insert(seq);
            *highest = seq.max(*highest);
        }
    }
    floor
}

/// The keys whose value is older than one that was seen.
pub(super) fn rolled_back(sealed: &Sealed, floor: &BTreeMap<String, u64>) -> Vec<DataKey> {
    let is_older = |key: &DataKey, seq| floor.get(key.as_str()).is_some_and(|highest| seq < *highest);
    let tokens = sealed.tokens().iter();
    tokens.filter(|(key, token)| is_older(key, token.seq())).map(|(key, _)| key.clone()).collect()
}

/// What the status says of each key after these values were opened; removed keys keep their highest number.
pub(super) fn keys(opened: &Opened, floor: &BTreeMap<String, u64>) -> Vec<KeySeq> {
    let mut keys: BTreeMap<&str, (u64, Option<KeyId>)> =
        floor.iter().map(|(key, seq)| (key.as_str(), (*seq, None))).collect();
    for (key, value) in opened.values() {
        let highest = keys.entry(key.as_str()).or_default();
        *highest = (value.seq.max(highest.0), Some(value.opened_by));
    }
    let mut removed: Vec<(u64, &str)> =
        keys.iter().filter(|(_, (_, id))| id.is_none()).map(|(key, (seq, _))| (*seq, *key)).collect();
    removed.sort_unstable();
    let forgotten: BTreeSet<&str> =
        removed.iter().take(removed.len().saturating_sub(REMEMBERED)).map(|(_, key)| *key).collect();
    keys.into_iter()
        .filter(|(key, _)| !forgotten.contains(key))
        .map(|(key, (seq, id))| KeySeq {
            name: key.to_owned(),
            seq,
            key_id: id.map(|id| id.to_string()).unwrap_or_default(),
            removed: id.is_none().then_some(true),
        })
        .collect()
}

/// The same for the annotation.
pub(super) fn annotation(keys: &[KeySeq]) -> BTreeMap<String, u64> {
    keys.iter().map(|key| (key.name.clone(), key.seq)).collect()
}
