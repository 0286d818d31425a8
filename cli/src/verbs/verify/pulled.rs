//! What can be found wrong with ExternalSecrets and stores without asking any store.

use std::sync::Arc;

use serde_json::Value;
use waxwing_core::{
    external::{Grants, Spec, StoreKind, StoreRef},
    yaml::{self, YamlError},
};
use waxwing_crds::{ClusterExternalSecret, ExternalSecret, Reason, duration, names};

use crate::stores::{self, Manifests, Reach, missing_feature};

/// Something that is wrong: where, if the YAML itself is it, and what.
pub(super) struct Fault {
    pub(super) line: Option<usize>,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Fault {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { line: None, reason: reason.as_str(), message: message.into() }
    }

    fn of_type(reason: Reason, error: &YamlError) -> Self {
        Self { line: error.position().map(|(line, _)| line), ..Self::new(reason, error.to_string()) }
    }
}

/// Whether an object is an ExternalSecret or a store of Waxwing's API.
pub(super) fn is_pulled(value: &Value) -> bool {
    let is_external = matches!(value["kind"].as_str(), Some("ExternalSecret" | "ClusterExternalSecret"));
    is_external && stores::is_ours(value) || stores::kind_of(value).is_some()
}

/// Everything that is wrong with one.
pub(super) fn faults(value: &Value, options: &stores::Options) -> Vec<Fault> {
    if value["apiVersion"] != names::API_VERSION {
        let message = "not an apiVersion that this version knows".to_owned();
        return vec![Fault { line: None, reason: "UnknownVersion", message }];
    }
    let found = match (stores::kind_of(value), value["kind"].as_str()) {
        (Some(kind), _) => store(kind, value, options),
        (None, Some("ClusterExternalSecret")) => cluster_external_secret(value),
        (None, _) => external_secret(value),
    };
    found.err().into_iter().collect()
}

fn external_secret(value: &Value) -> Result<(), Fault> {
    let object: ExternalSecret =
        yaml::from_value(value).map_err(|error| Fault::of_type(Reason::InvalidSpec, &error))?;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (namespace, name) = (text(&object.metadata.namespace), text(&object.metadata.name));
    check(&object.spec, &namespace, &name)
}

fn cluster_external_secret(value: &Value) -> Result<(), Fault> {
    let object: ClusterExternalSecret =
        yaml::from_value(value).map_err(|error| Fault::of_type(Reason::InvalidSpec, &error))?;
    let name = object.spec.external_secret_name.or(object.metadata.name).unwrap_or_default();
    check(&object.spec.external_secret_spec, "", &name)
}

fn check(spec: &waxwing_crds::ExternalSecretSpec, namespace: &str, name: &str) -> Result<(), Fault> {
    match Spec::read(spec, namespace, name) {
        Ok(_) => Ok(()),
        Err(error) => Err(Fault::new(error.reason(), error.to_string())),
    }
}

fn store(kind: StoreKind, value: &Value, options: &stores::Options) -> Result<(), Fault> {
    let spec = stores::read(kind, value).map_err(|error| Fault::of_type(Reason::InvalidStore, &error))?;
    let invalid = |message: String| Fault::new(Reason::InvalidStore, message);
    Grants::read(&spec.grants).map_err(|error| invalid(format!("spec.{error}")))?;
    if let Some(interval) = &spec.refresh_interval {
        duration::parse(interval).map_err(|error| invalid(format!("spec.refreshInterval: {error}")))?;
    }
    // What a provider itself refuses is known only to a build that has it, and a directory only where it is read.
    if missing_feature(&spec.provider).is_some() || spec.provider.file.is_some() {
        return Ok(());
    }
    let text = |field: &str| value["metadata"][field].as_str().unwrap_or_default().to_owned();
    let namespace = text("namespace");
    if kind == StoreKind::SecretStore && namespace.is_empty() {
        // Which hosts it may name depends on the namespace.
        return Ok(());
    }
    let reach = Reach::new(Manifests::default(), options);
    let store = StoreRef { kind, name: text("name") };
    match reach.connect_as_operator(&namespace, &store, &spec.provider) {
        Ok(provider) => {
            drop::<Arc<_>>(provider);
            Ok(())
        }
        Err(refused) => Err(Fault::new(refused.reason, refused.message)),
    }
}
