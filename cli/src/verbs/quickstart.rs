//! `waxwing quickstart`: see it work, on this machine, before anything is installed.

use std::path::PathBuf;

#[cfg(feature = "cluster")]
use crate::quickstart::ClusterWish;
use crate::{
    args::Context,
    error::Result,
    quickstart::{self, Wish},
};

/// See the whole of it work on this machine: seal, commit, open, change, rotate, refuse, revert, recover.
///
/// Makes a Git repository in a fresh folder, shows and runs the commands that you would type, and checks what came out.
/// Needs no cluster, and nothing but this program; where there is no Git, it goes on without commits.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  waxwing quickstart\n  waxwing quickstart --dir demo --from .env")]
pub(crate) struct Args {
    /// The folder to do it in, empty or new. Default: a temporary one, removed at the end
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Seal this instead of the sample: a Secret manifest, or an .env file
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Keep the temporary folder
    #[arg(long, conflicts_with = "dir")]
    keep: bool,
    /// Do it in the cluster of the current kubeconfig context, in a namespace that is removed at the end
    #[cfg(feature = "cluster")]
    #[arg(long, help_heading = crate::args::CLUSTER)]
    cluster: bool,
    /// The kubeconfig context
    #[cfg(feature = "cluster")]
    #[arg(long, help_heading = crate::args::CLUSTER, value_name = "CONTEXT", requires = "cluster")]
    context: Option<String>,
    /// Name of the KeyRing in the cluster
    #[cfg(feature = "cluster")]
    #[arg(long, help_heading = crate::args::CLUSTER, value_name = "NAME", default_value = "default", requires = "cluster")]
    keyring: String,
    /// Do not ask before something is made in the cluster
    #[cfg(feature = "cluster")]
    #[arg(long, help_heading = crate::args::CLUSTER, requires = "cluster")]
    yes: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Result {
    let wish = Wish {
        folder: args.dir,
        from: args.from,
        keep: args.keep,
        #[cfg(feature = "cluster")]
        cluster: args.cluster.then_some(ClusterWish {
            context: args.context,
            keyring: args.keyring,
            yes: args.yes,
        }),
    };
    quickstart::run(&wish, context)
}
