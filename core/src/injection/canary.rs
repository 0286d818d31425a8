//! The canary alert: one that is sent on purpose, to see that notifications arrive.

use std::collections::BTreeMap;

use serde_json::json;
use waxwing_crds::{ProbeMode, Probes};

use super::{Fault, policy};
use crate::inject::{Node, Steps};

/// What it is called.
const ALERT: &str = "WaxwingCanary";
/// The label by which its route knows it besides, and its value.
const LABEL: &str = "waxwing_canary";
const VALUE: &str = "true";
/// The label that makes each one a group of its own.
const NUMBER: &str = "waxwing_canary_number";
/// Seconds between two, where the spec does not say.
const EVERY: i64 = 24 * 3600;

/// The canary alert of an injection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    /// Who gets it; the root route's receiver where none is named.
    receiver: Option<String>,
    /// Seconds between two.
    pub every: i64,
}

impl Canary {
    /// # Errors
    /// A duration that is none.
    pub(super) fn read(probes: Option<&Probes>) -> Result<Option<Self>, Fault> {
        let Some(probes) = probes.filter(|probes| probes.mode == Some(ProbeMode::Send)) else {
            return Ok(None);
        };
        let every = policy::seconds(probes.interval.as_deref(), "probes.interval", EVERY)?;
        Ok(Some(Self { receiver: probes.receiver.clone(), every }))
    }

    /// Puts its route in front of all others: nobody else gets it.
    ///
    /// # Errors
    /// Its receiver is not there. A document without a route is left as it is: it is not valid anyway.
    pub(super) fn route(&self, document: &mut Node) -> Result<(), Fault> {
        let text = |node: &Node| node.text().map(str::to_owned);
        let root = document.get("route").and_then(|route| route.get("receiver")).and_then(text);
        let Some(receiver) = self.receiver.clone().or(root) else { return Ok(()) };
        let receivers = document.get("receivers").and_then(Node::as_list).unwrap_or_default();
        if !receivers.iter().any(|one| one.get("name").and_then(Node::text) == Some(&receiver)) {
            return Err(Fault::spec(format!("probes.receiver: the document has no receiver {receiver}")));
        }
        let route = json!({
            "receiver": receiver,
            "matchers": [format!("alertname=\"{ALERT}\""), format!("{LABEL}=\"{VALUE}\"")],
            "group_by": ["..."],
            "group_wait": "1s",
        });
        let route = Node::read(&route).map_err(|error| Fault::spec(error.to_string()))?;
        if let Some(Node::Map(root)) = document.at_mut(&Steps::default().name("route")) {
            let routes = root.entry("routes".to_owned()).or_insert_with(|| Node::List(Vec::new()));
            if let Node::List(routes) = routes {
                routes.insert(0, route);
            }
        }
        Ok(())
    }

    /// The labels of the canary alert of this moment.
    #[must_use]
    pub fn labels(namespace: &str, injection: &str, now: i64) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("alertname", ALERT.to_owned()),
            // No label `namespace`: by that, routes of teams would take it.
            ("injection", format!("{namespace}/{injection}")),
            ("severity", "none".to_owned()),
            (LABEL, VALUE.to_owned()),
            (NUMBER, now.to_string()),
        ])
    }
}
