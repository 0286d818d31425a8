//! AlertReceivers of teams, judged by Alertmanager itself: what Waxwing makes of them loads, confines them, and has nothing
//! of the platform's go to a team's server.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};
use waxwing_core::alertmanager::{Version, render};
use waxwing_core::inject::{Node, to_yaml};
use waxwing_core::injection::alertmanager::{Spec, Target};
use waxwing_core::injection::include::{Team, include};
use waxwing_crds::{AlertReceiverSpec, InjectionName, Native};
use waxwing_tests::alertmanager::mutations;
use waxwing_tests::alertmanager::oracle;
use waxwing_tests::alertmanager::server::Server;
use waxwing_tests::block_on;
use waxwing_tests::sink::{Sink, Smtp};

/// What teams might write to get at the alerts of others.
const TRICKS: [&str; 14] = [
    r#"{"matchers": ["namespace=~\".*\""]}"#,
    r#"{"matchers": ["namespace!=\"shop\""]}"#,
    r#"{"matchers": ["namespace=\"web\""]}"#,
    r#"{"matchers": ["{}", "", "namespace="]}"#,
    r#"{"matchers": ["\"namespace\"=~\"shop|web|\"", "severity!=\"\""]}"#,
    r#"{"match": {"namespace": "web"}}"#,
    r#"{"match": {"namespace": ""}}"#,
    r#"{"match_re": {"namespace": ".*"}}"#,
    r#"{"match_re": {"namespace": "shop)|(.*"}}"#,
    r#"{"match_re": {"severity": "(?i)CRITICAL|"}}"#,
    r#"{"continue": true}"#,
    r#"{"group_by": ["..."], "continue": true}"#,
    r#"{"routes": [{"match_re": {"namespace": ".*"}, "continue": true}, {"matchers": ["namespace=\"web\""]}]}"#,
    r#"{"matchers": ["severity=\"critical\""], "routes": [{"matchers": ["namespace!~\"shop\""]}]}"#,
];

const NAMESPACES: [&str; 6] = ["shop", "web", "shop2", "", "shop|web", "shop\",a=\""];

fn target(version: &str) -> Target {
    let spec = json!({"config": {}, "target": {"secretName": "alertmanager", "version": version}});
    Spec::read(&serde_json::from_value(spec).unwrap()).unwrap().target
}

fn receiver(receiver: Value, routes: &[Value]) -> AlertReceiverSpec {
    let injection = InjectionName { name: "main".to_owned(), namespace: "monitoring".to_owned() };
    let routes = routes.iter().cloned().map(Native).collect();
    AlertReceiverSpec { injection, receiver: Native(receiver), routes }
}

/// The configuration with these AlertReceivers of the namespaces `shop` and `web`, and how many of them were left out.
fn included(platform: &Value, target: &Target, teams: &[(&str, AlertReceiverSpec)]) -> (String, usize) {
    let mut document = Node::read(platform).unwrap();
    let names: Vec<String> = (0..teams.len()).map(|index| format!("r{index:03}")).collect();
    let teams: Vec<Team<'_>> = teams
        .iter()
        .zip(&names)
        .map(|((namespace, spec), name)| Team { namespace, name, spec, label: "namespace" })
        .collect();
    let faults = include(&mut document, &teams, target);
    let config = to_yaml(&render::with_dummies(&document));
    (String::from_utf8(config.to_vec()).unwrap(), faults.len())
}

