//! What the objects of a tree give to others: Secrets with their keys, ConfigMaps, stores, namespaces.
//!
//! Only names of keys are kept. Nothing is opened, pulled or asked.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use waxwing_core::{config::Glob, external::StoreRef};
use zeroize::Zeroizing;

use super::tree::{Kind, Object, Tree};

/// A namespace, empty where there is none, and a name.
type Name = (String, String);

/// What is there for others to refer to.
#[derive(Default)]
pub(crate) struct Known {
    secrets: BTreeMap<Name, Keys>,
    /// Secrets of ClusterExternalSecrets that select namespaces: they may be in any.
    anywhere: BTreeMap<String, Keys>,
    /// The namespaces in which a Secret of a name is.
    namespaces_of: BTreeMap<String, BTreeSet<String>>,
    config_maps: BTreeMap<Name, Keys>,
    stores: BTreeSet<(String, StoreRef)>,
    /// What somebody else makes, as `NAMESPACE/NAME`.
    elsewhere: Vec<Glob>,
    /// Labels of namespaces.
    pub(crate) labels: BTreeMap<String, BTreeMap<String, String>>,
    /// ConfigMaps and plain Secrets, whose text can be read.
    readable: BTreeMap<(bool, Name), Vec<usize>>,
}

/// The keys of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    names: BTreeSet<String>,
    /// Whether it may have others, too.
    open: bool,
}

/// Why a reference leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// There is no such key; those that there are.
    Key(Vec<String>),
    /// Nothing makes an object of this name.
    Object,
    /// It is in these namespaces.
    OtherNamespace(Vec<String>),
}

impl Known {
    /// Reads what every object gives.
    pub(crate) fn new(tree: &Tree, elsewhere: Vec<Glob>) -> Self {
        let mut known = Self { elsewhere, ..Self::default() };
        for (index, object) in tree.objects.iter().enumerate() {
            known.add(index, object, tree.value(object));
        }
        known
    }

    /// Whether a key of a Secret will be there.
    pub(crate) fn secret(&self, namespace: &str, name: &str, key: &str) -> Result<(), Lack> {
        if self.is_elsewhere(namespace, name) {
            return Ok(());
        }
        let at = (namespace.to_owned(), name.to_owned());
        let (own, shared) = (self.secrets.get(&at), self.anywhere.get(name));
        if own.is_none() && shared.is_none() {
            let others = self.namespaces_of.get(name).into_iter().flatten().cloned().collect::<Vec<_>>();
            return Err(if others.is_empty() { Lack::Object } else { Lack::OtherNamespace(others) });
        }
        has([own, shared], key)
    }

    /// Whether a key of a ConfigMap will be there.
    pub(crate) fn config_map(&self, namespace: &str, name: &str, key: &str) -> Result<(), Lack> {
        if self.is_elsewhere(namespace, name) {
            return Ok(());
        }
        match self.config_maps.get(&(namespace.to_owned(), name.to_owned())) {
            Some(keys) => has([Some(keys), None], key),
            None => Err(Lack::Object),
        }
    }

    /// Whether a store is here, for an object of this namespace.
    pub(crate) fn store(&self, namespace: &str, store: &StoreRef) -> bool {
        let namespace =
            if store.kind == waxwing_core::external::StoreKind::SecretStore { namespace } else { "" };
        self.is_elsewhere(namespace, &store.name)
            || self.stores.contains(&(namespace.to_owned(), store.clone()))
    }

    /// The text under a key of a ConfigMap or a plain Secret.
    pub(crate) fn text(
        &self,
        tree: &Tree,
        is_secret: bool,
        namespace: &str,
        name: &str,
        key: &str,
    ) -> Option<Zeroizing<String>> {
        let objects = self.readable.get(&(is_secret, (namespace.to_owned(), name.to_owned())))?;
        objects.iter().find_map(|index| {
            let value = tree.value(&tree.objects[*index]);
            let plain = if is_secret { &value["stringData"][key] } else { &value["data"][key] };
            if let Some(text) = plain.as_str() {
                return Some(Zeroizing::new(text.to_owned()));
            }
            let encoded = value["data"][key].as_str().filter(|_| is_secret)?;
            let bytes = Zeroizing::new(BASE64_STANDARD.decode(encoded.trim()).ok()?);
            std::str::from_utf8(&bytes).ok().map(|text| Zeroizing::new(text.to_owned()))
        })
    }

