//! One look at one GrafanaInjection: observe, gather, plan, publish, watch over, report. Every decision is in
//! `waxwing_core::injection`; how it takes leave is in [`super::grafana_farewell`].

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use waxwing_core::{
    alertmanager::validate::Finding as Found,
    grafana::{self, Inventory, Scope, api::looks},
    inject::{Node, Reference},
    injection::{
        Fault,
        grafana::{Around, Earlier, KIND, Made, Spec},
        plan::{
            Cause, Fact, Finding, First, Gather, Gathered, Input, Memory, Object, Plan, Refused, Report,
            Revision, Seen, Terms, Wanted, Wish, first, last_good, report, then,
        },
        status::{self as came, Came},
    },
    plan::{Next, Place, Target, Write},
};
use waxwing_crds::{GrafanaTargetKind, InjectionStatus, Reason, names};
use waxwing_providers::server;

use super::{
    alertmanager::few,
    grafana_api::{Grafana, Trouble, account},
    grafana_farewell::{self, Leave},
    grafana_watch::watch_over,
    history,
    publish::{Published, publish},
    records::ForGrafana,
    resolve::{facts, resolve},
};
use crate::{
    context::Context,
    outcome,
    queue::{Queue, Verdict},
    records::{Decoded, Incoming},
    source::{self, Commit},
    status,
    store::ObjectKey,
    target, told,
    workers::Work,
};

/// Looks at once: each may wait for Grafana.
const PLACES: usize = 32;
/// Seconds that Grafana may take to have what was published, where it is asked.
const WITHIN: i64 = 300;
/// Seconds until files are taken for read, where nobody can be asked.
const READ: i64 = 600;
/// Seconds between two calls to Grafana that wait for a mounted Secret.
const BETWEEN: u64 = 10;

/// The loop over GrafanaInjections.
pub(crate) enum GrafanaInjections {}

impl Work for GrafanaInjections {
    const KIND: &'static str = KIND;

    fn queue(ctx: &Context) -> &Queue {
        &ctx.inject.grafana_queue
    }
    fn keys(ctx: &Context) -> Vec<ObjectKey> {
        ctx.inject.grafana.keys()
    }
    fn is_there(ctx: &Context, key: &ObjectKey) -> bool {
        ctx.inject.grafana.get(key).is_some()
    }
    fn forget(ctx: &Context, key: &ObjectKey) {
        ctx.forget_grafana(key);
    }
    fn at_once(_: &Context) -> usize {
        PLACES
    }
}

impl Context {
    /// The injection is gone, and with it whatever was known of it besides its record.
    pub(crate) fn forget_grafana(&self, key: &ObjectKey) {
        self.inject.grafana_queue.forget(key);
        self.inject.grafana_memories.forget(key);
        self.sources.forget(KIND, key);
    }
}

/// Looks at one object once. Measures itself; says when to look again.
pub(crate) async fn reconcile(ctx: &Context, key: &ObjectKey) -> Verdict {
    let began = Instant::now();
    let Some(record) = ctx.inject.grafana.get(key) else {
        ctx.forget_grafana(key);
        return Verdict::Done;
    };
    let object: Decoded<ForGrafana> = record.decode();
    if object.metadata.deletion_timestamp.is_some() {
        let leave = leave(ctx, key, record.spec_json(), &object);
        return grafana_farewell::carry_out(ctx, key, &object, leave).await;
    }
    // Before anything is published that would have to be deleted.
    if let (Ok(_), Some(verdict)) = (&object.spec, grafana_farewell::promise(ctx, key, &object).await) {
        return verdict;
    }
    let memory = ctx.inject.grafana_memories.of(key);
    let (report, again) = look(ctx, key, record.spec_json(), &object, &memory).await;
    if memory != report.memory {
        ctx.inject.grafana_memories.set(key, report.memory.clone());
    }
    let said = tell(ctx, key, &object, &report).await;
    ctx.metrics.reconciled(KIND, began.elapsed(), report.failure);
    let next = match report.next {
        Next::After(seconds) => Next::After(seconds.max(BETWEEN)),
        // What Grafana refuses may be put right there.
        Next::Ceiling | Next::OnChange if report.failure == Some(Reason::GrafanaRefused) => Next::Backoff,
        next => next,
    };
    told::verdict(said, next, again)
}

