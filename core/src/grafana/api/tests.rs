use serde_json::{Value, json};

use super::*;
use crate::{
    Secret,
    grafana::{Entry, EntryKind, Inventory},
    inject::{Node, Steps},
};

fn node(value: &Value) -> Node {
    Node::read(value).unwrap_or_else(|error| panic!("{error}"))
}

/// Puts a credential into a document.
fn put(document: &mut Node, at: &Steps, value: &str) {
    *document.at_mut(at).unwrap() = Node::Secret(Secret::new(value.as_bytes().to_vec()));
}

fn sent(request: &Request) -> (String, Value) {
    let body = request.body.as_ref().map_or(Value::Null, |body| serde_json::from_slice(body).unwrap());
    (format!("{} {}", request.method.as_str(), request.path), body)
}

fn answer(status: u16, body: &Value) -> (u16, Vec<u8>) {
    (status, body.to_string().into_bytes())
}

fn document() -> Node {
    let mut document = node(&json!({
        "datasources": [{"name": "Prom", "type": "prometheus", "uid": "prom", "orgId": 2, "editable": true, "version": 4,
            "url": "http://p", "jsonData": {"httpMethod": "POST"}, "secureJsonData": {"httpHeaderValue1": "x"}}],
        "contactPoints": [{"name": "db", "receivers": [
            {"uid": "db-pd", "type": "pagerduty", "settings": {"integrationKey": "x", "severity": "critical"}},
            {"uid": "db-hook", "type": "webhook", "settings": {"url": "https://w", "tlsConfig": {"clientKey": "x"}}},
        ]}],
        "policies": [{"orgId": 1, "receiver": "db", "routes": [{"object_matchers": [["b", "=", "c"], ["a", "=", "b"]]}]}],
    }));
    let point =
        |index| Steps::default().name("contactPoints").item(0).name("receivers").item(index).name("settings");
    put(&mut document, &point(0).name("integrationKey"), "MARKER-key$");
    put(&mut document, &point(1).name("tlsConfig").name("clientKey"), "MARKER-pem");
    let header = Steps::default().name("datasources").item(0).name("secureJsonData").name("httpHeaderValue1");
    put(&mut document, &header, "MARKER-header");
    document
}

fn tombs(entries: &[(EntryKind, i64, &str)]) -> Inventory {
    let entry =
        |(kind, org, id): &(EntryKind, i64, &str)| Entry { kind: *kind, org: *org, id: (*id).to_owned() };
    Inventory(entries.iter().map(entry).collect())
}

/// What Grafana has after the document was written once.
fn settled() -> Current {
    let document = document();
    let mut current = Current::default();
    let policies = json!({"receiver": "db", "provenance": "api", "group_by": [], "routes": [
        {"object_matchers": [["a", "=", "b"], ["b", "=", "c"]], "continue": false}]});
    let answers = [
        json!({"id": 3, "uid": "prom", "orgId": 2, "name": "Prom", "type": "prometheus", "access": "proxy", "url": "http://p",
            "user": "", "database": "", "basicAuth": false, "jsonData": {"httpMethod": "POST", "added": 1}, "readOnly": false,
            "secureJsonFields": {"httpHeaderValue1": true}}),
        json!([
            {"uid": "db-pd", "name": "db", "type": "pagerduty", "disableResolveMessage": false, "provenance": "api",
             "settings": {"integrationKey": "[REDACTED]", "severity": "critical"}},
            {"uid": "db-hook", "name": "db", "type": "webhook", "provenance": "api",
             "settings": {"url": "https://w", "tlsConfig": {"clientKey": "[REDACTED]"}}},
            {"uid": "other", "name": "email", "type": "email", "settings": {"addresses": "a@b.c"}},
        ]),
        policies,
    ];
    for (look, value) in looks(&document, &Inventory::default()).iter().zip(answers) {
        let (status, body) = answer(200, &value);
        current.take(look, Answer { status, body: &body }).unwrap();
    }
    current
}

