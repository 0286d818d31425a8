//! `waxwing keys destroy`: a retired key's private half leaves the cluster, for good.

use std::collections::BTreeSet;

use waxwing_core::{identity_secret::Stored, keys::Recipient};
use waxwing_crds::{KeyRing, KeyState};

use super::{
    ask,
    needs::{self, Care},
    retire::{self, Report},
    ring_keys::{self, RingKey},
    status,
    target::{Sight, Target, operator_namespace},
};
use crate::{
    args::Context,
    cluster::keys::IdentitySecret,
    error::{Exit, Failure, Result},
    printer::{Format, count},
};

/// Delete the private key of a retired key from the cluster; has to be confirmed by typing its short id.
///
/// Only a key that the operator has stopped using, and that nothing in sight needs, can be destroyed. Live objects must
/// have been opened by another key since. Backups still hold it.
#[derive(Debug, clap::Args)]
pub(crate) struct Destroy {
    /// The key: its short id, or its recipient (age1…)
    #[arg(value_name = "KEY")]
    key: String,
    #[command(flatten)]
    sight: Sight,
    #[command(flatten)]
    target: Target,
    /// The operator's namespace. Default: the one that has identity Secrets of the ring
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// The confirmation, where there is nobody to type it
    #[arg(long, value_name = "KEY")]
    yes: Option<String>,
    /// Form of the output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) fn run(args: Destroy, context: &Context) -> Result {
    let cluster = args.target.connect()?;
    let name = &args.target.keyring;
    let ring = cluster.key_ring(name)?;
    let keys = ring_keys::of(&ring);
    let key = ring_keys::find(&keys, &args.key, name)?;
    let id = key.recipient.id();
    refuse_unless_retired(&ring, &key.recipient, name)?;
    let namespace = operator_namespace(&cluster, name, args.namespace.as_deref())?;
    let secrets = cluster.identity_secrets(&namespace)?;
    let doomed: Vec<&IdentitySecret> =
        secrets.iter().filter(|secret| secret.recipient() == Some(&key.recipient)).collect();
    if doomed.is_empty() {
        return already_gone(&ring, key, &namespace, context);
    }
    let names: Vec<String> = doomed.iter().map(|secret| format!("{namespace}/{}", secret.name)).collect();
    // What the key itself opens is proven by it, whatever hints say.
    let own = doomed.iter().find_map(|secret| match &secret.stored {
        Stored::Identity(identity) => Some(&**identity),
        Stored::Malformed | Stored::Wrapped(_) => None,
    });
    let survey = args.sight.survey(&cluster, own, context)?;
    let present: BTreeSet<Recipient> =
        secrets.iter().filter_map(IdentitySecret::recipient).cloned().collect();
    let others = ring_keys::others(&ring, &keys, &key.recipient, Some(&present));
    let found = needs::needs(&survey, &key.recipient, &others, Care::Final);
    let is_free = found.is_empty() && survey.unreadable.is_empty();
    let not_looked_at = status::not_looked_at(&survey);
    if is_free {
        context.printer.warning(format!(
            "what only key {id} opens can never be opened again in this cluster; not looked at: {}",
            not_looked_at.join("; ")
        ));
        context.printer.note(if key.backed_up {
            "a backup holds it, as spec.backedUp says: destroy that too if the key has leaked".to_owned()
        } else {
            "no backup is known to hold it".to_owned()
        });
        let what = format!("{} will be deleted: {}", count(names.len(), "Secret"), names.join(", "));
        ask::to_type(&what, &id.to_string(), args.yes.as_deref(), context)?;
        for secret in &doomed {
            cluster.delete_identity(&namespace, secret)?;
        }
        // One that was made meanwhile, or that is held back by a finalizer.
        let left = cluster.identity_secrets(&namespace)?;
        if let Some(left) = left.iter().find(|secret| secret.recipient() == Some(&key.recipient)) {
            return Err(Failure::new(format!(
                "Secret {namespace}/{} still holds key {id}: it is not destroyed",
                left.name
            ))
            .hint("find out who keeps it or makes it again, and run the command again"));
        }
    } else {
        retire::tell(&found, &survey, context)?;
    }
    if args.output == Format::Json {
        context.printer.json(&Report {
            key_id: id.to_string(),
            recipient: key.recipient.as_str(),
            done: is_free,
            needed_by: &found,
            unreadable: &survey.unreadable,
            not_looked_at: &not_looked_at,
        })?;
    }
    if !is_free {
        context.printer.note(format!("key {id} was not destroyed: {}", retire::needed(&found, &survey)));
        context.printer.hint(
            "what another ring or operator serves: leave it out, by naming the others with --in-namespace",
        );
        context
            .printer
            .hint("to use it again, take it out of spec.retired of the KeyRing; then rewrap what needs it");
        return Ok(Exit::Found);
    }
    context.printer.note(format!(
        "key {id} is destroyed; looked at {} and {}, not at: {}",
        count(survey.files, "file"),
        count(survey.live.unwrap_or(0), "live SealedSecret"),
        not_looked_at.join("; ")
    ));
    Ok(Exit::Done)
}

/// Nothing to delete: so it was destroyed before, or this is another namespace than the operator's.
fn already_gone(ring: &KeyRing, key: &RingKey, namespace: &str, context: &Context) -> Result {
    let id = key.recipient.id();
    let listed = ring.status.iter().flat_map(|status| &status.keys);
    if listed.clone().any(|one| one.recipient == key.recipient.as_str() && one.state == KeyState::Retired) {
        return Err(Failure::new(format!(
            "namespace {namespace} has no private key of {id}, and the operator does not say that it is destroyed"
        ))
        .hint("name the operator's namespace with --namespace; if it was deleted just now, wait for the operator"));
    }
    context.printer.note(format!("there is no private key of {id} in namespace {namespace}"));
    Ok(Exit::Done)
}

/// The operator has to have stopped using it: only then does what it has opened since prove anything.
fn refuse_unless_retired(ring: &KeyRing, recipient: &Recipient, name: &str) -> Result<()> {
    let id = recipient.id();
    let is_wanted = ring.spec.retired.iter().any(|text| text == recipient.as_str());
    if !is_wanted {
        return Err(Failure::new(format!("key {id} is not retired"))
            .hint(format!("waxwing keys retire {id} --keyring {name}")));
    }
    let status = ring.status.clone().unwrap_or_default();
    let seen = status.observed_generation == ring.metadata.generation;
    let in_use =
        status.keys.iter().any(|key| key.recipient == recipient.as_str() && key.state != KeyState::Retired);
    if !seen || in_use {
        return Err(Failure::new(format!("the operator has not stopped using key {id} yet"))
            .hint("wait until the KeyRing's status says Retired; it must be running"));
    }
    Ok(())
}
