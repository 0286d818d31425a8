//! `waxwing rewrap --git` where somebody wants it to talk to another server: by a configuration of Git's, by a redirect, by a
//! request from a fork. Credentials do not follow.

use std::fs;

use anyhow::Result;
use serde_json::json;
use waxwing_tests::block_on;
use waxwing_tests::git_servers::{Forge, PASSWORD, Project, TOKEN, USER, Web, script};

const BRANCH: &str = "waxwing/rewrap";

/// A second server with the same repository and the same password, at which nobody should log in.
struct Elsewhere {
    project: Project,
    web: Web,
}

impl Elsewhere {
    async fn start(name: &str) -> Result<Self> {
        let project = Project::new(name)?;
        let web = Web::start(&project).await?;
        for before in [&web.before_fetch, &web.before_push] {
            script(before, ":")?;
        }
        Ok(Self { project, web })
    }

    /// Fails when somebody has logged in.
    fn check_unseen(&self, when: &str) {
        for before in [&self.web.before_fetch, &self.web.before_push] {
            assert!(before.exists(), "{when}: credentials went to another server");
        }
        assert_eq!(self.project.tip(BRANCH), "", "{when}");
    }
}

/// A folder with credentials, for a job that trusts the certificates of both.
fn credentials(project: &Project, web: &Web, elsewhere: &Web) -> Result<String> {
    let both = format!("{}\n{}", web.certs.ca_pem, elsewhere.certs.ca_pem);
    let files = [("username", USER), ("password", PASSWORD), ("ca.crt", both.as_str())];
    Ok(project.credentials("both", &files)?.display().to_string())
}

/// K24. Guard: `Work::open` gives the clone an empty configuration, and `Server::remote` compares what came out of it.
#[test]
fn no_configuration_of_git_leads_to_another_server() -> Result<()> {
    block_on(async {
        let project = Project::new("git-instead")?;
        project.make_due()?;
        let web = Web::start(&project).await?;
        let elsewhere = Elsewhere::start("git-instead-other").await?;
        let credentials = credentials(&project, &web, &elsewhere.web)?;
        let args = ["--git-credentials", &credentials, "--work-dir", "kept", "--check"];
        project.job(&web.url, &args)?.code(3);
        let (here, there) = (&web.origin, &elsewhere.web.origin);
        let text = format!("[url \"{there}/\"]\ninsteadOf = {here}/\npushInsteadOf = {here}/\n");
        // The user's, in both places, and the kept clone's own.
        for file in ["home/.config/git/config", "home/.gitconfig", "kept/repository.git/config"] {
            let file = project.dir.join(file);
            let before = fs::read_to_string(&file).unwrap_or_default();
            fs::create_dir_all(file.parent().unwrap())?;
            fs::write(&file, format!("{before}{text}"))?;
        }
        project.job(&web.url, &args)?.code(3);
        elsewhere.check_unseen("checked");
        project.job(&web.url, &args[..4])?.code(0);
        elsewhere.check_unseen("pushed");
        assert_ne!(project.tip(BRANCH), "");
        Ok(())
    })
}

/// K24. Guard: `RemoteRedirect::None`, for the fetch and for the push, and what `Server::callbacks` compares.
#[test]
fn credentials_do_not_follow_a_git_server_that_points_elsewhere() -> Result<()> {
    block_on(async {
        let project = Project::new("git-redirect")?;
        project.make_due()?;
        let web = Web::start(&project).await?;
        let elsewhere = Elsewhere::start("git-redirect-other").await?;
        let credentials = credentials(&project, &web, &elsewhere.web)?;
        let move_away = format!("printf %s '{}' > '{}'", elsewhere.web.origin, web.moved_to.display());
        let open = format!("{}/open/team/apps.git", web.origin);
        // From the beginning, and once everything was fetched.
        fs::write(&web.moved_to, &elsewhere.web.origin)?;
        for url in [&web.url, &open] {
            let ended = project.job(url, &["--git-credentials", &credentials])?.code(1);
            assert!(!ended.said().contains(PASSWORD), "{}", ended.said());
            elsewhere.check_unseen("fetching");
        }
        fs::remove_file(&web.moved_to)?;
        let next = project.dir.join("next");
        script(&next, &move_away)?;
        script(&web.before_fetch, &format!("mv '{}' '{}'", next.display(), web.before_fetch.display()))?;
        project.job(&open, &["--git-credentials", &credentials])?.code(1);
        assert!(!web.before_fetch.exists() && web.moved_to.exists());
        elsewhere.check_unseen("pushing");
        fs::remove_file(&web.moved_to)?;
        project.job(&open, &["--git-credentials", &credentials])?.code(0);
        Ok(())
    })
}

