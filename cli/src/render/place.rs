//! Where a render may write: not where opened values could be committed, and not where another render is at work.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::fs::{FlockOperation, flock};

use super::{Job, state};
use crate::{
    error::{Explain, Failure, Result},
    work_tree,
};

/// Checks the directories of a job, makes the output, and gives both by their true paths.
pub(super) fn check(job: &Job) -> Result<(PathBuf, PathBuf)> {
    let source = job.source.canonicalize().at(job.source.display())?;
    if !source.is_dir() {
        return Err(Failure::usage(format!("{} is not a folder", job.source.display())));
    }
    let output = true_path(&job.output).at(job.output.display())?;
    if source.starts_with(&output) {
        return Err(Failure::usage(format!("{} holds the manifests themselves", job.output.display()))
            .hint("choose a folder for the Secrets outside of it"));
    }
    let tree = work_tree::around(&output.join(state::FILE));
    let committable = output.starts_with(&source) || tree.is_some();
    if committable && !job.force && !tree.as_deref().is_some_and(|tree| is_ignored(tree, &output)) {
        let place = tree.map_or_else(
            || format!("inside {}", job.source.display()),
            |tree| format!("in the Git work tree {}, which does not ignore it", tree.display()),
        );
        return Err(Failure::new(format!(
            "{} lies {place}: opened values could be committed",
            job.output.display()
        ))
        .hint("choose a folder outside, put it into .gitignore, or insist with --force"));
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&output).at(output.display())?;
    Ok((source, output))
}

/// The path without links, also where its end does not exist yet.
fn true_path(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    for existing in path.ancestors() {
        match existing.canonicalize() {
            Ok(true_path) => {
                let rest = path.strip_prefix(existing).unwrap_or(Path::new(""));
                // `..` behind a folder that does not exist would lead elsewhere once it does.
                if rest.components().any(|part| part == std::path::Component::ParentDir) {
                    return Err(io::Error::other("`..` behind a folder that does not exist"));
                }
                // Not `join`, which would end an empty rest with a slash.
                return Ok(true_path.components().chain(rest.components()).collect());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(path)
}

/// Whether Git passes over everything in a folder. Without Git nobody knows.
fn is_ignored(tree: &Path, output: &Path) -> bool {
    let mut git = Command::new("git");
    // A hook's environment speaks of another repository.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
        git.env_remove(name);
    }
    git.current_dir(tree).args(["check-ignore", "-q", "--"]).arg(output.join(state::FILE));
    git.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    git.status().is_ok_and(|status| status.success())
}

/// The output directory, held by this process until it ends.
pub(super) struct Lock {
    folder: File,
}

impl Lock {
    pub(super) fn take(folder: &Path) -> Result<Self> {
        let file = File::open(folder).at(folder.display())?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Err(Failure::new("another waxwing render is at work in it")
                    .at(folder.display())
                    .hint("stop it, or wait until it is done"))
            }
            // A file system without locks: two at once are then nobody's to notice.
            _ => Ok(Self { folder: file }),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing it is not enough: a child that was just forked holds it open until it runs its program.
        let _ = flock(&self.folder, FlockOperation::Unlock);
    }
}
