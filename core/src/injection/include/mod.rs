//! AlertReceivers of teams, in the document of somebody else's injection.
//!
//! What comes of it, for a document with the routes `a` and `b` and the receivers `shop/on-call` and `web/chat`, the first
//! of which has routes of its own:
//!
//! ```yaml
//! route:
//!   receiver: ops
//!   routes:
//!   - {continue: true, routes: [a, b]}
//!   - {matchers: ['namespace="shop"'], continue: true, receiver: waxwing.dev/nobody, routes: [{receiver: shop/on-call, …}]}
//!   - {matchers: ['namespace="web"'], continue: true, receiver: web/chat}
//! ```
//!
//! # Guarantees
//! - Whoever got an alert before gets it still: the first route takes every alert, and does with it what the tree did
//!   before. Without it, an alert that a team's route takes would never come to the root's receiver, and a team could hide
//!   its alerts from everybody. It is there without any team, too, because the place of a route is part of what
//!   Alertmanager knows a group of alerts by: else the first team would have every alert told anew.
//! - A team's receiver gets only alerts whose label names its namespace: its routes stand below one that asks for that.
//! - Among the routes of one team the first that matches counts, as everywhere, unless it continues. An alert that none of
//!   them takes goes to nobody.
//! - What is wrong with one team's AlertReceiver leaves it out, and nothing else.

mod fragment;
#[cfg(test)]
mod tests;
mod trust;

use std::collections::{BTreeMap, BTreeSet};

use waxwing_crds::{AlertReceiverSpec, Include, LabelSelector, Reason};

use super::{Fault, alertmanager::Target};
use crate::{alertmanager::render, external::Selector, inject::Node};

/// The label of alerts that names the namespace, where an injection does not say.
const LABEL: &str = "namespace";
/// The label of namespaces that the API server sets to their names.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// The receiver without integrations for alerts that none of a team's routes takes. No namespace has a dot in its name.
const NOBODY: &str = "waxwing.dev/nobody";
/// Bytes that all AlertReceivers of one namespace may have in a configuration: it has to fit into a Secret of 1 MiB with
/// those of everybody else.
const MAX_BYTES: usize = 64 * 1024;

/// An AlertReceiver that an injection takes in.
#[derive(Clone, Copy, Debug)]
pub struct Team<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What it says.
    pub spec: &'a AlertReceiverSpec,
    /// The label of alerts that names the namespace: see [`label`].
    pub label: &'a str,
}

