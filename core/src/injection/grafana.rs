//! `GrafanaInjection`: its checked spec, its document, and what Grafana is given of it.

mod changed;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use waxwing_crds::{DocumentKey, GrafanaAuth, GrafanaInjectionSpec, GrafanaTargetKind, Native, OnUnresolved};

use super::{Fault, Policy, Refused, policy};
use crate::{
    Secret,
    alertmanager::validate::{Finding, Severity},
    grafana::{
        self, CONTACT_POINTS, DATASOURCES, Entry, File, FileKind, Inventory, Known, POLICIES, Part,
        Quarantined, Scope, empty_file, files, part, quarantine, tombstones, validate,
    },
    inject::{self, Answer, Filled, Node, Problem, Receiver, Reference, State, Steps, Values},
    plan::is_object_name,
};

/// The kind, as `waxwing.dev/owned-by` names it.
pub const KIND: &str = "GrafanaInjection";

/// A checked spec.
#[derive(Clone)]
pub struct Spec {
    /// `datasources`, `contactPoints` and `policies`, with references.
    pub document: Node,
    /// Seconds between two looks at the entries of stores.
    pub refresh: i64,
    /// How it gets to Grafana.
    pub target: Target,
    /// What happens when credentials cannot be had.
    pub policy: Policy,
}

/// How provisioning gets to Grafana.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The way.
    pub kind: GrafanaTargetKind,
    /// The Secrets that carry the files, also where one has nothing to say. None for `API`.
    pub carriers: Vec<Carrier>,
    /// Grafana's own URL: that of the HTTP API, or of `reload`.
    pub url: Option<String>,
    /// What to log in with.
    pub auth: Option<Auth>,
    /// Whether what the API makes stays editable by people.
    pub is_editable: bool,
}

/// A Secret that carries files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carrier {
    /// Its name.
    pub name: String,
    /// The label by which a sidecar finds it; its value is `1`.
    pub label: Option<&'static str>,
    /// Which files it carries.
    pub kinds: &'static [FileKind],
}

/// What to log in to Grafana with. Keys of Secrets in the injection's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// A service account's token.
    Token(Reference),
    /// A user: name and password.
    User(Reference, Reference),
}

impl Auth {
    /// Everything that has to be looked up.
    #[must_use]
    pub fn references(&self) -> Vec<&Reference> {
        match self {
            Self::Token(token) => vec![token],
            Self::User(name, password) => vec![name, password],
        }
    }
}

/// What there is besides an injection's own document. The default: nothing, as for a first publication or a check without any
/// cluster.
#[derive(Default)]
pub struct Around {
    /// What this injection has published, as far as it is known; oldest first.
    pub published: Vec<Earlier>,
    /// What other injections have: nothing of that is deleted.
    pub claimed: Inventory,
    /// Names of contact points that are there without this document, by organisation: policies may name them.
    pub contact_points: BTreeSet<(i64, String)>,
}

/// What was published at once.
pub struct Earlier {
    /// The files. They hold credentials.
    pub files: Vec<Secret>,
    /// Whether Grafana has read them: then their tombstones have done their work.
    pub is_read: bool,
}

impl Around {
    /// Takes another injection in.
    pub fn add(&mut self, document: &Node) {
        self.claimed = self.claimed.and(&Inventory::of(document));
        self.contact_points.extend(grafana::contact_points(document));
    }

    /// What this injection has put into Grafana, and what of it may still be there.
    fn before(&self) -> Inventory {
        let (mut there, mut last) = (BTreeSet::new(), (BTreeSet::new(), true));
        for earlier in &self.published {
            let (live, buried) = earlier.inventory();
            // A tombstone goes when it has done its work.
            there.retain(|entry| !last.0.contains(entry) || buried.0.contains(entry));
            there.extend(live.0.into_iter().chain(buried.0.iter().cloned()));
            last = (buried.0, earlier.is_read);
        }
        if last.1 {
            there.retain(|entry| !last.0.contains(entry));
        }
        Inventory(there)
    }
}