/// What the spec says, with everything that decides what is published.
pub(super) struct Observed {
    pub(super) spec: Spec,
    pub(super) references: BTreeSet<Reference>,
    facts: Vec<Fact>,
    terms: Terms,
    /// Of other injections.
    around: Others,
}

/// What other injections have.
#[derive(Default)]
struct Others {
    /// The documents of other namespaces that name the same server.
    same: Vec<Node>,
    /// Those of the same namespace.
    near: Vec<Node>,
}

impl Others {
    fn of(ctx: &Context, key: &ObjectKey, spec: &Spec) -> Self {
        let server = |namespace: &str, spec: &Spec| {
            server::endpoint(&ctx.pull.rules, namespace, spec.target.url.as_deref()?).ok()
        };
        let own = server(key.namespace(), spec);
        let mut others = Self::default();
        for other in ctx.inject.grafana.keys().into_iter().filter(|other| other != key) {
            let is_near = other.namespace() == key.namespace();
            if !is_near && own.is_none() {
                continue;
            }
            let Some(object) = ctx.inject.grafana.get(&other).map(|record| record.decode()) else { continue };
            let is_going = object.metadata.deletion_timestamp.is_some();
            let spec = object.spec.ok().filter(|_| !is_going);
            let Some(spec) = spec.and_then(|spec| Spec::read(other.name(), &spec).ok()) else { continue };
            if is_near {
                others.near.push(spec.document);
            } else if server(other.namespace(), &spec) == own {
                others.same.push(spec.document);
            }
        }
        others
    }

    fn around(&self) -> Around {
        let mut around = Around::default();
        self.near.iter().for_each(|document| around.add(document));
        // Of another namespace's only that it is not to be deleted.
        let names = std::mem::take(&mut around.contact_points);
        self.same.iter().for_each(|document| around.add(document));
        Around { contact_points: names, ..around }
    }
}

fn observe(ctx: &Context, key: &ObjectKey, object: &Decoded<ForGrafana>) -> Result<Observed, Fault> {
    let spec = object.spec.as_ref().map_err(|what| Fault::spec(what.clone()))?;
    let spec = Spec::read(key.name(), spec)?;
    let mut references = BTreeSet::new();
    spec.document.leaves(&mut |_, reference| {
        references.insert(reference.clone());
    });
    references.extend(spec.target.auth.iter().flat_map(|auth| auth.references()).cloned());
    let mut known = facts(ctx, key.namespace(), &references);
    let around = Others::of(ctx, key, &spec);
    if spec.document.get(grafana::POLICIES).is_some() {
        let names = around.around().contact_points;
        let names: Vec<_> = names.into_iter().map(|(org, name)| format!("{org}/{name}")).collect();
        let what = "contact points of others".to_owned();
        known.push(Fact { what, uid: String::new(), version: names.join("\n") });
    }
    let terms = Terms {
        secrets: spec.target.carriers.iter().map(|carrier| carrier.name.clone()).collect(),
        goes_along: true,
        // Also without any store: then it is seen whether tombstones have done their work, and what Grafana has.
        refresh: Some(spec.refresh),
        max_stale: spec.policy.max_stale,
        history: spec.policy.history,
        within: spec.target.url.is_some().then_some(WITHIN),
        ..Terms::default()
    };
    Ok(Observed { spec, references, facts: known, terms, around })
}

/// The secrets that an injection publishes, as the caches have them.
fn targets(ctx: &Context, key: &ObjectKey, terms: &Terms) -> Vec<Option<Target>> {
    let secret = |name: &String| target::cached(ctx, &ObjectKey::new(key.namespace(), name));
    terms.secrets.iter().map(secret).collect()
}

fn object_of<'a>(
    key: &'a ObjectKey,
    spec_json: &'a str,
    object: &'a Decoded<ForGrafana>,
    none: &'a BTreeMap<String, String>,
) -> Object<'a> {
    Object {
        kind: KIND,
        namespace: key.namespace(),
        name: key.name(),
        uid: object.metadata.uid.as_deref().unwrap_or_default(),
        generation: object.metadata.generation,
        deleting: object.metadata.deletion_timestamp.is_some(),
        annotations: object.metadata.annotations.as_ref().unwrap_or(none),
        spec: spec_json,
        status: &object.status,
    }
}

