//! Names for credentials: keys of a Secret, made from where each stands. The same configuration always gives the same.

use std::collections::{BTreeMap, BTreeSet};

use waxwing_core::{
    alertmanager::schema,
    inject::{Node, Step, Steps},
    seal::DataKey,
};

/// How long a key is at most, before a number is put behind it.
const LONGEST: usize = 200;

/// A key for each of these places. Each has its own, also where two values are the same: that would be seen in Git.
pub(super) fn keys<'a>(document: &Node, places: impl Iterator<Item = &'a Steps>) -> BTreeMap<Steps, DataKey> {
    let (mut keys, mut taken) = (BTreeMap::new(), BTreeSet::new());
    for at in places {
        let name = slug(&words(document, at).join("-"));
        let numbered = (2_u32..).map(|number| format!("{name}-{number}"));
        let key = std::iter::once(name.clone()).chain(numbered).find(|name| taken.insert(name.clone()));
        let key = key.and_then(|key| key.parse().ok());
        keys.insert(at.clone(), key.expect("letters, digits and single dashes are a key"));
    }
    keys
}

/// `db-pager`, `pagerduty`, `routing_key`; numbers only where there are several.
fn words(document: &Node, at: &Steps) -> Vec<String> {
    let mut words = Vec::new();
    let mut here = Steps::default();
    for step in &at.0 {
        let parent = document.at(&here);
        match step {
            Step::Name(name) if here.0.is_empty() && name == "receivers" => {}
            Step::Name(name) if schema::is_integration(name) => {
                words.push(name.strip_suffix("_configs").unwrap_or(name).to_owned());
            }
            Step::Name(name) => words.push(name.clone()),
            Step::Item(index) => {
                let list = parent.and_then(Node::as_list).unwrap_or_default();
                let name = list.get(*index).and_then(|item| item.get("name")).and_then(Node::text);
                match name {
                    Some(name) => words.push(name.to_owned()),
                    None if list.len() > 1 => words.push((index + 1).to_string()),
                    None => {}
                }
            }
        }
        here.0.push(step.clone());
    }
    words
}

/// Small letters and digits, with single dashes between them.
fn slug(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut slug = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    slug.truncate(LONGEST);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "credential".to_owned() } else { slug.to_owned() }
}
