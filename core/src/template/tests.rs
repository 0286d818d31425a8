//! Templates: what they make, what they refuse, and what they never tell.

use super::*;
use crate::keys::Identity;

const CANARY: &str = "canary-7Hq\"2\n{{ x }}";

fn key(name: &str) -> DataKey {
    name.parse().unwrap()
}

fn opened(values: &[(&str, &[u8])]) -> BTreeMap<DataKey, OpenedValue> {
    let opened_by = Identity::generate().id();
    let one = |value: &[u8]| OpenedValue { value: Secret::new(value.to_vec()), seq: 1, opened_by };
    values.iter().map(|(name, value)| (key(name), one(value))).collect()
}

/// Lengths of the tokens that values of these sizes have, at least.
fn parse(source: &str, values: &BTreeMap<DataKey, OpenedValue>) -> Result<Templates, TemplateError> {
    let lengths = values.iter().map(|(key, opened)| (key.clone(), 100 + opened.value.len() * 4 / 3 + 4));
    Templates::parse(BTreeMap::from([(key("out"), source.to_owned())]), "Opaque", lengths)
}

fn render(source: &str, values: &[(&str, &[u8])]) -> Result<String, TemplateError> {
    let values = opened(values);
    let rendered = parse(source, &values)?.render(&values)?;
    Ok(String::from_utf8(rendered[&key("out")].expose().to_vec()).unwrap())
}

fn check(source: &str, expected: &str) {
    let values: [(&str, &[u8]); 4] =
        [("user", b"jo e"), ("password", b"p\"w\n2"), ("tls.crt", b"CERT"), ("b64", b"aGVs\nbG8=")];
    assert_eq!(render(source, &values).as_deref(), Ok(expected), "{source}");
}

fn refused(source: &str, expected: TemplateFault) {
    let values = opened(&[("user", b"joe"), ("password", CANARY.as_bytes())]);
    let fault = parse(source, &values).map_err(|error| error.fault);
    assert_eq!(fault.map(|_| ()), Err(expected), "{source}");
}

#[test]
fn keys_are_written_by_name_and_by_index() {
    check("postgres://{{ user }}@db", "postgres://jo e@db");
    check("{{ data.user }}/{{ data['tls.crt'] }}", "jo e/CERT");
    check("{{- user -}}  x", "jo ex");
    check("{# a comment #}{{ \"{{\" }} { x } %}", "{{ { x } %}");
    check("line\n", "line\n");
}

#[test]
fn each_filter_does_what_its_page_says() {
    check("{{ b64 | b64decode }}", "hello");
    check("{{ user | b64encode }}", "am8gZQ==");
    check("{{ password | tojson }}", "\"p\\\"w\\n2\"");
    check("{{ password | indent(2) }}", "p\"w\n  2");
    check("{{ user | upper }}{{ 'A' | lower }}", "JO Ea");
    check("{{ user | replace(' ', '--') }}", "jo--e");
    check("{{ ' x ' | trim }}", "x");
    check("{{ user | urlencode }}", "jo%20e");
    check("{{ user | trim | upper | b64encode }}", "Sk8gRQ==");
}

#[test]
fn any_bytes_can_be_written_as_base64_and_only_so() {
    let values: [(&str, &[u8]); 1] = [("bin", b"\xff\xfe")];
    assert_eq!(render("{{ bin | b64encode }}", &values).as_deref(), Ok("//4="));
    assert_eq!(render("{{ bin }}", &values).map_err(|e| e.fault), Err(TemplateFault::NotText));
    assert_eq!(render("{{ bin | tojson }}", &values).map_err(|e| e.fault), Err(TemplateFault::NotText));
    assert_eq!(render("{{ bin | b64decode }}", &values).map_err(|e| e.fault), Err(TemplateFault::NotBase64));
}

