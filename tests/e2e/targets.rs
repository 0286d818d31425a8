//! Targets that can't be written: immutable ones, those of another type, and those in a namespace that ends.

use anyhow::Result;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionSpec,
};
use kube::api::{DeleteParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::sync::Mutex;
use waxwing_core::keys::Identity;
use waxwing_core::seal::Binding;
use waxwing_crds::{Reason, SealedSecret};
use waxwing_tests::faults::{Call, Fault, Faults};
use waxwing_tests::operator::Release;
use waxwing_tests::ring::{Ring, binding, now};
use waxwing_tests::{scene, wait};

/// K14. Guard: `ImmutableTarget` is stalled, and the operator never deletes (`core: plan`).
#[test]
fn an_immutable_secret_is_not_deleted_and_made_anew_and_there_is_no_loop() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        let ring = scene.ring().await;
        let mut sealed = ring.seal(&scene.namespace, "app", &[("k", "1")]);
        sealed.spec.immutable = Some(true);
        scene.commit(&sealed).await?;
        wait::until_ready(&scene.sealed(), "app").await;
        let before = scene.secrets().get("app").await?;
        assert_eq!(before.immutable, Some(true));

        let mark = scene.plane.audit.mark();
        ring.set(&mut sealed, &[("k", "2")]);
        scene.commit(&sealed).await?;
        let failing = wait::until_failing(&scene.sealed(), "app", Reason::ImmutableTarget).await;
        assert!(wait::message(&failing).contains("elete the Secret"), "{}", wait::message(&failing));
        scene.sealed_and_ready("later", &[("k", "v")]).await?;
        assert_eq!(scene.secrets().get("app").await?.resource_version(), before.resource_version());
        let tries = scene.plane.audit.writes_since(mark, &release.user());
        let tries: Vec<_> =
            tries.iter().filter(|call| call.resource() == "secrets" && call.name() == "app").collect();
        assert!(tries.len() <= 2, "{tries:?}");

        // What the message says helps.
        scene.delete_secret("app").await?;
        wait::until_ready(&scene.sealed(), "app").await;
        assert_eq!(wait::value_of(&scene.secrets().get("app").await?, "k"), b"2");
        Ok(())
    });
}

#[test]
fn a_changed_type_asks_for_the_secrets_deletion() {
    scene::shared(async |scene| -> Result<()> {
        let ring = scene.ring().await;
        scene.commit(&ring.seal(&scene.namespace, "app", &[("k", "1")])).await?;
        wait::until_ready(&scene.sealed(), "app").await;
        let other =
            Binding { secret_type: "example.com/other".to_owned(), ..binding(&scene.namespace, "app") };
        scene.commit(&ring.seal_as(&other, &[("k", "2")], now())).await?;
        wait::until_failing(&scene.sealed(), "app", Reason::ImmutableTarget).await;
        let secret = scene.secrets().get("app").await?;
        assert_eq!(
            (secret.type_.as_deref(), wait::value_of(&secret, "k")),
            (Some("Opaque"), b"1".as_slice())
        );
        scene.delete_secret("app").await?;
        wait::until_ready(&scene.sealed(), "app").await;
        assert_eq!(scene.secrets().get("app").await?.type_.as_deref(), Some("example.com/other"));
        Ok(())
    });
}

/// K10. Guard: `Finding::Deleting`, and no finalizer (`core: plan`).
#[test]
fn a_namespace_that_ends_takes_everything_with_it_and_nothing_is_made_in_it() {
    scene::shared(async |scene| -> Result<()> {
        scene.sealed_and_ready("app", &[("k", "v")]).await?;
        // Somebody's finalizer keeps the object, and so the namespace, for a while; its Secret goes first.
        let hold = json!({"metadata": {"finalizers": ["example.com/hold"]}});
        scene.merge("app", hold).await?;
        let namespaces: Api<Namespace> = Api::all(scene.client());
        let mark = scene.plane.audit.mark();
        namespaces.delete(&scene.namespace, &DeleteParams::default()).await?;
        wait::until_gone(&scene.secrets(), "app").await;
        wait::until_sealed(&scene.sealed(), "app", "is being deleted", |object| {
            object.metadata.deletion_timestamp.is_some()
        })
        .await;
        // The operator has seen the Secret's end when it has seen a later change.
        let ended = scene.merge("app", json!({"metadata": {"annotations": {"look": "now"}}})).await?;
        assert!(
            ended.metadata.finalizers.as_ref().is_some_and(|all| all == &["example.com/hold"]),
            "none is ours"
        );
        scene.merge("app", json!({"metadata": {"finalizers": null}})).await?;
        wait::until_gone(&namespaces, &scene.namespace).await;
        let writes = scene.plane.audit.writes_since(mark, &scene.world().release.user());
        let made: Vec<String> = writes
            .iter()
            .filter(|call| call.namespace() == scene.namespace && call.resource() == "secrets")
            .map(|call| call.line())
            .collect();
        // The API server refuses them all; that it is asked in vain at most once or twice is the operator's merit.
        assert!(made.len() <= 2, "{made:#?}");
        Ok(())
    });
}

