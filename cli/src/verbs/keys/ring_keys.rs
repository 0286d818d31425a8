//! The keys of a ring as its KeyRing lists them, and how one of them is named on the command line.

#[cfg(feature = "cluster")]
use std::collections::BTreeSet;

#[cfg(feature = "cluster")]
use waxwing_core::keys::KeyId;
use waxwing_core::keys::Recipient;
#[cfg(feature = "cluster")]
use waxwing_crds::{ConditionType, conditions};
use waxwing_crds::{KeyRing, KeyState, RingKey as Listed};

#[cfg(feature = "cluster")]
use crate::error::{Failure, Result};

/// One key that a KeyRing names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RingKey {
    /// Its public half.
    pub(super) recipient: Recipient,
    /// What it is used for.
    pub(super) state: State,
    /// When it was made, in Unix seconds, where the ring made it.
    pub(super) created_at: Option<i64>,
    /// Whether somebody has said that it is backed up.
    pub(super) backed_up: bool,
    /// Whether it is to become the active one, and opens already.
    pub(super) announced: bool,
}

impl RingKey {
    /// Whether there is a private key that values may be opened with.
    #[cfg(feature = "cluster")]
    pub(super) fn opens(&self) -> bool {
        match self.state {
            State::Made(state) => state.opens() || self.announced,
            State::Trusted => true,
            State::Retired => false,
        }
    }
}

/// What a key of a ring is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The ring made it.
    Made(KeyState),
    /// `spec.trusted` names it: it opens.
    Trusted,
    /// `spec.retired` names it, and the status does not say yet what became of it.
    Retired,
}

impl State {
    /// The word for people.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Made(state) => state.as_str(),
            Self::Retired => KeyState::Retired.as_str(),
            Self::Trusted => "Trusted",
        }
    }

    /// Whether it is not to be used any more.
    pub(super) fn is_ended(self) -> bool {
        matches!(self, Self::Retired | Self::Made(KeyState::Retired | KeyState::Destroyed))
    }
}

/// Every key that a ring names, in the order of its status. One that `spec.retired` names counts as retired, whether the
/// operator has seen that or not.
pub(super) fn of(ring: &KeyRing) -> Vec<RingKey> {
    let spec = &ring.spec;
    let backed_up = |recipient: &Recipient| spec.backed_up.iter().any(|text| text == recipient.as_str());
    let is_retired = |recipient: &Recipient| spec.retired.iter().any(|text| text == recipient.as_str());
    let mut all: Vec<RingKey> = Vec::new();
    let mut add = |text: &str, state: State, made: Option<&Listed>| {
        let Ok(recipient) = text.parse::<Recipient>() else { return };
        if all.iter().any(|key| key.recipient == recipient) {
            return;
        }
        let state = if is_retired(&recipient) && !state.is_ended() { State::Retired } else { state };
        all.push(RingKey {
            state,
            created_at: made.and_then(|key| key.created_at.as_ref()).map(|time| time.0.as_second()),
            backed_up: backed_up(&recipient),
            announced: made.is_some_and(Listed::is_announced) && !state.is_ended(),
            recipient,
        });
    };
    for key in ring.status.iter().flat_map(|status| &status.keys) {
        add(&key.recipient, State::Made(key.state), Some(key));
    }
    for text in &spec.trusted {
        add(text, State::Trusted, None);
    }
    for text in &spec.retired {
        add(text, State::Retired, None);
    }
    all
}

/// The key that is meant by a short id or by its full recipient.
#[cfg(feature = "cluster")]
pub(super) fn find<'a>(keys: &'a [RingKey], wanted: &str, ring: &str) -> Result<&'a RingKey> {
    let fits = |key: &&RingKey| {
        key.recipient.as_str() == wanted || wanted.parse::<KeyId>().is_ok_and(|id| key.recipient.id() == id)
    };
    let found: Vec<&RingKey> = keys.iter().filter(fits).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => {
            let known: Vec<String> = keys.iter().map(|key| key.recipient.id().to_string()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Err(Failure::new(format!("KeyRing {ring} has no key {}", shown(wanted)))
                .hint(format!("its keys are: {known}; waxwing keys status lists them")))
        }
        several => {
            let full: Vec<&str> = several.iter().map(|key| key.recipient.as_str()).collect();
            Err(Failure::usage(format!("{} keys have the short id {}", several.len(), shown(wanted)))
                .hint(format!("say which by its recipient: {}", full.join(", "))))
        }
    }
}

/// What was typed, if it can be a key at all: it may be anything.
#[cfg(feature = "cluster")]
fn shown(wanted: &str) -> &str {
    let is_key = wanted.len() <= 62 && wanted.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_key { wanted } else { "of that name" }
}

