//! What a store refers to, from manifests.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use waxwing_core::{
    Secret,
    store::{Failure, Kind},
};
use waxwing_providers::{References, Token};

use super::Manifests;

/// The objects of one namespace, as far as manifests have them.
pub(super) struct InManifests {
    pub(super) manifests: Arc<Manifests>,
    pub(super) namespace: String,
}

impl InManifests {
    fn missing(&self, kind: &str, name: &str, what: &'static str) -> Failure {
        Failure::new(Kind::CredentialMissing, what).at(format!("{kind} {}/{name}", self.namespace))
    }

    fn find<'a, T>(
        &self,
        objects: &'a BTreeMap<super::Key, BTreeMap<String, T>>,
        kind: &str,
        name: &str,
        key: &str,
    ) -> Result<&'a T, Failure> {
        let object = objects.get(&(self.namespace.clone(), name.to_owned()));
        let object = object.ok_or_else(|| self.missing(kind, name, "no manifest here gives it"))?;
        object.get(key).ok_or_else(|| {
            Failure::new(Kind::CredentialMissing, "it has no such key")
                .at(format!("{kind} {}/{name}, key {key}", self.namespace))
        })
    }
}

#[async_trait]
impl References for InManifests {
    async fn secret(&self, name: &str, key: &str) -> Result<Secret, Failure> {
        self.find(&self.manifests.secrets, "Secret", name, key).cloned()
    }

    async fn config_map(&self, name: &str, key: &str) -> Result<String, Failure> {
        self.find(&self.manifests.config_maps, "ConfigMap", name, key).cloned()
    }

    async fn token(&self, service_account: &str, _: &[String], _: u32) -> Result<Token, Failure> {
        Err(self.missing("ServiceAccount", service_account, "there is no cluster here that makes its tokens"))
    }

    async fn service_account(&self, name: &str) -> Result<BTreeMap<String, String>, Failure> {
        Err(self.missing("ServiceAccount", name, "there is no cluster here that has it"))
    }
}
