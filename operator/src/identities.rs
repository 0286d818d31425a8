//! Identities as Secrets: created once, read, and never changed or deleted by the operator. A Secret holds an identity
//! as it is, or wrapped by a key of Vault's or AWS's; those are opened in [`crate::protection`].
//!
//! Private keys pass through the client's buffers on their way; those are not wiped. Every other copy is.

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::{
    ByteString,
    api::core::v1::Secret as ApiSecret,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, PostParams},
};
use serde::{Deserialize, Deserializer};
use waxwing_core::{
    Secret,
    identity_secret::{self, Stored, WrappedIdentity},
    keys::{Identity, Recipient},
    plan::key_ring::{self, Found},
};
use waxwing_crds::{ProtectionKind, names};
use zeroize::{Zeroize as _, Zeroizing};

/// Picks the Secrets that may hold identities.
pub(crate) fn selector() -> String {
    format!("type={}", names::IDENTITY_TYPE)
}

/// What one Secret of the identity type holds.
#[derive(Clone)]
pub(crate) struct IdentitySecret {
    pub(crate) name: String,
    /// When the Secret was made, in Unix seconds.
    pub(crate) created_at: Option<i64>,
    /// The ring that its label names.
    pub(crate) ring: Option<String>,
    /// `None` when it is malformed, or wrapped and not opened.
    pub(crate) identity: Option<Identity>,
    /// How it is wrapped, where it is.
    pub(crate) wrapped: Option<WrappedIdentity>,
}

impl IdentitySecret {
    /// The recipient: derived from the private key, or what a wrapped one that was not opened says of itself.
    pub(crate) fn recipient(&self) -> Option<&Recipient> {
        let said = || self.wrapped.as_ref().map(|wrapped| &wrapped.recipient);
        self.identity.as_ref().map(Identity::recipient).or_else(said)
    }

    /// For the plan of the ring.
    pub(crate) fn found(&self) -> Found {
        Found {
            secret: self.name.clone(),
            recipient: self.recipient().cloned(),
            protection: self.wrapped.as_ref().map(|wrapped| wrapped.by.kind).unwrap_or_default(),
            wrapped_by: self.wrapped.as_ref().map(|wrapped| wrapped.by.key.clone()),
            locked: self.wrapped.is_some() && self.identity.is_none(),
        }
    }
}

/// A new identity, as its Secret is to hold it.
pub(crate) enum NewIdentity {
    /// As it is.
    Clear(Identity),
    /// Wrapped: nothing else of it is left here.
    Wrapped(WrappedIdentity),
}

impl NewIdentity {
    pub(crate) fn recipient(&self) -> &Recipient {
        match self {
            Self::Clear(identity) => identity.recipient(),
            Self::Wrapped(wrapped) => &wrapped.recipient,
        }
    }

    pub(crate) fn protection(&self) -> ProtectionKind {
        match self {
            Self::Clear(_) => ProtectionKind::None,
            Self::Wrapped(wrapped) => wrapped.by.kind,
        }
    }

    fn data(&self) -> BTreeMap<String, ByteString> {
        let data = match self {
            Self::Clear(identity) => identity_secret::data_of(identity),
            Self::Wrapped(wrapped) => wrapped.data(),
        };
        data.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value))).collect()
    }
}

/// A Secret that is wiped after it was sent, or was not.
struct Wiped(ApiSecret);

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.data.iter_mut().flat_map(BTreeMap::values_mut).for_each(|value| value.0.zeroize());
    }
}

/// The Secrets of the identity type in the operator's namespace, as they are now.
pub(crate) async fn read_all(client: &Client, namespace: &str) -> kube::Result<Vec<IdentitySecret>> {
    let api: Api<IncomingIdentity> = Api::namespaced(client.clone(), namespace);
    let params = ListParams::default().fields(&selector());
    Ok(api.list(&params).await?.into_iter().map(IncomingIdentity::read).collect())
}

