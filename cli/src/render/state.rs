//! What is known between two runs: the status of each SealedSecret and ExternalSecret, as the operator would write it, and
//! what injections have given, in one file in the output directory. No values, and no more trusted than a status is: a forged one costs work, and skips no check.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use serde::{Deserialize, Serialize};
use waxwing_core::external::{Creation, Spec, plan as external};
use waxwing_crds::{ExternalSecretStatus, SealedSecretStatus};

use super::{Key, inject::KINDS, source::Source};
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
    /// The same of ExternalSecrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    external: BTreeMap<String, Pulled>,
    /// What injections have given, by `KIND/NAMESPACE/NAME`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    injections: BTreeMap<String, Injected>,
    #[serde(skip)]
    changed: bool,
}

/// What is known of an ExternalSecret.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pulled {
    /// The name of its Secret.
    target: String,
    /// Whether the Secret stays when the ExternalSecret goes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    stays: bool,
    /// Its status.
    pub(super) status: ExternalSecretStatus,
}

/// What is known of an injection.
#[derive(Clone, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Injected {
    /// The version of each Secret that was written, by name.
    pub(super) secrets: BTreeMap<String, String>,
    /// Whether they stay when the injection goes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) stays: bool,
    /// Which references gave the texts in them, by place: where a credential's last good value stands.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) held: BTreeMap<String, String>,
    /// The versions that their reader was told of.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) told: BTreeMap<String, String>,
}

/// Whose a Secret is that an ExternalSecret or an injection gives.
pub(super) struct Given {
    /// The kind of that.
    pub(super) kind: &'static str,
    /// Its name.
    pub(super) by: Key,
    /// Whether the Secret stays without it.
    pub(super) stays: bool,
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

    pub(super) fn pulled(&self, key: &Key) -> Option<&Pulled> {
        self.external.get(&key.to_string())
    }

    /// Keeps what was found. Where the spec cannot be read, its Secret is still the one that it was.
    pub(super) fn set_pulled(&mut self, key: &Key, spec: Option<&Spec>, status: ExternalSecretStatus) {
        let known = self.external.get(&key.to_string()).cloned().unwrap_or_default();
        let now = match spec {
            Some(spec) => {
                Pulled { target: spec.target.clone(), stays: spec.creation != Creation::Owner, status }
            }
            None => Pulled { status, ..known },
        };
        self.external.insert(key.to_string(), now);
        self.changed = true;
    }

    pub(super) fn injected(&self, kind: &str, key: &Key) -> Injected {
        self.injections.get(&format!("{kind}/{key}")).cloned().unwrap_or_default()
    }

    pub(super) fn set_injected(&mut self, kind: &str, key: &Key, now: Injected) {
        let name = format!("{kind}/{key}");
        if self.injections.get(&name) != Some(&now) {
            self.injections.insert(name, now);
            self.changed = true;
        }
    }

    /// Every Secret that an ExternalSecret or an injection gives, as far as is known.
    pub(super) fn targets(&self) -> BTreeMap<Key, Given> {
        let pulled = self.external.iter().filter_map(|(by, pulled)| {
            let (namespace, name) = by.split_once('/')?;
            let by = Key::new(namespace, name)?;
            let given = Given { kind: external::KIND, by, stays: pulled.stays };
            Some((Key::new(namespace, &pulled.target)?, given))
        });
        let injected = self.injections.iter().filter_map(|(by, injected)| {
            let (kind, by) = by.split_once('/')?;
            let kind = KINDS.into_iter().find(|known| *known == kind)?;
            let (namespace, name) = by.split_once('/')?;
            let by = Key::new(namespace, name)?;
            let one = move |name: &String| {
                let given = Given { kind, by: by.clone(), stays: injected.stays };
                Some((Key::new(&by.namespace, name)?, given))
            };
            Some(injected.secrets.keys().filter_map(one))
        });
        pulled.chain(injected.flatten()).collect()
    }

    /// Forgets all others: what is made anew later begins anew, as in a cluster.
    pub(super) fn keep(&mut self, source: &Source) {
        let count = |state: &Self| state.objects.len() + state.external.len() + state.injections.len();
        let before = count(self);
        let sealed: BTreeSet<String> = source.objects.keys().map(ToString::to_string).collect();
        self.objects.retain(|key, _| sealed.contains(key));
        let external: BTreeSet<String> = source.external.keys().map(ToString::to_string).collect();
        self.external.retain(|key, _| external.contains(key));
        let injections: BTreeSet<String> =
            source.injections.keys().map(|(kind, key)| format!("{kind}/{key}")).collect();
        self.injections.retain(|key, _| injections.contains(key));
        self.changed |= count(self) != before;
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
