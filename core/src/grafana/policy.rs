//! Trees of notification policies.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    alertmanager::{
        duration,
        matcher::{self, Matcher, Operator, Syntax},
    },
    inject::{Node, Steps},
};

use super::{
    POLICIES,
    field::{Field, Kind},
    org_of, text_of,
    validate::{Findings, Rule, fields, written},
};

const ROUTE: &[Field] = &[
    Field::new("receiver", Kind::Text),
    Field::new("group_by", Kind::List),
    Field::new("match", Kind::Texts),
    Field::new("match_re", Kind::Texts),
    Field::new("matchers", Kind::List),
    Field::new("object_matchers", Kind::List),
    Field::new("mute_time_intervals", Kind::List),
    Field::new("active_time_intervals", Kind::List),
    Field::new("continue", Kind::Bool),
    Field::new("group_wait", Kind::Text),
    Field::new("group_interval", Kind::Text),
    Field::new("repeat_interval", Kind::Text),
    Field::new("routes", Kind::Entries),
];

/// What the root has besides.
const ORG: Field = Field::new("orgId", Kind::Number);

/// Only children may have these.
const CHILDREN_ONLY: &[&str] =
    &["match", "match_re", "matchers", "object_matchers", "mute_time_intervals", "active_time_intervals"];

/// Looks at every tree. `names` are the contact points that there are.
pub(super) fn trees(entries: &[Node], names: &BTreeSet<(i64, String)>, found: &mut Findings) {
    let mut orgs = BTreeSet::new();
    for (index, tree) in entries.iter().enumerate() {
        let at = Steps::default().name(POLICIES).item(index);
        let org = org_of(tree);
        if !orgs.insert(org) {
            found.add(at.clone(), Rule::Together("an organisation has one tree of policies"));
        }
        if text_of(tree, "receiver").is_none_or(str::is_empty) {
            found.add(at.clone(), Rule::Missing("receiver"));
        }
        for name in CHILDREN_ONLY.iter().filter(|name| tree.get(name).is_some_and(is_filled)) {
            found.add(at.name(name), Rule::Together("the root of a tree takes every alert"));
        }
        written(tree, &["orgId"], &at, found);
        route(tree, org, &at, names, true, found);
    }
}

fn is_filled(node: &Node) -> bool {
    match node {
        Node::Null => false,
        Node::List(items) => !items.is_empty(),
        Node::Map(map) => !map.is_empty(),
        _ => true,
    }
}

fn route(
    node: &Node,
    org: i64,
    at: &Steps,
    names: &BTreeSet<(i64, String)>,
    is_root: bool,
    found: &mut Findings,
) {
    let root: Vec<Field> = ROUTE.iter().copied().chain([ORG]).collect();
    if !fields(node, if is_root { &root } else { ROUTE }, at, found) {
        return;
    }
    written(node, &["receiver"], at, found);
    let receiver = text_of(node, "receiver").unwrap_or_default();
    if !receiver.is_empty() && !names.contains(&(org, receiver.to_owned())) {
        found.add(at.name("receiver"), Rule::Receiver);
    }
    group_by(node, at, found);
    for (name, may_be_zero) in [("group_wait", true), ("group_interval", false), ("repeat_interval", false)] {
        let Some(text) = text_of(node, name) else { continue };
        match duration::parse(text) {
            None => found.add(at.name(name), Rule::Kind("a duration such as 30s, 5m or 4h")),
            Some(Duration::ZERO) if !may_be_zero => found.add(at.name(name), Rule::Kind("more than no time")),
            Some(_) => {}
        }
    }
    for name in ["mute_time_intervals", "active_time_intervals", "matchers"] {
        for (index, item) in items(node, name).iter().enumerate() {
            if item.text().is_none() {
                found.add(at.name(name).item(index), Rule::Kind("a text"));
            }
        }
    }
    for (index, text) in items(node, "matchers").iter().enumerate() {
        if let Some(Err(error)) = text.text().map(|text| matcher::parse(text, Syntax::Fallback)) {
            found.add(at.name("matchers").item(index), Rule::Matcher(error));
        }
    }
    for (name, value) in node.get("match_re").and_then(Node::as_map).into_iter().flatten() {
        if let Some(text) = value.text() {
            pattern(Operator::Matches, text, at.name("match_re").name(name), found);
        }
    }
    for (index, matcher) in items(node, "object_matchers").iter().enumerate() {
        object_matcher(matcher, &at.name("object_matchers").item(index), found);
    }
    for (index, child) in items(node, "routes").iter().enumerate() {
        route(child, org, &at.name("routes").item(index), names, false, found);
    }
}

fn items<'a>(node: &'a Node, name: &str) -> &'a [Node] {
    node.get(name).and_then(Node::as_list).unwrap_or_default()
}

fn group_by(node: &Node, at: &Steps, found: &mut Findings) {
    let labels = items(node, "group_by");
    let mut seen = BTreeSet::new();
    for (index, label) in labels.iter().enumerate() {
        let at = at.name("group_by").item(index);
        match label.text() {
            None => found.add(at, Rule::Kind("a text")),
            Some("...") if labels.len() > 1 => found.add(at, Rule::Together("... stands alone")),
            Some(text) if !seen.insert(text) => found.add(at, Rule::Together("it is there twice")),
            Some(_) => {}
        }
    }
}

/// `[name, operator, value]`.
fn object_matcher(matcher: &Node, at: &Steps, found: &mut Findings) {
    let parts: Vec<_> = matcher.as_list().unwrap_or_default().iter().map(Node::text).collect();
    let &[Some(_), Some(operator), Some(value)] = parts.as_slice() else {
        return found.add(at.clone(), Rule::Kind("a name, an operator and a value, all texts"));
    };
    match OPERATORS.iter().find(|it| it.as_str() == operator) {
        Some(operator) => pattern(*operator, value, at.item(2), found),
        None => found.add(at.item(1), Rule::Kind("one of =, !=, =~, !~")),
    }
    if value.starts_with('"') || value.ends_with('"') {
        found.add(at.item(2), Rule::Quotes);
    }
}

const OPERATORS: &[Operator] =
    &[Operator::Equal, Operator::NotEqual, Operator::Matches, Operator::NotMatches];

fn pattern(operator: Operator, value: &str, at: Steps, found: &mut Findings) {
    if let Err(error) = Matcher::new("", operator, value) {
        found.add(at, Rule::Matcher(error.into()));
    }
}
