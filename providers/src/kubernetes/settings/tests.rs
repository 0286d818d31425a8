use std::sync::Mutex;

use async_trait::async_trait;
use serde_json::{Value, json};
use waxwing_core::store::endpoint::Allow;

use super::*;
use crate::{Rules, Token};

fn place(namespace: Option<&str>) -> Place {
    Place {
        namespace: namespace.map(str::to_owned),
        store: "s".to_owned(),
        ambient: false,
        rules: Rules::new(Allow::parse(["api.allowed.example"]).unwrap()),
    }
}

fn settings(spec: Value, namespace: Option<&str>) -> Result<Settings, Failure> {
    Settings::read(&serde_json::from_value(spec).unwrap(), &place(namespace))
}

/// Notes what it is asked for, and has it.
#[derive(Default)]
struct Noting {
    asked: Mutex<Vec<String>>,
    kubeconfig: String,
}

impl Noting {
    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }
}

#[async_trait]
impl References for Noting {
    async fn secret(&self, name: &str, key: &str) -> Result<Secret, Failure> {
        self.note(format!("secret {name} {key}"));
        let text = if key == "config" { self.kubeconfig.clone() } else { format!("{name}-{key}") };
        Ok(Secret::new(text.into_bytes()))
    }

    async fn config_map(&self, name: &str, key: &str) -> Result<String, Failure> {
        self.note(format!("config map {name} {key}"));
        Ok(CA.to_owned())
    }

    async fn token(&self, account: &str, audiences: &[String], _: u32) -> Result<Token, Failure> {
        self.note(format!("token {account} {audiences:?}"));
        Ok(Token { token: Secret::new(b"other".to_vec()), seconds: 600 })
    }

    async fn own_server(&self) -> Result<OwnServer, Failure> {
        Ok(OwnServer { url: "https://10.0.0.1".to_owned(), ..OwnServer::default() })
    }

    async fn own_token(&self, account: &str, _: u32) -> Result<Token, Failure> {
        self.note(format!("own token {account}"));
        Ok(Token { token: Secret::new(b"own".to_vec()), seconds: 3600 })
    }

    async fn service_account(&self, _: &str) -> Result<std::collections::BTreeMap<String, String>, Failure> {
        Ok(Default::default())
    }
}

/// Where the login goes, what it holds, and what was asked for.
async fn log_in(settings: &Settings, kubeconfig: &str) -> Result<(String, String, Vec<String>), Failure> {
    let references = Noting { kubeconfig: kubeconfig.to_owned(), ..Noting::default() };
    let (access, _) = settings.log_in(&place(Some("team-a")), &references).await?;
    let identity = match access.identity {
        Identity::Certificate { cert, key } => {
            format!("{} {}", String::from_utf8_lossy(cert.expose()), String::from_utf8_lossy(key.expose()))
        }
        Identity::None => "nobody".to_owned(),
        Identity::Token(token) => String::from_utf8(token.expose().to_vec()).unwrap(),
    };
    Ok((access.server.url, identity, references.asked.into_inner().unwrap()))
}

fn account(server: Value, audiences: Value) -> Value {
    json!({"server": server, "auth": {"serviceAccount": {"name": "reader", "audiences": audiences}}})
}

