//! The measurements that are the same for both operators.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ListParams, WatchEvent, WatchParams};
use tokio::sync::mpsc;
use waxwing_tests::control_plane::ControlPlane;

use crate::load::{self, Kind, Place};
use crate::machine::Resident;
use crate::observe::{Observer, Seen};
use crate::side::{Edit, Side};

/// How long everything may take to converge.
const WITHIN: Duration = Duration::from_secs(180);
/// How long one edit may take to arrive.
const EDIT_WITHIN: Duration = Duration::from_secs(10);
/// An operator is at rest when it has used at most [`REST_CPU`] in [`REST`].
const REST: Duration = Duration::from_secs(3);
const REST_CPU: Duration = Duration::from_millis(60);
/// How long it may take until it rests.
const RESTS_WITHIN: Duration = Duration::from_secs(90);

/// From nothing to converged.
#[derive(Clone, Debug)]
pub(crate) struct Converged {
    pub(crate) seconds: f64,
    /// CPU time of the operator until then.
    pub(crate) cpu: f64,
    pub(crate) memory: Resident,
    /// What it wrote, by verb and resource, but for its lease.
    pub(crate) writes: BTreeMap<String, usize>,
}

/// A restart with nothing to do.
#[derive(Clone, Debug)]
pub(crate) struct Restart {
    /// CPU time until the operator rests.
    pub(crate) cpu: f64,
    pub(crate) memory: Resident,
    pub(crate) writes: BTreeMap<String, usize>,
}

/// From an edit to the Secret, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    pub(crate) edits: usize,
    pub(crate) median: f64,
    pub(crate) p99: f64,
    /// The median of the edit's own request, which is a part of it.
    pub(crate) request: f64,
}

/// The objects are there, and the operator is started.
pub(crate) async fn cold<S: Side>(
    plane: &ControlPlane,
    side: &mut S,
    objects: &Arc<Vec<String>>,
) -> Result<Converged> {
    load::create(&plane.admin, S::KIND, objects.clone()).await?;
    load::calm().await;
    let observer = Observer::start(&plane.admin, S::KIND).await;
    let mark = plane.audit.mark();
    let began = Instant::now();
    side.start()?;
    converge(plane, side, observer, objects.len(), began, Duration::ZERO, mark).await
}

/// The operator runs, and the objects are made.
pub(crate) async fn live<S: Side>(
    plane: &ControlPlane,
    side: &mut S,
    objects: &Arc<Vec<String>>,
) -> Result<Converged> {
    side.start()?;
    load::calm().await;
    let observer = Observer::start(&plane.admin, S::KIND).await;
    let (mark, used) = (plane.audit.mark(), side.process()?.cpu());
    let began = Instant::now();
    load::create(&plane.admin, S::KIND, objects.clone()).await?;
    converge(plane, side, observer, objects.len(), began, used, mark).await
}

async fn converge<S: Side>(
    plane: &ControlPlane,
    side: &mut S,
    mut observer: Observer,
    count: usize,
    began: Instant,
    used: Duration,
    mark: waxwing_tests::audit::Mark,
) -> Result<Converged> {
    let converged = observer.converged(count, WITHIN).await;
    side.process()?.check_alive()?;
    let converged = converged.with_context(|| {
        let log = side.process().map(|process| process.log_tail(5)).unwrap_or_default();
        format!("{} did not converge within {WITHIN:?}: {}\n{log}", S::NAME, observer.state())
    })?;
    let cpu = side.process()?.cpu().saturating_sub(used).as_secs_f64();
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(Converged {
        seconds: (converged - began).as_secs_f64(),
        cpu,
        memory: Resident::of(side.process()?),
        writes: writes(plane, side, mark)?,
    })
}

/// Ends the operator and starts it again; nothing has changed meanwhile.
pub(crate) async fn restart<S: Side>(plane: &ControlPlane, side: &mut S) -> Result<Restart> {
    side.stop().await?;
    load::calm().await;
    let mark = plane.audit.mark();
    side.start()?;
    let cpu = until_at_rest(side).await?;
    Ok(Restart {
        cpu: cpu.as_secs_f64(),
        memory: Resident::of(side.process()?),
        writes: writes(plane, side, mark)?,
    })
}

/// Waits until the operator has nothing to do, and gives the CPU time that it has used since its start.
async fn until_at_rest<S: Side>(side: &mut S) -> Result<Duration> {
    let began = Instant::now();
    let mut at_rest_since = (Instant::now(), Duration::ZERO);
    while began.elapsed() < RESTS_WITHIN {
        tokio::time::sleep(Duration::from_millis(250)).await;
        side.process()?.check_alive()?;
        let used = side.process()?.cpu();
        let (since, then) = at_rest_since;
        if used.saturating_sub(then) > REST_CPU {
            at_rest_since = (Instant::now(), used);
        } else if since.elapsed() >= REST {
            return Ok(used);
        }
    }
    anyhow::bail!("{} does not come to rest within {RESTS_WITHIN:?}", S::NAME)
}

