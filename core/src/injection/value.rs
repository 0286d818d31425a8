//! A `$store` reference as what it is short for: an ExternalSecret with one key.

use waxwing_crds::{
    ExternalData, ExternalSecretSpec, RemoteRef, SourceRef, StoreKind as CrdKind, StoreReference,
};

use crate::{
    external::{Spec, SpecError, StoreKind},
    inject::Reference,
};

/// What a reference to a store asks for; none where it is not one.
///
/// # Errors
/// What an ExternalSecret could not say either.
pub fn value(reference: &Reference) -> Option<Result<Spec, SpecError>> {
    let Reference::Store { store, key, property, version } = reference else { return None };
    let kind = match store.kind {
        StoreKind::ClusterSecretStore => CrdKind::ClusterSecretStore,
        StoreKind::SecretStore => CrdKind::SecretStore,
    };
    let store_ref = StoreReference { name: store.name.clone(), kind: Some(kind) };
    let remote_ref = RemoteRef {
        key: key.clone(),
        property: property.clone(),
        version: version.clone(),
        ..RemoteRef::default()
    };
    let data = ExternalData {
        secret_key: "value".to_owned(),
        remote_ref,
        source_ref: Some(SourceRef { store_ref: Some(store_ref) }),
    };
    let spec = ExternalSecretSpec { data: vec![data], ..ExternalSecretSpec::default() };
    Some(Spec::read(&spec, "", "value"))
}
