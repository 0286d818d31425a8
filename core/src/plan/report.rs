//! The second half of a decision: what the API server's answer means for status, events and the next look.

use waxwing_crds::{Condition, ConditionType, Reason, Retry, SealedSecretStatus, conditions};

use super::{Answer, Finding, Good, Input, Memory, Plan, Refused, mark, with_advice};

/// What became of the write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was to be written.
    None,
    /// The Secret was made.
    Created {
        /// Its uid.
        uid: String,
        /// Its resource version.
        resource_version: String,
    },
    /// The Secret was applied.
    Applied {
        /// Its uid.
        uid: String,
        /// Its resource version.
        resource_version: String,
        /// Whether that changed what is in it.
        changed: bool,
    },
    /// The Secret was deleted.
    Deleted,
    /// Another writer owns these fields of it, and nothing may be taken.
    FieldConflict {
        /// The fields, as the API server names them.
        fields: Vec<String>,
    },
    /// Somebody else was faster, again and again.
    Conflict,
    /// The Secret was deleted and made anew meanwhile.
    Replaced,
    /// Kubernetes does not change these fields.
    Immutable {
        /// The fields, as the API server names them.
        fields: Vec<String>,
    },
    /// The API server or an admission policy refused it for another cause.
    Rejected {
        /// The HTTP status.
        code: u16,
        /// The fields, as the API server names them.
        fields: Vec<String>,
    },
    /// It may do this, but something else than its rights stands against it.
    Denied {
        /// What.
        by: Denier,
    },
    /// The operator may not do this here.
    Forbidden {
        /// What it wanted to do.
        verb: &'static str,
    },
    /// The namespace is being deleted.
    NamespaceTerminating,
    /// The API server asks for fewer requests.
    Throttled,
    /// No answer, or a server error.
    Unavailable,
    /// The answer could not be understood.
    Internal,
}

/// What stands against a write that the operator's rights allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denier {
    /// A webhook or a policy of admission.
    Admission,
    /// The namespace's quota.
    Quota,
}

/// What is to be said, and when to look again.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The whole status, if it differs from what is there.
    pub status: Option<SealedSecretStatus>,
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
    /// How many values are older than one already seen; `None` when this look does not tell.
    pub rolled_back: Option<usize>,
}

/// An event on the SealedSecret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whether it deserves attention.
    pub warning: bool,
    /// Its reason.
    pub reason: Reason,
    /// Its note.
    pub note: String,
}

/// When to look again, besides when something changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// When something changes.
    OnChange,
    /// After so many seconds.
    After(u64),
    /// The next try is likely to succeed.
    Soon,
    /// With exponential backoff.
    Backoff,
    /// At the ceiling of the backoff.
    Ceiling,
}

impl Next {
    /// When to look again at an object that is not in effect for this reason.
    #[must_use]
    pub fn after(reason: Reason) -> Self {
        match reason.retry() {
            _ if reason.stalled() => Self::Ceiling,
            Retry::Soon => Self::Soon,
            Retry::Backoff => Self::Backoff,
            Retry::OnChange => Self::Ceiling,
        }
    }
}

/// The event about a failure, unless the status tells it already.
pub(crate) fn news(before: &[Condition], reason: Reason, message: &str) -> Vec<Event> {
    let before = conditions::get(before, ConditionType::Ready);
    let known = before.is_some_and(|ready| ready.status == "False" && ready.reason == reason.as_str());
    let event = Event { warning: true, reason, note: message.to_owned() };
    if known { Vec::new() } else { vec![event] }
}

/// Turns the answer to a plan's write into status, events and the next look.
pub fn report(input: &Input<'_>, memory: &Memory, plan: &Plan, outcome: &Outcome) -> Report {
    let mut memory = memory.clone();
    memory.expire(input.now);
    match &plan.finding {
        Finding::Deleting => Report::quiet(Next::OnChange, memory),
        Finding::Waiting { seconds } => Report::quiet(Next::After(*seconds), memory),
        Finding::Suspended => suspended(input, memory),
        Finding::Failing { reason, message } => failing(input, memory, *reason, message),
        Finding::Good(good) => match landed(good.in_sync.as_ref(), outcome) {
            Ok((uid, version)) => succeeded(input, memory, good, outcome, (uid, version)),
            Err((reason, what)) => {
                let message = with_advice(&what, reason);
                if reason.stalled() {
                    memory.refused = Some(Refused::of(&input.look(), &plan.write, reason, &message));
                }
                failing(input, memory, reason, &message)
            }
        },
    }
}

impl Report {
    fn quiet(next: Next, memory: Memory) -> Self {
        let (status, failure, rolled_back) = (None, None, None);
        Self { status, events: Vec::new(), next, memory, failure, drift_corrected: false, rolled_back }
    }
}

