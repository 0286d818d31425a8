//! Which private keys are at hand: named by an option, by the environment, or in the user's
//! folder for them.
//!
//! The environment names files, never keys. An identity file may hold several `AGE-SECRET-KEY-1…`
//! lines, as the files of age do.

use std::{
    env, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use waxwing_core::keys::{Identities, Identity, KeyError};

use crate::{
    args::Context,
    error::{Exit, Explain, Failure, Result},
    input,
};

/// A list of files, separated as in `PATH`.
const VARIABLE: &str = "WAXWING_IDENTITY";

/// Options of every verb that opens.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// File with an age identity; may be repeated. Default: the files in $WAXWING_IDENTITY, else
    /// identities/*.txt in the configuration folder
    #[arg(long, short = 'i', value_name = "FILE")]
    identity: Vec<PathBuf>,
}

/// One identity and the file that it was read from.
pub(crate) struct Found {
    /// The file.
    pub(crate) path: PathBuf,
    /// The key.
    pub(crate) identity: Identity,
}

impl Options {
    /// The identities at hand, or a failure that says where they are looked for.
    pub(crate) fn load(&self, context: &Context) -> Result<Identities> {
        let identities = self.load_any(context)?;
        if identities.is_empty() { Err(none()) } else { Ok(identities) }
    }

    /// These files and no others.
    pub(crate) fn of(files: Vec<PathBuf>) -> Self {
        Self { identity: files }
    }

    /// The identities at hand; none is fine.
    pub(crate) fn load_any(&self, context: &Context) -> Result<Identities> {
        let found = self.find(context)?;
        Ok(found.into_iter().map(|found| found.identity).collect())
    }

    /// The identities at hand with their files.
    pub(crate) fn find(&self, context: &Context) -> Result<Vec<Found>> {
        let paths = self.paths()?;
        let mut found = Vec::new();
        for path in paths {
            context.printer.detail(format!("reading identities from {}", path.display()));
            warn_if_open(&path, context);
            for identity in read(&path)? {
                found.push(Found { path: path.clone(), identity });
            }
        }
        Ok(found)
    }

    fn paths(&self) -> Result<Vec<PathBuf>> {
        if !self.identity.is_empty() {
            return Ok(self.identity.clone());
        }
        if let Some(list) = env::var_os(VARIABLE).filter(|list| !list.is_empty()) {
            if list.to_string_lossy().to_ascii_uppercase().contains("AGE-SECRET-KEY-") {
                return Err(Failure::new(format!(
                    "${VARIABLE} holds a private key; it takes the paths of files"
                ))
                .hint("other processes can read the environment: put the key into a file with mode 0600"));
            }
            return Ok(env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect());
        }
        let Some(folder) = folder() else { return Ok(Vec::new()) };
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Failure::from(error).at(folder.display())),
        };
        let mut paths: Vec<_> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
            .collect();
        paths.sort();
        Ok(paths)
    }
}

/// `$XDG_CONFIG_HOME/waxwing/identities`, or its default under the home folder.
pub(crate) fn folder() -> Option<PathBuf> {
    let given = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = given("XDG_CONFIG_HOME").or_else(|| given("HOME").map(|home| home.join(".config")))?;
    Some(config.join("waxwing").join("identities"))
}

/// Nothing can be opened.
pub(crate) fn none() -> Failure {
    Failure::new("there is no identity (private key) at hand")
        .exit(Exit::CannotOpen)
        .hint(format!("name one with --identity FILE or ${VARIABLE}, or put it at {}", place()))
}

fn place() -> String {
    folder().map_or_else(
        || "identities/NAME.txt".to_owned(),
        |folder| folder.join("NAME.txt").display().to_string(),
    )
}

/// The identities in one file.
pub(crate) fn read(path: &Path) -> Result<Vec<Identity>> {
    let text = input::read(path)?;
    // Why exposed: to parse the keys.
    let text =
        std::str::from_utf8(text.expose()).map_err(|_| KeyError::MalformedIdentity).at(path.display())?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let found = lines.map(Identity::parse).collect::<std::result::Result<Vec<_>, _>>().at(path.display())?;
    if found.is_empty() {
        return Err(Failure::from(KeyError::MalformedIdentity).at(path.display()));
    }
    Ok(found)
}

fn warn_if_open(path: &Path, context: &Context) {
    let is_own = |metadata: &fs::Metadata| metadata.uid() == rustix::process::geteuid().as_raw();
    let is_open = |metadata: fs::Metadata| metadata.is_file() && is_open(metadata.mode(), is_own(&metadata));
    if fs::metadata(path).is_ok_and(is_open) {
        context.printer.warning(format!("{} can be read by others", path.display()));
        context.printer.hint(format!("chmod 600 {}", path.display()));
    }
}

/// Whether more may read a file than who it is for. One that belongs to somebody else is read by its group, such as a Secret
/// that is mounted into a pod with `fsGroup`.
fn is_open(mode: u32, own: bool) -> bool {
    mode & (if own { 0o077 } else { 0o007 }) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_open_by_more_rights_than_who_it_is_for_needs() {
        assert!(is_open(0o100_640, true) && is_open(0o100_604, true) && is_open(0o100_444, false));
        assert!(!is_open(0o100_600, true) && !is_open(0o100_440, false));
    }
}
