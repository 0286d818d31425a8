//! A tree as JSON, for the body of a request.

use zeroize::Zeroizing;

use crate::inject::Node;

/// Writes it without spaces. An unresolved leaf is written as null: callers resolve first.
pub(super) fn to_json(node: &Node) -> Zeroizing<Vec<u8>> {
    // Growing would leave unwiped copies behind.
    let mut size = 0;
    write(node, &mut |bytes| size += bytes.len());
    let mut bytes = Zeroizing::new(Vec::with_capacity(size));
    write(node, &mut |more| bytes.extend_from_slice(more));
    bytes
}

fn write(node: &Node, put: &mut dyn FnMut(&[u8])) {
    match node {
        Node::Null | Node::Leaf(_) => put(b"null"),
        Node::Bool(bool) => put(if *bool { b"true" } else { b"false" }),
        Node::Number(number) => put(number.to_string().as_bytes()),
        Node::Text(_) | Node::Secret(_) => quote(node.text().unwrap_or_default(), put),
        Node::List(items) => {
            put(b"[");
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    put(b",");
                }
                write(item, put);
            }
            put(b"]");
        }
        Node::Map(map) => {
            put(b"{");
            for (index, (name, value)) in map.iter().enumerate() {
                if index > 0 {
                    put(b",");
                }
                quote(name, put);
                put(b":");
                write(value, put);
            }
            put(b"}");
        }
    }
}

fn quote(text: &str, put: &mut dyn FnMut(&[u8])) {
    put(b"\"");
    let mut buffer = [0; 4];
    for character in text.chars() {
        match character {
            '"' => put(b"\\\""),
            '\\' => put(b"\\\\"),
            '\0'..='\u{1f}' => {
                let code = character as usize;
                let digit = |nibble: usize| b"0123456789abcdef"[nibble];
                put(&[b'\\', b'u', b'0', b'0', digit(code >> 4), digit(code & 15)]);
            }
            _ => put(character.encode_utf8(&mut buffer).as_bytes()),
        }
    }
    put(b"\"");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(text: String, name in "[^$].{0,9}|", number: i64) {
            let value = json!({name.clone(): [text, number, null, true, {}], "x": {name: []}});
            let node = Node::read(&value).unwrap_or_else(|error| panic!("{error}"));
            let read: Value = serde_json::from_slice(&to_json(&node)).unwrap();
            prop_assert_eq!(read, value);
        }
    }
}
