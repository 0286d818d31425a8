//! Each way to log in, what is shown for it, and how long it is kept.

use std::sync::Arc;

use anyhow::Result;
use futures::future::join_all;
use serde_json::json;
use waxwing_core::store::Kind;
use waxwing_providers::Provider;
use waxwing_tests::kept::Kept;
use waxwing_tests::keyvault::{KeyVault, TENANT};
use waxwing_tests::{block_on, control_plane};

use super::{APP, APP_SECRET, as_reader, at, by_secret, connect, logins, reader, refused, value};

#[test]
fn a_client_secret_is_shown_once_for_many_reads() -> Result<()> {
    block_on(async {
        let (vault, provider) = reader("azure-secret").await?;
        vault.put("db", "one").await?;
        // None of these knows yet what the vault will ask for.
        let reads = join_all((0..20).map(|_| value(&provider, "db"))).await;
        assert!(reads.iter().all(|read| read.as_ref().is_ok_and(|(value, _)| value == "one")), "{reads:?}");
        let before = vault.calls().await?.len();
        value(&provider, "db").await.unwrap();
        assert_eq!(vault.calls().await?.len(), before + 1, "what the vault asks for is known now");
        assert_eq!(logins(&vault).await?, 1);
        Ok(())
    })
}

#[test]
fn a_login_that_was_revoked_or_is_over_is_made_again() -> Result<()> {
    block_on(async {
        let (vault, provider) = reader("azure-revoked").await?;
        vault.put("db", "one").await?;
        assert!(value(&provider, "db").await.is_ok());
        vault.revoke_tokens().await?;
        let reads = join_all((0..20).map(|_| value(&provider, "db"))).await;
        assert!(reads.iter().all(Result::is_ok), "{reads:?}");
        assert_eq!(logins(&vault).await?, 2);
        // An hour later by the vault's clock, and not by ours.
        vault.set_clock_off(3700).await?;
        assert!(value(&provider, "db").await.is_ok());
        assert_eq!(logins(&vault).await?, 3);
        Ok(())
    })
}

/// A store's fields for the client certificate.
fn by_certificate() -> serde_json::Value {
    json!({"tenantId": TENANT, "authSecretRef": {"clientId": at("id"), "clientCertificate": at("tls.pem")}})
}

fn with_certificate(vault: &KeyVault, pem: &str) -> Arc<dyn Provider> {
    connect(vault, &vault.url, by_certificate(), Kept::of("azure", [("id", APP), ("tls.pem", pem)]))
}

#[test]
fn a_client_certificate_signs_an_assertion() -> Result<()> {
    block_on(async {
        let vault = KeyVault::start("azure-certificate").await?;
        let key = vault.app_with_certificate(APP).await?;
        vault.put("db", "one").await?;
        let provider = with_certificate(&vault, &format!("{}{}", key.certificate, key.private));
        for _ in 0..3 {
            assert_eq!(value(&provider, "db").await.unwrap().0, "one");
        }
        let calls = vault.calls().await?;
        let login: Vec<_> = calls.iter().filter(|call| call.note.contains_key("way")).collect();
        assert_eq!((login.len(), &login[0].note["way"]), (1, &json!("certificate")));
        let (header, claims) = (&login[0].note["header"], &login[0].note["claims"]);
        assert_eq!((&header["alg"], &header["x5t#S256"]), (&json!("PS256"), &json!(key.thumbprint)));
        assert_eq!(claims["aud"], format!("{}/{TENANT}/oauth2/v2.0/token", vault.url));
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!(APP), &json!(APP)));

        for seconds in [600, -600] {
            vault.set_clock_off(seconds).await?;
            let provider = with_certificate(&vault, &format!("{}{}", key.private, key.certificate));
            assert_eq!(value(&provider, "db").await.unwrap().0, "one", "{seconds}");
        }
        vault.set_clock_off(3600).await?;
        let late =
            refused(&with_certificate(&vault, &format!("{}{}", key.private, key.certificate)), "db").await;
        assert_eq!(late.what, "the assertion is not within its time: compare this clock with the right one");
        Ok(())
    })
}

/// L03. What stands in a Secret that is no certificate is not repeated.
/// Guard: `assertion` says what is wrong in fixed phrases.
#[test]
fn a_secret_that_holds_no_certificate_with_its_key_says_so() -> Result<()> {
    block_on(async {
        let vault = KeyVault::start("azure-bad-certificates").await?;
        let key = vault.app_with_certificate(APP).await?;
        let elliptic = vault.certs.client("other")?;
        for pem in [
            "canary".to_owned(),
            key.certificate.clone(),
            key.private.clone(),
            format!("{}{}", elliptic.cert_pem, elliptic.key_pem),
        ] {
            let failure = refused(&with_certificate(&vault, &pem), "db").await;
            assert_eq!(failure.kind, Kind::CredentialMissing, "{failure}");
            assert_eq!(failure.place.as_deref(), Some("Secret azure, key tls.pem"));
            assert!(!failure.to_string().contains("canary"), "{failure}");
        }
        let other = vault.key().await?;
        let failure =
            refused(&with_certificate(&vault, &format!("{}{}", other.certificate, other.private)), "db")
                .await;
        assert_eq!(failure.kind, Kind::Unauthenticated);
        assert_eq!(failure.what, "the client certificate is not one of the application's");
        Ok(())
    })
}

