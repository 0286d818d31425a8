use std::sync::Arc;

use base64::{Engine, prelude::*};
use proptest::prelude::*;
use serde_json::{Value, json};
use waxwing_crds::ExternalSecretSpec;

use super::*;
use crate::external::{Pattern, Spec};

mod canary;
mod memory;

/// A spec of these items in `data` and `dataFrom`.
fn spec(data: Value, data_from: Value) -> Spec {
    let spec = json!({"secretStoreRef": {"name": "s"}, "data": data, "dataFrom": data_from});
    let spec: ExternalSecretSpec = serde_json::from_value(spec).unwrap();
    Spec::read(&spec, "team-a", "db").unwrap()
}

fn one(remote: Value) -> Spec {
    spec(json!([{"secretKey": "value", "remoteRef": remote}]), json!([]))
}

fn from(items: Value) -> Spec {
    spec(json!([]), items)
}

fn entry(bytes: &[u8]) -> Arc<Entry> {
    Arc::new(Entry { value: Secret::new(bytes.to_vec()), version: None, lease: None })
}

/// What a store with these entries answers.
fn answers(spec: &Spec, entries: &[(&str, &[u8])]) -> Answers {
    let answer = |need: &Need| match &need.ask {
        Ask::Read(read) => {
            let (_, bytes) = entries.iter().find(|(key, _)| *key == read.key)?;
            Some(Answer::Entry(entry(bytes)))
        }
        Ask::Find(find) => {
            let pattern = Pattern::new(find.name.as_deref().unwrap_or_default()).unwrap();
            let found = entries.iter().filter(|(key, _)| pattern.is_match(key));
            Some(Answer::Found(found.map(|(key, bytes)| ((*key).to_owned(), entry(bytes))).collect()))
        }
    };
    spec.needs("uid").into_iter().filter_map(|need| Some((need.clone(), answer(&need)?))).collect()
}

fn assembled(spec: &Spec, entries: &[(&str, &[u8])]) -> Result<Vec<(String, Vec<u8>)>, ValueError> {
    let data = assemble(spec, &answers(spec, entries))?;
    Ok(data.iter().map(|(key, value)| (key.to_string(), value.expose().to_vec())).collect())
}

fn check(spec: &Spec, entries: &[(&str, &str)], expected: &[(&str, &str)]) {
    let entries: Vec<_> = entries.iter().map(|(key, text)| (*key, text.as_bytes())).collect();
    let values = assembled(spec, &entries).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let values: Vec<_> = values.iter().map(|(key, value)| (key.as_str(), text(value))).collect();
    let values: Vec<_> = values.iter().map(|(key, value)| (*key, value.as_str())).collect();
    assert_eq!(values, expected);
}

fn refused(spec: &Spec, entries: &[(&str, &str)], reason: Reason, message: &str) {
    let entries: Vec<_> = entries.iter().map(|(key, text)| (*key, text.as_bytes())).collect();
    let error = assembled(spec, &entries).unwrap_err();
    assert_eq!((error.reason(), error.to_string().as_str()), (reason, message));
}

const DB: &str = r#"{"user": "app", "password": "pä ss", "port": 5432, "tls": {"a.b": [1, 2]}}"#;

#[test]
fn one_value_is_an_entry_or_a_part_of_it() {
    let value = |remote| one(remote);
    check(&value(json!({"key": "db"})), &[("db", DB)], &[("value", DB)]);
    check(&value(json!({"key": "db", "property": "password"})), &[("db", DB)], &[("value", "pä ss")]);
    check(&value(json!({"key": "db", "property": "port"})), &[("db", DB)], &[("value", "5432")]);
    check(&value(json!({"key": "db", "property": "tls.a\\.b"})), &[("db", DB)], &[("value", "[1,2]")]);
    check(&value(json!({"key": "db"})), &[("db", " no JSON\n")], &[("value", " no JSON\n")]);
    check(&value(json!({"key": "db"})), &[("db", "")], &[("value", "")]);
}

