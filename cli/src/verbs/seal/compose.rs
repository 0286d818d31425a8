//! Streams of documents put together: what is not a Secret passes through byte for byte.

use serde_json::Value;
use waxwing_core::yaml::{self, YamlError};

/// Puts one document behind a stream.
pub(super) fn append(text: &mut String, document: &str) {
    if document.trim().is_empty() {
        return;
    }
    if !text.is_empty() {
        if !text.ends_with('\n') {
            text.push('\n');
        }
        if !begins_with_marker(document) {
            text.push_str("---\n");
        }
    }
    text.push_str(document);
}

/// Puts a document where one of the same identity stands, or at the end. Equal ones stay as they
/// are, byte for byte.
pub(super) fn pass_through(text: &mut String, document: &str, value: &Value) -> Result<(), YamlError> {
    let found =
        yaml::each_document(text)?.into_iter().flatten().find(|old| is_same_object(&old.value, value));
    match found {
        None => append(text, document),
        Some(old) if old.value == *value => {}
        Some(old) => replace(text, old.range, document),
    }
    Ok(())
}

/// Puts a document in the place of another one.
pub(super) fn replace(text: &mut String, range: std::ops::Range<usize>, document: &str) {
    let marked = begins_with_marker(&text[range.clone()]);
    let is_last = range.end == text.len();
    let mut new = String::with_capacity(document.len() + 8);
    if marked && !begins_with_marker(document) {
        new.push_str("---\n");
    }
    new.push_str(document);
    if !is_last && !new.ends_with('\n') {
        new.push('\n');
    }
    text.replace_range(range, &new);
}

/// Whether the first line that says anything is `---`.
fn begins_with_marker(document: &str) -> bool {
    let said = document.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#'));
    said.is_some_and(|line| line == "---" || line.starts_with("--- "))
}

fn is_same_object(one: &Value, other: &Value) -> bool {
    let metadata =
        |value: &Value| (value["metadata"]["namespace"].clone(), value["metadata"]["name"].clone());
    one["kind"] == other["kind"]
        && one["apiVersion"] == other["apiVersion"]
        && !metadata(one).1.is_null()
        && metadata(one) == metadata(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn appended(text: &str, document: &str) -> String {
        let mut text = text.to_owned();
        append(&mut text, document);
        text
    }

    #[test]
    fn documents_are_parted_by_one_marker() {
        assert_eq!(appended("", "a: 1\n"), "a: 1\n");
        assert_eq!(appended("", "---\na: 1\n"), "---\na: 1\n");
        assert_eq!(appended("a: 1", "b: 2\n"), "a: 1\n---\nb: 2\n");
        assert_eq!(appended("a: 1\n", "# x\n---\nb: 2\n"), "a: 1\n# x\n---\nb: 2\n");
        assert_eq!(appended("a: 1\n", " \n"), "a: 1\n");
    }

    #[test]
    fn an_object_takes_the_place_of_the_same_object() {
        let object = |value: u8| format!("kind: A\nmetadata: {{name: x}}\nv: {value}\n");
        let text = format!("{}---\nkind: B\n", object(1));
        let mut new = text.clone();
        let value = yaml::from_str(&object(1)).unwrap();
        pass_through(&mut new, "ignored", &value).unwrap();
        assert_eq!(new, text);
        let value = yaml::from_str(&object(2)).unwrap();
        pass_through(&mut new, &object(2), &value).unwrap();
        assert_eq!(new, format!("{}---\nkind: B\n", object(2)));
    }

    #[test]
    fn what_has_no_name_is_never_taken_for_something_else() {
        let mut text = "kind: A\n".to_owned();
        pass_through(&mut text, "kind: A\nv: 1\n", &yaml::from_str("kind: A\nv: 1\n").unwrap()).unwrap();
        assert_eq!(text, "kind: A\n---\nkind: A\nv: 1\n");
    }
}
