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
    /// Makes the folder, and comes back in the right environment.
    pub(super) fn settle(place: &Place, credentials: &Credentials) -> Result<Self> {
        if let Some(path) = env::var_os(VARIABLE).map(PathBuf::from) {
            return Ok(Self { path });
        }
        let folder = tempfile::Builder::new().prefix("waxwing-git-").tempdir().at("temporary folder")?;
        let home = Self { path: folder.keep() };
        if matches!(place, Place::Folder(_)) {
            return Ok(home);
        }
        Err(home.again(credentials))
    }

    /// Only comes back when it fails.
    fn again(self, credentials: &Credentials) -> Failure {
        let prepared = place_known_hosts(credentials, &self.path).and_then(|()| Ok(env::current_exe()?));
        let program = match prepared {
            Ok(program) => program,
            Err(failure) => return failure,
        };
        let mut command = Command::new(program);
        let mut args = env::args_os();
        if let Some(name) = args.next() {
            command.arg0(name);
        }
        command.args(args).env(VARIABLE, &self.path).env("HOME", &self.path);
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
        if let Some(authority) = &credentials.authority {
            // A folder without certificates, so that those of the system do not count besides.
            command.env("SSL_CERT_FILE", authority).env("SSL_CERT_DIR", &self.path);
        }
        Failure::from(command.exec()).at("running waxwing again for its environment")
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
