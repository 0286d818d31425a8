//! What `waxwing keys` reads and writes in a cluster: KeyRings and identity Secrets, with the administrator's own rights.
//!
//! Every write has a precondition, so that nothing is written over what somebody else has just written: a resource
//! version for a KeyRing, its absence for a Secret that is created, uid and resource version for one that is deleted.
//! Private keys pass through the client's buffers on their way; those are not wiped. What is kept is.

use std::collections::BTreeSet;

use k8s_openapi::{
    ByteString,
    api::core::v1::{Namespace, Secret},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::{Value, json};
use waxwing_core::{
    Secret as Plaintext,
    identity_secret::{self, Stored},
    keys::{Identity, Recipient},
    plan::key_ring::secret_name,
};
use waxwing_crds::{KeyRing, SealedSecret, names};

use super::Cluster;
use crate::error::{Explain, Failure, Result};

/// The field manager of what this command writes.
const MANAGER: &str = "waxwing-cli";
/// Tries at a KeyRing that somebody else writes at the same time.
const TRIES: u32 = 5;

/// A Secret of the identity type.
pub(crate) struct IdentitySecret {
    /// Its name.
    pub(crate) name: String,
    uid: Option<String>,
    resource_version: Option<String>,
    /// What it holds.
    pub(crate) stored: Stored,
}

/// What became of a Secret that was to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Created {
    /// It was made.
    New,
    /// The same identity was there already.
    Before,
    /// It was made under a further name, because one that is wrapped has its name.
    Beside,
}

impl IdentitySecret {
    /// Whose private key it holds, wrapped or not.
    pub(crate) fn recipient(&self) -> Option<&Recipient> {
        self.stored.recipient()
    }

    fn of(secret: Secret) -> Self {
        let ObjectMeta { name, uid, resource_version, .. } = secret.metadata;
        let mut data = secret.data.unwrap_or_default();
        // Taken over at once, so that it is wiped.
        let key = data.remove(names::IDENTITY_KEY).map(|bytes| Plaintext::new(bytes.0));
        let stored = Stored::read(|name| match name {
            // Why exposed: to be parsed.
            names::IDENTITY_KEY => key.as_ref().map(Plaintext::expose),
            other => data.get(other).map(|value| &*value.0),
        });
        Self { name: name.unwrap_or_default(), uid, resource_version, stored }
    }
}

impl Cluster {
    /// Changes fields of a KeyRing's spec. `change` sees the ring as it is and gives the fields to write, or nothing where
    /// nothing is to do; it is asked again where somebody else wrote in between.
    pub(crate) fn change_ring(
        &self,
        name: &str,
        change: &dyn Fn(&KeyRing) -> Result<Option<Value>>,
    ) -> Result<()> {
        let api: Api<KeyRing> = Api::all(self.client.clone());
        for left in (0..TRIES).rev() {
            let ring = self.key_ring(name)?;
            let Some(fields) = change(&ring)? else { return Ok(()) };
            let patch = Patch::Merge(json!({
                "metadata": {"resourceVersion": ring.metadata.resource_version},
                "spec": fields,
            }));
            let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
            match self.runtime.block_on(api.patch(name, &params, &patch)) {
                Ok(_) => return Ok(()),
                Err(error) if is_conflict(&error) && left > 0 => {}
                Err(error) => return Err(error).at(format!("KeyRing {name}")),
            }
        }
        Err(Failure::new("somebody else changes it all the time").at(format!("KeyRing {name}")))
    }

    /// Creates a KeyRing.
    pub(crate) fn create_ring(&self, ring: &KeyRing) -> Result<()> {
        let name = ring.metadata.name.clone().unwrap_or_default();
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let api: Api<KeyRing> = Api::all(self.client.clone());
        self.runtime.block_on(api.create(&params, ring)).map(drop).at(format!("KeyRing {name}"))
    }

    /// The namespaces that have identity Secrets with this ring's label; nothing of the Secrets but their names is read.
    pub(crate) fn identity_namespaces(&self, ring: &str) -> Result<BTreeSet<String>> {
        let api: Api<Secret> = Api::all(self.client.clone());
        let params = of_type().labels(&format!("{}={ring}", names::KEY_RING));
        let found = self.runtime.block_on(api.list_metadata(&params)).map_err(unread).hint(
            "name the operator's namespace with --namespace; then only the Secrets there have to be readable",
        )?;
        Ok(found.items.into_iter().filter_map(|secret| secret.metadata.namespace).collect())
    }