/// Creates the Secret of a new identity.
pub(crate) async fn create(
    client: &Client,
    namespace: &str,
    ring: &str,
    identity: &NewIdentity,
) -> kube::Result<()> {
    let api: Api<ApiSecret> = Api::namespaced(client.clone(), namespace);
    let labels = [(names::KEY_RING, ring), (names::MANAGED_BY, names::MANAGER)];
    let secret = Wiped(ApiSecret {
        metadata: ObjectMeta {
            name: Some(key_ring::secret_name(ring, identity.recipient())),
            labels: Some(
                labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            ),
            ..ObjectMeta::default()
        },
        type_: Some(names::IDENTITY_TYPE.to_owned()),
        data: Some(identity.data()),
        immutable: Some(true),
        ..ApiSecret::default()
    });
    api.create(&PostParams::default(), &secret.0).await?;
    Ok(())
}

/// An identity Secret as it comes from the API server. Whatever its data, it can be read.
#[derive(Clone)]
struct IncomingIdentity {
    meta: ObjectMeta,
    /// Of [`names::IDENTITY_KEY`].
    key: Option<Secret>,
    /// Of the three keys of a wrapped one.
    wrapped: [Option<ByteString>; 3],
}

impl IncomingIdentity {
    fn read(self) -> IdentitySecret {
        let [text, recipient, by] =
            self.wrapped.each_ref().map(|value| value.as_ref().map(|value| &*value.0));
        let (identity, wrapped) = match Stored::read(|key| match key {
            // Why exposed: to be parsed.
            names::IDENTITY_KEY => self.key.as_ref().map(Secret::expose),
            names::IDENTITY_WRAPPED => text,
            names::IDENTITY_RECIPIENT => recipient,
            names::IDENTITY_PROTECTION => by,
            _ => None,
        }) {
            Stored::Identity(identity) => (Some(*identity), None),
            Stored::Wrapped(wrapped) => (None, Some(wrapped)),
            Stored::Malformed => (None, None),
        };
        IdentitySecret {
            name: self.name_any(),
            created_at: self.meta.creation_timestamp.as_ref().map(|time| time.0.as_second()),
            ring: self.labels().get(names::KEY_RING).cloned(),
            identity,
            wrapped,
        }
    }
}

impl std::fmt::Debug for IncomingIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IncomingIdentity").field("name", &self.meta.name).finish_non_exhaustive()
    }
}

impl<'de> Deserialize<'de> for IncomingIdentity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Only what is wanted: the rest of the data is passed over.
        #[derive(Deserialize)]
        struct Wire {
            metadata: Meta,
            #[serde(default)]
            data: Option<Data>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Meta {
            name: String,
            #[serde(default)]
            creation_timestamp: Option<Time>,
            #[serde(default)]
            labels: Option<BTreeMap<String, String>>,
        }
        /// Named as in [`names`].
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Data {
            identity: Option<ByteString>,
            wrapped: Option<ByteString>,
            recipient: Option<ByteString>,
            protection: Option<ByteString>,
        }
        let Wire { metadata, data } = Wire::deserialize(deserializer)?;
        let meta = ObjectMeta {
            name: Some(metadata.name),
            creation_timestamp: metadata.creation_timestamp,
            labels: metadata.labels,
            ..Default::default()
        };
        let Data { identity, wrapped, recipient, protection } = data.unwrap_or_default();
        let key = identity.map(|bytes| Secret::from(Zeroizing::new(bytes.0)));
        Ok(Self { meta, key, wrapped: [wrapped, recipient, protection] })
    }
}

