//! One look at one GrafanaInjection: observe, gather, plan, publish, watch over, report. Every decision is in
//! `waxwing_core::injection`; how it takes leave is in [`super::grafana_farewell`].

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use waxwing_core::{
    grafana::{self, Inventory, Scope, api::looks},
    inject::{Node, Reference},
    injection::{
        Fault,
        grafana::{Around, Earlier, KIND, Made, Spec},
        plan::{Fact, Finding, Input, Memory, Report, Revision, Seen, Terms, Wanted, Wish, last_good},
        status::{self as came, Came},
    },
    plan::{Event, Next, Outcome},
};
use waxwing_crds::{GrafanaTargetKind, InjectionStatus, Reason};
use waxwing_providers::server;

use super::{
    grafana_api::{Grafana, Trouble, account},
    grafana_farewell::{self, Leave},
    grafana_watch::watch_over,
    look::{self, Acted, Decided, Injection, fault, input_of, object_of, targets},
    records::{ForGrafana, GrafanaRecord},
    resolve::{Resolved, facts},
};
use crate::{
    context::Context,
    memories::Memories,
    queue::{Queue, Verdict},
    records::Decoded,
    store::{ObjectKey, Store},
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
    look::reconcile(ctx, key, record.spec_json(), &object, began).await
}

impl Injection for ForGrafana {
    const PLURAL: &'static str = "grafanainjections";
    type Observed = Observed;
    type Given = Given;

    fn store(ctx: &Context) -> &Store<GrafanaRecord> {
        &ctx.inject.grafana
    }
    fn memories(ctx: &Context) -> &Memories<Memory> {
        &ctx.inject.grafana_memories
    }
    async fn observe(ctx: &Context, key: &ObjectKey, object: &Decoded<Self>) -> Result<Observed, Fault> {
        observe(ctx, key, object)
    }
    async fn make(
        ctx: &Context,
        key: &ObjectKey,
        input: &Input<'_>,
        observed: &Observed,
        resolved: &Resolved,
        history: &[Revision],
    ) -> (Result<Wanted, Fault>, Option<Given>) {
        match make(ctx, key, input, observed, resolved, history).await {
            Ok((wanted, given)) => (Ok(wanted), Some(given)),
            Err(fault) => (Err(fault), None),
        }
    }
    async fn watch_over(
        ctx: &Context,
        key: &ObjectKey,
        input: &Input<'_>,
        observed: &Observed,
        acted: &Acted<Self>,
        _: &[Outcome],
    ) -> (Seen, Vec<Event>) {
        match &acted.plan.finding {
            Finding::Good(good) => watch_over(ctx, key, input, observed, good, acted.given.as_ref()).await,
            _ => (Seen::default(), Vec::new()),
        }
    }
    fn next(report: &Report) -> Next {
        match report.next {
            Next::After(seconds) => Next::After(seconds.max(BETWEEN)),
            // What Grafana refuses may be put right there.
            Next::Ceiling | Next::OnChange if report.failure == Some(Reason::GrafanaRefused) => Next::Backoff,
            next => next,
        }
    }
}

impl Decided for Observed {
    fn terms(&self) -> &Terms {
        &self.terms
    }
    fn facts(&self) -> &[Fact] {
        &self.facts
    }
    fn references(&self) -> &BTreeSet<Reference> {
        &self.references
    }
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
        looks_with_made: true,
        watches_delivery: true,
        ..Terms::default()
    };
    Ok(Observed { spec, references, facts: known, terms, around })
}

/// What Grafana is given, and Grafana, where it can be asked.
pub(super) struct Given {
    pub(super) made: Made,
    pub(super) grafana: Option<Result<Grafana, Trouble>>,
}

/// Makes what Grafana is to be given.
async fn make(
    ctx: &Context,
    key: &ObjectKey,
    input: &Input<'_>,
    observed: &Observed,
    resolved: &Resolved,
    history: &[Revision],
) -> Result<(Wanted, Given), Fault> {
    let spec = &observed.spec;
    let mut around = observed.around.around();
    around.published = earlier(history, spec, input.object.status, input.now);
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
                return Err(Fault { reason, message });
            }
        }
    }
    let last = last_good(history);
    let scope = Scope { namespace: key.namespace(), name: key.name() };
    let made = spec.make(scope, &spec.document, &resolved.answers, &last, &around);
    let mut made = made.map_err(|refused| fault(&refused))?;
    let secrets = wishes(spec, std::mem::take(&mut made.files));
    let came = Came {
        document: &spec.document,
        receivers: &made.receivers,
        outside: &made.stale,
        versions: &resolved.versions,
    };
    let before = &input.object.status.receivers;
    let wanted = came::wanted(&came, secrets, &made.warnings, (&resolved.answers, &last), before, input.now);
    Ok((wanted, Given { made, grafana }))
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
    let object_of = object_of(key, spec_json, object, &none);
    let input = Input { targets: &targets, ..input_of(ctx, &ring, object_of, Ok(&observed.terms)) };
    let since = object.metadata.deletion_timestamp.as_ref().map_or(input.now, |at| at.0.as_second());
    grafana_farewell::leave(ctx, key, &input, &observed, observed.around.around(), since).await
}