    fn is_elsewhere(&self, namespace: &str, name: &str) -> bool {
        let both = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
        self.elsewhere.iter().any(|glob| glob.matches(&both))
    }

    fn add(&mut self, index: usize, object: &Object, value: &Value) {
        let at = || (object.namespace.clone(), object.name.clone());
        match object.kind {
            Kind::ConfigMap => {
                let keys = self.config_maps.entry(at()).or_default();
                keys.add(&value["data"]);
                keys.add(&value["binaryData"]);
                self.readable.entry((false, at())).or_default().push(index);
            }
            Kind::Secret => {
                let mut keys = Keys::default();
                keys.add(&value["data"]);
                keys.add(&value["stringData"]);
                self.secret_of(at(), &keys);
                self.readable.entry((true, at())).or_default().push(index);
            }
            Kind::SealedSecret => {
                let mut keys = Keys::default();
                let spec = &value["spec"];
                keys.add(&spec["data"]);
                keys.add(&spec["encryptedData"]);
                keys.add(&spec["template"]["data"]);
                self.secret_of(at(), &keys);
            }
            Kind::ExternalSecret => {
                if let Some((name, keys)) = pulled(&value["spec"], &object.name) {
                    self.secret_of((object.namespace.clone(), name), &keys);
                }
            }
            Kind::ClusterExternalSecret => self.cluster_external_secret(object, &value["spec"]),
            Kind::Namespace => {
                let labels = value["metadata"]["labels"].as_object().into_iter().flatten();
                let labels =
                    labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
                self.labels.entry(object.name.clone()).or_default().extend(labels);
            }
            Kind::Store(kind) => {
                self.stores.insert((object.namespace.clone(), StoreRef { kind, name: object.name.clone() }));
            }
            Kind::AlertReceiver
            | Kind::AlertmanagerConfig
            | Kind::AlertmanagerInjection
            | Kind::GrafanaInjection
            | Kind::GrafanaOperator => {}
        }
    }

    fn secret_of(&mut self, at: Name, keys: &Keys) {
        self.namespaces_of.entry(at.1.clone()).or_default().insert(at.0.clone());
        self.secrets.entry(at).or_default().join(keys);
    }

    fn cluster_external_secret(&mut self, object: &Object, spec: &Value) {
        let child = spec["externalSecretName"].as_str().unwrap_or(&object.name);
        let Some((name, keys)) = pulled(&spec["externalSecretSpec"], child) else { return };
        for namespace in spec["namespaces"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            self.secret_of((namespace.to_owned(), name.clone()), &keys);
        }
        let selects = |field: &str| spec.get(field).is_some_and(|value| !value.is_null());
        if selects("namespaceSelector") || selects("namespaceSelectors") {
            self.anywhere.entry(name).or_default().join(&keys);
        }
    }
}

impl Keys {
    fn add(&mut self, map: &Value) {
        self.names.extend(map.as_object().into_iter().flatten().map(|(key, _)| key.clone()));
    }

    fn join(&mut self, other: &Self) {
        self.names.extend(other.names.iter().cloned());
        self.open |= other.open;
    }
}

fn has(keys: [Option<&Keys>; 2], key: &str) -> Result<(), Lack> {
    let all = || keys.into_iter().flatten();
    if all().any(|keys| keys.open || keys.names.contains(key)) {
        return Ok(());
    }
    Err(Lack::Key(all().flat_map(|keys| &keys.names).cloned().collect()))
}

/// The Secret that the spec of an ExternalSecret makes, and its keys.
fn pulled(spec: &Value, own_name: &str) -> Option<(String, Keys)> {
    let (target, template) = (&spec["target"], &spec["target"]["template"]);
    let policy = target["creationPolicy"].as_str();
    if policy == Some("None") {
        return None;
    }
    let name = target["name"].as_str().unwrap_or(own_name).to_owned();
    let is_some = |value: &Value| match value {
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => false,
    };
    // Keys that are added to somebody else's Secret are not all that it has.
    let mut keys =
        Keys { open: policy == Some("Merge") || is_some(&template["templateFrom"]), ..Keys::default() };
    keys.add(&template["data"]);
    let composes = is_some(&template["data"]) || is_some(&template["templateFrom"]);
    if !composes || template["mergePolicy"] == "Merge" {
        let data = spec["data"].as_array().into_iter().flatten();
        keys.names.extend(data.filter_map(|data| Some(data["secretKey"].as_str()?.to_owned())));
        keys.open |= is_some(&spec["dataFrom"]);
    }
    Some((name, keys))
}
