//! Injections in `render`: configurations whose credentials come from what the same directory gives.
//!
//! ```text
//! document, references (core)  ->  credentials (files, stores)  ->  make (core)  ->  output (files)  ->  reload (a call)
//! ```
//! What may be published, and in which form, `waxwing_core::injection` decides, as in the operator. The last good value of
//! a credential stands in what was published last, and nowhere else: it is taken from there as long as nobody else has
//! changed the file.

mod alertmanager;
mod credentials;
mod grafana;
mod held;
mod reload;

use std::collections::BTreeMap;

use serde_json::Value;
use waxwing_core::{
    Secret,
    alertmanager::validate::Finding,
    inject::{Node, Problem, Receiver, Reference, State, leaves},
    injection::{Fault, Refused, alertmanager::KIND as ALERTMANAGER, grafana::KIND as GRAFANA},
    keys::Identities,
    plan::{Produced, with_advice},
    seal::DataKey,
    yaml,
};
use waxwing_crds::{Reason, names};

use super::{
    Renderer, Row, What,
    output::{Put, Unit},
    pull::Around,
    source::{Injection, InjectionSpec, Key, Source},
    state::Injected,
};
use crate::error::Result;
pub(super) use credentials::Fetched;
use credentials::{Answers, Credentials};
use held::Published;
use reload::Call;

/// The kinds, as `waxwing.dev/owned-by` names them.
pub(super) const KINDS: [&str; 2] = [ALERTMANAGER, GRAFANA];

/// An injection whose spec makes sense.
trait Checked {
    /// What is the same for all of one kind.
    fn traits(&self) -> Traits;

    /// The names of the Secrets that it gives.
    fn secrets(&self) -> Vec<&str>;