    /// The identity Secrets of a namespace, by name.
    pub(crate) fn identity_secrets(&self, namespace: &str) -> Result<Vec<IdentitySecret>> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let found = self
            .runtime
            .block_on(api.list(&of_type()))
            .map_err(unread)
            .at(format!("identity Secrets in namespace {namespace}"))?;
        Ok(found.items.into_iter().map(IdentitySecret::of).collect())
    }

    /// Creates the Secret of an identity. One that is there already stays as it is.
    pub(crate) fn create_identity(
        &self,
        namespace: &str,
        ring: &str,
        identity: &Identity,
    ) -> Result<Created> {
        let name = secret_name(ring, identity.recipient());
        // The operator goes by the content, and prefers what it can read to what is wrapped.
        let further = format!("{name}-restored");
        for (name, created) in [(&name, Created::New), (&further, Created::Beside)] {
            let place = || format!("Secret {namespace}/{name}");
            match self.create_identity_as(namespace, ring, identity, name) {
                Ok(()) => return Ok(created),
                Err(error) if is_conflict(&error) => {}
                Err(error) => return Err(unread(error).at(place())),
            }
            let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
            let there = self.runtime.block_on(api.get(name)).map_err(unread).at(place())?;
            let is_of_type = there.type_.as_deref() == Some(names::IDENTITY_TYPE);
            let there = IdentitySecret::of(there);
            let is_same = is_of_type && there.recipient() == Some(identity.recipient());
            match there.stored {
                Stored::Identity(_) if is_same => return Ok(Created::Before),
                Stored::Wrapped(_) if is_same && created == Created::New => {}
                _ => {
                    return Err(Failure::new(format!("{} is there and holds something else", place())).hint(
                        "nothing is ever written over it; find out what it is, and move it out of the way",
                    ));
                }
            }
        }
        unreachable!("the last name decides")
    }

    fn create_identity_as(
        &self,
        namespace: &str,
        ring: &str,
        identity: &Identity,
        name: &str,
    ) -> kube::Result<()> {
        let labels = [(names::KEY_RING, ring), (names::MANAGED_BY, names::MANAGER)];
        let data = identity_secret::data_of(identity);
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: Some(labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
                ..ObjectMeta::default()
            },
            type_: Some(names::IDENTITY_TYPE.to_owned()),
            data: Some(data.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value))).collect()),
            immutable: Some(true),
            ..Secret::default()
        };
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        self.runtime.block_on(api.create(&params, &secret)).map(drop)
    }

    /// Deletes an identity Secret, if it is still the very one that was read.
    pub(crate) fn delete_identity(&self, namespace: &str, secret: &IdentitySecret) -> Result<()> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let preconditions =
            Preconditions { uid: secret.uid.clone(), resource_version: secret.resource_version.clone() };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let deleted = self.runtime.block_on(api.delete(&secret.name, &params));
        deleted.map(drop).map_err(unread).at(format!("Secret {namespace}/{}", secret.name))
    }

    /// Asks the operator for envelopes of one SealedSecret.
    pub(crate) fn propose(&self, object: &SealedSecret, nonce: &str) -> Result<()> {
        let ObjectMeta { namespace, name, uid, .. } = &object.metadata;
        let (namespace, name) =
            (namespace.as_deref().unwrap_or_default(), name.as_deref().unwrap_or_default());
        let patch = Patch::Merge(json!({
            "metadata": {"uid": uid, "annotations": {names::PROPOSE_REWRAP: nonce}},
        }));
        let api: Api<SealedSecret> = Api::namespaced(self.client.clone(), namespace);
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let patched = self.runtime.block_on(api.patch(name, &params, &patch));
        patched.map(drop).at(format!("SealedSecret {namespace}/{name}"))
    }

    /// What tells this cluster from others, where that may be read.
    pub(crate) fn uid(&self) -> Option<String> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        self.runtime.block_on(api.get_opt("kube-system")).ok().flatten()?.metadata.uid
    }

    /// Whether a namespace exists; `true` where that may not be read.
    pub(crate) fn has_namespace(&self, name: &str) -> bool {
        let api: Api<Namespace> = Api::all(self.client.clone());
        !matches!(self.runtime.block_on(api.get_opt(name)), Ok(None))
    }
}

fn of_type() -> ListParams {
    ListParams::default().fields(&format!("type={}", names::IDENTITY_TYPE))
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

/// An error about Secrets, without what a parser could quote of them.
fn unread(error: kube::Error) -> Failure {
    match error {
        kube::Error::SerdeError(_) => Failure::new("the API server's answer could not be read"),
        error => Failure::from(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// K34. Guard: `Stored::read`, by which the operator reads, takes nothing of a Secret that is both clear and wrapped.
    #[test]
    fn a_secret_that_the_operator_can_not_use_is_no_key_that_is_there() {
        let identity = Identity::generate();
        let read = |wrapped: Option<&str>| {
            let mut data = identity_secret::data_of(&identity);
            data.extend(wrapped.map(|text| (names::IDENTITY_WRAPPED, text.into())));
            let data = data.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value))).collect();
            IdentitySecret::of(Secret { data: Some(data), ..Secret::default() })
        };
        assert_eq!(read(None).recipient(), Some(identity.recipient()));
        assert_eq!(read(Some("vault:v1:x")).recipient(), None);
    }
}
