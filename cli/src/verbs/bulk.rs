//! What `rewrap` and `compact` share: the same change to every sealed resource under some paths.

use std::path::PathBuf;

use waxwing_core::{
    keys::{Identities, NamedRecipient},
    seal::{OpenError, Sealed},
};

use crate::{
    args::Context,
    error::{Exit, Explain, Failure, Result},
    identities::Options,
    origin,
    printer::count,
    repository::Repository,
    sealed_file::{self, SealedFile},
};

/// Options of both verbs.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Files, and folders with files
    #[arg(default_value = ".")]
    paths: Vec<PathBuf>,
    /// Write nothing; exit with 3 if a file would change
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    identities: Options,
}

/// Changes one sealed part for its recipients.
pub(crate) type Change = fn(&mut Sealed, &Identities, &[NamedRecipient], i64) -> std::result::Result<(), OpenError>;

/// What became of the resources.
#[derive(Default)]
struct Tally {
    seen: usize,
    changed: usize,
    failures: Vec<Exit>,
}

impl Common {
    /// Changes every sealed resource under the paths. All files are complete beside the old ones
    /// before the first is replaced; a resource that fails is named and stays as it is.
    pub(crate) fn run(&self, context: &Context, change: Change, done: &str) -> Result {
        let identities = self.identities.load(context)?;
        let mut tally = Tally::default();
        let mut prepared = Vec::new();
        for path in sealed_file::files(&self.paths, context)? {
            context.printer.progress(path.display().to_string());
            let Some(mut file) = sealed_file::read_if_sealed(&path, self.paths.contains(&path))? else { continue };
            let repository = Repository::of(&path, context);
            for index in 0..file.items.len() {
                let result = repository
                    .as_ref()
                    .map_err(Failure::clone)
                    .and_then(|repository| one(&mut file, index, repository, &identities, change, context));
                tally.count(result, &file, context);
            }
            if file.is_changed() && !self.check {
                prepared.push((path, file.prepare()?));
            }
        }
        for (path, prepared) in prepared {
            if let Some(prepared) = prepared {
                prepared.commit().at(path.display())?;
            }
        }
        let would = if self.check { "would be " } else { "" };
        context.printer.note(format!("{} of {} {would}{done}", tally.changed, count(tally.seen, "resource")));
        Ok(tally.exit(self.check))
    }
}

fn one(
    file: &mut SealedFile,
    index: usize,
    repository: &Repository,
    identities: &Identities,
    change: Change,
    context: &Context,
) -> Result<bool> {
    let item = file.item(index)?;
    let recipients = repository.recipients(file.path(), &item.sealed.binding().namespace).at(item.title())?;
    let mut sealed = item.sealed.clone();
    change(&mut sealed, identities, &recipients, context.now).map_err(|error| {
        let folders = [repository.root().to_owned()];
        origin::explain(error, &item.sealed, identities, &folders, context).at(item.title())
    })?;
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
                let failure = failure.at(file.path().display());
                self.failures.push(failure.code());
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
