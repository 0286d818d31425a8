//! Kubernetes Secret manifests, alone, in a stream or in a list.

use std::collections::BTreeMap;

use base64::{DecodeError, Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use super::{Content, DEFAULT_TYPE, ManifestError, Object, Place, SecretInput};
use crate::{
    Secret,
    seal::{DataKey, FormatError},
    yaml::{self, Document, edit::Step},
};

/// Annotations in which tools keep a copy of the object, its plaintext too.
const COPIES: [&str; 2] =
    ["kubectl.kubernetes.io/last-applied-configuration", "kubecfg.ksonnet.io/last-applied-configuration"];

/// What is wrong in a Secret manifest. Never says what stood there.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SecretProblem {
    /// `apiVersion` is missing, so nobody can tell whether it is a Secret to seal.
    #[error("a Secret without `apiVersion: v1`")]
    ApiVersion,
    /// A value under `data` is not base64.
    #[error("the value is not base64, from its character {} on; text belongs under `stringData`", .at + 1)]
    Base64 {
        /// Index of the first character that is wrong.
        at: usize,
    },
    /// A key name that Secrets do not take, a path for example.
    #[error("{0}")]
    Key(FormatError),
    /// `metadata.name` is missing; `generateName` is no name to bind values to.
    #[error("a Secret without `metadata.name`")]
    Name,
    /// Something else stands where text belongs.
    #[error("text belongs here; put it in quotes")]
    NotText,
    /// Something else stands where a mapping belongs.
    #[error("a mapping belongs here")]
    NotAMapping,
    /// `immutable` is neither true nor false.
    #[error("`immutable` is true or false")]
    Immutable,
}

/// Reads all objects of a text: every Secret with its values, everything else as it is.
///
/// Lists are taken apart. Base64 may be broken over lines, as the API server takes it, but is
/// strict otherwise.
pub fn secrets(text: &str) -> Result<Vec<Object>, ManifestError> {
    let mut documents = yaml::documents(text)?;
    let read = documents.iter().map(|document| objects(text, document)).collect::<Result<Vec<_>, _>>();
    for document in &mut documents {
        wipe(&mut document.value);
    }
    Ok(read?.into_iter().flatten().collect())
}

fn objects(text: &str, document: &Document) -> Result<Vec<Object>, ManifestError> {
    let reader = |item: Option<usize>| Reader { text, document, item };
    let items = match (kind(&document.value), document.value.get("items")) {
        ("List" | "SecretList", Some(Value::Array(items))) => items,
        _ => return Ok(vec![reader(None).object(&document.value, false)?]),
    };
    let all_secrets = kind(&document.value) == "SecretList";
    items.iter().enumerate().map(|(index, item)| reader(Some(index)).object(item, all_secrets)).collect()
}

fn kind(value: &Value) -> &str {
    value.get("kind").and_then(Value::as_str).unwrap_or_default()
}

/// Reads one object, and knows where it stands.
struct Reader<'a> {
    text: &'a str,
    document: &'a Document,
    item: Option<usize>,
}

