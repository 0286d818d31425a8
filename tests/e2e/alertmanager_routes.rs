//! Where alerts go, against Alertmanager itself: trees, labels and expressions out of a generator, asked of Alertmanager's
//! own packages (`tests/servers/amoracle`), and some of them of `amtool config routes test`.
//!
//! The seeds are fixed and named in every failure.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};
use waxwing_core::alertmanager::Version;
use waxwing_core::alertmanager::interval::Intervals;
use waxwing_core::alertmanager::matcher::{Labels, Pattern, PatternError};
use waxwing_core::alertmanager::route::Tree;
use waxwing_core::inject::{Node, to_yaml};
use waxwing_tests::alertmanager::oracle;
use waxwing_tests::process;
use waxwing_tests::tools::tool;

/// How many trees, each with as many sets of labels: more than 10,000 comparisons.
const TREES: u64 = 1500;
const SETS: usize = 7;

/// How many of the comparisons are also made with `amtool`, one a tree.
const AMTOOL: usize = 300;

/// Of a hundred comparisons, how many must have each of the features at least.
const SHARE: usize = 30;

/// Sunday, 22 November 2026, 12:30 UTC.
const AT: i64 = 1_795_350_600;

const RECEIVERS: [&str; 5] = ["one", "two", "three", "four five", "sechs€"];

const NAMES: [&str; 6] = ["a", "b", "team", "label with space", "é", "x.y"];

const VALUES: [&str; 12] = ["x", "y", "xy", "X", "é", "x y", "A", "1", "yy", "x|y", "a\"b", r"\d"];

const EXPRESSIONS: [&str; 24] = [
    "x|y",
    "x.*",
    ".*",
    ".+",
    "",
    "(?i)x",
    r"\d",
    r"\w+",
    r"\Qx|y\E",
    "x{1,2}y?",
    "[x-z]+",
    "x)|(y",
    "[^x]*",
    "é|x",
    r"\S+",
    r"\bx\b.*",
    "(?:x|y){2}",
    "[[:alpha:]]",
    r"\x41",
    r"\pL+",
    "x||y",
    "^x$",
    "(?s:.)",
    r"a\x22b",
];

/// The same every time: splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(end).unwrap()).unwrap()
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn is(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// As a text in double quotes, for either syntax.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn matcher(dice: &mut Dice) -> String {
    let name = dice.of(&NAMES);
    let is_plain = matches!(name, "a" | "b" | "team");
    let name = if is_plain && dice.is(70) { name.to_owned() } else { quoted(name) };
    if dice.is(45) {
        return format!("{name}{}{}", dice.of(&["=~", "!~", " =~ "]), quoted(dice.of(&EXPRESSIONS)));
    }
    let operator = dice.of(&["=", "=", "!=", " = "]);
    let value = dice.of(&VALUES);
    match dice.below(12) {
        0 if is_plain => format!("{name}{operator}{value}"), // perhaps read by the classic syntax alone
        1 if is_plain => format!("{name}{operator}\"\\x41\""), // read differently by the two
        2 => format!("{{{name}{operator}{}, }}", quoted(value)),
        3 => format!("{name}{operator}\"\""),
        _ => format!("{name}{operator}{}", quoted(value)),
    }
}

fn route(dice: &mut Dice, depth: usize) -> Value {
    let mut route = json!({});
    let mut matchers: Vec<String> = (0..dice.below(3)).map(|_| matcher(dice)).collect();
    if matchers.len() == 2 && dice.is(20) && !matchers.iter().any(|matcher| matcher.contains('{')) {
        matchers = vec![matchers.join(",")];
    }
    if !matchers.is_empty() {
        route["matchers"] = json!(matchers);
    }
    if dice.is(10) {
        route["match"] = json!({"a": dice.of(&VALUES)});
    }
    if dice.is(10) {
        route["match_re"] = json!({"team": dice.of(&EXPRESSIONS)});
    }
    if dice.is(40) {
        route["continue"] = json!(true);
    }
    if dice.is(70) {
        route["receiver"] = json!(dice.of(&RECEIVERS));
    }
    settings(dice, &mut route);
    for list in ["mute_time_intervals", "active_time_intervals"] {
        if dice.is(15) {
            route[list] = json!([dice.of(&["noon", "weekdays", "winter"])]);
        }
    }
    routes(dice, depth, &mut route);
    route
}

