//! What a value is bound to, and the bytes that bind it.

use std::{fmt, str::FromStr};

use super::{DataKey, FormatError};

/// How far a sealed value may travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Opens only under its name in its namespace.
    Strict,
    /// Opens under any name in its namespace.
    Namespace,
    /// Opens anywhere, where the ring's policy allows this scope at all.
    Cluster,
}

impl Scope {
    /// As it stands in `spec.scope`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Namespace => "namespace",
            Self::Cluster => "cluster",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        [Self::Strict, Self::Namespace, Self::Cluster]
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or(FormatError::UnknownScope)
    }
}

/// Where values live, always read from the live object and never from a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// How far the values may travel.
    pub scope: Scope,
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Type of the Secret that is made, such as `Opaque`.
    pub secret_type: String,
}

impl Binding {
    /// The additional data of one value, `docs/FORMAT.md#binding`:
    /// `"wax1/value\0" || LP(scope) || LP(namespace) || LP(name) || LP(type) || LP(key) || u64be(seq) || commit`,
    /// namespace and name left empty where the scope does not bind them.
    pub(super) fn aad(&self, key: &DataKey, seq: u64, commit: &[u8; 32]) -> Vec<u8> {
        let namespace = match self.scope {
            Scope::Strict | Scope::Namespace => self.namespace.as_str(),
            Scope::Cluster => "",
        };
        let name = match self.scope {
            Scope::Strict => self.name.as_str(),
            Scope::Namespace | Scope::Cluster => "",
        };
        let fields = [self.scope.as_str(), namespace, name, &self.secret_type, key.as_str()];
        let size = fields.iter().map(|field| 4 + field.len()).sum::<usize>();
        let mut aad = Vec::with_capacity(11 + size + 8 + 32);
        aad.extend_from_slice(b"wax1/value\0");
        for field in fields {
            // Every field is far below 4 GiB: the API server bounds names, `limits` the rest.
            aad.extend_from_slice(&(field.len() as u32).to_be_bytes());
            aad.extend_from_slice(field.as_bytes());
        }
        aad.extend_from_slice(&seq.to_be_bytes());
        aad.extend_from_slice(commit);
        aad
    }
}
