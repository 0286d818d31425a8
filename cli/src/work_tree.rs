//! What the program `git` says about the files at hand. Without it, or outside of a work tree, there is nothing to know.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::error::{Failure, Result};

/// The program in a folder, with nothing read from standard input and no lock taken that it can do without.
pub(crate) fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(folder).stdin(Stdio::null()).env("GIT_OPTIONAL_LOCKS", "0");
    command
}

/// What a command prints; a failure names the command and what it said.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Failure::new("the program git is not there").hint("install git, and run this in its work tree")
        }
        _ => Failure::from(error).at("git"),
    })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let args: Vec<_> = command.get_args().take(2).map(OsStr::to_string_lossy).collect();
    Err(Failure::new(format!("git {}: {}", args.join(" "), said.trim())))
}

/// The Git work tree around a path, if there is one.
pub(crate) fn around(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    // The folder may be reached by a symbolic link, or not exist yet.
    let nearest = path.ancestors().skip(1).find_map(|folder| folder.canonicalize().ok())?;
    nearest.ancestors().find(|folder| folder.join(".git").exists()).map(Path::to_owned)
}

/// The files among these that are as they are in the last commit, so that Git can bring each back.
pub(crate) fn committed<'a>(paths: impl IntoIterator<Item = &'a Path>) -> BTreeSet<&'a Path> {
    let mut by_root: BTreeMap<PathBuf, Vec<(&Path, PathBuf)>> = BTreeMap::new();
    let mut folders = BTreeMap::new();
    for path in paths {
        // A file that is reached by a link lies elsewhere.
        let (Some(folder), Some(name), false) = (path.parent(), path.file_name(), path.is_symlink()) else {
            continue;
        };
        let Some((root, inside)) = folders.entry(folder).or_insert_with(|| inside(path)) else { continue };
        by_root.entry(root.clone()).or_default().push((path, inside.join(name)));
    }
    let mut clean = BTreeSet::new();
    for (root, paths) in by_root {
        let Some((tracked, changed)) = state(&root) else { continue };
        let is_clean = |inside: &PathBuf| tracked.contains(inside) && !changed.contains(inside);
        clean.extend(paths.iter().filter(|(_, inside)| is_clean(inside)).map(|(path, _)| *path));
    }
    clean
}

/// The work tree of a file, and the file's folder in it.
fn inside(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let root = around(path)?;
    let real = path.canonicalize().ok()?;
    let folder = real.strip_prefix(&root).ok()?.parent()?.to_owned();
    Some((root, folder))
}

/// Tracked files, and those that differ from the last commit.
fn state(root: &Path) -> Option<(BTreeSet<PathBuf>, BTreeSet<PathBuf>)> {
    let listed = output(git(root).args(["ls-files", "-v", "-z"])).ok()?;
    let changed = output(git(root).args(["diff", "--name-only", "--no-ext-diff", "-z", "HEAD"])).ok()?;
    // Any other letter than H: somebody told Git not to look at the file.
    let tracked = parts(&listed).filter_map(|line| line.strip_prefix(b"H ")).map(path).collect();
    Some((tracked, parts(&changed).map(path).collect()))
}

/// What a NUL ends.
pub(crate) fn parts(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == 0).filter(|part| !part.is_empty())
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Guard: `committed` asks for what differs from the last commit, and for flags.
    #[test]
    fn only_files_that_git_can_bring_back_count() {
        let home = tempfile::tempdir().unwrap();
        let names = ["clean", "changed", "staged", "hidden", "untracked", "ignored"];
        let paths: Vec<PathBuf> = names.iter().map(|name| home.path().join(name)).collect();
        for path in &paths {
            fs::write(path, "one").unwrap();
        }
        let run = |args: &[&str]| {
            let mut command = git(home.path());
            command.args(["-c", "user.name=t", "-c", "user.email=t@example.com"]).args(args);
            output(&mut command).unwrap();
        };
        assert!(committed(paths.iter().map(PathBuf::as_path)).is_empty());
        run(&["init", "-q"]);
        fs::write(home.path().join(".gitignore"), "ignored\n").unwrap();
        run(&["add", "clean", "changed", "staged", "hidden", ".gitignore"]);
        assert!(committed(paths.iter().map(PathBuf::as_path)).is_empty(), "there is no commit yet");
        run(&["commit", "-qm", "one"]);
        fs::write(&paths[1], "two").unwrap();
        fs::write(&paths[2], "two").unwrap();
        run(&["add", "staged"]);
        run(&["update-index", "--assume-unchanged", "hidden"]);
        fs::write(&paths[3], "two").unwrap();
        let clean = committed(paths.iter().map(PathBuf::as_path));
        assert_eq!(clean.into_iter().collect::<Vec<_>>(), [paths[0].as_path()]);
    }
}
