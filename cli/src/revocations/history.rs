//! Every version of every sealed resource that Git has: in all branches and tags of this clone.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::Stdio,
    thread,
};

use waxwing_core::seal::Sealed;

use crate::{
    error::{Explain, Failure, Result},
    sealed_file::{SealedFile, could_be_sealed},
    work_tree::{self, git, output},
};

/// How far back could be looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// To the first commit.
    Whole,
    /// The clone is shallow.
    CutOff,
    /// There is no Git, or no commit.
    None,
}

/// Largest file that is looked at: no larger one can be read as YAML.
const LARGEST: usize = waxwing_core::yaml::MAX_BYTES;

/// Calls `visit` for each resource of each version of each file. Those that can't be read are left out.
pub(crate) fn each(root: &Path, mut visit: impl FnMut(&Sealed)) -> Result<Reach> {
    let Some(top) = work_tree::around(&root.join("any")) else { return Ok(Reach::None) };
    // By no path: of a file that was renamed Git would tell only one.
    let listed = ["rev-list", "--objects", "--no-object-names", "--all", "HEAD"];
    let Ok(listed) = output(git(&top).args(listed)) else { return Ok(Reach::None) };
    let shallow = output(git(&top).args(["rev-parse", "--is-shallow-repository"]))?;
    let listed = String::from_utf8_lossy(&listed);
    // A file has one id however often it was committed.
    let ids: BTreeSet<&str> = listed.lines().collect();
    let mut files = BTreeSet::new();
    objects(&top, "--batch-check", &ids, |id, kind, size, _| {
        if kind == "blob" && size <= LARGEST {
            files.insert(id.to_owned());
        }
        Ok(())
    })?;
    let files = files.iter().map(String::as_str).collect();
    let mut content = Vec::new();
    objects(&top, "--batch", &files, |_, _, size, out| {
        content.resize(size + 1, 0);
        out.read_exact(&mut content).at("git cat-file")?;
        let bytes = content.get(..size).unwrap_or_default();
        if !could_be_sealed(bytes) {
            return Ok(());
        }
        // Only for reading: a namespace that is not said matters to nobody here.
        let text = String::from_utf8_lossy(bytes).into_owned();
        if let Ok(file) = SealedFile::parse(root, text, Some("-")) {
            file.items.iter().flatten().for_each(|item| visit(&item.sealed));
        }
        Ok(())
    })?;
    Ok(if shallow.starts_with(b"true") { Reach::CutOff } else { Reach::Whole })
}

/// Asks `git cat-file` about objects. Tells of each its id, kind and size, and with `--batch` its content is to be read.
fn objects(
    top: &Path,
    how: &str,
    ids: &BTreeSet<&str>,
    mut visit: impl FnMut(&str, &str, usize, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut command = git(top);
    command.args(["cat-file", how]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().at("git cat-file")?;
    let (Some(mut input), Some(out)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Failure::new("git cat-file gave no pipe"));
    };
    let mut out = BufReader::new(out);
    let wanted = ids.iter().fold(String::new(), |wanted, id| wanted + id + "\n");
    thread::scope(|scope| {
        // Its answers are read meanwhile, else both would wait.
        scope.spawn(move || input.write_all(wanted.as_bytes()));
        let mut line = String::new();
        for _ in ids {
            line.clear();
            out.read_line(&mut line).at("git cat-file")?;
            let mut words = line.split_whitespace();
            let (id, kind, size) = (words.next(), words.next(), words.next());
            // Of one that is not there it says "missing", and no size.
            if let (Some(id), Some(kind), Some(Ok(size))) = (id, kind, size.map(str::parse)) {
                visit(id, kind, size, &mut out)?;
            }
        }
        Ok::<(), Failure>(())
    })?;
    child.wait().at("git cat-file")?;
    Ok(())
}
