//! `waxwing rewrap --git` against a folder, a web server and an ssh server: what is committed, what is pushed where, and what
//! is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::Result;
use serde_json::json;
use waxwing_tests::block_on;
use waxwing_tests::git_servers::{PASSWORD, Project, Ssh, Web};

const BRANCH: &str = "waxwing/rewrap";

/// A name, an address, the files of the credentials, and what is said.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);

/// One run that pushes, one that has nothing to do, at any kind of server.
fn check(project: &Project, url: &str, args: &[&str]) -> Result<()> {
    let nothing = project.job(url, args)?.code(0);
    assert!(nothing.err.contains("nothing to do: all of 2 resources"), "{}", nothing.err);
    project.make_due()?;
    let main = project.tip("main");
    let looked = project.job(url, &[args, &["--check"]].concat())?.code(3);
    assert!(looked.err.contains("2 of 2 resources would be rewrapped"), "{}", looked.err);
    assert_eq!(project.tip(BRANCH), "", "a check pushes nothing");

    let pushed = project.job(url, &[args, &["--output", "json"]].concat())?.code(0);
    let report = pushed.json();
    let tip = project.tip(BRANCH);
    assert_eq!((&report["state"], &report["commit"]), (&json!("Pushed"), &json!(tip)), "{report}");
    assert_eq!(report["base"], json!({"branch": "main", "commit": main}));
    assert_eq!(report["changed"].as_array().map(Vec::len), Some(2));
    assert_eq!(project.tip("main"), main, "the default branch is as it was");
    for file in ["apps/db.yaml", "apps/api.yaml"] {
        project.check_opens(BRANCH, file, "recovery.txt")?;
        project.check_opens(BRANCH, file, "prod.txt")?;
    }
    // Envelope lines, and nothing else: two of each file.
    let changed = project.bare(&["diff", "--numstat", "main", BRANCH])?;
    assert_eq!(changed, "2\t2\tapps/api.yaml\n2\t2\tapps/db.yaml");
    let message = project.bare(&["log", "-1", "--format=%an <%ae>%n%B", BRANCH])?;
    for part in [
        "waxwing <noreply@waxwing.dev>\nRewrap 2 resources for the recipients of their rules\n",
        &format!(
            "apps/db.yaml\n  SealedSecret web/db: prod/{id} -> prod/{id}, recovery/{other}\n",
            id = project.prod.id(),
            other = project.recovery.id()
        ),
    ] {
        assert!(message.contains(part), "{message}");
    }

    let again = project.job(url, &[args, &["--output", "json"]].concat())?.code(0);
    assert_eq!(again.json()["state"], "Current");
    assert_eq!(project.tip(BRANCH), tip, "rewrapping is random, so a second commit would be another");
    assert_eq!(project.job(url, &[args, &["--check"]].concat())?.code, 0);

    // The default branch goes on; the branch follows.
    project.seal("apps/new.yaml", "new")?;
    project.push("one more")?;
    assert_eq!(project.job(url, &[args, &["--output", "json"]].concat())?.code(0).json()["state"], "Pushed");
    assert_eq!(project.bare(&["rev-list", "--count", &format!("main..{BRANCH}")])?, "1");
    project.check_opens(BRANCH, "apps/new.yaml", "recovery.txt")?;
    // The rules go back: what the branch has is not wanted any more.
    let before = project.tip("main");
    project.rules(false)?;
    project.push("recovery for nobody")?;
    let left = project.job(url, &[args, &["--output", "json"]].concat())?.code(0);
    assert_eq!(
        (&left.json()["state"], &left.json()["leftOver"]),
        (&json!("NothingDue"), &json!(project.tip(BRANCH)))
    );
    assert!(left.err.contains("waxwing/rewrap is left over"), "{}", left.err);
    project.bare(&["update-ref", "refs/heads/main", &before])?;
    // Merged, there is nothing left to do.
    project.bare(&["update-ref", "refs/heads/main", BRANCH])?;
    let merged = project.job(url, &[args, &["--output", "json"]].concat())?.code(0);
    assert_eq!((&merged.json()["state"], &merged.json()["leftOver"]), (&json!("NothingDue"), &json!(null)));
    assert!(!merged.err.contains("left over"), "{}", merged.err);
    Ok(())
}

