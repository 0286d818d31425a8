//! The pull or merge request of a job, at a stub of both forges; and a job whose envelopes the operator proposes.

use std::fs;
use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};
use waxwing_core::keys::Identity;
use waxwing_crds::names;
use waxwing_tests::git_servers::{Forge, PASSWORD, Project, TOKEN, Web};
use waxwing_tests::{block_on, scene, tools, wait};

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

/// K26. Guard: `rbac-rewrap.yaml` gives one right, and `rewrap-cronjob.yaml` a pod with nothing else.
#[test]
fn the_charts_job_takes_what_the_operator_proposes_with_the_right_to_get_sealed_secrets_alone() {
    let added = Identity::generate();
    let flag = format!("operator.rewrapRecipients={{{}}}", added.recipient());
    // A name that leaves no room for an ending: the API server takes 52 letters for a CronJob.
    let name = format!("fullnameOverride={}-{}", "n".repeat(44), "m".repeat(7));
    let values = [
        flag.as_str(),
        name.as_str(),
        "rewrap.enabled=true",
        "rewrap.repository=https://git.example.com/team/apps.git",
        "rewrap.credentials=rewrap-git",
        "rewrap.forge.tokenSecret=rewrap-forge",
        "rewrap.forge.kind=gitlab",
        "rewrap.forge.url=https://git.example.com/api/v4",
    ];
    scene::alone(&values, async |scene, release| -> Result<()> {
        let of_job = |kind: &str| {
            let found = release.objects.iter().find(|object| {
                object["kind"] == kind
                    && object["metadata"]["name"].as_str().is_some_and(|name| name.ends_with("rewrap"))
            });
            found.unwrap_or_else(|| panic!("there is no {kind} of the job"))
        };
        assert_eq!(
            of_job("Role")["rules"],
            json!([{"apiGroups": ["waxwing.dev"], "resources": ["sealedsecrets"], "verbs": ["get"]}])
        );
        let account = of_job("ServiceAccount")["metadata"]["name"].as_str().unwrap();
        let job = &of_job("CronJob")["spec"];
        assert_eq!(
            (&job["concurrencyPolicy"], &job["jobTemplate"]["spec"]["backoffLimit"]),
            (&json!("Forbid"), &json!(0))
        );
        let pod = &job["jobTemplate"]["spec"]["template"]["spec"];
        assert_eq!(
            (&pod["serviceAccountName"], &pod["securityContext"]["runAsNonRoot"]),
            (&json!(account), &json!(true))
        );
        let container = &pod["containers"][0];
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
        // Its command line, with servers that are at hand, and its folders, as the pod has them mounted.
        let project = Project::new(&format!("git-cluster-{}", scene.namespace))?;
        let web = Web::start(&project).await?;
        let forge = Forge::start(&format!("forge-cluster-{}", scene.namespace)).await?;
        web.credentials(&project)?;
        let mounts = project.dir.join("mounts");
        fs::create_dir_all(mounts.join("forge"))?;
        fs::rename(project.dir.join("web-credentials"), mounts.join("git"))?;
        fs::write(mounts.join("forge/token"), format!("{TOKEN}\n"))?;
        let mounted = |path: &str| {
            let all = container["volumeMounts"].as_array().unwrap();
            all.iter().any(|mount| mount["mountPath"] == path && mount["readOnly"] == true)
        };
        assert!(
            mounted("/etc/waxwing/git")
                && mounted("/etc/waxwing/forge")
                && mounted("/etc/waxwing/kubeconfig")
        );
        let args = container["args"].as_array().unwrap().iter().map(|arg| {
            let arg = arg.as_str().unwrap().replace("/etc/waxwing/", &format!("{}/", mounts.display()));
            arg.replace("https://git.example.com/team/apps.git", &web.url)
                .replace("https://git.example.com/api/v4", &forge.url)
        });
        let args: Vec<String> = args.collect();
        let _operator = scene.operator(release, "a").await?;
        let ring = scene.ring().await;
        let (sealed, _) = scene.sealed_and_ready("app", &[("k", "v")]).await?;
        let token = scene.plane.token(&release.namespace, account, &[]).await?;
        let kubeconfig = scene.plane.kubeconfig(&scene.plane.url, &token, &scene.namespace);
        fs::write(project.dir.join("kubeconfig"), kubeconfig)?;
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
            let all: Vec<&str> = args.iter().map(String::as_str).collect();
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
        assert!(!said.contains(PASSWORD) && !said.contains(TOKEN), "{said}");
        let report: Value = serde_json::from_str(&out)?;
        assert_eq!((&report["state"], &report["request"]["state"]), (&json!("Pushed"), &json!("Opened")));
        let text = project.file(BRANCH, "app.yaml")?;
        assert!(
            text.starts_with("# of the team\n") && text.contains(&format!("added/{}", added.id())),
            "{text}"
        );
        Ok(())
    });
}