#[test]
fn what_is_not_there_is_made() {
    let document = document();
    let plan = plan(&document, &Current::default(), &Inventory::default(), &Options::default());
    let sent: Vec<_> = plan.writes.iter().map(|write| sent(&write.request)).collect();
    assert_eq!(
        sent,
        [
            (
                "POST /api/datasources".to_owned(),
                json!({"name": "Prom", "type": "prometheus", "uid": "prom", "url": "http://p", "access": "proxy",
                    "jsonData": {"httpMethod": "POST"}, "secureJsonData": {"httpHeaderValue1": "MARKER-header"}}),
            ),
            (
                "POST /api/v1/provisioning/contact-points".to_owned(),
                json!({"uid": "db-pd", "name": "db", "type": "pagerduty",
                    "settings": {"integrationKey": "MARKER-key$", "severity": "critical"}}),
            ),
            (
                "POST /api/v1/provisioning/contact-points".to_owned(),
                json!({"uid": "db-hook", "name": "db", "type": "webhook",
                    "settings": {"url": "https://w", "tlsConfig": {"clientKey": "MARKER-pem"}}}),
            ),
            (
                "PUT /api/v1/provisioning/policies".to_owned(),
                json!({"receiver": "db", "routes": [{"object_matchers": [["b", "=", "c"], ["a", "=", "b"]]}]}),
            ),
        ]
    );
    let headers = plan.writes[0].request.headers();
    assert!(headers.contains(&("x-grafana-org-id", "2".to_owned())));
    assert!(!headers.iter().any(|(name, _)| *name == "x-disable-provenance"));
}

#[test]
fn what_is_as_it_should_be_is_not_written() {
    let plan = plan(&document(), &settled(), &Inventory::default(), &Options::default());
    assert!(plan.writes.is_empty());
    assert_eq!(plan.drift, []);
}

#[test]
fn a_rotated_credential_is_written_although_grafana_shows_no_difference() {
    let rotated = [Entry { kind: EntryKind::ContactPoint, org: 1, id: "db-pd".to_owned() }].into();
    let options = Options { rotated, is_editable: true };
    let plan = plan(&document(), &settled(), &Inventory::default(), &options);
    let (line, body) = sent(&plan.writes[0].request);
    assert_eq!((plan.writes.len(), line.as_str()), (1, "PUT /api/v1/provisioning/contact-points/db-pd"));
    assert_eq!(body["settings"]["integrationKey"], "MARKER-key$");
    assert!(plan.writes[0].request.headers().contains(&("x-disable-provenance", "true".to_owned())));
}

#[test]
fn drift_is_found_where_grafana_shows_it() {
    let document = document();
    let mut current = Current::default();
    let answers = [
        json!({"uid": "prom", "name": "Prom", "type": "prometheus", "access": "proxy", "url": "http://other",
            "isDefault": true, "jsonData": {"httpMethod": "GET"}, "secureJsonFields": {"left": true}}),
        json!([
            {"uid": "db-pd", "name": "renamed", "type": "pagerduty", "disableResolveMessage": true,
             "settings": {"severity": "info"}},
            {"uid": "db-hook", "name": "db", "type": "webhook", "provenance": "file",
             "settings": {"url": "https://w", "tlsConfig.clientKey": "[REDACTED]"}},
        ]),
        json!({"receiver": "grafana-default-email"}),
    ];
    for (look, value) in looks(&document, &Inventory::default()).iter().zip(answers) {
        let (status, body) = answer(200, &value);
        current.take(look, Answer { status, body: &body }).unwrap();
    }
    let plan = plan(&document, &current, &Inventory::default(), &Options::default());
    let found: Vec<_> =
        plan.drift.iter().map(|it| (it.at.to_string(), it.fields.join(" "), it.is_of_a_file)).collect();
    let expected = [
        (
            "datasources[0]",
            "isDefault url jsonData.httpMethod secureJsonData.httpHeaderValue1 secureJsonData.left",
            false,
        ),
        (
            "contactPoints[0].receivers[0]",
            "name disableResolveMessage settings.integrationKey settings.severity",
            false,
        ),
        ("contactPoints[0].receivers[1]", "", true),
        ("policies[0]", "tree", false),
    ];
    assert_eq!(found, expected.map(|(at, fields, file)| (at.to_owned(), fields.to_owned(), file)));
    let (line, body) = sent(&plan.writes[0].request);
    assert_eq!(line, "PUT /api/datasources/uid/prom");
    // What has left the document is emptied: an update keeps what it does not name.
    assert_eq!(body["secureJsonData"], json!({"httpHeaderValue1": "MARKER-header", "left": ""}));
    let lines: Vec<_> = plan.writes.iter().skip(1).map(|write| sent(&write.request).0).collect();
    assert_eq!(lines, ["PUT /api/v1/provisioning/contact-points/db-pd", "PUT /api/v1/provisioning/policies"]);
}

