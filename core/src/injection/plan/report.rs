//! The second half of a decision: what the API server and the endpoints answered means for status, events and the next look.

use std::collections::BTreeMap;

use waxwing_crds::{
    ConditionType, InjectionStatus, Published, Reason, ReceiverState, ReceiverStatus, conditions,
    conditions::{set, time},
};

use super::{Fault, Finding, Good, Input, Memory, Plan, Terms, mark, named};
use crate::plan::{
    Event, Next, Outcome, Write,
    report::{landed, news},
    with_advice,
};

/// Seconds between two looks at endpoints that have not loaded what is published.
const PENDING: u64 = 3;
/// Seconds between two looks at endpoints that have.
const WATCH: u64 = 30;

/// What the endpoints show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// How many have loaded what is published; none where that is not looked at.
    pub load: Option<Load>,
    /// Receivers through which notifications fail at the moment, and what is said of it; none where that is not looked at.
    pub failing: Option<BTreeMap<String, String>>,
    /// What a call to reload, or another call to the server, was answered with, where it failed.
    pub refused: Option<(Reason, String)>,
}

/// How many endpoints have loaded what is published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Those that have.
    pub loaded: usize,
    /// All.
    pub all: usize,
    /// What stands against the others: safe to show.
    pub problem: Option<String>,
}

impl Load {
    fn is_whole(&self) -> bool {
        self.all > 0 && self.loaded == self.all
    }
}

/// What is to be said, and when to look again.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The whole status, if it differs from what is there.
    pub status: Option<InjectionStatus>,
    /// Events, if something has changed.
    pub events: Vec<Event>,
    /// When to look again.
    pub next: Next,
    /// What to remember.
    pub memory: Memory,
    /// Why the object is not in effect, if it is not.
    pub failure: Option<Reason>,
    /// Whether a Secret was put right against another writer.
    pub drift_corrected: bool,
    /// Whether the published revision is now known to be loaded everywhere, and was not before.
    pub newly_loaded: Option<i64>,
}

/// Turns the answers into status, events and the next look. `outcomes` are those of the published Secrets, in their order;
/// or the write that was refused.
pub fn report(
    input: &Input<'_>,
    memory: &Memory,
    plan: &Plan,
    outcomes: Result<&[Outcome], (&Write, &Outcome)>,
    seen: &Seen,
) -> Report {
    let mut memory = memory.clone();
    memory.secret.expire(input.now);
    match &plan.finding {
        Finding::Deleting => Report::quiet(Next::OnChange, memory),
        Finding::Waiting { seconds } => Report::quiet(Next::After(*seconds), memory),
        Finding::Suspended => suspended(input, memory),
        Finding::Failing(fault) => failing(input, memory, fault),
        Finding::Good(good) => match secrets(input, plan, outcomes) {
            Ok(secrets) => succeeded(input, memory, good, outcomes.unwrap_or_default(), &secrets, seen),
            Err((reason, what)) => {
                let message = with_advice(&what, reason);
                if let (true, Err((write, _))) = (reason.stalled(), outcomes) {
                    memory.secret.refused =
                        Some(crate::plan::Refused::of(&input.look(), write, reason, &message));
                }
                failing(input, memory, &Fault { reason, message })
            }
        },
    }
}

impl Report {
    fn quiet(next: Next, memory: Memory) -> Self {
        let (status, failure, newly_loaded) = (None, None, None);
        Self { status, events: Vec::new(), next, memory, failure, drift_corrected: false, newly_loaded }
    }
}

/// Uid and resource version of each published Secret as it is now.
fn secrets(
    input: &Input<'_>,
    plan: &Plan,
    outcomes: Result<&[Outcome], (&Write, &Outcome)>,
) -> Result<Vec<(String, String)>, (Reason, String)> {
    let owned = |(uid, version): (&str, &str)| (uid.to_owned(), version.to_owned());
    match outcomes {
        Err((_, outcome)) => Err(match landed(None, outcome) {
            Err(refused) => refused,
            Ok(_) => (Reason::InternalError, "a write was refused and made".to_owned()),
        }),
        Ok(_) if plan.writes.published.is_empty() => {
            let there = input.targets.iter().flatten();
            Ok(there.map(|target| (target.uid.clone(), target.resource_version.clone())).collect())
        }
        Ok(outcomes) => outcomes.iter().map(|outcome| landed(None, outcome).map(owned)).collect(),
    }
}

fn suspended(input: &Input<'_>, memory: Memory) -> Report {
    let object = &input.object;
    let mut status = object.status.clone();
    let message = "paused by the annotation waxwing.dev/suspend; what is published stays as it is";
    conditions::suspended(&mut status.conditions, message, object.generation, input.now);
    status.observed_generation = object.generation.or(status.observed_generation);
    Report { status: changed(input, status), ..Report::quiet(Next::OnChange, memory) }
}