/// The recipes of `docs/ci`, as the forges' runners would run them. Both take the password for the token, too.
#[test]
fn the_recipes_for_pipelines_run_as_they_stand() -> Result<()> {
    block_on(async {
        let folder = tools::root().join("docs/ci");
        let recipe = |name: &str| -> Result<Value> {
            Ok(serde_saphyr::from_str(&fs::read_to_string(folder.join(name))?)?)
        };
        let github = recipe("rewrap-github-actions.yml")?["jobs"]["rewrap"]["steps"][1]["run"]
            .as_str()
            .unwrap()
            .to_owned();
        let lines = recipe("rewrap-gitlab-ci.yml")?["rewrap"]["script"].as_array().unwrap().clone();
        let gitlab = lines.iter().map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n");
        for (kind, script) in [("github", github), ("gitlab", gitlab)] {
            let project = Project::new(&format!("git-recipe-{kind}"))?;
            let web = Web::start(&project).await?;
            let forge = Forge::start(&format!("forge-recipe-{kind}")).await?;
            forge.take(PASSWORD).await?;
            project.make_due()?;
            fs::write(project.dir.join("token"), PASSWORD)?;
            fs::write(web.users(), format!("x-access-token:{PASSWORD}\ntoken:{PASSWORD}\n"))?;
            std::os::unix::fs::symlink(tools::cli(), project.dir.join("waxwing"))?;
            // Why exposed: the runner has it as a variable.
            let identity = String::from_utf8(project.prod.to_text().expose().to_vec())?;
            let path = format!("{}:{}", project.dir.display(), std::env::var("PATH")?);
            let at = |name: &str| project.dir.join(name).display().to_string();
            let mut command = Command::new("sh");
            command.args(["-e", "-c", &script]).current_dir(&project.dir).env_clear();
            command.envs([
                ("PATH", path.as_str()),
                ("HOME", &at("home")),
                ("TMPDIR", &at("home")),
                ("RUNNER_TEMP", &at("home")),
                ("SSL_CERT_FILE", &web.certs.ca.display().to_string()),
                ("TOKEN", PASSWORD),
                ("IDENTITY", &identity),
                ("GITHUB_SERVER_URL", &web.origin),
                ("GITHUB_REPOSITORY", "team/apps"),
                ("GITHUB_API_URL", &forge.url),
                ("WAXWING_IDENTITY", &at("prod.txt")),
                ("WAXWING_TOKEN", &at("token")),
                ("CI_PROJECT_URL", web.url.trim_end_matches(".git")),
                ("CI_PROJECT_PATH", "team/apps"),
                ("CI_API_V4_URL", &forge.url),
            ]);
            let output = command.output()?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{kind}: {said}");
            assert!(!said.contains(PASSWORD), "{kind}: {said}");
            project.check_opens(BRANCH, "apps/db.yaml", "recovery.txt")?;
            assert_eq!(forge.requests().await?.as_array().map(Vec::len), Some(1), "{kind}");
            // GitLab's own: what lies below RUNNER_TEMP goes with GitHub's machine.
            let left: Vec<_> =
                fs::read_dir(project.dir.join("home"))?.flatten().map(|entry| entry.file_name()).collect();
            let temporary = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("tmp.");
            assert!(!left.iter().any(temporary), "{kind}: {left:?}");
        }
        // What is built by a recipe is given the identity.
        let install = recipe("rewrap-github-actions.yml")?["jobs"]["rewrap"]["steps"][0]["run"].to_string();
        assert!(install.contains("--rev") && install.contains("--locked"), "{install}");
        Ok(())
    })
}

fn text_of(object: &waxwing_crds::SealedSecret) -> Result<String> {
    let mut value = serde_json::to_value(object)?;
    let metadata = json!({"name": value["metadata"]["name"], "namespace": value["metadata"]["namespace"]});
    value["metadata"] = metadata;
    Ok(serde_json::to_string_pretty(&value)?.replace("\n}", "\n}\n"))
}
