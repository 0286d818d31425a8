//! One team's receiver and routes: what they must be, and what becomes of them.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use waxwing_crds::AlertmanagerTargetKind;

use super::{Part, Surroundings, Team, trust};
use crate::{
    alertmanager::{
        capability, duration,
        matcher::{Matcher, Operator},
        render,
        route::Tree,
        schema,
        validate::{self, Severity},
    },
    inject::{Node, Step, Steps, to_yaml},
    plan::is_object_name,
};

/// What is said of one AlertReceiver, at most.
const MAX_FINDINGS: usize = 5;
/// How often a group may be looked at, at most: each look is told to all replicas of Alertmanager.
const SHORTEST: Duration = Duration::from_secs(1);

impl Surroundings<'_> {
    /// What a team adds, if it is right and has room.
    pub(super) fn part(&self, team: &Team<'_>, left: usize) -> Result<Part, String> {
        let name = team.receiver();
        if !is_object_name(team.name) || !is_object_name(team.namespace) || team.namespace.contains('.') {
            return Err("its name or namespace is none that Kubernetes has".to_owned());
        }
        if self.receivers.contains(&name) {
            return Err(format!("the configuration has another receiver {name}"));
        }
        let receiver = receiver(team, &name)?;
        let routes = routes(team, &name)?;
        trust::check(&receiver, &routes, self.global.as_ref())?;
        let needs_nobody = !routes.is_empty();
        let part = Part { route: self.route(team, name, routes)?, receiver, needs_nobody, bytes: 0 };
        let bytes = self.judge(team, &part)?;
        if bytes > left {
            return Err(format!(
                "it has {bytes} bytes, and {left} are left of what all AlertReceivers of a namespace may have"
            ));
        }
        Ok(Part { bytes, ..part })
    }

    /// The route that only alerts of the namespace pass.
    fn route(&self, team: &Team<'_>, name: String, routes: Vec<Node>) -> Result<Node, String> {
        let matcher = Matcher::new(team.label, Operator::Equal, team.namespace)
            .map_err(|_| "the namespaceLabel of the injection makes no matcher".to_owned())?;
        let mut route = BTreeMap::from([
            ("continue".to_owned(), Node::Bool(true)),
            ("matchers".to_owned(), Node::List(vec![Node::Text(matcher.to_string())])),
        ]);
        let receiver = if routes.is_empty() { name } else { self.nobody.clone() };
        route.insert("receiver".to_owned(), Node::Text(receiver));
        if !routes.is_empty() {
            route.insert("routes".to_owned(), Node::List(routes));
        }
        Ok(Node::Map(route))
    }

    /// Whether Alertmanager and prometheus-operator would take it, were it alone. Gives its size.
    fn judge(&self, team: &Team<'_>, part: &Part) -> Result<usize, String> {
        let text = |text: &str| Node::Text(text.to_owned());
        let nobody = Node::Map([("name".to_owned(), text(&self.nobody))].into());
        let root = BTreeMap::from([
            ("receiver".to_owned(), text(&team.receiver())),
            ("routes".to_owned(), Node::List(vec![part.route.clone()])),
        ]);
        let mut alone = BTreeMap::from([
            ("receivers".to_owned(), Node::List(vec![part.receiver.clone(), nobody])),
            ("route".to_owned(), Node::Map(root)),
            ("time_intervals".to_owned(), self.intervals.clone()),
        ]);
        alone.extend(self.global.clone().map(|global| ("global".to_owned(), global)));
        let alone = render::with_dummies(&Node::Map(alone));
        let version = self.target.version;
        let mut findings = validate::check(&alone, version);
        if self.target.kind == AlertmanagerTargetKind::PrometheusOperator {
            findings.extend(capability::unsupported(&alone, self.target.operator, version));
        }
        let errors = findings.into_iter().filter(|finding| finding.severity == Severity::Error);
        let mut wrong: Vec<(Steps, String)> = errors.map(|finding| (finding.at, finding.message)).collect();
        match Tree::read(&alone, version) {
            Ok(tree) => {
                // Whatever syntax it was read in, it is the one condition that was meant.
                let read = tree.root().routes.first().map(|route| route.matchers.as_slice());
                let is_meant = matches!(read, Some([one]) if one.name() == team.label
                    && one.operator() == Operator::Equal && one.value() == team.namespace);
                if !is_meant {
                    return Err("the namespaceLabel of the injection makes no matcher".to_owned());
                }
            }
            // Mostly the same in other words.
            Err(faults) if wrong.is_empty() => {
                wrong.extend(faults.into_iter().map(|fault| (fault.at, fault.what.to_string())));
            }
            Err(_) => {}
        }
        let mut messages: Vec<String> = Vec::new();
        for (at, message) in wrong {
            // What is wrong with `global` is not theirs to mend.
            let Some(at) = place(&at) else { continue };
            let message = format!("{at}: {message}");
            if !messages.contains(&message) {
                messages.push(message);
            }
        }
        let more = messages.len().saturating_sub(MAX_FINDINGS);
        messages.truncate(MAX_FINDINGS);
        if more > 0 {
            messages.push(format!("and {more} more"));
        }
        if messages.is_empty() {
            Ok(size(&part.receiver) + size(&part.route))
        } else {
            Err(messages.join("; "))
        }
    }
}

