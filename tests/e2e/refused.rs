//! What the operator refuses to open: each case has its reason, a message that says what to do, and leaves the last
//! good Secret as it was.

use std::collections::BTreeMap;

use anyhow::Result;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use waxwing_core::keys::Identity;
use waxwing_core::seal::{Binding, Scope};
use waxwing_crds::{Reason, SealedSecret, SealedTemplate, TemplateMetadata};
use waxwing_tests::ring::{Ring, binding, named, now};
use waxwing_tests::scene::{self, Scene};
use waxwing_tests::wait;

/// Commits a good object, then the altered one, and gives the object once it says the reason.
async fn altered(
    scene: &Scene,
    reason: Reason,
    alter: impl AsyncFnOnce(&mut SealedSecret),
) -> Result<SealedSecret> {
    let mut sealed = scene.ring().await.seal(&scene.namespace, "app", &[("a", "first"), ("b", "second")]);
    scene.commit(&sealed).await?;
    wait::until_ready(&scene.sealed(), "app").await;
    let before = scene.secrets().get("app").await?;
    alter(&mut sealed).await;
    scene.commit(&sealed).await?;
    let failing = wait::until_failing(&scene.sealed(), "app", reason).await;
    assert_eq!(
        scene.secrets().get("app").await?.resource_version(),
        before.resource_version(),
        "the last good Secret stays"
    );
    wait::until_event(&scene.events(), "app", reason).await;
    let message = wait::message(&failing);
    assert!(message.len() > 40 && !message.contains("first") && !message.contains("second"), "{message}");
    Ok(failing)
}

/// C01. Guard: the namespace in the authenticated data (`core: seal::binding`).
#[test]
fn a_copy_in_another_namespace_makes_no_secret_and_the_message_names_the_cause() {
    scene::shared(async |scene| -> Result<()> {
        let sealed = scene.ring().await.seal("somewhere-else", "app", &[("k", "v")]);
        scene.commit(&sealed).await?;
        let failing = wait::until_failing(&scene.sealed(), "app", Reason::BindingMismatch).await;
        let message = wait::message(&failing);
        // Neither where it was sealed for, which would be guessing, nor silence about the usual cause.
        assert!(message.contains("kustomize") && !message.contains("somewhere-else"), "{message}");
        assert!(scene.secrets().get_opt("app").await?.is_none());
        Ok(())
    });
}

/// C02. Guard: the name in the authenticated data (`core: seal::binding`).
#[test]
fn a_renamed_object_makes_no_secret() {
    scene::shared(async |scene| -> Result<()> {
        let mut sealed = scene.ring().await.seal(&scene.namespace, "app", &[("k", "v")]);
        sealed.metadata.name = Some("prefix-app".to_owned());
        scene.commit(&sealed).await?;
        let failing = wait::until_failing(&scene.sealed(), "prefix-app", Reason::BindingMismatch).await;
        assert!(wait::message(&failing).contains("namePrefix"), "{}", wait::message(&failing));
        assert!(scene.secrets().get_opt("prefix-app").await?.is_none());
        Ok(())
    });
}

/// C03. Guard: the key in the authenticated data (`core: seal::binding`).
#[test]
fn swapped_values_are_refused_and_the_key_is_named() {
    scene::shared(async |scene| -> Result<()> {
        let failing = altered(scene, Reason::BindingMismatch, async |sealed| {
            let data = &mut sealed.spec.data;
            let (a, b) = (data["a"].clone(), data["b"].clone());
            data.extend([("a".to_owned(), b), ("b".to_owned(), a)]);
        })
        .await?;
        assert!(wait::message(&failing).contains(" a"), "{}", wait::message(&failing));
        Ok(())
    });
}

/// C04. Guard: the type in the authenticated data (`core: seal::binding`).
#[test]
fn another_type_is_refused() {
    scene::shared(async |scene| -> Result<()> {
        altered(scene, Reason::BindingMismatch, async |sealed| {
            sealed.spec.secret_type = "example.com/other".to_owned()
        })
        .await
        .map(drop)
    });
}

/// C05. Guard: the scope in the authenticated data; annotations have no say in it (`core: seal::binding`).
#[test]
fn a_wider_scope_is_refused_in_the_spec_and_means_nothing_in_an_annotation() {
    scene::shared(async |scene| -> Result<()> {
        altered(scene, Reason::BindingMismatch, async |sealed| sealed.spec.scope = "namespace".to_owned())
            .await?;
        let mut renamed = scene.ring().await.seal(&scene.namespace, "one", &[("k", "v")]);
        renamed.metadata.name = Some("two".to_owned());
        for name in ["waxwing.dev/scope", "sealedsecrets.bitnami.com/namespace-wide"] {
            renamed.annotations_mut().insert(name.to_owned(), "namespace".to_owned());
        }
        scene.commit(&renamed).await?;
        wait::until_failing(&scene.sealed(), "two", Reason::BindingMismatch).await;
        Ok(())
    });
}

