//! The folder of a job: a bare clone that is kept if the folder is, and the files of one commit.
//!
//! Nothing is checked out by Git: only YAML and JSON files with sealed resources, and `.waxwing.yaml`, are written, as the
//! bytes that the commit has. So no link, no filter and no attribute of the repository can lead a write elsewhere.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use git2::{Blob, Commit, Config, FileMode, ObjectType, Oid, Repository, build::TreeUpdateBuilder};
use rustix::fs::{FlockOperation, flock};

use super::server::plain;
use crate::{
    error::{Explain, Failure, Result},
    repository,
    sealed_file::{self, could_be_sealed},
};

/// Files of one commit that are looked at, at most: a commit of a few kilobytes can name more of them than any disk holds.
const MOST_FILES: usize = 2_000_000;

/// A larger file holds no resources that an API server would take.
pub(super) const MOST_BYTES: usize = 32 * 1024 * 1024;

/// Rules are written by hand.
const MOST_RULES: usize = 1024 * 1024;

/// Says that a folder is a job's; the process that has it locked is at work in it.
const LOCK: &str = "waxwing-rewrap.lock";

/// The folder, for this process alone.
pub(super) struct Work {
    folder: PathBuf,
    /// The clone.
    pub(super) repository: Repository,
    /// Whether it is one of an earlier run.
    kept: bool,
    _lock: File,
}

impl Work {
    /// Makes or opens it.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(folder).at(folder.display())?;
        let folder = folder.canonicalize().at(folder.display())?;
        // It would say who the recipients are wherever the repository itself does not.
        if let Some(above) =
            folder.ancestors().map(|folder| folder.join(repository::FILE)).find(|file| file.exists())
        {
            return Err(Failure::new(format!(
                "{} lies above the folder of the job, and would count for the repository",
                above.display()
            ))
            .hint("name another folder with --work-dir, or another place for temporary files with $TMPDIR"));
        }
        check_own(&folder)?;
        let path = folder.join(LOCK);
        let lock = File::options().create(true).append(true).open(&path).at(path.display())?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => Failure::new("another job is at work in it")
                .at(folder.display())
                .hint("wait for it, or name another --work-dir"),
            error => Failure::from(error).at(path.display()),
        })?;
        let clone = folder.join(CLONE);
        let kept = if clone.exists() {
            remove_unfinished(&clone)?;
            Repository::open_bare(&clone).ok()
        } else {
            None
        };
        let mut work = match kept {
            Some(repository) => Self { folder, repository, kept: true, _lock: lock },
            None => Self { repository: new_clone(&folder)?, folder, kept: false, _lock: lock },
        };
        work.leave_out_configuration()?;
        Ok(work)
    }

    /// Whether the clone is one of an earlier run.
    pub(super) fn is_kept(&self) -> bool {
        self.kept
    }

    /// Makes the clone anew. It holds nothing that the server does not have.
    pub(super) fn renew(&mut self) -> Result<()> {
        self.repository = new_clone(&self.folder)?;
        self.kept = false;
        self.leave_out_configuration()
    }

    /// No file of the user's or the machine's speaks in: it could lead to another server by `insteadOf`.
    fn leave_out_configuration(&mut self) -> Result<()> {
        Ok(self.repository.set_config(&Config::new()?)?)
    }

    /// Writes the files of `content`, with the rules of `rules`, to a new folder.
    pub(super) fn export(&self, content: &Commit<'_>, rules: &Commit<'_>) -> Result<Tree> {
        let root = self.folder.join("tree");
        remove(&root)?;
        fs::create_dir(&root).at(root.display())?;
        let (mut files, mut unnamed) = (BTreeMap::new(), Vec::new());
        self.each(content, |Entry { path, id, mode, nameable }| {
            if !is_regular(mode) || !could_hold(path) {
                return Ok(());
            }
            if !nameable {
                if self.text(id, true)?.is_some() {
                    unnamed.push(plain(path));
                }
            } else if self.write(&root, path, id, true)? {
                files.insert(path.to_owned(), (id, mode));
            }
            Ok(())
        })?;
        self.each(rules, |Entry { path, id, mode, nameable }| {
            // No file is rewrapped below a folder that can't be named.
            if !nameable || path.rsplit('/').next() != Some(repository::FILE) {
                return Ok(());
            }
            // Without them, those above would count, which may name more readers.
            if !is_regular(mode) || self.repository.odb()?.read_header(id)?.0 > MOST_RULES {
                return Err(Failure::new("rules are taken from regular files of up to 1 MiB only")
                    .at(path)
                    .hint("make it one on the default branch; nothing was pushed"));
            }
            self.write(&root, path, id, false).map(drop)
        })?;
        if !root.join(repository::FILE).exists() {
            return Err(Failure::new(format!(
                "there is no {} at the root of the default branch",
                repository::FILE
            ))
            .hint("waxwing init makes one; it says who can open what is sealed"));
        }
        Ok(Tree { root, files, unnamed })
    }

    /// Every entry of a commit; only folders are gone into.
    fn each(&self, commit: &Commit<'_>, mut found: impl FnMut(Entry<'_>) -> Result<()>) -> Result<()> {
        let mut folders = vec![(String::new(), commit.tree_id(), true)];
        let mut seen = 0;
        while let Some((folder, id, nameable)) = folders.pop() {
            let tree = self.repository.find_tree(id)?;
            for entry in &tree {
                seen += 1;
                if seen > MOST_FILES {
                    return Err(Failure::new(format!("the repository has more than {MOST_FILES} files")));
                }
                let name = String::from_utf8_lossy(entry.name_bytes());
                if name.is_empty()
                    || name == "."
                    || name == ".."
                    || name.contains('/')
                    || name.eq_ignore_ascii_case(".git")
                {
                    return Err(Failure::new("the repository has a file whose name no file can have"));
                }
                let nameable = nameable && entry.name().is_ok() && !name.contains(char::is_control);
                let path = format!("{folder}{name}");
                found(Entry { path: &path, id: entry.id(), mode: entry.filemode(), nameable })?;
                if entry.kind() == Some(ObjectType::Tree) {
                    folders.push((format!("{path}/"), entry.id(), nameable));
                }
            }
        }
        Ok(())
    }

    /// What a file holds, unless it is too large; with `sealed` only if it could hold a sealed resource.
    fn text(&self, id: Oid, sealed: bool) -> Result<Option<Blob<'_>>> {
        let (size, _) = self.repository.odb()?.read_header(id)?;
        if size > MOST_BYTES {
            return Ok(None);
        }
        let blob = self.repository.find_blob(id)?;
        Ok(Some(blob).filter(|blob| !sealed || could_be_sealed(blob.content())))
    }

    /// Writes one file, and says whether it did; see [`Self::text`].
    fn write(&self, root: &Path, path: &str, id: Oid, sealed: bool) -> Result<bool> {
        let Some(blob) = self.text(id, sealed)? else { return Ok(false) };
        let target = root.join(path);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).at(folder.display())?;
        }
        File::create_new(&target)
            .and_then(|mut file| std::io::Write::write_all(&mut file, blob.content()))
            .at(path)?;
        Ok(true)
    }
}

