//! What is asked of a provider, and what can come of it: plain values that the providers, the operator and
//! `waxwing render` share. Nothing here reaches a provider.

pub mod endpoint;
pub mod failure;

use std::{collections::BTreeMap, fmt};

use crate::Secret;

pub use failure::{Failure, Kind};

/// One value to be read. Two objects that ask the same thing of the same account share one request.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Read {
    /// The entry's name or path, as the resource gives it.
    pub key: String,
    /// Which version; without one, the newest.
    pub version: Option<String>,
    /// Read the entry's tags or labels as a JSON object, instead of its value.
    pub metadata: bool,
    /// What a dynamic engine is given, by name. Anything in it makes the request a write, such as issuing a certificate.
    pub parameters: BTreeMap<String, String>,
    /// For dynamic entries, which belong to one object each: that object's uid. Empty for all others.
    pub consumer: String,
}

/// Which entries are looked for. An entry has to match all that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Find {
    /// Only below this path.
    pub path: Option<String>,
    /// Only those whose name matches this regular expression.
    pub name: Option<String>,
    /// Only those with these tags.
    pub tags: BTreeMap<String, String>,
}

/// A value as a provider gave it.
#[derive(Clone)]
pub struct Entry {
    /// The bytes. Where an entry is a set of fields, as in Vault, they are a JSON object.
    pub value: Secret,
    /// What the provider calls this version, where it counts them. The same version of the same key never has another
    /// value.
    pub version: Option<String>,
    /// How long the value may be used, where the provider leases it.
    pub lease: Option<Lease>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("version", &self.version)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// For how long a dynamic value is good.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The provider's name for it; empty where the value just expires.
    pub id: String,
    /// Seconds from the answer on. Never more than the credentials have left that it hangs on.
    pub seconds: u64,
    /// Whether it can be prolonged.
    pub renewable: bool,
}