/// The receiver with its name.
fn receiver(team: &Team<'_>, name: &str) -> Result<Node, String> {
    let Node::Map(mut receiver) = read(&team.spec.receiver.0, "receiver", team.namespace)? else {
        return Err("receiver: it has names and values".to_owned());
    };
    if receiver.contains_key("name") {
        return Err(format!("receiver.name: leave it out; it is {name}"));
    }
    let is_there = |list: &Node| list.as_list().is_some_and(|list| !list.is_empty());
    if !receiver.iter().any(|(name, list)| schema::is_integration(name) && is_there(list)) {
        return Err("receiver: it has no integrations, so nobody would be told".to_owned());
    }
    for (field, value) in receiver.iter().filter(|(field, _)| !schema::is_integration(field)) {
        let mut has_leaf = false;
        value.leaves(&mut |_, _| has_leaf = true);
        if has_leaf {
            return Err(format!("receiver.{field}: no reference can stand outside of an integration"));
        }
    }
    receiver.insert("name".to_owned(), Node::Text(name.to_owned()));
    Ok(Node::Map(receiver))
}

/// The routes, each to the team's receiver.
fn routes(team: &Team<'_>, name: &str) -> Result<Vec<Node>, String> {
    let mut routes = Vec::new();
    for (index, route) in team.spec.routes.iter().enumerate() {
        let at = Steps::default().name("routes").item(index);
        let route = read(&route.0, &at.to_string(), team.namespace)?;
        let mut leaf = None;
        route.leaves(&mut |inner, _| leaf = leaf.take().or_else(|| Some(joined(&at, inner))));
        if let Some(leaf) = leaf {
            return Err(format!("{leaf}: no reference can stand here: where alerts go is no secret"));
        }
        check_route(&route, &at, name)?;
        let Node::Map(mut route) = route else { return Err(format!("{at}: it has names and values")) };
        route.insert("receiver".to_owned(), Node::Text(name.to_owned()));
        routes.push(Node::Map(route));
    }
    Ok(routes)
}

/// That a route, and those below it, lead to the team's receiver, and not too often.
fn check_route(route: &Node, at: &Steps, name: &str) -> Result<(), String> {
    if route.get("receiver").is_some_and(|receiver| receiver.text() != Some(name)) {
        return Err(format!("{}: leave it out; it is {name}", at.name("receiver")));
    }
    for interval in ["group_interval", "repeat_interval"] {
        let given = route.get(interval).and_then(Node::text).and_then(duration::parse);
        if given.is_some_and(|given| given < SHORTEST) {
            return Err(format!("{}: it is less than a second", at.name(interval)));
        }
    }
    let below = route.get("routes").and_then(Node::as_list).unwrap_or_default();
    let places = (0..).map(|index| at.name("routes").item(index));
    below.iter().zip(places).try_for_each(|(route, at)| check_route(route, &at, name))
}

/// A part of an AlertReceiver, whose references mean its own namespace.
fn read(value: &Value, field: &str, namespace: &str) -> Result<Node, String> {
    fn own(node: &mut Node, namespace: &str) {
        match node {
            Node::Leaf(reference) => *reference = reference.clone().of(namespace),
            Node::List(items) => items.iter_mut().for_each(|item| own(item, namespace)),
            Node::Map(map) => map.values_mut().for_each(|value| own(value, namespace)),
            Node::Null | Node::Bool(_) | Node::Number(_) | Node::Text(_) | Node::Secret(_) => {}
        }
    }
    let mut node = Node::read(value).map_err(|error| format!("{field}: {error}"))?;
    own(&mut node, namespace);
    Ok(node)
}

/// A place in the document of one team, in the words of its AlertReceiver. None for what is not the team's.
fn place(at: &Steps) -> Option<String> {
    let is = |step: &Step, name: &str| matches!(step, Step::Name(own) if own == name);
    match at.0.as_slice() {
        [list, Step::Item(0), rest @ ..] if is(list, "receivers") => {
            Some(joined(&Steps::default().name("receiver"), &Steps(rest.to_vec())).to_string())
        }
        [route, list, Step::Item(0), rest @ ..] if is(route, "route") && is(list, "routes") => match rest {
            [routes, ..] if is(routes, "routes") => Some(Steps(rest.to_vec()).to_string()),
            _ => Some("namespaceLabel of the injection".to_owned()),
        },
        _ => None,
    }
}

fn joined(at: &Steps, rest: &Steps) -> Steps {
    Steps(at.0.iter().chain(&rest.0).cloned().collect())
}

fn size(node: &Node) -> usize {
    to_yaml(&render::with_dummies(node)).len()
}
