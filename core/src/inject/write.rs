//! A tree as YAML: the same tree always gives the same bytes.

use zeroize::Zeroizing;

use super::tree::Node;

/// Writes a document in block style. Every text is double-quoted, so that none is read as anything else (`null`, `no`,
/// `1e3`), in any YAML version. An unresolved leaf is written as null: callers resolve first.
pub fn to_yaml(node: &Node) -> Zeroizing<Vec<u8>> {
    // Growing would leave unwiped copies behind.
    let mut size = Size(0);
    write(node, 0, false, &mut size);
    let mut bytes = Zeroizing::new(Vec::with_capacity(size.0));
    write(node, 0, false, &mut *bytes);
    bytes
}

/// Takes what is written.
trait Out {
    fn put(&mut self, bytes: &[u8]);
}

impl Out for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Counts.
struct Size(usize);

impl Out for Size {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

/// `inline`: something stands before it on the line, `name:` or `-`.
fn write(node: &Node, depth: usize, inline: bool, out: &mut impl Out) {
    match node {
        Node::Map(map) if !map.is_empty() => {
            for (number, (name, value)) in map.iter().enumerate() {
                // The first name of an item stands behind its dash.
                if number > 0 || !inline {
                    indent(depth, out);
                }
                quote(name, out);
                out.put(b":");
                below(value, depth, out);
            }
        }
        Node::List(items) if !items.is_empty() => {
            for item in items {
                indent(depth, out);
                out.put(b"-");
                match item {
                    Node::Map(map) if !map.is_empty() => {
                        out.put(b" ");
                        write(item, depth + 1, true, out);
                    }
                    _ => below(item, depth, out),
                }
            }
        }
        _ => {
            scalar(node, out);
            out.put(b"\n");
        }
    }
}

/// What belongs to a name or a dash.
fn below(value: &Node, depth: usize, out: &mut impl Out) {
    let is_block = match value {
        Node::Map(map) => !map.is_empty(),
        Node::List(items) => !items.is_empty(),
        _ => false,
    };
    if is_block {
        out.put(b"\n");
        write(value, depth + 1, false, out);
    } else {
        out.put(b" ");
        scalar(value, out);
        out.put(b"\n");
    }
}

fn scalar(node: &Node, out: &mut impl Out) {
    match node {
        Node::Null | Node::Leaf(_) => out.put(b"null"),
        Node::Bool(bool) => out.put(if *bool { b"true" } else { b"false" }),
        Node::Number(number) => out.put(number.to_string().as_bytes()),
        Node::Text(_) | Node::Secret(_) => quote(node.text().unwrap_or_default(), out),
        Node::List(_) => out.put(b"[]"),
        Node::Map(_) => out.put(b"{}"),
    }
}

fn indent(depth: usize, out: &mut impl Out) {
    for _ in 0..depth {
        out.put(b"  ");
    }
}

/// In double quotes, with the escapes that JSON and YAML have in common.
fn quote(text: &str, out: &mut impl Out) {
    out.put(b"\"");
    let mut buffer = [0; 4];
    for character in text.chars() {
        match character {
            '"' => out.put(b"\\\""),
            '\\' => out.put(b"\\\\"),
            '\n' => out.put(b"\\n"),
            '\r' => out.put(b"\\r"),
            '\t' => out.put(b"\\t"),
            // What YAML does not call printable, line separators, and the byte order mark.
            '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                let code = u32::from(character);
                let digit = |shift: u32| b"0123456789abcdef"[(code >> shift & 15) as usize];
                out.put(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
            }
            _ => out.put(character.encode_utf8(&mut buffer).as_bytes()),
        }
    }
    out.put(b"\"");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn yaml(value: &Value) -> String {
        let node = Node::read(value).unwrap_or_else(|error| panic!("{error}"));
        String::from_utf8(to_yaml(&node).to_vec()).unwrap()
    }

    #[test]
    fn a_document_is_written_in_block_style_with_every_text_quoted() {
        let document = json!({"route": {"receiver": "null", "routes": [{"matchers": ["a=\"b\""], "continue": true}, {}], "x": []}, "n": [[1, 2], "two"]});
        let expected = r#""n":
  -
    - 1
    - 2
  - "two"
"route":
  "receiver": "null"
  "routes":
    - "continue": true
      "matchers":
        - "a=\"b\""
    - {}
  "x": []
"#;
        assert_eq!(yaml(&document), expected);
    }

    fn documents() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            any::<String>(),
            Just("yes".to_owned()),
            Just("0x1f".to_owned()),
            Just("~".to_owned())
        ];
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 40, 5, |inner| {
            let name = "[^$].{0,5}|";
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(name, inner, 0..5).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(document in documents()) {
            let text = yaml(&document);
            let read: Value = crate::yaml::from_str(&text).unwrap();
            prop_assert_eq!(read, document);
        }
    }
}
