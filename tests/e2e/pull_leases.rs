//! What an engine makes for one object and for a time: it is prolonged, revoked with the object, and never left to end
//! under a Secret, also not by a restart.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Secret;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use waxwing_crds::{ExternalSecret, LeaseStatus};
use waxwing_tests::postgres::{self, Postgres};
use waxwing_tests::scene::{self, Scene};
use waxwing_tests::vault::{self, Vault};
use waxwing_tests::wait::{self, DEADLINE};

/// Between two looks at what cannot be watched.
const POLL: Duration = Duration::from_millis(50);

/// Long enough for a lease of some seconds to be prolonged twice.
const TWICE: Duration = Duration::from_secs(90);

/// A database engine named like the namespace, whose users live that long, and a policy of the same name.
async fn engine(scene: &Scene, vault: &Vault, ttl: &str) -> Result<()> {
    let mount = &scene.namespace;
    vault.database(postgres::shared().await, mount, "reader", (ttl, "1h")).await?;
    let rules = format!(
        "path \"{mount}/*\" {{ capabilities = [\"read\"] }}
         path \"sys/leases/revoke\" {{ capabilities = [\"update\"] }}"
    );
    vault.policy(mount, &rules).await
}

/// A store for that engine.
async fn store(scene: &Scene, vault: &Vault, name: &str, auth: Value) -> Result<()> {
    let spec = json!({"provider": {"vault": {
        "server": vault.url, "path": scene.namespace, "engine": "Dynamic", "auth": auth,
    }}});
    Ok(scene.put("SecretStore", name, spec).await?)
}

/// One that logs in with a token, which stays the same login in every process.
async fn by_token(scene: &Scene, vault: &Vault) -> Result<()> {
    let token = vault.token(&scene.namespace, "1h").await?;
    scene.put_secret("token", &[("token", &token)]).await?;
    store(scene, vault, "token", json!({"tokenSecretRef": {"name": "token", "key": "token"}})).await
}

/// One whose login is its process's own.
async fn by_approle(scene: &Scene, vault: &Vault) -> Result<()> {
    let mount = format!("{}-logins", scene.namespace);
    let login = vault.approle(&mount, "app", &scene.namespace, "1h").await?;
    scene.put_secret("approle", &[("id", &login.secret)]).await?;
    let method = json!({"path": mount, "roleId": login.id, "secretRef": {"name": "approle", "key": "id"}});
    store(scene, vault, "approle", json!({"appRole": method})).await
}

/// An ExternalSecret with name and password of a user of the database, which nobody refreshes but for the lease.
async fn user_of(scene: &Scene, name: &str, store: &str) -> Result<Secret> {
    let spec = json!({
        "secretStoreRef": {"name": store},
        "refreshInterval": "24h",
        "dataFrom": [{"extract": {"key": "creds/reader"}}],
    });
    scene.put("ExternalSecret", name, spec).await?;
    scene.pulled(name).await
}

fn username(secret: &Secret) -> String {
    String::from_utf8_lossy(wait::value_of(secret, "username")).into_owned()
}

fn lets_in(postgres: &Postgres, secret: &Secret) -> bool {
    let password = String::from_utf8_lossy(wait::value_of(secret, "password")).into_owned();
    postgres.lets_in(&username(secret), &password)
}

/// What Vault calls a lease: in the status, the login that it hangs on follows.
fn of_vault(lease: &LeaseStatus) -> &str {
    lease.id.split_once('@').map_or(&lease.id, |(id, _)| id)
}

fn lease(object: &ExternalSecret) -> Option<&LeaseStatus> {
    object.status.as_ref()?.entries.first()?.lease.as_ref()
}

/// The lease that the status names.
async fn leased(scene: &Scene, name: &str) -> Result<LeaseStatus> {
    let object = scene.external().get(name).await?;
    lease(&object).cloned().context("the status names the lease")
}

/// Waits until the status names a lease that is as wanted.
async fn until_lease(scene: &Scene, name: &str, what: &str, wanted: impl Fn(&LeaseStatus) -> bool) {
    wait::within(TWICE, &scene.external(), name, what, |object: Option<&ExternalSecret>| {
        object.and_then(lease).is_some_and(&wanted)
    })
    .await;
}

