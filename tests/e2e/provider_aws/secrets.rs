//! Secrets Manager: what is read, how often AWS is asked for it, and what is found.

use std::collections::BTreeMap;

use anyhow::Result;
use base64::{Engine, prelude::BASE64_STANDARD};
use futures::future::try_join_all;
use serde_json::{Value, json};
use waxwing_core::store::{Failure, Find, Kind};
use waxwing_tests::block_on;

use super::{as_anybody, asking, count, counted, kind, read, text, text_of, version};

fn find(path: &str) -> Find {
    Find { path: Some(path.to_owned()), ..Find::default() }
}

#[test]
fn a_secret_is_read_by_its_name_and_by_its_arn() -> Result<()> {
    block_on(async {
        let (moto, proxy) = counted().await?;
        let arn = moto.put_secret("read/db", "the value").await?;
        let store = as_anybody(&proxy.url, json!({}));
        let (partial, _) = arn.rsplit_once('-').unwrap();
        for key in ["read/db", &arn, partial] {
            assert_eq!(text(&store, asking(key)).await.as_deref(), Ok("the value"), "{key}");
        }
        assert_eq!(kind(read(&store, asking("read/other")).await), Some(Kind::EntryMissing));
        // One login that costs nothing, and one request for each.
        assert_eq!(proxy.calls().len(), 4);
        Ok(())
    })
}

#[test]
fn forty_secrets_are_two_requests() -> Result<()> {
    block_on(async {
        let (moto, proxy) = counted().await?;
        let names: Vec<_> = (0..40).map(|index| format!("batch/{index:02}")).collect();
        try_join_all(names.iter().map(|name| moto.put_secret(name, name))).await?;
        let store = as_anybody(&proxy.url, json!({}));
        assert_eq!(store.batch(), 20);
        let reads: Vec<_> = names.iter().map(asking).collect();
        let values: Result<Vec<_>, Failure> =
            store.read(&reads).await.into_iter().map(|entry| entry.map(|entry| text_of(&entry))).collect();
        assert_eq!(values, Ok(names));
        assert_eq!((count(&proxy, "BatchGetSecretValue"), proxy.calls().len()), (2, 2));
        Ok(())
    })
}

#[test]
fn a_batch_answers_each_in_its_place() -> Result<()> {
    block_on(async {
        let (moto, proxy) = counted().await?;
        let arn = moto.put_secret("mixed/by-arn", "of the ARN").await?;
        moto.put_secret("mixed/db", "new").await?;
        moto.put_secret("mixed/deleted", "gone").await?;
        let deleted = json!({"SecretId": "mixed/deleted", "RecoveryWindowInDays": 7});
        moto.call("secretsmanager.DeleteSecret", deleted).await?;
        let bytes = json!({"Name": "mixed/binary", "SecretBinary": BASE64_STANDARD.encode([0, 255, 10])});
        moto.call("secretsmanager.CreateSecret", bytes).await?;

        let store = as_anybody(&proxy.url, json!({}));
        let asked = ["mixed/absent", "mixed/db", &arn, "mixed/deleted", "mixed/binary", "no name"];
        let mut reads: Vec<_> = asked.iter().copied().map(asking).collect();
        reads.push(version("mixed/db", "AWSCURRENT"));
        let got: Vec<_> = store
            .read(&reads)
            .await
            .into_iter()
            .map(|entry| entry.map(|entry| entry.value.expose().to_vec()).map_err(|failure| failure.kind))
            .collect();
        let text = |text: &str| Ok(text.as_bytes().to_vec());
        let expected = [
            Err(Kind::EntryMissing),
            text("new"),
            text("of the ARN"),
            Err(Kind::EntryMissing),
            Ok(vec![0, 255, 10]),
            Err(Kind::Rejected),
            text("new"),
        ];
        assert_eq!(got, expected);
        Ok(())
    })
}

