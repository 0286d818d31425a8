//! The ring's conditions. They name Secrets and short ids; nothing of a private key is known here.

use waxwing_crds::{ConditionType, KeyRingStatus, KeyState, Reason, conditions};

use super::{Facts, InUse, KEY_LIMIT, Observed, RingEvent};
use crate::keys::{NamedRecipient, Recipient};

/// Names that a message lists before it only counts.
const NAMES: usize = 5;

/// What a plan has found, besides the keys.
pub(super) struct Seen<'a> {
    pub(super) observed: &'a Observed<'a>,
    pub(super) facts: &'a Facts<'a>,
    /// Whether a key is to be made.
    pub(super) make: bool,
    /// Whether the ring takes no more keys.
    pub(super) full: bool,
    /// Why a rotation that is due waits.
    pub(super) held: Option<&'a str>,
}

/// Sets all conditions, and adds an event when what deserves attention has changed.
pub(super) fn conditions(status: &mut KeyRingStatus, seen: &Seen<'_>, now: i64, events: &mut Vec<RingEvent>) {
    let Seen { observed, facts, make, full, held } = *seen;
    let generation = observed.generation;
    let before = status.conditions.clone();
    converged(status, observed, now);
    match obstacle(status, observed, facts, make) {
        Some((reason, message)) => {
            conditions::failing(&mut status.conditions, reason, &message, generation, now)
        }
        None => {
            let message = summary(status, held);
            conditions::ready(&mut status.conditions, Reason::Synced, &message, generation, now);
        }
    }
    match attention(status, observed, facts, full) {
        Some((reason, message)) => {
            let type_ = ConditionType::Degraded;
            conditions::set(&mut status.conditions, type_, true, reason, &message, generation, now);
        }
        None => conditions::remove(&mut status.conditions, ConditionType::Degraded),
    }
    for type_ in [ConditionType::Stalled, ConditionType::Degraded] {
        let message =
            |list| conditions::get(list, type_).filter(|c| c.status == "True").map(|c| c.message.clone());
        let new = message(&status.conditions);
        if let Some(text) = new.filter(|text| message(&before).as_ref() != Some(text))
            && let Some(reason) = reason_of(status, type_)
        {
            events.push(RingEvent { reason, message: text, warning: true });
        }
    }
}

/// The reason for objects when no identity can be used.
pub(super) fn why_unusable(status: &KeyRingStatus) -> Reason {
    match reason_of(status, ConditionType::Ready) {
        Some(reason @ (Reason::UntrustedIdentities | Reason::ProtectionUnavailable)) => reason,
        _ => Reason::KeyRingNotReady,
    }
}

fn reason_of(status: &KeyRingStatus, type_: ConditionType) -> Option<Reason> {
    let word = &conditions::get(&status.conditions, type_)?.reason;
    Reason::all().iter().copied().find(|reason| reason.as_str() == word)
}

/// Why the ring's present generation is not in effect.
fn obstacle(
    status: &KeyRingStatus,
    observed: &Observed<'_>,
    facts: &Facts<'_>,
    make: bool,
) -> Option<(Reason, String)> {
    if let Some(message) = malformed_spec(observed) {
        return Some((Reason::InvalidSpec, message));
    }
    if facts.all_untrusted(&status.keys) {
        let untrusted = facts.untrusted(&status.keys).into_iter();
        let names =
            names(untrusted.filter_map(|recipient| facts.secrets.get(recipient)).map(|found| &*found.secret));
        return Some((
            Reason::UntrustedIdentities,
            format!("identities exist that the ring does not know, so no key is made: {names}"),
        ));
    }
    if facts.all_missing(&status.keys) {
        let message = "the Secrets of all listed keys are gone: restore them (waxwing keys restore), or retire the keys";
        return Some((Reason::IdentityMissing, message.to_owned()));
    }
    let mut active = status.keys.iter().filter(|key| key.state == KeyState::Active);
    if let Some(message) = shut(status, observed, facts)
        && active.any(|key| facts.is_locked(&key.recipient))
    {
        return Some((Reason::ProtectionUnavailable, message));
    }
    if status.keys.iter().any(|key| key.state == KeyState::Active) {
        return None;
    }
    if let Some(trouble) = observed.trouble {
        return Some((
            Reason::ProtectionUnavailable,
            format!("a new identity could not be wrapped: {trouble}"),
        ));
    }
    let waiting = status.keys.iter().find(|key| key.state == KeyState::Pending && facts.has(&key.recipient));
    Some(match waiting {
        Some(key) if facts.is_locked(&key.recipient) => {
            let message = shut(status, observed, facts);
            (
                Reason::ProtectionUnavailable,
                message.unwrap_or_else(|| format!("key {} is locked", key.key_id)),
            )
        }
        Some(key) => {
            (Reason::BackupAwaited, format!("key {} waits until spec.backedUp names it", key.key_id))
        }
        None if make => (Reason::Progressing, "the first key is being made".to_owned()),
        None => (Reason::KeyRingNotReady, "a key is listed and its Secret is not there yet".to_owned()),
    })
}

