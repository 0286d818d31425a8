//! JSON in gives JSON out: a text that was one JSON document stays one.
//!
//! Everything is read and changed as YAML, of which JSON is a part. What comes out of that may be
//! YAML, and is put into JSON again here: layout is lost then, values are not.

use serde::de::IgnoredAny;
use serde_json::{Value, json};
use waxwing_core::yaml;

use crate::{error::Result, sealed_file::list_items};

/// Whether a text is one JSON document.
pub(crate) fn is_json(text: &str) -> bool {
    // An object: a lone number or word is YAML, too, and nobody's manifest.
    text.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// A stream of documents as one JSON document: several become a List.
pub(crate) fn of_stream(text: &str) -> Result<String> {
    let mut values: Vec<Value> = yaml::documents(text)?.into_iter().map(|document| document.value).collect();
    if values.len() > 1 {
        let items: Vec<Value> = values.into_iter().flat_map(items).collect();
        values = vec![json!({"apiVersion": "v1", "kind": "List", "items": items})];
    }
    let mut out = String::new();
    for value in values {
        out.push_str(&serde_json::to_string_pretty(&value)?);
        out.push('\n');
    }
    Ok(out)
}

/// What was made of a text, as JSON if the text was.
pub(crate) fn keep(before: &str, after: String) -> Result<String> {
    if is_json(before) && !is_json(&after) { of_stream(&after) } else { Ok(after) }
}

/// The members of a `List`; anything else is itself.
fn items(value: Value) -> Vec<Value> {
    match list_items(&value) {
        Some(items) if value["kind"] == "List" => items.clone(),
        _ => vec![value],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_becomes_one_document() {
        let text = of_stream("kind: A\n---\n{kind: List, items: [{kind: B}]}\n---\n# nothing\n").unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            value,
            json!({"apiVersion": "v1", "kind": "List", "items": [{"kind": "A"}, {"kind": "B"}]})
        );
        assert_eq!(of_stream("kind: A").unwrap(), "{\n  \"kind\": \"A\"\n}\n");
    }

    #[test]
    fn only_what_was_json_is_put_into_json() {
        let yaml = || "{kind: A}".to_owned();
        assert_eq!(keep("kind: A", yaml()).unwrap(), yaml());
        assert!(is_json(&keep("{\"kind\": \"A\"}", yaml()).unwrap()));
        assert!(!is_json("7") && !is_json("{\"a\": 1}\n---\n{}"));
    }
}