#[test]
fn a_part_that_is_not_there_is_told_apart_from_an_entry_that_does_not_parse() {
    let value = one(json!({"key": "db", "property": "nope"}));
    let place = "data[value], key `db`, property `nope`";
    let message = format!("{place}: the entry has no such property");
    refused(&value, &[("db", DB)], Reason::PropertyMissing, &message);
    let message = format!("{place}: the JSON does not parse, from line 2 column 3 on");
    refused(&value, &[("db", "{\n  oops")], Reason::InvalidValue, &message);
    let value = one(json!({"key": "db", "property": "a*"}));
    let message = "data[value], key `db`, property `a*`: the entry has no field of this name, and as a path it uses more \
                   than names, indexes, # and @this";
    refused(&value, &[("db", DB)], Reason::PropertyMissing, message);
}

#[test]
fn values_are_decoded_last() {
    let entry = json!({"a": "aGk=", "b": "not base64!"}).to_string();
    let part = |property: &str, strategy: &str| {
        one(json!({"key": "x", "property": property, "decodingStrategy": strategy}))
    };
    check(&part("a", "Base64"), &[("x", &entry)], &[("value", "hi")]);
    check(&part("a", "None"), &[("x", &entry)], &[("value", "aGk=")]);
    check(&part("b", "Auto"), &[("x", &entry)], &[("value", "not base64!")]);
    let message = "data[value], key `x`, property `b`: the value is not base64";
    refused(&part("b", "Base64URL"), &[("x", &entry)], Reason::InvalidValue, message);
    let all = from(json!([{"extract": {"key": "x", "decodingStrategy": "Auto"}}]));
    check(&all, &[("x", &entry)], &[("a", "hi"), ("b", "not base64!")]);
    let all = from(json!([{"extract": {"key": "x", "decodingStrategy": "Base64"}}]));
    let message = "dataFrom[0], key `x`, name `b`: the value is not base64";
    refused(&all, &[("x", &entry)], Reason::InvalidValue, message);
}

#[test]
fn null_bytes_are_refused_only_where_they_shall_be() {
    let encoded = BASE64_STANDARD.encode(b"a\0b");
    let value =
        |policy: Value| one(json!({"key": "x", "decodingStrategy": "Base64", "nullBytePolicy": policy}));
    for policy in [json!(null), json!("Ignore")] {
        check(&value(policy), &[("x", &encoded)], &[("value", "a\0b")]);
    }
    let message = "data[value], key `x`: the value has a null byte, and nullBytePolicy is Fail";
    refused(&value(json!("Fail")), &[("x", &encoded)], Reason::InvalidValue, message);
    let find = from(json!([{"find": {"name": {"regexp": "."}, "nullBytePolicy": "Fail"}}]));
    refused(
        &find,
        &[("x", "a\0b")],
        Reason::InvalidValue,
        "dataFrom[0], name `x`: the value has a null byte, and nullBytePolicy is Fail",
    );
}

