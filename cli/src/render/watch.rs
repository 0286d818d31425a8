//! `render --watch`: looks again when something changed.
//!
//! Metadata is polled, because that works on every file system and needs no bookkeeping of folders: one `stat` a file,
//! five times a second, and never more than a twentieth of one processor. A change counts when two polls in a row agree,
//! so that a half-finished checkout is not rendered. What a look writes is seen as a change too, and looked at once more:
//! that finds an edit that was too quick for the clock of the file system.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use waxwing_core::keys::Identities;

use super::{Renderer, Row, What, source};
use crate::{
    args::Context,
    error::{Explain, Result},
    identities::{self, Options},
};

/// Time between two polls.
pub(crate) const INTERVAL: Duration = Duration::from_millis(200);
/// The longest time between two polls, however slow the file system is: Ctrl-C waits for it.
const LONGEST: Duration = Duration::from_secs(2);
/// Time after which to look though nothing changed: the clock alone can make a difference.
const REGULAR: Duration = Duration::from_secs(60);
/// Time after which to look when something could not be read or written.
const RETRY: Duration = Duration::from_secs(5);

/// How deep directories of stores are watched.
const STORE_DEPTH: usize = 8;

/// What tells one state of a file from another: inode, size, mode, and when content and inode changed.
type Stamp = (u64, u64, u32, (i64, i64), (i64, i64));
type Snapshot = BTreeMap<PathBuf, Stamp>;

/// The identities at hand, read again when their files change.
struct Keys<'a> {
    options: &'a Options,
    identities: Identities,
    files: Vec<PathBuf>,
    seen: Snapshot,
}

/// Renders until `stop` is set. `tell` is given every row that is news, with the time.
///
/// # Errors
/// Only from the first look, and from `tell`: later failures are said and tried again.
pub(crate) fn watch(
    renderer: &mut Renderer,
    options: &Options,
    interval: Duration,
    stop: &AtomicBool,
    context: &Context,
    tell: &mut dyn FnMut(i64, &Row) -> Result<()>,
) -> Result<()> {
    let mut keys = Keys::load(options, context)?;
    let mut standing = BTreeSet::new();
    let (mut last, mut looked) = (Snapshot::new(), None);
    let mut due = Instant::now();
    let mut complaint = String::new();
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let seen = renderer.snapshot().map(|mut seen| {
            seen.extend(keys.snapshot());
            seen
        });
        let polled = begun.elapsed();
        let settled = seen.as_ref().is_ok_and(|seen| *seen == last);
        let is_due = begun >= due;
        if let Ok(seen) = &seen {
            last.clone_from(seen);
        }
        if is_due || (settled && looked.as_ref() != Some(&last)) {
            let now = clock();
            let first = looked.is_none();
            let result =
                seen.and_then(|_| keys.reload(context)).and_then(|()| renderer.look(&keys.identities, now));
            let again = match result {
                Ok(rows) => {
                    complaint.clear();
                    let failed = rows.iter().any(|row| row.what == What::Failed);
                    let mut now_standing = BTreeSet::new();
                    for row in &rows {
                        let line = row.line();
                        if row.what != What::Unchanged && !standing.contains(&line) {
                            tell(now, row)?;
                        }
                        if row.is_wrong() || row.what == What::Suspended {
                            now_standing.insert(line);
                        }
                    }
                    standing = now_standing;
                    if failed { RETRY } else { REGULAR }
                }
                Err(failure) if first => return Err(failure),
                Err(failure) => {
                    if complaint != failure.to_string() {
                        complaint = failure.to_string();
                        context.printer.failure(&failure);
                    }
                    RETRY
                }
            };
            looked = Some(last.clone());
            due = Instant::now() + again;
        }
        thread::sleep(interval.max(polled * 20).min(LONGEST));
    }
    Ok(())
}

impl Keys<'_> {
    fn load<'a>(options: &'a Options, context: &Context) -> Result<Keys<'a>> {
        let mut keys =
            Keys { options, identities: Identities::default(), files: Vec::new(), seen: Snapshot::new() };
        keys.read(context)?;
        Ok(keys)
    }

    fn read(&mut self, context: &Context) -> Result<()> {
        let found = self.options.find(context)?;
        self.files = found.iter().map(|found| found.path.clone()).chain(identities::folder()).collect();
        self.identities = found.into_iter().map(|found| found.identity).collect();
        self.seen = self.snapshot();
        if self.identities.is_empty() { Err(identities::none()) } else { Ok(()) }
    }

    /// Reads them again if their files changed. What cannot be read is said, and the last ones stay in use.
    fn reload(&mut self, context: &Context) -> Result<()> {
        if self.snapshot() == self.seen {
            return Ok(());
        }
        let before = self.identities.clone();
        self.read(context).or_else(|failure| {
            context.printer.failure(&failure.at("the identities stay as they were"));
            self.identities = before;
            self.seen = self.snapshot();
            Ok(())
        })
    }

    fn snapshot(&self) -> Snapshot {
        self.files.iter().filter_map(|path| Some((path.clone(), stamp(&fs::metadata(path).ok()?)))).collect()
    }
}

impl Renderer {
    fn snapshot(&self) -> Result<Snapshot> {
        let source = source::listing(&self.job.source, self.output.folder())?;
        let mut seen: Snapshot =
            source.into_iter().map(|(path, metadata)| (path, stamp(&metadata))).collect();
        // Namespaces, Secrets, and the files of a Secret.
        add(&mut seen, self.output.folder(), 2)?;
        for directory in &self.directories {
            // What cannot be listed is told by whoever reads it.
            let _ = add(&mut seen, directory, STORE_DEPTH);
        }
        Ok(seen)
    }
}

/// Adds what lies in a folder, hidden files aside: those are our own.
fn add(seen: &mut Snapshot, folder: &Path, depth: usize) -> Result<()> {
    let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_gone(&error) => return Ok(()),
        Err(error) => return Err(error).at(folder.display()),
    };
    for entry in entries {
        let entry = entry.at(folder.display())?;
        let path = entry.path();
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) if is_gone(&error) => continue,
            Err(error) => return Err(error).at(path.display()),
        };
        if metadata.is_dir() && depth > 0 {
            add(seen, &path, depth - 1)?;
        } else if metadata.is_file() && !entry.file_name().as_encoded_bytes().starts_with(b".waxwing-") {
            seen.insert(path, stamp(&metadata));
        }
    }
    Ok(())
}

fn stamp(metadata: &fs::Metadata) -> Stamp {
    let content = (metadata.mtime(), metadata.mtime_nsec());
    (metadata.ino(), metadata.size(), metadata.mode(), content, (metadata.ctime(), metadata.ctime_nsec()))
}

fn clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
