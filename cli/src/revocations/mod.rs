//! `.waxwing/revocations.yaml`: what has to change because a key or a value leaked, until it has changed.
//!
//! The file holds no value and nothing made of one: for each value where it stood, and the sequence number and the
//! envelope that it had then. It is committed and reviewed like `.waxwing.yaml`, beside which it lies.

pub(crate) mod earlier;
pub(crate) mod history;
#[cfg(test)]
mod tests;
pub(crate) mod tree;
pub(crate) mod unchanged;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use waxwing_core::{
    keys::{KeyId, Recipient},
    seal::{DataKey, EnvelopeId, Token},
    yaml,
};

use self::tree::{Seen, Tree};
use crate::{
    error::{Explain, Failure, Result},
    repository::Repository,
};

/// Its place, from the folder of the configuration file.
pub(crate) const FILE: &str = ".waxwing/revocations.yaml";

const HEAD: &str = "\
# What has to change because a key or a value leaked. Written by waxwing revoke; it holds no secrets.
# waxwing verify fails until every value in it is sealed anew or removed. Keep what is done: it says who must not come back.
";

const VERSION: u64 = 1;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revocations {
    version: u64,
    pub(crate) revocations: Vec<Revocation>,
}

/// One leak.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revocation {
    /// When it was recorded.
    pub(crate) date: String,
    /// Why, in somebody's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// Whose key leaked; none where the values themselves did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) recipient: Option<Revoked>,
    /// What has to change.
    pub(crate) values: Vec<Leaked>,
}

/// A recipient that must not come back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revoked {
    /// What `.waxwing.yaml` called it, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// The public key.
    pub(crate) key: String,
}

impl Revoked {
    /// The name, or the key.
    pub(crate) fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.key)
    }

    /// The short id that hints give.
    pub(crate) fn id(&self) -> Result<KeyId> {
        Ok(self.key.parse::<Recipient>().at(FILE)?.id())
    }
}

/// A value as it was when it leaked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Leaked {
    /// Its file, from the folder of the configuration file.
    pub(crate) file: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) seq: u64,
    pub(crate) envelope: String,
    /// Other files that had this key of a resource of this name then, as for another cluster. What they have is another
    /// value, so that its age says nothing about this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) others: Vec<String>,
}

impl Leaked {
    pub(crate) fn of(seen: &Seen, key: &DataKey, token: &Token) -> Self {
        let binding = seen.sealed.binding();
        Self {
            file: seen.file.clone(),
            namespace: binding.namespace.clone(),
            name: binding.name.clone(),
            key: key.to_string(),
            seq: token.seq(),
            envelope: token.envelope().to_string(),
            others: Vec::new(),
        }
    }

    /// Names the other files that have this key of this resource now.
    pub(crate) fn note_others(&mut self, tree: &Tree) {
        let has = |seen: &&Seen| {
            let mut keys = seen.sealed.tokens().keys();
            seen.file != self.file && self.has_its_place(seen) && keys.any(|key| key.as_str() == self.key)
        };
        let others: BTreeSet<&str> = tree.seen.iter().filter(has).map(|seen| seen.file.as_str()).collect();
        self.others = others.into_iter().map(str::to_owned).collect();
    }

    /// Whether a resource has the place of the one that this value was in, wherever its file lies now.
    fn has_its_place(&self, seen: &Seen) -> bool {
        let binding = seen.sealed.binding();
        binding.namespace == self.namespace && binding.name == self.name && !self.others.contains(&seen.file)
    }

    /// Whether a token is this very value.
    fn is(&self, token: &Token) -> bool {
        token.envelope().as_str() == self.envelope
    }
}

/// What has become of a leaked value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It still has to change: why, and where it stands now.
    Open { why: String, file: String, line: usize },
    /// Nothing has this key any more.
    Removed,
    /// Another value was sealed in its place.
    Resealed,
}

impl Revocations {
    /// Those of a repository; none is recorded where there is no file.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let text = match fs::read_to_string(root.join(FILE)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { version: VERSION, revocations: Vec::new() });
            }
            text => text.at(FILE)?,
        };
        Self::parse(&text)
    }

    /// As [`Self::read`], for a text at hand.
    fn parse(text: &str) -> Result<Self> {
        let read: Self = yaml::from_str(text).at(FILE)?;
        if read.version != VERSION {
            return Err(Failure::new(format!(
                "`version` is {VERSION}; a newer waxwing may have written this file"
            ))
            .at(FILE));
        }
        for revocation in &read.revocations {
            if let Some(recipient) = &revocation.recipient {
                recipient.id()?;
            }
            let name = revocation.recipient.iter().flat_map(|recipient| &recipient.name);
            let values = revocation.values.iter();
            let places = values.flat_map(|value| [&value.file, &value.namespace, &value.name]);
            // Each is shown within a line.
            if places.chain(name).chain([&revocation.date]).any(|text| text.contains(char::is_control)) {
                return Err(Failure::new("a control character in a name").at(FILE));
            }
            for value in &revocation.values {
                value.envelope.parse::<EnvelopeId>().at(FILE)?;
                value.key.parse::<DataKey>().at(FILE)?;
            }
        }
        Ok(read)
    }

    /// The text of the file.
    pub(crate) fn text(&self) -> Result<String> {
        Ok(format!("{HEAD}{}", yaml::to_string(self)?))
    }

    /// Whether this very value is to be replaced, and was recorded already.
    pub(crate) fn names(&self, value: &Leaked) -> bool {
        let values = self.revocations.iter().flat_map(|revocation| &revocation.values);
        values.into_iter().any(|known| {
            (&known.namespace, &known.name, &known.key, &known.envelope)
                == (&value.namespace, &value.name, &value.key, &value.envelope)
        })
    }

    /// The keys of a resource that still have values which leaked.
    pub(crate) fn open_keys<'a>(&self, sealed: &'a waxwing_core::seal::Sealed) -> Vec<&'a str> {
        let leaked = |key: &DataKey, token: &Token| {
            let values = self.revocations.iter().flat_map(|revocation| &revocation.values);
            values.into_iter().any(|value| value.key == key.as_str() && value.is(token))
        };
        let tokens = sealed.tokens().iter().filter(|(key, token)| leaked(key, token));
        tokens.map(|(key, _)| key.as_str()).collect()
    }
}