#[test]
fn versions_are_stages_and_ids() -> Result<()> {
    block_on(async {
        let (moto, proxy) = counted().await?;
        moto.put_secret("stages/db", "one").await?;
        moto.put_secret("stages/db", "two").await?;
        let pending = json!({
            "SecretId": "stages/db", "SecretString": "three", "VersionStages": ["PENDING"],
            "ClientRequestToken": "terraform-20260101000000000000000003",
        });
        moto.call("secretsmanager.PutSecretValue", pending).await?;

        let store = as_anybody(&proxy.url, json!({}));
        let current = read(&store, asking("stages/db")).await.unwrap();
        assert_eq!(text_of(&current), "two");
        let id = current.version.unwrap();
        let expected = [
            ("AWSCURRENT", "two"),
            ("AWSPREVIOUS", "one"),
            ("PENDING", "three"),
            (&id, "two"),
            (&format!("uuid/{id}"), "two"),
            ("uuid/terraform-20260101000000000000000003", "three"),
        ];
        for (asked, value) in expected {
            assert_eq!(text(&store, version("stages/db", asked)).await.as_deref(), Ok(value), "{asked}");
        }
        let absent = read(&store, version("stages/db", "NOSUCH")).await;
        assert_eq!(kind(absent), Some(Kind::EntryMissing));
        Ok(())
    })
}

/// Guard: a stage is always sent. Moto gives an old version without one.
#[test]
fn a_stage_that_was_moved_is_followed() -> Result<()> {
    block_on(async {
        let (moto, proxy) = counted().await?;
        moto.put_secret("moved/db", "one").await?;
        let store = as_anybody(&proxy.url, json!({}));
        let first = read(&store, asking("moved/db")).await.unwrap().version.unwrap();
        moto.put_secret("moved/db", "two").await?;
        let second = read(&store, asking("moved/db")).await.unwrap().version.unwrap();
        let back = json!({
            "SecretId": "moved/db", "VersionStage": "AWSCURRENT", "MoveToVersionId": first,
            "RemoveFromVersionId": second,
        });
        moto.call("secretsmanager.UpdateSecretVersionStage", back).await?;
        assert_eq!(text(&store, asking("moved/db")).await.as_deref(), Ok("one"));
        Ok(())
    })
}

#[test]
fn the_version_is_had_without_the_value() -> Result<()> {
    block_on(async {
        let (moto, proxy) = counted().await?;
        moto.put_secret("probe/db", "one").await?;
        moto.put_secret("probe/db", "two").await?;
        let store = as_anybody(&proxy.url, json!({}));
        let entry = read(&store, asking("probe/db")).await.unwrap();
        assert_eq!(store.version(&asking("probe/db")).await, entry.version.map(Ok));
        let previous = read(&store, version("probe/db", "AWSPREVIOUS")).await.unwrap();
        assert_eq!(
            store.version(&version("probe/db", "AWSPREVIOUS")).await,
            previous.version.clone().map(Ok)
        );
        // One that is named cannot change.
        assert_eq!(store.version(&version("probe/db", &previous.version.unwrap())).await, None);
        let absent = store.version(&asking("probe/absent")).await.unwrap();
        assert_eq!(kind(absent), Some(Kind::EntryMissing));
        assert_eq!((count(&proxy, "GetSecretValue"), count(&proxy, "DescribeSecret")), (2, 3));

        let delete = json!({"SecretId": "probe/db", "RecoveryWindowInDays": 7});
        moto.call("secretsmanager.DeleteSecret", delete).await?;
        assert_eq!(store.version(&asking("probe/db")).await.and_then(kind), Some(Kind::EntryMissing));
        assert_eq!(kind(read(&store, asking("probe/db")).await), Some(Kind::EntryMissing));
        moto.call("secretsmanager.RestoreSecret", json!({"SecretId": "probe/db"})).await?;
        assert_eq!(text(&store, asking("probe/db")).await.as_deref(), Ok("two"));
        Ok(())
    })
}

