//! The second half of a decision: what the API server's answer means for status, events and the next look.

use waxwing_crds::{ConditionType, ExternalSecretStatus, Reason, conditions, names};

use super::{
    Finding, Good, Input, Memory, Plan, due, mark,
    rollout::{self, Due},
};
use crate::plan::{
    Event, Next, Outcome, Refused,
    report::{landed, news},
    with_advice,
};

/// What is to be said, and when to look again.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The whole status, if it differs from what is there.
    pub status: Option<ExternalSecretStatus>,
    /// Events, if something has changed.
    pub events: Vec<Event>,
    /// When to look again.
    pub next: Next,
    /// What to remember.
    pub memory: Memory,
    /// Why the object is not in effect, if it is not.
    pub failure: Option<Reason>,
    /// Whether the Secret was put right against another writer.
    pub drift_corrected: bool,
    /// Workloads to restart, because their Secret holds other values than before.
    pub rollouts: Vec<Due>,
}

/// Turns the answer to a plan's write into status, events and the next look.
pub fn report(input: &Input<'_>, memory: &Memory, plan: &Plan, outcome: &Outcome) -> Report {
    let mut memory = memory.clone();
    memory.secret.expire(input.now);
    match &plan.finding {
        Finding::Deleting => Report::quiet(Next::OnChange, memory),
        Finding::Waiting { seconds } => Report::quiet(Next::After(*seconds), memory),
        Finding::Suspended => suspended(input, memory),
        Finding::Failing { reason, message, all_missing } => {
            memory.missing_since = all_missing.then(|| memory.missing_since.unwrap_or(input.now));
            failing(input, memory, *reason, message)
        }
        Finding::Good(good) => match landed(good.in_sync.as_ref(), outcome) {
            Ok(secret) => succeeded(input, memory, good, outcome, secret),
            Err((reason, what)) => {
                let message = with_advice(&what, reason);
                if reason.stalled() {
                    memory.secret.refused = Some(Refused::of(&input.look(), &plan.write, reason, &message));
                }
                failing(input, memory, reason, &message)
            }
        },
    }
}

impl Report {
    fn quiet(next: Next, memory: Memory) -> Self {
        let (status, failure) = (None, None);
        let (drift_corrected, rollouts) = (false, Vec::new());
        Self { status, events: Vec::new(), next, memory, failure, drift_corrected, rollouts }
    }
}

fn suspended(input: &Input<'_>, memory: Memory) -> Report {
    let object = &input.object;
    let mut status = object.status.clone();
    let message = "paused by the annotation waxwing.dev/suspend; the Secret stays as it is";
    conditions::suspended(&mut status.conditions, message, object.generation, input.now);
    status.observed_generation = object.generation.or(status.observed_generation);
    Report { status: changed(input, status), ..Report::quiet(Next::OnChange, memory) }
}

fn failing(input: &Input<'_>, memory: Memory, reason: Reason, message: &str) -> Report {
    let object = &input.object;
    let mut status = object.status.clone();
    conditions::failing(&mut status.conditions, reason, message, object.generation, input.now);
    status.missing_since = memory.missing_since.map(conditions::time);
    // A wish is heard when it has been tried, not when it was granted: what fails is tried again anyway.
    status.observed_generation = object.generation.or(status.observed_generation);
    Report {
        status: changed(input, status),
        events: news(&object.status.conditions, reason, message),
        failure: Some(reason),
        ..Report::quiet(Next::after(reason), memory)
    }
}

