//! Whatever a team writes, it gets no alert of others, and nobody loses one.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{super::*, hook, node, spec, target};
use crate::alertmanager::{
    Version,
    matcher::Labels,
    render,
    route::{Route, Tree},
};

/// Labels that platforms and teams both use.
const NAMES: [&str; 5] = ["namespace", "severity", "a b", "na\"me", "team"];
/// And their values: namespaces, names that look like more than they are, nothing.
const VALUES: [&str; 8] = ["shop", "shop2", "web", "", "critical", "shop|web", "\"", "shop\",team=\""];

/// What a team might write to get at others' alerts.
fn condition() -> impl Strategy<Value = (&'static str, Value)> {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let name = prop::sample::select(&NAMES[..]);
    let value = prop::sample::select(&VALUES[..]);
    let operator = prop::sample::select(&["=", "!=", "=~", "!~"][..]);
    let matcher = (name.clone(), operator, value.clone()).prop_map(move |(name, operator, value)| {
        json!([format!("{}{operator}{}", quoted(name), quoted(value))])
    });
    let tricks = prop::sample::select(
        &[
            "namespace=~\".*\"",
            "namespace!=\"shop\"",
            "namespace=\"web\"",
            "{}",
            "",
            "{namespace=web}",
            "namespace=",
            "namespace=~\"shop|web\"",
            "namespace!~\"shop\"",
            "\"namespace\"=~\".+|\"",
            "namespace=web,",
            "namespace=~\"a)|(.*\"",
        ][..],
    );
    let classic = prop::sample::select(&["namespace", "severity", "team"][..]);
    let expression =
        prop::sample::select(&[".*", "web", "a)|(.*", "(?i)SHOP2?", "", "shop|web|", "^", "(?s).*$"][..]);
    prop_oneof![
        3 => matcher.prop_map(|value| ("matchers", value)),
        3 => prop::collection::vec(tricks, 0..3).prop_map(|lines| ("matchers", json!(lines))),
        2 => (classic.clone(), value).prop_map(|(name, value)| ("match", json!({name: value}))),
        2 => (classic, expression).prop_map(|(name, value)| ("match_re", json!({name: value}))),
        1 => any::<bool>().prop_map(|continues| ("continue", json!(continues))),
        1 => Just(("group_by", json!(["..."]))),
    ]
}

fn route() -> impl Strategy<Value = Value> {
    let flat = prop::collection::vec(condition(), 0..4).prop_map(|fields| {
        let mut route = json!({});
        for (name, value) in fields {
            route[name] = value;
        }
        route
    });
    flat.prop_recursive(3, 8, 3, |below| {
        (prop::collection::vec(condition(), 0..3), prop::collection::vec(below, 0..3)).prop_map(
            |(fields, below)| {
                let mut route = json!({"routes": below});
                for (name, value) in fields {
                    route[name] = value;
                }
                route
            },
        )
    })
}

fn labels() -> impl Strategy<Value = Labels> {
    let pair = (prop::sample::select(&NAMES[..]), prop::sample::select(&VALUES[..]));
    prop::collection::btree_map(
        pair.clone().prop_map(|(name, _)| name.to_owned()),
        pair.prop_map(|(_, value)| value.to_owned()),
        0..5,
    )
}

/// A platform's tree: three receivers, any conditions.
fn platform() -> impl Strategy<Value = Value> {
    prop::collection::vec((route(), prop::sample::select(&["ops", "db", "null"][..])), 0..4).prop_map(
        |routes| {
            let routes: Vec<Value> = routes
                .into_iter()
                .map(|(mut route, receiver)| {
                    route["receiver"] = json!(receiver);
                    route
                })
                .collect();
            json!({
                "route": {"receiver": "ops", "routes": routes},
                "receivers": [{"name": "ops"}, {"name": "db"}, {"name": "null"}],
            })
        },
    )
}

fn read(document: &Node) -> Tree {
    match Tree::read(&render::with_dummies(document), Version::NEWEST) {
        Ok(tree) => tree,
        Err(faults) => panic!("{faults:?}"),
    }
}

fn receivers<'a>(routes: &[&'a Route]) -> Vec<&'a str> {
    routes.iter().map(|route| route.receiver.as_str()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// K19. Guard: the route above a team's routes (`Surroundings::route`) and the platform's own route beside it (`put`).
    #[test]
    fn a_team_gets_alerts_of_its_namespace_alone_and_takes_none_away(
        platform in platform(),
        shop in prop::collection::vec(route(), 0..4),
        web in prop::collection::vec(route(), 0..3),
        label in prop::sample::select(&["namespace", "a b", "na\"me"][..]),
        alerts in prop::collection::vec(labels(), 1..20),
    ) {
        let before = read(&node(&platform));
        let (shop, web) = (spec(hook(), json!(shop)), spec(hook(), json!(web)));
        let teams = [
            Team { namespace: "web", name: "chat", spec: &web, label },
            Team { namespace: "shop", name: "on-call", spec: &shop, label },
        ];
        let mut document = node(&platform);
        let faults = include(&mut document, &teams, &target());
        prop_assert!(faults.is_empty(), "{:?}", faults);
        let after = read(&document);
        for alert in &alerts {
            let routes = after.receivers(alert);
            let seen = receivers(&routes);
            for team in &teams {
                let is_its = alert.get(label).is_some_and(|namespace| namespace == team.namespace);
                let gets = seen.contains(&team.receiver().as_str());
                prop_assert!(is_its || !gets, "{} of {alert:?}", team.receiver());
                prop_assert!(!(is_its && team.spec.routes.is_empty()) || gets, "it gets what is its");
            }
            let others: Vec<&str> = seen
                .iter()
                .copied()
                .filter(|name| !name.contains('/'))
                .collect();
            prop_assert_eq!(others, receivers(&before.receivers(alert)), "nobody else gets more or less");
        }
    }

    /// Among its own routes a team has what it would have of a tree of its own. Guard: `NOBODY`.
    #[test]
    fn among_its_own_routes_the_first_counts_as_everywhere(
        routes in prop::collection::vec(route(), 1..4),
        alerts in prop::collection::vec(labels(), 1..20),
    ) {
        let mut own = routes.clone();
        for route in &mut own {
            route["receiver"] = json!("own");
        }
        let own = json!({"route": {"receiver": "root", "routes": own}, "receivers": []});
        let own = read(&node(&own));
        let spec = spec(hook(), json!(routes));
        let platform = json!({"route": {"receiver": "ops"}, "receivers": [{"name": "ops"}]});
        let mut document = node(&platform);
        let faults = include(&mut document, &[super::team("shop", "on-call", &spec)], &target());
        prop_assert!(faults.is_empty(), "{:?}", faults);
        let after = read(&document);
        for mut alert in alerts {
            alert.insert("namespace".to_owned(), "shop".to_owned());
            let expected = receivers(&own.receivers(&alert)).iter().filter(|name| **name == "own").count();
            let gets = receivers(&after.receivers(&alert)).iter().filter(|name| **name == "shop/on-call").count();
            prop_assert_eq!(gets, expected, "{:?}", alert);
        }
    }
}
