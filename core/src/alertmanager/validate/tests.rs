//! One line a rule: what is written into a configuration, and what is found.

use serde_json::{Value, json};

use super::*;

/// The rules that are broken, with their places, in a version.
fn found(config: &Value, version: &str) -> Vec<(String, &'static str, Severity)> {
    let node = Node::read(config).unwrap_or_else(|error| panic!("{error}"));
    let findings = check(&node, version.parse().unwrap());
    findings.into_iter().map(|finding| (finding.at.to_string(), finding.rule, finding.severity)).collect()
}

fn errors(config: &Value, version: &str) -> Vec<(String, &'static str)> {
    let errors = found(config, version).into_iter().filter(|(_, _, severity)| *severity == Severity::Error);
    errors.map(|(at, rule, _)| (at, rule)).collect()
}

/// A configuration with one integration in its only receiver.
fn with(integration: &str, config: Value) -> Value {
    json!({"route": {"receiver": "a"}, "receivers": [{"name": "a", integration: [config]}]})
}

/// Checks what one integration breaks in the newest version; places are relative to it.
#[track_caller]
fn breaks(integration: &str, config: Value, expected: &[(&str, &str)]) {
    breaks_in("0.34", integration, config, expected);
}

#[track_caller]
fn breaks_in(version: &str, integration: &str, config: Value, expected: &[(&str, &str)]) {
    let at = format!("receivers[0].{integration}[0]");
    let found = errors(&with(integration, config), version);
    let found: Vec<(&str, &str)> = found
        .iter()
        .map(|(place, rule)| (place.strip_prefix(&at).unwrap_or(place).trim_start_matches('.'), *rule))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_plain_configuration_is_taken_by_every_version() {
    for version in Version::all() {
        let config = with("webhook_configs", json!({"url": "http://localhost/hook"}));
        assert_eq!(found(&config, &version.to_string()), []);
    }
}

#[test]
fn fields_exist_from_their_version_on() {
    let url = json!("https://example.com/");
    for (version, integration, config, at) in [
        (
            "0.25",
            "discord_configs",
            json!({"webhook_url": url, "webhook_url_file": "/f"}),
            "webhook_url_file",
        ),
        (
            "0.30",
            "telegram_configs",
            json!({"bot_token": "t", "chat_id": 1, "chat_id_file": "/f"}),
            "chat_id_file",
        ),
        ("0.31", "webhook_configs", json!({"url": url, "payload": {}}), "payload"),
    ] {
        breaks_in(version, integration, config, &[(at, "unknown-field")]);
    }
    breaks_in(
        "0.28",
        "incidentio_configs",
        json!({"url": url}),
        &[("receivers[0].incidentio_configs", "unknown-field")],
    );
    let message = |version: &str| {
        let node = Node::read(
            &json!({"route": {"receiver": "a", "labels": {}}, "receivers": [{"name": "a"}], "x": 1}),
        );
        let findings = check(&node.unwrap_or_else(|error| panic!("{error}")), version.parse().unwrap());
        findings.into_iter().map(|finding| finding.message).collect::<Vec<_>>()
    };
    assert_eq!(
        message("0.33"),
        ["Alertmanager 0.33 does not have this field; 0.34 does", "this configuration has no such field"]
    );
}

#[test]
fn types_are_those_of_alertmanagers_yaml_library() {
    breaks("telegram_configs", json!({"bot_token": 5, "chat_id": -1.5, "message": true}), &[]);
    breaks("telegram_configs", json!({"bot_token": "t", "chat_id": "-1"}), &[("chat_id", "type")]);
    breaks("telegram_configs", json!({"bot_token": ["t"], "chat_id": 1}), &[("bot_token", "type")]);
    breaks(
        "webhook_configs",
        json!({"url": "http://x", "send_resolved": "true"}),
        &[("send_resolved", "type")],
    );
    breaks("webhook_configs", json!({"url": "http://x", "max_alerts": -1}), &[("max_alerts", "range")]);
    breaks("webhook_configs", json!({"url": "http://x", "timeout": "1d"}), &[("timeout", "format")]);
    breaks("webhook_configs", json!({"url": "http://x", "timeout": 1_000_000}), &[]);
    breaks("webhook_configs", json!({"url": "http://x", "http_config": []}), &[("http_config", "type")]);
    breaks("email_configs", json!("x"), &[("", "type")]);
    breaks("email_configs", Value::Null, &[("", "null-item")]);
}

/// The quirk by which a quoted `null` is no null and yet none of the library's own types.
#[test]
fn a_quoted_null_is_what_alertmanager_takes_it_for() {
    breaks("webhook_configs", json!({"url": "null"}), &[]);
    breaks("discord_configs", json!({"webhook_url": "null"}), &[("webhook_url", "format")]);
    breaks(
        "webhook_configs",
        json!({"url": "null", "http_config": {"proxy_url": "~"}}),
        &[("http_config.proxy_url", "format")],
    );
}

#[test]
fn what_excludes_each_other_and_what_is_needed() {
    let url = "https://example.com/";
    for (integration, config, expected) in [
        ("discord_configs", json!({}), "required"),
        ("discord_configs", json!({"webhook_url": url, "webhook_url_file": "/f"}), "one-of"),
        ("jira_configs", json!({"api_url": url, "project": "p"}), "required"),
        ("jira_configs", json!({"project": "p", "issue_type": "t"}), "required"),
        ("opsgenie_configs", json!({}), "required"),
        ("pagerduty_configs", json!({"routing_key": ""}), "required"),
        (
            "pushover_configs",
            json!({"token": "t", "user_key": "u", "html": true, "monospace": true}),
            "one-of",
        ),
        ("rocketchat_configs", json!({"token": "t"}), "required"),
        ("slack_configs", json!({}), "required"),
        ("slack_configs", json!({"api_url": url, "app_token": "t"}), "one-of"),
        ("sns_configs", json!({"topic_arn": "a", "phone_number": "1"}), "one-of"),
        ("sns_configs", json!({"topic_arn": "a", "sigv4": {"access_key": "a"}}), "required"),
        ("telegram_configs", json!({"bot_token": "t", "chat_id": 0}), "required"),
        ("victorops_configs", json!({"api_key": "k"}), "required"),
        ("webex_configs", json!({"room_id": "r"}), "required"),
        ("webhook_configs", json!({}), "required"),
        ("wechat_configs", json!({"api_secret": "s"}), "required"),
        ("incidentio_configs", json!({"url": url, "http_config": {}}), "required"),
    ] {
        let found = errors(&with(integration, config.clone()), "0.34");
        assert_eq!(
            found.iter().map(|(_, rule)| *rule).collect::<Vec<_>>(),
            [expected],
            "{integration} {config}"
        );
    }
}

#[test]
fn what_global_brings() {
    let mut config = json!({
        "global": {"smtp_smarthost": "mail:25", "smtp_from": "a@b", "slack_api_url": "https://example.com/", "opsgenie_api_key": "k"},
        "route": {"receiver": "a"},
        "receivers": [{"name": "a", "email_configs": [{"to": "x"}], "slack_configs": [{}], "opsgenie_configs": [{}]}],
    });
    assert_eq!(errors(&config, "0.34"), []);
    config["global"]["opsgenie_api_url"] = Value::Null;
    config["global"]["http_config"] = Value::Null;
    config["global"]["smtp_from"] = json!("");
    let at = |integration: &str| format!("receivers[0].{integration}_configs[0]");
    assert_eq!(
        errors(&config, "0.34"),
        [(at("email"), "required"), (at("opsgenie"), "required"), (at("slack"), "required")]
    );
    config["global"] = json!({"slack_app_token": "t", "slack_api_url": "https://example.com/"});
    config["receivers"] = json!([{"name": "a"}]);
    assert_eq!(errors(&config, "0.34"), [("global".to_owned(), "one-of")]);
}

#[test]
fn http_config_is_checked_wherever_it_stands() {
    for (http, expected) in [
        (json!({"basic_auth": {"username": "u", "password": "p", "password_file": "/f"}}), "one-of"),
        (json!({"basic_auth": {}, "authorization": {}}), "one-of"),
        (json!({"bearer_token": "t", "oauth2": {"client_id": "c", "token_url": "u"}}), "one-of"),
        (json!({"authorization": {"type": " BASIC "}}), "choice"),
        (json!({"authorization": {"credentials_ref": "x"}}), "secret-reference"),
        (json!({"oauth2": {"client_id": "c"}}), "required"),
        (json!({"tls_config": {"cert_file": "/c"}}), "required"),
        (json!({"tls_config": {"min_version": "1.2"}}), "format"),
        (json!({"proxy_connect_header": {"a": ["b"]}}), "required"),
        (json!({"proxy_url": "http://p", "proxy_from_environment": true}), "one-of"),
        (json!({"no_proxy": "x"}), "required"),
        (json!({"http_headers": {"authorization": {"values": ["x"]}}}), "header"),
    ] {
        let config = json!({"url": "http://x", "http_config": http});
        let found = errors(&with("webhook_configs", config.clone()), "0.34");
        assert_eq!(found.iter().map(|(_, rule)| *rule).collect::<Vec<_>>(), [expected], "{config}");
    }
}

#[test]
fn templates_are_parsed_where_alertmanager_runs_them() {
    breaks(
        "discord_configs",
        json!({"webhook_url": "http://x", "title": "{{ broken"}),
        &[("title", "template")],
    );
    breaks("discord_configs", json!({"webhook_url": "http://x", "username": "{{ broken"}), &[]);
    breaks(
        "webhook_configs",
        json!({"url": "http://x", "payload": {"a": [{"b": "{{ nothing }}"}]}}),
        &[("payload.a[0].b", "template")],
    );
    breaks("webhook_configs", json!({"url": "http://x/{{ .x"}), &[("url", "format")]);
    breaks_in(
        "0.32",
        "pagerduty_configs",
        json!({"routing_key": "{{ now }}"}),
        &[("routing_key", "template")],
    );
}

#[test]
fn routes_and_their_names() {
    let config = json!({
        "route": {
            "receiver": "a",
            "matchers": ["a=b"],
            "continue": true,
            "routes": [
                {"receiver": "missing", "group_by": ["a", "a"], "mute_time_intervals": ["night"]},
                {"group_by": ["...", "a"], "repeat_interval": "0s", "match_re": {"a": "("}, "match": {"ü": "x"}},
                {"matchers": ["=broken"]},
            ],
        },
        "receivers": [{"name": "a"}, {"name": "a"}, {}],
    });
    let found = errors(&config, "0.34");
    let found: Vec<(&str, &str)> = found.iter().map(|(at, rule)| (at.as_str(), *rule)).collect();
    assert_eq!(
        found,
        [
            ("receivers[2]", "required"),
            ("route.routes[0].group_by", "duplicate-label"),
            ("route.routes[1].match[\"ü\"]", "label-name"),
            ("route.routes[1].match_re.a", "format"),
            ("route.routes[1].group_by", "one-of"),
            ("route.routes[1].repeat_interval", "duration"),
            ("route.routes[2].matchers[0]", "format"),
            ("receivers[1].name", "duplicate-name"),
            ("route.matchers", "root-route"),
            ("route.continue", "root-route"),
            ("route.routes[0].receiver", "undefined-receiver"),
            ("route.routes[0].mute_time_intervals[0]", "undefined-interval"),
        ]
    );
}

#[test]
fn no_route_and_no_receiver_are_errors() {
    assert_eq!(errors(&json!({}), "0.34"), [(String::new(), "route")]);
    assert_eq!(errors(&json!({"route": null}), "0.34"), [(String::new(), "route")]);
    assert_eq!(errors(&json!({"route": {}}), "0.34"), [("route".to_owned(), "root-route")]);
    assert_eq!(errors(&json!([]), "0.34").len(), 2);
}

#[test]
fn time_intervals_are_checked() {
    let config = json!({
        "route": {"receiver": "a", "routes": [{"active_time_intervals": ["t"]}]},
        "receivers": [{"name": "a"}],
        "time_intervals": [{"name": "t", "time_intervals": [
            {"times": [{"start_time": "09:00", "end_time": "08:00"}, {"start_time": "9"}], "location": "Mars",
             "weekdays": ["friday:monday"], "days_of_month": ["0"], "months": ["x"], "years": ["2030:2020"]},
        ]}],
    });
    assert_eq!(errors(&config, "0.34").len(), 7);
}

/// T07. A credential that stands in the wrong place is in no message. Guard: messages are made without values.
#[test]
fn findings_show_no_value() {
    let canary = "canary-5f2b";
    let config = json!({
        "global": {"smtp_smarthost": canary, "slack_app_url": canary, "resolve_timeout": canary},
        "route": {"receiver": "a", "group_by": [" "], "matchers": [canary], "match_re": {"a": format!("({canary}")}, "group_wait": canary},
        "receivers": [{"name": "a", "slack_configs": [{"api_url": format!("ftp://{canary}"), "title": format!("{{{{ {canary}"), "timeout": canary}],
            "telegram_configs": [{"chat_id": canary, "parse_mode": canary}], "webhook_configs": [{"url": format!("https://x:{canary}")}]}],
        "time_intervals": [{"name": "t", "time_intervals": [{"location": canary, "weekdays": [canary]}]}],
    });
    let node = Node::read(&config).unwrap_or_else(|error| panic!("{error}"));
    let findings = check(&node, Version::NEWEST);
    assert!(findings.len() > 12);
    assert!(!format!("{findings:?}").contains(canary));
}

#[test]
fn a_finding_names_the_receiver_and_the_integration_at_fault() {
    let config = json!({
        "route": {"receiver": "a"},
        "receivers": [{"name": "a"}, {"name": "b", "slack_configs": [{"api_url": "https://x"}, {"channel": []}], "nonsense": 1}],
    });
    let node = Node::read(&config).unwrap_or_else(|error| panic!("{error}"));
    let findings = check(&node, Version::NEWEST);
    let at = |finding: &Finding| (finding.receiver(), finding.integration().map(|at| at.to_string()));
    assert_eq!(
        findings.iter().map(at).collect::<Vec<_>>(),
        [
            (Some(1), None),
            (Some(1), Some("receivers[1].slack_configs[1]".to_owned())),
            (Some(1), Some("receivers[1].slack_configs[1]".to_owned())),
        ]
    );
}
