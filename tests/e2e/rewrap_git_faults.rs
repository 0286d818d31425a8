//! `waxwing rewrap --git` when things go wrong: somebody else pushes meanwhile, the server refuses, the disk is full, the job
//! is killed. Nothing is lost, and the next run does what is missing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde_json::json;
use waxwing_tests::block_on;
use waxwing_tests::git_servers::{PASSWORD, Project, Web};
use waxwing_tests::http::{self, Tls};

const BRANCH: &str = "waxwing/rewrap";

fn leave(path: &Path, text: &str) -> Result<()> {
    fs::write(path, format!("#!/bin/sh\n{text}\n"))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// Guard: `Server::push` compares what the server has with what was fetched, in `push_negotiation`.
#[test]
fn somebody_elses_push_in_between_is_never_overwritten() -> Result<()> {
    block_on(async {
        let project = Project::new("git-race")?;
        let web = Web::start(&project).await?;
        let credentials = web.credentials(&project)?;
        let args = ["--git-credentials", &credentials, "--output", "json"];
        // Before the server says what it has to whoever pushes, and between that and the push.
        for (moment, when) in
            [(&web.before_push, "before the branches are told"), (&web.before_update, "after that")]
        {
            project.make_due()?;
            leave(moment, &project.meddle(BRANCH))?;
            let ended = project.job(&web.url, &args)?.code(1);
            assert!(!moment.exists(), "it happened: {}", ended.said());
            assert!(ended.err.contains("have moved meanwhile; once more"), "{when}: {}", ended.err);
            assert!(ended.err.contains("1 commit of somebody else"), "{when}: {}", ended.err);
            assert_eq!(project.bare(&["log", "-1", "--format=%s", BRANCH])?, "by hand", "{when}");
            project.bare(&["update-ref", "-d", &format!("refs/heads/{BRANCH}")])?;
        }
        Ok(())
    })
}

/// Guard: `Server::push` looks at the default branch once more.
#[test]
fn a_default_branch_that_moves_meanwhile_is_rewrapped_as_it_is_then() -> Result<()> {
    block_on(async {
        let project = Project::new("git-moving")?;
        project.make_due()?;
        let web = Web::start(&project).await?;
        let credentials = web.credentials(&project)?;
        // Somebody's push to the default branch, after the job has fetched it and before it looks once more.
        let next = project.dir.join("next");
        leave(&next, &project.meddle("main"))?;
        leave(&web.before_fetch, &format!("mv '{}' '{}'", next.display(), web.before_fetch.display()))?;
        let ended = project.job(&web.url, &["--git-credentials", &credentials, "--output", "json"])?.code(0);
        assert!(ended.err.contains("have moved meanwhile; once more"), "{}", ended.err);
        assert_eq!(ended.json()["state"], "Pushed");
        assert_eq!(ended.json()["base"]["commit"], json!(project.tip("main")));
        project.check_opens(BRANCH, "apps/db.yaml", "recovery.txt")?;
        // And one that comes after that look.
        leave(&web.before_push, &project.meddle("main"))?;
        project.seal("apps/more.yaml", "more")?;
        project.dev(&["add", "-A"])?;
        project.dev(&["commit", "-q", "-m", "more"])?;
        project.dev(&["pull", "-q", "--rebase", "origin", "main"])?;
        project.dev(&["push", "-q", "origin", "HEAD:main"])?;
        let ended = project.job(&web.url, &["--git-credentials", &credentials, "--output", "json"])?.code(0);
        assert_eq!(ended.json()["state"], "Pushed");
        // What came after the last look is for the next run.
        let again = project.job(&web.url, &["--git-credentials", &credentials, "--output", "json"])?.code(0);
        assert_eq!(again.json()["base"]["commit"], json!(project.tip("main")));
        assert_eq!(project.bare(&["merge-base", "main", BRANCH])?, project.tip("main"));
        Ok(())
    })
}

#[test]
fn a_push_that_a_hook_refuses_says_why_and_loses_nothing() -> Result<()> {
    block_on(async {
        let project = Project::new("git-hook")?;
        project.make_due()?;
        let web = Web::start(&project).await?;
        let credentials = web.credentials(&project)?;
        project.hook(
            "pre-receive",
            &format!("printf 'frozen until Monday\\033[2J ({PASSWORD})\\n' >&2; exit 1"),
        )?;
        let ended = project.job(&web.url, &["--git-credentials", &credentials])?.code(1);
        assert!(
            ended.err.contains("the server refused waxwing/rewrap: pre-receive hook declined"),
            "{}",
            ended.err
        );
        assert!(ended.err.contains("the server said: frozen until Monday [2J (***)"), "{}", ended.err);
        assert!(!ended.err.contains('\u{1b}') && !ended.err.contains(PASSWORD), "{}", ended.err);
        assert_eq!(project.tip(BRANCH), "");
        fs::remove_file(project.repository().join("hooks/pre-receive"))?;
        project.job(&web.url, &["--git-credentials", &credentials])?.code(0);
        // Servers that let nobody rewrite a branch: the one that is there stays.
        project.seal("apps/more.yaml", "more")?;
        project.push("more")?;
        let before = project.tip(BRANCH);
        project.bare(&["config", "receive.denyNonFastForwards", "true"])?;
        let ended = project.job(&web.url, &["--git-credentials", &credentials])?.code(1);
        assert!(ended.err.contains("the server refused waxwing/rewrap"), "{}", ended.err);
        assert_eq!(project.tip(BRANCH), before);
        Ok(())
    })
}

#[test]
fn a_job_that_is_killed_is_finished_by_the_next() -> Result<()> {
    block_on(async {
        let project = Project::new("git-killed")?;
        project.make_due()?;
        let web = Web::start(&project).await?;
        let credentials = web.credentials(&project)?;
        let identity = project.dir.join("prod.txt").display().to_string();
        let all = [
            "rewrap",
            "--git",
            &web.url,
            "--identity",
            &identity,
            "--git-credentials",
            &credentials,
            "--work-dir",
            "kept",
        ];
        // Killed while the server is about to take the push: the commit is made, the branch is not.
        let pid = project.dir.join("pid");
        leave(&web.before_update, &format!("kill -9 $(cat '{}')", pid.display()))?;
        let mut child = project.command(&all).spawn()?;
        fs::write(&pid, child.id().to_string())?;
        let status = child.wait()?;
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{status}");
        // The server may have finished what was asked of it, or not; either way the next run is right.
        project.job(&web.url, &["--git-credentials", &credentials, "--work-dir", "kept"])?.code(0);
        project.check_opens(BRANCH, "apps/db.yaml", "recovery.txt")?;
        assert_eq!(project.bare(&["rev-list", "--count", &format!("main..{BRANCH}")])?, "1");
        Ok(())
    })
}

#[test]
fn two_jobs_do_not_meet_in_one_folder() -> Result<()> {
    block_on(async {
        let project = Project::new("git-lock")?;
        project.make_due()?;
        let web = Web::start(&project).await?;
        let credentials = web.credentials(&project)?;
        let args = ["--git-credentials", &credentials, "--work-dir", "kept"];
        // The first job waits for the server, which starts the second.
        let second = project.dir.join("second.log");
        let cli = waxwing_tests::tools::cli();
        let line = format!(
            "cd '{}'; env -i PATH=\"$PATH\" HOME='{}' '{}' rewrap --git '{}' --identity prod.txt {} >'{}' 2>&1",
            project.dir.display(),
            project.dir.join("home").display(),
            cli.display(),
            web.url,
            args.join(" "),
            second.display()
        );
        leave(&web.before_push, &format!("({line}); true"))?;
        project.job(&web.url, &args)?.code(0);
        let said = fs::read_to_string(&second)?;
        assert!(said.contains("another job is at work in it"), "{said}");
        Ok(())
    })
}

/// What a crash or a disk can leave in a kept clone; each would end every later run.
#[test]
fn a_kept_clone_that_is_damaged_is_made_anew() -> Result<()> {
    let project = Project::new("git-damaged")?;
    project.make_due()?;
    let run = |what: &str| -> Result<String> {
        // Not due and not there: the job has to fetch, to read all files, and to push.
        project.bare(&["update-ref", "-d", &format!("refs/heads/{BRANCH}")])?;
        let ended = project.job("repos/team/apps.git", &["--work-dir", "kept"])?;
        assert_eq!(ended.code, 0, "{what}: {}", ended.said());
        project.check_opens(BRANCH, "apps/db.yaml", "recovery.txt")?;
        Ok(ended.err)
    };
    let clone = project.dir.join("kept/repository.git");
    let pack = |end: &str| -> Result<PathBuf> {
        let all = fs::read_dir(clone.join("objects/pack"))?.flatten().map(|entry| entry.path());
        Ok(all.filter(|path| path.extension().is_some_and(|found| found == end)).max().unwrap())
    };
    let cut = |path: &Path| -> Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let half = fs::metadata(path)?.len() / 2;
        Ok(fs::File::options().write(true).open(path)?.set_len(half)?)
    };
    type Damage<'a> = (&'a str, &'a dyn Fn() -> Result<()>);
    let cases: [Damage<'_>; 7] = [
        ("a lock", &|| Ok(fs::write(clone.join("refs/waxwing/default.lock"), "")?)),
        ("another lock", &|| Ok(fs::write(clone.join("refs/waxwing/ours.lock"), "")?)),
        ("an empty reference", &|| Ok(fs::write(clone.join("refs/waxwing/default"), "")?)),
        ("no HEAD", &|| Ok(fs::remove_file(clone.join("HEAD"))?)),
        ("half a pack", &|| cut(&pack("pack")?)),
        ("half an index", &|| cut(&pack("idx")?)),
        ("no pack", &|| Ok(fs::remove_file(pack("pack")?)?)),
    ];
    run("new")?;
    for (what, damage) in cases {
        damage()?;
        run(what)?;
        assert!(!run(what)?.contains("made anew"), "{what}: once");
    }
    // The server's fault is none of the clone's.
    fs::write(clone.join("kept"), "")?;
    fs::rename(project.repository(), project.dir.join("away"))?;
    project.job("ssh://127.0.0.1:1/apps.git", &["--work-dir", "kept"])?.code(2);
    project.job("http://127.0.0.1:1/apps.git", &["--work-dir", "kept"])?.code(1);
    assert!(clone.join("kept").exists(), "it was made anew");
    Ok(())
}

