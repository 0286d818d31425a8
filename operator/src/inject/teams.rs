//! AlertReceivers: the injection that one names takes it in when it is looked at, and says what it found.

use std::{collections::BTreeMap, time::Instant};

use waxwing_core::{
    inject::Node,
    injection::{
        Fault,
        alertmanager::{KIND, Spec},
        include::{self, Team},
        plan::Fact,
    },
    plan::{Next, with_advice},
};
use waxwing_crds::{
    AlertReceiverSpec, AlertReceiverStatus, ConditionType, InjectionStatus, Reason, conditions,
};

use super::records::{ALERT_RECEIVER, OfTeam};
use crate::{
    context::Context,
    queue::{Class, Queue, Verdict},
    records::{Decoded, Incoming},
    status,
    store::{ObjectKey, Record as _},
    told,
    workers::Work,
};

/// What an injection found about an AlertReceiver that names it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Found {
    /// The injection; none before one was looked at.
    injection: Option<ObjectKey>,
    /// The AlertReceiver's generation then.
    generation: Option<i64>,
    /// Why it is not part of the document, if it is not.
    fault: Option<Fault>,
}

/// Puts the teams that name this injection, and that it selects, into its document. Gives what decides about that.
pub(crate) fn take_in(ctx: &Context, key: &ObjectKey, spec: &Spec, document: &mut Node) -> Vec<Fact> {
    let (named, mut facts) = named(ctx, key);
    let selected: Vec<(&Named, &str)> = named
        .iter()
        .filter_map(|team| {
            let labels = ctx.pull.labels_of(team.key.namespace());
            let selects = |one: &&waxwing_crds::Include| {
                include::selects(one, key.namespace(), team.key.namespace(), &team.labels, &labels)
            };
            spec.include.iter().find(selects).map(|one| (team, include::label(one)))
        })
        .collect();
    facts.retain_mut(|fact| {
        let Some((_, label)) = selected.iter().find(|(team, _)| fact.what == team.what()) else {
            return false;
        };
        fact.version = format!("{} by {label}", fact.version);
        true
    });
    let teams: Vec<Team<'_>> = selected
        .iter()
        .map(|(team, label)| Team {
            namespace: team.key.namespace(),
            name: team.key.name(),
            spec: &team.spec,
            label,
        })
        .collect();
    let faults: BTreeMap<usize, Fault> = if spec.include.is_empty() {
        BTreeMap::new()
    } else {
        include::include(document, &teams, &spec.target).into_iter().collect()
    };
    for team in &named {
        let index = selected.iter().position(|(other, _)| other.key == team.key);
        let fault = match index {
            Some(index) => faults.get(&index).cloned(),
            None => Some(Fault {
                reason: Reason::NotIncluded,
                message: format!("{KIND} {key} does not select it"),
            }),
        };
        let found = Found { injection: Some(key.clone()), generation: team.generation, fault };
        if ctx.inject.found.of(&team.key) != found {
            ctx.inject.found.set(&team.key, found);
            ctx.look_receiver(&team.key);
        }
    }
    facts
}

/// An AlertReceiver that names an injection.
struct Named {
    key: ObjectKey,
    generation: Option<i64>,
    labels: BTreeMap<String, String>,
    spec: AlertReceiverSpec,
}

impl Named {
    fn what(&self) -> String {
        format!("{ALERT_RECEIVER}/{} in {}", self.key.name(), self.key.namespace())
    }
}

fn named(ctx: &Context, injection: &ObjectKey) -> (Vec<Named>, Vec<Fact>) {
    let (mut named, mut facts) = (Vec::new(), Vec::new());
    ctx.inject.receivers.each(|key, record| {
        let Decoded { metadata, spec: Ok(spec), .. } = record.decode() else { return };
        if !include::consents(&spec, injection.namespace(), injection.name()) {
            return;
        }
        let team = Named {
            key: key.clone(),
            generation: metadata.generation,
            labels: metadata.labels.unwrap_or_default(),
            spec,
        };
        let version = metadata.generation.unwrap_or_default().to_string();
        facts.push(Fact { what: team.what(), uid: record.uid().to_owned(), version });
        named.push(team);
    });
    facts.sort_by(|one, other| one.what.cmp(&other.what));
    (named, facts)
}

/// The loop over AlertReceivers, which only says what was found.
pub(crate) enum AlertReceivers {}

impl Work for AlertReceivers {
    const KIND: &'static str = ALERT_RECEIVER;

    fn queue(ctx: &Context) -> &Queue {
        &ctx.inject.receivers_queue
    }
    fn keys(ctx: &Context) -> Vec<ObjectKey> {
        ctx.inject.receivers.keys()
    }
    fn is_there(ctx: &Context, key: &ObjectKey) -> bool {
        ctx.inject.receivers.get(key).is_some()
    }
    fn forget(ctx: &Context, key: &ObjectKey) {
        ctx.inject.receivers_queue.forget(key);
        ctx.inject.found.forget(key);
    }
    fn at_once(_: &Context) -> usize {
        8
    }
}

