use serde_json::{Value, json};
use waxwing_core::store::endpoint::Allow;

use super::*;
use crate::net::Rules;

fn place() -> Place {
    Place {
        namespace: Some("team".to_owned()),
        store: "vault".to_owned(),
        ambient: false,
        rules: Rules::new(Allow::default()),
    }
}

/// A spec with these fields beside the server and a login.
fn read(fields: Value) -> Result<Settings, Failure> {
    let mut spec = json!({
        "server": "https://vault.team.svc:8200",
        "auth": {"tokenSecretRef": {"name": "vault", "key": "token"}},
    });
    spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    Settings::read(&serde_json::from_value(spec).unwrap(), &place())
}

fn auth(fields: Value) -> Result<Auth, Failure> {
    read(json!({"auth": fields})).map(|settings| settings.auth)
}

fn secret(name: &str, key: &str) -> Source {
    Source::Secret(SecretKey { name: name.to_owned(), key: key.to_owned() })
}

fn text(text: &str) -> Source {
    Source::Text(text.to_owned())
}

fn written(path: &str, fields: Vec<(&'static str, Source)>) -> Result<Auth, Failure> {
    Ok(Auth::Login { path: path.to_owned(), fields, identity: None })
}

#[test]
fn a_store_reads_version_2_unless_it_says_otherwise() {
    let settings = read(json!({})).unwrap();
    assert_eq!((settings.engine, settings.mount), (Engine::Kv2, None));
    assert_eq!(settings.server.as_str(), "https://vault.team.svc:8200/");
    assert_eq!(read(json!({"version": "v1"})).unwrap().engine, Engine::Kv1);
    assert_eq!(read(json!({"path": "/team/kv/"})).unwrap().mount.as_deref(), Some("team/kv"));
    assert_eq!(read(json!({"engine": "Dynamic", "path": "database"})).unwrap().engine, Engine::Dynamic);
}

#[test]
fn each_method_is_a_write_to_its_path() {
    let by_secret = json!({"name": "s", "key": "k"});
    assert_eq!(
        auth(json!({"appRole": {"path": "apps", "roleId": "id", "secretRef": by_secret}})),
        written("auth/apps/login", vec![("role_id", text("id")), ("secret_id", secret("s", "k"))])
    );
    assert_eq!(
        auth(json!({"appRole": {"roleRef": {"name": "r", "key": "i"}, "secretRef": by_secret}})),
        written("auth/approle/login", vec![("role_id", secret("r", "i")), ("secret_id", secret("s", "k"))])
    );
    assert_eq!(
        auth(json!({"kubernetes": {"role": "app", "mountPath": "auth/k8s", "secretRef": by_secret}})),
        written("auth/k8s/login", vec![("role", text("app")), ("jwt", secret("s", "k"))])
    );
    assert_eq!(
        auth(json!({"jwt": {"secretRef": by_secret}})),
        written("auth/jwt/login", vec![("jwt", secret("s", "k"))])
    );
    for (method, path) in [("userPass", "auth/userpass/login/ann"), ("ldap", "auth/ldap/login/ann")] {
        assert_eq!(
            auth(json!({method: {"username": "ann", "secretRef": by_secret}})),
            written(path, vec![("password", secret("s", "k"))])
        );
    }
    let by_cert =
        auth(json!({"cert": {"vaultRole": "app", "clientCert": by_secret, "secretRef": by_secret}}));
    let Auth::Login { path, fields, identity } = by_cert.unwrap() else { panic!("it is a login") };
    assert_eq!((path.as_str(), fields), ("auth/cert/login", vec![("name", text("app"))]));
    assert!(identity.is_some());
}

/// K16: a ServiceAccount's token is for Vault, or for whom the store says, and for nobody else.
/// Guard: the default in `token`.
#[test]
fn a_service_accounts_token_is_for_vault() {
    let audiences = |auth: Result<Auth, Failure>| {
        let Ok(Auth::Login { fields, .. }) = auth else { panic!("it is a login") };
        let token = fields.into_iter().find_map(|(_, source)| match source {
            Source::Token { audiences, seconds, .. } => Some((audiences, seconds)),
            _ => None,
        });
        token.unwrap()
    };
    let account = |audiences: Value| json!({"name": "app", "audiences": audiences});
    let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let kubernetes = |given| json!({"kubernetes": {"role": "app", "serviceAccountRef": account(given)}});
    assert_eq!(audiences(auth(kubernetes(json!([])))), (of(&["vault"]), 600));
    assert_eq!(audiences(auth(kubernetes(json!(["a", "b"])))), (of(&["a", "b"]), 600));
    let jwt = |seconds: u32| {
        let token = json!({
            "serviceAccountRef": account(json!(["a"])), "audiences": ["a", "c"], "expirationSeconds": seconds,
        });
        json!({"jwt": {"role": "app", "kubernetesServiceAccountToken": token}})
    };
    assert_eq!(audiences(auth(jwt(900))), (of(&["a", "c"]), 900));
    assert_eq!(audiences(auth(jwt(1))), (of(&["a", "c"]), 600));
}

#[test]
fn what_makes_no_sense_is_refused_with_its_field() {
    let by_secret = json!({"name": "s", "key": "k"});
    let table = [
        (json!({"auth": {}}), "auth"),
        (json!({"auth": null}), "auth"),
        (json!({"auth": {"tokenSecretRef": by_secret, "jwt": {"secretRef": by_secret}}}), "auth"),
        (json!({"auth": {"appRole": {"secretRef": by_secret}}}), "auth.appRole"),
        (json!({"auth": {"kubernetes": {"role": "app"}}}), "auth.kubernetes"),
        (json!({"auth": {"jwt": {}}}), "auth.jwt"),
        (json!({"auth": {"ldap": {"username": "../x", "secretRef": by_secret}}}), "auth.username"),
        (json!({"auth": {"ldap": {"username": "x", "path": "a/../b", "secretRef": by_secret}}}), "auth.path"),
        (json!({"path": "../sys"}), "path"),
        (json!({"path": "/"}), "path"),
        (json!({"engine": "Dynamic", "version": "v2"}), "version"),
        (json!({"namespace": "a\nb"}), "namespace"),
        (json!({"headers": {"X-Vault-Token": "x"}}), "headers.X-Vault-Token"),
        (json!({"headers": {"host": "x"}}), "headers.host"),
        (json!({"headers": {"x y": "x"}}), "headers.x y"),
        (json!({"headers": {"x": "a\r\nb: c"}}), "headers.x"),
        (json!({"caBundle": "%"}), "caBundle"),
        (json!({"tls": {"certSecretRef": by_secret}}), "tls"),
    ];
    for (fields, place) in table {
        let failure = read(fields.clone()).err().unwrap();
        assert_eq!((failure.kind, failure.place.as_deref()), (Kind::BadStore, Some(place)), "{fields}");
    }
}

/// What `docs/providers/vault.md` shows is what is taken.
#[test]
fn the_manifests_of_the_documentation_are_read() {
    let page = include_str!("../../../../docs/providers/vault.md");
    let blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let cluster = Place { namespace: None, ..place() };
    let mut methods = std::collections::BTreeSet::new();
    for document in blocks.flat_map(|block| block.split("---\n")) {
        let value: Value = serde_saphyr::from_str(document).unwrap();
        if value["kind"] == "SecretStore" {
            let store: waxwing_crds::SecretStoreSpec = serde_json::from_value(value["spec"].clone()).unwrap();
            Settings::read(&store.provider.vault.unwrap(), &cluster).unwrap();
        } else if let Some(auth) = value.get("auth") {
            methods.extend(auth.as_object().unwrap().keys().cloned());
            read_auth(&serde_json::from_value(auth.clone()).unwrap()).unwrap();
        }
    }
    let all = ["appRole", "cert", "jwt", "kubernetes", "ldap", "tokenSecretRef", "userPass"];
    assert!(methods.iter().eq(all), "{methods:?}");
}

/// K16: a store may not name any server.
/// Guard: `Place::endpoint` in `Settings::read`.
#[test]
fn a_server_that_the_namespace_may_not_name_is_refused() {
    for server in [
        "https://vault.other.svc:8200",
        "https://vault.example.com",
        "http://vault.team.svc:8200",
        "https://169.254.169.254",
        "https://ann:canary@vault.team.svc",
    ] {
        let failure = read(json!({"server": server})).err().unwrap();
        assert_eq!(
            (failure.kind, failure.place.as_deref()),
            (Kind::EndpointRefused, Some("server")),
            "{server}"
        );
        assert!(!failure.to_string().contains("canary"));
    }
}

#[test]
fn a_namespace_of_its_own_for_the_login() {
    let settings = read(json!({
        "namespace": "team",
        "headers": {"x-forwarded-for": "waxwing"},
        "auth": {"namespace": "logins", "tokenSecretRef": {"name": "vault", "key": "token"}},
    }));
    let settings = settings.unwrap();
    assert_eq!(settings.headers[NAMESPACE], "team");
    assert_eq!(settings.headers["x-forwarded-for"], "waxwing");
    assert_eq!(settings.auth_namespace.unwrap(), "logins");
}
