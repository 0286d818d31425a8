//! `waxwing keys propose`: asks the operator for envelopes that its active key opens, where there are none.

use std::collections::BTreeSet;

use serde::Serialize;
use waxwing_core::keys::{Identities, Identity, KeyId};
use waxwing_crds::{KeyState, SealedSecret};

use super::{
    needs::{self, Care},
    ring_keys::{self, RingKey, State},
    survey::Survey,
    target::Target,
};
use crate::{
    args::Context,
    error::{Exit, Result},
    printer::{Format, count},
};

/// Ask the operator to propose new envelopes for what only older keys open; waxwing rewrap takes them from there.
///
/// Sets the annotation waxwing.dev/propose-rewrap on live SealedSecrets. Nothing else of them changes.
#[derive(Debug, clap::Args)]
pub(crate) struct Propose {
    /// Only for what needs this key: its short id, or its recipient (age1…)
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    target: Target,
    /// Look at the SealedSecrets of this namespace only; may be repeated. Default: all that there are
    #[arg(long, value_name = "NAMESPACE")]
    in_namespace: Vec<String>,
    /// Write nothing; exit with 3 if an object would be asked for
    #[arg(long)]
    check: bool,
    /// Form of the output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    asked: Vec<String>,
    proposed_before: Vec<String>,
    failed: Vec<String>,
}

pub(super) fn run(args: Propose, context: &Context) -> Result {
    let cluster = args.target.connect()?;
    let name = &args.target.keyring;
    let ring = cluster.key_ring(name)?;
    let keys = ring_keys::of(&ring);
    let key = args.key.as_deref().map(|key| ring_keys::find(&keys, key, name)).transpose()?;
    let others = key.map(|key| ring_keys::others(&ring, &keys, &key.recipient, None)).unwrap_or_default();
    // A recipient is as random as a nonce has to be.
    let nonce = Identity::generate().id().to_string();
    let mut report = Report::default();
    let objects = cluster.sealed_secrets(&args.in_namespace)?;
    for object in &objects {
        let survey = survey_of(object, context.now);
        let wanted = match key {
            Some(key) => !needs::needs(&survey, &key.recipient, &others, Care::Reversible).is_empty(),
            None => is_behind(&survey, &keys),
        };
        if !wanted || !survey.unreadable.is_empty() {
            continue;
        }
        let title = title(object);
        if is_proposed(object) {
            report.proposed_before.push(title);
        } else if args.check {
            report.asked.push(title);
        } else {
            context.printer.progress(&title);
            match cluster.propose(object, &nonce) {
                Ok(()) => report.asked.push(title),
                Err(failure) => {
                    context.printer.warning(failure.to_string());
                    report.failed.push(title);
                }
            }
        }
    }
    if args.output == Format::Json {
        context.printer.json(&report)?;
    } else {
        for title in &report.asked {
            context.printer.line(title)?;
        }
    }
    let would = if args.check { "would be asked" } else { "asked" };
    context.printer.note(format!(
        "{would} for {} of {}; {} had a proposal",
        count(report.asked.len(), "resource"),
        objects.len(),
        report.proposed_before.len()
    ));
    if !args.check && report.asked.len() + report.proposed_before.len() > 0 {
        context.printer.hint("once the operator has answered: waxwing rewrap --from-cluster, and commit");
    }
    Ok(if !report.failed.is_empty() {
        Exit::Partly
    } else if args.check && !report.asked.is_empty() {
        Exit::Found
    } else {
        Exit::Done
    })
}

fn survey_of(object: &SealedSecret, now: i64) -> Survey {
    let mut survey = Survey::default();
    survey.add_live(std::slice::from_ref(object), &Identities::default(), now);
    survey
}

/// Whether an envelope is for a key of this ring, and neither for its active one nor for one that is to become that.
fn is_behind(survey: &Survey, keys: &[RingKey]) -> bool {
    let is_newest = |key: &&RingKey| key.state == State::Made(KeyState::Active) || key.announced;
    let newest: BTreeSet<KeyId> = keys.iter().filter(is_newest).map(|key| key.recipient.id()).collect();
    let ours: BTreeSet<KeyId> = keys.iter().map(|key| key.recipient.id()).collect();
    survey.uses.iter().any(|one| {
        let named = |ids: &BTreeSet<KeyId>| ids.iter().any(|id| one.names(*id) || one.told.contains(id));
        named(&ours) && !named(&newest)
    })
}

fn is_proposed(object: &SealedSecret) -> bool {
    let proposal = object.status.as_ref().and_then(|status| status.proposed_envelopes.as_ref());
    proposal.is_some_and(|proposal| !proposal.envelopes.is_empty())
}

fn title(object: &SealedSecret) -> String {
    let metadata = &object.metadata;
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{}/{}", part(&metadata.namespace), part(&metadata.name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use waxwing_core::{
        Secret,
        keys::NamedRecipient,
        seal::{Binding, Scope, Sealed},
    };
    use waxwing_crds::{KeyRing, SealedSecretSpec};

    use super::*;

    #[test]
    fn what_is_sealed_for_the_key_that_is_announced_is_not_behind() {
        let keys = [(); 3].map(|()| Identity::generate());
        let [old, active, next] = &keys;
        let ring = |next_more: serde_json::Value| -> KeyRing {
            let mut all = vec![
                json!({"recipient": old.recipient().to_string(), "state": "OpenOnly"}),
                json!({"recipient": active.recipient().to_string(), "state": "Active"}),
                json!({"recipient": next.recipient().to_string(), "state": "Pending"}),
            ];
            all[2].as_object_mut().unwrap().extend(next_more.as_object().unwrap().clone());
            serde_json::from_value(json!({
                "apiVersion": "waxwing.dev/v1alpha1", "kind": "KeyRing", "metadata": {"name": "default"},
                "spec": {}, "status": {"keys": all},
            }))
            .unwrap()
        };
        let survey_for = |identity: &Identity| {
            let binding = Binding {
                scope: Scope::Strict,
                namespace: "web".to_owned(),
                name: "db".to_owned(),
                secret_type: "Opaque".to_owned(),
            };
            let mut sealed = Sealed::empty(binding);
            let values = [("k".parse().unwrap(), Secret::new(b"v".to_vec()))];
            let to = [NamedRecipient::new("prod", identity.recipient().clone()).unwrap()];
            sealed.seal(&values, &to, 1_789_000_000).unwrap();
            let mut object = SealedSecret::new("db", SealedSecretSpec::default());
            object.metadata.namespace = Some("web".to_owned());
            sealed.write_into(&mut object.spec);
            survey_of(&object, 1_789_000_000)
        };
        let announced = ring_keys::of(&ring(json!({"announcedAt": "2026-11-22T00:00:00Z"})));
        for (identity, is_old) in [(old, true), (active, false), (next, false)] {
            assert_eq!(is_behind(&survey_for(identity), &announced), is_old);
        }
        // One that is still being made may never be there.
        assert!(is_behind(&survey_for(next), &ring_keys::of(&ring(json!({})))));
    }
}
