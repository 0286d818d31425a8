//! Rotation in waves: a ring that rotates after another cluster's.
//!
//! A rotation that is due waits until the other ring has made a key in this round and every value there opens with it,
//! so that what goes wrong shows there first. The wait has an end: a cluster that is gone, or one whose tenants never
//! rewrap, delays a rotation and does not prevent it. A ring without an active key, and a change of protection, wait for
//! nobody.

use waxwing_crds::{ConditionType, KeyRing, KeyState, RingKey, conditions};

use super::{Facts, Observed, created_at, newest_active};

/// Seconds after which the other ring is asked again.
pub(super) const ASK: i64 = 60;

/// What is known of the ring that rotates first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wave {
    /// It was not asked.
    #[default]
    Unknown,
    /// It has rotated and converged.
    Passed,
    /// It has not, or could not be asked; why.
    Waiting(String),
}

/// Why a due rotation waits, if it does.
pub(super) fn held(keys: &[RingKey], observed: &Observed<'_>, facts: &Facts<'_>, now: i64) -> Option<String> {
    let after = observed.spec.rotates_after()?;
    let active = newest_active(keys, now)?;
    if !facts.is_protected_by(observed.spec, active) {
        return None;
    }
    let seconds = |duration: std::time::Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX / 4);
    let every = seconds(observed.spec.rotation_every().ok()?);
    // A malformed limit is reported, and the default holds meanwhile.
    let at_most = seconds(after.waits_at_most().unwrap_or(waxwing_crds::RotatesAfter::DEFAULT_AT_MOST));
    if now >= created_at(active, now).saturating_add(every).saturating_add(at_most) {
        return None;
    }
    match &observed.wave {
        Wave::Passed => None,
        Wave::Unknown => Some("the ring that rotates first is being asked".to_owned()),
        Wave::Waiting(why) => Some(why.clone()),
    }
}

/// What another cluster's ring means for this one. Its active key counts for this round when it was made in the second
/// half of this ring's interval: rings that were made at about the same time are not in step to the minute.
pub fn judge(observed: &Observed<'_>, other: &KeyRing, now: i64) -> Wave {
    let Some(own) = newest_active(&observed.status.keys, now) else { return Wave::Passed };
    let half = observed.spec.rotation_every().map_or(0, |every| every.as_secs() / 2);
    let round = created_at(own, now).saturating_add(i64::try_from(half).unwrap_or(i64::MAX / 4));
    let status = other.status.clone().unwrap_or_default();
    let active = status.keys.iter().filter(|key| key.state == KeyState::Active);
    let Some(newest) = active.max_by_key(|key| created_at(key, i64::MIN)) else {
        return Wave::Waiting("the ring that rotates first has no active key".to_owned());
    };
    if created_at(newest, i64::MIN) < round {
        return Wave::Waiting(format!("the ring that rotates first still has key {}", short(newest)));
    }
    if !conditions::is_true(&status.conditions, ConditionType::Converged) {
        return Wave::Waiting(format!(
            "the ring that rotates first has key {}, and not every value there opens with it yet",
            short(newest)
        ));
    }
    Wave::Passed
}

/// The id of another ring's key, from its recipient: what its status says of it is copied nowhere.
fn short(key: &RingKey) -> String {
    key.recipient
        .parse::<crate::keys::Recipient>()
        .map_or_else(|_| "?".to_owned(), |key| key.id().to_string())
}
