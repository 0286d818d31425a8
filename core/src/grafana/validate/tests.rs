use serde_json::{Value, json};

use super::*;
use crate::Secret;

fn node(value: &Value) -> Node {
    Node::read(value).unwrap_or_else(|error| panic!("{error}"))
}

fn findings(value: &Value) -> Vec<String> {
    validate(&node(value), &Known::default()).iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check(value: &Value, expected: &[&str]) {
    assert_eq!(findings(value), expected);
}

fn contact(kind: &str, settings: &Value) -> Value {
    json!({"contactPoints": [{"name": "a", "receivers": [{"uid": "u", "type": kind, "settings": settings}]}]})
}

fn leaf() -> Value {
    json!({"$secret": {"name": "s", "key": "k"}})
}

#[test]
fn a_whole_document_is_fine() {
    check(
        &json!({
            "datasources": [
                {"name": "Prometheus", "type": "prometheus", "uid": "prom", "url": "http://prometheus:9090",
                 "access": "proxy", "isDefault": true, "jsonData": {"httpHeaderName1": "Authorization"},
                 "secureJsonData": {"httpHeaderValue1": leaf()}},
                {"name": "Prometheus", "type": "prometheus", "orgId": 2, "isDefault": true},
            ],
            "contactPoints": [{"name": "db", "receivers": [
                {"uid": "db-pd", "type": "pagerduty", "settings": {"integrationKey": leaf(), "severity": "critical"}},
                {"uid": "db-slack", "type": "slack", "disableResolveMessage": true,
                 "settings": {"token": leaf(), "recipient": "#db", "mentionChannel": "here"}},
            ]}],
            "policies": [{"receiver": "db", "group_by": ["alertname"], "group_wait": "0s", "routes": [
                {"receiver": "db", "object_matchers": [["team", "=~", "db|sql"]], "continue": true,
                 "repeat_interval": "4h", "mute_time_intervals": ["nights"]},
                {"matchers": ["team=\"web\""]},
            ]}],
        }),
        &[],
    );
}

#[test]
fn what_grafana_would_not_read_is_found() {
    check(
        &json!({
            "datasources": [
                {"name": "a", "type": "mysql", "password": leaf(), "basic_auth": true, "credential": leaf()},
                {"type": "mysql", "url": 5, "isDefault": "yes", "secureJsonData": {"password": 5}, "access": "browser"},
            ],
            "contactpoints": [],
            "policies": {},
        }),
        &[
            "contactpoints: Grafana does not read this; an injection has datasources, contactPoints and policies",
            "policies: expected a list",
            "datasources[0].basic_auth: Grafana knows no field of this name and would not read it",
            "datasources[0].credential: Grafana knows no field of this name, so the credential would never arrive",
            "datasources[0].password: Grafana does not read this; credentials stand in secureJsonData",
            "datasources[1]: name is missing or empty",
            "datasources[1].access: expected another word; Grafana knows only a few here",
            "datasources[1].isDefault: expected true or false",
            "datasources[1].url: expected a text",
            "datasources[1].secureJsonData.password: expected a text",
        ],
    );
    check(
        &json!({"contactPoints": [
            {"name": " a ", "receivers": [
                {"uid": "u", "type": "slack", "settings": {"url": leaf(), "routing_key": leaf()},
                 "secureSettings": {"url": leaf()}},
                {"uid": "no spaces", "type": "Slack", "settings": {"url": leaf()}},
                {"uid": "u", "type": "webhook", "settings": []},
                {"type": "email"},
            ]},
            {"name": "b", "receivers": []},
            "c",
        ]}),
        &[
            "contactPoints[0].name: it begins or ends with white space, which Grafana takes away",
            "contactPoints[0].receivers[0].secureSettings: Grafana does not read this; credentials stand in settings",
            "contactPoints[0].receivers[0].settings.routing_key: Grafana knows no field of this name, so the credential would never arrive",
            "contactPoints[0].receivers[1].uid: a uid has at most 40 letters, digits, - and _",
            "contactPoints[0].receivers[1].type: Grafana knows no contact point of this type",
            "contactPoints[0].receivers[2].uid: another entry of this organisation has the same uid",
            "contactPoints[0].receivers[2].settings: expected names and values",
            "contactPoints[0].receivers[3]: uid is missing or empty",
            "contactPoints[0].receivers[3]: settings is missing or empty",
            "contactPoints[1]: receivers is missing or empty",
            "contactPoints[2]: expected names and values",
        ],
    );
}

#[test]
fn names_are_unique_within_an_organisation() {
    let receiver = |uid: &str| json!([{"uid": uid, "type": "email", "settings": {"addresses": "a@b.c"}}]);
    check(
        &json!({
            "datasources": [
                {"name": "a", "type": "x", "uid": "u", "isDefault": true},
                {"name": "a", "type": "x", "uid": "u", "isDefault": true},
                {"name": "a", "type": "x", "uid": "u", "isDefault": true, "orgId": 2},
            ],
            "contactPoints": [
                {"name": "a", "receivers": receiver("u")},
                {"name": "a", "receivers": receiver("v"), "orgId": 2},
                {"name": "a", "receivers": receiver("w")},
            ],
            "policies": [{"receiver": "a"}, {"receiver": "a", "orgId": 2}, {"receiver": "a", "orgId": 1}],
        }),
        &[
            "datasources[1].name: another entry of this organisation has the same name",
            "datasources[1].uid: another entry of this organisation has the same uid",
            "datasources[1].isDefault: only one data source of an organisation is the default",
            "contactPoints[2].name: another entry of this organisation has the same name",
            "policies[2]: an organisation has one tree of policies",
        ],
    );
}

#[test]
fn each_kind_of_contact_point_has_what_it_needs() {
    let at = "contactPoints[0].receivers[0].settings";
    for (kind, settings, expected) in [
        ("slack", json!({}), vec!["it needs url, or token and recipient"]),
        ("slack", json!({"token": leaf()}), vec!["with token it needs recipient"]),
        (
            "slack",
            json!({"token": leaf(), "recipient": "#a", "endpointUrl": "https://slack.com/api/chat.postMessage"}),
            vec![],
        ),
        ("slack", json!({"endpointUrl": "https://own.example/api"}), vec![]),
        ("pagerduty", json!({"severity": "critical"}), vec!["integrationKey is missing or empty"]),
        ("telegram", json!({"bottoken": leaf()}), vec!["chatid is missing or empty"]),
        (
            "jira",
            json!({"api_url": "https://j", "project": "p", "issue_type": "t"}),
            vec!["it needs api_token, or user and password"],
        ),
        (
            "jira",
            json!({"api_url": "https://j", "project": "p", "issue_type": "t", "api_token": leaf(), "user": leaf()}),
            vec!["it takes api_token, or user and password, not both"],
        ),
        (
            "kafka",
            json!({"kafkaRestProxy": "http://k", "kafkaTopic": "t", "apiVersion": "v3"}),
            vec!["with apiVersion v3 it needs kafkaClusterId"],
        ),
        ("sns", json!({}), vec!["it needs topic_arn, target_arn or phone_number"]),
        (
            "sns",
            json!({"topic_arn": "arn:x", "sigv4": {"access_key": leaf()}}),
            vec!["sigv4 takes access_key and secret_key together"],
        ),
        (
            "threema",
            json!({"gateway_id": "1234567", "recipient_id": "12345678", "api_secret": leaf()}),
            vec!["gateway_id is a * and seven characters"],
        ),
        ("wecom", json!({"secret": leaf()}), vec!["with secret it needs agent_id and corp_id"]),
        (
            "webhook",
            json!({"url": "https://w", "headers": {"authorization": "x"}}),
            vec!["headers names one that Grafana refuses there, such as Authorization or Host"],
        ),
        (
            "webhook",
            json!({"url": "https://w", "username": "u", "password": leaf(), "authorization_credentials": leaf()}),
            vec!["it takes username and password, or authorization_credentials, not both"],
        ),
    ] {
        let prefixed: Vec<_> = expected.iter().map(|rule| format!("{at}: {rule}")).collect();
        let errors: Vec<_> = validate(&node(&contact(kind, &settings)), &Known::default())
            .into_iter()
            .filter(|it| it.severity() == Severity::Error)
            .map(|it| it.to_string())
            .collect();
        assert_eq!(errors, prefixed, "{kind} {settings}");
    }
}

#[test]
fn a_value_of_another_type_is_found_because_grafana_would_refuse_the_file() {
    check(
        &contact(
            "telegram",
            &json!({"bottoken": leaf(), "chatid": -100, "protect_content": "yes", "parse_mode": "BBCode"}),
        ),
        &[
            "contactPoints[0].receivers[0].settings.chatid: expected a text",
            "contactPoints[0].receivers[0].settings.parse_mode: expected another word; Grafana knows only a few here",
            "contactPoints[0].receivers[0].settings.protect_content: expected true or false",
        ],
    );
    check(
        &contact("pushover", &json!({"userKey": leaf(), "apiToken": leaf(), "priority": "1", "retry": 30})),
        &[],
    );
    check(
        &contact("pushover", &json!({"userKey": leaf(), "apiToken": leaf(), "priority": "high"})),
        &["contactPoints[0].receivers[0].settings.priority: expected a number"],
    );
}

/// A finding names the place and the rule; the value is nowhere in it.
/// Guard: `Misfit` has no variant with a value.
#[test]
fn a_credential_that_does_not_fit_is_found_and_not_shown() {
    let mut document = node(&contact("slack", &json!({"url": leaf()})));
    let at =
        Steps::default().name("contactPoints").item(0).name("receivers").item(0).name("settings").name("url");
    let marker = "MARKER-7f3a";
    for (value, reason) in [
        (format!("https://{marker}\n"), "it ends in a line break"),
        (marker.to_owned(), "it is no http:// or https:// address"),
        (format!("https://{marker}/{{{{ .x }}}}"), "it holds {{, which Grafana would take for a template"),
        ("[REDACTED]".to_owned(), "it is a placeholder, not a value: Grafana would keep what it had before"),
    ] {
        *document.at_mut(&at).unwrap() = Node::Secret(Secret::new(value.into_bytes()));
        let found = validate(&document, &Known::default());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].to_string(), format!("{at}: the credential does not fit: {reason}"));
        assert!(!format!("{found:?}").contains(marker));
        assert_eq!(part(&found[0].at), Part::Receiver(0, 0));
    }
}

