//! Where an entry lies: in which mount, and where in it.

use waxwing_core::store::{Failure, Kind};

use super::settings::Engine;

/// A mount and a path in it, neither with slashes around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    /// Where the secrets engine is mounted.
    pub(super) mount: String,
    /// The entry's path in it.
    pub(super) path: String,
}

impl Location {
    /// Reads a key. It may begin with the mount, and in KV version 2 also with the `data/` that Vault's API shows. Where the
    /// store names no mount the key has to: as its first segment, or as all that is before `data/`.
    ///
    /// In a store of the cluster an entry has one spelling only, the path in the mount (K18): a grant is held against the
    /// key as it is spelled, and one of `team-a/**` must not open all of a mount `team-a`.
    ///
    /// # Errors
    /// `Rejected` when it does not name an entry.
    pub(super) fn of(
        mount: Option<&str>,
        engine: Engine,
        one_spelling: bool,
        key: &str,
    ) -> Result<Self, Failure> {
        let path = if one_spelling { key } else { key.strip_prefix('/').unwrap_or(key) };
        // Vault takes some of these as a step up, or drops them.
        if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(reject("a key must not be empty, or have empty segments, `.` or `..`", key));
        }
        let versioned = engine == Engine::Kv2 && !one_spelling;
        let (mount, path) = match mount {
            Some(mount) if one_spelling => (mount, path),
            Some(mount) => match path.strip_prefix(mount).and_then(|rest| rest.strip_prefix('/')) {
                Some(rest) if versioned => (mount, rest.strip_prefix("data/").unwrap_or(rest)),
                Some(rest) => (mount, rest),
                None => (mount, path),
            },
            None => {
                let split = match versioned {
                    true => path.split_once("/data/").or_else(|| path.split_once('/')),
                    false => path.split_once('/'),
                };
                split.ok_or_else(|| reject("without `path` in the store a key begins with the mount", key))?
            }
        };
        Ok(Self { mount: mount.to_owned(), path: path.to_owned() })
    }

    /// As it is asked for with engines that have no fixed form.
    pub(super) fn whole(&self) -> String {
        format!("{}/{}", self.mount, self.path)
    }
}

fn reject(what: &'static str, key: &str) -> Failure {
    Failure::new(Kind::Rejected, what).at(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mount: Option<&str>, engine: Engine, key: &str, expected: Option<(&str, &str)>) {
        let location = Location::of(mount, engine, false, key).ok();
        let location = location.as_ref().map(|location| (location.mount.as_str(), location.path.as_str()));
        assert_eq!(location, expected, "{mount:?} {engine:?} {key}");
    }

    #[test]
    fn a_key_may_begin_with_the_mount() {
        use Engine::{Dynamic, Kv1, Kv2};
        check(Some("secret"), Kv2, "app/db", Some(("secret", "app/db")));
        check(Some("secret"), Kv2, "/app/db", Some(("secret", "app/db")));
        check(Some("secret"), Kv2, "secret/app/db", Some(("secret", "app/db")));
        check(Some("secret"), Kv2, "secret/data/app/db", Some(("secret", "app/db")));
        check(Some("secret"), Kv2, "data/app", Some(("secret", "data/app")));
        check(Some("secret"), Kv2, "secrets/app", Some(("secret", "secrets/app")));
        check(Some("secret"), Kv2, "secret", Some(("secret", "secret")));
        check(Some("team/kv"), Kv2, "team/kv/data/app", Some(("team/kv", "app")));
        check(Some("secret"), Kv1, "secret/data/app", Some(("secret", "data/app")));
        check(Some("database"), Dynamic, "creds/app", Some(("database", "creds/app")));
        check(Some("database"), Dynamic, "database/creds/app", Some(("database", "creds/app")));
    }

    #[test]
    fn without_a_mount_in_the_store_the_key_names_it() {
        use Engine::{Dynamic, Kv1, Kv2};
        check(None, Kv2, "secret/app/db", Some(("secret", "app/db")));
        check(None, Kv2, "secret/data/app/db", Some(("secret", "app/db")));
        check(None, Kv2, "team/kv/data/app", Some(("team/kv", "app")));
        check(None, Kv1, "secret/data/app", Some(("secret", "data/app")));
        check(None, Dynamic, "pki/issue/web", Some(("pki", "issue/web")));
        check(None, Kv2, "app", None);
    }

    /// K18. Guard: `one_spelling` in `Location::of`.
    #[test]
    fn in_a_store_of_the_cluster_an_entry_has_one_spelling() {
        let of = |mount, key| {
            let found = Location::of(mount, Engine::Kv2, true, key).ok();
            found.map(|location| (location.mount, location.path))
        };
        let at = |mount: &str, path: &str| Some((mount.to_owned(), path.to_owned()));
        assert_eq!(of(Some("team-a"), "team-a/other/x"), at("team-a", "team-a/other/x"));
        assert_eq!(of(Some("team-a"), "team-a/data/x"), at("team-a", "team-a/data/x"));
        assert_eq!(of(None, "secret/data/x"), at("secret", "data/x"));
        assert_eq!(of(None, "secret/x"), at("secret", "x"));
        assert_eq!(of(Some("secret"), "/x"), None);
    }

    #[test]
    fn a_key_that_leaves_its_place_is_refused() {
        for key in ["", "/", "a//b", "a/", "../sys/x", "a/../../sys", "a/./b", "//a"] {
            check(Some("secret"), Engine::Kv2, key, None);
        }
    }
}
