//! What to do about the ring: which identities are used, when a key is made, what is published.
//!
//! The plan takes one step at a time. The shell reads the KeyRing, then the identity Secrets (in this order, both
//! fresh), asks for a plan, writes its status under the KeyRing's resource version, and reads everything again until
//! nothing changes. A key therefore goes through these states, each a write of its own:
//!
//! 1. its recipient is listed as `Pending`: from here on, and only by this, the ring knows that it made the key;
//! 2. its Secret is created, under a name that derives from the recipient;
//! 3. both were read again and fit each other: `Active`, and only now published.
//!
//! # Guarantees
//! - A recipient is published only after its private key was read back from the API server.
//! - An identity is used only if its full recipient is in the status or in `spec.trusted`. A Secret alone, whatever
//!   its name, labels or content, never makes a key trusted, not even one that looks like the next key of the ring.
//! - A crash at any point leaves at worst a `Pending` entry without a Secret, which was never published and is
//!   dropped after [`GRACE`], or a Secret without an entry, which is reported and ignored.
//! - Two replicas at once make one key: the first step is a write that only one of them can win.
//! - A ring none of whose keys can be found makes no other one, so a second operator in another namespace, or one
//!   that was moved, does not replace the keys of the first.
//! - No plan deletes an identity.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use waxwing_crds::{KeyRingSpec, KeyRingStatus, KeyState, Reason, RingKey, conditions};

use crate::keys::{NamedRecipient, Recipient, is_recipient_name};

mod report;

/// Seconds after which a listed key without a Secret is given up. Whoever lists a key creates its Secret within
/// [`MAKE_WITHIN`] or not at all.
pub const GRACE: i64 = 15;
/// Seconds within which a listed key's Secret is created.
pub const MAKE_WITHIN: i64 = 5;
/// Keys that a ring may list before it stops rotating: the API takes 512.
const KEY_LIMIT: usize = 500;

/// What was read of the ring.
#[derive(Clone, Debug)]
pub struct Observed<'a> {
    /// The KeyRing's name.
    pub ring: &'a str,
    /// Its spec.
    pub spec: &'a KeyRingSpec,
    /// Its status.
    pub status: &'a KeyRingStatus,
    /// Its generation.
    pub generation: Option<i64>,
    /// The identity Secrets, read after the KeyRing.
    pub found: &'a [Found],
    /// For how many seconds this process has seen the present `Pending` entries without their Secrets.
    pub waited: i64,
}

/// One Secret of type `waxwing.dev/identity`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The Secret's name.
    pub secret: String,
    /// The recipient that was derived from its private key; `None` when it holds no identity.
    pub recipient: Option<Recipient>,
}

/// What to do, and what is known.
#[derive(Clone, Debug, PartialEq)]
pub struct RingPlan {
    /// The status to write, when it differs from the one that was read.
    pub status: KeyRingStatus,
    /// Whether a key is to be made: add it to the status with [`RingPlan::list`], write that, then create its Secret.
    pub make: bool,
    /// The identities that may be tried.
    pub usable: Vec<Recipient>,
    /// The ring's own keys that new seals are made for.
    pub active: Vec<Recipient>,
    /// Who new seals are made for.
    pub published: Vec<NamedRecipient>,
    /// Whether that list is another one than before.
    pub recipients_changed: bool,
    /// What happened, for people.
    pub events: Vec<RingEvent>,
    /// Why nothing can be opened, when that is so.
    pub unusable: Option<Reason>,
    /// When to look again at the latest, in seconds from now.
    pub again: Option<i64>,
}

/// Something that happened to the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingEvent {
    /// What.
    pub reason: Reason,
    /// Which key or Secret; never a private key.
    pub message: String,
    /// Whether it deserves attention.
    pub warning: bool,
}

impl RingPlan {
    /// Lists a key that is about to be made.
    pub fn list(&mut self, recipient: &Recipient, now: i64) {
        self.status.keys.push(RingKey {
            recipient: recipient.to_string(),
            key_id: recipient.id().to_string(),
            state: KeyState::Pending,
            created_at: Some(conditions::time(now)),
        });
    }
}

/// The name of the Secret that holds a key of this ring.
pub fn secret_name(ring: &str, recipient: &Recipient) -> String {
    format!("{}{ring}-{}", waxwing_crds::names::RESERVED_NAME_PREFIX, recipient.id())
}