/// K24. Guard: `Policy::none` in `Caller::new`.
#[test]
fn the_token_does_not_follow_a_forge_that_points_elsewhere() -> Result<()> {
    block_on(async {
        for kind in ["github", "gitlab"] {
            let project = Project::new(&format!("git-moved-{kind}"))?;
            project.make_due()?;
            let forge = Forge::start(&format!("forge-moved-{kind}")).await?;
            let elsewhere = Forge::start(&format!("forge-moved-{kind}-other")).await?;
            forge.move_to(&elsewhere.url).await?;
            let ended = ask(&project, kind, &forge.url)?.code(5);
            assert!(ended.err.contains("the forge answered 307"), "{}", ended.err);
            let calls = elsewhere.calls().await?;
            assert!(calls.is_empty(), "{calls:?}");
        }
        Ok(())
    })
}

/// K24. Guard: `tls_certs_only` in `Caller::new`: `ca.crt` stands instead of what the system trusts, for the forge too.
#[test]
fn a_forge_is_trusted_by_the_same_certificates_as_the_git_server() -> Result<()> {
    block_on(async {
        let project = Project::new("git-ca")?;
        project.make_due()?;
        let web = Web::start(&project).await?;
        let elsewhere = Web::start(&Project::new("git-ca-other")?).await?;
        fs::write(project.dir.join("token"), TOKEN)?;
        let credentials = web.credentials(&project)?;
        let run = |url: &str| -> Result<String> {
            let api = format!("{}/api/v4", elsewhere.origin);
            let mut command = project.command(&[
                "rewrap",
                "--git",
                url,
                "--git-credentials",
                &credentials,
                "--identity",
                "prod.txt",
                "--forge",
                "gitlab",
                "--forge-url",
                &api,
                "--forge-project",
                "team/apps",
                "--forge-token-file",
                "token",
            ]);
            let output = command.env("SSL_CERT_FILE", &elsewhere.certs.ca).output()?;
            assert_eq!(output.status.code(), Some(5));
            Ok(String::from_utf8_lossy(&output.stderr).into_owned())
        };
        for url in ["repos/team/apps.git", &web.url] {
            let said = run(url)?;
            assert!(said.contains("its certificate may not be trusted"), "{said}");
        }
        // Both in one file.
        let both = format!("{}\n{}", web.certs.ca_pem, elsewhere.certs.ca_pem);
        fs::write(project.dir.join("web-credentials/ca.crt"), both)?;
        let said = run(&web.url)?;
        assert!(said.contains("the forge answered 401"), "{said}");
        Ok(())
    })
}

/// K25. Guard: `is_own` of both forges.
#[test]
fn a_request_from_a_fork_is_not_taken_for_the_jobs() -> Result<()> {
    block_on(async {
        for kind in ["github", "gitlab"] {
            let project = Project::new(&format!("git-fork-{kind}"))?;
            project.make_due()?;
            let forge = Forge::start(&format!("forge-fork-{kind}")).await?;
            forge.fork(BRANCH).await?;
            let opened = ask(&project, kind, &forge.url)?.code(0).json();
            assert_eq!(
                (&opened["request"]["number"], &opened["request"]["state"]),
                (&json!(2), &json!("Opened"))
            );
            let kept = ask(&project, kind, &forge.url)?.code(0).json();
            assert_eq!((&kept["request"]["number"], &kept["request"]["state"]), (&json!(2), &json!("Kept")));
            assert_eq!(forge.requests().await?[0]["title"], "by a fork");
        }
        Ok(())
    })
}

fn ask(project: &Project, kind: &str, url: &str) -> Result<waxwing_tests::git_servers::Ended> {
    fs::write(project.dir.join("token"), TOKEN)?;
    let args =
        ["--forge", kind, "--forge-url", url, "--forge-project", "team/apps", "--forge-token-file", "token"];
    project.job("repos/team/apps.git", &[&args[..], &["--output", "json"]].concat())
}