#[test]
fn a_repository_in_a_folder_is_rewrapped_on_a_branch_of_its_own() -> Result<()> {
    let project = Project::new("git-folder")?;
    check(&project, "repos/team/apps.git", &[])?;
    let left: Vec<_> = fs::read_dir(project.dir.join("tmp"))?.collect();
    assert!(left.is_empty(), "temporary folders go: {left:?}");
    Ok(())
}

#[test]
fn a_repository_behind_a_web_server_is_rewrapped_with_the_clone_kept() -> Result<()> {
    block_on(async {
        let project = Project::new("git-web")?;
        let web = Web::start(&project).await?;
        let credentials = web.credentials(&project)?;
        check(&project, &web.url, &["--git-credentials", &credentials, "--work-dir", "kept"])?;
        assert!(project.dir.join("kept/repository.git").is_dir());
        Ok(())
    })
}

#[test]
fn a_repository_behind_sshd_is_rewrapped() -> Result<()> {
    block_on(async {
        let project = Project::new("git-ssh")?;
        let ssh = Ssh::start(&project).await?;
        let credentials = ssh.credentials(&project)?;
        // The developer's pushes are root's, and the server is somebody else.
        project.bare(&["config", "core.sharedRepository", "0777"])?;
        // As Git writes it: a path without a slash begins where the user logs in, here in `home`.
        project.make_due()?;
        let (server, path) = ssh.url.trim_start_matches("ssh://").split_once('/').unwrap();
        for path in ["../repos/team/apps.git", "~/../repos/team/apps.git", &format!("/{path}")] {
            project.job(&format!("[{server}]:{path}"), &["--git-credentials", &credentials])?.code(0);
            project.check_opens(BRANCH, "apps/db.yaml", "recovery.txt")?;
            project.bare(&["update-ref", "-d", &format!("refs/heads/{BRANCH}")])?;
        }
        project.rules(false)?;
        project.push("as in the beginning")?;
        check(&project, &ssh.url, &["--git-credentials", &credentials])
    })
}

/// K24. Guard: known_hosts is asked (no callback overrules it), the certificate is checked against ca.crt, and errors are masked.
#[test]
fn servers_that_are_not_who_they_should_be_get_nothing_and_errors_show_no_credential() -> Result<()> {
    block_on(async {
        let project = Project::new("git-strangers")?;
        project.make_due()?;
        let web = Web::start(&project).await?;
        let ssh = Ssh::start(&project).await?;
        let ca = web.certs.ca_pem.as_str();
        let right = ssh.known_hosts.as_str();
        let identity = fs::read_to_string(&ssh.identity)?;
        let another = fs::read_to_string(project.dir.join("ssh/user.pub"))?;
        let other = format!("{} {another}", right.split(' ').next().unwrap());
        let elsewhere = format!("git.example {another}");
        let wrong_key = fs::read_to_string(project.dir.join("ssh/host"))?;
        let cases: [Case<'_>; 9] = [
            (
                "no-ca",
                &web.url,
                &[("username", "robot"), ("password", PASSWORD)],
                "certificate of the server is not trusted",
            ),
            (
                "wrong-password",
                &web.url,
                &[("username", "robot"), ("password", "Zz9wrongCanary"), ("ca.crt", ca)],
                "the server refused the credentials",
            ),
            ("no-password", &web.url, &[("ca.crt", ca)], "the server wants credentials"),
            ("bearer", &web.url, &[("bearerToken", PASSWORD), ("ca.crt", ca)], "refused the credentials"),
            ("no-known-hosts", &ssh.url, &[("identity", &identity)], "there is no known_hosts"),
            (
                "unknown-host",
                &ssh.url,
                &[("identity", &identity), ("known_hosts", &elsewhere)],
                "not in known_hosts",
            ),
            (
                "no-list",
                &ssh.url,
                &[("identity", &identity), ("known_hosts", "git.example ssh-ed25519 AAAA\n")],
                "known_hosts of --git-credentials",
            ),
            (
                "other-host-key",
                &ssh.url,
                &[("identity", &identity), ("known_hosts", &other)],
                "not in known_hosts",
            ),
            (
                "wrong-identity",
                &ssh.url,
                &[("identity", &wrong_key), ("known_hosts", right)],
                "the server refused the credentials",
            ),
        ];
        for (name, url, files, wanted) in cases {
            let folder = project.credentials(name, files)?.display().to_string();
            let ended = project.job(url, &["--git-credentials", &folder, "--verbose"])?;
            let said = ended.said();
            assert!(ended.code == 1 || ended.code == 2, "{name}: {said}");
            assert!(said.contains(wanted), "{name}: {said}");
            assert!(said.contains("hint:"), "{name}: {said}");
            for canary in [PASSWORD, "Zz9wrongCanary", "robot:", "PRIVATE KEY"] {
                assert!(!said.contains(canary), "{name}: {said}");
            }
        }
        let with_password = web.url.replace("https://", &format!("https://robot:{PASSWORD}@"));
        let ended = project.job(&with_password, &[])?.code(2);
        assert!(!ended.said().contains(PASSWORD), "{}", ended.said());
        assert_eq!(project.tip(BRANCH), "");
        Ok(())
    })
}

