//! Names that one part of a configuration gives and another uses, and what only the whole shows.

use std::{borrow::Cow, collections::BTreeSet};

use super::{Check, Map, walk};
use crate::inject::{Node, Step, Steps};

/// How much of a name stands in a message.
const SHOWN: usize = 64;

/// Judges the names of a configuration and its root route.
pub(super) fn check(root: Option<&Map>, check: &mut Check<'_>) {
    let list = |name: &str| root.and_then(|root| root.get(name)).and_then(Node::as_list).unwrap_or_default();
    let receivers = unique(list("receivers"), "receivers", &mut BTreeSet::new(), check);
    let mut intervals =
        unique(list("mute_time_intervals"), "mute_time_intervals", &mut BTreeSet::new(), check);
    intervals = unique(list("time_intervals"), "time_intervals", &mut intervals, check);
    match root.and_then(|root| root.get("route")) {
        None | Some(Node::Null) => check.error("route", "there is no route"),
        Some(route) => {
            check.at = Steps::default().name("route");
            root_route(route, check);
            routes(route, &receivers, &intervals, check);
            check.at = Steps::default();
        }
    }
}

/// The names of a list, and a finding for each that is there twice.
fn unique<'a>(
    items: &'a [Node],
    list: &str,
    known: &mut BTreeSet<Cow<'a, str>>,
    check: &mut Check<'_>,
) -> BTreeSet<Cow<'a, str>> {
    let mut names = std::mem::take(known);
    for (index, item) in items.iter().enumerate() {
        let name = match item {
            Node::Map(map) => map.get("name").map_or(Some("".into()), walk::text),
            Node::Null => Some("".into()),
            _ => None,
        };
        let Some(name) = name else { continue };
        if names.contains(&name) {
            check.at =
                Steps(vec![Step::Name(list.to_owned()), Step::Item(index), Step::Name("name".to_owned())]);
            check.error("duplicate-name", format!("there is another {} before it", shown(&name)));
            check.at = Steps::default();
        }
        names.insert(name);
    }
    names
}

/// The root takes every alert.
fn root_route(route: &Node, check: &mut Check<'_>) {
    let Some(map) = route.as_map() else { return };
    if map.get("receiver").is_none_or(|receiver| walk::text(receiver).is_some_and(|text| text.is_empty())) {
        check.error("root-route", "the root route needs a receiver");
    }
    for name in ["match", "match_re", "matchers", "mute_time_intervals", "active_time_intervals"] {
        let is_empty = match map.get(name) {
            Some(Node::Map(map)) => map.is_empty(),
            Some(Node::List(items)) => !items.iter().any(|item| adds(name, item)),
            _ => true,
        };
        if !is_empty {
            check.error_at(name, "root-route", "the root route takes every alert at every time");
        }
    }
    if matches!(map.get("continue"), Some(Node::Bool(true))) {
        check.error_at("continue", "root-route", "nothing comes behind the root route");
    }
}

/// Whether an item counts: a text without a matcher in it adds none.
fn adds(name: &str, item: &Node) -> bool {
    let text = walk::text(item);
    name != "matchers" || text.is_none_or(|text| !matches!(text.trim(), "" | "{}"))
}

/// What routes refer to must be there.
fn routes(
    route: &Node,
    receivers: &BTreeSet<Cow<'_, str>>,
    intervals: &BTreeSet<Cow<'_, str>>,
    check: &mut Check<'_>,
) {
    let Some(map) = route.as_map() else { return };
    if let Some(receiver) = map.get("receiver").and_then(walk::text)
        && !receiver.is_empty()
        && !receivers.contains(&receiver)
    {
        check.error_at(
            "receiver",
            "undefined-receiver",
            format!("there is no receiver {}", shown(&receiver)),
        );
    }
    for name in ["mute_time_intervals", "active_time_intervals"] {
        for (index, interval) in map.get(name).and_then(Node::as_list).unwrap_or_default().iter().enumerate()
        {
            if let Some(interval) = walk::text(interval)
                && !intervals.contains(&interval)
            {
                let message = format!("there is no time interval {}", shown(&interval));
                check.at.0.extend([Step::Name(name.to_owned()), Step::Item(index)]);
                check.error("undefined-interval", message);
                check.at.0.truncate(check.at.0.len() - 2);
            }
        }
    }
    for (index, route) in map.get("routes").and_then(Node::as_list).unwrap_or_default().iter().enumerate() {
        check.at.0.extend([Step::Name("routes".to_owned()), Step::Item(index)]);
        routes(route, receivers, intervals, check);
        check.at.0.truncate(check.at.0.len() - 2);
    }
}

/// A name as it stands in a message: quoted, and not too long.
fn shown(name: &str) -> String {
    let end = name.char_indices().nth(SHOWN).map_or(name.len(), |(index, _)| index);
    let dots = if end < name.len() { "…" } else { "" };
    format!("{:?}{dots}", &name[..end])
}
