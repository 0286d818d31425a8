//! What stays in memory after values were put together: nothing.

#![cfg(target_os = "linux")]

use zeroize::Zeroizing;

use super::*;
use crate::seal::memory::occurrences;

/// The value is kept masked, so that neither the test's code nor the scan holds a copy of it. It is text in any form that
/// it takes on its way.
const MASK: u8 = 0x01;
const MASKED: &[u8; 32] = b"OnEouhetrEmnnkrMhjdUirXfkQ5v8{KP";

/// An entry: `#` in the template stands for the value, behind so much that the allocator does not write over it.
fn holding(template: &str) -> Arc<Entry> {
    let count = template.matches('#').count();
    let mut bytes = Zeroizing::new(Vec::with_capacity(template.len() + count * (64 + MASKED.len())));
    for byte in template.bytes() {
        if byte == b'#' {
            bytes.extend_from_slice(&[b'x'; 64]);
            bytes.extend(MASKED.iter().map(|byte| byte ^ MASK));
        } else {
            bytes.push(byte);
        }
    }
    Arc::new(Entry { value: Secret::from(bytes), version: None, lease: None })
}

/// The same in base64.
fn encoded() -> Arc<Entry> {
    let plain = holding("#");
    let mut bytes = Zeroizing::new(vec![0; 200]);
    let length = BASE64_STANDARD.encode_slice(plain.value.expose(), &mut bytes).unwrap();
    Arc::new(Entry { value: Secret::new(bytes[..length].to_vec()), version: None, lease: None })
}

/// L05. Guard: `Zeroizing` around every buffer of `json`, `property`, `decode` and `rewrite`, and no `serde_json::Value`.
#[test]
fn putting_values_together_leaves_none_in_memory() {
    let spec = spec(
        json!([
            {"secretKey": "part", "remoteRef": {"key": "a", "property": "in.deep"}},
            {"secretKey": "list", "remoteRef": {"key": "b", "property": "@this.#.n"}},
            {"secretKey": "text", "remoteRef": {"key": "c", "property": "escaped"}},
            {"secretKey": "decoded", "remoteRef": {"key": "d", "decodingStrategy": "Base64"}},
            {"secretKey": "guessed", "remoteRef": {"key": "d", "decodingStrategy": "Auto"}},
        ]),
        json!([
            {"extract": {"key": "a"}},
            {"extract": {"key": "c"}, "rewrite": [
                {"regexp": {"source": "^(.*)$", "target": "c-$1"}},
            ]},
            {"find": {"name": {"regexp": "m"}}, "rewrite": [
                {"merge": {"strategy": "JSON", "into": "all", "conflictPolicy": "Ignore"}},
            ]},
            {"find": {"name": {"regexp": "m"}, "decodingStrategy": "Auto"}, "rewrite": [
                {"merge": {"conflictPolicy": "Ignore"}},
            ]},
        ]),
    );
    let stored = |key: &str| match key {
        "a" => holding(r##"{"in": {"deep": "#"}, "also": ["#"]}"##),
        "b" => holding(r##"[{"n": "#"}, {"x": "#"}, {"n": {"y": "#"}}]"##),
        "c" => holding(r##"{"escaped": "\n\u00e9#\t", "other": "#"}"##),
        _ => encoded(),
    };
    let answer = |need: Need| match &need.ask {
        Ask::Read(read) => {
            let stored = stored(&read.key);
            (need, Answer::Entry(stored))
        }
        Ask::Find(_) => {
            let found = ["m1", "m2"].map(|key| (key.to_owned(), holding(r##"{"k": "#\\", "l": "#"}"##)));
            (need, Answer::Found(found.into()))
        }
    };
    let answers: Answers = spec.needs("").into_iter().map(answer).collect();
    assert!(occurrences(MASKED, MASK) >= 8, "the scan finds what is there");
    let data = assemble(&spec, &answers).unwrap();
    drop(answers);
    assert!(occurrences(MASKED, MASK) >= 8, "the values are there");
    drop(data);
    // The scan can see its own window, so only nothing is a number to rely on.
    assert_eq!(occurrences(MASKED, MASK), 0, "nothing is left");
    // An error on the way leaves nothing either.
    let broken = one(json!({"key": "a", "property": "in.deep", "decodingStrategy": "Base64"}));
    let need = broken.needs("").remove(0);
    let entry = holding(r##"{"in": {"deep": "\t# no base64!"}}"##);
    let answers = Answers::from_iter([(need, Answer::Entry(entry))]);
    assert!(assemble(&broken, &answers).is_err());
    drop(answers);
    assert_eq!(occurrences(MASKED, MASK), 0, "nothing is left of what was refused");
}