/// C07. Guard: the sequence number in the authenticated data (`core: seal::binding`).
#[test]
fn an_edited_sequence_number_is_refused() {
    scene::shared(async |scene| -> Result<()> {
        altered(scene, Reason::BindingMismatch, async |sealed| {
            let token = sealed.spec.data["a"].clone();
            let parts: Vec<&str> = token.split('.').collect();
            let later = parts[2].parse::<u64>().unwrap() + 1;
            sealed
                .spec
                .data
                .insert("a".to_owned(), format!("{}.{}.{later}.{}", parts[0], parts[1], parts[3]));
        })
        .await
        .map(drop)
    });
}

/// C08. Guard: the commitment in the authenticated data (`core: seal::dek`).
#[test]
fn a_value_that_points_to_another_envelope_is_refused() {
    scene::shared(async |scene| -> Result<()> {
        let ring = scene.ring().await;
        altered(scene, Reason::BindingMismatch, async |sealed| {
            ring.set(sealed, &[("b", "third")]);
            let envelope = |key: &str| sealed.spec.data[key].split('.').nth(1).unwrap().to_owned();
            let moved = sealed.spec.data["a"].replace(&envelope("a"), &envelope("b"));
            sealed.spec.data.insert("c".to_owned(), sealed.spec.data["a"].clone());
            sealed.spec.data.insert("a".to_owned(), moved);
        })
        .await
        .map(drop)
    });
}

/// C15. Guard: `Sealed::parse` knows one format; admission is bypassed by nobody here, so the CRD stops it first.
#[test]
fn another_format_does_not_get_past_the_api_server() {
    scene::shared(async |scene| -> Result<()> {
        let mut sealed = scene.ring().await.seal(&scene.namespace, "app", &[("k", "v")]);
        sealed.spec.format = "wax0".to_owned();
        let error = scene.commit(&sealed).await.unwrap_err().to_string();
        assert!(error.contains("wax1"), "{error}");
        Ok(())
    });
}

#[test]
fn what_was_sealed_for_others_says_that_no_key_fits() {
    scene::shared(async |scene| -> Result<()> {
        let stranger = named("stranger", Identity::generate().recipient().as_str());
        let sealed = Ring::of(vec![stranger]).seal(&scene.namespace, "app", &[("k", "v")]);
        scene.commit(&sealed).await?;
        let failing = wait::until_failing(&scene.sealed(), "app", Reason::NoMatchingKey).await;
        assert!(wait::message(&failing).contains("KeyRing"), "{}", wait::message(&failing));
        Ok(())
    });
}

#[test]
fn a_damaged_envelope_is_told_from_a_wrong_key() {
    scene::shared(async |scene| -> Result<()> {
        let failing = altered(scene, Reason::Corrupt, async |sealed| {
            let envelope = sealed.spec.envelopes.values_mut().next().unwrap();
            // In the last 16 bytes: the tag of the payload.
            let at = envelope.age.len() - 12;
            let other = if envelope.age.as_bytes()[at] == b'A' { "B" } else { "A" };
            envelope.age.replace_range(at..=at, other);
        })
        .await?;
        assert!(wait::message(&failing).contains("Git"), "{}", wait::message(&failing));
        Ok(())
    });
}

/// D10. Guard: `Sealed::parse` refuses what the CRD's patterns let pass.
#[test]
fn what_the_schema_can_not_see_is_refused_by_the_operator() {
    scene::shared(async |scene| -> Result<()> {
        let others = scene.ring().await.seal(&scene.namespace, "app", &[("x", "y")]).spec.envelopes;
        // A value whose envelope is not there.
        altered(scene, Reason::InvalidSpec, async |sealed| sealed.spec.envelopes = others).await.map(drop)
    });
}

#[test]
fn a_value_from_the_future_is_refused() {
    scene::shared(async |scene| -> Result<()> {
        let in_two_days = now() + 2 * 24 * 60 * 60;
        let sealed =
            scene.ring().await.seal_as(&binding(&scene.namespace, "app"), &[("k", "v")], in_two_days);
        scene.commit(&sealed).await?;
        let failing = wait::until_failing(&scene.sealed(), "app", Reason::SeqInFuture).await;
        assert!(wait::message(&failing).contains("clock"), "{}", wait::message(&failing));
        Ok(())
    });
}

