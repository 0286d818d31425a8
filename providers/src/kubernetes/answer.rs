//! What the API server answers. Only positions of it are told, and here not even those: it is never for people to mend.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{self, Write},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use waxwing_core::{
    Secret,
    store::{Entry, Failure, Kind},
};
use zeroize::Zeroizing;

/// One page of a search.
pub(super) struct Page {
    /// The Secrets.
    pub(super) items: Vec<Metadata>,
    /// What to ask the next page with.
    pub(super) next: Option<String>,
}

/// What a search and `metadataPolicy: Fetch` go by.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    /// The Secret's name.
    pub(super) name: String,
    /// Its version.
    pub(super) resource_version: String,
    /// Its labels.
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Metadata {
    /// Labels and annotations as a JSON object.
    ///
    /// # Errors
    /// None that can happen.
    pub(super) fn json(mut self) -> Result<Secret, Failure> {
        #[derive(Serialize)]
        struct Shown<'a> {
            labels: &'a BTreeMap<String, String>,
            annotations: &'a BTreeMap<String, String>,
        }
        // It holds the values of the Secret, as somebody once applied them.
        self.annotations.remove("kubectl.kubernetes.io/last-applied-configuration").map(Zeroizing::new);
        json(&Shown { labels: &self.labels, annotations: &self.annotations })
    }
}

/// The value of a Secret, or of one key in it.
///
/// # Errors
/// `EntryMissing` when it has no such key, `BadData` when the answer is no Secret.
pub(super) fn entry(body: &[u8], key: Option<&str>) -> Result<Entry, Failure> {
    #[derive(Deserialize)]
    struct Object<'a> {
        metadata: Version,
        // Base64 has nothing that JSON would escape, so every value can be borrowed and none is copied.
        #[serde(borrow, default)]
        data: Option<BTreeMap<Cow<'a, str>, &'a str>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        resource_version: String,
    }
    let object: Object<'_> = serde_json::from_slice(body).map_err(|_| BAD)?;
    let mut data = BTreeMap::new();
    for (name, text) in object.data.unwrap_or_default() {
        if key.is_none_or(|key| key == name) {
            let bytes = BASE64_STANDARD.decode(text).map(Zeroizing::new).map_err(|_| BAD)?;
            data.insert(name, bytes);
        }
    }
    let value = match key {
        Some(key) => {
            let bytes = data.remove(key);
            Secret::from(bytes.ok_or(Failure::new(Kind::EntryMissing, "the Secret has no such key"))?)
        }
        None => whole(&data)?,
    };
    Ok(Entry { value, version: Some(object.metadata.resource_version), lease: None })
}

/// A JSON object of the data: text as it is, and anything else in base64.
fn whole(data: &BTreeMap<Cow<'_, str>, Zeroizing<Vec<u8>>>) -> Result<Secret, Failure> {
    let encoded: BTreeMap<&str, Zeroizing<String>> = data
        .iter()
        .filter(|(_, bytes)| std::str::from_utf8(bytes).is_err())
        .map(|(name, bytes)| (&**name, Zeroizing::new(BASE64_STANDARD.encode(bytes))))
        .collect();
    let texts: BTreeMap<&str, &str> = data
        .iter()
        .filter_map(|(name, bytes)| {
            let text =
                std::str::from_utf8(bytes).ok().or_else(|| encoded.get(&**name).map(|text| text.as_str()));
            Some((&**name, text?))
        })
        .collect();
    json(&texts)
}

/// The metadata of one Secret.
///
/// # Errors
/// `BadData` when the answer has none.
pub(super) fn metadata(body: &[u8]) -> Result<Metadata, Failure> {
    serde_json::from_slice::<Object>(body).map(|object| object.metadata).map_err(|_| BAD)
}

/// One page of a list.
///
/// # Errors
/// `BadData` when it is none.
pub(super) fn page(body: &[u8]) -> Result<Page, Failure> {
    #[derive(Deserialize)]
    struct List {
        metadata: Next,
        #[serde(default)]
        items: Vec<Object>,
    }
    #[derive(Deserialize)]
    struct Next {
        #[serde(rename = "continue", default)]
        next: String,
    }
    let list: List = serde_json::from_slice(body).map_err(|_| BAD)?;
    // It becomes a part of a URL as it is.
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
    if !list.metadata.next.chars().all(plain) {
        return Err(BAD);
    }
    let items = list.items.into_iter().map(|object| object.metadata).collect();
    Ok(Page { items, next: Some(list.metadata.next).filter(|next| !next.is_empty()) })
}

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
}

/// As JSON, in a vector that never moves: that would leave unwiped copies behind.
fn json(value: &impl Serialize) -> Result<Secret, Failure> {
    let mut length = Length(0);
    serde_json::to_writer(&mut length, value).map_err(|_| BAD)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *bytes, value).map_err(|_| BAD)?;
    Ok(Secret::from(bytes))
}

/// Counts what is written.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const BAD: Failure = Failure::new(Kind::BadData, "the answer is none of an API server");

#[cfg(test)]
mod tests;