#[test]
fn an_unknown_name_is_refused_before_anything_is_opened() {
    refused("{{ pasword }}", TemplateFault::UnknownName);
    refused("{{ data['pasword'] }}", TemplateFault::UnknownName);
    refused("{{ pasword | upper }}", TemplateFault::UnknownName);
    refused("{{ password.x }}", TemplateFault::UnknownName);
    refused("{{ user | sha256 }}", TemplateFault::UnknownFilter);
    refused("{{ user | indent }}", TemplateFault::BadArgument);
    refused("{{ user | replace('', 'x') }}", TemplateFault::BadArgument);
    refused("{{ user | replace(password, 'x') }}", TemplateFault::BadArgument);
    refused("{{ data }}", TemplateFault::NotWritable);
    refused("{{ [user] }}", TemplateFault::NotWritable);
    refused("{{ user", TemplateFault::Syntax);
    refused("{{ (user }}", TemplateFault::Syntax);
    refused("{# user", TemplateFault::Syntax);
    refused("{{ }}", TemplateFault::Syntax);
}

/// T01. Guard: no function exists, and engine errors are mapped to fixed phrases (`fault`).
#[test]
fn no_function_raises_with_a_value_and_no_error_shows_one() {
    let attempts = [
        "{{ fail(password) }}",
        "{{ password() }}",
        "{{ password.foo() }}",
        "{{ user | replace(password, password) }}",
        "{{ password | b64decode }}",
        "{{ [password] }}",
        "{{ (password, password) | upper }}",
        "{{ data[password] }}",
    ];
    let values = opened(&[("user", b"joe"), ("password", CANARY.as_bytes())]);
    for source in attempts {
        let error = parse(source, &values).and_then(|templates| templates.render(&values)).err().unwrap();
        for shown in [error.to_string(), format!("{error:?}"), format!("{error:#?}")] {
            assert!(!shown.contains("canary") && !shown.contains("7Hq"), "{source}: {shown}");
            assert!(!shown.contains(source), "{source}: {shown}");
        }
    }
}

