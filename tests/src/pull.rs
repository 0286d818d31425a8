//! ExternalSecrets and their stores in a test's namespace.

use anyhow::Result;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};
use waxwing_crds::{
    ClusterSecretStore, Condition, ConditionType, ExternalSecret, SecretStore, conditions, names,
};

use crate::scene::Scene;
use crate::vault::Vault;
use crate::wait;

impl Scene {
    /// The ExternalSecrets here.
    #[must_use]
    pub fn external(&self) -> Api<ExternalSecret> {
        Api::namespaced(self.client(), &self.namespace)
    }

    /// The SecretStores here.
    #[must_use]
    pub fn stores(&self) -> Api<SecretStore> {
        Api::namespaced(self.client(), &self.namespace)
    }

    /// The ClusterSecretStores.
    #[must_use]
    pub fn cluster_stores(&self) -> Api<ClusterSecretStore> {
        Api::all(self.client())
    }

    /// Creates an object of our group here or changes it to this, as a GitOps tool does. A cluster-scoped kind begins
    /// with `Cluster`.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn put(&self, kind: &str, name: &str, spec: Value) -> kube::Result<()> {
        self.put_with(kind, name, json!({}), spec).await
    }

    /// The same, with annotations.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn put_with(
        &self,
        kind: &str,
        name: &str,
        annotations: Value,
        spec: Value,
    ) -> kube::Result<()> {
        let gvk = GroupVersionKind::gvk(names::GROUP, names::VERSION, kind);
        let resource = ApiResource::from_gvk(&gvk);
        let api: Api<DynamicObject> = match kind.starts_with("Cluster") {
            true => Api::all_with(self.client(), &resource),
            false => Api::namespaced_with(self.client(), &self.namespace, &resource),
        };
        let object = json!({
            "apiVersion": names::API_VERSION, "kind": kind,
            "metadata": {"name": name, "annotations": annotations}, "spec": spec,
        });
        let params = PatchParams::apply("test-gitops").force();
        api.patch(name, &params, &Patch::Apply(object)).await.map(drop)
    }

    /// Creates a Secret here with these texts.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn put_secret(&self, name: &str, values: &[(&str, &str)]) -> kube::Result<Secret> {
        self.put_secret_in(&self.namespace, name, values).await
    }

    /// Creates a Secret in another namespace.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn put_secret_in(
        &self,
        namespace: &str,
        name: &str,
        values: &[(&str, &str)],
    ) -> kube::Result<Secret> {
        let texts: serde_json::Map<String, Value> =
            values.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let object = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": texts,
        });
        let api: Api<Secret> = Api::namespaced(self.client(), namespace);
        api.patch(name, &PatchParams::apply("test-user").force(), &Patch::Apply(object)).await
    }

    /// A store of this name for a Vault, whose token may read `secret/NAMESPACE/*`, and a way to write there. Entries
    /// have keys such as `NAMESPACE/db`.
    ///
    /// # Errors
    /// When Vault or the API server refuses.
    pub async fn vault_store(&self, vault: &Vault, name: &str) -> Result<()> {
        let token = self.vault_token(vault).await?;
        self.put_secret(&format!("{name}-token"), &[("token", &token)]).await?;
        self.put("SecretStore", name, vault_spec(&vault.url, &format!("{name}-token"))).await?;
        Ok(())
    }

    /// A token that may read `secret/NAMESPACE/*`.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn vault_token(&self, vault: &Vault) -> Result<String> {
        let policy = format!("read-{}", self.namespace);
        let rule = |path: &str| {
            format!("path \"secret/{path}/{}/*\" {{ capabilities = [\"read\", \"list\"] }}\n", self.namespace)
        };
        vault.policy(&policy, &format!("{}{}", rule("data"), rule("metadata"))).await?;
        vault.token(&policy, "1h").await
    }

    /// Waits until an ExternalSecret is ready for its present generation, and gives its Secret.
    ///
    /// # Errors
    /// When the Secret can't be read.
    pub async fn pulled(&self, name: &str) -> Result<Secret> {
        let object = wait::until(&self.external(), name, "ready", |object: Option<&ExternalSecret>| {
            object.is_some_and(|object| ready(object).is_some_and(|ready| ready.status == "True"))
        })
        .await;
        let target = object.spec.target.and_then(|target| target.name).unwrap_or_else(|| name.to_owned());
        Ok(self.secrets().get(&target).await?)
    }

    /// Waits until an ExternalSecret is not ready for this reason, and gives the message.
    pub async fn not_pulled(&self, name: &str, reason: &str) -> String {
        let object = wait::until(&self.external(), name, reason, |object: Option<&ExternalSecret>| {
            object.and_then(ready).is_some_and(|ready| ready.status == "False" && ready.reason == reason)
        })
        .await;
        ready(&object).map(|ready| ready.message.clone()).unwrap_or_default()
    }

    /// Waits until a key of a Secret has this text.
    pub async fn until_value(&self, secret: &str, key: &str, value: &str) -> Secret {
        wait::until(&self.secrets(), secret, &format!("{key} is as wanted"), |found: Option<&Secret>| {
            let data = found.and_then(|secret| secret.data.as_ref());
            data.and_then(|data| data.get(key)).is_some_and(|found| found.0 == value.as_bytes())
        })
        .await
    }

    /// Waits until a store has this state, and gives the message.
    pub async fn store_is(&self, name: &str, status: &str, reason: &str) -> String {
        let store = wait::until(&self.stores(), name, reason, |store: Option<&SecretStore>| {
            store.and_then(store_ready).is_some_and(|ready| ready.status == status && ready.reason == reason)
        })
        .await;
        store_ready(&store).map(|ready| ready.message.clone()).unwrap_or_default()
    }

    /// Asks for a refresh now.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn refresh(&self, name: &str, nonce: &str) -> kube::Result<()> {
        let patch = json!({"metadata": {"annotations": {names::REFRESH: nonce}}});
        self.external().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
    }
}

/// The spec of a store for a Vault's KV v2 at `secret/`.
#[must_use]
pub fn vault_spec(url: &str, token: &str) -> Value {
    json!({"provider": {"vault": {
        "server": url, "path": "secret", "version": "v2",
        "auth": {"tokenSecretRef": {"name": token, "key": "token"}},
    }}})
}

/// The spec of an ExternalSecret with one key from one property.
#[must_use]
pub fn one(store: &str, secret_key: &str, key: &str, property: &str) -> Value {
    json!({
        "secretStoreRef": {"name": store},
        "data": [{"secretKey": secret_key, "remoteRef": {"key": key, "property": property}}],
    })
}

/// The condition, where it speaks of the present generation.
#[must_use]
pub fn ready(object: &ExternalSecret) -> Option<&Condition> {
    let status = object.status.as_ref()?;
    let ready = conditions::get(&status.conditions, ConditionType::Ready)?;
    (ready.observed_generation == object.metadata.generation).then_some(ready)
}

/// The condition of a store, where it speaks of the present generation.
#[must_use]
pub fn store_ready(object: &SecretStore) -> Option<&Condition> {
    let status = object.status.as_ref()?;
    let ready = conditions::get(&status.conditions, ConditionType::Ready)?;
    (ready.observed_generation == object.metadata.generation).then_some(ready)
}
