//! What becomes of an injection when something is wrong: the table of `docs/ALERTMANAGER.md`, a test for each row.

use anyhow::Result;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use waxwing_crds::{ConditionType, Reason, ReceiverState, conditions};
use waxwing_tests::inject::secret;
use waxwing_tests::scene::{self, Scene};
use waxwing_tests::wait;

use super::{KEYS, at, plain, two};

const SLACK: &str = "/receivers/0/slack_configs/0/api_url";

/// An injection that is published, with [`two`].
async fn published(scene: &Scene, policy: Value) -> Result<Value> {
    scene.put_secret("keys", &KEYS).await?;
    let mut spec = plain(&two(), None);
    spec["policy"] = policy;
    scene.put("AlertmanagerInjection", "main", spec.clone()).await?;
    scene.injected("main").await;
    Ok(spec)
}

#[test]
fn a_credential_that_is_gone_is_published_with_its_last_good_value_and_said_to_be_stale() {
    scene::shared(async |scene| -> Result<()> {
        published(scene, json!({})).await?;
        let before = scene.published("published").await?;
        scene.delete_secret("keys").await?;
        let status = scene.receiver_is("main", "db", ReceiverState::Stale).await;
        assert!(conditions::is_true(&status.conditions, ConditionType::Ready), "{status:?}");
        assert!(conditions::is_true(&status.conditions, ConditionType::Degraded), "{status:?}");
        let credential = &status.receivers[1].credentials[0];
        assert_eq!(credential.problem.as_deref(), Some("there is no such Secret"));
        assert!(credential.stale_since.is_some());
        // Also where the published Secret has to be made anew meanwhile.
        scene.delete_secret("published").await?;
        assert_eq!(scene.published_is("published", "it is back", |_| true).await?, before);
        scene.put_secret("keys", &KEYS).await?;
        let status = scene.receiver_is("main", "db", ReceiverState::Live).await;
        assert!(conditions::get(&status.conditions, ConditionType::Degraded).is_none());
        Ok(())
    });
}

#[test]
fn a_last_good_value_counts_no_longer_than_it_may() {
    scene::shared(async |scene| -> Result<()> {
        published(scene, json!({"maxStale": "1s"})).await?;
        let before = scene.published("published").await?;
        scene.delete_secret("keys").await?;
        let message = scene.not_injected("main", "CredentialExpired").await;
        assert!(message.contains("Secret/keys, key slack"), "{message}");
        assert_eq!(scene.published("published").await?, before, "silence would be worse");
        Ok(())
    });
}

#[test]
fn a_receiver_whose_credential_never_was_is_quarantined_and_forty_nine_others_work() {
    scene::shared(async |scene| -> Result<()> {
        scene.put_secret("keys", &KEYS).await?;
        let key = |number: usize| if number == 17 { "missing" } else { "slack" };
        let receivers: Vec<_> = (0..50)
            .map(|number| json!({"name": format!("r{number}"), "slack_configs": [{"channel": "#c", "api_url": secret("keys", key(number))}]}))
            .collect();
        let routes: Vec<_> = (0..50)
            .map(|number| json!({"receiver": format!("r{number}"), "matchers": [format!("n=\"{number}\"")]}))
            .collect();
        let config = json!({"route": {"receiver": "r0", "routes": routes}, "receivers": receivers});
        let mut spec = plain(&config, None);
        spec["policy"] = json!({"fallbackReceiver": "r1"});
        scene.put("AlertmanagerInjection", "main", spec).await?;
        let message = scene.not_injected("main", "CredentialUnresolved").await;
        assert!(message.contains("r17") && message.contains("the Secret has no such key"), "{message}");
        let status = scene.receiver_is("main", "r17", ReceiverState::Quarantined).await;
        let live = status.receivers.iter().filter(|one| one.state == ReceiverState::Live).count();
        assert_eq!(live, 49);
        let config = scene.published("published").await?;
        assert_eq!(config["receivers"].as_array().unwrap().len(), 50, "routes refer to it");
        assert_eq!(
            config["receivers"][17]["slack_configs"], config["receivers"][1]["slack_configs"],
            "the fallback's"
        );
        // Those are not its own, also at a later look.
        scene.look_again("main", "later").await?;
        let again = |status: &waxwing_crds::InjectionStatus| status.refreshed.as_deref() == Some("later");
        let status = scene.injection_is("main", "looked at again", again).await;
        assert_eq!(status.receivers[17].state, ReceiverState::Quarantined);
        Ok(())
    });
}

