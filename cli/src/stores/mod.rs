//! Stores as they stand in manifests, reached from this machine with whatever credentials it has.
//!
//! What a store refers to is looked for in manifests too, in the namespace where a cluster would look: the store's own,
//! or the operator's for a ClusterSecretStore.

mod options;
mod reach;
mod references;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use waxwing_core::{
    Secret,
    external::{StoreKind, StoreRef},
    yaml::{self, YamlError},
};
use waxwing_crds::{
    ClusterSecretStore, ClusterSecretStoreSpec, SecretStore, SecretStoreSpec, StoreProvider, names,
};
use zeroize::Zeroizing;

pub(crate) use options::Options;
pub(crate) use reach::{Reach, missing_feature, runtime};

/// A namespace and a name.
type Key = (String, String);

/// Everything about stores that was found.
#[derive(Default)]
pub(crate) struct Manifests {
    /// By namespace, which is empty for a ClusterSecretStore, and name.
    pub(crate) stores: BTreeMap<(String, StoreRef), Vec<Store>>,
    secrets: BTreeMap<Key, BTreeMap<String, Secret>>,
    config_maps: BTreeMap<Key, BTreeMap<String, String>>,
    /// Labels of namespaces.
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
}

/// A store as it stands in a manifest.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    /// Where.
    pub(crate) file: PathBuf,
    /// At which line it begins.
    pub(crate) line: usize,
    /// What it says, or which field is not of its type.
    pub(crate) spec: Result<ClusterSecretStoreSpec, String>,
}

impl Store {
    /// Its provider, where it can be read.
    pub(crate) fn provider(&self) -> Option<&StoreProvider> {
        self.spec.as_ref().ok().map(|spec| &spec.provider)
    }
}

/// The kind of store that a manifest is, of whatever version of Waxwing's API.
pub(crate) fn kind_of(value: &Value) -> Option<StoreKind> {
    match value["kind"].as_str().filter(|_| is_ours(value)) {
        Some("SecretStore") => Some(StoreKind::SecretStore),
        Some("ClusterSecretStore") => Some(StoreKind::ClusterSecretStore),
        _ => None,
    }
}

/// Whether a manifest is of Waxwing's API: other tools have kinds of the same names.
pub(crate) fn is_ours(value: &Value) -> bool {
    value["apiVersion"].as_str().and_then(|version| version.split_once('/')).map(|(group, _)| group)
        == Some(names::GROUP)
}

/// Reads a store's spec.
pub(crate) fn read(kind: StoreKind, value: &Value) -> Result<ClusterSecretStoreSpec, YamlError> {
    match kind {
        StoreKind::ClusterSecretStore => {
            yaml::from_value::<ClusterSecretStore>(value).map(|store| store.spec)
        }
        StoreKind::SecretStore => yaml::from_value::<SecretStore>(value).map(|store| {
            let SecretStoreSpec { provider, refresh_interval } = store.spec;
            ClusterSecretStoreSpec { provider, refresh_interval, grants: Vec::new() }
        }),
    }
}

impl Manifests {
    /// Takes over an object if it is a store. Directories of this machine become paths below `folder`.
    pub(crate) fn store(&mut self, folder: &Path, file: &Path, line: usize, value: &Value) -> bool {
        let Some(kind) = kind_of(value) else { return false };
        let spec = if value["apiVersion"] == names::API_VERSION {
            read(kind, value).map_err(|error| error.to_string())
        } else {
            Err(format!("apiVersion is not {}", names::API_VERSION))
        };
        let spec = spec.map(|mut spec| {
            if let Some(file) = &mut spec.provider.file {
                // An absolute path stays as it is.
                file.directory = folder.join(&file.directory).display().to_string();
            }
            spec
        });
        let (namespace, name) = names_of(value);
        let namespace = if kind == StoreKind::SecretStore { namespace } else { String::new() };
        let store = Store { file: file.to_owned(), line, spec };
        self.stores.entry((namespace, StoreRef { kind, name })).or_default().push(store);
        true
    }

    /// Takes over an object if it is a Secret, a ConfigMap or a Namespace.
    pub(crate) fn referable(&mut self, value: &Value) {
        if value["apiVersion"] != "v1" {
            return;
        }
        let texts = |field: &str| {
            let values = value.pointer(field).and_then(Value::as_object).into_iter().flatten();
            values.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        };
        let key = names_of(value);
        match value["kind"].as_str() {
            Some("ConfigMap") => {
                self.config_maps.entry(key).or_default().extend(texts("/data"));
            }
            Some("Namespace") => {
                self.namespaces.entry(key.1).or_default().extend(texts("/metadata/labels"));
            }
            Some("Secret") => {
                let decoded = texts("/data").filter_map(|(key, text)| {
                    let text = Zeroizing::new(text);
                    Some((key, Secret::new(BASE64_STANDARD.decode(text.trim()).ok()?)))
                });
                let plain = texts("/stringData").map(|(key, text)| (key, Secret::new(text.into_bytes())));
                self.secrets.entry(key).or_default().extend(decoded.chain(plain));
            }
            _ => {}
        }
    }

    /// Takes over the values of a Secret that was opened.
    pub(crate) fn secret(
        &mut self,
        namespace: &str,
        name: &str,
        values: impl Iterator<Item = (String, Secret)>,
    ) {
        self.secrets.entry((namespace.to_owned(), name.to_owned())).or_default().extend(values);
    }

    /// The keys of a plain Secret, where a manifest gives it.
    pub(crate) fn secret_of(&self, namespace: &str, name: &str) -> Option<&BTreeMap<String, Secret>> {
        self.secrets.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// The keys of a ConfigMap, where a manifest gives it.
    pub(crate) fn config_map_of(&self, namespace: &str, name: &str) -> Option<&BTreeMap<String, String>> {
        self.config_maps.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// Every Secret that a store refers to.
    pub(crate) fn referenced(&self, operator_namespace: &str) -> BTreeSet<Key> {
        let mut found = BTreeSet::new();
        for ((namespace, store), stores) in &self.stores {
            let home = home(namespace, store, operator_namespace);
            for provider in stores.iter().filter_map(Store::provider) {
                let names = waxwing_providers::references(provider);
                found.extend(names.secrets.into_iter().map(|name| (home.to_owned(), name)));
            }
        }
        found
    }

    /// The labels of a namespace, where a manifest gives it.
    pub(crate) fn labels(&self, namespace: &str) -> Option<&BTreeMap<String, String>> {
        self.namespaces.get(namespace)
    }

    /// The directories that stores read.
    pub(crate) fn directories(&self) -> impl Iterator<Item = &Path> {
        let stores = self.stores.values().flatten().filter_map(Store::provider);
        stores.filter_map(|provider| Some(Path::new(&provider.file.as_ref()?.directory)))
    }
}

/// Where a store's references lie.
fn home<'a>(namespace: &'a str, store: &StoreRef, operator_namespace: &'a str) -> &'a str {
    match store.kind {
        StoreKind::SecretStore => namespace,
        StoreKind::ClusterSecretStore => operator_namespace,
    }
}

fn names_of(value: &Value) -> Key {
    let text = |field: &str| value["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}
