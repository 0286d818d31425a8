//! The envelopes that the operator proposes in a resource's status, and what of them is taken.
//!
//! A proposal is taken only for the same data keys and for exactly the recipients of the rule; how these are called is the
//! repository's business, so the rule's own hints are written. Whether an envelope holds what it says, only an identity
//! can tell; the operator does when it opens it, and the old envelope stays in Git.

use std::collections::BTreeMap;

use waxwing_core::{
    keys::{KeyId, NamedRecipient},
    seal::{Envelope, EnvelopeId, Sealed},
};
use waxwing_crds::{ProposedEnvelopes, SealedSecretSpec};

use crate::error::{Failure, Result};

/// Whether an envelope does not name the rule's recipients, as many as can open it.
fn is_due(envelope: &Envelope, recipients: &[NamedRecipient]) -> bool {
    let hints = || recipients.iter().map(NamedRecipient::hint);
    !envelope.to().iter().map(ToString::to_string).eq(hints()) || envelope.readers() != recipients.len()
}

/// The envelopes in use that are to be replaced.
fn due<'a>(
    sealed: &'a Sealed,
    recipients: &[NamedRecipient],
) -> impl Iterator<Item = (&'a EnvelopeId, &'a Envelope)> {
    sealed.envelopes_in_use().filter(|(_, envelope)| is_due(envelope, recipients))
}

/// Whether a resource has an envelope that is to be replaced.
pub(super) fn is_wanted(sealed: &Sealed, recipients: &[NamedRecipient]) -> bool {
    due(sealed, recipients).next().is_some()
}

/// The sealed part with the proposed envelopes in place of those that are due.
pub(super) fn take(
    sealed: &Sealed,
    proposal: &ProposedEnvelopes,
    recipients: &[NamedRecipient],
) -> Result<Sealed> {
    let binding = sealed.binding();
    let rule: BTreeMap<KeyId, &NamedRecipient> =
        recipients.iter().map(|named| (named.recipient().id(), named)).collect();
    let names_them = |envelope: &Envelope| {
        envelope.readers() == rule.len()
            && envelope.to().len() == rule.len()
            && rule.keys().all(|id| envelope.names(*id))
    };
    let mut spec = SealedSecretSpec::default();
    sealed.write_into(&mut spec);
    for (id, envelope) in due(sealed, recipients) {
        let mut new = if names_them(envelope) {
            // Nothing but names or their order has changed.
            envelope.spec()
        } else {
            let Some(new) = proposal.envelopes.get(id.as_str()) else {
                return Err(unproposed(sealed, id.as_str()));
            };
            if new.commit != envelope.spec().commit {
                return Err(Failure::new(format!("the proposed envelope {id} is for another data key"))
                    .hint("do not take it; find out who can write the status of SealedSecrets"));
            }
            let parsed = Envelope::parse(*id, new)?;
            if !names_them(&parsed) {
                return Err(for_others(&parsed, recipients));
            }
            new.clone()
        };
        new.to = recipients.iter().map(NamedRecipient::hint).collect();
        spec.envelopes.insert(id.to_string(), new);
    }
    Ok(Sealed::parse(&spec, &binding.namespace, &binding.name)?)
}

fn unproposed(sealed: &Sealed, id: &str) -> Failure {
    let binding = sealed.binding();
    Failure::new(format!("the operator proposes no envelope {id}"))
        .hint(format!(
            "ask for it: kubectl annotate --overwrite sealedsecret -n {} {} waxwing.dev/propose-rewrap=\"$(date)\"",
            binding.namespace, binding.name
        ))
        .hint("if that was done, the events of the resource say why there is none")
}

fn for_others(proposed: &Envelope, recipients: &[NamedRecipient]) -> Failure {
    let found: Vec<String> = proposed.to().iter().map(ToString::to_string).collect();
    let wanted: Vec<String> = recipients.iter().map(NamedRecipient::hint).collect();
    let (readers, found, wanted) = (proposed.readers(), found.join(", "), wanted.join(", "));
    let message = format!("the proposed envelope is for {readers} readers, {found}; the rule says {wanted}");
    let missing = recipients
        .iter()
        .filter(|named| proposed.to().iter().all(|hint| hint.id != named.recipient().id()))
        .map(|named| format!(" --rewrap-recipient {}", named.recipient()));
    let flags: String = missing.collect();
    let failure = Failure::new(message);
    if flags.is_empty() {
        failure.hint("waxwing recipients diff shows what the cluster publishes")
    } else {
        failure.hint(format!(
            "the operator wraps for its own key and for its flags: start it with{flags}, or rewrap with an identity"
        ))
    }
}

#[cfg(test)]
mod tests {
    use waxwing_core::{
        Secret,
        keys::{Identities, Identity},
        seal::{Binding, Scope},
    };
    use waxwing_crds::EnvelopeSpec;

