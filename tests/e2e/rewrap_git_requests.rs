//! The pull or merge request of a job, at a stub of both forges; also of two jobs for one branch.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::Result;
use serde_json::{Value, json};
use waxwing_core::keys::Identity;
use waxwing_tests::git_servers::{Forge, PASSWORD, Project, TOKEN, Web};
use waxwing_tests::ring::{Ring, named};
use waxwing_tests::{block_on, tools};

const BRANCH: &str = "waxwing/rewrap";
const URL: &str = "repos/team/apps.git";
const MALFORMED: &str = "apiVersion: waxwing.dev/v1\nkind: SealedSecret\nmetadata: {name: x, name: y}\n";

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

/// Two clusters, each with files that it alone opens, and both in one file, as streams have them. A third is to open all.
fn two_clusters(name: &str) -> Result<(Project, Identity)> {
    let project = Project::new(name)?;
    let (eu, us, added) = (&project.prod, &project.recovery, Identity::generate());
    // Why exposed: the command reads identities from files.
    fs::write(project.dir.join("added.txt"), added.to_text().expose())?;
    let dev = project.dir.join("dev");
    fs::remove_dir_all(dev.join("apps"))?;
    let of = |name: &str, to: &str, identity: &Identity| -> Result<String> {
        let ring = Ring::of(vec![named(to, identity.recipient().as_str())]);
        let text = serde_saphyr::to_string(&ring.seal("web", name, &[("k", "a value of the test")]))?;
        Ok(format!("# {name}\n{text}"))
    };
    for (file, text) in [
        ("eu/db.yaml", of("eu-db", "eu", eu)?),
        ("us/db.yaml", of("us-db", "us", us)?),
        // The third is malformed: why has a line number, which is another one once a resource above names more recipients.
        (
            "both.yaml",
            format!("{}---\n{}---\n{MALFORMED}", of("both-eu", "eu", eu)?, of("both-us", "us", us)?),
        ),
    ] {
        let path = dev.join(file);
        fs::create_dir_all(path.parent().unwrap())?;
        fs::write(path, text)?;
    }
    let rules = format!(
        "version: 1\nrecipients:\n  eu: {{key: {}}}\n  us: {{key: {}}}\n  added: {{key: {}}}\n  third: {{key: {}}}\nrules:\n\
         - path: \"us/**\"\n  recipients: [us, added, third]\n- recipients: [eu, added, third]\n",
        eu.recipient(),
        us.recipient(),
        added.recipient(),
        Identity::generate().recipient()
    );
    fs::write(dev.join(".waxwing.yaml"), rules)?;
    project.push("for two clusters")?;
    Ok((project, added))
}

#[test]
fn jobs_that_open_different_files_do_not_replace_each_others_commits() -> Result<()> {
    block_on(async {
        let (project, added) = two_clusters("git-two-jobs")?;
        let forge = Forge::start("forge-two-jobs").await?;
        fs::write(project.dir.join("token"), TOKEN)?;
        let run = |identity: &str, code: i32| -> Result<Value> {
            let args = ["--git", URL, "--identity", identity, "--forge", "github", "--forge-url", &forge.url];
            let more = ["--forge-project", "team/apps", "--forge-token-file", "token", "--output", "json"];
            Ok(project.waxwing(&[&["rewrap"], &args[..], &more].concat())?.code(code).json())
        };
        // In either order, and after the default branch went on.
        for (round, [first, second]) in
            [["prod.txt", "recovery.txt"], ["recovery.txt", "prod.txt"]].into_iter().enumerate()
        {
            let main = project.tip("main");
            assert_eq!(run(first, 5)?["state"], "Pushed");
            assert_eq!(run(second, 5)?["state"], "Pushed");
            let tip = project.tip(BRANCH);
            for identity in [first, second, first] {
                let report = run(identity, 5)?;
                assert_eq!(
                    (&report["state"], &report["commit"]),
                    (&json!("Current"), &json!(tip)),
                    "{report}"
                );
                assert_eq!(report["failures"].as_array().map(Vec::len), Some(1), "{report}");
            }
            assert_eq!(project.bare(&["rev-list", "--count", &format!("main..{BRANCH}")])?, "2");
            assert_eq!(project.bare(&["merge-base", "main", BRANCH])?, main);
            for file in ["eu/db.yaml", "us/db.yaml"] {
                project.check_opens(BRANCH, file, "added.txt")?;
            }
            let both = project.file(BRANCH, "both.yaml")?;
            assert_eq!(both.matches(&format!("added/{}", added.id())).count(), 2, "{both}");
            let all = forge.requests().await?;
            assert_eq!(all.as_array().map(Vec::len), Some(1), "{all}");
            assert_eq!(all[0]["title"], "Rewrap for the recipients of the rules, in 2 commits");
            for name in ["eu-db", "us-db", "both-eu", "both-us"] {
                let line = format!("SealedSecret web/{name}: ");
                assert!(all[0]["body"].as_str().is_some_and(|body| body.contains(&line)), "{all}");
            }
            fs::write(project.dir.join("dev/more.txt"), round.to_string())?;
            project.push("on it goes")?;
        }
        Ok(())
    })
}

