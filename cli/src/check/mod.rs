//! `waxwing check`: what would go wrong with injections, found in files alone: no cluster, no key, no store.
//!
//! ```text
//! files -> Tree (objects) -> Known (what they give) -> one check for each kind -> Report -> text, JSON, SARIF, JUnit
//! ```
//! Specs are read, documents built and configurations judged by the same functions of `core` that the operator uses, with
//! stand-ins in the places of credentials. A finding names a place and a rule, and never shows what stands there.

mod alertmanager;
mod grafana;
mod junit;
mod known;
mod neighbours;
mod options;
mod receiver;
mod report;
mod rule;
mod sarif;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::Value;
use waxwing_core::{
    inject::{Node, Reference, Step, Steps},
    injection::Fault,
    yaml::{self, YamlError, edit},
};
use waxwing_crds::{Reason, names};

pub(crate) use known::Known;
use known::Lack;
pub(crate) use options::{Options, Targets};
pub(crate) use receiver::Receivers;
pub(crate) use report::{Form, Report};
use rule::Rule;
pub(crate) use rule::Severity;
pub(crate) use tree::{Kind, Object, Tree};

/// One thing that is wrong, in an object.
struct Found {
    object: usize,
    /// From the object's root on.
    at: Steps,
    rule: Rule,
    /// A finer word than the rule's, of whoever found it.
    detail: Option<&'static str>,
    message: String,
    /// Where it is, if that is known already.
    position: Option<(usize, usize)>,
}

/// A check under way.
struct Check<'a> {
    tree: &'a Tree,
    known: Known,
    targets: Targets,
    found: Vec<Found>,
}

/// Checks every object of a tree.
pub(crate) fn check(tree: &Tree, options: &Options) -> Report {
    let known = Known::new(tree, options.elsewhere());
    let mut check = Check { tree, known, targets: options.targets(), found: Vec::new() };
    let receivers = Receivers::of(tree);
    let contact_points = grafana::contact_points(tree);
    let mut used = BTreeSet::new();
    for (index, object) in tree.objects.iter().enumerate() {
        match object.kind {
            Kind::AlertReceiver => receiver::check(&mut check, index),
            Kind::AlertmanagerConfig => neighbours::alertmanager_config(&mut check, index),
            Kind::AlertmanagerInjection => alertmanager::check(&mut check, index, &receivers, &mut used),
            Kind::GrafanaInjection => grafana::check(&mut check, index, &contact_points),
            Kind::GrafanaOperator => neighbours::grafana_operator(&mut check, index),
            Kind::ClusterExternalSecret
            | Kind::ConfigMap
            | Kind::ExternalSecret
            | Kind::Namespace
            | Kind::SealedSecret
            | Kind::Secret
            | Kind::Store(_) => {}
        }
    }
    receiver::unused(&mut check, &receivers, &used);
    Report::new(tree, check.found)
}

