//! `waxwing rewrap`: the same data keys for the recipients that the rules name now. Envelope lines
//! change, tokens don't.

use super::bulk::{self, Paths};
use crate::{args::Context, error::Result, identities::Options};

/// Wrap the data keys of sealed files to the recipients that .waxwing.yaml names now.
///
/// Values stay as they are; needs an identity that opens them. A removed reader is kept out of
/// later values only: what they could read before, they may have kept.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    paths: Paths,
    /// Take the envelopes that the operator proposes in the status of each resource; needs no
    /// identity. Annotate a resource with waxwing.dev/propose-rewrap to ask for them
    #[cfg(feature = "cluster")]
    #[arg(long, help_heading = crate::args::CLUSTER, value_name = "CONTEXT", conflicts_with = "identity", num_args = 0..=1, default_missing_value = "")]
    from_cluster: Option<String>,
    #[command(flatten)]
    identities: Options,
}

pub(crate) fn run(args: Args, context: &Context) -> Result {
    #[cfg(feature = "cluster")]
    if let Some(name) = &args.from_cluster {
        let cluster = crate::cluster::Cluster::connect(Some(name.as_str()).filter(|name| !name.is_empty()))?;
        return args
            .paths
            .each(context, "rewrapped", &|item, _, recipients| proposed(item, &cluster, recipients));
    }
    let identities = args.identities.load(context)?;
    args.paths.each(context, "rewrapped", &|item, repository, recipients| {
        bulk::opened(item, &identities, repository, context, |sealed| {
            sealed.rewrap(&identities, recipients).map(|_| ())
        })
    })
}

/// The operator's proposal for one resource: only for the same data keys, and only for exactly the
/// recipients of the rule. Whether an envelope holds what it says, only an identity can tell; the
/// operator does when it opens it, and the old envelope stays in Git.
#[cfg(feature = "cluster")]
fn proposed(
    item: &crate::sealed_file::Item,
    cluster: &crate::cluster::Cluster,
    recipients: &[waxwing_core::keys::NamedRecipient],
) -> Result<waxwing_core::seal::Sealed> {
    use waxwing_core::{keys::NamedRecipient, seal::Sealed};

    use crate::error::Failure;

    let wanted: Vec<String> = recipients.iter().map(NamedRecipient::hint).collect();
    let binding = item.sealed.binding();
    let mut spec = item.object.spec.clone();
    item.sealed.write_into(&mut spec);
    let is_due = |to: &[String]| to != wanted;
    if !spec.envelopes.values().any(|envelope| is_due(&envelope.to)) {
        return Ok(item.sealed.clone());
    }
    let live = cluster.sealed_secret(&binding.namespace, &binding.name)?;
    let proposal =
        live.and_then(|live| live.status).and_then(|status| status.proposed_envelopes).unwrap_or_default();
    for (id, envelope) in spec.envelopes.iter_mut().filter(|(_, envelope)| is_due(&envelope.to)) {
        let Some(new) = proposal.envelopes.get(id) else {
            return Err(Failure::new(format!("the operator proposes no envelope {id}")).hint(format!(
                "ask for it: kubectl annotate --overwrite sealedsecret -n {} {} waxwing.dev/propose-rewrap=\"$(date)\"",
                binding.namespace, binding.name
            )));
        };
        if new.commit != envelope.commit {
            return Err(Failure::new(format!("the proposed envelope {id} is for another data key"))
                .hint("do not take it; find out who can write the status of SealedSecrets"));
        }
        if new.to != wanted {
            return Err(Failure::new(format!(
                "the proposed envelope {id} is for {}, the rule says {}",
                new.to.join(", "),
                wanted.join(", ")
            ))
            .hint("waxwing recipients diff shows what the cluster publishes"));
        }
        *envelope = new.clone();
    }
    Ok(Sealed::parse(&spec, &binding.namespace, &binding.name)?)
}
