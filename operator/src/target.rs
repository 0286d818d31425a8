//! The metadata of produced Secrets: from the cache, and back into it after a write.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use waxwing_core::plan::{Outcome, Owner, Target, Write};
use waxwing_crds::names;

use crate::{
    apply::{self, Refusal},
    context::Context,
    records::SecretRecord,
    store::{ObjectKey, Record},
};

/// How often a plan is made anew within one look, because the Secret was another one than the caches said.
pub(crate) const ATTEMPTS: u32 = 3;

/// The Secret as the cache has it.
pub(crate) fn cached(ctx: &Context, key: &ObjectKey) -> Option<Target> {
    ctx.secrets.get(key).map(|record| of(&record))
}

/// The Secret as it is now, past the cache.
pub(crate) async fn read(ctx: &Context, key: &ObjectKey) -> Result<Option<Target>, Refusal> {
    let metadata = apply::read(&ctx.client, key.namespace(), key.name()).await?;
    Ok(metadata.map(|metadata| remember(ctx, key, &metadata)))
}

/// Makes a write, and puts what came of it into the cache.
pub(crate) async fn write(
    ctx: &Context,
    key: &ObjectKey,
    write: &Write,
    target: Option<&Target>,
) -> Result<Outcome, Refusal> {
    let before = target.map(|target| target.resource_version.as_str());
    let Some(written) = apply::write(&ctx.client, write, before).await? else {
        return Ok(Outcome::None);
    };
    if written.changed {
        ctx.look_readers_of(key);
    }
    if let Write::Delete { .. } = write {
        return Ok(Outcome::Deleted);
    }
    let Target { uid, resource_version, .. } = remember(ctx, key, &written.metadata);
    Ok(if written.created {
        Outcome::Created { uid, resource_version }
    } else {
        Outcome::Applied { uid, resource_version, changed: written.changed }
    })
}

/// Puts what the API server has answered into the cache, so that the next look is not behind.
fn remember(ctx: &Context, key: &ObjectKey, metadata: &ObjectMeta) -> Target {
    let record = SecretRecord::from(metadata);
    let target = of(&record);
    // Where the watch was faster, what it has brought stays.
    let _newer = ctx.secrets.put(key, record);
    target
}

fn of(record: &SecretRecord) -> Target {
    let annotation = |name: &str| record.annotation(name).map(|value| (name.to_owned(), value.to_owned()));
    let owners = record.owners().iter().map(|owner| Owner {
        api_version: owner.api_version.clone(),
        kind: owner.kind.clone(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
        controller: owner.controller == Some(true),
    });
    Target {
        uid: record.uid().to_owned(),
        resource_version: record.resource_version(),
        annotations: [names::OWNED_BY, names::ADOPT, names::ADOPTED, names::SEQ]
            .into_iter()
            .filter_map(annotation)
            .collect(),
        owners: owners.collect(),
    }
}
