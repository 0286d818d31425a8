//! Plain input to seal: Secret manifests, `.env` files, registry credentials, TLS pairs.
//!
//! Everything here handles plaintext, so values go into [`Secret`] at once, what was parsed on the
//! way is wiped, and errors give places, never content. Nothing here seals or decides for whom.

mod dotenv;
mod kinds;
mod secrets;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, ops::Range};

use serde_json::Value;
use thiserror::Error;

pub use dotenv::{EnvProblem, dotenv};
pub use kinds::{
    DOCKER_CONFIG_KEY, DOCKER_CONFIG_TYPE, TLS_CERTIFICATE_KEY, TLS_PRIVATE_KEY_KEY, TLS_TYPE, docker_config,
    tls,
};
pub use secrets::{SecretProblem, secrets};

use crate::{Secret, seal::DataKey, yaml::YamlError};

/// The type of a Secret that names none.
pub const DEFAULT_TYPE: &str = "Opaque";

/// One object of a text.
pub struct Object {
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub content: Content,
}

/// What an object is.
pub enum Content {
    /// A Secret, read.
    Secret(SecretInput),
    /// Anything else, to pass through or to report.
    Other(Value),
}

/// Where an object stands in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Index of its document, empty ones counted.
    pub document: usize,
    /// Its index in a list.
    pub item: Option<usize>,
    /// The bytes of its document.
    pub range: Range<usize>,
    /// The line on which its document begins.
    pub line: usize,
}

/// A Secret as it is meant to be: what a cluster adds to one is left out.
pub struct SecretInput {
    /// Its namespace, if it says one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its type, `Opaque` if it says none.
    pub secret_type: String,
    /// `data`, and over it `stringData`, by key.
    pub values: Vec<(DataKey, Secret)>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations, without those in which tools keep a copy of the whole object.
    pub annotations: BTreeMap<String, String>,
    /// Whether it may not change.
    pub immutable: bool,
}

/// Why input was refused. Lines and columns count from 1; content is never shown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Registry credentials that cannot be written down.
    #[error("{0}")]
    DockerConfig(&'static str),
    /// A line of an `.env` file.
    #[error("line {line}: {problem}")]
    Env {
        /// The line.
        line: usize,
        /// What is wrong.
        problem: EnvProblem,
    },
    /// A certificate or a private key that is not what it should be.
    #[error("{what}: {problem}")]
    Pem {
        /// `certificate` or `private key`.
        what: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// A Secret manifest.
    #[error("document {}, line {line}, column {column}: {problem}", .document + 1)]
    Secret {
        /// Index of the document.
        document: usize,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
        /// What is wrong.
        problem: SecretProblem,
    },
    /// Not YAML.
    #[error(transparent)]
    Yaml(#[from] YamlError),
}