impl Check<'_> {
    fn object(&self, index: usize) -> &Object {
        &self.tree.objects[index]
    }

    /// Something is wrong at a place of an object.
    fn find(&mut self, object: usize, at: Steps, rule: Rule, message: impl Into<String>) {
        self.found.push(Found { object, at, rule, detail: None, message: message.into(), position: None });
    }

    /// The same, with a word of whoever found it.
    fn find_more(
        &mut self,
        object: usize,
        at: Steps,
        rule: Rule,
        detail: &'static str,
        message: impl Into<String>,
    ) {
        let detail = Some(detail);
        self.found.push(Found { object, at, rule, detail, message: message.into(), position: None });
    }

    /// An object as its type; what keeps it from being that is said.
    fn typed<T: DeserializeOwned>(&mut self, index: usize) -> Option<T> {
        let tree = self.tree;
        let object = &tree.objects[index];
        let value = tree.value(object);
        if value["apiVersion"] != names::API_VERSION {
            let message =
                format!("not an apiVersion that this version knows; it knows {}", names::API_VERSION);
            self.find(index, Steps::default().name("apiVersion"), Rule::SpecInvalid, message);
            return None;
        }
        let error = match yaml::from_value(value) {
            Ok(typed) => return Some(typed),
            Err(error) => error,
        };
        // The same error, read from the text, has a place.
        let document = tree.document_of(object);
        let again: Option<YamlError> =
            object.item.is_none().then(|| document.typed::<T>(&tree.files[object.file].text).err()).flatten();
        let position = again.as_ref().and_then(YamlError::position);
        let message = error.to_string();
        let at = Steps::default().name("spec");
        self.found.push(Found {
            object: index,
            at,
            rule: Rule::SpecInvalid,
            detail: None,
            message,
            position,
        });
        None
    }

    /// A fault of a spec, at the place that its message begins with.
    fn fault(&mut self, index: usize, fault: &Fault) {
        let rule = match fault.reason {
            Reason::ConfigInvalid => Rule::ConfigInvalid,
            Reason::DocumentMissing => Rule::DocumentMissing,
            _ => Rule::SpecInvalid,
        };
        let (at, message) = self.place(index, &fault.message);
        self.find(index, at, rule, message);
    }

    /// `config: receivers[0]: …` as a place in an object and the rest.
    fn place<'m>(&self, index: usize, message: &'m str) -> (Steps, &'m str) {
        let value = self.tree.value(self.object(index));
        let (mut at, mut rest) = (Steps::default().name("spec"), message);
        while let Some((place, more)) = rest.split_once(": ") {
            let Some(steps) = place.parse::<Steps>().ok().filter(|_| !place.contains(' ')) else { break };
            let further = Steps(at.0.iter().cloned().chain(steps.0).collect());
            if value_at(value, &further).is_none() {
                break;
            }
            (at, rest) = (further, more);
        }
        (at, rest)
    }

    /// Every reference of a document that begins at `base` in an object of `namespace`, except those that `is_known`.
    fn references(
        &mut self,
        index: usize,
        base: &Steps,
        document: &Node,
        namespace: &str,
        is_known: &dyn Fn(&Reference) -> bool,
    ) {
        let mut leaves = Vec::new();
        document.leaves(&mut |at, reference| {
            if !is_known(reference) {
                leaves.push((joined(base, at), reference));
            }
        });
        for (at, reference) in leaves {
            self.reference(index, at, namespace, reference);
        }
    }

    /// One reference.
    fn reference(&mut self, index: usize, at: Steps, namespace: &str, reference: &Reference) {
        match reference.within(namespace) {
            (namespace, Reference::Secret { name, key }) => self.secret(index, at, namespace, name, key),
            (namespace, Reference::Store { store, .. }) => {
                if !self.known.store(namespace, store) {
                    let message = format!("there is no {store}{} here", of_namespace(namespace));
                    self.find(index, at, Rule::ReferenceMissingStore, message);
                }
            }
            (_, Reference::Of { .. }) => {}
        }
    }

    /// One reference to a key of a Secret.
    fn secret(&mut self, index: usize, at: Steps, namespace: &str, name: &str, key: &str) {
        let Err(lack) = self.known.secret(namespace, name, key) else { return };
        let (rule, message) = match lack {
            Lack::Key(keys) => {
                (Rule::ReferenceMissingKey, format!("Secret/{name} has no key {key}; {}", listed(&keys)))
            }
            Lack::Object => (
                Rule::ReferenceMissingSecret,
                format!(
                    "nothing here makes Secret/{name}{}, of which key {key} is wanted",
                    of_namespace(namespace)
                ),
            ),
            Lack::OtherNamespace(others) => {
                let others: Vec<&str> =
                    others.iter().map(|name| if name.is_empty() { "(none)" } else { name }).collect();
                let own = if namespace.is_empty() { "(none)" } else { namespace };
                let message = format!(
                    "Secret/{name} is in namespace {}; a reference in namespace {own} does not reach it",
                    others.join(", ")
                );
                (Rule::ReferenceOtherNamespace, message)
            }
        };
        self.find(index, at, rule, message);
    }

    /// One reference to a key of a ConfigMap.
    fn config_map(&mut self, index: usize, at: Steps, namespace: &str, name: &str, key: &str) {
        match self.known.config_map(namespace, name, key) {
            Ok(()) => {}
            Err(Lack::Key(keys)) => {
                let message = format!("ConfigMap/{name} has no key {key}; {}", listed(&keys));
                self.find(index, at, Rule::ReferenceMissingKey, message);
            }
            Err(Lack::Object | Lack::OtherNamespace(_)) => {
                let message = format!("there is no ConfigMap/{name}{} here", of_namespace(namespace));
                self.find(index, at, Rule::ReferenceMissingConfigMap, message);
            }
        }
    }
}

/// The keys that there are instead.
fn listed(keys: &[String]) -> String {
    const SHOWN: usize = 8;
    match keys {
        [] => "it has none".to_owned(),
        _ if keys.len() > SHOWN => {
            format!("it has {} and {} others", keys[..SHOWN].join(", "), keys.len() - SHOWN)
        }
        _ => format!("it has {}", keys.join(", ")),
    }
}

fn of_namespace(namespace: &str) -> String {
    if namespace.is_empty() { String::new() } else { format!(" in namespace {namespace}") }
}

/// A place further on.
fn joined(base: &Steps, at: &Steps) -> Steps {
    Steps(base.0.iter().chain(&at.0).cloned().collect())
}

fn value_at<'v>(value: &'v Value, at: &Steps) -> Option<&'v Value> {
    at.0.iter().try_fold(value, |value, step| match step {
        Step::Name(name) => value.get(name),
        Step::Item(index) => value.get(index),
    })
}

/// The same place for whoever finds lines.
fn path(object: &Object, at: &Steps) -> Vec<edit::Step> {
    let item = object.item.map(|item| ["items".into(), item.into()]);
    let steps = at.0.iter().map(|step| match step {
        Step::Name(name) => edit::Step::Key(name.clone()),
        Step::Item(index) => edit::Step::Index(*index),
    });
    item.into_iter().flatten().chain(steps).collect()
}
