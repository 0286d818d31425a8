//! What Grafana would refuse, and what it would take without doing what its author means.
//!
//! One bad entry stops Grafana from reading every other file of its kind, so this is stricter than Grafana is: a field that
//! it would not read is a credential that never arrives.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::{
    alertmanager::matcher::MatcherError,
    inject::{Node, Step, Steps},
};

use super::{
    CONTACT_POINTS, DATASOURCES, POLICIES,
    field::{Field, Keeps, Kind, Misfit, fits, is_url, secure_kind},
    list, org_of, policy,
    receivers::{DATASOURCE, Receiver},
    text_of,
};

/// The longest `uid`.
const UID_MAX: usize = 40;
/// The longest name of a data source: its column is that wide.
const NAME_MAX: usize = 190;

/// Something that is wrong with a document. It shows places and rules, never values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub at: Steps,
    /// What is wrong there.
    pub rule: Rule,
}

impl Finding {
    /// Whether it keeps the document from being published.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self.rule {
            Rule::InTheClear | Rule::Literal | Rule::Quotes | Rule::Unknown => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.rule)
    }
}

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It is published all the same.
    Warning,
    /// Grafana would refuse it, or do something else than it says.
    Error,
}

impl Rule {
    /// The rule as a word for machines.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Duplicate(_) => "duplicate",
            Self::Identity => "reference",
            Self::InTheClear => "stored-in-the-clear",
            Self::Kind(_) => "type",
            Self::Literal => "literal-credential",
            Self::Matcher(_) => "matcher",
            Self::Misfit(_) => "misfit",
            Self::Missing(_) => "missing-field",
            Self::Moved(_) | Self::Unknown | Self::UnknownCredential => "unknown-field",
            Self::Padded | Self::Quotes => "trimmed",
            Self::Receiver => "unknown-receiver",
            Self::Together(_) => "together",
            Self::Type => "unknown-type",
            Self::Uid => "uid",
        }
    }
}

/// What a finding says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// Two of this name or uid in one organisation.
    #[error("another entry of this organisation has the same {0}")]
    Duplicate(&'static str),
    /// A reference where an entry has its identity.
    #[error("no reference can stand here: the entry has to be known without any credential")]
    Identity,
    /// A credential where Grafana encrypts none.
    #[error(
        "a credential stands where Grafana stores it in the clear and shows it to whoever may see this entry"
    )]
    InTheClear,
    /// A value of another type.
    #[error("expected {0}")]
    Kind(&'static str),
    /// A credential that stands in the document.
    #[error("a credential stands in the document itself; refer to it with $secret or $store")]
    Literal,
    /// A matcher that cannot be understood.
    #[error("{0}")]
    Matcher(MatcherError),
    /// A credential that does not fit.
    #[error("the credential does not fit: {0}")]
    Misfit(Misfit),
    /// A required field.
    #[error("{0} is missing or empty")]
    Missing(&'static str),
    /// A field that Grafana no longer reads, or never did.
    #[error("Grafana does not read this; {0}")]
    Moved(&'static str),
    /// A name that Grafana would trim.
    #[error("it begins or ends with white space, which Grafana takes away")]
    Padded,
    /// Grafana trims quotes of a matcher's value.
    #[error("the value stands in quotes, which Grafana takes away")]
    Quotes,
    /// No contact point of this name.
    #[error("no contact point of this organisation has this name")]
    Receiver,
    /// Settings that do not go together.
    #[error("{0}")]
    Together(&'static str),
    /// A kind of contact point that there is not.
    #[error("Grafana knows no contact point of this type")]
    Type,
    /// A name for an entry that is too long or not of letters, digits, - and _.
    #[error("a uid has at most 40 letters, digits, - and _")]
    Uid,
    /// A field that Grafana does not read.
    #[error("Grafana knows no field of this name and would not read it")]
    Unknown,
    /// The same, where a credential would be lost.
    #[error("Grafana knows no field of this name, so the credential would never arrive")]
    UnknownCredential,
}

/// What of a document a place lies in: what is left out when it is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// This data source.
    Datasource(usize),
    /// This contact point as a whole.
    ContactPoint(usize),
    /// This receiver of this contact point.
    Receiver(usize, usize),
    /// This tree of notification policies.
    Policy(usize),
    /// None of them: nothing can be published.
    Document,
}

/// What of a document a place lies in.
#[must_use]
pub fn part(at: &Steps) -> Part {
    match at.0.as_slice() {
        [Step::Name(kind), Step::Item(index), path @ ..] => match (kind.as_str(), path) {
            (DATASOURCES, _) => Part::Datasource(*index),
            (CONTACT_POINTS, [Step::Name(name), Step::Item(receiver), ..]) if name == "receivers" => {
                Part::Receiver(*index, *receiver)
            }
            (CONTACT_POINTS, _) => Part::ContactPoint(*index),
            (POLICIES, _) => Part::Policy(*index),
            _ => Part::Document,
        },
        _ => Part::Document,
    }
}

/// What exists in Grafana besides the document.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Names of contact points that are not the document's, by organisation.
    pub contact_points: BTreeSet<(i64, String)>,
    /// Whether a data source needs a `uid`: the HTTP API finds it by that.
    pub needs_uid: bool,
}

/// Looks at a whole document. A leaf that is not resolved counts as a value that fits.
#[must_use]
pub fn validate(document: &Node, known: &Known) -> Vec<Finding> {
    let mut found = Findings::default();
    let Some(map) = document.as_map() else {
        found.add(Steps::default(), Rule::Kind("names and values"));
        return found.0;
    };
    for (name, value) in map {
        let at = Steps::default().name(name);
        match name.as_str() {
            DATASOURCES | CONTACT_POINTS | POLICIES if value.as_list().is_none() => {
                found.add(at, Rule::Kind("a list"));
            }
            DATASOURCES | CONTACT_POINTS | POLICIES => {}
            _ => found.add(at, Rule::Moved("an injection has datasources, contactPoints and policies")),
        }
    }
    datasources(list(document, DATASOURCES), known, &mut found);
    let mut names = contact_points(list(document, CONTACT_POINTS), &mut found);
    names.extend(known.contact_points.iter().cloned());
    policy::trees(list(document, POLICIES), &names, &mut found);
    found.0
}

/// Findings, as they come.
#[derive(Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn add(&mut self, at: Steps, rule: Rule) {
        self.0.push(Finding { at, rule });
    }
}

