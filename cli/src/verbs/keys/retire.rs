//! `waxwing keys retire`: the operator stops using a key. Refused while anything in sight would then have no key.

use serde::Serialize;
use serde_json::json;
use waxwing_core::keys::{KeyId, Recipient};
use waxwing_crds::{KeyRing, KeyState};

use super::{
    ask,
    needs::{self, Care, Need},
    ring_keys::{self, State},
    status,
    survey::Survey,
    target::{Sight, Target},
};
use crate::{
    args::Context,
    error::{Exit, Failure, Result},
    printer::{Format, count},
};

/// Stop using an older key of a ring, unless something that can be seen still needs it.
///
/// Looks at the live SealedSecrets of the cluster and at files. The private key stays in its Secret: taken out of
/// spec.retired of the KeyRing, it opens again. Exits with 3 if something needs the key.
#[derive(Debug, clap::Args)]
pub(crate) struct Retire {
    /// The key: its short id, or its recipient (age1…)
    #[arg(value_name = "KEY")]
    key: String,
    #[command(flatten)]
    sight: Sight,
    #[command(flatten)]
    target: Target,
    /// Retire it although something needs it; has to be confirmed by typing the key's short id
    #[arg(long)]
    force: bool,
    /// The confirmation, where there is nobody to type it
    #[arg(long, value_name = "KEY", requires = "force")]
    yes: Option<String>,
    /// Form of the output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report<'a> {
    pub(super) key_id: String,
    pub(super) recipient: &'a str,
    pub(super) done: bool,
    pub(super) needed_by: &'a [Need],
    pub(super) unreadable: &'a [String],
    pub(super) not_looked_at: &'a [String],
}

pub(super) fn run(args: Retire, context: &Context) -> Result {
    let cluster = args.target.connect()?;
    let name = &args.target.keyring;
    let ring = cluster.key_ring(name)?;
    let keys = ring_keys::of(&ring);
    let key = ring_keys::find(&keys, &args.key, name)?;
    let id = key.recipient.id();
    if is_retired(&ring, &key.recipient) {
        context.printer.note(format!("key {id} is retired already"));
        return Ok(Exit::Done);
    }
    refuse_in_use(key.state, id)?;
    let survey = args.sight.survey(&cluster, None, context)?;
    let others = ring_keys::others(&ring, &keys, &key.recipient, None);
    let found = needs::needs(&survey, &key.recipient, &others, Care::Reversible);
    let is_free = found.is_empty() && survey.unreadable.is_empty();
    if !is_free {
        tell(&found, &survey, context)?;
        if args.force {
            let what = format!("{} will not be opened any more", count(found.len(), "envelope"));
            ask::to_type(&what, &id.to_string(), args.yes.as_deref(), context)?;
        }
    }
    let done = is_free || args.force;
    if done {
        cluster.change_ring(name, &|ring| {
            let now = ring_keys::of(ring);
            // It may have become the active one meanwhile.
            refuse_in_use(ring_keys::find(&now, key.recipient.as_str(), name)?.state, id)?;
            let mut retired = ring.spec.retired.clone();
            if is_retired(ring, &key.recipient) {
                return Ok(None);
            }
            retired.push(key.recipient.to_string());
            Ok(Some(json!({"retired": retired})))
        })?;
    }
    let not_looked_at = status::not_looked_at(&survey);
    if args.output == Format::Json {
        context.printer.json(&Report {
            key_id: id.to_string(),
            recipient: key.recipient.as_str(),
            done,
            needed_by: &found,
            unreadable: &survey.unreadable,
            not_looked_at: &not_looked_at,
        })?;
    }
    if !done {
        context.printer.note(format!("key {id} was not retired: {}", needed(&found, &survey)));
        context.printer.hint(
            "live objects: waxwing keys propose --key KEY, then waxwing rewrap --from-cluster, and commit",
        );
        context.printer.hint("files alone: waxwing rewrap with an identity that opens them");
        return Ok(Exit::Found);
    }
    context.printer.note(format!(
        "key {id} is retired; looked at {} and {}, not at: {}",
        count(survey.files, "file"),
        count(survey.live.unwrap_or(0), "live SealedSecret"),
        not_looked_at.join("; ")
    ));
    context
        .printer
        .hint("its private key stays until waxwing keys destroy; taken out of spec.retired it opens again");
    Ok(Exit::Done)
}

fn is_retired(ring: &KeyRing, recipient: &Recipient) -> bool {
    ring.spec.retired.iter().any(|text| text == recipient.as_str())
}

fn refuse_in_use(state: State, id: KeyId) -> Result<()> {
    match state {
        State::Made(KeyState::Active) => Err(Failure::new(format!("key {id} is the ring's active key"))
            .hint("it can be retired once the ring has made another one: see spec.rotation of the KeyRing")),
        State::Made(KeyState::Pending) => {
            Err(Failure::new(format!("key {id} is pending: it is about to become the active key")))
        }
        _ => Ok(()),
    }
}

/// What needs the key, as the result.
pub(super) fn tell(found: &[Need], survey: &Survey, context: &Context) -> Result<()> {
    for need in found {
        let place = need.file.as_deref().unwrap_or("live");
        let values = need.values.join(", ");
        context.printer.warning(format!("{place}: {}: {values}: {}", need.resource, need.why));
    }
    for one in &survey.unreadable {
        context.printer.warning(format!("not read, so it may need the key: {one}"));
    }
    Ok(())
}

/// In a few words.
pub(super) fn needed(found: &[Need], survey: &Survey) -> String {
    let mut words = Vec::new();
    if !found.is_empty() {
        words.push(format!(
            "{} {} it",
            count(found.len(), "envelope"),
            if found.len() == 1 { "needs" } else { "need" }
        ));
    }
    if !survey.unreadable.is_empty() {
        words.push(format!("{} could not be read", count(survey.unreadable.len(), "resource")));
    }
    words.join(", ")
}
