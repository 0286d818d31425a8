//! The mark in a status, for every kind: an HMAC that only holders of the ring's identities can make, over everything that
//! decided the last write. What those facts are, each kind says itself.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::Target;
use crate::keys::{Identities, Identity};

/// What the mark says about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// No identity of the ring made it, or something that decides has changed since.
    Stale,
    /// Nothing that decides has changed, but the Secret has been written or deleted since.
    Touched,
    /// Nothing has changed.
    InSync,
}

/// A mark as a status holds it.
#[derive(Clone, Copy)]
pub(crate) struct Stamp<'a> {
    /// The MAC.
    pub(crate) digest: &'a str,
    /// The short id of the identity that made it.
    pub(crate) key_id: &'a str,
}

impl Stamp<'_> {
    /// Whether an identity of the ring made it over these facts.
    pub(crate) fn is_genuine(self, identities: &Identities, label: &str, facts: &[u8]) -> bool {
        let tag = BASE64_URL_SAFE_NO_PAD.decode(self.digest).ok();
        maker(identities, self.key_id)
            .zip(tag)
            .is_some_and(|(maker, tag)| maker.mac_matches(label, facts, &tag))
    }

    /// Checks it against the facts, and against the one Secret, whose uid and resource version are among them. Where there
    /// was to be none, both are empty.
    pub(crate) fn check(
        self,
        identities: &Identities,
        label: &str,
        facts: &[u8],
        (uid, resource_version): (&str, &str),
        target: Option<&Target>,
    ) -> Mark {
        if !self.is_genuine(identities, label, facts) {
            return Mark::Stale;
        }
        let is_there = match target {
            Some(target) => target.uid == uid && target.resource_version == resource_version,
            None => uid.is_empty(),
        };
        if is_there { Mark::InSync } else { Mark::Touched }
    }
}

/// The identity that makes the next mark: the one that made the last, so that nothing changes without a cause.
pub(crate) fn next_maker<'a>(identities: &'a Identities, last: Option<&str>) -> Option<&'a Identity> {
    last.and_then(|id| maker(identities, id)).or_else(|| identities.iter().next())
}

/// A MAC as a status holds it.
pub(crate) fn digest(identity: &Identity, label: &str, facts: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(identity.mac(label, facts))
}

fn maker<'a>(identities: &'a Identities, id: &str) -> Option<&'a Identity> {
    identities.with_id(id.parse().ok()?).next()
}