/// What has become of a value, by everything in the tree. Where the value could hide, it counts as open.
pub(crate) fn state(value: &Leaked, revoked: Option<KeyId>, tree: &Tree) -> State {
    state_among(value, revoked, tree.seen.iter().map(|seen| (seen, true)), tree.unread().next())
}

/// As [`state`], by these resources. Those with `false` only count where they have the very value, and not by what has its
/// place. `unread` is a file in which the value could hide.
fn state_among<'a>(
    value: &Leaked,
    revoked: Option<KeyId>,
    among: impl Iterator<Item = (&'a Seen, bool)>,
    unread: Option<&String>,
) -> State {
    let mut resealed = false;
    for (seen, by_place) in among {
        let here = by_place && value.has_its_place(seen);
        for (_, token) in seen.sealed.tokens().iter().filter(|(key, _)| key.as_str() == value.key) {
            let open = |why: &str| {
                let (file, line) = (seen.file.clone(), seen.line_of(token));
                State::Open { why: why.to_owned(), file, line }
            };
            // Under any name: a file may have been moved, and a resource renamed.
            if value.is(token) {
                return open("still has the value that leaked");
            }
            if !here {
                continue;
            }
            if token.seq() <= value.seq {
                return open("has a value that is no newer than the one that leaked");
            }
            let envelope = seen.sealed.envelopes().get(&token.envelope());
            let again = envelope.is_some_and(|e| revoked.is_some_and(|id| e.names(id)));
            if again {
                return open("was sealed again for the recipient that was revoked");
            }
            resealed = true;
        }
    }
    match (resealed, unread) {
        (true, _) => State::Resealed,
        (false, Some(file)) => State::Open {
            why: "is not found, but a file cannot be read".to_owned(),
            file: file.clone(),
            line: 1,
        },
        (false, None) => State::Removed,
    }
}

/// Something that is wrong by what was revoked, for `verify`.
pub(crate) struct Finding {
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
    pub(crate) resource: String,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// All that is wrong in a tree: values that are still to change, and recipients that have come back.
pub(crate) fn findings(
    revocations: &Revocations,
    tree: &Tree,
    repository: &Repository,
) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for revocation in &revocations.revocations {
        let id = revocation.recipient.as_ref().map(Revoked::id).transpose()?;
        for value in &revocation.values {
            if let State::Open { why, file, line } = state(value, id, tree) {
                let message = format!(
                    "key {} {why}, by what was revoked on {}; replace it with waxwing set, or remove it",
                    value.key, revocation.date
                );
                let resource = crate::sealed_file::title(&value.namespace, &value.name);
                found.push(Finding { file: file.into(), line, resource, reason: "RevokedValue", message });
            }
        }
        let Some((recipient, id)) = revocation.recipient.as_ref().zip(id) else { continue };
        let who = recipient.title();
        for config in [repository].into_iter().chain(&tree.within).filter(|config| config.has(&recipient.key))
        {
            let text = fs::read_to_string(config.path()).at(config.path().display())?;
            let line = text.lines().position(|line| line.contains(&recipient.key)).unwrap_or_default() + 1;
            let message = format!("{who} was revoked on {}, and is a recipient again", revocation.date);
            let folder = config.root().strip_prefix(repository.root()).unwrap_or(config.root());
            let file = folder.join(crate::repository::FILE);
            let resource = String::new();
            found.push(Finding { file, line, resource, reason: "RevokedRecipient", message });
        }
        for seen in &tree.seen {
            for (envelope, _) in seen.sealed.envelopes().iter().filter(|(_, e)| e.names(id)) {
                let message = format!(
                    "envelope {envelope} is for {who}, who was revoked on {}; run waxwing rewrap",
                    revocation.date
                );
                let (file, line) = (seen.file.clone().into(), seen.line);
                let resource = seen.title();
                found.push(Finding { file, line, resource, reason: "RevokedRecipient", message });
            }
        }
    }
    Ok(found)
}
