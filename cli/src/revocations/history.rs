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
    /// As many objects are not there, or can't be read.
    Missing(usize),
    /// There is no Git, or no commit.
    None,
}

/// Largest file that is looked at: no larger one can be read as YAML.
const LARGEST: usize = waxwing_core::yaml::MAX_BYTES;

/// Calls `visit` for each resource of each version of each file. Those that can't be read are left out.
///
/// # Errors
/// There is a history, and Git can't tell what is in it: what it would tell nobody knows, so that is no short history.
pub(crate) fn each(root: &Path, mut visit: impl FnMut(&Sealed)) -> Result<Reach> {
    let Some(top) = work_tree::around(&root.join("any")) else { return Ok(Reach::None) };
    // By no path: of a file that was renamed Git would tell only one.
    let mut wanted = vec!["rev-list", "--objects", "--no-object-names", "--all"];
    // Detached, it may be the only one that leads to its commit; before the first commit it leads nowhere.
    if output(git(&top).args(["rev-parse", "--verify", "--quiet", "HEAD"])).is_ok() {
        wanted.push("HEAD");
    }
    let listed = output(git(&top).args(wanted))?;
    if listed.is_empty() {
        return Ok(Reach::None);
    }
    let shallow = output(git(&top).args(["rev-parse", "--is-shallow-repository"]))?;
    let listed = String::from_utf8_lossy(&listed);
    // A file has one id however often it was committed.
    let ids: BTreeSet<&str> = listed.lines().collect();
    let mut files = BTreeSet::new();
    let unknown = objects(&top, "--batch-check", &ids, |id, kind, size, _| {
        if kind == "blob" && size <= LARGEST {
            files.insert(id.to_owned());
        }
        Ok(())
    })?;
    let files = files.iter().map(String::as_str).collect();
    let mut content = Vec::new();
    let unread = objects(&top, "--batch", &files, |_, _, size, out| {
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
    Ok(match unknown + unread {
        0 if shallow.starts_with(b"true") => Reach::CutOff,
        0 => Reach::Whole,
        missing => Reach::Missing(missing),
    })
}

/// Asks `git cat-file` about objects. Tells of each its id, kind and size, and with `--batch` its content is to be read.
/// Gives how many there are not.
fn objects(
    top: &Path,
    how: &str,
    ids: &BTreeSet<&str>,
    mut visit: impl FnMut(&str, &str, usize, &mut dyn Read) -> Result<()>,
) -> Result<usize> {
    if ids.is_empty() {
        return Ok(0);
    }
    let mut command = git(top);
    command.args(["cat-file", how]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().at("git cat-file")?;
    let (Some(mut input), Some(out)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Failure::new("git cat-file gave no pipe"));
    };
    let mut out = BufReader::new(out);
    let wanted = ids.iter().fold(String::new(), |wanted, id| wanted + id + "\n");
    let missing = thread::scope(|scope| {
        // Its answers are read meanwhile, else both would wait.
        scope.spawn(move || input.write_all(wanted.as_bytes()));
        let (mut line, mut missing) = (String::new(), 0);
        for _ in ids {
            line.clear();
            if out.read_line(&mut line).at("git cat-file")? == 0 {
                return Err(Failure::new("git cat-file ended before all was told"));
            }
            let mut words = line.split_whitespace();
            let (id, kind, size) = (words.next(), words.next(), words.next());
            // Of one that is not there it says "missing", and no size.
            match (id, kind, size.map(str::parse)) {
                (Some(id), Some(kind), Some(Ok(size))) => visit(id, kind, size, &mut out)?,
                _ => missing += 1,
            }
        }
        Ok::<usize, Failure>(missing)
    });
    // It waits for nobody to read the rest.
    drop(out);
    let status = child.wait().at("git cat-file")?;
    let missing = missing?;
    if !status.success() {
        return Err(Failure::new(format!("git cat-file: {status}")));
    }
    Ok(missing)
}
