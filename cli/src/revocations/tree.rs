//! Every sealed resource of a repository, as far as it can be read.

use std::{fs, path::Path};

use waxwing_core::{
    seal::{Sealed, Token},
    yaml,
};
use waxwing_crds::names;

use crate::{
    args::Context,
    error::Result,
    repository::{self, Repository},
    sealed_file::{
        Found, SealedFile, Within, contains, could_be_sealed, find, is_sealed_secret, list_items, title,
    },
};

/// One resource.
pub(crate) struct Seen {
    /// Its file, from the repository's folder.
    pub(crate) file: String,
    /// The line on which its first token stands.
    pub(crate) line: usize,
    pub(crate) sealed: Sealed,
    text: std::rc::Rc<str>,
}

impl Seen {
    /// `SealedSecret NAMESPACE/NAME`.
    pub(crate) fn title(&self) -> String {
        title(&self.sealed.binding().namespace, &self.sealed.binding().name)
    }

    /// The line of a token.
    pub(crate) fn line_of(&self, token: &Token) -> usize {
        let text = token.to_string();
        self.text.lines().position(|line| line.contains(&text)).map_or(1, |line| line + 1)
    }
}

#[cfg(test)]
impl Seen {
    pub(super) fn of(file: &str, sealed: Sealed) -> Self {
        Self { file: file.to_owned(), line: 1, sealed, text: "".into() }
    }
}

/// All of them.
#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) seen: Vec<Seen>,
    /// The configurations of folders within.
    pub(crate) within: Vec<Repository>,
    /// Files that name our resources, or may name them in another encoding, and can't be read, or not whole.
    pub(crate) unreadable: Vec<String>,
    /// Text that is no YAML, such as a template, and that could name our resources by escapes alone.
    pub(crate) templates: Vec<String>,
}

impl Tree {
    /// Files in which anything could be.
    pub(super) fn unread(&self) -> impl Iterator<Item = &String> {
        self.unreadable.iter().chain(&self.templates)
    }
}

/// Reads a repository, hidden folders too: somebody may deploy from there.
pub(crate) fn read(root: &Path, context: &Context) -> Result<Tree> {
    let mut tree = Tree::default();
    let Found { mut files, misnamed } = find(&[root.to_owned()], Within::All, context)?;
    tree.unreadable
        .extend(misnamed.iter().map(|path| format!("{:?}", path.strip_prefix(root).unwrap_or(path))));
    // A link says nothing more than the file that it leads to, where that is looked at, too.
    let lie_here = files.clone();
    files.retain(|path| {
        !path.is_symlink() || path.canonicalize().map_or(true, |real| !lie_here.contains(&real))
    });
    for path in files {
        let is_config = path.file_name().is_some_and(|name| name == repository::FILE);
        if is_config && path.parent() != Some(root) && context.config.is_none() {
            match Repository::of(&path, context) {
                Ok(within) => tree.within.push(within),
                Err(_) => {
                    tree.unreadable.push(path.strip_prefix(root).unwrap_or(&path).display().to_string())
                }
            }
        }
        let file = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        context.printer.progress(&file);
        let Ok(bytes) = fs::read(&path) else {
            tree.unreadable.push(file);
            continue;
        };
        if !could_be_sealed(&bytes) {
            continue;
        }
        let unreadable = if is_template(&bytes) { &mut tree.templates } else { &mut tree.unreadable };
        let parsed = String::from_utf8(bytes).ok().and_then(|text| SealedFile::parse(&path, text, None).ok());
        let Some(parsed) = parsed else {
            unreadable.push(file);
            continue;
        };
        let text: std::rc::Rc<str> = parsed.text().into();
        for item in parsed.items {
            let Ok(item) = item else {
                if unreadable.last() != Some(&file) {
                    unreadable.push(file.clone());
                }
                continue;
            };
            let mut seen = Seen { file: file.clone(), line: 1, sealed: item.sealed, text: text.clone() };
            seen.line = seen.sealed.tokens().values().map(|token| seen.line_of(token)).min().unwrap_or(1);
            tree.seen.push(seen);
        }
    }
    Ok(tree)
}

/// Whether a file is text without our words in which nothing that is YAML is ours.
fn is_template(bytes: &[u8]) -> bool {
    let in_words = [names::GROUP, "SealedSecret"].iter().all(|word| contains(bytes, word.as_bytes()));
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let is_ours = |document: yaml::Document| {
        let mut items = list_items(&document.value).into_iter().flatten();
        is_sealed_secret(&document.value) || items.any(is_sealed_secret)
    };
    let documents = yaml::each_document(text);
    !in_words && documents.is_ok_and(|documents| !documents.into_iter().flatten().any(is_ours))
}