#[test]
fn an_entry_gives_all_its_fields() {
    let all = from(json!([{"extract": {"key": "db"}}]));
    let entry = r#"{"user name": "app", "port": 5432, "list": [1, {"a": null}], "none": null, "on": false, "text": "\u00e9\n"}"#;
    let expected = [
        ("list", r#"[1,{"a":null}]"#),
        ("none", ""),
        ("on", "false"),
        ("port", "5432"),
        ("text", "é\n"),
        ("user_name", "app"),
    ];
    check(&all, &[("db", entry)], &expected);
    check(&all, &[("db", "{}")], &[]);
    let part = from(json!([{"extract": {"key": "db", "property": "in"}}]));
    check(&part, &[("db", r#"{"in": {"a": 1}}"#)], &[("a", "1")]);
    // An object within a text is one, too.
    check(&part, &[("db", r#"{"in": "{\"a\": 1}"}"#)], &[("a", "1")]);
    let unicode = from(json!([{"extract": {"key": "db", "conversionStrategy": "Unicode"}}]));
    check(&unicode, &[("db", r#"{"a b": 1}"#)], &[("a_U0020_b", "1")]);
    for (entry, what) in [
        ("[1]", "a JSON object belongs here, and there is another kind of value"),
        ("\"a\"", "a JSON object belongs here, and there is another kind of value"),
        ("", "the JSON does not parse, from line 1 column 0 on"),
        ("{\"a\": 1, \"a\": 2}", "a JSON object has the same name twice"),
    ] {
        refused(&all, &[("db", entry)], Reason::InvalidValue, &format!("dataFrom[0], key `db`: {what}"));
    }
    let entry = r#"{"a": "\ud800"}"#;
    let message = "dataFrom[0], key `db`, name `a`: a JSON text has an escape that stands for no character";
    refused(&all, &[("db", entry)], Reason::InvalidValue, message);
}

#[test]
fn what_is_found_comes_by_its_key() {
    let find = |rewrite: Value| from(json!([{"find": {"name": {"regexp": "^app"}}, "rewrite": rewrite}]));
    let entries = [("app/a", "1"), ("app/b", "{\"c\": 2}"), ("other", "3")];
    check(&find(json!([])), &entries, &[("app_a", "1"), ("app_b", "{\"c\": 2}")]);
    let last = json!([{"regexp": {"source": "^app/", "target": ""}}]);
    check(&find(last), &entries, &[("a", "1"), ("b", "{\"c\": 2}")]);
    refused(&find(json!([])), &[("other", "3")], Reason::NothingFound, "dataFrom[0]: no entry matches");
    let message = "dataFrom[0], name `app_a`: two values have this name";
    refused(
        &find(json!([])),
        &[("app/a", "1"), ("app.a", "2"), ("app a", "3")],
        Reason::KeyCollision,
        message,
    );
    let path = from(json!([{"find": {"path": "team-a/"}}]));
    let nothing = Answers::from_iter([(path.needs("").remove(0), Answer::Found(Vec::new()))]);
    let error = assemble(&path, &nothing).unwrap_err();
    assert_eq!(error.to_string(), "dataFrom[0], key `team-a/`: no entry matches");
    let twice = vec![("a".to_owned(), entry(b"1")), ("a".to_owned(), entry(b"2"))];
    let twice = Answers::from_iter([(path.needs("").remove(0), Answer::Found(twice))]);
    assert_eq!(assemble(&path, &twice).unwrap_err().reason(), Reason::KeyCollision);
}

#[test]
fn names_that_are_no_keys_are_named() {
    let with = |rewrite: Value| from(json!([{"extract": {"key": "db"}, "rewrite": rewrite}]));
    let because =
        "a key has 1 to 253 letters, digits, '-', '_' and '.', is no single dot and does not begin with two";
    // With `rewrite`, nothing is converted.
    let same = json!([{"regexp": {"source": "x", "target": "y"}}]);
    let message = format!("dataFrom[0], key `db`, name `a b`: this is no key of a Secret: {because}");
    refused(&with(same), &[("db", r#"{"a b": 1}"#)], Reason::InvalidKey, &message);
    for name in [".", "..", "..a"] {
        let entry = json!({name: 1}).to_string();
        let message = format!("dataFrom[0], key `db`, name `{name}`: this is no key of a Secret: {because}");
        refused(&with(json!([])), &[("db", &entry)], Reason::InvalidKey, &message);
    }
    let entry = json!({"n".repeat(254): 1}).to_string();
    let shown = "n".repeat(SHOWN);
    let message = format!("dataFrom[0], key `db`, name `{shown}…`: this is no key of a Secret: {because}");
    refused(&with(json!([])), &[("db", &entry)], Reason::InvalidKey, &message);
    let message = "dataFrom[0], key `db`, name ``: this is no key of a Secret: it is empty";
    refused(&with(json!([])), &[("db", r#"{"": 1}"#)], Reason::InvalidKey, message);
}

#[test]
fn steps_of_rewrite_follow_each_other() {
    let spec = from(json!([{
        "find": {"name": {"regexp": "."}},
        "rewrite": [
            {"regexp": {"source": "^.*/", "target": ""}},
            {"merge": {"strategy": "JSON", "into": "all", "conflictPolicy": "Ignore", "priority": ["a"]}},
            {"regexp": {"source": "^[ab]$", "target": ""}},
        ],
    }]));
    let entries = [("x/a", r#"{"k": "a", "n": "aGk="}"#), ("x/b", r#"{"k": "b"}"#)];
    check(&spec, &entries, &[("all", r#"{"k":"a","n":"aGk="}"#)]);
    let merged = from(json!([
        {"find": {"name": {"regexp": "."}, "decodingStrategy": "Base64"}, "rewrite": [{"merge": {}}]},
    ]));
    check(&merged, &[("a", r#"{"x": "aGk="}"#), ("b", r#"{"y": "aGk="}"#)], &[("x", "hi"), ("y", "hi")]);
    let message = "dataFrom[0], name `x`: two values have this name";
    refused(&merged, &[("a", r#"{"x": 1}"#), ("b", r#"{"x": 2}"#)], Reason::KeyCollision, message);
    let message = "dataFrom[0], name `b`: the JSON does not parse, from line 1 column 2 on";
    refused(&merged, &[("a", "{}"), ("b", "no")], Reason::InvalidValue, message);
    let strict = from(json!([
        {"find": {"name": {"regexp": "."}}, "rewrite": [{"merge": {"priority": ["gone"]}}]},
    ]));
    let message = "dataFrom[0], name `gone`: merge.priority names a value that is not there";
    refused(&strict, &[("a", "{}")], Reason::PropertyMissing, message);
}

#[test]
fn names_are_made_by_templates() {
    let with = |template: &str| {
        let rewrite = json!([{"transform": {"template": template}}]);
        from(json!([{"extract": {"key": "db"}, "rewrite": rewrite}]))
    };
    let entry = r#"{"user": "app", "host": "h"}"#;
    check(&with("DB_{{ value | upper }}"), &[("db", entry)], &[("DB_HOST", "h"), ("DB_USER", "app")]);
    check(&with("{% if value == 'user' %}{{ value }}{% endif %}"), &[("db", entry)], &[("user", "app")]);
    let message = "dataFrom[0], key `db`, name `host`: rewrite.transform makes no name of it";
    refused(&with("{{ user }}"), &[("db", entry)], Reason::InvalidKey, message);
}

#[test]
fn later_items_win_and_single_keys_win_over_all() {
    let spec = spec(
        json!([{"secretKey": "c", "remoteRef": {"key": "c"}}]),
        json!([{"extract": {"key": "one"}}, {"extract": {"key": "two"}}]),
    );
    let entries = [
        ("one", r#"{"a": "one", "b": "one", "c": "one"}"#),
        ("two", r#"{"b": "two", "c": "two", "d": "two"}"#),
        ("c", "single"),
    ];
    check(&spec, &entries, &[("a", "one"), ("b", "two"), ("c", "single"), ("d", "two")]);
}

#[test]
fn there_is_no_partial_result() {
    let two = json!([
        {"secretKey": "a", "remoteRef": {"key": "a"}},
        {"secretKey": "b", "remoteRef": {"key": "b", "property": "gone"}},
    ]);
    let spec = spec(two, json!([]));
    refused(
        &spec,
        &[("a", "1")],
        Reason::InternalError,
        "data[b], key `b`, property `gone`: it was never asked for",
    );
    let message = "data[b], key `b`, property `gone`: the entry has no such property";
    refused(&spec, &[("a", "1"), ("b", "{}")], Reason::PropertyMissing, message);
    // An answer of the wrong kind is none.
    let found = spec.needs("").into_iter().map(|need| (need, Answer::Found(Vec::new())));
    assert_eq!(assemble(&spec, &found.collect()).unwrap_err().fault, ValueFault::Unanswered);
    let find = from(json!([{"find": {"name": {"regexp": "x"}}}]));
    let answered = Answers::from_iter([(find.needs("").remove(0), Answer::Entry(entry(b"{}")))]);
    assert_eq!(assemble(&find, &answered).unwrap_err().fault, ValueFault::Unanswered);
}

#[test]
fn an_answer_is_found_whoever_it_was_issued_to() {
    let spec = one(json!({"key": "pki", "property": "a", "parameters": {"ttl": "1h"}}));
    for uid in ["", "uid-1"] {
        let answer = (spec.needs(uid).remove(0), Answer::Entry(entry(b"{\"a\": 1}")));
        assert_eq!(assemble(&spec, &Answers::from_iter([answer])).map(|data| data.len()), Ok(1));
    }
    let plain = one(json!({"key": "db"}));
    let dynamic = plain.needs("").remove(0).of_consumer("uid-1");
    let answers = Answers::from_iter([(dynamic.clone(), Answer::Entry(entry(b"x")))]);
    assert!(answers.get(&dynamic).is_some());
    assert_eq!(assemble(&plain, &answers).map(|data| data.len()), Ok(1));
}

#[test]
fn what_a_secret_cannot_hold_is_too_large() {
    let half = "x".repeat(limits::DATA_BYTES / 2);
    let two = spec(
        json!([{"secretKey": "a", "remoteRef": {"key": "a"}}, {"secretKey": "b", "remoteRef": {"key": "b"}}]),
        json!([]),
    );
    assert!(assembled(&two, &[("a", half.as_bytes()), ("b", half.as_bytes())]).is_ok());
    let more = format!("{half}x");
    let message = "the Secret: all values together are larger than 1024000 bytes";
    refused(&two, &[("a", &half), ("b", &more)], Reason::ValueTooLarge, message);
    let fields = |count: usize| {
        let fields: BTreeMap<String, u8> = (0..count).map(|i| (format!("k{i}"), 1)).collect();
        serde_json::to_string(&fields).unwrap()
    };
    let all = from(json!([{"extract": {"key": "a"}}]));
    assert_eq!(assembled(&all, &[("a", fields(1024).as_bytes())]).unwrap().len(), 1024);
    let message = "dataFrom[0], key `a`: there are more than 1024 values";
    refused(&all, &[("a", &fields(1025))], Reason::ValueTooLarge, message);
    let two = from(json!([
        {"extract": {"key": "a"}},
        {"extract": {"key": "a"}, "rewrite": [{"regexp": {"source": "k", "target": "x"}}]},
    ]));
    let message = "the Secret: there are more than 1024 values";
    refused(&two, &[("a", &fields(513))], Reason::ValueTooLarge, message);
}

/// What the author of an entry's name writes into a terminal stays there.
#[test]
fn names_are_shown_without_control_characters() {
    let all =
        from(json!([{"extract": {"key": "a"}, "rewrite": [{"regexp": {"source": "x", "target": "x"}}]}]));
    let error = assembled(&all, &[("a", b"{\"\\u001b[31m\\nred\": 1}")]).unwrap_err();
    assert!(error.to_string().starts_with("dataFrom[0], key `a`, name `[31mred`: "), "{error}");
}

proptest! {
    #[test]
    fn binary_values_survive(bytes in any::<Vec<u8>>()) {
        let plain = one(json!({"key": "x"}));
        prop_assert_eq!(&assembled(&plain, &[("x", &bytes)]).unwrap()[0].1, &bytes);
        let entry = json!({"in": BASE64_STANDARD.encode(&bytes)}).to_string();
        let part = one(json!({"key": "x", "property": "in", "decodingStrategy": "Base64"}));
        prop_assert_eq!(&assembled(&part, &[("x", entry.as_bytes())]).unwrap()[0].1, &bytes);
        let found = from(json!([{"find": {"name": {"regexp": "x"}}}]));
        prop_assert_eq!(&assembled(&found, &[("x", &bytes)]).unwrap()[0].1, &bytes);
    }

    #[test]
    fn whatever_is_answered_nothing_panics(entry in "[\\[\\]{}\":,0-9a-c\\\\ ]{0,30}|.{0,20}", property in ".{1,8}") {
        let remote = json!({"key": "x", "property": property, "decodingStrategy": "Auto"});
        let rewrite = json!([{"regexp": {"source": "(.)b", "target": "$1"}}, {"merge": {"conflictPolicy": "Ignore"}}]);
        for spec in [
            one(remote.clone()),
            from(json!([{"extract": remote}, {"extract": {"key": "x"}, "rewrite": rewrite}])),
            from(json!([{"find": {"name": {"regexp": "x"}}, "rewrite": rewrite}])),
        ] {
            let _ = assembled(&spec, &[("x", entry.as_bytes())]);
        }
    }
}