/// The clone, the files, or the commit do not fit. Where the file system can't be made small, files can.
#[test]
fn a_full_disk_is_said_and_nothing_is_pushed() -> Result<()> {
    let project = Project::new("git-full")?;
    // What does not compress, and a file that is larger unpacked than packed.
    let text: String = (0..40_000).map(|_| format!("{:016x}\n", noise())).collect();
    fs::write(project.dir.join("dev/noise.txt"), text)?;
    let mut wide = fs::read_to_string(project.dir.join("dev/apps/db.yaml"))?;
    wide.push_str(&format!("# {}\n", "x".repeat(1_000_000)));
    fs::write(project.dir.join("dev/apps/db.yaml"), wide)?;
    project.make_due()?;
    let work = project.dir.join("small");
    fs::create_dir(&work)?;
    let identity = project.dir.join("prod.txt").display().to_string();
    let all = ["rewrap", "--git", "repos/team/apps.git", "--identity", &identity, "--work-dir", "small"];
    if let Some(large) = Small::mount(&work, 8192)? {
        let output = project.command(&all).output()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let used = large.used()?;
        drop(large);
        project.bare(&["update-ref", "-d", &format!("refs/heads/{BRANCH}")])?;
        // While it fetches, while it writes the files, and while it makes the commit.
        for (size, fetching) in [(128, true), (used / 2, false), (used - 80, false), (used - 16, false)] {
            let _small = Small::mount(&work, size)?.expect("it could be mounted before");
            // The second run finds what the first one has left.
            for time in ["first", "second"] {
                let output = project.command(&all).output()?;
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert_eq!(output.status.code(), Some(1), "{size} of {used} KiB, {time}: {said}");
                assert!(said.contains("free some space"), "{size} of {used} KiB, {time}: {said}");
                assert_eq!(said.contains("fetching: "), fetching, "{size} of {used} KiB, {time}: {said}");
                assert_eq!(project.tip(BRANCH), "");
            }
        }
    } else {
        let command = project.command(&all);
        let mut limited = Command::new("sh");
        let script = "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"";
        limited
            .args(["-c", script])
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(&project.dir);
        let output = limited.env("HOME", project.dir.join("home")).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("free some space"), "{said}");
        assert_eq!(project.tip(BRANCH), "");
    }
    project.job("repos/team/apps.git", &[])?.code(0);
    Ok(())
}