/// Waits until nothing is leased there.
async fn until_none_leased(vault: &Vault, path: &str) -> Result<()> {
    let ended = async {
        while !vault.leases(path).await?.is_empty() {
            tokio::time::sleep(POLL).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(DEADLINE, ended).await.context("the leases did not end")?
}

/// Guard: `due::of_leases`, and `Cause::Lease`, which prolongs and asks for no new user.
#[test]
fn a_lease_is_prolonged_for_as_long_as_its_object_is_there() {
    scene::shared(async |scene| -> Result<()> {
        let (vault, postgres) = (vault::shared().await, postgres::shared().await);
        engine(scene, vault, "15s").await?;
        by_token(scene, vault).await?;
        let secret = user_of(scene, "db", "token").await?;
        assert!(lets_in(postgres, &secret));
        let first = leased(scene, "db").await?;
        let (end, time) = (first.expires_at.0.as_second(), 15);
        // When it is to end so late, it has been prolonged after the end that it was given first.
        until_lease(scene, "db", "prolonged twice", |lease| lease.expires_at.0.as_second() > end + time)
            .await;
        assert!(lets_in(postgres, &secret));
        assert_eq!(leased(scene, "db").await?.id, first.id);
        assert_eq!(username(&scene.secrets().get("db").await?), username(&secret));
        assert_eq!(vault.leases(&format!("{}/creds/reader", scene.namespace)).await?, [of_vault(&first)]);
        Ok(())
    });
}

/// Guard: `forget_external` hands over the leases, and `end_leases` revokes them: of itself this one ends in an hour.
#[test]
fn a_lease_is_revoked_when_its_object_is_deleted_and_no_other_is() {
    scene::shared(async |scene| -> Result<()> {
        let (vault, postgres) = (vault::shared().await, postgres::shared().await);
        engine(scene, vault, "1h").await?;
        by_approle(scene, vault).await?;
        let (gone, stays) =
            (user_of(scene, "gone", "approle").await?, user_of(scene, "stays", "approle").await?);
        assert_ne!(username(&gone), username(&stays), "each object has a user of its own");
        let path = format!("{}/creds/reader", scene.namespace);
        assert_eq!(vault.leases(&path).await?.len(), 2);
        scene.external().delete("gone", &DeleteParams::default()).await?;
        let removed = async {
            while vault.leases(&path).await?.len() == 2 {
                tokio::time::sleep(POLL).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(DEADLINE, removed).await.context("the lease was not revoked")??;
        assert_eq!(vault.leases(&path).await?, [of_vault(&leased(scene, "stays").await?)]);
        assert!(!lets_in(postgres, &gone) && lets_in(postgres, &stays));
        scene.external().delete("stays", &DeleteParams::default()).await?;
        until_none_leased(vault, &path).await
    });
}

/// Guard: `due::of` reads the end of a lease off the status, and a renewal that another login refuses is a new reading.
#[test]
fn after_a_restart_a_lease_is_prolonged_or_its_values_are_made_anew_before_it_ends() {
    let values = ["stores.allowEndpoints={http://127.0.0.1}"];
    scene::alone(&values, async |scene, release| -> Result<()> {
        let mut operator = scene.operator(release, "a").await?;
        let (vault, postgres) = (vault::shared().await, postgres::shared().await);
        engine(scene, vault, "45s").await?;
        by_token(scene, vault).await?;
        by_approle(scene, vault).await?;
        let (kept, anew) = (user_of(scene, "kept", "token").await?, user_of(scene, "anew", "approle").await?);
        let (of_kept, of_anew) = (leased(scene, "kept").await?, leased(scene, "anew").await?);
        assert!(operator.terminate().await?.success());
        assert!(lets_in(postgres, &kept) && lets_in(postgres, &anew), "to end is not to revoke");
        operator.start_again()?;
        operator.until_ready().await?;

        // The lease of a process that is gone hangs on a login that nobody has any more.
        let changed = |secret: Option<&Secret>| secret.is_some_and(|now| username(now) != username(&anew));
        let next = wait::within(TWICE, &scene.secrets(), "anew", "made anew", changed).await;
        assert!(
            lets_in(postgres, &anew),
            "the old user is good until the Secret has the new one, and longer"
        );
        assert!(lets_in(postgres, &next.context("it is there")?));
        until_lease(scene, "anew", "named", |lease| lease.id != of_anew.id).await;

        // That of a token is the same one as before.
        let end = of_kept.expires_at.0.as_second();
        until_lease(scene, "kept", "prolonged", |lease| lease.expires_at.0.as_second() > end).await;
        assert_eq!(leased(scene, "kept").await?.id, of_kept.id);
        assert_eq!(username(&scene.secrets().get("kept").await?), username(&kept));
        assert!(lets_in(postgres, &kept));
        Ok(())
    });
}