impl Earlier {
    /// What the files have, and their tombstones. A file that is none of ours has nothing.
    fn inventory(&self) -> (Inventory, Inventory) {
        let read = self.files.iter().filter_map(|file| Inventory::read(file.expose()).ok()); // for names and uids
        read.fold((Inventory::default(), Inventory::default()), |all, one| {
            (all.0.and(&one.0), all.1.and(&one.1))
        })
    }
}

/// What Grafana is to be given.
pub struct Made {
    /// The files, tombstones included. They hold credentials.
    pub files: Vec<File>,
    /// The document with all credentials that can be had, and without what is left out: what the API is to be told.
    pub document: Node,
    /// Everything that the document has, also what is left out.
    pub inventory: Inventory,
    /// What is to be deleted from Grafana.
    pub tombstones: Inventory,
    /// What is not as Grafana has read it last, credentials included.
    pub changed: BTreeSet<Entry>,
    /// How each data source and contact point came out.
    pub receivers: Vec<Receiver>,
    /// Credentials outside of these whose last good value stands in.
    pub stale: Vec<Problem>,
    /// What somebody should know: literals in the place of credentials among it.
    pub warnings: Vec<Finding>,
}

impl Spec {
    /// Checks the spec of the injection of this name.
    ///
    /// # Errors
    /// The first thing that makes no sense.
    pub fn read(name: &str, spec: &GrafanaInjectionSpec) -> Result<Self, Fault> {
        Ok(Self {
            document: document(spec)?,
            refresh: policy::refresh(spec.refresh_interval.as_deref())?,
            target: Target::read(name, spec)?,
            policy: Policy::read(spec.policy.as_ref())?,
        })
    }

    /// Puts credentials into the document, and checks everything about what comes of it.
    ///
    /// Without any cluster, a document from [`with_dummies`] goes through the same checks.
    ///
    /// # Errors
    /// Why nothing may be published.
    pub fn make(
        &self,
        scope: Scope<'_>,
        document: &Node,
        answers: &BTreeMap<Reference, Answer>,
        last_good: &BTreeMap<Reference, Secret>,
        around: &Around,
    ) -> Result<Made, Refused> {
        let values = Values { answers, last_good, on_unresolved: self.policy.on_unresolved };
        let check = |at: &Steps, value: &str| {
            let expected = grafana::expected(document, at);
            expected
                .map_or(Ok(()), |expected| grafana::fits(expected.kind, value))
                .map_err(|misfit| misfit.to_string())
        };
        let Filled { document: mut filled, broken, stale } =
            inject::fill(document, &values, &check, &|_, value| Node::Secret(value));
        if self.policy.on_unresolved == OnUnresolved::Block && !broken.is_empty() {
            return Err(Refused::Unresolved(broken));
        }
        let known = Known {
            contact_points: around.contact_points.clone(),
            needs_uid: self.target.kind == GrafanaTargetKind::Api,
        };
        let warnings = checked(document, &known)?;
        let parts: BTreeSet<Part> = broken.iter().map(|problem| part(&problem.at)).collect();
        let left_out = match quarantine(&mut filled, &parts, self.policy.fallback.as_deref()) {
            Ok(left_out) => left_out,
            Err(_) => return Err(Refused::Unresolved(broken)),
        };
        // Values may make a whole that their fields do not show.
        checked(&filled, &known)?;
        let inventory = Inventory::of(document);
        let tombstones = tombstones(&around.before(), &inventory, &around.claimed);
        let mut files = files(scope, &filled, &tombstones);
        for kind in self.target.carriers.iter().flat_map(|carrier| carrier.kinds) {
            if !files.iter().any(|file| file.kind == *kind) {
                files.push(empty_file(scope, *kind));
            }
        }
        let changed = changed::changed(&filled, &files, &around.published);
        let receivers = receivers(document, &left_out, &broken, &stale);
        let stale = stale.into_iter().filter(|problem| place(&problem.at).is_none()).collect();
        Ok(Made { files, document: filled, inventory, tombstones, changed, receivers, stale, warnings })
    }
}

