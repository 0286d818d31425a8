//! Proposed envelopes: the same data keys for the ring's present recipients, for a person to commit.
//!
//! Only when an annotation asks: a rotation alone changes nothing, because old keys still open. The recipients come
//! from the ring and the operator's own flag, never from anything that a tenant can write.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use waxwing_crds::{EnvelopeSpec, ProposedEnvelopes, names};

use super::Input;
use crate::{
    keys::{KeyId, NamedRecipient},
    seal::{Envelope, EnvelopeId, Sealed, Token, limits},
};

/// The proposal that the status shall hold, and whether it is new. `genuine` says that the status was written by us.
pub(super) fn propose(
    input: &Input<'_>,
    sealed: &Sealed,
    genuine: bool,
) -> (Option<ProposedEnvelopes>, bool) {
    let recipients = input.ring.rewrap_to;
    let nonce = input.object.annotations.get(names::PROPOSE_REWRAP).filter(|nonce| !nonce.is_empty());
    let Some(nonce) = nonce.filter(|_| !recipients.is_empty()) else { return (None, false) };
    let wanted: BTreeSet<EnvelopeId> = outdated(sealed, recipients).collect();
    if wanted.is_empty() {
        return (None, false);
    }
    let nonce: String = nonce.chars().take(NONCE_CHARACTERS).collect();
    let digest = digest(recipients);
    if let Some(known) = input.object.status.proposed_envelopes.as_ref().filter(|_| genuine) {
        let covers = known.envelopes.keys().map(String::as_str).eq(wanted.iter().map(EnvelopeId::as_str));
        if covers && known.recipients == digest && known.nonce.as_deref() == Some(&nonce) {
            return (Some(known.clone()), false);
        }
    }
    let mut next = sealed.clone();
    // What does not open here is reported where it is opened for good.
    if next.rewrap(input.ring.identities, recipients).is_err() {
        return (None, false);
    }
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
        return (None, false);
    }
    (Some(ProposedEnvelopes { nonce: Some(nonce), recipients: digest, envelopes }), true)
}

/// A nonce is copied into the status; longer ones are cut.
const NONCE_CHARACTERS: usize = 256;

/// The envelopes in use whose hints name other keys than these recipients'. The names in the hints are the
/// repository's business, and their order too.
fn outdated(sealed: &Sealed, recipients: &[NamedRecipient]) -> impl Iterator<Item = EnvelopeId> {
    let used: BTreeSet<EnvelopeId> = sealed.tokens().values().map(Token::envelope).collect();
    let ids: BTreeSet<KeyId> = recipients.iter().map(|named| named.recipient().id()).collect();
    let names_others =
        move |envelope: &Envelope| envelope.to().iter().map(|hint| hint.id).collect::<BTreeSet<_>>() != ids;
    let envelopes = sealed.envelopes().iter().filter(move |(id, _)| used.contains(id));
    envelopes.filter(move |(_, envelope)| names_others(envelope)).map(|(id, _)| *id)
}

/// A digest of the full recipient strings, in their order.
pub(super) fn digest(recipients: &[NamedRecipient]) -> String {
    let texts: Vec<&str> = recipients.iter().map(|named| named.recipient().as_str()).collect();
    Sha256::digest(texts.join("\n")).iter().map(|byte| format!("{byte:02x}")).collect()
}
