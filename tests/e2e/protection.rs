//! Identities that are wrapped at rest: by a real Vault's transit engine, and by KMS as moto plays it.

mod backed_up;
mod changed;
mod keys;
mod moved;
mod outage;
mod stored;

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use waxwing_crds::{ConditionType, KeyRing, KeyState, Reason, conditions, names};
use waxwing_tests::faults::Faults;
use waxwing_tests::moto::{self, Moto, REGION};
use waxwing_tests::operator::Release;
use waxwing_tests::ring::{is_serving, keys_in};
use waxwing_tests::scene::Scene;
use waxwing_tests::vault::{self, Login, Mark, Vault};
use waxwing_tests::wait;

/// The chart's values: both servers answer in the clear, and Vault looks up tokens of the operator's own account.
const VALUES: [&str; 2] =
    ["stores.allowEndpoints={http://127.0.0.1}", "stores.serviceAccountTokens={waxwing-$namespace}"];

/// Longer than the operator waits before it tries again.
const AGAIN: Duration = Duration::from_secs(90);

/// A transit engine of its own in the shared Vault, with a proxy before it.
struct Transit {
    vault: &'static Vault,
    proxy: Faults,
    /// Also the name of the policy that may use its key, and of the AppRole that has it.
    mount: String,
    login: Login,
}

impl Transit {
    async fn new(name: &str) -> Result<Self> {
        let vault = vault::shared().await;
        let mount = format!("transit-{name}");
        vault.write(&format!("sys/mounts/{mount}"), json!({"type": "transit"})).await?;
        vault.write(&format!("{mount}/keys/waxwing"), json!({})).await?;
        // What docs/PROTECTION.md says: no reading of the key, no making of another one.
        let rules = ["encrypt", "decrypt"]
            .map(|verb| format!("path \"{mount}/{verb}/waxwing\" {{ capabilities = [\"update\"] }}\n"));
        vault.policy(&mount, &rules.concat()).await?;
        let login = vault.approle("approle", &mount, &mount, "1h").await?;
        let proxy = Faults::before_http(&vault.url).await?;
        Ok(Self { vault, proxy, mount, login })
    }

    /// The block of the spec, with the AppRole, whose secret id is in a Secret of the operator's namespace.
    async fn block(&self, release: &Release) -> Result<Value> {
        put(release, "transit-login", &[("secret", &self.login.secret)]).await?;
        Ok(self.block_with(json!({"appRole": {
            "roleId": self.login.id, "secretRef": {"name": "transit-login", "key": "secret"},
        }})))
    }

    fn block_with(&self, auth: Value) -> Value {
        json!({"server": self.proxy.url, "mount": self.mount, "key": "waxwing", "auth": auth})
    }

    /// How often the operator has asked for this since.
    fn requests(&self, verb: &str, since: Mark) -> usize {
        let path = format!("{}/{verb}/waxwing", self.mount);
        self.vault.calls_since(since).iter().filter(|call| call.path == path).count()
    }

    /// How often anything here was asked for since. Other tests share the Vault.
    fn all_requests(&self, since: Mark) -> usize {
        self.vault.calls_since(since).iter().filter(|call| call.path.contains(&self.mount)).count()
    }

    /// What root sees in a wrapped identity.
    async fn open(&self, secret: &Secret, ring: &str) -> Result<String> {
        let data = format!(
            "waxwing.dev/keyring={ring}\nwaxwing.dev/recipient={}\n",
            text_of(secret, names::IDENTITY_RECIPIENT)
        );
        let body =
            json!({"ciphertext": text_of(secret, names::IDENTITY_WRAPPED), "associated_data": base64(&data)});
        let answer = self.vault.write(&format!("{}/decrypt/waxwing", self.mount), body).await?;
        unbase64(&answer["data"]["plaintext"])
    }

    /// Wraps any text, as somebody may who has the key.
    async fn wrap(&self, text: &str, ring: &str, recipient: &str) -> Result<String> {
        let data = format!("waxwing.dev/keyring={ring}\nwaxwing.dev/recipient={recipient}\n");
        let body = json!({"plaintext": base64(text), "associated_data": base64(&data)});
        let answer = self.vault.write(&format!("{}/encrypt/waxwing", self.mount), body).await?;
        Ok(answer["data"]["ciphertext"].as_str().context("a ciphertext is text")?.to_owned())
    }
}

/// A key of moto's KMS under an alias, with a proxy before it.
struct Kms {
    moto: &'static Moto,
    proxy: Faults,
    arn: String,
    alias: String,
}

impl Kms {
    async fn new(name: &str) -> Result<Self> {
        let moto = moto::for_keys().await;
        let made = moto.call("TrentService.CreateKey", json!({})).await?;
        let arn = made["KeyMetadata"]["Arn"].as_str().context("a key has an ARN")?.to_owned();
        let alias = format!("alias/{name}");
        moto.call("TrentService.CreateAlias", json!({"AliasName": alias, "TargetKeyId": arn})).await?;
        Ok(Self { moto, proxy: Faults::before_http(&moto.url).await?, arn, alias })
    }

