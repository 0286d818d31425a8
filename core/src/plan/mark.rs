//! The mark in `status.applied`: what lets a restart find out, without opening anything, that nothing is to do.
//!
//! It is an HMAC under a key that only holders of the ring's identities can derive, over everything that decided the
//! last write and over what came out of it. Whoever can write a status can therefore make an object be looked at
//! again, and nothing else. The resource version in it ties it to the Secret as it is: an older genuine status, put
//! back, fits only a Secret that has not changed since.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Serialize;
use waxwing_crds::{Applied, KeySeq, ProposedEnvelopes, SealedSecretSpec, SealedSecretStatus, Source, names};

use super::{Input, RENDER_VERSION, Target};
use crate::keys::Identity;

/// Which derived key; see [`Identity::mac`].
const LABEL: &str = "wax1/applied";

/// What this version does the same for all objects. An upgrade that changes it makes every object be looked at.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Rules {
    pub(super) render_version: u32,
    pub(super) refused_types: &'static [&'static str],
    pub(super) dropped_keys: &'static [&'static str],
    pub(super) dropped_prefixes: &'static [&'static str],
    pub(super) produced_annotations: &'static [(&'static str, &'static str)],
}

/// The rules of this version.
pub(crate) const RULES: Rules = Rules {
    render_version: RENDER_VERSION,
    refused_types: &names::REFUSED_SECRET_TYPES,
    dropped_keys: &names::DROPPED_KEYS,
    dropped_prefixes: &names::DROPPED_PREFIXES,
    produced_annotations: &names::PRODUCED_ANNOTATIONS,
};

/// Everything that decides what is written. A field more makes every object be looked at.
#[derive(Serialize)]
struct Facts<'a> {
    rules: Rules,
    operator_namespace: &'a str,
    rollback: String,
    cluster_scope: String,
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
    spec: &'a SealedSecretSpec,
    keys: &'a [KeySeq],
    proposed: Option<&'a ProposedEnvelopes>,
    source: Option<&'a Source>,
    secret_uid: &'a str,
    resource_version: &'a str,
}

fn facts(
    rules: Rules,
    input: &Input<'_>,
    spec: &SealedSecretSpec,
    status: &SealedSecretStatus,
    secret: (&str, &str),
) -> Vec<u8> {
    let facts = Facts {
        rules,
        operator_namespace: input.place.operator_namespace,
        rollback: format!("{:?}", input.ring.rollback),
        cluster_scope: format!("{:?}", input.ring.cluster_scope),
        namespace: input.object.namespace,
        name: input.object.name,
        uid: input.object.uid,
        spec,
        keys: &status.keys,
        proposed: status.proposed_envelopes.as_ref(),
        source: status.source.as_ref(),
        secret_uid: secret.0,
        resource_version: secret.1,
    };
    serde_json::to_vec(&facts).expect("maps with text keys, texts and numbers are JSON")
}

/// What the mark says about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// No identity of the ring made it, or something that decides has changed since.
    Stale,
    /// Nothing that decides has changed, but the Secret has been written or deleted since.
    Touched,
    /// Nothing has changed.
    InSync,
}

/// Checks the mark against the object and its Secret as they are.
pub(super) fn check(
    rules: Rules,
    input: &Input<'_>,
    spec: &SealedSecretSpec,
    target: Option<&Target>,
) -> Mark {
    let status = input.object.status;
    let Some(applied) = &status.applied else { return Mark::Stale };
    if maker(input, applied).is_none_or(|identity| !is_genuine(rules, input, spec, applied, identity)) {
        return Mark::Stale;
    }
    let same = target.is_some_and(|target| {
        target.uid == applied.secret_uid && target.resource_version == applied.resource_version
    });
    if same { Mark::InSync } else { Mark::Touched }
}

fn is_genuine(
    rules: Rules,
    input: &Input<'_>,
    spec: &SealedSecretSpec,
    applied: &Applied,
    maker: &Identity,
) -> bool {
    let status = input.object.status;
    let Ok(tag) = BASE64_URL_SAFE_NO_PAD.decode(&applied.digest) else { return false };
    let secret = (applied.secret_uid.as_str(), applied.resource_version.as_str());
    let facts = facts(rules, input, spec, status, secret);
    maker.mac_matches(LABEL, &facts, &tag)
}

fn maker<'a>(input: &Input<'a>, applied: &Applied) -> Option<&'a Identity> {
    let id = applied.key_id.parse().ok()?;
    input.ring.identities.with_id(id).next()
}

/// Makes the mark of a status for a Secret that was just written, or found right. The identity that made the last one makes the
/// next one, so that nothing changes without a cause.
pub(super) fn make(
    input: &Input<'_>,
    spec: &SealedSecretSpec,
    status: &SealedSecretStatus,
    secret: (&str, &str),
) -> Option<Applied> {
    let last = input.object.status.applied.as_ref().and_then(|applied| maker(input, applied));
    let identity = last.or_else(|| input.ring.identities.iter().next())?;
    let tag = identity.mac(LABEL, &facts(RULES, input, spec, status, secret));
    Some(Applied {
        digest: BASE64_URL_SAFE_NO_PAD.encode(tag),
        key_id: identity.id().to_string(),
        resource_version: secret.1.to_owned(),
        secret_uid: secret.0.to_owned(),
    })
}
