//! One look at one AlertmanagerInjection: observe, gather, plan, publish, watch over, report. Every decision is in
//! `waxwing_core::injection`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use waxwing_core::{
    Secret,
    inject::{Node, Reference},
    injection::{
        Canary, Fault, Origin, OriginKind,
        alertmanager::{KIND, Made, Spec},
        plan::{Fact, Input, Load, Memory, Plan, Revision, Seen, Terms, Wanted, Wish, last_good},
        status::{self as came, Came},
    },
    plan::{Event, Outcome, Write},
    store::Kind,
    yaml,
};
use waxwing_crds::{ConditionType, InjectionStatus, ProbeMode, Reason, conditions};
use waxwing_providers::References as _;

use super::{
    load,
    look::{self, Acted, Decided, Injection, fault},
    records::{AlertmanagerRecord, ForAlertmanager},
    resolve::{Resolved, Unread, facts, read_secret},
    teams,
};
use crate::{
    context::Context,
    memories::Memories,
    pull::references::InNamespace,
    queue::{Queue, Verdict},
    records::Decoded,
    store::{ObjectKey, Store},
    workers::Work,
};

/// Looks at once: each may wait for endpoints.
const PLACES: usize = 32;

/// Seconds between two looks at the document of `configFrom`, whose object is not watched.
const POLL: u64 = 60;

/// The loop over AlertmanagerInjections.
pub(crate) enum AlertmanagerInjections {}

impl Work for AlertmanagerInjections {
    const KIND: &'static str = KIND;

    fn queue(ctx: &Context) -> &Queue {
        &ctx.inject.alertmanager_queue
    }
    fn keys(ctx: &Context) -> Vec<ObjectKey> {
        ctx.inject.alertmanager.keys()
    }
    fn is_there(ctx: &Context, key: &ObjectKey) -> bool {
        ctx.inject.alertmanager.get(key).is_some()
    }
    fn forget(ctx: &Context, key: &ObjectKey) {
        ctx.forget_alertmanager(key);
    }
    fn at_once(_: &Context) -> usize {
        PLACES
    }
}

impl Context {
    /// The injection is gone, and with it whatever was known of it besides its record.
    pub(crate) fn forget_alertmanager(&self, key: &ObjectKey) {
        self.inject.alertmanager_queue.forget(key);
        self.inject.memories.forget(key);
        self.inject.delivered.forget(key);
        self.inject.canaries.forget(key);
        self.sources.forget(KIND, key);
    }
}

/// Looks at one object once. Measures itself; says when to look again.
pub(crate) async fn reconcile(ctx: &Context, key: &ObjectKey) -> Verdict {
    let began = Instant::now();
    let Some(record) = ctx.inject.alertmanager.get(key) else {
        ctx.forget_alertmanager(key);
        return Verdict::Done;
    };
    look::reconcile(ctx, key, record.spec_json(), &record.decode(), began).await
}

impl Injection for ForAlertmanager {
    const PLURAL: &'static str = "alertmanagerinjections";
    type Observed = Observed;
    type Given = ();

