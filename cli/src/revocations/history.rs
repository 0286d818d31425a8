//! Every version of every sealed resource that Git has: in all branches and tags of this clone.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::Stdio,
    thread,
};

use waxwing_core::seal::Sealed;
use waxwing_crds::names;

use crate::{
    error::{Explain, Failure, Result},
    sealed_file::{SealedFile, contains},
    verbs::keys::work_tree,
    work_tree::{git, output},
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
    let Some(top) = work_tree(&root.join("any")) else { return Ok(Reach::None) };
    let Ok(listed) = output(git(&top).args(["rev-list", "--objects", "--all", "HEAD"])) else {
        return Ok(Reach::None);
    };
    let shallow = output(git(&top).args(["rev-parse", "--is-shallow-repository"]))?;
    // "ID PATH", where a path is given. A file has one id however often it was committed.
    let ids: BTreeSet<&str> = str::from_utf8(&listed)
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(_, path)| [".yaml", ".yml", ".json"].iter().any(|end| path.ends_with(end)))
        .map(|(id, _)| id)
        .collect();
    if str::from_utf8(&listed).is_err() {
        return Err(Failure::new("a path in Git's history is not UTF-8; the history was not looked at")
            .hint("say --no-history, and look through it by hand"));
    }
    contents(&top, &ids, |bytes| {
        if ![names::GROUP, "SealedSecret"].iter().all(|word| contains(bytes, word.as_bytes())) {
            return;
        }
        // Only for reading: a namespace that is not said matters to nobody here.
        let text = String::from_utf8_lossy(bytes).into_owned();
        let Ok(file) = SealedFile::parse(root, text, Some("-")) else { return };
        file.items.iter().flatten().for_each(|item| visit(&item.sealed));
    })?;
    Ok(if shallow.starts_with(b"true") { Reach::CutOff } else { Reach::Whole })
}

/// The contents of objects, each once.
fn contents(top: &Path, ids: &BTreeSet<&str>, mut visit: impl FnMut(&[u8])) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut command = git(top);
    command.args(["cat-file", "--batch"]).stdin(Stdio::piped()).stdout(Stdio::piped());
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
        let mut content = Vec::new();
        for _ in ids {
            line.clear();
            out.read_line(&mut line).at("git cat-file")?;
            let mut words = line.split_whitespace().skip(1);
            let (kind, size) = (words.next(), words.next().and_then(|size| size.parse::<usize>().ok()));
            let (Some(kind), Some(size)) = (kind, size) else { continue };
            content.resize(size + 1, 0);
            out.read_exact(&mut content).at("git cat-file")?;
            if kind == "blob" && size <= LARGEST {
                visit(content.get(..size).unwrap_or_default());
            }
        }
        Ok::<(), Failure>(())
    })?;
    child.wait().at("git cat-file")?;
    Ok(())
}
