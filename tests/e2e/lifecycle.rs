//! Starting, ending, two replicas, and what a restart costs.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{ListParams, PostParams};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use waxwing_crds::{ConditionType, KeyRing, KeyRingSpec, Reason, conditions, names};
use waxwing_tests::operator::{Operator, Release};
use waxwing_tests::scene::{self, Scene};
use waxwing_tests::{scrape, wait};

/// So many objects make a restart's work visible.
const OBJECTS: usize = 40;

#[test]
fn a_restart_with_nothing_to_do_writes_nothing() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let mut operator = scene.operator(release, "a").await?;
        many(scene).await?;
        for end in [End::Terminated, End::Killed] {
            // The ring says that one of them is not in effect, the suspended one: that is counted now and then.
            let counted = |ring: Option<&KeyRing>| {
                let status = ring.and_then(|ring| ring.status.as_ref());
                let found = status.and_then(|s| conditions::get(&s.conditions, ConditionType::Converged));
                found.is_some_and(|converged| converged.reason == Reason::Progressing.as_str())
            };
            let (rings, deadline) = (scene.rings(), Duration::from_secs(60));
            wait::within(deadline, &rings, &scene.ring, "has been counted", counted).await.unwrap();
            match end {
                End::Terminated => drop(operator.terminate().await?),
                End::Killed => operator.kill(),
            }
            let before = (versions(&scene.sealed()).await?, versions(&scene.secrets()).await?);
            let ring = scene.rings().get(&scene.ring).await?.resource_version();
            let mark = scene.plane.audit.once_idle(&release.user()).await;
            operator.start_again()?;
            until_looked(&operator, OBJECTS).await;
            let writes: Vec<String> = scene
                .plane
                .audit
                .writes_since(mark, &release.user())
                .iter()
                .map(|call| call.line())
                .collect();
            assert!(writes.is_empty(), "{writes:#?}");
            assert_eq!(before, (versions(&scene.sealed()).await?, versions(&scene.secrets()).await?));
            assert_eq!(ring, scene.rings().get(&scene.ring).await?.resource_version());
            let opened: Vec<String> = reads_of_secrets(scene, release, mark);
            assert!(opened.is_empty(), "no Secret is read: {opened:#?}");
        }
        Ok(())
    });
}

enum End {
    Terminated,
    Killed,
}

#[test]
fn what_changed_while_no_operator_ran_is_found_at_the_start() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let mut operator = scene.operator(release, "a").await?;
        let ring = scene.ring().await;
        scene.sealed_and_ready("edited", &[("k", "v")]).await?;
        scene.sealed_and_ready("deleted", &[("k", "v")]).await?;
        let mut committed = ring.seal(&scene.namespace, "committed", &[("k", "1")]);
        scene.commit(&committed).await?;
        wait::until_ready(&scene.sealed(), "committed").await;
        operator.terminate().await?;
        scene.merge_secret("edited", serde_json::json!({"data": {"k": "d3Jvbmc="}})).await?;
        scene.delete_secret("deleted").await?;
        ring.set(&mut committed, &[("k", "2")]);
        scene.commit(&committed).await?;
        operator.start_again()?;
        wait::until_secret(&scene.secrets(), "edited", "is repaired", |s| wait::value_of(s, "k") == b"v")
            .await;
        wait::until_secret(&scene.secrets(), "deleted", "is there again", |_| true).await;
        wait::until_secret(&scene.secrets(), "committed", "is new", |s| wait::value_of(s, "k") == b"2").await;
        Ok(())
    });
}

#[test]
fn without_a_ring_it_is_not_ready_says_why_and_goes_on_when_there_is_one() {
    scene::alone(&["keyring.create=false"], async |scene, release| -> Result<()> {
        let mut operator = release.start("a")?;
        scene.watch_log(&operator).await;
        let began = std::time::Instant::now();
        loop {
            if let Ok((503, why)) = scrape::get(operator.port, "/readyz").await
                && why.contains("KeyRing")
            {
                break;
            }
            assert!(began.elapsed() < wait::DEADLINE, "/readyz says why");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        operator.process_mut().check_alive()?;
        let ring = KeyRing::new(&scene.ring, KeyRingSpec::default());
        scene.rings().create(&PostParams::default(), &ring).await?;
        operator.until_ready().await?;
        scene.sealed_and_ready("app", &[("k", "v")]).await.map(drop)
    });
}

#[test]
fn another_ring_of_the_cluster_is_left_alone() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        let name = format!("{}-other", scene.ring);
        let other = KeyRing::new(&name, KeyRingSpec::default());
        scene.rings().create(&PostParams::default(), &other).await?;
        // Later work proves that the operator had time to see it.
        scene.sealed_and_ready("app", &[("k", "v")]).await?;
        let keys = scene.rings().get(&name).await?.status.unwrap_or_default().keys;
        assert!(keys.is_empty(), "{keys:?}");
        Ok(())
    });
}

#[test]
fn it_ends_when_asked_to_and_gives_the_lease_back() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let mut operator = scene.operator(release, "a").await?;
        scene.sealed_and_ready("app", &[("k", "v")]).await?;
        assert_eq!(holder(scene, release).await?.as_deref(), Some("a"));
        let status = operator.terminate().await?;
        assert!(status.success(), "{status}");
        assert_eq!(holder(scene, release).await?, None);
        Ok(())
    });
}

