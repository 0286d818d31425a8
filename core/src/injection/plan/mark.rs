//! The mark in `status.published`: an HMAC that only holders of the ring's identities can make, over everything that
//! decided the published bytes and over the rest of the status. A restart needs neither Secrets nor stores to see that
//! nothing is to do.

use serde::Serialize;
use waxwing_crds::{InjectionStatus, Published, Source};

use super::{Fact, Input, Terms};
use crate::{
    alertmanager::{Version, capability::OperatorVersion},
    plan::{
        mark::{RULES, Rules},
        stamp::{self, Mark, Stamp},
    },
};

/// Which derived key; see [`Identity::mac`](crate::keys::Identity::mac).
const LABEL: &str = "wax1/injection";

/// Everything that decides what is published. A field more makes every object be looked at.
#[derive(Serialize)]
struct Facts<'a> {
    rules: Rules,
    /// Raised when the same spec and credentials would give other bytes than before.
    render_version: u32,
    /// The newest versions that this release knows: where none is named, they are meant.
    newest: (u8, String),
    operator_namespace: &'a str,
    kind: &'a str,
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
    spec: &'a str,
    facts: &'a [Fact],
    status: &'a InjectionStatus,
    source: Option<&'a Source>,
}

/// See [`Facts::render_version`].
const RENDER_VERSION: u32 = 1;

fn facts(input: &Input<'_>, status: &InjectionStatus) -> Vec<u8> {
    // What changes without a cause of ours, and the mark itself, are not in it.
    let published =
        status.published.clone().map(|published| Published { digest: String::new(), ..published });
    let bare = InjectionStatus {
        conditions: Vec::new(),
        observed_generation: None,
        loaded_replicas: None,
        published,
        ..status.clone()
    };
    let facts = Facts {
        rules: RULES,
        render_version: RENDER_VERSION,
        newest: (Version::NEWEST.minor(), OperatorVersion::NEWEST.to_string()),
        operator_namespace: input.place.operator_namespace,
        kind: input.object.kind,
        namespace: input.object.namespace,
        name: input.object.name,
        uid: input.object.uid,
        spec: input.object.spec,
        facts: input.facts,
        status: &bare,
        source: status.source.as_ref(),
    };
    serde_json::to_vec(&facts).expect("maps with text keys, texts and numbers are JSON")
}

/// Checks the mark against the object and the published Secrets as they are.
pub(super) fn check(input: &Input<'_>, terms: &Terms) -> Mark {
    let status = input.object.status;
    let Some(published) = &status.published else { return Mark::Stale };
    let stamp = Stamp { digest: &published.digest, key_id: &published.key_id };
    if !stamp.is_genuine(input.identities, LABEL, &facts(input, status)) {
        return Mark::Stale;
    }
    let is_same = published.secrets.len() == terms.secrets.len()
        && published.secrets.iter().zip(&terms.secrets).zip(input.targets).all(|((secret, name), target)| {
            let target = target.as_ref();
            secret.name == *name
                && target.is_some_and(|target| {
                    target.uid == secret.uid && target.resource_version == secret.resource_version
                })
        });
    if is_same { Mark::InSync } else { Mark::Touched }
}

/// Marks a status whose Secrets were just written, or found right.
pub(super) fn make(input: &Input<'_>, status: &mut InjectionStatus) {
    let last = input.object.status.published.as_ref().map(|published| published.key_id.as_str());
    let Some(identity) = stamp::next_maker(input.identities, last) else { return };
    if let Some(published) = &mut status.published {
        published.key_id = identity.id().to_string();
    }
    let digest = stamp::digest(identity, LABEL, &facts(input, status));
    if let Some(published) = &mut status.published {
        published.digest = digest;
    }
}
