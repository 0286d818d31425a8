//! Which replica works: the holder of one Lease, `waxwing-<ring>`.
//!
//! A lease does not fence: a holder that was stopped for a while may still send a request that it had begun. What is
//! written tolerates that (resource versions, uids, server-side apply); the lease only keeps two replicas from doing
//! the same work.
//!
//! Clocks of different machines are never compared. A lease counts as left when *this* process has seen it unchanged
//! for its whole duration; and the holder stops before that, counting from before it sent its last renewal.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams, core::ObjectMeta};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::{info, warn};
use waxwing_crds::names;

use crate::{api_error, queue::jittered};

/// How long others wait for the holder.
const DURATION: Duration = Duration::from_secs(15);
/// How long the holder may work on without a renewal.
const HOLD: Duration = Duration::from_secs(10);
/// How often the holder renews.
const RENEW: Duration = Duration::from_secs(4);
/// How often the others look.
const LOOK: Duration = Duration::from_secs(2);

/// Whether this replica holds the lease. Clones share it.
#[derive(Clone)]
pub struct Leadership {
    /// Until when it is certain that no other replica holds the lease.
    until: watch::Receiver<Option<Instant>>,
}

impl Leadership {
    /// Held as long as the channel says.
    #[cfg(test)]
    pub(crate) fn of(until: watch::Receiver<Option<Instant>>) -> Self {
        Self { until }
    }

    /// Whether this replica may write now. It turns false by itself when the lease was not renewed in time.
    pub fn is_held(&self) -> bool {
        self.until.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Waits until this replica holds the lease.
    pub async fn gained(&self) {
        let mut until = self.until.clone();
        while !self.is_held() {
            if until.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Waits until this replica no longer holds the lease.
    pub async fn lost(&self) {
        let mut until = self.until.clone();
        loop {
            let Some(deadline) = *until.borrow_and_update() else { return };
            tokio::select! {
                changed = until.changed() => {
                    if changed.is_err() {
                        return sleep_until(deadline).await;
                    }
                }
                () = sleep_until(deadline) => {
                    if !self.is_held() {
                        return;
                    }
                }
            }
        }
    }
}

/// What this process knows of the lease.
#[derive(Default)]
struct Seen {
    /// Holder, time of renewal and resource version, and since when they are so.
    last: Option<(Facts, Instant)>,
}

/// What a lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Facts {
    holder: String,
    version: String,
    duration: Duration,
}

/// What to do about the lease.
#[derive(Debug, PartialEq, Eq)]
enum Move {
    /// Write it with our name. `true` when we held it before.
    Take(bool),
    /// Somebody else holds it.
    Wait,
}

impl Seen {
    /// Takes in what was read, and decides.
    fn decide(&mut self, facts: Facts, me: &str, now: Instant) -> Move {
        let since = match &self.last {
            Some((last, since)) if last.version == facts.version => *since,
            _ => now,
        };
        let decision = if facts.holder == me {
            Move::Take(true)
        } else if facts.holder.is_empty() || now.duration_since(since) >= facts.duration {
            Move::Take(false)
        } else {
            Move::Wait
        };
        self.last = Some((facts, since));
        decision
    }
}

impl From<&Lease> for Facts {
    fn from(lease: &Lease) -> Self {
        let spec = lease.spec.clone().unwrap_or_default();
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Self {
            holder: spec.holder_identity.unwrap_or_default(),
            version: lease.metadata.resource_version.clone().unwrap_or_default(),
            // A forged duration must not keep everybody out for ever.
            duration: seconds.map_or(DURATION, Duration::from_secs).min(DURATION * 4),
        }
    }
}

/// Takes, renews and gives back the lease.
pub(crate) struct Elector {
    api: Api<Lease>,
    name: String,
    me: String,
    seen: Seen,
    until: watch::Sender<Option<Instant>>,
    /// Rung when the leadership was gained or lost.
    changed: Arc<Notify>,
}

impl Elector {
    /// For the ring `ring`, under the name `me`.
    pub(crate) fn new(
        client: Client,
        namespace: &str,
        ring: &str,
        me: &str,
        changed: Arc<Notify>,
    ) -> (Self, Leadership) {
        let (until, receiver) = watch::channel(None);
        let elector = Self {
            api: Api::namespaced(client, namespace),
            name: format!("{}{ring}", names::RESERVED_NAME_PREFIX),
            me: me.to_owned(),
            seen: Seen::default(),
            until,
            changed,
        };
        (elector, Leadership { until: receiver })
    }

    /// Runs until `stop` resolves, then gives the lease back.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            let pause = self.round().await;
            tokio::select! {
                () = &mut stop => break,
                () = sleep(pause) => {}
            }
        }
        self.release().await;
    }

    /// Looks at the lease once, writes it if it is ours to write, and gives the time until the next look.
    async fn round(&mut self) -> Duration {
        let sent = Instant::now();
        let held = self.until.borrow().is_some_and(|until| sent < until);
        // An answer that comes too late is of no use.
        let result = timeout(RENEW, self.turn()).await;
        match result {
            Ok(Ok(true)) => {
                self.until.send_replace(Some(sent + HOLD));
                if !held {
                    info!(lease = self.name, "this replica works now");
                    self.changed.notify_one();
                }
                return RENEW;
            }
            Ok(Ok(false)) => self.lose(held),
            Ok(Err(error)) if api_error::is_conflict(&error) => {}
            Ok(Err(error)) => {
                warn!(
                    lease = self.name,
                    error = api_error::describe_read(&error),
                    "the lease could not be kept"
                );
            }
            Err(_) => warn!(lease = self.name, "the API server does not answer in time for the lease"),
        }
        if self.until.borrow().is_some_and(|until| Instant::now() >= until) {
            self.lose(true);
        }
        jittered(LOOK)
    }

