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
        store: "azure".to_owned(),
        ambient: namespace.is_none(),
        rules: Rules::new(Allow::parse(allow).unwrap()),
    }
}

/// A spec with a client secret, and these fields over it.
fn spec(fields: Value) -> AzureProvider {
    let auth =
        json!({"clientId": {"name": "app", "key": "id"}, "clientSecret": {"name": "app", "key": "secret"}});
    let mut spec =
        json!({"vaultUrl": "https://shop.vault.azure.net", "tenantId": "contoso.com", "authSecretRef": auth});
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
    let at = |key: &str| json!({"name": "app", "key": key});
    assert_eq!(try_connect(json!({}), &place(Some("shop"), &[])), Ok(()));
    check_bad(json!({"authSecretRef": null}), "authSecretRef");
    check_bad(json!({"authSecretRef": {"clientSecret": at("secret")}}), "authSecretRef.clientId");
    check_bad(json!({"authSecretRef": {"clientId": at("id")}}), "authSecretRef");
    let both = json!({"clientId": at("id"), "clientSecret": at("secret"), "clientCertificate": at("pem")});
    check_bad(json!({"authSecretRef": both}), "authSecretRef");
    check_bad(json!({"tenantId": "a/b"}), "tenantId");
    let tenants = json!({"clientId": at("id"), "clientSecret": at("secret"), "tenantId": at("tenant")});
    check_bad(json!({"authSecretRef": tenants}), "tenantId");
    check_bad(json!({"identityId": "x"}), "identityId");
    check_bad(json!({"serviceAccountRef": {"name": "reader"}}), "serviceAccountRef");
    let account = json!({"authType": "WorkloadIdentity", "serviceAccountRef": {"name": "reader"}});
    check_bad(account, "authSecretRef");
}

/// K05. A namespaced store never acts as the operator.
/// Guard: `Place::ambient` in `origin`.
#[test]
fn only_a_store_of_the_cluster_may_use_the_identity_of_the_process() {
    for kind in ["ManagedIdentity", "WorkloadIdentity"] {
        let fields = json!({"authType": kind, "authSecretRef": null});
        let in_namespace = try_connect(fields.clone(), &place(Some("shop"), &[]));
        assert_eq!(in_namespace.map_err(|(kind, _)| kind), Err(Kind::BadStore), "{kind}");
        assert_eq!(try_connect(fields, &place(None, &[])), Ok(()), "{kind}");
    }
}

/// K16. The host that credentials are sent to is held to the rules.
/// Guard: `Place::endpoint` in `authority`.
#[test]
fn an_authority_is_held_to_the_rules() {
    let named = |url: &str| json!({"authorityHost": url});
    let refused = || Err((Kind::EndpointRefused, Some("authorityHost".to_owned())));
    assert_eq!(try_connect(named("https://login.example.com"), &place(Some("shop"), &[])), refused());
    assert_eq!(
        try_connect(named("https://login.example.com"), &place(Some("shop"), &["login.example.com"])),
        Ok(())
    );
    assert_eq!(try_connect(named("http://127.0.0.1:1"), &place(None, &["http://127.0.0.1"])), refused());
    let path = try_connect(named("https://login.example.com/x"), &place(None, &[]));
    assert_eq!(path, Err((Kind::BadStore, Some("authorityHost".to_owned()))));
}

/// K16. The token of a ServiceAccount is for Entra ID alone, never for the API server.
/// Guard: the audience that `origin` gives.
#[test]
fn a_token_is_for_entra_id_alone() {
    let fields = json!({
        "authType": "WorkloadIdentity", "authSecretRef": null, "serviceAccountRef": {"name": "reader"},
        "environmentType": "ChinaCloud", "vaultUrl": "https://shop.vault.azure.cn",
    });
    let spec = spec(fields);
    let origin =
        origin(&spec, Cloud::from(spec.environment_type.unwrap()), &place(Some("shop"), &[])).unwrap();
    let audiences = vec!["api://AzureADTokenExchangeChina".to_owned()];
    assert_eq!(origin, Origin::ServiceAccount { name: "reader".to_owned(), audiences, client: None });
}

#[test]
fn what_is_disabled_is_not_found() {
    let secret = |name: &str, enabled: bool, tags: Value| -> SecretProperties {
        let id = format!("https://shop.vault.azure.net/secrets/{name}");
        serde_json::from_value(json!({"id": id, "attributes": {"enabled": enabled}, "tags": tags})).unwrap()
    };
    let find = |name: Option<&str>, tags: &[(&str, &str)]| Find {
        path: None,
        name: name.map(str::to_owned),
        tags: tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    };
    let check = |secret: &SecretProperties, find: &Find| {
        matching(secret, find, find.name.as_deref().map(|name| Pattern::new(name).unwrap()).as_ref())
            .is_some()
    };
    let db = secret("shop-db", true, json!({"env": "prod"}));
    assert!(check(&db, &find(None, &[])));
    assert!(check(&db, &find(Some("^shop-"), &[("env", "prod")])));
    assert!(!check(&db, &find(Some("^db"), &[])));
    assert!(!check(&db, &find(None, &[("env", "test")])));
    assert!(!check(&secret("shop-db", true, Value::Null), &find(None, &[("env", "prod")])));
    assert!(!check(&secret("shop-db", false, json!({"env": "prod"})), &find(None, &[])));
}
