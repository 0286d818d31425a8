//! What can be read, and what can be found.

use anyhow::Result;
use serde_json::{Value, json};
use waxwing_core::store::{Find, Kind, Read};
use waxwing_tests::block_on;

use super::{APP, asking, kind, read, reader, refused, value};

#[test]
fn the_newest_version_and_any_other_are_read() -> Result<()> {
    block_on(async {
        let (vault, provider) = reader("azure-versions").await?;
        let first = vault.put("db", "one \u{1f9ed}").await?;
        let second = vault.put("db", "two").await?;
        assert_eq!(value(&provider, "db").await, Ok(("two".to_owned(), Some(second.clone()))));
        assert_eq!(value(&provider, "secret/db").await, Ok(("two".to_owned(), Some(second))));
        let old = Read { version: Some(first.clone()), ..asking("db") };
        let old = read(&provider, old).await.unwrap();
        assert_eq!((old.value.expose(), old.version), ("one \u{1f9ed}".as_bytes(), Some(first)));
        assert_eq!(provider.version(&asking("db")).await, None, "it costs as much as the value");
        Ok(())
    })
}

#[test]
fn the_secret_beside_a_certificate_is_read_as_such_and_keys_are_not() -> Result<()> {
    block_on(async {
        let (vault, provider) = reader("azure-kinds").await?;
        let pem = "-----BEGIN PRIVATE KEY-----\n...";
        vault
            .put_with("web", json!({"value": pem, "managed": true, "contentType": "application/x-pem-file"}))
            .await?;
        vault.put("db", "one").await?;
        assert_eq!(value(&provider, "cert/web").await.unwrap().0, pem);
        assert_eq!(value(&provider, "web").await.unwrap().0, pem);
        // A grant of cert/** is one of certificates.
        assert_eq!(refused(&provider, "cert/db").await.kind, Kind::Rejected);
        assert_eq!(refused(&provider, "key/web").await.kind, Kind::Unsupported);
        let before = vault.calls().await?.len();
        for key in ["secret/db/versions", "../db", "db?x=1", "other/db"] {
            assert_eq!(refused(&provider, key).await.kind, Kind::Rejected, "{key}");
        }
        let listing = Read { version: Some("versions".to_owned()), ..asking("db") };
        assert_eq!(kind(read(&provider, listing).await), Some(Kind::Rejected));
        assert_eq!(vault.calls().await?.len(), before, "nothing was asked");
        Ok(())
    })
}

#[test]
fn tags_are_read_instead_of_the_value() -> Result<()> {
    block_on(async {
        let (vault, provider) = reader("azure-tags").await?;
        let tags = json!({"env": "prod", "team": "db"});
        vault.put_with("db", json!({"value": "canary", "tags": tags})).await?;
        vault.put("plain", "canary").await?;
        for (key, expected) in [("db", tags), ("plain", json!({}))] {
            let entry = read(&provider, Read { metadata: true, ..asking(key) }).await.unwrap();
            assert_eq!(serde_json::from_slice::<Value>(entry.value.expose())?, expected);
            assert_eq!(entry.version, None, "tags change without a new version");
        }
        Ok(())
    })
}

#[test]
fn secrets_are_found_by_name_and_tags_over_all_pages() -> Result<()> {
    block_on(async {
        let (vault, provider) = reader("azure-find").await?;
        assert_eq!(provider.find(&Find::default()).await, Ok(vec![]), "nothing is found where nothing is");
        for number in 0..60 {
            vault
                .put_with(&format!("bulk-{number:02}"), json!({"value": "x", "tags": {"kind": "bulk"}}))
                .await?;
        }
        vault.put_with("shop-db", json!({"value": "x", "tags": {"env": "prod"}})).await?;
        vault.put_with("shop-off", json!({"value": "x", "tags": {"env": "prod"}, "enabled": false})).await?;
        vault.put_with("shop-gone", json!({"value": "x", "tags": {"env": "prod"}})).await?;
        vault.delete("shop-gone").await?;

        let all = provider.find(&Find::default()).await.unwrap();
        assert_eq!((all.len(), all.is_sorted()), (61, true), "neither disabled nor deleted ones");
        let by_name = Find { name: Some("^(shop-|bulk-5[89])".to_owned()), ..Find::default() };
        assert_eq!(provider.find(&by_name).await.unwrap(), ["bulk-58", "bulk-59", "shop-db"]);
        let by_tag = Find { tags: [("env".to_owned(), "prod".to_owned())].into(), ..Find::default() };
        assert_eq!(provider.find(&by_tag).await.unwrap(), ["shop-db"]);
        let by_path = Find { path: Some("shop".to_owned()), ..Find::default() };
        assert_eq!(kind(provider.find(&by_path).await), Some(Kind::Unsupported));
        vault.may(APP, &["get"]).await?;
        assert_eq!(
            kind(provider.find(&Find::default()).await),
            Some(Kind::Forbidden),
            "it takes a right of its own"
        );
        Ok(())
    })
}
