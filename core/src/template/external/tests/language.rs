//! Names, statements, operators and tests.

use super::*;

#[test]
fn values_are_reached_by_name_and_by_index() {
    check("{{ user }}:{{ secret.user }}:{{ secret['tls.crt'] }}", "joe:joe:CERT");
    check("{% set k = 'us' ~ 'er' %}{{ secret[k] }}", "joe");
    check(
        "{% for name in secret %}{{ name }} {% endfor %}",
        "bin cert config empty hosts key password text tls.crt user ",
    );
    check("{{ secret | length }}", "10");
    let long = data(&[("v", "x".repeat(limits::NAME + 1).as_bytes()), ("n", b"v")]);
    assert_eq!(render("{{ secret[v] is defined }} {{ secret[n] == v }}", &long).as_deref(), Ok("false true"));
    let own = data(&[("secret", b"x"), ("range", b"y"), ("loop", b"z")]);
    assert_eq!(
        render("{{ secret.secret }}{{ range }}{{ secret.loop }}{{ range(1) | length }}", &own).unwrap(),
        "xyz1"
    );
}

#[test]
fn text_of_the_template_stays_as_it_is() {
    check("line\n", "line\n");
    check("{# a comment #}{{ \"{{\" }} { x } %}", "{{ { x } %}");
    check("{% raw %}{{ .Values.x }}{% if %}{% endraw %}!", "{{ .Values.x }}{% if %}!");
    check(" {{- user -}} \n x", "joex");
    check("", "");
    check("é{{ 'ü' }}", "éü");
}

#[test]
fn statements_choose_and_repeat() {
    check("{% if user == 'joe' %}yes{% else %}no{% endif %}", "yes");
    check("{% if user == 'jo' %}1{% elif 'oe' in user %}2{% else %}3{% endif %}", "2");
    check(
        "{% for host in hosts | split(',') %}{{ loop.index }}:{{ host }}{% if not loop.last %};{% endif %}{% endfor %}",
        "1:a.example;2:b.example",
    );
    check("{% for k, v in (config | fromjson).in | items %}{{ k }}={{ v }}{% endfor %}", "x=y");
    check("{% for x in [] %}{{ x }}{% else %}none{% endfor %}", "none");
    check("{% for x in [user, 'a'] if x != 'a' %}{{ x }}{% endfor %}", "joe");
    check("{% set c = config | fromjson %}{{ c.port }}/{{ c.tls }}/{{ c.hosts[1] }}", "5432/true/b");
    check("{% set a = 1 %}{% for i in range(3) %}{{ a }}{% set a = i %}{% endfor %}", "111");
}

#[test]
fn operators_compare_join_and_combine() {
    check("{{ user ~ ':' ~ password }}", "joe:s3cr\"t/1");
    check("{{ 1 ~ true ~ -2.5 }}", "1true-2.5");
    check("{{ user == 'joe' }}{{ user != 'joe' }}{{ 'joe' == user }}", "truefalsetrue");
    check("{{ 1 < 2 }}{{ 2 <= 1 }}{{ 'b' > 'a' }}{{ user >= 'k' }}", "truefalsetruefalse");
    check("{{ 1 == 1.0 }}{{ '1' == 1 }}{{ none == none }}{{ true == 1 }}", "truefalsetruefalse");
    check(
        "{{ [1, ['a']] == [1, ['a']] }}{{ {'a': user} == {'a': 'joe'} }}{{ [1] == [1, 2] }}",
        "truetruefalse",
    );
    check("{{ {'a': 1} == (('{\"a\": 1}') | fromjson) }}{{ {'a': 1} == {'b': 1} }}", "truefalse");
    check(
        "{{ 'jo' in user }}{{ user in ['joe'] }}{{ 'port' in (config | fromjson) }}{{ 'x' not in user }}",
        "truetruetruetrue",
    );
    check("{{ empty or user }}{{ user and 'x' }}{{ not empty }}", "joextrue");
    check("{{ 'a' if empty else 'b' }}", "b");
    check(
        "{{ user is string }}{{ bin is string }}{{ bin is binary }}{{ 1 is number }}{{ true is boolean }}",
        "truefalsetruetruetrue",
    );
    check(
        "{{ nope is defined }}{{ nope is undefined }}{{ secret.nope is defined }}{{ user is defined }}",
        "falsetruefalsetrue",
    );
    check(
        "{{ [] is sequence }}{{ {} is mapping }}{{ none is none }}{{ user is mapping }}",
        "truetruetruefalse",
    );
    check(
        "{{ user is startingwith('jo') }}{{ user is endingwith 'x' }}{{ user is not string }}",
        "truefalsefalse",
    );
}

