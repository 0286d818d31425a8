//! The ways into Vault, and how long one lasts.

use std::sync::Arc;

use anyhow::Result;
use futures::future::join_all;
use serde_json::{Value, json};
use waxwing_core::store::Kind;
use waxwing_providers::Provider;
use waxwing_tests::faults::Faults;
use waxwing_tests::slapd::{self, Slapd};
use waxwing_tests::vault::{self, Login, ROOT_TOKEN, Vault};
use waxwing_tests::wait::DEADLINE;
use waxwing_tests::{block_on, control_plane};

use super::{Kept, POLL, asking, connect, key, kind, read, value};

const READ: &str = "path \"secret/data/logins/*\" { capabilities = [\"read\"] }";

/// The policy that the logins get, and an entry that it allows.
async fn prepare(vault: &Vault) -> Result<()> {
    vault.policy("logins", READ).await?;
    vault.put("secret", "logins/db", json!({"a": "b"})).await?;
    Ok(())
}

/// Whether a store with this login can read.
async fn reads(store: &Arc<dyn Provider>) {
    assert_eq!(value(store, "logins/db").await, Ok(json!({"a": "b"})));
    assert_eq!(store.check().await, Ok(()));
}

/// Whether it is refused, by Vault's login and not elsewhere.
async fn is_refused(store: &Arc<dyn Provider>) {
    let failure = value(store, "logins/db").await.unwrap_err();
    assert_eq!(failure.kind, Kind::Unauthenticated, "{failure}");
    assert_eq!(kind(store.check().await), Some(Kind::Unauthenticated));
}

/// A store that logs in as an AppRole, and what stands before its Vault and counts.
async fn counted(vault: &Vault, mount: &str, role: &Login) -> Result<(Faults, Arc<dyn Provider>, Arc<Kept>)> {
    let proxy = Faults::before_http(&vault.url).await?;
    let kept = Kept::of([("secret", &role.secret)]);
    let method = json!({"path": mount, "roleId": role.id, "secretRef": key("secret")});
    let store = connect(&proxy.url, json!({"auth": {"appRole": method}}), &kept);
    Ok((proxy, store, kept))
}

/// How often this was asked.
fn count(proxy: &Faults, path: &str) -> usize {
    proxy.count(|call| call.path.strip_prefix("/v1/") == Some(path))
}

/// Reads until Vault was asked this.
async fn read_until(proxy: &Faults, store: &Arc<dyn Provider>, path: &str, times: usize) {
    let seen = async {
        while count(proxy, path) < times {
            assert_eq!(value(store, "logins/db").await, Ok(json!({"a": "b"})));
            tokio::time::sleep(POLL).await;
        }
    };
    let seen = tokio::time::timeout(DEADLINE, seen).await;
    assert!(seen.is_ok(), "{path} was not asked {times} times");
}

#[test]
fn by_token_app_role_and_password() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        prepare(vault).await?;
        let token = vault.token("logins", "1h").await?;
        let role = vault.approle("logins-approle", "app", "logins", "1h").await?;
        let user = vault.userpass("logins-userpass", "ann", "logins").await?;
        let kept = Kept::of([
            ("token", &format!("{token}\n")),
            ("id", &role.id),
            ("secret", &format!("{}\r\n", role.secret)),
            ("password", &user.secret),
            ("bad", "not-the-credential"),
        ]);
        let approle = |id: Value, secret: &str| {
            let mut method = json!({"path": "logins-approle", "secretRef": key(secret)});
            method.as_object_mut().unwrap().extend(id.as_object().unwrap().clone());
            json!({"auth": {"appRole": method}})
        };
        let password = |name: &str, secret: &str| {
            let method = json!({"path": "logins-userpass", "username": name, "secretRef": key(secret)});
            json!({"auth": {"userPass": method}})
        };
        for good in [
            json!({"auth": {"tokenSecretRef": key("token")}}),
            approle(json!({"roleId": role.id}), "secret"),
            approle(json!({"roleRef": key("id")}), "secret"),
            password("ann", "password"),
        ] {
            reads(&connect(&vault.url, good, &kept)).await;
        }
        for bad in [
            json!({"auth": {"tokenSecretRef": key("bad")}}),
            approle(json!({"roleId": role.id}), "bad"),
            approle(json!({"roleRef": key("bad")}), "secret"),
            password("ann", "bad"),
            password("bob", "password"),
            json!({"auth": {"appRole": {"path": "nowhere", "roleId": role.id, "secretRef": key("secret")}}}),
        ] {
            is_refused(&connect(&vault.url, bad, &kept)).await;
        }
        let missing = connect(&vault.url, approle(json!({"roleId": role.id}), "absent"), &kept);
        let failure = value(&missing, "logins/db").await.unwrap_err();
        assert_eq!(
            (failure.kind, failure.place.as_deref()),
            (Kind::CredentialMissing, Some("vault, key absent"))
        );
        Ok(())
    })
}