fn alerts() -> Vec<BTreeMap<String, String>> {
    let mut alerts = Vec::new();
    for namespace in NAMESPACES {
        for severity in ["critical", "warning", ""] {
            let labels = [("namespace", namespace), ("severity", severity)];
            let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
            alerts.push(labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
        }
    }
    alerts
}

/// Who gets each alert, by Alertmanager's own word.
fn routed(configs: &[String]) -> Vec<Vec<Vec<String>>> {
    let alerts = alerts();
    let request = |config: &String| json!({"config": config, "labels": alerts, "at": 1_795_350_600});
    let receivers = |routes: &Value| {
        let routes = routes.as_array().unwrap().iter();
        routes.map(|route| route["receiver"].as_str().unwrap().to_owned()).collect()
    };
    let answers = oracle::ask("route", configs.iter().map(request).collect());
    answers
        .iter()
        .map(|answer| {
            assert_eq!(answer["error"], "");
            answer["routes"].as_array().unwrap().iter().map(receivers).collect()
        })
        .collect()
}

/// K19. Guard: the route above a team's routes, and the platform's own beside it (`core: injection::include`).
#[test]
fn alertmanager_gives_a_team_no_alert_of_others_and_takes_none_from_anybody() {
    let hook = json!({"webhook_configs": [{"url": "https://example.com"}]});
    let tricks: Vec<Value> = TRICKS.iter().map(|trick| serde_json::from_str(trick).unwrap()).collect();
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for (index, first) in tricks.iter().enumerate() {
        for second in &tricks {
            // The platform uses the same words for its own ends.
            let mut own = tricks[(index * 5 + 3) % tricks.len()].clone();
            own["receiver"] = json!("db");
            let platform = json!({
                "route": {"receiver": "ops", "routes": [own, {"matchers": ["severity=\"warning\""], "receiver": "null"}]},
                "receivers": [{"name": "ops"}, {"name": "db"}, {"name": "null"}],
            });
            let teams = [
                ("shop", receiver(hook.clone(), &[first.clone(), second.clone()])),
                ("shop", receiver(hook.clone(), std::slice::from_ref(second))),
                ("web", receiver(hook.clone(), &[])),
            ];
            let (config, refused) = included(&platform, &target("0.34"), &teams);
            assert_eq!(refused, 0);
            before.push(included(&platform, &target("0.34"), &[]).0);
            after.push(config);
        }
    }
    let (before, after) = (routed(&before), routed(&after));
    let mut got = 0;
    for (before, after) in before.iter().zip(&after) {
        for (alert, (before, after)) in alerts().iter().zip(before.iter().zip(after)) {
            let namespace = alert.get("namespace").map_or("", String::as_str);
            let (teams, others): (Vec<&String>, Vec<&String>) =
                after.iter().partition(|name| name.contains("/r"));
            for name in &teams {
                assert!(name.starts_with(&format!("{namespace}/")), "{name} gets {alert:?}");
            }
            assert_eq!(teams.iter().any(|name| *name == "web/r002"), namespace == "web");
            got += teams.len();
            let others = others.into_iter().filter(|name| *name != "waxwing.dev/nobody");
            assert!(others.eq(before), "{alert:?}: {before:?}, then {after:?}");
        }
    }
    assert!(got > 500, "teams get their own: {got}");
}

/// K20. Guard: each part is judged as Alertmanager would (`core: injection::include::fragment`). Every integration with every
/// field is somebody's here; what is taken in loads.
#[test]
fn whatever_is_taken_in_alertmanager_loads() {
    /// Without what is read from files: it is refused, and has tests of its own.
    fn plain(value: &mut Value) {
        if let Value::Object(map) = value {
            map.retain(|name, _| !(name.ends_with("_file") || name == "files" || name == "profile"));
            map.values_mut().for_each(plain);
        } else if let Value::Array(items) = value {
            items.iter_mut().for_each(plain);
        }
    }
    let (every, _) = mutations::every_field(Version::NEWEST);
    let platform = |global: &Value| {
        json!({
            "global": global,
            "route": {"receiver": "ops"},
            "receivers": [{"name": "ops"}],
            "time_intervals": [{"name": "never"}],
        })
    };
    let mut teams = Vec::new();
    for whole in every["receivers"].as_array().unwrap() {
        for (list, items) in whole.as_object().unwrap().iter().filter(|(_, items)| items.is_array()) {
            for integration in items.as_array().unwrap() {
                let mut one = json!({list: [integration]});
                teams.push(("shop", receiver(one.clone(), &[])));
                plain(&mut one);
                teams.push(("web", receiver(one, &[json!({"mute_time_intervals": ["never"]})])));
            }
        }
    }
    let mut configs = Vec::new();
    for (global, least) in [(json!({}), 12), (every["global"].clone(), 8)] {
        let (config, refused) = included(&platform(&global), &target("0.34"), &teams);
        let taken = teams.len() - refused;
        assert!(taken >= least, "{taken} of {} are taken in", teams.len());
        configs.push(json!({"config": config}));
    }
    for answer in oracle::ask("load", configs) {
        assert_eq!(answer["error"], "");
    }
}

/// K21. Guard: `core: injection::include::trust`. First what would happen without it, so that it is seen that there is
/// something to guard.
#[test]
fn alertmanager_sends_no_credential_of_the_platforms_to_a_team() -> Result<()> {
    block_on(async {
        let (sink, smtp) = (Sink::start().await?, Smtp::start().await?);
        let mail = |more: Value| {
            let mut mail = json!({"to": "shop@example.com", "smarthost": smtp.address, "require_tls": false});
            mail.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            mail
        };
        let team = |mail: Value, more: Value| {
            let mut hook = json!({"url": format!("{}/team", sink.url)});
            hook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"email_configs": [mail], "webhook_configs": [hook]})
        };
        let platform = json!({
            "global": {
                "smtp_from": "am@example.com", "smtp_smarthost": "mail.example.com:25", "smtp_auth_username": "am",
                "smtp_auth_password": "of-the-platform",
                "http_config": {"authorization": {"credentials": "of-the-platform"}},
            },
            "route": {"receiver": "ops", "group_wait": "1ms", "group_by": ["..."]},
            "receivers": [{"name": "ops"}],
        });
        let mut unguarded = platform.clone();
        let mut own = team(mail(json!({})), json!({}));
        own["name"] = json!("ops");
        unguarded["receivers"] = json!([own]);
        let server = Server::start("teams", &unguarded.to_string()).await?;
        server.fire(&json!({"alertname": "unguarded"})).await?;
        let sent = smtp.wait(0, |_| true).await;
        assert_eq!(sent.credentials, Some(("am".to_owned(), "of-the-platform".to_owned())));
        let sent = sink.wait(0, |_| true).await;
        assert_eq!(sent.header("authorization"), "Bearer of-the-platform");

        let bad = [
            ("shop", receiver(json!({"email_configs": [mail(json!({}))]}), &[])),
            ("shop", receiver(json!({"webhook_configs": [{"url": format!("{}/bad", sink.url)}]}), &[])),
            (
                "web",
                receiver(
                    team(mail(json!({"auth_password": "of-the-team"})), json!({"http_config": {}})),
                    &[json!({"group_wait": "1ms", "matchers": ["severity!=\"\""]})],
                ),
            ),
        ];
        let (config, refused) = included(&platform, &target("0.34"), &bad);
        assert_eq!(refused, 2);
        let (mails, requests) = (smtp.received().len(), sink.received().len());
        server.write(&config)?;
        server.reload().await?.ok()?;
        let alert =
            |namespace: &str| json!({"alertname": "guarded", "namespace": namespace, "severity": "x"});
        server.fire(&alert("shop")).await?;
        server.fire(&alert("web")).await?;
        let sent = smtp.wait(mails, |mail| mail.text.contains("guarded")).await;
        assert_eq!(sent.credentials, Some(("am".to_owned(), "of-the-team".to_owned())));
        let is_its = |request: &waxwing_tests::sink::Received| {
            request.path == "/team" && request.json()["alerts"][0]["labels"]["alertname"] == "guarded"
        };
        let sent = sink.wait(requests, is_its).await;
        assert_eq!(sent.header("authorization"), "");
        assert_eq!(sent.json()["receiver"], "web/r002");
        assert_eq!(sent.json()["alerts"][0]["labels"]["namespace"], "web");
        assert!(sink.received().iter().all(|request| request.path != "/bad"));
        Ok(())
    })
}
