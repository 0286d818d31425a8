//! L01, L03. What errors tell: the key, the line and a fixed phrase.

use super::*;

/// Every tool, with a value of any kind under the name `v`.
pub(super) const EXPRESSIONS: [&str; 60] = [
    "v",
    "v ~ v",
    "v == 'x'",
    "v < 'x'",
    "v < 1",
    "'x' in v",
    "v in ['x']",
    "not v",
    "v.x",
    "v[0]",
    "secret[v]",
    "v()",
    "[v]",
    "{'a': v}",
    "v is string",
    "v is binary",
    "v is startingwith(v)",
    "v is endingwith('x')",
    "v is mapping",
    "v | b64decode",
    "v | b64encode",
    "v | b64url",
    "v | b64urldecode",
    "v | bcrypt(4)",
    "v | cert_chain",
    "v | cert_leaf",
    "v | default('x', true)",
    "v | first",
    "v | fromjson",
    "v | fromjson | tojson",
    "v | fromyaml",
    "v | fromyaml | toyaml",
    "v | hex",
    "v | indent(4, true)",
    "v | indent(v)",
    "v | items",
    "v | join(v)",
    "v | last",
    "v | length",
    "v | lower",
    "v | nindent(v)",
    "v | pem(v)",
    "v | pem_first(v)",
    "v | quote",
    "v | replace(v, 'x')",
    "v | sha256",
    "v | split | join(',')",
    "v | split(v)",
    "v | squote",
    "v | tojson",
    "v | toyaml",
    "v | trim",
    "v | truncate(v)",
    "v | upper",
    "v | urlencode",
    "dockerconfigjson(v, v, v, v)",
    "htpasswd(v, v, 4)",
    "pkcs12(v, v, v, v, v) | b64encode",
    "range(v)",
    "truststore(v, v) | b64encode",
];

/// Values that are wrong in every way, with the canary in all of them.
fn canaries() -> Vec<Vec<u8>> {
    let pem = |kind: &str, inner: &str| format!("-----BEGIN {kind}-----\n{inner}\n-----END {kind}-----\n");
    let mut canaries: Vec<Vec<u8>> = [
        "canary7Hq".to_owned(),
        "{\"canary7Hq\": canary7Hq".to_owned(),
        "{\"canary7Hq\": 1, \"canary7Hq\": 2}".to_owned(),
        "canary7Hq: [canary7Hq\n- x: *canary7Hq".to_owned(),
        "canary7Hq=*?".to_owned(),
        "canary7Hq:\n".to_owned(),
        "canary7Hq\0".to_owned(),
        pem("canary7Hq", "canary7Hq"),
        pem("CERTIFICATE", "canary7Hq*"),
        pem("CERTIFICATE", "canary7HqAAA"),
        pem("PRIVATE KEY", "canary7HqAAA"),
        pem("EC PRIVATE KEY", "MAcCAQEEAmNh"),
        format!("{CERT}{}", pem("RSA PRIVATE KEY", "canary7HqAAA")),
        "-----BEGIN canary7Hq".to_owned(),
        "canary7Hq".repeat(100_000),
    ]
    .map(String::into_bytes)
    .into();
    canaries.push(b"\xffcanary7Hq".to_vec());
    canaries
}

fn tells_nothing(error: &TemplateError, source: &str) {
    for shown in [
        error.to_string(),
        format!("{error:?}"),
        format!("{error:#?}"),
        format!("{:?}", std::error::Error::source(error)),
    ] {
        assert!(!shown.to_ascii_lowercase().contains("canary7hq"), "{source}: {shown}");
        assert!(!shown.contains(source) && shown.len() < 300, "{source}: {shown}");
    }
}

/// L01, L03. Guards: faults are fixed phrases (`TemplateFault`), and nothing of what the engine or a parser says is kept
/// (`fault`, `Seed`).
#[test]
fn no_error_shows_a_value_or_what_a_parser_quotes_of_it() {
    let mut failed = 0;
    for canary in canaries() {
        let values = data(&[("v", &canary)]);
        for expression in EXPRESSIONS {
            for source in [
                format!("{{{{ {expression} }}}}"),
                format!("{{% if {expression} %}}{{{{ v | fromjson }}}}{{% endif %}}"),
                format!("{{% for canary7Hq in {expression} %}}{{{{ canary7Hq.x }}}}{{% endfor %}}"),
            ] {
                if let Err(error) = bytes(&source, &values) {
                    tells_nothing(&error, &source);
                    failed += 1;
                }
            }
        }
    }
    assert!(failed > 1000, "the expressions should fail in many ways: {failed}");
}

/// L01. Guard: as above; here the canary is in the template.
#[test]
fn no_error_shows_the_template() {
    for source in [
        "{{ canary7Hq }}",
        "{{ canary7Hq() }}",
        "{{ secret.canary7Hq }}",
        "{{ 1 | canary7Hq }}",
        "{{ 1 is canary7Hq }}",
        "{{ 'canary7Hq' | fromjson }}",
        "{% canary7Hq %}",
        "{{ 'canary7Hq",
        "{{ 'canary7Hq' | b64decode }}",
        "{{ x | replace(canary7Hq=1) }}",
        "{% for canary7Hq in 1 %}{% endfor %}",
        "{{ {'canary7Hq': 1} }}",
        "{{ 'canary7Hq' * 3 }}",
        "{{ 'canary7Hq'[:1] }}",
    ] {
        let error = render(source, &values()).unwrap_err();
        tells_nothing(&error, source);
        tells_nothing(
            &TransformTemplate::parse(source).and_then(|template| template.apply("canary7Hq")).unwrap_err(),
            source,
        );
    }
}

/// L01. Guard: `Text` has no way out but the tools; what the engine could format says nothing.
#[test]
fn the_engine_itself_sees_nothing_of_a_value() {
    let secret = Secret::new(b"canary7Hq".to_vec());
    let names = Names::of([("v", &secret)].into_iter());
    let text = names.get_attr("v").unwrap();
    for shown in [
        text.to_string(),
        format!("{text:?}"),
        format!("{names:?}"),
        names.to_string(),
        serde_json::to_string(&text).unwrap(),
    ] {
        assert!(!shown.contains("canary"), "{shown}");
    }
    assert_eq!((text.as_str(), text.len(), text.try_iter().is_ok()), (None, None, false));
}

/// L01. Guard: neither templates nor their result show themselves.
#[test]
fn debug_of_a_result_shows_keys_only() {
    let rendered = parse("{{ password }}").unwrap().render(&values(), PLACE).unwrap();
    assert_eq!(format!("{rendered:?}"), "{DataKey(\"out\")}");
}
