//! Each way to log in, what is shown for it, and how long it is kept.

use std::sync::Arc;

use anyhow::Result;
use futures::future::join_all;
use serde_json::{Value, json};
use waxwing_core::store::Kind;
use waxwing_providers::Provider;
use waxwing_tests::certs::Certs;
use waxwing_tests::control_plane::{self, ControlPlane};
use waxwing_tests::gsm::{ACCESSOR, Gsm, WORKLOAD_IDENTITY_USER};
use waxwing_tests::kept::Kept;
use waxwing_tests::{block_on, process};

use super::{PARENT, PROJECT, READER, as_reader, asking, by_key, connect, reader, refused, value};

/// The audience of tokens of the cluster's ServiceAccounts, and what the token service calls the cluster.
const CLUSTER_AUDIENCE: &str = "shop-prod.svc.id.goog";
const CLUSTER: &str = "identitynamespace:shop-prod.svc.id.goog:https://container.googleapis.com/v1/projects/shop-prod\
                       /locations/europe-west3/clusters/shop";
/// What a pool makes of a ServiceAccount's name.
const PREFIX: &str = "principal:";

/// K16. The key signs a token that is good for Secret Manager alone, and no URL of its file is used.
/// Guard: `aud` in `claims`; nothing in the provider reads `token_uri`.
#[test]
fn a_key_signs_one_login_for_many_reads() -> Result<()> {
    block_on(async {
        let (gsm, provider) = reader("gcp-key").await?;
        gsm.put(PARENT, "db", b"one").await?;
        let reads = join_all((0..20).map(|_| value(&provider, "db"))).await;
        assert!(reads.iter().all(|read| read.as_ref().is_ok_and(|(value, _)| value == "one")));
        value(&provider, "db").await.unwrap();

        let calls = gsm.calls().await?;
        assert_eq!(calls.len(), 21);
        let claims: Vec<&Value> = calls.iter().map(|call| &call.note["claims"]).collect();
        assert!(claims.iter().all(|other| *other == claims[0]), "one token served all: {claims:?}");
        assert_eq!(claims[0]["aud"], "https://secretmanager.googleapis.com/");
        assert_eq!((&claims[0]["iss"], &claims[0]["sub"]), (&json!(READER), &json!(READER)));
        assert_eq!(claims[0].get("scope"), None);
        assert!(calls.iter().all(|call| call.path.ends_with(":access")), "no token service was asked");
        Ok(())
    })
}

#[test]
fn a_key_signs_with_a_clock_that_is_ten_minutes_off() -> Result<()> {
    block_on(async {
        let (gsm, provider) = reader("gcp-clock").await?;
        gsm.put(PARENT, "db", b"one").await?;
        for seconds in [600, -600] {
            gsm.set_clock_off(seconds).await?;
            assert_eq!(value(&provider, "db").await.unwrap().0, "one", "{seconds}");
            let fresh = as_reader(&gsm, &gsm.url, json!({})).await?;
            assert_eq!(value(&fresh, "db").await.unwrap().0, "one", "{seconds}");
        }
        gsm.set_clock_off(7200).await?;
        assert_eq!(refused(&provider, "db").await.kind, Kind::Unauthenticated);
        gsm.set_clock_off(0).await?;
        assert_eq!(value(&provider, "db").await.unwrap().0, "one", "it comes back by itself");
        Ok(())
    })
}

/// L03. What stands in a Secret that is no key is not repeated.
/// Guard: `Login::sign` says what is wrong in fixed phrases.
#[test]
fn a_secret_that_holds_no_key_of_an_account_says_so() -> Result<()> {
    block_on(async {
        let gsm = Gsm::start("gcp-bad-keys").await?;
        let key = gsm.service_account_key(READER, PROJECT).await?;
        let with = |field: &str, value: &str| {
            let mut key = key.clone();
            key[field] = value.into();
            key.to_string()
        };
        let elliptic = std::fs::read_to_string(Certs::make(&process::folder("gcp-elliptic"))?.sa_key)?;
        for bad in [
            "canary".to_owned(),
            r#"{"type":"canary"}"#.to_owned(),
            with("type", "external_account_canary"),
            with("private_key", "canary"),
            with("private_key", &elliptic),
            with("universe_domain", "canary.example.com"),
        ] {
            let provider =
                connect(&gsm.url, json!({"auth": by_key()}), Kept::of("gcp", [("key.json", &bad)]));
            let failure = refused(&provider, "db").await;
            assert_eq!(failure.kind, Kind::CredentialMissing, "{failure}");
            assert_eq!(failure.place.as_deref(), Some("Secret gcp, key key.json"));
            assert!(!failure.to_string().contains("canary"), "{failure}");
        }
        let provider = connect(&gsm.url, json!({"auth": by_key()}), Kept::of("gcp", []));
        assert_eq!(refused(&provider, "db").await.kind, Kind::CredentialMissing);
        assert_eq!(gsm.calls().await?.len(), 0);
        Ok(())
    })
}