/// Decides. Never fails: whatever is wrong becomes a condition.
pub fn plan(observed: &Observed<'_>, now: i64) -> RingPlan {
    let facts = Facts::of(observed);
    let mut events = Vec::new();
    let mut keys = observed.status.keys.clone();
    for key in &mut keys {
        if let Ok(recipient) = key.recipient.parse::<Recipient>() {
            key.key_id = recipient.id().to_string();
        }
        key.created_at.get_or_insert_with(|| conditions::time(now));
    }
    activate(&mut keys, &facts, &mut events);
    if !facts.all_missing(&keys) {
        keep_one_active(&mut keys, &facts);
    }
    let lost = observed.waited >= GRACE;
    keys.retain(|key| key.state != KeyState::Pending || !lost || facts.has(&key.recipient));

    let pending = keys.iter().any(|key| key.state == KeyState::Pending);
    let active_since =
        keys.iter().filter(|key| key.state == KeyState::Active).map(|key| created_at(key, now)).max();
    let due_in = match (active_since, observed.spec.rotation_every()) {
        (None, _) => Some(0),
        (Some(_), Err(_)) => None,
        (Some(since), Ok(every)) => {
            Some((since + i64::try_from(every.as_secs()).unwrap_or(i64::MAX / 2) - now).max(0))
        }
    };
    let full = keys.len() >= KEY_LIMIT;
    let allowed = observed.spec.protection_kind().is_supported()
        && !facts.all_untrusted(&keys)
        && !facts.all_missing(&keys)
        && !full;
    let make = allowed && !pending && due_in == Some(0);

    let listed = |wanted: fn(KeyState) -> bool| -> BTreeSet<&str> {
        keys.iter().filter(|key| wanted(key.state)).map(|key| key.recipient.as_str()).collect()
    };
    let (opening, retired, published) =
        (listed(KeyState::opens), listed(is_retired), listed(|state| state == KeyState::Active));
    let usable = facts.present.iter().filter(|recipient| {
        let text = recipient.as_str();
        !retired.contains(text) && (opening.contains(text) || facts.trusted.contains(text))
    });
    let usable: Vec<_> = usable.cloned().collect();
    let active: Vec<_> =
        facts.present.iter().filter(|recipient| published.contains(recipient.as_str())).cloned().collect();
    let published = published_recipients(observed, &active);
    let digest = recipients_digest(&published);
    let old_digest = observed.status.recipients_digest.as_ref();
    let recipients_changed = !active.is_empty() && old_digest.is_some_and(|old| *old != digest);
    if recipients_changed {
        events.push(RingEvent {
            reason: Reason::RecipientsChanged,
            message: format!("new seals are made for {}", hints(&published)),
            warning: true,
        });
    }

    let mut status = KeyRingStatus {
        observed_generation: observed.generation,
        conditions: observed.status.conditions.clone(),
        keys,
        recipients_digest: if active.is_empty() { old_digest.cloned() } else { Some(digest) },
    };
    report::conditions(&mut status, observed, &facts, make, full, now, &mut events);
    RingPlan {
        unusable: usable.is_empty().then(|| report::why_unusable(&status)),
        again: if pending { Some(GRACE) } else { due_in.filter(|_| allowed) },
        status,
        make,
        usable,
        active,
        published,
        recipients_changed,
        events,
    }
}

fn is_retired(state: KeyState) -> bool {
    state == KeyState::Retired
}

/// What was found, sorted out.
struct Facts<'a> {
    /// The recipients whose private keys were read.
    present: BTreeSet<Recipient>,
    /// Those that an administrator trusts.
    trusted: BTreeSet<&'a str>,
    /// Those that somebody has backed up, when that is waited for.
    backed_up: Option<BTreeSet<&'a str>>,
    /// The names of the Secrets that hold no identity.
    malformed: Vec<&'a str>,
    /// The names of the Secrets by recipient.
    secrets: BTreeMap<&'a str, &'a str>,
}

impl<'a> Facts<'a> {
    fn of(observed: &Observed<'a>) -> Self {
        let set = |list: &'a [String]| list.iter().map(String::as_str).collect();
        let mut facts = Self {
            present: BTreeSet::new(),
            trusted: set(&observed.spec.trusted),
            backed_up: observed.spec.waits_for_backup().then(|| set(&observed.spec.backed_up)),
            malformed: Vec::new(),
            secrets: BTreeMap::new(),
        };
        for found in observed.found {
            match &found.recipient {
                Some(recipient) => {
                    facts.secrets.insert(recipient.as_str(), &found.secret);
                    facts.present.insert(recipient.clone());
                }
                None => facts.malformed.push(&found.secret),
            }
        }
        facts
    }

