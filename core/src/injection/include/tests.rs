//! What a team's AlertReceiver comes to, and what it may not have.

use serde_json::{Value, json};
use waxwing_crds::{AlertReceiverSpec, AlertmanagerTargetKind, InjectionName, Native};

use super::*;
use crate::{
    alertmanager::{Version, capability::OperatorVersion, validate},
    inject::Reference,
};

mod confined;
mod isolated;
mod trusted;

pub(super) fn target() -> Target {
    Target {
        kind: AlertmanagerTargetKind::Plain,
        secret: "alertmanager".to_owned(),
        key: "alertmanager.yaml".to_owned(),
        version: Version::NEWEST,
        operator: OperatorVersion::NEWEST,
        reload: None,
        goes_along: false,
    }
}

pub(super) fn spec(receiver: Value, routes: Value) -> AlertReceiverSpec {
    let routes = routes.as_array().expect("a list").iter().cloned().map(Native).collect();
    let injection = InjectionName { name: "main".to_owned(), namespace: "monitoring".to_owned() };
    AlertReceiverSpec { injection, receiver: Native(receiver), routes }
}

pub(super) fn team<'a>(namespace: &'a str, name: &'a str, spec: &'a AlertReceiverSpec) -> Team<'a> {
    Team { namespace, name, spec, label: "namespace" }
}

pub(super) fn node(value: &Value) -> Node {
    Node::read(value).expect("a document")
}

/// The platform's document; `global` may hold everything that it can.
fn platform(global: Value) -> Value {
    json!({
        "global": global,
        "route": {"receiver": "ops", "group_by": ["alertname"], "routes": [
            {"matchers": ["team=\"db\""], "receiver": "db"},
        ]},
        "receivers": [
            {"name": "ops", "webhook_configs": [{"url": "https://ops.example.com"}]},
            {"name": "db", "webhook_configs": [{"url": "https://db.example.com"}]},
        ],
        "time_intervals": [{"name": "nights", "time_intervals": [{"times": [{"start_time": "00:00", "end_time": "06:00"}]}]}],
        "mute_time_intervals": [{"name": "weekends", "time_intervals": [{"weekdays": ["saturday", "sunday"]}]}],
    })
}

/// A receiver that is right.
pub(super) fn hook() -> Value {
    json!({"webhook_configs": [{"url": {"$secret": {"name": "chat", "key": "url"}}}]})
}

pub(super) fn text(node: &Node) -> String {
    String::from_utf8(crate::inject::to_yaml(&render::with_dummies(node)).to_vec()).expect("is text")
}

