//! The repository around a file: its `.waxwing.yaml`, and who the recipients are for what.

use std::path::{Path, PathBuf};

use crate::{args::Context, verbs::keys::work_tree};

/// The name of the configuration file.
pub(crate) const FILE: &str = ".waxwing.yaml";

/// The configuration file for a path: the one that was named, else the nearest one above.
pub(crate) fn config_path(path: &Path, context: &Context) -> Option<PathBuf> {
    if let Some(named) = &context.config {
        return Some(named.clone());
    }
    let path = std::path::absolute(path).ok()?;
    let folder = if path.is_dir() { path.as_path() } else { path.parent()? };
    folder.ancestors().map(|folder| folder.join(FILE)).find(|file| file.is_file())
}

/// The folder that counts as the repository: the configuration file's, else the Git work tree.
pub(crate) fn root_of(path: &Path, context: &Context) -> Option<PathBuf> {
    let configured = config_path(path, context).and_then(|file| Some(std::path::absolute(file).ok()?.parent()?.to_owned()));
    configured.or_else(|| work_tree(path))
}
