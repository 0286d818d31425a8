use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn node(value: &Value) -> Node {
    Node::read(value).unwrap_or_else(|error| panic!("{error}"))
}

fn read(route: &Value, version: &str) -> Result<Tree, Vec<String>> {
    let config = node(&json!({"route": route}));
    Tree::read(&config, version.parse().unwrap())
        .map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn tree(route: &Value) -> Tree {
    read(route, "0.34").unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn labels(value: &Value) -> Labels {
    value
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect()
}

fn receivers(tree: &Tree, value: &Value) -> Vec<String> {
    tree.receivers(&labels(value)).into_iter().map(|route| route.receiver.clone()).collect()
}

#[test]
fn an_alert_goes_to_the_first_that_matches_and_on_where_that_continues() {
    let tree = tree(&json!({"receiver": "root", "routes": [
        {"matchers": ["team=db"], "receiver": "db", "continue": true, "routes": [
            {"matchers": ["severity=critical"], "receiver": "pager"},
            {"matchers": ["severity=~\"critical|warning\""], "receiver": "chat"},
        ]},
        {"matchers": ["severity=critical", "team!=web"], "receiver": "all-critical"},
        {"match": {"team": "web"}, "match_re": {"severity": "warn.*|"}, "routes": [{"receiver": "web"}]},
        {"matchers": ["team=db"], "receiver": "never"},
    ]}));
    for (labels, expected) in [
        (json!({}), &["root"][..]),
        (json!({"team": "db", "severity": "critical"}), &["pager", "all-critical"]),
        (json!({"team": "db", "severity": "warning"}), &["chat", "never"]),
        (json!({"team": "db"}), &["db", "never"]),
        (json!({"severity": "critical"}), &["all-critical"]),
        (json!({"team": "web"}), &["web"]),
        (json!({"team": "web", "severity": "warning"}), &["web"]),
        (json!({"team": "web", "severity": "critical"}), &["root"]),
    ] {
        assert_eq!(receivers(&tree, &labels), expected, "{labels}");
    }
}

#[test]
fn a_route_has_from_those_above_what_it_does_not_set_but_not_their_time_intervals() {
    let tree = tree(
        &json!({"receiver": "root", "group_by": ["a", "b"], "group_wait": "1s", "labels": {"x": "1", "y": "1"},
        "routes": [{"group_interval": "2m", "mute_time_intervals": ["night"], "labels": {"y": "2"}, "routes": [
            {"group_by": ["..."], "repeat_interval": "1d", "receiver": "leaf", "routes": [{}, {"group_by": []}, {"group_by": ["c"]}]}
        ]}]}),
    );
    let middle = &tree.root().routes[0];
    let leaf = &middle.routes[0];
    assert_eq!(leaf.at.to_string(), "route.routes[0].routes[0]");
    assert_eq!((leaf.group_wait, leaf.group_interval), (Duration::from_secs(1), Duration::from_mins(2)));
    assert_eq!(
        (leaf.repeat_interval, middle.repeat_interval),
        (Duration::from_hours(24), Duration::from_hours(4))
    );
    assert_eq!((middle.mute_time_intervals.len(), leaf.mute_time_intervals.len()), (1, 0));
    assert_eq!(leaf.labels, labels(&json!({"x": "1", "y": "2"})));
    let alert = labels(&json!({"a": "1", "c": "2"}));
    let group = |route: &Route| route.group_by.of(&alert).into_keys().collect::<String>();
    assert_eq!(group(middle), "a");
    let [inherits, none, one] = &leaf.routes[..] else { panic!() };
    assert_eq!([group(leaf), group(inherits), group(none), group(one)], ["ac", "ac", "", "c"]);
    assert_eq!(inherits.receiver, "leaf");
}

#[test]
fn an_empty_group_by_overrides_since_0_31() {
    let route = json!({"receiver": "r", "group_by": ["a"], "routes": [{"group_by": []}]});
    for (version, expected) in [("0.30", 1), ("0.31", 0)] {
        let tree = read(&route, version).unwrap_or_else(|faults| panic!("{faults:?}"));
        assert_eq!(tree.root().routes[0].group_by.labels.len(), expected, "{version}");
    }
}

#[test]
fn the_syntax_of_matchers_depends_on_the_version() {
    let route = json!({"receiver": "r", "routes": [{"matchers": ["\"a b\"=c"]}]});
    assert!(read(&route, "0.27").is_ok());
    let faults = read(&route, "0.26").err().unwrap();
    assert!(faults[0].starts_with("route.routes[0].matchers[0]: a matcher is"), "{faults:?}");
    let warned = tree(&json!({"receiver": "r", "routes": [{"matchers": ["a=b", "c=d e"]}]}));
    assert_eq!(warned.warnings()[0].0.to_string(), "route.routes[0].matchers[1]");
}

/// Alertmanager puts the old expressions between anchors twice.
#[test]
fn an_old_expression_is_anchored_as_a_whole() {
    let old = tree(&json!({"receiver": "r", "routes": [{"receiver": "s", "match_re": {"a": "x)|(y"}}]}));
    let new = tree(&json!({"receiver": "r", "routes": [{"receiver": "s", "matchers": ["a=~\"x)|(y\""]}]}));
    for (value, of_old, of_new) in [("x", "s", "s"), ("xz", "r", "s"), ("zy", "r", "s"), ("z", "r", "r")] {
        assert_eq!(receivers(&old, &json!({"a": value})), [of_old]);
        assert_eq!(receivers(&new, &json!({"a": value})), [of_new]);
    }
}

#[test]
fn what_cannot_be_read_is_said_with_its_place() {
    let faults = read(
        &json!({"receiver": ["hunter2"], "matchers": ["a=b"], "continue": "hunter2", "group_wait": "hunter2", "routes": [
            null, "hunter2", {"match": {"a": {}}, "match_re": {"b": "hunter2("}, "group_by": "hunter2",
            "matchers": ["hunter2", {"$secret": {"name": "x", "key": "hunter2"}}], "receiver": null}]}),
        "0.34",
    );
    let faults = faults.err().unwrap();
    let places: Vec<&str> = faults.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
    for place in [
        "route.receiver",
        "route.continue",
        "route.group_wait",
        "route.matchers",
        "route.routes[0]",
        "route.routes[1]",
        "route.routes[2].match.a",
        "route.routes[2].match_re.b",
        "route.routes[2].group_by",
        "route.routes[2].matchers[0]",
        "route.routes[2].matchers[1]",
        "route.routes[2].receiver",
    ] {
        assert!(places.contains(&place), "{place}: {faults:?}");
    }
    assert_eq!(places.len(), 12, "{faults:?}");
    assert!(!faults.join("").contains("hunter"), "{faults:?}");
    assert!(read(&json!({}), "0.34").is_err());
    assert!(Tree::read(&node(&json!({})), Version::NEWEST).is_err());
}

fn plan() -> Plan {
    let config = json!({
        "route": {"receiver": "root", "routes": [
            {"matchers": ["team=db"], "receiver": "db", "continue": true, "mute_time_intervals": ["night"]},
            {"matchers": ["team=db"], "receiver": "chat", "active_time_intervals": ["night", "day"]},
        ]},
        "inhibit_rules": [
            {"source_matchers": ["severity=critical"], "target_match": {"severity": "warning"}, "equal": ["team", "host"]},
            {"source_matchers": ["a=~x"], "target_matchers": ["a=~x"]},
        ],
        "time_intervals": [
            {"name": "night", "time_intervals": [{"times": [{"start_time": "00:00", "end_time": "06:00"}]}]},
            {"name": "day", "time_intervals": [{"times": [{"start_time": "08:00", "end_time": "18:00"}]}]},
        ],
    });
    Plan::read(&node(&config), Version::NEWEST).unwrap_or_else(|faults| panic!("{faults:?}"))
}

#[test]
fn a_test_says_who_is_told_and_who_is_quiet() {
    let plan = plan();
    let test = |at: Option<i64>, muted: &[&str]| RouteTest {
        name: "db".to_owned(),
        labels: labels(&json!({"team": "db"})),
        at,
        expected: Expected {
            receivers: Some(vec!["db".to_owned(), "chat".to_owned()]),
            muted: Some(muted.iter().map(|name| (*name).to_owned()).collect()),
            inhibited: Some(false),
        },
        ..RouteTest::default()
    };
    for (at, muted) in
        [(None, &[][..]), (Some(3 * 3600), &["db"]), (Some(7 * 3600), &["chat"]), (Some(9 * 3600), &[])]
    {
        assert_eq!(plan.run(&test(at, muted)).failures, [], "{at:?}");
    }
    let mut wrong = test(Some(7 * 3600), &["db"]);
    wrong.expected.receivers = Some(vec!["chat".to_owned(), "db".to_owned()]);
    wrong.expected.inhibited = Some(true);
    let trial = plan.run(&wrong);
    assert_eq!(trial.seen[1].muted, Some(Muted::NotActive));
    let failures: Vec<String> = trial.failures.iter().map(ToString::to_string).collect();
    assert_eq!(
        failures,
        [
            "goes to db, chat, and should go to chat, db",
            "is quiet at chat, and should be quiet at db",
            "is not inhibited, and should be",
        ]
    );
}

#[test]
fn inhibition_needs_a_source_with_equal_labels() {
    let inhibitions = plan().inhibitions;
    let of = |alert: Value, firing: Value| inhibitions.of(&labels(&alert), &[labels(&firing)]).len();
    let warning = json!({"severity": "warning", "team": "db"});
    assert_eq!(of(warning.clone(), json!({"severity": "critical", "team": "db"})), 1);
    assert_eq!(of(warning.clone(), json!({"severity": "critical", "team": "db", "host": ""})), 1);
    assert_eq!(of(warning.clone(), json!({"severity": "critical", "team": "db", "host": "a"})), 0);
    assert_eq!(of(warning.clone(), json!({"severity": "critical", "team": "web"})), 0);
    assert_eq!(of(warning.clone(), json!({"severity": "warning", "team": "db"})), 0);
    assert_eq!(of(json!({"severity": "critical"}), json!({"severity": "critical"})), 0);
    // Both are source and target.
    assert_eq!(of(json!({"a": "x"}), json!({"a": "x", "b": "1"})), 0);
}

fn differences(base: &Value, head: &Value) -> Vec<(Value, String, String)> {
    let found = diff(&tree(base), &tree(head));
    assert!(!found.is_cut);
    let found = found.found.into_iter();
    found.map(|found| (json!(found.labels), found.base.join(","), found.head.join(","))).collect()
}

#[test]
fn a_diff_says_which_labels_go_elsewhere() {
    let base = json!({"receiver": "root", "routes": [
        {"matchers": ["severity=critical"], "receiver": "pager"},
        {"matchers": ["team=~\"db|web\""], "receiver": "chat"},
    ]});
    assert_eq!(differences(&base, &base), []);
    let mut head = base.clone();
    head["routes"][0]["matchers"][0] = json!("severity=~\"critical|page\"");
    assert_eq!(
        differences(&base, &head),
        [
            (json!({"severity": "page"}), "root".into(), "pager".into()),
            (json!({"severity": "page", "team": "db"}), "chat".into(), "pager".into()),
        ]
    );
    let mut head = base.clone();
    head["routes"][0]["continue"] = json!(true);
    assert_eq!(
        differences(&base, &head),
        [(json!({"severity": "critical", "team": "db"}), "pager".into(), "pager,chat".into())]
    );
    let mut head = base.clone();
    head["routes"].as_array_mut().unwrap().reverse();
    assert_eq!(
        differences(&base, &head),
        [(json!({"severity": "critical", "team": "db"}), "pager".into(), "chat".into())]
    );
    let mut head = base.clone();
    head["routes"][1]["matchers"] = json!(["team!=\"\""]);
    assert_eq!(differences(&base, &head), [(json!({"team": "other"}), "root".into(), "chat".into())]);
    let mut head = base.clone();
    head["receiver"] = json!("new");
    assert_eq!(differences(&base, &head), [(json!({}), "root".into(), "new".into())]);
}

#[test]
fn a_diff_of_large_trees_is_bounded_and_says_so() {
    let large = |receiver: &str| {
        let routes = (0..100).map(|number| {
            let matchers = [format!("a=a{number}"), format!("l{}=~\"x.*|y{number}\"", number % 7)];
            json!({"matchers": matchers, "receiver": if number == 99 { receiver } else { "r" }})
        });
        tree(&json!({"receiver": "root", "routes": routes.collect::<Vec<_>>()}))
    };
    let found = diff(&large("one"), &large("two"));
    assert!(found.tried <= MAX_TRIED);
    assert_eq!(found.found.len(), 1);
    assert_eq!(found.found[0].head, ["two"]);
}

fn routes() -> impl Strategy<Value = Value> {
    let matcher = prop_oneof![
        ("[ab]", "[xy]").prop_map(|(name, value)| format!("{name}={value}")),
        ("[ab]", "[xy]").prop_map(|(name, value)| format!("{name}!={value}")),
        ("[ab]", "[xy]").prop_map(|(name, value)| format!("{name}=~\"{value}.*|z\"")),
        ("[ab]", "[xy]").prop_map(|(name, value)| format!("{name}!~\"{value}|\"")),
    ];
    let route = (prop::collection::vec(matcher, 0..3), any::<bool>(), "[r-t]");
    let leaf = route.prop_map(|(matchers, continues, receiver)| {
        json!({"matchers": matchers, "continue": continues, "receiver": receiver})
    });
    leaf.prop_recursive(2, 10, 3, |inner| {
        (inner.clone(), prop::collection::vec(inner, 0..3)).prop_map(|(mut route, routes)| {
            route["routes"] = json!(routes);
            route
        })
    })
}

proptest! {
    /// On labels with few values every set can be tried: a difference is found whenever there is one, and only then.
    #[test]
    fn a_diff_finds_a_difference_if_there_is_one(
        base in prop::collection::vec(routes(), 0..4), head in prop::collection::vec(routes(), 0..4)
    ) {
        let [base, head] = [base, head].map(|routes| tree(&json!({"receiver": "root", "routes": routes})));
        let values = ["", "x", "y", "z", "xq", "yq", "other"];
        let mut differ = false;
        for a in values {
            for b in values {
                let labels = Labels::from([("a".to_owned(), a.to_owned()), ("b".to_owned(), b.to_owned())]);
                let of = |tree: &Tree| tree.receivers(&labels).iter().map(|route| route.receiver.clone()).collect::<Vec<_>>();
                differ |= of(&base) != of(&head);
            }
        }
        let found = diff(&base, &head);
        prop_assert_eq!(!found.found.is_empty(), differ);
        for difference in found.found {
            let of = |tree: &Tree| tree.receivers(&difference.labels).iter().map(|route| route.receiver.clone()).collect::<Vec<_>>();
            prop_assert_eq!((of(&base), of(&head)), (difference.base, difference.head));
        }
    }
}
