//! Two releases of the chart in one cluster, each with a ring and a namespace of its own: what the one does, the other
//! does not notice.

use anyhow::{Context, Result};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use waxwing_crds::{ConditionType, ExternalSecret, KeyRing, KeyState, Reason, conditions, names};
use waxwing_tests::audit::Mark;
use waxwing_tests::operator::{Operator, Release};
use waxwing_tests::ring::{is_serving, keys_in, named};
use waxwing_tests::scene::{self, Scene};
use waxwing_tests::{chart, wait};

/// What a further release leaves to the first.
const FURTHER: [&str; 3] = ["crds.install=false", "rbac.aggregate=false", "stores.cluster=false"];

/// A second release, for a namespace of its own. In the same operator's namespace it is called otherwise.
async fn second(scene: &Scene, first: &Release, shares_namespace: bool) -> Result<(Scene, Release)> {
    let ring = format!("b-{}", scene.ring);
    let other = scene.beside(&format!("{}-b", scene.namespace), &ring).await?;
    let (name, namespace) = if shares_namespace {
        ("waxwing-b", first.namespace.clone())
    } else {
        (first.name.as_str(), format!("{}-b", first.namespace))
    };
    let serves = [other.namespace.clone()];
    let release = Release::install_as(scene.plane, name, &namespace, &ring, Some(&serves), &FURTHER).await?;
    Ok((other, release))
}

/// Everything of one tenant that must not change: the ring, and the objects of both namespaces, but for the lease.
async fn state_of(scene: &Scene, release: &Release) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let ring = scene.rings().get(&scene.ring).await?;
    lines.push(format!("KeyRing {} {:?}", ring.name_any(), ring.metadata.resource_version));
    let client = scene.client();
    for namespace in [&scene.namespace, &release.namespace] {
        for (version, kind) in [("v1", "Secret"), (names::API_VERSION, "SealedSecret"), ("v1", "ConfigMap")] {
            let probe = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "-", "namespace": namespace}});
            let (api, _) = chart::api_of(&client, &probe)?;
            let ours = |object: &DynamicObject| {
                let ring = object.labels().get(names::KEY_RING);
                ring.is_none_or(|ring| *ring == scene.ring)
            };
            for object in api.list(&ListParams::default()).await?.items.iter().filter(|object| ours(object)) {
                let (uid, version) = (&object.metadata.uid, &object.metadata.resource_version);
                lines.push(format!("{kind} {namespace}/{} {uid:?} {version:?}", object.name_any()));
            }
        }
    }
    lines.sort();
    assert!(lines.len() > 3, "{lines:?}");
    Ok(lines)
}

/// Every request of a release's operator since: in its own namespaces, or about its own ring.
fn asked_only_for_its_own(scene: &Scene, release: &Release, mark: Mark, other: &str) {
    let is_first = other.starts_with("b-");
    let calls = scene.plane.audit.since(mark, &release.user());
    assert!(calls.len() > 10, "the log has the operator's requests");
    for call in &calls {
        let (line, resource) = (call.line(), call.resource());
        match call.namespace() {
            "" if resource == "clustersecretstores" => assert!(is_first && !call.is_write(), "{line}"),
            "" => assert!(resource.starts_with("keyrings") && call.name() == release.ring, "{line}"),
            "default" => assert!(resource == "events" && call.is_write(), "{line}"),
            namespace if namespace == release.namespace => {
                assert!(!call.name().contains(&format!("waxwing-{other}")), "{line}");
            }
            namespace => assert_eq!(namespace, scene.namespace, "{line}"),
        }
        assert!(call.code() != 403, "{line}");
    }
}

