//! Each filter and function for itself. The reference page has an example of each one, and is tested too.

use super::*;

#[test]
fn texts_are_changed_split_and_joined() {
    check("{{ user | upper }}{{ 'A-Ä' | lower }}{{ text | trim }}", "JOEa-Ätwo\nlines");
    check("{{ hosts | replace('example', 'x') }}", "a.x,b.x");
    check("{{ 'aaa' | replace('aa', 'b') }}", "ba");
    check(
        "{{ hosts | split(',') | join(' ') }}|{{ text | split | join('-') }}|{{ '' | split(',') | length }}",
        "a.example b.example|two-lines|1",
    );
    check("{{ ['a', 1, true] | join }}", "a1true");
    check(
        "{{ 'a\nb\n' | indent(2) }}|{{ 'a\nb' | indent(2, true) }}|{{ 'a\nb' | indent(columns=1, first=true) }}",
        "a\n  b\n  |  a\n  b| a\n b",
    );
    check("{{ 'a\nb' | nindent(2) }}", "\n  a\n  b");
    check("{{ 'äbc' | truncate(2) }}{{ 'x' | truncate(9) }}{{ 'x' | truncate(0) }}", "äbx");
    check("{{ password | quote }}{{ \"it's\" | squote }}", "\"s3cr\\\"t/1\"'it''s'");
    check(
        "{{ 'äb' | first }}{{ 'äb' | last }}{{ [1, 2] | first }}{{ [1, 2] | last }}{{ 'äb' | length }}",
        "äb122",
    );
}

#[test]
fn a_default_stands_for_what_is_missing() {
    check("{{ nope | default('x') }}{{ secret.nope | default('y') }}{{ user | default('z') }}", "xyjoe");
    check(
        "{{ empty | default('x') }}|{{ empty | default('x', true) }}|{{ (config | fromjson).none | default('n', empty=true) }}",
        "|x|n",
    );
}