/// Includes one team in a platform's document. Gives what it is told, if it is refused.
fn included(global: Value, receiver: Value, routes: Value) -> (Node, Option<String>) {
    let mut document = node(&platform(global));
    let spec = spec(receiver, routes);
    let faults = include(&mut document, &[team("shop", "on-call", &spec)], &target());
    let findings = validate::check(&render::with_dummies(&document), Version::NEWEST);
    let errors: Vec<_> =
        findings.iter().filter(|finding| finding.severity == validate::Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let message = faults.into_iter().next().map(|(index, fault)| {
        assert_eq!((index, fault.reason), (0, Reason::ReceiverRefused));
        fault.message
    });
    if message.is_some() {
        assert!(!text(&document).contains("shop"), "what is refused leaves nothing behind");
    }
    (document, message)
}

#[track_caller]
pub(super) fn takes(global: Value, receiver: Value, routes: Value) {
    assert_eq!(included(global, receiver, routes).1, None);
}

#[track_caller]
pub(super) fn refuses(global: Value, receiver: Value, routes: Value, told: &str) {
    let message = included(global, receiver, routes).1.expect("it is refused");
    assert!(message.contains(told), "{message}");
    for value in ["hunter2", "evil.example.com", "/etc/secret"] {
        assert!(!message.contains(value), "{message}");
    }
}

#[test]
fn a_receiver_and_its_routes_stand_below_a_route_for_their_namespace() {
    let routes = json!([{"matchers": ["severity=\"critical\""], "repeat_interval": "1h"}]);
    let (document, message) = included(json!({}), hook(), routes);
    assert_eq!(message, None);
    let expected = json!({
        "receiver": "ops", "group_by": ["alertname"], "routes": [
            {"continue": true, "routes": [{"matchers": ["team=\"db\""], "receiver": "db"}]},
            {"continue": true, "matchers": ["namespace=\"shop\""], "receiver": "waxwing.dev/nobody", "routes": [
                {"matchers": ["severity=\"critical\""], "repeat_interval": "1h", "receiver": "shop/on-call"},
            ]},
        ],
    });
    assert_eq!(text(document.get("route").unwrap()), text(&node(&expected)));
    let names: Vec<_> = document
        .get("receivers")
        .and_then(Node::as_list)
        .unwrap()
        .iter()
        .map(|receiver| receiver.get("name").and_then(Node::text).unwrap().to_owned())
        .collect();
    assert_eq!(names, ["ops", "db", "waxwing.dev/nobody", "shop/on-call"]);
}

#[test]
fn without_routes_all_alerts_of_the_namespace_are_its() {
    let (document, _) = included(json!({}), hook(), json!([]));
    let expected = json!({"continue": true, "matchers": ["namespace=\"shop\""], "receiver": "shop/on-call"});
    let routes = document.get("route").and_then(|route| route.get("routes")).and_then(Node::as_list).unwrap();
    assert_eq!(text(&routes[1]), text(&node(&expected)));
    assert!(!text(&document).contains("nobody"));
}

/// K22. Guard: `Reference::of` in `fragment::read`. Without it a reference would mean a Secret beside the injection.
#[test]
fn references_mean_the_teams_own_namespace() {
    let (document, _) = included(json!({}), hook(), json!([]));
    let mut found = Vec::new();
    document.leaves(&mut |at, reference| found.push((at.to_string(), reference.clone())));
    let own = Reference::Secret { name: "chat".to_owned(), key: "url".to_owned() };
    assert_eq!(found, [("receivers[2].webhook_configs[0].url".to_owned(), own.clone().of("shop"))]);
    assert_eq!(found[0].1.within("monitoring"), ("shop", &own));
}

/// Guard: the order in `include`. What two clusters make of the same objects is the same.
#[test]
fn the_order_of_the_teams_is_that_of_their_names() {
    let spec = spec(hook(), json!([]));
    let teams = [team("web", "a", &spec), team("shop", "b", &spec), team("shop", "a", &spec)];
    let mut documents = Vec::new();
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let mut document = node(&platform(json!({})));
        assert!(include(&mut document, &order.map(|index| teams[index]), &target()).is_empty());
        documents.push(text(&document));
    }
    assert!(documents[0].find("shop/a") < documents[0].find("shop/b"));
    assert!(documents.iter().all(|document| *document == documents[0]));
}

/// Without this the first team would change what Alertmanager knows every group of alerts by. Guard: `put`.
#[test]
fn the_platforms_routes_stand_at_the_same_place_without_any_team() {
    let mut without = node(&platform(json!({})));
    include(&mut without, &[], &target());
    let spec = spec(hook(), json!([]));
    let mut with = node(&platform(json!({})));
    include(&mut with, &[team("shop", "a", &spec)], &target());
    let first = |document: &Node| {
        text(&document.get("route").unwrap().get("routes").and_then(Node::as_list).unwrap()[0])
    };
    assert_eq!(first(&without), first(&with));
    // And what is no configuration is left to those who say so.
    for broken in
        [json!({}), json!([]), json!({"route": null, "receivers": []}), json!({"route": {"receiver": "a"}})]
    {
        let mut document = node(&broken);
        assert!(include(&mut document, &[], &target()).is_empty());
        assert_eq!(text(&document), text(&node(&broken)));
    }
}

/// K22. Guard: `Surroundings::part` looks at each name. A second receiver of a name would have Alertmanager refuse everything.
#[test]
fn a_name_that_is_taken_is_refused() {
    let mut document = platform(json!({}));
    document["receivers"].as_array_mut().unwrap().push(json!({"name": "shop/on-call"}));
    let mut document = node(&document);
    let spec = spec(hook(), json!([]));
    let faults = include(&mut document, &[team("shop", "on-call", &spec)], &target());
    assert!(faults[0].1.message.contains("another receiver shop/on-call"), "{faults:?}");
    let mut document = node(&platform(json!({})));
    let faults = include(&mut document, &[team("shop", "a", &spec), team("shop", "a", &spec)], &target());
    assert_eq!(faults.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1]);
}

/// K22. Guard: the check of both names. Elsewhere than in a cluster they are whatever a file says.
#[test]
fn a_name_that_kubernetes_does_not_have_is_refused() {
    let spec = spec(hook(), json!([]));
    for (namespace, name) in [
        ("shop\" , a=\"", "a"),
        ("", "a"),
        ("shop", ""),
        ("shop", "a/b"),
        ("shop.web", "a"),
        ("Shop", "a"),
        ("waxwing.dev", "nobody"),
    ] {
        let mut document = node(&platform(json!({})));
        let faults = include(&mut document, &[team(namespace, name, &spec)], &target());
        assert!(faults[0].1.message.contains("none that Kubernetes has"), "{namespace} {name}: {faults:?}");
    }
}

