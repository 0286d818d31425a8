//! Every write of a file: a new file beside the old one, synced, renamed over it.
//!
//! Two steps, so that a verb over many files prepares them all before it replaces the first. A
//! crash at any point leaves each file as it was or as it shall be, never in between. Whoever reads
//! a file to write it again holds a [`Lock`] meanwhile, so that no other writer's change is lost.
//! Thousands of files are synced together, by their file systems ([`FileSystems`]).

use std::{
    collections::BTreeSet,
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use tempfile::TempPath;

use crate::error::{Explain, Result};

/// Who may read the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As the file that stands there; a new file gets what the umask allows.
    Keep,
    /// The owner alone: for anything opened, and for identities.
    Private,
}

/// When a new file is made to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    /// Before `prepare` and `commit` return.
    Each,
    /// By whoever holds the [`FileSystems`], for many files at once.
    Together,
}

/// A file that is complete on disk under a temporary name.
pub(crate) struct Prepared {
    /// Closed already: a verb may hold more of them than files can be open.
    temporary: TempPath,
    target: PathBuf,
    /// What stood at the target when this was prepared.
    old: Option<Stamp>,
    sync: Sync,
}

/// Tells one content of one file from any other: device, inode, size, time of the last change of content. Another mode, or
/// another name for the same file, changes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp(u64, u64, u64, (i64, i64));

impl Stamp {
    fn of(file: &fs::Metadata) -> Self {
        Self(file.dev(), file.ino(), file.size(), (file.mtime(), file.mtime_nsec()))
    }
}

/// The file systems that many files lie on. Opened before the first of them is written, because what goes wrong with a
/// write is told to those who had them open then.
pub(crate) struct FileSystems {
    open: Vec<File>,
}

/// Keeps other commands from writing files in some folders, until it is dropped or the process
/// ends. It lies on the folders, because the files are renamed over, and leaves nothing behind.
pub(crate) struct Lock {
    _folders: Vec<File>,
}

impl Lock {
    /// Waits until nobody else writes beside these files. Not to be held while a person is asked or
    /// a pipe is read, which may wait for another command.
    ///
    /// A file system without locks goes without: there the comparison before each write remains.
    pub(crate) fn beside<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<Self> {
        // One order for everybody, so that no two commands wait for each other.
        let mut folders = BTreeSet::new();
        for folder in directories(paths)? {
            folders.insert(existing_folder(&folder).at(folder.display())?);
        }
        allow_open(folders.len());
        let mut locked = Vec::new();
        for folder in folders {
            let open = File::open(&folder).at(folder.display())?;
            loop {
                match flock(&open, FlockOperation::LockExclusive) {
                    Err(Errno::INTR) => {}
                    Ok(()) | Err(Errno::NOLCK | Errno::NOTSUP | Errno::NOSYS | Errno::INVAL) => break,
                    Err(error) => return Err(error).at(folder.display()),
                }
            }
            locked.push(open);
        }
        Ok(Self { _folders: locked })
    }
}

impl FileSystems {
    /// Those of these files; none where they cannot be synced as a whole.
    pub(crate) fn of<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Option<Self> {
        if cfg!(not(target_os = "linux")) {
            return None;
        }
        let mut seen = BTreeSet::new();
        let mut open = Vec::new();
        for folder in directories(paths).ok()? {
            if seen.insert(fs::metadata(&folder).ok()?.dev()) {
                open.push(File::open(&folder).ok()?);
            }
        }
        Some(Self { open })
    }

    /// Waits until everything that was written on them lasts.
    pub(crate) fn sync(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        for folder in &self.open {
            rustix::fs::syncfs(folder)?;
        }
        Ok(())
    }
}

/// Asks for as many open files as a command over many folders needs, as far as the user may have them. Where that is not
/// enough, opening fails and says so.
fn allow_open(files: usize) {
    let limit = getrlimit(Resource::Nofile);
    // Besides the folders, what any command has open.
    let wanted = files as u64 + 256;
    if limit.current.is_some_and(|current| current < wanted) {
        let current = limit.maximum.map_or(wanted, |maximum| wanted.min(maximum));
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum });
    }
}

