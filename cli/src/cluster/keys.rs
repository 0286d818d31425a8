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
    /// The ring that its label names.
    pub(crate) ring: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    /// What the ring can use of it.
    pub(crate) stored: Stored,
    /// Every private key that lies in it as it is, whether the ring can use it or not.
    pub(crate) clear: Vec<Identity>,
    /// Whose wrapped private key it says to hold, whether the ring can use it or not.
    said: Option<Recipient>,
}

/// What became of a Secret that was to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Created {
    /// It was made.
    New,
    /// The same identity was there already.
    Before,
    /// It was made under a further name, because one that is wrapped, or that nobody can use, has its name.
    Beside,
}

impl IdentitySecret {
    /// Whose private key the ring has in it, wrapped or not.
    pub(crate) fn recipient(&self) -> Option<&Recipient> {
        self.stored.recipient()
    }

    /// Every key whose private half lies in it, or is said to, whether the ring can use it or not.
    pub(crate) fn keys(&self) -> BTreeSet<&Recipient> {
        self.clear.iter().map(Identity::recipient).chain(&self.said).collect()
    }

    /// Reads one as the operator of a ring does.
    pub(crate) fn of(secret: Secret, ring: &str) -> Self {
        let ObjectMeta { name, uid, resource_version, labels, .. } = secret.metadata;
        let mut data = secret.data.unwrap_or_default();
        // Taken over at once, so that it is wiped.
        let key = data.remove(names::IDENTITY_KEY).map(|bytes| Plaintext::new(bytes.0));
        // Why exposed: to be parsed.
        let text = key.as_ref().map(Plaintext::expose);
        let stored = Stored::read(|name| match name {
            names::IDENTITY_KEY => text,
            other => data.get(other).map(|value| &*value.0),
        });
        let stored = match stored {
            Stored::Wrapped(wrapped) if wrapped.by.ring != ring => Stored::Malformed,
            stored => stored,
        };
        let lines = text.and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default().lines();
        let said = data.get(names::IDENTITY_RECIPIENT);
        Self {
            name: name.unwrap_or_default(),
            ring: labels.and_then(|mut labels| labels.remove(names::KEY_RING)),
            uid,
            resource_version,
            stored,
            clear: lines.filter_map(|line| Identity::parse(line).ok()).collect(),
            said: said.and_then(|said| std::str::from_utf8(&said.0).ok()?.parse().ok()),
        }
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

    /// The identity Secrets of a namespace, by name, as the operator of a ring reads them.
    pub(crate) fn identity_secrets(&self, namespace: &str, ring: &str) -> Result<Vec<IdentitySecret>> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let found = self
            .runtime
            .block_on(api.list(&of_type()))
            .map_err(unread)
            .at(format!("identity Secrets in namespace {namespace}"))?;
        Ok(found.items.into_iter().map(|secret| IdentitySecret::of(secret, ring)).collect())
    }

    /// Creates the Secret of an identity. One that is there already stays as it is.
    pub(crate) fn create_identity(
        &self,
        namespace: &str,
        ring: &str,
        identity: &Identity,
    ) -> Result<Created> {
        let name = secret_name(ring, identity.recipient());
        // The operator goes by the content, prefers what it can read to what is wrapped, and leaves out what it can't use.
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
            let there = IdentitySecret::of(there, ring);
            let is_same = is_of_type && there.recipient() == Some(identity.recipient());
            match there.stored {
                Stored::Identity(_) if is_same => return Ok(Created::Before),
                Stored::Wrapped(_) if is_same && created == Created::New => {}
                Stored::Malformed if is_of_type && created == Created::New => {}
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

    fn read(identity: &Identity, more: &[(&'static str, String)]) -> IdentitySecret {
        let mut data = identity_secret::data_of(identity);
        data.extend(more.iter().map(|(name, text)| (*name, text.clone().into_bytes())));
        let data = data.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value))).collect();
        IdentitySecret::of(Secret { data: Some(data), ..Secret::default() }, "default")
    }

    /// K34. Guard: `Stored::read`, by which the operator reads, takes nothing of a Secret that is both clear and wrapped.
    #[test]
    fn a_secret_that_the_operator_can_not_use_is_no_key_that_is_there() {
        let identity = Identity::generate();
        assert_eq!(read(&identity, &[]).recipient(), Some(identity.recipient()));
        let both = read(&identity, &[(names::IDENTITY_WRAPPED, "vault:v1:x".to_owned())]);
        assert_eq!(both.recipient(), None);
    }

    /// K34. Guard: the comparison of rings in `IdentitySecret::of`; the operator uses nothing that was wrapped for another.
    #[test]
    fn what_was_wrapped_for_another_ring_is_no_key_of_this_one() {
        let identity = Identity::generate();
        for (ring, is_ours) in [("default", true), ("payments", false)] {
            let by = json!({"kind": "VaultTransit", "key": "waxwing", "ring": ring}).to_string();
            let data = [
                (names::IDENTITY_WRAPPED, "vault:v1:x".to_owned()),
                (names::IDENTITY_RECIPIENT, identity.recipient().to_string()),
                (names::IDENTITY_PROTECTION, by),
            ];
            let data = data.map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes())));
            let secret =
                IdentitySecret::of(Secret { data: Some(data.into()), ..Secret::default() }, "default");
            assert_eq!(secret.recipient().is_some(), is_ours);
            assert_eq!(
                secret.keys(),
                BTreeSet::from([identity.recipient()]),
                "it may be in there all the same"
            );
        }
    }

    /// K34. Guard: `keys` goes by the bytes of a Secret, not by what the operator makes of them.
    #[test]
    fn a_private_key_is_seen_in_a_secret_that_nobody_can_use() {
        let (identity, other) = (Identity::generate(), Identity::generate());
        let both = read(&identity, &[(names::IDENTITY_WRAPPED, "vault:v1:x".to_owned())]);
        assert_eq!(both.keys(), BTreeSet::from([identity.recipient()]));
        let two = [&other, &identity].map(|one| String::from_utf8(one.to_text().expose().to_vec()).unwrap());
        let two = read(&identity, &[(names::IDENTITY_KEY, two.join("\n"))]);
        assert_eq!(two.recipient(), None);
        assert_eq!(two.keys(), BTreeSet::from([identity.recipient(), other.recipient()]));
    }
}