fn datasources(entries: &[Node], known: &Known, found: &mut Findings) {
    let (mut names, mut uids, mut defaults) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
    for (index, entry) in entries.iter().enumerate() {
        let at = Steps::default().name(DATASOURCES).item(index);
        if !fields(entry, DATASOURCE, &at, found) {
            continue;
        }
        written(entry, &["name", "orgId", "type", "uid"], &at, found);
        let org = org_of(entry);
        if let Some(name) = text_of(entry, "name") {
            if !names.insert((org, name)) {
                found.add(at.name("name"), Rule::Duplicate("name"));
            }
            if name.len() > NAME_MAX {
                found.add(at.name("name"), Rule::Kind("at most 190 bytes"));
            }
        }
        match text_of(entry, "uid") {
            Some(uid) => check_uid(uid, org, &at, &mut uids, found),
            None if known.needs_uid => found.add(at.clone(), Rule::Missing("uid")),
            None => {}
        }
        if matches!(entry.get("isDefault"), Some(Node::Bool(true))) && defaults.insert(org, index).is_some() {
            found.add(
                at.name("isDefault"),
                Rule::Together("only one data source of an organisation is the default"),
            );
        }
        secrets_of_datasource(entry, &at, found);
    }
}

fn secrets_of_datasource(entry: &Node, at: &Steps, found: &mut Findings) {
    // These stood beside the others until Grafana 9; now they are ignored, and the data source has no password.
    for name in ["password", "basicAuthPassword", "secureJsonFields", "secure_json_data", "json_data"] {
        if entry.get(name).is_some() {
            found.add(at.name(name), Rule::Moved("credentials stand in secureJsonData"));
        }
    }
    let at = at.name("secureJsonData");
    for (name, value) in entry.get("secureJsonData").and_then(Node::as_map).into_iter().flatten() {
        let field = Field::new("", secure_kind(name)).keeps(Keeps::Secure);
        leaf(value, field, at.name(name), found);
    }
}

