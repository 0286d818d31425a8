//! Trees of notification policies. An organisation has one, and it is written as a whole.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    alertmanager::matcher::{Syntax, parse},
    grafana::{json::to_json, org_of},
    inject::Node,
};

use super::{Answer, Method, Refusal, Request};

const PATH: &str = "/api/v1/provisioning/policies";

/// A tree as Grafana shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies(Value);

impl Policies {
    /// Asks for the tree of an organisation.
    #[must_use]
    pub fn look(org: i64) -> Request {
        Request::new(Method::Get, PATH.to_owned(), org)
    }

    /// What the answer shows; none where the organisation has no configuration yet.
    ///
    /// # Errors
    /// Grafana refuses, or answers something else.
    pub fn read(answer: Answer<'_>) -> Result<Option<Self>, Refusal> {
        match answer.found()? {
            None => Ok(None),
            Some(value @ Value::Object(_)) => Ok(Some(Self(value))),
            Some(_) => Err(Refusal::Unreadable),
        }
    }

    /// Whether a provisioning file owns it: then the API may not change it.
    #[must_use]
    pub fn is_of_a_file(&self) -> bool {
        self.0.get("provenance") == Some(&Value::String("file".to_owned()))
    }

    /// Writes the tree.
    #[must_use]
    pub fn write(tree: &Node, is_editable: bool) -> Request {
        let mut body = tree.as_map().cloned().unwrap_or_default();
        body.remove("orgId");
        let body = to_json(&Node::Map(body));
        Request::new(Method::Put, PATH.to_owned(), org_of(tree)).editable(is_editable).body(body)
    }

    /// Puts Grafana's own tree in its place.
    #[must_use]
    pub fn reset(org: i64) -> Request {
        Request::new(Method::Delete, PATH.to_owned(), org)
    }

    /// Whether Grafana has the tree of the document.
    #[must_use]
    pub fn is(&self, tree: &Node) -> bool {
        let Ok(mut own) = serde_json::from_slice::<Value>(&to_json(tree)) else { return false };
        let mut seen = self.0.clone();
        for value in [&mut own, &mut seen] {
            if let Value::Object(map) = value {
                map.remove("orgId");
                map.remove("provenance");
            }
        }
        plain(own) == plain(seen)
    }

    /// Whether a policy sends to this contact point: then it cannot be deleted.
    #[must_use]
    pub fn uses(&self, contact_point: &str) -> bool {
        fn uses(route: &Value, name: &str) -> bool {
            route.get("receiver").and_then(Value::as_str) == Some(name)
                || route
                    .get("routes")
                    .and_then(Value::as_array)
                    .is_some_and(|routes| routes.iter().any(|route| uses(route, name)))
        }
        uses(&self.0, contact_point)
    }
}

/// Without what says nothing, and with matchers in one order: Grafana sorts them.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let names: BTreeMap<String, Value> = map
                .into_iter()
                .map(|(name, value)| {
                    let mut value = plain(value);
                    if name.ends_with("matchers")
                        && let Value::Array(items) = &mut value
                    {
                        *items = items.drain(..).flat_map(matchers).collect();
                        items.sort_by_key(ToString::to_string);
                    }
                    (name, value)
                })
                .filter(|(_, value)| {
                    !matches!(value, Value::Null | Value::Bool(false))
                        && value.as_array().is_none_or(|items| !items.is_empty())
                        && value.as_str() != Some("")
                })
                .collect();
            Value::Object(names.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(plain).collect()),
        other => other,
    }
}

/// A text of matchers as Grafana writes it: one for each, the value in quotes.
fn matchers(item: Value) -> Vec<Value> {
    match item.as_str().map(|text| parse(text, Syntax::Fallback)) {
        Some(Ok(reading)) => reading.matchers.iter().map(|it| Value::String(it.to_string())).collect(),
        _ => vec![item],
    }
}
