//! A recipient who is slipped in, wherever that can be tried: into the SealedSecret, its status, the KeyRing, and the
//! `.waxwing.yaml` of a pull request. What each can do, and what it cannot.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::json;
use waxwing_core::keys::{Identities, Identity, NamedRecipient};
use waxwing_crds::{Reason, SealedSecret, names};
use waxwing_tests::folder::Folder;
use waxwing_tests::ring::{Ring, named, now, parse};
use waxwing_tests::scene::{self, Scene};
use waxwing_tests::{process, wait};

/// Whether an identity opens what is sealed.
fn opens(object: &SealedSecret, identity: &Identity) -> bool {
    parse(object).open(&Identities::from_iter([identity.clone()]), now()).is_ok()
}

/// A repository whose `.waxwing.yaml` names the cluster and a recovery recipient, and that recipient's identity.
async fn repository(scene: &Scene) -> Result<(Folder, Identity)> {
    scene.ring().await;
    let recovery = Identity::generate();
    let folder = Folder::new(&scene.namespace, &[("test", scene.plane)])?;
    let recipient = recovery.recipient().to_string();
    folder.run(
        &["init", "--from-cluster", "test=prod", "--keyring", &scene.ring, "--recovery", &recipient],
        "",
    )?;
    Ok((folder, recovery))
}

/// Seals one value into `app.yaml`.
fn seal(scene: &Scene, folder: &Folder, value: &str) -> Result<()> {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "app", "namespace": scene.namespace},
        "stringData": {"k": value},
    });
    folder.run(&["seal", "-", "-o", "app.yaml"], &secret.to_string()).map(drop)
}

/// The resource in a file.
fn resource(folder: &Folder, file: &str) -> Result<SealedSecret> {
    Ok(serde_saphyr::from_str(&folder.read(file))?)
}

/// Writes an identity where only its owner can read it.
fn identity_file(scene: &Scene, name: &str, identity: &Identity) -> Result<PathBuf> {
    let file = process::folder(&format!("{name}-{}", scene.namespace)).join("identity.txt");
    std::fs::write(&file, identity.to_text().expose())?;
    #[cfg(unix)]
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(file)
}

/// Waits until an operator that was asked has answered with a proposal.
async fn until_proposed(scene: &Scene, name: &str, nonce: &str) -> Result<SealedSecret> {
    scene.merge(name, json!({"metadata": {"annotations": {names::PROPOSE_REWRAP: nonce}}})).await?;
    Ok(wait::until_sealed(&scene.sealed(), name, "has a proposal", |object| {
        let proposal = object.status.as_ref().and_then(|status| status.proposed_envelopes.as_ref());
        proposal.is_some_and(|proposal| proposal.nonce.as_deref() == Some(nonce))
    })
    .await)
}

/// What a file with these envelopes would be.
fn with_envelopes(sealed: &SealedSecret, from: &SealedSecret) -> Result<SealedSecret> {
    let proposal = from.status.as_ref().and_then(|status| status.proposed_envelopes.clone());
    let mut next = sealed.clone();
    next.spec.envelopes.extend(proposal.context("a proposal")?.envelopes);
    Ok(next)
}

/// K36. Guard: a hint is no recipient: only who has a stanza opens (`core: seal::envelope`), and `waxwing verify` compares
/// hints and readers with the rule.
#[test]
fn a_name_that_is_slipped_into_the_hints_opens_nothing_and_is_found() {
    scene::shared(async |scene| -> Result<()> {
        let (folder, _) = repository(scene).await?;
        seal(scene, &folder, "v")?;
        let stranger = Identity::generate();
        let hint = named("stranger", stranger.recipient().as_str()).hint();
        let text = folder.read("app.yaml");
        let line = text.lines().find(|line| line.trim().starts_with("to: [")).context("hints")?;
        folder.write("app.yaml", &text.replace(line, &line.replace(']', &format!(", {hint}]"))));
        let (code, said) = folder.refused(&["verify"])?;
        assert!(code == 3 && said.contains(&hint) && said.contains("whom no rule names"), "{said}");
        assert!(!opens(&resource(&folder, "app.yaml")?, &stranger));
        // In the cluster it is only a wrong name: the value is what it was.
        folder.apply(scene, "app.yaml").await?;
        wait::until_ready(&scene.sealed(), "app").await;
        assert_eq!(wait::value_of(&scene.secrets().get("app").await?, "k"), b"v");
        // Nor does the operator take the name for a wish.
        let proposed = until_proposed(scene, "app", "one").await?;
        assert!(!opens(&with_envelopes(&resource(&folder, "app.yaml")?, &proposed)?, &stranger));
        Ok(())
    });
}

