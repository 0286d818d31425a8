//! An API server that is slow, gone, or refuses: each has its reason and its message, and nothing is lost.

use std::time::{Duration, Instant};

use anyhow::Result;
use kube::ResourceExt;
use serde_json::json;
use waxwing_crds::{Reason, SealedSecret};
use waxwing_tests::faults::{Call, Fault, Faults};
use waxwing_tests::operator::{Operator, Release};
use waxwing_tests::scene::{self, Scene};
use waxwing_tests::wait;

/// An operator behind a proxy, when it is ready.
async fn behind(scene: &Scene, release: &Release) -> Result<(Faults, Operator)> {
    let proxy = Faults::before(scene.plane).await?;
    let mut operator = release.start_at("a", &proxy.url, &[])?;
    scene.watch_log(&operator).await;
    operator.until_ready().await?;
    Ok((proxy, operator))
}

/// Whether it writes a Secret that is no identity.
fn writes_a_secret(call: &Call) -> bool {
    call.is_write() && call.is_for("secrets")
}

/// While Secrets can't be written for this cause, the status says the reason and what to do; afterwards the object
/// becomes ready without anybody's help, and the good Secret that was there before was never touched.
fn check(fault: Fault, reason: Reason) {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let (proxy, _operator) = behind(scene, release).await?;
        let (_, before) = scene.sealed_and_ready("present", &[("k", "1")]).await?;
        let mut changed = scene.sealed().get("present").await?;
        scene.ring().await.set(&mut changed, &[("k", "2")]);

        let rule = proxy.inject(fault, writes_a_secret);
        scene.commit(&scene.ring().await.seal(&scene.namespace, "new", &[("k", "v")])).await?;
        changed.metadata.managed_fields = None;
        scene.commit(&changed).await?;
        for name in ["new", "present"] {
            let failing = wait::until_failing(&scene.sealed(), name, reason).await;
            let message = wait::message(&failing);
            assert!(message.contains(reason.advice()), "it says what to do: {message}");
            assert!(message.len() > reason.advice().len() + 10, "it says what is wrong: {message}");
            if reason == Reason::ApiForbidden {
                let verb = if name == "new" { "create Secrets" } else { "patch Secrets" };
                assert!(message.contains(verb), "{message}");
            }
        }
        assert_eq!(scene.secrets().get("present").await?.resource_version(), before.resource_version());
        drop(rule);
        for name in ["new", "present"] {
            wait::until_ready(&scene.sealed(), name).await;
        }
        assert_eq!(wait::value_of(&scene.secrets().get("present").await?, "k"), b"2");
        Ok(())
    });
}

#[test]
fn a_403_is_told_with_verb_and_resource() {
    check(Fault::Answer(403, "forbidden", Vec::new()), Reason::ApiForbidden);
}

#[test]
fn a_409_is_tried_again() {
    check(Fault::Answer(409, "the object has been modified", Vec::new()), Reason::ApiConflict);
}

#[test]
fn a_429_is_told_and_waited_for() {
    let later = vec![("retry-after", "1".to_owned())];
    check(Fault::Answer(429, "too many requests", later), Reason::ApiThrottled);
}

#[test]
fn a_500_is_told_and_waited_for() {
    check(Fault::Answer(500, "etcdserver: request timed out", Vec::new()), Reason::ApiUnavailable);
}

#[test]
fn a_403_because_the_namespace_ends_is_told_as_such() {
    let message = "unable to create new content in namespace x because it is being terminated";
    check(Fault::Answer(403, message, Vec::new()), Reason::NamespaceTerminating);
}

