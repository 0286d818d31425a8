//! For a holder of an identity: whether what was sealed in the place of a leaked value is another value.

use std::{collections::BTreeMap, path::Path};

use waxwing_core::{
    Secret,
    keys::Identities,
    seal::{DataKey, Sealed},
};

use super::{Leaked, Revocations, history, tree::Tree};
use crate::error::Result;

/// The values that leaked, as far as Git's history has them and the identities open them.
pub(crate) struct Old<'a> {
    /// By key and envelope.
    values: BTreeMap<(String, String), Secret>,
    identities: &'a Identities,
    now: i64,
}

/// What a comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compared {
    /// Every value that stands there now is another one.
    Another,
    /// The old value was sealed again.
    Same,
    /// One of them cannot be opened, or is not in the history.
    Unknown,
}

impl<'a> Old<'a> {
    /// Looks for the values in Git's history.
    pub(crate) fn read(
        root: &Path,
        recorded: &Revocations,
        identities: &'a Identities,
        now: i64,
    ) -> Result<Self> {
        let mut old = Self { values: BTreeMap::new(), identities, now };
        let wanted: Vec<&Leaked> =
            recorded.revocations.iter().flat_map(|revocation| &revocation.values).collect();
        history::each(root, |sealed| {
            for value in &wanted {
                let place = (value.key.clone(), value.envelope.clone());
                let Ok(key) = value.key.parse::<DataKey>() else { continue };
                let has = sealed.tokens().get(&key).is_some_and(|token| value.is(token));
                if has
                    && !old.values.contains_key(&place)
                    && let Some(secret) = old.open(sealed, &key)
                {
                    old.values.insert(place, secret);
                }
            }
        })?;
        Ok(old)
    }

    fn open(&self, sealed: &Sealed, key: &DataKey) -> Option<Secret> {
        sealed.open_key(key, self.identities, self.now).ok().map(|opened| opened.value)
    }

    /// Compares a leaked value with what has its place now.
    pub(crate) fn compare(&self, value: &Leaked, tree: &Tree) -> Compared {
        let before = self.values.get(&(value.key.clone(), value.envelope.clone()));
        let (Some(before), Ok(key)) = (before, value.key.parse::<DataKey>()) else {
            return Compared::Unknown;
        };
        let mut compared = Compared::Another;
        for seen in &tree.seen {
            if !value.has_its_place(seen) || !seen.sealed.tokens().contains_key(&key) {
                continue;
            }
            match self.open(&seen.sealed, &key) {
                Some(now) if now.same_as(before) => return Compared::Same,
                Some(_) => {}
                None => compared = Compared::Unknown,
            }
        }
        compared
    }
}
