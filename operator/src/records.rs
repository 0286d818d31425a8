//! What is kept of each watched object: as little as the decisions need, read leniently.
//!
//! An object is kept as the JSON text of its spec and status, about 3 KB, and decoded when it is looked at: a
//! decoded one takes several times that, and one that does not decode must not stop the watch of the others. Of a
//! Secret only metadata is ever asked for, and of that only what concerns ownership. Managed fields are dropped as
//! the text is read.

use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::Resource;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;
use waxwing_core::keys::KeyId;
use waxwing_crds::{
    Condition, ConditionType, SealedSecret, SealedSecretSpec, SealedSecretStatus, conditions, names,
};

use crate::store::{ObjectKey, Record};

/// The annotation that kubectl writes: a second copy of the whole object, of no use to us.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The metadata that is read at all.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    creation_timestamp: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_timestamp: Option<Time>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    finalizers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<i64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    name: String,
    namespace: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    owner_references: Vec<OwnerReference>,
    resource_version: String,
    uid: String,
}

impl From<Meta> for ObjectMeta {
    fn from(meta: Meta) -> Self {
        Self {
            annotations: Some(meta.annotations).filter(|map| !map.is_empty()),
            creation_timestamp: meta.creation_timestamp,
            deletion_timestamp: meta.deletion_timestamp,
            finalizers: Some(meta.finalizers).filter(|finalizers| !finalizers.is_empty()),
            generation: meta.generation,
            labels: Some(meta.labels).filter(|map| !map.is_empty()),
            name: Some(meta.name),
            namespace: Some(meta.namespace).filter(|namespace| !namespace.is_empty()),
            owner_references: Some(meta.owner_references).filter(|owners| !owners.is_empty()),
            resource_version: Some(meta.resource_version),
            uid: Some(meta.uid),
            ..Self::default()
        }
    }
}

/// A kind that is served.
pub trait Served: fmt::Debug + Clone + Send + Sync + 'static {
    /// Its definition.
    type Crd: Resource<DynamicType = ()>;
    /// Its spec.
    type Spec: DeserializeOwned + fmt::Debug + Clone + Send;
    /// Its status.
    type Status: DeserializeOwned + Default + fmt::Debug + Clone + Send;
    /// The kind's name.
    const KIND: &'static str;
    /// The generation and the conditions in a status.
    fn said(status: &Self::Status) -> (Option<i64>, &[Condition]);
    /// The identities that opened its values last, one entry a value.
    fn opened_by(_: &Self::Status) -> Box<[KeyId]> {
        Box::default()
    }
}

/// Marks SealedSecrets.
#[derive(Clone, Copy, Debug)]
pub enum Sealed {}

impl Served for Sealed {
    type Crd = SealedSecret;
    type Spec = SealedSecretSpec;
    type Status = SealedSecretStatus;
    const KIND: &'static str = "SealedSecret";

    fn said(status: &SealedSecretStatus) -> (Option<i64>, &[Condition]) {
        (status.observed_generation, &status.conditions)
    }

    fn opened_by(status: &SealedSecretStatus) -> Box<[KeyId]> {
        let present = status.keys.iter().filter(|key| key.removed != Some(true));
        present.filter_map(|key| key.key_id.parse().ok()).collect()
    }
}

/// A SealedSecret as it comes from the API server.
pub type IncomingSealed = Incoming<Sealed>;
/// What is kept of a SealedSecret.
pub type SealedRecord = ObjectRecord<Sealed>;
/// A SealedSecret that was decoded.
pub type DecodedSealed = Decoded<Sealed>;

/// An object as it comes from the API server: any spec and any status will do.
#[derive(Clone, Debug)]
pub struct Incoming<K> {
    meta: ObjectMeta,
    spec: Option<Box<RawValue>>,
    status: Option<Box<RawValue>>,
    kind: PhantomData<K>,
}

