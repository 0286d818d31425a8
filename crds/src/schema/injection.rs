//! Rules of AlertmanagerInjections and GrafanaInjections. The documents themselves pass unlooked at: `waxwing_core` knows
//! more of them than a schema could say.

use schemars::Schema;
use serde_json::json;

use super::{
    DURATION, MAX_LABEL, MAX_NAME, NAMESPACE, data_key, exactly_one, label_selector, map_list, name,
    property, rule_here, set, set_items, strip_defaults, text,
};

/// References that are put into a document of somebody else.
const MAX_SET: u32 = 1024;
/// Route tests.
const MAX_TESTS: u32 = 1024;
/// Labels of an alert.
const MAX_ALERT_LABELS: u32 = 64;
/// Receivers that one alert can go to.
const MAX_EXPECTED: u32 = 64;
/// Selections of AlertReceivers.
const MAX_INCLUDES: u32 = 64;
/// Routes of an AlertReceiver.
const MAX_ROUTES: u32 = 64;
/// Endpoints whose load is looked at.
const MAX_ENDPOINTS: u32 = 16;
/// Data sources, contact points or policies.
const MAX_DOCUMENTS: u32 = 512;
/// Characters of the name of a receiver, a field, a URL and the like.
const MAX_TEXT: u32 = 1024;

const VERSION: &str = r"^v?[0-9]{1,3}\.[0-9]{1,3}(\.[0-9]{1,3})?$";
/// What a URL of a server looks like, and what it is told else. A pattern would have the API server repeat the URL, and it
/// may hold a password.
const URL: &str = "matches('^https?://[^ ]+$')";
const NO_URL: &str = "is a URL that begins with http:// or https://";
/// Characters of a time.
const MAX_TIME: u32 = 64;

pub(crate) fn alertmanager_injection_spec(schema: &mut Schema) {
    strip_defaults(schema);
    exactly_one(schema, &["config", "configFrom"], "set either config or configFrom");
    set(schema, "set", json!({"maxItems": MAX_SET}));
    set(schema, "include", json!({"maxItems": MAX_INCLUDES}));
    duration(schema, "refreshInterval");
    set(schema, "routeTests", json!({"maxItems": MAX_TESTS}));
    map_list(schema, "routeTests", "name");
    rule_here(
        schema,
        "!has(self.target.reload) || !has(self.target.kind) || self.target.kind == 'Plain'",
        "reload is for kind Plain: prometheus-operator reloads by itself",
    );
}

pub(crate) fn include(schema: &mut Schema) {
    label_selector(property(schema, "receiverSelector"));
    label_selector(property(schema, "namespaceSelector"));
    text(schema, "namespaceLabel", MAX_TEXT);
}

pub(crate) fn alert_receiver_spec(schema: &mut Schema) {
    strip_defaults(schema);
    set(schema, "routes", json!({"maxItems": MAX_ROUTES}));
}

pub(crate) fn injection_name(schema: &mut Schema) {
    name(schema, "name");
    set(schema, "namespace", json!({"pattern": NAMESPACE, "maxLength": MAX_LABEL}));
}

pub(crate) fn alert_receiver_status(schema: &mut Schema) {
    strip_defaults(schema);
    map_list(schema, "conditions", "type");
}

fn duration(schema: &mut Schema, name: &str) {
    set(schema, name, json!({"pattern": DURATION, "minLength": 1, "maxLength": 32}));
}

pub(crate) fn config_from(schema: &mut Schema) {
    exactly_one(schema, &["configMapKeyRef", "secretKeyRef"], "set either configMapKeyRef or secretKeyRef");
}

pub(crate) fn document_key(schema: &mut Schema) {
    name(schema, "name");
    data_key(schema, "key");
}

pub(crate) fn set_field(schema: &mut Schema) {
    text(schema, "receiver", MAX_TEXT);
    text(schema, "field", MAX_TEXT);
}

