//! Entries of the key/value engine.

use anyhow::Result;
use serde_json::json;
use waxwing_core::store::{Find, Kind, Read};
use waxwing_tests::block_on;
use waxwing_tests::tools::root;
use waxwing_tests::vault::{self, ROOT_TOKEN};

use super::{asking, by_token, json_of, kind, read, value};

/// What the documentation asks for, for the mount `entries` and what is in its folder `least`.
fn least_policy() -> String {
    let page = std::fs::read_to_string(root().join("docs/providers/vault.md")).unwrap();
    let policy = page.split("```hcl\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    policy.replace("secret/", "entries/").replace("team-a", "least")
}

fn of_version(key: &str, version: &str) -> Read {
    Read { version: Some(version.to_owned()), ..asking(key) }
}

#[test]
fn version_2_gives_the_newest_or_the_one_that_is_asked_for() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        vault.put("secret", "entries/db", json!({"password": "one", "port": 5432})).await?;
        vault.put("secret", "entries/db", json!({"password": "two", "a.b": ["\u{e9}", null]})).await?;
        let store = by_token(&vault.url, json!({}), ROOT_TOKEN);
        let newest = read(&store, asking("entries/db")).await?;
        assert_eq!(newest.version.as_deref(), Some("2"));
        assert_eq!(json_of(&newest), json!({"password": "two", "a.b": ["\u{e9}", null]}));
        assert_eq!(newest.lease, None);
        let first = read(&store, of_version("entries/db", "1")).await?;
        assert_eq!(first.version.as_deref(), Some("1"));
        assert_eq!(json_of(&first), json!({"password": "one", "port": 5432}));

        // The mount, and Vault's own way to write it, may stand before the key.
        for key in ["secret/entries/db", "secret/data/entries/db", "/entries/db"] {
            assert_eq!(value(&store, key).await?["password"], "two", "{key}");
        }
        let without = by_token(&vault.url, json!({"path": null}), ROOT_TOKEN);
        assert_eq!(value(&without, "secret/entries/db").await?["password"], "two");
        assert_eq!(store.version(&asking("entries/db")).await, Some(Ok("2".to_owned())));
        assert_eq!(store.version(&of_version("entries/db", "1")).await, Some(Ok("1".to_owned())));
        assert_eq!(kind(read(&store, of_version("entries/db", "x")).await), Some(Kind::Rejected));
        Ok(())
    })
}

#[test]
fn a_version_that_is_gone_is_missing() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        for _ in 0..3 {
            vault.put("secret", "entries/gone", json!({"a": "b"})).await?;
        }
        vault.write("secret/destroy/entries/gone", json!({"versions": [1]})).await?;
        vault.delete("secret/data/entries/gone").await?;
        let store = by_token(&vault.url, json!({}), ROOT_TOKEN);
        for asked in
            [asking("entries/gone"), of_version("entries/gone", "1"), of_version("entries/gone", "9")]
        {
            let failure = read(&store, asked.clone()).await.unwrap_err();
            assert_eq!((failure.kind, failure.code), (Kind::EntryMissing, Some(404)), "{asked:?}");
            assert_eq!(failure.place.as_deref(), Some("entries/gone"));
            assert_eq!(store.version(&asked).await, None, "only reading tells");
        }
        assert_eq!(value(&store, "entries/gone").await.err().unwrap().what, "this version is deleted");
        assert!(read(&store, of_version("entries/gone", "2")).await.is_ok());
        assert_eq!(kind(value(&store, "entries/never").await), Some(Kind::EntryMissing));
        Ok(())
    })
}

#[test]
fn tags_are_read_instead_of_the_value() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        for name in ["tagged", "bare"] {
            vault.put("secret", &format!("entries/{name}"), json!({"a": "b"})).await?;
        }
        let tags = json!({"team": "db", "note": "a \"b\""});
        vault.write("secret/metadata/entries/tagged", json!({"custom_metadata": tags})).await?;
        let store = by_token(&vault.url, json!({}), ROOT_TOKEN);
        let tags_of = |key| Read { metadata: true, ..asking(key) };
        let tagged = read(&store, tags_of("entries/tagged")).await?;
        assert_eq!((json_of(&tagged), tagged.version), (tags, None));
        assert_eq!(json_of(&read(&store, tags_of("entries/bare")).await?), json!({}));
        assert_eq!(kind(read(&store, tags_of("entries/no")).await), Some(Kind::EntryMissing));
        Ok(())
    })
}

#[test]
fn version_1_gives_what_is_there() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        vault.mount_kv("plain/v1", 1).await?;
        vault.put_v1("plain/v1", "app/db", json!({"password": "one"})).await?;
        let store = by_token(&vault.url, json!({"path": "plain/v1", "version": "v1"}), ROOT_TOKEN);
        for key in ["app/db", "plain/v1/app/db"] {
            let entry = read(&store, asking(key)).await?;
            assert_eq!((json_of(&entry), entry.version), (json!({"password": "one"}), None));
        }
        assert_eq!(store.version(&asking("app/db")).await, None);
        assert_eq!(kind(value(&store, "app/no").await), Some(Kind::EntryMissing));
        assert_eq!(kind(read(&store, of_version("app/db", "1")).await), Some(Kind::Unsupported));
        let found = store.find(&Find { name: Some("^app/".to_owned()), ..Find::default() }).await;
        assert_eq!(found, Ok(vec!["app/db".to_owned()]));
        assert_eq!(store.check().await, Ok(()));
        Ok(())
    })
}

