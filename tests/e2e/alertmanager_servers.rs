//! The servers that the tests of injection stand on do what those tests rely on. Nothing of Waxwing is tested here.

use std::process::Command;

use anyhow::Result;
use serde_json::json;
use waxwing_tests::alertmanager::server::Server;
use waxwing_tests::prometheus_operator::PrometheusOperator;
use waxwing_tests::sink::{Sink, Smtp};
use waxwing_tests::tools::tool;
use waxwing_tests::{block_on, chart, control_plane};

fn config(sink: &Sink, smtp: &Smtp, token: &str) -> String {
    json!({
        "route": {"receiver": "all", "group_wait": "1ms", "group_by": ["..."]},
        "receivers": [{
            "name": "all",
            "webhook_configs": [{
                "url": format!("{}/hook", sink.url),
                "http_config": {"authorization": {"credentials": token}},
            }],
            "email_configs": [{
                "to": "ops@example.com", "from": "am@example.com", "smarthost": smtp.address, "require_tls": false,
                "auth_username": "am", "auth_password": token,
            }],
        }],
    })
    .to_string()
}

#[test]
fn alertmanager_tells_the_sinks_and_takes_a_new_configuration_when_told() -> Result<()> {
    block_on(async {
        let (sink, smtp) = (Sink::start().await?, Smtp::start().await?);
        let server = Server::start("alertmanager", &config(&sink, &smtp, "first")).await?;
        server.fire(&json!({"alertname": "one"})).await?;
        let request = sink.wait(0, |request| request.path == "/hook").await;
        assert_eq!((request.method.as_str(), request.header("authorization")), ("POST", "Bearer first"));
        assert_eq!(request.json()["alerts"][0]["labels"]["alertname"], "one");
        let mail = smtp.wait(0, |_| true).await;
        assert_eq!(mail.credentials, Some(("am".to_owned(), "first".to_owned())));
        assert_eq!(
            (mail.from.as_str(), mail.to.as_slice()),
            ("am@example.com", &["ops@example.com".to_owned()][..])
        );

        let hash = server.config_hash().await?;
        assert_ne!(hash, 0);
        server.write("route: {}")?;
        assert_eq!(server.reload().await?.status, 500);
        assert_eq!(server.metrics().await?.sum("alertmanager_config_last_reload_successful", &[]), 0.0);
        assert_eq!(server.config_hash().await?, hash);
        server.write(&config(&sink, &smtp, "second"))?;
        server.reload().await?.ok()?;
        assert_ne!(server.config_hash().await?, hash);
        let before = sink.received().len();
        server.fire(&json!({"alertname": "two"})).await?;
        let request =
            sink.wait(before, |request| request.json()["alerts"][0]["labels"]["alertname"] == "two").await;
        assert_eq!(request.header("authorization"), "Bearer second");
        assert!(server.status().await?["config"]["original"].as_str().unwrap().contains("<secret>"));
        Ok(())
    })
}

#[test]
fn prometheus_operator_makes_the_secret_that_alertmanager_would_read() -> Result<()> {
    block_on(async {
        let plane = control_plane::main().await;
        let namespace = "smoke-prometheus-operator";
        plane.create_namespace(namespace).await?;
        let operator = PrometheusOperator::start("prometheus-operator", plane, &[namespace]).await?;
        let secret = |receiver: &str| {
            let config = json!({"route": {"receiver": receiver}, "receivers": [{"name": receiver}]});
            json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": {"namespace": namespace, "name": "config"},
                "stringData": {"alertmanager.yaml": config.to_string()},
            })
        };
        chart::apply(&plane.admin, &secret("first")).await?;
        let alertmanager = PrometheusOperator::alertmanager(
            namespace,
            "main",
            "config",
            &json!({"alertmanagerConfigSelector": {}}),
        );
        chart::apply(&plane.admin, &alertmanager).await?;
        let is =
            |receiver: &'static str| move |config: &str| config.contains(&format!("receiver: {receiver}"));
        PrometheusOperator::generated(plane, namespace, "main", is("first")).await?;
        chart::apply(&plane.admin, &secret("second")).await?;
        let config = PrometheusOperator::generated(plane, namespace, "main", is("second")).await?;
        assert!(!config.contains("first"), "{config}");
        drop(operator);
        Ok(())
    })
}

#[test]
fn amtool_is_there_in_an_old_and_a_new_version() {
    for (name, version) in [("amtool", ""), ("amtool-old", "0.2")] {
        let output = Command::new(tool(name)).arg("--version").output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success() && text.starts_with(&format!("amtool, version {version}")), "{text}");
    }
}