#[test]
fn a_credential_that_stands_in_the_document_is_a_warning() {
    for value in [
        contact("pagerduty", &json!({"integrationKey": "MARKER-7f3a"})),
        contact("teams", &json!({"url": "https://example/MARKER-7f3a"})),
        json!({"datasources": [{"name": "a", "type": "x", "secureJsonData": {"password": "MARKER-7f3a"}}]}),
    ] {
        let found = validate(&node(&value), &Known::default());
        assert_eq!(found.iter().map(|it| it.rule).collect::<Vec<_>>(), [Rule::Literal], "{value}");
        assert_eq!(found[0].severity(), Severity::Warning);
        assert!(!format!("{found:?} {}", found[0]).contains("MARKER"));
    }
}

#[test]
fn a_credential_that_grafana_would_keep_in_the_clear_is_a_warning() {
    for (value, place) in [
        (contact("teams", &json!({"url": leaf()})), "contactPoints[0].receivers[0].settings.url"),
        (contact("email", &json!({"addresses": leaf()})), "contactPoints[0].receivers[0].settings.addresses"),
        (
            contact("webhook", &json!({"url": "https://w", "headers": {"X-Key": leaf()}})),
            "contactPoints[0].receivers[0].settings.headers.X-Key",
        ),
        (
            json!({"datasources": [{"name": "a", "type": "x", "jsonData": {"deep": [leaf()]}}]}),
            "datasources[0].jsonData.deep[0]",
        ),
        (json!({"datasources": [{"name": "a", "type": "x", "url": leaf()}]}), "datasources[0].url"),
    ] {
        let found = validate(&node(&value), &Known::default());
        let found: Vec<_> = found.iter().map(|it| (it.at.to_string(), it.rule)).collect();
        assert_eq!(found, [(place.to_owned(), Rule::InTheClear)]);
    }
}

