//! The last good values of credentials, in what was published last.
//!
//! With a file goes, in the state, which reference gave the text at which place of it. Nothing else tells: a document may
//! have changed since, and the text at a place may be another credential now.

use std::collections::BTreeMap;

use serde_json::Value;
use waxwing_core::{
    Secret,
    inject::{Answer, Node, Reference, Step, Steps, leaves},
    yaml,
};
use zeroize::Zeroize;

use super::credentials::Answers;

/// Published documents, as one: each has names of its own. They are wiped.
pub(super) struct Published {
    documents: Vec<Value>,
    /// Whether every `$` stands twice in it.
    is_doubled: bool,
}

impl Drop for Published {
    fn drop(&mut self) {
        fn wipe(value: &mut Value) {
            match value {
                Value::String(text) => text.zeroize(),
                Value::Array(items) => items.iter_mut().for_each(wipe),
                Value::Object(entries) => entries.values_mut().for_each(wipe),
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
        self.documents.iter_mut().for_each(wipe);
    }
}

impl Published {
    /// Reads published files. What is none is passed over.
    pub(super) fn of<'a>(files: impl Iterator<Item = &'a Secret>, is_doubled: bool) -> Self {
        // Why exposed: the values of credentials are looked for in it.
        let read = |file: &Secret| yaml::from_str(std::str::from_utf8(file.expose()).ok()?).ok();
        Self { documents: files.filter_map(read).collect(), is_doubled }
    }

    /// What stands at a place, as the text that a credential is.
    fn at(&self, at: &Steps) -> Option<Secret> {
        let within = |document| {
            at.0.iter().try_fold(document, |value: &Value, step| match step {
                Step::Name(name) => value.get(name),
                Step::Item(index) => value.get(index),
            })
        };
        let text = match self.documents.iter().find_map(within)? {
            Value::String(text) if self.is_doubled => text.replace("$$", "$"),
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(bool) => bool.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        Some(Secret::new(text.into_bytes()))
    }
}

/// Which references gave the texts in what is published now, by place. Where something was left out before it, a credential
/// stands at another place than in the document: that one is not recorded.
pub(super) fn record(
    document: &Node,
    published: &Published,
    answers: &Answers,
    last_good: &BTreeMap<Reference, Secret>,
) -> BTreeMap<String, String> {
    let given = |reference: &Reference| match answers.get(reference) {
        Some(Answer::Value(value)) => Some(value),
        _ => last_good.get(reference),
    };
    let stands = |(at, reference): &(Steps, Reference)| {
        published.at(at).zip(given(reference)).is_some_and(|(found, given)| found.same_as(given))
    };
    let held = leaves(document).into_iter().filter(stands);
    held.map(|(at, reference)| (at.to_string(), name(&reference))).collect()
}

/// The values of a document's references in what was published last.
pub(super) fn last_good(
    document: &Node,
    published: &Published,
    held: &BTreeMap<String, String>,
) -> BTreeMap<Reference, Secret> {
    let by_name: BTreeMap<String, Reference> =
        leaves(document).into_iter().map(|(_, reference)| (name(&reference), reference)).collect();
    let found = held.iter().filter_map(|(at, name)| {
        let reference = by_name.get(name)?;
        Some((reference.clone(), published.at(&at.parse().ok()?)?))
    });
    found.collect()
}

/// Everything that tells one reference from another.
fn name(reference: &Reference) -> String {
    format!("{reference:?}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(value: Value) -> Node {
        Node::read(&value).unwrap_or_else(|error| panic!("{error}"))
    }

    fn published(value: &Value) -> Published {
        let file = Secret::new(value.to_string().into_bytes());
        Published::of([file].iter(), false)
    }

    fn leaf(key: &str) -> Value {
        json!({"$secret": {"name": "a", "key": key}})
    }

    fn values(values: &[(&str, &str)]) -> Answers {
        let reference = |key: &str| Reference::Secret { name: "a".into(), key: key.into() };
        let answer = |text: &str| Answer::Value(Secret::new(text.as_bytes().to_vec()));
        values.iter().map(|(key, value)| (reference(key), answer(value))).collect()
    }

    fn names(last_good: &BTreeMap<Reference, Secret>) -> Vec<(String, String)> {
        let text = |value: &Secret| String::from_utf8(value.expose().to_vec()).unwrap();
        last_good.iter().map(|(reference, value)| (reference.to_string(), text(value))).collect()
    }

    /// Guard: `last_good` goes by what was recorded, and not by where references stand now.
    #[test]
    fn a_value_is_found_though_its_reference_has_moved() {
        let before = node(json!({"x": [leaf("one"), leaf("two")], "n": leaf("n")}));
        let published = published(&json!({"x": ["1", "2"], "n": -100}));
        let held = record(
            &before,
            &published,
            &values(&[("one", "1"), ("two", "2"), ("n", "-100")]),
            &BTreeMap::new(),
        );
        let now = node(json!({"x": [leaf("two"), leaf("new")], "n": leaf("n")}));
        let found = last_good(&now, &published, &held);
        let expected = [("Secret/a, key n", "-100"), ("Secret/a, key two", "2")];
        assert_eq!(names(&found), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    /// Guard: `record` compares what stands at a place with what the reference gave.
    #[test]
    fn what_stands_elsewhere_is_not_recorded() {
        let document = node(json!({"x": [leaf("broken"), leaf("two")]}));
        let published = published(&json!({"x": ["2"]}));
        let held = record(&document, &published, &values(&[("two", "2")]), &BTreeMap::new());
        assert_eq!(held, BTreeMap::new());
    }
}
