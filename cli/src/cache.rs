//! What was sealed on this machine, so that sealing a manifest again needs no private key to tell
//! what changed. Opt-in.
//!
//! Holds HMACs under a random key of this machine (0600, in the user's state folder), never
//! plaintext and never an unkeyed hash: a copy without the key says nothing. Whoever can read both
//! can test guesses of values, so it never lies in a repository.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use clap::builder::FalseyValueParser;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use waxwing_core::{Secret, seal::Token};
use zeroize::Zeroizing;

use crate::{
    args::Context,
    error::{Explain, Failure, Result},
    repository::root_of,
    work_tree,
    write::{self, Mode},
};

/// Options of the verbs that seal.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Tell changed values by what was sealed on this machine, and remember what is sealed now: HMACs
    /// under a key of this machine, in the user's state folder
    #[arg(long, env = "WAXWING_CACHE", hide_env_values = true, value_parser = FalseyValueParser::new())]
    cache: bool,
}

impl Options {
    /// The cache, if it is wanted; `path` is in the repository where it must not lie.
    pub(crate) fn open(&self, path: &Path, context: &Context) -> Result<Option<Cache>> {
        if !self.cache {
            return Ok(None);
        }
        let root = root_of(path, context).map_or_else(|| std::path::absolute(path), Ok)?;
        Cache::open(&root).map(Some)
    }
}

/// Older entries are dropped beyond this many: 4 MB of text.
const ENTRIES: usize = 50_000;

/// The cache, read whole.
pub(crate) struct Cache {
    path: PathBuf,
    key: Zeroizing<Vec<u8>>,
    /// The MAC of the value by the MAC of its token.
    entries: BTreeMap<String, String>,
    /// The tokens' MACs, the oldest first.
    order: Vec<String>,
    changed: bool,
}

impl Cache {
    /// Opens the user's cache, or begins one. `repository` is where it must not lie.
    fn open(repository: &Path) -> Result<Self> {
        let folder = folder().ok_or_else(|| {
            Failure::new("there is no state folder for the cache: neither $XDG_STATE_HOME nor $HOME is set")
        })?;
        if work_tree::around(&folder.join("seal-cache")).is_some_and(|tree| repository.starts_with(tree)) {
            return Err(Failure::new(format!(
                "the cache would lie inside this repository, at {}",
                folder.display()
            ))
            .hint("set $XDG_STATE_HOME to a folder outside, or leave out --cache"));
        }
        let key = machine_key(&folder.join("seal-cache.key"))?;
        let path = folder.join("seal-cache");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Failure::from(error).at(path.display())),
        };
        let mut cache = Self { path, key, entries: BTreeMap::new(), order: Vec::new(), changed: false };
        for (token, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            cache.insert(token.to_owned(), value.to_owned());
        }
        cache.changed = false;
        Ok(cache)
    }

    /// Whether the token holds this value; nothing if the token was not sealed here.
    pub(crate) fn is_same(&self, token: &Token, value: &Secret) -> Option<bool> {
        let known = self.entries.get(&self.mac(b"token", token, b""))?;
        // Why exposed: only its MAC under the machine's key is looked at.
        Some(self.mac(b"value", token, value.expose()).as_bytes().ct_eq(known.as_bytes()).into())
    }

    /// Remembers what a token holds.
    pub(crate) fn remember(&mut self, token: &Token, value: &Secret) {
        // Why exposed: only its MAC under the machine's key is kept.
        self.insert(self.mac(b"token", token, b""), self.mac(b"value", token, value.expose()));
    }

    /// Writes the cache, 0600, if it changed.
    pub(crate) fn save(&self) -> Result<()> {
        if !self.changed {
            return Ok(());
        }
        let kept = &self.order[self.order.len().saturating_sub(ENTRIES)..];
        let line = |token: &String| self.entries.get(token).map(|value| format!("{token} {value}\n"));
        let text: String = kept.iter().filter_map(line).collect();
        write::replace(&self.path, text.as_bytes(), Mode::Private).at(self.path.display())
    }

    fn insert(&mut self, token: String, value: String) {
        if self.entries.insert(token.clone(), value).is_none() {
            self.order.push(token);
            self.changed = true;
        }
    }

    fn mac(&self, label: &[u8], token: &Token, value: &[u8]) -> String {
        let mut mac =
            <Hmac<Sha256> as KeyInit>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        let token = token.to_string();
        for part in [b"waxwing/cache/1".as_slice(), label, token.as_bytes(), value] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }
}

/// `$XDG_STATE_HOME/waxwing`, or its default under the home folder.
fn folder() -> Option<PathBuf> {
    let given = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = given("XDG_STATE_HOME").or_else(|| given("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("waxwing"))
}

fn machine_key(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    match fs::read(path) {
        Ok(key) if key.len() == 32 => Ok(Zeroizing::new(key)),
        Ok(_) => Err(Failure::new("not a key of 32 bytes")
            .at(path.display())
            .hint("remove it: the cache begins anew")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut key = Zeroizing::new(vec![0; 32]);
            getrandom::fill(&mut key).map_err(|_| Failure::new("the operating system gave no randomness"))?;
            write::create(path, &key, Mode::Private).at(path.display())?;
            Ok(key)
        }
        Err(error) => Err(Failure::from(error).at(path.display())),
    }
}