#[test]
fn a_key_that_was_deleted_is_not_accepted() -> Result<()> {
    block_on(async {
        let (gsm, provider) = reader("gcp-deleted-key").await?;
        gsm.put(PARENT, "db", b"one").await?;
        assert!(value(&provider, "db").await.is_ok());
        gsm.delete_keys(READER).await?;
        let failure = refused(&provider, "db").await;
        assert_eq!((failure.kind, failure.code), (Kind::Unauthenticated, Some(401)));
        assert_eq!(gsm.calls().await?.len(), 3, "one new login was tried");
        Ok(())
    })
}

/// A stub that trusts a cluster's ServiceAccounts, and the ServiceAccount `reader` of a namespace of its own.
async fn trusting(name: &'static str) -> Result<(Gsm, &'static ControlPlane)> {
    let gsm = Gsm::start(name).await?;
    let plane = control_plane::main().await;
    plane.create_namespace(name).await?;
    plane.service_account(name, "reader").await?;
    gsm.pool(CLUSTER, plane, CLUSTER_AUDIENCE, PREFIX).await?;
    gsm.put(PARENT, "db", b"one").await?;
    Ok((gsm, plane))
}

/// The provider of a store that logs in as this ServiceAccount of the cluster.
fn in_cluster(gsm: &Gsm, kept: Arc<Kept>) -> Arc<dyn Provider> {
    let cluster = json!({
        "serviceAccountRef": {"name": "reader"}, "clusterLocation": "europe-west3", "clusterName": "shop",
    });
    connect(&gsm.url, json!({"auth": {"workloadIdentity": cluster}, "stsEndpoint": gsm.url}), kept)
}

fn principal(namespace: &str) -> String {
    format!("{PREFIX}system:serviceaccount:{namespace}:reader")
}

/// K16. The ServiceAccount's token is for the pool alone.
/// Guard: the audiences of `of_cluster`.
#[test]
fn the_token_of_a_service_account_is_exchanged_once_for_many_reads() -> Result<()> {
    block_on(async {
        let (gsm, plane) = trusting("gcp-workload").await?;
        gsm.grant(&principal("gcp-workload"), ACCESSOR, PROJECT).await?;
        let kept = Kept::accounts(plane, "gcp-workload", &[]);
        let provider = in_cluster(&gsm, kept.clone());
        let reads = join_all((0..20).map(|_| value(&provider, "db"))).await;
        assert!(reads.iter().all(Result::is_ok), "{reads:?}");
        assert_eq!(kept.asked_audiences(), [[CLUSTER_AUDIENCE]]);
        let calls = gsm.calls().await?;
        let exchanges: Vec<_> = calls.iter().filter(|call| call.path == "/v1/token").collect();
        assert_eq!((exchanges.len(), calls.len()), (1, 21));
        assert_eq!(exchanges[0].note["claims"]["aud"], json!([CLUSTER_AUDIENCE]));
        assert_eq!(exchanges[0].note["form"]["audience"], CLUSTER);
        Ok(())
    })
}