/// The whole story, with the second release in an operator's namespace of its own or in the first one's.
async fn two_tenants(a: &Scene, release_a: &Release, shares_namespace: bool) -> Result<()> {
    let mark = a.plane.audit.mark();
    let (b, release_b) = second(a, release_a, shares_namespace).await?;
    let mut operator_a = a.operator(release_a, "a").await?;
    let operator_b = a.operator(&release_b, "b").await?;
    for (tenant, value) in [(a, "of-a"), (&b, "of-b")] {
        let (_, secret) = tenant.sealed_and_ready("app", &[("k", value)]).await?;
        assert_eq!(wait::value_of(&secret, "k"), value.as_bytes());
    }
    // Sealed for the other's ring: not opened, and the message says for which key it is and that none of ours opens it.
    let strange = a.ring().await.seal(&b.namespace, "strange", &[("k", "v")]);
    b.commit(&strange).await?;
    let failing = wait::until_failing(&b.sealed(), "strange", Reason::NoMatchingKey).await;
    let key = keys_in(&a.rings().get(&a.ring).await?, KeyState::Active).remove(0);
    let id = named("x", &key).recipient().id().to_string();
    assert!(wait::message(&failing).contains(&id), "{}", wait::message(&failing));
    assert!(b.secrets().get_opt("strange").await?.is_none());
    b.sealed().delete("strange", &DeleteParams::default()).await?;
    wait::until_gone(&b.sealed(), "strange").await;
    // Either finds nothing strange about the other's identities.
    for (tenant, operator) in [(a, &operator_a), (&b, &operator_b)] {
        is_undisturbed(tenant, operator).await?;
    }

    until_calm(&b, &release_b).await?;
    let before = state_of(&b, &release_b).await?;
    until_rotated(a, &mut operator_a).await?;
    a.delete_secret("app").await?;
    wait::until_secret(&a.secrets(), "app", "is there again", |_| true).await;
    operator_a.terminate().await?;
    operator_a.start_again()?;
    operator_a.until_ready().await?;
    a.sealed_and_ready("later", &[("k", "v")]).await?;
    asked_only_for_its_own(a, release_a, mark, &release_b.ring);
    operator_a.terminate().await?;
    release_a.uninstall().await?;
    assert_eq!(state_of(&b, &release_b).await?, before, "a rotation, a restart and an uninstall next door");

    b.sealed_and_ready("still", &[("k", "v")]).await?;
    is_undisturbed(&b, &operator_b).await?;
    asked_only_for_its_own(&b, &release_b, mark, &release_a.ring);
    let kept = a.rings().get(&a.ring).await?;
    assert!(is_serving(&kept), "what is kept of the first is as it was");
    Ok(())
}

/// K35. Guard: the rights of `charts/waxwing`, one watch a namespace and a ring by name (`operator: watch`).
#[test]
fn two_releases_in_two_namespaces_do_not_notice_each_other() {
    scene::alone(&[], async |scene, release| two_tenants(scene, release, false).await);
}

/// K35. Guard: identities that are labelled for another ring are passed over (`operator: key_ring`), and all names are a
/// release's or a ring's (`charts/waxwing`).
#[test]
fn two_releases_in_one_namespace_do_not_notice_each_other() {
    scene::alone(&[], async |scene, release| two_tenants(scene, release, true).await);
}

/// Gives a ring one more key.
async fn until_rotated(scene: &Scene, operator: &mut Operator) -> Result<()> {
    let first = keys_in(&scene.rings().get(&scene.ring).await?, KeyState::Active).remove(0);
    scene.merge_ring(json!({"rotation": {"every": "1s"}})).await?;
    wait::until_ring(&scene.rings(), &scene.ring, "has rotated", |ring| {
        is_serving(ring) && keys_in(ring, KeyState::OpenOnly).contains(&first)
    })
    .await;
    scene.merge_ring(json!({"rotation": {"every": "30d"}})).await?;
    operator.process_mut().check_alive()
}

/// Waits until two looks at a tenant, with a look of its operator between them, are the same.
async fn until_calm(scene: &Scene, release: &Release) -> Result<()> {
    loop {
        let before = state_of(scene, release).await?;
        let nonce = json!({"metadata": {"annotations": {names::REFRESH: format!("{}", before.len())}}});
        scene.merge("app", nonce).await?;
        wait::until_ready(&scene.sealed(), "app").await;
        let after = state_of(scene, release).await?;
        let again = state_of(scene, release).await?;
        let rings = |lines: &[String]| -> Vec<String> {
            lines.iter().filter(|line| line.starts_with("KeyRing")).cloned().collect()
        };
        if rings(&before) == rings(&after) && after == again {
            return Ok(());
        }
    }
}

/// The ring serves, knows of one key or more of its own, and has nothing to tell.
async fn is_undisturbed(scene: &Scene, operator: &Operator) -> Result<()> {
    let ring = scene.rings().get(&scene.ring).await?;
    assert!(is_serving(&ring), "{}", wait::shown(&ring));
    let all = ring.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    assert!(!conditions::is_true(all, ConditionType::Degraded), "{}", wait::shown(&ring));
    let scrape = operator.metrics().await?;
    // Stores of the cluster are for all of its tests.
    for kind in ["SealedSecret", "KeyRing"] {
        let not_ready = scrape.sum("waxwing_objects", &[("kind", kind), ("ready", "false")]);
        assert_eq!(not_ready, 0.0, "{kind}: {}", scrape.text());
    }
    Ok(())
}