    fn lose(&self, held: bool) {
        self.until.send_replace(None);
        if held {
            warn!(lease = self.name, "this replica no longer works: it has lost the lease");
            self.changed.notify_one();
        }
    }

    /// Whether the lease is ours now.
    async fn turn(&mut self) -> kube::Result<bool> {
        let Some(lease) = self.api.get_opt(&self.name).await? else {
            self.api.create(&PostParams::default(), &self.lease(None)).await?;
            return Ok(true);
        };
        match self.seen.decide(Facts::from(&lease), &self.me, Instant::now()) {
            Move::Wait => Ok(false),
            Move::Take(renewal) => {
                let renewed = self.lease(Some((&lease, renewal)));
                self.api.replace(&self.name, &PostParams::default(), &renewed).await?;
                Ok(true)
            }
        }
    }

    /// The lease with our name in it, over the one that was read.
    fn lease(&self, old: Option<(&Lease, bool)>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let old_spec = old.and_then(|(lease, _)| lease.spec.clone());
        let renewal = old.is_some_and(|(_, renewal)| renewal);
        let transitions = old_spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or_default();
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                // The precondition: of two replicas that take it, one does.
                resource_version: old.and_then(|(lease, _)| lease.metadata.resource_version.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.me.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                acquire_time: old_spec
                    .filter(|_| renewal)
                    .and_then(|spec| spec.acquire_time)
                    .or_else(|| Some(now.clone())),
                renew_time: Some(now),
                lease_transitions: Some(if renewal { transitions } else { transitions.saturating_add(1) }),
                ..LeaseSpec::default()
            }),
        }
    }

    /// Gives the lease back, so that another replica need not wait.
    async fn release(&mut self) {
        if self.until.send_replace(None).is_none() {
            return;
        }
        let released = timeout(RENEW, async {
            let Some(mut lease) = self.api.get_opt(&self.name).await? else { return Ok(()) };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() != Some(&self.me) {
                return Ok(());
            }
            spec.holder_identity = None;
            lease.metadata.managed_fields = None;
            self.api.replace(&self.name, &PostParams::default(), &lease).await.map(|_| ())
        });
        match released.await {
            Ok(Ok(())) => info!(lease = self.name, "the lease is given back"),
            Ok(Err(error)) => {
                warn!(
                    lease = self.name,
                    error = api_error::describe(&error),
                    "the lease could not be given back"
                );
            }
            Err(_) => {
                warn!(lease = self.name, "the API server does not answer: the lease runs out by itself")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(holder: &str, version: &str) -> Facts {
        Facts { holder: holder.into(), version: version.into(), duration: DURATION }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_of_another_is_taken_only_when_it_was_seen_unchanged_for_its_whole_duration() {
        let (mut seen, begin) = (Seen::default(), Instant::now());
        assert_eq!(seen.decide(facts("other", "1"), "me", begin), Move::Wait);
        assert_eq!(seen.decide(facts("other", "1"), "me", begin + DURATION - LOOK), Move::Wait);
        assert_eq!(seen.decide(facts("other", "2"), "me", begin + DURATION), Move::Wait, "it was renewed");
        assert_eq!(seen.decide(facts("other", "2"), "me", begin + DURATION * 2), Move::Take(false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_was_given_back_is_taken_at_once() {
        let mut seen = Seen::default();
        assert_eq!(seen.decide(facts("", "1"), "me", Instant::now()), Move::Take(false));
        assert_eq!(seen.decide(facts("me", "2"), "me", Instant::now()), Move::Take(true));
    }

    /// K12. Guard: the holder stops before the others may begin.
    #[test]
    fn the_holder_stops_before_another_replica_may_begin() {
        const { assert!(HOLD.as_secs() + RENEW.as_secs() < DURATION.as_secs()) }
    }

    #[test]
    fn a_forged_duration_keeps_nobody_out_for_ever() {
        let spec = LeaseSpec { lease_duration_seconds: Some(i32::MAX), ..LeaseSpec::default() };
        let lease = Lease { spec: Some(spec), ..Lease::default() };
        assert_eq!(Facts::from(&lease).duration, Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn leadership_ends_by_itself_when_nobody_renews() {
        let (sender, until) = watch::channel(Some(Instant::now() + HOLD));
        let leadership = Leadership { until };
        assert!(leadership.is_held());
        sender.send_replace(Some(Instant::now() + HOLD * 2));
        let begin = Instant::now();
        leadership.lost().await;
        assert_eq!(begin.elapsed().as_secs(), (HOLD * 2).as_secs());
        assert!(!leadership.is_held());
        let gained = tokio::spawn({
            let leadership = leadership.clone();
            async move { leadership.gained().await }
        });
        sender.send_replace(Some(Instant::now() + HOLD));
        gained.await.unwrap();
    }
}
