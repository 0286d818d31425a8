//! The records that a commit had, and what of them is missing now.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{FILE, Finding, Leaked, Revocation, Revocations, Revoked, State, VERSION, state, tree::Tree};
use crate::{
    error::{Explain, Failure, Result},
    repository,
    sealed_file::title,
    work_tree::{git, output, parts},
};

/// A record as it was in a commit.
pub(crate) struct Record {
    /// The folder that it is for, from the top of the work tree.
    pub(crate) folder: PathBuf,
    /// Whether the folder had a configuration then, by which the record is found.
    pub(crate) had_config: bool,
    pub(crate) revocations: Revocations,
}

/// Every record in a commit, whatever has become of its folder: a configuration that is taken away takes its record with
/// it.
pub(crate) fn records(top: &Path, revision: &str) -> Result<Vec<Record>> {
    let commit = format!("{revision}^{{commit}}");
    let commit = output(git(top).args(["rev-parse", "--verify", "--quiet", "--end-of-options", &commit]))
        .map_err(|_| Failure::new(format!("Git has no commit {revision}")))
        .hint("fetch it: a shallow clone may lack it")?;
    let commit = String::from_utf8_lossy(&commit).trim().to_owned();
    let listed = output(git(top).args(["ls-tree", "-r", "-z", "--name-only", "--full-tree", &commit]))?;
    let paths = || parts(&listed).map(|path| Path::new(OsStr::from_bytes(path)));
    let mut records = Vec::new();
    for path in paths().filter(|path| path.ends_with(FILE)) {
        let mut object = OsString::from(format!("{commit}:"));
        object.push(path);
        let text = output(git(top).args(["cat-file", "blob"]).arg(object))?;
        let text = String::from_utf8(text).map_err(|_| Failure::new("not UTF-8 text").at(path.display()));
        let revocations = text.and_then(|text| Revocations::parse(&text)).at(revision)?;
        let folder = path.ancestors().nth(2).unwrap_or(Path::new("")).to_owned();
        let config = folder.join(repository::FILE);
        records.push(Record { had_config: paths().any(|path| path == config), folder, revocations });
    }
    Ok(records)
}

/// What an earlier record had and this one has not, without being done.
pub(crate) fn taken_out(before: &Revocations, now: &Revocations, tree: &Tree) -> Result<Vec<Finding>> {
    missing(before, now, tree, "was taken out of the record; put it back")
}

/// What the record of a folder had that has no configuration any more, by the tree of the whole work tree. What the
/// records of the folders above have counts, and the folder's recipients matter while anything sealed lies in it.
pub(crate) fn gone(before: &Record, above: &[(PathBuf, Revocations)], tree: &Tree) -> Result<Vec<Finding>> {
    let folder = &before.folder;
    let from_top = |folder: &Path, file: &str| folder.join(file).display().to_string();
    let place = |file: String, value: &Leaked| Leaked { file, others: Vec::new(), ..value.clone() };
    let mut now = Revocations { version: VERSION, revocations: Vec::new() };
    let mut kept = Vec::new();
    for (folder, record) in above {
        let values = record.revocations.iter().flat_map(|revocation| &revocation.values);
        kept.extend(values.map(|value| place(from_top(folder, &value.file), value)));
        now.revocations.extend(record.revocations.iter().cloned());
    }
    let (inside, elsewhere): (Vec<&String>, Vec<&String>) =
        tree.seen.iter().map(|seen| &seen.file).partition(|file| Path::new(file).starts_with(folder));
    let mut before = before.revocations.clone();
    for revocation in &mut before.revocations {
        for value in &mut revocation.values {
            value.file = from_top(folder, &value.file);
            value.others = value.others.iter().map(|file| from_top(folder, file)).collect();
            // What has its place there was never compared; only the very value that leaked counts.
            value.others.extend(elsewhere.iter().map(|file| (*file).clone()));
        }
        revocation.values.retain(|value| !kept.contains(&place(value.file.clone(), value)));
    }
    if inside.is_empty() {
        let recipients = before.revocations.iter();
        now.revocations.extend(recipients.map(|of| Revocation { values: Vec::new(), ..of.clone() }));
    }
    let how = "counts no more without the .waxwing.yaml of its folder; put both back, or revoke it in a folder above";
    missing(&before, &now, tree, how)
}

fn missing(before: &Revocations, now: &Revocations, tree: &Tree, how: &str) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    let mut add = |resource: String, what: &str, date: &str| {
        let message = format!("{what}, revoked on {date}, {how}");
        found.push(Finding { file: FILE.into(), line: 1, resource, reason: "RevocationRemoved", message });
    };
    for revocation in &before.revocations {
        if let Some(recipient) = &revocation.recipient {
            let mut known = now.revocations.iter().filter_map(|revocation| revocation.recipient.as_ref());
            if !known.any(|known| known.key == recipient.key) {
                add(String::new(), recipient.title(), &revocation.date);
            }
        }
        let id = revocation.recipient.as_ref().map(Revoked::id).transpose()?;
        // All of it: a higher sequence number or another file would be an easier way out.
        let is_kept = |value: &Leaked| now.revocations.iter().any(|now| now.values.contains(value));
        for value in revocation.values.iter().filter(|value| !is_kept(value)) {
            if let State::Open { .. } = state(value, id, tree) {
                let resource = title(&value.namespace, &value.name);
                add(resource, &format!("key {}", value.key), &revocation.date);
            }
        }
    }
    Ok(found)
}
