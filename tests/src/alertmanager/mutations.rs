//! A configuration with every field, and everything that can be done to one place of it.

use serde_json::{Value, json};
use waxwing_core::{
    alertmanager::{
        validate::{self, Finding, Severity},
        version::Version,
    },
    inject::{Node, Step, Steps, to_yaml},
};

const EVERY_FIELD: &str = include_str!("every-field.yaml");

/// A changed configuration.
pub struct Case {
    /// What was done, and where.
    pub name: String,
    /// The document.
    pub yaml: String,
    /// The same, where it is one: not if a name is there twice.
    config: Option<Value>,
}

impl Case {
    /// A configuration as it is.
    #[must_use]
    pub fn new(name: impl Into<String>, config: Value) -> Self {
        Self { name: name.into(), yaml: write(&config), config: Some(config) }
    }

    /// A configuration with a name twice.
    fn twice(name: String, config: &Value) -> Self {
        Self { name, yaml: write(config).replace(AGAIN_ESCAPED, ""), config: None }
    }

    /// What Waxwing finds in it; `None` if it cannot even read it.
    #[must_use]
    pub fn findings(&self, version: Version) -> Option<Vec<Finding>> {
        if let Some(config) = &self.config {
            return Some(judge(config, version));
        }
        waxwing_core::yaml::from_str::<Value>(&self.yaml).ok().map(|config| judge(&config, version))
    }

    /// Whether Waxwing takes it.
    #[must_use]
    pub fn is_taken(&self, version: Version) -> bool {
        let findings = self.findings(version);
        findings.is_some_and(|findings| !findings.iter().any(|finding| finding.severity == Severity::Error))
    }
}

/// The configuration with every field that a version has, and the places that were left out because it has them not.
///
/// # Panics
/// When the configuration is not what it should be.
#[must_use]
pub fn every_field(version: Version) -> (Value, Vec<(Steps, Value)>) {
    let mut config: Value = waxwing_core::yaml::from_str(EVERY_FIELD).expect("the configuration is YAML");
    let mut newer = Vec::new();
    loop {
        let mut findings = judge(&config, version);
        findings.retain(|finding| finding.severity == Severity::Error);
        if let Some(unknown) = findings.iter().find(|finding| finding.rule == "unknown-field") {
            let value = take(&mut config, &unknown.at);
            newer.push((unknown.at.clone(), value));
        } else if let Some(finding) = findings.first() {
            // What only had fields that are gone now.
            let rest = finding.integration().unwrap_or_else(|| panic!("{version}: {finding:?}"));
            take(&mut config, &rest);
        } else {
            return (config, newer);
        }
    }
}

fn judge(config: &Value, version: Version) -> Vec<Finding> {
    let node = Node::read(config).unwrap_or_else(|error| panic!("{error}"));
    validate::check(&node, version)
}

/// All changes of one place each. Large parts of the configuration that the place has nothing to do with are left away. Of
/// the values that are put into a place, each place gets one of `thin`, in turn: 1 is all of them.
#[must_use]
pub fn cases(config: &Value, thin: usize) -> Vec<Case> {
    let values = values();
    let mut cases = Vec::new();
    let mut turn = 0;
    for (part, root) in parts(config) {
        for at in places(&part, &root) {
            turn += 1;
            changes(&part, &at, values.iter().skip(turn % thin).step_by(thin), &mut cases);
        }
    }
    cases
}

/// Writes a document as Waxwing does.
fn write(config: &Value) -> String {
    let node = Node::read(config).unwrap_or_else(|error| panic!("{error}"));
    String::from_utf8(to_yaml(&node).to_vec()).expect("YAML is UTF-8")
}

/// Parts of a configuration that are configurations themselves, and the place in each below which to change things.
fn parts(config: &Value) -> Vec<(Value, Steps)> {
    let receivers = config["receivers"].as_array().expect("there are receivers");
    let mut parts = vec![(config.clone(), Steps::default().name("global"))];

    let mut rest = config.clone();
    rest["receivers"] = receivers.iter().map(|receiver| json!({"name": receiver["name"]})).collect();
    let names = rest.as_object().expect("it is an object").keys().filter(|name| *name != "global").cloned();
    for name in names.collect::<Vec<_>>() {
        parts.push((rest.clone(), Steps::default().name(&name)));
    }

    for receiver in receivers {
        for (list, integrations) in receiver.as_object().expect("a receiver is an object") {
            let Some(integrations) = integrations.as_array() else { continue };
            for integration in integrations {
                let mut part = json!({
                    "global": config["global"],
                    "route": {"receiver": receiver["name"]},
                    "receivers": [{"name": receiver["name"], list: [integration]}],
                });
                if let Some(labels) = receiver.get("labels") {
                    part["receivers"][0]["labels"] = labels.clone();
                }
                parts.push((part, Steps::default().name("receivers")));
            }
        }
    }
    parts
}

/// Every place below a place, and itself.
fn places(config: &Value, root: &Steps) -> Vec<Steps> {
    fn walk(value: &Value, at: &Steps, places: &mut Vec<Steps>) {
        places.push(at.clone());
        match value {
            Value::Object(map) => map.iter().for_each(|(name, value)| walk(value, &at.name(name), places)),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(index, value)| walk(value, &at.item(index), places));
            }
            _ => {}
        }
    }
    let mut places = Vec::new();
    walk(at(config, root).expect("it is there"), root, &mut places);
    places
}