#[test]
fn bytes_that_are_no_text_stand_alone_or_are_encoded() {
    let binary = |source: &str| bytes(source, &values()).map_err(|error| error.fault);
    assert_eq!(binary("{{ bin }}"), Ok(b"\xff\xfe".to_vec()));
    assert_eq!(binary(" {{ bin }}\n"), Ok(b"\xff\xfe".to_vec()));
    assert_eq!(binary("{{ bin | b64encode | b64decode }}"), Ok(b"\xff\xfe".to_vec()));
    check("{{ bin | b64encode }} {{ bin | hex }} {{ bin | length }}", "//4= fffe 2");
    for source in [
        "x{{ bin }}",
        "{{ bin }}{{ bin }}",
        "{{ bin ~ '' }}",
        "{{ bin | upper }}",
        "{{ bin | tojson }}",
        "{{ [bin] | toyaml }}",
    ] {
        fails(source, Fault::NotText);
    }
    check("{{ bin == bin }}{{ bin == user }}", "truefalse");
}

#[test]
fn what_does_not_exist_is_an_error_and_never_empty() {
    for source in [
        "{{ nope }}",
        "{{ secret.nope }}",
        "{{ user.x }}",
        "{{ user[0] }}",
        "{{ nope | upper }}",
        "{{ nope ~ '' }}",
        "{{ nope == 1 }}",
        "{% if nope %}{% endif %}",
        "{% for x in nope %}{% endfor %}",
        "{{ [] | first }}",
        "{{ (config | fromjson).nope }}",
        "{{ 'x' if empty }}",
        "{{ nope | join }}",
        "{{ user | replace(nope, '') }}",
        "{{ nope is string }}",
    ] {
        fails(source, Fault::UnknownValue);
    }
    refused("{{ user | nope }}", Fault::UnknownFilter);
    refused("{% if false %}{{ user | nope }}{% endif %}", Fault::UnknownFilter);
    refused("{{ user | title }}", Fault::UnknownFilter);
    refused("{{ user | pkcs12 }}", Fault::UnknownFilter);
    refused("{{ user is nope }}", Fault::UnknownTest);
    refused("{{ user is eq('x') }}", Fault::UnknownTest);
    refused("{{ nope(1) }}", Fault::UnknownFunction);
    refused("{{ user.upper() }}", Fault::UnknownFunction);
    refused("{{ user() }}", Fault::UnknownFunction);
    refused("{{ namespace(a=1) }}", Fault::UnknownFunction);
}

#[test]
fn wrong_arguments_are_found_without_values() {
    for source in [
        "{{ user | replace('a') }}",
        "{{ user | upper(1) }}",
        "{{ user | indent }}",
        "{{ user | indent(nope=1) }}",
        "{{ user | indent(1, columns=2) }}",
        "{{ range() }}",
        "{{ range(1, 2, 3) }}",
        "{{ user is startingwith }}",
        "{{ htpasswd(user) }}",
        "{{ user | join(*[1]) }}",
        "{{ user | join(**{}) }}",
        "{{ {user: 1} | tojson }}",
        "{{ {1: 1} | tojson }}",
    ] {
        refused(source, Fault::BadCall);
    }
    for source in [
        "{{ user | indent('2') }}",
        "{{ user | indent(65) }}",
        "{{ user | indent(-1) }}",
        "{{ user | replace('', 'x') }}",
        "{{ user | split('') }}",
        "{{ user < 1 }}",
        "{{ [1] < [2] }}",
        "{{ 'x' in 1 }}",
        "{{ 1 | first }}",
        "{{ 1 | length }}",
        "{{ user | items }}",
        "{{ range('3') }}",
        "{{ range(1001) }}",
    ] {
        fails(source, Fault::BadCall);
    }
}

#[test]
fn what_is_no_text_is_not_written() {
    for source in [
        "{{ secret }}",
        "{{ [user] }}",
        "{{ {'a': 1} }}",
        "{{ none }}",
        "{{ [user] ~ '' }}",
        "{{ [user] | upper }}",
        "{{ [user] in user }}",
    ] {
        fails(source, Fault::NotPlain);
    }
    for source in [
        "{% for c in user %}{% endfor %}",
        "{% for a, b in [1] %}{% endfor %}",
        "{% for a, b in [user] %}{% endfor %}",
        "{{ user | join }}",
    ] {
        fails(source, Fault::NotAList);
    }
}

