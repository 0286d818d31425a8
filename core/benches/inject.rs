//! From a document with references to checked bytes: 1,000 receivers, each with a credential and a route of its own.

use std::{collections::BTreeMap, io::Write as _};

use divan::{Bencher, black_box};
use serde_json::{Value, json};
use waxwing_core::{
    Secret,
    inject::{Answer, Node, Reference},
    injection::alertmanager::Spec,
};

fn main() {
    if !std::env::args().any(|argument| argument == "--text") {
        return divan::main();
    }
    // The text that comes of it, for others to be measured with.
    let (spec, document, answers) = injection();
    let made = spec.make(&document, &answers, &BTreeMap::new());
    let bytes = made.unwrap_or_else(|refused| panic!("{:?}", refused.messages())).bytes;
    std::io::stdout().write_all(&bytes).expect("the text can be written");
}

/// Receivers of a large company.
const RECEIVERS: usize = 1_000;

fn leaf(number: usize) -> Value {
    json!({"$secret": {"name": format!("team-{number}"), "key": "credential"}})
}

fn receiver(number: usize) -> Value {
    let name = format!("team-{number}");
    let credential = leaf(number);
    match number % 5 {
        0 => {
            json!({"name": name, "pagerduty_configs": [{"routing_key": credential, "severity": "{{ .CommonLabels.severity }}"}]})
        }
        1 => {
            json!({"name": name, "slack_configs": [{"api_url": credential, "channel": "#alerts", "title": "{{ .CommonAnnotations.summary }}"}]})
        }
        2 => {
            json!({"name": name, "webhook_configs": [{"url": "https://hooks.example.com/x", "http_config": {"authorization": {"credentials": credential}}}]})
        }
        3 => json!({"name": name, "opsgenie_configs": [{"api_key": credential, "priority": "P2"}]}),
        _ => {
            json!({"name": name, "email_configs": [{"to": format!("{name}@example.com"), "auth_password": credential}]})
        }
    }
}

/// The spec, and what its references give.
fn injection() -> (Spec, Node, BTreeMap<Reference, Answer>) {
    let routes: Vec<Value> = (0..RECEIVERS)
        .map(|number| json!({"receiver": format!("team-{number}"), "matchers": [format!("team=\"team-{number}\""), "severity=~\"page|warn\""]}))
        .collect();
    let tests: Vec<Value> = (0..20)
        .map(|number| json!({"name": format!("t{number}"), "labels": {"team": format!("team-{number}"), "severity": "page"}, "expect": {"receivers": [format!("team-{number}")]}}))
        .collect();
    let spec = json!({
        "config": {
            "global": {"smtp_smarthost": "smtp.example.com:587", "smtp_from": "am@example.com", "smtp_auth_username": "am"},
            "route": {"receiver": "team-0", "routes": routes},
            "receivers": (0..RECEIVERS).map(receiver).collect::<Vec<_>>(),
        },
        "routeTests": tests,
        "target": {"kind": "PrometheusOperator", "secretName": "alertmanager-main-config"},
    });
    let spec = serde_json::from_value(spec).expect("is a spec");
    let spec = Spec::read(&spec).unwrap_or_else(|fault| panic!("{fault}"));
    let document = spec.document(None).unwrap_or_else(|fault| panic!("{fault}"));
    let mut answers = BTreeMap::new();
    document.leaves(&mut |_, reference| {
        let number = answers.len();
        let value =
            match reference.name().trim_start_matches("team-").parse::<usize>().unwrap_or_default() % 5 {
                1 => format!("https://hooks.slack.com/services/T0/B0/{number}"),
                _ => format!("credential-{number:032}"),
            };
        answers.insert(reference.clone(), Answer::Value(Secret::new(value.into_bytes())));
    });
    (spec, document, answers)
}

/// Everything between the answers of Secrets and the bytes that are published: filling in, the check of the document and of
/// the result, what prometheus-operator can take, 20 route tests, the text.
#[divan::bench]
fn render_and_validate_1000_receivers(bencher: Bencher<'_, '_>) {
    let (spec, document, answers) = injection();
    let none = BTreeMap::new();
    bencher.bench_local(|| {
        let made = spec.make(black_box(&document), &answers, &none);
        made.unwrap_or_else(|refused| panic!("{:?}", refused.messages())).bytes
    });
}
