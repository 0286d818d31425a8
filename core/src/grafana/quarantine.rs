//! Leaving out what is broken, so that the rest is published.
//!
//! What is left out of a file stays in Grafana as it was before: its last good value is there. A receiver that was never
//! published has none, and a contact point without receivers cannot be written at all; policies refer to it by its name. So
//! it takes the settings of the fallback's receivers, under uids of its own. The fallback is the contact point of that name,
//! or else the one that the root of the organisation's policies names.

use std::collections::BTreeSet;

use crate::inject::Node;

use super::{CONTACT_POINTS, DATASOURCES, POLICIES, list, org_of, text_of, validate::Part};

/// What became of a broken part.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quarantined {
    /// This data source is left out.
    Datasource(usize),
    /// This receiver of this contact point is left out; others remain.
    Receiver(usize, usize),
    /// This contact point has lost all of its receivers, and has those of the fallback.
    Fallback(usize),
}

/// Why a document cannot be published without its broken parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A policy is broken, or the document as a whole.
    #[error("what is broken cannot be left out")]
    Document,
    /// A contact point has no receiver left.
    #[error(
        "contactPoints[{0}] has no receiver that works, and there is no fallback contact point that does"
    )]
    NoFallback(usize),
}

/// Takes broken parts out of a document. `fallback` is the name of a contact point of it.
///
/// # Errors
/// There is something that cannot be left out. The document may then have lost some of its parts.
pub fn quarantine(
    document: &mut Node,
    broken: &BTreeSet<Part>,
    fallback: Option<&str>,
) -> Result<Vec<Quarantined>, Broken> {
    if broken.iter().any(|part| matches!(part, Part::Document | Part::Policy(_))) {
        return Err(Broken::Document);
    }
    let mut done = Vec::new();
    let is_broken = |index: usize, receiver: usize| {
        broken.contains(&Part::ContactPoint(index)) || broken.contains(&Part::Receiver(index, receiver))
    };
    let points: Vec<Node> = list(document, CONTACT_POINTS).to_vec();
    let mut kept = Vec::with_capacity(points.len());
    for (index, point) in points.iter().enumerate() {
        let receivers = receivers(point);
        let left: Vec<Node> = receivers
            .iter()
            .enumerate()
            .filter(|(number, _)| !is_broken(index, *number))
            .map(|(_, receiver)| receiver.clone())
            .collect();
        if left.len() == receivers.len() && !broken.contains(&Part::ContactPoint(index)) {
            kept.push(point.clone());
            continue;
        }
        if left.is_empty() {
            let org = org_of(point);
            let root = || list(document, POLICIES).iter().find(|tree| org_of(tree) == org);
            let fallback = fallback.or_else(|| text_of(root()?, "receiver"));
            let works = |other: &usize| {
                let point = &points[*other];
                text_of(point, "name") == fallback && org_of(point) == org
            };
            let other = fallback.and_then(|_| (0..points.len()).find(works));
            let sound = |other: usize| {
                receivers_of(&points, other).filter(move |(number, _)| !is_broken(other, *number))
            };
            let borrowed = other.map(|other| borrow(receivers, sound(other).map(|(_, it)| it)));
            let borrowed = borrowed.filter(|list| !list.is_empty()).ok_or(Broken::NoFallback(index))?;
            done.push(Quarantined::Fallback(index));
            kept.push(with(point, borrowed));
            continue;
        }
        let numbers = (0..receivers.len()).filter(|number| is_broken(index, *number));
        done.extend(numbers.map(|number| Quarantined::Receiver(index, number)));
        kept.push(with(point, left));
    }
    let sources = list(document, DATASOURCES).iter().enumerate();
    let (out, sources): (Vec<_>, Vec<_>) =
        sources.partition(|(index, _)| broken.contains(&Part::Datasource(*index)));
    done.extend(out.iter().map(|(index, _)| Quarantined::Datasource(*index)));
    let sources = sources.into_iter().map(|(_, source)| source.clone()).collect();
    replace(document, DATASOURCES, sources);
    replace(document, CONTACT_POINTS, kept);
    Ok(done)
}

fn receivers(point: &Node) -> &[Node] {
    point.get("receivers").and_then(Node::as_list).unwrap_or_default()
}

fn receivers_of(points: &[Node], index: usize) -> impl Iterator<Item = (usize, &Node)> {
    receivers(&points[index]).iter().enumerate()
}

/// The settings of others under one's own uids: a uid names one receiver of an organisation, and Grafana keeps what has
/// none.
fn borrow<'a>(own: &[Node], others: impl Iterator<Item = &'a Node>) -> Vec<Node> {
    let uids = own.iter().filter_map(|receiver| text_of(receiver, "uid"));
    uids.zip(others)
        .filter_map(|(uid, other)| {
            let mut map = other.as_map()?.clone();
            map.insert("uid".to_owned(), Node::Text(uid.to_owned()));
            Some(Node::Map(map))
        })
        .collect()
}

