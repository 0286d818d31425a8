//! Takes objects from the queue and has them looked at, so many at once, while this replica holds the lease.

use std::{marker::PhantomData, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};
use tracing::{debug, error, info, warn};

use crate::{
    context::Context,
    queue::{Class, Queue, Verdict},
    store::ObjectKey,
};

/// How long work in hand may take after the signal to stop.
const FINISH: Duration = Duration::from_secs(20);

/// The objects of one kind, and how one of them is looked at.
pub(crate) trait Work: Send + Sync + 'static {
    /// For the log.
    const KIND: &'static str;
    /// Which are to be looked at.
    fn queue(context: &Context) -> &Queue;
    /// Those that are there.
    fn keys(context: &Context) -> Vec<ObjectKey>;
    /// Whether this one is there.
    fn is_there(context: &Context, key: &ObjectKey) -> bool;
    /// It is gone.
    fn forget(context: &Context, key: &ObjectKey);
    /// How many are looked at at once.
    fn at_once(context: &Context) -> usize;
}

/// Runs until `stop` resolves, then finishes what is in hand.
///
/// `reconcile` looks at one object. It may be dropped at any await, when the lease is lost.
pub(crate) async fn run<W, R, F>(context: Arc<Context>, stop: impl Future<Output = ()>, reconcile: R)
where
    W: Work,
    R: Fn(Arc<Context>, ObjectKey) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Verdict> + Send + 'static,
{
    tokio::pin!(stop);
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut stop => break,
            () = context.leadership.gained() => {}
        }
        // Whatever another replica did meanwhile is seen by looking at everything; in sync costs nothing. What waits already
        // is among it, and has its place in the order.
        W::queue(&context).clear();
        let keys = W::keys(&context);
        info!(kind = W::KIND, objects = keys.len(), "work begins");
        keys.iter().for_each(|key| W::queue(&context).add(key, Class::New));
        tokio::select! {
            () = &mut stop => break,
            () = context.leadership.lost() => {}
            () = give_out::<W, _, _>(&context, &mut tasks, &reconcile) => {}
        }
        tasks.shutdown().await;
        W::queue(&context).clear();
        info!(kind = W::KIND, "work ends: another replica holds the lease");
    }
    W::queue(&context).close();
    finish(&context, tasks).await;
}

async fn give_out<W, R, F>(context: &Arc<Context>, tasks: &mut JoinSet<()>, reconcile: &R)
where
    W: Work,
    R: Fn(Arc<Context>, ObjectKey) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Verdict> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(W::at_once(context)));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let Some(key) = W::queue(context).take().await else { return };
        while tasks.try_join_next().is_some() {}
        let (context, reconcile) = (context.clone(), reconcile.clone());
        tasks.spawn(async move {
            let work = InHand::<W> { context: &context, key: &key, verdict: Verdict::Soon, kind: PhantomData };
            let verdict = AssertUnwindSafe(reconcile(context.clone(), key.clone())).catch_unwind().await;
            work.done(verdict.unwrap_or_else(|_| {
                error!(object = %key, "looking at this object hit a defect of the operator; it is tried again");
                Verdict::Backoff
            }));
            drop(permit);
        });
    }
}

/// Gives the object back to the queue, also when its task is dropped.
struct InHand<'a, W: Work> {
    context: &'a Context,
    key: &'a ObjectKey,
    verdict: Verdict,
    kind: PhantomData<W>,
}

impl<W: Work> InHand<'_, W> {
    fn done(mut self, verdict: Verdict) {
        self.verdict = verdict;
    }
}

impl<W: Work> Drop for InHand<'_, W> {
    fn drop(&mut self) {
        W::queue(self.context).done(self.key, self.verdict);
        if !W::is_there(self.context, self.key) {
            // It went while it was looked at, and the look may have left something behind.
            W::forget(self.context, self.key);
        }
    }
}

