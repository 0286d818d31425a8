//! What a team's references give, or do not give, is nobody else's trouble.

use serde_json::{Value, json};
use waxwing_crds::OnUnresolved;

use super::{super::*, hook, node, spec, target, team, text};
use crate::{
    Secret,
    alertmanager::{
        Version,
        render::{Answer, Input, Refused, Rendered, State, render},
    },
    inject::Reference,
};

const OPS: &str = "https://ops.example.com/canary";

/// A platform whose root receiver tells nobody, as that of many charts, and two teams.
fn document(shop: &Value) -> Node {
    let mut document = node(&json!({
        "route": {"receiver": "null", "routes": [{"receiver": "ops", "matchers": ["severity=\"critical\""]}]},
        "receivers": [
            {"name": "null"},
            {"name": "ops", "webhook_configs": [{"url": {"$secret": {"name": "ops", "key": "url"}}}]},
        ],
    }));
    let (shop, web) = (spec(shop.clone(), json!([])), spec(hook(), json!([])));
    let faults = include(&mut document, &[team("shop", "a", &shop), team("web", "a", &web)], &target());
    assert!(faults.is_empty(), "{faults:?}");
    document
}

fn rendered(document: &Node, shop: Option<&str>, on_unresolved: OnUnresolved) -> Result<Rendered, Refused> {
    let of = |name: &str, key: &str| Reference::Secret { name: name.to_owned(), key: key.to_owned() };
    let value = |text: &str| Answer::Value(Secret::new(text.as_bytes().to_vec()));
    let missing = || Answer::Unresolved("there is no Secret/chat".to_owned());
    let answers = BTreeMap::from([
        (of("ops", "url"), value(OPS)),
        (of("chat", "url").of("web"), value("https://web.example.com/canary")),
        (of("chat", "url").of("shop"), shop.map_or_else(missing, value)),
    ]);
    render(&Input {
        document,
        version: Version::NEWEST,
        answers: &answers,
        last_good: &BTreeMap::new(),
        on_unresolved,
        fallback: None,
        refuses: |_| None,
    })
}

fn states(rendered: &Rendered) -> Vec<(&str, State)> {
    rendered.receivers.iter().map(|receiver| (receiver.name.as_str(), receiver.state)).collect()
}

const SHOP_IS_OUT: [(&str, State); 4] =
    [("null", State::Live), ("ops", State::Live), ("shop/a", State::Quarantined), ("web/a", State::Live)];

/// K20. Guard: `Filling::teams` in `render`: neither the policy `Block` nor the want of a fallback counts for a team's references.
#[test]
fn a_team_whose_secret_is_missing_stops_nobody() {
    for policy in [OnUnresolved::Block, OnUnresolved::KeepLastGood, OnUnresolved::Quarantine] {
        let rendered =
            rendered(&document(&hook()), None, policy).unwrap_or_else(|refused| panic!("{refused:?}"));
        assert_eq!(states(&rendered), SHOP_IS_OUT);
        let written = text(&rendered.config);
        assert!(written.contains(OPS) && written.contains("web.example.com"));
        // Its name is still there, for the route to it, and nobody else's credential is in it.
        assert_eq!(written.matches(OPS).count(), 1);
    }
}

/// K20. Guard: `Filling::leave_out`. A value can fit its field and still make its receiver one that Alertmanager refuses.
#[test]
fn a_team_whose_secret_makes_its_receiver_invalid_stops_nobody() {
    let reference = json!({"$secret": {"name": "chat", "key": "url"}});
    let email = |from: &Value| json!({"email_configs": [{"to": from, "from": "a@example.com", "smarthost": "mail.example.com:25"}]});
    let document = document(&email(&reference));
    let fine = rendered(&document, Some("shop@example.com"), OnUnresolved::KeepLastGood);
    assert!(fine.is_ok());
    let rendered = rendered(&document, Some(""), OnUnresolved::KeepLastGood)
        .unwrap_or_else(|refused| panic!("{refused:?}"));
    assert_eq!(states(&rendered), SHOP_IS_OUT);
    let problem = &rendered.receivers[2].problems[0];
    assert_eq!(problem.at.to_string(), "receivers[2].email_configs[0].to");
}

