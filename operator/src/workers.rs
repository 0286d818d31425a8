//! Takes objects from the queue and has them looked at, so many at once, while this replica holds the lease.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tracing::{debug, error, info, warn};

use crate::{
    context::Context,
    queue::{Class, Verdict},
    store::ObjectKey,
};

/// How long work in hand may take after the signal to stop.
const FINISH: Duration = Duration::from_secs(20);

/// Runs until `stop` resolves, then finishes what is in hand.
///
/// `reconcile` looks at one object. It may be dropped at any await, when the lease is lost.
pub(crate) async fn run<R, F>(context: Arc<Context>, stop: impl Future<Output = ()>, reconcile: R)
where
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
        // Whatever another replica did meanwhile is seen by looking at everything; in sync costs nothing.
        let keys = context.sealed_secrets.keys();
        info!(objects = keys.len(), "work begins");
        keys.iter().for_each(|key| context.queue.add(key, Class::New));
        tokio::select! {
            () = &mut stop => break,
            () = context.leadership.lost() => {}
            () = give_out(&context, &mut tasks, &reconcile) => {}
        }
        tasks.shutdown().await;
        context.queue.clear();
        info!("work ends: another replica holds the lease");
    }
    context.queue.close();
    finish(&context, tasks).await;
}

async fn give_out<R, F>(context: &Arc<Context>, tasks: &mut JoinSet<()>, reconcile: &R)
where
    R: Fn(Arc<Context>, ObjectKey) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Verdict> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(usize::from(context.flags.concurrency)));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let Some(key) = context.queue.take().await else { return };
        while tasks.try_join_next().is_some() {}
        let (context, reconcile) = (context.clone(), reconcile.clone());
        tasks.spawn(async move {
            let work = InHand { context: &context, key: &key };
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
struct InHand<'a> {
    context: &'a Context,
    key: &'a ObjectKey,
}

impl InHand<'_> {
    fn done(self, verdict: Verdict) {
        self.context.queue.done(self.key, verdict);
        std::mem::forget(self);
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.context.queue.done(self.key, Verdict::Soon);
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