/// T02, T03. Guard: the engine is set up empty (`environment`), and statements that reach elsewhere are refused.
#[test]
fn nothing_reads_files_network_environment_time_randomness_or_other_objects() {
    for call in [
        "env('HOME')",
        "file('/etc/passwd')",
        "lookup('v1', 'Secret', 'kube-system', 'x')",
        "now()",
        "random()",
        "debug()",
        "genPrivateKey('rsa')",
        "lipsum()",
        "cycler()",
    ] {
        refused(&format!("{{{{ {call} }}}}"), Fault::UnknownFunction);
    }
    for statement in [
        "include 'x'",
        "import 'x' as y",
        "extends 'x'",
        "from 'x' import y",
        "block a",
        "macro m()",
        "call f()",
        "nope",
    ] {
        refused(&format!("{{% {statement} %}}"), Fault::Syntax);
    }
    for statement in [
        "{% with a = 1 %}{% endwith %}",
        "{% filter upper %}x{% endfilter %}",
        "{% set x %}y{% endset %}",
        "{% set x | upper %}y{% endset %}",
        "{% autoescape true %}{% endautoescape %}",
        "{% do range(1) %}",
        "{% set a.b = 1 %}",
        "{% for x in [1] recursive %}{{ loop([]) }}{% endfor %}",
    ] {
        refused(statement, Fault::UnknownStatement);
    }
}

#[test]
fn arithmetic_slices_and_chains_are_not_there() {
    for source in [
        "{{ 1 + 1 }}",
        "{{ 'x' * 3 }}",
        "{{ 2 ** 3 }}",
        "{{ 4 / 2 }}",
        "{{ 4 // 2 }}",
        "{{ 4 % 2 }}",
        "{{ 4 - 2 }}",
        "{{ -user }}",
        "{{ --1 }}",
    ] {
        refused(source, Fault::Arithmetic);
    }
    for source in ["{{ user[:1] }}", "{{ (1, 2) }}", "{{ 1 < 2 < 3 }}", "{% set a = 1, 2 %}"] {
        refused(source, Fault::UnknownExpression);
    }
    for source in [
        "{{ user",
        "{{ }}",
        "{% if user %}",
        "{# user",
        "{{ (user }}",
        "{% endif %}",
        "{% raw %}",
        "{{ user | }}",
        "{{ \"\\u12\" }}",
    ] {
        refused(source, Fault::Syntax);
    }
}

#[test]
fn an_error_names_template_and_line() {
    let error = parse("one\ntwo\n{{ user | nope }}").unwrap_err();
    assert_eq!(error.to_string(), "template out, line 3: it uses a filter that does not exist here");
    let error = render("one\n{{ user }}\n\n{{ user\n | fromjson }}", &values()).unwrap_err();
    assert_eq!(error.line, Some(4));
    let error = render("{% if true %}\n{{ nope }}{% endif %}", &values()).unwrap_err();
    assert_eq!((error.line, error.fault), (Some(2), Fault::UnknownValue));
    let sources =
        [("a", "x"), ("b", "{{ nope }}"), ("c", "{{")].map(|(name, source)| (key(name), source.to_owned()));
    assert_eq!(ExternalTemplates::parse(sources.into()).unwrap_err().key, key("c"));
}

#[test]
fn a_key_is_made_out_of_another() {
    let new =
        |source: &str, old: &str| TransformTemplate::parse(source).and_then(|template| template.apply(old));
    assert_eq!(new("{{ value | upper | replace('-', '_') }}", "db-user").as_deref(), Ok("DB_USER"));
    assert_eq!(new("app.{{ value | split('/') | last }}", "a/b/c").as_deref(), Ok("app.c"));
    let error = new("{{ user }}", "x").unwrap_err();
    assert_eq!(
        error.to_string(),
        "template rewrite.transform, line 1: it uses a name, a field or an element that does not exist"
    );
    assert_eq!(new("{{ value", "x").unwrap_err().fault, Fault::Syntax);
    assert_eq!(new("{{ '//4=' | b64decode }}", "x").unwrap_err().fault, Fault::NotText);
}

#[test]
fn the_same_values_give_the_same_result_and_text_has_a_digest() {
    let sources = |second: &str| {
        BTreeMap::from([(key("a"), "{{ user | bcrypt(4) }}".to_owned()), (key("b"), second.to_owned())])
    };
    let templates = ExternalTemplates::parse(sources("{{ pkcs12(cert, key, password) }}")).unwrap();
    assert_eq!(templates.render(&values(), PLACE), templates.render(&values(), PLACE));
    assert_eq!(templates.keys().map(DataKey::as_str).collect::<Vec<_>>(), ["a", "b"]);
    let other = ExternalTemplates::parse(sources("{{ user }}")).unwrap();
    assert!(templates.digest().is_some() && templates.digest() != other.digest());
    assert_eq!(ExternalTemplates::default().digest(), None);
    assert!(ExternalTemplates::default().is_empty() && !other.is_empty());
}