/// The right itself is gone, and comes back.
#[test]
fn a_namespace_without_a_role_binding_is_told_and_served_again_when_it_has_one() {
    use k8s_openapi::api::rbac::v1::RoleBinding;
    use kube::Api;
    use kube::api::{DeleteParams, ListParams, PostParams};
    scene::alone(&[], async |scene, release| -> Result<()> {
        let mut operator = scene.operator(release, "a").await?;
        scene.ring().await;
        let bindings: Api<RoleBinding> = Api::namespaced(scene.client(), &scene.namespace);
        let mut binding = bindings.list(&ListParams::default()).await?.items.remove(0);
        bindings.delete(&binding.name_any(), &DeleteParams::default()).await?;
        scene.commit(&scene.ring().await.seal(&scene.namespace, "app", &[("k", "v")])).await?;
        // Without the right to write a status either, the log is what tells.
        let began = Instant::now();
        while !operator.process().log().contains("403") {
            assert!(began.elapsed() < wait::DEADLINE, "the log tells of the refusal");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        binding.metadata.resource_version = None;
        binding.metadata.uid = None;
        bindings.create(&PostParams::default(), &binding).await?;
        wait::until_ready(&scene.sealed(), "app").await;
        operator.process_mut().check_alive()
    });
}

#[test]
fn an_answer_that_is_lost_after_a_create_is_no_conflict() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let (proxy, _operator) = behind(scene, release).await?;
        let ring = scene.ring().await;
        let rule =
            proxy.inject(Fault::LostAnswer, |call| call.method == "POST" && call.path.ends_with("/secrets"));
        scene.commit(&ring.seal(&scene.namespace, "app", &[("k", "v")])).await?;
        rule.until_hit().await;
        wait::until_secret(&scene.secrets(), "app", "was made", |_| true).await;
        drop(rule);
        wait::until_ready(&scene.sealed(), "app").await;
        Ok(())
    });
}

#[test]
fn a_status_that_could_not_be_written_is_written_later() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let (proxy, _operator) = behind(scene, release).await?;
        let ring = scene.ring().await;
        let rule = proxy.inject(Fault::Answer(500, "no", Vec::new()), |call| call.path.ends_with("/status"));
        scene.commit(&ring.seal(&scene.namespace, "app", &[("k", "v")])).await?;
        rule.until_hits(2).await;
        assert!(scene.sealed().get("app").await?.status.is_none());
        drop(rule);
        wait::until_ready(&scene.sealed(), "app").await;
        Ok(())
    });
}

#[test]
fn one_request_that_hangs_holds_up_nobody_else() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let (proxy, _operator) = behind(scene, release).await?;
        let ring = scene.ring().await;
        let other = std::sync::atomic::AtomicBool::new(false);
        let rule = proxy.inject(Fault::NoAnswer, move |call| {
            writes_a_secret(call) && !other.swap(true, std::sync::atomic::Ordering::SeqCst)
        });
        scene.commit(&ring.seal(&scene.namespace, "hangs", &[("k", "v")])).await?;
        rule.until_hit().await;
        scene.sealed_and_ready("other", &[("k", "v")]).await?;
        // It is given up after half a minute, and tried again.
        let later = |object: Option<&SealedSecret>| object.is_some_and(wait::is_ready);
        let api = scene.sealed();
        wait::within(2 * wait::DEADLINE, &api, "hangs", "is ready in the end", later).await;
        Ok(())
    });
}

#[test]
fn an_api_server_that_is_slow_or_gone_is_waited_for_and_what_was_committed_meanwhile_arrives() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let (proxy, mut operator) = behind(scene, release).await?;
        let ring = scene.ring().await;
        let slow = proxy.inject(Fault::Late(Duration::from_millis(300)), |_| true);
        scene.sealed_and_ready("slow", &[("k", "v")]).await?;
        drop(slow);
        proxy.shut();
        operator
            .until_metrics("the operator has noticed", |scrape| {
                scrape.sum("waxwing_watch_errors_total", &[]) >= 1.0
            })
            .await;
        scene.commit(&ring.seal(&scene.namespace, "meanwhile", &[("k", "v")])).await?;
        scene.merge_secret("slow", json!({"data": {"k": "d3Jvbmc="}})).await?;
        operator.process_mut().check_alive()?;
        proxy.open();
        wait::until_ready(&scene.sealed(), "meanwhile").await;
        wait::until_secret(&scene.secrets(), "slow", "is repaired", |s| wait::value_of(s, "k") == b"v").await;
        Ok(())
    });
}

