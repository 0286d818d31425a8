//! Data sources.
//!
//! Grafana never shows a value of `secureJsonData`; `secureJsonFields` says which names have one. That a value is an old one
//! cannot be seen.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    grafana::{json::to_json, org_of, text_of},
    inject::Node,
};

use super::{Answer, Method, Refusal, Request, same::same, segment};

/// The fields of a document that a request carries besides the two maps. `orgId`, `version` and `editable` are for files.
const FIELDS: &[&str] = &[
    "access",
    "basicAuth",
    "basicAuthUser",
    "database",
    "isDefault",
    "name",
    "type",
    "uid",
    "url",
    "user",
    "withCredentials",
];

/// A data source as Grafana shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Datasource {
    shown: BTreeMap<String, Value>,
    secure: BTreeSet<String>,
}

impl Datasource {
    /// Asks for one.
    #[must_use]
    pub fn look(org: i64, uid: &str) -> Request {
        Request::new(Method::Get, format!("/api/datasources/uid/{}", segment(uid)), org)
    }

    /// Asks for one by its name.
    #[must_use]
    pub fn look_named(org: i64, name: &str) -> Request {
        Request::new(Method::Get, format!("/api/datasources/name/{}", segment(name)), org)
    }

    /// What the answer shows; none where there is no such data source.
    ///
    /// # Errors
    /// Grafana refuses, or answers something else.
    pub fn read(answer: Answer<'_>) -> Result<Option<Self>, Refusal> {
        let Some(Value::Object(map)) = answer.found()? else {
            return if answer.status == 404 { Ok(None) } else { Err(Refusal::Unreadable) };
        };
        let mut shown: BTreeMap<_, _> = map.into_iter().collect();
        let secure = match shown.remove("secureJsonFields") {
            Some(Value::Object(fields)) => fields,
            None | Some(Value::Null) => serde_json::Map::new(),
            Some(_) => return Err(Refusal::Unreadable),
        };
        let secure = secure.into_iter().filter(|(_, is_set)| *is_set == Value::Bool(true));
        Ok(Some(Self { shown, secure: secure.map(|(name, _)| name).collect() }))
    }

    /// The names in `secureJsonData` that have a value.
    #[must_use]
    pub fn secure(&self) -> &BTreeSet<String> {
        &self.secure
    }

    /// Whether a provisioning file owns it: then the API may not change it.
    #[must_use]
    pub fn is_of_a_file(&self) -> bool {
        self.shown.get("readOnly") == Some(&Value::Bool(true))
    }

    /// Makes it, or makes it what the document says.
    #[must_use]
    pub fn write(node: &Node, seen: Option<&Self>) -> Request {
        let org = org_of(node);
        let mut body: BTreeMap<String, Node> =
            FIELDS.iter().filter_map(|name| Some(((*name).to_owned(), node.get(name)?.clone()))).collect();
        body.entry("access".to_owned()).or_insert_with(|| Node::Text("proxy".to_owned()));
        body.insert(
            "jsonData".to_owned(),
            node.get("jsonData").cloned().unwrap_or(Node::Map(BTreeMap::new())),
        );
        let mut secure = node.get("secureJsonData").and_then(Node::as_map).cloned().unwrap_or_default();
        // An update keeps what it does not name: what has left the document is emptied.
        for name in seen.iter().flat_map(|seen| &seen.secure) {
            secure.entry(name.clone()).or_insert_with(|| Node::Text(String::new()));
        }
        body.insert("secureJsonData".to_owned(), Node::Map(secure));
        let request = match (seen, text_of(node, "uid")) {
            (Some(_), Some(uid)) => {
                Request::new(Method::Put, format!("/api/datasources/uid/{}", segment(uid)), org)
            }
            _ => Request::new(Method::Post, "/api/datasources".to_owned(), org),
        };
        request.body(to_json(&Node::Map(body)))
    }

    /// Deletes one; an answer of 404 says that it is gone already.
    #[must_use]
    pub fn delete(org: i64, name: &str) -> Request {
        Request::new(Method::Delete, format!("/api/datasources/name/{}", segment(name)), org)
    }

    /// The places, below the entry, where Grafana has something else than the document. Of a credential only whether there
    /// is one.
    #[must_use]
    pub fn drift(&self, node: &Node) -> Vec<String> {
        let default = Node::Text("proxy".to_owned());
        let mut found = Vec::new();
        for name in FIELDS {
            let own = node.get(name).or((*name == "access").then_some(&default));
            if !same(own, self.shown.get(*name)) {
                found.push((*name).to_owned());
            }
        }
        // A plugin adds names of its own to jsonData.
        for (name, value) in node.get("jsonData").and_then(Node::as_map).into_iter().flatten() {
            if !same(Some(value), self.shown.get("jsonData").and_then(|data| data.get(name))) {
                found.push(format!("jsonData.{name}"));
            }
        }
        let wanted = wanted(node);
        found.extend(wanted.symmetric_difference(&self.secure).map(|name| format!("secureJsonData.{name}")));
        found
    }

    /// The credentials of the document that Grafana does not have. None of them: every one has arrived.
    #[must_use]
    pub fn missing(&self, node: &Node) -> Vec<String> {
        wanted(node).difference(&self.secure).map(|name| format!("secureJsonData.{name}")).collect()
    }
}

/// The names in `secureJsonData` of the document that are not empty.
fn wanted(node: &Node) -> BTreeSet<String> {
    let secure = node.get("secureJsonData").and_then(Node::as_map).into_iter().flatten();
    secure
        .filter(|(_, value)| value.text().is_some_and(|text| !text.is_empty()))
        .map(|(name, _)| name.clone())
        .collect()
}
