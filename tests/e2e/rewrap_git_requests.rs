//! The pull or merge request of a job, at a stub of both forges; and a job whose envelopes the operator proposes.

use std::fs;

use anyhow::Result;
use serde_json::{Value, json};
use waxwing_core::keys::Identity;
use waxwing_crds::names;
use waxwing_tests::git_servers::{Forge, Project, TOKEN};
use waxwing_tests::{block_on, scene, wait};

const BRANCH: &str = "waxwing/rewrap";
const URL: &str = "repos/team/apps.git";

/// K24. Guard: the token goes into one header (`Caller::new`), and no answer is repeated (`refused`).
#[test]
fn one_request_is_open_however_often_the_job_runs() -> Result<()> {
    block_on(async {
        for kind in ["github", "gitlab"] {
            let project = Project::new(&format!("git-{kind}"))?;
            let forge = Forge::start(&format!("forge-{kind}")).await?;
            project.make_due()?;
            fs::write(project.dir.join("token"), format!("{TOKEN}\n"))?;
            let args = [
                "--forge",
                kind,
                "--forge-url",
                &forge.url,
                "--forge-project",
                "team/apps",
                "--forge-token-file",
                "token",
                "--output",
                "json",
            ];
            let run = |code: i32| -> Result<Value> {
                let ended = project.job(URL, &args)?.code(code);
                assert!(!ended.said().contains(TOKEN), "{}", ended.said());
                Ok(ended.json())
            };

            // The forge is away: what is pushed stays, and the next run asks.
            forge.fail_with(Some(503)).await?;
            let report = run(5)?;
            assert_eq!((&report["state"], &report["request"]), (&json!("Pushed"), &Value::Null));
            forge.fail_with(None).await?;
            let report = run(0)?;
            assert_eq!(
                (&report["state"], &report["request"]["state"]),
                (&json!("Current"), &json!("Opened")),
                "{report}"
            );
            assert_eq!(run(0)?["request"]["state"], "Kept");
            let all = forge.requests().await?;
            assert_eq!(all.as_array().map(Vec::len), Some(1));
            assert_eq!((&all[0]["source"], &all[0]["target"]), (&json!(BRANCH), &json!("main")));
            assert_eq!(all[0]["title"], "Rewrap 2 resources for the recipients of their rules");
            assert!(
                all[0]["body"].as_str().is_some_and(|body| body.contains("SealedSecret web/db: prod/")),
                "{all}"
            );

            // More is due: the same request says so.
            project.seal("apps/more.yaml", "more")?;
            project.push("more")?;
            assert_eq!(run(0)?["request"]["state"], "Updated");
            let all = forge.requests().await?;
            assert_eq!(all.as_array().map(Vec::len), Some(1));
            assert_eq!(all[0]["title"], "Rewrap 3 resources for the recipients of their rules");

            // Closed by somebody, it is asked for anew.
            forge.close(1).await?;
            assert_eq!(
                run(0)?["request"],
                json!({"number": 2, "state": "Opened", "url": report["request"]["url"].as_str().unwrap().replace('1', "2")})
            );
            fs::write(project.dir.join("token"), "another\n")?;
            let ended = project.job(URL, &args)?.code(5);
            assert!(ended.err.contains("the forge answered 401"), "{}", ended.err);
            // `--check` asks nobody.
            let asked = forge.calls().await?.len();
            project.job(URL, &[&args[..], &["--check"]].concat())?.code(0);
            assert_eq!(forge.calls().await?.len(), asked);
        }
        Ok(())
    })
}

#[test]
fn a_job_without_identity_takes_what_the_operator_proposes() {
    let added = Identity::generate();
    let flag = format!("operator.rewrapRecipients={{{}}}", added.recipient());
    scene::alone(&[&flag], async |scene, release| -> Result<()> {
        let _operator = scene.operator(release, "a").await?;
        let ring = scene.ring().await;
        let (sealed, _) = scene.sealed_and_ready("app", &[("k", "v")]).await?;
        let project = Project::new(&format!("git-cluster-{}", scene.namespace))?;
        fs::copy(&scene.plane.admin_kubeconfig, project.dir.join("kubeconfig"))?;
        let mut object = sealed.clone();
        object.metadata.managed_fields = None;
        object.status = None;
        fs::remove_dir_all(project.dir.join("dev/apps"))?;
        fs::write(project.dir.join("dev/app.yaml"), format!("# of the team\n{}", text_of(&object)?))?;
        let (own, other) = (ring.recipients()[0].recipient(), added.recipient());
        fs::write(
            project.dir.join("dev/.waxwing.yaml"),
            format!(
                "version: 1\nrecipients:\n  ring: {{key: {own}}}\n  added: {{key: {other}}}\nrules:\n- recipients: [ring, added]\n"
            ),
        )?;
        project.push("what the cluster runs")?;
        let kubeconfig = project.dir.join("kubeconfig");
        let job = || -> Result<_> {
            let all = ["rewrap", "--git", URL, "--from-cluster", "--output", "json"];
            let output = project.command(&all).env("KUBECONFIG", &kubeconfig).output()?;
            Ok((
                output.status.code(),
                String::from_utf8_lossy(&output.stdout).into_owned(),
                String::from_utf8_lossy(&output.stderr).into_owned(),
            ))
        };
        // Nobody has asked the operator.
        let (code, _, said) = job()?;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("the operator proposes no envelope") && said.contains("app.yaml: "), "{said}");
        assert_eq!(project.tip(BRANCH), "");

        scene.merge("app", json!({"metadata": {"annotations": {names::PROPOSE_REWRAP: "one"}}})).await?;
        wait::until_sealed(&scene.sealed(), "app", "has a proposal", |object| {
            object.status.as_ref().is_some_and(|status| status.proposed_envelopes.is_some())
        })
        .await;
        let (code, out, said) = job()?;
        assert_eq!(code, Some(0), "{said}");
        let report: Value = serde_json::from_str(&out)?;
        assert_eq!(report["state"], "Pushed");
        let text = project.file(BRANCH, "app.yaml")?;
        assert!(
            text.starts_with("# of the team\n") && text.contains(&format!("added/{}", added.id())),
            "{text}"
        );
        Ok(())
    });
}

fn text_of(object: &waxwing_crds::SealedSecret) -> Result<String> {
    let mut value = serde_json::to_value(object)?;
    let metadata = json!({"name": value["metadata"]["name"], "namespace": value["metadata"]["namespace"]});
    value["metadata"] = metadata;
    Ok(serde_json::to_string_pretty(&value)?.replace("\n}", "\n}\n"))
}
