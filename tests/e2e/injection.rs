//! AlertmanagerInjections: from a credential and a native configuration to a real Alertmanager.

mod examples;
mod failures;
mod loading;
mod path;
mod rights;
mod teams;

use anyhow::Result;
use serde_json::{Value, json};
use waxwing_tests::alertmanager::server::Server;
use waxwing_tests::inject::secret;

/// What an Alertmanager begins with.
const EMPTY: &str = "route: {receiver: none}\nreceivers: [{name: none}]\n";

/// A configuration with one receiver, whose webhook gets a token.
fn hook(url: &str, token: &Value) -> Value {
    json!({
        "route": {"receiver": "hook", "group_wait": "1ms", "group_by": ["..."]},
        "receivers": [{
            "name": "hook",
            "webhook_configs": [{
                "url": format!("{url}/hook"),
                "http_config": {"authorization": {"credentials": token}},
            }],
        }],
    })
}

/// An injection for a server that has the Secret `published` mounted.
fn plain(config: &Value, server: Option<&Server>) -> Value {
    let mut spec = json!({"config": config, "target": {"kind": "Plain", "secretName": "published"}});
    if let Some(server) = server {
        spec["target"]["reload"] = json!({"url": format!("{}/-/reload", server.url)});
        spec["verify"] = json!({"endpoints": [server.url], "within": "20s"});
    }
    spec
}

/// Two receivers with a credential each, of the Secret `keys`.
fn two() -> Value {
    json!({
        "route": {"receiver": "ops", "routes": [{"receiver": "db", "matchers": ["team=\"db\""]}]},
        "receivers": [
            {"name": "ops", "slack_configs": [{"channel": "#ops", "api_url": secret("keys", "slack")}]},
            {"name": "db", "pagerduty_configs": [{"routing_key": secret("keys", "pagerduty")}]},
        ],
    })
}

/// The values for [`two`].
const KEYS: [(&str, &str); 2] = [
    ("slack", "https://hooks.slack.com/services/T0/B0/canary-4e"),
    ("pagerduty", "canary-5f-0123456789abcdef012345"),
];

/// The text at a place in a document.
fn at<'a>(config: &'a Value, pointer: &str) -> &'a str {
    config.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A server with nothing to do yet.
async fn server(name: &str) -> Result<Server> {
    Server::start(name, EMPTY).await
}
