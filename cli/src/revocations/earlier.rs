//! The records that a commit had, and what of them is missing now.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use waxwing_core::keys::KeyId;

use super::{FILE, Finding, Leaked, Revocations, Revoked, State, state, state_among, tree::Tree};
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
    let missing = Missing { before, how: "was taken out of the record; put it back" };
    // All of it: a higher sequence number or another file would be an easier way out.
    let is_kept = |value: &Leaked| now.revocations.iter().any(|now| now.values.contains(value));
    missing.findings(
        |recipient| now.has(recipient),
        |value, revoked| if is_kept(value) { State::Removed } else { state(value, revoked, tree) },
    )
}

/// What the record of a folder had that has no configuration any more, by the tree of the whole work tree. `records` are
/// those that there are, by their folders from the top: what one has as it was, as after a folder was renamed, counts for
/// the files under it. The folder's recipients matter while anything sealed lies in it.
pub(crate) fn gone(
    before: &Record,
    records: &BTreeMap<PathBuf, Revocations>,
    tree: &Tree,
) -> Result<Vec<Finding>> {
    let folder = &before.folder;
    let is_inside = |file: &str| Path::new(file).starts_with(folder);
    let is_empty = !tree.seen.iter().any(|seen| is_inside(&seen.file));
    let has = |recipient: &Revoked| {
        records.iter().any(|(root, record)| folder.starts_with(root) && record.has(recipient))
    };
    let what_became = |value: &Leaked, revoked: Option<KeyId>| {
        let from_top = Leaked {
            file: path_in(folder, &value.file),
            others: value.others.iter().map(|file| path_in(folder, file)).collect(),
            ..value.clone()
        };
        let has = |(root, record): &(&PathBuf, &Revocations)| {
            let mut known = record.revocations.iter().flat_map(|revocation| &revocation.values);
            known.any(|known| known == value || from_top.is_kept_by(root, known))
        };
        let kept: Vec<&PathBuf> = records.iter().filter(has).map(|(root, _)| root).collect();
        let is_kept = |file: &str| kept.iter().any(|root| Path::new(file).starts_with(root));
        // What has its place in other folders was never compared; only the very value that leaked counts there.
        let seen = tree.seen.iter().filter(|seen| !is_kept(&seen.file));
        let seen = seen.map(|seen| (seen, is_inside(&seen.file)));
        let mut unread = tree.unread().filter(|file| !is_kept(file));
        let unread = unread.find(|file| kept.is_empty() || is_inside(file));
        state_among(&from_top, revoked, seen, unread)
    };
    let how = "counts no more without the .waxwing.yaml of its folder; put both back, or revoke it in a folder above";
    Missing { before: &before.revocations, how }.findings(|recipient| is_empty || has(recipient), what_became)
}

fn path_in(folder: &Path, file: &str) -> String {
    folder.join(file).display().to_string()
}

impl Leaked {
    /// Whether the record of a folder has this value, whose paths are from the top. The record may know other `others`.
    fn is_kept_by(&self, root: &Path, known: &Leaked) -> bool {
        let place = |value: &Leaked, file: String| Leaked { file, others: Vec::new(), ..value.clone() };
        place(self, self.file.clone()) == place(known, path_in(root, &known.file))
    }
}

impl Revocations {
    fn has(&self, recipient: &Revoked) -> bool {
        let mut known = self.revocations.iter().filter_map(|revocation| revocation.recipient.as_ref());
        known.any(|known| known.key == recipient.key)
    }
}

/// What an earlier record had, and what is to be said of what counts no more.
struct Missing<'a> {
    before: &'a Revocations,
    how: &'a str,
}

impl Missing<'_> {
    /// Recipients that are not kept, and values that are open.
    fn findings(
        &self,
        keeps_recipient: impl Fn(&Revoked) -> bool,
        what_became: impl Fn(&Leaked, Option<KeyId>) -> State,
    ) -> Result<Vec<Finding>> {
        let mut found = Vec::new();
        let mut add = |resource: String, what: &str, date: &str| {
            let message = format!("{what}, revoked on {date}, {}", self.how);
            found.push(Finding {
                file: FILE.into(),
                line: 1,
                resource,
                reason: "RevocationRemoved",
                message,
            });
        };
        for revocation in &self.before.revocations {
            if let Some(recipient) = revocation.recipient.as_ref().filter(|of| !keeps_recipient(of)) {
                add(String::new(), recipient.title(), &revocation.date);
            }
            let id = revocation.recipient.as_ref().map(Revoked::id).transpose()?;
            for value in &revocation.values {
                if let State::Open { .. } = what_became(value, id) {
                    let resource = title(&value.namespace, &value.name);
                    add(resource, &format!("key {}", value.key), &revocation.date);
                }
            }
        }
        Ok(found)
    }
}