/// A mount of version 1 answers a question for version 2 as it does for an entry that is missing.
/// Guard: `check_mount` in `why_missing`.
#[test]
fn a_wrong_mount_is_no_missing_entry() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        vault.mount_kv("wrong-v1", 1).await?;
        vault.put_v1("wrong-v1", "db", json!({"a": "b"})).await?;
        vault.put("secret", "entries/wrong", json!({"a": "b"})).await?;
        let table = [
            (json!({"path": "nowhere"}), "no secrets engine is mounted at this path"),
            (json!({"path": "nowhere", "version": "v1"}), "no secrets engine is mounted at this path"),
            (json!({"path": "wrong-v1"}), "the mount is KV version 1; the store says version 2"),
            (
                json!({"version": "v1"}),
                "the mount is KV version 2 and this is no path of it; look at the store's `path` and `version`",
            ),
            (
                json!({"path": "secret/entries"}),
                "the mount is KV version 2 and this is no path of it; look at the store's `path` and `version`",
            ),
        ];
        for (fields, what) in table {
            let store = by_token(&vault.url, fields.clone(), ROOT_TOKEN);
            let read = value(&store, "db").await.unwrap_err();
            assert_eq!((read.kind, read.what), (Kind::MountMissing, what), "{fields}");
            let found = store.find(&Find { path: Some("db".to_owned()), ..Find::default() }).await;
            assert_eq!(kind(found), Some(Kind::MountMissing), "{fields}");
            let checked = store.check().await;
            assert!(matches!(kind(checked), Some(Kind::MountMissing | Kind::Forbidden)), "{fields}");
        }
        Ok(())
    })
}

#[test]
fn the_least_policy_of_the_documentation_is_enough_and_no_more() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        vault.mount_kv("entries", 2).await?;
        for path in ["least/a", "least/b/c", "more/d"] {
            vault.put("entries", path, json!({"a": "b"})).await?;
        }
        vault.policy("entries-least", &least_policy()).await?;
        let token = vault.token("entries-least", "1h").await?;
        let store = by_token(&vault.url, json!({"path": "entries"}), &token);
        assert_eq!(value(&store, "least/a").await?, json!({"a": "b"}));
        assert_eq!(store.version(&asking("least/a")).await, Some(Ok("1".to_owned())));
        assert_eq!(kind(value(&store, "least/no").await), Some(Kind::EntryMissing));
        let below = |path: &str| Find { path: Some(path.to_owned()), ..Find::default() };
        let found = store.find(&below("least")).await;
        assert_eq!(found, Ok(vec!["least/a".to_owned(), "least/b/c".to_owned()]));
        assert_eq!(store.check().await, Ok(()));
        for key in ["more/d", "more/no"] {
            let failure = value(&store, key).await.unwrap_err();
            assert_eq!((failure.kind, failure.code), (Kind::Forbidden, Some(403)));
            assert_eq!(failure.place.as_deref(), Some(key));
            assert_eq!(store.version(&asking(key)).await, None, "reading the value tells why");
        }
        assert_eq!(kind(store.find(&below("more")).await), Some(Kind::Forbidden));
        Ok(())
    })
}

#[test]
fn entries_are_found_by_path_name_and_tags() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        vault.mount_kv("finding", 2).await?;
        for path in ["a", "team/db", "team/web/key", "team/web/deep/er/cert", "other/db"] {
            vault.put("finding", path, json!({"a": "b"})).await?;
        }
        for path in ["team/db", "other/db"] {
            let tags = json!({"kind": "db", "team": path.split_once('/').unwrap().0});
            vault.write(&format!("finding/metadata/{path}"), json!({"custom_metadata": tags})).await?;
        }
        let store = by_token(&vault.url, json!({"path": "finding"}), ROOT_TOKEN);
        let check =
            async |path: Option<&str>, name: Option<&str>, tags: &[(&str, &str)], expected: &[&str]| {
                let tags = tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
                let find = Find { path: path.map(str::to_owned), name: name.map(str::to_owned), tags };
                let expected = expected.iter().map(|key| (*key).to_owned()).collect();
                assert_eq!(store.find(&find).await, Ok(expected), "{find:?}");
            };
        let all = ["a", "other/db", "team/db", "team/web/deep/er/cert", "team/web/key"];
        check(None, None, &[], &all).await;
        check(Some("team"), None, &[], &all[2..]).await;
        check(Some("/team/web/"), None, &[], &all[3..]).await;
        check(None, Some("^(team|other)/[^/]+$"), &[], &all[1..3]).await;
        check(Some("team"), Some("db$"), &[], &["team/db"]).await;
        check(None, None, &[("kind", "db")], &["other/db", "team/db"]).await;
        check(None, Some("db"), &[("kind", "db"), ("team", "team")], &["team/db"]).await;
        // Nothing is an answer.
        check(Some("nothing"), None, &[], &[]).await;
        check(None, Some("^nothing"), &[], &[]).await;
        check(None, None, &[("kind", "cert")], &[]).await;
        for found in store.find(&Find::default()).await? {
            assert_eq!(value(&store, &found).await?, json!({"a": "b"}), "{found}");
        }
        let bad = Find { name: Some("(".to_owned()), ..Find::default() };
        assert_eq!(kind(store.find(&bad).await), Some(Kind::Rejected));
        Ok(())
    })
}
