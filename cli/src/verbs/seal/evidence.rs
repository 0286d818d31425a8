//! Whether a sealed value is still the one in the manifest, by what is at hand to tell.
//!
//! In this order: an identity that opens it; the live Secret, if the user allows to read it; the
//! cache of this machine. A ciphertext alone never tells: that is its purpose.

use waxwing_core::{
    Secret,
    keys::Identities,
    seal::{Binding, DataKey, OpenError, Sealed},
};

use crate::{cache::Cache, error::Result};

/// Reads the value that the live Secret has under a key, if it was made from the token with this
/// sequence number.
pub(super) type Live = dyn Fn(&Binding, &DataKey, u64) -> Result<Option<Secret>>;

/// What can tell.
pub(super) struct Evidence {
    pub(super) identities: Identities,
    pub(super) live: Option<Box<Live>>,
    pub(super) cache: Option<Cache>,
    pub(super) now: i64,
}

/// What was told about one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The sealed value is the one given.
    Same,
    /// It is another one, or it can't be opened by anybody here.
    Changed,
    /// Nothing at hand can tell.
    Unknown,
}

impl Evidence {
    /// Compares what is sealed under `key` with `value`.
    pub(super) fn compare(&self, sealed: &Sealed, key: &DataKey, value: &Secret) -> Result<Verdict> {
        let told = |same| if same { Verdict::Same } else { Verdict::Changed };
        match sealed.open_key(key, &self.identities, self.now) {
            Ok(opened) => return Ok(told(opened.value.same_as(value))),
            Err(OpenError::NoMatchingKey { .. } | OpenError::TooManyTries) => {}
            // Opened, and found broken: the given value takes its place.
            Err(_) => return Ok(Verdict::Changed),
        }
        let Some(token) = sealed.tokens().get(key) else { return Ok(Verdict::Changed) };
        if let Some(live) = &self.live
            && let Some(live) = live(sealed.binding(), key, token.seq())?
        {
            return Ok(told(live.same_as(value)));
        }
        let cached = self.cache.as_ref().and_then(|cache| cache.is_same(token, value));
        Ok(cached.map_or(Verdict::Unknown, told))
    }

    /// Remembers what was sealed now, where the user wants that.
    pub(super) fn remember(&mut self, sealed: &Sealed, key: &DataKey, value: &Secret) {
        if let (Some(cache), Some(token)) = (&mut self.cache, sealed.tokens().get(key)) {
            cache.remember(token, value);
        }
    }
}