fn succeeded(
    input: &Input<'_>,
    mut memory: Memory,
    good: &Good,
    outcome: &Outcome,
    secret: (&str, &str),
) -> Report {
    let object = &input.object;
    let drift_corrected = memory.secret.settled(good.touched, outcome, input.now);
    if good.fetched {
        memory.fetched = Some(input.now);
        memory.by_time = good.interval.is_some();
        if !good.gone {
            memory.missing_since = None;
        }
    }
    // Also of a lease that another process was given: reckoned anew by each look, it would come ever later.
    memory.lease_due = good.lease_due;
    memory.leases = good
        .entries
        .iter()
        .filter_map(|entry| entry.lease.as_ref())
        .map(|lease| lease.id.clone())
        .filter(|id| !id.is_empty())
        .collect();
    memory.lessor = good.store.clone().filter(|_| !memory.leases.is_empty());

    let mut status = object.status.clone();
    let reason = if good.gone { Reason::EntryDeleted } else { Reason::Synced };
    conditions::ready(&mut status.conditions, reason, &summary(input, good), object.generation, input.now);
    let mut events = Vec::new();
    let mut say = |warning, reason, note: &str| events.push(Event { warning, reason, note: note.to_owned() });
    let before = conditions::get(&object.status.conditions, ConditionType::Ready);
    if before.is_some_and(|ready| ready.status == "False") {
        say(false, Reason::Synced, "the Secret holds what the provider has");
    }
    if drift_corrected {
        say(true, Reason::DriftCorrected, "the Secret had been changed by somebody else and was restored");
    }
    if good.adopts {
        say(false, Reason::Adopted, "the existing Secret allowed it, and is now kept by this object");
    }
    if matches!(outcome, Outcome::Deleted) {
        say(true, Reason::EntryDeleted, Reason::EntryDeleted.cause());
    } else if good.changed && matches!(outcome, Outcome::Applied { .. }) && !drift_corrected {
        say(false, Reason::Refreshed, "the Secret was brought to the provider's present values");
    }
    status.store = good.store.as_ref().map(Into::into);
    status.entries.clone_from(&good.entries);
    status.missing_since = memory.missing_since.map(conditions::time);
    if good.fetched {
        status.refreshed = object.annotations.get(names::REFRESH).cloned();
        let interval = good.interval.unwrap_or(due::DEFAULT).max(due::WRITTEN);
        let written = status.refresh_time.as_ref().map(|time| time.0.as_second());
        let is_old = written.is_none_or(|written| !(0..interval).contains(&(input.now - written)));
        if is_old || good.changed {
            status.refresh_time = Some(conditions::time(input.now));
        }
    }
    if good.fetched && (good.changed || status.observed_generation != object.generation)
        || status.source.is_none()
    {
        status.source = input.source.cloned().or(status.source.take().filter(|_| !good.changed));
    }
    let rollouts = match good.gone {
        true => Vec::new(),
        false => rollout::plan(&good.rollouts, &mut status, &good.values, input.now),
    };
    status.applied = mark::make(input, &status, &good.values, secret);
    status.observed_generation = object.generation.or(status.observed_generation);
    let next = match good.due {
        None => Next::OnChange,
        Some(due) => Next::After(u64::try_from(due - input.now).unwrap_or(0).max(1)),
    };
    Report {
        status: changed(input, status),
        events,
        drift_corrected,
        rollouts,
        ..Report::quiet(next, memory)
    }
}

fn summary(input: &Input<'_>, good: &Good) -> String {
    if good.gone {
        return "the provider has no such entries any more, and the Secret was deleted".to_owned();
    }
    let store = good.store.as_ref().map(|store| format!(" from {store}")).unwrap_or_default();
    match good.keys {
        Some(1) => format!("1 key{store}"),
        Some(keys) => format!("{keys} keys{store}"),
        // Nothing was fetched: what was said stays.
        None => {
            let ready = conditions::get(&input.object.status.conditions, ConditionType::Ready);
            match ready.filter(|ready| ready.status == "True" && ready.reason == Reason::Synced.as_str()) {
                Some(ready) => ready.message.clone(),
                None => format!("in order{store}"),
            }
        }
    }
}

/// The status, if it differs from the one that is there.
fn changed(input: &Input<'_>, status: ExternalSecretStatus) -> Option<ExternalSecretStatus> {
    (status != *input.object.status).then_some(status)
}
