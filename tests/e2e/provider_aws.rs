//! The AWS provider against moto, which plays AWS.

mod faults;
mod logins;
mod parameters;
mod secrets;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use serde_json::{Value, json};
use waxwing_core::Secret;
use waxwing_core::store::endpoint::Allow;
use waxwing_core::store::{Entry, Failure, Kind, Read};
use waxwing_providers::{Place, Provider, References, Rules, Token, aws};
use waxwing_tests::control_plane::ControlPlane;
use waxwing_tests::faults::{Call, Faults};
use waxwing_tests::moto::{self, Credentials, REGION};

/// What a store refers to: the Secret and the ConfigMap `aws`, and ServiceAccounts of a namespace of the test API server.
#[derive(Default)]
struct Kept {
    values: BTreeMap<&'static str, String>,
    accounts: Option<(&'static ControlPlane, &'static str)>,
    annotations: BTreeMap<String, String>,
}

impl Kept {
    /// With an access key.
    fn keys(credentials: &Credentials) -> Self {
        let mut values = BTreeMap::from([
            ("id", credentials.access_key_id.clone()),
            ("key", credentials.secret_access_key.clone()),
        ]);
        values.extend(credentials.session_token.clone().map(|token| ("token", token)));
        Self { values, ..Self::default() }
    }

    fn value(&self, name: &str, key: &str) -> Result<String, Failure> {
        let value = if name == "aws" { self.values.get(key).cloned() } else { None };
        value.ok_or_else(|| {
            Failure::new(Kind::CredentialMissing, "it is not there").at(format!("{name}, key {key}"))
        })
    }
}

#[async_trait]
impl References for Kept {
    async fn secret(&self, name: &str, key: &str) -> Result<Secret, Failure> {
        Ok(Secret::new(self.value(name, key)?.into_bytes()))
    }

    async fn config_map(&self, name: &str, key: &str) -> Result<String, Failure> {
        self.value(name, key)
    }

    async fn token(&self, account: &str, audiences: &[String], seconds: u32) -> Result<Token, Failure> {
        let missing = || Failure::new(Kind::CredentialMissing, "there is no such ServiceAccount").at(account);
        let (plane, namespace) = self.accounts.ok_or_else(missing)?;
        let audiences: Vec<&str> = audiences.iter().map(String::as_str).collect();
        let token = plane.token(namespace, account, &audiences).await.map_err(|_| missing())?;
        Ok(Token { token: Secret::new(token.into_bytes()), seconds: seconds.into() })
    }

    async fn service_account(&self, _: &str) -> Result<BTreeMap<String, String>, Failure> {
        Ok(self.annotations.clone())
    }
}

/// The provider of a store with this endpoint and these fields. Loopback is allowed, also in the clear.
fn connect(url: &str, fields: Value, kept: Kept) -> Arc<dyn Provider> {
    let mut spec =
        json!({"service": "SecretsManager", "region": REGION, "endpoint": url, "stsEndpoint": url});
    for (name, value) in fields.as_object().unwrap() {
        spec[name] = value.clone();
    }
    let place = Place {
        namespace: None,
        store: "aws".to_owned(),
        ambient: true,
        rules: Rules::new(Allow::parse(["http://127.0.0.1"]).unwrap()),
    };
    aws::connect(&serde_json::from_value(spec).unwrap(), &place, Arc::new(kept)).unwrap()
}

/// The same, with the access key of this user.
fn as_user(url: &str, mut fields: Value, credentials: &Credentials) -> Arc<dyn Provider> {
    let key = |key: &str| json!({"name": "aws", "key": key});
    let mut keys = json!({"accessKeyIDSecretRef": key("id"), "secretAccessKeySecretRef": key("key")});
    if credentials.session_token.is_some() {
        keys["sessionTokenSecretRef"] = key("token");
    }
    fields["auth"] = json!({"secretRef": keys});
    connect(url, fields, Kept::keys(credentials))
}

/// The same, as somebody of the account that moto has for everybody.
fn as_anybody(url: &str, fields: Value) -> Arc<dyn Provider> {
    as_user(url, fields, &anybody())
}

fn anybody() -> Credentials {
    Credentials {
        access_key_id: "AKIAANYBODY".to_owned(),
        secret_access_key: "key".to_owned(),
        session_token: None,
    }
}

/// Everything of moto that tests share, behind a proxy that counts.
async fn counted() -> Result<(&'static moto::Moto, Faults)> {
    let moto = moto::shared().await;
    Ok((moto, Faults::before_http(&moto.url).await?))
}

/// How often this was asked: `GetSecretValue`, `AssumeRole` and so on.
fn count(proxy: &Faults, action: &'static str) -> usize {
    proxy.count(move |call| is(call, action))
}

fn is(call: &Call, action: &str) -> bool {
    let query = String::from_utf8_lossy(&call.body);
    call.header("x-amz-target").rsplit('.').next() == Some(action)
        || query.split('&').any(|pair| pair.strip_prefix("Action=") == Some(action))
}

/// What is asked for by key alone.
fn asking(key: impl Into<String>) -> Read {
    Read { key: key.into(), ..Read::default() }
}

/// A version of it.
fn version(key: &str, version: &str) -> Read {
    Read { version: Some(version.to_owned()), ..asking(key) }
}

async fn read(store: &Arc<dyn Provider>, read: Read) -> Result<Entry, Failure> {
    store.read(&[read]).await.remove(0)
}

/// A value, which is text.
async fn text(store: &Arc<dyn Provider>, asked: Read) -> Result<String, Failure> {
    read(store, asked).await.map(|entry| text_of(&entry))
}

fn text_of(entry: &Entry) -> String {
    // It is the test's own.
    String::from_utf8(entry.value.expose().to_vec()).unwrap()
}

/// How it failed.
fn kind<T>(result: Result<T, Failure>) -> Option<Kind> {
    result.err().map(|failure| failure.kind)
}
