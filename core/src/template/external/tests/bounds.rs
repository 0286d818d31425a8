//! T05, D07. What a template may cost.

use super::*;

/// T05. Guard: `language::count`. The engine's parser and compiler recurse into all of these.
#[test]
fn what_would_be_recursed_into_too_deeply_is_refused_first() {
    for (start, link, end) in [
        ("user", "|trim", ""),
        ("user", ".a", ""),
        ("user", "[0]", ""),
        ("user", "~user", ""),
        ("user", " is string", ""),
        ("user", "()", ""),
        ("", "not ", "user"),
        ("", "- ", "1"),
        ("user", " if user else user", ""),
        ("user", " if user", ""),
        ("user", " and user", ""),
        ("", "[", ""),
        ("", "(", ""),
        ("", "{'a':", ""),
        ("user", " == user", ""),
        ("user", "|default(user", ""),
    ] {
        refused(&format!("{{{{ {start}{}{end} }}}}", link.repeat(2_500)), Fault::TooDeep);
        // As long as it may be, it is no danger either.
        let _ = render(&format!("{{{{ {start}{}{end} }}}}", link.repeat(limits::LINKS / 4)), &values());
    }
    refused(&format!("{{% if user %}}{}{{% endif %}}", "{% elif user %}".repeat(3_000)), Fault::TooDeep);
    refused(&"{% if user %}".repeat(3_000), Fault::Syntax);
    refused(&"{% for x in [1] %}".repeat(3_000), Fault::Syntax);
    let longest = format!("{{% if user %}}{}{{% endif %}}", "{% elif user %}".repeat(limits::BRANCHES));
    assert!(render(&longest, &values()).is_ok());
    let nested = format!("{}{}", "{% if user %}".repeat(60), "{% endif %}".repeat(60));
    assert!(render(&nested, &values()).is_ok());
}

/// T05. Guards: `limits::SETS`, `limits::LEVELS`: what holds another is dropped by recursion.
#[test]
fn lists_are_not_put_into_each_other_without_end() {
    refused(&format!("{{% set a = [] %}}{}", "{% set a = [a] %}".repeat(3_000)), Fault::TooDeep);
    refused("{{ [[[[[1]]]]] | tojson }}", Fault::TooDeep);
    refused("{{ {'a': [{'b': [{}]}]} | tojson }}", Fault::TooDeep);
    check("{{ [[[[1]]]] | tojson }}", "[[[[1]]]]");
    let deepest = format!(
        "{{% set a = 1 %}}{}{{{{ a | tojson | length }}}}",
        "{% set a = [[[[a]]]] %}".repeat(limits::SETS - 1)
    );
    fails(&deepest, Fault::TooDeep);
    let deep = format!("{}1{}", "[".repeat(120), "]".repeat(120));
    let values = data(&[("v", deep.as_bytes())]);
    assert_eq!(render("{{ v | fromjson | tojson }}", &values).as_deref(), Ok(&*deep));
    let values = data(&[("v", "[".repeat(100_000).as_bytes())]);
    assert_eq!(render("{{ v | fromjson }}", &values).map_err(|error| error.fault), Err(Fault::NotJson));
    assert_eq!(render("{{ v | fromyaml }}", &values).map_err(|error| error.fault), Err(Fault::NotYaml));
}

/// T05. Guard: `Run::walk` and `choice::same` count what is there more than once as often.
#[test]
fn a_small_list_that_unfolds_without_end_is_not_followed() {
    let doubled = |name: &str| {
        format!("{{% set {name} = ['x'] %}}{}", format!("{{% set {name} = [{name}, {name}] %}}").repeat(30))
    };
    let both = [doubled("a"), doubled("b")].concat();
    for expression in ["a == b", "a | tojson", "a | toyaml", "a in [b]", "a != b"] {
        fails(&format!("{both}{{{{ {expression} }}}}"), Fault::TooMuchWork);
    }
    fails(&format!("{both}{{{{ a | join }}}}"), Fault::NotPlain);
}

/// T05. Guard: `limits::WORK_BYTES`, `limits::TEXT_BYTES`.
#[test]
fn texts_do_not_grow_without_end() {
    let doubling =
        format!("{{% set a = 'xxxxxxxx' %}}{}{{{{ a | length }}}}", "{% set a = a ~ a %}".repeat(40));
    fails(&doubling, Fault::TooMuchWork);
    for grown in [
        "{% set a = a | replace('x', 'xxxxxxxxxxxxxxxx') %}",
        "{% set a = a | b64encode | hex %}",
        "{% set a = [a, a, a, a] | join(a) %}",
        "{% set a = a | quote | squote | tojson | hex %}",
    ] {
        fails(
            &format!("{{% set a = 'xxxxxxxxxx' %}}{}{{{{ a | length }}}}", grown.repeat(30)),
            Fault::TooMuchWork,
        );
    }
    let commas = data(&[
        ("v", ",".repeat(900_000).as_bytes()),
        ("json", format!("[{}0]", "0,".repeat(400_000)).as_bytes()),
    ]);
    for source in [
        "{{ v | split(',') | length }}",
        "{{ json | fromjson | length }}",
        "{% for i in range(1000) %}{% if 'x' in v %}{% endif %}{% endfor %}",
    ] {
        assert_eq!(render(source, &commas).map_err(|error| error.fault), Err(Fault::TooMuchWork), "{source}");
    }
}

