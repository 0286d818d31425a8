//! `waxwing compact`: all values of a resource into one new envelope, so that a file that was
//! edited often becomes small again.

use super::bulk::{self, Paths};
use crate::{
    args::Context,
    error::{Failure, Result},
    identities::Options,
    revocations::Revocations,
};

/// Bring the values of each sealed resource into one new envelope. Needs an identity.
///
/// Every value gets a new token. A resource that has one envelope for the right recipients stays
/// as it is.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    paths: Paths,
    #[command(flatten)]
    identities: Options,
}

pub(crate) fn run(args: Args, context: &Context) -> Result {
    let identities = args.identities.load(context)?;
    args.paths.each(context, "compacted", &|item, repository, recipients| {
        // The same value in a new token would look like a new value.
        let revocations = Revocations::read(repository.root())?;
        let leaked = revocations.open_keys(&item.sealed);
        if !leaked.is_empty() {
            return Err(Failure::new(format!("it has values that leaked: {}", leaked.join(", "))).hint(
                "replace them with waxwing set first, or remove them; waxwing revoke --status tells more",
            ));
        }
        bulk::opened(item, &identities, repository, context, |sealed| {
            if sealed.envelopes().len() > 1 {
                return sealed.compact(&identities, recipients, context.now);
            }
            sealed.rewrap(&identities, recipients).map(|_| ())
        })
    })
}
