//! What to do about the ring: which identities are used, when a key is made, what is published.
//!
//! The plan takes one step at a time. The shell reads the KeyRing, then the identity Secrets (in this order, both
//! fresh), asks for a plan, writes its status under the KeyRing's resource version, and reads everything again until
//! nothing changes. A key therefore goes through these states, each a write of its own:
//!
//! 1. its recipient is listed as `Pending`: from here on, and only by this, the ring knows that it made the key;
//! 2. its Secret is created, under a name that derives from the recipient;
//! 3. both were read again and fit each other: it opens and is announced, and after the time of its announcement, and
//!    its backup where that is asked for, it is `Active`, and only now published for new seals.
//!
//! The key before it becomes `OpenOnly`. `spec.retired` ends the use of a key (`Retired`); once its Secret is gone
//! it is `Destroyed`. Both go by the spec alone, so taking a key out of the list takes it up again.
//!
//! # Guarantees
//! - A recipient is published only after its private key was read back from the API server.
//! - An identity is used only if its full recipient is in the status or in `spec.trusted`. A Secret alone, whatever
//!   its name, labels or content, never makes a key trusted, not even one that looks like the next key of the ring.
//! - A crash at any point leaves at worst a `Pending` entry without a Secret, which was never announced and is
//!   dropped after [`GRACE`], or a Secret without an entry, which is reported and ignored.
//! - A key that was announced is never dropped: somebody may have sealed for it.
//! - Two replicas at once make one key: the first step is a write that only one of them can win.
//! - A ring none of whose keys can be found makes no other one, so a second operator in another namespace, or one
//!   that was moved, does not replace the keys of the first.
//! - No plan deletes an identity.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use waxwing_crds::{KeyRingSpec, KeyRingStatus, KeyState, ProtectionKind, Reason, RingKey, conditions};

use crate::keys::{NamedRecipient, Recipient, is_recipient_name};

mod report;
mod wave;

pub use wave::{Wave, judge};

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
    /// Whether the API server does not keep all of the status: the definition there is older than this operator.
    pub forgetful: bool,
    /// What is known of the ring that rotates first, where the spec names one.
    pub wave: Wave,
    /// Which keys the live values need; `None` while not every object was looked at yet.
    pub in_use: Option<InUse>,
    /// Why a new identity could not be wrapped, when that was tried last.
    pub trouble: Option<&'a str>,
    /// Why one that is locked could not be unwrapped.
    pub refused: Option<&'a str>,
    /// Which of those that are open could not be unwrapped again by the spec as it is now, and why.
    pub unproven: Option<&'a str>,
}

/// Which keys the live values need, as the last openings found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InUse {
    /// Values that were opened by another key than the active one.
    pub by_older: u64,
    /// Objects that were not looked at since they changed, or are not in effect: nobody knows what opens them.
    pub unsettled: u64,
}

impl InUse {
    /// Whether each of the two speaks against convergence: all that a plan makes of the numbers.
    pub fn verdict(self) -> (bool, bool) {
        (self.by_older > 0, self.unsettled > 0)
    }
}

/// One Secret of type `waxwing.dev/identity`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The Secret's name.
    pub secret: String,
    /// The recipient that was derived from its private key; `None` when it holds no identity. Of a locked one it is
    /// what the Secret says.
    pub recipient: Option<Recipient>,
    /// How it is wrapped.
    pub protection: ProtectionKind,
    /// By which key of Vault's or AWS's, where it is.
    pub wrapped_by: Option<String>,
    /// Whether the identity could not be unwrapped: it is there, and cannot be used now.
    pub locked: bool,
}

