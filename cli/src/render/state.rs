//! What is known between two runs: the status of each SealedSecret, as the operator would write it, in one file in the
//! output directory. No values, and no more trusted than a status is: a forged one costs work, and skips no check.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use serde::{Deserialize, Serialize};
use waxwing_crds::SealedSecretStatus;

use super::Key;
use crate::{
    args::Context,
    error::{Explain, Failure, Result},
    write::{self, Mode},
};

/// The file.
pub(super) const FILE: &str = ".waxwing-status.json";
/// The form of the file. Another one is not read.
const VERSION: u32 = 1;

/// The content of the file.
#[derive(Default, Deserialize, Serialize)]
pub(super) struct State {
    version: u32,
    /// The directory that is rendered, so that the Secrets of one are not removed for another.
    source: String,
    /// By `NAMESPACE/NAME`.
    objects: BTreeMap<String, SealedSecretStatus>,
    #[serde(skip)]
    changed: bool,
}

impl State {
    /// Reads the file, or begins anew where there is none that can be read.
    pub(super) fn read(folder: &Path, source: &Path, force: bool, context: &Context) -> Result<Self> {
        let path = folder.join(FILE);
        let known = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice::<Self>(&bytes).ok().filter(|state| state.version == VERSION),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Self::default()),
            Err(error) => return Err(error).at(path.display()),
        };
        let mut state = known.unwrap_or_else(|| {
            context.printer.warning(format!("{} cannot be read; it is written anew", path.display()));
            Self::default()
        });
        let source = source.display().to_string();
        if !state.source.is_empty() && state.source != source && !force {
            return Err(Failure::new(format!(
                "{} holds what was rendered from {}",
                folder.display(),
                state.source
            ))
            .hint("give each directory an output of its own, or say --force if the directory has moved"));
        }
        state.changed = state.source != source;
        (state.version, state.source) = (VERSION, source);
        Ok(state)
    }

    pub(super) fn status(&self, key: &Key) -> Option<&SealedSecretStatus> {
        self.objects.get(&key.to_string())
    }

    pub(super) fn set(&mut self, key: &Key, status: SealedSecretStatus) {
        self.objects.insert(key.to_string(), status);
        self.changed = true;
    }

    /// Forgets all others: what is made anew later begins anew, as in a cluster.
    pub(super) fn keep(&mut self, wanted: &BTreeSet<&Key>) {
        let wanted: BTreeSet<String> = wanted.iter().map(ToString::to_string).collect();
        let before = self.objects.len();
        self.objects.retain(|key, _| wanted.contains(key));
        self.changed |= self.objects.len() != before;
    }

    /// Writes the file, if anything changed.
    pub(super) fn write(&mut self, folder: &Path) -> Result<()> {
        if !self.changed {
            return Ok(());
        }
        let path = folder.join(FILE);
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        write::replace(&path, &text, Mode::Private).at(path.display())?;
        self.changed = false;
        Ok(())
    }
}
