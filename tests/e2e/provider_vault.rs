//! The Vault provider against a real Vault.

mod dynamic;
mod entries;
mod faults;
mod logins;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use waxwing_core::Secret;
use waxwing_core::store::endpoint::Allow;
use waxwing_core::store::{Entry, Failure, Kind, Read};
use waxwing_providers::{Place, Provider, References, Rules, Token, vault};
use waxwing_tests::control_plane::ControlPlane;

/// Between two looks at what comes of itself.
const POLL: Duration = Duration::from_millis(20);

/// What a store refers to: values by Secret and key, which a test may change, and ServiceAccounts of a namespace of the
/// test API server.
#[derive(Default)]
struct Kept {
    values: Mutex<BTreeMap<String, String>>,
    accounts: Option<(&'static ControlPlane, &'static str)>,
}

impl Kept {
    /// The keys of the one Secret, and the one ConfigMap, which is called `vault`.
    fn of<const N: usize>(values: [(&str, &str); N]) -> Arc<Self> {
        let kept = Self::default();
        for (key, value) in values {
            kept.put(key, value);
        }
        Arc::new(kept)
    }

    fn put(&self, key: &str, value: &str) {
        self.values.lock().unwrap().insert(key.to_owned(), value.to_owned());
    }

    fn value(&self, name: &str, key: &str) -> Result<String, Failure> {
        let value = if name == "vault" { self.values.lock().unwrap().get(key).cloned() } else { None };
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
        Ok(BTreeMap::new())
    }
}

/// A key of the one Secret.
fn key(key: &str) -> Value {
    json!({"name": "vault", "key": key})
}

/// The provider of a store with this server, the mount `secret`, and these fields. Loopback is allowed, also in the clear.
fn connect(server: &str, fields: Value, kept: &Arc<Kept>) -> Arc<dyn Provider> {
    let mut spec = json!({"server": server, "path": "secret"});
    for (name, value) in fields.as_object().unwrap() {
        spec[name] = value.clone();
    }
    let place = Place {
        namespace: Some("apps".to_owned()),
        store: "vault".to_owned(),
        ambient: false,
        rules: Rules::new(Allow::parse(["http://127.0.0.1", "vault.invalid"]).unwrap()),
    };
    vault::connect(&serde_json::from_value(spec).unwrap(), &place, kept.clone()).unwrap()
}

/// The same, with a token that is in the Secret as `token`.
fn by_token(server: &str, mut fields: Value, token: &str) -> Arc<dyn Provider> {
    fields["auth"] = json!({"tokenSecretRef": key("token")});
    connect(server, fields, &Kept::of([("token", token)]))
}

/// What is asked for by key alone.
fn asking(key: &str) -> Read {
    Read { key: key.to_owned(), ..Read::default() }
}

async fn read(provider: &Arc<dyn Provider>, read: Read) -> Result<Entry, Failure> {
    provider.read(&[read]).await.remove(0)
}

/// The value of an entry, which is JSON.
async fn value(provider: &Arc<dyn Provider>, key: &str) -> Result<Value, Failure> {
    read(provider, asking(key)).await.map(|entry| json_of(&entry))
}

fn json_of(entry: &Entry) -> Value {
    serde_json::from_slice(entry.value.expose()).unwrap()
}

/// How it failed.
fn kind<T>(result: Result<T, Failure>) -> Option<Kind> {
    result.err().map(|failure| failure.kind)
}