#[test]
fn with_block_nothing_is_published_until_everything_is_there() {
    scene::shared(async |scene| -> Result<()> {
        scene.put_secret("keys", &KEYS[..1]).await?;
        let mut spec = plain(&two(), None);
        spec["policy"] = json!({"onUnresolved": "Block"});
        scene.put("AlertmanagerInjection", "main", spec).await?;
        let message = scene.not_injected("main", "CredentialUnresolved").await;
        assert!(message.contains("receivers[1].pagerduty_configs[0].routing_key"), "{message}");
        assert!(scene.secrets().get_opt("published").await?.is_none());
        scene.put_secret("keys", &KEYS).await?;
        scene.injected("main").await;
        Ok(())
    });
}

/// T07. Guard: `schema::fits` before a value is put into its place.
#[test]
fn a_value_that_does_not_fit_its_field_counts_as_unresolved_and_is_not_shown() {
    scene::shared(async |scene| -> Result<()> {
        published(scene, json!({})).await?;
        let before = scene.published("published").await?;
        for (number, bad) in [
            "no url canary-6d",
            "https://hooks.slack.com/canary-6d\n",
            "https://hooks.slack.com/\u{1b}canary-6d",
        ]
        .into_iter()
        .enumerate()
        {
            scene.put_secret("keys", &[("slack", bad), KEYS[1]]).await?;
            let version = scene.secrets().get("keys").await?.metadata.resource_version;
            let status = scene.receiver_is("main", "ops", ReceiverState::Stale).await;
            scene.look_again("main", &number.to_string()).await?;
            let credential = &status.receivers[0].credentials[0];
            let problem = credential.problem.clone().unwrap_or_default();
            assert!(!problem.is_empty() && !problem.contains("canary"), "{version:?} {problem}");
            assert_eq!(scene.published("published").await?, before);
        }
        // Alertmanager would run it as a template.
        scene.put_secret("keys", &[KEYS[0], ("pagerduty", "{{ .canary-6d }}")]).await?;
        let status = scene.receiver_is("main", "db", ReceiverState::Stale).await;
        assert!(!serde_json::to_string(&status)?.contains("canary-6d"));
        assert_eq!(scene.published("published").await?, before);
        Ok(())
    });
}

#[test]
fn an_invalid_configuration_is_not_published_and_the_published_one_stays() {
    scene::shared(async |scene| -> Result<()> {
        let good = published(scene, json!({})).await?;
        let before = scene.published("published").await?;
        let mut wrong = good.clone();
        wrong["config"]["receivers"][0]["slack_configs"][0]["chanel"] = json!("#x");
        scene.put("AlertmanagerInjection", "main", wrong).await?;
        let message = scene.not_injected("main", "ConfigInvalid").await;
        assert!(message.contains("receivers[0].slack_configs[0].chanel"), "{message}");
        let status = scene.injections().get("main").await?.status.unwrap_or_default();
        let valid = conditions::get(&status.conditions, ConditionType::ConfigValid).unwrap();
        assert_eq!((valid.status.as_str(), valid.reason.as_str()), ("False", "ConfigInvalid"));
        assert!(conditions::is_true(&status.conditions, ConditionType::Stalled));
        let mut elsewhere = good.clone();
        elsewhere["routeTests"] =
            json!([{"name": "db", "labels": {"team": "db"}, "expect": {"receivers": ["ops"]}}]);
        scene.put("AlertmanagerInjection", "main", elsewhere).await?;
        let message = scene.not_injected("main", "RouteTestFailed").await;
        assert!(message.contains("goes to db, and should go to ops"), "{message}");
        assert_eq!(scene.published("published").await?, before);
        scene.put("AlertmanagerInjection", "main", good).await?;
        let status = scene.injected("main").await;
        assert!(conditions::is_true(&status.conditions, ConditionType::ConfigValid));
        Ok(())
    });
}

#[test]
fn a_credential_in_the_document_itself_is_published_and_told_by_its_place() {
    scene::shared(async |scene| -> Result<()> {
        scene.put_secret("keys", &KEYS).await?;
        let mut config = two();
        config["receivers"][1]["pagerduty_configs"][0]["routing_key"] =
            json!("canary-9e-0123456789abcdef012345");
        scene.put("AlertmanagerInjection", "main", plain(&config, None)).await?;
        let status = scene.injected("main").await;
        assert_eq!(status.literals, ["receivers[1].pagerduty_configs[0].routing_key"]);
        assert!(!serde_json::to_string(&status)?.contains("canary-9e"));
        let event = wait::until_event(&scene.events(), "main", Reason::LiteralCredential).await;
        assert!(!event.note.unwrap_or_default().contains("canary-9e"));
        Ok(())
    });
}