/// K25. Guard: `Branch::guard`, and `Branch::new`, which wants a prefix with a slash.
#[test]
fn the_default_branch_is_never_pushed() -> Result<()> {
    let project = Project::new("git-default")?;
    project.make_due()?;
    let url = "repos/team/apps.git";
    project.job(url, &["--branch-prefix", "", "--branch", "main"])?.code(2);
    project.job(url, &["--branch-prefix", "ma", "--branch", "in"])?.code(2);
    // A default branch below the prefix.
    project.bare(&["branch", "-m", "main", "waxwing/main"])?;
    project.bare(&["symbolic-ref", "HEAD", "refs/heads/waxwing/main"])?;
    let before = project.tip("waxwing/main");
    let ended = project.job(url, &["--branch", "main"])?.code(1);
    assert!(ended.err.contains("refs/heads/waxwing/main is not pushed"), "{}", ended.err);
    assert_eq!(project.tip("waxwing/main"), before);
    Ok(())
}

/// K26. Guard: `genuine::changes_envelopes_only` for the branch of the job, and `Work::open`, which takes no folder below other
/// rules.
#[test]
fn rules_of_another_branch_add_nobody() -> Result<()> {
    let project = Project::new("git-rules")?;
    let url = "repos/team/apps.git";
    // Somebody proposes themselves as a recipient: in a branch of their own, and in the one that the job looks at.
    project.dev(&["checkout", "-q", "-b", "mine"])?;
    project.rules(true)?;
    project.dev(&["commit", "-qam", "me too\n\nWaxwing-Job: rewrap"])?;
    project.dev(&["push", "-q", "origin", "mine", &format!("mine:{BRANCH}")])?;
    let mine = project.tip("mine");
    let ended = project.job(url, &[])?.code(1);
    assert!(ended.err.contains("1 commit of somebody else"), "{}", ended.err);
    assert_eq!(project.tip(BRANCH), mine);
    project.bare(&["update-ref", "-d", &format!("refs/heads/{BRANCH}")])?;
    assert_eq!(project.job(url, &["--output", "json"])?.code(0).json()["state"], "NothingDue");
    // Nor do those of a folder above the job's.
    fs::copy(project.dir.join("dev/.waxwing.yaml"), project.dir.join(".waxwing.yaml"))?;
    let ended = project.job(url, &[])?.code(1);
    assert!(ended.err.contains("lies above the folder of the job"), "{}", ended.err);
    Ok(())
}