    use super::*;

    const NOW: i64 = 1_789_000_000;

    fn named(name: &str, identity: &Identity) -> NamedRecipient {
        NamedRecipient::new(name, identity.recipient().clone()).unwrap()
    }

    /// A value for one key, and the operator's proposal for `to`.
    fn proposed(old: &Identity, to: &[NamedRecipient]) -> (Sealed, ProposedEnvelopes) {
        let mut sealed = Sealed::empty(Binding {
            scope: Scope::Strict,
            namespace: "web".to_owned(),
            name: "db".to_owned(),
            secret_type: "Opaque".to_owned(),
        });
        let value = ("password".parse().unwrap(), Secret::new(b"one".to_vec()));
        sealed.seal(&[value], &[named("old", old)], NOW).unwrap();
        let mut next = sealed.clone();
        next.rewrap(&Identities::from_iter([old.clone()]), to).unwrap();
        let envelopes = next.envelopes().iter().map(|(id, envelope)| (id.to_string(), envelope.spec()));
        let envelopes = envelopes.collect();
        (sealed, ProposedEnvelopes { envelopes, ..ProposedEnvelopes::default() })
    }

    fn refused(result: Result<Sealed>) -> (String, Vec<String>) {
        let Err(failure) = result else { panic!("it is accepted") };
        (failure.to_string(), failure.hints().to_vec())
    }

    #[test]
    fn a_proposal_is_taken_by_its_keys_and_written_with_the_rules_names_in_the_rules_order() {
        let [old, ring, recovery] = [(); 3].map(|()| Identity::generate());
        let operators = [named("default", &ring), named("flag-1", &recovery)];
        let rule = [named("recovery", &recovery), named("prod", &ring)];
        let (sealed, proposal) = proposed(&old, &operators);
        assert!(is_wanted(&sealed, &rule));
        let taken = take(&sealed, &proposal, &rule).unwrap();
        assert!(!is_wanted(&taken, &rule));
        assert_eq!(taken.tokens(), sealed.tokens());
        for identity in [ring, recovery] {
            assert!(taken.open(&Identities::from_iter([identity]), NOW).is_ok());
        }
        assert!(taken.open(&Identities::from_iter([old]), NOW).is_err());

        // Other names for the same keys need no proposal.
        let renamed = [rule[1].clone(), NamedRecipient::new("vault", rule[0].recipient().clone()).unwrap()];
        let again = take(&taken, &ProposedEnvelopes::default(), &renamed).unwrap();
        assert!(!is_wanted(&again, &renamed));
    }

    #[test]
    fn a_proposal_for_others_is_refused_and_the_flag_that_is_missing_is_named() {
        let [old, ring, recovery] = [(); 3].map(|()| Identity::generate());
        let (sealed, proposal) = proposed(&old, &[named("default", &ring)]);
        let rule = [named("prod", &ring), named("recovery", &recovery)];
        let (message, hints) = refused(take(&sealed, &proposal, &rule));
        assert!(message.contains("the rule says prod/"), "{message}");
        assert!(hints[0].contains(&format!("--rewrap-recipient {}", recovery.recipient())), "{hints:?}");
        assert!(!hints[0].contains(ring.recipient().as_str()), "{hints:?}");

        let (sealed, proposal) = proposed(&old, &rule);
        refused(take(&sealed, &proposal, &rule[..1]));
        let (message, hints) = refused(take(&sealed, &ProposedEnvelopes::default(), &rule));
        assert!(message.starts_with("the operator proposes no envelope "), "{message}");
        assert!(hints[0].contains("-n web db"), "{hints:?}");
    }

    /// Guards: the commit, and the count of an envelope's readers.
    #[test]
    fn a_proposal_for_another_data_key_or_with_a_hidden_reader_is_refused() {
        let [old, ring, stranger] = [(); 3].map(|()| Identity::generate());
        let rule = [named("prod", &ring)];
        let (sealed, mut forged) = proposed(&old, &[named("default", &ring), named("x", &stranger)]);
        for EnvelopeSpec { to, .. } in forged.envelopes.values_mut() {
            to.pop();
        }
        let (message, _) = refused(take(&sealed, &forged, &rule));
        assert!(message.contains("2 readers"), "{message}");

        let (_, other) = proposed(&old, &rule);
        let id = sealed.envelopes().keys().next().unwrap().to_string();
        let envelopes = BTreeMap::from([(id, other.envelopes.into_values().next().unwrap())]);
        let (message, _) =
            refused(take(&sealed, &ProposedEnvelopes { envelopes, ..ProposedEnvelopes::default() }, &rule));
        assert!(message.contains("another data key"), "{message}");
    }
}