/// Uid and resource version of the Secret that is now right, or why it isn't.
pub(crate) fn landed<'a>(
    in_sync: Option<&'a (String, String)>,
    outcome: &'a Outcome,
) -> Result<(&'a str, &'a str), (Reason, String)> {
    let named = |what: &str, fields: &[String]| match fields {
        [] => what.to_owned(),
        fields => format!("{what} ({})", fields.join(", ")),
    };
    Err(match outcome {
        Outcome::Created { uid, resource_version } | Outcome::Applied { uid, resource_version, .. } => {
            return Ok((uid, resource_version));
        }
        Outcome::None => match in_sync {
            Some((uid, version)) => return Ok((uid, version)),
            None => (Reason::InternalError, "a write was planned and not made".to_owned()),
        },
        // Nothing is left to be in order.
        Outcome::Deleted => return Ok(("", "")),
        Outcome::FieldConflict { fields } => {
            (Reason::FieldConflict, named("another writer owns what would be merged", fields))
        }
        Outcome::Conflict => (Reason::ApiConflict, "another writer was faster".to_owned()),
        Outcome::Denied { by: Denier::Admission } => (
            Reason::ApiRejected,
            "an admission webhook or policy of the cluster refused the Secret".to_owned(),
        ),
        Outcome::Denied { by: Denier::Quota } => {
            (Reason::ApiRejected, "the namespace's quota leaves no room for the Secret".to_owned())
        }
        Outcome::Forbidden { verb } => {
            (Reason::ApiForbidden, format!("the operator may not {verb} Secrets in this namespace"))
        }
        Outcome::Immutable { fields } => {
            (Reason::ImmutableTarget, named("Kubernetes does not change these fields of the Secret", fields))
        }
        Outcome::Internal => (Reason::InternalError, "the API server's answer was not understood".to_owned()),
        Outcome::NamespaceTerminating => {
            (Reason::NamespaceTerminating, "the namespace is being deleted".to_owned())
        }
        Outcome::Rejected { code, fields } => {
            (Reason::ApiRejected, named(&format!("the API server refused the Secret with {code}"), fields))
        }
        Outcome::Replaced => (Reason::TargetReplaced, "the Secret was made anew meanwhile".to_owned()),
        Outcome::Throttled => (Reason::ApiThrottled, "the API server asks for fewer requests".to_owned()),
        Outcome::Unavailable => (Reason::ApiUnavailable, "the API server did not answer".to_owned()),
    })
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
    set_source(input, &mut status);
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
    let drift_corrected = memory.settled(good.touched, outcome, input.now);

    let mut status = object.status.clone();
    conditions::ready(&mut status.conditions, Reason::Synced, &summary(good), object.generation, input.now);
    let mut events = Vec::new();
    let mut say = |warning, reason, note: &str| events.push(Event { warning, reason, note: note.to_owned() });
    let before = conditions::get(&object.status.conditions, ConditionType::Ready);
    if before.is_some_and(|ready| ready.status == "False") {
        say(false, Reason::Synced, "the Secret holds what the spec says");
    }
    if drift_corrected {
        say(true, Reason::DriftCorrected, "the Secret had been changed by somebody else and was restored");
    }
    if good.adopts {
        say(false, Reason::Adopted, "the existing Secret allowed it, and is now kept by this object");
    }
    match &good.answer {
        Answer::Old => {}
        Answer::Made => {
            say(
                false,
                Reason::EnvelopesProposed,
                "run `waxwing rewrap --from-cluster` and commit the result",
            );
        }
        Answer::Failed { reason, message } => {
            say(true, *reason, &format!("no envelopes are proposed: {}", with_advice(message, *reason)));
        }
    }
    let attention = attention(good);
    match &attention {
        None => conditions::remove(&mut status.conditions, ConditionType::Degraded),
        Some((reason, note)) => {
            let known = conditions::get(&object.status.conditions, ConditionType::Degraded);
            if known.is_none_or(|known| known.status != "True" || known.message != *note) {
                say(true, *reason, note);
            }
            let (type_, list) = (ConditionType::Degraded, &mut status.conditions);
            conditions::set(list, type_, true, *reason, note, object.generation, input.now);
        }
    }
    status.keys.clone_from(&good.keys);
    status.proposed_envelopes.clone_from(&good.proposed);
    // One that is not under our mark is not believed.
    if !(good.touched || good.in_sync.is_some()) {
        status.source = None;
    }
    set_source(input, &mut status);
    status.applied = object.spec.ok().and_then(|spec| mark::make(input, spec, &status, secret));
    status.observed_generation = object.generation.or(status.observed_generation);
    Report {
        status: changed(input, status),
        events,
        drift_corrected,
        rolled_back: Some(good.rolled_back.len()),
        ..Report::quiet(Next::OnChange, memory)
    }
}

/// What is in effect and deserves attention all the same. The most serious thing gives the reason, the message has all.
fn attention(good: &Good) -> Option<(Reason, String)> {
    let mut found = Vec::new();
    if !good.rolled_back.is_empty() {
        let what = super::older_values(&good.rolled_back);
        found.push((Reason::RolledBack, with_advice(&what, Reason::RolledBack)));
    }
    if !good.lacking.is_empty() {
        let what = format!("an envelope is not for {}, whom the KeyRing requires", good.lacking.join(", "));
        let reason = Reason::RequiredRecipientMissing;
        found.push((reason, with_advice(&what, reason)));
    }
    let reason = found.first()?.0;
    Some((reason, found.into_iter().map(|(_, note)| note).collect::<Vec<_>>().join("; ")))
}

/// The commit of a new generation; of the same one, what was found when it was new.
fn set_source(input: &Input<'_>, status: &mut SealedSecretStatus) {
    if status.observed_generation != input.object.generation || status.source.is_none() {
        status.source = input.source.cloned();
    }
}

fn summary(good: &Good) -> String {
    let present = good.keys.iter().filter(|key| key.removed != Some(true)).count();
    match present {
        1 => "1 value opened".to_owned(),
        present => format!("{present} values opened"),
    }
}

/// The status, if it differs from the one that is there.
fn changed(input: &Input<'_>, status: SealedSecretStatus) -> Option<SealedSecretStatus> {
    (status != *input.object.status).then_some(status)
}