#[test]
fn a_policy_names_contact_points_that_there_are() {
    let value = json!({
        "contactPoints": [{"name": "a", "receivers": [{"uid": "u", "type": "email", "settings": {"addresses": "a@b.c"}}]}],
        "policies": [{"receiver": "a", "matchers": ["x=y"], "routes": [
            {"receiver": "elsewhere", "routes": [{"receiver": "nowhere"}]},
            {"object_matchers": [["a", "==", "b"], ["a", "="], ["a", "=", "\"b\""]], "group_by": ["...", "a"]},
            {"repeat_interval": "0s", "group_interval": "soon", "match": {"a": "b"}, "orgId": 1},
        ]}, {"orgId": 3}],
    });
    let known = Known { contact_points: [(1, "elsewhere".to_owned())].into(), ..Known::default() };
    let found: Vec<_> = validate(&node(&value), &known).iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "policies[0].matchers: the root of a tree takes every alert",
            "policies[0].routes[0].routes[0].receiver: no contact point of this organisation has this name",
            "policies[0].routes[1].group_by[0]: ... stands alone",
            "policies[0].routes[1].object_matchers[0][1]: expected one of =, !=, =~, !~",
            "policies[0].routes[1].object_matchers[1]: expected a name, an operator and a value, all texts",
            "policies[0].routes[1].object_matchers[2][2]: the value stands in quotes, which Grafana takes away",
            "policies[0].routes[2].orgId: Grafana knows no field of this name and would not read it",
            "policies[0].routes[2].group_interval: expected a duration such as 30s, 5m or 4h",
            "policies[0].routes[2].repeat_interval: expected more than no time",
            "policies[1]: receiver is missing or empty",
        ]
    );
}

