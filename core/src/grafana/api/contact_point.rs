//! Contact points.
//!
//! Grafana shows `[REDACTED]` for every secure setting that has a value. Sent back, it means "keep": so what was read is never
//! written, and a credential that reads `[REDACTED]` is refused before it comes here ([`crate::grafana::fits`]).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    grafana::{Kind, REDACTED, json::to_json, text_of},
    grafana::{field::Field, field::Keeps, receivers::Receiver},
    inject::Node,
};

use super::{Answer, Method, Refusal, Request, same::same, segment};

const PATH: &str = "/api/v1/provisioning/contact-points";

/// A receiver of a contact point as Grafana shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContactPoint {
    /// Its uid.
    pub uid: String,
    /// The name of the contact point that it belongs to.
    pub name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    settings: Value,
    #[serde(default)]
    disable_resolve_message: bool,
    #[serde(default)]
    provenance: String,
}

impl ContactPoint {
    /// Asks for all of an organisation.
    #[must_use]
    pub fn look(org: i64) -> Request {
        Request::new(Method::Get, PATH.to_owned(), org)
    }

    /// What the answer shows.
    ///
    /// # Errors
    /// Grafana refuses, or answers something else.
    pub fn read(answer: Answer<'_>) -> Result<Vec<Self>, Refusal> {
        let found = answer.found()?.ok_or(Refusal::Status(404))?;
        Vec::deserialize(found).map_err(|_| Refusal::Unreadable)
    }

    /// Whether a provisioning file owns it: then the API may not change it.
    #[must_use]
    pub fn is_of_a_file(&self) -> bool {
        self.provenance == "file"
    }

    /// Makes it, or makes it what the document says. `point` is the contact point that the receiver stands in.
    #[must_use]
    pub fn write(org: i64, point: &Node, receiver: &Node, seen: Option<&Self>, is_editable: bool) -> Request {
        let mut body: BTreeMap<String, Node> = ["uid", "type", "settings", "disableResolveMessage"]
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), receiver.get(name)?.clone())))
            .collect();
        body.extend(point.get("name").map(|name| ("name".to_owned(), name.clone())));
        let request = match seen {
            Some(seen) => Request::new(Method::Put, format!("{PATH}/{}", segment(&seen.uid)), org),
            None => Request::new(Method::Post, PATH.to_owned(), org),
        };
        request.editable(is_editable).body(to_json(&Node::Map(body)))
    }

    /// Deletes one. Grafana refuses while a policy or a rule uses it.
    #[must_use]
    pub fn delete(org: i64, uid: &str) -> Request {
        Request::new(Method::Delete, format!("{PATH}/{}", segment(uid)), org)
    }

    /// The places, below the receiver, where Grafana has something else than the document. Of a secure setting only whether
    /// there is one.
    #[must_use]
    pub fn drift(&self, point: &Node, receiver: &Node) -> Vec<String> {
        let mut found = Vec::new();
        let texts =
            [("name", text_of(point, "name"), &self.name), ("type", text_of(receiver, "type"), &self.kind)];
        found.extend(
            texts.iter().filter(|(_, own, seen)| *own != Some(seen)).map(|(name, ..)| (*name).to_owned()),
        );
        let disables = matches!(receiver.get("disableResolveMessage"), Some(Node::Bool(true)));
        if disables != self.disable_resolve_message {
            found.push("disableResolveMessage".to_owned());
        }
        if let Some(kind) = text_of(receiver, "type").and_then(Receiver::named) {
            self.settings("settings", "", receiver.get("settings"), kind.fields, &mut found);
        }
        found
    }

    /// The credentials of the document that Grafana does not have. None of them: every one has arrived.
    #[must_use]
    pub fn missing(&self, receiver: &Node) -> Vec<String> {
        let mut found = Vec::new();
        let kind = text_of(receiver, "type").and_then(Receiver::named);
        let secure = kind.into_iter().flat_map(|kind| kind.fields);
        self.lacks("", receiver.get("settings"), secure, &mut found);
        found
    }

    fn lacks<'a>(
        &self,
        prefix: &str,
        own: Option<&Node>,
        fields: impl Iterator<Item = &'a Field>,
        found: &mut Vec<String>,
    ) {
        for field in fields {
            let path = format!("{prefix}{}", field.name);
            let own = own.and_then(|own| own.get(field.name));
            if let Kind::Fields(inner) = field.kind {
                self.lacks(&format!("{path}."), own, inner.iter(), found);
            } else if field.keeps == Keeps::Secure && has(own) && !self.has_secure(&path) {
                found.push(format!("settings.{path}"));
            }
        }
    }

    /// Whether a secure setting has a value. Versions of Grafana differ in where they show one that is nested.
    fn has_secure(&self, path: &str) -> bool {
        let nested = path.split('.').try_fold(&self.settings, |value, name| value.get(name));
        [nested, self.settings.get(path)].contains(&Some(&Value::String(REDACTED.to_owned())))
    }

    fn settings(
        &self,
        at: &str,
        prefix: &str,
        own: Option<&Node>,
        fields: &[Field],
        found: &mut Vec<String>,
    ) {
        for field in fields {
            let path = format!("{prefix}{}", field.name);
            let own = own.and_then(|own| own.get(field.name));
            let differs = match (field.kind, field.keeps) {
                (Kind::Fields(inner), _) => {
                    self.settings(at, &format!("{path}."), own, inner, found);
                    continue;
                }
                (_, Keeps::Secure) => has(own) != self.has_secure(&path),
                _ => {
                    let seen = path.split('.').try_fold(&self.settings, |value, name| value.get(name));
                    !same(own, seen)
                }
            };
            if differs {
                found.push(format!("{at}.{path}"));
            }
        }
    }
}

fn has(node: Option<&Node>) -> bool {
    node.and_then(Node::text).is_some_and(|text| !text.is_empty())
}