#[test]
fn by_a_service_account_through_kubernetes_and_jwt() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        let plane = control_plane::main().await;
        prepare(vault).await?;
        plane.create_namespace("vault-logins").await?;
        for account in ["app", "stranger"] {
            plane.service_account("vault-logins", account).await?;
        }
        let app = ("vault-logins", "app");
        vault.kubernetes(plane, "logins-kubernetes", "app", app, "vault", "logins").await?;
        vault.jwt(plane, "logins-jwt", "app", app, "vault", "logins").await?;
        let kept = Arc::new(Kept { accounts: Some((plane, "vault-logins")), ..Kept::default() });
        kept.put("jwt", &plane.token("vault-logins", "app", &["vault"]).await?);
        kept.put("elsewhere", &plane.token("vault-logins", "app", &["elsewhere"]).await?);

        let account = |name: &str, audiences: &[&str]| json!({"name": name, "audiences": audiences});
        let kubernetes = |role: &str, token: Value| {
            let mut method = json!({"mountPath": "logins-kubernetes", "role": role});
            method.as_object_mut().unwrap().extend(token.as_object().unwrap().clone());
            json!({"auth": {"kubernetes": method}})
        };
        let jwt = |token: Value| {
            let mut method = json!({"path": "logins-jwt", "role": "app"});
            method.as_object_mut().unwrap().extend(token.as_object().unwrap().clone());
            json!({"auth": {"jwt": method}})
        };
        let requested = |name: &str, audiences: &[&str]| json!({"kubernetesServiceAccountToken": {"serviceAccountRef": account(name, audiences)}});
        for good in [
            kubernetes("app", json!({"serviceAccountRef": account("app", &[])})),
            kubernetes("app", json!({"serviceAccountRef": account("app", &["vault", "more"])})),
            kubernetes("app", json!({"secretRef": key("jwt")})),
            jwt(requested("app", &[])),
            jwt(json!({"secretRef": key("jwt")})),
        ] {
            reads(&connect(&vault.url, good, &kept)).await;
        }
        for bad in [
            kubernetes("app", json!({"serviceAccountRef": account("stranger", &[])})),
            kubernetes("app", json!({"serviceAccountRef": account("app", &["elsewhere"])})),
            kubernetes("no-such-role", json!({"serviceAccountRef": account("app", &[])})),
            kubernetes("app", json!({"secretRef": key("elsewhere")})),
            jwt(requested("stranger", &[])),
            jwt(requested("app", &["elsewhere"])),
        ] {
            is_refused(&connect(&vault.url, bad, &kept)).await;
        }
        let absent = kubernetes("app", json!({"serviceAccountRef": account("absent", &[])}));
        let absent = connect(&vault.url, absent, &kept);
        assert_eq!(kind(value(&absent, "logins/db").await), Some(Kind::CredentialMissing));
        Ok(())
    })
}

