use proptest::prelude::*;

use super::*;

fn named(values: &[(&str, &str)]) -> Named {
    let value = |text: &str| Secret::new(text.as_bytes().to_vec());
    values.iter().map(|(name, text)| ((*name).to_owned(), value(text))).collect()
}

fn shown(values: &Named) -> Vec<(&str, &str)> {
    let text = |value| std::str::from_utf8(Secret::expose(value)).unwrap();
    values.iter().map(|(name, value)| (name.as_str(), text(value))).collect()
}

fn check(rewrite: &Rewrite, values: &[(&str, &str)], expected: &[(&str, &str)]) {
    assert_eq!(shown(&rewrite.apply(named(values)).unwrap()), expected);
}

fn refused(rewrite: &Rewrite, values: &[(&str, &str)], name: &str, fault: ValueFault) {
    let faulty = rewrite.apply(named(values)).map(|_| ()).unwrap_err();
    assert_eq!((faulty.name.as_deref(), faulty.fault), (Some(name), fault));
}

fn regexp(source: &str, target: &str) -> Rewrite {
    Rewrite::Regexp { source: Pattern::new(source).unwrap(), target: target.to_owned() }
}

fn merge(into: Option<&str>, ignores_conflicts: bool, priority: &[&str]) -> Merge {
    let priority = priority.iter().map(|name| (*name).to_owned()).collect();
    Merge { into: into.map(str::to_owned), ignores_conflicts, priority, ignores_missing: false }
}

#[test]
fn names_are_rewritten_by_regular_expressions() {
    check(&regexp("^app/(.*)$", "$1"), &[("app/a", "1"), ("b", "2")], &[("a", "1"), ("b", "2")]);
    check(&regexp("[^a-z]", "_"), &[("a/b c", "1")], &[("a_b_c", "1")]);
    // A name that becomes nothing drops its value, and no matter how many do.
    check(&regexp("^tmp.*$", ""), &[("tmp1", "1"), ("tmp2", "2"), ("b", "3")], &[("b", "3")]);
    refused(&regexp("[0-9]", ""), &[("a1", "1"), ("a2", "2")], "a", ValueFault::KeyCollision);
    let long = "a".repeat(600);
    refused(&regexp("(.*)", "$1$1"), &[(&long, "1")], &long, ValueFault::InvalidKey { because: TOO_LONG });
}

#[test]
fn names_are_transformed_by_a_template() {
    let transform = Rewrite::Transform(TransformTemplate::parse("db_{{ value | upper }}").unwrap());
    check(&transform, &[("user", "1"), ("host", "2")], &[("db_HOST", "2"), ("db_USER", "1")]);
    let same = Rewrite::Transform(TransformTemplate::parse("x").unwrap());
    refused(&same, &[("a", "1"), ("b", "2")], "x", ValueFault::KeyCollision);
}

#[test]
fn fields_of_all_values_become_values() {
    let values = [("b", r#"{"host": "b", "port": 2}"#), ("a", r#"{"host": "a", "tls": {"on": true}}"#)];
    let all = |host, port| vec![("host", host), ("port", port), ("tls", r#"{"on":true}"#)];
    check(&Rewrite::Merge(merge(None, true, &[])), &values, &all("b", "2"));
    check(&Rewrite::Merge(merge(None, true, &["a"])), &values, &all("a", "2"));
    check(&Rewrite::Merge(merge(None, true, &["b", "a"])), &values, &all("a", "2"));
    refused(&Rewrite::Merge(merge(None, false, &[])), &values, "host", ValueFault::KeyCollision);
    // Naming an order says nothing about a conflict being meant.
    refused(&Rewrite::Merge(merge(None, false, &["a"])), &values, "host", ValueFault::KeyCollision);
}

#[test]
fn fields_of_all_values_become_one_object_beside_them() {
    let values =
        [("a", r#"{"x": "\u0041\"", "big": 12345678901234567890}"#), ("b", r#"{"a \"b\"": [ 1, null ]}"#)];
    let merged = r#"{"a \"b\"":[1,null],"big":12345678901234567890,"x":"\u0041\""}"#;
    let expected = [values[0], ("all", merged), values[1]];
    check(&Rewrite::Merge(merge(Some("all"), false, &[])), &values, &expected);
    check(&Rewrite::Merge(merge(Some("b"), false, &[])), &values, &[values[0], ("b", merged)]);
    check(&Rewrite::Merge(merge(Some("all"), false, &[])), &[], &[("all", "{}")]);
}

#[test]
fn a_name_in_the_order_must_be_there_unless_it_need_not() {
    let values = [("a", r#"{"x": 1}"#)];
    let mut strict = merge(None, true, &["a", "gone"]);
    refused(&Rewrite::Merge(strict.clone()), &values, "gone", ValueFault::PriorityMissing);
    strict.ignores_missing = true;
    check(&Rewrite::Merge(strict), &values, &[("x", "1")]);
}

#[test]
fn only_objects_can_be_merged() {
    let merge = Rewrite::Merge(merge(None, true, &[]));
    refused(&merge, &[("a", "[1]")], "a", ValueFault::Json(JsonFault::NotAnObject));
    let syntax = JsonFault::Syntax { line: 2, column: 1 };
    refused(&merge, &[("a", "{}"), ("b", "\noops")], "b", ValueFault::Json(syntax));
    refused(&merge, &[("a", r#"{"x": "\ud800"}"#)], "a", ValueFault::Json(JsonFault::Escape));
    refused(&merge, &[("a", r#"{"x": 1, "x": 2}"#)], "a", ValueFault::Json(JsonFault::Ambiguous));
}

#[test]
fn what_no_key_can_have_is_converted() {
    let convert = |strategy: ConversionStrategy, values| {
        convert(strategy, named(values))
            .map(|values| shown(&values).iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>())
    };
    let values: &[_] = &[("a/b c", "1"), ("ok-1._", "2"), ("é€😀", "3")];
    assert_eq!(convert(ConversionStrategy::Default, values).unwrap(), ["___", "a_b_c", "ok-1._"]);
    assert_eq!(
        convert(ConversionStrategy::Unicode, values).unwrap(),
        ["_U00e9__U20ac__U1f600_", "a_U002f_b_U0020_c", "ok-1._"]
    );
    let faulty = convert(ConversionStrategy::Default, &[("a/b", "1"), ("a b", "2")]).unwrap_err();
    assert_eq!((faulty.name.as_deref(), faulty.fault), (Some("a_b"), ValueFault::KeyCollision));
    let faulty = convert(ConversionStrategy::Default, &[("", "1")]).unwrap_err();
    assert_eq!(faulty.fault, ValueFault::InvalidKey { because: EMPTY });
}

proptest! {
    #[test]
    fn what_is_merged_reads_back(fields in prop::collection::btree_map(".{0,6}", any::<Option<String>>(), 0..5)) {
        let value = serde_json::to_string(&fields).unwrap();
        let merged = Rewrite::Merge(merge(Some("all"), false, &[])).apply(named(&[("a", &value)])).unwrap();
        let read: BTreeMap<String, Option<String>> = serde_json::from_slice(merged["all"].expose()).unwrap();
        prop_assert_eq!(read, fields);
    }

    #[test]
    fn unicode_conversion_is_a_key_and_never_mixes_two_names_up(one in ".{1,5}", other in ".{1,5}") {
        prop_assume!(one != other && !one.contains("_U") && !other.contains("_U"));
        let converted = convert(ConversionStrategy::Unicode, named(&[(&one, "1"), (&other, "2")])).unwrap();
        prop_assert!(converted.keys().all(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))));
    }
}