/// K36. Guard: without an identity nobody wraps a data key again; an envelope for a stranger holds only what was sealed
/// with it, and its readers are counted (`cli: verify`).
#[test]
fn an_envelope_for_a_stranger_shows_them_what_its_author_wrote_and_nothing_else() {
    scene::shared(async |scene| -> Result<()> {
        let (folder, recovery) = repository(scene).await?;
        seal(scene, &folder, "before")?;
        let stranger = Identity::generate();
        // What somebody can do who may commit, and has no identity: set a value of their own, for a reader of their own.
        let mut object = resource(&folder, "app.yaml")?;
        let ring = scene.ring().await;
        let wrong = Ring::of(vec![
            named("prod", ring.recipients()[0].recipient().as_str()),
            named("recovery", recovery.recipient().as_str()),
            named("stranger", stranger.recipient().as_str()),
        ]);
        wrong.set(&mut object, &[("mine", "after")]);
        assert!(opens(&object, &recovery) && !opens(&object, &stranger), "not all of it");
        let one = |identity: &Identity, key: &str| {
            let all = Identities::from_iter([identity.clone()]);
            parse(&object).open_key(&key.parse().unwrap(), &all, now()).is_ok()
        };
        assert!(one(&stranger, "mine") && !one(&stranger, "k"), "the value that was there stays closed");

        // Told or not, the third reader shows.
        folder.write("app.yaml", &serde_json::to_string_pretty(&object)?);
        let (code, said) = folder.refused(&["verify"])?;
        assert!(code == 3 && said.contains("whom no rule names"), "{said}");
        for envelope in object.spec.envelopes.values_mut() {
            envelope.to.retain(|hint| !hint.starts_with("stranger/"));
        }
        folder.write("app.yaml", &serde_json::to_string_pretty(&object)?);
        let (code, said) = folder.refused(&["verify"])?;
        assert!(code == 3 && said.contains("can be opened by 3"), "{said}");

        // The operator opens it: whoever can write the object can replace a value, by a reviewed merge or not. It wraps
        // for nobody but its own.
        object.metadata.managed_fields = None;
        scene.commit(&object).await?;
        wait::until_ready(&scene.sealed(), "app").await;
        let proposed = until_proposed(scene, "app", "one").await?;
        let next = with_envelopes(&object, &proposed)?;
        let all = Identities::from_iter([stranger]);
        assert!(
            parse(&next).open_key(&"mine".parse().unwrap(), &all, now()).is_err(),
            "wrapped without them"
        );
        Ok(())
    });
}

/// K36. Guard: none without an identity: who a stanza is for cannot be seen. `docs/FORMAT.md` says so, and this is what it
/// means.
#[test]
fn a_stranger_in_the_place_of_the_recovery_key_is_found_by_an_identity_alone() {
    scene::shared(async |scene| -> Result<()> {
        let (folder, recovery) = repository(scene).await?;
        seal(scene, &folder, "v")?;
        let stranger = Identity::generate();
        let mut object = resource(&folder, "app.yaml")?;
        let ring = scene.ring().await;
        let prod = named("prod", ring.recipients()[0].recipient().as_str());
        let wrong = Ring::of(vec![prod, named("recovery", stranger.recipient().as_str())]);
        object.spec.data.clear();
        object.spec.envelopes.clear();
        wrong.set(&mut object, &[("k", "after")]);
        let lie = named("recovery", recovery.recipient().as_str()).hint();
        for envelope in object.spec.envelopes.values_mut() {
            envelope.to[1].clone_from(&lie);
        }
        folder.write("app.yaml", &serde_json::to_string_pretty(&object)?);
        folder.run(&["verify"], "")?;
        assert!(opens(&object, &stranger) && !opens(&object, &recovery));
        // The recovery key, tried now and then, tells.
        let file = identity_file(scene, "recovery", &recovery)?.display().to_string();
        let (_, said) = folder.refused(&["open", "app.yaml", "-i", &file])?;
        assert!(said.contains("none of the 1 identities at hand opens it"), "{said}");
        Ok(())
    });
}

