use serde_json::json;

use super::*;

/// `spec.data[0]`, the other way round.
fn path(text: &str) -> Vec<Step> {
    text.split('.')
        .map(|step| match step.strip_prefix('#') {
            Some(index) => Step::Index(index.parse().unwrap()),
            None => Step::from(step),
        })
        .collect()
}

fn set(at: &str, value: Value) -> Edit {
    Edit::Set { path: path(at), value }
}

fn remove(at: &str) -> Edit {
    Edit::Remove { path: path(at) }
}

#[track_caller]
fn check(before: &str, edits: &[Edit], after: &str) {
    match apply(before, 0, edits) {
        Ok(text) => assert_eq!(text, after, "{edits:?}"),
        Err(error) => panic!("{error}: {edits:?} in\n{before}"),
    }
    // The same with Windows line ends, which must survive.
    let crlf = |text: &str| text.replace('\n', "\r\n");
    if !before.contains('|') {
        assert_eq!(apply(&crlf(before), 0, edits).as_deref(), Ok(crlf(after).as_str()), "{edits:?}");
    }
}

const SEALED: &str = "\
# who to ask: the platform team
apiVersion: waxwing.dev/v1alpha1
kind: SealedSecret
metadata: {name: receivers, namespace: monitoring}   # moves with the team
spec:
  format: wax1
  envelopes:
    k3v7f2mq:
      commit: abc
      to: [prod-eu/3fa9c1d2]
      age: YWdl
  data:
    # paged at night
    pagerduty-key: wax1.k3v7f2mq.1789000000.aaaa

    smtp-password: wax1.k3v7f2mq.1789000000.bbbb   # rotated in May
";

#[test]
fn an_empty_mapping_grows_into_a_block_also_when_it_is_set_whole() {
    check("a: {}\nb: 1\n", &[set("a", json!({"p": "1", "q": "2"}))], "a:\n  p: \"1\"\n  q: \"2\"\nb: 1\n");
}

#[test]
fn a_value_is_replaced_in_its_place() {
    check(
        SEALED,
        &[set("spec.data.smtp-password", json!("wax1.new"))],
        &SEALED.replace("wax1.k3v7f2mq.1789000000.bbbb", "wax1.new"),
    );
    check(SEALED, &[set("metadata.name", json!("a b"))], &SEALED.replace("receivers", "a b"));
    check(
        SEALED,
        &[set("spec.envelopes.k3v7f2mq.to", json!(["a/1", "b/2"]))],
        &SEALED.replace("[prod-eu/3fa9c1d2]", "[a/1, b/2]"),
    );
    check(
        "a: 'x'\nb: \"y\"\nc: z\n",
        &[set("a", json!("1")), set("b", json!("w")), set("c", json!("no"))],
        "a: \"1\"\nb: \"w\"\nc: \"no\"\n",
    );
    check("a:   1   # c\n", &[set("a", json!(null))], "a:   null   # c\n");
    check("a:\n", &[set("a", json!(7))], "a: 7\n");
    check("a: # c\nb: 1\n", &[set("a", json!(7))], "a: 7 # c\nb: 1\n");
    check("a: !!str 5 # c\n", &[set("a", json!("six"))], "a: six # c\n");
    check("a: one\n  two\nb: 1\n", &[set("a", json!("x"))], "a: x\nb: 1\n");
    check("a:\n  one\nb: 1\n", &[set("a", json!("x"))], "a:\n  x\nb: 1\n");
}

#[test]
fn what_is_there_already_changes_nothing() {
    check(SEALED, &[set("spec.format", json!("wax1")), remove("spec.none"), remove("x.y.z")], SEALED);
    check("a: &x 'q'\nb: *x\n", &[set("b", json!("q"))], "a: &x 'q'\nb: *x\n");
}

#[test]
fn a_new_entry_stands_at_its_sorted_place() {
    check(
        SEALED,
        &[set("spec.data.opsgenie", json!("wax1.x"))],
        &SEALED.replace("    # paged", "    opsgenie: wax1.x\n    # paged").replace(
            "    opsgenie: wax1.x\n    # paged at night\n",
            "    # paged at night\n    opsgenie: wax1.x\n",
        ),
    );
    check(
        SEALED,
        &[set("spec.data.slack", json!("wax1.x"))],
        &SEALED.replace("aaaa\n", "aaaa\n    slack: wax1.x\n"),
    );
    check(SEALED, &[set("spec.data.zulip", json!("wax1.x"))], &format!("{SEALED}    zulip: wax1.x\n"));
    check(
        SEALED,
        &[set("spec.envelopes.12345678", json!({"commit": "c", "to": ["a", "b"]}))],
        &SEALED.replace("    k3v7", "    \"12345678\":\n      commit: c\n      to: [a, b]\n    k3v7"),
    );
    check("b: 1\na: 2\n", &[set("aa", json!(1))], "b: 1\na: 2\naa: 1\n");
    check("\"b\": 1\n", &[set("c", json!(1))], "\"b\": 1\n\"c\": 1\n");
}

