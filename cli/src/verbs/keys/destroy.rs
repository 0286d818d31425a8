//! `waxwing keys destroy`: a retired key's private half leaves the cluster, for good.

use waxwing_core::keys::Recipient;
use waxwing_crds::{KeyRing, KeyState};

use super::{
    ask,
    needs::{self, Care},
    private_keys::PrivateKeys,
    retire::{self, Report},
    ring_keys::{self, RingKey},
    status,
    target::{Sight, Target, operator_namespace},
};
use crate::{
    args::Context,
    cluster::{keys::IdentitySecret, wrapped::Keys},
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
    let secrets = cluster.identity_secrets(&namespace, name)?;
    let doomed = holding(&secrets, &key.recipient);
    if doomed.is_empty() {
        return already_gone(&ring, key, &namespace, context);
    }
    if let Some(mixed) = doomed.iter().find(|secret| secret.keys().len() > 1) {
        return Err(Failure::new(format!("Secret {namespace}/{} holds another key, too", mixed.name))
            .hint("find out who made it, and take key by key out of it by hand"));
    }
    let names: Vec<String> = doomed.iter().map(|secret| format!("{namespace}/{}", secret.name)).collect();
    // With the rights of whoever runs this, not the operator's.
    let mut wraps = Keys::of(&cluster, &ring);
    let opens = |one: &Recipient| keys.iter().any(|key| key.recipient == *one && key.opens());
    let mut private = PrivateKeys::of(&secrets, &|one| *one == key.recipient || opens(one), &mut |wrapped| {
        wraps.open(wrapped)
    });
    // What the key itself opens is proven by it, whatever hints say.
    let clear = doomed.iter().flat_map(|secret| &secret.clear).find(|one| *one.recipient() == key.recipient);
    let own = clear.or_else(|| private.had.get(&key.recipient));
    let mut survey = args.sight.survey(&cluster, own, context)?;
    let refused = private.refused.remove(&key.recipient).filter(|_| own.is_none());
    if own.is_none() {
        let why = refused.as_ref().map_or_else(|| "nobody can use its Secret".to_owned(), Failure::to_string);
        survey.unreadable.push(format!("what the key itself opens in files could not be tried: {why}"));
    }
    for (other, failure) in &private.refused {
        context.printer.warning(format!("key {} counts for nothing here: {failure}", other.id()));
    }
    if let Some(failure) = refused.iter().chain(private.refused.values()).next() {
        failure.hints().iter().for_each(|hint| context.printer.hint(hint));
    }
    let others = ring_keys::others(&ring, &keys, &key.recipient, Some(&private.recipients()));
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
        // Somebody may have thought better of it while the question stood there.
        refuse_if_changed(&cluster.key_ring(name)?, &keys, &key.recipient, name)?;
        for secret in &doomed {
            cluster.delete_identity(&namespace, secret)?;
        }
        // One that was made meanwhile, or that is held back by a finalizer.
        let left = cluster.identity_secrets(&namespace, name)?;
        if let Some(left) = holding(&left, &key.recipient).first() {
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

/// The Secrets in which a key lies, also where no operator would use it from there.
fn holding<'a>(secrets: &'a [IdentitySecret], recipient: &Recipient) -> Vec<&'a IdentitySecret> {
    secrets.iter().filter(|secret| secret.keys().contains(recipient)).collect()
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
    let is_ended = |state| matches!(state, KeyState::Retired | KeyState::Destroyed);
    let in_use = status.keys.iter().any(|key| key.recipient == recipient.as_str() && !is_ended(key.state));
    if !seen || in_use {
        return Err(Failure::new(format!("the operator has not stopped using key {id} yet"))
            .hint("wait until the KeyRing's status says Retired; it must be running"));
    }
    Ok(())
}

/// What was found out about needs holds for the keys as they were.
fn refuse_if_changed(now: &KeyRing, before: &[RingKey], recipient: &Recipient, name: &str) -> Result<()> {
    refuse_unless_retired(now, recipient, name)?;
    if ring_keys::of(now) != before {
        return Err(Failure::new(format!(
            "the keys of KeyRing {name} have just changed; nothing was deleted"
        ))
        .hint("run the command again"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use waxwing_core::keys::Identity;

    use super::*;

    fn ring(of: &[(&Identity, &str)], retired: &Identity) -> KeyRing {
        let listed = |(key, state): &(&Identity, &str)| json!({"recipient": key.recipient().to_string(), "state": state});
        serde_json::from_value(json!({
            "apiVersion": "waxwing.dev/v1alpha1", "kind": "KeyRing",
            "metadata": {"name": "default", "generation": 2},
            "spec": {"retired": [retired.recipient().to_string()]},
            "status": {"observedGeneration": 2, "keys": of.iter().map(listed).collect::<Vec<_>>()},
        }))
        .unwrap()
    }

    /// K34. Guard: `refuse_if_changed`, and in it what tells a key that is not used any more.
    #[test]
    fn a_key_that_was_taken_up_again_while_the_question_stood_there_is_not_destroyed() {
        let (old, other, active) = (Identity::generate(), Identity::generate(), Identity::generate());
        let ring = |old_state, other_state| {
            ring(&[(&old, old_state), (&other, other_state), (&active, "Active")], &old)
        };
        let before = ring_keys::of(&ring("Retired", "OpenOnly"));
        let after = |now: &KeyRing| refuse_if_changed(now, &before, old.recipient(), "default");
        assert!(after(&ring("Retired", "OpenOnly")).is_ok());
        let mut taken_up = ring("Retired", "OpenOnly");
        taken_up.spec.retired.clear();
        assert!(after(&taken_up).unwrap_err().to_string().contains("is not retired"));
        let unseen = after(&ring("OpenOnly", "OpenOnly")).unwrap_err();
        assert!(unseen.to_string().contains("has not stopped using"), "{unseen}");
        // What is left of one that the operator calls destroyed can be deleted, too.
        assert!(refuse_unless_retired(&ring("Destroyed", "OpenOnly"), old.recipient(), "default").is_ok());
        // The key that has opened everything since may have gone the same way.
        assert!(after(&ring("Retired", "Retired")).unwrap_err().to_string().contains("have just changed"));
    }
}
