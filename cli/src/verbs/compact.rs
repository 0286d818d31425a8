//! `waxwing compact`: all values of a resource into one new envelope, so that a file that was
//! edited often becomes small again.

use waxwing_core::seal::Sealed;

use super::bulk::Common;
use crate::{
    args::Context,
    error::Result,
};

/// Bring the values of each sealed resource into one new envelope. Needs an identity.
///
/// Every value gets a new token; resources that have one envelope for the right recipients stay.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(args: Args, context: &Context) -> Result {
    let change = |sealed: &mut Sealed, identities: &_, recipients: &[_], now| {
        if sealed.envelopes().len() > 1 {
            return sealed.compact(identities, recipients, now);
        }
        sealed.rewrap(identities, recipients).map(|_| ())
    };
    args.common.run(context, change, "compacted")
}
