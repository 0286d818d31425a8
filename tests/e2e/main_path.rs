//! Seal, commit, open: what a user comes for, and what the status tells about it.

use anyhow::Result;
use kube::ResourceExt;
use kube::api::{DeleteParams, Preconditions};
use serde_json::json;
use waxwing_core::seal::{Binding, Scope};
use waxwing_crds::{ConditionType, Reason, SealedTemplate, TemplateMetadata, conditions, names};
use waxwing_tests::ring::{binding, now};
use waxwing_tests::{scene, wait};

#[test]
fn a_committed_value_becomes_the_same_bytes_in_a_secret() {
    scene::shared(async |scene| -> Result<()> {
        let long = "0123456789abcdef\n".repeat(4096);
        let values = [
            ("password", "correct horse"),
            ("empty", ""),
            ("long", long.as_str()),
            ("quotes", "\"'\\\n\u{1f9ed}{{ x }}$(y)"),
        ];
        let (sealed, secret) = scene.sealed_and_ready("app", &values).await?;
        for (key, value) in values {
            assert_eq!(wait::value_of(&secret, key), value.as_bytes(), "{key}");
        }
        assert_eq!(secret.data.as_ref().unwrap().len(), values.len());
        assert_eq!(secret.type_.as_deref(), Some("Opaque"));
        let owners = secret.owner_references();
        assert_eq!((owners.len(), &owners[0].uid), (1, &sealed.uid().unwrap()));
        assert_eq!(secret.annotations()[names::OWNED_BY], "SealedSecret/app");
        assert_eq!(secret.labels()[names::MANAGED_BY], names::MANAGER);
        for (name, value) in names::PRODUCED_ANNOTATIONS {
            assert_eq!(secret.annotations()[name], value);
        }
        Ok(())
    });
}

#[test]
fn the_status_follows_kstatus_and_names_each_key() {
    scene::shared(async |scene| -> Result<()> {
        let (sealed, secret) = scene.sealed_and_ready("app", &[("b", "2"), ("a", "1")]).await?;
        let status = sealed.status.clone().unwrap();
        for (type_, expected) in [
            (ConditionType::Ready, "True"),
            (ConditionType::Reconciling, "False"),
            (ConditionType::Stalled, "False"),
        ] {
            let condition = conditions::get(&status.conditions, type_).unwrap();
            assert_eq!(condition.status, expected, "{type_:?}");
            assert_eq!(condition.observed_generation, sealed.metadata.generation, "{type_:?}");
        }
        let ready = conditions::get(&status.conditions, ConditionType::Ready).unwrap();
        assert_eq!(ready.reason, Reason::Synced.as_str());
        let keys: Vec<&str> = status.keys.iter().map(|key| key.name.as_str()).collect();
        assert_eq!(keys, ["a", "b"]);
        assert!(status.keys.iter().all(|key| key.seq > 0 && key.key_id.len() == 8));
        assert_eq!(Some(status.applied.unwrap().resource_version), secret.resource_version());
        Ok(())
    });
}

#[test]
fn a_changed_a_new_and_a_removed_key_arrive_together() {
    scene::shared(async |scene| -> Result<()> {
        let ring = scene.ring().await;
        let mut sealed =
            ring.seal(&scene.namespace, "app", &[("stays", "1"), ("changes", "old"), ("goes", "x")]);
        scene.commit(&sealed).await?;
        wait::until_ready(&scene.sealed(), "app").await;
        let stays = sealed.spec.data["stays"].clone();
        ring.set(&mut sealed, &[("changes", "new"), ("comes", "3")]);
        sealed.spec.data.remove("goes");
        assert_eq!(sealed.spec.data["stays"], stays, "one value's change leaves the others' lines alone");
        scene.commit(&sealed).await?;
        let sealed = wait::until_ready(&scene.sealed(), "app").await;
        let secret = scene.secrets().get("app").await?;
        let keys: Vec<&String> = secret.data.as_ref().unwrap().keys().collect();
        assert_eq!(keys, ["changes", "comes", "stays"]);
        assert_eq!(wait::value_of(&secret, "changes"), b"new");
        let status = sealed.status.unwrap();
        let gone = status
            .keys
            .iter()
            .find(|key| key.name == "goes")
            .expect("a removed key keeps its highest number");
        assert_eq!(gone.removed, Some(true));
        Ok(())
    });
}