#[test]
fn bytes_are_encoded_and_decoded() {
    check("{{ user | b64encode }} {{ 'am9l' | b64decode }} {{ 'am 9l\n' | b64decode }}", "am9l joe joe");
    check(
        "{{ '??>' | b64url }} {{ 'Pz8-' | b64urldecode }} {{ 'a' | b64url }} {{ 'YQ' | b64decode }}{{ 'YQ==' | b64urldecode }}",
        "Pz8- ??> YQ aa",
    );
    check("{{ 'a b/ä~' | urlencode }}", "a%20b%2F%C3%A4~");
    check("{{ user | hex }}", "6a6f65");
    check("{{ 'abc' | sha256 }}", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    fails("{{ user | b64decode }}", Fault::NotBase64);
    fails("{{ 'Pz8-' | b64decode }}", Fault::NotBase64);
}

#[test]
fn json_and_yaml_are_read_and_written() {
    check(
        "{{ config | fromjson | tojson }}",
        r#"{"hosts":["a","b"],"in":{"x":"y"},"none":null,"port":5432,"tls":true}"#,
    );
    check(
        "{{ {'u': user, 'p': password, 'n': 1.5, 'l': [none, true]} | tojson }}",
        r#"{"l":[null,true],"n":1.5,"p":"s3cr\"t/1","u":"joe"}"#,
    );
    check("{{ {'a': [1, 2]} | tojson(2) }}", "{\n  \"a\": [\n    1,\n    2\n  ]\n}");
    check("{{ user | tojson }}{{ 5 | tojson }}", "\"joe\"5");
    check(
        "{{ config | fromyaml | toyaml }}",
        "hosts: [a, b]\nin:\n  x: \"y\"\nnone: null\nport: 5432\ntls: true",
    );
    check("{{ ('a: [1, x]\nb: on' | fromyaml).a[1] }}", "x");
    check(
        "{{ '18446744073709551615' | fromjson }} {{ '-3' | fromjson }} {{ '0.25' | fromjson }}",
        "18446744073709551615 -3 0.25",
    );
    for json in ["{", "{'a': 1}", "", "1 2", "{\"a\": 1, \"a\": 2}", "123456789012345678901234567890"] {
        let values = data(&[("v", json.as_bytes())]);
        assert_eq!(
            render("{{ v | fromjson }}", &values).map_err(|error| error.fault),
            Err(Fault::NotJson),
            "{json}"
        );
    }
    for yaml in ["a: b: c", "", "a: 1\n---\nb: 2", "{a: 1, a: 2}", "&a [*a]"] {
        let values = data(&[("v", yaml.as_bytes())]);
        assert_eq!(
            render("{{ v | fromyaml }}", &values).map_err(|error| error.fault),
            Err(Fault::NotYaml),
            "{yaml}"
        );
    }
}

#[test]
fn a_docker_configuration_is_what_kubelet_reads() {
    let config = render("{{ dockerconfigjson('r.example', user, password) }}", &values()).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    let expected = serde_json::json!({"auths": {"r.example": {
        "username": "joe", "password": "s3cr\"t/1", "auth": "am9lOnMzY3IidC8x",
    }}});
    assert_eq!(config, expected);
    let config =
        render("{{ dockerconfigjson(registry='r', username='u', password='p', email='e@x') }}", &values())
            .unwrap();
    assert_eq!(config, r#"{"auths":{"r":{"auth":"dTpw","email":"e@x","password":"p","username":"u"}}}"#);
    fails("{{ dockerconfigjson('r', 'a:b', 'p') }}", Fault::BadCall);
    fails("{{ dockerconfigjson('', 'a', 'p') }}", Fault::BadCall);
}

#[test]
fn pem_blocks_are_chosen_by_kind() {
    let values = data(&[
        ("bundle", ["junk\n", KEY, CERT, "more\n", CA].concat().as_bytes()),
        ("cert", CERT.as_bytes()),
        ("half", b"-----BEGIN X-----\nYQ=="),
    ]);
    let rendered = |source: &str| render(source, &values).map_err(|error| error.fault);
    assert_eq!(rendered("{{ bundle | pem('CERTIFICATE') }}"), Ok([CERT, CA].concat()));
    assert_eq!(rendered("{{ bundle | pem_first('CERTIFICATE') }}"), Ok(CERT.to_owned()));
    assert_eq!(rendered("{{ bundle | pem('PRIVATE KEY') }}"), Ok(KEY.to_owned()));
    assert_eq!(rendered("{{ bundle | cert_leaf }}"), Ok(CERT.to_owned()));
    assert_eq!(rendered("{{ bundle | cert_chain }}"), Ok(CA.to_owned()));
    assert_eq!(rendered("{{ cert | cert_chain }}"), Ok(String::new()));
    for source in [
        "{{ cert | pem('PRIVATE KEY') }}",
        "{{ cert | pem_first('X') }}",
        "{{ half | pem('X') }}",
        "{{ 'x' | cert_leaf }}",
        "{{ 'x' | cert_chain }}",
    ] {
        assert_eq!(rendered(source), Err(Fault::NotPem), "{source}");
    }
}

#[test]
fn passwords_are_hashed_the_same_way_each_time_and_elsewhere_another_way() {
    let hash = |source: &str, place| {
        let rendered = parse(source).unwrap().render(&values(), place).unwrap();
        String::from_utf8(rendered.get("out").unwrap().expose().to_vec()).unwrap()
    };
    let line = hash("{{ htpasswd(user, password, 4) }}", PLACE);
    assert!(line.starts_with("joe:$2y$04$"), "{line}");
    assert_eq!(line, hash("{{ htpasswd(user, password, cost=4) }}", PLACE));
    assert!(bcrypt::verify("s3cr\"t/1", &line["joe:".len()..]).unwrap());
    assert!(!bcrypt::verify("other", &line["joe:".len()..]).unwrap());
    let plain = hash("{{ password | bcrypt(4) }}", PLACE);
    assert!(plain.starts_with("$2b$04$") && bcrypt::verify("s3cr\"t/1", &plain).unwrap());
    let default = hash("{{ password | bcrypt }}", PLACE);
    assert!(default.starts_with("$2b$10$") && bcrypt::verify("s3cr\"t/1", &default).unwrap());

    let salt = |hash: &str| hash.rsplit('$').next().unwrap()[..22].to_owned();
    let elsewhere = [
        hash("{{ htpasswd(user, password, 4) }}", Place { name: "other", ..PLACE }),
        hash("{{ htpasswd(user, password, 4) }}", Place { namespace: "other", ..PLACE }),
        hash("{{ htpasswd('ann', password, 4) }}", PLACE),
        hash("{{ htpasswd(user, password, 5) }}", PLACE),
        plain,
        hash("{% set x = password | bcrypt(4) %}{{ password | bcrypt(4) }}", PLACE),
    ];
    let mut salts: Vec<String> = elsewhere.iter().chain([&line]).map(|hash| salt(hash)).collect();
    let sources = ["a", "b"].map(|name| (key(name), "{{ password | bcrypt(4) }}".to_owned()));
    let rendered = ExternalTemplates::parse(sources.into()).unwrap().render(&values(), PLACE).unwrap();
    salts.extend(rendered.iter().map(|(_, value)| salt(std::str::from_utf8(value.expose()).unwrap())));
    let all = salts.len();
    salts.sort();
    salts.dedup();
    assert_eq!(salts.len(), all);
}

/// Guard: the salt in `password::hashed` has no part of the password; else one could try passwords on the salt, fast.
#[test]
fn a_salt_does_not_depend_on_the_password() {
    let salt = |password: &str| {
        render(&format!("{{{{ '{password}' | bcrypt(4) }}}}"), &values()).unwrap()[7..29].to_owned()
    };
    assert_eq!(salt("one"), salt("another"));
}

#[test]
fn what_bcrypt_would_cut_off_is_refused() {
    let long = "x".repeat(72);
    for source in [
        &format!("{{{{ '{long}' | bcrypt(4) }}}}"),
        "{{ '' | bcrypt(4) }}",
        "{{ 'a\\u0000b' | bcrypt(4) }}",
        "{{ htpasswd('a:b', 'p', 4) }}",
        "{{ htpasswd('a\nb', 'p', 4) }}",
        "{{ htpasswd('', 'p', 4) }}",
    ] {
        fails(source, Fault::Unhashable);
    }
    for cost in ["3", "13", "31", "'10'", "-4", "4.5"] {
        fails(&format!("{{{{ 'p' | bcrypt({cost}) }}}}"), Fault::BadCall);
    }
}
