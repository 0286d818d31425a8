//! The ring's conditions. They name Secrets and short ids; nothing of a private key is known here.

use waxwing_crds::{ConditionType, KeyRingStatus, KeyState, Reason, conditions};

use super::{Facts, KEY_LIMIT, Observed, RingEvent};
use crate::keys::{NamedRecipient, Recipient};

/// Names that a message lists before it only counts.
const NAMES: usize = 5;

/// Sets all conditions, and adds an event when what deserves attention has changed.
pub(super) fn conditions(
    status: &mut KeyRingStatus,
    observed: &Observed<'_>,
    facts: &Facts<'_>,
    make: bool,
    full: bool,
    now: i64,
    events: &mut Vec<RingEvent>,
) {
    let generation = observed.generation;
    let before = status.conditions.clone();
    match obstacle(status, observed, facts, make) {
        Some((reason, message)) => {
            conditions::failing(&mut status.conditions, reason, &message, generation, now)
        }
        None => {
            let message = summary(status);
            conditions::ready(&mut status.conditions, Reason::Synced, &message, generation, now);
        }
    }
    match attention(status, facts, full) {
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
        Some(Reason::UntrustedIdentities) => Reason::UntrustedIdentities,
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
    let protection = observed.spec.protection_kind();
    if !protection.is_supported() {
        let message = format!("protection.kind {} is not supported yet by this version", protection.as_str());
        return Some((Reason::ProtectionUnsupported, message));
    }
    if let Some(message) = malformed_spec(observed) {
        return Some((Reason::InvalidSpec, message));
    }
    if facts.all_untrusted(&status.keys) {
        let names = names(facts.secrets.values().copied());
        return Some((
            Reason::UntrustedIdentities,
            format!("identities exist and none is trusted, so no key is made: {names}"),
        ));
    }
    if facts.all_missing(&status.keys) {
        let message =
            "the Secrets of all listed keys are gone: restore them, or delete the KeyRing and create it anew";
        return Some((Reason::IdentityMissing, message.to_owned()));
    }
    if status.keys.iter().any(|key| key.state == KeyState::Active) {
        return None;
    }
    let waiting = status.keys.iter().find(|key| key.state == KeyState::Pending && facts.has(&key.recipient));
    Some(match waiting {
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
    for (field, list) in [("trusted", &spec.trusted), ("backedUp", &spec.backed_up)] {
        for (place, text) in list.iter().enumerate() {
            if let Err(error) = text.parse::<Recipient>() {
                return Some(format!("spec.{field}[{place}]: {error}"));
            }
        }
    }
    None
}

/// What works and deserves attention all the same. The most serious thing gives the reason, the message has all.
fn attention(status: &KeyRingStatus, facts: &Facts<'_>, full: bool) -> Option<(Reason, String)> {
    let mut found: Vec<(Reason, String)> = Vec::new();
    let keys = &status.keys;
    let missing: Vec<_> = keys
        .iter()
        .filter(|key| key.state.opens() && !facts.has(&key.recipient))
        .map(|key| &*key.key_id)
        .collect();
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
        .filter_map(|recipient| facts.secrets.get(recipient).copied())
        .collect();
    if !untrusted.is_empty() && !facts.all_untrusted(keys) {
        let names = names(untrusted.iter().copied());
        let message = format!("{} identities are not trusted and not used: {names}", untrusted.len());
        found.push((Reason::UntrustedIdentity, message));
    }
    let has_active = keys.iter().any(|key| key.state == KeyState::Active);
    let waiting = keys.iter().find(|key| key.state == KeyState::Pending && facts.has(&key.recipient));
    if let Some(key) = waiting.filter(|_| has_active) {
        found.push((Reason::BackupAwaited, format!("key {} waits until spec.backedUp names it", key.key_id)));
    }
    if full {
        let message = format!("the ring lists {KEY_LIMIT} keys and makes no more: destroy retired ones");
        found.push((Reason::LimitExceeded, message));
    }
    let reason = found.first()?.0;
    Some((reason, found.into_iter().map(|(_, message)| message).collect::<Vec<_>>().join("; ")))
}

/// What a ring in order is made of.
fn summary(status: &KeyRingStatus) -> String {
    let active =
        status.keys.iter().find(|key| key.state == KeyState::Active).map_or("none", |key| &key.key_id);
    let older = status.keys.iter().filter(|key| key.state == KeyState::OpenOnly).count();
    format!("active key {active}; {older} older keys open only")
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
