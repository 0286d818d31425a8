//! The directory that Secrets are written to: one Secret is one unit, made of one file or of several.
//!
//! Ours is a unit whose metadata says so (`waxwing.dev/owned-by`); nothing else is written over or removed. Every file is
//! 0600 and replaced whole; folders that are made are 0700. A unit's version is a MAC over its bytes and modes, so that
//! every change by somebody else is noticed, whatever their clock says, and so that nothing can be guessed from it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use waxwing_core::{
    Secret,
    external::plan as external,
    keys::Identities,
    plan::{KIND, Outcome, Produced, Target, Write},
    seal::DataKey,
    yaml,
};
use waxwing_crds::names;
use zeroize::Zeroizing;

use super::Key;
use crate::{
    error::{Explain, Failure, Result},
    input,
    write::{self, Mode},
};

/// How a Secret becomes files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Layout {
    /// A manifest: NAMESPACE/NAME.yaml
    #[default]
    Yaml,
    /// A file for each key, as in a mounted Secret: NAMESPACE/NAME/KEY
    Files,
}

/// Metadata of a unit in [`Layout::Files`]. No data key begins with two dots.
const METADATA: &str = "..secret.yaml";
/// What a temporary file of a write begins with; see `crate::write`.
const TEMPORARY: &str = ".waxwing-";
/// Which derived key; see [`waxwing_core::keys::Identity::mac`].
const LABEL: &str = "waxwing/render-version";

/// The directory.
pub(super) struct Output {
    folder: PathBuf,
    layout: Layout,
}

/// The files of one Secret as they are, or as they shall be: their paths inside the directory.
#[derive(Default)]
pub(super) struct Unit {
    parts: BTreeMap<PathBuf, Part>,
    annotations: BTreeMap<String, String>,
    values: BTreeMap<DataKey, Secret>,
    /// Whether there are files, and they are no Secret of anybody.
    damaged: bool,
}

struct Part {
    bytes: Secret,
    /// Whether nobody else can read it.
    private: bool,
}

/// What became of a Secret that was written.
pub(super) struct Put {
    /// Its version from now on.
    pub(super) version: String,
    /// Whether any byte is another.
    pub(super) changed: bool,
    /// The keys whose values are others.
    pub(super) keys: BTreeSet<DataKey>,
}

/// The layout and the place of a unit, with kind and name of its owner.
pub(super) type Owned = (Layout, Key, (String, String));

/// Whose a Secret is to be.
#[derive(Default)]
pub(super) struct Owner<'a> {
    pub(super) kind: &'static str,
    pub(super) name: &'a str,
    /// The uid of the Secret that its status says it has written.
    pub(super) applied: Option<String>,
}

/// A Secret manifest, as it is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    #[serde(rename = "type")]
    secret_type: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    immutable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<BTreeMap<&'a str, &'a str>>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    namespace: &'a str,
    labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<String, String>,
}

