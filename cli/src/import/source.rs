//! What is imported: a native alertmanager.yaml, or the Secret that holds it.

use std::path::Path;

use serde_json::Value;
use waxwing_core::{
    Secret,
    manifest::{self, Content},
    yaml::{self, Document},
};
use zeroize::Zeroizing;

use crate::{
    error::{Explain, Failure, Result},
    input,
};

/// A configuration, and where it was.
pub(crate) struct Found {
    /// The text that it is read from.
    pub(super) text: Zeroizing<String>,
    pub(super) document: Document,
    /// Namespace, name and key of the Secret that held it.
    pub(crate) secret: Option<(Option<String>, String, String)>,
}

/// The usual key.
const KEY: &str = "alertmanager.yaml";

/// Reads a file. A Secret has the configuration under `key`, the usual key, or its only one.
pub(crate) fn read(path: &Path, key: Option<&str>) -> Result<Found> {
    let text = input::read(path)?;
    let place = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    find(&text, key).at(place)
}

pub(super) fn find(text: &Secret, key: Option<&str>) -> Result<Found> {
    let (all, document) = only_document(text)?;
    if document.value.get("kind").and_then(Value::as_str) != Some("Secret") {
        if document.value.get("route").is_none() {
            return Err(Failure::new("there is no Alertmanager configuration in it: it has no route")
                .hint("name an alertmanager.yaml, or the manifest of the Secret that holds it"));
        }
        return Ok(Found { text: all, document, secret: None });
    }
    let mut secrets = manifest::secrets(&all)?.into_iter().filter_map(|object| match object.content {
        Content::Secret(secret) => Some(secret),
        Content::Other(_) => None,
    });
    let secret = secrets.next().ok_or_else(|| Failure::new("the Secret in it cannot be read"))?;
    let named = |wanted: &str| secret.values.iter().find(|(key, _)| key.as_str() == wanted);
    let found = match (key, secret.values.as_slice()) {
        (Some(key), _) => named(key),
        (None, [only]) => Some(only),
        (None, _) => named(KEY),
    };
    let (key, config) = found.ok_or_else(|| {
        let keys: Vec<&str> = secret.values.iter().map(|(key, _)| key.as_str()).collect();
        Failure::new(format!("Secret {} has no such key; it has {}", secret.name, keys.join(", ")))
            .hint("name the one with the configuration by --key KEY")
    })?;
    if config.expose().starts_with(&[0x1f, 0x8b]) {
        return Err(Failure::new(format!("Secret {}, key {key}: is compressed", secret.name))
            .hint("that is what prometheus-operator has made; import the Secret that it was made from"));
    }
    let (text, document) = only_document(config).at(format!("Secret {}, key {key}", secret.name))?;
    Ok(Found { text, document, secret: Some((secret.namespace, secret.name, key.to_string())) })
}

/// The only YAML document of a text. What is wrong with it is told by place, never by content.
fn only_document(text: &Secret) -> Result<(Zeroizing<String>, Document)> {
    // Why exposed: to be parsed.
    let text = std::str::from_utf8(text.expose()).map_err(|_| Failure::new("is not UTF-8"))?;
    let text = Zeroizing::new(text.to_owned());
    let mut documents = yaml::documents(&text)?;
    documents.retain(|document| !document.value.is_null());
    match (documents.pop(), documents.is_empty()) {
        (Some(document), true) => Ok((text, document)),
        (None, _) => Err(Failure::new("is empty")),
        (Some(_), false) => Err(Failure::new("holds more than one document")),
    }
}