/// A file system of its own, until this is dropped.
struct Small(PathBuf);

impl Small {
    /// Nothing where nobody may mount.
    fn mount(place: &Path, kibibytes: u64) -> Result<Option<Self>> {
        let size = format!("size={kibibytes}k");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(place).output()?;
        Ok(mounted.status.success().then(|| Self(place.to_owned())))
    }

    /// KiB in use.
    fn used(&self) -> Result<u64> {
        let output = Command::new("df").args(["-k", "--output=used"]).arg(&self.0).output()?;
        Ok(String::from_utf8(output.stdout)?.lines().nth(1).unwrap_or_default().trim().parse()?)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// Numbers that a packer can't shorten.
fn noise() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

/// A server that answers in HTTP, and not as Git does.
#[test]
fn an_answer_that_is_not_gits_is_an_error() -> Result<()> {
    block_on(async {
        let project = Project::new("git-nonsense")?;
        let web = Web::start(&project).await?;
        let credentials = web.credentials(&project)?;
        let tls = Tls { ca_pem: &web.certs.ca_pem, identity: None };
        assert_eq!(http::send("GET", &web.origin, tls, &[], "").await?.status, 401);
        let ended = project
            .job(&format!("{}/team/nothing.git", web.origin), &["--git-credentials", &credentials])?
            .code(1);
        assert!(ended.err.contains("/team/nothing.git: fetching: "), "{}", ended.err);
        Ok(())
    })
}