/// K20. Guard: `too_long` in `render`.
#[test]
fn a_team_whose_secret_is_too_long_stops_nobody() {
    let header = json!({"$secret": {"name": "chat", "key": "url"}});
    let receiver = json!({"webhook_configs": [{"url": "https://shop.example.com", "http_config": {"authorization": {"credentials": header}}}]});
    let document = document(&receiver);
    assert!(rendered(&document, Some(&"x".repeat(1000)), OnUnresolved::Block).is_ok());
    let rendered = rendered(&document, Some(&"x".repeat(200_000)), OnUnresolved::Block)
        .unwrap_or_else(|refused| panic!("{refused:?}"));
    assert_eq!(states(&rendered), SHOP_IS_OUT);
    assert!(text(&rendered.config).len() < 10_000);
}

/// K20. Guard: `Spec::tested`. A route test names the receivers of an alert, all of them; one more would stop everything.
#[test]
fn a_team_has_no_route_test_of_the_platforms_fail() {
    let spec: waxwing_crds::AlertmanagerInjectionSpec = serde_json::from_value(json!({
        "config": {
            "route": {"receiver": "ops", "routes": [{"matchers": ["severity=\"critical\""], "receiver": "pager"}]},
            "receivers": [
                {"name": "ops", "webhook_configs": [{"url": OPS}]},
                {"name": "pager", "webhook_configs": [{"url": OPS}]},
            ],
        },
        "include": [{"namespaceSelector": {}}],
        "target": {"secretName": "alertmanager"},
        "routeTests": [
            {"name": "critical", "labels": {"severity": "critical", "namespace": "shop"}, "expect": {"receivers": ["pager"]}},
            {"name": "the rest", "labels": {"namespace": "shop"}, "expect": {"receivers": ["ops"]}},
        ],
    }))
    .expect("reads");
    let mut checked = crate::injection::alertmanager::Spec::read(&spec).expect("is right");
    let receiver = super::spec(json!({"webhook_configs": [{"url": "https://shop.example.com"}]}), json!([]));
    let mut document = checked.document(None).expect("is a document");
    assert!(include(&mut document, &[team("shop", "a", &receiver)], &checked.target).is_empty());
    let made = checked.make(&document, &BTreeMap::new(), &BTreeMap::new());
    let made = made.unwrap_or_else(|refused| panic!("{:?}", refused.messages()));
    assert!(made.receivers.iter().any(|receiver| receiver.name == "shop/a"));
    // What is the platform's own doing still counts.
    checked.tests[0].expected.receivers = Some(vec!["ops".to_owned()]);
    assert!(checked.make(&document, &BTreeMap::new(), &BTreeMap::new()).is_err());
}

#[test]
fn the_platforms_own_routes_are_found_again() {
    for routes in [json!(null), json!([]), json!([{"receiver": "a", "continue": true}, {"routes": [{}]}])] {
        let mut config = json!({"route": {"receiver": "a", "group_by": ["b"]}, "receivers": [{"name": "a"}], "inhibit_rules": []});
        if !routes.is_null() {
            config["route"]["routes"] = routes;
        }
        let own = node(&config);
        let hook = spec(hook(), json!([{}]));
        for teams in [&[][..], &[team("shop", "a", &hook)]] {
            let mut document = own.clone();
            include(&mut document, teams, &target());
            let found = platform(&document).expect("teams were put in");
            assert_eq!(text(found.get("route").unwrap()), text(own.get("route").unwrap()));
            assert!(found.get("receivers").is_none() && found.get("inhibit_rules").is_some());
        }
        assert!(platform(&own).is_none());
    }
}