/// D06. Guard: backoff with jitter (`operator: queue`).
#[test]
fn what_fails_for_long_is_tried_ever_more_seldom_and_a_change_skips_the_wait() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let (proxy, _operator) = behind(scene, release).await?;
        let ring = scene.ring().await;
        let rule = proxy.inject(Fault::Answer(500, "no", Vec::new()), writes_a_secret);
        scene.commit(&ring.seal(&scene.namespace, "app", &[("k", "v")])).await?;
        rule.until_hit().await;
        let began = Instant::now();
        rule.until_hits(4).await;
        // 1 s, 2 s and 4 s, each less a fifth at most; and the first one was noticed late, maybe.
        assert!(began.elapsed() > Duration::from_secs(4), "{:?}", began.elapsed());
        assert_eq!(rule.hits(), 4, "one request a try");
        // The next try would be eight seconds away.
        drop(rule);
        let changed = Instant::now();
        scene
            .merge("app", json!({"metadata": {"annotations": {waxwing_crds::names::REFRESH: "now"}}}))
            .await?;
        wait::until_ready(&scene.sealed(), "app").await;
        assert!(changed.elapsed() < Duration::from_secs(5), "{:?}", changed.elapsed());
        Ok(())
    });
}

/// D06. Guard: `Next::Ceiling` for what only a commit can help (`core: plan::report`).
#[test]
fn what_only_a_commit_can_help_makes_no_requests_until_there_is_one() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let (proxy, _operator) = behind(scene, release).await?;
        let ring = scene.ring().await;
        let mut bad = ring.seal(&scene.namespace, "bad", &[("k", "v")]);
        bad.metadata.name = Some("renamed".to_owned());
        scene.commit(&bad).await?;
        wait::until_failing(&scene.sealed(), "renamed", Reason::BindingMismatch).await;
        wait::until_event(&scene.events(), "renamed", Reason::BindingMismatch).await;
        let before = proxy.calls().len();
        // Work for others goes on, and takes longer than a hot loop would need to show.
        for round in 0..10 {
            scene.sealed_and_ready(&format!("good-{round}"), &[("k", "v")]).await?;
        }
        let about_it = proxy.calls()[before..].iter().filter(|call| call.is_for("renamed")).count();
        assert_eq!(about_it, 0);
        Ok(())
    });
}

/// D05. Guard: one piece of work an object, paced (`operator: queue`).
#[test]
fn an_object_that_changes_a_hundred_times_a_second_is_paced_and_delays_no_other_namespace() {
    scene::shared(async |scene| -> Result<()> {
        scene.sealed_and_ready("flaps", &[("k", "v")]).await?;
        let other = format!("{}-other", scene.namespace);
        scene.plane.create_namespace(&other).await?;
        let mark = scene.plane.audit.mark();
        let began = Instant::now();
        for round in 0..300 {
            let label = json!({"metadata": {"annotations": {waxwing_crds::names::REFRESH: round.to_string()}},
                "spec": {"template": {"metadata": {"annotations": {"round": round.to_string()}}}}});
            scene.merge("flaps", label).await?;
            if round == 150 {
                let sealed = scene.ring().await.seal(&other, "calm", &[("k", "v")]);
                let api: kube::Api<SealedSecret> = kube::Api::namespaced(scene.client(), &other);
                let committed = Instant::now();
                api.create(&kube::api::PostParams::default(), &sealed).await?;
                wait::until_ready(&api, "calm").await;
                assert!(committed.elapsed() < Duration::from_secs(5), "{:?}", committed.elapsed());
            }
        }
        wait::until_ready(&scene.sealed(), "flaps").await;
        let last = |secret: &k8s_openapi::api::core::v1::Secret| {
            secret.annotations().get("round").is_some_and(|r| r == "299")
        };
        wait::until_secret(&scene.secrets(), "flaps", "has the last change", last).await;
        let writes = scene.plane.audit.writes_since(mark, &scene.world().release.user());
        let applies = writes
            .iter()
            .filter(|call| {
                call.namespace() == scene.namespace && call.resource() == "secrets" && call.name() == "flaps"
            })
            .count();
        // 20 at once, then 5 a second.
        let allowed = 21 + usize::try_from(began.elapsed().as_millis() / 200)?;
        assert!(applies <= allowed, "{applies} applies in {:?}", began.elapsed());
        assert!(applies < 300, "{applies}");
        Ok(())
    });
}