#[test]
fn an_error_names_template_and_line() {
    let error = render("one\ntwo\n{{ nope }}", &[("user", b"x")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "template out, line 3: it uses a name that is not one of the keys in spec.data"
    );
    let error = render("one\n{% if x %}", &[("user", b"x")]).unwrap_err();
    assert_eq!(error.line, Some(2));
    assert!(
        error
            .to_string()
            .ends_with("statements ({% … %}) are not supported; expressions ({{ … }}) and filters are")
    );
}

/// T02, T03. Guard: the engine is set up empty (`environment`), without loader, globals or functions.
#[test]
fn nothing_reads_files_network_environment_or_other_objects() {
    for call in [
        "env('HOME')",
        "file('/etc/passwd')",
        "lookup('v1', 'Secret', 'kube-system', 'x')",
        "getHostByName('x')",
    ] {
        refused(&format!("{{{{ {call} }}}}"), TemplateFault::Operator);
    }
    for statement in
        ["include 'x'", "import 'x' as y", "extends 'x'", "from 'x' import y", "block a", "macro m()"]
    {
        refused(&format!("{{% {statement} %}}"), TemplateFault::Statement);
    }
}

/// T05. Guards: `screen` (operators and statements), bounds in `text::made`, `Budget`, fuel.
#[test]
fn templates_that_would_write_or_run_without_end_are_refused() {
    refused("{{ 'x' * 1000000000 }}", TemplateFault::Operator);
    refused("{{ 9 ** 999999999 }}", TemplateFault::Operator);
    refused("{{ range(1000000000) }}", TemplateFault::Operator);
    refused("{% for i in range(10) %}x{% endfor %}", TemplateFault::Statement);
    refused("{% macro f() %}{{ f() }}{% endmacro %}", TemplateFault::Statement);
    refused("{{ user | replace('', 'xxxxxxxx') }}", TemplateFault::BadArgument);
    let eightfold = "| replace('x', 'xxxxxxxx')";
    refused(&format!("{{{{ user {} }}}}", eightfold.repeat(6)), TemplateFault::TooLarge);
    refused(&format!("{{{{ user {} }}}}", "| indent(64)".repeat(6)), TemplateFault::TooLarge);
    refused(&"{{user|tojson}}".repeat(600), TemplateFault::TooLarge);
    refused(&"{{''}}".repeat(10_900), TemplateFault::TooManySteps);
    refused(&"x".repeat(64 * 1024 + 1), TemplateFault::TooLong);
    refused(&format!("{{{{ {}user{} }}}}", "(".repeat(200), ")".repeat(200)), TemplateFault::Syntax);
}

/// T05. Guard: `limits::LINKS` in `screen`; without it the engine's recursion ends the process.
#[test]
fn an_expression_without_end_is_refused_before_the_engine_recurses_into_it() {
    for link in ["|trim", ".a", "[0]", "('x')"] {
        refused(&format!("{{{{ user{} }}}}", link.repeat(10_000)), TemplateFault::TooDeep);
    }
    for bracket in ["(", "["] {
        refused(&format!("{{{{ {}", bracket.repeat(30_000)), TemplateFault::TooDeep);
    }
    let longest = format!("{{{{ user{} }}}}", "|trim".repeat(limits::LINKS));
    assert!(render(&longest, &[("user", b"x")]).is_ok());
}

/// T05. Guard: one `Budget` for all templates of an object.
#[test]
fn the_output_limit_is_for_all_templates_together() {
    let sources = (0..5).map(|i| (key(&format!("t{i}")), "x".repeat(60 * 1024)));
    let error = Templates::parse(sources.clone().collect(), "Opaque", []).unwrap_err();
    assert_eq!((error.key, error.fault), (key("t4"), TemplateFault::TooLarge));
    assert!(Templates::parse(sources.take(4).collect(), "Opaque", []).is_ok());
}

/// T06. Guards: `screen`, and opaque objects (`text::Text`) should the screen miss one.
#[test]
fn nothing_chooses_by_what_is_in_a_value() {
    for source in [
        "{{ 'a' if password == 'x' else 'b' }}",
        "{{ password == 'x' }}",
        "{{ password < 'x' }}",
        "{{ 'x' in password }}",
        "{{ password is startingwith('x') }}",
        "{{ password and user }}",
        "{{ not password }}",
        "{{ password[0:1] }}",
        "{{ password ~ user }}",
        "{{ password % user }}",
        "{{ {'a': 1} }}",
    ] {
        refused(source, TemplateFault::Operator);
    }
    for source in ["{% if password == 'x' %}{{ nope }}{% endif %}", "{%- set x = password %}"] {
        refused(source, TemplateFault::Statement);
    }
    // By content, only these two could choose; and there, only of the value itself.
    refused("{{ password | replace('c', '!') | b64decode }}", TemplateFault::BadArgument);
    refused("{{ password | b64decode | b64decode }}", TemplateFault::BadArgument);
}

/// T06. Guard: limits count bounds (`Text::bound`), not sizes.
#[test]
fn whether_a_limit_is_hit_does_not_depend_on_the_value() {
    let sources = [
        "{{ v | replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa') }}",
        "{{ v | tojson }}",
        "{{ v | trim }}",
    ];
    for source in sources {
        for times in [1, 20, 100, 400, 900] {
            let source = source.repeat(times);
            let outcomes = [[b'a'; 60], [b'z'; 60], [b'\x01'; 60], [b' '; 60]]
                .map(|value| render(&source, &[("v", &value)]).map(|_| ()));
            assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]), "{times} times {:.20}", source);
        }
    }
}