#[test]
fn scope_cluster_is_denied_unless_the_ring_allows_it() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        let everywhere = Binding { scope: Scope::Cluster, ..binding("elsewhere", "anything") };
        let mut sealed = scene.ring().await.seal_as(&everywhere, &[("k", "v")], now());
        sealed.metadata.namespace = Some(scene.namespace.clone());
        scene.commit(&sealed).await?;
        let failing = wait::until_failing(&scene.sealed(), "anything", Reason::ScopeDenied).await;
        assert!(wait::message(&failing).contains("policy"), "{}", wait::message(&failing));
        let allow = serde_json::json!({"spec": {"policy": {"clusterScope": "Allow"}}});
        scene.rings().patch(&scene.ring, &PatchParams::default(), &Patch::Merge(allow)).await?;
        wait::until_ready(&scene.sealed(), "anything").await;
        Ok(())
    });
}

/// T01. Guard: an error of a template gives its key and line, nothing that was evaluated (`core: template`).
#[test]
fn a_template_that_fails_names_key_and_line_and_no_value() {
    scene::shared(async |scene| -> Result<()> {
        let failing = altered(scene, Reason::TemplateError, async |sealed| {
            template(sealed, &[("joined", "{{ a }}\n{{ unknown_name }}")]);
        })
        .await?;
        let message = wait::message(&failing);
        assert!(message.contains("joined") && message.contains('2'), "{message}");
        Ok(())
    });
}

/// T02, T03. Guard: no function of a template reads anything but the opened keys (`core: template`).
#[test]
fn a_template_reaches_no_file_environment_network_or_other_object() {
    scene::shared(async |scene| -> Result<()> {
        for body in [
            "{% include '/etc/passwd' %}",
            "{{ env('HOME') }}",
            "{{ lookup('v1', 'Secret', 'kube-system', 'x') }}",
        ] {
            let mut sealed = scene.ring().await.seal(&scene.namespace, "app", &[("a", "1")]);
            template(&mut sealed, &[("out", body)]);
            scene.commit(&sealed).await?;
            wait::until_failing(&scene.sealed(), "app", Reason::TemplateError).await;
        }
        assert!(scene.secrets().get_opt("app").await?.is_none());
        Ok(())
    });
}

/// T04. Guard: labels and annotations are taken literally (`core: plan`).
#[test]
fn a_template_in_a_label_or_annotation_is_not_evaluated() {
    scene::shared(async |scene| -> Result<()> {
        let mut sealed = scene.ring().await.seal(&scene.namespace, "app", &[("a", "tell-nobody")]);
        let annotations: BTreeMap<String, String> = [("note".to_owned(), "{{ a }}".to_owned())].into();
        let metadata = TemplateMetadata { annotations, ..Default::default() };
        sealed.spec.template = Some(SealedTemplate { metadata: Some(metadata), data: BTreeMap::new() });
        scene.commit(&sealed).await?;
        wait::until_ready(&scene.sealed(), "app").await;
        let secret = scene.secrets().get("app").await?;
        assert_eq!(secret.annotations()["note"], "{{ a }}");
        assert!(!serde_json::to_string(&secret.metadata)?.contains("tell-nobody"));
        Ok(())
    });
}

/// T05. Guard: fuel and the bound on output (`core: template`).
#[test]
fn a_template_that_takes_too_many_steps_or_writes_too_much_is_stopped_and_others_go_on() {
    scene::shared(async |scene| -> Result<()> {
        let large = "x".repeat(20_000);
        let bombs = ["{{ a }}".repeat(8_000), "{{ large }}".repeat(40)];
        for (number, bomb) in bombs.into_iter().enumerate() {
            let name = format!("bomb-{number}");
            let mut sealed =
                scene.ring().await.seal(&scene.namespace, &name, &[("a", "1"), ("large", &large)]);
            template(&mut sealed, &[("out", &bomb)]);
            scene.commit(&sealed).await?;
            wait::until_failing(&scene.sealed(), &name, Reason::TemplateLimit).await;
        }
        scene.sealed_and_ready("other", &[("k", "v")]).await.map(drop)
    });
}

fn template(sealed: &mut SealedSecret, data: &[(&str, &str)]) {
    let data = data.iter().map(|(key, body)| ((*key).to_owned(), (*body).to_owned())).collect();
    sealed.spec.template = Some(SealedTemplate { metadata: None, data });
}
