use serde_json::{Value, json};

use super::*;

fn object(data: &Value) -> Vec<u8> {
    let object = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": data,
        "metadata": {"name": "s", "namespace": "n", "resourceVersion": "17", "uid": "u"},
    });
    object.to_string().into_bytes()
}

fn value(data: &Value, key: Option<&str>) -> Result<Vec<u8>, Kind> {
    let entry = entry(&object(data), key).map_err(|failure| failure.kind)?;
    assert_eq!(entry.version.as_deref(), Some("17"));
    Ok(entry.value.expose().to_vec())
}

#[test]
fn text_is_as_it_is_and_bytes_are_base64() {
    let data = json!({"user": "YWxpY2U=", "note": "YSJiXAriiqI=", "store": "/u0AAQ==", "empty": ""});
    let whole: Value = serde_json::from_slice(&value(&data, None).unwrap()).unwrap();
    assert_eq!(whole, json!({"user": "alice", "note": "a\"b\\\n\u{22a2}", "store": "/u0AAQ==", "empty": ""}));
}

#[test]
fn one_key_is_its_bytes() {
    let data = json!({"store": "/u0AAQ==", "empty": ""});
    assert_eq!(value(&data, Some("store")), Ok(vec![0xfe, 0xed, 0, 1]));
    assert_eq!(value(&data, Some("empty")), Ok(Vec::new()));
    assert_eq!(value(&data, Some("other")), Err(Kind::EntryMissing));
}

#[test]
fn a_secret_without_data_is_an_empty_object() {
    for data in [json!({}), Value::Null] {
        assert_eq!(value(&data, None), Ok(b"{}".to_vec()));
        assert_eq!(value(&data, Some("x")), Err(Kind::EntryMissing));
    }
}

/// L03: what could not be read is not repeated.
#[test]
fn an_answer_that_is_no_secret_is_bad_data_and_never_quoted() {
    let bodies = [
        b"".to_vec(),
        b"hunter2".to_vec(),
        br#"{"metadata": "hunter2"}"#.to_vec(),
        object(&json!({"a": "hunter2!"})),
        object(&json!({"a": 7})),
        object(&json!({"a": "aHVudGVyMg=\\n"})),
    ];
    for body in bodies {
        for failure in [entry(&body, None).unwrap_err(), entry(&body, Some("a")).unwrap_err()] {
            assert_eq!(failure.kind, Kind::BadData);
            assert!(!failure.to_string().contains("hunter2"));
        }
    }
    assert!(metadata(b"{}").is_err());
}

#[test]
fn labels_and_annotations_are_shown_without_what_holds_the_values() {
    let body = json!({"metadata": {
        "name": "s", "resourceVersion": "3",
        "labels": {"team": "a"},
        "annotations": {"note": "b", "kubectl.kubernetes.io/last-applied-configuration": "hunter2"},
    }});
    let metadata = metadata(body.to_string().as_bytes()).unwrap();
    assert_eq!((metadata.name.as_str(), metadata.resource_version.as_str()), ("s", "3"));
    let shown: Value = serde_json::from_slice(metadata.json().unwrap().expose()).unwrap();
    assert_eq!(shown, json!({"labels": {"team": "a"}, "annotations": {"note": "b"}}));
}

#[test]
fn a_page_says_what_to_ask_next() {
    let list = |next: &str| {
        let list = json!({
            "metadata": {"continue": next},
            "items": [{"metadata": {"name": "a", "resourceVersion": "1"}}],
        });
        page(list.to_string().as_bytes()).map(|page| (page.items.len(), page.next))
    };
    assert_eq!(list(""), Ok((1, None)));
    assert_eq!(list("eyJ2Ijo_-1"), Ok((1, Some("eyJ2Ijo_-1".to_owned()))));
    for bad in ["a&b=c", "a b", "a#", "a/../b"] {
        assert!(list(bad).is_err(), "{bad}");
    }
}