/// T05. Guards: `limits::OUTPUT_BYTES`, and fuel, for all templates of an object together.
#[test]
fn output_and_steps_are_for_all_templates_together() {
    let values = data(&[("v", "x".repeat(100_000).as_bytes())]);
    let sources = |count: usize, source: &str| {
        (0..count).map(|at| (key(&format!("t{at:02}")), source.to_owned())).collect()
    };
    let render = |count, source: &str| {
        ExternalTemplates::parse(sources(count, source)).unwrap().render(&values, PLACE)
    };
    assert!(render(10, "{{ v }}").is_ok());
    let error = render(11, "{{ v }}").unwrap_err();
    assert_eq!((error.key.as_str(), error.fault), ("t10", Fault::TooMuchOutput));
    let looped = "{% for i in range(1000) %}{{ i }}{% endfor %}";
    assert!(render(3, looped).is_ok());
    let error = render(10, looped).unwrap_err();
    assert_eq!(error.fault, Fault::TooManySteps);
    assert!(error.key.as_str() > "t02");
    // The template's own text counts as output each time that it is written.
    let text = "x".repeat(2_000);
    assert_eq!(
        render(1, &format!("{{% for i in range(1000) %}}{text}{{% endfor %}}")).unwrap_err().fault,
        Fault::TooMuchOutput
    );
    refused(&"x".repeat(limits::SOURCE_BYTES + 1), Fault::TooLong);
}

/// T05. Guard: `limits::HASHING`.
#[test]
fn slow_hashing_is_counted_by_what_it_costs() {
    let hashes = |count: usize, call: &str| {
        render(&format!("{{% for i in range({count}) %}}{{{{ {call} | length }}}}{{% endfor %}}"), &values())
            .map_err(|error| error.fault)
    };
    assert!(hashes(1000, "'p' | bcrypt(4)").is_ok());
    assert_eq!(hashes(1, "'p' | bcrypt(12)").as_deref(), Ok("60"));
    assert_eq!(hashes(5, "'p' | bcrypt(12)"), Err(Fault::TooManyHashes));
    assert_eq!(hashes(17, "truststore(cert, 'x')"), Err(Fault::TooManyHashes));
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    const PIECES: [&str; 96] = [
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        "{{-",
        "-}}",
        "{%-",
        "-%}",
        " ",
        "\n",
        "v",
        "w",
        "bin",
        "secret",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        ".",
        ",",
        ":",
        "|",
        "=",
        "==",
        "!=",
        "<",
        ">=",
        "~",
        "+",
        "*",
        "-",
        "'",
        "\"",
        "\\",
        "x",
        "7",
        "'v'",
        "\"w\"",
        "secret['v']",
        "secret.w",
        "|upper",
        "|trim",
        "|b64encode",
        "|b64decode",
        "|tojson",
        "|toyaml",
        "|fromjson",
        "|fromyaml",
        "|urlencode",
        "|indent(3)",
        "|nindent(3)",
        "|replace('a','bcd')",
        "|split",
        "|split('a')",
        "|join(',')",
        "|first",
        "|last",
        "|length",
        "|items",
        "|default('d')",
        "|default(v, true)",
        "|pem('X')",
        "|cert_leaf",
        "|hex",
        "|sha256",
        "|quote",
        "|squote",
        "|truncate(2)",
        "|nope",
        " if ",
        " else ",
        " in ",
        " is ",
        " not ",
        " and ",
        " or ",
        "defined",
        "string",
        "range(3)",
        "loop.index",
        "{% if v %}",
        "{% else %}",
        "{% endif %}",
        "{% for x in v|split %}",
        "{% for x in [v, w] %}",
        "{% endfor %}",
        "{% set x = v %}",
        "{{ v }}",
        "{{ w | tojson }}",
        "{{ x ~ v }}",
        "é",
        "{% raw %}",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        /// T05, L01. Whatever is written, nothing panics, and what an error shows is no value. Guard: `language` knows all
        /// that it lets through, and faults are fixed phrases.
        #[test]
        fn no_template_panics_or_shows_a_value(
            pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..24),
            value in "canary[a-z]{6}|\\{\"canary[a-z]{6}\": \\[1, \"canary\"\\]\\}|Y2FuYXJ5",
        ) {
            let source = pieces.concat();
            let values = data(&[("v", value.as_bytes()), ("w", b"canary: [canary, 2]"), ("bin", b"\xffcanary")]);
            if let Err(error) = render(&source, &values) {
                let shown = format!("{error} {error:?}");
                prop_assert!(!shown.contains("canary") && !shown.contains("Y2Fu"), "{shown}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// T05. Whatever stands in the values, a template that reads them does not panic and keeps its limits. Guard:
        /// `Run::write`, and parsers that return what they find wrong.
        #[test]
        fn no_value_makes_a_template_panic(value in prop::collection::vec(any::<u8>(), 0..60), text in ".{0,40}") {
            for value in [&value[..], text.as_bytes()] {
                let values = data(&[("v", value)]);
                for expression in leaks::EXPRESSIONS {
                    if let Ok(written) = bytes(&format!("{{{{ {expression} }}}}"), &values) {
                        prop_assert!(written.len() <= limits::OUTPUT_BYTES);
                    }
                }
            }
        }
    }
}
