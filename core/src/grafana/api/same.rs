//! Whether Grafana has what the document says.

use serde_json::Value;

use crate::inject::Node;

/// Whether they are the same, where nothing, false and empty are one: Grafana leaves them out of what it shows.
pub(super) fn same(node: Option<&Node>, value: Option<&Value>) -> bool {
    match (node, value) {
        (None | Some(Node::Null | Node::Leaf(_)), value) => is_empty(value),
        (Some(node), None | Some(Value::Null)) => is_nothing(node),
        (Some(Node::Bool(a)), Some(Value::Bool(b))) => a == b,
        (Some(Node::Number(a)), Some(Value::Number(b))) => a.as_f64() == b.as_f64(),
        (Some(Node::List(a)), Some(Value::Array(b))) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(Some(a), Some(b)))
        }
        (Some(Node::Map(a)), Some(Value::Object(b))) => {
            a.iter().all(|(name, a)| same(Some(a), b.get(name)))
                && b.iter().all(|(name, b)| a.contains_key(name) || is_empty(Some(b)))
        }
        (Some(node), Some(Value::String(text))) => match node {
            // Grafana's own pages write numbers as texts.
            Node::Number(number) => number.to_string() == *text,
            node => node.text() == Some(text),
        },
        _ => false,
    }
}

fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(map)) => map.values().all(|value| is_empty(Some(value))),
        Some(_) => false,
    }
}

fn is_nothing(node: &Node) -> bool {
    match node {
        Node::Null | Node::Leaf(_) | Node::Bool(false) => true,
        Node::Bool(true) | Node::Number(_) => false,
        Node::Text(_) | Node::Secret(_) => node.text().is_none_or(str::is_empty),
        Node::List(items) => items.is_empty(),
        Node::Map(map) => map.values().all(is_nothing),
    }
}
