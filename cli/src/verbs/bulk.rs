//! What `rewrap` and `compact` share: the same change to every sealed resource under some paths, on every processor.
//!
//! A file is written whole or not at all, and only where something in it changed. All new files are complete beside the
//! old ones before the first is replaced. Files that Git can bring back are made to last together, by their file system,
//! once their content is written and once they have their names; any other file is synced by itself.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde::Serialize;
use waxwing_core::{
    keys::{Identities, NamedRecipient},
    seal::{OpenError, Sealed},
};

use crate::{
    args::Context,
    error::{Exit, Explain, Failure, Result},
    origin, parallel,
    printer::{Format, count},
    repository::{Repositories, Repository},
    sealed_file::{self, Change, Item, SealedFile},
    work_tree,
    write::{FileSystems, Lock, Prepared, Sync},
};

/// From this number of files on, Git is asked which of them it can bring back.
const MANY: usize = 32;

/// Options of both verbs.
#[derive(Debug, clap::Args)]
pub(super) struct Paths {
    /// Files, and folders with files
    #[arg(default_value = ".")]
    paths: Vec<PathBuf>,
    /// Write nothing; exit with 3 if a file would change
    #[arg(long)]
    check: bool,
    /// Form of the output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// What was done, for programs.
#[derive(Serialize)]
struct Report {
    resources: usize,
    changed: usize,
    /// The files that were written, or would be with `--check`.
    files: Vec<String>,
    failures: Vec<Failed>,
}

#[derive(Serialize)]
struct Failed {
    file: String,
    message: String,
}

/// Makes the new sealed part of one resource for its recipients. Called from several threads.
pub(crate) type Make<'a> =
    dyn Fn(&Item, &Repository, &[NamedRecipient]) -> Result<Sealed> + std::marker::Sync + 'a;

/// What became of the resources, in the order of their files.
#[derive(Default)]
pub(crate) struct Outcome {
    /// How many sealed resources were looked at.
    pub(crate) seen: usize,
    /// Those that changed, or would.
    pub(crate) changed: Vec<Changed>,
    /// Those that stay as they are, each with its file and why.
    pub(crate) failures: Vec<(PathBuf, Failure)>,
    /// Where these stand, whatever their words: the file, and its how-manieth resource, or none for the file itself.
    #[cfg(feature = "git")]
    pub(crate) failed: BTreeSet<(PathBuf, Option<usize>)>,
}

/// A resource that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Changed {
    /// Its file.
    pub(crate) file: PathBuf,
    /// `SealedSecret NAMESPACE/NAME`.
    pub(crate) resource: String,
    /// Whom its envelopes named before, each once: `NAME/ID`.
    pub(crate) from: Vec<String>,
    /// Whom they name now.
    pub(crate) to: Vec<String>,
}

/// Makes a change to every sealed resource under the paths; `check` writes nothing. A file in which nothing changed is not
/// written, and a resource that fails stays as it is.
///
/// # Errors
/// The paths can't be looked through, or a file can't be written. Before the first file is replaced, nothing is changed.
pub(crate) fn each(paths: &[PathBuf], check: bool, context: &Context, make: &Make<'_>) -> Result<Outcome> {
    let (outcome, changes) = plan(paths, context, make)?;
    if !check {
        write(changes, |done, total| progress(context, done, total, "wrote"))?;
    }
    Ok(outcome)
}

/// As [`each`], with the changed files still to be written.
pub(crate) fn plan(paths: &[PathBuf], context: &Context, make: &Make<'_>) -> Result<(Outcome, Vec<Change>)> {
    let found = own_files(paths, context)?;
    let repositories = Repositories::default();
    let total = found.len();
    let named: BTreeSet<&PathBuf> = paths.iter().collect();
    let files = parallel::map(
        found,
        |path| one_file(&path, named.contains(&path), &repositories, context, make),
        |done| progress(context, done, total, "looked at"),
    );
    let mut outcome = Outcome::default();
    let mut changes = Vec::new();
    for file in files {
        let File { seen, changed, failures, change } = file?;
        outcome.seen += seen;
        outcome.changed.extend(changed);
        #[cfg(feature = "git")]
        outcome.failed.extend(failures.iter().map(|(path, index, _)| (path.clone(), *index)));
        outcome.failures.extend(failures.into_iter().map(|(path, _, failure)| (path, failure)));
        changes.extend(change);
    }
    Ok((outcome, changes))
}

