//! The few things that the command reads from a cluster: KeyRings, sealed resources, and Secrets that the user allows to
//! be compared. What it writes there is in [`keys`], for `waxwing keys`, and in the quickstart, which has a namespace of its
//! own.

pub(crate) mod keys;
pub(crate) mod wrapped;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, Config, Resource,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::de::DeserializeOwned;
use waxwing_core::{
    Secret as Plaintext,
    seal::{Binding, DataKey},
};
use waxwing_crds::{KeyRing, SealedSecret, names};

use crate::error::{Explain, Failure, Result};

/// Objects in one answer.
const PAGE: u32 = 500;

/// A connection, by a context of the user's kubeconfig.
pub(crate) struct Cluster {
    runtime: tokio::runtime::Runtime,
    client: Client,
    context: String,
}

impl Cluster {
    /// Connects by a context, or by the current one.
    pub(crate) fn connect(context: Option<&str>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let kubeconfig = Kubeconfig::read().at("kubeconfig")?;
        let name =
            context.map(str::to_owned).or_else(|| kubeconfig.current_context.clone()).unwrap_or_default();
        let options = KubeConfigOptions { context: Some(name.clone()), ..KubeConfigOptions::default() };
        let config =
            runtime.block_on(Config::from_custom_kubeconfig(kubeconfig, &options)).map_err(|error| {
                Failure::from(error)
                    .at(format!("kubeconfig context {name}"))
                    .hint("kubectl config get-contexts lists the contexts")
            })?;
        // The client starts its tasks on the runtime it is made in.
        let client = {
            let _inside = runtime.enter();
            Client::try_from(config).at(format!("context {name}"))?
        };
        Ok(Self { runtime, client, context: name })
    }

    /// A KeyRing.
    pub(crate) fn key_ring(&self, name: &str) -> Result<KeyRing> {
        self.key_ring_if_any(name)?.ok_or_else(|| {
            Failure::new(format!("there is no KeyRing {name} in the cluster of context {}", self.context))
                .hint("install the operator first, or name another ring with --keyring")
        })
    }

    /// A KeyRing, if it exists.
    pub(crate) fn key_ring_if_any(&self, name: &str) -> Result<Option<KeyRing>> {
        self.found(Api::<KeyRing>::all(self.client.clone()), name)
    }

    /// Fails where the cluster has no KeyRings at all: asked for one of them, it answers as if that one were missing.
    pub(crate) fn refuse_without_definitions(&self) -> Result<()> {
        let api: Api<KeyRing> = Api::all(self.client.clone());
        match self.runtime.block_on(api.list_metadata(&ListParams::default().limit(1))) {
            Err(kube::Error::Api(status)) if status.code == 404 => Err(Failure::new(format!(
                "the cluster of context {} does not know KeyRings; nothing was written",
                self.context
            ))
            .hint("install the chart's definitions first: helm show crds charts/waxwing | kubectl apply --server-side -f -")),
            // Who may not list them may still read one.
            _ => Ok(()),
        }
    }

    fn secret(&self, namespace: &str, name: &str) -> Result<Option<Secret>> {
        self.found(Api::namespaced(self.client.clone(), namespace), name)
    }

    /// The value of a live Secret's key, if the operator made it from the token with this sequence
    /// number; the Secret's annotation says so.
    pub(crate) fn live_value(&self, binding: &Binding, key: &DataKey, seq: u64) -> Result<Option<Plaintext>> {
        let Some(secret) = self.secret(&binding.namespace, &binding.name)? else { return Ok(None) };
        let annotations = secret.metadata.annotations.unwrap_or_default();
        let made_from = annotations
            .get(names::SEQ)
            .and_then(|text| serde_json::from_str::<BTreeMap<String, u64>>(text).ok());
        if made_from.and_then(|seqs| seqs.get(key.as_str()).copied()) != Some(seq) {
            return Ok(None);
        }
        let value = secret.data.and_then(|mut data| data.remove(key.as_str()));
        Ok(value.map(|value| Plaintext::new(value.0)))
    }

    /// The context that is used.
    pub(crate) fn context(&self) -> &str {
        &self.context
    }

    /// For what only the quickstart does.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Waits for an answer.
    pub(crate) fn wait_for<T>(&self, answer: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
        self.runtime.block_on(answer)
    }

    /// A SealedSecret, if it exists.
    pub(crate) fn sealed_secret(&self, namespace: &str, name: &str) -> Result<Option<SealedSecret>> {
        self.found(Api::namespaced(self.client.clone(), namespace), name)
    }

    /// Every SealedSecret, or those of some namespaces.
    pub(crate) fn sealed_secrets(&self, namespaces: &[String]) -> Result<Vec<SealedSecret>> {
        let apis: Vec<Api<SealedSecret>> = match namespaces {
            [] => vec![Api::all(self.client.clone())],
            some => some.iter().map(|name| Api::namespaced(self.client.clone(), name)).collect(),
        };
        let mut all = Vec::new();
        for api in apis {
            let mut page = ListParams::default().limit(PAGE);
            loop {
                let list = self
                    .runtime
                    .block_on(api.list(&page))
                    .at(format!("SealedSecrets in the cluster of context {}", self.context))?;
                let next = list.metadata.continue_.clone().filter(|token| !token.is_empty());
                all.extend(list.items);
                match next {
                    Some(token) => page = page.continue_token(&token),
                    None => break,
                }
            }
        }
        Ok(all)
    }

    fn found<K>(&self, api: Api<K>, name: &str) -> Result<Option<K>>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let kind = K::kind(&());
        self.runtime.block_on(api.get_opt(name)).at(format!("{kind} {name}"))
    }
}