/// T06. Guard: `Text` is opaque, whatever the screen lets through.
#[test]
fn the_engine_itself_learns_nothing_from_an_opened_value() {
    let names = Names::new(BTreeMap::from([(
        "password".to_owned(),
        Arc::new(Text::sealed(Secret::new(b"same".to_vec()), 64)),
    )]));
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    for (source, expected) in [
        ("{{ password == 'same' }}", Some("False")),
        ("{{ password }}", Some("(opened value)")),
        ("{{ password ~ '' }}", Some("(opened value)")),
        ("{{ password | length }}", None),
        ("{{ password[0] }}", None),
    ] {
        let rendered = environment.render_str(source, names.root());
        assert_eq!(rendered.ok().as_deref(), expected, "{source}");
    }
}

/// T04. Guard: `render` gives bytes for the Secret's data and has no other output.
#[test]
fn a_value_stays_one_value_whatever_is_in_it() {
    let values: [(&str, &[u8]); 1] = [("v", CANARY.as_bytes())];
    assert_eq!(render("{{ v }}", &values).as_deref(), Ok(CANARY));
}

#[test]
fn literal_delimiters_can_be_written() {
    check("{{ \"{{\" }}{{ '{%' }}{{ '{#' }}{{ '}}' }}", "{{{%{#}}");
}

/// T06. Guards: `DEMANDS`, `Text::mark`. The API server refuses such a key when it is no JSON object.
#[test]
fn whether_the_api_server_takes_a_docker_configuration_does_not_depend_on_a_value() {
    let parse = |source: &str| {
        let sources = BTreeMap::from([(key(".dockerconfigjson"), source.to_owned())]);
        Templates::parse(sources, "kubernetes.io/dockerconfigjson", [(key("v"), 123)])
    };
    let good = r#"{"auths": {"r": {"password": {{ v | tojson }}, "auth": "{{ v | b64encode }}", "u": "{{ v | urlencode }}"}}}"#;
    let templates = parse(good).unwrap();
    for value in [&b"x"[..], b"\"", b"\\", b"}}", b"\n", b""] {
        let rendered = templates.render(&opened(&[("v", value)])).unwrap();
        let json: serde_json::Value =
            serde_json::from_slice(rendered[&key(".dockerconfigjson")].expose()).unwrap();
        assert!(json.is_object());
    }
    for source in [
        r#"{"a": "{{ v }}"}"#,
        r#"{"a": "{{ v | replace('a', '\"') }}"}"#,
        r#"{"a": {{ v | tojson | replace('\"', '') }}}"#,
        r#"{"a": {{ v | b64encode }}}"#,
        r#"{"a": 1{{ v | urlencode }}}"#,
        // Which stand-in a trial uses is no secret, so a template can be written for it.
        r#"{"a": {{ v | replace('eHh4', '1') | urlencode }}}"#,
        r#"{"a": {{ v | replace('eHh4', '1') | b64encode }}}"#,
        r#"{"a": "\u000{{ v | urlencode }}"}"#,
        r#"{"a": "\{{ v | replace('eHh4', 'n') | urlencode }}"}"#,
        r#"{"a": "{{ v | tojson }}"}"#,
        r#"[{{ v | tojson }}]"#,
        "{",
    ] {
        assert_eq!(parse(source).map_err(|error| error.fault), Err(TemplateFault::NotEncoded), "{source}");
    }
}

/// T06. Guards: `DEMANDS`, `Text::mark`. The API server refuses such a key when it is empty, and `replace` and `trim` can
/// make it empty for one value alone.
#[test]
fn whether_the_api_server_takes_an_ssh_key_does_not_depend_on_a_value() {
    let parse = |name: &str, source: &str| {
        let sources = BTreeMap::from([(key(name), source.to_owned())]);
        Templates::parse(sources, "kubernetes.io/ssh-auth", [(key("v"), 123)])
    };
    for source in [
        "",
        "{{ v | replace('guess', '') }}",
        "{{ v | replace('guess', '') | b64encode }}",
        "{{ v | trim }}{{ v | replace('eHh4', 'x') | trim }}",
        "{{ '' }}{{ v | b64decode }}",
        // Padding hides how long a value is.
        "{{ v }}",
    ] {
        let refused = parse("ssh-privatekey", source).map_err(|error| error.fault);
        assert_eq!(refused, Err(TemplateFault::MaybeEmpty), "{source}");
        assert!(parse("other", source).is_ok(), "{source}");
    }
    for source in ["{{ v }}\n", "# {{ v | trim }}", "{{ v | tojson }}", "{{ 'x' }}{{ v }}"] {
        let templates = parse("ssh-privatekey", source).unwrap();
        let rendered = templates.render(&opened(&[("v", b"")])).unwrap();
        assert!(!rendered[&key("ssh-privatekey")].is_empty(), "{source}");
    }
}

