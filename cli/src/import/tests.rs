//! Configurations, what is taken out of them, and what is refused.

use waxwing_core::yaml;

use super::*;

const CONFIG: &str = r#"
global:
  slack_api_url: https://hooks.example.com/global-Canary
  http_config: {proxy_url: 'http://user:proxy-Canary@proxy.example.com:3128'}
route: {receiver: Ops e-mail, routes: [{receiver: db-pager, matchers: ['team="db"']}]}
receivers:
  - name: Ops e-mail
    email_configs:
      - {to: ops@example.com, from: am@example.com, smarthost: 'smtp.example.com:587', auth_username: am, auth_password: Canary-mail}
  - name: db-pager
    pagerduty_configs:
      - routing_key: Canary-same
        http_config: {authorization: {credentials: Canary-token}, http_headers: {X-Key: {secrets: [Canary-header]}}}
      - routing_key: Canary-same
    telegram_configs: [{bot_token: '12:Canary', chat_id: -100123}]
    webhook_configs: [{url_file: /etc/url}]
"#;

const WISH: Wish<'static> = Wish {
    secret: "alertmanager-credentials",
    target: "alertmanager-config",
    key: None,
    kind: AlertmanagerTargetKind::Plain,
    version: None,
};

fn config(text: &str) -> Found {
    source::find(&Secret::new(text.as_bytes().to_vec()), None).unwrap()
}

fn refused(text: &str) -> Failure {
    let failure = import(&config(text), &WISH).err().unwrap();
    let said = format!("{failure} {}", failure.hints().join(" "));
    assert!(!said.contains("Canary"), "{said}");
    failure
}

/// Guard: each has a key of its own, though two values are the same.
#[test]
fn every_credential_gets_a_key_that_says_where_it_stands() {
    let imported = import(&config(CONFIG), &WISH).unwrap();
    let values: Vec<(String, String)> = imported
        .values
        .iter()
        .map(|(key, value)| (key.to_string(), String::from_utf8(value.expose().to_vec()).unwrap()))
        .collect();
    let expected = [
        ("db-pager-pagerduty-1-http-config-authorization-credentials", "Canary-token"),
        ("db-pager-pagerduty-1-http-config-http-headers-x-key-secrets", "Canary-header"),
        ("db-pager-pagerduty-1-routing-key", "Canary-same"),
        ("db-pager-pagerduty-2-routing-key", "Canary-same"),
        ("db-pager-telegram-bot-token", "12:Canary"),
        ("global-http-config-proxy-url", "http://user:proxy-Canary@proxy.example.com:3128"),
        ("global-slack-api-url", "https://hooks.example.com/global-Canary"),
        ("ops-e-mail-email-auth-password", "Canary-mail"),
    ];
    assert_eq!(values, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let text = yaml::to_string(&imported.spec).unwrap();
    assert!(!text.contains("Canary"), "{text}");
    assert_eq!(text.matches("$secret").count(), expected.len());
    assert_eq!(
        imported.notes,
        ["receivers[1].webhook_configs[0].url_file stays as it is: Alertmanager reads that file itself"]
    );
}

#[test]
fn receivers_with_the_same_key_are_told_apart_and_strange_names_become_keys() {
    let text = "route: {receiver: 'Ä/ö'}\nreceivers: [{name: 'Ä/ö', pagerduty_configs: [{routing_key: a}]}, \
                {name: 'a b', pagerduty_configs: [{routing_key: b}]}, {name: a-b, pagerduty_configs: [{routing_key: c}]}]";
    let imported = import(&config(text), &WISH).unwrap();
    let keys: Vec<&str> = imported.values.keys().map(DataKey::as_str).collect();
    assert_eq!(keys, ["a-b-pagerduty-routing-key", "a-b-pagerduty-routing-key-2", "pagerduty-routing-key"]);
}

/// Guard: `Misfit::Template`; what is run as a template is no credential, and would be refused as one.
#[test]
fn a_template_stays_where_it_is() {
    let text = "route: {receiver: a}\nreceivers: [{name: a, pagerduty_configs: [{routing_key: '{{ .CommonLabels.key }}'}]}]";
    let imported = import(&config(text), &WISH).unwrap();
    assert!(imported.values.is_empty());
    assert!(
        imported.notes[0].ends_with("routing_key stays as it is: it is a template"),
        "{:?}",
        imported.notes
    );
}

/// L01. Guards: `unquoted`, `literals` and the check before anything is written.
#[test]
fn what_could_not_be_put_back_as_it_is_is_refused_and_never_shown() {
    let pager = |key: &str| {
        format!(
            "route: {{receiver: a}}\nreceivers: [{{name: a, pagerduty_configs: [{{routing_key: {key}}}]}}]"
        )
    };
    let webhook = |field: &str| {
        format!(
            "route: {{receiver: a}}\nreceivers: [{{name: a, webhook_configs: [{{url: 'http://x/Canary', {field}}}]}}]"
        )
    };
    for (text, what) in [
        (pager("&anchor 0123"), "it has no quotes"),
        (webhook("max_alerts: 010"), "unusual form"),
        (webhook("payload: {a: 010}"), "unusual form"),
        (pager("\"Canary\\n\""), "routing_key: it ends with a line break"),
        (pager("Canary}], nonsense: [{a: Canary"), "receivers[0].nonsense"),
        ("route: {receiver: b}\nreceivers: [{name: a, slack_configs: [{api_url: 'https://x/Canary', channel: x}]}]".to_owned(), "there is no receiver"),
    ] {
        let failure = refused(&text);
        assert!(failure.to_string().contains(what), "{text}: {failure}");
    }
    let operator = Wish { kind: AlertmanagerTargetKind::PrometheusOperator, ..WISH };
    let failure = import(&config(&pager("'$(Canary)'")), &operator).err().unwrap().to_string();
    assert!(failure.contains("$(NAME)") && !failure.contains("Canary"), "{failure}");
}

/// Guard: `unquoted::as_written`; Alertmanager reads these texts as they are written.
#[test]
fn a_text_without_quotes_keeps_its_zeros_and_capitals() {
    let text = "route: {receiver: a}\nreceivers:\n- name: a\n  pagerduty_configs:\n  - {routing_key: 0123, class: 1.50, client: Yes, \
                component: 0x1F, group: 1_000, details: {n: 5, b: yes}}\n";
    let imported = import(&config(text), &WISH).unwrap();
    assert_eq!(imported.values.values().next().unwrap().expose(), b"0123");
    let made = imported.spec.config.unwrap().0;
    let pager = &made["receivers"][0]["pagerduty_configs"][0];
    for (field, value) in [("class", "1.50"), ("client", "Yes"), ("component", "0x1F"), ("group", "1_000")] {
        assert_eq!(pager[field], value, "{field}");
    }
    assert_eq!(pager["details"], json!({"n": 5, "b": true}));
}