/// A Secret manifest, as far as it is read.
#[derive(Default, Deserialize)]
struct Known {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: KnownMetadata,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct KnownMetadata {
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Output {
    pub(super) fn new(folder: PathBuf, layout: Layout) -> Self {
        Self { folder, layout }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes what a killed process left behind. Nobody else is at work here: see `place::Lock`.
    pub(super) fn clean(&self) -> Result<()> {
        let mut folders = vec![(self.folder.clone(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            for (name, path, kind) in entries(&folder)? {
                if kind.is_dir() && depth < 2 {
                    folders.push((path, depth + 1));
                } else if kind.is_file() && name.starts_with(TEMPORARY) && name != super::state::FILE {
                    fs::remove_file(&path).at(path.display())?;
                }
            }
        }
        Ok(())
    }

    /// The unit of a Secret, if there is anything in its place.
    pub(super) fn read(&self, key: &Key) -> Result<Option<Unit>> {
        read(&self.folder, self.layout, key)
    }

    /// Carries out a plan's write. Says what became of it, and which keys changed.
    pub(super) fn apply(
        &self,
        key: &Key,
        write: &Write,
        old: Option<&Unit>,
        identities: &Identities,
    ) -> Result<(Outcome, BTreeSet<DataKey>)> {
        let (produced, created) = match write {
            Write::None => return Ok((Outcome::None, BTreeSet::new())),
            Write::Create(produced) => (produced, true),
            Write::Apply { produced, .. } => (produced, false),
            Write::Merge { .. } | Write::Delete { .. } => {
                return Err(Failure::new("this is no way to write a whole Secret"));
            }
        };
        let Put { version: resource_version, changed, keys } = self.put(key, produced, old, identities)?;
        let uid = uid(key);
        let outcome = if created {
            Outcome::Created { uid, resource_version }
        } else {
            Outcome::Applied { uid, resource_version, changed }
        };
        Ok((outcome, keys))
    }

    /// Writes a whole Secret in the place of the old one.
    pub(super) fn put(
        &self,
        key: &Key,
        produced: &Produced,
        old: Option<&Unit>,
        identities: &Identities,
    ) -> Result<Put> {
        let new = Unit::of(produced, self.layout, key)?;
        let nothing = Unit::default();
        let old = old.unwrap_or(&nothing);
        let changed = self.replace(old, &new)?;
        Ok(Put { version: new.version(identities), changed, keys: old.differences(&new) })
    }

    /// Writes the parts that differ, the mark first, and removes those that are no more.
    fn replace(&self, old: &Unit, new: &Unit) -> Result<bool> {
        let mut changed = false;
        for (path, part) in new.mark_first() {
            if old.parts.get(path).is_some_and(|old| old.private && old.bytes.same_as(&part.bytes)) {
                continue;
            }
            let path = self.folder.join(path);
            if let Some(folder) = path.parent() {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).at(folder.display())?;
            }
            // Why exposed: this file is what the Secret is rendered to.
            write::replace(&path, part.bytes.expose(), Mode::Private).at(path.display())?;
            changed = true;
        }
        for path in old.parts.keys().filter(|path| !new.parts.contains_key(*path)) {
            let path = self.folder.join(path);
            fs::remove_file(&path).at(path.display())?;
            changed = true;
        }
        Ok(changed)
    }

    /// Every unit in the directory that says whose it is, of either layout, with kind and name of that owner.
    pub(super) fn ours(&self) -> Result<Vec<Owned>> {
        let mut ours = Vec::new();
        for (namespace, folder, kind) in entries(&self.folder)? {
            if !kind.is_dir() {
                continue;
            }
            for (name, _, kind) in entries(&folder)? {
                let (layout, name) = match name.strip_suffix(".yaml") {
                    Some(stem) if kind.is_file() => (Layout::Yaml, stem),
                    _ if kind.is_dir() => (Layout::Files, name.as_str()),
                    _ => continue,
                };
                let Some(key) = Key::new(&namespace, name) else { continue };
                if let Some(owner) = read(&self.folder, layout, &key)?.as_ref().and_then(Unit::owner) {
                    ours.push((layout, key, owner));
                }
            }
        }
        Ok(ours)
    }

    /// Removes a unit of the present layout.
    pub(super) fn remove_unit(&self, key: &Key) -> Result<()> {
        self.remove(self.layout, key)
    }

    /// Removes a unit that [`Self::ours`] named, and the folders that are empty then.
    pub(super) fn remove(&self, layout: Layout, key: &Key) -> Result<()> {
        let Some(unit) = read(&self.folder, layout, key)? else { return Ok(()) };
        // The mark goes last, so that the rest is found again after a crash.
        for (path, _) in unit.mark_first().rev() {
            let path = self.folder.join(path);
            fs::remove_file(&path).at(path.display())?;
        }
        // Where something else lies in them they stay.
        if layout == Layout::Files {
            let _ = fs::remove_dir(self.folder.join(&key.namespace).join(&key.name));
        }
        let _ = fs::remove_dir(self.folder.join(&key.namespace));
        Ok(())
    }
}

impl Unit {
    fn of(produced: &Produced, layout: Layout, key: &Key) -> Result<Self> {
        let encoded: BTreeMap<&str, Zeroizing<String>> = match layout {
            // Why exposed: a manifest holds the values in base64.
            Layout::Yaml => produced
                .data
                .iter()
                .map(|(key, value)| (key.as_str(), Zeroizing::new(BASE64_STANDARD.encode(value.expose()))))
                .collect(),
            Layout::Files => BTreeMap::new(),
        };
        let manifest = Manifest {
            api_version: "v1",
            kind: "Secret",
            metadata: Metadata {
                name: &key.name,
                namespace: &key.namespace,
                labels: &produced.labels,
                annotations: &produced.annotations,
            },
            secret_type: &produced.secret_type,
            immutable: produced.immutable,
            data: (layout == Layout::Yaml)
                .then(|| encoded.iter().map(|(key, text)| (*key, text.as_str())).collect()),
        };
        let text = Secret::new(yaml::to_string(&manifest)?.into_bytes());
        let private = |bytes| Part { bytes, private: true };
        let values: BTreeMap<_, _> =
            produced.data.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let mut parts = BTreeMap::from([(manifest_path(layout, key), private(text))]);
        if layout == Layout::Files {
            let folder = Path::new(&key.namespace).join(&key.name);
            parts.extend(
                values.iter().map(|(key, value)| (folder.join(key.as_str()), private(value.clone()))),
            );
        }
        Ok(Self { parts, annotations: produced.annotations.clone(), values, damaged: false })
    }

    /// What the plan is told about the unit.
    pub(super) fn target(&self, key: &Key, owner: &Owner<'_>, identities: &Identities) -> Target {
        let mut annotations = self.annotations.clone();
        // Taking over the keys of others would need to know which keys are whose; a cluster knows, files don't.
        annotations.remove(names::ADOPT);
        annotations.remove(names::ADOPTED);
        if self.damaged && owner.applied.as_ref().is_some_and(|applied| *applied == uid(key)) {
            // What stands here was written by us and broken by somebody: a hand edit to repair.
            annotations.insert(names::OWNED_BY.to_owned(), names::owned_by(owner.kind, owner.name));
        }
        Target { uid: uid(key), resource_version: self.version(identities), annotations, owners: Vec::new() }
    }

    fn mark_first(&self) -> impl DoubleEndedIterator<Item = (&PathBuf, &Part)> {
        let mut parts: Vec<_> = self.parts.iter().collect();
        parts.sort_by_key(|(path, _)| !path.ends_with(METADATA));
        parts.into_iter()
    }

    /// Kind and name of its owner, as it says itself.
    fn owner(&self) -> Option<(String, String)> {
        let (kind, name) = self.annotations.get(names::OWNED_BY)?.split_once('/')?;
        let is_known = [KIND, external::KIND].contains(&kind) || super::inject::KINDS.contains(&kind);
        is_known.then(|| (kind.to_owned(), name.to_owned()))
    }

    /// Whether it says that it is of this owner.
    pub(super) fn is_of(&self, kind: &str, name: &str) -> bool {
        self.owner().is_some_and(|owner| (owner.0.as_str(), owner.1.as_str()) == (kind, name))
    }

    /// Whether what stands here is no Secret of anybody.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// One of its values.
    pub(super) fn value(&self, key: &str) -> Option<&Secret> {
        self.values.get(&key.parse::<DataKey>().ok()?)
    }

    /// Its values, without their keys.
    pub(super) fn files(&self) -> impl Iterator<Item = &Secret> {
        self.values.values()
    }

    /// Its values.
    pub(super) fn values(&self) -> impl Iterator<Item = (String, Secret)> {
        self.values.iter().map(|(key, value)| (key.to_string(), value.clone()))
    }

    /// The same for the same bytes and modes, and unlike for any others.
    pub(super) fn version(&self, identities: &Identities) -> String {
        let Some(identity) = identities.iter().next() else { return String::new() };
        let mut message =
            Zeroizing::new(Vec::with_capacity(self.parts.values().map(|part| part.bytes.len() + 600).sum()));
        for (path, part) in &self.parts {
            let path = path.as_os_str().as_encoded_bytes();
            for field in [path, &[u8::from(part.private)], part.bytes.expose()] {
                message.extend_from_slice(&(field.len() as u64).to_be_bytes());
                // Why exposed: to be told apart from other bytes by a MAC.
                message.extend_from_slice(field);
            }
        }
        identity.mac(LABEL, &message).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The keys whose values differ.
    fn differences(&self, new: &Self) -> BTreeSet<DataKey> {
        let keys = self.values.keys().chain(new.values.keys());
        let same = |key: &DataKey| match (self.values.get(key), new.values.get(key)) {
            (Some(old), Some(new)) => old.same_as(new),
            _ => false,
        };
        keys.filter(|key| !same(key)).cloned().collect()
    }

    /// Takes over what a manifest says.
    fn learn(&mut self, bytes: &Secret) {
        // Why exposed: to read the metadata, and to tell which values differ.
        let known: Option<Known> =
            std::str::from_utf8(bytes.expose()).ok().and_then(|text| yaml::from_str(text).ok());
        let Some(mut known) = known.filter(|known| known.kind == "Secret") else {
            self.damaged = true;
            return;
        };
        self.annotations = std::mem::take(&mut known.metadata.annotations);
        for (key, text) in known.data {
            let text = Zeroizing::new(text);
            if let (Ok(key), Ok(value)) = (key.parse(), BASE64_STANDARD.decode(text.as_bytes())) {
                self.values.insert(key, Secret::new(value));
            }
        }
    }
}

/// A Secret in a directory has no identity of its own beyond its path.
fn uid(key: &Key) -> String {
    format!("file:{key}")
}

/// The file that holds the mark.
fn manifest_path(layout: Layout, key: &Key) -> PathBuf {
    let folder = Path::new(&key.namespace);
    match layout {
        Layout::Yaml => folder.join(format!("{}.yaml", key.name)),
        Layout::Files => folder.join(&key.name).join(METADATA),
    }
}

fn read(folder: &Path, layout: Layout, key: &Key) -> Result<Option<Unit>> {
    let namespace = folder.join(&key.namespace);
    match fs::symlink_metadata(&namespace) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(Failure::new("not a folder").at(namespace.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).at(namespace.display()),
    }
    let mut unit = Unit::default();
    let manifest = manifest_path(layout, key);
    if layout == Layout::Files {
        let inside = Path::new(&key.namespace).join(&key.name);
        match fs::symlink_metadata(folder.join(&inside)) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Ok(Some(unit)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).at(folder.join(&inside).display()),
        }
        for (name, path, kind) in entries(&folder.join(&inside))? {
            if kind.is_file() && name != METADATA && !name.starts_with(TEMPORARY) {
                let part = part(&path)?;
                if let Ok(key) = name.parse() {
                    unit.values.insert(key, part.bytes.clone());
                }
                unit.parts.insert(inside.join(name), part);
            }
        }
    }
    let path = folder.join(&manifest);
    match fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_file() => {
            let part = part(&path)?;
            unit.learn(&part.bytes);
            unit.parts.insert(manifest, part);
            Ok(Some(unit))
        }
        // A link could lead anywhere, and a folder is nothing of ours.
        Ok(_) => Ok(Some(Unit::default())),
        // An empty folder is what a crash leaves behind.
        Err(error) if error.kind() == io::ErrorKind::NotFound && unit.parts.is_empty() => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Some(Unit { damaged: true, ..unit })),
        Err(error) => Err(error).at(path.display()),
    }
}

fn part(path: &Path) -> Result<Part> {
    let private = fs::metadata(path).at(path.display())?.mode() & 0o077 == 0;
    Ok(Part { bytes: input::read(path)?, private })
}

/// What lies in a folder, in order, as far as its names are text; nothing when the folder is not there.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf, fs::FileType)>> {
    let mut found = Vec::new();
    let list = match fs::read_dir(folder) {
        Ok(list) => list,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error).at(folder.display()),
    };
    for entry in list {
        let entry = entry.at(folder.display())?;
        if let Ok(name) = entry.file_name().into_string() {
            found.push((name, entry.path(), entry.file_type().at(folder.display())?));
        }
    }
    found.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(found)
}
