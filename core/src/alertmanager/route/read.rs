//! The tree out of a native document.

use std::time::Duration;

use super::{Fault, FaultKind, GroupBy, Reader, Route, Tree};
use crate::{
    alertmanager::{
        Version, duration,
        matcher::{Labels, Matcher, MatcherError, Operator, Pattern, Syntax, Warning, parse},
    },
    inject::{Node, Steps},
};

/// How matchers are read by default.
pub(super) fn syntax(version: Version) -> Syntax {
    if version.minor() < 27 { Syntax::Classic } else { Syntax::Fallback }
}

pub(super) fn tree(config: &Node, version: Version) -> Result<Tree, Vec<Fault>> {
    let mut reader = Reader::new(&["route"]);
    let mut warnings = Vec::new();
    let Some(node) = config.get("route").filter(|node| !matches!(node, Node::Null)) else {
        reader.fault(FaultKind::Missing);
        return reader.finish(()).map(|()| unreachable!("there is a fault"));
    };
    let mut above = Route {
        at: Steps::default(),
        receiver: String::new(),
        matchers: Vec::new(),
        continues: false,
        group_by: GroupBy::default(),
        group_wait: Duration::from_secs(30),
        group_interval: Duration::from_mins(5),
        repeat_interval: Duration::from_hours(4),
        mute_time_intervals: Vec::new(),
        active_time_intervals: Vec::new(),
        labels: Labels::new(),
        routes: Vec::new(),
    };
    if let Some(root) = route(&mut reader, node, &above, version, &mut warnings) {
        check_root(&mut reader, &root, node);
        above = root;
    }
    reader.finish(Tree { root: above, warnings })
}

fn check_root(reader: &mut Reader, root: &Route, node: &Node) {
    for (name, is_there) in [
        ("matchers", !root.matchers.is_empty()),
        ("continue", root.continues),
        ("mute_time_intervals", !root.mute_time_intervals.is_empty()),
        ("active_time_intervals", !root.active_time_intervals.is_empty()),
    ] {
        if is_there {
            // Conditions may be written in three ways.
            let name = if node.get(name).is_some() { name } else { "match" };
            reader.field(node, name, |reader, _| -> Option<()> {
                reader.fault(FaultKind::Root);
                None
            });
        }
    }
    let has_receiver = !root.receiver.is_empty();
    if !has_receiver && node.get("receiver").is_none() {
        reader.fault(FaultKind::Missing);
    }
}

fn route(
    reader: &mut Reader,
    node: &Node,
    above: &Route,
    version: Version,
    warnings: &mut Vec<(Steps, Warning)>,
) -> Option<Route> {
    if !reader.is_map(node) {
        return None;
    }
    let receiver = reader.field(node, "receiver", Reader::text).filter(|name| !name.is_empty());
    let intervals =
        |reader: &mut Reader, name| reader.nullable(node, name, Reader::texts).unwrap_or_default();
    let mut time = |name, above| reader.nullable(node, name, read_duration).unwrap_or(above);
    let mut route = Route {
        group_wait: time("group_wait", above.group_wait),
        group_interval: time("group_interval", above.group_interval),
        repeat_interval: time("repeat_interval", above.repeat_interval),
        at: reader.at().clone(),
        receiver: receiver.unwrap_or_else(|| above.receiver.clone()),
        matchers: matchers(reader, node, ["match", "match_re", "matchers"], version, warnings),
        continues: reader.nullable(node, "continue", Reader::bool).unwrap_or_default(),
        group_by: group_by(reader, node, &above.group_by, version),
        mute_time_intervals: intervals(reader, "mute_time_intervals"),
        active_time_intervals: intervals(reader, "active_time_intervals"),
        labels: above.labels.clone(),
        routes: Vec::new(),
    };
    let labels = reader.nullable(node, "labels", |reader, node| {
        Some(reader.map(node, |reader, name, value| Some((name.to_owned(), reader.text(value)?))))
    });
    route.labels.extend(labels.unwrap_or_default());
    let routes = reader.nullable(node, "routes", |reader, node| {
        reader.list(node, |reader, node| self::route(reader, node, &route, version, warnings))
    });
    route.routes = routes.unwrap_or_default();
    Some(route)
}

fn read_duration(reader: &mut Reader, node: &Node) -> Option<Duration> {
    let text = reader.text(node)?;
    let duration = duration::parse(&text);
    if duration.is_none() {
        reader.fault(FaultKind::Duration);
    }
    duration
}

/// A list replaces that of the route above; an empty one does so since 0.31. `...` takes effect beside the list above.
fn group_by(reader: &mut Reader, node: &Node, above: &GroupBy, version: Version) -> GroupBy {
    let Some(names) = reader.nullable(node, "group_by", Reader::texts) else { return above.clone() };
    let is_empty = names.is_empty();
    let has_all = names.iter().any(|name| name == "...");
    let labels: std::collections::BTreeSet<_> = names.into_iter().filter(|name| name != "...").collect();
    if !labels.is_empty() || (is_empty && version.minor() >= 31) {
        return GroupBy { all: false, labels };
    }
    GroupBy { all: above.all || has_all, labels: above.labels.clone() }
}

/// The conditions of a route or of one side of an inhibition, in their three spellings, sorted.
pub(super) fn matchers(
    reader: &mut Reader,
    node: &Node,
    [equal, regexp, list]: [&str; 3],
    version: Version,
    warnings: &mut Vec<(Steps, Warning)>,
) -> Vec<Matcher> {
    let mut all = Vec::new();
    let mut old = |reader: &mut Reader, name, operator: Operator| {
        let found = reader.nullable(node, name, |reader, node| {
            Some(reader.map(node, |reader, label, value| {
                let value = reader.text(value)?;
                made(reader, by_label(label, operator, value))
            }))
        });
        all.extend(found.unwrap_or_default());
    };
    old(reader, equal, Operator::Equal);
    old(reader, regexp, Operator::Matches);
    let lines = reader.nullable(node, list, |reader, node| {
        reader.list(node, |reader, line| {
            let text = reader.text(line)?;
            let reading = made(reader, parse(&text, syntax(version)))?;
            warnings.extend(reading.warning.map(|warning| (reader.at().clone(), warning)));
            Some(reading.matchers)
        })
    });
    all.extend(lines.into_iter().flatten().flatten());
    all.sort();
    all
}

/// Alertmanager anchors these expressions twice, which matters to one such as `a)|(b`.
fn by_label(label: &str, operator: Operator, value: String) -> Result<Matcher, MatcherError> {
    if !operator.is_regex() {
        return Ok(Matcher::new(label, operator, value)?);
    }
    Pattern::read(&value)?;
    Ok(Matcher::new(label, operator, format!("^(?:{value})$"))?)
}

fn made<T>(reader: &mut Reader, made: Result<T, MatcherError>) -> Option<T> {
    made.map_err(|error| reader.fault(error)).ok()
}
