//! What is published is seen to be loaded, or taken back; and whether notifications arrive.

use anyhow::Result;
use serde_json::json;
use waxwing_crds::{ConditionType, Reason, ReceiverState, conditions};
use waxwing_tests::inject::secret;
use waxwing_tests::prometheus_operator::PrometheusOperator;
use waxwing_tests::sink::Sink;
use waxwing_tests::{chart, scene, wait};

use super::{KEYS, hook, plain, server, two};

/// Guard: the condition `Loaded` decides about `Ready`.
#[test]
fn a_configuration_that_is_not_loaded_in_time_is_taken_back_once() {
    scene::shared(async |scene| -> Result<()> {
        let sink = Sink::start().await?;
        let server = server(&scene.namespace).await?;
        let _mount = scene.mount("published", &server);
        scene.put_secret("token", &[("value", "first-3c")]).await?;
        let good = plain(&hook(&sink.url, &secret("token", "value")), Some(&server));
        scene.put("AlertmanagerInjection", "main", good.clone()).await?;
        scene.injected("main").await;
        let first = scene.published("published").await?;

        // Only Alertmanager itself can tell that this file is not there.
        let mut bad = good.clone();
        bad["verify"]["within"] = json!("2s");
        bad["config"]["receivers"][0]["webhook_configs"][0]["http_config"]["tls_config"] =
            json!({"ca_file": "/nowhere/ca.crt"});
        scene.put("AlertmanagerInjection", "main", bad).await?;
        let message = scene.not_injected("main", "NotLoaded").await;
        let status = scene
            .injection_is("main", "rolled back", |status| {
                status.published.as_ref().is_some_and(|one| one.rolled_back_from == Some(2))
            })
            .await;
        assert!(conditions::is_true(&status.conditions, ConditionType::Stalled), "{message}");
        assert_eq!(status.published.unwrap().revision, 1);
        assert_eq!(scene.published("published").await?, first);
        wait::until_event(&scene.events(), "main", Reason::NotLoaded).await;
        scene
            .injection_is("main", "the first one is loaded", |status| {
                conditions::is_true(&status.conditions, ConditionType::Loaded)
            })
            .await;

        // It is tried again by wish, once, and by nothing else.
        scene.look_again("main", "again").await?;
        scene.published_is("published", "the second one again", |config| *config != first).await?;
        scene.published_is("published", "the first one again", |config| *config == first).await?;
        scene.put_secret("token", &[("value", "first-3c"), ("other", "x")]).await?;
        scene.look_again("main", "again").await?;
        scene
            .injection_is("main", "rolled back for good", |status| {
                status
                    .published
                    .as_ref()
                    .is_some_and(|one| one.rolled_back_from == Some(2) && one.revision == 1)
            })
            .await;
        assert_eq!(scene.published("published").await?, first);

        scene.put("AlertmanagerInjection", "main", good).await?;
        scene.injected("main").await;
        server.fire(&json!({"alertname": "after"})).await?;
        assert_eq!(sink.wait(0, |_| true).await.header("authorization"), "Bearer first-3c");
        Ok(())
    });
}

#[test]
fn an_endpoint_that_does_not_answer_is_named_and_counts_as_not_loaded() {
    scene::shared(async |scene| -> Result<()> {
        scene.put_secret("keys", &KEYS).await?;
        let mut spec = plain(&two(), None);
        let port = waxwing_tests::process::free_port();
        spec["verify"] = json!({"endpoints": [format!("http://127.0.0.1:{port}")], "within": "1s"});
        scene.put("AlertmanagerInjection", "main", spec).await?;
        let message = scene.not_injected("main", "NotLoaded").await;
        assert!(message.contains(&format!("127.0.0.1:{port}: no connection")), "{message}");
        assert!(message.contains("0 of 1"), "{message}");
        scene.published("published").await?;
        let metrics = scene.world().operator.metrics().await?;
        let of_here = [("namespace", scene.namespace.as_str())];
        assert_eq!(metrics.sum("waxwing_injection_unloaded_replicas", &of_here), 1.0);
        let live = [("namespace", scene.namespace.as_str()), ("state", "Live")];
        assert_eq!(metrics.sum("waxwing_injection_receivers", &live), 2.0);
        Ok(())
    });
}

#[test]
fn a_receiver_whose_credential_the_other_side_refuses_is_failing_until_it_delivers_again() {
    scene::shared(async |scene| -> Result<()> {
        let sink = Sink::start().await?;
        let server = server(&scene.namespace).await?;
        let _mount = scene.mount("published", &server);
        scene.put_secret("token", &[("value", "old-4d")]).await?;
        let config = hook(&sink.url, &secret("token", "value"));
        scene.put("AlertmanagerInjection", "main", plain(&config, Some(&server))).await?;
        scene.injected("main").await;
        sink.answer(401, "canary-7a");
        server.fire(&json!({"alertname": "one"})).await?;
        sink.wait(0, |_| true).await;
        let mut tries = 0;
        loop {
            tries += 1;
            scene.look_again("main", &format!("fails-{tries}")).await?;
            let status = scene
                .injection_is("main", "looked at", |status| {
                    status.refreshed.as_deref() == Some(&format!("fails-{tries}"))
                })
                .await;
            if status.receivers[0].state == ReceiverState::Failing {
                let degraded = conditions::get(&status.conditions, ConditionType::Degraded).unwrap();
                assert_eq!(degraded.reason, "DeliveryFailing");
                assert!(conditions::is_true(&status.conditions, ConditionType::Ready));
                break;
            }
            assert!(tries < 200, "{status:?}");
        }
        sink.answer(200, "ok");
        server.fire(&json!({"alertname": "two"})).await?;
        sink.wait(1, |request| request.text().contains("two")).await;
        loop {
            tries += 1;
            scene.look_again("main", &format!("works-{tries}")).await?;
            let status = scene
                .injection_is("main", "looked at", |status| {
                    status.refreshed.as_deref() == Some(&format!("works-{tries}"))
                })
                .await;
            if status.receivers[0].state == ReceiverState::Live {
                return Ok(());
            }
            assert!(tries < 400, "{status:?}");
        }
    });
}

