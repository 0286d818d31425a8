//! What `rewrap` and `compact` share: the same change to every sealed resource under some paths.

use std::path::PathBuf;

use serde::Serialize;
use waxwing_core::{
    keys::{Identities, NamedRecipient},
    seal::{OpenError, Sealed},
};

use crate::{
    args::Context,
    error::{Exit, Explain, Failure, Result},
    origin,
    printer::{Format, count},
    repository::Repository,
    sealed_file::{self, Item, SealedFile},
    write::Lock,
};

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
struct Report<'a> {
    resources: usize,
    changed: usize,
    /// The files that were written, or would be with `--check`.
    files: Vec<String>,
    failures: &'a [Failed],
}

#[derive(Serialize)]
struct Failed {
    file: String,
    message: String,
}

/// Makes the new sealed part of one resource for its recipients.
pub(super) type Change<'a> = dyn Fn(&Item, &Repository, &[NamedRecipient]) -> Result<Sealed> + 'a;

/// What became of the resources.
#[derive(Default)]
struct Tally {
    seen: usize,
    changed: usize,
    failures: Vec<Exit>,
    failed: Vec<Failed>,
}

impl Paths {
    /// Changes every sealed resource under the paths. All files are complete beside the old ones
    /// before the first is replaced; a resource that fails is named and stays as it is.
    pub(super) fn each(&self, context: &Context, done: &str, change: &Change<'_>) -> Result {
        let mut tally = Tally::default();
        let mut changed = Vec::new();
        for path in sealed_file::files(&self.paths, context)? {
            context.printer.progress(path.display().to_string());
            let Some(mut file) = sealed_file::read_if_sealed(&path, self.paths.contains(&path))? else {
                continue;
            };
            let repository = Repository::of(&path, context);
            for index in 0..file.items.len() {
                let result = match &repository {
                    Ok(repository) => one(&mut file, index, repository, change),
                    Err(failure) => Err(failure.clone()),
                };
                tally.count(result, &file, context);
            }
            if file.is_changed() {
                changed.push(file);
            }
        }
        if !self.check {
            commit(&changed)?;
        }
        let would = if self.check { "would be " } else { "" };
        context.printer.note(format!("{} of {} {would}{done}", tally.changed, count(tally.seen, "resource")));
        if self.output == Format::Json {
            context.printer.json(&Report {
                resources: tally.seen,
                changed: tally.changed,
                files: changed.iter().map(|file| file.path().display().to_string()).collect(),
                failures: &tally.failed,
            })?;
        }
        Ok(tally.exit(self.check))
    }
}

/// Writes all files: each is complete beside the old one before the first is replaced.
fn commit(changed: &[SealedFile]) -> Result<()> {
    let _lock = Lock::beside(changed.iter().map(SealedFile::path))?;
    let prepared: Vec<_> =
        changed.iter().map(|file| Ok((file.path(), file.prepare()?))).collect::<Result<_>>()?;
    for (path, prepared) in prepared {
        if let Some(prepared) = prepared {
            prepared.commit().at(path.display())?;
        }
    }
    Ok(())
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

fn one(file: &mut SealedFile, index: usize, repository: &Repository, change: &Change<'_>) -> Result<bool> {
    let item = file.item(index)?;
    let recipients = repository.recipients(file.path(), &item.sealed.binding().namespace).at(item.title())?;
    let sealed = change(item, repository, &recipients).at(item.title())?;
    let changed = sealed != item.sealed;
    file.update(index, sealed)?;
    Ok(changed)
}

impl Tally {
    fn count(&mut self, result: Result<bool>, file: &SealedFile, context: &Context) {
        self.seen += 1;
        match result {
            Ok(changed) => self.changed += usize::from(changed),
            Err(failure) => {
                let (file, message) = (file.path().display().to_string(), failure.to_string());
                self.failures.push(failure.code());
                let failure: Failure = failure.at(&file);
                self.failed.push(Failed { file, message });
                context.printer.failure(&failure);
            }
        }
    }

    fn exit(&self, check: bool) -> Exit {
        match self.failures.first() {
            Some(_) if self.failures.len() < self.seen => Exit::Partly,
            Some(first) if self.failures.iter().all(|failure| failure == first) => *first,
            Some(_) => Exit::Error,
            None if check && self.changed > 0 => Exit::Found,
            None => Exit::Done,
        }
    }
}