/// What to do, and what is known.
#[derive(Clone, Debug, PartialEq)]
pub struct RingPlan {
    /// The status to write, when it differs from the one that was read.
    pub status: KeyRingStatus,
    /// Whether a key is to be made: add it to the status with [`RingPlan::list`], write that, then create its Secret.
    pub make: bool,
    /// Whether a rotation is due and the ring that rotates first is to be asked.
    pub asks_wave: bool,
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
    pub fn list(&mut self, recipient: &Recipient, protection: ProtectionKind, now: i64) {
        self.status.keys.push(RingKey {
            recipient: recipient.to_string(),
            key_id: recipient.id().to_string(),
            state: KeyState::Pending,
            created_at: Some(conditions::time(now)),
            announced_at: None,
            protection: Some(protection).filter(|kind| *kind != ProtectionKind::None),
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
        if let Some(found) = facts.protection(&key.recipient) {
            key.protection = Some(found).filter(|kind| *kind != ProtectionKind::None);
        }
    }
    retire(&mut keys, observed, &facts, &mut events);
    announce(&mut keys, observed, &facts, now);
    activate(&mut keys, observed, &facts, now, &mut events);
    // An operator that sees no key of the ring at all is in the wrong place: what it does not see may be in use.
    if !facts.all_missing(&keys) {
        keep_one_active(&mut keys, &facts);
        // One that was announced is none of these any more.
        let is_given_up = |key: &RingKey| {
            key.state == KeyState::Pending && observed.waited >= GRACE && !facts.has(&key.recipient)
        };
        keys.retain(|key| !is_given_up(key));
    }

    let pending = keys.iter().filter(|key| key.state == KeyState::Pending);
    let announced = pending.clone().filter(|key| facts.has(&key.recipient));
    let announced = announced.map(|key| announced_until(key, observed.spec, now) - now).min();
    let pending = pending.count() > 0;
    let due_in = due_in(&keys, observed.spec, &facts, now);
    let full = keys.len() >= KEY_LIMIT;
    let allowed = !facts.all_untrusted(&keys) && !facts.all_missing(&keys) && !full;
    let wanted = allowed && !pending && due_in == Some(0);
    let held = wanted.then(|| wave::held(&keys, observed, &facts, now)).flatten();
    let make = wanted && held.is_none();

    let listed = |wanted: fn(KeyState) -> bool| -> BTreeSet<&str> {
        keys.iter().filter(|key| wanted(key.state)).map(|key| key.recipient.as_str()).collect()
    };
    // A key that waits to become active opens already: somebody may have sealed for it since it was listed.
    let opening = listed(|state| state.opens() || state == KeyState::Pending);
    let published = listed(|state| state == KeyState::Active);
    let usable = facts.present.iter().filter(|recipient| {
        let text = recipient.as_str();
        let is_known = opening.contains(text) || facts.trusted.contains(text);
        is_known && !facts.retired.contains(text) && !facts.is_locked(text)
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
    let seen = report::Seen { observed, facts: &facts, make, full, held: held.as_deref() };
    report::conditions(&mut status, &seen, now, &mut events);
    let again = match (pending, &held) {
        (true, _) => Some(announced.filter(|left| *left > 0).map_or(GRACE, |left| left.min(GRACE))),
        (false, Some(_)) => Some(wave::ASK),
        (false, None) => due_in.filter(|_| allowed),
    };
    RingPlan {
        unusable: usable.is_empty().then(|| report::why_unusable(&status)),
        again,
        status,
        make,
        asks_wave: held.is_some(),
        usable,
        active,
        published,
        recipients_changed,
        events,
    }
}

/// Seconds until a key is to be made: at once where none is active or the active one is not wrapped as the spec says.
/// `None` where the spec does not say when.
fn due_in(keys: &[RingKey], spec: &KeyRingSpec, facts: &Facts<'_>, now: i64) -> Option<i64> {
    let Some(active) = newest_active(keys, now) else { return Some(0) };
    if !facts.is_protected_by(spec, active) {
        return Some(0);
    }
    let every = i64::try_from(spec.rotation_every().ok()?.as_secs()).unwrap_or(i64::MAX / 2);
    Some((created_at(active, now) + every - now).max(0))
}

fn newest_active(keys: &[RingKey], now: i64) -> Option<&RingKey> {
    keys.iter().filter(|key| key.state == KeyState::Active).max_by_key(|key| created_at(key, now))
}

/// Ends the use of keys that the spec retires, takes up those that it does not name any more, and notes which of them
/// are gone: only where the active key is in sight, because else this may not be the namespace that they are in, and not
/// while a Secret of that name is there that cannot be read.
fn retire(keys: &mut Vec<RingKey>, observed: &Observed<'_>, facts: &Facts<'_>, events: &mut Vec<RingEvent>) {
    let sees_active = keys.iter().any(|key| key.state == KeyState::Active && facts.has(&key.recipient));
    let is_unreadable = |key: &RingKey| {
        let name = key.recipient.parse().ok().map(|recipient| secret_name(observed.ring, &recipient));
        name.is_some_and(|name| facts.malformed.contains(&&*name))
    };
    for key in keys.iter_mut() {
        let before = key.state;
        let is_ended = matches!(before, KeyState::Retired | KeyState::Destroyed);
        key.state = match (facts.retired.contains(&*key.recipient), facts.has(&key.recipient)) {
            (true, true) => KeyState::Retired,
            (true, false) if before == KeyState::Retired && sees_active && !is_unreadable(key) => {
                KeyState::Destroyed
            }
            (true, false) if is_ended => before,
            (true, false) => KeyState::Retired,
            (false, true) if is_ended => KeyState::OpenOnly,
            (false, _) => before,
        };
        let (reason, message) = match key.state {
            state if state == before => continue,
            KeyState::Retired => (Reason::KeyRetired, format!("key {} is no longer used", key.key_id)),
            KeyState::Destroyed => {
                (Reason::KeyDestroyed, format!("the private half of the retired key {} is gone", key.key_id))
            }
            _ => continue,
        };
        events.push(RingEvent { reason, message, warning: false });
    }
    keys.retain(|key| key.state != KeyState::Destroyed || facts.retired.contains(&*key.recipient));
}

/// What was found, sorted out.
struct Facts<'a> {
    /// The recipients whose private keys were read.
    present: BTreeSet<Recipient>,
    /// Those that an administrator trusts.
    trusted: BTreeSet<&'a str>,
    /// Those that are not to be used.
    retired: BTreeSet<&'a str>,
    /// Those that somebody has backed up, when that is waited for.
    backed_up: Option<BTreeSet<&'a str>>,
    /// The names of the Secrets that hold no identity.
    malformed: Vec<&'a str>,
    /// The Secrets by recipient.
    secrets: BTreeMap<&'a str, &'a Found>,
}

impl<'a> Facts<'a> {
    fn of(observed: &Observed<'a>) -> Self {
        let set = |list: &'a [String]| list.iter().map(String::as_str).collect();
        let mut facts = Self {
            present: BTreeSet::new(),
            trusted: set(&observed.spec.trusted),
            retired: set(&observed.spec.retired),
            backed_up: observed.spec.waits_for_backup().then(|| set(&observed.spec.backed_up)),
            malformed: Vec::new(),
            secrets: BTreeMap::new(),
        };
        for found in observed.found {
            match &found.recipient {
                Some(recipient) => {
                    let text = recipient.as_str();
                    // A readable Secret of a recipient wins over a locked one that only says to be of it.
                    if found.locked && facts.secrets.get(text).is_some_and(|other| !other.locked) {
                        continue;
                    }
                    facts.secrets.insert(text, found);
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

    /// Whether its private half is there and could not be unwrapped.
    fn is_locked(&self, recipient: &str) -> bool {
        self.secrets.get(recipient).is_some_and(|found| found.locked)
    }

    fn protection(&self, recipient: &str) -> Option<ProtectionKind> {
        self.secrets.get(recipient).map(|found| found.protection)
    }

    /// Whether it is wrapped as the spec says: the way that it names, and as far as that can be told the key.
    fn is_protected_by(&self, spec: &KeyRingSpec, key: &RingKey) -> bool {
        // Of one that is locked nobody knows whether it says the truth.
        let found = self.secrets.get(&*key.recipient).filter(|found| !found.locked);
        let by = found.and_then(|found| found.wrapped_by.as_deref());
        key.protection.unwrap_or_default() == spec.protection_kind()
            && by.is_none_or(|by| spec.protection.as_ref().is_none_or(|protection| protection.may_name(by)))
    }

    /// The Secrets that would be used if they could be unwrapped.
    fn shut(&self, keys: &[RingKey]) -> Vec<&'a Found> {
        let untrusted = self.untrusted(keys);
        let is_wanted = |text: &&str| !self.retired.contains(text) && !untrusted.contains(text);
        let locked = self.secrets.iter().filter(|(text, found)| found.locked && is_wanted(text));
        locked.map(|(_, found)| *found).collect()
    }

    /// Whether its backup, if one is asked for, was made.
    fn is_saved(&self, recipient: &str) -> bool {
        self.backed_up.as_ref().is_none_or(|saved| saved.contains(recipient))
    }

    /// The recipients that neither the ring made nor an administrator names.
    fn untrusted(&self, keys: &[RingKey]) -> Vec<&'a str> {
        let known = |recipient: &str| {
            self.trusted.contains(recipient)
                || self.retired.contains(recipient)
                || keys.iter().any(|key| key.recipient == recipient)
        };
        self.secrets.keys().copied().filter(|recipient| !known(recipient)).collect()
    }

    /// Whether identities exist that nobody names, and not one that is trusted or listed, or no key is listed at all: a
    /// sign of a ring that lost its memory. That the spec retires or trusts one of them says nothing about the others.
    fn all_untrusted(&self, keys: &[RingKey]) -> bool {
        let is_used = |recipient: &&str| {
            self.trusted.contains(recipient) || keys.iter().any(|key| key.recipient == **recipient)
        };
        !self.untrusted(keys).is_empty() && (keys.is_empty() || !self.secrets.keys().any(is_used))
    }

    /// Whether the ring has made keys and not one of them is here: everything was lost, or this is not the namespace
    /// that they are in. Two operators by mistake serving one ring would otherwise make keys against each other.
    fn all_missing(&self, keys: &[RingKey]) -> bool {
        let mut made = keys.iter().filter(|key| key.opens()).peekable();
        made.peek().is_some() && made.all(|key| !self.has(&key.recipient))
    }
}

/// Announces the new keys that were read back. Those that cannot become active any more go on as keys that open: one whose
/// Secret is gone, and where another key is active one that is not wrapped as the spec has it by now.
fn announce(keys: &mut [RingKey], observed: &Observed<'_>, facts: &Facts<'_>, now: i64) {
    let has_active = keys.iter().any(|key| key.state == KeyState::Active);
    let all_missing = facts.all_missing(keys);
    for key in keys.iter_mut().filter(|key| key.state == KeyState::Pending) {
        let is_here = facts.has(&key.recipient);
        if is_here && !facts.is_locked(&key.recipient) {
            // Where that is not kept, each look would begin the time anew.
            let since = if observed.forgetful { created_at(key, now) } else { now };
            key.announced_at.get_or_insert_with(|| conditions::time(since));
        }
        let is_lost = key.is_announced() && !is_here && !all_missing;
        let is_passed_over = has_active && is_here && !facts.is_protected_by(observed.spec, key);
        if is_lost || is_passed_over {
            key.state = KeyState::OpenOnly;
        }
    }
}

/// Publishes the first pending key whose private key was read back, whose announcement is over, and whose backup, if
/// asked for, was made.
fn activate(
    keys: &mut [RingKey],
    observed: &Observed<'_>,
    facts: &Facts<'_>,
    now: i64,
    events: &mut Vec<RingEvent>,
) {
    // The first key has nobody to be announced to, and nothing else could be sealed for meanwhile.
    let is_first = keys.iter().all(|key| key.state != KeyState::Active);
    let ready = |key: &RingKey| {
        key.state == KeyState::Pending
            && facts.has(&key.recipient)
            && !facts.is_locked(&key.recipient)
            && facts.is_saved(&key.recipient)
            && (is_first || announced_until(key, observed.spec, now) <= now)
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

/// When a pending key has been announced for as long as the spec says.
fn announced_until(key: &RingKey, spec: &KeyRingSpec, now: i64) -> i64 {
    let announced = spec.announced_for().map_or(0, |announced| announced.as_secs());
    let since = key.announced_at.as_ref().map_or(now, |time| time.0.as_second());
    since.saturating_add(i64::try_from(announced).unwrap_or(i64::MAX / 2))
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