pub(crate) fn alertmanager_target(schema: &mut Schema) {
    name(schema, "secretName");
    data_key(schema, "key");
    set(schema, "version", json!({"pattern": VERSION, "maxLength": 16}));
    set(schema, "operatorVersion", json!({"pattern": VERSION, "maxLength": 16}));
}

pub(crate) fn reload(schema: &mut Schema) {
    text(schema, "url", MAX_TEXT);
    rule_here(schema, &format!("self.url.{URL}"), &format!("url {NO_URL}"));
}

pub(crate) fn injection_policy(schema: &mut Schema) {
    text(schema, "fallbackReceiver", MAX_TEXT);
    duration(schema, "maxStale");
    set(schema, "history", json!({"format": "int32", "minimum": 1, "maximum": 20}));
}

pub(crate) fn probes(schema: &mut Schema) {
    text(schema, "receiver", MAX_TEXT);
    duration(schema, "interval");
    rule_here(
        schema,
        "has(self.mode) && self.mode == 'Send' || !has(self.receiver) && !has(self.interval)",
        "receiver and interval are for mode Send",
    );
}

pub(crate) fn verify(schema: &mut Schema) {
    set(schema, "endpoints", json!({"minItems": 1, "maxItems": MAX_ENDPOINTS}));
    set_items(schema, "endpoints", "items", json!({"minLength": 1, "maxLength": MAX_TEXT}));
    rule_here(
        schema,
        &format!("self.endpoints.all(endpoint, endpoint.{URL})"),
        &format!("each of endpoints {NO_URL}"),
    );
    duration(schema, "within");
}

pub(crate) fn route_test(schema: &mut Schema) {
    text(schema, "name", MAX_NAME);
    set(schema, "labels", json!({"maxProperties": MAX_ALERT_LABELS}));
    set_items(schema, "labels", "additionalProperties", json!({"maxLength": MAX_TEXT}));
    set(schema, "firing", json!({"maxItems": MAX_ALERT_LABELS}));
    let labels = json!({"maxProperties": MAX_ALERT_LABELS, "additionalProperties": {"type": "string", "maxLength": MAX_TEXT}});
    set_items(schema, "firing", "items", labels);
    set(schema, "at", json!({"maxLength": MAX_TIME}));
}

pub(crate) fn route_expectation(schema: &mut Schema) {
    for name in ["receivers", "muted"] {
        set(schema, name, json!({"maxItems": MAX_EXPECTED}));
        set_items(schema, name, "items", json!({"minLength": 1, "maxLength": MAX_TEXT}));
    }
    rule_here(
        schema,
        "has(self.receivers) || has(self.muted) || has(self.inhibited)",
        "a test expects receivers, muted or inhibited",
    );
}

pub(crate) fn grafana_injection_spec(schema: &mut Schema) {
    strip_defaults(schema);
    duration(schema, "refreshInterval");
    for name in ["datasources", "contactPoints", "policies"] {
        set(schema, name, json!({"maxItems": MAX_DOCUMENTS}));
    }
    rule_here(
        schema,
        "has(self.datasources) || has(self.contactPoints) || has(self.policies)",
        "datasources, contactPoints or policies must say what Grafana is to have",
    );
}

pub(crate) fn grafana_target(schema: &mut Schema) {
    name(schema, "secretName");
    text(schema, "url", MAX_TEXT);
    rule_here(schema, &format!("!has(self.url) || self.url.{URL}"), &format!("url {NO_URL}"));
    rule_here(
        schema,
        "has(self.kind) && self.kind == 'API' ? has(self.url) && has(self.auth) : !has(self.url)",
        "url is for kind API, which needs it and auth",
    );
    rule_here(
        schema,
        "!has(self.reload) || has(self.kind) && self.kind == 'Mounted'",
        "reload is for kind Mounted",
    );
}

pub(crate) fn grafana_auth(schema: &mut Schema) {
    exactly_one(schema, &["token", "username"], "set either token, or username and password");
    rule_here(schema, "has(self.username) == has(self.password)", "username and password belong together");
}

pub(crate) fn injection_status(schema: &mut Schema) {
    strip_defaults(schema);
    map_list(schema, "conditions", "type");
}