/// The folders in which these files lie, each once.
fn directories<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<BTreeSet<PathBuf>> {
    let folder = |path: &Path| Ok(directory(&follow(path).at(path.display())?).to_owned());
    paths.into_iter().map(folder).collect()
}

/// A folder, or the nearest one above that exists.
fn existing_folder(folder: &Path) -> io::Result<PathBuf> {
    let folder = std::path::absolute(folder)?;
    let found = folder.ancestors().find_map(|folder| folder.canonicalize().ok());
    Ok(found.unwrap_or_else(|| PathBuf::from("/")))
}

/// Writes and syncs the new content beside `path`. A symbolic link is followed, so that it still
/// points to the file afterwards.
///
/// # Errors
/// Nothing stands at `path` that did not stand there before.
pub(crate) fn prepare(path: &Path, content: &[u8], mode: Mode) -> io::Result<Prepared> {
    prepare_with(path, content, mode, Sync::Each)
}

/// As [`prepare`], where the file may be synced with others.
pub(crate) fn prepare_with(path: &Path, content: &[u8], mode: Mode, sync: Sync) -> io::Result<Prepared> {
    let target = follow(path)?;
    let old = match fs::metadata(&target) {
        Ok(old) if old.is_file() => Some(old),
        Ok(_) => return Err(io::Error::other("not a regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    // A new public file is made with the umask; everything else begins closed.
    let first = if old.is_none() && mode == Mode::Keep { 0o666 } else { 0o600 };
    let mut temporary = tempfile::Builder::new()
        .prefix(".waxwing-")
        .permissions(Permissions::from_mode(first))
        .tempfile_in(directory(&target))?;
    if let Some(old) = &old {
        keep_owner(temporary.as_file(), old);
        // After the owner, because a change of owner clears mode bits.
        if mode == Mode::Keep {
            temporary.as_file().set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
        }
    }
    temporary.write_all(content)?;
    if sync == Sync::Each {
        temporary.as_file().sync_all()?;
    }
    let old = old.as_ref().map(Stamp::of);
    Ok(Prepared { temporary: temporary.into_temp_path(), target, old, sync })
}

impl Prepared {
    /// Puts the new file in the place of the old one, and syncs the directory.
    ///
    /// # Errors
    /// Also when something else stands there than when it was prepared; that stays as it is. Between this look and the
    /// rename, only a writer who asks for no [`Lock`] can come, and within microseconds.
    pub(crate) fn commit(self) -> io::Result<()> {
        let now = match fs::symlink_metadata(&self.target) {
            Ok(now) => Some(Stamp::of(&now)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if now != self.old {
            return Err(io::Error::other("somebody else changed it in the meantime; it was left as it is"));
        }
        self.temporary.persist(&self.target)?;
        match self.sync {
            Sync::Each => File::open(directory(&self.target))?.sync_all(),
            Sync::Together => Ok(()),
        }
    }

    /// As [`Self::commit`], but never over a file that exists.
    pub(crate) fn commit_new(self) -> io::Result<()> {
        self.temporary.persist_noclobber(&self.target)?;
        File::open(directory(&self.target))?.sync_all()
    }
}

/// Both steps at once.
pub(crate) fn replace(path: &Path, content: &[u8], mode: Mode) -> io::Result<()> {
    prepare(path, content, mode)?.commit()
}

/// Both steps at once, for a file that must not exist yet; missing directories are made, for the
/// owner alone where the file is.
pub(crate) fn create(path: &Path, content: &[u8], mode: Mode) -> io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.exists()) {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        if mode == Mode::Private {
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        }
        builder.create(parent)?;
    }
    prepare(path, content, mode)?.commit_new()
}

/// The path behind symbolic links, also where nothing stands there yet.
pub(crate) fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    // As many as Linux follows.
    for _ in 0..40 {
        match fs::read_link(&path) {
            Ok(next) => path = directory(&path).join(next),
            // EINVAL: there is something, and it is no link.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn keep_owner(file: &File, old: &fs::Metadata) {
    let same = file.metadata().is_ok_and(|new| new.uid() == old.uid() && new.gid() == old.gid());
    if !same {
        // Only where permitted: a member of the group may rewrite a file that is not theirs.
        let _ = std::os::unix::fs::fchown(file, Some(old.uid()), Some(old.gid()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    /// F02. Guard: the write goes to another file, which is renamed when it is complete (`prepare`).
    #[test]
    fn a_crash_between_write_and_rename_leaves_the_old_file() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.yaml");
        fs::write(&path, "old").unwrap();
        let prepared = prepare(&path, b"new", Mode::Keep).unwrap();
        // A killed process runs no destructor.
        std::mem::forget(prepared);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        replace(&path, b"newer", Mode::Keep).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "newer");
    }

    #[test]
    fn a_failure_before_the_rename_leaves_nothing_behind() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.yaml");
        fs::write(&path, "old").unwrap();
        drop(prepare(&path, b"new", Mode::Keep).unwrap());
        assert_eq!(names(home.path()), ["a.yaml"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }

    /// F02. Guard: `commit` looks at what stands there.
    #[test]
    fn what_somebody_else_wrote_meanwhile_stays() {
        let home = tempfile::tempdir().unwrap();
        let (old, new) = (home.path().join("old"), home.path().join("new"));
        fs::write(&old, "old").unwrap();
        let prepared = [&old, &new].map(|path| prepare(path, b"ours", Mode::Keep).unwrap());
        for path in [&old, &new] {
            fs::write(path, "theirs").unwrap();
        }
        for prepared in prepared {
            let error = prepared.commit().unwrap_err().to_string();
            assert!(error.contains("somebody else changed it"), "{error}");
        }
        for path in [&old, &new] {
            assert_eq!(fs::read_to_string(path).unwrap(), "theirs");
        }
        assert_eq!(names(home.path()).len(), 2, "no temporary file is left");
    }

    #[test]
    fn two_names_of_one_file_are_both_replaced() {
        let home = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| home.path().join(name));
        fs::write(&paths[0], "old").unwrap();
        fs::hard_link(&paths[0], &paths[1]).unwrap();
        let prepared = paths.each_ref().map(|path| prepare(path, b"new", Mode::Keep).unwrap());
        prepared.into_iter().for_each(|prepared| prepared.commit().unwrap());
        paths.iter().for_each(|path| assert_eq!(fs::read_to_string(path).unwrap(), "new"));
    }

    /// F04. Guard: `prepare` copies the mode.
    #[test]
    fn a_file_keeps_its_mode() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.yaml");
        for wanted in [0o640, 0o604, 0o755] {
            fs::write(&path, "old").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(wanted)).unwrap();
            replace(&path, b"new", Mode::Keep).unwrap();
            assert_eq!(mode(&path), wanted);
        }
    }

    /// F04. Guard: `Mode::Private` in `prepare`.
    #[test]
    fn a_private_file_is_the_owners_alone_even_over_an_open_one() {
        let home = tempfile::tempdir().unwrap();
        let (old, new) = (home.path().join("old"), home.path().join("sub/new"));
        fs::write(&old, "old").unwrap();
        fs::set_permissions(&old, Permissions::from_mode(0o644)).unwrap();
        replace(&old, b"x", Mode::Private).unwrap();
        create(&new, b"x", Mode::Private).unwrap();
        assert_eq!((mode(&old), mode(&new)), (0o600, 0o600));
        assert_eq!(mode(new.parent().unwrap()), 0o700);
    }

    #[test]
    fn a_symbolic_link_is_followed_and_stays() {
        let home = tempfile::tempdir().unwrap();
        let (file, link) = (home.path().join("file"), home.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        replace(&link, b"new", Mode::Keep).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        let dangling = home.path().join("dangling");
        std::os::unix::fs::symlink("made", &dangling).unwrap();
        replace(&dangling, b"new", Mode::Keep).unwrap();
        assert_eq!(fs::read_to_string(home.path().join("made")).unwrap(), "new");
    }

    #[test]
    fn creating_never_replaces() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a");
        create(&path, b"one", Mode::Private).unwrap();
        let error = create(&path, b"two", Mode::Private).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
    }

    #[test]
    fn a_directory_is_no_target() {
        let home = tempfile::tempdir().unwrap();
        assert!(prepare(home.path(), b"x", Mode::Keep).is_err());
        assert!(names(home.path()).is_empty());
    }
}