    fn has(&self, recipient: &str) -> bool {
        self.secrets.contains_key(recipient)
    }

    /// Whether its backup, if one is asked for, was made.
    fn is_saved(&self, recipient: &str) -> bool {
        self.backed_up.as_ref().is_none_or(|saved| saved.contains(recipient))
    }

    /// The recipients that neither the ring made nor an administrator trusts.
    fn untrusted(&self, keys: &[RingKey]) -> Vec<&'a str> {
        let known = |recipient: &str| {
            self.trusted.contains(recipient) || keys.iter().any(|key| key.recipient == recipient)
        };
        self.secrets.keys().copied().filter(|recipient| !known(recipient)).collect()
    }

    /// Whether identities exist and not one of them is trusted: a sign of a ring that lost its memory.
    fn all_untrusted(&self, keys: &[RingKey]) -> bool {
        !self.present.is_empty() && self.untrusted(keys).len() == self.present.len()
    }

    /// Whether the ring has made keys and not one of them is here: everything was lost, or this is not the namespace
    /// that they are in. Two operators by mistake serving one ring would otherwise make keys against each other.
    fn all_missing(&self, keys: &[RingKey]) -> bool {
        let mut made = keys.iter().filter(|key| key.state.opens()).peekable();
        made.peek().is_some() && made.all(|key| !self.has(&key.recipient))
    }
}

/// Publishes the first pending key whose private key was read back and whose backup, if asked for, was made.
fn activate(keys: &mut [RingKey], facts: &Facts<'_>, events: &mut Vec<RingEvent>) {
    let ready = |key: &RingKey| {
        key.state == KeyState::Pending && facts.has(&key.recipient) && facts.is_saved(&key.recipient)
    };
    let Some(new) = keys.iter().position(ready) else { return };
    for (place, key) in keys.iter_mut().enumerate() {
        if place == new {
            key.state = KeyState::Active;
            events.push(RingEvent {
                reason: Reason::KeyActivated,
                message: format!("key {} is published for new seals", key.key_id),
                warning: false,
            });
        } else if key.state == KeyState::Active {
            key.state = KeyState::OpenOnly;
        }
    }
}

/// Of the active keys only the newest one whose private key is there stays active: nothing may be sealed for a key
/// that cannot open.
fn keep_one_active(keys: &mut [RingKey], facts: &Facts<'_>) {
    let present =
        keys.iter().enumerate().filter(|(_, key)| key.state == KeyState::Active && facts.has(&key.recipient));
    let newest =
        present.max_by_key(|(place, key)| (created_at(key, i64::MIN), *place)).map(|(place, _)| place);
    for (place, key) in keys.iter_mut().enumerate() {
        if key.state == KeyState::Active && Some(place) != newest {
            key.state = KeyState::OpenOnly;
        }
    }
}

fn created_at(key: &RingKey, otherwise: i64) -> i64 {
    key.created_at.as_ref().map_or(otherwise, |time| time.0.as_second())
}

/// The active keys under the ring's name, then the well-formed recipients of the spec.
fn published_recipients(observed: &Observed<'_>, active: &[Recipient]) -> Vec<NamedRecipient> {
    let ring = if is_recipient_name(observed.ring) { observed.ring } else { "ring" };
    let own = active.iter().map(|recipient| (ring, Some(recipient.clone())));
    let others =
        observed.spec.recipients.iter().map(|other| (other.name.as_str(), other.recipient.parse().ok()));
    own.chain(others).filter_map(|(name, recipient)| NamedRecipient::new(name, recipient?).ok()).collect()
}

/// SHA-256 of the sorted recipients, in hex. They are public.
fn recipients_digest(published: &[NamedRecipient]) -> String {
    let mut recipients: Vec<_> = published.iter().map(|named| named.recipient().as_str()).collect();
    recipients.sort_unstable();
    recipients.dedup();
    Sha256::digest(recipients.join("\n").as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hints(published: &[NamedRecipient]) -> String {
    published.iter().map(NamedRecipient::hint).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
