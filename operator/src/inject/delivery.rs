//! Whether notifications arrive, by Alertmanager's own counters. Nothing is sent for it.

use std::collections::BTreeMap;

use waxwing_core::inject::Node;

use super::{load::Replica, samples::samples};

/// What the replicas had counted at the last look, and which deliveries failed then.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Delivered {
    counts: BTreeMap<Series, Counts>,
    failing: BTreeMap<Way, String>,
}

/// A counter of one replica.
type Series = (String, Way);

/// The integration, and the receiver where Alertmanager tells it (`--enable-feature=receiver-name-in-metrics`).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    integration: String,
    receiver: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Counts {
    sent: f64,
    failed: BTreeMap<String, f64>,
}

/// A notification that was given up because Alertmanager was reloaded or stopped is none that was refused.
const NO_REFUSAL: &str = "contextCanceled";

impl Delivered {
    /// What the replicas count now, and which ways fail: those that have failed since the last look, and those that failed
    /// before it and have not been used since.
    pub(crate) fn next(&self, replicas: &[Replica]) -> Self {
        let mut counts: BTreeMap<Series, Counts> = BTreeMap::new();
        for replica in replicas {
            let of = |labels: &BTreeMap<&str, String>| {
                let integration = labels.get("integration").cloned().unwrap_or_default();
                let way = Way { integration, receiver: labels.get("receiver_name").cloned() };
                (replica.address.clone(), way)
            };
            for sample in samples(&replica.metrics, "alertmanager_notifications_total") {
                counts.entry(of(&sample.labels)).or_default().sent += sample.value;
            }
            for sample in samples(&replica.metrics, "alertmanager_notifications_failed_total") {
                let reason = sample.labels.get("reason").cloned().unwrap_or_else(|| "other".to_owned());
                if reason != NO_REFUSAL {
                    *counts.entry(of(&sample.labels)).or_default().failed.entry(reason).or_default() +=
                        sample.value;
                }
            }
        }
        let mut failing = self.failing.clone();
        for (series, now) in &counts {
            // At the first look nothing is known of when the failures were.
            let Some(before) = self.counts.get(series) else { continue };
            let grown = |(reason, count): (&String, &f64)| {
                (*count > before.failed.get(reason).copied().unwrap_or_default()).then(|| reason.clone())
            };
            let reasons: Vec<String> = now.failed.iter().filter_map(grown).collect();
            if !reasons.is_empty() {
                failing.insert(series.1.clone(), reasons.join(", "));
            } else if now.sent > before.sent {
                failing.remove(&series.1);
            }
        }
        Self { counts, failing }
    }

    /// The receivers of a configuration that fail, and what is said of it. Under an empty name stands what cannot be told
    /// to be one receiver's.
    pub(crate) fn failing(&self, document: &Node) -> BTreeMap<String, String> {
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        for (Way { integration, receiver }, reasons) in &self.failing {
            let users = match receiver {
                Some(receiver) => vec![receiver.clone()],
                None => users(document, integration),
            };
            match users.as_slice() {
                [] => {}
                [only] => {
                    found.insert(only.clone(), format!("{integration}: {reasons}"));
                }
                many => {
                    let what = format!("{integration}: {reasons}, of one or more of {}", many.join(", "));
                    let all = found.entry(String::new()).or_default();
                    if !all.is_empty() {
                        all.push_str("; ");
                    }
                    all.push_str(&what);
                }
            }
        }
        found
    }
}

/// The receivers that use an integration.
fn users(document: &Node, integration: &str) -> Vec<String> {
    let field = format!("{integration}_configs");
    let receivers = document.get("receivers").and_then(Node::as_list).unwrap_or_default();
    let users = receivers.iter().filter(|receiver| receiver.get(&field).is_some());
    users.filter_map(|receiver| receiver.get("name")?.text().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use zeroize::Zeroizing;

    use super::*;

    fn replica(text: &str) -> Vec<Replica> {
        vec![Replica { address: "a".to_owned(), metrics: Zeroizing::new(text.to_owned()) }]
    }

    fn counted(sent: u32, failed: u32) -> Vec<Replica> {
        replica(&format!(
            "alertmanager_notifications_total{{integration=\"slack\"}} {sent}\n\
             alertmanager_notifications_failed_total{{integration=\"slack\",reason=\"authError\"}} {failed}\n"
        ))
    }

    fn document(receivers: &[&str]) -> Node {
        let all = receivers.iter().map(|name| json!({"name": name, "slack_configs": [{"channel": "#x"}]}));
        Node::read(&json!({"receivers": all.collect::<Vec<_>>()})).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_way_fails_from_its_next_failure_on_until_it_has_delivered_again() {
        let failing = |delivered: &Delivered| delivered.failing(&document(&["chat"]));
        let first = Delivered::default().next(&counted(7, 5));
        assert!(failing(&first).is_empty(), "nobody knows when the five were");
        let second = first.next(&counted(8, 6));
        assert_eq!(failing(&second), BTreeMap::from([("chat".to_owned(), "slack: authError".to_owned())]));
        let idle = second.next(&counted(8, 6));
        assert_eq!(failing(&idle).len(), 1);
        assert!(failing(&idle.next(&counted(9, 6))).is_empty());
    }

    #[test]
    fn who_of_several_fails_is_said_only_where_alertmanager_tells() {
        let before = Delivered::default().next(&counted(1, 0));
        let failing = before.next(&counted(2, 1)).failing(&document(&["a", "b"]));
        assert_eq!(failing[""], "slack: authError, of one or more of a, b");
        let named = |failed: u32| {
            replica(&format!(
                "alertmanager_notifications_failed_total{{integration=\"slack\",receiver_name=\"b\",reason=\"authError\"}} {failed}\n"
            ))
        };
        let failing = Delivered::default().next(&named(0)).next(&named(1)).failing(&document(&["a", "b"]));
        assert_eq!(failing.keys().collect::<Vec<_>>(), ["b"]);
    }
}
