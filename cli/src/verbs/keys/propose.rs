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

/// Whether an envelope is for a key of this ring, and not for its active one.
fn is_behind(survey: &Survey, keys: &[RingKey]) -> bool {
    let is_active = |key: &&RingKey| key.state == State::Made(KeyState::Active);
    let active: BTreeSet<KeyId> = keys.iter().filter(is_active).map(|key| key.recipient.id()).collect();
    let ours: BTreeSet<KeyId> = keys.iter().map(|key| key.recipient.id()).collect();
    survey.uses.iter().any(|one| {
        let named = |ids: &BTreeSet<KeyId>| ids.iter().any(|id| one.names(*id) || one.told.contains(id));
        named(&ours) && !named(&active)
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
