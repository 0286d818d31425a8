//! Condition types, and the one place that sets them so that Flux and Argo CD understand: by the rules of kstatus.
//!
//! `Reconciling` and `Stalled` are written from the first reconcile on, also when they are false, and never both true.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use crate::Reason;

/// The condition types that Waxwing writes.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ConditionType {
    /// The object's generation is in effect.
    Ready,
    /// The operator is at work, or waits for something that time can mend.
    Reconciling,
    /// Only a commit or a person can help.
    Stalled,
    /// In effect, and something about it deserves attention.
    Degraded,
    /// The configuration is one that its server takes.
    ConfigValid,
    /// Every endpoint has loaded what is published.
    Loaded,
    /// Every value opens with the ring's active key.
    Converged,
}

impl ConditionType {
    /// Every type, in the order of documents.
    pub const ALL: [Self; 7] = [
        Self::Ready,
        Self::Reconciling,
        Self::Stalled,
        Self::Degraded,
        Self::ConfigValid,
        Self::Loaded,
        Self::Converged,
    ];

    /// The word in the status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Degraded => "Degraded",
            Self::ConfigValid => "ConfigValid",
            Self::Loaded => "Loaded",
            Self::Converged => "Converged",
        }
    }

    /// What it means when it is true.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ready => "The object's generation is in effect.",
            Self::Reconciling => "The operator is at work, or waits for something that time can mend.",
            Self::Stalled => {
                "Only a commit or a person can help; the operator looks again at its slowest pace."
            }
            Self::Degraded => "In effect, and something about it deserves attention.",
            Self::ConfigValid => "The configuration of an injection is one that its server takes.",
            Self::Loaded => "Every endpoint of an injection has loaded what is published.",
            Self::Converged => "Every value that is sealed for a ring opens with the ring's active key.",
        }
    }
}

/// Sets one condition. The time of the last transition stays when the status does.
pub fn set(
    conditions: &mut Vec<Condition>,
    type_: ConditionType,
    status: bool,
    reason: Reason,
    message: &str,
    generation: Option<i64>,
    now: i64,
) {
    let status = if status { "True" } else { "False" };
    let since = get(conditions, type_)
        .filter(|old| old.status == status)
        .map_or_else(|| time(now), |old| old.last_transition_time.clone());
    let new = Condition {
        last_transition_time: since,
        message: shorten(message),
        observed_generation: generation,
        reason: reason.as_str().to_owned(),
        status: status.to_owned(),
        type_: type_.as_str().to_owned(),
    };
    match conditions.iter_mut().find(|old| old.type_ == type_.as_str()) {
        Some(old) => *old = new,
        None => conditions.push(new),
    }
}

/// Removes one condition.
pub fn remove(conditions: &mut Vec<Condition>, type_: ConditionType) {
    conditions.retain(|condition| condition.type_ != type_.as_str());
}

/// One condition.
#[must_use]
pub fn get(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == type_.as_str())
}

/// Whether one condition is true.
#[must_use]
pub fn is_true(conditions: &[Condition], type_: ConditionType) -> bool {
    get(conditions, type_).is_some_and(|condition| condition.status == "True")
}

/// The generation is in effect.
pub fn ready(
    conditions: &mut Vec<Condition>,
    reason: Reason,
    message: &str,
    generation: Option<i64>,
    now: i64,
) {
    set(conditions, ConditionType::Ready, true, reason, message, generation, now);
    set(conditions, ConditionType::Reconciling, false, reason, "", generation, now);
    set(conditions, ConditionType::Stalled, false, reason, "", generation, now);
}

/// The generation is not in effect: `Stalled` when only a commit or a person can help, else `Reconciling`.
pub fn failing(
    conditions: &mut Vec<Condition>,
    reason: Reason,
    message: &str,
    generation: Option<i64>,
    now: i64,
) {
    let stalled = reason.stalled();
    set(conditions, ConditionType::Ready, false, reason, message, generation, now);
    set(
        conditions,
        ConditionType::Reconciling,
        !stalled,
        reason,
        if stalled { "" } else { message },
        generation,
        now,
    );
    set(
        conditions,
        ConditionType::Stalled,
        stalled,
        reason,
        if stalled { message } else { "" },
        generation,
        now,
    );
}

/// The object is paused. It stays ready when this very generation was ready before, because nothing has been undone.
pub fn suspended(conditions: &mut Vec<Condition>, message: &str, generation: Option<i64>, now: i64) {
    let ready = get(conditions, ConditionType::Ready)
        .is_some_and(|old| old.status == "True" && old.observed_generation == generation);
    set(conditions, ConditionType::Ready, ready, Reason::Suspended, message, generation, now);
    set(conditions, ConditionType::Reconciling, false, Reason::Suspended, "", generation, now);
    set(conditions, ConditionType::Stalled, false, Reason::Suspended, "", generation, now);
}

/// Unix seconds as the API's time; what lies outside its range becomes the epoch.
#[must_use]
pub fn time(now: i64) -> Time {
    Time(Timestamp::from_second(now).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// The API's limit for messages, in bytes.
const MESSAGE_LIMIT: usize = 32_768;

/// Cuts a message at the API's limit, between characters.
fn shorten(message: &str) -> String {
    message[..message.floor_char_boundary(MESSAGE_LIMIT)].to_owned()
}

#[cfg(test)]
mod tests;