#[test]
fn templates_compose_values_and_metadata_and_drop_what_gitops_tools_track_by() {
    scene::shared(async |scene| -> Result<()> {
        let mut sealed =
            scene.ring().await.seal(&scene.namespace, "app", &[("user", "ada"), ("password", "p\"w")]);
        let map =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        sealed.spec.template = Some(SealedTemplate {
            metadata: Some(TemplateMetadata {
                labels: map(&[("team", "db"), ("kustomize.toolkit.fluxcd.io/name", "apps")]),
                annotations: map(&[("note", "kept"), ("argocd.argoproj.io/tracking-id", "x:y")]),
            }),
            data: map(&[("dsn", "postgres://{{ user }}@db"), ("json", "{\"pw\": {{ password | tojson }}}")]),
        });
        scene.commit(&sealed).await?;
        wait::until_ready(&scene.sealed(), "app").await;
        let secret = scene.secrets().get("app").await?;
        assert_eq!(wait::value_of(&secret, "dsn"), b"postgres://ada@db");
        let composed: serde_json::Value = serde_json::from_slice(wait::value_of(&secret, "json"))?;
        assert_eq!(composed, json!({"pw": "p\"w"}));
        assert_eq!(secret.labels()["team"], "db");
        assert_eq!(secret.annotations()["note"], "kept");
        assert!(!secret.labels().contains_key("kustomize.toolkit.fluxcd.io/name"));
        assert!(!secret.annotations().contains_key("argocd.argoproj.io/tracking-id"));
        Ok(())
    });
}

#[test]
fn types_other_than_opaque_and_scope_namespace_work() {
    scene::shared(async |scene| -> Result<()> {
        let tls = Binding {
            secret_type: "kubernetes.io/basic-auth".to_owned(),
            scope: Scope::Namespace,
            ..binding(&scene.namespace, "any-name")
        };
        let sealed = scene.ring().await.seal_as(&tls, &[("username", "ada"), ("password", "x")], now());
        scene.commit(&sealed).await?;
        wait::until_ready(&scene.sealed(), "any-name").await;
        let secret = scene.secrets().get("any-name").await?;
        assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/basic-auth"));
        // What scope namespace is for: the same sealed values under another name.
        let mut copy = sealed.clone();
        copy.metadata.name = Some("other-name".to_owned());
        scene.commit(&copy).await?;
        wait::until_ready(&scene.sealed(), "other-name").await;
        Ok(())
    });
}

#[test]
fn a_deleted_object_takes_its_secret_with_it() {
    scene::shared(async |scene| -> Result<()> {
        let (sealed, _) = scene.sealed_and_ready("app", &[("k", "v")]).await?;
        let only_this = Preconditions { uid: sealed.uid(), resource_version: None };
        scene
            .sealed()
            .delete("app", &DeleteParams { preconditions: Some(only_this), ..Default::default() })
            .await?;
        wait::until_gone(&scene.secrets(), "app").await;
        Ok(())
    });
}

#[test]
fn an_object_that_is_suspended_leaves_the_secret_as_it_is_and_says_so() {
    scene::shared(async |scene| -> Result<()> {
        let ring = scene.ring().await;
        let mut sealed = ring.seal(&scene.namespace, "app", &[("k", "before")]);
        scene.commit(&sealed).await?;
        wait::until_ready(&scene.sealed(), "app").await;
        ring.set(&mut sealed, &[("k", "after")]);
        sealed.annotations_mut().insert(names::SUSPEND.to_owned(), "true".to_owned());
        scene.commit(&sealed).await?;
        wait::until_sealed(&scene.sealed(), "app", "says that it is suspended", |object| {
            wait::reason(object) == Some(Reason::Suspended.as_str())
        })
        .await;
        assert_eq!(wait::value_of(&scene.secrets().get("app").await?, "k"), b"before");
        sealed.annotations_mut().remove(names::SUSPEND);
        scene.commit(&sealed).await?;
        wait::until_ready(&scene.sealed(), "app").await;
        assert_eq!(wait::value_of(&scene.secrets().get("app").await?, "k"), b"after");
        Ok(())
    });
}

#[test]
fn failing_objects_are_counted_by_reason_and_converged_ones_are_too() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let operator = scene.operator(release, "a").await?;
        scene.sealed_and_ready("good", &[("k", "v")]).await?;
        let mut bad = scene.ring().await.seal(&scene.namespace, "bad", &[("a", "1"), ("b", "2")]);
        swap(&mut bad.spec.data, "a", "b");
        scene.commit(&bad).await?;
        wait::until_failing(&scene.sealed(), "bad", Reason::BindingMismatch).await;
        let of = |ready| [("kind", "SealedSecret"), ("ready", ready)];
        let failure = [("controller", "SealedSecret"), ("reason", "BindingMismatch")];
        let looks = [("controller", "SealedSecret")];
        operator
            .until_metrics("one object is ready, one is not and was counted as failing", |scrape| {
                scrape.sum("waxwing_objects", &of("true")) == 1.0
                    && scrape.sum("waxwing_objects", &of("false")) == 1.0
                    && scrape.sum("gitops_reconciliation_errors_total", &failure) >= 1.0
                    && scrape.sum("gitops_reconciliation_duration_seconds_count", &looks) >= 2.0
            })
            .await;
        Ok(())
    });
}

/// Swaps two values of a map.
fn swap(data: &mut std::collections::BTreeMap<String, String>, a: &str, b: &str) {
    let (of_a, of_b) = (data[a].clone(), data[b].clone());
    data.insert(a.to_owned(), of_b);
    data.insert(b.to_owned(), of_a);
}
