//! A canary: a value that is driven through everything that can go right or wrong, and then searched in all that the
//! operator has said.

use std::collections::BTreeSet;

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;
use waxwing_core::keys::Identity;
use waxwing_core::seal::Binding;
use waxwing_crds::{Reason, SealedTemplate};
use waxwing_tests::faults::{Fault, Faults};
use waxwing_tests::operator::{Operator, Release};
use waxwing_tests::ring::{binding, now};
use waxwing_tests::scene::{self, Scene};
use waxwing_tests::wait;

/// Something that stands nowhere else, and that every encoding changes.
const CANARY: &str = "c~nary/+ÿ=7b1e94d0 \"never\" shown";

/// L01, L02, L03, T09. Guard: `core: secret`, `operator: logs`, `api_error` and `apply`, which repeat no text of others.
#[test]
fn a_value_is_found_nowhere_but_in_its_secret() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let proxy = Faults::before(scene.plane).await?;
        let mut operator = release.start_at("a", &proxy.url, &[])?;
        scene.watch_log(&operator).await;
        operator.until_ready().await?;
        what_goes_right(scene).await?;
        what_the_author_gets_wrong(scene).await?;
        what_the_api_server_gets_wrong(scene, &proxy, &operator).await?;
        what_goes_into_a_configuration(scene).await?;
        a_crash_and_a_restart(scene, &mut operator).await?;

        let said = everything_said(scene, release, &operator).await?;
        for (what, text) in &said {
            assert!(!text.is_empty(), "{what} was found");
            for (encoding, needle) in encodings(CANARY) {
                assert!(!text.contains(&needle), "the canary is in the {what}, as {encoding}");
            }
            assert!(!text.to_uppercase().contains("AGE-SECRET-KEY-"), "an identity is in the {what}");
        }
        // The search itself can find something.
        let secret = serde_json::to_string(&scene.secrets().get("good").await?)?;
        assert!(encodings(CANARY).iter().any(|(_, needle)| secret.contains(needle)));
        Ok(())
    });
}

async fn what_goes_right(scene: &Scene) -> Result<()> {
    let ring = scene.ring().await;
    let mut sealed = ring.seal(&scene.namespace, "good", &[("k", CANARY), ("other", "x")]);
    let data = [("composed".to_owned(), "{{ k }}".to_owned())].into();
    sealed.spec.template = Some(SealedTemplate { metadata: None, data });
    scene.commit(&sealed).await?;
    wait::until_ready(&scene.sealed(), "good").await;
    ring.set(&mut sealed, &[("k", CANARY)]);
    scene.commit(&sealed).await?;
    wait::until_ready(&scene.sealed(), "good").await;
    scene.merge_secret("good", json!({"data": {"k": "d3Jvbmc="}})).await?;
    wait::until_event(&scene.events(), "good", Reason::DriftCorrected).await;
    Ok(())
}