impl<'de, K> Deserialize<'de> for Incoming<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            metadata: Meta,
            spec: Option<Text>,
            status: Option<Text>,
        }
        let mut wire = Wire::deserialize(deserializer)?;
        wire.metadata.annotations.remove(LAST_APPLIED);
        let text = |text: Option<Text>| text.map(|Text(raw)| raw);
        let (spec, status) = (text(wire.spec), text(wire.status));
        Ok(Self { meta: wire.metadata.into(), spec, status, kind: PhantomData })
    }
}

/// Any JSON, as text.
///
/// It is taken from the input as it stands. Where a watch event has its `object` before its `type`, which the API
/// server never writes but a proxy that sorts keys does, serde has already read the object into values of its own when
/// it learns what it is: then they are written out again.
struct Text(Box<RawValue>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Text, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(map)).map(Text)
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(self, read: D) -> Result<Text, D::Error> {
                let value = serde_json::Value::deserialize(read)?;
                serde_json::value::to_raw_value(&value).map(Text).map_err(D::Error::custom)
            }
        }
        // The name by which serde_json knows that its text is wanted. Were it another one, the text would be read into
        // values and written out again: slower, and the same.
        deserializer.deserialize_newtype_struct("$serde_json::private::RawValue", Either)
    }
}

impl<K: Served> Resource for Incoming<K> {
    type DynamicType = ();
    type Scope = <K::Crd as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::Crd::kind(&())
    }
    fn group((): &()) -> Cow<'_, str> {
        K::Crd::group(&())
    }
    fn version((): &()) -> Cow<'_, str> {
        K::Crd::version(&())
    }
    fn plural((): &()) -> Cow<'_, str> {
        K::Crd::plural(&())
    }
    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

/// What is kept of an object.
#[derive(Debug)]
pub struct ObjectRecord<K> {
    uid: Box<str>,
    version: u64,
    /// Metadata, spec and status as JSON.
    metadata: Box<str>,
    spec: Box<str>,
    status: Box<str>,
    /// Whether the present generation is in effect.
    ready: bool,
    /// The identities that opened its values last, one entry a value.
    opened_by: Box<[KeyId]>,
    kind: PhantomData<K>,
}

/// An object that was decoded, as far as it could be.
#[derive(Clone, Debug)]
pub struct Decoded<K: Served> {
    /// Without managed fields.
    pub metadata: ObjectMeta,
    /// The spec, or where and why it is none; the message never quotes it.
    pub spec: Result<K::Spec, String>,
    /// What is malformed in it counts as absent.
    pub status: K::Status,
}

impl<K: Served> ObjectRecord<K> {
    /// Decodes the whole object.
    pub fn decode(&self) -> Decoded<K> {
        Decoded {
            metadata: serde_json::from_str::<Meta>(&self.metadata).unwrap_or_default().into(),
            spec: decode_spec(&self.spec),
            status: self.status(),
        }
    }

    /// Decodes the status alone.
    pub fn status(&self) -> K::Status {
        serde_json::from_str(&self.status).unwrap_or_default()
    }

    /// The JSON text of the spec, as the API server wrote it.
    pub fn spec_json(&self) -> &str {
        &self.spec
    }

    /// Whether the present generation is in effect, by the status.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// The identities that opened its values last, one entry a value, by the status.
    pub fn opened_by(&self) -> &[KeyId] {
        &self.opened_by
    }
}

impl<K: Served> From<Incoming<K>> for (ObjectKey, ObjectRecord<K>) {
    fn from(object: Incoming<K>) -> Self {
        let text = |raw: Option<Box<RawValue>>| raw.map_or_else(|| "{}".into(), Box::<str>::from);
        let status_text = text(object.status);
        let status: K::Status = serde_json::from_str(&status_text).unwrap_or_default();
        let (observed, conditions) = K::said(&status);
        let meta = object.meta;
        let key = ObjectKey::new(
            meta.namespace.as_deref().unwrap_or_default(),
            meta.name.as_deref().unwrap_or_default(),
        );
        let record = ObjectRecord {
            uid: meta.uid.clone().unwrap_or_default().into(),
            version: version(&meta),
            ready: conditions::is_true(conditions, ConditionType::Ready) && observed == meta.generation,
            opened_by: K::opened_by(&status),
            metadata: serde_json::to_string(&meta).unwrap_or_default().into(),
            spec: text(object.spec),
            status: status_text,
            kind: PhantomData,
        };
        (key, record)
    }
}

