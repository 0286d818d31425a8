//! Inhibition: which alerts keep others quiet.

use super::{Fault, Reader, read};
use crate::{
    alertmanager::{
        Version,
        matcher::{Labels, Matcher},
    },
    inject::{Node, Steps},
};

/// One rule.
#[derive(Clone)]
pub struct Inhibition {
    /// Where it stands.
    pub at: Steps,
    /// What it is called, from 0.30 on.
    pub name: String,
    /// The alerts that keep others quiet.
    pub source: Vec<Matcher>,
    /// The alerts that are kept quiet.
    pub target: Vec<Matcher>,
    /// The labels that must be the same in both.
    pub equal: Vec<String>,
}

/// All rules of a configuration.
#[derive(Clone, Default)]
pub struct Inhibitions(Vec<Inhibition>);

impl Inhibitions {
    /// Reads the rules of a whole configuration, as this version would.
    ///
    /// # Errors
    /// What can't be read, with places.
    pub fn read(config: &Node, version: Version) -> Result<Self, Vec<Fault>> {
        let mut reader = Reader::default();
        let rules = reader.nullable(config, "inhibit_rules", |reader, node| {
            reader.list(node, |reader, node| rule(reader, node, version))
        });
        reader.finish(Self(rules.unwrap_or_default()))
    }

    /// The rules that keep an alert quiet while others are firing.
    #[must_use]
    pub fn of(&self, alert: &Labels, firing: &[Labels]) -> Vec<&Inhibition> {
        self.0.iter().filter(|rule| firing.iter().any(|source| rule.applies(alert, source))).collect()
    }
}

impl Inhibition {
    /// Whether an alert is kept quiet by another. Alerts that are both source and target don't do that to each other.
    fn applies(&self, alert: &Labels, source: &Labels) -> bool {
        let fulfils = |matchers: &[Matcher], labels| matchers.iter().all(|matcher| matcher.matches(labels));
        let value = |labels: &Labels, name| labels.get(name).cloned().unwrap_or_default();
        fulfils(&self.target, alert)
            && fulfils(&self.source, source)
            && !(fulfils(&self.source, alert) && fulfils(&self.target, source))
            && self.equal.iter().all(|name| value(alert, name) == value(source, name))
    }
}

fn rule(reader: &mut Reader, node: &Node, version: Version) -> Option<Inhibition> {
    // Nobody is told of what Alertmanager would warn about here: matchers of routes are where people look.
    let mut warnings = Vec::new();
    let mut side = |reader: &mut Reader, names| read::matchers(reader, node, names, version, &mut warnings);
    reader.is_map(node).then(|| Inhibition {
        at: reader.at().clone(),
        name: reader.field(node, "name", Reader::text).unwrap_or_default(),
        source: side(reader, ["source_match", "source_match_re", "source_matchers"]),
        target: side(reader, ["target_match", "target_match_re", "target_matchers"]),
        equal: reader.nullable(node, "equal", Reader::texts).unwrap_or_default(),
    })
}
