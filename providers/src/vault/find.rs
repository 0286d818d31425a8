//! Looking for entries, by walking down the folders of a mount.

use futures::stream::{self, StreamExt, TryStreamExt};
use waxwing_core::{
    external::Pattern,
    store::{Failure, Find, Kind},
};

use super::{Vault, location::Location, settings::Engine};

/// Entries that are looked at.
const MOST: usize = 10_000;
/// Folders in folders.
const DEEPEST: usize = 32;
/// Requests at once.
const AT_ONCE: usize = 8;

impl Vault {
    /// The keys of all entries that match, sorted, as they are read: relative to the store's mount.
    pub(super) async fn find_entries(&self, find: &Find) -> Result<Vec<String>, Failure> {
        if self.settings.engine == Engine::Dynamic {
            return Err(Failure::new(Kind::Unsupported, "a dynamic engine has no entries to be found"));
        }
        if !find.tags.is_empty() && self.settings.engine != Engine::Kv2 {
            return Err(Failure::new(Kind::Unsupported, "only KV version 2 has tags"));
        }
        let name = match &find.name {
            Some(text) => Some(Pattern::new(text).ok_or_else(|| {
                Failure::new(Kind::Rejected, "the name is not a regular expression, or too large a one")
            })?),
            None => None,
        };
        let (mount, folder) = self.start(find.path.as_deref())?;
        // Keys are written as the resource would: with the mount where the store names none.
        let key = |path: &str| match self.settings.mount {
            Some(_) => path.to_owned(),
            None => format!("{mount}/{path}"),
        };
        let mut paths = self.walk(&mount, folder).await?;
        paths.retain(|path| name.as_ref().is_none_or(|name| name.is_match(&key(path))));
        if !find.tags.is_empty() {
            paths = self.tagged(&mount, paths, find).await?;
        }
        let mut keys: Vec<String> = paths.iter().map(|path| key(path)).collect();
        keys.sort_unstable();
        Ok(keys)
    }

    /// The mount, and the folder in it: empty, or with a slash at its end.
    fn start(&self, path: Option<&str>) -> Result<(String, String), Failure> {
        let path =
            path.map(|path| path.trim_end_matches('/')).filter(|path| !path.is_empty() && *path != "/");
        let whole = |mount: &str| (mount.trim_matches('/').to_owned(), String::new());
        match (&self.settings.mount, path) {
            (Some(mount), None) => Ok(whole(mount)),
            (Some(mount), Some(path)) if path.trim_matches('/') == mount => Ok(whole(mount)),
            (None, Some(path)) if !path.trim_matches('/').contains('/') => Ok(whole(path)),
            (None, None) => {
                Err(Failure::new(Kind::Rejected, "without `path` in the store a search needs one"))
            }
            (_, Some(path)) => {
                let location = Location::of(
                    self.settings.mount.as_deref(),
                    self.settings.engine,
                    self.settings.one_spelling,
                    path,
                )?;
                Ok((location.mount, format!("{}/", location.path)))
            }
        }
    }

    /// All entries below a folder, level by level.
    async fn walk(&self, mount: &str, folder: String) -> Result<Vec<String>, Failure> {
        let (mut found, mut level, mut looked) = (Vec::new(), vec![folder], 0_usize);
        for _ in 0..DEEPEST {
            looked += level.len();
            if level.is_empty() {
                return Ok(found);
            }
            let lists = level.into_iter().map(async |folder| -> Result<Vec<String>, Failure> {
                let names = self.list(mount, &folder).await?;
                Ok(names.into_iter().map(|name| format!("{folder}{name}")).collect())
            });
            let below: Vec<_> = stream::iter(lists).buffer_unordered(AT_ONCE).try_concat().await?;
            let (folders, entries): (Vec<_>, Vec<_>) =
                below.into_iter().partition(|path| path.ends_with('/'));
            found.extend(entries.into_iter().filter(|path| is_readable(path)));
            level = folders.into_iter().filter(|path| is_readable(path.trim_end_matches('/'))).collect();
            if found.len() + looked + level.len() > MOST {
                return Err(Failure::new(
                    Kind::TooLarge,
                    "more than 10000 entries lie there; give a longer path",
                ));
            }
        }
        Err(Failure::new(Kind::TooLarge, "folders lie more than 32 deep there; give a longer path"))
    }

    /// Those of the entries that have these tags.
    async fn tagged(&self, mount: &str, paths: Vec<String>, find: &Find) -> Result<Vec<String>, Failure> {
        let looks = paths.into_iter().map(async |path| {
            let location = Location { mount: mount.to_owned(), path };
            match self.tags(&location).await {
                Ok(tags) => {
                    let all = find.tags.iter().all(|(tag, value)| tags.get(tag) == Some(value));
                    Ok(all.then_some(location.path))
                }
                // It was deleted meanwhile.
                Err(failure) if failure.kind == Kind::EntryMissing => Ok(None),
                Err(failure) => Err(failure),
            }
        });
        stream::iter(looks)
            .buffer_unordered(AT_ONCE)
            .try_filter_map(async |path| Ok(path))
            .try_collect()
            .await
    }
}

/// Whether the name of an entry is one that can be asked for. Vault takes any, and its own clients cannot read all of
/// them either.
fn is_readable(path: &str) -> bool {
    !path.split('/').any(|segment| matches!(segment, "" | "." | ".."))
}