impl Resource for IncomingIdentity {
    type DynamicType = ();
    type Scope = kube::core::NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Secret".into()
    }
    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }
    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }
    fn plural((): &()) -> Cow<'_, str> {
        "secrets".into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use waxwing_crds::WrappedBy;

    use super::*;

    fn read(secret: serde_json::Value) -> IdentitySecret {
        serde_json::from_value::<IncomingIdentity>(secret).expect("any Secret can be read").read()
    }

    #[test]
    fn what_is_created_can_be_read() {
        let identity = Identity::generate();
        let encoded = serde_json::to_value(ByteString(identity.to_text().expose().to_vec())).unwrap();
        let found = read(json!({
            "metadata": {"name": "waxwing-default-1", "labels": {"waxwing.dev/key-ring": "default"}},
            "data": {names::IDENTITY_KEY: encoded, "other": "AAAA"},
        }));
        assert_eq!(found.ring.as_deref(), Some("default"));
        assert_eq!(found.identity.unwrap().recipient(), identity.recipient());
    }

    /// K09. Guard: every part of the data is optional, and parsing yields an option.
    #[test]
    fn a_malformed_identity_is_read_as_none() {
        let utf16 = serde_json::to_value(ByteString(vec![0xff, 0xfe, 0x41])).unwrap();
        let text = serde_json::to_value(ByteString(b"AGE-SECRET-KEY-1NOPE".to_vec())).unwrap();
        for data in [
            json!(null),
            json!({}),
            json!({"identity": null}),
            json!({"identity": ""}),
            json!({"identity": utf16}),
            json!({"identity": text}),
            json!({"other": "AAAA"}),
        ] {
            let found = read(json!({"metadata": {"name": "broken"}, "data": data.clone()}));
            assert!(found.identity.is_none(), "{data}");
        }
        assert!(read(json!({"metadata": {"name": "broken"}})).identity.is_none());
    }

    /// What a Secret is to hold, as the API server gives it back.
    fn stored(identity: &NewIdentity) -> serde_json::Value {
        let metadata = json!({"name": "x", "creationTimestamp": "2026-11-21T20:40:00Z"});
        json!({"metadata": metadata, "data": identity.data()})
    }

    fn wrapped() -> WrappedIdentity {
        WrappedIdentity {
            recipient: Identity::generate().recipient().clone(),
            by: WrappedBy {
                kind: ProtectionKind::VaultTransit,
                key: "waxwing".to_owned(),
                ring: "default".to_owned(),
            },
            text: "vault:v1:canary".to_owned(),
        }
    }

    /// K29. Guard: what a wrapped one's Secret is to hold has no key `identity` (`WrappedIdentity::data`).
    #[test]
    fn a_wrapped_identity_can_be_read_and_is_locked_until_it_was_opened() {
        let wrapped = wrapped();
        let stored = stored(&NewIdentity::Wrapped(wrapped.clone()));
        assert!(stored["data"].get(names::IDENTITY_KEY).is_none());
        let found = read(stored);
        assert_eq!(found.wrapped.as_ref(), Some(&wrapped));
        assert_eq!(found.created_at, Some(1_795_293_600));
        let Found { recipient, protection, locked, .. } = found.found();
        assert_eq!(
            (recipient, protection, locked),
            (Some(wrapped.recipient), ProtectionKind::VaultTransit, true)
        );
    }

    /// K30. Guard: `Stored::read` takes nothing of a Secret that is both, and all three parts of one that is
    /// wrapped.
    #[test]
    fn what_is_half_wrapped_or_both_is_malformed() {
        let whole = stored(&NewIdentity::Wrapped(wrapped()));
        let clear = stored(&NewIdentity::Clear(Identity::generate()));
        let with = |key: &str, value: serde_json::Value| {
            let mut secret = whole.clone();
            secret["data"][key] = value;
            secret
        };
        let text = |text: &str| serde_json::to_value(ByteString(text.as_bytes().to_vec())).unwrap();
        for broken in [
            with("wrapped", json!(null)),
            with("wrapped", text("")),
            with("recipient", json!(null)),
            with("recipient", text("age1nope")),
            with("protection", json!(null)),
            with("protection", text("{}")),
            with("protection", text(r#"{"kind":"None","key":"k","ring":"r"}"#)),
            with("protection", text(r#"{"kind":"Other","key":"k","ring":"r"}"#)),
            with("identity", clear["data"]["identity"].clone()),
        ] {
            let found = read(broken.clone()).found();
            assert_eq!((found.recipient, found.locked), (None, false), "{broken}");
        }
    }
}