async fn look(
    ctx: &Context,
    key: &ObjectKey,
    spec_json: &str,
    object: &Decoded<ForGrafana>,
    memory: &Memory,
) -> (Report, Option<Duration>) {
    let (ring, none) = (ctx.ring(), BTreeMap::new());
    let observed = observe(ctx, key, object);
    let targets = observed.as_ref().map(|observed| targets(ctx, key, &observed.terms)).unwrap_or_default();
    let input = Input {
        object: object_of(key, spec_json, object, &none),
        terms: observed.as_ref().map(|observed| &observed.terms),
        targets: &targets,
        facts: observed.as_ref().map(|observed| observed.facts.as_slice()).unwrap_or_default(),
        identities: &ring.identities,
        unusable: ring.unusable,
        place: Place {
            operator_namespace: &ctx.flags.operator_namespace,
            terminating: ctx.terminating.contains(key.namespace()),
        },
        source: None,
        now: ctx.now(),
    };
    let generation = input.object.generation;
    let last = object.status.source.as_ref();
    let is_wanted = object.status.observed_generation != generation;
    let commit = source::commit(ctx, KIND, key, &object.metadata, last, is_wanted);
    let (acted, commit) = futures::join!(act(ctx, key, &input, memory, observed.as_ref().ok()), commit);
    let again = ctx.sources.note(KIND, key, generation, commit.as_ref());
    let synced = if let Some(Commit::Known(synced)) = commit { Some(synced) } else { None };
    let Acted { targets, plan, published, given } = acted;
    if let Published::Done(outcomes) = &published {
        told::applied(ctx, synced.as_ref(), outcomes);
    }
    let input = Input {
        targets: &targets,
        source: synced.as_ref().map(|synced| &synced.source),
        now: ctx.now(),
        ..input
    };
    let (seen, corrected) = match (&observed, &published, &plan.finding) {
        (Ok(observed), Published::Done(_), Finding::Good(good)) => {
            watch_over(ctx, key, &input, observed, good, given.as_ref()).await
        }
        _ => (Seen::default(), Vec::new()),
    };
    let outcomes = match &published {
        Published::Done(outcomes) => Ok(outcomes.as_slice()),
        Published::Refused(write, outcome, _) => Err((&**write, outcome)),
    };
    let mut report = report(&input, memory, &plan, outcomes, &seen);
    report.events.extend(corrected);
    if let Some(loaded) = report.newly_loaded {
        // Which Secret holds it may have been decided just now.
        let revisions = history::read(ctx, key.namespace(), input.object.uid).await.unwrap_or_default();
        if let Some(revision) = revisions.iter().find(|revision| revision.number == loaded) {
            let value = Revision::loaded_value(loaded);
            history::note(ctx, key.namespace(), &revision.name, names::LOADED, &value).await;
        }
    }
    (report, again)
}

/// A plan, for which Secrets it was made, and what became of it.
struct Acted {
    targets: Vec<Option<Target>>,
    plan: Plan,
    published: Published,
    /// What Grafana is given, where it was made.
    given: Option<Given>,
}

/// What Grafana is given, and Grafana, where it can be asked.
pub(super) struct Given {
    pub(super) made: Made,
    pub(super) grafana: Option<Result<Grafana, Trouble>>,
}