/// K16: a token that this cluster's API server takes goes to that server and nowhere else.
/// Guard: the match on `self.own` in `identify`, and on `Server` in `Settings::read`.
#[tokio::test]
async fn the_clusters_own_token_goes_to_the_clusters_own_server() {
    for url in [
        Value::Null,
        json!("kubernetes.default"),
        json!("https://kubernetes.default.svc"),
        json!("https://kubernetes.default.svc.cluster.local:443/"),
    ] {
        let settings = settings(account(json!({"url": url}), json!([])), Some("team-a")).unwrap();
        let expected = ("https://10.0.0.1".to_owned(), "own".to_owned(), vec!["own token reader".to_owned()]);
        assert_eq!(log_in(&settings, "").await, Ok(expected), "{url}");
    }
    let settings =
        settings(account(json!({"url": "https://api.allowed.example"}), json!(["there"])), Some("team-a"))
            .unwrap();
    let (url, token, asked) = log_in(&settings, "").await.unwrap();
    assert_eq!((url.as_str(), token.as_str()), ("https://api.allowed.example", "other"));
    assert_eq!(asked, [r#"token reader ["there"]"#]);
}

#[test]
fn an_audience_is_set_exactly_for_another_server() {
    let of = |server, audiences| settings(account(server, audiences), Some("team-a")).err().map(|f| f.kind);
    assert_eq!(of(json!({}), json!(["x"])), Some(Kind::BadStore));
    assert_eq!(of(json!({"url": "https://api.allowed.example"}), json!([])), Some(Kind::BadStore));
}

/// K16. Guard: `Place::endpoint` in `Server::read`.
#[tokio::test]
async fn a_server_is_one_that_the_store_may_name_also_in_a_kubeconfig() {
    for url in [
        "https://evil.example",
        "https://10.0.0.1",
        "https://169.254.169.254",
        "https://api.team-b.svc",
        "https://kubernetes.default.svc.evil.example",
        "https://kubernetes.default.svc@evil.example",
        "http://kubernetes.default.svc",
        "https://kubernetes.default.svc:8443",
    ] {
        let refused = settings(account(json!({"url": url}), json!(["x"])), Some("team-a")).err();
        assert_eq!(refused.map(|failure| failure.kind), Some(Kind::EndpointRefused), "{url}");
        let settings = settings(json!({"authRef": {"name": "k", "key": "config"}}), Some("team-a")).unwrap();
        let refused = log_in(&settings, &kubeconfig(url)).await.unwrap_err();
        assert_eq!(refused.kind, Kind::EndpointRefused, "{url}");
        assert_eq!(refused.place.as_deref(), Some("Secret k, key config, server"));
    }
}

fn kubeconfig(server: &str) -> String {
    json!({
        "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "c", "user": {"client-certificate-data": "Y2VydA==", "client-key-data": "a2V5"}}],
    })
    .to_string()
}

#[tokio::test]
async fn a_kubeconfig_gives_server_and_identity() {
    let settings = settings(json!({"authRef": {"name": "k", "key": "config"}}), Some("team-a")).unwrap();
    let (url, identity, asked) = log_in(&settings, &kubeconfig("https://api.allowed.example")).await.unwrap();
    assert_eq!((url.as_str(), identity.as_str()), ("https://api.allowed.example", "cert key"));
    assert_eq!(asked, ["secret k config"]);
    let (url, ..) = log_in(&settings, &kubeconfig("https://kubernetes.default.svc")).await.unwrap();
    assert_eq!(url, "https://10.0.0.1");
    let broken = kubeconfig("https://api.allowed.example").replace("a2V5", "!");
    let failure = log_in(&settings, &broken).await.unwrap_err();
    assert_eq!(failure.to_string(), "Secret k, key config, client-key-data: it is not base64");
}

#[tokio::test]
async fn tokens_certificates_and_authorities_come_from_what_the_store_refers_to() {
    let ca = json!({"caProvider": {"type": "ConfigMap", "name": "kube-root-ca.crt"}});
    let token = json!({"server": ca, "auth": {"token": {"bearerToken": {"name": "s", "key": "k"}}}});
    let token = settings(token, Some("team-a")).unwrap();
    let (url, identity, asked) = log_in(&token, "").await.unwrap();
    assert_eq!((url.as_str(), identity.as_str()), ("https://10.0.0.1", "s-k"));
    assert_eq!(asked, ["config map kube-root-ca.crt ca.crt", "secret s k"]);
    let cert = json!({"auth": {"cert": {
        "clientCert": {"name": "s", "key": "crt"}, "clientKey": {"name": "s", "key": "key"},
    }}});
    let (_, identity, _) = log_in(&settings(cert, None).unwrap(), "").await.unwrap();
    assert_eq!(identity, "s-crt s-key");
}

#[test]
fn a_spec_that_makes_no_sense_says_where() {
    let secret = json!({"name": "s", "key": "k"});
    let token = json!({"token": {"bearerToken": secret}});
    for (spec, field) in [
        (json!({}), "auth"),
        (json!({"auth": {}}), "auth"),
        (json!({"auth": token, "authRef": secret}), "authRef"),
        (json!({"server": {}, "authRef": secret}), "server"),
        (json!({"auth": {"token": {"bearerToken": secret}, "serviceAccount": {"name": "a"}}}), "auth"),
        (json!({"auth": token, "remoteNamespace": "a/b"}), "remoteNamespace"),
        (json!({"auth": token, "remoteNamespace": ""}), "remoteNamespace"),
        (json!({"auth": token, "remoteNamespace": "UPPER"}), "remoteNamespace"),
    ] {
        let failure = settings(spec.clone(), None).err().unwrap();
        assert_eq!(failure.kind, Kind::BadStore, "{spec}");
        assert_eq!(failure.place, Some(format!("kubernetes.{field}")), "{spec}");
    }
    assert_eq!(settings(json!({"auth": token}), None).unwrap().namespace, "default");
}

/// K06: a key cannot become another path. Guard: `Name::read`.
#[test]
fn a_name_is_one_that_a_secret_can_have() {
    let name =
        |secret: &str, key: Option<&str>| Name { secret: secret.to_owned(), key: key.map(str::to_owned) };
    assert_eq!(Name::read("app"), Ok(name("app", None)));
    assert_eq!(Name::read("app.v1-x"), Ok(name("app.v1-x", None)));
    assert_eq!(Name::read("app/tls.crt"), Ok(name("app", Some("tls.crt"))));
    assert_eq!(Name::read("app/.dockerconfigjson"), Ok(name("app", Some(".dockerconfigjson"))));
    for text in [
        "",
        "/",
        "a/",
        "/a",
        "a/b/c",
        "..",
        ".",
        "../b",
        "a/..",
        "a/.",
        "A",
        "a_b",
        "a b",
        "a?x",
        "a%2fb",
        "a#",
        "-a",
        "a-",
        "a..b",
        "ä",
        "a\n",
        "a/b?c",
        "a/ä",
        &"a".repeat(254),
    ] {
        assert_eq!(Name::read(text).map_err(|failure| failure.kind), Err(Kind::Rejected), "{text:?}");
    }
}

/// An authority that nothing is signed by.
const CA: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