#[test]
fn metadata_is_the_tags() -> Result<()> {
    block_on(async {
        let (moto, proxy) = counted().await?;
        let tags = json!([{"Key": "team", "Value": "shop"}, {"Key": "owner", "Value": "ann \"a\""}]);
        let body = json!({"Name": "tagged/db", "SecretString": "x", "Tags": tags});
        moto.call("secretsmanager.CreateSecret", body).await?;
        let store = as_anybody(&proxy.url, json!({}));
        let mut asked = asking("tagged/db");
        asked.metadata = true;
        let found: Value = serde_json::from_str(&text(&store, asked).await.unwrap())?;
        assert_eq!(found, json!({"team": "shop", "owner": "ann \"a\""}));
        assert_eq!(count(&proxy, "GetSecretValue"), 0);
        Ok(())
    })
}

#[test]
fn secrets_are_found_by_path_by_name_and_by_tags() -> Result<()> {
    block_on(async {
        let (moto, proxy) = counted().await?;
        for (name, team, stage) in [
            ("find/a/db", "finders", "prod"),
            ("find/a/web", "finders", "test"),
            ("find/b/db", "prod", "finders"),
        ] {
            let tags = json!([{"Key": "team", "Value": team}, {"Key": "stage", "Value": stage}]);
            let body = json!({"Name": name, "SecretString": "x", "Tags": tags});
            moto.call("secretsmanager.CreateSecret", body).await?;
        }
        moto.put_secret("find/a-not/db", "x").await?;
        let store = as_anybody(&proxy.url, json!({}));
        let all = |keys: &[&str]| Ok(keys.iter().map(|&key| key.to_owned()).collect::<Vec<_>>());

        assert_eq!(store.find(&find("find/a")).await, all(&["find/a/db", "find/a/web"]));
        let by_name = Find { name: Some("^find/.*/db$".to_owned()), ..Find::default() };
        assert_eq!(store.find(&by_name).await, all(&["find/a-not/db", "find/a/db", "find/b/db"]));
        let tags = BTreeMap::from([("team".to_owned(), "finders".to_owned())]);
        assert_eq!(
            store.find(&Find { tags, ..Find::default() }).await,
            all(&["find/a/db", "find/a/web"]),
            "a key and a value that do not belong together are no tag"
        );
        let tags = BTreeMap::from([
            ("team".to_owned(), "finders".to_owned()),
            ("stage".to_owned(), "prod".to_owned()),
        ]);
        assert_eq!(store.find(&Find { tags, ..find("find") }).await, all(&["find/a/db"]));
        assert_eq!(store.find(&find("find/nothing")).await, all(&[]));
        Ok(())
    })
}

#[test]
fn a_list_is_read_to_its_end() -> Result<()> {
    block_on(async {
        let (moto, proxy) = counted().await?;
        let names: Vec<_> = (0..130).map(|index| format!("many/{index:03}")).collect();
        try_join_all(names.iter().map(|name| moto.put_secret(name, "x"))).await?;
        let store = as_anybody(&proxy.url, json!({}));
        assert_eq!(store.find(&find("many")).await, Ok(names));
        assert_eq!(count(&proxy, "ListSecrets"), 2);
        Ok(())
    })
}

/// K05. Guard: `Names` puts the prefix before every key, and refuses ARNs below one.
#[test]
fn a_prefix_is_what_the_store_is_confined_to() -> Result<()> {
    block_on(async {
        let (moto, proxy) = counted().await?;
        moto.put_secret("ours/db", "ours").await?;
        let theirs = moto.put_secret("theirs/db", "theirs").await?;
        let store = as_anybody(&proxy.url, json!({"prefix": "ours/"}));
        assert_eq!(text(&store, asking("db")).await.as_deref(), Ok("ours"));
        assert_eq!(kind(read(&store, asking("theirs/db")).await), Some(Kind::EntryMissing));
        assert_eq!(kind(read(&store, asking("../theirs/db")).await), Some(Kind::EntryMissing));
        assert_eq!(kind(read(&store, asking(theirs)).await), Some(Kind::Rejected));
        assert_eq!(store.find(&Find::default()).await, Ok(vec!["db".to_owned()]));
        assert_eq!(store.check().await, Ok(()));
        Ok(())
    })
}
