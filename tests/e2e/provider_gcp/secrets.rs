//! What can be read, and what can be found.

use anyhow::Result;
use serde_json::{Value, json};
use waxwing_core::store::{Find, Kind, Read};
use waxwing_tests::block_on;
use waxwing_tests::gsm::{ACCESSOR, VIEWER};

use super::{PARENT, PROJECT, READER, as_reader, asking, kind, labelled, read, reader, value};

#[test]
fn the_newest_version_a_number_and_an_alias_are_read_as_their_bytes() -> Result<()> {
    block_on(async {
        let (gsm, provider) = reader("gcp-versions").await?;
        let binary = [0, 0xff, b'\n', 0xfe];
        gsm.put(PARENT, "db", &binary).await?;
        gsm.put_with(PARENT, "db", b"two", json!({"aliases": {"blue": 1}})).await?;
        assert_eq!(value(&provider, "db").await, Ok(("two".to_owned(), Some("2".to_owned()))));
        for (version, expected, number) in
            [("latest", &b"two"[..], "2"), ("2", b"two", "2"), ("1", &binary, "1"), ("blue", &binary, "1")]
        {
            let entry =
                read(&provider, Read { version: Some(version.to_owned()), ..asking("db") }).await.unwrap();
            assert_eq!(
                (entry.value.expose(), entry.version.as_deref()),
                (expected, Some(number)),
                "{version}"
            );
        }
        let full = format!("{PARENT}/secrets/db");
        assert_eq!(value(&provider, &full).await.unwrap().0, "two");
        Ok(())
    })
}

/// K05. A store reads its own project, although its account may read others.
/// Guard: the comparison with the parent in `Parent::secret`.
#[test]
fn another_project_is_not_reached_by_a_key() -> Result<()> {
    block_on(async {
        let (gsm, provider) = reader("gcp-projects").await?;
        gsm.put("projects/other-project", "db", b"theirs").await?;
        gsm.grant(READER, ACCESSOR, "other-project").await?;
        for key in ["projects/other-project/secrets/db", "../../other-project/secrets/db"] {
            assert_eq!(kind(read(&provider, asking(key)).await), Some(Kind::Rejected), "{key}");
        }
        assert_eq!(gsm.calls().await?.len(), 0, "nothing was asked");
        Ok(())
    })
}

#[test]
fn regional_secrets_are_those_of_their_location() -> Result<()> {
    block_on(async {
        let (gsm, global) = reader("gcp-regional").await?;
        let regional = as_reader(&gsm, &gsm.url, json!({"location": "europe-west3"})).await?;
        gsm.put(PARENT, "db", b"global").await?;
        gsm.put(&format!("{PARENT}/locations/europe-west3"), "db", b"regional").await?;
        assert_eq!(value(&global, "db").await.unwrap().0, "global");
        assert_eq!(value(&regional, "db").await.unwrap().0, "regional");
        gsm.grant(READER, VIEWER, PROJECT).await?;
        assert_eq!(regional.find(&Find::default()).await.unwrap(), ["db"]);
        Ok(())
    })
}

#[test]
fn labels_and_annotations_are_read_instead_of_the_value() -> Result<()> {
    block_on(async {
        let (gsm, provider) = reader("gcp-metadata").await?;
        let told = json!({"labels": {"env": "prod", "team": "db"}, "annotations": {"owner": "Ann <ann@example.com>"}});
        gsm.put_with(PARENT, "db", b"canary", told.clone()).await?;
        let asked = Read { metadata: true, ..asking("db") };
        assert_eq!(
            kind(read(&provider, asked.clone()).await),
            Some(Kind::Forbidden),
            "it takes another role"
        );
        gsm.grant(READER, VIEWER, PROJECT).await?;
        let entry = read(&provider, asked).await.unwrap();
        assert_eq!(serde_json::from_slice::<Value>(entry.value.expose())?, told);
        assert_eq!(entry.version, None, "labels change without a new version");
        Ok(())
    })
}

