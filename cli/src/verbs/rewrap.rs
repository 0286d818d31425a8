//! `waxwing rewrap`: the same data keys for the recipients that the rules name now. Envelope lines
//! change, tokens don't.

use super::bulk::Common;
use crate::{
    args::Context,
    error::Result,
};

/// Wrap the data keys of sealed files to the recipients that .waxwing.yaml names now.
///
/// Values stay as they are, and need an identity to be wrapped anew. A removed reader is kept out
/// of later values only: what they could read before, they may have kept.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(args: Args, context: &Context) -> Result {
    let change = |sealed: &mut _, identities: &_, recipients: &[_], _| {
        waxwing_core::seal::Sealed::rewrap(sealed, identities, recipients).map(|_| ())
    };
    args.common.run(context, change, "rewrapped")
}