/// One that is published, one whose field does not take it, one whose receiver is left out, and one that is refused; with
/// an endpoint that the operator may not ask.
async fn what_goes_into_a_configuration(scene: &Scene) -> Result<()> {
    let leaf = json!({"$secret": {"name": "good", "key": "k"}});
    let config = |field: &str| {
        json!({
            "route": {"receiver": "r"},
            "receivers": [{"name": "r", "pagerduty_configs": [{"routing_key": "x"}]}, {"name": "s", "slack_configs": [{"api_url": "https://hooks.example.com/x", "channel": "#c", "title": "t", field: leaf}]}],
        })
    };
    let with = |name: &str, config: serde_json::Value, more: serde_json::Value| {
        let target = json!({"secretName": format!("{name}-published")});
        let mut spec = json!({"config": config, "target": target});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let endpoint = json!({"verify": {"endpoints": ["http://127.0.0.1:1"], "within": "1s"}});
    for (name, field, more, reason) in [
        ("title", "title", endpoint, "NotLoaded"),
        ("misfit", "api_url", json!({}), "CredentialUnresolved"),
        ("blocked", "api_url", json!({"policy": {"onUnresolved": "Block"}}), "CredentialUnresolved"),
        ("unknown", "no_such_field", json!({}), "ConfigInvalid"),
        ("taken", "title", json!({"target": {"secretName": "good"}}), "Conflict"),
    ] {
        scene.put("AlertmanagerInjection", name, with(name, config(field), more)).await?;
        scene.not_injected(name, reason).await;
    }
    assert!(scene.secrets().get_opt("title-published").await?.is_some(), "it got as far as that");
    Ok(())
}

async fn what_the_author_gets_wrong(scene: &Scene) -> Result<()> {
    let ring = scene.ring().await;
    // Templates that fail by name, by syntax, and by what is in the value.
    for (number, body) in
        ["{{ k }}{{ nothing }}", "{{ k", "{{ k | b64decode }}", "{{ k | nofilter }}", "{{ k.field }}"]
            .iter()
            .enumerate()
    {
        let name = format!("template-{number}");
        let mut sealed = ring.seal(&scene.namespace, &name, &[("k", CANARY)]);
        let data = [("out".to_owned(), (*body).to_owned())].into();
        sealed.spec.template = Some(SealedTemplate { metadata: None, data });
        scene.commit(&sealed).await?;
        wait::until_failing(&scene.sealed(), &name, Reason::TemplateError).await;
    }
    let mut renamed = ring.seal(&scene.namespace, "before", &[("k", CANARY)]);
    renamed.metadata.name = Some("after".to_owned());
    scene.commit(&renamed).await?;
    wait::until_failing(&scene.sealed(), "after", Reason::BindingMismatch).await;
    // The API server refuses what is in the Secret, and says so in its own words.
    let typed = Binding {
        secret_type: "kubernetes.io/dockerconfigjson".to_owned(),
        ..binding(&scene.namespace, "typed")
    };
    scene.commit(&ring.seal_as(&typed, &[(".dockerconfigjson", CANARY)], now())).await?;
    wait::until_failing(&scene.sealed(), "typed", Reason::ApiRejected).await;
    // A value where a sealed one belongs, past the CRD: refused there, and what it says is not ours to keep.
    let mut plain = ring.seal(&scene.namespace, "plain", &[("k", "v")]);
    plain.spec.data.insert("k".to_owned(), CANARY.to_owned());
    scene.commit(&plain).await.unwrap_err();
    Ok(())
}

async fn what_the_api_server_gets_wrong(scene: &Scene, proxy: &Faults, operator: &Operator) -> Result<()> {
    let ring = scene.ring().await;
    let echo = json!({"kind": "Status", "status": "Failure", "code": 422, "reason": "Invalid", "message": CANARY,
        "details": {"causes": [{"field": "data", "message": CANARY}]}});
    let broken = format!("{{\"metadata\": {}}}", json!(CANARY));
    let faults = [
        ("echoes-422", Fault::Body(422, echo.to_string()), Reason::ApiRejected),
        ("echoes-500", Fault::Body(500, CANARY.to_owned()), Reason::ApiUnavailable),
        ("echoes-403", Fault::Answer(403, "forbidden: c~nary", Vec::new()), Reason::ApiForbidden),
        ("echoes-200", Fault::Body(200, broken), Reason::InternalError),
    ];
    for (name, fault, reason) in faults {
        let rule = proxy.inject(fault, |call| call.is_write() && call.is_for("secrets"));
        let mut sealed = ring.seal(&scene.namespace, name, &[("k", CANARY)]);
        scene.commit(&sealed).await?;
        wait::until_failing(&scene.sealed(), name, reason).await;
        wait::until_event(&scene.events(), name, reason).await;
        drop(rule);
        ring.set(&mut sealed, &[("k", CANARY)]);
        scene.commit(&sealed).await?;
        wait::until_ready(&scene.sealed(), name).await;
    }
    // A list that can't be decoded: the decoder's own message would quote it.
    let broken =
        json!({"kind": "SecretList", "apiVersion": "v1", "metadata": {}, "items": CANARY}).to_string();
    let rule =
        proxy.inject(Fault::Body(200, broken), |call| !call.is_write() && call.path.ends_with("/secrets"));
    proxy.shut();
    operator
        .until_metrics("watches are broken", |scrape| scrape.sum("waxwing_watch_errors_total", &[]) >= 1.0)
        .await;
    proxy.open();
    rule.until_hits(2).await;
    drop(rule);
    scene.sealed_and_ready("afterwards", &[("k", CANARY)]).await.map(drop)
}

async fn a_crash_and_a_restart(scene: &Scene, operator: &mut Operator) -> Result<()> {
    operator.process().signal(rustix::process::Signal::ABORT);
    operator.process_mut().ended(wait::DEADLINE).await?;
    operator.start_again()?;
    operator.until_ready().await?;
    scene.sealed_and_ready("restarted", &[("k", CANARY)]).await.map(drop)
}

/// Logs with panics, statuses, events, metrics, everything that the operator writes on objects besides the data.
async fn everything_said(
    scene: &Scene,
    release: &Release,
    operator: &Operator,
) -> Result<Vec<(String, String)>> {
    let all = ListParams::default();
    let mut said = vec![
        ("log".to_owned(), operator.process().log()),
        ("metrics".to_owned(), operator.metrics().await?.text().to_owned()),
        ("ring".to_owned(), serde_json::to_string(&scene.rings().get(&release.ring).await?)?),
    ];
    for (what, events) in [("events", scene.events()), ("events about the ring", scene.ring_events())] {
        said.push((what.to_owned(), serde_json::to_string(&events.list(&all).await?.items)?));
    }
    for object in scene.sealed().list(&all).await? {
        said.push((format!("SealedSecret {}", object.name_any()), serde_json::to_string(&object)?));
    }
    for object in scene.injections().list(&all).await? {
        said.push((format!("AlertmanagerInjection {}", object.name_any()), serde_json::to_string(&object)?));
    }
    for secret in scene.secrets().list(&all).await? {
        said.push((
            format!("metadata of the Secret {}", secret.name_any()),
            serde_json::to_string(&secret.metadata)?,
        ));
    }
    Ok(said)
}

/// Raw, base64 at each of its three alignments and in both alphabets, hex, URL; and as JSON text.
fn encodings(value: &str) -> Vec<(String, String)> {
    let hex = |upper: bool| {
        value
            .bytes()
            .map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") })
            .collect::<String>()
    };
    let url = value.bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    let quoted = serde_json::to_string(value).unwrap();
    let mut all = vec![
        ("raw".to_owned(), value.to_owned()),
        ("JSON".to_owned(), quoted[1..quoted.len() - 1].to_owned()),
        ("a part".to_owned(), "7b1e94d0".to_owned()),
        ("hex".to_owned(), hex(false)),
        ("hex in capitals".to_owned(), hex(true)),
        ("URL".to_owned(), url.collect()),
    ];
    for (alphabet, engine) in [("base64", &BASE64_STANDARD_NO_PAD), ("base64url", &BASE64_URL_SAFE_NO_PAD)] {
        for shift in 0..3 {
            let shifted = format!("{}{value}", "x".repeat(shift));
            let text = engine.encode(&shifted);
            // Without the characters at either end that depend on what is beside it.
            let inner = text[if shift == 0 { 0 } else { 4 }..text.len() - text.len() % 4].trim_end();
            all.push((format!("{alphabet}, shifted by {shift}"), inner[..inner.len() - 4].to_owned()));
        }
    }
    all
}

/// L07, T09. Guard: labels are of fixed lists (`operator: metrics`).
#[test]
fn objects_and_keys_make_no_series_of_their_own_and_are_forgotten_when_they_go() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let operator = scene.operator(release, "a").await?;
        let ring = scene.ring().await;
        let make = async |number: usize| -> Result<()> {
            let mut good = ring.seal(
                &scene.namespace,
                &format!("seriesname{number}"),
                &[(&format!("serieskey{number}"), "v")],
            );
            scene.commit(&good).await?;
            good.metadata.name = Some(format!("seriesbad{number}"));
            scene.commit(&good).await?;
            wait::until_ready(&scene.sealed(), &format!("seriesname{number}")).await;
            wait::until_failing(&scene.sealed(), &format!("seriesbad{number}"), Reason::BindingMismatch)
                .await;
            Ok(())
        };
        make(0).await?;
        let failure = [("reason", "BindingMismatch")];
        let counted = |number: f64| {
            move |scrape: &waxwing_tests::scrape::Scrape| {
                scrape.sum("gitops_reconciliation_errors_total", &failure) >= number
            }
        };
        let few = series(&operator.until_metrics("one failure is counted", counted(1.0)).await);
        for number in 1..20 {
            make(number).await?;
        }
        let scrape = operator.until_metrics("all failures are counted", counted(20.0)).await;
        assert_eq!(series(&scrape), few);
        assert!(
            !scrape.text().contains("series") && !scrape.text().contains(&scene.namespace),
            "{}",
            scrape.text()
        );
        scene.sealed().delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
        let sealed = [("kind", "SealedSecret")];
        operator
            .until_metrics("no object is left", |scrape| scrape.sum("waxwing_objects", &sealed) == 0.0)
            .await;
        Ok(())
    });
}

