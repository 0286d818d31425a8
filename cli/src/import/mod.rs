//! From a configuration with credentials in it to one with references, and the credentials beside it.
//!
//! Nothing is believed: what was made is rendered again, by the operator's own functions, and must give the configuration
//! that was read, byte for byte in the form in which all are written.

mod names;
mod source;
#[cfg(test)]
mod tests;
mod unquoted;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use waxwing_core::{
    Secret,
    alertmanager::{
        Version,
        schema::{self, Misfit},
        validate::texts,
    },
    inject::{Answer, Node, Reference, Step, Steps, to_yaml},
    injection::alertmanager::Spec,
    seal::DataKey,
};
use waxwing_crds::{AlertmanagerInjectionSpec, AlertmanagerTarget, AlertmanagerTargetKind, Native};

use crate::error::{Explain, Failure, Result};
pub(crate) use source::{Found, read};

/// What is to come of it.
pub(crate) struct Wish<'a> {
    /// The Secret that is to hold the credentials.
    pub(crate) secret: &'a str,
    /// The Secret that is to hold the configuration.
    pub(crate) target: &'a str,
    /// The key in it, where it is not the usual one.
    pub(crate) key: Option<&'a str>,
    /// Who reads it.
    pub(crate) kind: AlertmanagerTargetKind,
    /// Which Alertmanager that is, where it is said.
    pub(crate) version: Option<Version>,
}

/// What has come of it.
pub(crate) struct Imported {
    /// With references.
    pub(crate) spec: AlertmanagerInjectionSpec,
    /// The credentials, by key.
    pub(crate) values: BTreeMap<DataKey, Secret>,
    /// What somebody should know.
    pub(crate) notes: Vec<String>,
}

/// Takes the credentials out of a configuration.
///
/// # Errors
/// What Alertmanager would refuse, and credentials that could not be put back as they are. Never shows a value.
pub(crate) fn import(found: &Found, wish: &Wish<'_>) -> Result<Imported> {
    let config = unquoted::as_written(&found.text, &found.document)?;
    let document = Node::read(&config)?;
    let (literals, mut notes) = literals(&document)?;
    let keys = names::keys(&document, literals.keys());
    let mut references = config;
    let (mut values, mut answers) = (BTreeMap::new(), BTreeMap::new());
    for (at, value) in literals {
        let key = &keys[&at];
        *at_mut(&mut references, &at)? = json!({"$secret": {"name": wish.secret, "key": key.as_str()}});
        let reference = Reference::Secret { name: wish.secret.to_owned(), key: key.to_string() };
        answers.insert(reference, Answer::Value(value.clone()));
        values.insert(key.clone(), value);
    }
    notes.extend(files(&document));
    let spec = AlertmanagerInjectionSpec {
        config: Some(Native(references)),
        target: AlertmanagerTarget {
            kind: Some(wish.kind),
            secret_name: wish.target.to_owned(),
            key: wish.key.map(str::to_owned),
            version: wish.version.map(|version| version.to_string()),
            ..AlertmanagerTarget::default()
        },
        ..AlertmanagerInjectionSpec::default()
    };
    let checked = Spec::read(&spec)?;
    let made = checked.make(&checked.document(None)?, &answers, &BTreeMap::new()).map_err(|refused| {
        let mut messages = refused.messages().into_iter();
        let first = messages.next().unwrap_or_default();
        messages.fold(Failure::new(first), |failure, more| failure.hint(format!("also {more}")))
    })?;
    if *made.bytes != *to_yaml(&document) {
        return Err(Failure::new("what is rendered from it is another configuration; nothing was written"));
    }
    Ok(Imported { spec, values, notes })
}

/// The credentials of a document by their places, and what is said of templates in the places of some.
fn literals(document: &Node) -> Result<(BTreeMap<Steps, Secret>, Vec<String>)> {
    let (mut found, mut notes, mut wrong) = (BTreeMap::new(), Vec::new(), Vec::new());
    texts(document, &mut |at, text| {
        let expected = schema::expected(at).filter(|expected| expected.holds_credential(text));
        match expected.map(|expected| schema::fits(expected, text)) {
            None => {}
            Some(Ok(())) => drop(found.insert(at.clone(), Secret::new(text.as_bytes().to_vec()))),
            Some(Err(Misfit::Template)) => {
                notes.push(format!("{at} stays as it is: it is a template"));
            }
            Some(Err(misfit)) => wrong.push(format!("{at}: {misfit}")),
        }
    });
    let mut wrong = wrong.into_iter();
    match wrong.next() {
        None => Ok((found, notes)),
        Some(first) => Err(wrong.fold(
            Failure::new(first).hint("correct it in the file, and import it then"),
            |failure, more| failure.hint(format!("also {more}")),
        )),
    }
}

/// What is said of credentials that the configuration takes from files.
fn files(document: &Node) -> Vec<String> {
    let mut notes = Vec::new();
    texts(document, &mut |at, _| {
        let Some((Step::Name(name), parents)) = at.0.split_last() else { return };
        let Some(name) = name.strip_suffix("_file") else { return };
        if schema::expected(&Steps(parents.to_vec()).name(name)).is_some_and(|expected| expected.secret) {
            notes.push(format!("{at} stays as it is: Alertmanager reads that file itself"));
        }
    });
    notes
}

fn at_mut<'a>(document: &'a mut Value, at: &Steps) -> Result<&'a mut Value> {
    let found = at.0.iter().try_fold(document, |value, step| match step {
        Step::Name(name) => value.get_mut(name),
        Step::Item(index) => value.get_mut(index),
    });
    found.ok_or_else(|| Failure::new("it is not in the document")).at(at)
}