async fn finish(context: &Context, mut tasks: JoinSet<()>) {
    let all = async { while tasks.join_next().await.is_some() {} };
    tokio::select! {
        finished = timeout(FINISH, all) => match finished {
            Ok(()) => debug!("what was in hand is finished"),
            Err(_) => warn!("what was in hand took too long and is left"),
        },
        // Without the lease nothing may be written any more.
        () = context.leadership.lost() => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    };

    use serde_json::json;
    use tokio::{
        sync::{oneshot, watch},
        time::{Instant, sleep},
    };

    use super::*;
    use crate::{records::IncomingSealed, sealed_secret::SealedSecrets, testing};

    /// A context with so many objects, and what decides whether its replica works.
    fn context(objects: usize) -> (Arc<Context>, watch::Sender<Option<Instant>>) {
        let (context, leader) = testing::context(testing::client(|_| (599, json!({}))), &[]);
        for number in 0..objects {
            let metadata =
                json!({"name": number.to_string(), "namespace": "a", "uid": "u", "resourceVersion": "1"});
            let object: IncomingSealed = serde_json::from_value(json!({"metadata": metadata})).unwrap();
            let (key, record) = object.into();
            context.sealed_secrets.put(&key, record).unwrap();
        }
        (context, leader)
    }

    fn for_ever() -> Option<Instant> {
        Some(Instant::now() + Duration::from_secs(1_000_000))
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_looked_at_without_the_lease_and_everything_with_it_so_many_at_once() {
        let (context, leader) = context(100);
        let (looks, at_once, most) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let counts = Arc::new((looks, at_once, most));
        let (stop, stopped) = oneshot::channel::<()>();
        let reconcile = {
            let counts = counts.clone();
            move |_, _| {
                let counts = counts.clone();
                async move {
                    counts.0.fetch_add(1, Ordering::SeqCst);
                    let now = counts.1.fetch_add(1, Ordering::SeqCst) + 1;
                    counts.2.fetch_max(now, Ordering::SeqCst);
                    sleep(Duration::from_secs(1)).await;
                    counts.1.fetch_sub(1, Ordering::SeqCst);
                    Verdict::Done
                }
            }
        };
        let running = tokio::spawn(run::<SealedSecrets, _, _>(
            context,
            async { stopped.await.unwrap_or_default() },
            reconcile,
        ));
        sleep(Duration::from_secs(60)).await;
        assert_eq!(counts.0.load(Ordering::SeqCst), 0);
        leader.send_replace(for_ever());
        sleep(Duration::from_secs(10)).await;
        assert_eq!(counts.0.load(Ordering::SeqCst), 100);
        assert_eq!(counts.2.load(Ordering::SeqCst), 32);
        stop.send(()).unwrap();
        running.await.unwrap();
    }

    /// K12. Guard: `tasks.shutdown` where the lease is lost.
    #[tokio::test(start_paused = true)]
    async fn work_in_hand_ends_when_the_lease_is_lost_and_is_done_again_when_it_is_back() {
        let (context, leader) = context(3);
        let finished = Arc::new(Mutex::new(Vec::new()));
        let reconcile = {
            let finished = finished.clone();
            move |_, key: ObjectKey| {
                let finished = finished.clone();
                async move {
                    sleep(Duration::from_secs(5)).await;
                    finished.lock().unwrap().push(key.to_string());
                    Verdict::Done
                }
            }
        };
        tokio::spawn(run::<SealedSecrets, _, _>(context, std::future::pending(), reconcile));
        leader.send_replace(Some(Instant::now() + Duration::from_secs(3)));
        sleep(Duration::from_secs(60)).await;
        assert!(finished.lock().unwrap().is_empty());
        leader.send_replace(for_ever());
        sleep(Duration::from_secs(6)).await;
        assert_eq!(finished.lock().unwrap().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_that_hits_a_defect_is_tried_again_and_stops_nobody() {
        let (context, leader) = context(2);
        leader.send_replace(for_ever());
        let looks = Arc::new(Mutex::new(Vec::new()));
        let reconcile = {
            let looks = looks.clone();
            move |_, key: ObjectKey| {
                looks.lock().unwrap().push(key.name().to_owned());
                async move {
                    assert!(key.name() != "0", "a defect");
                    Verdict::Done
                }
            }
        };
        tokio::spawn(run::<SealedSecrets, _, _>(context, std::future::pending(), reconcile));
        sleep(Duration::from_secs(30)).await;
        let looks = looks.lock().unwrap();
        let of = |name: &str| looks.iter().filter(|look| *look == name).count();
        assert_eq!(of("1"), 1);
        assert!((3..=6).contains(&of("0")), "{}", of("0"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_in_hand_is_finished_before_the_end() {
        let (context, leader) = context(1);
        leader.send_replace(for_ever());
        let (stop, stopped) = oneshot::channel::<()>();
        let finished = Arc::new(AtomicUsize::new(0));
        let reconcile = {
            let finished = finished.clone();
            move |_, _| {
                let finished = finished.clone();
                async move {
                    sleep(Duration::from_secs(10)).await;
                    finished.fetch_add(1, Ordering::SeqCst);
                    Verdict::Done
                }
            }
        };
        let running = tokio::spawn(run::<SealedSecrets, _, _>(
            context,
            async { stopped.await.unwrap_or_default() },
            reconcile,
        ));
        sleep(Duration::from_secs(1)).await;
        stop.send(()).unwrap();
        running.await.unwrap();
        assert_eq!(finished.load(Ordering::SeqCst), 1);
    }
}
