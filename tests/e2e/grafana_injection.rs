//! GrafanaInjections: from sealed values to what Grafana has. Grafana is the stub of `tests/servers/stubs/grafana.py`:
//! `docs/GRAFANA.md` says why, and what it does.

use std::time::Duration;

use anyhow::Result;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use waxwing_crds::{ConditionType, InjectionStatus, Reason, ReceiverState, conditions, names};
use waxwing_tests::grafana::{Grafana, datasource, receiver};
use waxwing_tests::inject::secret;
use waxwing_tests::scene::{self, Scene};
use waxwing_tests::wait;

/// A contact point with one receiver of PagerDuty, whose key is in the Secret `receivers`.
fn point(name: &str, uid: &str, key: &str) -> Value {
    json!({"name": name, "receivers": [
        {"uid": uid, "type": "pagerduty", "settings": {"integrationKey": secret("receivers", key)}}]})
}

/// A data source whose header is in the Secret `receivers`.
fn prometheus() -> Value {
    json!({"name": "prom", "type": "prometheus", "uid": "prom", "access": "proxy", "url": "http://prometheus:9090",
        "jsonData": {"httpHeaderName1": "Authorization"},
        "secureJsonData": {"httpHeaderValue1": secret("receivers", "header")}})
}

/// The key of a receiver of PagerDuty, as Grafana has it.
fn key_of<'a>(effective: &'a Value, uid: &str) -> Option<&'a str> {
    receiver(effective, uid)?["settings"]["integrationKey"].as_str()
}

fn has_header(effective: &Value, header: &str) -> bool {
    datasource(effective, "prom").is_some_and(|source| source["secure"]["httpHeaderValue1"] == header)
}

fn ready_message(status: &InjectionStatus) -> String {
    conditions::get(&status.conditions, ConditionType::Ready).map(|it| it.message.clone()).unwrap_or_default()
}

