//! What a job's commit can do, and no other: give sealed resources other envelopes.
//!
//! Names, dates and the last line of a message are said by whoever makes a commit; what it changes can be seen.

use std::path::{Path, PathBuf};

use git2::{Commit, Delta, Oid, Repository};
use waxwing_core::{keys::Identities, seal::Sealed};

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

/// The first file in which `tip` has an envelope that names one of the identities and does not open with them for the data key
/// of the one that `base` has, which does.
pub(super) fn damaged(
    repository: &Repository,
    base: &Commit<'_>,
    tip: &Commit<'_>,
    identities: &Identities,
    now: i64,
) -> Result<Option<PathBuf>> {
    let diff = repository.diff_tree_to_tree(Some(&base.tree()?), Some(&tip.tree()?), None)?;
    for delta in diff.deltas().filter(|delta| delta.status() == Delta::Modified) {
        let texts = (text(repository, delta.old_file().id())?, text(repository, delta.new_file().id())?);
        let (Some(path), (Some(old), Some(new))) = (delta.new_file().path(), texts) else { continue };
        let parse = |text: String| SealedFile::parse(path, text, None);
        let (Ok(old), Ok(new)) = (parse(old), parse(new)) else { continue };
        let mut pairs = old.items.iter().zip(&new.items);
        if pairs.any(|pair| match pair {
            (Ok(old), Ok(new)) => is_damaged(&old.sealed, &new.sealed, identities, now),
            _ => false,
        }) {
            return Ok(Some(path.to_owned()));
        }
    }
    Ok(None)
}

/// Whether an envelope that names one of the identities does not open though the old one does. An id is that of the data key,
/// so what opens holds the same one.
fn is_damaged(old: &Sealed, new: &Sealed, identities: &Identities, now: i64) -> bool {
    new.envelopes_in_use().any(|(id, envelope)| {
        let differs = old.envelopes().get(id) != Some(envelope);
        let is_named = identities.iter().any(|identity| envelope.names(identity.id()));
        let mut tokens = new.tokens().iter().filter(|(_, token)| token.envelope() == *id);
        let opens = |sealed: &Sealed, key| sealed.open_key(key, identities, now).is_ok();
        differs && is_named && tokens.next().is_some_and(|(key, _)| opens(old, key) && !opens(new, key))
    })
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

#[cfg(test)]
mod tests {
    use waxwing_core::{
        Secret,
        keys::{Identity, NamedRecipient},
        seal::{Binding, Scope},
    };
    use waxwing_crds::SealedSecretSpec;

    use super::*;

    const NOW: i64 = 1_789_000_000;

    fn sealed(to: &[NamedRecipient]) -> Sealed {
        let (namespace, name) = ("web".to_owned(), "db".to_owned());
        let binding = Binding { scope: Scope::Strict, namespace, name, secret_type: "Opaque".to_owned() };
        let mut sealed = Sealed::empty(binding);
        sealed.seal(&[("k".parse().unwrap(), Secret::new(b"one".to_vec()))], to, NOW).unwrap();
        sealed
    }

    /// The same, with what `other` has behind its hints.
    fn with_age_of(sealed: &Sealed, other: &Sealed) -> Sealed {
        let (mut spec, mut of) = (SealedSecretSpec::default(), SealedSecretSpec::default());
        sealed.write_into(&mut spec);
        other.write_into(&mut of);
        spec.envelopes.values_mut().next().unwrap().age = of.envelopes.into_values().next().unwrap().age;
        Sealed::parse(&spec, "web", "db").unwrap()
    }

    #[test]
    fn an_envelope_with_the_right_hints_has_to_open_for_the_same_data_key() {
        let [eu, added, stranger] = [(); 3].map(|()| Identity::generate());
        let named = |name: &str, of: &Identity| NamedRecipient::new(name, of.recipient().clone()).unwrap();
        let rule = [named("eu", &eu), named("added", &added)];
        let old = sealed(&rule[..1]);
        let at_hand = Identities::from_iter([eu]);
        let mut new = old.clone();
        new.rewrap(&at_hand, &rule).unwrap();
        assert!(!is_damaged(&old, &new, &at_hand, NOW));
        // For another data key, or for other keys.
        let two_others = [named("x", &stranger), named("added", &added)];
        for other in [sealed(&rule), sealed(&two_others)] {
            let forged = with_age_of(&new, &other);
            assert_eq!(forged.envelopes().values().next().unwrap().to().len(), 2);
            assert!(is_damaged(&old, &forged, &at_hand, NOW));
            // Who does not open the old one can't tell, nor can who is not named.
            assert!(!is_damaged(&old, &forged, &Identities::from_iter([stranger.clone()]), NOW));
            assert!(!is_damaged(&old, &forged, &Identities::from_iter([added.clone()]), NOW));
        }
        new.rewrap(&at_hand, &rule[1..]).unwrap();
        assert!(!is_damaged(&old, &new, &at_hand, NOW));
    }
}
