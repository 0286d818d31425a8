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
mod held;
mod reload;

use std::collections::BTreeMap;

use serde_json::Value;
use waxwing_core::{
    Secret,
    inject::{Node, Reference, leaves},
    injection::{Fault, alertmanager::KIND as ALERTMANAGER},
    keys::Identities,
    plan::{Produced, with_advice},
    seal::DataKey,
    yaml,
};
use waxwing_crds::{Reason, names};

use super::{
    Renderer, Row, What,
    output::Unit,
    pull::Around,
    source::{Injection, InjectionSpec, Key, Source},
    state::Injected,
};
use crate::error::Result;
pub(super) use credentials::Fetched;
use credentials::{Answers, Credentials};

/// The kinds, as `waxwing.dev/owned-by` names them.
pub(super) const KINDS: [&str; 1] = [ALERTMANAGER];

/// An injection whose spec makes sense.
trait Checked {
    /// Where it goes.
    fn target(&self) -> Target<'_>;

    /// Its document, with references.
    fn document(&self, credentials: &Credentials<'_>) -> Outcome<Node>;

    /// What is to be published.
    fn make(
        &self,
        document: &Node,
        answers: &Answers,
        last_good: &BTreeMap<Reference, Secret>,
    ) -> Outcome<Made>;
}

/// Where an injection goes.
struct Target<'a> {
    /// The name of the Secret.
    secret: &'a str,
    /// The key of the file in which everything stands where it stands in the document.
    key: Option<&'a str>,
    /// Seconds between two looks at the entries of stores.
    refresh: i64,
    /// Whom to tell.
    reload: Option<&'a str>,
    /// Whether the Secret goes with the injection.
    goes_along: bool,
}

/// What is to be published.
struct Made {
    files: BTreeMap<DataKey, Secret>,
    /// Labels that the Secret has besides ours.
    labels: BTreeMap<String, String>,
    /// Credentials that cannot be had: where, and what is wrong.
    problems: Vec<String>,
    /// Whether something is left out for them; else their last good values stand in.
    is_less: bool,
    /// What somebody should know.
    warnings: Vec<String>,
}

/// What comes out, or why the last one stays.
type Outcome<T> = std::result::Result<T, Fault>;

/// Reads a spec of one of the kinds, or says which field is not of its type.
pub(super) fn read(_kind: &str, spec: &Value) -> std::result::Result<InjectionSpec, String> {
    let spec = yaml::from_value(spec).map_err(|error| error.to_string())?;
    Ok(InjectionSpec::Alertmanager(Box::new(spec)))
}

impl Injection {
    fn check(&self) -> Outcome<Box<dyn Checked>> {
        match self.spec.as_ref().map_err(Fault::spec)? {
            InjectionSpec::Alertmanager(spec) => alertmanager::check(spec),
        }
    }

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
            let row = match objects.as_slice() {
                [object] => {
                    let one = One { kind, key, object, source, around, identities, now };
                    one.render(self)
                }
                several => Ok(Row::twice(key, several.iter().map(|object| &object.file))),
            };
            let file = objects.first().map(|object| object.file.as_path());
            rows.push(row.unwrap_or_else(|failure| Row::failed(key, file, &failure)));
        }
        self.fetched.forget();
        rows
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