    /// Its document, with references, and what was left out of it.
    fn document(&self, credentials: &Credentials<'_>) -> Outcome<(Node, Vec<String>)>;

    /// What is to be published.
    fn make(&self, document: &Node, answers: &Answers, before: Before) -> Outcome<Made>;

    /// Whom to tell that there is something new.
    fn calls(&self, credentials: &mut Credentials<'_>) -> std::result::Result<Vec<Call>, String>;
}

/// How one is treated.
struct Traits {
    /// Seconds between two looks at the entries of stores.
    refresh: i64,
    /// Whether its Secrets go with it.
    goes_along: bool,
    /// Whether every `$` stands twice in its files.
    doubles_dollars: bool,
}

/// What was published before.
struct Before {
    files: Vec<Secret>,
    /// Whether its reader has read them.
    is_read: bool,
    /// The last good values of references.
    values: BTreeMap<Reference, Secret>,
}

/// What is to be published.
struct Made {
    /// By the name of the Secret.
    secrets: BTreeMap<String, Wish>,
    /// What is not as it should be, and the reason of the worst.
    problems: Vec<String>,
    reason: Option<Reason>,
    /// What somebody should know.
    warnings: Vec<String>,
}

/// What a Secret is to hold.
#[derive(Default)]
struct Wish {
    files: BTreeMap<DataKey, Secret>,
    /// Labels that it has besides ours.
    labels: BTreeMap<String, String>,
}

/// What comes out, or why the last one stays.
type Outcome<T> = std::result::Result<T, Fault>;

/// Reads a spec of one of the kinds, or says which field is not of its type.
pub(super) fn read(kind: &str, spec: &Value) -> std::result::Result<InjectionSpec, String> {
    let read = match kind {
        GRAFANA => yaml::from_value(spec).map(|spec| InjectionSpec::Grafana(Box::new(spec))),
        _ => yaml::from_value(spec).map(|spec| InjectionSpec::Alertmanager(Box::new(spec))),
    };
    read.map_err(|error| error.to_string())
}

impl Injection {
    fn is_suspended(&self) -> bool {
        self.annotations.get(names::SUSPEND).is_some_and(|value| value == "true")
    }
}

impl Renderer {
    /// Brings every Secret that injections give to what it should be.
    pub(super) fn inject(
        &mut self,
        source: &Source,
        around: &Around,
        identities: &Identities,
        now: i64,
    ) -> Vec<Row> {
        let mut rows = Vec::new();
        for ((kind, key), objects) in &source.injections {
            let [object] = objects.as_slice() else {
                rows.push(Row::twice(key, objects.iter().map(|object| &object.file)));
                continue;
            };
            let one = One { kind, key, object, source, around, identities, now };
            match one.render(self) {
                Ok(Ok(more)) => rows.extend(more),
                Ok(Err((secret, fault))) => rows.push(Row::refused(&secret, &object.file, &fault)),
                Err(failure) => rows.push(Row::failed(key, Some(&object.file), &failure)),
            }
        }
        self.fetched.forget();
        rows
    }
}

impl Renderer {
    /// Puts files in the place of a Secret whose GrafanaInjection is gone that have Grafana forget what was in it. Nothing
    /// where there is nothing to forget.
    pub(super) fn farewell(
        &self,
        source: &Source,
        kind: &str,
        holder: &Key,
        secret: &Key,
        identities: &Identities,
    ) -> Result<Option<Row>> {
        let unit = self.output.read(secret)?.filter(|_| kind == GRAFANA);
        let Some(unit) = unit else { return Ok(None) };
        let wish = grafana::farewell(source, holder, unit.files());
        if wish.files.is_empty() {
            return Ok(None);
        }
        let produced = produced(GRAFANA, &holder.name, secret, &wish);
        let put = self.output.put(secret, &produced, Some(&unit), identities)?;
        let mut row = Row::injected(secret, std::path::Path::new(""), What::Updated);
        row.keys = put.keys.iter().map(ToString::to_string).collect();
        row.warnings = vec!["its injection is gone: remove it when Grafana has read it".to_owned()];
        Ok(Some(row))
    }
}

/// One injection, and everything around it.
struct One<'a> {
    kind: &'static str,
    key: &'a Key,
    object: &'a Injection,
    source: &'a Source,
    around: &'a Around,
    identities: &'a Identities,
    now: i64,
}

/// A Secret, and the files of it that are there.
type Place = (Key, Option<Unit>);

impl One<'_> {
    /// Its rows, or the Secret that stays as it is, and why.
    fn render(&self, renderer: &mut Renderer) -> Result<std::result::Result<Vec<Row>, (Key, Fault)>> {
        if self.object.is_suspended() {
            return Ok(Ok(vec![Row::injected(self.key, &self.object.file, What::Suspended)]));
        }
        let spec = match self.check() {
            Ok(spec) => spec,
            Err(fault) => return Ok(Err((self.key.clone(), fault))),
        };
        let known = renderer.state.injected(self.kind, self.key);
        let places = match self.places(spec.as_ref(), renderer, &known)? {
            Ok(places) => places,
            Err(refused) => return Ok(Err(refused)),
        };
        let refused = |fault: Fault| Ok(Err((places[0].0.clone(), fault)));
        let traits = spec.traits();
        let published = Published::of(self.files(&places), traits.doubles_dollars);
        let mut credentials = Credentials::new(renderer, self);
        let (document, left_out) = match spec.document(&credentials) {
            Ok(document) => document,
            Err(fault) => return refused(fault),
        };
        let references = leaves(&document).into_iter().map(|(_, reference)| reference);
        let answers = credentials.answers(references, traits.refresh);
        // What somebody else has written is no value of ours.
        let last_good = match self.are_as_written(&places, &known) {
            true => held::last_good(&document, &published, &known.held),
            false => BTreeMap::new(),
        };
        let before = Before {
            files: self.files(&places).cloned().collect(),
            is_read: known.told == known.secrets && !known.told.is_empty(),
            values: last_good.clone(),
        };
        let mut made = match spec.make(&document, &answers, before) {
            Ok(made) => made,
            Err(fault) => return refused(fault),
        };
        if !left_out.is_empty() {
            made.reason.get_or_insert(Reason::ReceiverRefused);
            made.problems.extend(left_out);
        }
        let files = made.secrets.values().flat_map(|wish| wish.files.values());
        let published = Published::of(files, traits.doubles_dollars);
        let held = held::record(&document, &published, &answers, &last_good);
        let (mut rows, secrets) = self.write(&made, &places, &known, renderer)?;
        let told = self.tell(spec.as_ref(), &secrets, known.told, renderer, &mut rows);
        let injected = Injected { secrets, stays: !traits.goes_along, held, told };
        renderer.state.set_injected(self.kind, self.key, injected);
        Ok(Ok(rows))
    }

