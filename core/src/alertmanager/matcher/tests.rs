use proptest::prelude::*;

use super::*;

fn shown(text: &str, syntax: Syntax) -> Result<Vec<String>, MatcherError> {
    Ok(parse(text, syntax)?.matchers.iter().map(ToString::to_string).collect())
}

fn warning(text: &str) -> Option<Warning> {
    parse(text, Syntax::Fallback).unwrap_or_else(|error| panic!("{error}")).warning
}

#[test]
fn matchers_are_read_in_either_syntax() {
    for (text, expected) in [
        ("", &[][..]),
        ("{}", &[]),
        ("a=b", &[r#"a="b""#]),
        ("{ a = \"b\" , c!=d, }", &[r#"a="b""#, r#"c!="d""#]),
        ("a=~\"b|c\",d!~e", &[r#"a=~"b|c""#, r#"d!~"e""#]),
        (r#"a="say \"x\", \\ and \n""#, &[r#"a="say \"x\", \\ and \n""#]),
    ] {
        for syntax in [Syntax::Classic, Syntax::Fallback, Syntax::Utf8] {
            assert_eq!(shown(text, syntax).unwrap(), expected, "{text} {syntax:?}");
        }
    }
}

#[test]
fn the_classic_syntax_is_tolerant() {
    for (text, expected) in [
        ("a=", r#"a="""#),
        ("a=b c", r#"a="b c""#),
        ("a=b=c", r#"a="b=c""#),
        (r"a=\d", r#"a="\\d""#),
        ("{a=b", r#"a="b""#),
        ("a=b}", r#"a="b""#),
        ("a:b=c", r#"a:b="c""#),
        ("a=🙂", r#"a="🙂""#),
    ] {
        assert_eq!(shown(text, Syntax::Classic).unwrap(), [expected], "{text}");
    }
    for text in ["1a=b", "a", "a-b=c", "a=b\"c", "a=\"b", "=b", ",", "a=b,,c=d", "\"a\"=b", "🙂=a"] {
        assert!(shown(text, Syntax::Classic).is_err(), "{text}");
    }
}

#[test]
fn the_other_syntax_takes_any_name_and_is_strict() {
    for (text, expected) in [
        ("🙂=🙃", r#"🙂="🙃""#),
        (r#""a b"="c d""#, r#""a b"="c d""#),
        ("a-b=c", r#"a-b="c""#),
        (r#"a="\u00e9\x41\101""#, r#"a="éAA""#),
        ("\"\"=a", r#"""="a""#),
    ] {
        assert_eq!(shown(text, Syntax::Utf8).unwrap(), [expected], "{text}");
    }
    for text in [
        "a=",
        "a=b c",
        "{a=b",
        "a=b}",
        "}",
        "{",
        ",",
        "{,}",
        "a=b,,c=d",
        "a==b",
        "a!b",
        "a='b'",
        "{{a=b}}",
        "{}a=b",
        r#"a="\d""#,
        r#"a="\xff""#,
        r#"a="\ud800""#,
        r#"a="\'""#,
        "a=\"b\nc\"",
        r#"a="\400""#,
        r#"a="b"c"#,
    ] {
        assert!(shown(text, Syntax::Utf8).is_err(), "{text}");
    }
}

/// What only one syntax takes is read by that one; where they differ the classic one counts.
/// Guard: the order of the arms of `parse`.
#[test]
fn the_default_falls_back_to_the_classic_syntax() {
    assert_eq!(shown("🙂=a", Syntax::Fallback).unwrap(), [r#"🙂="a""#]);
    assert_eq!(warning("🙂=a"), None);
    assert_eq!(warning("a=b c"), Some(Warning::ClassicOnly));
    let different = r#"a="\x41""#;
    assert_eq!(shown(different, Syntax::Utf8).unwrap(), [r#"a="A""#]);
    assert_eq!(shown(different, Syntax::Fallback).unwrap(), [r#"a="\\x41""#]);
    assert_eq!(warning(different), Some(Warning::Disagreement));
    assert!(matches!(parse("🙂 a", Syntax::Fallback), Err(MatcherError::Format)));
}

#[test]
fn an_absent_label_is_an_empty_one() {
    let labels = Labels::from([("a".to_owned(), "x".to_owned())]);
    for (text, expected) in [
        ("a=x", true),
        ("a!=x", false),
        ("a=~\"x|y\"", true),
        ("a=~\"\"", false),
        ("b=\"\"", true),
        ("b!=x", true),
        ("b=~\".*\"", true),
        ("b=~\".+\"", false),
        ("b!~\"x?\"", false),
    ] {
        let matcher =
            parse(text, Syntax::Fallback).unwrap_or_else(|error| panic!("{error}")).matchers.remove(0);
        assert_eq!(matcher.matches(&labels), expected, "{text}");
    }
}

#[test]
fn expressions_mean_what_they_mean_in_go() {
    for (expression, takes, takes_not) in [
        ("a|b", &["a", "b"][..], &["ab", "xa", ""][..]),
        ("a)|(b", &["ax", "xb"], &["xax"]),
        (r"\d\w\s", &["1a ", "1_\t"], &["٣a ", "1é ", "1a\u{a0}", "1a\x0b"]),
        (r"\Qa.b*\Ec*", &["a.b*", "a.b*cc"], &["axb*"]),
        (r"a\Qb\E+", &["abb"], &["abab"]),
        (r"\x41\x{42}\103", &["ABC"], &[]),
        ("a{,2}", &["a{,2}"], &["aa"]),
        ("a{2}", &["aa"], &["a", "aaa"]),
        ("a{01}{", &["a{01}{"], &[]),
        ("[[:alpha:]&&x]", &["a", "&"], &["1"]),
        ("[a-]", &["a", "-"], &["b"]),
        ("[]a]", &["]", "a"], &[]),
        ("[[a]", &["[", "a"], &[]),
        ("(?i)É", &["é"], &["e"]),
        ("(?i:a)B", &["aB", "AB"], &["ab"]),
        ("a(?i)b|c", &["aB", "C"], &["Ab"]),
        ("a(?i)*", &["aa"], &["AA"]),
        ("a+(?i)?", &["", "aa"], &[]),
        ("(?s).", &["\n"], &[]),
        (".", &["a", "é"], &["\n", "ab"]),
        ("(?m)a$\n^b", &["a\nb"], &[]),
        (r"\ba\b.\B-", &["a--"], &["ab-"]),
        (r"\p{Greek}\pL", &["αa"], &["aa"]),
        (r"[^\D]", &["1"], &["a"]),
        ("#x y", &["#x y"], &["#xy", ""]),
        ("(?U)a+?", &["aa"], &["b"]),
        ("(?P<n>a)", &["a"], &[]),
        ("^a$", &["a"], &["ab"]),
        ("", &[""], &["a"]),
        (r"[\]\-]", &["]", "-"], &[]),
    ] {
        let pattern = Pattern::read(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
        for value in takes {
            assert!(pattern.is_match(value), "{expression} {value:?}");
        }
        for value in takes_not {
            assert!(!pattern.is_match(value), "{expression} {value:?}");
        }
    }
}

#[test]
fn expressions_that_go_refuses_are_refused() {
    for expression in [
        "(",
        ")",
        "a(",
        "*",
        "a**",
        "a+*",
        "|*",
        "(*)",
        "[",
        "[]",
        "[b-a]",
        "[[:foo:]]",
        r"\",
        r"\C",
        r"\Z",
        r"\1",
        r"\8",
        r"\E",
        r"\é",
        r"\x{110000}",
        r"\xg0",
        "(?=a)",
        "(?!a)",
        "(?i-)",
        "(?",
        "(?P<>a)",
        "a{1001}",
        "(a{100}){11}",
        "a{2,1}",
        r"\Qa",
        r"\pq",
        "(?--i)",
        r"[a-\d]",
    ] {
        assert!(Pattern::read(expression).is_err(), "{expression}");
    }
}

#[test]
fn what_cannot_be_translated_is_refused_and_not_read_otherwise() {
    for expression in [r"\p{C}", r"\p{greek}", r"\p{Letter}", "(?<n>a)", r"\x{d800}", r"(\pL{900}){1}"] {
        let error = Pattern::read(expression).err();
        assert!(matches!(error, Some(PatternError::Unsupported(_))), "{expression} {error:?}");
    }
    let text = r#"a=~"\\p{Letter}""#;
    assert!(matches!(
        parse(text, Syntax::Fallback),
        Err(MatcherError::Pattern(PatternError::Unsupported(_)))
    ));
}

/// Guard: the errors that hold no text.
#[test]
fn errors_never_show_the_text() {
    for text in ["hunter2", "a=\"hunter2", "a=~\"hunter2(\"", r#"a="\hunter2""#, "{hunter2"] {
        for syntax in [Syntax::Classic, Syntax::Fallback, Syntax::Utf8] {
            if let Err(error) = parse(text, syntax) {
                assert!(!format!("{error} {error:?}").contains("hunter"), "{error}");
            }
        }
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parsers_panic(text in "[a=~!{}\",\\\\ xu0-9(|)*\\[\\]:^🙂\n]{0,24}") {
        for syntax in [Syntax::Classic, Syntax::Fallback, Syntax::Utf8] {
            let _ = parse(&text, syntax);
        }
    }

    #[test]
    fn what_is_shown_is_read_as_the_same(name in ".{1,4}", value in "[^\\p{C}]{0,6}") {
        let matcher = Matcher::new(name, Operator::NotEqual, value).unwrap();
        let read = shown(&matcher.to_string(), Syntax::Utf8);
        prop_assert_eq!(read, Ok(vec![matcher.to_string()]));
    }

    #[test]
    fn every_text_is_an_expression_or_an_error(text in "[ab01{},?*+|()\\[\\]^$.:\\\\dwsbBpPLQEAzimsU<>-]{0,16}") {
        if let Err(PatternError::Unsupported(why)) = Pattern::read(&text) {
            // Whatever Go's grammar takes is translated, so only names and sizes are left.
            prop_assert!(why != "it nests too deep", "{}", text);
        }
    }
}
