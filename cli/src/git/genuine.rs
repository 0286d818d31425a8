//! What a job's commit can do, and no other: give sealed resources other envelopes.
//!
//! Names, dates and the last line of a message are said by whoever makes a commit; what it changes can be seen.

use std::path::Path;

use git2::{Commit, Delta, Oid, Repository};

use super::work::{MOST_BYTES, could_hold, is_regular, mode_after};
use crate::{error::Result, sealed_file::SealedFile};

/// Whether a commit with one parent changes nothing but envelopes.
pub(super) fn changes_envelopes_only(repository: &Repository, commit: &Commit<'_>) -> Result<bool> {
    let (old, new) = (commit.parent(0)?.tree()?, commit.tree()?);
    let diff = repository.diff_tree_to_tree(Some(&old), Some(&new), None)?;
    for delta in diff.deltas() {
        let (old, new) = (delta.old_file(), delta.new_file());
        let mode = |file: &git2::DiffFile<'_>| i32::try_from(u32::from(file.mode())).unwrap_or_default();
        let path = new.path().filter(|path| path.to_str().is_some_and(could_hold));
        let (Some(path), Delta::Modified) = (path, delta.status()) else { return Ok(false) };
        if !is_regular(mode(&old)) || mode(&new) != mode_after(mode(&old)) {
            return Ok(false);
        }
        let texts = (text(repository, old.id())?, text(repository, new.id())?);
        let (Some(old), Some(new)) = texts else { return Ok(false) };
        if !differ_in_envelopes_only(path, old, new) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A file's text, if it is one and not too large.
fn text(repository: &Repository, id: Oid) -> Result<Option<String>> {
    if repository.odb()?.read_header(id)?.0 > MOST_BYTES {
        return Ok(None);
    }
    Ok(String::from_utf8(repository.find_blob(id)?.content().to_vec()).ok())
}

/// Whether the new text is, byte for byte, what a job would have made of the old one for the same data keys.
fn differ_in_envelopes_only(path: &Path, old: String, new: String) -> bool {
    let parse = |text: String| SealedFile::parse(path, text, None);
    let (Ok(mut old), Ok(new)) = (parse(old), parse(new)) else { return false };
    if old.items.len() != new.items.len() {
        return false;
    }
    for index in 0..old.items.len() {
        let sealed = match (old.item(index), new.item(index)) {
            (Ok(old), Ok(new)) => {
                let known = new.sealed.envelopes().keys().all(|id| old.sealed.envelopes().contains_key(id));
                let same = old.sealed.binding() == new.sealed.binding()
                    && old.sealed.tokens() == new.sealed.tokens();
                if !known || !same {
                    return false;
                }
                new.sealed.clone()
            }
            // What can't be read stays as it is: the texts are compared.
            (Err(_), Err(_)) => continue,
            _ => return false,
        };
        if old.update(index, sealed).is_err() {
            return false;
        }
    }
    old.text() == new.text()
}
