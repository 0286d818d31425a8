//! The line-wise three-way merge of Git, by the program `git` itself.

use std::fs;

use crate::{
    error::{Explain, Failure, Result},
    work_tree::git,
};

/// How conflicts are marked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Markers {
    /// How many `<` begin a conflict.
    pub(crate) size: usize,
}

/// A merged text.
pub(super) struct Merged {
    pub(super) text: Vec<u8>,
    /// Whether there are markers in it.
    pub(super) conflicts: bool,
}

impl Markers {
    fn line(self, sign: &str, label: &str) -> String {
        let space = if label.is_empty() { "" } else { " " };
        format!("{}{space}{label}\n", sign.repeat(self.size))
    }

    /// The two texts as one conflict from the first line to the last.
    pub(super) fn around(self, ours: &[u8], theirs: &[u8]) -> Vec<u8> {
        let mut out = self.line("<", OURS).into_bytes();
        let mut side = |text: &[u8], behind: &str| {
            out.extend_from_slice(text);
            if !text.is_empty() && !text.ends_with(b"\n") {
                out.push(b'\n');
            }
            out.extend_from_slice(behind.as_bytes());
        };
        side(ours, &self.line("=", ""));
        side(theirs, &self.line(">", THEIRS));
        out
    }
}

const OURS: &str = "ours";
const BASE: &str = "base";
const THEIRS: &str = "theirs";

/// Merges lines; what both sides changed is marked as a conflict.
pub(super) fn merge(base: &[u8], ours: &[u8], theirs: &[u8], markers: Markers) -> Result<Merged> {
    let clean = |text: &[u8]| Ok(Merged { text: text.to_owned(), conflicts: false });
    if ours == theirs || theirs == base {
        return clean(ours);
    }
    if ours == base {
        return clean(theirs);
    }
    let folder = tempfile::tempdir()?;
    for (name, text) in [(BASE, base), (OURS, ours), (THEIRS, theirs)] {
        fs::write(folder.path().join(name), text).at(folder.path().display())?;
    }
    let mut command = git(&std::env::current_dir()?);
    command.args(["merge-file", "--stdout", &format!("--marker-size={}", markers.size)]);
    for label in [OURS, BASE, THEIRS] {
        command.args(["-L", label]);
    }
    command.args([OURS, BASE, THEIRS].map(|name| folder.path().join(name)));
    let output = command.output().at("git merge-file")?;
    match output.status.code() {
        Some(0) => Ok(Merged { text: output.stdout, conflicts: false }),
        Some(1..=127) => Ok(Merged { text: output.stdout, conflicts: true }),
        _ => Err(Failure::new(format!("git merge-file: {}", String::from_utf8_lossy(&output.stderr).trim()))),
    }
}