/// K35. Guard: the rights of `charts/waxwing` with a list of namespaces.
#[test]
fn the_api_server_refuses_one_release_everything_of_the_other() {
    scene::alone(&[], async |a, release_a| -> Result<()> {
        let (b, release_b) = second(a, release_a, false).await?;
        let kinds = ["sealedsecrets", "externalsecrets", "secretstores", "alertreceivers"];
        for (own, other, place) in [(release_a, &release_b, &b), (&release_b, release_a, a)] {
            let mut asked = Vec::new();
            for verb in ["get", "list", "watch", "create", "update", "patch", "delete"] {
                for namespace in [&place.namespace, &other.namespace] {
                    asked.push((verb, "", "secrets", "", namespace.clone(), ""));
                    asked.push((verb, "", "configmaps", "", namespace.clone(), ""));
                    asked.push((verb, "coordination.k8s.io", "leases", "", namespace.clone(), ""));
                    asked.extend(kinds.map(|kind| (verb, "waxwing.dev", kind, "", namespace.clone(), "")));
                    asked.push((verb, "waxwing.dev", "sealedsecrets", "status", namespace.clone(), ""));
                    asked.push((verb, "", "serviceaccounts", "token", namespace.clone(), ""));
                }
                let (nowhere, theirs) = (String::new, other.ring.as_str());
                asked.push((verb, "waxwing.dev", "keyrings", "", nowhere(), theirs));
                asked.push((verb, "waxwing.dev", "keyrings", "status", nowhere(), theirs));
                asked.push((verb, "waxwing.dev", "keyrings", "", nowhere(), ""));
            }
            for (verb, group, resource, subresource, namespace, name) in asked {
                let right = ResourceAttributes {
                    verb: Some(verb.to_owned()),
                    group: Some(group.to_owned()),
                    resource: Some(resource.to_owned()),
                    subresource: Some(subresource.to_owned()).filter(|text| !text.is_empty()),
                    namespace: Some(namespace).filter(|text| !text.is_empty()),
                    name: Some(name.to_owned()).filter(|text| !text.is_empty()),
                    ..Default::default()
                };
                assert!(!may(own, right.clone()).await?, "{} may {right:?}", own.user());
            }
            // The question is the right one: its own it may.
            let right = ResourceAttributes {
                verb: Some("get".to_owned()),
                group: Some("waxwing.dev".to_owned()),
                resource: Some("keyrings".to_owned()),
                name: Some(own.ring.clone()),
                ..Default::default()
            };
            assert!(may(own, right).await?);
        }
        Ok(())
    });
}

async fn may(release: &Release, right: ResourceAttributes) -> Result<bool> {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(release.user()),
            groups: Some(vec!["system:serviceaccounts".to_owned(), "system:authenticated".to_owned()]),
            resource_attributes: Some(right),
            ..Default::default()
        },
        ..Default::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(release.plane.admin.clone());
    let answer = reviews.create(&PostParams::default(), &review).await?;
    Ok(answer.status.context("an answer")?.allowed)
}

/// K35. Guard: `KeyRingLoop::read_identities` passes over what is labelled for another ring.
#[test]
fn an_identity_of_the_other_ring_in_our_namespace_is_passed_over_and_opens_nothing() {
    scene::alone(&[], async |a, release_a| -> Result<()> {
        let (b, release_b) = second(a, release_a, false).await?;
        let operator_a = a.operator(release_a, "a").await?;
        let _operator_b = a.operator(&release_b, "b").await?;
        let (of_a, of_b) = (a.ring().await, b.ring().await);
        // A copy of the other ring's identity, as a backup that was restored into the wrong namespace leaves it.
        let theirs: Api<Secret> = Api::namespaced(a.client(), &release_b.namespace);
        let ours: Api<Secret> = Api::namespaced(a.client(), &release_a.namespace);
        let of_type = ListParams::default().fields(&format!("type={}", names::IDENTITY_TYPE));
        let mut copy = theirs.list(&of_type).await?.items.remove(0);
        assert_eq!(copy.labels().get(names::KEY_RING), Some(&release_b.ring));
        copy.metadata.namespace = None;
        copy.metadata.resource_version = None;
        copy.metadata.uid = None;
        ours.create(&PostParams::default(), &copy).await?;
        a.commit(&of_b.seal(&a.namespace, "strange", &[("k", "v")])).await?;
        wait::until_failing(&a.sealed(), "strange", Reason::NoMatchingKey).await;
        // Once the ring has looked again, it has nothing to tell either.
        until_looked(a).await?;
        a.commit(&of_a.seal(&a.namespace, "app", &[("k", "v")])).await?;
        wait::until_ready(&a.sealed(), "app").await;
        let ring = a.rings().get(&a.ring).await?;
        let all = ring.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        assert!(!conditions::is_true(all, ConditionType::Degraded), "{}", wait::shown(&ring));
        assert!(wait::is_failing(&a.sealed().get("strange").await?, Reason::NoMatchingKey));
        drop(operator_a);
        Ok(())
    });
}

