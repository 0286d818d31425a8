//! A SealedSecret that could be produced: everything that can be found wrong with one without any key.
//!
//! `waxwing verify` and the operator both go through [`Spec::read`], so what one accepts the other accepts.

use std::collections::{BTreeMap, BTreeSet};

use waxwing_crds::{Reason, SealedSecret, SealedSecretSpec, TemplateMetadata, names};

use crate::{
    seal::{DataKey, FormatError, Sealed, limits},
    template::{TemplateError, Templates},
};

/// The spec of one SealedSecret, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The sealed values.
    pub sealed: Sealed,
    /// The values composed from them.
    pub templates: Templates,
    /// Labels of the Secret, without those that are dropped.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the Secret, without those that are dropped.
    pub annotations: BTreeMap<String, String>,
    /// Label and annotation keys that were dropped: a GitOps tool's tracking, and what Waxwing sets itself.
    pub dropped: BTreeSet<String>,
    /// Whether the Secret is immutable.
    pub immutable: bool,
}

/// Why a spec is refused before any key is tried. Names fields and keys, never content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// The sealed part is not canonical `wax1`, or too large.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// One key in both maps: it would depend on an order which of them wins.
    #[error("key {key} stands in data and in template.data")]
    KeyCollision {
        /// The key.
        key: DataKey,
    },
    /// The fields are not of the types that the CRD says.
    #[error("{what}")]
    Malformed {
        /// Which field, and what it should be.
        what: String,
    },
    /// A label or annotation that the API server would refuse.
    #[error("template.metadata.{field}: {what}")]
    MalformedMetadata {
        /// `labels` or `annotations`.
        field: &'static str,
        /// What is wrong.
        what: &'static str,
    },
    /// A label or annotation key that is Waxwing's own.
    #[error("template.metadata.{field} has a key under waxwing.dev/")]
    MetadataRefused {
        /// `labels` or `annotations`.
        field: &'static str,
    },
    /// A name that no API server takes.
    #[error("metadata.{field} is not one that Kubernetes takes: {}", grammar(field))]
    Name {
        /// `name` or `namespace`.
        field: &'static str,
    },
    /// A template that cannot work.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// More keys than a Secret of ours has.
    #[error("too much: keys in data and template.data (the limit is {})", limits::KEYS)]
    TooManyKeys,
    /// A Secret type that is Waxwing's own.
    #[error("types under waxwing.dev/ are Waxwing's own and are never produced")]
    TypeRefused,
}

impl SpecError {
    /// The reason that conditions and metrics show.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Format(error) => error.reason(),
            Self::KeyCollision { .. } => Reason::KeyCollision,
            Self::Malformed { .. } | Self::MalformedMetadata { .. } | Self::Name { .. } => {
                Reason::InvalidSpec
            }
            Self::MetadataRefused { .. } => Reason::MetadataRefused,
            Self::Template(error) => error.reason(),
            Self::TooManyKeys => Reason::LimitExceeded,
            Self::TypeRefused => Reason::TypeRefused,
        }
    }

    /// The data key that the error is about, if it is about one.
    pub fn key(&self) -> Option<&DataKey> {
        match self {
            Self::Format(error) => error.key(),
            Self::KeyCollision { key } => Some(key),
            Self::Template(error) => Some(&error.key),
            _ => None,
        }
    }
}

impl TryFrom<&SealedSecret> for Spec {
    type Error = SpecError;

    fn try_from(object: &SealedSecret) -> Result<Self, SpecError> {
        let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
        let name = object.metadata.name.as_deref().unwrap_or_default();
        Self::read(&object.spec, namespace, name)
    }
}

