//! A directory of files: the key is the path below it.
//!
//! Every path is resolved below the opened directory by the kernel, or step by step without following anything that leads
//! out: there is no moment at which a link that is swapped in could lead elsewhere. Links within the directory are
//! followed, because Kubernetes mounts Secrets as such.

use std::{
    io::{self, Read as _},
    path::Path,
    sync::Arc,
};

use async_trait::async_trait;
use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions, OpenOptionsExt as _},
};
use rustix::{fs::OFlags, io::Errno};
use waxwing_core::{
    Secret,
    external::Pattern,
    store::{Entry, Failure, Find, Kind, Read},
};
use waxwing_crds::FileProvider;
use zeroize::Zeroizing;

use crate::{Pace, Place, Provider};

/// Makes the provider.
///
/// # Errors
/// `BadStore` when the directory is no absolute path, or when the store's author must not name one of this machine.
pub(crate) fn connect(spec: &FileProvider, place: &Place) -> Result<Arc<dyn Provider>, Failure> {
    let at = |failure: Failure| failure.at("file.directory");
    if !place.ambient {
        let what = "a directory of the operator's own machine is for ClusterSecretStores";
        return Err(at(Failure::new(Kind::BadStore, what)));
    }
    if !Path::new(&spec.directory).is_absolute() {
        return Err(at(Failure::new(Kind::BadStore, "it is not an absolute path")));
    }
    Ok(Arc::new(Files { directory: spec.directory.clone() }))
}

/// The directory. It is opened anew for each request, because it may be mounted anew.
#[derive(Clone)]
struct Files {
    directory: String,
}

#[async_trait]
impl Provider for Files {
    fn name(&self) -> &'static str {
        "file"
    }

    fn pace(&self) -> Pace {
        Pace { per_second: 10_000, burst: 10_000 }
    }

    async fn read(&self, reads: &[Read]) -> Vec<Result<Entry, Failure>> {
        let mut answers = Vec::with_capacity(reads.len());
        for read in reads {
            let (files, read) = (self.clone(), read.clone());
            answers.push(blocking(move || files.value(&read)).await);
        }
        answers
    }

    async fn find(&self, find: &Find) -> Result<Vec<String>, Failure> {
        let (files, find) = (self.clone(), find.clone());
        blocking(move || files.matching(&find)).await
    }

    async fn check(&self) -> Result<(), Failure> {
        let files = self.clone();
        blocking(move || files.open().map(drop)).await
    }
}

impl Files {
    fn open(&self) -> Result<Dir, Failure> {
        Dir::open_ambient_dir(&self.directory, ambient_authority()).map_err(|error| {
            let (kind, what) = match error.kind() {
                io::ErrorKind::NotFound => (Kind::MountMissing, "there is no such directory"),
                io::ErrorKind::NotADirectory => (Kind::MountMissing, "it is not a directory"),
                io::ErrorKind::PermissionDenied => (Kind::Forbidden, "the directory may not be read"),
                _ => (Kind::Unavailable, "the directory could not be opened"),
            };
            Failure::new(kind, what).at("file.directory")
        })
    }

    fn value(&self, read: &Read) -> Result<Entry, Failure> {
        let unsupported = |what| Err(Failure::new(Kind::Unsupported, what).at(&read.key));
        if read.version.is_some() {
            return unsupported("files have no versions");
        }
        if read.metadata {
            return unsupported("files have no tags");
        }
        if !read.parameters.is_empty() {
            return unsupported("files take no parameters");
        }
        let value = plain(&read.key).and_then(|key| content(&self.open()?, key));
        let value = value.map_err(|failure| match failure.place {
            Some(_) => failure,
            None => failure.at(&read.key),
        })?;
        Ok(Entry { value, version: None, lease: None })
    }

    fn matching(&self, find: &Find) -> Result<Vec<String>, Failure> {
        if !find.tags.is_empty() {
            return Err(Failure::new(Kind::Unsupported, "files have no tags").at("tags"));
        }
        let pattern = match &find.name {
            Some(text) => Some(Pattern::new(text).ok_or_else(|| {
                Failure::new(Kind::Rejected, "it is not a regular expression that is supported")
                    .at("name.regexp")
            })?),
            None => None,
        };
        let root = self.open()?;
        let (start, below) = match find.path.as_deref().map(|path| path.trim_end_matches('/')) {
            None | Some("") => (root, String::new()),
            Some(path) => {
                let path = plain(path).map_err(|failure| failure.at("path"))?;
                match root.open_dir(path) {
                    Ok(start) => (start, format!("{path}/")),
                    // Nothing is below what is not there.
                    Err(error) if is_absent(&error) => return Ok(Vec::new()),
                    Err(error) => return Err(failure(&error).at("path")),
                }
            }
        };
        let mut keys = Vec::new();
        collect(&start, &below, DEPTH, &mut keys)?;
        keys.retain(|key| pattern.as_ref().is_none_or(|pattern| pattern.is_match(key)));
        keys.sort();
        Ok(keys)
    }
}