/// Under prometheus-operator, an Alertmanager loads what that has made of the published Secret.
#[test]
fn under_prometheus_operator_the_hash_is_that_of_the_secret_which_it_makes() {
    scene::shared(async |scene| -> Result<()> {
        let sink = Sink::start().await?;
        let operator =
            PrometheusOperator::start(&format!("{}-po", scene.namespace), scene.plane, &[&scene.namespace])
                .await?;
        // With a selector it writes the configuration anew, and without one it copies it.
        for (name, spec) in [("merged", json!({"alertmanagerConfigSelector": {}})), ("copied", json!({}))] {
            let server = server(&format!("{}-{name}", scene.namespace)).await?;
            let secret_name = format!("{name}-config");
            scene.put_secret("token", &[("value", "first-5e")]).await?;
            let config = hook(&sink.url, &secret("token", "value"));
            let target = json!({"kind": "PrometheusOperator", "secretName": secret_name, "version": "0.31", "operatorVersion": "0.93"});
            let injection = json!({
                "config": config, "target": target,
                "verify": {"endpoints": [server.url], "within": "60s"},
            });
            scene.put("AlertmanagerInjection", name, injection).await?;
            scene.not_injected(name, "LoadPending").await;
            let alertmanager = PrometheusOperator::alertmanager(&scene.namespace, name, &secret_name, &spec);
            chart::apply(&scene.client(), &alertmanager).await?;
            for token in ["first-5e", "second-6f"] {
                scene.put_secret("token", &[("value", token)]).await?;
                let is = |config: &str| config.contains(token);
                let generated =
                    PrometheusOperator::generated(scene.plane, &scene.namespace, name, is).await?;
                // What the config reloader does in the pod.
                server.write(&generated)?;
                server.reload().await?.ok()?;
                let status = scene
                    .injection_is(name, token, |status| {
                        let published = status.published.as_ref();
                        published.is_some_and(|one| {
                            one.loaded_at.is_some() && one.revision == if token == "first-5e" { 1 } else { 2 }
                        }) && conditions::is_true(&status.conditions, ConditionType::Ready)
                    })
                    .await;
                assert_eq!(status.loaded_replicas.as_deref(), Some("1/1"));
            }
        }
        drop(operator);
        Ok(())
    });
}

/// An alert of the injection's own goes to one receiver alone, through the route in front of all others.
#[test]
fn a_canary_alert_goes_to_its_receiver_and_to_nobody_else() {
    scene::shared(async |scene| -> Result<()> {
        let sink = Sink::start().await?;
        let server = server(&scene.namespace).await?;
        let _mount = scene.mount("published", &server);
        scene.put_secret("token", &[("value", "canary-5e")]).await?;
        let mut config = hook(&format!("{}/ops", sink.url), &secret("token", "value"));
        let other = json!({"name": "other", "webhook_configs": [{"url": format!("{}/other", sink.url)}]});
        config["receivers"].as_array_mut().unwrap().push(other);
        config["route"]["routes"] = json!([{"receiver": "other", "matchers": ["severity=~\".*\""]}]);
        let mut spec = plain(&config, Some(&server));
        spec["probes"] = json!({"mode": "Send", "receiver": "hook"});
        scene.put("AlertmanagerInjection", "main", spec).await?;
        let request = sink.wait(0, |_| true).await;
        assert!(request.path.starts_with("/ops"), "{}", request.path);
        assert_eq!(request.header("authorization"), "Bearer canary-5e");
        let labels = &request.json()["alerts"][0]["labels"];
        assert_eq!(labels["alertname"], "WaxwingCanary");
        assert_eq!(labels["injection"], format!("{}/main", scene.namespace));
        server.fire(&json!({"alertname": "x", "severity": "page"})).await?;
        sink.wait(0, |request| request.path.starts_with("/other") && request.text().contains("page")).await;
        assert!(
            !sink
                .received()
                .iter()
                .any(|one| one.path.starts_with("/other") && one.text().contains("WaxwingCanary"))
        );
        Ok(())
    });
}

/// L02. Guard: of an answer to the call to reload only its status is told (`operator: inject::load::reload`).
#[test]
fn a_server_that_does_not_reload_is_asked_again_and_what_it_says_is_not_repeated() {
    scene::shared(async |scene| -> Result<()> {
        let sink = Sink::start().await?;
        sink.answer(500, "canary-9c");
        scene.put_secret("keys", &KEYS).await?;
        let mut spec = plain(&two(), None);
        spec["target"]["reload"] = json!({"url": format!("{}/-/reload", sink.url)});
        scene.put("AlertmanagerInjection", "main", spec).await?;
        let message = scene.not_injected("main", "ReloadFailed").await;
        assert!(
            message.contains("answered the call to reload with 500") && !message.contains("9c"),
            "{message}"
        );
        sink.answer(200, "");
        scene.injected("main").await;
        Ok(())
    });
}