#[test]
fn comments_stay_with_what_they_speak_of() {
    check(
        "a:\n  x: 1\n  # more of a\n# about c\nc: 1\n",
        &[set("b", json!(1))],
        "a:\n  x: 1\n  # more of a\nb: 1\n# about c\nc: 1\n",
    );
    check("a: 1\n# about b\nb: 1\n# about c\nc: 1\n", &[remove("b")], "a: 1\n# about c\nc: 1\n");
    check("d:\n  # all of d\n  a: 1\n  b: 2\n", &[remove("d.a")], "d:\n  # all of d\n  b: 2\n");
    check(
        "d:\n  # all of d\n\n  # about a\n  a: 1\n  b: 2\n",
        &[remove("d.a")],
        "d:\n  # all of d\n\n  b: 2\n",
    );
    check(
        "d:\n  # all of d\n\n  # about b\n  b: 2\n",
        &[set("d.a", json!(1))],
        "d:\n  # all of d\n\n  a: 1\n  # about b\n  b: 2\n",
    );
    check("a:\n  x: 1\n  # more of a\nb: 1\n", &[remove("a")], "b: 1\n");
    check("# license\n\na: 1\nb: 2\n", &[remove("a")], "# license\n\nb: 2\n");
}

#[test]
fn a_mapping_shrinks_to_braces_and_grows_back() {
    check("d: # c\n  # head\n  a: 1\ne: 1\n", &[remove("d.a")], "d: {} # c\n  # head\ne: 1\n");
    check("d: {} # c\ne: 1\n", &[set("d.a", json!("x"))], "d: # c\n  a: x\ne: 1\n");
    check("d:\ne: 1\n", &[set("d.a.b", json!("x"))], "d:\n  a:\n    b: x\ne: 1\n");
    check("d: ~\n", &[set("d.a", json!("x"))], "d:\n  a: x\n");
    check("d: 1\n", &[remove("d")], "{}\n");
    check("- a: 1\n- b: 2\n", &[remove("#0.a")], "- {}\n- b: 2\n");
    check("e: 1\n", &[set("d.a.b", json!({"c": []}))], "d:\n  a:\n    b:\n      c: []\ne: 1\n");
    check("d:\n  a: 1\n", &[set("d", json!("x"))], "d: x\n");
    check("d:\n  a: 1\ne: 2\n", &[set("d", json!([1, {"x": 2}]))], "d:\n- 1\n- x: 2\ne: 2\n");
    check("d:\n- a: 1\n- b\ne: 2\n", &[set("d", json!({"x": 2}))], "d:\n  x: 2\ne: 2\n");
    check("d:\n  - a\n  - b\ne: 2\n", &[set("d", json!(["c"]))], "d:\n  - c\ne: 2\n");
    check("d: old # c\ne: 2\n", &[set("d", json!({"x": {"v": 2}}))], "d: # c\n  x:\n    v: 2\ne: 2\n");
    check("d: |\n  x\n  y\ne: 2\n", &[set("d", json!({"x": 2}))], "d:\n  x: 2\ne: 2\n");
}

#[test]
fn setting_a_mapping_touches_what_differs_in_it() {
    check(
        "s:\n  # keep\n  a: 'x' # one\n  b: y\n  c: z # three\n",
        &[set("s", json!({"a": "x", "b": "w", "d": 1}))],
        "s:\n  # keep\n  a: 'x' # one\n  b: w\n  d: 1\n",
    );
    check("s: {a: 1, b: 2}\n", &[set("s", json!({"b": 3}))], "s: {b: 3}\n");
}

#[test]
fn items_of_a_list_are_edited_like_documents() {
    let list = "kind: List\nitems:\n- kind: Secret\n  data: {a: x}\n-  kind: SealedSecret\n   spec:\n     data:\n       a: 1\n";
    check(list, &[set("items.#1.spec.data.b", json!(2))], &list.replace("a: 1\n", "a: 1\n       b: 2\n"));
    check(list, &[set("items.#0.data.b", json!("w"))], &list.replace("{a: x}", "{a: x, b: w}"));
    check(list, &[set("items.#0.api", json!("v1"))], &list.replace("{a: x}", "{a: x}\n  api: v1"));
    check(list, &[remove("items.#0.kind")], &list.replace("- kind: Secret\n  data", "- data"));
    check("- b: 1\n  c: 2\n", &[set("#0.a", json!(1))], "- a: 1\n  b: 1\n  c: 2\n");
    check(
        "- x # c\n- y\n",
        &[set("#0", json!({"a": 1, "b": 2})), set("#1", json!("z"))],
        "- a: 1\n  b: 2 # c\n- z\n",
    );
    check(
        "l: [x, {a: 1}]\n",
        &[set("l.#1.b", json!(["q"])), set("l.#0", json!({"k": "v: w"}))],
        "l: [{k: \"v: w\"}, {a: 1, b: [q]}]\n",
    );
}

