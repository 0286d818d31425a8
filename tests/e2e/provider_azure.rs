//! The Azure provider: the real SDK, and the stub of `tests/servers/stubs/keyvault.py`, because no real server can be had
//! here.

mod ambient;
mod cluster;
mod faults;
mod logins;
mod secrets;

use std::sync::Arc;

use anyhow::Result;
use serde_json::{Value, json};
use waxwing_core::store::endpoint::Allow;
use waxwing_core::store::{Entry, Failure, Kind, Read};
use waxwing_crds::StoreProvider;
use waxwing_providers::{Place, Provider, References, Rules};
use waxwing_tests::kept::Kept;
use waxwing_tests::keyvault::{KeyVault, TENANT};

/// An application, and its client secret.
const APP: &str = "99999999-8888-7777-6666-555555555555";
const APP_SECRET: &str = "canary~client-secret";

/// The provider of a store with this vault and authority, and these fields. Both are on the operator's list.
fn connect(vault: &KeyVault, url: &str, fields: Value, references: Arc<dyn References>) -> Arc<dyn Provider> {
    let mut spec = json!({"vaultUrl": url, "authorityHost": url, "caBundle": vault.certs.ca_pem});
    for (name, value) in fields.as_object().unwrap() {
        spec[name] = value.clone();
    }
    let place = Place {
        namespace: Some("shop".to_owned()),
        store: "azure".to_owned(),
        ambient: false,
        rules: Rules::new(Allow::parse(["127.0.0.1"]).unwrap()),
    };
    let spec: StoreProvider = serde_json::from_value(json!({"azurekv": spec})).unwrap();
    waxwing_providers::connect(&spec, &place, references).unwrap()
}

/// How a store names a key of the Secret `azure`.
fn at(key: &str) -> Value {
    json!({"name": "azure", "key": key})
}

/// A store's fields for the client secret.
fn by_secret() -> Value {
    json!({"tenantId": TENANT, "authSecretRef": {"clientId": at("id"), "clientSecret": at("secret")}})
}

/// A stub, and the provider of a store with a client secret, which may get and list.
async fn reader(name: &str) -> Result<(KeyVault, Arc<dyn Provider>)> {
    let vault = KeyVault::start(name).await?;
    let provider = as_reader(&vault, &vault.url).await?;
    Ok((vault, provider))
}

/// The same by another URL, such as a proxy's.
async fn as_reader(vault: &KeyVault, url: &str) -> Result<Arc<dyn Provider>> {
    vault.app_with_secret(APP, APP_SECRET).await?;
    // Tools put a line break at the end of a file.
    let kept = Kept::of("azure", [("id", APP), ("secret", &format!("{APP_SECRET}\n"))]);
    Ok(connect(vault, url, by_secret(), kept))
}

/// What is asked for by key alone.
fn asking(key: &str) -> Read {
    Read { key: key.to_owned(), ..Read::default() }
}

async fn read(provider: &Arc<dyn Provider>, read: Read) -> Result<Entry, Failure> {
    provider.read(&[read]).await.remove(0)
}

/// The value and its version.
async fn value(provider: &Arc<dyn Provider>, key: &str) -> Result<(String, Option<String>), Failure> {
    let entry = read(provider, asking(key)).await?;
    Ok((String::from_utf8_lossy(entry.value.expose()).into_owned(), entry.version))
}

/// How reading this fails.
async fn refused(provider: &Arc<dyn Provider>, key: &str) -> Failure {
    read(provider, asking(key)).await.expect_err("it cannot be read")
}

/// How it failed.
fn kind<T>(result: Result<T, Failure>) -> Option<Kind> {
    result.err().map(|failure| failure.kind)
}

/// How many tokens were asked for.
async fn logins(vault: &KeyVault) -> Result<usize> {
    Ok(vault.calls().await?.iter().filter(|call| call.path.ends_with("/oauth2/v2.0/token")).count())
}
