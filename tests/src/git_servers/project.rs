//! A repository with sealed resources, and the developer's clone of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use waxwing_core::keys::Identity;

use super::script;
use crate::ring::{Ring, named};
use crate::{process, tools};

/// A bare repository `team/apps.git`, a clone of it, and two identities: `prod` opens everything, `recovery` is to.
pub struct Project {
    /// The folder of everything.
    pub dir: PathBuf,
    /// Who opens what is there.
    pub prod: Identity,
    /// Who is to open it, too.
    pub recovery: Identity,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; -1 for a signal.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ended {
    /// Both outputs.
    #[must_use]
    pub fn said(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// Standard output as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Itself, if it ended with this code.
    ///
    /// # Panics
    /// When it did not.
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}", self.said());
        self
    }
}

impl Project {
    /// Two resources for `prod`, committed and pushed to `main`, whose rule names only `prod`.
    ///
    /// # Errors
    /// When Git does not do what it is told.
    pub fn new(name: &str) -> Result<Self> {
        let dir = process::folder(name);
        let project = Self { dir, prod: Identity::generate(), recovery: Identity::generate() };
        fs::create_dir_all(project.dir.join("home"))?;
        fs::write(
            project.dir.join("home/.gitconfig"),
            "[user]\nname = dev\nemail = dev@example.com\n[safe]\ndirectory = *\n[init]\ndefaultBranch = main\n",
        )?;
        for (file, identity) in [("prod.txt", &project.prod), ("recovery.txt", &project.recovery)] {
            // Why exposed: the command reads identities from files.
            let path = project.dir.join(file);
            fs::write(&path, identity.to_text().expose())?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        }
        project.git(&project.dir, &["init", "-q", "--bare", "repos/team/apps.git"])?;
        // As forges have it: pushes by HTTP are allowed to those who have logged in.
        project.bare(&["config", "http.receivepack", "true"])?;
        project.git(&project.dir, &["clone", "-q", "repos/team/apps.git", "dev"])?;
        project.rules(false)?;
        project.seal("apps/db.yaml", "db")?;
        project.seal("apps/api.yaml", "api")?;
        project.push("the first")?;
        Ok(project)
    }

    /// The bare repository.
    #[must_use]
    pub fn repository(&self) -> PathBuf {
        self.dir.join("repos/team/apps.git")
    }

