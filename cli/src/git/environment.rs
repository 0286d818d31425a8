//! The environment that the libraries below libgit2 read once, when they start: which certificates count, and where
//! known_hosts is.
//!
//! Setting variables of a running process is unsound, so the command runs itself again in its own place (`exec`): same process
//! id, same arguments.

use std::{
    env,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    credentials::{Credentials, place_known_hosts},
    place::Place,
};
use crate::error::{Explain, Failure, Result};

/// A folder of this run, for itself alone; it goes when this is dropped.
pub(super) struct Home {
    /// The folder.
    pub(super) path: PathBuf,
}

impl Home {
    /// The folder of a run that is in the right environment already.
    pub(super) fn settled() -> Option<Self> {
        env::var_os(VARIABLE).map(|path| Self { path: path.into() })
    }

    /// Makes the folder, and comes back in the right environment: by running again where another one is needed. So nothing
    /// that can be read once only may be read before.
    pub(super) fn settle(place: &Place, credentials: &Credentials) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("waxwing-git-").tempdir().at("temporary folder")?;
        let home = Self { path: folder.keep() };
        match place {
            Place::Web { .. } if credentials.authority.is_some() => Err(home.again(place, credentials)),
            Place::Ssh { .. } => Err(home.again(place, credentials)),
            Place::Folder(_) | Place::Web { .. } => Ok(home),
        }
    }

    /// Only comes back when it fails.
    fn again(self, place: &Place, credentials: &Credentials) -> Failure {
        match self.command(place, credentials) {
            Ok(mut command) => Failure::from(command.exec()).at("running waxwing again for its environment"),
            Err(failure) => failure,
        }
    }

    /// This command in the right environment.
    fn command(&self, place: &Place, credentials: &Credentials) -> Result<Command> {
        place_known_hosts(credentials, &self.path)?;
        let mut command = Command::new(env::current_exe()?);
        let mut args = env::args_os();
        if let Some(name) = args.next() {
            command.arg0(name);
        }
        command.args(args).env(VARIABLE, &self.path);
        if matches!(place, Place::Ssh { .. }) {
            self.set_home(&mut command);
        }
        if let Some(authority) = &credentials.authority {
            // A folder without certificates, so that those of the system do not count besides.
            command.env("SSL_CERT_FILE", authority).env("SSL_CERT_DIR", &self.path);
        }
        Ok(command)
    }

    /// The ssh library looks for known_hosts there and nowhere else. Programs that waxwing runs see it, too, so it stays as it
    /// is for all others.
    fn set_home(&self, command: &mut Command) {
        command.env("HOME", &self.path);
        // What others find below the user's home folder, they still do.
        if let Some(old) = env::var_os("HOME").map(PathBuf::from) {
            for (variable, place) in [
                ("KUBECONFIG", ".kube/config"),
                ("XDG_CONFIG_HOME", ".config"),
                ("XDG_STATE_HOME", ".local/state"),
            ] {
                if env::var_os(variable).is_none() && old.join(place).exists() {
                    command.env(variable, old.join(place));
                }
            }
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if is_ours(&self.path) {
            // What can't be removed is empty of secrets.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// The variable could have been set by anybody.
fn is_ours(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("waxwing-git-"))
}

/// The folder of this run, in the second life of the process.
const VARIABLE: &str = "WAXWING_GIT_HOME";

#[cfg(test)]
mod tests {
    use super::*;

    /// Programs that waxwing runs, such as those of a kubeconfig, look for their own files there.
    #[test]
    fn the_home_folder_is_another_one_for_ssh_alone() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home { path: folder.path().to_owned() };
        for (place, moved) in [("https://git.example/a.git", false), ("git@git.example:a.git", true)] {
            let command = home.command(&Place::parse(place).unwrap(), &Credentials::default()).unwrap();
            let set = command.get_envs().any(|(name, _)| name == "HOME");
            assert_eq!(set, moved, "{place}");
        }
    }
}