/// Guard: the routing tester refuses references (`core: alertmanager::route`).
#[test]
fn where_alerts_go_is_no_secret() {
    scene::shared(async |scene| -> Result<()> {
        scene.put_secret("keys", &KEYS).await?;
        let mut config = two();
        config["route"]["routes"][0]["receiver"] = secret("keys", "pagerduty");
        scene.put("AlertmanagerInjection", "main", plain(&config, None)).await?;
        let message = scene.not_injected("main", "ConfigInvalid").await;
        assert!(message.contains("route.routes[0].receiver"), "{message}");
        assert!(!message.contains("canary"), "{message}");
        Ok(())
    });
}

#[test]
fn what_prometheus_operator_cannot_carry_is_refused_before_it_is_published() {
    scene::shared(async |scene| -> Result<()> {
        scene.put_secret("keys", &KEYS).await?;
        let mut config = two();
        config["receivers"][0]["slack_configs"][0]["http_config"] =
            json!({"http_headers": {"X-Token": {"secrets": [secret("keys", "pagerduty")]}}});
        let mut spec = plain(&config, None);
        spec["target"] = json!({"kind": "PrometheusOperator", "secretName": "published"});
        scene.put("AlertmanagerInjection", "main", spec.clone()).await?;
        let message = scene.not_injected("main", "TargetUnsupported").await;
        assert!(message.contains("http_headers"), "{message}");
        assert!(scene.secrets().get_opt("published").await?.is_none());
        // What its config reloader would put an environment variable into is no credential.
        scene.put_secret("keys", &[KEYS[0], ("pagerduty", "canary-$(HOME)-0123456789abcdef")]).await?;
        spec["config"] = two();
        scene.put("AlertmanagerInjection", "main", spec).await?;
        let status = scene.receiver_is("main", "db", ReceiverState::Quarantined).await;
        let problem = status.receivers[1].credentials[0].problem.clone().unwrap_or_default();
        assert!(problem.contains("$(NAME)"), "{problem}");
        Ok(())
    });
}

/// Guard: the mark over the published Secret's resource version.
#[test]
fn a_published_secret_that_was_edited_by_hand_is_restored() {
    scene::shared(async |scene| -> Result<()> {
        published(scene, json!({})).await?;
        let before = scene.published("published").await?;
        let edit = json!({"stringData": {"alertmanager.yaml": "route: {receiver: evil}"}});
        scene.merge_secret("published", edit).await?;
        wait::until_event(&scene.events(), "main", Reason::DriftCorrected).await;
        assert_eq!(scene.published("published").await?, before);
        assert_eq!(scene.revisions("main").await?.len(), 1, "no new revision");
        Ok(())
    });
}

#[test]
fn the_published_secret_stays_when_its_injection_goes_and_is_taken_up_again() {
    scene::shared(async |scene| -> Result<()> {
        let spec = published(scene, json!({})).await?;
        let before = scene.published("published").await?;
        let api = scene.injections();
        api.delete("main", &DeleteParams::default()).await?;
        wait::until_gone(&api, "main").await;
        assert_eq!(scene.published("published").await?, before);
        // Even what nobody knows any more but the published Secret itself is a last good value.
        scene.delete_secret("keys").await?;
        scene.put("AlertmanagerInjection", "main", spec).await?;
        scene.receiver_is("main", "db", ReceiverState::Stale).await;
        assert_eq!(scene.published("published").await?, before);
        assert_eq!(at(&before, SLACK), KEYS[0].1);
        Ok(())
    });
}

#[test]
fn revisions_are_kept_up_to_the_number_that_was_asked_for() {
    scene::shared(async |scene| -> Result<()> {
        published(scene, json!({"history": 2})).await?;
        for number in 2..=4 {
            let url = format!("https://hooks.slack.com/services/T0/B0/{number}");
            scene.put_secret("keys", &[("slack", &url), KEYS[1]]).await?;
            scene.published_is("published", "the next one", |config| at(config, SLACK) == url).await?;
            scene
                .injection_is("main", "its number", |status| {
                    status.published.as_ref().is_some_and(|one| one.revision == number)
                })
                .await;
        }
        let numbers: Vec<_> = scene.revisions("main").await?.into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, [3, 4]);
        Ok(())
    });
}
