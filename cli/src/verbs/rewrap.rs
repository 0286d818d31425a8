//! `waxwing rewrap`: the same data keys for the recipients that the rules name now. Envelope lines
//! change, tokens don't.

use waxwing_core::seal::Sealed;

use super::bulk::{self, Paths};
#[cfg(feature = "cluster")]
use super::proposal;
use crate::{args::Context, error::Result, identities::Options};

/// Wrap the data keys of sealed files to the recipients that .waxwing.yaml names now.
///
/// Values stay as they are; needs an identity that opens them. A removed reader is kept out of
/// later values only: what they could read before, they may have kept.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    paths: Paths,
    /// Wrap every envelope anew, also where its hints name the recipients already: they are no proof of who can open it
    #[arg(long)]
    #[cfg_attr(feature = "git", arg(conflicts_with = "git"))]
    all: bool,
    /// Take the envelopes that the operator proposes in the status of each resource; needs no
    /// identity. Annotate a resource with waxwing.dev/propose-rewrap to ask for them
    #[cfg(feature = "cluster")]
    #[arg(long, help_heading = crate::args::CLUSTER, value_name = "CONTEXT", conflicts_with_all = ["all", "identity"], num_args = 0..=1, default_missing_value = "")]
    from_cluster: Option<String>,
    #[command(flatten)]
    identities: Options,
    #[cfg(feature = "git")]
    #[command(flatten)]
    git: crate::git::Options,
}

pub(crate) fn run(args: Args, context: &Context) -> Result {
    #[cfg(feature = "git")]
    if args.git.is_given() {
        return in_git(&args, context);
    }
    #[cfg(feature = "cluster")]
    if let Some(cluster) = args.cluster()? {
        return args
            .paths
            .each(context, "rewrapped", &|item, _, recipients| proposed(item, &cluster, recipients));
    }
    let identities = args.identities.load(context)?;
    args.paths.each(context, "rewrapped", &|item, repository, recipients| {
        bulk::opened(item, &identities, repository, context, |sealed| {
            let rewrap = if args.all { Sealed::rewrap_all } else { Sealed::rewrap };
            rewrap(sealed, &identities, recipients).map(|_| ())
        })
    })
}

#[cfg(feature = "cluster")]
impl Args {
    /// The cluster whose proposals are to be taken, if any.
    fn cluster(&self) -> Result<Option<crate::cluster::Cluster>> {
        let context = self.from_cluster.as_deref();
        context
            .map(|name| crate::cluster::Cluster::connect(Some(name).filter(|name| !name.is_empty())))
            .transpose()
    }
}

/// The same on a clone.
#[cfg(feature = "git")]
fn in_git(args: &Args, context: &Context) -> Result {
    // Not before the job begins: until then it may be run again, and what comes by standard input comes once.
    let identities = std::cell::OnceCell::new();
    #[cfg(feature = "cluster")]
    let cluster = std::cell::OnceCell::new();
    let rewrap = |folder: &std::path::Path| {
        let folder = [folder.to_owned()];
        #[cfg(feature = "cluster")]
        {
            if cluster.get().is_none() {
                // Nobody else fills it.
                let _ = cluster.set(args.cluster()?);
            }
            if let Some(Some(cluster)) = cluster.get() {
                return bulk::plan(&folder, context, &|item, _, recipients| {
                    proposed(item, cluster, recipients)
                });
            }
        }
        if identities.get().is_none() {
            let _ = identities.set(args.identities.load(context)?);
        }
        let identities = identities.get().expect("it was filled just now");
        bulk::plan(&folder, context, &|item, repository, recipients| {
            bulk::opened(item, identities, repository, context, |sealed| {
                sealed.rewrap(identities, recipients).map(|_| ())
            })
        })
    };
    args.git.run(args.paths.is_check(), args.paths.output(), &rewrap, &identities, context)
}

/// The operator's proposal for one resource, if it needs one.
#[cfg(feature = "cluster")]
fn proposed(
    item: &crate::sealed_file::Item,
    cluster: &crate::cluster::Cluster,
    recipients: &[waxwing_core::keys::NamedRecipient],
) -> Result<Sealed> {
    if !proposal::is_wanted(&item.sealed, recipients) {
        return Ok(item.sealed.clone());
    }
    let binding = item.sealed.binding();
    let live = cluster.sealed_secret(&binding.namespace, &binding.name)?;
    let proposed = live.and_then(|live| live.status).and_then(|status| status.proposed_envelopes);
    proposal::take(&item.sealed, &proposed.unwrap_or_default(), recipients)
}

#[cfg(all(test, feature = "cluster", feature = "git"))]
mod tests {
    #[test]
    fn everything_is_wrapped_anew_in_files_at_hand_only() {
        for other in ["--from-cluster", "--git=https://example.com/apps.git"] {
            let words = ["waxwing", "rewrap", "--all", other];
            let error = crate::args::command("waxwing").try_get_matches_from(words).unwrap_err();
            assert_eq!(error.kind(), clap::error::ErrorKind::ArgumentConflict, "{other}");
        }
    }
}
