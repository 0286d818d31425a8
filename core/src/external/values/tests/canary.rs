//! No error holds anything of a value, whatever it is about.

use super::*;

/// A value that nobody would write by accident, and the forms in which it could come out.
const CANARY: &str = "c4n4ry-7Qx!w9";

fn forms() -> Vec<String> {
    let hex = |upper: bool| -> String {
        CANARY.bytes().map(|b| if upper { format!("{b:02X}") } else { format!("{b:02x}") }).collect()
    };
    let bytes = format!("{:?}", CANARY.as_bytes());
    let mut forms = vec![CANARY.to_owned(), hex(true), hex(false), bytes[1..bytes.len() - 1].to_owned()];
    forms.push(CANARY.replace('!', "%21"));
    forms.push(CANARY.replace('!', "\\u0021"));
    // Base64 of it at each of the three offsets, without what depends on the neighbours.
    for offset in 0..3 {
        let encoded = BASE64_STANDARD.encode([&vec![0; offset], CANARY.as_bytes()].concat());
        forms.push(encoded[4..encoded.len() - 4].to_owned());
    }
    // Half of it is too much, too.
    forms.extend([CANARY[..7].to_owned(), CANARY[6..].to_owned()]);
    forms
}

fn silent(spec: &Spec, entry: &[u8]) {
    let error = assembled(spec, &[("app/db", entry), ("app/other", entry)]);
    let error = error.map(|_| ()).expect_err(&String::from_utf8_lossy(entry));
    let mut source: Option<&dyn std::error::Error> = Some(&error);
    while let Some(shown) = source {
        for told in [shown.to_string(), format!("{shown:?}"), format!("{shown:#?}")] {
            for form in forms() {
                assert!(!told.contains(&form), "{told}");
            }
        }
        source = shown.source();
    }
}

/// L03. Guard: only `line()` and `column()` of serde's error are taken (`Json::parse`), and the errors of this module
/// hold fixed phrases.
#[test]
fn no_error_tells_a_value() {
    let property = |property: &str| one(json!({"key": "app/db", "property": property}));
    let extract = |rest: Value, rewrite: Value| {
        let mut extract = json!({"key": "app/db"});
        extract.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        from(json!([{"extract": extract, "rewrite": rewrite}]))
    };
    let find = |rewrite: Value| from(json!([{"find": {"name": {"regexp": "app"}}, "rewrite": rewrite}]));
    let merge = json!([{"merge": {}}]);
    // Every way in which JSON can be wrong, with the value at that very place.
    for broken in [
        "CANARY",
        "{CANARY}",
        "{\"a\": CANARY}",
        "{\"a\": \"CANARY",
        "{\"a\": \"CANARY\"",
        "[\"CANARY\"",
        "{\"a\": \"CANARY\"} CANARY",
        "{\"a\": \"\\CANARY\"}",
        "{\"a\": \"\u{1}CANARY\"}",
        "\"CANARY\" \"CANARY\"",
        "tCANARY",
        "-CANARY",
        "{\"CANARY\": }",
        "{\"CANARY\" 1}",
        "{\"a\": 1, CANARY}",
        "{'CANARY': 1}",
    ] {
        let entry = broken.replace("CANARY", CANARY);
        for spec in [
            property("a"),
            extract(json!({}), json!([])),
            extract(json!({"property": "a"}), json!([])),
            find(merge.clone()),
            find(json!([{"merge": {"strategy": "JSON", "into": "x"}}])),
        ] {
            silent(&spec, entry.as_bytes());
        }
    }
    // Invalid UTF-8 right behind it.
    silent(&property("a"), &[b"\"", CANARY.as_bytes(), b"\xff\""].concat());
    // It parses, and is of another kind, or ambiguous, or half a character.
    for value in [json!(CANARY), json!([CANARY]), json!([{"x": CANARY}])] {
        let text = value.to_string();
        silent(&extract(json!({}), json!([])), text.as_bytes());
        silent(&find(merge.clone()), text.as_bytes());
        silent(&property("nope"), text.as_bytes());
        silent(&property("nope.*"), text.as_bytes());
    }
    for entry in [
        "{\"a\": \"CANARY\", \"a\": \"CANARY\"}",
        "{\"a\": \"CANARY\\ud800\"}",
        "{\"CANARY\\ud800\": \"CANARY\"}",
    ] {
        let entry = entry.replace("CANARY", CANARY);
        silent(&property("a"), entry.as_bytes());
        silent(&extract(json!({}), json!([])), entry.as_bytes());
        silent(&find(merge.clone()), entry.as_bytes());
    }
    // It is no base64, has a null byte, is too large, or is the same field in two entries.
    let field = json!({"a": CANARY}).to_string();
    for strategy in ["Base64", "Base64URL"] {
        silent(&one(json!({"key": "app/db", "decodingStrategy": strategy})), CANARY.as_bytes());
        silent(&extract(json!({"decodingStrategy": strategy}), json!([])), field.as_bytes());
    }
    let null = json!({"a": format!("{CANARY}\0")}).to_string();
    silent(&extract(json!({"nullBytePolicy": "Fail"}), json!([])), null.as_bytes());
    silent(&find(json!([])), CANARY.repeat(limits::DATA_BYTES / CANARY.len() + 1).as_bytes());
    silent(&find(merge), field.as_bytes());
    silent(&find(json!([{"regexp": {"source": ".+", "target": "x"}}])), CANARY.as_bytes());
    silent(&find(json!([{"regexp": {"source": "app", "target": " "}}])), CANARY.as_bytes());
    silent(&find(json!([{"merge": {"priority": ["gone"]}}])), field.as_bytes());
}

/// The scan above finds what it looks for.
#[test]
fn every_form_of_the_canary_would_be_seen() {
    let told = [
        CANARY.to_owned(),
        format!("{:?}", CANARY.as_bytes()),
        BASE64_STANDARD.encode(CANARY),
        BASE64_STANDARD.encode(format!("xx{CANARY}")),
    ];
    for told in told {
        assert!(forms().iter().any(|form| told.contains(form)), "{told}");
    }
}