/// What a commit has at a path.
struct Entry<'a> {
    path: &'a str,
    id: Oid,
    mode: i32,
    /// Whether the path is text that can stand in a line; else its letters are not those of the repository.
    nameable: bool,
}

/// Files of a commit, on disk.
pub(super) struct Tree {
    /// The folder.
    pub(super) root: PathBuf,
    /// Paths, with what the commit has there.
    files: BTreeMap<String, (Oid, i32)>,
    /// Files left out because their names can't stand in a line, with what comes near them.
    pub(super) unnamed: Vec<String>,
}

impl Tree {
    /// The tree of `base` with these files as they are now.
    pub(super) fn with(
        &self,
        repository: &Repository,
        base: &Commit<'_>,
        changed: &[sealed_file::Change],
    ) -> Result<Oid> {
        let mut update = TreeUpdateBuilder::new();
        for change in changed {
            let inside = self.inside(&change.path);
            let (_, mode) =
                self.files.get(&inside).ok_or_else(|| Failure::new("it is not in the commit").at(&inside))?;
            let mode =
                if mode_after(*mode) == EXECUTABLE { FileMode::BlobExecutable } else { FileMode::Blob };
            let blob = repository.blob(change.after.as_bytes())?;
            update.upsert(inside, blob, mode);
        }
        Ok(update.create_updated(repository, &base.tree()?)?)
    }

    /// A path as the repository has it.
    pub(super) fn inside(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy().into_owned()
    }

    /// A failure that names paths as the repository has them.
    pub(super) fn told(&self, failure: &Failure) -> Failure {
        let root = format!("{}/", self.root.display());
        let told = Failure::new(failure.to_string().replace(&root, "")).exit(failure.code());
        failure.hints().iter().fold(told, |told, hint| told.hint(hint.replace(&root, "")))
    }
}

/// Whether a mode is a file's: neither a link's, nor a folder's, nor a submodule's.
pub(super) fn is_regular(mode: i32) -> bool {
    matches!(mode, REGULAR | EXECUTABLE | 0o100_664)
}

/// The mode that a job gives to a file that it has changed.
pub(super) fn mode_after(mode: i32) -> i32 {
    if mode == EXECUTABLE { EXECUTABLE } else { REGULAR }
}

/// Whether a file with this path is looked at.
pub(super) fn could_hold(path: &str) -> bool {
    let end = Path::new(path).extension().and_then(|end| end.to_str());
    let hidden = path.split('/').any(|part| part.starts_with('.'));
    !hidden && matches!(end, Some("yaml" | "yml" | "json"))
}

/// The clone's folder.
const CLONE: &str = "repository.git";
const REGULAR: i32 = 0o100_644;
const EXECUTABLE: i32 = 0o100_755;

/// Refuses a folder with anything in it that is not a job's: a job removes what it finds there.
fn check_own(folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder).at(folder.display())?;
    let names =
        entries.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>().at(folder.display())?;
    // The latter comes with a file system of its own.
    if names.iter().any(|name| name == LOCK) || names.iter().all(|name| name == "lost+found") {
        return Ok(());
    }
    Err(Failure::usage("it holds files that no job has put there")
        .at(folder.display())
        .hint("name an empty folder, or one that does not exist yet, with --work-dir"))
}

fn new_clone(folder: &Path) -> Result<Repository> {
    let clone = folder.join(CLONE);
    remove(&clone)?;
    Repository::init_bare(&clone).at(clone.display())
}

/// Removes what a killed run has left in the clone: nobody else is at work in it. A lock would stop every later run.
fn remove_unfinished(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).at(folder.display())? {
        let path = entry.at(folder.display())?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !path.is_symlink() {
            remove_unfinished(&path)?;
        } else if name.ends_with(".lock") || name.contains("_git2_") {
            fs::remove_file(&path).at(path.display())?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).at(path.display()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