/// K22. Guard: `fragment::receiver` and `fragment::check_route`. With a name or a receiver of their own, a team would take over
/// somebody else's.
#[test]
fn a_team_names_no_receiver() {
    let mut named = hook();
    named["name"] = json!("ops");
    refuses(json!({}), named, json!([]), "receiver.name: leave it out");
    refuses(json!({}), hook(), json!([{"receiver": "ops"}]), "routes[0].receiver: leave it out");
    refuses(json!({}), hook(), json!([{"receiver": null}]), "routes[0].receiver: leave it out");
    let below = json!([{}, {"routes": [{"routes": [{"receiver": "db"}]}]}]);
    refuses(json!({}), hook(), below, "routes[1].routes[0].routes[0].receiver: leave it out");
    let own = json!([{"receiver": "shop/on-call", "routes": [{"receiver": "shop/on-call"}]}]);
    takes(json!({}), hook(), own);
}

#[test]
fn a_receiver_that_tells_nobody_is_refused() {
    for empty in [json!({}), json!({"webhook_configs": []}), json!({"webhook_configs": null})] {
        refuses(json!({}), empty, json!([]), "no integrations");
    }
    refuses(json!({}), json!([]), json!([]), "receiver: it has names and values");
    let mut labelled = hook();
    labelled["labels"] = json!({"a": {"$secret": {"name": "a", "key": "b"}}});
    refuses(
        json!({}),
        labelled,
        json!([]),
        "receiver.labels: no reference can stand outside of an integration",
    );
    refuses(json!({}), hook(), json!([null]), "routes[0]: it has names and values");
}

/// K20. Guard: `Surroundings::judge`. What Alertmanager would refuse, it would refuse for everybody.
#[test]
fn what_alertmanager_would_refuse_is_refused_before() {
    let slack = |field: &str, value: Value| {
        let mut slack = json!({"api_url": "https://hooks.example.com", "channel": "#shop"});
        slack[field] = value;
        json!({"slack_configs": [slack]})
    };
    refuses(json!({}), slack("chanel", json!("hunter2")), json!([]), "receiver.slack_configs[0].chanel: ");
    refuses(json!({}), slack("api_url", json!("hunter2")), json!([]), "receiver.slack_configs[0].api_url: ");
    refuses(json!({}), slack("title", json!("{{ hunter2")), json!([]), "receiver.slack_configs[0].title: ");
    refuses(json!({}), slack("send_resolved", json!("hunter2")), json!([]), "send_resolved: ");
    refuses(
        json!({}),
        json!({"slak_configs": [{}], "webhook_configs": hook()["webhook_configs"]}),
        json!([]),
        "receiver.slak_configs: ",
    );
    refuses(json!({}), slack("update_message", json!(true)), json!([]), "receiver.slack_configs[0]");
    for (routes, told) in [
        (json!([{"matchers": ["hunter2"]}]), "routes[0].matchers[0]: "),
        (json!([{"match_re": {"a": "hunter2("}}]), "routes[0].match_re.a: "),
        (json!([{"mach": {"a": "hunter2"}}]), "routes[0].mach: "),
        (json!([{"group_by": ["a", "a"]}]), "routes[0]"),
        (json!([{"group_interval": "0s"}]), "routes[0]"),
        (json!([{"routes": [{"continue": "hunter2"}]}]), "routes[0].routes[0].continue: "),
        (json!([{"routes": {}}]), "routes[0].routes: "),
    ] {
        refuses(json!({}), hook(), routes, told);
    }
    refuses(
        json!({}),
        json!({"webhook_configs": [{"url": {"$secrets": {}}}]}),
        json!([]),
        "receiver: webhook_configs[0].url: ",
    );
    // All at once, and not without end.
    let many: Vec<Value> = (0..20).map(|index| json!({"matchers": [format!("hunter2{index}")]})).collect();
    refuses(json!({}), hook(), json!(many), "and 15 more");
}

/// Guard: `Surroundings::judge` asks for the target's own version, and for prometheus-operator's structures.
#[test]
fn what_the_target_does_not_have_is_refused() {
    let receiver = json!({"incidentio_configs": [{"url": "https://example.com", "alert_source_token": "x"}]});
    let spec = spec(receiver, json!([]));
    let old = Target { version: "0.27".parse().unwrap(), ..target() };
    let kind = AlertmanagerTargetKind::PrometheusOperator;
    let behind = Target { kind, operator: "0.85".parse().unwrap(), ..target() };
    for target in [old, behind] {
        let mut document = node(&platform(json!({})));
        let faults = include(&mut document, &[team("shop", "a", &spec)], &target);
        assert!(faults[0].1.message.starts_with("receiver.incidentio_configs"), "{faults:?}");
    }
}