/// What is put into a place in turn.
fn values() -> Vec<Value> {
    let texts = [
        "",
        "x",
        "null",
        "~",
        "true",
        "5",
        "5m",
        "-5m",
        "1x",
        "https://example.com/",
        "HTTP://h",
        "ftp://example.com/",
        "https://",
        "https://a b/",
        "https://h:x/",
        "https://h/%zz",
        "example.com/a:b",
        ":",
        "h:1",
        "::1",
        "{{ .Status }}",
        "...",
        "a=b",
        "a=~\"(\"",
        "1:2",
        "monday",
        "[",
        "basic",
        "none",
        "<secret>",
    ];
    let mut values: Vec<Value> = texts.iter().map(|text| json!(text)).collect();
    values.extend([
        Value::Null,
        json!(true),
        json!(false),
        json!(0),
        json!(5),
        json!(-5),
        json!(0.5),
        json!(1e30),
        json!(u64::MAX),
        json!([]),
        json!({}),
        json!(["x"]),
        json!(["a", "a"]),
        json!([null]),
        json!([{}]),
        json!([[]]),
        json!({"x": "y"}),
        json!({"x": null}),
        json!({"x": ["y"]}),
        json!({"": {}}),
    ]);
    values
}

/// What makes a copy of a name another one, until it is written.
const AGAIN: &str = "\u{1}again";
const AGAIN_ESCAPED: &str = "\\u0001again";

/// What can be done to one place.
fn changes<'a>(
    config: &Value,
    place: &Steps,
    values: impl Iterator<Item = &'a Value>,
    cases: &mut Vec<Case>,
) {
    let name = |change: &str| format!("{place}: {change}");
    let becomes = |value: Value| {
        let mut changed = config.clone();
        *at_mut(&mut changed, place) = value;
        changed
    };
    cases.extend(values.map(|value| Case::new(name(&format!("becomes {value}")), becomes(value.clone()))));
    if let Some(text) = at(config, place).and_then(Value::as_str) {
        cases.push(Case::new(name("with a line break"), becomes(json!(format!("{text}\n")))));
        cases.push(Case::new(name("in upper case"), becomes(json!(text.to_uppercase()))));
    }
    let mut removed = config.clone();
    let value = take(&mut removed, place);

    let (last, parent) = place.0.split_last().expect("a place is not the root");
    let parent = Steps(parent.to_vec());
    let with = |base: &Value, name: &str, value: Value| {
        let mut changed = base.clone();
        at_mut(&mut changed, &parent)[name] = value;
        changed
    };
    match last {
        Step::Name(field) => {
            cases.push(Case::new(name("renamed"), with(&removed, &format!("{field}_x"), value.clone())));
            cases.push(Case::new(
                name("with a name in upper case"),
                with(&removed, &field.to_uppercase(), value.clone()),
            ));
            cases.push(Case::twice(name("twice"), &with(config, &format!("{field}{AGAIN}"), value)));
            let (twin, value) = match field.strip_suffix("_file") {
                Some(field) => (field.to_owned(), json!("https://example.com/")),
                None => (format!("{field}_file"), json!("/file")),
            };
            cases.push(Case::new(name("with its twin"), with(config, &twin, value.clone())));
            cases.push(Case::new(name("as its twin"), with(&removed, &twin, value)));
            let reference = format!("{}_ref", field.strip_suffix("_file").unwrap_or(field));
            cases.push(Case::new(name("as a reference"), with(&removed, &reference, json!("reference"))));
        }
        Step::Item(_) => {
            let mut changed = config.clone();
            if let Value::Array(items) = at_mut(&mut changed, &parent) {
                items.push(value);
            }
            cases.push(Case::new(name("twice"), changed));
        }
    }
    cases.push(Case::new(name("removed"), removed));
}

/// What is at a place.
fn at<'a>(config: &'a Value, place: &Steps) -> Option<&'a Value> {
    place.0.iter().try_fold(config, |value, step| match step {
        Step::Name(name) => value.get(name),
        Step::Item(index) => value.get(index),
    })
}

fn at_mut<'a>(config: &'a mut Value, place: &Steps) -> &'a mut Value {
    place.0.iter().fold(config, |value, step| match step {
        Step::Name(name) => &mut value[name],
        Step::Item(index) => &mut value[*index],
    })
}

fn take(config: &mut Value, place: &Steps) -> Value {
    let (last, parent) = place.0.split_last().expect("a place is not the root");
    match (at_mut(config, &Steps(parent.to_vec())), last) {
        (Value::Object(map), Step::Name(name)) => map.remove(name),
        (Value::Array(items), Step::Item(index)) => Some(items.remove(*index)),
        _ => None,
    }
    .expect("it is there")
}

/// Puts a value where it was taken from; whether that place is still there.
pub fn put(config: &mut Value, place: &Steps, value: Value) -> bool {
    let Some((_, parent)) = place.0.split_last() else { return false };
    let is_there = at(config, &Steps(parent.to_vec())).is_some_and(Value::is_object);
    if is_there {
        *at_mut(config, place) = value;
    }
    is_there
}