impl<K> Record for ObjectRecord<K> {
    fn version(&self) -> u64 {
        self.version
    }
    fn uid(&self) -> &str {
        &self.uid
    }
}

/// Decodes a spec. The message names the field and what is wrong with it, and quotes nothing.
fn decode_spec<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    // Keeping track of where it is costs more than the rest.
    if let Ok(spec) = serde_json::from_str(text) {
        return Ok(spec);
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { "spec".to_owned() } else { format!("spec.{path}") };
        let cause = error.inner().to_string();
        // serde quotes what it found in "invalid type: string \"...\", expected ..."; field names are safe.
        let cause = match cause.split_once(" at line ") {
            Some((missing, _)) if missing.starts_with("missing field") => missing.to_owned(),
            // The name is a field's, as the author wrote it; the list of those that exist helps less than the reference.
            Some((unknown, _)) if unknown.starts_with("unknown field `") => {
                let name = unknown.split('`').nth(1).unwrap_or_default();
                format!("this version has no field {}", name.chars().take(100).collect::<String>())
            }
            _ => "not of the expected type".to_owned(),
        };
        format!("{path}: {cause}")
    })
}

/// A Secret's metadata as it comes from the API server.
#[derive(Clone, Debug)]
pub struct IncomingSecret {
    meta: ObjectMeta,
}

impl<'de> Deserialize<'de> for IncomingSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            metadata: Meta,
        }
        let mut meta = Wire::deserialize(deserializer)?.metadata;
        meta.annotations.retain(|name, _| names::is_reserved(name));
        meta.labels.clear();
        Ok(Self { meta: meta.into() })
    }
}

impl Resource for IncomingSecret {
    type DynamicType = ();
    type Scope = kube::core::NamespaceResourceScope;

    /// Data is never asked for.
    fn metadata_api() -> bool {
        true
    }
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

/// What is kept of a Secret: nothing of its data, not even its type.
#[derive(Clone, Debug, PartialEq)]
pub struct SecretRecord {
    uid: Box<str>,
    version: u64,
    terminating: bool,
    /// Those under `waxwing.dev/`.
    annotations: Box<[(Box<str>, Box<str>)]>,
    owners: Box<[OwnerReference]>,
}

impl SecretRecord {
    /// The resource version, as the API writes it.
    pub fn resource_version(&self) -> String {
        self.version.to_string()
    }

    /// Whether its deletion has begun.
    pub fn is_terminating(&self) -> bool {
        self.terminating
    }

    /// An annotation under `waxwing.dev/`.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.iter().find(|(known, _)| &**known == name).map(|(_, value)| &**value)
    }

    /// The owner references.
    pub fn owners(&self) -> &[OwnerReference] {
        &self.owners
    }
}

impl From<&ObjectMeta> for SecretRecord {
    fn from(meta: &ObjectMeta) -> Self {
        let annotations = meta.annotations.iter().flatten();
        Self {
            uid: meta.uid.as_deref().unwrap_or_default().into(),
            version: version(meta),
            terminating: meta.deletion_timestamp.is_some(),
            annotations: annotations
                .filter(|(name, _)| names::is_reserved(name))
                .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
                .collect(),
            owners: meta.owner_references.iter().flatten().cloned().collect(),
        }
    }
}

impl From<IncomingSecret> for (ObjectKey, SecretRecord) {
    fn from(object: IncomingSecret) -> Self {
        let meta = &object.meta;
        let key = ObjectKey::new(
            meta.namespace.as_deref().unwrap_or_default(),
            meta.name.as_deref().unwrap_or_default(),
        );
        (key, meta.into())
    }
}

impl Record for SecretRecord {
    fn version(&self) -> u64 {
        self.version
    }
    fn uid(&self) -> &str {
        &self.uid
    }
}

fn version(meta: &ObjectMeta) -> u64 {
    meta.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