impl Reader<'_> {
    fn object(&self, value: &Value, is_secret: bool) -> Result<Object, ManifestError> {
        let Document { index, range, line, .. } = self.document;
        let place = Place { document: *index, item: self.item, range: range.clone(), line: *line };
        let content = match (kind(value), value.get("apiVersion")) {
            ("Secret", Some(Value::String(version))) if version == "v1" => {
                Content::Secret(self.secret(value)?)
            }
            ("" | "Secret", None) if is_secret => Content::Secret(self.secret(value)?),
            ("Secret", None) => return Err(self.error(&["kind"], SecretProblem::ApiVersion)),
            _ => Content::Other(value.clone()),
        };
        Ok(Object { place, content })
    }

    fn secret(&self, value: &Value) -> Result<SecretInput, ManifestError> {
        let empty = Map::new();
        let metadata = self.map(value, &["metadata"])?.unwrap_or(&empty);
        let name = self.text_at(metadata.get("name"), &["metadata", "name"])?;
        let name = name
            .filter(|name| !name.is_empty())
            .ok_or_else(|| self.error(&["metadata"], SecretProblem::Name))?;
        let namespace = self.text_at(metadata.get("namespace"), &["metadata", "namespace"])?;
        let secret_type = self.text_at(value.get("type"), &["type"])?.filter(|kind| !kind.is_empty());
        let immutable = match value.get("immutable") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(immutable)) => *immutable,
            Some(_) => return Err(self.error(&["immutable"], SecretProblem::Immutable)),
        };
        let mut annotations = self.texts(value, "annotations")?;
        annotations.retain(|key, _| !COPIES.contains(&key.as_str()));
        Ok(SecretInput {
            namespace: namespace.filter(|namespace| !namespace.is_empty()).map(str::to_owned),
            name: name.to_owned(),
            secret_type: secret_type.unwrap_or(DEFAULT_TYPE).to_owned(),
            values: self.values(value)?,
            labels: self.texts(value, "labels")?,
            annotations,
            immutable,
        })
    }

    fn values(&self, value: &Value) -> Result<Vec<(DataKey, Secret)>, ManifestError> {
        let mut values = BTreeMap::new();
        for field in ["data", "stringData"] {
            for (key, value) in self.map(value, &[field])?.into_iter().flatten() {
                let wrong = |problem| self.error(&[field, key], problem);
                let name: DataKey = key.parse().map_err(|error| wrong(SecretProblem::Key(error)))?;
                let text = value.as_str().ok_or_else(|| wrong(SecretProblem::NotText))?;
                let secret = match field {
                    "data" => decode(text).map_err(|at| wrong(SecretProblem::Base64 { at }))?,
                    _ => Secret::new(text.as_bytes().to_vec()),
                };
                values.insert(name, secret);
            }
        }
        Ok(values.into_iter().collect())
    }

    fn texts(&self, value: &Value, field: &str) -> Result<BTreeMap<String, String>, ManifestError> {
        let entries = self.map(value, &["metadata", field])?;
        let text = |(key, value): (&String, &Value)| {
            let text = value
                .as_str()
                .ok_or_else(|| self.error(&["metadata", field, key], SecretProblem::NotText))?;
            Ok((key.clone(), text.to_owned()))
        };
        entries.into_iter().flatten().map(text).collect()
    }

    fn map<'v>(
        &self,
        value: &'v Value,
        path: &[&str],
    ) -> Result<Option<&'v Map<String, Value>>, ManifestError> {
        match path.iter().try_fold(value, |node, key| node.get(key)) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(_) => Err(self.error(path, SecretProblem::NotAMapping)),
        }
    }

    fn text_at<'v>(&self, value: Option<&'v Value>, path: &[&str]) -> Result<Option<&'v str>, ManifestError> {
        match value {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.error(path, SecretProblem::NotText)),
        }
    }

    /// An error at the entry that the path leads to, or at the nearest one above.
    fn error(&self, path: &[&str], problem: SecretProblem) -> ManifestError {
        let item = self.item.map(|index| [Step::from("items"), Step::from(index)]);
        let steps: Vec<_> =
            item.into_iter().flatten().chain(path.iter().map(|key| Step::from(*key))).collect();
        let found = (0..=steps.len())
            .rev()
            .find_map(|end| yaml::edit::locate(self.text, self.document, &steps[..end]));
        let (line, column) = found.unwrap_or((self.document.line, 1));
        ManifestError::Secret { document: self.document.index, line, column, problem }
    }
}

/// Decodes base64 that may be broken over lines; an error is the index of what is wrong.
fn decode(text: &str) -> Result<Secret, usize> {
    let mut joined = Zeroizing::new(Vec::with_capacity(text.len()));
    joined.extend(text.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r')));
    let mut bytes = Zeroizing::new(vec![0; joined.len() / 4 * 3 + 3]);
    let length =
        BASE64_STANDARD.decode_slice(joined.as_slice(), &mut bytes).map_err(|error| match error {
            base64::DecodeSliceError::DecodeError(
                DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol { offset: at, .. },
            ) => at,
            _ => joined.len(),
        })?;
    bytes.truncate(length);
    Ok(Secret::from(bytes))
}

/// Overwrites every text in a value that held plaintext.
pub(super) fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(entries) => entries.values_mut().for_each(wipe),
        _ => {}
    }
}