fn failing(input: &Input<'_>, memory: Memory, fault: &Fault) -> Report {
    let object = &input.object;
    let Fault { reason, message } = fault;
    let mut status = object.status.clone();
    conditions::failing(&mut status.conditions, *reason, message, object.generation, input.now);
    let judged = [Reason::ConfigInvalid, Reason::RouteTestFailed, Reason::TargetUnsupported];
    if judged.contains(reason) {
        say(input, &mut status, ConditionType::ConfigValid, false, *reason, message);
    }
    status.observed_generation = object.generation.or(status.observed_generation);
    Report {
        status: changed(input, status),
        events: news(&object.status.conditions, *reason, message),
        failure: Some(*reason),
        ..Report::quiet(Next::after(*reason), memory)
    }
}

fn succeeded(
    input: &Input<'_>,
    mut memory: Memory,
    good: &Good,
    outcomes: &[Outcome],
    secrets: &[(String, String)],
    seen: &Seen,
) -> Report {
    let (object, now) = (&input.object, input.now);
    let Ok(terms) = input.terms else { return Report::quiet(Next::OnChange, memory) };
    let settled = outcomes.iter().map(|outcome| memory.secret.settled(good.touched, outcome, now));
    let drift_corrected = settled.fold(false, |any, corrected| any | corrected);

    let mut status = object.status.clone();
    let mut events = Vec::new();
    let mut tell =
        |warning, reason: Reason, note: &str| events.push(Event { warning, reason, note: note.to_owned() });
    let before = object.status.published.clone().unwrap_or_default();
    let is_new = before.revision != good.revision || before.rolled_back_from != good.rolled_back_from;
    // From now on loading is looked at: the time for it begins.
    let begins = terms.within.is_some()
        && before.loaded_at.is_none()
        && conditions::get(&object.status.conditions, ConditionType::Loaded).is_none();
    let mut published = Published {
        revision: good.revision,
        rolled_back_from: good.rolled_back_from,
        secrets: named(terms, secrets),
        at: if is_new || begins { Some(time(now)) } else { before.at.clone() },
        loaded_at: if is_new { good.loaded.then(|| time(now)) } else { before.loaded_at.clone() },
        ..before.clone()
    };
    let load = seen.load.as_ref();
    let newly_loaded = published.loaded_at.is_none() && load.is_some_and(Load::is_whole);
    if newly_loaded {
        published.loaded_at = Some(time(now));
    }
    status.receivers.clone_from(&good.receivers);
    status.literals.clone_from(&good.literals);
    match &seen.failing {
        Some(failing) => memory.failing.clone_from(failing),
        None if !terms.watches_delivery => memory.failing.clear(),
        None => {}
    }
    for receiver in &mut status.receivers {
        let fails = memory.failing.contains_key(&receiver.name);
        match receiver.state {
            ReceiverState::Live if fails => receiver.state = ReceiverState::Failing,
            ReceiverState::Failing if !fails => receiver.state = ReceiverState::Live,
            _ => {}
        }
    }
    if good.gathered {
        status.refreshed_at = terms.refresh.is_some().then(|| time(now));
        status.refreshed = object.refresh().cloned();
    }
    say(input, &mut status, ConditionType::ConfigValid, true, Reason::Published, "");
    let waits = loading(input, terms, &mut status, &published, load);
    let verdict = judge(input, terms, &status, &published, waits, seen);
    match &verdict {
        None => conditions::ready(
            &mut status.conditions,
            Reason::Published,
            &summary(&published, &status.receivers),
            object.generation,
            now,
        ),
        Some((reason, message)) => {
            conditions::failing(&mut status.conditions, *reason, message, object.generation, now);
            news(&object.status.conditions, *reason, message).into_iter().for_each(|event| {
                tell(event.warning, event.reason, &event.note);
            });
        }
    }
    if let Some((reason, note)) = degrade(input, &mut status, &memory)
        && verdict.as_ref().is_none_or(|(other, _)| *other != reason)
    {
        tell(true, reason, &note);
    }
    if is_new && good.rolled_back_from.is_none() {
        tell(false, Reason::Published, &format!("revision {} was published", good.revision));
    }
    if newly_loaded {
        tell(false, Reason::Loaded, &format!("revision {} was loaded by every endpoint", good.revision));
    }
    if drift_corrected {
        tell(
            true,
            Reason::DriftCorrected,
            "the published Secret had been changed by somebody else and was restored",
        );
    }
    if good.adopts {
        tell(false, Reason::Adopted, "the existing Secret allowed it, and is now kept by this object");
    }
    if !status.literals.is_empty() && status.literals != object.status.literals {
        let what = format!("credentials stand in the document itself: {}", status.literals.join(", "));
        tell(true, Reason::LiteralCredential, &with_advice(&what, Reason::LiteralCredential));
    }
    if status.observed_generation != object.generation || status.source.is_none() {
        status.source = input.source.cloned();
    }
    status.observed_generation = object.generation.or(status.observed_generation);
    status.published = Some(published);
    mark::make(input, &mut status);
    let next = next(input, terms, &status, waits, seen, verdict.is_some());
    Report {
        status: changed(input, status),
        events,
        failure: verdict.map(|(reason, _)| reason),
        drift_corrected,
        newly_loaded: newly_loaded.then_some(good.revision),
        ..Report::quiet(next, memory)
    }
}