/// The names and labels of all series.
fn series(scrape: &waxwing_tests::scrape::Scrape) -> BTreeSet<String> {
    scrape.series().iter().map(|series| format!("{}{:?}", series.name, series.labels)).collect()
}

/// L02. Guard: an identity's Secret is decoded by a type that quotes nothing (`operator: identities`).
#[test]
fn an_identity_that_can_not_be_read_is_not_quoted() {
    use kube::Api;
    use kube::api::PostParams;
    scene::alone(&[], async |scene, release| -> Result<()> {
        let identity = String::from_utf8(Identity::generate().to_text().expose().to_vec())?;
        let secrets: Api<k8s_openapi::api::core::v1::Secret> =
            Api::namespaced(scene.client(), &release.namespace);
        let secret = json!({"metadata": {"name": "waxwing-damaged"}, "type": waxwing_crds::names::IDENTITY_TYPE,
            "stringData": {"identity": format!("{identity}x")}});
        secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
        let operator = scene.operator(release, "a").await?;
        wait::until_event(&scene.ring_events(), &scene.ring, Reason::MalformedIdentity).await;
        let said = everything_said(scene, release, &operator).await?;
        for (what, text) in said {
            assert!(!text.contains(&identity[20..40]), "{what}");
        }
        Ok(())
    });
}