/// Guard: `Job::left_over` where something fails: it may be what the branch is for.
#[test]
fn a_branch_with_another_jobs_work_is_not_left_over() -> Result<()> {
    let (project, _) = two_clusters("git-not-left-over")?;
    let run = |identity: &str, code: i32| -> Result<Value> {
        let args = ["rewrap", "--git", URL, "--identity", identity, "--output", "json"];
        Ok(project.waxwing(&args)?.code(code).json())
    };
    fs::remove_dir_all(project.dir.join("dev/eu"))?;
    fs::remove_file(project.dir.join("dev/both.yaml"))?;
    project.push("for one of them only")?;
    assert_eq!(run("recovery.txt", 0)?["state"], "Pushed");
    fs::write(project.dir.join("dev/more.txt"), "more")?;
    project.push("on it goes")?;
    let report = run("prod.txt", 4)?;
    assert_eq!((&report["state"], &report["leftOver"]), (&json!("NothingDue"), &Value::Null), "{report}");
    Ok(())
}

/// Guards: `Rewrapped::does_more_than` and `Job::still_opens`: what opened on the default branch opens on a commit that ours comes on top of.
#[test]
fn a_commit_that_damages_envelopes_is_no_other_jobs() -> Result<()> {
    for with_hints in [false, true] {
        let (project, _) = two_clusters(&format!("git-damaging-{with_hints}"))?;
        let run = |identity: &str, code: i32| -> Result<Value> {
            let args = ["rewrap", "--git", URL, "--identity", identity, "--output", "json"];
            Ok(project.waxwing(&args)?.code(code).json())
        };
        assert_eq!(run("recovery.txt", 5)?["state"], "Pushed");
        // On top of it, as a job would: the envelope of another resource for the same cluster, under the old hints or those
        // of the rule.
        project.dev(&["fetch", "-q", "origin"])?;
        project.dev(&["checkout", "-q", "-f", "--detach", &format!("origin/{BRANCH}")])?;
        let dev = project.dir.join("dev");
        if with_hints {
            let path = dev.display().to_string();
            project.waxwing(&["rewrap", &path, "--identity", "prod.txt"])?.code(5);
        }
        let age = |text: &str| -> (String, String) {
            let from = text.find("age: ").unwrap();
            let folded = &text[from..text.find("  data:").unwrap()];
            (folded.to_owned(), folded.trim_start_matches("age: ").trim_start_matches(">-").trim().to_owned())
        };
        let (db, other) =
            (fs::read_to_string(dev.join("eu/db.yaml"))?, fs::read_to_string(dev.join("both.yaml"))?);
        // In one line, as a job writes it.
        let damaged = db.replace(&age(&db).0, &format!("age: {}\n", age(&other).1));
        fs::write(dev.join("eu/db.yaml"), format!("{}\n", damaged.trim_end()))?;
        let date = "2026-01-01T00:00:00Z";
        let env = [("GIT_AUTHOR_DATE", date), ("GIT_COMMITTER_DATE", date)];
        project.dev_with(&env, &["commit", "-q", "-m", "Rewrap\n\nWaxwing-Job: rewrap", "eu/db.yaml"])?;
        project.dev(&["push", "-q", "origin", &format!("HEAD:refs/heads/{BRANCH}")])?;
        let forged = project.tip(BRANCH);

        let report = run("prod.txt", 5)?;
        assert_eq!(
            (&report["state"], report["failures"].as_array().map(Vec::len)),
            (&json!("Pushed"), Some(3))
        );
        project.check_opens(BRANCH, "eu/db.yaml", "added.txt")?;
        assert_eq!(run("recovery.txt", 5)?["state"], "Pushed");
        assert_eq!(run("prod.txt", 5)?["state"], "Current");
        for file in ["eu/db.yaml", "us/db.yaml"] {
            project.check_opens(BRANCH, file, "added.txt")?;
        }
        let all = project.bare(&["rev-list", &format!("main..{BRANCH}")])?;
        assert!(all.lines().count() == 2 && !all.contains(&forged), "{all}");
    }
    Ok(())
}

/// What can be read once only is read after the command has run itself again, and no folder of it is left.
#[test]
fn the_token_comes_by_standard_input_too() -> Result<()> {
    block_on(async {
        let project = Project::new("git-stdin")?;
        project.make_due()?;
        let web = Web::start(&project).await?;
        let forge = Forge::start("forge-stdin").await?;
        let credentials = web.credentials(&project)?;
        let identity = project.dir.join("prod.txt").display().to_string();
        let args = ["rewrap", "--git", &web.url, "--git-credentials", &credentials, "--identity", &identity];
        let more = ["--forge", "gitlab", "--forge-url", &forge.url, "--forge-token-file", "-"];
        for (token, code) in [("", 1), (TOKEN, 0)] {
            let mut command = project.command(&[&args[..], &more].concat());
            let mut child = command.stdin(Stdio::piped()).spawn()?;
            child.stdin.take().unwrap().write_all(token.as_bytes())?;
            let output = child.wait_with_output()?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(code), "{said}");
            let left: Vec<_> = fs::read_dir(project.dir.join("tmp"))?.collect();
            assert!(left.is_empty(), "temporary folders go: {left:?}");
        }
        assert_eq!(forge.requests().await?.as_array().map(Vec::len), Some(1));
        Ok(())
    })
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