/// How far loading has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// It is not waited for.
    Not,
    /// There is still time.
    Pending,
    /// The time is over.
    Late,
}

/// The condition `Loaded`.
fn loading(
    input: &Input<'_>,
    terms: &Terms,
    status: &mut InjectionStatus,
    published: &Published,
    load: Option<&Load>,
) -> Waits {
    let Some(load) = load else {
        if terms.within.is_none() {
            conditions::remove(&mut status.conditions, ConditionType::Loaded);
            status.loaded_replicas = None;
        }
        return Waits::Not;
    };
    status.loaded_replicas = Some(format!("{}/{}", load.loaded, load.all));
    if load.is_whole() {
        let message =
            format!("revision {} is loaded by {} of {} endpoints", published.revision, load.loaded, load.all);
        say(input, status, ConditionType::Loaded, true, Reason::Loaded, &message);
        return Waits::Not;
    }
    let problem = load.problem.as_deref().map(|problem| format!(": {problem}")).unwrap_or_default();
    let message = format!(
        "revision {} is loaded by {} of {} endpoints{problem}",
        published.revision, load.loaded, load.all
    );
    let at = published.at.as_ref().map_or(input.now, |at| at.0.as_second());
    let is_over = terms.within.is_some_and(|within| at + within <= input.now);
    if published.loaded_at.is_some() || !is_over {
        say(input, status, ConditionType::Loaded, false, Reason::LoadPending, &message);
        // What was loaded once and is not seen everywhere any more, such as by a new replica, is in effect all the same.
        return if published.loaded_at.is_some() { Waits::Not } else { Waits::Pending };
    }
    say(input, status, ConditionType::Loaded, false, Reason::NotLoaded, &message);
    Waits::Late
}

/// Why the generation is not in effect, if it is not.
fn judge(
    input: &Input<'_>,
    terms: &Terms,
    status: &InjectionStatus,
    published: &Published,
    waits: Waits,
    seen: &Seen,
) -> Option<(Reason, String)> {
    let with = |reason, what: String| Some((reason, with_advice(&what, reason)));
    let loaded = conditions::get(&status.conditions, ConditionType::Loaded);
    let seen_so_far = loaded.map(|loaded| loaded.message.clone()).unwrap_or_default();
    if let Some(from) = published.rolled_back_from {
        let what = format!(
            "revision {from} was not loaded in time, so revision {} is published again",
            published.revision
        );
        return with(Reason::NotLoaded, what);
    }
    match waits {
        Waits::Late => return with(Reason::NotLoaded, seen_so_far),
        Waits::Pending => return with(Reason::LoadPending, seen_so_far),
        Waits::Not => {}
    }
    if let Some((reason, message)) = &seen.refused {
        return with(*reason, message.clone());
    }
    // What a team lacks is said to the team, and degrades the whole: it is in no team's hand to have the whole not ready.
    let own = |receiver: &&ReceiverStatus| {
        receiver.credentials.is_empty()
            || receiver.credentials.iter().any(|credential| credential.namespace.is_none())
    };
    let credentials = status
        .receivers
        .iter()
        .filter(own)
        .flat_map(|receiver| receiver.credentials.iter().map(move |credential| (receiver, credential)));
    let old = credentials.clone().find(|(_, credential)| {
        let since = credential.stale_since.as_ref().map(|since| since.0.as_second());
        since.is_some_and(|since| since + terms.max_stale <= input.now)
    });
    if let Some((receiver, credential)) = old {
        let what = format!("{}: {}: {}", receiver.name, credential.field, problem(credential));
        return with(Reason::CredentialExpired, what);
    }
    let mut receivers = status.receivers.iter().filter(own);
    let missing = receivers.find(|receiver| receiver.state == ReceiverState::Quarantined);
    missing.and_then(|receiver| {
        let credential = receiver.credentials.iter().find(|credential| credential.problem.is_some());
        let what = credential.map(|credential| format!("{}: {}", credential.field, problem(credential)));
        let what = what.unwrap_or_else(|| "a credential was never had".to_owned());
        with(Reason::CredentialUnresolved, format!("{} is quarantined: {what}", receiver.name))
    })
}