async fn act(
    ctx: &Context,
    key: &ObjectKey,
    input: &Input<'_>,
    memory: &Memory,
    observed: Option<&Observed>,
) -> Acted {
    let mut targets = input.targets.to_vec();
    let mut attempts = 0;
    loop {
        attempts += 1;
        let seen = Input { targets: &targets, ..*input };
        let mut given = None;
        let plan = match (first(&seen, memory), observed) {
            (First::Done(plan), _) => *plan,
            (First::Gather(gather), Some(observed)) => {
                let (gathered, made) = gathered(ctx, key, &seen, &gather, observed).await;
                given = made;
                then(&seen, &gather, gathered)
            }
            // Without a spec there is nothing to gather, and the plan says so.
            (First::Gather(_), None) => Plan::failing(&Fault::spec("the spec was not read")),
        };
        let published = {
            // Nobody shuts this down before the loops have ended.
            let _permit = ctx.writes.acquire().await;
            publish(ctx, key.namespace(), &plan.writes, &targets).await
        };
        let is_outdated = matches!(published, Published::Refused(_, _, true));
        let (true, Some(observed)) = (is_outdated && attempts < target::ATTEMPTS, observed) else {
            return Acted { targets, plan, published, given };
        };
        targets.clear();
        for name in &observed.terms.secrets {
            match target::read(ctx, &ObjectKey::new(key.namespace(), name)).await {
                Ok(read) => targets.push(read),
                Err(refusal) => {
                    let published = Published::Refused(Box::new(Write::None), outcome::of(&refusal), false);
                    return Acted { targets: input.targets.to_vec(), plan, published, given };
                }
            }
        }
    }
}

/// Reads everything, and makes what Grafana is to be given.
async fn gathered(
    ctx: &Context,
    key: &ObjectKey,
    input: &Input<'_>,
    gather: &Gather,
    observed: &Observed,
) -> (Gathered, Option<Given>) {
    let failed = |Fault { reason, message }: Fault| {
        let made = Err(Refused { reason, message, receivers: None });
        (Gathered { made, history: Vec::new() }, None)
    };
    let spec = &observed.spec;
    let uid = input.object.uid;
    let (resolved, history) = futures::join!(
        resolve(ctx, key, uid, &observed.references, gather.cause == Cause::Forced),
        history::read(ctx, key.namespace(), uid)
    );
    let (resolved, history) = match (resolved, history) {
        (Ok(resolved), Ok(history)) => (resolved, history),
        (Err(fault), _) | (_, Err(fault)) => return failed(fault),
    };
    let mut around = observed.around.around();
    around.published = earlier(&history, spec, input.object.status, input.now);
    let grafana = match (&spec.target.url, &spec.target.auth) {
        (Some(url), Some(auth)) => Some(match account(auth, &resolved.answers) {
            Ok(account) => Grafana::find(&ctx.pull.rules, key.namespace(), url, account).await,
            Err(message) => Err(Trouble { message, is_passing: false }),
        }),
        _ => None,
    };
    if spec.target.kind == GrafanaTargetKind::Api {
        // Without it nothing is known of contact points that policies may name, and nothing can be written.
        let names = match &grafana {
            Some(Ok(grafana)) => names_in(grafana, &spec.document).await,
            Some(Err(trouble)) => Err(trouble.clone()),
            None => Ok(BTreeSet::new()),
        };
        match names {
            Ok(names) => around.contact_points.extend(names),
            Err(Trouble { message, is_passing }) => {
                let reason = if is_passing { Reason::ReloadFailed } else { Reason::GrafanaRefused };
                return failed(Fault { reason, message });
            }
        }
    }
    let last = last_good(&history);
    let scope = Scope { namespace: key.namespace(), name: key.name() };
    match spec.make(scope, &spec.document, &resolved.answers, &last, &around) {
        Ok(mut made) => {
            let came = Came {
                document: &spec.document,
                receivers: &made.receivers,
                outside: &made.stale,
                versions: &resolved.versions,
            };
            let literal = |finding: &&Found| finding.rule == "literal-credential";
            let literals = made.warnings.iter().filter(literal).map(|finding| finding.at.to_string());
            let wanted = Wanted {
                receivers: came::receivers(&came, &input.object.status.receivers, input.now),
                literals: literals.collect(),
                credentials: came::published(&came, &resolved.answers, &last),
                secrets: wishes(spec, std::mem::take(&mut made.files)),
            };
            (Gathered { made: Ok(wanted), history }, Some(Given { made, grafana }))
        }
        Err(refused) => {
            let (reason, message) = (refused.reason(), few(&refused.messages()));
            (Gathered { made: Err(Refused { reason, message, receivers: None }), history }, None)
        }
    }
}