/// The ids of the other keys than `key` that open. `present` are those whose private half was had just now, where that
/// was tried; then no other counts. Else the operator's word has to do: of a ring that is not ready no key counts, and where
/// it misses something only the active one does.
#[cfg(feature = "cluster")]
pub(super) fn others(
    ring: &KeyRing,
    keys: &[RingKey],
    key: &Recipient,
    present: Option<&BTreeSet<Recipient>>,
) -> BTreeSet<KeyId> {
    let all = ring.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let is_ready = conditions::is_true(all, ConditionType::Ready);
    let is_whole = is_ready && conditions::get(all, ConditionType::Degraded).is_none();
    let counts = |other: &RingKey| match (present, other.state) {
        (Some(present), _) => other.opens() && present.contains(&other.recipient),
        (None, State::Made(KeyState::Active)) => is_ready,
        (None, State::Made(KeyState::OpenOnly)) => is_whole,
        // Nothing says whether its private key is there.
        _ => false,
    };
    keys.iter()
        .filter(|other| counts(other) && other.recipient != *key)
        .map(|other| other.recipient.id())
        // The same id would say nothing.
        .filter(|id| *id != key.id())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use waxwing_core::keys::Identity;
    use waxwing_crds::Reason;

    use super::*;

    fn ring(keys: &[(&Recipient, &str)], spec: serde_json::Value) -> KeyRing {
        let keys: Vec<_> = keys
            .iter()
            .map(|(key, state)| json!({"recipient": key.to_string(), "keyId": "", "state": state}))
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "waxwing.dev/v1alpha1", "kind": "KeyRing", "metadata": {"name": "default"},
            "spec": spec, "status": {"keys": keys},
        }))
        .unwrap()
    }

    #[test]
    fn a_key_is_found_by_its_id_or_its_recipient_and_retired_as_soon_as_the_spec_says_so() {
        let (a, b, c) = (Identity::generate(), Identity::generate(), Identity::generate());
        let [a, b, c] = [&a, &b, &c].map(|identity| identity.recipient());
        let spec =
            json!({"trusted": [c.to_string()], "retired": [b.to_string()], "backedUp": [a.to_string()]});
        let keys = of(&ring(&[(a, "Active"), (b, "OpenOnly")], spec));
        let states: Vec<_> = keys.iter().map(|key| (key.state.as_str(), key.backed_up)).collect();
        assert_eq!(states, [("Active", true), ("Retired", false), ("Trusted", false)]);
        assert_eq!(find(&keys, b.as_str(), "default").unwrap().recipient, *b);
        assert_eq!(find(&keys, &c.id().to_string(), "default").unwrap().recipient, *c);
        let error = find(&keys, "AGE-SECRET-KEY-1NOT-A-NAME", "default").unwrap_err();
        assert!(!error.to_string().contains("AGE-SECRET"), "{error}");
    }

    /// K34. Guard: `others` counts only keys whose private half can be had, as the operator says or as was tried just now.
    #[test]
    fn a_key_that_may_be_gone_is_no_other_reader() {
        let (a, b, c) = (Identity::generate(), Identity::generate(), Identity::generate());
        let [a, b, c] = [&a, &b, &c].map(|identity| identity.recipient());
        let mut whole = ring(&[(a, "Active"), (b, "OpenOnly"), (c, "OpenOnly")], json!({}));
        let set = |ring: &mut KeyRing, type_, value, reason| {
            let status = ring.status.as_mut().unwrap();
            conditions::set(&mut status.conditions, type_, value, reason, "", None, 0);
        };
        assert_eq!(others(&whole, &of(&whole), c, None), BTreeSet::new(), "the operator has said nothing");
        set(&mut whole, ConditionType::Ready, true, Reason::Synced);
        assert_eq!(others(&whole, &of(&whole), c, None), BTreeSet::from([a.id(), b.id()]));
        // The active key is there, and what wraps it is away: it may be gone for good.
        let mut locked = whole.clone();
        set(&mut locked, ConditionType::Ready, false, Reason::ProtectionUnavailable);
        assert_eq!(others(&locked, &of(&locked), c, None), BTreeSet::new());
        let mut broken = whole;
        set(&mut broken, ConditionType::Degraded, true, Reason::IdentityMissing);
        assert_eq!(others(&broken, &of(&broken), c, None), BTreeSet::from([a.id()]));
        // What was tried says more than the status, also of the active key.
        let present = BTreeSet::from([b.clone(), c.clone()]);
        assert_eq!(others(&broken, &of(&broken), c, Some(&present)), BTreeSet::from([b.id()]));
    }
}