#[test]
fn json_stays_json() {
    let pretty = "{\n  \"kind\": \"S\",\n  \"spec\": {\n    \"a\": \"x\",\n    \"c\": \"y\"\n  }\n}\n";
    check(pretty, &[set("spec.a", json!("z"))], &pretty.replace("\"x\"", "\"z\""));
    check(pretty, &[set("spec.b", json!("z"))], &pretty.replace("\"x\",\n", "\"x\",\n    \"b\": \"z\",\n"));
    check(
        pretty,
        &[set("spec.d", json!({"e": [1]}))],
        &pretty.replace("\"y\"\n", "\"y\",\n    \"d\": {\n      \"e\": [\n        1\n      ]\n    }\n"),
    );
    check(pretty, &[set("spec.0", json!(true))], &pretty.replace("    \"a\"", "    \"0\": true,\n    \"a\""));
    check(pretty, &[remove("spec.a")], &pretty.replace("    \"a\": \"x\",\n", ""));
    check(pretty, &[remove("spec.c")], &pretty.replace("\"x\",\n    \"c\": \"y\"\n", "\"x\"\n"));
    check(pretty, &[remove("kind")], &pretty.replace("  \"kind\": \"S\",\n", ""));
    check(
        "{\"a\":1,\"b\":{}}",
        &[set("b.x", json!("y")), set("a", json!("no")), set("c", json!(null))],
        "{\"a\":\"no\",\"b\":{\"x\": \"y\"}, \"c\": null}",
    );
    check("{\"a\":1,\"b\":{}}", &[remove("a"), remove("b")], "{}");
    check("{\"a\":1,\"b\":{}}", &[remove("b")], "{\"a\":1}");
}

#[test]
fn flow_style_keeps_its_comments_and_commas() {
    let flow = "a: {\n  x: 1, # one\n  y: 2, # two\n}\nb: 1\n";
    check(flow, &[set("a.xx", json!("q"))], &flow.replace("# one\n", "# one\n  xx: \"q\",\n"));
    check(flow, &[set("a.z", json!("q"))], &flow.replace("# two\n", "# two\n  z: \"q\",\n"));
    check(flow, &[remove("a.y")], &flow.replace("  y: 2, # two\n", ""));
    let last = "a: {\n  x: 1, # one\n  y: 2 # two\n}\n";
    check(last, &[set("a.z", json!(3))], "a: {\n  x: 1, # one\n  y: 2, # two\n  z: 3\n}\n");
    check(last, &[remove("a.y")], "a: {\n  x: 1 # one\n}\n");
    check(
        "a: {x, y: , \"z\":3}\n",
        &[set("a.x", json!(1)), set("a.y", json!(2)), set("a.z", json!(4))],
        "a: {x: 1, y: 2 , \"z\":4}\n",
    );
    check("a: {x: 1,}\n", &[set("a.z", json!(2))], "a: {x: 1, z: 2,}\n");
    check("a: {x: 1, y: 2,}\n", &[remove("a.y")], "a: {x: 1,}\n");
}

#[test]
fn block_scalars_end_where_their_text_ends() {
    check("a: |\n  x\n\nb: 1\n", &[set("aa", json!(1))], "a: |\n  x\naa: 1\n\nb: 1\n");
    check("a: |+\n  x\n\nc: 1\n", &[set("b", json!(1))], "a: |+\n  x\n\nb: 1\nc: 1\n");
    check("a: |\n  x\n\n\nb: 1\n", &[set("a", json!("w"))], "a: w\n\n\nb: 1\n");
    check("a: >- # c\n  x\n  y\nb: 1\n", &[remove("a")], "b: 1\n");
    check("a: |\n  x\n  # text\n# no text\nb: 1\n", &[remove("a")], "# no text\nb: 1\n");
    check("a: |\n  x", &[set("b", json!(1))], "b: 1\na: |\n  x");
    check("a: |\n  x\nb: 1", &[remove("b")], "a: |\n  x\n");
    check("a: |-\nb: 1\n", &[set("aa", json!(1))], "a: |-\naa: 1\nb: 1\n");
}

#[test]
fn a_missing_final_line_end_stays_missing() {
    check("a: 1\nb: 2", &[set("c", json!(3))], "a: 1\nb: 2\nc: 3");
    check("a: 1\nb: 2", &[remove("b")], "a: 1");
    check("a: 1\nb: 2", &[remove("a")], "b: 2");
    check("a: 1\nb:", &[set("b.c", json!(3))], "a: 1\nb:\n  c: 3");
}

