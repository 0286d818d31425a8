//! Identities as Secrets: created once, read, and never changed or deleted by the operator.
//!
//! Private keys pass through the client's buffers on their way; those are not wiped. What is kept is.

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::{
    ByteString, api::core::v1::Secret as ApiSecret, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, PostParams},
};
use serde::{Deserialize, Deserializer};
use waxwing_core::{Secret, keys::Identity, plan::key_ring};
use waxwing_crds::names;
use zeroize::Zeroizing;

/// Picks the Secrets that may hold identities.
pub(crate) fn selector() -> String {
    format!("type={}", names::IDENTITY_TYPE)
}

/// What one Secret of the identity type holds.
#[derive(Clone)]
pub(crate) struct IdentitySecret {
    pub(crate) name: String,
    /// The ring that its label names.
    pub(crate) ring: Option<String>,
    /// `None` when it is malformed.
    pub(crate) identity: Option<Identity>,
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
    identity: &Identity,
) -> kube::Result<()> {
    let api: Api<ApiSecret> = Api::namespaced(client.clone(), namespace);
    // Why exposed: this is the one place where a private key is stored.
    let key = ByteString(identity.to_text().expose().to_vec());
    let labels = [(names::KEY_RING, ring), (names::MANAGED_BY, names::MANAGER)];
    let secret = ApiSecret {
        metadata: ObjectMeta {
            name: Some(key_ring::secret_name(ring, identity.recipient())),
            labels: Some(
                labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            ),
            ..ObjectMeta::default()
        },
        type_: Some(names::IDENTITY_TYPE.to_owned()),
        data: Some([(names::IDENTITY_KEY.to_owned(), key)].into()),
        immutable: Some(true),
        ..ApiSecret::default()
    };
    api.create(&PostParams::default(), &secret).await?;
    Ok(())
}

/// An identity Secret as it comes from the API server. Whatever its data, it can be read.
#[derive(Clone)]
struct IncomingIdentity {
    meta: ObjectMeta,
    key: Option<Secret>,
}

impl IncomingIdentity {
    fn read(self) -> IdentitySecret {
        // Why exposed: to be parsed.
        let text = self.key.as_ref().and_then(|key| std::str::from_utf8(key.expose()).ok());
        IdentitySecret {
            name: self.name_any(),
            ring: self.labels().get(names::KEY_RING).cloned(),
            identity: text.and_then(|text| Identity::parse(text).ok()),
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
        struct Meta {
            name: String,
            #[serde(default)]
            labels: Option<BTreeMap<String, String>>,
        }
        #[derive(Deserialize)]
        struct Data {
            /// Of [`names::IDENTITY_KEY`].
            #[serde(default)]
            identity: Option<ByteString>,
        }
        let wire = Wire::deserialize(deserializer)?;
        let meta =
            ObjectMeta { name: Some(wire.metadata.name), labels: wire.metadata.labels, ..Default::default() };
        let key = wire.data.and_then(|data| data.identity).map(|bytes| Secret::from(Zeroizing::new(bytes.0)));
        Ok(Self { meta, key })
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
}
