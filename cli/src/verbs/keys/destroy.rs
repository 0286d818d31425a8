//! `waxwing keys destroy`: a retired key's private half leaves the cluster, for good.

use waxwing_core::keys::Recipient;
use waxwing_crds::{KeyRing, KeyState};

use super::{
    ask,
    needs::{self, Care},
    retire::{self, Report},
    ring_keys, status,
    target::{Sight, Target, operator_namespace},
};
use crate::{
    args::Context,
    error::{Exit, Failure, Result},
    printer::{Format, count},
};

/// Delete the private key of a retired key from the cluster; has to be confirmed by typing its short id.
///
/// Only a key that the operator has stopped using, and that nothing in sight needs, can be destroyed. Backups still hold
/// it.
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
    let Some(secret) = secrets.iter().find(|secret| secret.recipient() == Some(&key.recipient)) else {
        context.printer.note(format!("there is no private key of {id} in namespace {namespace}"));
        return Ok(Exit::Done);
    };
    let survey = args.sight.survey(&cluster, context)?;
    let others = ring_keys::others(&ring, &keys, &key.recipient);
    let found = needs::needs(&survey, id, &others, Care::Final);
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
        let what = format!("Secret {namespace}/{} will be deleted", secret.name);
        ask::to_type(&what, &id.to_string(), args.yes.as_deref(), context)?;
        cluster.delete_identity(&namespace, secret)?;
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
        context
            .printer
            .hint("to use it again, take it out of spec.retired of the KeyRing; then rewrap what needs it");
        return Ok(Exit::Found);
    }
    context.printer.note(format!(
        "key {id} is destroyed; looked at {} and {}",
        count(survey.files, "file"),
        count(survey.live.unwrap_or(0), "live SealedSecret")
    ));
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
