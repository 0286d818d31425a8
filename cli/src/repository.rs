//! The repository around a file: its `.waxwing.yaml`, and who the recipients are for what.

use std::{
    collections::HashMap,
    fs,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use waxwing_core::{
    config::{Config, Rule},
    keys::NamedRecipient,
};

use crate::{
    args::Context,
    error::{Explain, Failure, Result},
    work_tree,
    write::follow,
};

/// The name of the configuration file.
pub(crate) const FILE: &str = ".waxwing.yaml";

/// The configurations for many files, each read once.
#[derive(Default)]
pub(crate) struct Repositories {
    by_folder: Mutex<HashMap<PathBuf, Arc<Repository>>>,
}

impl Repositories {
    /// As [`Repository::of`].
    pub(crate) fn of(&self, path: &Path, context: &Context) -> Result<Arc<Repository>> {
        // A link counts as the file that it leads to, which may lie under another configuration.
        let real = if path.is_symlink() { path.canonicalize().ok() } else { None };
        let path = real.as_deref().unwrap_or(path);
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let known = || self.by_folder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known().get(&folder) {
            return Ok(found.clone());
        }
        let file = config_path(path, context);
        // Another folder under the same configuration may have it already.
        let same = known().values().find(|found| Some(&found.path) == file.as_ref()).cloned();
        let found = same.map_or_else(|| Repository::of(path, context).map(Arc::new), Ok)?;
        known().insert(folder, found.clone());
        Ok(found)
    }

    /// Those that were asked for.
    pub(crate) fn known(&self) -> Vec<Arc<Repository>> {
        let known = self.by_folder.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().cloned().collect()
    }
}

/// A configuration and the folder that its paths are relative to.
pub(crate) struct Repository {
    path: PathBuf,
    root: PathBuf,
    config: Config,
}

impl Repository {
    /// The configuration for a path: the one that was named, else the nearest one above.
    pub(crate) fn of(path: &Path, context: &Context) -> Result<Self> {
        let file = config_path(path, context).ok_or_else(|| {
            Failure::new(format!("there is no {FILE} in the folder of {} or above", path.display()))
                .hint("waxwing init makes one; it says who can open what is sealed")
        })?;
        let text = fs::read_to_string(&file).at(file.display())?;
        let config = Config::parse(&text).at(file.display())?;
        let absolute = std::path::absolute(&file)?;
        let root = absolute.parent().unwrap_or(Path::new("/"));
        Ok(Self { root: root.canonicalize().unwrap_or_else(|_| root.to_owned()), path: file, config })
    }

    /// Those of the folders above. They decide about other files; what was revoked there counts here, too.
    pub(crate) fn above(&self, context: &Context) -> Result<Vec<Self>> {
        let folders = if context.config.is_some() { None } else { self.root.parent() };
        let files = folders.into_iter().flat_map(Path::ancestors).map(|folder| folder.join(FILE));
        files.filter(|file| file.is_file()).map(|file| Self::of(&file, context)).collect()
    }

    /// Whether it names this public key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.config.members().iter().any(|member| member.recipient.recipient().as_str() == key)
    }

    /// Where the configuration stands.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the configuration.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// What the configuration says.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Who can open what is sealed into this file for this namespace.
    pub(crate) fn recipients(&self, path: &Path, namespace: &str) -> Result<Vec<NamedRecipient>> {
        self.config.recipients_for(&self.relative(path)?, namespace).hint(self.where_rules_are())
    }

    /// The rule for this file and namespace.
    pub(crate) fn rule(&self, path: &Path, namespace: &str) -> Result<&Rule> {
        self.config.rule_for(&self.relative(path)?, namespace).hint(self.where_rules_are())
    }

    fn where_rules_are(&self) -> String {
        format!("add a rule to {}, or move the file to where a rule matches", self.path.display())
    }

    /// The path relative to the root, with slashes. Links are followed, so that a file has one name
    /// and one rule however it was reached; standard input counts as a file beside the
    /// configuration.
    fn relative(&self, path: &Path) -> Result<String> {
        let absolute = match path.canonicalize() {
            Ok(real) => real,
            Err(_) => to_be(path)?,
        };
        let relative = absolute.strip_prefix(&self.root).map_err(|_| {
            Failure::new(format!("{} lies outside of {}", path.display(), self.root.display()))
                .hint(format!("rules of {} are for files beside and below it", self.path.display()))
        })?;
        let parts = relative.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
        Ok(parts.collect::<Vec<_>>().join("/"))
    }
}

/// The configuration file for a path: the one that was named, else the nearest one above.
pub(crate) fn config_path(path: &Path, context: &Context) -> Option<PathBuf> {
    if let Some(named) = &context.config {
        return Some(named.clone());
    }
    let real = if path.is_symlink() { path.canonicalize().ok() } else { None };
    let given = std::path::absolute(real.as_deref().unwrap_or(path)).ok()?;
    let folder = if given.is_dir() { given.as_path() } else { given.parent()? };
    let found = normal(folder).ancestors().map(|folder| folder.join(FILE)).find(|file| file.is_file())?;
    // As short as the path that was given.
    let here = std::env::current_dir().ok();
    let short = here.and_then(|here| found.strip_prefix(here).ok().map(Path::to_owned));
    Some(short.unwrap_or(found))
}

/// The folder that counts as the repository: the configuration file's, else the Git work tree.
pub(crate) fn root_of(path: &Path, context: &Context) -> Option<PathBuf> {
    let folder_of = |file: PathBuf| Some(std::path::absolute(file).ok()?.parent()?.to_owned());
    config_path(path, context).and_then(folder_of).or_else(|| work_tree::around(path))
}

/// The place of a file that is not there yet.
fn to_be(path: &Path) -> Result<PathBuf> {
    let absolute = normal(&std::path::absolute(follow(path)?)?);
    Ok(match (absolute.parent().map(Path::canonicalize), absolute.file_name()) {
        (Some(Ok(folder)), Some(name)) => folder.join(name),
        _ => absolute,
    })
}

/// Without `.` and `..`, as text: the folders need not exist yet.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(out.pop()),
            part => out.push(part),
        }
    }
    out
}
