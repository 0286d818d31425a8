//! `waxwing keys`: identities on this machine, and the keys of a cluster's ring: what each opens, and its way from active
//! to destroyed. A ring's keys are made by its operator; a backup is the one way in which they leave the cluster.

#[cfg(feature = "cluster")]
mod ask;
#[cfg(feature = "cluster")]
mod backup;
#[cfg(feature = "cluster")]
mod destroy;
mod generate;
mod list;
#[cfg(feature = "cluster")]
mod needs;
#[cfg(feature = "cluster")]
mod private_keys;
#[cfg(feature = "cluster")]
mod propose;
#[cfg(feature = "cluster")]
mod restore;
#[cfg(feature = "cluster")]
mod retire;
mod ring_keys;
mod status;
mod survey;
#[cfg(feature = "cluster")]
mod target;

pub(crate) use generate::create;

use clap::Subcommand;

use crate::{args::Context, error::Result};

/// Make and list identities (private keys), and look after the keys of a cluster's ring.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Generate(generate::Generate),
    List(list::List),
    Status(status::Status),
    #[cfg(feature = "cluster")]
    Propose(propose::Propose),
    #[cfg(feature = "cluster")]
    Retire(retire::Retire),
    #[cfg(feature = "cluster")]
    Destroy(destroy::Destroy),
    #[cfg(feature = "cluster")]
    Backup(backup::Args),
    #[cfg(feature = "cluster")]
    Restore(restore::Args),
}

pub(crate) fn run(args: Args, context: &Context) -> Result {
    match args.what {
        What::Generate(args) => generate::run(args, context),
        What::List(args) => list::run(args, context),
        What::Status(args) => status::run(args, context),
        #[cfg(feature = "cluster")]
        What::Propose(args) => propose::run(args, context),
        #[cfg(feature = "cluster")]
        What::Retire(args) => retire::run(args, context),
        #[cfg(feature = "cluster")]
        What::Destroy(args) => destroy::run(args, context),
        #[cfg(feature = "cluster")]
        What::Backup(args) => backup::run(args, context),
        #[cfg(feature = "cluster")]
        What::Restore(args) => restore::run(args, context),
    }
}