/// The files that delete all that an injection has put into Grafana, for when it goes.
#[must_use]
pub fn farewell(scope: Scope<'_>, around: &Around) -> (Inventory, Vec<File>) {
    let tombstones = tombstones(&around.before(), &Inventory::default(), &around.claimed);
    let files = files(scope, &Node::Null, &tombstones);
    (tombstones, files)
}

/// The document with a stand-in of the right kind in the place of each reference: what can be checked without any
/// credential.
#[must_use]
pub fn with_dummies(document: &Node) -> Node {
    inject::replaced(document, &|at| {
        let dummy = grafana::expected(document, at).map_or("dummy", |expected| grafana::dummy(expected.kind));
        Node::Secret(Secret::new(dummy.as_bytes().to_vec()))
    })
}

/// Credentials that stand in the document itself, where a reference belongs.
#[must_use]
pub fn literals(document: &Node) -> Vec<Finding> {
    let found = validate(document, &Known::default());
    found.into_iter().filter(|finding| finding.rule == grafana::Rule::Literal).map(Finding::from).collect()
}

impl From<grafana::Finding> for Finding {
    fn from(finding: grafana::Finding) -> Self {
        let severity = match finding.severity() {
            grafana::Severity::Warning => Severity::Warning,
            grafana::Severity::Error => Severity::Error,
        };
        Self { rule: finding.rule.word(), message: finding.rule.to_string(), at: finding.at, severity }
    }
}

/// Gives what is only to be warned of.
fn checked(document: &Node, known: &Known) -> Result<Vec<Finding>, Refused> {
    let findings = validate(document, known).into_iter().map(Finding::from);
    let (errors, warnings): (Vec<_>, Vec<_>) =
        findings.partition(|finding| finding.severity == Severity::Error);
    if errors.is_empty() { Ok(warnings) } else { Err(Refused::Invalid(errors)) }
}

fn document(spec: &GrafanaInjectionSpec) -> Result<Node, Fault> {
    let lists = [
        (DATASOURCES, &spec.datasources),
        (CONTACT_POINTS, &spec.contact_points),
        (POLICIES, &spec.policies),
    ];
    let items = |name: &str, list: &[Native]| {
        let item = |(index, item): (usize, &Native)| {
            Node::read(&item.0).map_err(|error| Fault::spec(format!("{name}[{index}]: {error}")))
        };
        list.iter().enumerate().map(item).collect::<Result<Vec<_>, _>>()
    };
    let mut map = BTreeMap::new();
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        map.insert(name.to_owned(), Node::List(items(name, list)?));
    }
    if map.is_empty() {
        return Err(Fault::spec("datasources, contactPoints or policies must say what Grafana is to have"));
    }
    Ok(Node::Map(map))
}

impl Target {
    fn read(name: &str, spec: &GrafanaInjectionSpec) -> Result<Self, Fault> {
        let target = &spec.target;
        let kind = target.kind.unwrap_or_default();
        let base = target.secret_name.as_deref().unwrap_or(name);
        let carriers = carriers(kind, base);
        if !carriers.iter().all(|carrier| is_object_name(&carrier.name)) {
            return Err(Fault::spec("target.secretName: no Secret can have this name"));
        }
        let reload = target.reload.as_ref().map(|reload| reload.url.clone());
        let (url, auth) = (target.url.clone(), target.auth.as_ref().map(Auth::read).transpose()?);
        let is_api = kind == GrafanaTargetKind::Api;
        if is_api != url.is_some() {
            return Err(Fault::spec("target: url is for kind API, which needs it and auth"));
        }
        if reload.is_some() && kind != GrafanaTargetKind::Mounted {
            return Err(Fault::spec("target: reload is for kind Mounted"));
        }
        if auth.is_none() && (is_api || reload.is_some()) {
            return Err(Fault::spec("target: kind API and reload need auth"));
        }
        let is_editable = target.editable.unwrap_or_default();
        Ok(Self { kind, carriers, url: url.or(reload), auth, is_editable })
    }
}