#[test]
fn secrets_are_found_by_name_path_and_labels_over_all_pages() -> Result<()> {
    block_on(async {
        let (gsm, provider) = reader("gcp-find").await?;
        assert_eq!(
            kind(provider.find(&Find::default()).await),
            Some(Kind::Forbidden),
            "it takes another role"
        );
        gsm.grant(READER, VIEWER, PROJECT).await?;
        assert_eq!(provider.find(&Find::default()).await, Ok(vec![]), "nothing is found where nothing is");
        for number in 0..501 {
            gsm.put_with(PARENT, &format!("bulk-{number:03}"), b"", json!({"labels": {"kind": "bulk"}}))
                .await?;
        }
        gsm.put_with(PARENT, "shop-db", b"1", json!({"labels": {"env": "prod"}})).await?;
        gsm.put_with(PARENT, "old-shop-db", b"1", json!({"labels": {"env": "prod"}})).await?;
        gsm.put_with(PARENT, "shop-mail", b"1", json!({"labels": {"env": "test"}})).await?;

        let all = provider.find(&Find::default()).await.unwrap();
        assert_eq!((all.len(), all.is_sorted()), (504, true));
        let by_name = Find { name: Some("^(bulk-00|shop-).*[18bl]$".to_owned()), ..Find::default() };
        assert_eq!(provider.find(&by_name).await.unwrap(), ["bulk-001", "bulk-008", "shop-db", "shop-mail"]);
        // The service looks for the path anywhere in the name.
        let by_path = Find { path: Some("shop-".to_owned()), ..Find::default() };
        assert_eq!(provider.find(&by_path).await.unwrap(), ["shop-db", "shop-mail"]);
        assert_eq!(provider.find(&labelled("env", "prod")).await.unwrap(), ["old-shop-db", "shop-db"]);
        let both = Find { path: by_path.path, ..labelled("env", "prod") };
        assert_eq!(provider.find(&both).await.unwrap(), ["shop-db"]);
        assert_eq!(provider.find(&labelled("env", "prod OR x")).await.unwrap(), Vec::<String>::new());

        let filters: Vec<_> = gsm.calls().await?.iter().map(|call| call.query["filter"].clone()).collect();
        assert!(
            filters.contains(&json!("name:shop- AND labels.env=prod")),
            "the service leaves out what it can"
        );
        assert!(!filters.iter().any(|filter| filter.as_str().unwrap().contains("OR")));
        Ok(())
    })
}

#[test]
fn the_newest_version_is_told_without_the_value_where_the_role_allows_it() -> Result<()> {
    block_on(async {
        let (gsm, provider) = reader("gcp-version").await?;
        gsm.put(PARENT, "db", b"one").await?;
        gsm.put(PARENT, "db", b"two").await?;
        assert_eq!(provider.version(&asking("db")).await, None);
        assert_eq!(provider.version(&asking("db")).await, None);
        assert_eq!(gsm.calls().await?.len(), 1, "what the role does not allow is not asked for again");

        let allowed = as_reader(&gsm, &gsm.url, json!({})).await?;
        gsm.grant(READER, VIEWER, PROJECT).await?;
        gsm.set_state(PARENT, "db", 2, "DISABLED").await?;
        assert_eq!(kind(allowed.version(&asking("db")).await.unwrap()), Some(Kind::Forbidden));
        gsm.set_state(PARENT, "db", 2, "ENABLED").await?;
        assert_eq!(allowed.version(&asking("db")).await, Some(Ok("2".to_owned())));
        let pinned = Read { version: Some("1".to_owned()), ..asking("db") };
        assert_eq!(allowed.version(&pinned).await, None);
        assert_eq!(kind(allowed.version(&asking("nope")).await.unwrap()), Some(Kind::EntryMissing));
        assert!(gsm.calls().await?.iter().all(|call| !call.path.ends_with(":access")));
        Ok(())
    })
}