    async fn block(&self, release: &Release) -> Result<Value> {
        put(release, "kms-login", &[("id", "AKIAOPERATOR"), ("key", "key")]).await?;
        let key = |key: &str| json!({"name": "kms-login", "key": key});
        Ok(json!({
            "region": REGION, "keyId": self.alias, "endpoint": self.proxy.url,
            "auth": {"secretRef": {"accessKeyIDSecretRef": key("id"), "secretAccessKeySecretRef": key("key")}},
        }))
    }
}

/// The identities in the operator's namespace, the oldest first.
async fn identities(release: &Release) -> Result<Vec<Secret>> {
    let api: Api<Secret> = Api::namespaced(release.plane.admin.clone(), &release.namespace);
    let of_type = ListParams::default().fields(&format!("type={}", names::IDENTITY_TYPE));
    let mut found = api.list(&of_type).await?.items;
    found.sort_by_key(|secret| secret.metadata.creation_timestamp.clone());
    Ok(found)
}

/// Their uids and versions: what they are, to the last bit.
async fn states(release: &Release) -> Result<Vec<(Option<String>, Option<String>)>> {
    let found = identities(release).await?;
    let mut states: Vec<_> =
        found.into_iter().map(|secret| (secret.uid(), secret.resource_version())).collect();
    states.sort();
    Ok(states)
}

/// Creates a Secret in the operator's namespace.
async fn put(release: &Release, name: &str, values: &[(&str, &str)]) -> Result<()> {
    let values: serde_json::Map<_, _> =
        values.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    plant(release, json!({"metadata": {"name": name}, "stringData": values})).await
}

async fn plant(release: &Release, secret: Value) -> Result<()> {
    let api: Api<Secret> = Api::namespaced(release.plane.admin.clone(), &release.namespace);
    api.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
    Ok(())
}

/// Another Secret for the same identity, as somebody makes it who can write Secrets.
async fn replant(release: &Release, like: &Secret, name: &str, values: &[(&str, &str)]) -> Result<()> {
    let mut data = like.data.clone().unwrap_or_default();
    for (key, value) in values {
        data.insert((*key).to_owned(), ByteString(value.as_bytes().to_vec()));
    }
    let secret = json!({
        "metadata": {"name": name, "labels": like.metadata.labels},
        "type": names::IDENTITY_TYPE,
        "data": data,
    });
    plant(release, secret).await
}

async fn unplant(release: &Release, name: &str) -> Result<()> {
    let api: Api<Secret> = Api::namespaced(release.plane.admin.clone(), &release.namespace);
    api.delete(name, &Default::default()).await?;
    Ok(())
}

fn text_of(secret: &Secret, key: &str) -> String {
    String::from_utf8(wait::value_of(secret, key).to_vec()).unwrap()
}

fn base64(text: &str) -> String {
    serde_json::to_value(ByteString(text.as_bytes().to_vec())).unwrap().as_str().unwrap().to_owned()
}

fn unbase64(text: &Value) -> Result<String> {
    let bytes: ByteString = serde_json::from_value(text.clone())?;
    Ok(String::from_utf8(bytes.0)?)
}

/// Whether a condition of the ring is so.
fn says(ring: &KeyRing, type_: ConditionType, status: &str, reason: Reason) -> bool {
    let conditions = ring.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    conditions::get(conditions, type_).is_some_and(|c| c.status == status && c.reason == reason.as_str())
}

fn message(ring: &KeyRing, type_: ConditionType) -> String {
    let conditions = ring.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    conditions::get(conditions, type_).map(|c| c.message.clone()).unwrap_or_default()
}

/// Waits until the ring is as wanted, for longer than the operator waits before it tries again.
async fn until_ring(scene: &Scene, what: &str, wanted: impl Fn(&KeyRing) -> bool) -> KeyRing {
    let wanted = |ring: Option<&KeyRing>| ring.is_some_and(&wanted);
    wait::within(AGAIN, &scene.rings(), &scene.ring, what, wanted).await.unwrap()
}

async fn until_locked(scene: &Scene) -> KeyRing {
    until_ring(scene, "says that its identities are locked", |ring| {
        says(ring, ConditionType::Ready, "False", Reason::ProtectionUnavailable)
    })
    .await
}

/// Has the ring make another key, and waits until that one is active.
async fn rotate(scene: &Scene) -> Result<KeyRing> {
    let before = keys_in(&scene.rings().get(&scene.ring).await?, KeyState::Active);
    scene.merge_ring(json!({"rotation": {"every": "1s"}})).await?;
    until_rotated(scene, &before).await;
    let generation = scene.merge_ring(json!({"rotation": {"every": "30d"}})).await?.metadata.generation;
    let is_at_rest = |ring: &KeyRing| {
        ring.status.as_ref().is_some_and(|status| status.observed_generation == generation)
            && keys_in(ring, KeyState::Pending).is_empty()
    };
    Ok(until_ring(scene, "is at rest", |ring| is_serving(ring) && is_at_rest(ring)).await)
}

async fn until_rotated(scene: &Scene, before: &[String]) -> KeyRing {
    until_ring(scene, "has rotated", |ring| {
        is_serving(ring) && before.iter().all(|key| keys_in(ring, KeyState::OpenOnly).contains(key))
    })
    .await
}