    fn check(&self) -> Outcome<Box<dyn Checked + '_>> {
        match self.object.spec.as_ref().map_err(Fault::spec)? {
            InjectionSpec::Alertmanager(spec) => alertmanager::check(self, spec),
            InjectionSpec::Grafana(spec) => grafana::check(self, spec),
        }
    }

    /// The Secrets, which may all be written.
    fn places(
        &self,
        spec: &dyn Checked,
        renderer: &Renderer,
        known: &Injected,
    ) -> Result<std::result::Result<Vec<Place>, (Key, Fault)>> {
        let mut places = Vec::new();
        for name in spec.secrets() {
            let Some(secret) = Key::new(&self.key.namespace, name) else {
                let fault = Fault::spec("target.secretName: no Secret can have this name");
                return Ok(Err((self.key.clone(), fault)));
            };
            let unit = renderer.output.read(&secret)?;
            let was_ours = |unit: &Unit| known.secrets.contains_key(name) && unit.is_damaged();
            if unit.as_ref().is_some_and(|unit| !unit.is_of(self.kind, &self.key.name) && !was_ours(unit)) {
                let what = format!("Secret {secret} exists and is not ours");
                let message = with_advice(&what, Reason::Conflict);
                return Ok(Err((secret, Fault { reason: Reason::Conflict, message })));
            }
            places.push((secret, unit));
        }
        Ok(Ok(places))
    }

    fn files<'a>(&self, places: &'a [Place]) -> impl Iterator<Item = &'a Secret> + use<'a> {
        places.iter().filter_map(|(_, unit)| unit.as_ref()).flat_map(Unit::files)
    }

    /// Whether nobody has changed what was written last.
    fn are_as_written(&self, places: &[Place], known: &Injected) -> bool {
        let is_as_written = |(secret, unit): &Place| {
            let version = unit.as_ref().map(|unit| unit.version(self.identities));
            version.as_ref() == known.secrets.get(&secret.name)
                && version.is_none_or(|version| !version.is_empty())
        };
        places.iter().all(is_as_written)
    }

    /// Writes what is to be published. Gives the rows, and the versions.
    fn write(
        &self,
        made: &Made,
        places: &[Place],
        known: &Injected,
        renderer: &Renderer,
    ) -> Result<(Vec<Row>, BTreeMap<String, String>)> {
        let (mut rows, mut versions) = (Vec::new(), BTreeMap::new());
        let none = Wish::default();
        for (secret, unit) in places {
            let wish = made.secrets.get(&secret.name).unwrap_or(&none);
            if wish.files.is_empty() && unit.is_none() {
                continue;
            }
            let produced = produced(self.kind, &self.key.name, secret, wish);
            let put = renderer.output.put(secret, &produced, unit.as_ref(), self.identities)?;
            let was = known.secrets.get(&secret.name);
            let is_repaired = was.is_some() && (unit.is_none() || was == Some(&put.version));
            let what = match () {
                () if made.reason.is_some() => What::Degraded,
                () if put.changed && is_repaired => What::Repaired,
                () if unit.is_none() => What::Created,
                () if put.changed => What::Updated,
                () => What::Unchanged,
            };
            let mut row = Row::injected(secret, &self.object.file, what);
            let Put { version, keys, .. } = put;
            row.keys = keys.iter().map(ToString::to_string).collect();
            versions.insert(secret.name.clone(), version);
            rows.push(row);
        }
        if let Some(row) = rows.first_mut() {
            row.warnings.clone_from(&made.warnings);
        }
        if let Some(reason) = made.reason {
            rows.iter_mut().for_each(|row| row.because(reason, &made.problems.join("; ")));
        }
        Ok((rows, versions))
    }

    /// Tells the reader that there is something new, where that is wanted and not done yet. Gives what it knows then.
    fn tell(
        &self,
        spec: &dyn Checked,
        now: &BTreeMap<String, String>,
        told: BTreeMap<String, String>,
        renderer: &mut Renderer,
        rows: &mut [Row],
    ) -> BTreeMap<String, String> {
        if !renderer.job.reload || told == *now {
            return told;
        }
        let mut credentials = Credentials::new(renderer, self);
        let calls = match spec.calls(&mut credentials) {
            Ok(calls) if calls.is_empty() => return told,
            calls => calls,
        };
        let runtime = &self.around.runtime;
        let done = calls.and_then(|calls| calls.iter().try_for_each(|call| runtime.block_on(call.make())));
        for row in rows {
            match &done {
                Ok(()) => row.reloaded = true,
                Err(what) => row.not_reloaded(what),
            }
        }
        if done.is_ok() { now.clone() } else { told }
    }
}

/// A Secret of an injection, as it is written.
fn produced(kind: &str, name: &str, secret: &Key, wish: &Wish) -> Produced {
    let mut labels = wish.labels.clone();
    labels.insert(names::MANAGED_BY.to_owned(), names::MANAGER.to_owned());
    let owned = (names::OWNED_BY.to_owned(), names::owned_by(kind, name));
    let tools = names::PRODUCED_ANNOTATIONS.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Produced {
        namespace: secret.namespace.clone(),
        name: secret.name.clone(),
        secret_type: "Opaque".to_owned(),
        immutable: false,
        labels,
        annotations: tools.into_iter().chain([owned]).collect(),
        owner: None,
        data: wish.files.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        manager: names::field_manager(kind, name),
    }
}

/// What is said of credentials that cannot be had, and the reason.
fn problems(receivers: &[Receiver], stale: &[Problem]) -> (Vec<String>, Option<Reason>) {
    let say = |problem: &Problem, what: &str| {
        format!("{} ({}) {what}: {}", problem.at, problem.reference, problem.message)
    };
    let of_receivers = receivers.iter().flat_map(|receiver| {
        let what = match receiver.state {
            State::Quarantined => "is left out",
            State::Live | State::Stale => "is the last good one",
        };
        receiver.problems.iter().map(move |problem| say(problem, what))
    });
    let of_all = stale.iter().map(|problem| say(problem, "is the last good one"));
    let problems: Vec<String> = of_receivers.chain(of_all).collect();
    let reason = match receivers.iter().any(|receiver| receiver.state == State::Quarantined) {
        true => Some(Reason::CredentialUnresolved),
        false => (!problems.is_empty()).then_some(Reason::CredentialStale),
    };
    (problems, reason)
}

/// What somebody should know.
fn warnings(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|finding| format!("{}: {}", finding.at, finding.message)).collect()
}

/// Why nothing is published.
fn refused(refused: &Refused) -> Fault {
    Fault { reason: refused.reason(), message: refused.messages().join("; ") }
}