/// Guard: `Surroundings::intervals`. Mutes are the platform's; a name that is missing would have everything refused.
#[test]
fn a_team_may_name_the_time_intervals_of_the_document_and_no_others() {
    takes(
        json!({}),
        hook(),
        json!([{"mute_time_intervals": ["nights", "weekends"], "active_time_intervals": ["nights"]}]),
    );
    refuses(
        json!({}),
        hook(),
        json!([{"mute_time_intervals": ["holidays"]}]),
        "routes[0].mute_time_intervals[0]: ",
    );
    refuses(
        json!({}),
        hook(),
        json!([{"routes": [{"active_time_intervals": ["x"]}]}]),
        "active_time_intervals[0]: ",
    );
}

/// K19. Guard: `fragment::routes` looks for references.
#[test]
fn where_alerts_go_is_no_secret() {
    let leaf = json!({"$secret": {"name": "a", "key": "b"}});
    for (route, told) in [
        (json!({"matchers": [leaf]}), "routes[0].matchers[0]: no reference can stand here"),
        (json!({"routes": [{"match": {"a": leaf}}]}), "routes[0].routes[0].match.a: no reference"),
        (json!({"repeat_interval": leaf}), "routes[0].repeat_interval: no reference"),
        (json!({"receiver": leaf}), "routes[0].receiver: no reference"),
        (leaf.clone(), "routes[0]: no reference"),
    ] {
        refuses(json!({}), hook(), json!([route]), told);
    }
}

/// K20. Guard: `MAX_BYTES`. A configuration that does not fit into a Secret is nobody's.
#[test]
fn a_namespace_has_no_more_than_its_share() {
    let large = |bytes: usize| {
        let title = "x".repeat(bytes);
        spec(json!({"slack_configs": [{"api_url": "https://hooks.example.com", "title": title}]}), json!([]))
    };
    let (half, whole, small) = (large(MAX_BYTES / 2 + 1), large(MAX_BYTES), large(1));
    let mut document = node(&platform(json!({})));
    let teams = [
        team("shop", "a", &half),
        team("shop", "b", &half),
        team("shop", "c", &small),
        team("web", "a", &half),
        team("web", "b", &whole),
    ];
    let faults = include(&mut document, &teams, &target());
    assert_eq!(faults.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 4]);
    assert!(faults[0].1.message.contains("of what all AlertReceivers of a namespace may have"), "{faults:?}");
}

/// Guard: `SHORTEST`. Each look at a group is told to every replica.
#[test]
fn nobody_is_told_more_often_than_each_second() {
    refuses(
        json!({}),
        hook(),
        json!([{"group_interval": "1ms"}]),
        "routes[0].group_interval: it is less than a second",
    );
    refuses(
        json!({}),
        hook(),
        json!([{"routes": [{"repeat_interval": "999ms"}]}]),
        "routes[0].routes[0].repeat_interval: ",
    );
    takes(json!({}), hook(), json!([{"group_wait": "0s", "group_interval": "1s", "repeat_interval": "1s"}]));
}

/// K20. Guard: each part is judged alone (`Surroundings::judge`) and nothing of one that is refused is put in.
#[test]
fn one_teams_broken_receiver_changes_nothing_for_the_others() {
    let good = spec(hook(), json!([{"matchers": ["severity=\"critical\""]}]));
    let broken = [
        spec(json!({"webhook_configs": [{"url": "hunter2"}]}), json!([])),
        spec(json!({"name": "ops"}), json!([])),
        spec(hook(), json!([{"matchers": ["a=~\"(\""]}])),
        spec(json!({"webhook_configs": [{"url_file": "/etc/secret"}]}), json!([])),
        spec(json!(null), json!([null])),
    ];
    let mut alone = node(&platform(json!({})));
    assert!(include(&mut alone, &[team("shop", "a", &good), team("web", "a", &good)], &target()).is_empty());
    for broken in &broken {
        for namespace in ["a", "shop", "zoo"] {
            let mut document = node(&platform(json!({})));
            let teams = [team("shop", "a", &good), team(namespace, "bad", broken), team("web", "a", &good)];
            let faults = include(&mut document, &teams, &target());
            assert_eq!(faults.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1]);
            assert_eq!(text(&document), text(&alone));
        }
    }
}

