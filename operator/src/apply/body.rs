//! The JSON of a produced Secret, in a buffer that is wiped.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Write},
};

use base64::{display::Base64Display, prelude::BASE64_STANDARD};
use hyper::body::Bytes;
use serde::{Serialize, Serializer, ser::SerializeMap};
use waxwing_core::{
    Secret,
    plan::{Data, Produced},
};
use zeroize::Zeroizing;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    #[serde(rename = "type")]
    secret_type: &'a str,
    /// Not written when it is false: the field would then be ours, and turning it off is refused anyway.
    #[serde(skip_serializing_if = "Option::is_none")]
    immutable: Option<bool>,
    data: Values<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    namespace: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
    labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    owner_references: Vec<Reference<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reference<'a> {
    api_version: &'a str,
    kind: &'a str,
    name: &'a str,
    uid: &'a str,
    controller: bool,
}

struct Values<'a>(&'a Data);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in self.0.iter() {
            map.serialize_entry(key.as_str(), &Base64(value))?;
        }
        map.end()
    }
}

/// Writes base64 straight into the buffer.
struct Base64<'a>(&'a Secret);

impl fmt::Display for Base64<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Why exposed: this is the write that the whole operator is for.
        fmt::Display::fmt(&Base64Display::new(self.0.expose(), &BASE64_STANDARD), f)
    }
}

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Counts, so that the buffer gets its size at once: growing would leave unwiped copies behind.
struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The Secret as JSON; an apply names the uid that it is meant for.
pub(super) fn of(produced: &Produced, uid: Option<&str>) -> Bytes {
    let body = Body {
        api_version: "v1",
        kind: "Secret",
        metadata: Metadata {
            namespace: &produced.namespace,
            name: &produced.name,
            uid,
            labels: &produced.labels,
            annotations: &produced.annotations,
            owner_references: produced
                .owner
                .iter()
                .map(|owner| Reference {
                    api_version: &owner.api_version,
                    kind: &owner.kind,
                    name: &owner.name,
                    uid: &owner.uid,
                    controller: owner.controller,
                })
                .collect(),
        },
        secret_type: &produced.secret_type,
        immutable: produced.immutable.then_some(true),
        data: Values(&produced.data),
    };
    bytes(&body)
}

/// Keys for a Secret of others, and nothing else: labels, annotations, owners and type stay theirs.
pub(super) fn merged(namespace: &str, name: &str, uid: &str, data: &Data) -> Bytes {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Merged<'a> {
        api_version: &'static str,
        kind: &'static str,
        metadata: Named<'a>,
        data: Values<'a>,
    }
    #[derive(Serialize)]
    struct Named<'a> {
        namespace: &'a str,
        name: &'a str,
        uid: &'a str,
    }
    let metadata = Named { namespace, name, uid };
    bytes(&Merged { api_version: "v1", kind: "Secret", metadata, data: Values(data) })
}

fn bytes(body: &impl Serialize) -> Bytes {
    let mut size = Count(0);
    serde_json::to_writer(&mut size, body).expect("texts and maps of texts are JSON");
    let mut bytes = Zeroizing::new(Vec::with_capacity(size.0));
    serde_json::to_writer(&mut *bytes, body).expect("texts and maps of texts are JSON");
    Bytes::from_owner(bytes)
}
