//! Makes the writes of a plan, one after the other: the new revision, then what is published, then the removal of old
//! revisions.

use tracing::debug;
use waxwing_core::{
    injection::plan::Writes,
    plan::{Outcome, Target, Write},
};

use crate::{context::Context, outcome, store::ObjectKey, target};

/// What became of the writes.
pub(crate) enum Published {
    /// The outcomes of the published Secrets, in their order.
    Done(Vec<Outcome>),
    /// A write was refused: which, and how. Whether a fresh look at the Secrets is worth it.
    Refused(Box<Write>, Outcome, bool),
}

/// Makes the writes. Nothing is published whose revision could not be kept.
pub(crate) async fn publish(
    ctx: &Context,
    namespace: &str,
    writes: &Writes,
    targets: &[Option<Target>],
) -> Published {
    if let Some(write) = &writes.history
        && let Err(refused) = make(ctx, namespace, write, None).await
    {
        return refused;
    }
    let mut outcomes = Vec::new();
    for (write, target) in writes.published.iter().zip(targets) {
        match make(ctx, namespace, write, target.as_ref()).await {
            Ok(outcome) => outcomes.push(outcome),
            Err(refused) => return refused,
        }
    }
    for write in &writes.pruned {
        // What stays is removed at another time.
        if let Err(Published::Refused(_, outcome, _)) = make(ctx, namespace, write, None).await {
            debug!(namespace, ?outcome, "an old revision was not removed");
        }
    }
    Published::Done(outcomes)
}

async fn make(
    ctx: &Context,
    namespace: &str,
    write: &Write,
    target: Option<&Target>,
) -> Result<Outcome, Published> {
    let name = match write {
        Write::Create(produced) | Write::Apply { produced, .. } => &produced.name,
        Write::Merge { name, .. } | Write::Delete { name, .. } => name,
        Write::None => return Ok(Outcome::None),
    };
    let key = ObjectKey::new(namespace, name);
    target::write(ctx, &key, write, target).await.map_err(|refusal| {
        debug!(object = %key, answer = refusal.describe(), "the Secret was not written");
        Published::Refused(Box::new(write.clone()), outcome::of(&refusal), refusal.is_outdated())
    })
}
