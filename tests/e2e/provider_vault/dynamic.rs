//! Credentials that are made when they are asked for.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::json;
use waxwing_core::store::{Find, Kind, Read};
use waxwing_tests::block_on;
use waxwing_tests::vault::{self, ROOT_TOKEN};

use super::{asking, by_token, json_of, kind, read};

fn with_parameters(key: &str, parameters: &[(&str, &str)]) -> Read {
    let parameters: BTreeMap<_, _> =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Read { parameters, consumer: "uid".to_owned(), ..asking(key) }
}

#[test]
fn a_certificate_is_issued_anew_and_its_expiry_is_its_lease() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        vault.pki("dynamic-pki", "web", "1h").await?;
        vault.write("dynamic-pki/roles/bare", json!({
            "allowed_domains": ["example.test"], "allow_subdomains": true, "key_type": "ec", "ttl": "2h",
        })).await?;
        let store = by_token(&vault.url, json!({"engine": "Dynamic", "path": "dynamic-pki"}), ROOT_TOKEN);
        let ask =
            |role: &str| with_parameters(&format!("issue/{role}"), &[("common_name", "a.example.test")]);

        // Without a lease the certificate says itself how long it is good.
        let bare = read(&store, ask("bare")).await?;
        let lease = bare.lease.clone().unwrap();
        assert_eq!((lease.id.as_str(), lease.renewable), ("", false));
        assert!((7100..=7200).contains(&lease.seconds), "{}", lease.seconds);
        assert!(json_of(&bare)["private_key"].is_string());
        assert_eq!(kind(store.renew(&lease).await), Some(Kind::EntryMissing));
        assert_eq!(store.revoke(&lease.id).await, Ok(()));
        let again = read(&store, ask("bare")).await?;
        assert_ne!(json_of(&bare)["serial_number"], json_of(&again)["serial_number"]);

        let leased = read(&store, ask("web")).await?.lease.unwrap();
        assert!(!leased.renewable && leased.seconds <= 3600);
        assert_eq!(vault.leases("dynamic-pki/issue/web").await?.len(), 1);
        assert_eq!(kind(store.renew(&leased).await), Some(Kind::EntryMissing));
        store.revoke(&leased.id).await?;
        assert!(vault.leases("dynamic-pki/issue/web").await?.is_empty());
        assert_eq!(store.revoke(&leased.id).await, Ok(()), "a second time");
        Ok(())
    })
}

#[test]
fn what_a_dynamic_engine_cannot_do_is_said() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        vault.pki("dynamic-no", "web", "1h").await?;
        vault.put("secret", "dynamic/db", json!({"a": "b"})).await?;
        let store = by_token(&vault.url, json!({"engine": "Dynamic", "path": "dynamic-no"}), ROOT_TOKEN);
        let unknown = read(&store, with_parameters("issue/none", &[("common_name", "a.example.test")])).await;
        assert_eq!(unknown.unwrap_err().what, "the secrets engine knows no such role");
        let outside = read(&store, with_parameters("issue/web", &[("common_name", "a.example.com")])).await;
        assert_eq!(kind(outside), Some(Kind::Rejected));
        assert_eq!(kind(read(&store, asking("issue/web")).await), Some(Kind::Rejected), "it is a write");
        assert_eq!(kind(read(&store, asking("no/such/path")).await), Some(Kind::Rejected));
        assert_eq!(kind(store.find(&Find::default()).await), Some(Kind::Unsupported));
        assert_eq!(store.check().await, Ok(()));
        let kv = by_token(&vault.url, json!({}), ROOT_TOKEN);
        assert_eq!(kind(read(&kv, with_parameters("dynamic/db", &[("a", "b")])).await), Some(Kind::BadStore));
        let wrong = by_token(&vault.url, json!({"engine": "Dynamic"}), ROOT_TOKEN);
        assert_eq!(kind(wrong.check().await), Some(Kind::MountMissing));
        Ok(())
    })
}