/// K26. Guard: `Work::export` ends the job where rules of a folder can't be taken, since those above name more readers.
#[test]
fn rules_that_are_no_plain_file_end_the_job() -> Result<()> {
    let project = Project::new("git-nested-rules")?;
    let url = "repos/team/apps.git";
    project.rules(false)?;
    let narrow = fs::read_to_string(project.dir.join("dev/.waxwing.yaml"))?;
    let nested = project.dir.join("dev/apps/.waxwing.yaml");
    fs::write(project.dir.join("dev/apps/rules.txt"), &narrow)?;
    std::os::unix::fs::symlink("rules.txt", &nested)?;
    project.make_due()?;
    let refused = || -> Result<()> {
        let ended = project.job(url, &[])?.code(1);
        assert!(
            ended.err.contains("apps/.waxwing.yaml: rules are taken from regular files"),
            "{}",
            ended.err
        );
        assert_eq!(project.tip(BRANCH), "");
        Ok(())
    };
    refused()?;
    fs::remove_file(&nested)?;
    fs::write(&nested, format!("{narrow}#{}\n", "x".repeat(1024 * 1024)))?;
    project.push("a large one")?;
    refused()?;
    fs::remove_file(&nested)?;
    fs::create_dir(&nested)?;
    fs::write(nested.join("file"), "")?;
    project.push("a folder")?;
    refused()?;
    fs::remove_dir_all(&nested)?;
    fs::write(&nested, &narrow)?;
    project.push("a plain file")?;
    assert_eq!(project.job(url, &["--output", "json"])?.code(0).json()["state"], "NothingDue");
    Ok(())
}

/// K26. Guard: `genuine::changes_envelopes_only`, since author, dates and the last line of a message can be forged.
#[test]
fn a_commit_that_says_that_a_job_made_it_is_believed_by_what_it_changes() -> Result<()> {
    let project = Project::new("git-forged")?;
    project.make_due()?;
    let url = "repos/team/apps.git";
    project.job(url, &[])?.code(0);
    let job = project.tip(BRANCH);
    let date = "2026-01-01T00:00:00Z";
    let env = [("GIT_AUTHOR_DATE", date), ("GIT_COMMITTER_DATE", date)];
    let forge = |name: &str, change: &dyn Fn() -> Result<()>| -> Result<()> {
        project.dev(&["fetch", "-q", "origin"])?;
        project.dev(&["checkout", "-q", "-f", "--detach", &job])?;
        change()?;
        project.dev(&["add", "-A"])?;
        let tree = project.dev(&["write-tree"])?;
        let args = ["commit-tree", "-p", "origin/main", "-m", "Rewrap\n\nWaxwing-Job: rewrap", &tree];
        let forged = project.dev_with(&env, &args)?;
        project.dev(&["push", "-q", "--force", "origin", &format!("{forged}:refs/heads/{BRANCH}")])?;
        let ended = project.job(url, &["--output", "json"])?;
        if name == "nothing" {
            assert_eq!(ended.code(0).json()["state"], "Current");
        } else {
            assert_eq!(ended.code, 1, "{name}: {}", ended.said());
            assert!(ended.err.contains("1 commit of somebody else on the branch"), "{name}: {}", ended.err);
        }
        assert_eq!(project.tip(BRANCH), forged, "{name}");
        Ok(())
    };
    let db = project.dir.join("dev/apps/db.yaml");
    let edit = |from: &str, to: &str| -> Result<()> {
        let text = fs::read_to_string(&db)?;
        assert!(text.contains(from), "{text}");
        Ok(fs::write(&db, text.replace(from, to))?)
    };
    forge("nothing", &|| Ok(()))?;
    forge("rules", &|| project.rules(false))?;
    forge("another value", &|| project.seal("apps/db.yaml", "db"))?;
    forge("a comment", &|| edit("# db: ask the team", "# db: ask mallory"))?;
    forge("a field", &|| edit("namespace: web", "namespace: web\n  labels: {a: b}"))?;
    forge("one more file", &|| project.seal("apps/more.yaml", "more"))?;
    forge("one file less", &|| Ok(fs::remove_file(&db)?))?;
    forge("a program", &|| Ok(fs::set_permissions(&db, fs::Permissions::from_mode(0o755))?))?;
    Ok(())
}