fn writes<S: Side>(
    plane: &ControlPlane,
    side: &S,
    mark: waxwing_tests::audit::Mark,
) -> Result<BTreeMap<String, usize>> {
    let calls = plane.audit.since(mark, &side.user());
    ensure!(!calls.is_empty(), "the audit log has nothing of {}, not even its lists", S::NAME);
    let mut writes = BTreeMap::new();
    for call in calls.iter().filter(|call| call.is_write() && call.resource() != "leases") {
        *writes.entry(format!("{} {}", call.verb, call.resource())).or_default() += 1;
    }
    Ok(writes)
}

/// When the next edit is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// When the Secret of the one before has arrived; its status is then still to be written.
    BackToBack,
    /// When the one before has converged.
    Settled,
}

/// Edits one object after another.
pub(crate) async fn latency<S: Side>(plane: &ControlPlane, edits: Vec<Edit>, pace: Pace) -> Result<Latency> {
    load::calm().await;
    let secrets: Api<Secret> = Api::all(plane.admin.clone());
    let now =
        secrets.list(&ListParams::default().limit(1)).await?.metadata.resource_version.unwrap_or_default();
    let (sender, mut events) = mpsc::unbounded_channel();
    let params = WatchParams::default().timeout(290);
    let mut stream = secrets.watch(&params, &now).await?.boxed();
    let watching = tokio::spawn(async move {
        while let Ok(Some(event)) = stream.try_next().await {
            if let WatchEvent::Added(secret) | WatchEvent::Modified(secret) = event
                && sender.send((Instant::now(), secret)).is_err()
            {
                return;
            }
        }
    });
    let (mut took, mut requests) = (Vec::with_capacity(edits.len()), Vec::with_capacity(edits.len()));
    for edit in &edits {
        let one = one_edit(plane, S::KIND, edit, &mut events).await;
        let (all, request) = one.with_context(|| format!("{}: an edit", S::NAME))?;
        took.push(all);
        requests.push(request);
        if pace == Pace::Settled {
            let settled = tokio::time::timeout(EDIT_WITHIN, settled(plane, S::KIND, &edit.place)).await;
            settled.with_context(|| format!("{} did not say that an edit is in effect", S::NAME))??;
        }
    }
    watching.abort();
    ensure!(!took.is_empty(), "there are edits");
    for values in [&mut took, &mut requests] {
        values.sort_by(f64::total_cmp);
    }
    let at = |values: &[f64], percent: usize| values[values.len() * percent / 100];
    Ok(Latency { edits: took.len(), median: at(&took, 50), p99: at(&took, 99), request: at(&requests, 50) })
}

/// From before the request to the event that shows the new value, and to the request's answer, in milliseconds.
async fn one_edit(
    plane: &ControlPlane,
    kind: Kind,
    edit: &Edit,
    events: &mut mpsc::UnboundedReceiver<(Instant, Secret)>,
) -> Result<(f64, f64)> {
    let Place { namespace, name } = &edit.place;
    let (path, body) = (format!("{}/{name}", kind.path(namespace)), edit.patch.to_string());
    let is_it = |secret: &Secret| {
        secret.metadata.name.as_ref() == Some(name)
            && secret.metadata.namespace.as_ref() == Some(namespace)
            && secret
                .data
                .as_ref()
                .and_then(|data| data.get(edit.key))
                .is_some_and(|got| got.0 == edit.value.as_bytes())
    };
    let began = Instant::now();
    load::send(&plane.admin, "PATCH", path, "application/merge-patch+json", body).await?;
    let request = began.elapsed();
    let arrived = async {
        while let Some((at, secret)) = events.recv().await {
            if is_it(&secret) {
                return Some(at);
            }
        }
        None
    };
    let at = tokio::time::timeout(EDIT_WITHIN, arrived).await.context("it did not arrive")?;
    let all = at.context("the watch has ended")? - began;
    Ok((all.as_secs_f64() * 1000.0, request.as_secs_f64() * 1000.0))
}

/// Waits until an object says that it is in sync at its generation.
async fn settled(plane: &ControlPlane, kind: Kind, Place { namespace, name }: &Place) -> Result<()> {
    loop {
        let path = format!("{}/{name}", kind.path(namespace));
        let text = load::send(&plane.admin, "GET", path, "application/json", String::new()).await?;
        if serde_json::from_str::<Seen>(&text)?.is_done() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}
