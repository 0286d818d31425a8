//! Git in the quickstart's own repository: a fixed author, and nothing of the user's configuration.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::error::{Failure, Result};

/// A repository.
pub(super) struct Git {
    work_tree: std::path::PathBuf,
}

impl Git {
    /// Makes a repository; none where there is no Git.
    pub(super) fn init(work_tree: &Path) -> Result<Option<Self>> {
        let git = Self { work_tree: work_tree.to_owned() };
        match git.command(&["--version"]).status() {
            Ok(status) if status.success() => {}
            _ => return Ok(None),
        }
        git.run(&["-c", "init.defaultBranch=main", "init", "--quiet"])?;
        Ok(Some(git))
    }

    /// Commits everything, and gives the commit's id.
    pub(super) fn commit(&self, message: &str) -> Result<String> {
        self.run(&["add", "--all"])?;
        self.run(&["commit", "--quiet", "--message", message])?;
        Ok(self.run(&["rev-parse", "HEAD"])?.trim().to_owned())
    }

    /// Undoes a commit by another one.
    pub(super) fn revert(&self, commit: &str) -> Result<()> {
        self.run(&["revert", "--no-edit", commit]).map(drop)
    }

    /// What a commit changed, as `git diff --stat` says it.
    pub(super) fn stat(&self, commit: &str) -> Result<String> {
        Ok(self.run(&["show", "--format=", "--shortstat", commit])?.trim().to_owned())
    }

    /// What a commit changed, without the lines around it.
    pub(super) fn diff(&self, commit: &str) -> Result<String> {
        self.run(&["show", "--format=", "--unified=0", "--no-color", commit])
    }

    fn run(&self, args: &[&str]) -> Result<String> {
        let output = self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::new(format!("git {}: {}", args.join(" "), said.trim())));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut git = Command::new("git");
        // A hook's environment speaks of another repository.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
            git.env_remove(name);
        }
        let (name, mail) = ("waxwing quickstart", "quickstart@example.invalid");
        git.envs([("GIT_AUTHOR_NAME", name), ("GIT_COMMITTER_NAME", name)]);
        git.envs([("GIT_AUTHOR_EMAIL", mail), ("GIT_COMMITTER_EMAIL", mail)]);
        git.envs([
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
        ]);
        git.current_dir(&self.work_tree).args(args);
        git.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        git
    }
}
