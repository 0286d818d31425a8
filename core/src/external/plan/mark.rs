//! The mark in `status.applied`, as for SealedSecrets: an HMAC that only holders of the ring's identities can make, over
//! everything that decided the last write. A restart needs no provider to see that nothing is to do.
//!
//! The values themselves come in as a keyed digest of their own: the provider's next answer is compared with it, and
//! neither the values nor anything that could be computed from them without the key is kept.

use serde::Serialize;
use waxwing_crds::{
    EntryStatus, ExternalApplied, ExternalSecretSpec, ExternalSecretStatus, RefreshPolicy, Source,
    StoreReference,
};
use zeroize::Zeroizing;

use super::{Input, StoreFact};
use crate::{
    keys::Identity,
    plan::{
        Data, Target,
        mark::{RULES, Rules},
        stamp::{self, Mark, Stamp},
    },
};

/// Which derived keys; see [`Identity::mac`].
const LABEL: &str = "wax1/external";
const VALUES: &str = "wax1/external-values";

/// Everything that decides what is written. A field more makes every object be looked at.
#[derive(Serialize)]
struct Facts<'a> {
    rules: Rules,
    operator_namespace: &'a str,
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
    /// Left out where a change of it changes nothing any more.
    spec: Option<&'a ExternalSecretSpec>,
    stores: Option<&'a [StoreFact]>,
    store: Option<&'a StoreReference>,
    entries: &'a [EntryStatus],
    source: Option<&'a Source>,
    values: &'a str,
    secret_uid: &'a str,
    resource_version: &'a str,
}

fn facts(
    input: &Input<'_>,
    spec: &ExternalSecretSpec,
    status: &ExternalSecretStatus,
    values: &str,
    secret: (&str, &str),
) -> Vec<u8> {
    let is_once = spec.refresh_policy == Some(RefreshPolicy::CreatedOnce);
    let facts = Facts {
        rules: RULES,
        operator_namespace: input.place.operator_namespace,
        namespace: input.object.namespace,
        name: input.object.name,
        uid: input.object.uid,
        spec: (!is_once).then_some(spec),
        stores: (!is_once).then_some(input.stores),
        store: status.store.as_ref(),
        entries: &status.entries,
        source: status.source.as_ref(),
        values,
        secret_uid: secret.0,
        resource_version: secret.1,
    };
    serde_json::to_vec(&facts).expect("maps with text keys, texts and numbers are JSON")
}

/// Checks the mark against the object and its Secret as they are.
pub(super) fn check(input: &Input<'_>, target: Option<&Target>) -> Mark {
    let status = input.object.status;
    let (Ok(spec), Some(applied)) = (input.object.spec, &status.applied) else { return Mark::Stale };
    let stamp = Stamp { digest: &applied.digest, key_id: &applied.key_id };
    let secret = (applied.secret_uid.as_str(), applied.resource_version.as_str());
    stamp.check(input.identities, LABEL, &facts(input, spec, status, &applied.values, secret), secret, target)
}

/// The identity that made the last mark makes the next one, so that nothing changes without a cause.
fn next_maker<'a>(input: &Input<'a>) -> Option<&'a Identity> {
    let last = input.object.status.applied.as_ref().map(|applied| applied.key_id.as_str());
    stamp::next_maker(input.identities, last)
}

/// Makes the mark of a status for a Secret that was just written, or found right.
pub(super) fn make(
    input: &Input<'_>,
    status: &ExternalSecretStatus,
    values: &str,
    secret: (&str, &str),
) -> Option<ExternalApplied> {
    let (spec, identity) = (input.object.spec.ok()?, next_maker(input)?);
    Some(ExternalApplied {
        digest: stamp::digest(identity, LABEL, &facts(input, spec, status, values, secret)),
        key_id: identity.id().to_string(),
        resource_version: secret.1.to_owned(),
        secret_uid: secret.0.to_owned(),
        values: values.to_owned(),
    })
}

/// The keyed digest of values: of every key and every value, with their lengths. Empty without an identity.
pub(super) fn values(input: &Input<'_>, values: &Data) -> String {
    let Some(identity) = next_maker(input) else { return String::new() };
    let size = values.iter().map(|(key, value)| key.as_str().len() + value.len() + 16).sum::<usize>();
    // The object is in it, so that two objects with the same values cannot be told to have them.
    let about = format!("{}/{}/{}", input.object.namespace, input.object.name, input.object.uid);
    let mut text = Zeroizing::new(Vec::with_capacity(size + about.len() + 8));
    let mut push = |bytes: &[u8]| {
        text.extend_from_slice(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        text.extend_from_slice(bytes);
    };
    push(about.as_bytes());
    for (key, value) in values.iter() {
        push(key.as_str().as_bytes());
        // Why exposed: it is hashed under a key, and nothing else.
        push(value.expose());
    }
    stamp::digest(identity, VALUES, &text)
}
