//! Every sealed resource of a repository, as far as it can be read.

use std::{fs, path::Path};

use waxwing_core::seal::{Sealed, Token};
use waxwing_crds::names;

use crate::{
    args::Context,
    error::Result,
    sealed_file::{SealedFile, contains, files, title},
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
    /// Files that name our resources and can't be read, or not whole.
    pub(crate) unreadable: Vec<String>,
}

/// Reads a repository.
pub(crate) fn read(root: &Path, context: &Context) -> Result<Tree> {
    let mut tree = Tree::default();
    for path in files(&[root.to_owned()], context)? {
        let file = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        context.printer.progress(&file);
        let Ok(bytes) = fs::read(&path) else {
            tree.unreadable.push(file);
            continue;
        };
        if ![names::GROUP, "SealedSecret"].iter().all(|word| contains(&bytes, word.as_bytes())) {
            continue;
        }
        let parsed = String::from_utf8(bytes).ok().and_then(|text| SealedFile::parse(&path, text, None).ok());
        let Some(parsed) = parsed else {
            tree.unreadable.push(file);
            continue;
        };
        let text: std::rc::Rc<str> = parsed.text().into();
        for item in parsed.items {
            let Ok(item) = item else {
                tree.unreadable.push(file.clone());
                continue;
            };
            let mut seen = Seen { file: file.clone(), line: 1, sealed: item.sealed, text: text.clone() };
            seen.line = seen.sealed.tokens().values().map(|token| seen.line_of(token)).min().unwrap_or(1);
            tree.seen.push(seen);
        }
    }
    Ok(tree)
}