    /// Writes `.waxwing.yaml`, with `recovery` or without; commits nothing.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn rules(&self, recovery: bool) -> Result<()> {
        let (prod, other) = (self.prod.recipient(), self.recovery.recipient());
        let other =
            if recovery { format!("  recovery: {{key: {other}, required: true}}\n") } else { String::new() };
        let text = format!(
            "version: 1\nrecipients:\n  prod: {{key: {prod}}}\n{other}rules:\n- recipients: [prod]\n"
        );
        Ok(fs::write(self.dir.join("dev/.waxwing.yaml"), text)?)
    }

    /// Writes a resource for `prod` in the namespace `web`, with a comment; commits nothing.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn seal(&self, file: &str, name: &str) -> Result<()> {
        let ring = Ring::of(vec![named("prod", self.prod.recipient().as_str())]);
        let text = serde_saphyr::to_string(&ring.seal("web", name, &[("password", "a value of the test")]))?;
        let path = self.dir.join("dev").join(file);
        fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
        Ok(fs::write(path, format!("# {name}: ask the team\n{text}"))?)
    }

    /// Commits all that is in the clone, and pushes it to `main`.
    ///
    /// # Errors
    /// When Git does not do what it is told.
    pub fn push(&self, message: &str) -> Result<()> {
        self.dev(&["add", "-A"])?;
        self.dev(&["commit", "-q", "--allow-empty", "-m", message])?;
        self.dev(&["push", "-q", "origin", "HEAD:main"]).map(drop)
    }

    /// The rule names `recovery` from now on: both resources are due.
    ///
    /// # Errors
    /// When Git does not do what it is told.
    pub fn make_due(&self) -> Result<()> {
        self.rules(true)?;
        self.push("recovery for all")
    }

    /// Git in the clone.
    ///
    /// # Errors
    /// When it fails.
    pub fn dev(&self, args: &[&str]) -> Result<String> {
        self.git(&self.dir.join("dev"), args)
    }

    /// Git in the clone, with variables.
    ///
    /// # Errors
    /// When it fails.
    pub fn dev_with(&self, env: &[(&str, &str)], args: &[&str]) -> Result<String> {
        self.git_with(&self.dir.join("dev"), env, args)
    }

    /// Git in the bare repository.
    ///
    /// # Errors
    /// When it fails.
    pub fn bare(&self, args: &[&str]) -> Result<String> {
        self.git(&self.repository(), args)
    }

    fn git(&self, folder: &Path, args: &[&str]) -> Result<String> {
        self.git_with(folder, &[], args)
    }

    fn git_with(&self, folder: &Path, env: &[(&str, &str)], args: &[&str]) -> Result<String> {
        let mut command = Command::new("git");
        command.args(args).current_dir(folder).env("HOME", self.dir.join("home")).envs(env.iter().copied());
        let output = command.output()?;
        ensure!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }

    /// The commit of a branch on the server; empty where there is none.
    #[must_use]
    pub fn tip(&self, branch: &str) -> String {
        self.bare(&["rev-parse", "-q", "--verify", &format!("refs/heads/{branch}")]).unwrap_or_default()
    }

    /// A file of a branch on the server.
    ///
    /// # Errors
    /// When it is not there.
    pub fn file(&self, branch: &str, path: &str) -> Result<String> {
        self.bare(&["show", &format!("{branch}:{path}")])
    }

    /// A hook of the server.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn hook(&self, name: &str, text: &str) -> Result<()> {
        script(&self.repository().join("hooks").join(name), text)
    }

    /// Somebody else's commit on a branch of the server, made while it runs: a line for a script.
    #[must_use]
    pub fn meddle(&self, branch: &str) -> String {
        let (home, repository) = (self.dir.join("home"), self.repository());
        format!(
            "export HOME='{}'; cd '{}'; tree=$(git rev-parse main^{{tree}}); \
             commit=$(git commit-tree -p main -m 'by hand' $tree); git update-ref refs/heads/{branch} $commit",
            home.display(),
            repository.display()
        )
    }

    /// A folder for `--git-credentials` with these files.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn credentials(&self, name: &str, files: &[(&str, &str)]) -> Result<PathBuf> {
        let folder = self.dir.join(name);
        fs::create_dir_all(&folder)?;
        for (file, text) in files {
            fs::write(folder.join(file), text)?;
        }
        Ok(folder)
    }

    /// `waxwing rewrap --git`, with the identity that opens everything.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn job(&self, url: &str, args: &[&str]) -> Result<Ended> {
        let identity = self.dir.join("prod.txt").display().to_string();
        let all: Vec<&str> =
            ["rewrap", "--git", url, "--identity", &identity].iter().chain(args).copied().collect();
        self.waxwing(&all)
    }

    /// `waxwing` in the folder of everything.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn waxwing(&self, args: &[&str]) -> Result<Ended> {
        let output = self.command(args).output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Ended {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        })
    }

    /// The same, to be started.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let temporary = self.dir.join("tmp");
        // It may be there already.
        let _ = fs::create_dir(&temporary);
        let mut command = Command::new(tools::cli());
        command
            .args(args)
            .current_dir(&self.dir)
            .env_clear()
            .env("HOME", self.dir.join("home"))
            .env("TMPDIR", temporary)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Fails when a resource of a branch does not open with `identity`, or has lost its comment.
    ///
    /// # Errors
    /// Which, and why.
    pub fn check_opens(&self, branch: &str, file: &str, identity: &str) -> Result<()> {
        let text = self.file(branch, file)?;
        ensure!(text.starts_with("# "), "the comment is gone: {text}");
        let path = self.dir.join("opened.yaml");
        fs::write(&path, text)?;
        let key = self.dir.join(identity).display().to_string();
        let ended = self.waxwing(&["open", &path.display().to_string(), "--identity", &key])?;
        if ended.code != 0 || !ended.out.contains("a value of the test") {
            bail!("{file} of {branch} does not open with {identity}: {}", ended.err);
        }
        Ok(())
    }
}
