//! A developer's folder, and nothing else of theirs: what the command line is run in.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result};

use crate::control_plane::ControlPlane;
use crate::scene::Scene;
use crate::{chart, process, tools};

/// The folder.
pub struct Folder(pub PathBuf);

impl Folder {
    /// A new one, with `.waxwing.yaml` made from what the cluster of a test publishes, there called `prod`.
    ///
    /// # Errors
    /// When `waxwing init` does not succeed.
    pub fn of(scene: &Scene) -> Result<Self> {
        let folder = Self::new(&scene.namespace, &[("test", scene.plane)])?;
        folder.run(&["init", "--from-cluster", "test=prod", "--keyring", &scene.ring], "")?;
        Ok(folder)
    }

    /// An empty one, with an administrator's kubeconfig that has a context for each of these clusters.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn new(name: &str, clusters: &[(&str, &ControlPlane)]) -> Result<Self> {
        let folder = Self(process::folder(&format!("work-{name}")));
        let mut all = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "clusters": [], "users": [], "contexts": [],
            "current-context": clusters.first().map(|(name, _)| *name),
        });
        for (name, plane) in clusters {
            let own: serde_json::Value =
                serde_json::from_str(&std::fs::read_to_string(&plane.admin_kubeconfig)?)?;
            for (list, part) in [("clusters", "cluster"), ("users", "user")] {
                let entry = serde_json::json!({"name": name, part: own[list][0][part]});
                all[list].as_array_mut().context("a list")?.push(entry);
            }
            let context = serde_json::json!({"name": name, "context": {"cluster": name, "user": name}});
            all["contexts"].as_array_mut().context("a list")?.push(context);
        }
        folder.write("kubeconfig", &all.to_string());
        Ok(folder)
    }

    /// Runs `waxwing` and gives what it prints.
    ///
    /// # Errors
    /// With what it says, when it fails.
    pub fn run(&self, args: &[&str], input: &str) -> Result<String> {
        let output = self.try_run(args, input)?;
        anyhow::ensure!(
            output.status.success(),
            "waxwing {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs `waxwing`.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn try_run(&self, args: &[&str], input: &str) -> Result<Output> {
        let mut command = Command::new(tools::cli());
        command
            .args(args)
            .current_dir(&self.0)
            .env_clear()
            .env("HOME", &self.0)
            .env("KUBECONFIG", self.0.join("kubeconfig"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        child.stdin.take().context("a pipe")?.write_all(input.as_bytes())?;
        Ok(child.wait_with_output()?)
    }

    /// Runs `waxwing`, which is to fail, and gives its exit code and what it says.
    ///
    /// # Errors
    /// When it succeeds.
    pub fn refused(&self, args: &[&str]) -> Result<(i32, String)> {
        let output = self.try_run(args, "")?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        anyhow::ensure!(!output.status.success(), "waxwing {args:?} succeeds: {said}");
        Ok((output.status.code().context("an exit code")?, said))
    }

    /// Runs `git` in it.
    ///
    /// # Errors
    /// With what it says, when it fails.
    pub fn git(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new("git");
        command
            .args(["-c", "user.name=test", "-c", "user.email=test@example.com"])
            .args(args)
            .current_dir(&self.0);
        command.env("HOME", &self.0).env("GIT_CONFIG_NOSYSTEM", "1");
        let output = command.output().context("git")?;
        anyhow::ensure!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// A file's content.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    pub fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.0.join(file)).unwrap()
    }

    /// Writes a file, and the folders above it.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn write(&self, file: &str, content: &str) {
        let path = self.0.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Applies a file as it stands, as a GitOps tool does.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn apply(&self, scene: &Scene, file: &str) -> Result<()> {
        self.apply_to(scene.plane, file).await
    }

    /// Applies a file as it stands to a cluster.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn apply_to(&self, plane: &ControlPlane, file: &str) -> Result<()> {
        for object in chart::objects(&self.read(file))? {
            chart::apply(&plane.admin, &object).await?;
        }
        Ok(())
    }
}