/// K36. Guard: `cli: proposal` takes an envelope only for the same data key and for as many readers as the rule has, and the
/// operator does not believe a status that it did not write (`core: plan::propose`).
#[test]
fn forged_proposals_are_refused_by_the_command_and_replaced_by_the_operator() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let mut operator = scene.operator(release, "a").await?;
        let (folder, recovery) = repository(scene).await?;
        seal(scene, &folder, "v")?;
        folder.apply(scene, "app.yaml").await?;
        wait::until_ready(&scene.sealed(), "app").await;
        operator.terminate().await?;
        let sealed = resource(&folder, "app.yaml")?;
        // Another recovery key makes every envelope due.
        let (stranger, late) = (Identity::generate(), Identity::generate());
        let config = folder.read(".waxwing.yaml");
        let renewed = config.replace(recovery.recipient().as_str(), late.recipient().as_str());
        folder.write(".waxwing.yaml", &renewed);
        let ring = scene.ring().await;
        let prod = named("prod", ring.recipients()[0].recipient().as_str());
        let [spy, late] = [&stranger, &late].map(|identity| named("recovery", identity.recipient().as_str()));
        let (id, genuine) = sealed.spec.envelopes.first_key_value().context("an envelope")?;
        // Somebody with rights on the status has no data key: what they wrap is another one.
        let forged = |to: &[NamedRecipient], commit: Option<&str>, hints: Option<&[NamedRecipient]>| {
            let made = Ring::of(to.to_vec()).seal(&scene.namespace, "app", &[("k", "forged")]);
            let mut envelope = made.spec.envelopes.values().next().unwrap().clone();
            envelope.commit = commit.unwrap_or(&envelope.commit).to_owned();
            if let Some(hints) = hints {
                envelope.to = hints.iter().map(NamedRecipient::hint).collect();
            }
            let recipients = "0".repeat(64);
            json!({"proposedEnvelopes": {"nonce": "forged", "recipients": recipients, "envelopes": {id: envelope}}})
        };
        let take = ["rewrap", "app.yaml", "--from-cluster", "test"];
        let two = [prod.clone(), spy.clone()];
        let three = [prod.clone(), late.clone(), named("x", spy.recipient().as_str())];
        let told = [prod.clone(), late.clone()];
        for (status, word) in [
            (forged(&two, None, Some(&told)), "for another data key"),
            (forged(&two, Some(&genuine.commit), None), "the rule says"),
            (forged(&three, Some(&genuine.commit), Some(&told)), "3 readers"),
        ] {
            scene.merge_status("app", json!({"status": status})).await?;
            let (_, said) = folder.refused(&take)?;
            assert!(said.contains(word), "{word}: {said}");
            assert_eq!(resource(&folder, "app.yaml")?.spec, sealed.spec, "the file is as it was");
        }
        // With everything right that can be seen it is taken, and is worth nothing to the forger: the data key in it is
        // theirs and fits no value. The operator refuses the object, and the last good Secret stays.
        let status = forged(&two, Some(&genuine.commit), Some(&told));
        scene.merge_status("app", json!({"status": status})).await?;
        folder.run(&take, "")?;
        let broken = resource(&folder, "app.yaml")?;
        assert!(!opens(&broken, &stranger) && !opens(&broken, &recovery));
        operator.start_again()?;
        operator.until_ready().await?;
        wait::until_sealed(&scene.sealed(), "app", "has lost the forgery", |object| {
            let proposal = object.status.as_ref().and_then(|status| status.proposed_envelopes.as_ref());
            proposal.is_none_or(|proposal| proposal.nonce.as_deref() != Some("forged"))
        })
        .await;
        folder.apply(scene, "app.yaml").await?;
        wait::until_failing(&scene.sealed(), "app", Reason::CommitMismatch).await;
        assert_eq!(wait::value_of(&scene.secrets().get("app").await?, "k"), b"v");
        Ok(())
    });
}