/// Gives their names.
fn contact_points(entries: &[Node], found: &mut Findings) -> BTreeSet<(i64, String)> {
    let (mut names, mut uids) = (BTreeSet::new(), BTreeSet::new());
    for (index, entry) in entries.iter().enumerate() {
        let at = Steps::default().name(CONTACT_POINTS).item(index);
        let shape = &[
            Field::new("name", Kind::Text).required(),
            Field::new("orgId", Kind::Number),
            Field::new("receivers", Kind::Entries).required(),
        ];
        if !fields(entry, shape, &at, found) {
            continue;
        }
        written(entry, &["name", "orgId"], &at, found);
        let org = org_of(entry);
        if let Some(name) = text_of(entry, "name") {
            padded(name, at.name("name"), found);
            if !names.insert((org, name.to_owned())) {
                found.add(at.name("name"), Rule::Duplicate("name"));
            }
        }
        let receivers = entry.get("receivers").and_then(Node::as_list).unwrap_or_default();
        if receivers.is_empty() && entry.get("receivers").is_some() {
            found.add(at.clone(), Rule::Missing("receivers"));
        }
        for (number, receiver) in receivers.iter().enumerate() {
            let at = at.name("receivers").item(number);
            check_receiver(receiver, org, &at, &mut uids, found);
        }
    }
    names
}

fn check_receiver<'a>(
    receiver: &'a Node,
    org: i64,
    at: &Steps,
    uids: &mut BTreeSet<(i64, &'a str)>,
    found: &mut Findings,
) {
    let shape = &[
        Field::new("uid", Kind::Text).required(),
        Field::new("type", Kind::Text).required(),
        Field::new("settings", Kind::Fields(&[])).required(),
        Field::new("disableResolveMessage", Kind::Bool),
    ];
    if receiver.get("secureSettings").is_some() {
        found.add(at.name("secureSettings"), Rule::Moved("credentials stand in settings"));
    }
    if !fields(receiver, shape, at, found) {
        return;
    }
    written(receiver, &["type", "uid"], at, found);
    if let Some(uid) = text_of(receiver, "uid") {
        check_uid(uid, org, at, uids, found);
    }
    let Some(name) = text_of(receiver, "type").filter(|name| !name.is_empty()) else { return };
    let Some(kind) = Receiver::named(name) else {
        found.add(at.name("type"), Rule::Type);
        return;
    };
    let Some(settings) = receiver.get("settings") else { return };
    let at = at.name("settings");
    if fields(settings, kind.fields, &at, found)
        && let Some(rule) = (kind.check)(settings)
    {
        found.add(at, Rule::Together(rule));
    }
}

fn check_uid<'a>(
    uid: &'a str,
    org: i64,
    at: &Steps,
    uids: &mut BTreeSet<(i64, &'a str)>,
    found: &mut Findings,
) {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if uid.is_empty() || uid.len() > UID_MAX || !uid.bytes().all(is_plain) {
        found.add(at.name("uid"), Rule::Uid);
    }
    if !uids.insert((org, uid)) {
        found.add(at.name("uid"), Rule::Duplicate("uid"));
    }
}

/// What the document says itself: what leaves it, and what a place expects, is told from that.
pub(super) fn written(entry: &Node, names: &[&str], at: &Steps, found: &mut Findings) {
    let is_reference = |node: &Node| matches!(node, Node::Leaf(_) | Node::Secret(_));
    for name in names.iter().filter(|name| entry.get(name).is_some_and(is_reference)) {
        found.add(at.name(name), Rule::Identity);
    }
}

fn padded(text: &str, at: Steps, found: &mut Findings) {
    if text.trim() != text {
        found.add(at, Rule::Padded);
    }
}

/// Compares names and values with what is read. Gives whether it has names at all.
pub(super) fn fields(node: &Node, shape: &[Field], at: &Steps, found: &mut Findings) -> bool {
    let Some(map) = node.as_map() else {
        found.add(at.clone(), Rule::Kind("names and values"));
        return false;
    };
    for field in shape.iter().filter(|field| field.is_required) {
        let is_there = match map.get(field.name) {
            None | Some(Node::Null) => false,
            Some(node) => node.text() != Some(""),
        };
        if !is_there {
            found.add(at.clone(), Rule::Missing(field.name));
        }
    }
    for (name, value) in map {
        let at = at.name(name);
        match shape.iter().find(|field| field.name == *name) {
            Some(field) => kind_of(value, *field, at, found),
            None if is_moved(name) => {}
            None if holds_credential(value) => found.add(at, Rule::UnknownCredential),
            None => found.add(at, Rule::Unknown),
        }
    }
    true
}