#[test]
fn a_secret_that_is_swapped_for_another_of_its_name_is_not_written() {
    scene::shared(async |scene| -> Result<()> {
        let ring = scene.ring().await;
        let mut sealed = ring.seal(&scene.namespace, "app", &[("k", "1")]);
        scene.commit(&sealed).await?;
        wait::until_ready(&scene.sealed(), "app").await;
        // Suspended, so that the swap is complete before the operator looks.
        scene
            .merge("app", json!({"metadata": {"annotations": {waxwing_crds::names::SUSPEND: "true"}}}))
            .await?;
        scene.delete_secret("app").await?;
        wait::until_gone(&scene.secrets(), "app").await;
        let theirs = json!({"metadata": {"name": "app"}, "stringData": {"k": "theirs"}});
        let theirs = scene.secrets().create(&PostParams::default(), &serde_json::from_value(theirs)?).await?;
        ring.set(&mut sealed, &[("k", "2")]);
        scene.commit(&sealed).await?;
        scene
            .merge("app", json!({"metadata": {"annotations": {waxwing_crds::names::SUSPEND: null}}}))
            .await?;
        wait::until_failing(&scene.sealed(), "app", Reason::Conflict).await;
        assert_eq!(scene.secrets().get("app").await?.resource_version(), theirs.resource_version());
        Ok(())
    });
}

/// K15. Guard: the uid in the body of each apply (`operator: apply`); the operator's cache is stale here.
#[test]
fn a_secret_that_is_swapped_behind_the_operators_back_is_refused_by_its_uid() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let proxy = Faults::before(scene.plane).await?;
        let mut operator = release.start_at("a", &proxy.url, &[])?;
        scene.watch_log(&operator).await;
        operator.until_ready().await?;
        let ring = scene.ring().await;
        let mut sealed = ring.seal(&scene.namespace, "app", &[("k", "1")]);
        scene.commit(&sealed).await?;
        wait::until_ready(&scene.sealed(), "app").await;
        // From here on it hears nothing about Secrets any more.
        let watched = format!("/namespaces/{}/secrets", scene.namespace);
        let deaf =
            proxy.inject(Fault::NoAnswer, move |call| !call.is_write() && call.path.ends_with(&watched));
        proxy.shut();
        operator
            .until_metrics("watches are broken", |scrape| {
                scrape.sum("waxwing_watch_errors_total", &[]) >= 1.0
            })
            .await;
        proxy.open();
        deaf.until_hit().await;
        scene.delete_secret("app").await?;
        let theirs = json!({"metadata": {"name": "app"}, "stringData": {"k": "theirs"}});
        let theirs = scene.secrets().create(&PostParams::default(), &serde_json::from_value(theirs)?).await?;
        let before = proxy.calls().len();
        ring.set(&mut sealed, &[("k", "2")]);
        scene.commit(&sealed).await?;
        wait::until_failing(&scene.sealed(), "app", Reason::Conflict).await;
        let is_try = |call: &Call| call.method == "PATCH" && call.path.ends_with("/secrets/app");
        let tries = proxy.calls()[before..].iter().filter(|call| is_try(call)).count();
        assert_eq!(tries, 1, "it tried to write the Secret that it knew, once");
        assert_eq!(scene.secrets().get("app").await?.resource_version(), theirs.resource_version());
        Ok(())
    });
}

/// D10. Guard: what can't be decoded is kept as its metadata and reported (`operator: records`).
#[test]
fn an_object_that_was_stored_before_a_rule_existed_stops_nobody() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        store_past_the_schema(scene, &scene.namespace, json!({"format": 7, "data": ["not", "a", "map"]}))
            .await?;
        let mut operator = scene.operator(release, "a").await?;
        scene.sealed_and_ready("good", &[("k", "v")]).await?;
        // The API server takes no status for an object that breaks its rules, so the event is what tells.
        let event = wait::until_event(&scene.events(), "stored", Reason::InvalidSpec).await;
        assert!(event.note.unwrap_or_default().contains("spec.data"), "the field is named");
        operator.process_mut().check_alive()
    });
}

