//! Another cluster's KeyRing, for rotation in waves. It holds public keys only.

use waxwing_core::store::{Failure, Kind};
use waxwing_crds::{KeyRing, KubeconfigKey, KubernetesProvider, SecretKeyRef};

use super::{
    settings::Settings,
    wire::{JSON, Wire},
};
use crate::{Place, References};

/// Reads a KeyRing with a kubeconfig that lies where `references` looks.
///
/// # Errors
/// When the kubeconfig is not there or makes no sense, the server cannot be reached, or there is no such ring.
pub async fn key_ring(
    kubeconfig: &KubeconfigKey,
    ring: &str,
    place: &Place,
    references: &dyn References,
) -> Result<KeyRing, Failure> {
    let at = SecretKeyRef { name: kubeconfig.name.clone(), key: kubeconfig.key().to_owned() };
    let spec = KubernetesProvider { auth_ref: Some(at), ..KubernetesProvider::default() };
    let (access, _) = Settings::read(&spec, place)?.log_in(place, references).await?;
    let known = ring.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    if ring.is_empty() || !known {
        return Err(Failure::new(Kind::BadStore, "it is no name of a KeyRing").at("keyRing"));
    }
    let path = format!("/apis/{}/keyrings/{ring}", waxwing_crds::names::API_VERSION);
    let reply = Wire::new(access, &place.rules)?.get(&path, JSON).await?;
    match reply.status {
        200 => serde_json::from_slice(&reply.body)
            .map_err(|_| Failure::new(Kind::BadData, "the answer is no KeyRing")),
        401 => Err(Failure::new(Kind::Unauthenticated, "that API server does not accept the credentials")),
        403 => Err(Failure::new(Kind::Forbidden, "that side's RBAC does not allow getting the KeyRing")),
        404 => Err(Failure::new(Kind::EntryMissing, "there is no such KeyRing in that cluster")),
        429 => Err(Failure::new(Kind::Throttled, "that API server asks for fewer requests")),
        _ => Err(Failure::new(Kind::Unavailable, "that API server is in trouble")),
    }
}
