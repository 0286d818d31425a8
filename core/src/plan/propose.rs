//! Proposed envelopes: the same data keys for the ring's present recipients, for a person to commit.
//!
//! Only when an annotation asks: a rotation alone changes nothing, because old keys still open. The recipients come
//! from the ring and the operator's own flag, never from anything that a tenant can write.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use waxwing_crds::{EnvelopeSpec, ProposedEnvelopes, Reason, names};

use super::Input;
use crate::{
    keys::{KeyId, NamedRecipient},
    seal::{Envelope, EnvelopeId, Sealed, limits},
};

/// What became of the question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// Nobody asked, or it is answered already.
    #[default]
    Old,
    /// Envelopes were made just now.
    Made,
    /// None can be made.
    Failed {
        /// Why.
        reason: Reason,
        /// What is wrong.
        message: String,
    },
}

/// The proposal that the status shall hold, and whether it is new. `genuine` says that the status was written by us. A
/// proposal without envelopes says that none could be made: for the same spec the same question is not tried again.
pub(super) fn propose(
    input: &Input<'_>,
    sealed: &Sealed,
    genuine: bool,
) -> (Option<ProposedEnvelopes>, Answer) {
    let (object, recipients) = (&input.object, input.ring.rewrap_to);
    let nonce = object.annotations.get(names::PROPOSE_REWRAP).filter(|nonce| !nonce.is_empty());
    let Some(nonce) = nonce.filter(|_| !recipients.is_empty()) else { return (None, Answer::Old) };
    let wanted: BTreeSet<EnvelopeId> = outdated(sealed, recipients).collect();
    if wanted.is_empty() {
        return (None, Answer::Old);
    }
    let nonce: String = nonce.chars().take(NONCE_CHARACTERS).collect();
    let digest = digest(recipients);
    if let Some(known) = object.status.proposed_envelopes.as_ref().filter(|_| genuine) {
        let covers = known.envelopes.keys().map(String::as_str).eq(wanted.iter().map(EnvelopeId::as_str));
        let failed = known.envelopes.is_empty() && object.status.observed_generation == object.generation;
        if (covers || failed) && known.recipients == digest && known.nonce.as_deref() == Some(&nonce) {
            return (Some(known.clone()), Answer::Old);
        }
    }
    let (envelopes, answer) = match envelopes(input, sealed, &wanted) {
        Ok(envelopes) => (envelopes, Answer::Made),
        Err((reason, message)) => (BTreeMap::new(), Answer::Failed { reason, message }),
    };
    (Some(ProposedEnvelopes { nonce: Some(nonce), recipients: digest, envelopes }), answer)
}

/// Makes the wanted envelopes.
fn envelopes(
    input: &Input<'_>,
    sealed: &Sealed,
    wanted: &BTreeSet<EnvelopeId>,
) -> Result<BTreeMap<String, EnvelopeSpec>, (Reason, String)> {
    let mut next = sealed.clone();
    next.rewrap(input.ring.identities, input.ring.rewrap_to)
        .map_err(|error| (error.reason(), error.to_string()))?;
    let envelopes: BTreeMap<_, _> = next
        .envelopes()
        .iter()
        .filter(|(id, _)| wanted.contains(id))
        .map(|(id, envelope)| (id.to_string(), envelope.spec()))
        .collect();
    // Spec and status are one object to etcd, which takes 1.5 MiB.
    let text =
        |envelope: &EnvelopeSpec| envelope.age.len() + envelope.to.iter().map(String::len).sum::<usize>();
    let data: usize = sealed.tokens().values().map(|token| token.to_string().len()).sum();
    let present: usize = sealed.envelopes().values().map(|envelope| text(&envelope.spec())).sum();
    if data + present + envelopes.values().map(text).sum::<usize>() > limits::SPEC_BYTES {
        let message = "they would not fit into the object beside the present ones".to_owned();
        return Err((Reason::LimitExceeded, message));
    }
    Ok(envelopes)
}

/// A nonce is copied into the status; longer ones are cut.
const NONCE_CHARACTERS: usize = 256;

/// The envelopes in use whose hints name other keys than these recipients', or not all that can open them. The names in the hints are the
/// repository's business, and their order too.
fn outdated(sealed: &Sealed, recipients: &[NamedRecipient]) -> impl Iterator<Item = EnvelopeId> {
    let ids: BTreeSet<KeyId> = recipients.iter().map(|named| named.recipient().id()).collect();
    let names_others = move |envelope: &Envelope| {
        let named: BTreeSet<KeyId> = envelope.to().iter().map(|hint| hint.id).collect();
        named != ids || envelope.readers() != ids.len()
    };
    sealed.envelopes_in_use().filter(move |(_, envelope)| names_others(envelope)).map(|(id, _)| *id)
}

/// The required recipients, as hints, that an envelope in use does not name. That is all that can be seen without their
/// private keys: a hint may lie, and whoever writes it can leave a recipient out and name it all the same.
pub(super) fn lacking(sealed: &Sealed, required: &[NamedRecipient]) -> Vec<String> {
    let lacks = |named: &&NamedRecipient| {
        sealed.envelopes_in_use().any(|(_, envelope)| !envelope.names(named.recipient().id()))
    };
    required.iter().filter(lacks).map(NamedRecipient::hint).collect()
}

/// A digest of the full recipient strings, in their order.
pub(super) fn digest(recipients: &[NamedRecipient]) -> String {
    let texts: Vec<&str> = recipients.iter().map(|named| named.recipient().as_str()).collect();
    Sha256::digest(texts.join("\n")).iter().map(|byte| format!("{byte:02x}")).collect()
}