/// Has the ring's loop look at the identities once more: it answers a change of the spec after it has read them.
async fn until_looked(scene: &Scene) -> Result<KeyRing> {
    let changed = scene.merge_ring(json!({"rotation": {"every": "31d"}})).await?;
    let ring = wait::until_ring(&scene.rings(), &scene.ring, "has answered", move |ring: &KeyRing| {
        is_serving(ring) && ring.metadata.generation >= changed.metadata.generation
    })
    .await;
    Ok(ring)
}

/// K35. Guard: `--cluster-stores=false` (`operator: watch`): two operators that look for a store's references in different
/// namespaces would contradict each other in its status.
#[test]
fn a_store_of_the_cluster_is_served_by_the_first_release_alone() {
    scene::alone(&[], async |a, release_a| -> Result<()> {
        let (b, release_b) = second(a, release_a, false).await?;
        let name = format!("shared-{}", a.namespace);
        // The token is where the first release looks for it, and nowhere else.
        let tokens: Api<Secret> = Api::namespaced(a.client(), &release_a.namespace);
        let token = json!({"metadata": {"name": "token"}, "stringData": {"token": "t"}});
        tokens.create(&PostParams::default(), &serde_json::from_value(token)?).await?;
        let store = json!({
            "apiVersion": names::API_VERSION, "kind": "ClusterSecretStore", "metadata": {"name": name},
            "spec": {
                "provider": {"kubernetes": {
                    "server": {"url": "https://vault.example.com"},
                    "auth": {"token": {"bearerToken": {"name": "token", "key": "token"}}},
                }},
                "grants": [{"namespaces": [a.namespace, b.namespace], "paths": ["**"]}],
            },
        });
        chart::apply(&a.client(), &store).await?;
        let mark = a.plane.audit.mark();
        let _operator_a = a.operator(release_a, "a").await?;
        let _operator_b = a.operator(&release_b, "b").await?;
        let wanted = json!({
            "apiVersion": names::API_VERSION, "kind": "ExternalSecret",
            "metadata": {"name": "pulled", "namespace": b.namespace},
            "spec": {
                "secretStoreRef": {"kind": "ClusterSecretStore", "name": name},
                "data": [{"secretKey": "k", "remoteRef": {"key": "x", "property": "k"}}],
            },
        });
        chart::apply(&a.client(), &wanted).await?;
        let pulled: Api<ExternalSecret> = Api::namespaced(a.client(), &b.namespace);
        let says = |object: Option<&ExternalSecret>| {
            let told =
                object.and_then(|object| object.status.as_ref()).map(|status| status.conditions.as_slice());
            let ready = conditions::get(told.unwrap_or_default(), ConditionType::Ready);
            ready.is_some_and(|ready| ready.message.contains("is not served here"))
        };
        wait::until(&pulled, "pulled", "is told who serves the store", says).await;
        a.sealed_and_ready("app", &[("k", "v")]).await?;
        b.sealed_and_ready("app", &[("k", "v")]).await?;
        let calls = a.plane.audit.since(mark, &release_b.user());
        let about: Vec<_> =
            calls.iter().filter(|call| call.resource().starts_with("clustersecretstores")).collect();
        assert!(about.is_empty(), "{about:?}");
        Ok(())
    });
}

#[test]
fn only_the_first_release_brings_definitions_and_aggregated_roles_and_no_name_collides() -> Result<()> {
    let first = chart::render("waxwing", "waxwing-system", &[])?;
    let values: Vec<String> = FURTHER
        .iter()
        .copied()
        .chain(["keyring.name=b", "rbac.mode=namespaces", "rbac.namespaces={b}"])
        .map(str::to_owned)
        .collect();
    let key = |object: &Value| {
        let at = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        format!("{} {}/{}", object["kind"].as_str().unwrap_or_default(), at("namespace"), at("name"))
    };
    let firsts: Vec<String> = first.iter().map(key).collect();
    for (name, namespace) in [("waxwing", "waxwing-b"), ("waxwing-b", "waxwing-system")] {
        let second = chart::render(name, namespace, &values)?;
        let collide: Vec<String> = second.iter().map(key).filter(|key| firsts.contains(key)).collect();
        // Helm itself leaves the definition in crds/ alone where there is one.
        assert_eq!(collide, ["CustomResourceDefinition /keyrings.waxwing.dev"]);
        let aggregated =
            second.iter().any(|object| object["metadata"]["labels"].to_string().contains("aggregate-to"));
        assert!(!aggregated);
        let of_cluster = second.iter().filter(|object| object["kind"] == "ClusterRole").map(key);
        assert_eq!(of_cluster.collect::<Vec<_>>(), [format!("ClusterRole /{namespace}:{name}:keyring")]);
    }
    Ok(())
}