/// Asks for a look now.
async fn refresh(scene: &Scene, name: &str, nonce: &str) -> Result<()> {
    let patch = json!({"metadata": {"annotations": {names::REFRESH: nonce}}});
    scene.grafana_injections().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// T07. Guard: `doubled`, which doubles every `$`, and the labels of the carriers.
#[test]
fn sealed_values_reach_grafana_by_a_sidecar_as_they_are_and_so_do_new_ones() {
    scene::shared(async |scene| -> Result<()> {
        let grafana = Grafana::start(&format!("{}-grafana", scene.namespace)).await?;
        grafana.surroundings(json!({"HOME": "LEAK"}), json!({})).await?;
        let _sidecar = grafana.sidecar(scene);
        let (first, second) = ("pd$HOME one", "two ${HOME}$$");
        scene.sealed_and_ready("receivers", &[("db", first), ("header", "Bearer $__env{HOME}")]).await?;
        let spec = json!({"datasources": [prometheus()], "contactPoints": [point("db", "db-pd", "db")],
            "policies": [{"receiver": "db", "group_by": ["alertname"]}], "target": {}});
        scene.put("GrafanaInjection", "main", spec).await?;
        let effective = grafana
            .until("everything is there", |it| {
                key_of(it, "db-pd") == Some(first) && has_header(it, "Bearer $__env{HOME}")
            })
            .await;
        assert_eq!(effective["policies"]["receiver"], "db");
        let status = scene.grafana_ready("main").await;
        let receivers: Vec<_> = status.receivers.iter().map(|it| (it.name.as_str(), it.state)).collect();
        assert_eq!(
            receivers,
            [("data source prom", ReceiverState::Live), ("contact point db", ReceiverState::Live)]
        );
        assert_eq!(status.receivers[1].credentials[0].field, "receivers[0].settings.integrationKey");
        let alerting = scene.secrets().get("main-alerting").await?;
        assert_eq!(alerting.labels()["grafana_alert"], "1");
        assert_eq!(alerting.annotations()[names::OWNED_BY], "GrafanaInjection/main");

        scene.sealed_and_ready("receivers", &[("db", second), ("header", "Bearer $__env{HOME}")]).await?;
        grafana.until("the new key is there", |it| key_of(it, "db-pd") == Some(second)).await;
        Ok(())
    });
}

#[test]
fn what_leaves_the_document_leaves_grafana_and_only_that() {
    scene::shared(async |scene| -> Result<()> {
        let grafana = Grafana::start(&format!("{}-grafana", scene.namespace)).await?;
        let _sidecar = grafana.sidecar(scene);
        scene
            .put_secret("receivers", &[("a", "key-a"), ("b", "key-b"), ("c", "key-c"), ("header", "h")])
            .await?;
        let one = |points: Value, sources: Value| json!({"contactPoints": points, "datasources": sources, "target": {}});
        let both = json!([point("a", "a", "a"), point("b", "b", "b")]);
        scene.put("GrafanaInjection", "one", one(both, json!([prometheus()]))).await?;
        scene.put("GrafanaInjection", "two", one(json!([point("c", "c", "c")]), json!([]))).await?;
        grafana
            .until("all three are there", |it| {
                ["a", "b", "c"].iter().all(|uid| receiver(it, uid).is_some()) && has_header(it, "h")
            })
            .await;
        // B moves to the other, whose claim comes first; the data source goes.
        let moved = json!([point("c", "c", "c"), point("b", "b", "b")]);
        scene.put("GrafanaInjection", "two", one(moved, json!([]))).await?;
        scene.grafana_ready("two").await;
        scene.put("GrafanaInjection", "one", one(json!([point("a", "a", "a")]), json!([]))).await?;
        let left = grafana.until("the data source is gone", |it| datasource(it, "prom").is_none()).await;
        assert!(["a", "b", "c"].iter().all(|uid| receiver(&left, uid).is_some()), "{left:#}");
        let files = scene.secrets().get("one-alerting").await?.data.unwrap();
        let file = String::from_utf8(files.values().next().unwrap().0.clone())?;
        assert!(!file.contains("deleteContactPoints"), "{file}");
        Ok(())
    });
}

#[test]
fn a_published_secret_that_is_changed_by_hand_is_put_right() {
    scene::shared(async |scene| -> Result<()> {
        let grafana = Grafana::start(&format!("{}-grafana", scene.namespace)).await?;
        let _sidecar = grafana.sidecar(scene);
        scene.put_secret("receivers", &[("db", "key")]).await?;
        let spec = json!({"contactPoints": [point("db", "db-pd", "db")], "target": {}});
        scene.put("GrafanaInjection", "main", spec).await?;
        grafana.until("it is there", |it| key_of(it, "db-pd") == Some("key")).await;
        scene.grafana_ready("main").await;
        let before = scene.secrets().get("main-alerting").await?.data.unwrap();
        let key = before.keys().next().unwrap().clone();
        let forged = "apiVersion: 1\ncontactPoints:\n- name: db\n  receivers:\n  - {uid: db-pd, type: pagerduty, \
            settings: {integrationKey: forged}}\n";
        scene.merge_secret("main-alerting", json!({"stringData": {key.as_str(): forged}})).await?;
        wait::until(
            &scene.secrets(),
            "main-alerting",
            "as before",
            |secret: Option<&k8s_openapi::api::core::v1::Secret>| {
                secret.is_some_and(|secret| secret.data.as_ref() == Some(&before))
            },
        )
        .await;
        wait::until_event(&scene.events(), "main", Reason::DriftCorrected).await;
        grafana.until("the key is right", |it| key_of(it, "db-pd") == Some("key")).await;
        Ok(())
    });
}

/// L01. Guard: `quarantine`, and that a document without its credential is not one that has lost the entry.
#[test]
fn a_credential_that_is_missing_keeps_back_its_own_contact_point_alone() {
    scene::shared(async |scene| -> Result<()> {
        let grafana = Grafana::start(&format!("{}-grafana", scene.namespace)).await?;
        let _sidecar = grafana.sidecar(scene);
        scene.put_secret("receivers", &[("ops", "key-ops")]).await?;
        let spec = json!({"contactPoints": [point("ops", "ops", "ops"), point("db", "db", "db")],
            "policies": [{"receiver": "ops"}], "target": {}});
        scene.put("GrafanaInjection", "main", spec).await?;
        // What has nothing of its own takes the settings of the root's, because policies may name it.
        grafana
            .until("both are there", |it| {
                key_of(it, "ops") == Some("key-ops") && key_of(it, "db") == Some("key-ops")
            })
            .await;
        let status = scene
            .grafana_is("main", "the one is quarantined", |status| {
                status.receivers.iter().any(|it| it.state == ReceiverState::Quarantined)
            })
            .await;
        let states: Vec<_> = status.receivers.iter().map(|it| (it.name.as_str(), it.state)).collect();
        assert_eq!(
            states,
            [("contact point ops", ReceiverState::Live), ("contact point db", ReceiverState::Quarantined)]
        );
        scene.put_secret("receivers", &[("ops", "key-ops"), ("db", "key-db")]).await?;
        grafana.until("it has its own", |it| key_of(it, "db") == Some("key-db")).await;
        scene.grafana_ready("main").await;
        Ok(())
    });
}

#[test]
fn a_mounted_secret_is_read_when_grafana_is_told_and_deleted_entries_go_with_the_injection() {
    scene::shared(async |scene| -> Result<()> {
        let grafana = Grafana::start(&format!("{}-grafana", scene.namespace)).await?;
        let _kubelet = grafana.mount(scene, "provisioning");
        scene.put_secret("receivers", &[("a", "key-a"), ("b", "key-b"), ("header", "h")]).await?;
        scene.put_secret("grafana", &[("user", "admin"), ("password", "admin")]).await?;
        let target = json!({"kind": "Mounted", "secretName": "provisioning", "reload": {"url": grafana.url},
            "auth": {"username": {"name": "grafana", "key": "user"}, "password": {"name": "grafana", "key": "password"}}});
        let spec =
            |points: Value| json!({"contactPoints": points, "datasources": [prometheus()], "target": target});
        let both = json!([point("a", "a", "a"), point("b", "b", "b")]);
        scene.put("GrafanaInjection", "main", spec(both)).await?;
        grafana
            .until("both are there", |it| {
                key_of(it, "a") == Some("key-a") && key_of(it, "b") == Some("key-b") && has_header(it, "h")
            })
            .await;
        scene.put("GrafanaInjection", "main", spec(json!([point("a", "a", "a")]))).await?;
        grafana.until("the one is gone", |it| receiver(it, "b").is_none()).await;
        let injections = scene.grafana_injections();
        assert_eq!(injections.get("main").await?.finalizers(), [names::GRAFANA_FINALIZER]);

        injections.delete("main", &DeleteParams::default()).await?;
        wait::until_gone(&injections, "main").await;
        let left = grafana.effective(1).await?;
        assert!(receiver(&left, "a").is_none() && datasource(&left, "prom").is_none(), "{left:#}");
        Ok(())
    });
}

#[test]
fn what_came_by_a_sidecar_goes_with_the_injection_too() {
    scene::shared(async |scene| -> Result<()> {
        let grafana = Grafana::start(&format!("{}-grafana", scene.namespace)).await?;
        let _sidecar = grafana.sidecar(scene);
        scene.put_secret("receivers", &[("db", "key"), ("header", "h")]).await?;
        let spec = json!({"contactPoints": [point("db", "db-pd", "db")], "datasources": [prometheus()], "target": {}});
        scene.put("GrafanaInjection", "main", spec).await?;
        grafana.until("it is there", |it| receiver(it, "db-pd").is_some() && has_header(it, "h")).await;
        let injections = scene.grafana_injections();
        injections.delete("main", &DeleteParams::default()).await?;
        grafana
            .until("it is gone", |it| receiver(it, "db-pd").is_none() && datasource(it, "prom").is_none())
            .await;
        // Nobody can be asked whether it was read, so it is waited for.
        let gone = |object: Option<&waxwing_crds::GrafanaInjection>| object.is_none();
        wait::within(Duration::from_secs(120), &injections, "main", "is gone", gone).await;
        Ok(())
    });
}

/// L02. Guard: `Refusal`, which shows no more than the status of an answer.
#[test]
fn the_api_gets_values_and_takes_them_away_and_its_errors_are_not_repeated() {
    scene::shared(async |scene| -> Result<()> {
        let grafana = Grafana::start(&format!("{}-grafana", scene.namespace)).await?;
        grafana.token("glsa_canary-token-7d", "Admin").await?;
        scene.put_secret("grafana", &[("token", "glsa_canary-token-7d")]).await?;
        scene.put_secret("receivers", &[("db", "canary-6b$HOME"), ("header", "canary-6c")]).await?;
        let spec = json!({"contactPoints": [point("db", "db-pd", "db")], "datasources": [prometheus()],
            "policies": [{"receiver": "db", "routes": [{"receiver": "grafana-default-email", "object_matchers": [["a", "=", "b"]]}]}],
            "target": {"kind": "API", "url": grafana.url, "auth": {"token": {"name": "grafana", "key": "token"}}}});
        grafana.fail("/api/v1/provisioning/contact-points", 400, 2).await?;
        scene.put("GrafanaInjection", "main", spec).await?;
        let status = scene
            .grafana_is("main", "refused", |status| ready_message(status).contains("answered 400"))
            .await;
        let told = serde_json::to_string(&status)?;
        assert!(!told.contains("canary"), "{told}");

        refresh(scene, "main", "1").await?;
        grafana
            .until("all is there", |it| {
                key_of(it, "db-pd") == Some("canary-6b$HOME") && has_header(it, "canary-6c")
            })
            .await;
        let status = scene.grafana_ready("main").await;
        assert!(conditions::is_true(&status.conditions, ConditionType::Loaded), "{status:?}");
        let events = serde_json::to_string(&scene.events().list(&Default::default()).await?.items)?;
        assert!(!events.contains("canary"), "{events}");

        let log = std::fs::read_to_string(scene.world().operator.process().log_path())?;
        assert!(!log.contains("canary-6") && !log.contains("canary-token-7d"));

        // Somebody empties a credential in Grafana; it shows that there is none, and it comes back.
        grafana.edit_datasource("prom", json!({"secure": {"httpHeaderValue1": ""}})).await?;
        refresh(scene, "main", "2").await?;
        grafana.until("the header is back", |it| has_header(it, "canary-6c")).await;
        wait::until_event(&scene.events(), "main", Reason::DriftCorrected).await;

        // Of two values that are there Grafana shows no difference.
        scene.put_secret("receivers", &[("db", "canary-7a"), ("header", "canary-6c")]).await?;
        grafana.until("the new key is there", |it| key_of(it, "db-pd") == Some("canary-7a")).await;

        let injections = scene.grafana_injections();
        injections.delete("main", &DeleteParams::default()).await?;
        wait::until_gone(&injections, "main").await;
        let left = grafana.effective(1).await?;
        assert!(receiver(&left, "db-pd").is_none() && datasource(&left, "prom").is_none(), "{left:#}");
        Ok(())
    });
}