impl Context {
    /// Puts an AlertReceiver into the queue, if this replica is the one that works.
    pub(crate) fn look_receiver(&self, key: &ObjectKey) {
        if self.leadership.is_held() {
            self.inject.receivers_queue.add(key, Class::Changed);
        }
    }

    /// An injection has another status: what was taken into it may be published now, or not any more.
    pub(crate) fn look_receivers_of(&self, injection: &ObjectKey) {
        let mut keys = Vec::new();
        self.inject.found.each(|key, found| {
            if found.injection.as_ref() == Some(injection) {
                keys.push(key.clone());
            }
        });
        keys.iter().for_each(|key| self.look_receiver(key));
    }
}

/// Says of one AlertReceiver whether it is part of a published configuration.
pub(crate) async fn reconcile(ctx: &Context, key: &ObjectKey) -> Verdict {
    let began = Instant::now();
    let Some(record) = ctx.inject.receivers.get(key) else {
        AlertReceivers::forget(ctx, key);
        return Verdict::Done;
    };
    let object: Decoded<OfTeam> = record.decode();
    let judged = match &object.spec {
        Err(what) => Err(Fault::spec(what.clone())),
        Ok(spec) => {
            let injection = ObjectKey::new(&spec.injection.namespace, &spec.injection.name);
            let found = ctx.inject.found.of(key);
            let Some(record) = ctx.inject.alertmanager.get(&injection) else {
                let message = format!("there is no {KIND} {injection}");
                return tell(ctx, key, &object, Err(&Fault { reason: Reason::NotIncluded, message }), began)
                    .await;
            };
            let is_of_this = found.injection.as_ref() == Some(&injection)
                && found.generation == object.metadata.generation;
            match found.fault {
                // It is called when the injection has been looked at.
                _ if !is_of_this => {
                    ctx.look_alertmanager(&injection, Class::Changed);
                    return Verdict::Done;
                }
                Some(fault) => Err(fault),
                None => published(key, &injection, record.is_ready(), &record.status()).map(|()| injection),
            }
        }
    };
    tell(ctx, key, &object, judged.as_ref(), began).await
}

/// Whether the injection has published this team's receiver as it is.
fn published(
    team: &ObjectKey,
    injection: &ObjectKey,
    is_ready: bool,
    status: &InjectionStatus,
) -> Result<(), Fault> {
    let name = format!("{}/{}", team.namespace(), team.name());
    let own = status.receivers.iter().find(|receiver| receiver.name == name);
    let lacking = own.and_then(|own| own.credentials.iter().find(|credential| credential.problem.is_some()));
    if let Some(credential) = lacking {
        let problem = credential.problem.as_deref().unwrap_or_default();
        let message = format!("{}: {}: {problem}", credential.field, credential.from);
        let is_stale = credential.stale_since.is_some();
        let reason = if is_stale { Reason::CredentialStale } else { Reason::CredentialUnresolved };
        return Err(Fault { reason, message });
    }
    // What others lack is no matter of this one.
    let ready = conditions::get(&status.conditions, ConditionType::Ready);
    let others = [Reason::CredentialUnresolved, Reason::CredentialExpired];
    let is_of_others = ready.is_some_and(|ready| others.iter().any(|reason| ready.reason == reason.as_str()));
    match own.is_some() && status.published.is_some() && (is_ready || is_of_others) {
        true => Ok(()),
        false => Err(Fault {
            reason: Reason::Progressing,
            message: format!("{KIND} {injection}, which has it, is not in effect; its status says why"),
        }),
    }
}

async fn tell(
    ctx: &Context,
    key: &ObjectKey,
    object: &Decoded<OfTeam>,
    judged: Result<&ObjectKey, &Fault>,
    began: Instant,
) -> Verdict {
    let (generation, now) = (object.metadata.generation, ctx.now());
    let mut status: AlertReceiverStatus = object.status.clone();
    status.observed_generation = generation.or(status.observed_generation);
    let failure = match judged {
        Ok(injection) => {
            let message = format!("part of {KIND} {injection}");
            conditions::ready(&mut status.conditions, Reason::Published, &message, generation, now);
            None
        }
        Err(Fault { reason, message }) => {
            let message = with_advice(message, *reason);
            conditions::failing(&mut status.conditions, *reason, &message, generation, now);
            Some(*reason)
        }
    };
    ctx.metrics.reconciled(ALERT_RECEIVER, began.elapsed(), failure);
    if status == object.status {
        return Verdict::Done;
    }
    let uid = object.metadata.uid.as_deref();
    let written = status::write(ctx, "alertreceivers", key, uid, &status).await;
    let said = written.map(|object: Incoming<OfTeam>| {
        let (key, record) = object.into();
        // Where the watch was faster, what it has brought stays.
        let _newer = ctx.inject.receivers.put(&key, record);
    });
    told::verdict(said, Next::OnChange, None)
}
