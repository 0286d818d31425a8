//! The mark in `status.applied`: what lets a restart find out, without opening anything, that nothing is to do.
//!
//! It is an HMAC under a key that only holders of the ring's identities can derive, over everything that decided the
//! last write and over what came out of it. Whoever can write a status can therefore make an object be looked at
//! again, and nothing else. The resource version in it ties it to the Secret as it is: an older genuine status, put
//! back, fits only a Secret that has not changed since.

use serde::Serialize;
use waxwing_crds::{Applied, KeySeq, ProposedEnvelopes, SealedSecretSpec, SealedSecretStatus, Source, names};

use super::{
    Input, RENDER_VERSION, Target,
    stamp::{self, Mark, Stamp},
};

/// Which derived key; see [`Identity::mac`](crate::keys::Identity::mac).
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

/// Checks the mark against the object and its Secret as they are. Where a value was opened by an identity that cannot be
/// used any more, it is opened anew, or it is said that it cannot be: whichever identity has made the mark.
pub(super) fn check(
    rules: Rules,
    input: &Input<'_>,
    spec: &SealedSecretSpec,
    target: Option<&Target>,
) -> Mark {
    let status = input.object.status;
    let Some(applied) = &status.applied else { return Mark::Stale };
    let is_usable = |id: &str| id.parse().is_ok_and(|id| input.ring.identities.with_id(id).next().is_some());
    if status.keys.iter().any(|key| key.removed != Some(true) && !is_usable(&key.key_id)) {
        return Mark::Stale;
    }
    let stamp = Stamp { digest: &applied.digest, key_id: &applied.key_id };
    let secret = (applied.secret_uid.as_str(), applied.resource_version.as_str());
    stamp.check(input.ring.identities, LABEL, &facts(rules, input, spec, status, secret), secret, target)
}

/// Makes the mark of a status for a Secret that was just written, or found right.
pub(super) fn make(
    input: &Input<'_>,
    spec: &SealedSecretSpec,
    status: &SealedSecretStatus,
    secret: (&str, &str),
) -> Option<Applied> {
    let last = input.object.status.applied.as_ref().map(|applied| applied.key_id.as_str());
    let identity = stamp::next_maker(input.ring.identities, last)?;
    Some(Applied {
        digest: stamp::digest(identity, LABEL, &facts(RULES, input, spec, status, secret)),
        key_id: identity.id().to_string(),
        resource_version: secret.1.to_owned(),
        secret_uid: secret.0.to_owned(),
    })
}