/// The first thing in the spec that is not of its form.
fn malformed_spec(observed: &Observed<'_>) -> Option<String> {
    let spec = observed.spec;
    if let Err(error) = spec.rotation_every() {
        return Some(format!("spec.rotation.every is {error}"));
    }
    for (place, other) in spec.recipients.iter().enumerate() {
        let named = other.recipient.parse().and_then(|recipient| NamedRecipient::new(&other.name, recipient));
        if let Err(error) = named {
            return Some(format!("spec.recipients[{place}]: {error}"));
        }
    }
    if let Err(error) = spec.announced_for() {
        return Some(format!("spec.rotation.announce is {error}"));
    }
    if let Some(Err(error)) = spec.rotates_after().map(waxwing_crds::RotatesAfter::waits_at_most) {
        return Some(format!("spec.rotation.after.atMost is {error}"));
    }
    let lists = [("trusted", &spec.trusted), ("retired", &spec.retired), ("backedUp", &spec.backed_up)];
    for (field, list) in lists {
        for (place, text) in list.iter().enumerate() {
            if let Err(error) = text.parse::<Recipient>() {
                return Some(format!("spec.{field}[{place}]: {error}"));
            }
        }
    }
    None
}

/// What works and deserves attention all the same. The most serious thing gives the reason, the message has all.
fn attention(
    status: &KeyRingStatus,
    observed: &Observed<'_>,
    facts: &Facts<'_>,
    full: bool,
) -> Option<(Reason, String)> {
    let mut found: Vec<(Reason, String)> = Vec::new();
    let keys = &status.keys;
    if let Some(trouble) = observed.trouble {
        found
            .push((Reason::ProtectionUnavailable, format!("a new identity could not be wrapped: {trouble}")));
    }
    found.extend(shut(status, observed, facts).map(|message| (Reason::ProtectionUnavailable, message)));
    found.extend(observed.unproven.map(|message| (Reason::ProtectionUnavailable, message.to_owned())));
    let missing: Vec<_> =
        keys.iter().filter(|key| key.opens() && !facts.has(&key.recipient)).map(|key| &*key.key_id).collect();
    if !missing.is_empty() {
        let names = names(missing.iter().copied());
        found.push((
            Reason::IdentityMissing,
            format!("the Secrets of {} listed keys are gone: {names}", missing.len()),
        ));
    }
    if !facts.malformed.is_empty() {
        let names = names(facts.malformed.iter().copied());
        let message = format!("{} Secrets hold no usable identity: {names}", facts.malformed.len());
        found.push((Reason::MalformedIdentity, message));
    }
    let untrusted: Vec<_> = facts
        .untrusted(keys)
        .into_iter()
        .filter_map(|recipient| facts.secrets.get(recipient))
        .map(|found| &*found.secret)
        .collect();
    if !untrusted.is_empty() && !facts.all_untrusted(keys) {
        let names = names(untrusted.iter().copied());
        let message = format!("{} identities are not trusted and not used: {names}", untrusted.len());
        found.push((Reason::UntrustedIdentity, message));
    }
    let has_active = keys.iter().any(|key| key.state == KeyState::Active);
    let waiting = keys.iter().find(|key| {
        key.state == KeyState::Pending && facts.has(&key.recipient) && !facts.is_saved(&key.recipient)
    });
    if let Some(key) = waiting.filter(|_| has_active) {
        found.push((Reason::BackupAwaited, format!("key {} waits until spec.backedUp names it", key.key_id)));
    }
    if full {
        let message = format!(
            "the ring lists {KEY_LIMIT} keys and makes no more: destroy retired ones, and take them out of spec.retired"
        );
        found.push((Reason::LimitExceeded, message));
    }
    let reason = found.first()?.0;
    Some((reason, found.into_iter().map(|(_, message)| message).collect::<Vec<_>>().join("; ")))
}