/// K16. The ServiceAccount's token is for Entra ID alone.
/// Guard: the audience of `origin`.
#[test]
fn the_token_of_a_service_account_is_exchanged_once_for_many_reads() -> Result<()> {
    block_on(async {
        let vault = KeyVault::start("azure-workload").await?;
        let plane = control_plane::main().await;
        plane.create_namespace("azure-workload").await?;
        plane.service_account("azure-workload", "reader").await?;
        plane.service_account("azure-workload", "other").await?;
        vault.app_with_account(APP, plane, ("azure-workload", "reader")).await?;
        vault.put("db", "one").await?;
        let as_account = |account: &str, kept: &Arc<Kept>| {
            let fields = json!({"authType": "WorkloadIdentity", "serviceAccountRef": {"name": account}});
            connect(&vault, &vault.url, fields, kept.clone())
        };
        let annotations =
            [("azure.workload.identity/client-id", APP), ("azure.workload.identity/tenant-id", TENANT)];
        let kept = Kept::accounts(plane, "azure-workload", &annotations);
        let provider = as_account("reader", &kept);
        let reads = join_all((0..20).map(|_| value(&provider, "db"))).await;
        assert!(reads.iter().all(Result::is_ok), "{reads:?}");
        assert_eq!(kept.asked_audiences(), [["api://AzureADTokenExchange"]]);
        assert_eq!(logins(&vault).await?, 1);

        let failure = refused(&as_account("other", &kept), "db").await;
        assert_eq!(failure.kind, Kind::Unauthenticated);
        assert_eq!(failure.what, "no federated credential of the application is for this ServiceAccount");
        let nobody = Kept::accounts(plane, "azure-workload", &annotations[1..]);
        let failure = refused(&as_account("reader", &nobody), "db").await;
        let place = "ServiceAccount reader, annotation azure.workload.identity/client-id";
        assert_eq!((failure.kind, failure.place.as_deref()), (Kind::CredentialMissing, Some(place)));
        let nowhere = Kept::accounts(plane, "azure-workload", &annotations[..1]);
        assert_eq!(refused(&as_account("reader", &nowhere), "db").await.kind, Kind::CredentialMissing);
        let astray = Kept::accounts(plane, "azure-workload", &[annotations[0], (annotations[1].0, "../x")]);
        assert_eq!(refused(&as_account("reader", &astray), "db").await.kind, Kind::CredentialMissing);
        Ok(())
    })
}

#[test]
fn a_refused_login_says_what_is_wrong_with_it() -> Result<()> {
    block_on(async {
        let vault = KeyVault::start("azure-refused").await?;
        vault.app_with_secret(APP, APP_SECRET).await?;
        let check = async |tenant: &str, id: &str, secret: &str, what: &str| {
            let mut fields = by_secret();
            fields["tenantId"] = tenant.into();
            let kept = Kept::of("azure", [("id", id), ("secret", secret)]);
            let provider = connect(&vault, &vault.url, fields, kept);
            for failure in [refused(&provider, "db").await, provider.check().await.unwrap_err()] {
                assert_eq!((failure.kind, failure.what), (Kind::Unauthenticated, what));
                assert!(!failure.to_string().contains("canary"), "{failure}");
            }
        };
        check(TENANT, APP, "canary-wrong", "the client secret is wrong").await;
        check(TENANT, "canary-app", APP_SECRET, "there is no such application in the tenant").await;
        check("canary.example.com", APP, APP_SECRET, "there is no such tenant").await;
        // Many who wait for the same login share how it failed.
        let before = logins(&vault).await?;
        let kept = Kept::of("azure", [("id", APP), ("secret", "canary-wrong")]);
        let provider = connect(&vault, &vault.url, by_secret(), kept);
        let reads = join_all((0..10).map(|_| value(&provider, "db"))).await;
        assert!(reads.iter().all(Result::is_err));
        assert_eq!(logins(&vault).await? - before, 1);
        Ok(())
    })
}

#[test]
fn a_check_takes_no_more_than_a_login() -> Result<()> {
    block_on(async {
        let (vault, provider) = reader("azure-check").await?;
        assert_eq!(provider.check().await, Ok(()), "the entry need not be there");
        vault.may(APP, &[]).await?;
        assert_eq!(provider.check().await, Ok(()), "nor any right");
        let elsewhere = as_reader(&vault, "https://127.0.0.1:1").await?;
        assert_eq!(elsewhere.check().await.map_err(|failure| failure.kind), Err(Kind::Unavailable));
        Ok(())
    })
}