#[test]
fn what_files_were_to_delete_is_looked_for() {
    let buried = tombs(&[
        (EntryKind::ContactPoint, 1, "left"),
        (EntryKind::ContactPoint, 1, "other"),
        (EntryKind::Datasource, 1, "a b"),
        (EntryKind::Datasource, 2, "c"),
        (EntryKind::Policies, 3, ""),
    ]);
    let looks = looks_for(&buried);
    let lines: Vec<_> = looks.iter().map(|look| sent(&look.request).0).collect();
    assert_eq!(
        lines,
        [
            "GET /api/v1/provisioning/contact-points",
            "GET /api/v1/provisioning/policies",
            "GET /api/datasources/name/a%20b",
            "GET /api/datasources/name/c",
        ]
    );
    let left = json!([{"uid": "left", "name": "x", "type": "email", "settings": {}}]);
    let answers = [
        (200, left),
        (200, json!({"receiver": "x", "provenance": "file"})),
        (404, json!({})),
        (200, json!({})),
    ];
    let mut current = Current::default();
    for (look, (status, value)) in looks.iter().zip(answers) {
        let (status, body) = answer(status, &value);
        current.take(look, Answer { status, body: &body }).unwrap();
    }
    let remaining = tombs(&[
        (EntryKind::ContactPoint, 1, "left"),
        (EntryKind::Datasource, 2, "c"),
        (EntryKind::Policies, 3, ""),
    ]);
    assert_eq!(current.remaining(&buried), remaining);
}

#[test]
fn what_has_left_is_deleted_and_policies_first() {
    let buried = tombs(&[
        (EntryKind::ContactPoint, 1, "other"),
        (EntryKind::ContactPoint, 1, "long-gone"),
        (EntryKind::Datasource, 1, "a/b c"),
        (EntryKind::Policies, 3, ""),
    ]);
    let document = document();
    let orgs: Vec<_> = looks(&document, &buried).iter().map(|look| sent(&look.request).0).collect();
    assert_eq!(
        orgs,
        [
            "GET /api/datasources/uid/prom",
            "GET /api/v1/provisioning/contact-points",
            "GET /api/v1/provisioning/policies",
            "GET /api/v1/provisioning/policies",
        ]
    );
    let plan = plan(&document, &settled(), &buried, &Options::default());
    let lines: Vec<_> = plan.writes.iter().map(|write| (sent(&write.request).0, write.is_deletion)).collect();
    assert_eq!(
        lines,
        [
            ("DELETE /api/v1/provisioning/policies".to_owned(), true),
            ("DELETE /api/v1/provisioning/contact-points/other".to_owned(), true),
            ("DELETE /api/datasources/name/a%2Fb%20c".to_owned(), true),
        ]
    );
}