#[test]
fn by_a_name_of_a_directory() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        prepare(vault).await?;
        let mut directory = Slapd::start("slapd-provider").await?;
        vault.ldap(&directory, "logins-ldap", "logins").await?;
        let kept = Kept::of([("ann", &slapd::password("ann")), ("bad", "not-the-password")]);
        let by = |user: &str, secret: &str| {
            let method = json!({"path": "logins-ldap", "username": user, "secretRef": key(secret)});
            connect(&vault.url, json!({"auth": {"ldap": method}}), &kept)
        };
        reads(&by("ann", "ann")).await;
        for (user, secret) in [("ann", "bad"), ("nobody", "ann")] {
            is_refused(&by(user, secret)).await;
        }
        // A directory that does not answer is no wrong password.
        directory.process.kill();
        let failure = value(&by("ann", "ann"), "logins/db").await.unwrap_err();
        assert_eq!(failure.kind, Kind::Unavailable, "{failure}");
        Ok(())
    })
}

#[test]
fn by_a_certificate() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        prepare(vault).await?;
        let identity = vault.cert("logins-cert", "app", "ann", "logins").await?;
        let stranger = vault.certs.client("bob")?;
        let kept = Kept::of([
            ("ca", &vault.certs.ca_pem),
            ("cert", &identity.cert_pem),
            ("key", &identity.key_pem),
            ("other-cert", &stranger.cert_pem),
            ("other-key", &stranger.key_pem),
        ]);
        let by = |cert: &str, key_name: &str| {
            json!({
                "caProvider": {"type": "Secret", "name": "vault", "key": "ca"},
                "auth": {"cert": {
                    "path": "logins-cert", "vaultRole": "app", "clientCert": key(cert), "secretRef": key(key_name),
                }},
            })
        };
        for url in [&vault.tls_url, &vault.mtls_url] {
            reads(&connect(url, by("cert", "key"), &kept)).await;
        }
        is_refused(&connect(&vault.tls_url, by("other-cert", "other-key"), &kept)).await;
        let mixed = connect(&vault.tls_url, by("cert", "other-key"), &kept);
        assert_eq!(kind(value(&mixed, "logins/db").await), Some(Kind::BadStore));

        // A certificate that is rotated is presented by the next login.
        let store = connect(&vault.tls_url, by("other-cert", "other-key"), &kept);
        is_refused(&store).await;
        kept.put("other-cert", &identity.cert_pem);
        kept.put("other-key", &identity.key_pem);
        reads(&store).await;
        Ok(())
    })
}

#[test]
fn readers_share_one_login() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        prepare(vault).await?;
        let role = vault.approle("logins-shared", "app", "logins", "1h").await?;
        let (proxy, store, _) = counted(vault, "logins-shared", &role).await?;
        let all = join_all((0..20).map(|_| value(&store, "logins/db"))).await;
        assert!(all.iter().all(Result::is_ok), "{all:?}");
        assert_eq!(count(&proxy, "auth/logins-shared/login"), 1);
        assert_eq!(count(&proxy, "secret/data/logins/db"), 20);
        assert_eq!(proxy.calls().len(), 21, "a login and the reads are all there is");
        Ok(())
    })
}

#[test]
fn a_token_that_is_revoked_is_replaced_once_and_a_rotated_credential_is_picked_up() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        prepare(vault).await?;
        let role = vault.approle("logins-revoked", "app", "logins", "1h").await?;
        let (proxy, store, kept) = counted(vault, "logins-revoked", &role).await?;
        reads(&store).await;

        vault.revoke_below("auth/logins-revoked").await?;
        let all = join_all((0..8).map(|_| value(&store, "logins/db"))).await;
        assert!(all.iter().all(Result::is_ok), "{all:?}");
        assert_eq!(count(&proxy, "auth/logins-revoked/login"), 2);

        // What the login was made with is gone as well, and then there is a new one.
        let destroy = json!({"secret_id": role.secret});
        vault.write("auth/logins-revoked/role/app/secret-id/destroy", destroy).await?;
        vault.revoke_below("auth/logins-revoked").await?;
        assert_eq!(kind(value(&store, "logins/db").await), Some(Kind::Unauthenticated));
        let rotated = vault.approle("logins-revoked", "app", "logins", "1h").await?;
        kept.put("secret", &rotated.secret);
        assert_eq!(value(&store, "logins/db").await, Ok(json!({"a": "b"})));
        Ok(())
    })
}

