//! `--since`: records of what was revoked that an earlier commit had, and that are gone or say less.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Check, beside};
use crate::{
    error::{Failure, Result},
    repository::{self, Repository},
    revocations::{
        self, Revocations,
        earlier::{self, Record},
    },
    work_tree,
};

impl Check<'_> {
    /// Looks at every record of the commit, in the work trees of the paths and of their repositories. Where the folder of a
    /// record has no configuration any more, its values may have gone anywhere in the work tree.
    pub(super) fn taken_out(
        &mut self,
        since: &str,
        paths: &[PathBuf],
        repositories: &BTreeMap<PathBuf, Arc<Repository>>,
    ) -> Result<()> {
        let folders = paths.iter().chain(repositories.keys());
        let tops = folders.map(|path| top_of(path)).collect::<Result<BTreeSet<PathBuf>>>()?;
        for top in tops {
            for record in earlier::records(&top, since)? {
                self.record(&top, &record, repositories)?;
            }
        }
        Ok(())
    }

    fn record(
        &mut self,
        top: &Path,
        before: &Record,
        repositories: &BTreeMap<PathBuf, Arc<Repository>>,
    ) -> Result<()> {
        let root = top.join(&before.folder);
        let repository = repositories.get(&root);
        let file = match repository {
            Some(repository) => beside(repository.path(), revocations::FILE),
            None => shown(&root.join(revocations::FILE)),
        };
        let has_config = |folder: &Path| folder.join(repository::FILE).is_file();
        let findings = if before.had_config && repository.is_none() && !has_config(&root) {
            // Those that are looked at here, as of a folder that was renamed, and those above.
            let looked_at = repositories.keys().filter_map(|root| root.strip_prefix(top).ok());
            let above = before.folder.ancestors().skip(1).filter(|folder| has_config(&top.join(folder)));
            let mut records = BTreeMap::new();
            for folder in looked_at.chain(above) {
                // One that cannot be read keeps nothing.
                if let Ok(record) = Revocations::read(&top.join(folder)) {
                    records.insert(folder.to_owned(), record);
                }
            }
            let tree = self.tree(top)?;
            earlier::gone(before, &records, &tree)?
        } else {
            match Revocations::read(&root) {
                Ok(now) => {
                    let tree = self.tree(&root)?;
                    earlier::taken_out(&before.revocations, &now, &tree)?
                }
                // Of a repository that was looked at, it was told.
                Err(_) if repository.is_some() => return Ok(()),
                Err(failure) => {
                    self.add(&file, 1, "", "Unreadable", &failure.to_string());
                    return Ok(());
                }
            }
        };
        for finding in findings {
            self.add(&file, finding.line, &finding.resource, finding.reason, &finding.message);
        }
        Ok(())
    }
}

/// The Git work tree that a file or folder lies in.
fn top_of(path: &Path) -> Result<PathBuf> {
    let inside = if path.is_dir() { path.join("any") } else { path.to_owned() };
    work_tree::around(&inside).ok_or_else(|| Failure::new("it is in no work tree of Git").at(path.display()))
}

/// From the working folder, where it lies in there.
fn shown(path: &Path) -> PathBuf {
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    let short = here.ok().and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    short.unwrap_or_else(|| path.to_owned())
}
