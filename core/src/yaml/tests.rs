use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::*;

const CANARY: &str = "hunter2-canary";

fn values(text: &str) -> Vec<(usize, Value)> {
    documents(text).unwrap().into_iter().map(|document| (document.index, document.value)).collect()
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Sample {
    name: String,
    #[serde(default)]
    count: u32,
}

#[test]
fn empty_documents_are_left_out_but_counted() {
    let text = "---\n---\na: 1\n---\n# nothing\n---\n~\n---\nb: 2\n";
    assert_eq!(values(text), [(1, json!({"a": 1})), (4, json!({"b": 2}))]);
    assert_eq!(values(""), []);
    assert_eq!(values("# only a comment\n"), []);
}

#[test]
fn each_document_has_its_bytes_and_its_line() {
    let text = "# head\n%YAML 1.2\n---\na: 1\n... # end\n# two\n---\nb: 2\n--- {c: 3}\n";
    let found = documents(text).unwrap();
    let slices: Vec<_> = found.iter().map(|document| &text[document.range.clone()]).collect();
    assert_eq!(slices, ["# head\n%YAML 1.2\n---\na: 1\n... # end\n", "# two\n---\nb: 2\n", "--- {c: 3}\n"]);
    assert_eq!(found.iter().map(|document| document.line).collect::<Vec<_>>(), [1, 6, 9]);
    assert_eq!(found[2].value, json!({"c": 3}));
}

#[test]
fn json_is_read_as_it_is() {
    assert_eq!(
        values("{\"a\": [1, true, null, \"x\\ny\\u00e9\"]}\n"),
        [(0, json!({"a": [1, true, null, "x\nyé"]}))]
    );
}

#[test]
fn an_error_names_document_line_and_column_and_no_value() {
    let text = format!("a: 1\n---\nb:\n  c: {CANARY}\n d: {CANARY}\n---\ne: 2\n");
    let error = documents(&text).unwrap_err();
    assert!(matches!(error, YamlError::At { document: 1, line: 5, .. }), "{error}");
    assert!(!error.to_string().contains(CANARY) && !format!("{error:?}").contains(CANARY));
    assert!(error.to_string().starts_with("document 2, line 5, column"), "{error}");
}

#[test]
fn documents_behind_a_malformed_one_are_still_read() {
    let found = each_document("a: 1\n---\nb: [1\n---\nc: 3\n").unwrap();
    assert_eq!(found.len(), 3);
    assert!(found[1].is_err());
    assert_eq!(found[2].as_ref().unwrap().value, json!({"c": 3}));
    assert_eq!(found[2].as_ref().unwrap().index, 2);
}

/// L03. Guard: `Problem` carries fixed words only.
#[test]
fn errors_of_types_say_what_was_expected_and_never_what_was_there() {
    for (text, shown) in [
        (format!("name: [{CANARY}]"), "wrong type"),
        (format!("name: x\ncount: {CANARY}"), "wrong type"),
        (format!("name: x\n{CANARY}: 1"), "unknown field; expected `name`, `count`"),
        ("count: 1".to_owned(), "missing field `name`"),
        ("name: 5".to_owned(), "in quotes"),
        ("name: yes".to_owned(), "in quotes"),
        (format!("name: x\nname: {CANARY}"), "a key stands twice"),
        (format!("name: x\n---\nname: {CANARY}"), "more than one document"),
        ("# nothing".to_owned(), "no document"),
        (format!("name: '{CANARY}"), "line 1, column 7"),
    ] {
        let error = from_str::<Sample>(&text).unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(told.contains(shown), "{text:?}: {told}");
        assert!(!told.contains("canary"), "{told}");
    }
}

/// L03. Guard: `Problem::of_json` takes only what stands behind the last "expected".
#[test]
fn errors_of_values_already_parsed_quote_nothing() {
    for value in [
        json!({"name": 5}),
        json!({"name": {"expected ": CANARY}}),
        json!({"name": "x", "count": CANARY}),
        json!({"name": "x", "count": format!("a expected {CANARY}")}),
        json!({"name": "x", CANARY: 1}),
        json!(CANARY),
        json!({"count": 1}),
    ] {
        let error = from_value::<Sample>(&value).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
    assert_eq!(from_value::<Sample>(&json!({"count": 1})).unwrap_err().to_string(), "missing field `name`");
}

/// D10. Guard: the budget of `read::parse`.
#[test]
fn an_alias_bomb_is_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let error = documents(&text).unwrap_err();
    assert!(matches!(error, YamlError::At { problem: Problem::Aliases, .. }), "{error}");
}

/// D10. Guard: the depth limits of `read`.
#[test]
fn too_deep_too_wide_and_too_large_texts_are_refused() {
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    assert!(documents(&deep(60)).is_ok());
    assert!(
        matches!(documents(&deep(65)), Err(YamlError::At { problem: Problem::TooDeep, .. })),
        "{:?}",
        documents(&deep(65))
    );
    let nested = (0..65).map(|level| format!("{}a:\n", " ".repeat(level))).collect::<String>();
    assert!(
        matches!(documents(&nested), Err(YamlError::At { problem: Problem::TooDeep, .. })),
        "{:?}",
        documents(&nested)
    );
    let wide = format!("[{}]", "1,".repeat(200_000));
    assert!(matches!(documents(&wide), Err(YamlError::At { problem: Problem::TooManyNodes, .. })));
    let large = format!("a: {}", "x".repeat(MAX_BYTES));
    assert!(matches!(documents(&large), Err(YamlError::TooLarge { .. })));
    assert!(matches!(documents(&"---\n".repeat(5000)), Err(YamlError::TooManyDocuments { .. })));
}

#[test]
fn a_key_may_not_stand_twice_at_any_depth() {
    for text in ["a: 1\na: 2", "x: {a: 1, \"a\": 2}", "- {a: {b: 1, b: 1}}"] {
        assert!(
            matches!(documents(text), Err(YamlError::At { problem: Problem::DuplicateKey, .. })),
            "{text}"
        );
    }
}

#[test]
fn writing_keeps_the_order_of_a_type_and_one_line_a_value() {
    #[derive(Serialize)]
    struct Outer {
        kind: &'static str,
        api: &'static str,
        spec: Value,
        list: Vec<&'static str>,
        empty: Vec<u8>,
    }
    let long = "YWdlLWVuY3J5cHRpb24".repeat(40);
    let text = to_string(&Outer {
        kind: "Secret",
        api: "waxwing.dev/v1alpha1",
        spec: json!({"12345678": long, "plain": "yes", "multi": "a\nb", "items": [{"b": 1, "a": [1, {}]}, []], "host": "http://x:80/y"}),
        list: vec!["prod-eu/3fa9c1d2", "recovery/0c11de42"],
        empty: vec![],
    })
    .unwrap();
    let expected = format!(
        "kind: Secret\napi: waxwing.dev/v1alpha1\nspec:\n  \"12345678\": {long}\n  host: http://x:80/y\n  items:\n  - a:\n    - 1\n    - {{}}\n    b: 1\n  - []\n  multi: \"a\\nb\"\n  plain: \"yes\"\nlist: [prod-eu/3fa9c1d2, recovery/0c11de42]\nempty: []\n"
    );
    assert_eq!(text, expected);
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let long_key = "k".repeat(1100);
    assert_eq!(to_string(&json!({long_key: 1})), Err(YamlError::Unwritable));
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(to_string(&deep), Err(YamlError::Unwritable));
}

pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-z0-9 ./:#-]{0,12}",
        ".{0,10}",
        prop::sample::select(vec![
            "yes",
            "null",
            "1e3",
            "0x1F",
            "-",
            "~",
            "<<",
            "= ",
            "2001-01-01",
            "a: b",
            "1:30",
            "\u{85}\u{2028}\u{feff}\r\n\t"
        ])
        .prop_map(String::from),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9f64).prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(text.clone(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_written_reads_back(value in any_value()) {
        let text = to_string(&value).unwrap();
        let back = documents(&text).unwrap();
        prop_assert_eq!(back.first().map_or(&Value::Null, |document| &document.value), &value, "{}", text);
        prop_assert_eq!(to_string(&value).unwrap(), text);
    }

    #[test]
    fn no_text_makes_reading_panic(text in "(\\PC|[\n\r\t:{}\\[\\],&*!|>'\"%#@ -]){0,80}") {
        let _ = each_document(&text);
        let _ = from_str::<Sample>(&text);
    }

    #[test]
    fn the_documents_cover_the_text_without_a_gap(parts in prop::collection::vec("(a: 1|- x|\\{\\}|# c|)\n(\\.\\.\\.\n)?", 0..6)) {
        let text = parts.join("---\n");
        let parts = read::split(&text).unwrap();
        let mut at = 0;
        for part in &parts {
            prop_assert_eq!(part.range.start, at);
            prop_assert_eq!(part.line, 1 + text[..at].matches('\n').count());
            at = part.range.end;
        }
        prop_assert!(parts.is_empty() || at == text.len());
    }
}
