use std::collections::BTreeMap;

use serde_json::{Value, json};
use waxwing_core::store::endpoint::Allow;

use super::*;
use crate::{Rules, Token};

/// Nothing is read before a provider is used.
struct Nothing;

#[async_trait]
impl References for Nothing {
    async fn secret(&self, _: &str, _: &str) -> Result<Secret, Failure> {
        unreachable!()
    }

    async fn config_map(&self, _: &str, _: &str) -> Result<String, Failure> {
        unreachable!()
    }

    async fn token(&self, _: &str, _: &[String], _: u32) -> Result<Token, Failure> {
        unreachable!()
    }

    async fn service_account(&self, _: &str) -> Result<BTreeMap<String, String>, Failure> {
        unreachable!()
    }
}

fn place(namespace: Option<&str>, allow: &[&str]) -> Place {
    Place {
        namespace: namespace.map(str::to_owned),
        store: "gcp".to_owned(),
        ambient: namespace.is_none(),
        rules: Rules::new(Allow::parse(allow).unwrap()),
    }
}

/// A spec with a key, and these fields over it.
fn spec(fields: Value) -> GcpProvider {
    let auth = json!({"secretRef": {"secretAccessKeySecretRef": {"name": "key", "key": "key.json"}}});
    let mut spec = json!({"projectID": "shop-prod", "auth": auth});
    for (name, value) in fields.as_object().unwrap() {
        spec[name] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

fn try_connect(fields: Value, place: &Place) -> Result<(), (Kind, Option<String>)> {
    connect(&spec(fields), place, Arc::new(Nothing))
        .map(drop)
        .map_err(|failure| (failure.kind, failure.place))
}

fn check_bad(fields: Value, place_of_failure: &str) {
    let result = try_connect(fields.clone(), &place(Some("shop"), &[]));
    assert_eq!(result, Err((Kind::BadStore, Some(place_of_failure.to_owned()))), "{fields}");
}

#[test]
fn what_makes_no_sense_is_named_by_its_field() {
    check_bad(json!({"projectID": null}), "projectID");
    check_bad(json!({"projectID": "a/b"}), "projectID");
    check_bad(json!({"location": "a.b"}), "location");
    check_bad(json!({"stsEndpoint": "https://sts.shop.svc"}), "stsEndpoint");
    let key = json!({"secretAccessKeySecretRef": {"name": "key", "key": "key.json"}});
    let account = json!({"name": "reader"});
    let cluster =
        json!({"serviceAccountRef": account, "clusterLocation": "europe-west3", "clusterName": "shop"});
    check_bad(json!({"auth": {"secretRef": key, "workloadIdentity": cluster}}), "auth");
    let check_cluster = |field: &str, value: Value, place: &str| {
        let mut cluster = cluster.clone();
        cluster[field] = value;
        check_bad(json!({"auth": {"workloadIdentity": cluster}}), &format!("auth.workloadIdentity.{place}"));
    };
    check_cluster("clusterLocation", Value::Null, "clusterLocation");
    check_cluster("clusterName", json!("a/b"), "clusterName");
    check_cluster("clusterProjectID", json!("a/b"), "clusterProjectID");
    let for_more = json!({"name": "reader", "audiences": ["https://kubernetes.default.svc"]});
    check_cluster("serviceAccountRef", for_more, "serviceAccountRef.audiences");
    let pool = |audience: &str, email: &str| {
        json!({"auth": {"workloadIdentityFederation": {
            "audience": audience, "serviceAccountRef": account, "gcpServiceAccountEmail": email,
        }}})
    };
    check_bad(pool("https://evil.example.com", "a@b"), "auth.workloadIdentityFederation.audience");
    check_bad(
        pool("//iam.googleapis.com/x", "a/b@c"),
        "auth.workloadIdentityFederation.gcpServiceAccountEmail",
    );
}

/// K05. A namespaced store never acts as the operator.
/// Guard: `Place::ambient` in `origin`.
#[test]
fn only_a_store_of_the_cluster_may_use_the_identity_of_the_process() {
    check_ambient(Some("shop"), Err(Kind::BadStore));
    check_ambient(None, Ok(()));
}

fn check_ambient(namespace: Option<&str>, expected: Result<(), Kind>) {
    let result = try_connect(json!({"auth": null}), &place(namespace, &[]));
    assert_eq!(result.map_err(|(kind, _)| kind), expected);
}

/// K16. The hosts that a store names are held to the rules.
/// Guard: `Place::endpoint` in `host`.
#[test]
fn an_endpoint_is_held_to_the_rules() {
    let refused = |field: &str| Err((Kind::EndpointRefused, Some(field.to_owned())));
    let named = json!({"endpoint": "https://gsm.example.com"});
    assert_eq!(try_connect(named.clone(), &place(Some("shop"), &[])), refused("endpoint"));
    assert_eq!(try_connect(named, &place(Some("shop"), &["gsm.example.com"])), Ok(()));
    let metadata = json!({"endpoint": "http://169.254.169.254"});
    assert_eq!(try_connect(metadata, &place(None, &["http://169.254.169.254"])), refused("endpoint"));
    let federated = json!({
        "auth": {"workloadIdentity": {
            "serviceAccountRef": {"name": "reader"}, "clusterLocation": "europe-west3", "clusterName": "shop",
        }},
        "stsEndpoint": "https://sts.example.com",
    });
    assert_eq!(try_connect(federated.clone(), &place(Some("shop"), &[])), refused("stsEndpoint"));
    assert_eq!(try_connect(federated, &place(Some("shop"), &["sts.example.com"])), Ok(()));
}

/// K16. The token of a ServiceAccount is for the pool alone, never for the API server.
/// Guard: the audiences that `of_cluster` and `of_pool` give.
#[test]
fn a_token_is_for_the_pool_alone() {
    let cluster = GcpWorkloadIdentity {
        cluster_location: Some("europe-west3".to_owned()),
        cluster_name: Some("shop".to_owned()),
        cluster_project_id: Some("shop-clusters".to_owned()),
        ..GcpWorkloadIdentity::default()
    };
    let (_, audiences, pool) = of_cluster(cluster, &spec(json!({}))).unwrap();
    assert_eq!(audiences, ["shop-clusters.svc.id.goog"]);
    let expected = "identitynamespace:shop-clusters.svc.id.goog:https://container.googleapis.com/v1/projects/shop-clusters\
                    /locations/europe-west3/clusters/shop";
    assert_eq!(pool, expected);
    let pool = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k";
    let (_, audiences, name, _) =
        of_pool(GcpFederation { audience: pool.to_owned(), ..GcpFederation::default() }).unwrap();
    assert_eq!((audiences, name), (vec![format!("https:{pool}")], pool.to_owned()));
}

/// Guard: the comparison in `checked`.
#[test]
fn a_value_with_a_wrong_checksum_is_not_taken() {
    let payload = |sum: Option<i64>| {
        checked(SecretPayload::new().set_data("123456789").set_or_clear_data_crc32c(sum))
            .map(|value| value.expose().to_vec())
            .map_err(|failure| failure.kind)
    };
    assert_eq!(payload(Some(0xe306_9283)), Ok(b"123456789".to_vec()));
    assert_eq!(payload(Some(0xe306_9284)), Err(Kind::BadData));
    assert_eq!(payload(None), Ok(b"123456789".to_vec()));
}