/// Guard: `Job::refuse_others`.
#[test]
fn commits_of_somebody_else_stay_and_are_named() -> Result<()> {
    let project = Project::new("git-others")?;
    project.make_due()?;
    let url = "repos/team/apps.git";
    project.job(url, &[])?.code(0);
    let meddle = |args: &[&str]| -> Result<String> {
        project.dev(&["fetch", "-q", "origin"])?;
        project.dev(&["checkout", "-q", "-B", "theirs", &format!("origin/{BRANCH}")])?;
        project.dev(&[&["commit", "-q", "--allow-empty"], args].concat())?;
        project.dev(&["push", "-q", "--force", "origin", &format!("HEAD:{BRANCH}")])?;
        Ok(project.tip(BRANCH))
    };
    // A commit on top, and the job's own commit amended.
    for args in [["-m", "by hand"].as_slice(), &["--amend", "--no-edit"]] {
        let job = project.tip(BRANCH);
        let theirs = meddle(args)?;
        let ended = project.job(url, &[])?.code(1);
        let short = &theirs[..12];
        assert!(
            ended.err.contains(&format!("1 commit of somebody else on the branch {BRANCH}: {short} by ")),
            "{}",
            ended.err
        );
        assert_eq!(project.tip(BRANCH), theirs);
        project.bare(&["update-ref", &format!("refs/heads/{BRANCH}"), &job])?;
    }
    project.job(url, &[])?.code(0);
    Ok(())
}

#[test]
fn a_resource_that_fails_is_named_and_the_rest_goes_on() -> Result<()> {
    let project = Project::new("git-partly")?;
    project.make_due()?;
    // Sealed for a key that is not at hand.
    let other = Project::new("git-partly-other")?;
    fs::copy(other.dir.join("dev/apps/db.yaml"), project.dir.join("dev/apps/db.yaml"))?;
    // And one in an encoding that YAML does not have.
    let mut latin = fs::read(project.dir.join("dev/apps/api.yaml"))?;
    latin.extend(b"# na\xefve\n");
    fs::write(project.dir.join("dev/apps/latin.yaml"), latin)?;
    project.push("one of another key, and one of another encoding")?;
    let ended = project.job("repos/team/apps.git", &["--output", "json"])?.code(5);
    let report = ended.json();
    assert_eq!(report["state"], "Pushed");
    assert_eq!(report["changed"].as_array().map(Vec::len), Some(1), "{report}");
    assert_eq!(report["failures"].as_array().map(Vec::len), Some(2), "{report}");
    assert_eq!(report["failures"][0]["file"], "apps/db.yaml");
    assert_eq!(report["failures"][1], json!({"file": "apps/latin.yaml", "why": "not UTF-8 text"}));
    assert!(ended.err.contains("error: apps/latin.yaml: not UTF-8 text"), "{}", ended.err);
    let message = project.bare(&["log", "-1", "--format=%B", BRANCH])?;
    assert!(message.contains("\nNot rewrapped:\n  apps/db.yaml: SealedSecret web/db: "), "{message}");
    assert!(!ended.said().contains("waxwing-git-"), "paths are the repository's: {}", ended.said());
    project.check_opens(BRANCH, "apps/api.yaml", "recovery.txt")
}

/// K26. Guard: `Work::export` writes regular files only, so no link of the repository leads anywhere.
#[test]
fn links_in_the_repository_are_not_followed() -> Result<()> {
    let project = Project::new("git-links")?;
    project.make_due()?;
    let outside = project.dir.join("outside.yaml");
    fs::copy(project.dir.join("dev/apps/db.yaml"), &outside)?;
    let before = fs::read(&outside)?;
    std::os::unix::fs::symlink(&outside, project.dir.join("dev/apps/link.yaml"))?;
    std::os::unix::fs::symlink(&project.dir, project.dir.join("dev/folder"))?;
    project.push("links")?;
    // A link's blob is the path that it leads to. No path, but a blob of the same kind: a resource.
    let blob = project.dev(&["rev-parse", "HEAD:apps/db.yaml"])?;
    project.dev(&["update-index", "--add", "--cacheinfo", &format!("120000,{blob},apps/words.yaml")])?;
    project.dev(&["commit", "-q", "-m", "a link of many words"])?;
    project.dev(&["push", "-q", "origin", "HEAD:main"])?;
    let report = project.job("repos/team/apps.git", &["--output", "json"])?.code(0).json();
    assert_eq!(report["resources"], 2);
    assert_eq!(fs::read(&outside)?, before);
    let link = project.bare(&["ls-tree", BRANCH, "apps/link.yaml"])?;
    assert!(link.starts_with("120000 "), "{link}");
    let words = project.bare(&["ls-tree", BRANCH, "apps/words.yaml"])?;
    assert!(words.starts_with(&format!("120000 blob {blob}")), "{words}");
    Ok(())
}