/// K12. Guard: the lease (`operator: lease`).
#[test]
fn of_two_replicas_one_works_and_the_other_takes_over_at_once_when_it_ends() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let mut first = scene.operator(release, "a").await?;
        let second = scene.operator(release, "b").await?;
        scene.sealed_and_ready("one", &[("k", "v")]).await?;
        assert_eq!(first.metrics().await?.sum("waxwing_leader", &[]), 1.0);
        assert_eq!(second.metrics().await?.sum("waxwing_leader", &[]), 0.0);
        let looks = second.metrics().await?.sum(LOOKS, &[("controller", "SealedSecret")]);
        assert_eq!(looks, 0.0, "the one that waits does not work");
        let mark = scene.plane.audit.mark();
        first.terminate().await?;
        second.until_metrics("the other one works", |scrape| scrape.sum("waxwing_leader", &[]) == 1.0).await;
        scene.sealed_and_ready("two", &[("k", "v")]).await?;
        let writes = scene.plane.audit.writes_since(mark, &release.user());
        assert!(!writes.iter().any(|call| call.name() == "one"), "taking over costs nothing: {writes:#?}");
        Ok(())
    });
}

/// K12. Guard: a lease runs out by itself (`operator: lease`).
#[test]
fn when_a_replica_dies_the_other_takes_over_once_the_lease_has_run_out() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let mut first = scene.operator(release, "a").await?;
        let _second = scene.operator(release, "b").await?;
        let ring = scene.ring().await;
        first.kill();
        scene.commit(&ring.seal(&scene.namespace, "app", &[("k", "v")])).await?;
        let ready = |object: Option<&_>| object.is_some_and(wait::is_ready);
        wait::within(2 * wait::DEADLINE, &scene.sealed(), "app", "is ready by the second replica", ready)
            .await;
        Ok(())
    });
}

/// T06. Guard: `operator: http` knows three paths and one method.
#[test]
fn nothing_is_served_that_opens_or_changes_anything() {
    scene::shared(async |scene| -> Result<()> {
        let port = scene.world().operator.port;
        for path in ["/metrics", "/healthz", "/readyz"] {
            assert_eq!(scrape::get(port, path).await?.0, 200, "{path}");
            let post = format!("POST {path} HTTP/1.0\r\nContent-Length: 2\r\n\r\n{{}}");
            assert_eq!(scrape::exchange(port, &post).await?.0, 405, "{path}");
        }
        for path in
            ["/", "/v1/verify", "/v1/rotate", "/v1/cert.pem", "/debug/pprof", "/metrics/../x", "/open"]
        {
            assert_eq!(scrape::get(port, path).await?.0, 404, "{path}");
        }
        Ok(())
    });
}

/// L05. Guard: `operator: harden`.
#[test]
fn the_process_leaves_no_core_dump() {
    scene::shared(async |scene| -> Result<()> {
        let limits = scene.world().operator.process().proc("limits");
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
        Ok(())
    });
}

#[test]
fn a_flag_that_makes_no_sense_ends_it_with_a_message_and_no_request() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let mark = scene.plane.audit.mark();
        let mut operator = release.start_at("a", &scene.plane.url, &["--no-such-flag"])?;
        let status = operator.process_mut().ended(wait::DEADLINE).await?;
        assert_eq!(status.code(), Some(2));
        assert!(operator.process().log().contains("--no-such-flag"));
        assert!(scene.plane.audit.since(mark, &release.user()).is_empty());
        Ok(())
    });
}

const LOOKS: &str = "gitops_reconciliation_duration_seconds_count";

/// Waits until so many looks are over.
async fn until_looked(operator: &Operator, number: usize) {
    let began = std::time::Instant::now();
    loop {
        // It does not answer before it listens.
        if let Ok(scrape) = operator.metrics().await
            && scrape.sum(LOOKS, &[("controller", "SealedSecret")])
                >= f64::from(u32::try_from(number).unwrap())
        {
            return;
        }
        assert!(began.elapsed() < wait::DEADLINE, "{number} objects are looked at");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Objects of all sorts: ready, failing, suspended.
async fn many(scene: &Scene) -> Result<()> {
    let ring = scene.ring().await;
    for number in 0..OBJECTS {
        let name = format!("app-{number}");
        let mut sealed = ring.seal(&scene.namespace, &name, &[("a", "1"), ("b", "2")]);
        match number {
            0 => sealed.metadata.name = Some("renamed".to_owned()),
            1 => drop(sealed.annotations_mut().insert(names::SUSPEND.to_owned(), "true".to_owned())),
            _ => {}
        }
        scene.commit(&sealed).await?;
    }
    for number in 2..OBJECTS {
        wait::until_ready(&scene.sealed(), &format!("app-{number}")).await;
    }
    wait::until_failing(&scene.sealed(), "renamed", Reason::BindingMismatch).await;
    wait::until_event(&scene.events(), "renamed", Reason::BindingMismatch).await;
    Ok(())
}

/// The resource version of each object.
async fn versions<K>(api: &Api<K>) -> Result<BTreeMap<String, Option<String>>>
where
    K: Resource + Clone + std::fmt::Debug + DeserializeOwned,
{
    let all = api.list(&ListParams::default()).await?;
    Ok(all.into_iter().map(|object| (object.name_any(), object.resource_version())).collect())
}

/// The operator's reads of single Secrets in this namespace.
fn reads_of_secrets(scene: &Scene, release: &Release, mark: waxwing_tests::audit::Mark) -> Vec<String> {
    let calls = scene.plane.audit.since(mark, &release.user());
    let reads = calls.iter().filter(|call| call.resource() == "secrets" && call.verb == "get");
    reads.filter(|call| call.namespace() == scene.namespace).map(|call| call.line()).collect()
}

async fn holder(scene: &Scene, release: &Release) -> Result<Option<String>> {
    let leases: Api<Lease> = Api::namespaced(scene.client(), &release.namespace);
    let lease = leases.get(&format!("waxwing-{}", release.ring)).await?;
    Ok(lease.spec.and_then(|spec| spec.holder_identity).filter(|holder| !holder.is_empty()))
}