impl Spec {
    /// Checks a spec as it would be produced under this namespace and name.
    ///
    /// # Errors
    /// The first fault, in the order of the fields; limits before anything else.
    pub fn read(spec: &SealedSecretSpec, namespace: &str, name: &str) -> Result<Self, SpecError> {
        let sealed = Sealed::parse(spec, namespace, name)?;
        if !is_object_name(name) {
            return Err(SpecError::Name { field: "name" });
        }
        // A file without a namespace gets one by whoever applies it.
        if !namespace.is_empty() && !is_namespace(namespace) {
            return Err(SpecError::Name { field: "namespace" });
        }
        if names::is_refused_secret_type(&spec.secret_type) {
            return Err(SpecError::TypeRefused);
        }
        let template = spec.template.as_ref();
        let mut sources = BTreeMap::new();
        for (key, source) in template.iter().flat_map(|template| &template.data) {
            let key: DataKey = key.parse()?;
            if sealed.tokens().contains_key(&key) {
                return Err(SpecError::KeyCollision { key });
            }
            sources.insert(key, source.clone());
        }
        if sources.len() + sealed.tokens().len() > limits::KEYS {
            return Err(SpecError::TooManyKeys);
        }
        let lengths = sealed.tokens().keys().zip(spec.data.values());
        let lengths = lengths.map(|(key, token)| (key.clone(), token.len()));
        let templates = Templates::parse(sources, &spec.secret_type, lengths)?;
        let empty = TemplateMetadata::default();
        let metadata = template.and_then(|template| template.metadata.as_ref()).unwrap_or(&empty);
        let mut dropped = BTreeSet::new();
        Ok(Self {
            labels: kept("labels", &metadata.labels, is_label_value, &mut dropped)?,
            annotations: kept("annotations", &metadata.annotations, |_| true, &mut dropped)?,
            sealed,
            templates,
            dropped,
            immutable: spec.immutable.unwrap_or(false),
        })
    }

    /// Every key that the Secret will have.
    pub fn keys(&self) -> impl Iterator<Item = &DataKey> {
        self.sealed.tokens().keys().chain(self.templates.keys())
    }
}

/// Whether Kubernetes takes this as a namespace: at most 63 of `a-z0-9-`, with a letter or digit at both ends.
pub fn is_namespace(text: &str) -> bool {
    text.len() <= 63 && is_dns_part(text)
}

/// Whether Kubernetes takes this as the name of an object: at most 253 characters, in parts between dots that consist of
/// `a-z0-9-` with a letter or digit at both ends.
pub fn is_object_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_part)
}

fn is_dns_part(part: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !part.is_empty() && part.bytes().all(is_inner) && !part.starts_with('-') && !part.ends_with('-')
}

fn grammar(field: &str) -> &'static str {
    match field {
        "namespace" => "at most 63 of a-z, 0-9 and '-', with a letter or digit at both ends",
        _ => "at most 253 of a-z, 0-9, '-' and '.', with a letter or digit at both ends and beside each dot",
    }
}

/// The labels or annotations that reach the Secret. What identifies a tracked object to a GitOps tool would make that
/// tool own, and prune, the Secret; what Waxwing sets itself is Waxwing's.
pub(crate) fn kept(
    field: &'static str,
    entries: &BTreeMap<String, String>,
    is_value: fn(&str) -> bool,
    dropped: &mut BTreeSet<String>,
) -> Result<BTreeMap<String, String>, SpecError> {
    let malformed = |what| Err(SpecError::MalformedMetadata { field, what });
    let mut kept = BTreeMap::new();
    for (key, value) in entries {
        if names::is_reserved(key) {
            return Err(SpecError::MetadataRefused { field });
        }
        if !is_qualified_name(key) {
            return malformed("a key is not a name of at most 63 characters with an optional DNS prefix");
        }
        if !is_value(value) {
            return malformed(
                "a value has more than 63 characters, or other ones than letters, digits, '-', '_' and '.'",
            );
        }
        let ours = key == names::MANAGED_BY || names::PRODUCED_ANNOTATIONS.iter().any(|(own, _)| own == key);
        if ours || names::is_dropped(key) {
            dropped.insert(key.clone());
        } else {
            kept.insert(key.clone(), value.clone());
        }
    }
    let bytes: usize = kept.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > METADATA_BYTES { malformed("more than 64 KiB") } else { Ok(kept) }
}

/// Bytes of labels, and of annotations, that a template can set. The API server takes 256 KiB of annotations, and our
/// own may need more than half of that.
const METADATA_BYTES: usize = 64 * 1024;

/// `[prefix/]name` as Kubernetes takes it for labels and annotations.
fn is_qualified_name(text: &str) -> bool {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    !name.is_empty() && is_label_value(name) && prefix.is_none_or(is_object_name)
}

/// At most 63 letters, digits, dashes, underscores and dots, with a letter or digit at both ends.
pub(crate) fn is_label_value(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_end = |b: Option<&u8>| b.is_none_or(u8::is_ascii_alphanumeric);
    bytes.len() <= 63
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
        && is_end(bytes.first())
        && is_end(bytes.last())
}