#[test]
fn what_is_read_back_proves_which_credentials_arrived() {
    let document = document();
    let receivers = document.at(&Steps::default().name("contactPoints").item(0).name("receivers")).unwrap();
    let (_, body) = answer(
        200,
        &json!([{"uid": "db-pd", "name": "db", "type": "pagerduty", "settings": {"integrationKey": ""}},
            {"uid": "db-hook", "name": "db", "type": "webhook", "settings": {"tlsConfig": {"clientKey": "[REDACTED]"}}}]),
    );
    let seen = ContactPoint::read(Answer { status: 200, body: &body }).unwrap();
    assert_eq!(seen[0].missing(&receivers.as_list().unwrap()[0]), ["settings.integrationKey"]);
    assert_eq!(seen[1].missing(&receivers.as_list().unwrap()[1]), Vec::<String>::new());
    let source = document.at(&Steps::default().name("datasources").item(0)).unwrap();
    let (_, body) = answer(200, &json!({"secureJsonFields": {"httpHeaderValue1": false}}));
    let seen = Datasource::read(Answer { status: 200, body: &body }).unwrap().unwrap();
    assert_eq!(seen.missing(source), ["secureJsonData.httpHeaderValue1"]);
}

#[test]
fn a_policy_that_uses_a_contact_point_is_found() {
    let (_, body) = answer(200, &json!({"receiver": "a", "routes": [{"routes": [{"receiver": "deep"}]}]}));
    let seen = Policies::read(Answer { status: 200, body: &body }).unwrap().unwrap();
    assert!(seen.uses("a") && seen.uses("deep") && !seen.uses("b"));
    assert_eq!(Policies::read(Answer { status: 404, body: b"" }), Ok(None));
}

/// L02. Guard: `Refusal` keeps no more of an answer than its code.
#[test]
fn nothing_that_grafana_says_is_repeated() {
    let body = br#"{"message":"invalid URL https://hooks.example/MARKER"}"#;
    let all = [301, 400, 401, 403, 404, 409, 410, 418, 429, 500, 503];
    for status in all {
        let answer = Answer { status, body };
        let errors = [answer.done().err(), ContactPoint::read(answer).err(), deliveries_of(answer).err()];
        for error in errors.into_iter().flatten() {
            assert_eq!(error, Refusal::Status(status));
            assert!(error.to_string().contains(&status.to_string()));
            assert!(!format!("{error} {error:?}").contains("MARKER"));
        }
        assert_eq!(Refusal::Status(status).is_passing(), matches!(status, 429 | 500 | 503));
    }
    for wrong in [br#"{"MARKER":1}"#.as_slice(), b"MARKER", br#"[{"MARKER":1}]"#] {
        let answer = Answer { status: 200, body: wrong };
        assert_eq!(ContactPoint::read(answer), Err(Refusal::Unreadable));
    }
    assert_eq!(Datasource::read(Answer { status: 200, body: b"[]" }), Err(Refusal::Unreadable));
    assert!(!Refusal::Unreadable.to_string().contains("MARKER"));
}

#[test]
fn a_delivery_that_fails_is_told_without_its_text() {
    let (status, body) = answer(
        200,
        &json!([
            {"name": "db", "active": true, "integrations": [
                {"name": "slack", "sendResolved": true, "lastNotifyAttempt": "2026-11-21T10:00:00.000Z",
                 "lastNotifyAttemptError": "Post \"https://hooks.slack.com/services/MARKER\": 403"},
                {"name": "email", "lastNotifyAttempt": "0001-01-01T00:00:00.000Z", "lastNotifyAttemptDuration": "0s"},
                {"name": "odd", "lastNotifyAttempt": "MARKER"},
            ]},
        ]),
    );
    let found = deliveries_of(Answer { status, body: &body }).unwrap();
    let lines: Vec<_> =
        found.iter().map(|it| (it.integration, it.attempted.as_deref(), it.is_failing)).collect();
    assert_eq!(lines, [(0, Some("2026-11-21T10:00:00.000Z"), true), (1, None, false), (2, None, false)]);
    assert!(!format!("{found:?}").contains("MARKER"));
}

#[test]
fn a_reload_is_asked_of_the_whole_server() {
    let request = reload(FileKind::Alerting);
    assert_eq!(sent(&request).0, "POST /api/admin/provisioning/alerting/reload");
    assert!(request.headers().iter().all(|(name, _)| *name != "x-grafana-org-id"));
    assert_eq!(reload(FileKind::Datasources).path, "/api/admin/provisioning/datasources/reload");
}