impl Team<'_> {
    /// What its receiver is called in the configuration.
    #[must_use]
    pub fn receiver(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// Puts receivers and routes of teams into a document. Gives those that were left out, by their place in `teams`, and why.
///
/// For every injection that has `include`, with or without teams. The order of `teams` has no influence. A document that has
/// no route or no receivers stays as it is: it is not valid anyway.
pub fn include(document: &mut Node, teams: &[Team<'_>], target: &Target) -> Vec<(usize, Fault)> {
    let mut order: Vec<usize> = (0..teams.len()).collect();
    order.sort_by_key(|index| (teams[*index].namespace, teams[*index].name));
    let mut surroundings = Surroundings::of(document, target);
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut parts, mut faults) = (Vec::new(), Vec::new());
    for index in order {
        let team = &teams[index];
        let left = left.entry(team.namespace).or_insert(MAX_BYTES);
        match surroundings.part(team, *left) {
            Ok(part) => {
                *left -= part.bytes;
                surroundings.receivers.insert(team.receiver());
                parts.push(part);
            }
            Err(message) => faults.push((index, Fault { reason: Reason::ReceiverRefused, message })),
        }
    }
    let nobody = surroundings.nobody;
    put(document, parts, nobody);
    faults.sort_by_key(|(index, _)| *index);
    faults
}

/// The part of a configuration that says where alerts go, as it was before [`include`]: what the platform's own tests are
/// about. None where no teams were put in.
pub(super) fn platform(config: &Node) -> Option<Node> {
    let Node::Map(root) = config else { return None };
    let route = root.get("route")?.as_map()?;
    let (first, teams) = route.get("routes")?.as_list()?.split_first()?;
    let first = first.as_map()?;
    let passes_all = first.keys().all(|name| name == "continue" || name == "routes");
    let continues = |route: &Node| matches!(route.get("continue"), Some(Node::Bool(true)));
    if !passes_all || !first.contains_key("continue") || !teams.iter().all(continues) {
        return None;
    }
    let mut own = route.clone();
    match first.get("routes") {
        Some(routes) => own.insert("routes".to_owned(), routes.clone()),
        None => own.remove("routes"),
    };
    let rest = root.iter().filter(|(name, _)| !matches!(name.as_str(), "receivers" | "route"));
    let mut root: BTreeMap<String, Node> = rest.map(|(name, node)| (name.clone(), node.clone())).collect();
    root.insert("route".to_owned(), Node::Map(own));
    Some(Node::Map(root))
}

/// Whether an injection asks for an AlertReceiver. Whether that wants it is another question: [`consents`].
#[must_use]
pub fn selects(
    include: &Include,
    injection_namespace: &str,
    receiver_namespace: &str,
    receiver_labels: &BTreeMap<String, String>,
    namespace_labels: &BTreeMap<String, String>,
) -> bool {
    // A selector that is none selects nothing.
    let matches = |selector: &LabelSelector, labels: &BTreeMap<String, String>| {
        Selector::read(selector).is_ok_and(|selector| selector.matches(labels))
    };
    let is_in_namespace = match &include.namespace_selector {
        None => receiver_namespace == injection_namespace,
        Some(selector) => {
            // Known also where the operator may not read namespaces, and by the API server's word no other.
            let mut labels = namespace_labels.clone();
            labels.insert(NAME_LABEL.to_owned(), receiver_namespace.to_owned());
            matches(selector, &labels)
        }
    };
    is_in_namespace
        && include.receiver_selector.as_ref().is_none_or(|selector| matches(selector, receiver_labels))
}

/// Whether an AlertReceiver may be taken in by an injection: only by the one that it names.
#[must_use]
pub fn consents(spec: &AlertReceiverSpec, injection_namespace: &str, injection_name: &str) -> bool {
    spec.injection.namespace == injection_namespace && spec.injection.name == injection_name
}

/// The label of alerts that names the namespace.
#[must_use]
pub fn label(include: &Include) -> &str {
    include.namespace_label.as_deref().unwrap_or(LABEL)
}

/// What a team's part is judged in.
struct Surroundings<'a> {
    target: &'a Target,
    /// `global` of the document, with stand-ins for references.
    global: Option<Node>,
    /// The time intervals of the document: their names alone.
    intervals: Node,
    /// The names of all receivers so far.
    receivers: BTreeSet<String>,
    /// The receiver without integrations.
    nobody: String,
}

impl<'a> Surroundings<'a> {
    fn of(document: &Node, target: &'a Target) -> Self {
        let names = |list: &str| -> Vec<String> {
            let items = document.get(list).and_then(Node::as_list).unwrap_or_default();
            items.iter().filter_map(|item| Some(item.get("name")?.text()?.to_owned())).collect()
        };
        let intervals: BTreeSet<String> =
            [names("mute_time_intervals"), names("time_intervals")].into_iter().flatten().collect();
        let named = |name| Node::Map([("name".to_owned(), Node::Text(name))].into());
        let receivers: BTreeSet<String> = names("receivers").into_iter().collect();
        let mut nobody = NOBODY.to_owned();
        while receivers.contains(&nobody) {
            nobody.push('-');
        }
        Self {
            target,
            global: render::with_dummies(document).get("global").cloned(),
            intervals: Node::List(intervals.into_iter().map(named).collect()),
            receivers,
            nobody,
        }
    }
}

/// What one team adds to a document.
struct Part {
    receiver: Node,
    route: Node,
    /// Whether its route leads to nobody where none of its own routes matches.
    needs_nobody: bool,
    /// Its size.
    bytes: usize,
}

fn put(document: &mut Node, parts: Vec<Part>, nobody: String) {
    let Node::Map(root) = document else { return };
    let is_whole = root.get("route").and_then(Node::as_map).is_some()
        && root.get("receivers").and_then(Node::as_list).is_some();
    if !is_whole {
        return;
    }
    let Some(Node::Map(mut route)) = root.remove("route") else { return };
    let mut first = BTreeMap::from([("continue".to_owned(), Node::Bool(true))]);
    if let Some(routes) = route.remove("routes") {
        first.insert("routes".to_owned(), routes);
    }
    let mut routes = vec![Node::Map(first)];
    if let Some(Node::List(receivers)) = root.get_mut("receivers") {
        if parts.iter().any(|part| part.needs_nobody) {
            receivers.push(Node::Map([("name".to_owned(), Node::Text(nobody))].into()));
        }
        for part in parts {
            receivers.push(part.receiver);
            routes.push(part.route);
        }
    }
    route.insert("routes".to_owned(), Node::List(routes));
    root.insert("route".to_owned(), Node::Map(route));
}
