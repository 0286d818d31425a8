//! What every loop does with a report: the events to people and the log, and when to look again.

use std::time::Duration;

use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use tracing::{info, warn};
use waxwing_core::plan::{Event, Next, Outcome};
use waxwing_crds::{Source, names};

use crate::{context::Context, queue::Verdict, source::Synced, status::NotSaid, store::ObjectKey};

/// An object of ours, as events name it. One of the cluster has no namespace in its key.
pub(crate) fn about(kind: &str, key: &ObjectKey, metadata: &ObjectMeta) -> ObjectReference {
    ObjectReference {
        api_version: Some(names::API_VERSION.to_owned()),
        kind: Some(kind.to_owned()),
        namespace: Some(key.namespace().to_owned()).filter(|namespace| !namespace.is_empty()),
        name: Some(key.name().to_owned()),
        uid: metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// Tells each event, to the log too, with the commit that the object is at.
pub(crate) async fn tell(
    ctx: &Context,
    key: &ObjectKey,
    about: &ObjectReference,
    events: &[Event],
    source: Option<&Source>,
) {
    let revision = source.map(|source| source.revision.as_str());
    for event in events {
        let reason = event.reason.as_str();
        if event.warning {
            warn!(object = %key, reason, revision, "{}", event.note);
            ctx.events.warning(about, event.reason, &event.note).await;
        } else {
            info!(object = %key, reason, revision, "{}", event.note);
            ctx.events.normal(about, event.reason, &event.note).await;
        }
    }
}

/// Measures how long after the GitOps tool's sync something was applied, where both are known.
pub(crate) fn applied(ctx: &Context, synced: Option<&Synced>, outcomes: &[Outcome]) {
    let is_applied =
        outcomes.iter().any(|outcome| matches!(outcome, Outcome::Created { .. } | Outcome::Applied { .. }));
    if let Some(since) = synced.and_then(|synced| synced.since).filter(|_| is_applied) {
        let seconds = u64::try_from(ctx.now().saturating_sub(since)).unwrap_or(0);
        ctx.metrics.commit_applied(Duration::from_secs(seconds));
    }
}

/// When to look again. `again` is when to look for nothing but the commit.
pub(crate) fn verdict(said: Result<(), NotSaid>, next: Next, again: Option<Duration>) -> Verdict {
    match (said, next) {
        (Err(NotSaid::Gone), _) => Verdict::Done,
        // Without the status, the next look does not know what this one has done.
        (Err(NotSaid::Refused), _) => Verdict::Backoff,
        (Err(NotSaid::Rejected), _) => Verdict::Ceiling,
        (Ok(()), Next::OnChange) => again.map_or(Verdict::Done, Verdict::After),
        (Ok(()), Next::After(seconds)) => {
            let next = Duration::from_secs(seconds);
            Verdict::After(again.map_or(next, |again| again.min(next)))
        }
        (Ok(()), Next::Soon) => Verdict::Soon,
        (Ok(()), Next::Backoff) => Verdict::Backoff,
        (Ok(()), Next::Ceiling) => Verdict::Ceiling,
    }
}
