use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::store::{Find, Read};

fn grants(specs: serde_json::Value) -> Result<Grants, GrantError> {
    let specs: Vec<crds::Grant> = serde_json::from_value(specs).unwrap();
    Grants::read(&specs)
}

fn to_team_a(paths: &[&str]) -> Grants {
    grants(json!([{"namespaces": ["team-a"], "paths": paths}])).unwrap()
}

fn labels(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
    labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn read(key: &str) -> Ask {
    Ask::Read(Read { key: key.to_owned(), ..Read::default() })
}

fn find(path: Option<&str>) -> Ask {
    Ask::Find(Find { path: path.map(str::to_owned), name: Some(".*".to_owned()), ..Find::default() })
}

fn check(paths: &[&str], permitted: &[&str], refused: &[&str]) {
    let grants = to_team_a(paths);
    let permits = |key: &str| grants.permits("team-a", &labels(&[]), &read(key));
    for key in permitted {
        assert!(permits(key), "{paths:?} should permit {key}");
    }
    for key in refused {
        assert!(!permits(key), "{paths:?} should not permit {key}");
    }
}

/// Guard: `Grants::of`, which begins with no grant at all.
#[test]
fn nothing_is_granted_by_default() {
    for grants in [Grants::default(), grants(json!([])).unwrap()] {
        assert!(!grants.permits("team-a", &labels(&[]), &read("a")));
        assert!(!grants.permits("", &labels(&[("a", "b")]), &find(None)));
        assert!(!grants.permits_some("team-a", &labels(&[])));
    }
}

/// K05. Guard: `Grant::is_for`.
#[test]
fn a_grant_is_for_the_namespaces_that_it_names() {
    let grants = to_team_a(&["**"]);
    let none = labels(&[]);
    assert!(grants.permits("team-a", &none, &read("x")) && grants.permits_some("team-a", &none));
    for other in ["team-b", "team-a2", "team", "TEAM-A", "", "*"] {
        assert!(!grants.permits(other, &none, &read("x")), "{other}");
        assert!(!grants.permits_key(other, &none, "x"), "{other}");
        assert!(!grants.permits_some(other, &none), "{other}");
    }
    let by_label = |selector: serde_json::Value, given: &[(&str, &str)]| {
        let spec = json!([{"namespaceSelector": selector, "paths": ["**"]}]);
        self::grants(spec).unwrap().permits("any", &labels(given), &read("x"))
    };
    let team = json!({"matchLabels": {"team": "a", "env": "prod"}});
    assert!(by_label(team.clone(), &[("team", "a"), ("env", "prod"), ("more", "x")]));
    assert!(!by_label(team.clone(), &[("team", "a")]));
    assert!(!by_label(team, &[("team", "b"), ("env", "prod")]));
    let expression = |operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": "team", "operator": operator, "values": values}]});
    for (operator, values, matching, other) in [
        ("In", &["a", "b"][..], &[&[("team", "b")][..]][..], &[&[("team", "c")][..], &[]][..]),
        ("NotIn", &["a"], &[&[("team", "b")], &[]], &[&[("team", "a")]]),
        ("Exists", &[], &[&[("team", "")]], &[&[("other", "a")]]),
        ("DoesNotExist", &[], &[&[], &[("other", "a")]], &[&[("team", "")]]),
    ] {
        for given in matching {
            assert!(by_label(expression(operator, values), given), "{operator} {given:?}");
        }
        for given in other {
            assert!(!by_label(expression(operator, values), given), "{operator} {given:?}");
        }
    }
    assert!(by_label(json!({}), &[]), "an empty selector is one of all namespaces");
}

#[test]
fn paths_of_one_grant_are_not_for_the_namespaces_of_another() {
    let grants = grants(json!([
        {"namespaces": ["team-a", "team-c"], "paths": ["a/**", "shared"]},
        {"namespaces": ["team-b"], "paths": ["b/**"]},
        {"namespaceSelector": {"matchLabels": {"dev": "yes"}}, "paths": ["dev/**"]},
    ]))
    .unwrap();
    let permits = |namespace: &str, key: &str| grants.permits(namespace, &labels(&[]), &read(key));
    assert!(permits("team-a", "a/x") && permits("team-c", "a/x") && permits("team-a", "shared"));
    assert!(permits("team-b", "b/x") && !permits("team-b", "a/x") && !permits("team-a", "b/x"));
    assert!(
        !permits("team-a", "dev/x") && grants.permits("team-a", &labels(&[("dev", "yes")]), &read("dev/x"))
    );
}

#[test]
fn patterns_are_those_of_paths() {
    check(
        &["team-a/**", "shared/*/tls", "db-?"],
        &["team-a/x", "team-a/x/y", "team-a", "shared/x/tls", "db-1"],
        &[
            "team-ab/x",
            "x/team-a/y",
            "Team-A/x",
            "shared/tls",
            "shared/x/y/tls",
            "shared/x",
            "db-10",
            "db",
            "team-a.x",
        ],
    );
    check(&["team-a-*"], &["team-a-db", "team-a-"], &["TEAM-A-db", "team-a", "team-b-db", "team-a-x/y"]);
}

#[test]
fn a_slash_at_the_start_is_part_of_the_key() {
    check(&["/prod/**"], &["/prod/db"], &["prod/db", "//prod/db", "/dev/db"]);
    check(&["prod/**"], &["prod/db"], &["/prod/db"]);
    check(&["**"], &["prod/db", "/prod/db", "db", "/db"], &[]);
    check(&["**/db"], &["prod/db", "/prod/db", "db", "/db"], &["/prod/dbs"]);
    check(&["/**"], &["/prod/db", "/db"], &["prod/db", "db"]);
    check(&["*/db"], &["prod/db"], &["/db", "/prod/db", "db"]);
}

/// K05. Guard: `check_key` and `is_ambiguous` in `permits_key`.
#[test]
fn keys_that_could_leave_what_is_granted_are_granted_to_nobody() {
    let tricks = [
        "team-a/../team-b/x",
        "team-a/..",
        "team-a/./x",
        "team-a//x",
        "team-a/x/",
        "/team-a/x",
        "team-a/%2e%2e/team-b/x",
        "team-a/%2E%2E%2Fteam-b",
        "team-a/%252e%252e/x",
        "team-a%2fx",
        "team-a/x%00",
        "team-a/x\0",
        "team-a/x\n",
        "team-a\\..\\team-b",
        "team-a/..\\team-b",
        "team-a/x?version=1",
        "team-a/x#fragment",
        "team-a/100%",
        "TEAM-A/x",
        " team-a/x",
        "team-a/x ",
        "team-a/\u{202e}x",
        "..",
        "",
    ];
    check(&["team-a/**"], &["team-a/x"], &tricks);
    let everything = to_team_a(&["**"]);
    for key in tricks.iter().filter(|key| !["/team-a/x", "TEAM-A/x"].contains(key)) {
        assert!(!everything.permits_key("team-a", &labels(&[]), key), "{key:?}");
    }
}

#[test]
fn a_find_is_permitted_only_below_what_is_granted_as_a_whole() {
    let check = |paths: &[&str], permitted: &[Option<&str>], refused: &[Option<&str>]| {
        let grants = to_team_a(paths);
        for path in permitted {
            assert!(grants.permits("team-a", &labels(&[]), &find(*path)), "{paths:?} {path:?}");
        }
        for path in refused {
            assert!(!grants.permits("team-a", &labels(&[]), &find(*path)), "{paths:?} {path:?}");
        }
    };
    check(
        &["team-a/**"],
        &[Some("team-a"), Some("team-a/"), Some("team-a/db")],
        &[
            None,
            Some(""),
            Some("/"),
            Some("team"),
            Some("team-a-b"),
            Some("/team-a"),
            Some("team-a/.."),
            Some("team-a//"),
            Some("team-a/%2e%2e"),
            Some("**"),
        ],
    );
    check(
        &["team-a/*", "team-a/db", "team-?/x*"],
        &[],
        &[None, Some("team-a"), Some("team-a/db"), Some("team-a/x")],
    );
    check(&["*/shared/**"], &[Some("x/shared"), Some("x/shared/y")], &[Some("x"), Some("shared"), None]);
    check(&["**/db"], &[], &[Some("a"), Some("a/db"), None]);
    check(&["/prod/**"], &[Some("/prod"), Some("/prod/x/")], &[Some("/"), Some("prod"), None]);
    check(&["/**"], &[Some("/"), Some("/prod")], &[Some("prod"), None]);
    check(&["**"], &[None, Some("/"), Some("a"), Some("/a/b/")], &[Some(".."), Some("a//b")]);
}

#[test]
fn grants_that_make_no_sense_are_refused() {
    let fault =
        |grant: serde_json::Value| grants(json!([{"namespaces": ["a"], "paths": ["x"]}, grant])).unwrap_err();
    let check = |grant, expected| assert_eq!(fault(grant), GrantError { grant: 1, fault: expected });
    check(json!({"paths": ["x"]}), GrantFault::Nobody);
    check(json!({"namespaces": [], "paths": ["x"]}), GrantFault::Nobody);
    check(json!({"namespaces": ["a"], "paths": []}), GrantFault::Nothing);
    check(json!({"namespaces": ["a"], "namespaceSelector": {}, "paths": ["x"]}), GrantFault::NamespacesTwice);
    for namespace in ["*", "team-*", "", "A", "a.b"] {
        check(json!({"namespaces": [namespace], "paths": ["x"]}), GrantFault::Namespace);
    }
    for path in [
        "",
        "/",
        "a//b",
        "../a",
        "a/./b",
        "a**",
        "[a]",
        "{a,b}",
        "!a",
        "a\\b",
        "//a",
        "a/",
        &"a".repeat(1025),
    ] {
        check(json!({"namespaces": ["a"], "paths": [path]}), GrantFault::Path);
    }
    for (operator, values) in
        [("Gt", &["1"][..]), ("In", &[]), ("NotIn", &[]), ("Exists", &["x"]), ("in", &["x"])]
    {
        let selector = json!({"matchExpressions": [{"key": "a", "operator": operator, "values": values}]});
        check(json!({"namespaceSelector": selector, "paths": ["x"]}), GrantFault::Selector);
    }
    check(json!({"namespaces": ["a"], "paths": vec!["x"; 257]}), GrantFault::TooMany);
    check(json!({"namespaces": vec!["x"; 257], "paths": ["a"]}), GrantFault::TooMany);
    let error = grants(json!(vec![json!({"namespaces": ["a"], "paths": ["x"]}); 257])).unwrap_err();
    assert_eq!(error.fault, GrantFault::TooMany);
}

/// The page for users shows what is so.
#[test]
fn the_examples_in_the_documents_are_right() {
    let page = include_str!("../../../../docs/VALUES.md");
    let table = page.split("|---|---|---|\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    let mut examples = 0;
    for row in table.lines() {
        let cells: Vec<_> = row.split('|').collect();
        let quoted = |cell: usize| cells[cell].split('`').skip(1).step_by(2).collect::<Vec<_>>();
        check(&quoted(1), &quoted(2), &quoted(3));
        examples += quoted(2).len() + quoted(3).len();
    }
    assert!(examples > 8);
}

/// What a server could make of a key: decoded until nothing is left to decode, with either slash, `.` and `..` resolved,
/// empty steps left out.
fn resolved(key: &str) -> Vec<String> {
    let mut bytes = key.as_bytes().to_vec();
    while let Some(decoded) = key::percent_decoded(&bytes) {
        bytes = decoded;
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let text = text.split(['?', '#', '\0']).next().unwrap_or_default().to_owned();
    let mut steps: Vec<String> = Vec::new();
    for step in text.split(['/', '\\']) {
        match step.trim() {
            "" | "." => {}
            ".." => drop(steps.pop()),
            step => steps.push(step.to_owned()),
        }
    }
    steps
}

proptest! {
    /// K05. Guard: any of the checks in `permits_key`.
    #[test]
    fn no_key_is_permitted_that_a_server_could_take_for_one_outside(
        key in "(team-a|team-b|a|/|\\.\\.?|%2e|%2E|%2f|%5c|%25|%00|\\\\|\\?|#| |x|TEAM-A){0,9}",
    ) {
        let grants = to_team_a(&["team-a/**", "shared/a"]);
        if grants.permits_key("team-a", &labels(&[]), &key) {
            let steps = resolved(&key);
            prop_assert!(steps[0] == "team-a" || steps == ["shared", "a"], "{:?} is {:?}", key, steps);
            prop_assert_eq!(steps.join("/"), key);
        }
    }

    #[test]
    fn a_key_is_permitted_exactly_if_a_pattern_matches_it(
        paths in prop::collection::vec("[ab*]{1,2}(/([ab*]|\\*\\*)){0,2}", 1..3),
        key in "[ab]{1,2}(/[ab]){0,3}",
    ) {
        let globs: Vec<_> = paths.iter().filter_map(|path| Glob::new(path)).collect();
        prop_assume!(globs.len() == paths.len());
        let grants = to_team_a(&paths.iter().map(String::as_str).collect::<Vec<_>>());
        let expected = globs.iter().any(|glob| glob.matches(&key));
        prop_assert_eq!(grants.permits_key("team-a", &labels(&[]), &key), expected);
        // Whatever lies below a path that may be searched may be read.
        if grants.permits("team-a", &labels(&[]), &find(Some(&key))) {
            for below in ["x", "x/y", "a/b/c"] {
                let below = format!("{key}/{below}");
                prop_assert!(grants.permits_key("team-a", &labels(&[]), &below));
            }
        }
    }
}
