//! `waxwing compact`: all values of a resource into one new envelope, so that a file that was
//! edited often becomes small again.

use super::bulk::{self, Paths};
use crate::{args::Context, error::Result, identities::Options};

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
        bulk::opened(item, &identities, repository, context, |sealed| {
            if sealed.envelopes().len() > 1 {
                return sealed.compact(&identities, recipients, context.now);
            }
            sealed.rewrap(&identities, recipients).map(|_| ())
        })
    })
}
