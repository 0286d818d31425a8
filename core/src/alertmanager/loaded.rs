//! How it is seen, without reading a secret, that an Alertmanager has loaded a configuration.

use std::collections::BTreeMap;

use md5::{Digest, Md5};

use super::{
    Version,
    route::{Route, Tree},
    schema, validate,
};
use crate::inject::{Node, Step, Steps};

/// What `alertmanager_config_hash` is for these bytes: the first 48 bits of their MD5, which a float holds exactly.
#[must_use]
pub fn config_hash(config: &[u8]) -> f64 {
    let digest = Md5::digest(config);
    let bits = digest.iter().take(6).rev().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    // 48 bits of 53.
    #[expect(clippy::cast_precision_loss, reason = "a float holds 48 bits")]
    let hash = bits as f64;
    hash
}

/// Whether a configuration that prometheus-operator made has everything of the published one: its receivers with the same
/// texts, and its routes in the same order. The operator writes it anew, with what it adds from other resources.
#[must_use]
pub fn holds(published: &Node, generated: &Node, version: Version) -> bool {
    holds_receivers(published, generated) && holds_routes(published, generated, version)
}

fn holds_receivers(published: &Node, generated: &Node) -> bool {
    let there = by_name(generated);
    let is_held = |(name, (at, _)): (&str, &(Steps, &Node))| {
        let Some((other_at, _)) = there.get(name) else { return false };
        let mut same = true;
        let receiver = published.at(at);
        validate::texts(published, &mut |place, text| {
            let Some(rest) = place.0.strip_prefix(at.0.as_slice()) else { return };
            let other = Steps(other_at.0.iter().chain(rest).cloned().collect());
            let is_credential =
                schema::expected(place).is_some_and(|expected| expected.holds_credential(text));
            same &= match generated.at(&other).and_then(Node::text) {
                Some(there) => there == text || !is_credential,
                // What is written in another way, such as a duration, tells nothing.
                None => !is_credential,
            };
        });
        same && receiver.is_some()
    };
    by_name(published).iter().all(|(name, found)| is_held((name, found)))
}

/// The receivers by name, with their places.
fn by_name(config: &Node) -> BTreeMap<&str, (Steps, &Node)> {
    let receivers = Steps(vec![Step::Name("receivers".to_owned())]);
    let list = config.get("receivers").and_then(Node::as_list).unwrap_or_default();
    let named = list.iter().enumerate().filter_map(|(index, receiver)| {
        let name = receiver.get("name").and_then(Node::text)?;
        Some((name, (receivers.item(index), receiver)))
    });
    named.collect()
}

fn holds_routes(published: &Node, generated: &Node, version: Version) -> bool {
    let (Ok(ours), Ok(theirs)) = (Tree::read(published, version), Tree::read(generated, version)) else {
        return false;
    };
    let (ours, theirs) = (ours.root(), theirs.root());
    // Others' routes may stand between ours, whose order stays.
    let mut rest = theirs.routes.iter();
    ours.receiver == theirs.receiver && ours.routes.iter().all(|own| rest.any(|other| is_same(own, other)))
}

fn is_same(one: &Route, other: &Route) -> bool {
    let texts = |route: &Route| route.matchers.iter().map(ToString::to_string).collect::<Vec<_>>();
    one.receiver == other.receiver
        && one.continues == other.continues
        && texts(one) == texts(other)
        && one.routes.len() == other.routes.len()
        && one.routes.iter().zip(&other.routes).all(|(one, other)| is_same(one, other))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn config(key: &str, team: &str) -> Value {
        json!({
            "route": {"receiver": "all", "routes": [{"receiver": "db", "matchers": [format!("team=\"{team}\"")]}]},
            "receivers": [{"name": "all"}, {"name": "db", "pagerduty_configs": [{"routing_key": key}]}],
        })
    }

    fn holds_values(published: &Value, generated: &Value) -> bool {
        let read = |value| Node::read(value).unwrap_or_else(|error| panic!("{error}"));
        holds(&read(published), &read(generated), Version::NEWEST)
    }

    #[test]
    fn the_hash_is_the_one_of_alertmanager() {
        // The MD5 of nothing begins with d4 1d 8c d9 8f 00, of which the first byte is the lowest.
        assert_eq!(config_hash(b"").to_bits(), 617_830_161_876_f64.to_bits());
    }

    #[test]
    fn what_prometheus_operator_adds_is_no_difference_and_what_it_lacks_is_one() {
        let ours = config("key", "db");
        let mut merged = ours.clone();
        merged["receivers"].as_array_mut().unwrap().insert(0, json!({"name": "team/x"}));
        merged["route"]["routes"]
            .as_array_mut()
            .unwrap()
            .insert(0, json!({"receiver": "team/x", "matchers": ["namespace=\"team\""], "continue": true}));
        assert!(holds_values(&ours, &merged));
        assert!(!holds_values(&ours, &config("old key", "db")), "the credential before");
        assert!(!holds_values(&ours, &config("key", "web")), "the route before");
        let mut fewer = ours.clone();
        fewer["receivers"].as_array_mut().unwrap().pop();
        assert!(!holds_values(&ours, &fewer));
    }
}