fn settings(dice: &mut Dice, route: &mut Value) {
    if dice.is(30) {
        let lists = [json!([]), json!(["..."]), json!(["a"]), json!(["a", "é"]), json!(null)];
        route["group_by"] = lists[dice.below(lists.len())].clone();
    }
    for name in ["group_wait", "group_interval", "repeat_interval"] {
        if dice.is(15) {
            route[name] = json!(dice.of(&["1s", "1m30s", "2h", "1d", "100ms", "1w2d"]));
        }
    }
}

fn routes(dice: &mut Dice, depth: usize, route: &mut Value) {
    let count = if depth == 0 { 2 + dice.below(4) } else { dice.below(4 - depth) };
    let mut routes: Vec<Value> = (0..count).map(|_| self::route(dice, depth + 1)).collect();
    // The same again, as people copy it.
    if !routes.is_empty() && dice.is(45) {
        let copy = routes[dice.below(routes.len())].clone();
        routes.push(copy);
    }
    route["routes"] = json!(routes);
}

fn config(dice: &mut Dice) -> Value {
    let mut root = json!({"receiver": dice.of(&RECEIVERS)});
    settings(dice, &mut root);
    routes(dice, 0, &mut root);
    json!({
        "route": root,
        "receivers": RECEIVERS.map(|name| json!({"name": name})),
        "time_intervals": [
            {"name": "noon", "time_intervals": [{"times": [{"start_time": "12:00", "end_time": "13:00"}]}]},
            {"name": "weekdays", "time_intervals": [{"weekdays": ["monday:friday"], "location": "Australia/Sydney"}]},
            {"name": "winter", "time_intervals": [{"months": ["november:december"], "days_of_month": ["-10:-1"]}]},
        ],
    })
}

fn labels(dice: &mut Dice) -> Labels {
    let mut labels = Labels::new();
    for name in NAMES {
        if dice.is(60) {
            labels.insert(name.to_owned(), dice.of(&VALUES).to_owned());
        }
    }
    labels
}

