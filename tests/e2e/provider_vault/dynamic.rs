//! Credentials that are made when they are asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use serde_json::json;
use waxwing_core::store::{Entry, Find, Kind, Lease, Read};
use waxwing_providers::Provider;
use waxwing_tests::block_on;
use waxwing_tests::faults::{Fault, Faults};
use waxwing_tests::postgres::{self, Postgres};
use waxwing_tests::vault::{self, Login, ROOT_TOKEN, Vault};
use waxwing_tests::wait::DEADLINE;

use super::{Kept, POLL, asking, by_token, connect, json_of, key, kind, read};

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

/// A role that may have users made, and look after their leases.
async fn may_issue(vault: &Vault, mount: &str, ttl: &str) -> Result<(Login, Arc<Kept>)> {
    let rules = format!(
        "path \"{mount}/*\" {{ capabilities = [\"read\"] }}
         path \"sys/leases/revoke\" {{ capabilities = [\"update\"] }}"
    );
    vault.policy(mount, &rules).await?;
    let role = vault.approle(&format!("{mount}-logins"), "app", mount, ttl).await?;
    let kept = Kept::of([("secret", &role.secret)]);
    Ok((role, kept))
}

fn by_approle(vault: &Vault, mount: &str, (role, kept): &(Login, Arc<Kept>)) -> Arc<dyn Provider> {
    let method = json!({"path": format!("{mount}-logins"), "roleId": role.id, "secretRef": key("secret")});
    connect(&vault.url, json!({"engine": "Dynamic", "path": mount, "auth": {"appRole": method}}), kept)
}

/// Whether the database takes what was issued.
fn lets_in(postgres: &Postgres, entry: &Entry) -> bool {
    let issued = json_of(entry);
    postgres.lets_in(issued["username"].as_str().unwrap(), issued["password"].as_str().unwrap())
}

#[test]
fn a_database_user_is_made_prolonged_and_removed() -> Result<()> {
    block_on(async {
        let (vault, postgres) = (vault::shared().await, postgres::shared().await);
        vault.database(postgres, "dynamic-db", "reader", ("10m", "1h")).await?;
        let store = by_approle(vault, "dynamic-db", &may_issue(vault, "dynamic-db", "2h").await?);
        let entry = read(&store, asking("creds/reader")).await?;
        assert!(lets_in(postgres, &entry));
        assert_eq!(entry.version, None);
        let lease = entry.lease.clone().unwrap();
        assert!(lease.renewable && (590..=600).contains(&lease.seconds), "{lease:?}");
        assert!(lease.id.starts_with("dynamic-db/creds/reader/"), "{lease:?}");

        let other = read(&store, asking("dynamic-db/creds/reader")).await?;
        assert_ne!(json_of(&other)["username"], json_of(&entry)["username"], "each reader gets its own");
        let renewed = store.renew(&lease).await?;
        assert_eq!((&renewed.id, renewed.renewable), (&lease.id, true));
        assert!((590..=600).contains(&renewed.seconds), "{renewed:?}");
        assert_eq!(store.check().await, Ok(()));

        store.revoke(&lease.id).await?;
        assert!(!lets_in(postgres, &entry));
        assert!(lets_in(postgres, &other));
        let gone = store.renew(&lease).await.unwrap_err();
        assert_eq!((gone.kind, gone.what), (Kind::EntryMissing, "the lease is over; ask for a new one"));
        let unknown = read(&store, asking("creds/nobody")).await.unwrap_err();
        assert_eq!((unknown.kind, unknown.what), (Kind::Rejected, "the secrets engine knows no such role"));
        Ok(())
    })
}

#[test]
fn a_lease_is_never_said_to_outlive_its_login() -> Result<()> {
    block_on(async {
        let (vault, postgres) = (vault::shared().await, postgres::shared().await);
        vault.database(postgres, "dynamic-short", "reader", ("10m", "1h")).await?;
        let role = may_issue(vault, "dynamic-short", "60s").await?;
        let store = by_approle(vault, "dynamic-short", &role);
        let entry = read(&store, asking("creds/reader")).await?;
        let lease = entry.lease.clone().unwrap();
        assert!(lease.seconds <= 60, "{lease:?}");
        assert!(store.renew(&lease).await?.seconds <= 60);

        // Another login, such as after a restart, cannot keep it alive.
        let restarted = by_approle(vault, "dynamic-short", &role);
        let failure = restarted.renew(&lease).await.unwrap_err();
        let what = "the lease ends with an earlier login; ask for a new one";
        assert_eq!((failure.kind, failure.what), (Kind::EntryMissing, what));
        assert!(lets_in(postgres, &entry), "it is as good as before");

        // The login is revoked, and the user goes with it.
        vault.revoke_below("auth/dynamic-short-logins").await?;
        let removed = async {
            while lets_in(postgres, &entry) {
                tokio::time::sleep(POLL).await;
            }
        };
        assert!(tokio::time::timeout(DEADLINE, removed).await.is_ok());
        assert_eq!(kind(store.renew(&lease).await), Some(Kind::EntryMissing));
        assert!(lets_in(postgres, &read(&store, asking("creds/reader")).await?));

        // A token of a Secret is the same login after a restart.
        let fields = || json!({"engine": "Dynamic", "path": "dynamic-short"});
        let token = vault.token("dynamic-short", "1h").await?;
        let lease =
            read(&by_token(&vault.url, fields(), &token), asking("creds/reader")).await?.lease.unwrap();
        assert!(by_token(&vault.url, fields(), &token).renew(&lease).await.is_ok());
        Ok(())
    })
}

#[test]
fn a_static_role_says_when_its_password_is_changed() -> Result<()> {
    block_on(async {
        let (vault, postgres) = (vault::shared().await, postgres::shared().await);
        vault.database(postgres, "dynamic-static", "kept", ("10m", "1h")).await?;
        // The allowed name is for a static role.
        vault.delete("dynamic-static/roles/kept").await?;
        postgres.sql("CREATE ROLE kept WITH LOGIN PASSWORD 'first'")?;
        let role = json!({"db_name": "postgres", "username": "kept", "rotation_period": "1h"});
        vault.write("dynamic-static/static-roles/kept", role).await?;
        let fields = json!({"engine": "Dynamic", "path": "dynamic-static"});
        let store = by_token(&vault.url, fields, ROOT_TOKEN);
        let entry = read(&store, asking("static-creds/kept")).await?;
        assert!(lets_in(postgres, &entry));
        let lease = entry.lease.unwrap();
        assert!(
            lease.id.is_empty() && !lease.renewable && (3590..=3601).contains(&lease.seconds),
            "{lease:?}"
        );
        Ok(())
    })
}

#[test]
fn expiry_is_counted_by_the_servers_clock() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        let proxy = Faults::before_http(&vault.url).await?;
        let store = by_token(&proxy.url, json!({"engine": "Dynamic", "path": "pki"}), ROOT_TOKEN);
        // One hour after the day on which that clock stands.
        let body =
            json!({"lease_id": "", "data": {"certificate": "x", "expiration": 1_000_003_600}}).to_string();
        let headers = vec![("date", "Sun, 09 Sep 2001 01:46:40 GMT".to_owned())];
        let _rule = proxy.inject(Fault::Reply(200, headers, body), |call| call.path.ends_with("/issue/web"));
        let lease = read(&store, with_parameters("issue/web", &[("common_name", "a")])).await?.lease;
        assert_eq!(lease, Some(Lease { id: String::new(), seconds: 3600, renewable: false }));
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
