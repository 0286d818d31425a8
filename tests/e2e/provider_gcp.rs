//! The GCP provider: the real client, and the stub of `tests/servers/stubs/gsm.py`, because no real server can be had here.

mod ambient;
mod cluster;
mod faults;
mod logins;
mod secrets;

use std::sync::Arc;

use anyhow::Result;
use serde_json::{Value, json};
use waxwing_core::store::endpoint::Allow;
use waxwing_core::store::{Entry, Failure, Find, Kind, Read};
use waxwing_crds::StoreProvider;
use waxwing_providers::{Place, Provider, References, Rules};
use waxwing_tests::gsm::{ACCESSOR, Gsm};
use waxwing_tests::kept::Kept;

/// The project of all that is read here, and its name in requests.
const PROJECT: &str = "shop-prod";
const PARENT: &str = "projects/shop-prod";
/// An account that a key belongs to.
const READER: &str = "reader@shop-prod.iam.gserviceaccount.com";

/// The provider of a store with this endpoint and these fields. Loopback is allowed, also in the clear.
fn connect(url: &str, fields: Value, references: Arc<dyn References>) -> Arc<dyn Provider> {
    let mut spec = json!({"projectID": PROJECT, "endpoint": url});
    for (name, value) in fields.as_object().unwrap() {
        spec[name] = value.clone();
    }
    let place = Place {
        namespace: Some("shop".to_owned()),
        store: "gcp".to_owned(),
        ambient: false,
        rules: Rules::new(Allow::parse(["http://127.0.0.1"]).unwrap()),
    };
    let spec: StoreProvider = serde_json::from_value(json!({"gcpsm": spec})).unwrap();
    waxwing_providers::connect(&spec, &place, references).unwrap()
}

/// How a store names the key `key.json` of the Secret `gcp`.
fn by_key() -> Value {
    json!({"secretRef": {"secretAccessKeySecretRef": {"name": "gcp", "key": "key.json"}}})
}

/// A stub, and the provider of a store with the key of [`READER`], who may read values.
async fn reader(name: &str) -> Result<(Gsm, Arc<dyn Provider>)> {
    let gsm = Gsm::start(name).await?;
    let provider = as_reader(&gsm, &gsm.url, json!({})).await?;
    Ok((gsm, provider))
}

/// The same by another URL, such as a proxy's, and with more fields.
async fn as_reader(gsm: &Gsm, url: &str, mut fields: Value) -> Result<Arc<dyn Provider>> {
    let key = gsm.service_account_key(READER, PROJECT).await?;
    gsm.grant(READER, ACCESSOR, PROJECT).await?;
    fields["auth"] = by_key();
    Ok(connect(url, fields, Kept::of("gcp", [("key.json", &key.to_string())])))
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

/// All that have this label.
fn labelled(key: &str, value: &str) -> Find {
    Find { tags: [(key.to_owned(), value.to_owned())].into(), ..Find::default() }
}