#[test]
fn other_documents_keep_their_bytes() {
    let text = "a: 1\n---\n# two\na: 1\n...\n%YAML 1.2\n---\na: [1\n";
    assert_eq!(
        apply(text, 1, &[set("b", json!(2))]).unwrap(),
        text.replace("# two\na: 1\n", "# two\na: 1\nb: 2\n")
    );
    assert_eq!(apply(text, 0, &[remove("a")]).unwrap(), text.replacen("a: 1\n", "{}\n", 1));
    assert!(matches!(
        apply(text, 2, &[]),
        Err(EditError::Yaml(YamlError::At { document: 2, line: 8 | 9, .. }))
    ));
    assert_eq!(apply(text, 3, &[]), Err(EditError::NoDocument { document: 3 }));
    assert_eq!(
        apply("---\n---\na: 1\n", 0, &[set("a", json!(1))]),
        Err(EditError::NoDocument { document: 0 })
    );
}

#[test]
fn what_is_shared_is_refused() {
    let text = "x: &x\n  a: 1\ny: *x\nz:\n  <<: *x\n  b: 1\nw: {v: &v 1}\nu: *v\n";
    for edit in [
        set("x.a", json!(2)),
        set("y", json!(2)),
        set("y.a", json!(2)),
        set("z.b", json!(2)),
        remove("z.b"),
        remove("x"),
        remove("w"),
        set("w", json!(1)),
    ] {
        let refused = apply(text, 0, std::slice::from_ref(&edit));
        assert!(matches!(refused, Err(EditError::Anchor { .. })), "{edit:?}: {refused:?}");
    }
    assert!(apply(text, 0, &[remove("u")]).is_err());
    assert_eq!(apply(text, 0, &[set("q", json!(1))]).unwrap(), format!("{text}q: 1\n"));
}

#[test]
fn refusals_name_the_path() {
    let refused = |text: &str, edit: Edit| apply(text, 0, &[edit]).unwrap_err().to_string();
    assert_eq!(refused("a: {b: 1}\n", set("a.b.c", json!(1))), "a.b is not a mapping");
    assert_eq!(refused("a: [1]\n", set("a.#1", json!(1))), "there is no list item a[1]");
    assert_eq!(refused("a: 1\n", set("b.#0", json!(1))), "there is no list item b[0]");
    assert!(refused("a: [x: 1]\n", set("a.#0.y", json!(1))).starts_with("a[0]: cannot edit"));
    assert!(refused("? a\n: 1\n", remove("a")).contains("cannot edit"));
}

#[test]
fn many_values_are_replaced_in_one_pass() {
    let text = (0..500).map(|key| format!("k{key:03}: a # {key}\n")).collect::<String>();
    let edits: Vec<_> = (0..500).map(|key| set(&format!("k{key:03}"), json!("b"))).collect();
    assert_eq!(apply(&text, 0, &edits).unwrap(), text.replace(": a #", ": b #"));
}

/// Guard: `verify`. A lone carriage return ends a line for YAML, but not for the splices.
#[test]
fn what_would_say_something_else_is_not_written() {
    assert_eq!(apply("\rb: 1", 0, &[set("a", json!(1))]), Err(EditError::Verify));
}

#[test]
fn entries_are_found_for_error_messages() {
    let text = "x: 1\n---\nkind: List\nitems:\n- data: {a: 1,\n    ü: 2, b: 3}\n";
    let document = &crate::yaml::documents(text).unwrap()[1];
    assert_eq!(locate(text, document, &path("items.#0.data.b")), Some((6, 11)));
    assert_eq!(locate(text, document, &path("items.#0")), Some((5, 3)));
    assert_eq!(locate(text, document, &path("items.#1")), None);
    let paths = ["items.#0.data.b", "items.#0.data.c.d", "items.#1.x", "none"].map(path);
    let near = nearest(text, document, paths.iter().map(Vec::as_slice));
    assert_eq!(near, [(6, 11), (5, 3), (4, 1), (3, 1)]);
}

#[test]
fn a_scalar_is_given_as_it_is_written() {
    let text = "a: [010, 1.50, \"x\"]\nb: {c: Yes, d: &x 5, e: *x, f: !!str 5, g: {}}\n";
    let document = read::documents(text).unwrap().remove(0);
    let paths = ["a.#0", "a.#1", "a.#2", "b.c", "b.d", "b.e", "b.f", "b.g", "b.h"].map(path);
    let found = written(text, &document, paths.iter().map(Vec::as_slice));
    let expected = [Some("010"), Some("1.50"), Some("x"), Some("Yes"), None, None, None, None, None];
    assert_eq!(found, expected.map(|text| text.map(str::to_owned)));
}