#[test]
fn a_revoked_token_of_a_secret_is_refused_until_there_is_a_new_one() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        prepare(vault).await?;
        let token = vault.token("logins", "1h").await?;
        let kept = Kept::of([("token", &token)]);
        let store = connect(&vault.url, json!({"auth": {"tokenSecretRef": key("token")}}), &kept);
        reads(&store).await;
        vault.revoke(&token).await?;
        is_refused(&store).await;
        kept.put("token", &vault.token("logins", "1h").await?);
        reads(&store).await;
        Ok(())
    })
}

#[test]
fn what_is_forbidden_costs_no_login() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        prepare(vault).await?;
        let role = vault.approle("logins-forbidden", "app", "logins", "1h").await?;
        let (proxy, store, _) = counted(vault, "logins-forbidden", &role).await?;
        for _ in 0..3 {
            let failure = read(&store, asking("elsewhere/db")).await.unwrap_err();
            assert_eq!((failure.kind, failure.code), (Kind::Forbidden, Some(403)));
        }
        assert_eq!(count(&proxy, "auth/logins-forbidden/login"), 1);
        Ok(())
    })
}

#[test]
fn a_token_is_renewed_while_it_is_used_and_outlives_its_time() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        prepare(vault).await?;
        let role = vault.approle("logins-renewed", "app", "logins", "3s").await?;
        let (proxy, store, _) = counted(vault, "logins-renewed", &role).await?;
        // Twice two thirds are more than the whole.
        read_until(&proxy, &store, "auth/token/renew-self", 2).await;
        assert_eq!(count(&proxy, "auth/logins-renewed/login"), 1);

        // Without readers there is somebody who says that the login is needed.
        let renewed = async {
            while count(&proxy, "auth/token/renew-self") < 4 {
                let again = store.keep_alive().await.unwrap();
                assert!((1..=3).contains(&again), "{again}");
                tokio::time::sleep(POLL).await;
            }
        };
        assert!(tokio::time::timeout(DEADLINE, renewed).await.is_ok());
        assert_eq!(count(&proxy, "auth/logins-renewed/login"), 1);
        Ok(())
    })
}

#[test]
fn a_token_that_cannot_be_renewed_is_replaced() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        prepare(vault).await?;
        for (mount, settings) in [
            ("logins-batch", json!({"token_policies": ["logins"], "token_ttl": "3s", "token_type": "batch"})),
            // It can be renewed once, to its greatest age.
            ("logins-aged", json!({"token_policies": ["logins"], "token_ttl": "3s", "token_max_ttl": "4s"})),
        ] {
            let role = vault.approle(mount, "app", "logins", "1h").await?;
            vault.write(&format!("auth/{mount}/role/app"), settings).await?;
            let (proxy, store, _) = counted(vault, mount, &role).await?;
            read_until(&proxy, &store, &format!("auth/{mount}/login"), 3).await;
        }
        Ok(())
    })
}

#[test]
fn a_token_without_an_end_is_left_alone() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        prepare(vault).await?;
        let kept = Kept::of([("token", ROOT_TOKEN)]);
        let store = connect(&vault.url, json!({"auth": {"tokenSecretRef": key("token")}}), &kept);
        reads(&store).await;
        assert_eq!(store.keep_alive().await, None);
        Ok(())
    })
}
