//! A person's folder in which the real command is run, with nothing of the caller's environment.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use kube::Client;
use serde_json::Value;

use crate::{chart, process, tools};

/// A folder.
pub struct Work {
    folder: PathBuf,
}

/// What a command has said.
#[derive(Debug)]
pub struct Said {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Said {
    /// Its output as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Both streams.
    #[must_use]
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl Work {
    /// A new folder.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { folder: process::folder(&format!("work-{name}")) }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Uses the cluster of a kubeconfig from now on.
    ///
    /// # Errors
    /// When it can't be copied.
    pub fn use_cluster(&self, kubeconfig: &Path) -> Result<()> {
        std::fs::copy(kubeconfig, self.folder.join("kubeconfig")).map(drop).context("kubeconfig")
    }

    /// Runs `waxwing` in a folder below this one, whatever comes of it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn run_in(&self, below: &str, args: &[&str], input: &str) -> Result<Said> {
        let mut command = self.command(&tools::cli());
        command.args(args).current_dir(self.folder.join(below));
        finish(command, input)
    }

    /// As [`Self::run_in`], here.
    ///
    /// # Errors
    /// When it does not start.
    pub fn run(&self, args: &[&str]) -> Result<Said> {
        self.run_in("", args, "")
    }

    /// As [`Self::run`], which must succeed.
    ///
    /// # Errors
    /// With what it says, when it does not.
    pub fn done(&self, args: &[&str]) -> Result<Said> {
        let said = self.run(args)?;
        ensure!(said.code == 0, "waxwing {args:?}: {said:?}");
        Ok(said)
    }

    /// Runs another program here, which must succeed, and gives what it prints.
    ///
    /// # Errors
    /// With what it says, when it does not.
    pub fn tool(&self, program: &Path, args: &[&str]) -> Result<String> {
        let mut command = self.command(program);
        command.args(args).current_dir(&self.folder);
        let said = finish(command, "")?;
        ensure!(said.code == 0, "{} {args:?}: {said:?}", program.display());
        Ok(said.stdout)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", &self.folder).env("KUBECONFIG", self.folder.join("kubeconfig"));
        command.env("PATH", "/usr/bin:/bin");
        command
    }

    /// Writes a file that others may not read.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        std::fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
            .context(path.display().to_string())
    }

    /// What a file holds.
    ///
    /// # Panics
    /// When it can't be read.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Applies every YAML file of a folder, as a GitOps tool does.
    ///
    /// # Errors
    /// When the API server refuses one.
    pub async fn apply(&self, client: &Client, below: &str) -> Result<()> {
        for object in chart::in_folder(&self.folder.join(below))? {
            // Not the configuration.
            if object.get("kind").is_some() {
                chart::apply(client, &object).await?;
            }
        }
        Ok(())
    }
}

fn finish(mut command: Command, input: &str) -> Result<Said> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    // One that reads nothing may be gone already.
    let _ = child.stdin.take().context("a pipe")?.write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output()?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ok(Said { code: status.code().unwrap_or(-1), stdout: text(&stdout), stderr: text(&stderr) })
}