/// K36. Guard: what is sealed already is wrapped again for the ring's own keys and the operator's flag alone
/// (`operator: key_ring`), and `waxwing seal` asks `.waxwing.yaml` and no cluster.
#[test]
fn a_recipient_in_the_key_ring_gets_nothing_that_is_sealed_already_and_everybody_is_told() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let operator = scene.operator(release, "a").await?;
        let (folder, recovery) = repository(scene).await?;
        seal(scene, &folder, "v")?;
        folder.apply(scene, "app.yaml").await?;
        wait::until_ready(&scene.sealed(), "app").await;
        let changed = operator.metrics().await?.sum("waxwing_recipients_changed_total", &[]);
        let stranger = Identity::generate();
        let theirs = json!([{"name": "slipped-in", "recipient": stranger.recipient().as_str()}]);
        scene.put_in_effect(json!({"recipients": theirs})).await?;

        wait::until_event(&scene.ring_events(), &scene.ring, Reason::RecipientsChanged).await;
        operator
            .until_metrics("the recipients have changed", |scrape| {
                scrape.sum("waxwing_recipients_changed_total", &[]) > changed
            })
            .await;
        let diff = ["recipients", "diff", "--from-cluster", "test=prod", "--keyring", &scene.ring];
        let (code, said) = folder.refused(&diff)?;
        assert!(code == 3 && said.contains(&format!("+ slipped-in {}", stranger.recipient())), "{said}");
        // What it gets: the seals of whoever asks the ring without looking.
        let taken = scene.ring().await.seal(&scene.namespace, "other", &[("k", "v")]);
        assert!(opens(&taken, &stranger));
        // What it does not get: what is sealed by the reviewed file, before and after, and a data key from the operator.
        folder.run(&["set", "app.yaml", "k"], "after")?;
        assert!(!opens(&resource(&folder, "app.yaml")?, &stranger));
        let both = Ring::of(vec![
            named("ring", scene.ring().await.recipients()[0].recipient().as_str()),
            named("recovery", recovery.recipient().as_str()),
        ]);
        let sealed = both.seal(&scene.namespace, "third", &[("k", "v")]);
        scene.commit(&sealed).await?;
        wait::until_ready(&scene.sealed(), "third").await;
        let proposed = until_proposed(scene, "third", "one").await?;
        let next = with_envelopes(&sealed, &proposed)?;
        assert_ne!(next.spec, sealed.spec, "the operator has wrapped it again");
        assert!(!opens(&next, &stranger));
        Ok(())
    });
}

/// K36. Guard: review. `verify` shows the change, the operator's proposals are refused, and only an identity wraps for them.
#[test]
fn a_recipient_in_the_configuration_of_a_pull_request_gets_what_somebody_with_an_identity_wraps() {
    scene::shared(async |scene| -> Result<()> {
        let (folder, recovery) = repository(scene).await?;
        seal(scene, &folder, "v")?;
        folder.apply(scene, "app.yaml").await?;
        wait::until_ready(&scene.sealed(), "app").await;
        let stranger = Identity::generate();
        let config = folder.read(".waxwing.yaml");
        let entry = format!("  helper: {{key: {}}}\nrules:", stranger.recipient());
        let changed = config.replace("rules:", &entry).replace("recipients: [", "recipients: [helper, ");
        folder.write(".waxwing.yaml", &changed);

        // The branch alone opens nothing, and the pipeline is red until somebody has wrapped every file again.
        let (code, said) = folder.refused(&["verify"])?;
        assert!(code == 3 && said.contains("is not for helper/"), "{said}");
        assert!(!opens(&resource(&folder, "app.yaml")?, &stranger));
        // As a cluster's key it shows, too, that none of the clusters publishes it; one alone can't know of the others.
        let key = format!("key: {}}}", stranger.recipient());
        folder.write("marked.yaml", &changed.replace(&key, &key.replace('}', ", cluster: true}")));
        let one = [
            "--config",
            "marked.yaml",
            "recipients",
            "diff",
            "--keyring",
            &scene.ring,
            "--from-cluster",
            "test",
        ];
        let shown = format!("helper {}", stranger.recipient());
        assert!(!folder.run(&one, "")?.contains(&shown));
        let (code, said) = folder.refused(&[&one[..], &["--from-cluster", "test=helper"]].concat())?;
        assert!(code == 3 && said.contains(&format!("- {shown} (published by no KeyRing)")), "{said}");
        // The operator does not wrap for them, so there is nothing to take.
        until_proposed(scene, "app", "one").await?;
        let (_, said) = folder.refused(&["rewrap", "app.yaml", "--from-cluster", "test"])?;
        assert!(
            said.contains("--rewrap-recipient") && said.contains(stranger.recipient().as_str()),
            "{said}"
        );
        assert!(!opens(&resource(&folder, "app.yaml")?, &stranger));
        // With an identity it is done, because the file says so: who runs this looks at the difference first.
        let file = identity_file(scene, "recovery", &recovery)?.display().to_string();
        folder.run(&["rewrap", "app.yaml", "-i", &file], "")?;
        assert!(opens(&resource(&folder, "app.yaml")?, &stranger));
        Ok(())
    });
}