/// Which identities cannot be used because they could not be unwrapped, and why.
fn shut(status: &KeyRingStatus, observed: &Observed<'_>, facts: &Facts<'_>) -> Option<String> {
    let shut = facts.shut(&status.keys);
    let why = observed.refused.map(|why| format!(" ({why})")).unwrap_or_default();
    let names = names(shut.iter().map(|found| &*found.secret));
    (!shut.is_empty()).then(|| format!("{} identities could not be unwrapped: {names}{why}", shut.len()))
}

/// Whether every live value opens with the active key. Other clusters' rings go by it. Left as it was while that is not known.
fn converged(status: &mut KeyRingStatus, observed: &Observed<'_>, now: i64) {
    let active = |keys: &[waxwing_crds::RingKey]| -> Vec<String> {
        let active = keys.iter().filter(|key| key.state == KeyState::Active);
        active.map(|key| key.recipient.clone()).collect()
    };
    let (active, counted) = (active(&status.keys), active(&observed.status.keys));
    let in_use = match observed.in_use {
        None if active == counted => return,
        // Nothing that was counted could speak for a key that is new.
        in_use => in_use.unwrap_or_default(),
    };
    let (is_so, reason, message) = match in_use {
        _ if active.is_empty() => (false, Reason::KeyRingNotReady, "no key is active".to_owned()),
        // Those that were counted are the older keys of the ring as it was.
        _ if active != counted => {
            (false, Reason::Progressing, "another key has just become active".to_owned())
        }
        InUse { unsettled: 1.., .. } => {
            (false, Reason::Progressing, "not every object was looked at yet, or is in effect".to_owned())
        }
        InUse { by_older: 0, .. } => {
            (true, Reason::Synced, "every live value opens with the active key".to_owned())
        }
        // No number: it would be a write for each value that is sealed anew. The metric has it.
        InUse { .. } => {
            (false, Reason::OlderKeysInUse, "live values are still opened by older keys".to_owned())
        }
    };
    let type_ = ConditionType::Converged;
    conditions::set(&mut status.conditions, type_, is_so, reason, &message, observed.generation, now);
}

/// What a ring in order is made of.
fn summary(status: &KeyRingStatus, held: Option<&str>) -> String {
    let active =
        status.keys.iter().find(|key| key.state == KeyState::Active).map_or("none", |key| &key.key_id);
    let older = status.keys.iter().filter(|key| key.state == KeyState::OpenOnly).count();
    let waits = held.map(|why| format!("; a rotation is due and waits: {why}")).unwrap_or_default();
    let next = status.keys.iter().find(|key| key.state == KeyState::Pending);
    let next = next.map(|key| format!("; key {} is the next one", key.key_id)).unwrap_or_default();
    format!("active key {active}; {older} older keys open only{next}{waits}")
}

/// A few names, and how many more there are.
fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let mut all: Vec<_> = all.collect();
    all.sort_unstable();
    let more = all.len().saturating_sub(NAMES);
    all.truncate(NAMES);
    let shown = all.join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}