#[test]
fn an_annotated_service_account_acts_as_its_google_service_account() -> Result<()> {
    block_on(async {
        let (gsm, plane) = trusting("gcp-acting").await?;
        gsm.grant(READER, ACCESSOR, PROJECT).await?;
        let annotation = [("iam.gke.io/gcp-service-account", READER)];
        let provider = in_cluster(&gsm, Kept::accounts(plane, "gcp-acting", &annotation));
        let failure = refused(&provider, "db").await;
        assert_eq!((failure.kind, failure.code), (Kind::Unauthenticated, Some(403)));
        assert_eq!(failure.place.as_deref(), Some(READER));
        gsm.grant(&principal("gcp-acting"), WORKLOAD_IDENTITY_USER, READER).await?;
        assert_eq!(value(&provider, "db").await.unwrap().0, "one");
        let reads = gsm.calls().await?;
        let reads: Vec<_> = reads.iter().filter(|call| call.path.ends_with(":access")).collect();
        assert_eq!((reads.len(), &reads[0].note["principal"]), (1, &json!(READER)));
        let bad = [("iam.gke.io/gcp-service-account", "a/../b@c")];
        let provider = in_cluster(&gsm, Kept::accounts(plane, "gcp-acting", &bad));
        assert_eq!(refused(&provider, "db").await.kind, Kind::CredentialMissing);
        Ok(())
    })
}

#[test]
fn any_cluster_that_a_pool_trusts_logs_in() -> Result<()> {
    block_on(async {
        let (gsm, plane) = trusting("gcp-federated").await?;
        let pool =
            "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/shop/providers/k8s";
        gsm.pool(pool, plane, &format!("https:{pool}"), PREFIX).await?;
        gsm.grant(READER, ACCESSOR, PROJECT).await?;
        gsm.grant(&principal("gcp-federated"), WORKLOAD_IDENTITY_USER, READER).await?;
        let federated = |audience: &str| {
            let federation = json!({
                "audience": audience, "serviceAccountRef": {"name": "reader"}, "gcpServiceAccountEmail": READER,
            });
            let fields = json!({"auth": {"workloadIdentityFederation": federation}, "stsEndpoint": gsm.url});
            connect(&gsm.url, fields, Kept::accounts(plane, "gcp-federated", &[]))
        };
        assert_eq!(value(&federated(pool), "db").await.unwrap().0, "one");
        let unknown = refused(&federated(&format!("{pool}x")), "db").await;
        assert_eq!(unknown.kind, Kind::Unauthenticated);
        assert_eq!(unknown.what, "there is no such workload identity pool or provider");
        Ok(())
    })
}

#[test]
fn a_login_that_was_revoked_or_is_over_is_made_again() -> Result<()> {
    block_on(async {
        let (gsm, plane) = trusting("gcp-revoked").await?;
        gsm.grant(&principal("gcp-revoked"), ACCESSOR, PROJECT).await?;
        let provider = in_cluster(&gsm, Kept::accounts(plane, "gcp-revoked", &[]));
        assert!(value(&provider, "db").await.is_ok());
        gsm.revoke_tokens().await?;
        assert!(value(&provider, "db").await.is_ok());
        // An hour later by the service's clock, and not by ours.
        gsm.set_clock_off(3700).await?;
        assert!(value(&provider, "db").await.is_ok());
        let exchanges = gsm.calls().await?.iter().filter(|call| call.path == "/v1/token").count();
        assert_eq!(exchanges, 3);
        Ok(())
    })
}

#[test]
fn a_check_takes_no_more_than_a_login() -> Result<()> {
    block_on(async {
        let gsm = Gsm::start("gcp-check").await?;
        let key = gsm.service_account_key(READER, PROJECT).await?.to_string();
        let fields = json!({"auth": by_key()});
        let provider = connect(&gsm.url, fields.clone(), Kept::of("gcp", [("key.json", &key)]));
        assert_eq!(provider.check().await, Ok(()), "the account need not have any role yet");
        gsm.grant(READER, ACCESSOR, PROJECT).await?;
        assert_eq!(provider.check().await, Ok(()));
        gsm.delete_keys(READER).await?;
        assert_eq!(provider.check().await.map_err(|failure| failure.kind), Err(Kind::Unauthenticated));
        let mut gone = fields;
        gone["projectID"] = json!("gone-project");
        let key = gsm.service_account_key(READER, PROJECT).await?.to_string();
        let provider = connect(&gsm.url, gone, Kept::of("gcp", [("key.json", &key)]));
        let failure = provider.check().await.unwrap_err();
        assert_eq!((failure.kind, failure.what), (Kind::MountMissing, "there is no such project"));
        assert_eq!(provider.read(&[asking("db")]).await.remove(0).unwrap_err().kind, Kind::MountMissing);
        Ok(())
    })
}