fn with(point: &Node, receivers: Vec<Node>) -> Node {
    let mut map = point.as_map().cloned().unwrap_or_default();
    map.insert("receivers".to_owned(), Node::List(receivers));
    Node::Map(map)
}

fn replace(document: &mut Node, name: &str, items: Vec<Node>) {
    if let Node::Map(map) = document
        && map.contains_key(name)
    {
        map.insert(name.to_owned(), Node::List(items));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::grafana::json::to_json;

    fn point(name: &str, uids: &[&str]) -> Value {
        let receiver = |uid: &&str| json!({"uid": uid, "type": "email", "settings": {"addresses": format!("{uid}@{name}")}});
        json!({"name": name, "receivers": uids.iter().map(receiver).collect::<Vec<_>>()})
    }

    fn run(
        document: &Value,
        broken: &[Part],
        fallback: Option<&str>,
    ) -> Result<(Value, Vec<Quarantined>), Broken> {
        let mut node = Node::read(document).unwrap_or_else(|error| panic!("{error}"));
        let done = quarantine(&mut node, &broken.iter().copied().collect(), fallback)?;
        Ok((serde_json::from_slice(&to_json(&node)).unwrap(), done))
    }

    #[test]
    fn only_what_is_broken_is_left_out() {
        let document = json!({
            "datasources": [{"name": "a"}, {"name": "b"}],
            "contactPoints": [point("x", &["x0", "x1"]), point("y", &["y0"])],
            "policies": [{"receiver": "x"}],
        });
        let (left, done) = run(&document, &[Part::Receiver(0, 0), Part::Datasource(1)], None).unwrap();
        assert_eq!(done, [Quarantined::Receiver(0, 0), Quarantined::Datasource(1)]);
        assert_eq!(
            left,
            json!({
                "datasources": [{"name": "a"}],
                "contactPoints": [point("x", &["x1"]), point("y", &["y0"])],
                "policies": [{"receiver": "x"}],
            })
        );
    }

    #[test]
    fn a_contact_point_without_receivers_takes_those_of_the_fallback_under_its_own_uids() {
        let document = json!({"contactPoints": [point("x", &["x0"]), point("ops", &["o0", "o1"])]});
        let (left, done) = run(&document, &[Part::Receiver(0, 0)], Some("ops")).unwrap();
        assert_eq!(done, [Quarantined::Fallback(0)]);
        let mut expected = point("ops", &["o0"])["receivers"].clone();
        expected[0]["uid"] = json!("x0");
        assert_eq!(left["contactPoints"][0], json!({"name": "x", "receivers": expected}));
    }

    #[test]
    fn the_receiver_of_the_root_is_the_fallback_where_none_is_named() {
        let tree = json!({"receiver": "ops"});
        let points = json!([point("x", &["x0"]), point("ops", &["o0"])]);
        let document = json!({"contactPoints": points, "policies": [tree]});
        assert_eq!(run(&document, &[Part::Receiver(0, 0)], None).unwrap().1, [Quarantined::Fallback(0)]);
        let itself = [Part::Receiver(1, 0)];
        assert_eq!(run(&document, &itself, None).unwrap_err(), Broken::NoFallback(1));
    }

    #[test]
    fn without_a_fallback_that_works_nothing_is_published() {
        let document = json!({"contactPoints": [point("x", &["x0"]), point("ops", &["o0"])]});
        let broken = [Part::Receiver(0, 0)];
        assert_eq!(run(&document, &broken, None).unwrap_err(), Broken::NoFallback(0));
        assert_eq!(run(&document, &broken, Some("other")).unwrap_err(), Broken::NoFallback(0));
        let both = [Part::Receiver(0, 0), Part::Receiver(1, 0)];
        assert_eq!(run(&document, &both, Some("ops")).unwrap_err(), Broken::NoFallback(0));
        for part in [Part::Document, Part::Policy(0)] {
            assert_eq!(run(&document, &[part], Some("ops")).unwrap_err(), Broken::Document);
        }
    }

    /// Guard: the inventory is taken before.
    #[test]
    fn what_is_left_out_is_not_deleted() {
        use crate::grafana::{Inventory, tombstones};
        let document = json!({"datasources": [{"name": "a"}], "contactPoints": [point("x", &["x0", "x1"])]});
        let node = Node::read(&document).unwrap();
        let before = Inventory::of(&node);
        let now = Inventory::of(&node);
        let (left, _) = run(&document, &[Part::Receiver(0, 0), Part::Datasource(0)], None).unwrap();
        assert_ne!(Inventory::of(&Node::read(&left).unwrap()), now);
        assert!(tombstones(&before, &now, &Inventory::default()).0.is_empty());
    }
}