/// The files to be changed, each once. A link that was only found is left out: the file that it leads to is changed where
/// it lies, if it lies under the paths at all.
fn own_files(paths: &[PathBuf], context: &Context) -> Result<Vec<PathBuf>> {
    let mut files = sealed_file::files(paths, context)?;
    let named: BTreeSet<&PathBuf> = paths.iter().collect();
    files.retain(|path| named.contains(path) || !path.is_symlink());
    let mut real = BTreeSet::new();
    files.retain(|path| path.canonicalize().map_or(true, |path| real.insert(path)));
    Ok(files)
}

fn progress(context: &Context, done: usize, total: usize, what: &str) {
    // As many lines as a person can see.
    if done.is_multiple_of(total.div_ceil(200)) || done == total {
        context.printer.progress(format!("{what} {done} of {}", count(total, "file")));
    }
}

impl Outcome {
    /// The files with a change, each once.
    pub(crate) fn files(&self) -> Vec<&Path> {
        let mut files: Vec<&Path> = self.changed.iter().map(|changed| changed.file.as_path()).collect();
        files.dedup();
        files
    }

    /// The exit code of a verb that did this.
    pub(crate) fn exit(&self, check: bool) -> Exit {
        let codes: Vec<Exit> = self.failures.iter().map(|(_, failure)| failure.code()).collect();
        match codes.first() {
            Some(_) if codes.len() < self.seen => Exit::Partly,
            Some(first) if codes.iter().all(|code| code == first) => *first,
            Some(_) => Exit::Error,
            None if check && !self.changed.is_empty() => Exit::Found,
            None => Exit::Done,
        }
    }
}

impl Paths {
    /// Whether nothing is to be written.
    #[cfg(feature = "git")]
    pub(super) fn is_check(&self) -> bool {
        self.check
    }

    /// The form of the output.
    #[cfg(feature = "git")]
    pub(super) fn output(&self) -> Format {
        self.output
    }

    /// Changes every sealed resource under the paths, and says what was done.
    pub(super) fn each(&self, context: &Context, done: &str, make: &Make<'_>) -> Result {
        let outcome = each(&self.paths, self.check, context, make)?;
        for (file, failure) in &outcome.failures {
            context.printer.failure(&failure.clone().at(file.display()));
        }
        let would = if self.check { "would be " } else { "" };
        let (changed, seen) = (outcome.changed.len(), count(outcome.seen, "resource"));
        context.printer.note(format!("{changed} of {seen} {would}{done}"));
        if self.output == Format::Json {
            let failed = |(file, failure): &(PathBuf, Failure)| Failed {
                file: text(file),
                message: failure.to_string(),
            };
            context.printer.json(&Report {
                resources: outcome.seen,
                changed,
                files: outcome.files().into_iter().map(text).collect(),
                failures: outcome.failures.iter().map(failed).collect(),
            })?;
        }
        Ok(outcome.exit(self.check))
    }
}