/// K07, K08. Guard: types under `waxwing.dev/` are refused by the operator as well (`core: seal::sealed`, `core: plan`).
#[test]
fn a_key_that_is_planted_through_a_produced_secret_past_the_schema_is_refused() {
    scene::alone(&[], async |scene, _| -> Result<()> {
        // Who may create SealedSecrets in the operator's own namespace, where identities are looked for.
        let name = format!("{}-own", scene.namespace);
        let own = format!("waxwing-{name}");
        let release = Release::install(scene.plane, &name, Some(std::slice::from_ref(&own)), &[]).await?;
        let _operator = scene.operator(&release, "a").await?;
        let ring = Ring::published(&scene.client(), &release.ring).await;
        let key = String::from_utf8(Identity::generate().to_text().expose().to_vec())?;
        let typed =
            Binding { secret_type: waxwing_crds::names::IDENTITY_TYPE.to_owned(), ..binding(&own, "stored") };
        let planted = ring.seal_as(&typed, &[("identity", &key)], now());
        store_past_the_schema(scene, &own, serde_json::to_value(&planted.spec)?).await?;
        let events: Api<Event> = Api::namespaced(scene.client(), &own);
        wait::until_event(&events, "stored", Reason::TypeRefused).await;
        let secrets: Api<Secret> = Api::namespaced(scene.client(), &own);
        assert!(secrets.get_opt("stored").await?.is_none());
        let keys = scene.rings().get(&release.ring).await?.status.unwrap_or_default().keys;
        assert_eq!(keys.len(), 1, "{keys:?}");
        Ok(())
    });
}

/// Creates the object `stored` with any spec, as if its CRD had had no rules then.
async fn store_past_the_schema(scene: &scene::Scene, namespace: &str, spec: serde_json::Value) -> Result<()> {
    // Two tests at once would each put the other's open schema back.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
    let _turn = ONE_AT_A_TIME.lock().await;
    let crds: Api<CustomResourceDefinition> = Api::all(scene.client());
    let name = "sealedsecrets.waxwing.dev";
    let rules = crds.get(name).await?.spec;
    let mut open = serde_json::to_value(&rules)?;
    open["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] =
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    replace_crd(&crds, name, serde_json::from_value(open)?).await?;
    let object = json!({
        "apiVersion": waxwing_crds::names::API_VERSION, "kind": "SealedSecret",
        "metadata": {"name": "stored", "namespace": namespace}, "spec": spec,
    });
    let object: DynamicObject = serde_json::from_value(object)?;
    let began = std::time::Instant::now();
    // The API server takes a moment to use the new schema.
    while dynamic(scene, namespace).create(&PostParams::default(), &object).await.is_err() {
        assert!(began.elapsed() < wait::DEADLINE, "an object past the schema can be stored");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    replace_crd(&crds, name, rules).await
}

async fn replace_crd(
    crds: &Api<CustomResourceDefinition>,
    name: &str,
    spec: CustomResourceDefinitionSpec,
) -> Result<()> {
    let mut crd = crds.get(name).await?;
    crd.spec = spec;
    crds.replace(name, &PostParams::default(), &crd).await?;
    Ok(())
}

fn dynamic(scene: &scene::Scene, namespace: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("waxwing.dev", "v1alpha1", "SealedSecret"));
    Api::namespaced_with(scene.client(), namespace, &resource)
}

/// D10. Guard: a malformed object is reported on itself and skipped (`operator: watch`).
#[test]
fn a_malformed_object_among_good_ones_stops_nobody() {
    scene::shared(async |scene| -> Result<()> {
        let ring = scene.ring().await;
        let mut malformed = ring.seal(&scene.namespace, "malformed", &[("k", "v")]);
        // Base64 that the schema takes, with bits beyond its last byte that no encoder writes.
        let token = malformed.spec.data["k"].clone();
        let last = if token.ends_with('B') { "C" } else { "B" };
        malformed.spec.data.insert("k".to_owned(), format!("{}{last}", &token[..token.len() - 1]));
        scene.commit(&ring.seal(&scene.namespace, "a-good-one", &[("k", "v")])).await?;
        scene.commit(&malformed).await?;
        scene.commit(&ring.seal(&scene.namespace, "z-good-one", &[("k", "v")])).await?;
        wait::until_sealed(&scene.sealed(), "malformed", "is refused", |object: &SealedSecret| {
            [Reason::InvalidSpec, Reason::BindingMismatch, Reason::Corrupt]
                .iter()
                .any(|r| wait::is_failing(object, *r))
        })
        .await;
        wait::until_ready(&scene.sealed(), "a-good-one").await;
        wait::until_ready(&scene.sealed(), "z-good-one").await;
        Ok(())
    });
}