/// What has a finding of its own.
fn is_moved(name: &str) -> bool {
    ["secureSettings", "password", "basicAuthPassword", "secureJsonFields", "secure_json_data", "json_data"]
        .contains(&name)
}

fn kind_of(value: &Node, field: Field, at: Steps, found: &mut Findings) {
    let wrong = |found: &mut Findings, at, what| found.add(at, Rule::Kind(what));
    match (field.kind, value) {
        (_, Node::Null) => {}
        (Kind::Anything, value) => clear(value, &at, found),
        (Kind::Entries, Node::List(_)) => {}
        (Kind::List, Node::List(_)) => clear(value, &at, found),
        (Kind::Entries | Kind::List, _) => wrong(found, at, "a list"),
        // Settings have the shape of their type.
        (Kind::Fields([]), _) => {}
        (Kind::Fields(shape), value) => {
            fields(value, shape, &at, found);
        }
        // Each of these names has a kind of its own, and is looked at by that.
        (Kind::Texts, Node::Map(_)) if field.keeps == Keeps::Secure => {}
        (Kind::Texts, Node::Map(map)) => {
            for (name, value) in map {
                match value {
                    Node::Text(_) => {}
                    Node::Secret(_) | Node::Leaf(_) => found.add(at.name(name), Rule::InTheClear),
                    _ => wrong(found, at.name(name), "a text"),
                }
            }
        }
        (Kind::Texts, _) => wrong(found, at, "names and texts"),
        (Kind::Bool, Node::Bool(_)) => {}
        (Kind::Bool, _) => wrong(found, at, "true or false"),
        (Kind::Number, Node::Number(_) | Node::Leaf(_)) => {}
        (Kind::Number, node) => {
            if node.text().is_none_or(|text| text.parse::<f64>().is_err()) {
                wrong(found, at, "a number");
            }
        }
        (Kind::OneOf(options), node) => match node {
            Node::Leaf(_) => {}
            node if node.text().is_some_and(|text| options.contains(&text)) => {}
            _ => wrong(found, at, "another word; Grafana knows only a few here"),
        },
        (_, Node::Text(_) | Node::Secret(_) | Node::Leaf(_)) => leaf(value, field, at, found),
        _ => wrong(found, at, "a text"),
    }
}

/// A text, wherever it came from.
fn leaf(value: &Node, field: Field, at: Steps, found: &mut Findings) {
    match value {
        Node::Leaf(_) | Node::Secret(_) if field.keeps != Keeps::Secure => {
            found.add(at.clone(), Rule::InTheClear);
        }
        Node::Text(text) if field.keeps != Keeps::Open && !text.is_empty() => {
            found.add(at.clone(), Rule::Literal);
        }
        Node::Text(_) | Node::Leaf(_) | Node::Secret(_) => {}
        _ => return found.add(at, Rule::Kind("a text")),
    }
    match value {
        Node::Secret(_) => {
            let text = value.text().unwrap_or_default();
            if let Err(misfit) = fits(field.kind, text) {
                found.add(at, Rule::Misfit(misfit));
            }
        }
        // What an author writes may be a template: only then it need not be an address.
        Node::Text(text)
            if field.kind == Kind::Url && !text.is_empty() && !text.contains("{{") && !is_url(text) =>
        {
            found.add(at, Rule::Misfit(Misfit::Url));
        }
        _ => {}
    }
}

/// Whatever a plugin reads: Grafana encrypts nothing of it.
fn clear(value: &Node, at: &Steps, found: &mut Findings) {
    let mut at = at.clone();
    value.each(&mut at, &mut |at, node| {
        if matches!(node, Node::Secret(_) | Node::Leaf(_)) {
            found.add(at.clone(), Rule::InTheClear);
        }
    });
}

fn holds_credential(value: &Node) -> bool {
    let mut holds = false;
    value
        .each(&mut Steps::default(), &mut |_, node| holds |= matches!(node, Node::Secret(_) | Node::Leaf(_)));
    holds
}

#[cfg(test)]
mod tests;
