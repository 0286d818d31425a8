//! Whether Alertmanager would take a configuration.
//!
//! The judgement is that of Alertmanager's own loading, version by version: types with the conversions of its YAML library,
//! unknown fields, what is required, what excludes what, what `global` brings, names that are used and not defined. Beyond
//! it, inline templates are parsed, which Alertmanager leaves for the moment when it notifies, and a few configurations are
//! refused that Alertmanager loads and then dies of. A finding never shows a value, only names of receivers, routes and time
//! intervals.

mod address;
mod names;
mod rules;
pub(super) mod scalar;
mod special;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::{BTreeMap, HashMap};

use super::{
    matcher::Warning,
    schema::{self, ROOT, Type},
    version::Version,
};
use crate::inject::{Node, Step, Steps};

pub(super) use special::SLACK_APP_URL;
pub use walk::texts;

/// Something about a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where it stands.
    pub at: Steps,
    /// The rule, as a word for machines, such as `unknown-field`.
    pub rule: &'static str,
    /// What is wrong, in words.
    pub message: String,
    /// How bad it is.
    pub severity: Severity,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Alertmanager takes it, and somebody should know.
    Warning,
    /// Alertmanager would refuse it, or lose notifications.
    Error,
}

impl Finding {
    /// The receiver that a configuration would be well without: its index. `None` where no integration is at fault.
    #[must_use]
    pub fn receiver(&self) -> Option<usize> {
        match self.at.0.as_slice() {
            [Step::Name(list), Step::Item(index), Step::Name(field), ..]
                if list == "receivers" && field != "name" =>
            {
                Some(*index)
            }
            _ => None,
        }
    }

    /// The integration that a receiver would be well without, such as `receivers[0].slack_configs[1]`, where it is only one.
    #[must_use]
    pub fn integration(&self) -> Option<Steps> {
        schema::integration_at(&self.at)
    }
}

/// Judges a configuration. The findings are in the order of the document.
#[must_use]
pub fn check(config: &Node, version: Version) -> Vec<Finding> {
    let root = config.as_map();
    let global = root.and_then(|root| root.get("global")).and_then(Node::as_map);
    let mut check =
        Check { version, global, at: Steps::default(), matchers: HashMap::new(), findings: Vec::new() };
    match config {
        Node::Map(_) => check.value(config, &Type::Object(&ROOT), false),
        Node::Null => {}
        _ => check.error("type", "a configuration is a map of names and values"),
    }
    names::check(root, &mut check);
    check.findings
}

/// One judgement under way.
struct Check<'a> {
    version: Version,
    /// `global`, where it is given.
    global: Option<&'a Map>,
    /// Where the judgement is.
    at: Steps,
    /// Texts that were read as matchers already, and what came of it.
    matchers: HashMap<String, Result<Option<Warning>, &'static str>>,
    findings: Vec<Finding>,
}

type Map = BTreeMap<String, Node>;

impl Check<'_> {
    fn find(&mut self, severity: Severity, rule: &'static str, message: impl Into<String>) {
        self.findings.push(Finding { at: self.at.clone(), rule, message: message.into(), severity });
    }

    fn error(&mut self, rule: &'static str, message: impl Into<String>) {
        self.find(Severity::Error, rule, message);
    }

    fn warn(&mut self, rule: &'static str, message: impl Into<String>) {
        self.find(Severity::Warning, rule, message);
    }

    fn error_at(&mut self, name: &str, rule: &'static str, message: impl Into<String>) {
        let at = self.at.name(name);
        self.findings.push(Finding { at, rule, message: message.into(), severity: Severity::Error });
    }
}