#[test]
fn a_digest_tells_templates_apart() {
    let digest = |sources: &[(&str, &str)]| {
        let sources = sources.iter().map(|(name, source)| (key(name), (*source).to_owned())).collect();
        Templates::parse(sources, "Opaque", []).unwrap().digest()
    };
    assert_eq!(digest(&[]), None);
    let digests = [digest(&[("a", "bc")]), digest(&[("ab", "c")]), digest(&[("a", "b"), ("c", "")])];
    assert!(digests.iter().all(Option::is_some));
    assert!(digests[0] != digests[1] && digests[1] != digests[2] && digests[0] != digests[2]);
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// Pieces that templates are made of, good ones and bad ones.
    const PIECES: [&str; 50] = [
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        "{{-",
        "-}}",
        "{{+",
        "+}}",
        " ",
        "\n",
        "v",
        "w",
        "data",
        "[",
        "]",
        "(",
        ")",
        ".",
        ",",
        "|",
        "=",
        "==",
        "'",
        "\"",
        "\\",
        "x",
        "7",
        "'v'",
        "\"w\"",
        "data['v']",
        "data.w",
        "|upper",
        "|trim",
        "|b64encode",
        "|b64decode",
        "|tojson",
        "|urlencode",
        "|indent(3)",
        "|replace('a','bcd')",
        "|replace('a','')",
        "|nope",
        "if",
        "in",
        "*",
        "~",
        "é",
        "{{ v }}",
        "{{ w | tojson }}",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        /// T01, T06. Whatever is written, nothing panics, and whether it works does not depend on what is in a value, as
        /// long as that is text and base64. Guard: `screen`, and values that the engine cannot look into (`text`).
        #[test]
        fn no_template_tells_anything_by_failing(
            pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..14),
            values in prop::array::uniform4("[a-zA-Z0-9+/]{48}"),
        ) {
            let source = pieces.concat();
            let outcomes = [[&values[0], &values[1]], [&values[2], &values[3]]].map(|[v, w]| {
                let decodes_to_text = [v, w].iter().all(|value| {
                    let decoded = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, value.as_bytes());
                    decoded.is_ok_and(|bytes| std::str::from_utf8(&bytes).is_ok())
                });
                let outcome = render(&source, &[("v", v.as_bytes()), ("w", w.as_bytes())]).map(|_| ());
                (outcome, decodes_to_text)
            });
            let by_text = |(outcome, decodes): &(Result<(), TemplateError>, bool)| {
                !decodes && outcome.as_ref().is_err_and(|error| error.fault == TemplateFault::NotText)
            };
            if !outcomes.iter().any(by_text) {
                prop_assert_eq!(&outcomes[0].0, &outcomes[1].0, "{}", source);
            }
        }

        /// T01. No fault shows the template's text or a value. Guard: `TemplateFault` has fixed phrases only.
        #[test]
        fn no_fault_quotes_anything(name in "[a-z]{12}", tail in "[-a-z0-9 |.()\\[\\]'\"=*{}%#]{0,20}") {
            let source = format!("{{{{ {name}{tail}");
            if let Err(error) = render(&source, &[("v", b"canary")]) {
                prop_assert!(!error.to_string().contains(&name), "{}", error);
                prop_assert!(!error.to_string().contains("canary"), "{}", error);
            }
        }
    }
}