/// The key, if it is the plain path of something below the directory. Whatever else it leads to, [`Dir`] refuses.
fn plain(key: &str) -> Result<&str, Failure> {
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    if key.split('/').all(plain) {
        Ok(key)
    } else {
        Err(Failure::new(
            Kind::Rejected,
            "a key is the path of a file below the directory, without dots and empty parts",
        ))
    }
}

fn content(directory: &Dir, key: &str) -> Result<Secret, Failure> {
    // A pipe would keep whoever opens it waiting for the other end.
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or_default();
    let mut options = OpenOptions::new();
    let file =
        directory.open_with(key, options.read(true).custom_flags(flags)).map_err(|error| failure(&error))?;
    let metadata = file.metadata().map_err(|error| failure(&error))?;
    if !metadata.is_file() {
        return Err(IRREGULAR);
    }
    let length = usize::try_from(metadata.len()).ok().filter(|length| *length <= LARGEST);
    let length = length.ok_or(Failure::new(Kind::TooLarge, "the file is larger than 1 MiB"))?;
    // One byte more than is expected tells a file that grows, and is never too little room: a vector that moves leaves an
    // unwiped copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length + 1));
    file.take(length as u64 + 1).read_to_end(&mut bytes).map_err(|error| failure(&error))?;
    if bytes.len() != length {
        return Err(Failure::new(Kind::Unavailable, "the file changed while it was read"));
    }
    Ok(Secret::from(bytes))
}

/// Adds the files below a directory. Links to directories are not followed, so there are no circles.
fn collect(directory: &Dir, below: &str, depth: usize, keys: &mut Vec<String>) -> Result<(), Failure> {
    for entry in directory.entries().map_err(|error| failure(&error))? {
        let entry = entry.map_err(|error| failure(&error))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // Kubernetes keeps the states of a mounted Secret in directories of such names.
        if name.starts_with("..") {
            continue;
        }
        let kind = entry.file_type().map_err(|error| failure(&error))?;
        if kind.is_dir() {
            let Some(depth) = depth.checked_sub(1) else { return Err(TOO_MUCH) };
            match directory.open_dir(&name) {
                Ok(inner) => collect(&inner, &format!("{below}{name}/"), depth, keys)?,
                // It is gone again, or became a link that leads out.
                Err(_) => continue,
            }
        } else if directory.metadata(&name).is_ok_and(|metadata| metadata.is_file()) {
            if keys.len() >= MOST {
                return Err(TOO_MUCH);
            }
            keys.push(format!("{below}{name}"));
        }
    }
    Ok(())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn failure(error: &io::Error) -> Failure {
    match error.kind() {
        _ if is_absent(error) => Failure::new(Kind::EntryMissing, "there is no such file"),
        io::ErrorKind::IsADirectory => IRREGULAR,
        _ if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            Failure::new(Kind::Forbidden, "its links lead in a circle")
        }
        // The system's own refusal has a number.
        io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => {
            Failure::new(Kind::Forbidden, "it leads out of the directory")
        }
        io::ErrorKind::PermissionDenied => Failure::new(Kind::Forbidden, "the file may not be read"),
        _ => Failure::new(Kind::Unavailable, "the file could not be read"),
    }
}

/// Runs what waits for a disk where nobody else waits for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or(Err(Failure::new(Kind::Unavailable, "the file could not be read")))
}

/// No Secret can hold more.
const LARGEST: usize = 1024 * 1024;
/// Files that a search goes through.
const MOST: usize = 10_000;
/// Directories within each other that a search goes down.
const DEPTH: usize = 32;
const IRREGULAR: Failure = Failure::new(Kind::BadData, "it is not a regular file");
const TOO_MUCH: Failure = Failure::new(Kind::TooLarge, "there are more than 10000 files, or 32 levels");

#[cfg(test)]
mod tests;