    fn store(ctx: &Context) -> &Store<AlertmanagerRecord> {
        &ctx.inject.alertmanager
    }
    fn memories(ctx: &Context) -> &Memories<Memory> {
        &ctx.inject.memories
    }
    async fn observe(ctx: &Context, key: &ObjectKey, object: &Decoded<Self>) -> Result<Observed, Fault> {
        observe(ctx, key, object).await
    }
    async fn make(
        ctx: &Context,
        key: &ObjectKey,
        input: &Input<'_>,
        observed: &Observed,
        resolved: &Resolved,
        history: &[Revision],
    ) -> (Result<Wanted, Fault>, Option<()>) {
        let last = last_known(ctx, key, observed, history).await;
        (make(input, observed, resolved, &last), None)
    }
    async fn watch_over(
        ctx: &Context,
        key: &ObjectKey,
        input: &Input<'_>,
        observed: &Observed,
        acted: &Acted<Self>,
        outcomes: &[Outcome],
    ) -> (Seen, Vec<Event>) {
        (watch_over(ctx, key, observed, input.object.status, &acted.plan, outcomes).await, Vec::new())
    }
    fn written(ctx: &Context, key: &ObjectKey) {
        ctx.look_receivers_of(key);
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
    spec: Spec,
    document: Node,
    references: BTreeSet<Reference>,
    facts: Vec<Fact>,
    terms: Terms,
}

async fn observe(
    ctx: &Context,
    key: &ObjectKey,
    object: &Decoded<ForAlertmanager>,
) -> Result<Observed, Fault> {
    let spec = object.spec.as_ref().map_err(|what| Fault::spec(what.clone()))?;
    let spec = Spec::read(spec)?;
    let text = match spec.origin() {
        None => None,
        Some(origin) => Some(origin_text(ctx, key, origin).await?),
    };
    let mut document = spec.document(text.as_deref())?;
    let mut known = teams::take_in(ctx, key, &spec, &mut document);
    let mut references = BTreeSet::new();
    document.leaves(&mut |_, reference| {
        references.insert(reference.clone());
    });
    known.extend(facts(ctx, key.namespace(), &references));
    if let (Some(origin), Some(text)) = (spec.origin(), &text) {
        // Its text, not its version: what else is in it is of no concern.
        known.push(Fact { what: origin.to_string(), uid: String::new(), version: text.clone() });
    }
    let reads_stores = references
        .iter()
        .any(|reference| matches!(reference.within(key.namespace()).1, Reference::Store { .. }));
    let terms = Terms {
        secrets: vec![spec.target.secret.clone()],
        goes_along: spec.target.goes_along,
        refresh: reads_stores.then_some(spec.refresh),
        poll: spec.origin().is_some().then_some(POLL),
        max_stale: spec.policy.max_stale,
        history: spec.policy.history,
        within: spec.verify.as_ref().map(|verify| verify.within),
        looks_with_made: false,
        watches_delivery: spec.verify.is_some() && spec.probes != ProbeMode::Off,
        rolls_back: spec.verify.as_ref().is_some_and(|verify| verify.rolls_back),
    };
    Ok(Observed { spec, document, references, facts: known, terms })
}

/// The document of `configFrom`.
async fn origin_text(ctx: &Context, key: &ObjectKey, origin: &Origin) -> Result<String, Fault> {
    let missing = || Fault { reason: Reason::DocumentMissing, message: format!("there is no {origin}") };
    match origin.kind {
        OriginKind::ConfigMap => {
            let objects = InNamespace::new(ctx.client.clone(), key.namespace());
            objects.config_map(&origin.name, &origin.key).await.map_err(|failure| match failure.kind {
                Kind::CredentialMissing => missing(),
                _ => Fault { reason: Reason::ApiUnavailable, message: failure.to_string() },
            })
        }
        OriginKind::Secret => match read_secret(ctx, key.namespace(), &origin.name).await {
            Ok(secret) => {
                // It is read as a document, and never shown.
                let text =
                    secret.data.get(&origin.key).and_then(|text| std::str::from_utf8(text.expose()).ok());
                text.map(str::to_owned).ok_or_else(missing)
            }
            Err(Unread::Missing(_)) => Err(missing()),
            Err(Unread::Unknown(fault)) => Err(fault),
        },
    }
}

/// Makes the configuration.
fn make(
    input: &Input<'_>,
    observed: &Observed,
    resolved: &Resolved,
    last: &BTreeMap<Reference, Secret>,
) -> Result<Wanted, Fault> {
    let Observed { spec, document, .. } = observed;
    let made = spec.make(document, &resolved.answers, last);
    let Made { bytes, receivers, stale, warnings } = made.map_err(|refused| fault(&refused))?;
    let key = spec.target.key.parse();
    let data = key.map(|key| [(key, bytes.into())].into_iter().collect()).unwrap_or_default();
    let secrets = vec![Wish { data, ..Wish::default() }];
    let came = Came { document, receivers: &receivers, outside: &stale, versions: &resolved.versions };
    let before = &input.object.status.receivers;
    Ok(came::wanted(&came, secrets, &warnings, (&resolved.answers, last), before, input.now))
}

/// The last good values: of the history, and where that has none those that stand in the published Secret.
async fn last_known(
    ctx: &Context,
    key: &ObjectKey,
    observed: &Observed,
    history: &[Revision],
) -> BTreeMap<Reference, Secret> {
    let mut known = last_good(history);
    // With a history, what it does not have was never published.
    if !history.is_empty() {
        return known;
    }
    let Ok(secret) = read_secret(ctx, key.namespace(), &observed.spec.target.secret).await else {
        return known;
    };
    // It is read as the document that it is.
    let text =
        secret.data.get(&observed.spec.target.key).and_then(|text| std::str::from_utf8(text.expose()).ok());
    let document = text.and_then(|text| yaml::documents(text).ok()).and_then(|mut documents| documents.pop());
    if let Some(published) = document.and_then(|document| Node::read(&document.value).ok()) {
        for (reference, value) in came::found(&observed.document, &published) {
            known.entry(reference).or_insert(value);
        }
    }
    known
}

/// Looks at the endpoints, where the spec names some, and asks for a reload where something was published.
async fn watch_over(
    ctx: &Context,
    key: &ObjectKey,
    observed: &Observed,
    status: &InjectionStatus,
    plan: &Plan,
    outcomes: &[Outcome],
) -> Seen {
    let spec = &observed.spec;
    let mut seen = Seen::default();
    let is_written = outcomes
        .iter()
        .any(|outcome| matches!(outcome, Outcome::Created { .. } | Outcome::Applied { changed: true, .. }));
    let Some(verify) = &spec.verify else {
        // Nobody can tell whether it has arrived, so it is asked for at once, and again until it was heard.
        let ready = conditions::get(&status.conditions, ConditionType::Ready);
        let was_refused = ready.is_some_and(|ready| ready.reason == Reason::ReloadFailed.as_str());
        if let Some(url) = spec.target.reload.as_ref().filter(|_| is_written || was_refused) {
            seen.refused = load::reload(ctx, key, url).await.err().map(|what| (Reason::ReloadFailed, what));
        }
        return seen;
    };
    let (replicas, load) = load::ask(ctx, key, &verify.endpoints).await;
    let bytes = match plan.writes.published.first() {
        Some(Write::Create(produced) | Write::Apply { produced, .. }) => {
            produced.data.get(&spec.target.key).cloned()
        }
        _ => read_secret(ctx, key.namespace(), &spec.target.secret)
            .await
            .ok()
            .and_then(|mut secret| secret.data.remove(&spec.target.key)),
    };
    let load = match bytes {
        // Its hash is compared, and nothing else.
        Some(bytes) => load::judge(ctx, key, spec, bytes.expose(), &replicas, load).await,
        None => Load { problem: Some("the published Secret could not be read".to_owned()), ..load },
    };
    if let Some(url) = spec.target.reload.as_ref().filter(|_| load.loaded < load.all) {
        // A mounted Secret takes its time, so the call is repeated until it has been loaded.
        let refused = load::reload(ctx, key, url).await.err();
        seen.load = Some(Load { problem: refused.or(load.problem.clone()), ..load });
    } else {
        seen.load = Some(load);
    }
    let is_loaded = seen.load.as_ref().is_some_and(|load| load.all > 0 && load.loaded == load.all);
    if let Some(canary) = spec.canary.as_ref().filter(|_| is_loaded) {
        let (last, now) = (ctx.inject.canaries.of(key), ctx.now());
        if last.is_none_or(|last| last + canary.every <= now) {
            let labels = Canary::labels(key.namespace(), key.name(), now);
            if load::alert(ctx, key, &verify.endpoints, &labels, now).await {
                ctx.inject.canaries.set(key, Some(now));
            }
        }
    }
    if spec.probes != ProbeMode::Off {
        let delivered = ctx.inject.delivered.of(key).next(&replicas);
        seen.failing = Some(delivered.failing(&observed.document));
        ctx.inject.delivered.set(key, delivered);
    }
    seen
}