fn text(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

/// A change that opens with identities.
pub(super) fn opened(
    item: &Item,
    identities: &Identities,
    repository: &Repository,
    context: &Context,
    change: impl FnOnce(&mut Sealed) -> std::result::Result<(), OpenError>,
) -> Result<Sealed> {
    let mut sealed = item.sealed.clone();
    match change(&mut sealed) {
        Ok(()) => Ok(sealed),
        Err(error) => {
            let folders = [repository.root().to_owned()];
            Err(origin::explain(error, &item.sealed, identities, &folders, context))
        }
    }
}

/// What became of one file.
#[derive(Default)]
struct File {
    seen: usize,
    changed: Vec<Changed>,
    /// With the index of the resource, or none for the file itself.
    failures: Vec<(PathBuf, Option<usize>, Failure)>,
    change: Option<Change>,
}

fn one_file(
    path: &Path,
    named: bool,
    repositories: &Repositories,
    context: &Context,
    make: &Make<'_>,
) -> Result<File> {
    let mut done = File::default();
    let mut file = match sealed_file::read_if_sealed(path, named) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(done),
        // One that can't be read, such as for its encoding, keeps nobody from the others.
        Err(failure) if !named => {
            let failures = vec![(path.to_owned(), None, failure.not_at(path.display()))];
            return Ok(File { seen: 1, failures, ..done });
        }
        Err(failure) => return Err(failure),
    };
    let repository = repositories.of(path, context);
    for index in 0..file.items.len() {
        let result = match &repository {
            Ok(repository) => one(&mut file, index, repository, make),
            Err(failure) => Err(failure.clone()),
        };
        done.seen += 1;
        match result {
            Ok(changed) => done.changed.extend(changed),
            Err(failure) => done.failures.push((path.to_owned(), Some(index), failure)),
        }
    }
    done.change = file.into_change();
    Ok(done)
}

fn one(
    file: &mut SealedFile,
    index: usize,
    repository: &Repository,
    make: &Make<'_>,
) -> Result<Option<Changed>> {
    let item = file.item(index)?;
    let recipients = repository.recipients(file.path(), &item.sealed.binding().namespace).at(item.title())?;
    let sealed = make(item, repository, &recipients).at(item.title())?;
    if sealed == item.sealed {
        return Ok(None);
    }
    let changed = Changed {
        file: file.path().to_owned(),
        resource: item.title(),
        from: named(&item.sealed),
        to: named(&sealed),
    };
    file.update(index, sealed)?;
    Ok(Some(changed))
}

/// Whom the envelopes name, each once.
fn named(sealed: &Sealed) -> Vec<String> {
    let hints = sealed.envelopes().values().flat_map(|envelope| envelope.to());
    hints.map(ToString::to_string).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Writes all files: each is complete beside the old one before the first is replaced.
pub(super) fn write(changes: Vec<Change>, mut progress: impl FnMut(usize, usize)) -> Result<()> {
    let total = changes.len();
    let paths: Vec<PathBuf> = changes.iter().map(|change| change.path.clone()).collect();
    let _lock = Lock::beside(paths.iter().map(PathBuf::as_path))?;
    let kept: BTreeSet<&Path> = match total {
        0..MANY => BTreeSet::new(),
        _ => work_tree::committed(paths.iter().map(PathBuf::as_path)),
    };
    let together = FileSystems::of(kept.iter().copied()).filter(|_| !kept.is_empty());
    let prepare = |change: Change| {
        let together = together.is_some() && kept.contains(change.path.as_path());
        let prepared = change.prepare(if together { Sync::Together } else { Sync::Each })?;
        Ok((change.path, prepared))
    };
    let prepared = parallel::map(changes, prepare, |done| progress(done, total))
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    let sync = || together.as_ref().map_or(Ok(()), FileSystems::sync).at("the file system");
    sync()?;
    let commit = |(path, prepared): (PathBuf, Prepared)| prepared.commit().at(path.display());
    let committed = parallel::map_waiting(prepared, commit, |_| {});
    // What was replaced has to last, whatever became of others.
    sync()?;
    let mut failures: Vec<Failure> = committed.into_iter().filter_map(Result::err).collect();
    let written = total - failures.len();
    match failures.len() {
        0 => Ok(()),
        failed => Err(failures.remove(0).hint(format!(
            "{} written, {} not; run the command again",
            count(written, "file"),
            count(failed, "file")
        ))),
    }
}