#[test]
fn the_http_api_needs_the_uid_of_a_data_source() {
    let value = node(&json!({"datasources": [{"name": "a", "type": "x"}]}));
    let known = Known { needs_uid: true, ..Known::default() };
    assert_eq!(validate(&value, &known)[0].rule, Rule::Missing("uid"));
    assert!(validate(&value, &Known::default()).is_empty());
}

#[test]
fn matchers_are_read_as_alertmanager_reads_them() {
    let document = json!({"policies": [{"receiver": "a", "routes": [
        {"object_matchers": [["a", "=~", "("], ["a", "=", "("]], "matchers": ["a", "b=~\"(\"", "c=\"d\", e!=f"],
         "match_re": {"c": "[", "d": "x|y"}},
    ]}]});
    let known = Known { contact_points: [(1, "a".to_owned())].into(), ..Known::default() };
    let found = validate(&node(&document), &known);
    assert!(found.iter().all(|it| matches!(it.rule, Rule::Matcher(_)) && it.severity() == Severity::Error));
    assert_eq!(
        found.iter().map(|it| it.at.to_string()).collect::<Vec<_>>(),
        [
            "policies[0].routes[0].matchers[0]",
            "policies[0].routes[0].matchers[1]",
            "policies[0].routes[0].match_re.c",
            "policies[0].routes[0].object_matchers[0][2]",
        ]
    );
}
