//! The pure middle of an ExternalSecret: from its spec to what is asked of which store, and from the answers to the
//! values of the Secret.

pub mod cluster;
mod decode;
mod grant;
mod json;
mod key;
mod needs;
mod pattern;
pub mod plan;
mod property;
mod rewrite;
mod spec;
mod values;

pub(crate) use grant::Selector;
pub use grant::{GrantError, GrantFault, Grants};
pub use json::JsonFault;
pub use key::{KeyFault, check_key, check_path};
pub use needs::{Answer, Answers, Ask, Need, StoreKind, StoreRef};
pub use pattern::Pattern;
pub use spec::{Refresh, Spec, SpecError, SpecFault};
pub use values::{Place, ValueError, ValueFault, assemble, check_size};
pub use waxwing_crds::{
    CreationPolicy as Creation, DeletionPolicy as Deletion, MergePolicy, Rollout, RolloutKind,
};

/// Limits of an ExternalSecret, checked before anything is done.
pub mod limits {
    /// Bytes of all values together. Kubernetes takes 1 MiB of them, and etcd 1.5 MiB of the whole object, in which values
    /// are base64.
    pub const DATA_BYTES: usize = 1000 * 1024;
    /// Items in `dataFrom`.
    pub const DATA_FROM: usize = 64;
    /// Items in `data`, and in `target.template.data`.
    pub const KEYS: usize = 256;
    /// Tags, or parameters.
    pub const MAP: usize = 64;
    /// Bytes of a tag or parameter.
    pub const MAP_VALUE: usize = 16 * 1024;
    /// Steps of `rewrite`.
    pub const REWRITES: usize = 16;
    /// Workloads to restart.
    pub const ROLLOUTS: usize = 32;
    /// Stores in `secretStoreRefs`.
    pub const STORES: usize = 8;
    /// Bytes of a property or a name.
    pub const TEXT: usize = 1024;
    /// Bytes of a template for names: it runs once for each.
    pub const TRANSFORM: usize = 4 * 1024;
    /// Values in the Secret, and in every item of `dataFrom`.
    pub const VALUES: usize = 1024;
    /// Bytes of a version.
    pub const VERSION: usize = 256;
}