impl One<'_> {
    fn render(&self, renderer: &mut Renderer) -> Result<Row> {
        let file = self.object.file.as_path();
        if self.object.is_suspended() {
            return Ok(Row::injected(self.key, file, What::Suspended));
        }
        let spec = match self.object.check() {
            Ok(spec) => spec,
            Err(fault) => return Ok(Row::refused(self.key, file, &fault)),
        };
        let target = spec.target();
        let Some(secret) = Key::new(&self.key.namespace, target.secret) else {
            let fault = Fault::spec("target.secretName: no Secret can have this name");
            return Ok(Row::refused(self.key, file, &fault));
        };
        let unit = renderer.output.read(&secret)?;
        let known = renderer.state.injected(self.kind, self.key);
        // Of another Secret nothing follows.
        let known = if known.target == secret.name { known } else { Injected::default() };
        if let Err(fault) = self.claim(&secret, unit.as_ref(), &known) {
            return Ok(Row::refused(&secret, file, &fault));
        }
        let version = unit.as_ref().map(|unit| unit.version(self.identities)).unwrap_or_default();
        let is_as_written = !version.is_empty() && version == known.version;
        let published = target.key.zip(unit.as_ref()).and_then(|(key, unit)| held::read(unit.value(key)?));
        let mut credentials = Credentials::new(renderer, self);
        let document = match spec.document(&credentials) {
            Ok(document) => document,
            Err(fault) => return Ok(Row::refused(&secret, file, &fault)),
        };
        let references = leaves(&document).into_iter().map(|(_, reference)| reference);
        let answers = credentials.answers(references, target.refresh);
        let last_good = match &published {
            Some(published) if is_as_written => held::last_good(&document, published, &known.held),
            _ => BTreeMap::new(),
        };
        let made = match spec.make(&document, &answers, &last_good) {
            Ok(made) => made,
            Err(fault) => return Ok(Row::refused(&secret, file, &fault)),
        };
        let held = target.key.and_then(|key| held::read(made.files.get(&key.parse::<DataKey>().ok()?)?));
        let held = held.map(|published| held::record(&document, &published, &answers, &last_good));
        let Made { files, labels, problems, is_less, warnings } = made;
        let produced = self.produced(&secret, files, labels);
        let put = renderer.output.put(&secret, &produced, unit.as_ref(), self.identities)?;

        let is_ours_again = unit.is_some() && put.changed && put.version == known.version;
        let what = match () {
            () if !problems.is_empty() => What::Degraded,
            () if !known.version.is_empty() && (unit.is_none() || is_ours_again) => What::Repaired,
            () if unit.is_none() => What::Created,
            () if put.changed => What::Updated,
            () => What::Unchanged,
        };
        let mut row = Row::injected(&secret, file, what);
        row.keys = put.keys.iter().map(ToString::to_string).collect();
        row.warnings = warnings;
        if !problems.is_empty() {
            let reason = if is_less { Reason::CredentialUnresolved } else { Reason::CredentialStale };
            row.because(reason, &problems.join("; "));
        }
        let mut told = known.told;
        if let Some(url) = target.reload.filter(|_| renderer.job.reload && told != put.version) {
            match self.around.runtime.block_on(reload::call(url)) {
                Ok(()) => {
                    told.clone_from(&put.version);
                    row.reloaded = true;
                }
                Err(what) => row.not_reloaded(&what),
            }
        }
        let injected = Injected {
            target: secret.name.clone(),
            stays: !target.goes_along,
            version: put.version,
            held: held.unwrap_or_default(),
            told,
        };
        renderer.state.set_injected(self.kind, self.key, injected);
        Ok(row)
    }

    /// Whether the Secret may be written: there is none, or it says that it is ours, or it did when we wrote it last.
    fn claim(&self, secret: &Key, unit: Option<&Unit>, known: &Injected) -> Outcome<()> {
        let Some(unit) = unit else { return Ok(()) };
        let was_ours = !known.version.is_empty() && unit.is_damaged();
        if unit.is_of(self.kind, &self.key.name) || was_ours {
            return Ok(());
        }
        let what = format!("Secret {secret} exists and is not ours");
        Err(Fault { reason: Reason::Conflict, message: with_advice(&what, Reason::Conflict) })
    }

    fn produced(
        &self,
        secret: &Key,
        files: BTreeMap<DataKey, Secret>,
        mut labels: BTreeMap<String, String>,
    ) -> Produced {
        labels.insert(names::MANAGED_BY.to_owned(), names::MANAGER.to_owned());
        let owned = (names::OWNED_BY.to_owned(), names::owned_by(self.kind, &self.key.name));
        let tools = names::PRODUCED_ANNOTATIONS.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Produced {
            namespace: secret.namespace.clone(),
            name: secret.name.clone(),
            secret_type: "Opaque".to_owned(),
            immutable: false,
            labels,
            annotations: tools.into_iter().chain([owned]).collect(),
            owner: None,
            data: files.into_iter().collect(),
            manager: names::field_manager(self.kind, &self.key.name),
        }
    }
}