/// What is wrong with `global` is said of the injection, and is no fault of a team's.
#[test]
fn a_broken_document_is_not_the_teams_fault() {
    let mut document = node(&platform(json!({"smtp_smarthost": "no address", "unknown": 1})));
    let spec = spec(hook(), json!([]));
    assert!(include(&mut document, &[team("shop", "a", &spec)], &target()).is_empty());
}

/// K22. Guard: `selects` and `consents`: each side names the other, and a selector that is none selects nothing.
#[test]
fn an_injection_takes_in_what_both_sides_name() {
    let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let check = |include: Value, expected: [bool; 4]| {
        let include: Include = serde_json::from_value(include).expect("reads");
        let (main, tier) = (labels(&[("alerts", "main")]), labels(&[("tier", "prod")]));
        let seen = [
            selects(&include, "monitoring", "monitoring", &main, &labels(&[])),
            selects(&include, "monitoring", "shop", &main, &tier),
            selects(&include, "monitoring", "shop", &labels(&[]), &tier),
            selects(&include, "monitoring", "web", &main, &labels(&[(NAME_LABEL, "shop")])),
        ];
        assert_eq!(seen, expected, "{include:?}");
    };
    check(json!({}), [true, false, false, false]);
    check(json!({"namespaceSelector": {}}), [true, true, true, true]);
    check(
        json!({"namespaceSelector": {}, "receiverSelector": {"matchLabels": {"alerts": "main"}}}),
        [true, true, false, true],
    );
    check(json!({"namespaceSelector": {"matchLabels": {"tier": "prod"}}}), [false, true, true, false]);
    // Also where namespaces may not be read; and a label that claims another name is not believed.
    check(json!({"namespaceSelector": {"matchLabels": {NAME_LABEL: "shop"}}}), [false, true, true, false]);
    check(json!({"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}}), [false; 4]);
    check(json!({"receiverSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}), [false; 4]);

    let spec = spec(hook(), json!([]));
    assert!(consents(&spec, "monitoring", "main"));
    assert!(!consents(&spec, "shop", "main") && !consents(&spec, "monitoring", "other"));
}

/// K19. Guard: `Team::label` makes a matcher that is read back (`Surroundings::judge`). A label is the platform's to choose, and
/// one that cannot be matched confines nothing.
#[test]
fn a_label_of_any_name_confines_and_one_that_cannot_is_refused() {
    let spec = spec(hook(), json!([]));
    let with = |label: &str, version: &str| {
        let mut document = node(&platform(json!({})));
        let target = Target { version: version.parse().unwrap(), ..target() };
        let team = Team { label, ..team("shop", "a", &spec) };
        include(&mut document, &[team], &target).pop().map(|(_, fault)| fault.message)
    };
    for label in
        ["namespace", "k8s.namespace", "a\"b", "a b", "übel", "a\\b", "{", "a=~b", "a,b=\"c\"", "a\nb"]
    {
        assert_eq!(with(label, "0.34"), None, "{label}");
        let message = with(label, "0.26");
        assert_eq!(message.is_none(), label == "namespace", "{label}: {message:?}");
        assert!(message.is_none_or(|message| message.contains("namespaceLabel of the injection")), "{label}");
    }
}

/// What `docs/TEAMS.md` shows is what there is: its two objects give the routes that it prints.
#[test]
fn the_page_shows_what_comes_of_it() {
    let page = include_str!("../../../../docs/TEAMS.md");
    let blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    let blocks: Vec<Value> =
        blocks.map(|block| crate::yaml::documents(block).expect("is YAML").remove(0).value).collect();
    let [injection, receiver, result] = &blocks[..] else { panic!("{} blocks", blocks.len()) };
    let injection: waxwing_crds::AlertmanagerInjection =
        serde_json::from_value(injection.clone()).expect("reads");
    let receiver: waxwing_crds::AlertReceiver = serde_json::from_value(receiver.clone()).expect("reads");
    let checked = crate::injection::alertmanager::Spec::read(&injection.spec).expect("is right");
    let mut document = checked.document(None).expect("is a document");
    let selected = BTreeMap::from([("alerts".to_owned(), "teams".to_owned())]);
    assert!(selects(&checked.include[0], "monitoring", "shop", &BTreeMap::new(), &selected));
    assert!(consents(&receiver.spec, "monitoring", "main"));
    let faults = include(&mut document, &[team("shop", "on-call", &receiver.spec)], &checked.target);
    assert_eq!(faults, []);
    assert_eq!(text(document.get("route").unwrap()), text(node(result).get("route").unwrap()));
}
