//! AlertReceivers of teams in the configuration of a platform.

use anyhow::Result;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use waxwing_crds::{AlertReceiver, ReceiverState};
use waxwing_tests::inject::secret;
use waxwing_tests::scene::{self, Scene};
use waxwing_tests::sink::Sink;
use waxwing_tests::wait;

use super::{hook, plain, server};

/// Creates an AlertReceiver in a team's namespace or changes it to this.
async fn put(scene: &Scene, namespace: &str, name: &str, spec: Value) -> Result<()> {
    let api: Api<AlertReceiver> = Api::namespaced(scene.client(), namespace);
    let object = json!({
        "apiVersion": "waxwing.dev/v1alpha1", "kind": "AlertReceiver",
        "metadata": {"name": name, "labels": {"alerts": "yes"}}, "spec": spec,
    });
    api.patch(name, &PatchParams::apply("test-team").force(), &Patch::Apply(object)).await?;
    Ok(())
}

/// Waits until an AlertReceiver is ready, or not for this reason, and gives the message.
async fn is(scene: &Scene, namespace: &str, name: &str, reason: &str) -> String {
    let api: Api<AlertReceiver> = Api::namespaced(scene.client(), namespace);
    let ready = |object: &AlertReceiver| {
        let status = object.status.as_ref()?;
        let found = status.conditions.iter().find(|condition| condition.type_ == "Ready")?;
        (found.observed_generation == object.metadata.generation && found.reason == reason)
            .then(|| found.message.clone())
    };
    let found =
        wait::until(&api, name, reason, |object: Option<&AlertReceiver>| object.and_then(ready).is_some())
            .await;
    ready(&found).unwrap_or_default()
}

/// K19, K22. Guard: an AlertReceiver names its injection, and its routes stand below one that asks for its namespace.
#[test]
fn a_team_gets_its_own_alerts_with_its_own_credential_and_a_broken_one_touches_nobody() {
    scene::shared(async |scene| -> Result<()> {
        let sink = Sink::start().await?;
        let server = server(&scene.namespace).await?;
        let _mount = scene.mount("published", &server);
        let (shop, web) = (format!("{}-shop", scene.namespace), format!("{}-web", scene.namespace));
        for team in [&shop, &web] {
            scene.plane.create_namespace(team).await?;
        }
        scene.put_secret("token", &[("value", "platform-1")]).await?;
        scene.put_secret_in(&shop, "pager", &[("token", "shop-2")]).await?;
        let mut spec =
            plain(&hook(&format!("{}/platform", sink.url), &secret("token", "value")), Some(&server));
        spec["include"] =
            json!([{"receiverSelector": {"matchLabels": {"alerts": "yes"}}, "namespaceSelector": {}}]);
        scene.put("AlertmanagerInjection", "main", spec).await?;
        scene.injected("main").await;
        let named = json!({"name": "main", "namespace": scene.namespace});
        let receiver = |path: &str, token: &Value| {
            json!({"webhook_configs": [{
                "url": format!("{}/{path}", sink.url),
                "http_config": {"authorization": {"credentials": token}},
            }]})
        };
        let routes = json!([{"matchers": ["severity=\"page\""], "group_wait": "1ms"}]);
        put(scene, &shop, "pager", json!({"injection": named, "receiver": receiver("shop", &secret("pager", "token")), "routes": routes})).await?;
        assert!(is(scene, &shop, "pager", "Published").await.contains("main"));
        let status = scene.receiver_is("main", &format!("{shop}/pager"), ReceiverState::Live).await;
        let pager = status.receivers.iter().find(|one| one.name.ends_with("/pager")).unwrap();
        assert_eq!(pager.credentials[0].namespace.as_deref(), Some(shop.as_str()));

        for (namespace, severity) in [(&shop, "page"), (&web, "page"), (&shop, "info")] {
            server.fire(&json!({"alertname": "x", "namespace": namespace, "severity": severity})).await?;
        }
        let request = sink.wait(0, |request| request.path.starts_with("/shop")).await;
        assert_eq!(request.header("authorization"), "Bearer shop-2");
        let text = request.text();
        assert!(text.contains(shop.as_str()) && !text.contains(web.as_str()), "{text}");
        // All three come to the platform, as before.
        for (number, namespace) in [(2, &shop), (1, &web)] {
            let of = |one: &waxwing_tests::sink::Received| {
                one.path.starts_with("/platform") && one.text().contains(namespace.as_str())
            };
            sink.wait(0, of).await;
            let _ = number;
        }
        assert_eq!(sink.received().iter().filter(|one| one.path.starts_with("/shop")).count(), 1);

        // One that reads a file of Alertmanager's pod, and one that names another injection.
        let before = scene.published("published").await?;
        let mut bad = receiver("web", &json!("x"));
        bad["webhook_configs"][0]["http_config"] =
            json!({"authorization": {"credentials_file": "/etc/passwd"}});
        put(scene, &web, "reader", json!({"injection": named, "receiver": bad})).await?;
        let message = is(scene, &web, "reader", "ReceiverRefused").await;
        assert!(message.contains("credentials_file"), "{message}");
        let other = json!({"name": "other", "namespace": scene.namespace});
        put(scene, &web, "astray", json!({"injection": other, "receiver": receiver("web", &json!("x"))}))
            .await?;
        is(scene, &web, "astray", "NotIncluded").await;
        assert_eq!(scene.published("published").await?, before);
        scene.injected("main").await;

        // A credential that one team lacks is told to that team, and holds up neither the others nor the platform.
        let lacks = receiver("web", &secret("nothing", "token"));
        put(scene, &web, "lacks", json!({"injection": named, "receiver": lacks})).await?;
        let message = is(scene, &web, "lacks", "CredentialUnresolved").await;
        assert!(message.contains("there is no such Secret"), "{message}");
        scene.receiver_is("main", &format!("{web}/lacks"), ReceiverState::Quarantined).await;
        scene.injected("main").await;
        is(scene, &shop, "pager", "Published").await;
        Ok(())
    });
}

/// K22. Guard: `look_namespace` looks at the injections that take AlertReceivers in.
#[test]
fn a_namespace_that_is_no_longer_selected_takes_its_receivers_along() {
    scene::shared(async |scene| -> Result<()> {
        let shop = format!("{}-shop", scene.namespace);
        scene.plane.create_namespace(&shop).await?;
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(scene.client());
        let label = async |value: Value| {
            let patch = Patch::Merge(json!({"metadata": {"labels": {"alerts-of": value}}}));
            namespaces.patch(&shop, &PatchParams::default(), &patch).await
        };
        label(json!(scene.namespace)).await?;
        scene.put_secret("token", &[("value", "x")]).await?;
        scene.put_secret_in(&shop, "pager", &[("url", "https://hooks.example.com/x")]).await?;
        let mut spec = plain(&hook("https://hooks.example.com", &secret("token", "value")), None);
        spec["include"] = json!([{"namespaceSelector": {"matchLabels": {"alerts-of": scene.namespace}}}]);
        scene.put("AlertmanagerInjection", "main", spec).await?;
        let named = json!({"name": "main", "namespace": scene.namespace});
        let receiver = json!({"webhook_configs": [{"url": secret("pager", "url")}]});
        put(scene, &shop, "pager", json!({"injection": named, "receiver": receiver})).await?;
        is(scene, &shop, "pager", "Published").await;
        label(Value::Null).await?;
        is(scene, &shop, "pager", "NotIncluded").await;
        scene
            .published_is("published", "without the team", |config| !config.to_string().contains(&shop))
            .await?;
        Ok(())
    });
}