/// What one comparison is about.
fn features(config: &Value, labels: &Labels, found: &[String]) -> [(&'static str, bool); 5] {
    let text = config["route"].to_string();
    let is_utf8 = |name: &&str| !matches!(*name, "a" | "b" | "team");
    let named =
        |name: &&str| text.contains(&format!("\\\"{name}\\\"")) || text.contains(&format!("\"{name}="));
    let copies = found.len() > found.iter().collect::<BTreeSet<_>>().len();
    [
        ("continue", text.contains("\"continue\":true")),
        ("regular expressions", text.contains("=~") || text.contains("!~") || text.contains("match_re")),
        ("absent labels", NAMES.iter().any(|name| named(name) && !labels.contains_key(*name))),
        ("UTF-8 matchers", NAMES.iter().any(|name| is_utf8(name) && named(name))),
        ("duplicates", copies || has_copies(&config["route"])),
    ]
}

/// Whether a route stands twice beside itself.
fn has_copies(route: &Value) -> bool {
    let routes = route["routes"].as_array().cloned().unwrap_or_default();
    let texts: BTreeSet<String> = routes.iter().map(Value::to_string).collect();
    texts.len() < routes.len() || routes.iter().any(has_copies)
}

/// What Waxwing says, in the oracle's words.
fn destinations(tree: &Tree, intervals: &Intervals, labels: &Labels) -> Vec<Value> {
    let holding = |names: &[String]| {
        names.iter().filter(|name| intervals.contains(name, AT)).cloned().collect::<Vec<_>>()
    };
    let routes = tree.receivers(labels).into_iter();
    routes
        .map(|route| {
            json!({
                "receiver": route.receiver,
                "groupBy": route.group_by.labels,
                "groupByAll": route.group_by.all,
                "groupWait": u64::try_from(route.group_wait.as_millis()).unwrap(),
                "groupInterval": u64::try_from(route.group_interval.as_millis()).unwrap(),
                "repeatInterval": u64::try_from(route.repeat_interval.as_millis()).unwrap(),
                "mute": holding(&route.mute_time_intervals),
                "active": holding(&route.active_time_intervals),
            })
        })
        .collect()
}

/// The oracle's answer without what says the same in another way.
fn plain(mut destination: Value) -> Value {
    let fields = destination.as_object_mut().unwrap();
    fields.remove("matchers");
    for list in ["groupBy", "mute", "active"] {
        let names: BTreeSet<String> = serde_json::from_value(fields[list].clone()).unwrap_or_default();
        fields[list] = json!(names);
    }
    destination
}

/// The document as Waxwing writes it.
fn written(config: &Value) -> String {
    let node = Node::read(config).unwrap_or_else(|error| panic!("{error}"));
    String::from_utf8(to_yaml(&node).to_vec()).unwrap()
}

struct Case {
    config: Value,
    labels: Vec<Labels>,
}

fn cases() -> Vec<Case> {
    let case = |seed| {
        let mut dice = Dice(seed);
        Case { config: config(&mut dice), labels: (0..SETS).map(|_| labels(&mut dice)).collect() }
    };
    (0..TREES).map(case).collect()
}

/// L01. Guard: every rule of `core/src/alertmanager/matcher` and `core/src/alertmanager/route`.
#[test]
fn alerts_go_where_alertmanager_sends_them() {
    let cases = cases();
    let request = |case: &Case| json!({"config": written(&case.config), "labels": case.labels, "at": AT});
    let answers = oracle::ask("route", cases.iter().map(request).collect());
    let (mut compared, mut differences) = (0, Vec::new());
    let mut shares = [("", 0); 5];
    for (seed, (case, answer)) in cases.iter().zip(answers).enumerate() {
        let node = Node::read(&case.config).unwrap_or_else(|error| panic!("{error}"));
        let refusal = answer["error"].as_str().unwrap();
        let tree = match Tree::read(&node, Version::NEWEST) {
            Ok(tree) if refusal.is_empty() => tree,
            read => {
                let ours = read.err().map(|faults| faults[0].to_string()).unwrap_or_default();
                if ours.is_empty() != refusal.is_empty() {
                    differences.push(format!("seed {seed}: we say {ours:?}, Alertmanager says {refusal:?}"));
                }
                continue;
            }
        };
        let intervals = Intervals::read(&node).unwrap_or_else(|faults| panic!("{}", faults[0]));
        for (labels, theirs) in case.labels.iter().zip(answer["routes"].as_array().unwrap()) {
            let ours = destinations(&tree, &intervals, labels);
            let theirs: Vec<Value> = theirs.as_array().unwrap().iter().cloned().map(plain).collect();
            if ours != theirs {
                differences
                    .push(format!("seed {seed}, {labels:?}: we say {ours:?}, Alertmanager {theirs:?}"));
            }
            compared += 1;
            let found: Vec<String> = ours.iter().map(|to| to["receiver"].to_string()).collect();
            for (share, (name, has)) in shares.iter_mut().zip(features(&case.config, labels, &found)) {
                *share = (name, share.1 + usize::from(has));
            }
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    assert!(compared >= 10_000, "{compared} comparisons");
    for (name, count) in shares {
        assert!(count * 100 >= compared * SHARE, "{count} of {compared} comparisons are about {name}");
    }
}

/// The same by the program that people use. Guard: as above.
#[test]
fn alerts_go_where_amtool_says() {
    let dir = process::folder("amtool-routes");
    let mut compared = 0;
    for (seed, case) in cases().iter().enumerate() {
        let node = Node::read(&case.config).unwrap_or_else(|error| panic!("{error}"));
        let Ok(tree) = Tree::read(&node, Version::NEWEST) else { continue };
        let file = dir.join(format!("{seed}.yaml"));
        std::fs::write(&file, written(&case.config)).unwrap();
        let labels = &case.labels[0];
        let output = Command::new(tool("amtool"))
            .args(["config", "routes", "test"])
            .arg(format!("--config.file={}", file.display()))
            .args(labels.iter().map(|(name, value)| format!("{}={}", quoted(name), quoted(value))))
            .output()
            .unwrap();
        // Before it stand the warnings.
        let theirs = String::from_utf8(output.stdout).unwrap();
        let theirs = theirs.lines().last().unwrap_or_default();
        let ours: Vec<&str> =
            tree.receivers(labels).into_iter().map(|route| route.receiver.as_str()).collect();
        assert_eq!(theirs, ours.join(","), "seed {seed}, {labels:?}");
        compared += 1;
        if compared == AMTOOL {
            break;
        }
    }
    assert_eq!(compared, AMTOOL);
}

/// Expressions of every part of the grammar, right and wrong. Guard: every rule of `core/src/alertmanager/matcher/pattern`.
#[test]
fn expressions_match_what_they_match_in_go() {
    const PARTS: [&str; 62] = [
        "a",
        "b",
        "A",
        "x",
        "é",
        "É",
        ".",
        "^",
        "$",
        "|",
        "(",
        ")",
        "(?:",
        "(?i)",
        "(?i:",
        "(?s)",
        "(?m)",
        "(?U)",
        "(?-i)",
        "(?P<n>",
        "*",
        "+",
        "?",
        "*?",
        "{2}",
        "{0,1}",
        "{1,}",
        "{",
        "}",
        "[",
        "]",
        "[^",
        "-",
        "[a-c]",
        "[[:alpha:]]",
        "[^[:digit:]]",
        r"\d",
        r"\D",
        r"\w",
        r"\W",
        r"\s",
        r"\b",
        r"\B",
        r"\A",
        r"\z",
        r"\Q",
        r"\E",
        r"\n",
        r"\.",
        r"\x61",
        r"\x{e9}",
        r"\141",
        r"\pL",
        r"\p{Greek}",
        r"\P{Lu}",
        r"\C",
        " ",
        "#",
        "&&",
        "\n",
        "_",
        "ſ",
    ];
    const TRIED: [&str; 22] = [
        "", "a", "b", "A", "ab", "aa", "é", "É", "x", "xa", "a\nb", "\n", " ", "1", "a.b", "{", "a{", "α",
        "#", "_", "k", "ſ",
    ];
    let mut dice = Dice(42);
    let mut values = Vec::new();
    for _ in 0..6000 {
        let count = 1 + dice.below(7);
        values.push((0..count).map(|_| dice.of(&PARTS)).collect::<String>());
    }
    let answers =
        oracle::ask("match", values.iter().map(|value| json!({"value": value, "tried": TRIED})).collect());
    let (mut good, mut bad, mut left_out) = (0, 0, 0);
    let mut differences = Vec::new();
    for (value, answer) in values.iter().zip(answers) {
        let theirs: Option<Vec<bool>> = serde_json::from_value(answer["matches"].clone()).ok();
        let ours = match Pattern::read(value) {
            Ok(pattern) => Some(TRIED.map(|tried| pattern.is_match(tried)).to_vec()),
            Err(PatternError::Unsupported(_)) => {
                left_out += 1;
                continue;
            }
            Err(PatternError::Invalid(_)) => None,
        };
        if ours.is_some() {
            good += 1
        } else {
            bad += 1
        }
        if ours != theirs {
            differences.push(format!("{value:?}: we say {ours:?}, Go {theirs:?} {}", answer["error"]));
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    assert!(good > 1500 && bad > 500 && left_out < 60, "{good} good, {bad} bad, {left_out} left out");
}