fn problem(credential: &waxwing_crds::CredentialStatus) -> String {
    format!("{}: {}", credential.from, credential.problem.as_deref().unwrap_or_default())
}

/// The condition `Degraded`; gives what is new about it.
fn degrade(input: &Input<'_>, status: &mut InjectionStatus, memory: &Memory) -> Option<(Reason, String)> {
    let names = |state| {
        let those = status.receivers.iter().filter(|receiver| receiver.state == state);
        those.map(|receiver| receiver.name.as_str()).collect::<Vec<_>>()
    };
    let few = |names: &[&str]| {
        let more = names.len().saturating_sub(5);
        let shown = names.iter().take(5).copied().collect::<Vec<_>>().join(", ");
        if more == 0 { shown } else { format!("{shown} and {more} more") }
    };
    let (quarantined, stale, failing) =
        (names(ReceiverState::Quarantined), names(ReceiverState::Stale), names(ReceiverState::Failing));
    let mut parts = Vec::new();
    let mut reason = None;
    for (list, word, why) in [
        (&quarantined, "quarantined", Reason::CredentialUnresolved),
        (&stale, "on the last good credential", Reason::CredentialStale),
        (&failing, "failing to deliver", Reason::DeliveryFailing),
    ] {
        if !list.is_empty() {
            parts.push(format!("{word}: {}", few(list)));
            reason = reason.or(Some(why));
        }
    }
    let unknown = memory.failing.get("").map(|message| format!("failing to deliver: {message}"));
    if let Some(unknown) = unknown {
        parts.push(unknown);
        reason = reason.or(Some(Reason::DeliveryFailing));
    }
    let Some(reason) = reason else {
        conditions::remove(&mut status.conditions, ConditionType::Degraded);
        return None;
    };
    let note = with_advice(&parts.join("; "), reason);
    let known = conditions::get(&input.object.status.conditions, ConditionType::Degraded);
    let is_news = known.is_none_or(|known| known.status != "True" || known.message != note);
    say(input, status, ConditionType::Degraded, true, reason, &note);
    is_news.then_some((reason, note))
}

fn next(
    input: &Input<'_>,
    terms: &Terms,
    status: &InjectionStatus,
    waits: Waits,
    seen: &Seen,
    has_failed: bool,
) -> Next {
    let lacks =
        status.receivers.iter().flat_map(|receiver| &receiver.credentials).any(|one| one.problem.is_some());
    // The next look takes it back. If that one could not, because nothing was loaded before, no other one can.
    let was_late =
        super::is_condition(&input.object.status.conditions, ConditionType::Loaded, Reason::NotLoaded);
    if waits == Waits::Late && terms.rolls_back && !was_late {
        return Next::Soon;
    }
    if waits == Waits::Pending {
        return Next::After(PENDING);
    }
    if let Some((reason, _)) = &seen.refused {
        return Next::after(*reason);
    }
    if lacks {
        return Next::Backoff;
    }
    let left = |at: i64| u64::try_from(at.saturating_sub(input.now)).unwrap_or(0).max(1);
    let read = status.refreshed_at.as_ref().map(|at| at.0.as_second());
    let refresh = terms.refresh.zip(read).map(|(every, read)| left(read + every));
    let watches = seen.load.is_some() || seen.failing.is_some();
    let soonest = refresh.into_iter().chain(watches.then_some(WATCH)).chain(terms.poll).min();
    match soonest {
        Some(seconds) => Next::After(seconds),
        None if has_failed => Next::Ceiling,
        None => Next::OnChange,
    }
}

fn say(
    input: &Input<'_>,
    status: &mut InjectionStatus,
    type_: ConditionType,
    is_true: bool,
    reason: Reason,
    message: &str,
) {
    set(&mut status.conditions, type_, is_true, reason, message, input.object.generation, input.now);
}

fn summary(published: &Published, receivers: &[ReceiverStatus]) -> String {
    let receivers = match receivers.len() {
        1 => "1 receiver".to_owned(),
        count => format!("{count} receivers"),
    };
    format!("revision {} with {receivers}", published.revision)
}

/// The status, if it differs from the one that is there.
fn changed(input: &Input<'_>, status: InjectionStatus) -> Option<InjectionStatus> {
    (status != *input.object.status).then_some(status)
}