impl Auth {
    fn read(auth: &GrafanaAuth) -> Result<Self, Fault> {
        let of = |key: &DocumentKey| Reference::Secret { name: key.name.clone(), key: key.key.clone() };
        match (&auth.token, &auth.username, &auth.password) {
            (Some(token), None, None) => Ok(Self::Token(of(token))),
            (None, Some(name), Some(password)) => Ok(Self::User(of(name), of(password))),
            _ => Err(Fault::spec("target.auth: set either token, or username and password")),
        }
    }
}

/// A sidecar copies every key of a Secret into the folder of its label, so each folder has a Secret of its own there.
fn carriers(kind: GrafanaTargetKind, base: &str) -> Vec<Carrier> {
    const BOTH: &[FileKind] = &[FileKind::Alerting, FileKind::Datasources];
    match kind {
        GrafanaTargetKind::Sidecar => {
            let one = |kinds: &'static [FileKind]| Carrier {
                name: format!("{base}-{}", kinds[0].folder()),
                label: Some(kinds[0].label()),
                kinds,
            };
            vec![one(&BOTH[..1]), one(&BOTH[1..])]
        }
        GrafanaTargetKind::Mounted => vec![Carrier { name: base.to_owned(), label: None, kinds: BOTH }],
        GrafanaTargetKind::Api => Vec::new(),
    }
}

/// The data source or contact point that a place lies in: its list, and its number there.
fn place(at: &Steps) -> Option<(&'static str, usize)> {
    match part(at) {
        Part::Datasource(index) => Some((DATASOURCES, index)),
        Part::ContactPoint(index) | Part::Receiver(index, _) => Some((CONTACT_POINTS, index)),
        Part::Policy(_) | Part::Document => None,
    }
}

/// How each data source and each contact point came out.
fn receivers(
    document: &Node,
    left_out: &[Quarantined],
    broken: &[Problem],
    stale: &[Problem],
) -> Vec<Receiver> {
    let out: BTreeSet<_> = left_out
        .iter()
        .map(|one| match one {
            Quarantined::Datasource(index) => (DATASOURCES, *index),
            Quarantined::Receiver(index, _) | Quarantined::Fallback(index) => (CONTACT_POINTS, *index),
        })
        .collect();
    let mut receivers = Vec::new();
    for list in [DATASOURCES, CONTACT_POINTS] {
        let entries = document.get(list).and_then(Node::as_list).unwrap_or_default();
        for (index, entry) in entries.iter().enumerate() {
            let here = (list, index);
            let own = |problem: &&Problem| place(&problem.at) == Some(here);
            let state = match (out.contains(&here), stale.iter().any(|problem| own(&problem))) {
                (true, _) => State::Quarantined,
                (false, true) => State::Stale,
                (false, false) => State::Live,
            };
            let problems = broken.iter().chain(stale).filter(own).cloned().collect();
            receivers.push(Receiver { name: name(list, entry), state, problems });
        }
    }
    receivers
}

/// What the status calls a data source or a contact point: two of them may have the same name, and so may two of different
/// organisations.
pub(super) fn name(list: &str, entry: &Node) -> String {
    let name = entry.get("name").and_then(Node::text).unwrap_or_default();
    let org = grafana::org_of(entry);
    if list == DATASOURCES { called("data source", org, name) } else { contact_point_name(org, name) }
}

/// What the status calls a contact point.
#[must_use]
pub fn contact_point_name(org: i64, name: &str) -> String {
    called("contact point", org, name)
}

fn called(what: &str, org: i64, name: &str) -> String {
    if org == 1 { format!("{what} {name}") } else { format!("{what} {name} of organisation {org}") }
}