/// The contact points that Grafana has.
async fn names_in(grafana: &Grafana, document: &Node) -> Result<BTreeSet<(i64, String)>, Trouble> {
    let Some(policies) = document.get(grafana::POLICIES) else { return Ok(BTreeSet::new()) };
    let alone = Node::Map([(grafana::POLICIES.to_owned(), policies.clone())].into());
    let current = grafana.look(&looks(&alone, &Inventory::default())).await?;
    Ok(current.contact_points())
}

/// What was published before, and whether Grafana has read it. With neither a sidecar nor a call it may not have been started
/// again since.
pub(super) fn earlier(history: &[Revision], spec: &Spec, status: &InjectionStatus, now: i64) -> Vec<Earlier> {
    let published = status.published.as_ref();
    let is_old = |number: i64| {
        let at = published.filter(|one| one.revision == number).and_then(|one| one.at.as_ref());
        at.is_some_and(|at| at.0.as_second() + READ <= now)
    };
    let is_read = |revision: &Revision| match (spec.target.kind, &spec.target.url) {
        (_, Some(_)) => revision.loaded,
        (GrafanaTargetKind::Sidecar, None) => is_old(revision.number),
        _ => false,
    };
    let one = |revision: &Revision| Earlier {
        files: revision.data.iter().map(|(_, file)| file.clone()).collect(),
        is_read: is_read(revision),
    };
    history.iter().map(one).collect()
}

/// The Secrets with the files. For the API there is none: the history alone keeps what was written.
pub(super) fn wishes(spec: &Spec, files: Vec<grafana::File>) -> Vec<Wish> {
    let mut wishes: Vec<Wish> = spec
        .target
        .carriers
        .iter()
        .map(|carrier| {
            let labels = carrier.label.map(|label| (label.to_owned(), "1".to_owned())).into_iter();
            Wish { labels: labels.collect(), ..Wish::default() }
        })
        .collect();
    if wishes.is_empty() {
        wishes.push(Wish::default());
    }
    for file in files {
        let home = spec.target.carriers.iter().position(|carrier| carrier.kinds.contains(&file.kind));
        let (Some(wish), Ok(key)) = (wishes.get_mut(home.unwrap_or(0)), file.key.parse()) else { continue };
        wish.data = std::mem::take(&mut wish.data).with([(key, file.content.into())].into_iter().collect());
    }
    wishes
}

/// What is to be deleted when the injection goes.
async fn leave(ctx: &Context, key: &ObjectKey, spec_json: &str, object: &Decoded<ForGrafana>) -> Leave {
    let (ring, none) = (ctx.ring(), BTreeMap::new());
    let observed = match observe(ctx, key, object) {
        Ok(observed) => observed,
        Err(fault) => return Leave::GivenUp(fault.message),
    };
    let targets = targets(ctx, key, &observed.terms);
    let input = Input {
        object: object_of(key, spec_json, object, &none),
        terms: Ok(&observed.terms),
        targets: &targets,
        facts: &[],
        identities: &ring.identities,
        unusable: ring.unusable,
        place: Place {
            operator_namespace: &ctx.flags.operator_namespace,
            terminating: ctx.terminating.contains(key.namespace()),
        },
        source: None,
        now: ctx.now(),
    };
    let since = object.metadata.deletion_timestamp.as_ref().map_or(input.now, |at| at.0.as_second());
    grafana_farewell::leave(ctx, key, &input, &observed, observed.around.around(), since).await
}

/// Status, events, metrics, log; each only when there is something new.
async fn tell(
    ctx: &Context,
    key: &ObjectKey,
    object: &Decoded<ForGrafana>,
    report: &Report,
) -> Result<(), status::NotSaid> {
    if report.drift_corrected {
        ctx.metrics.drift_corrected(KIND);
    }
    let said = match &report.status {
        Some(status) => {
            let uid = object.metadata.uid.as_deref();
            let written = status::write(ctx, "grafanainjections", key, uid, status).await;
            written.map(|object: Incoming<ForGrafana>| {
                let (key, record) = object.into();
                // Where the watch was faster, what it has brought stays.
                let _newer = ctx.inject.grafana.put(&key, record);
            })
        }
        None => Ok(()),
    };
    let about = told::about(KIND, key, &object.metadata);
    let source = report.status.as_ref().unwrap_or(&object.status).source.as_ref();
    told::tell(ctx, key, &about, &report.events, source).await;
    said
}
