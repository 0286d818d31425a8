//! Every name that Waxwing puts on objects or reads from them: annotations, labels, types, field managers.
//!
//! `docs/reference/names.md` is generated from [`TABLE`]; a name that is not in it is not a name of ours.

use sha2::{Digest, Sha256};

/// The API group.
pub const GROUP: &str = "waxwing.dev";
/// The API version.
pub const VERSION: &str = "v1alpha1";
/// Group and version, as in `apiVersion`.
pub const API_VERSION: &str = "waxwing.dev/v1alpha1";
/// Label and annotation keys, and Secret types, that begin so are Waxwing's own: no input may set one.
pub const RESERVED_PREFIX: &str = "waxwing.dev/";

/// Annotation of a produced Secret: who owns it, as `<Kind>/<name>`.
pub const OWNED_BY: &str = "waxwing.dev/owned-by";
/// Annotation of an existing Secret: `"true"` lets Waxwing take over the keys it has a value for.
pub const ADOPT: &str = "waxwing.dev/adopt";
/// Annotation of a Waxwing object: `"true"` pauses it.
pub const SUSPEND: &str = "waxwing.dev/suspend";
/// Annotation of a SealedSecret: any new value asks for proposed envelopes.
pub const PROPOSE_REWRAP: &str = "waxwing.dev/propose-rewrap";
/// Annotation of a Waxwing object: any new value asks for a look right now.
pub const REFRESH: &str = "waxwing.dev/refresh";
/// Annotation of a produced Secret: the highest sequence number of each key, as JSON.
pub const SEQ: &str = "waxwing.dev/seq";
/// Label of an identity Secret: the ring it belongs to.
pub const KEY_RING: &str = "waxwing.dev/key-ring";
/// Label of a produced Secret, with the value [`MANAGER`].
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`].
pub const MANAGER: &str = "waxwing";
/// The type of Secrets that hold an identity.
pub const IDENTITY_TYPE: &str = "waxwing.dev/identity";
/// Identity Secrets, and no produced one in the operator's namespace, have names that begin so.
pub const RESERVED_NAME_PREFIX: &str = "waxwing-";

/// Annotations of every produced Secret: Argo CD neither reports it as extraneous nor prunes it.
pub const PRODUCED_ANNOTATIONS: [(&str, &str); 2] = [
    ("argocd.argoproj.io/compare-options", "IgnoreExtraneous"),
    ("argocd.argoproj.io/sync-options", "Prune=false"),
];

/// Secret types that are never produced: each gives its holder rights in the cluster.
pub const REFUSED_SECRET_TYPES: [&str; 2] =
    ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"];

/// Labels and annotations by which GitOps tools and clients track what they applied. On a produced Secret they would
/// make the tool believe that it owns the Secret, and prune it, so they are dropped from `template.metadata`.
pub const DROPPED_KEYS: [&str; 4] = [
    "argocd.argoproj.io/instance",
    "argocd.argoproj.io/tracking-id",
    "kubectl.kubernetes.io/last-applied-configuration",
    "kubecfg.ksonnet.io/last-applied-configuration",
];

/// Prefixes of keys that are dropped like [`DROPPED_KEYS`].
pub const DROPPED_PREFIXES: [&str; 3] =
    ["kustomize.toolkit.fluxcd.io/", "helm.toolkit.fluxcd.io/", "applyset.kubernetes.io/"];

/// One row of the reference page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Name {
    /// The name itself.
    pub name: &'static str,
    /// Where it stands.
    pub on: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

/// Every name of ours, for the reference page.
pub const TABLE: &[Name] = &[
    Name { name: OWNED_BY, on: "annotation of a produced Secret", meaning: "The owner, as `<Kind>/<name>`. A Secret without it is never touched unless it says `waxwing.dev/adopt: \"true\"`." },
    Name { name: ADOPT, on: "annotation of an existing Secret", meaning: "`\"true\"` lets Waxwing take over the keys that it has a value for. Keys of others stay." },
    Name { name: SEQ, on: "annotation of a produced Secret", meaning: "The highest sequence number seen for each key, as a JSON map; the floor for rollback detection." },
    Name { name: MANAGED_BY, on: "label of a produced Secret", meaning: "Always `waxwing`." },
    Name { name: SUSPEND, on: "annotation of a Waxwing object", meaning: "`\"true\"` pauses it; the produced Secret stays as it is." },
    Name { name: REFRESH, on: "annotation of a Waxwing object", meaning: "Any new value asks for a look right now." },
    Name { name: PROPOSE_REWRAP, on: "annotation of a SealedSecret", meaning: "Any new value asks for `status.proposedEnvelopes`, once for each list of recipients." },
    Name { name: KEY_RING, on: "label of an identity Secret", meaning: "The KeyRing that the identity was made for." },
    Name { name: IDENTITY_TYPE, on: "type of an identity Secret", meaning: "Only Secrets of this type, in the operator's namespace, are read as identities." },
];

/// Whether Waxwing never produces a Secret of this type.
#[must_use]
pub fn is_refused_secret_type(secret_type: &str) -> bool {
    REFUSED_SECRET_TYPES.contains(&secret_type) || is_reserved(secret_type)
}

/// Whether a label key, annotation key or Secret type is Waxwing's own.
#[must_use]
pub fn is_reserved(key: &str) -> bool {
    key.starts_with(RESERVED_PREFIX)
}

/// Whether a label or annotation key belongs to a GitOps tool's or client's tracking, and is dropped.
#[must_use]
pub fn is_dropped(key: &str) -> bool {
    DROPPED_KEYS.contains(&key) || DROPPED_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

/// The value of [`OWNED_BY`] for one owner.
#[must_use]
pub fn owned_by(kind: &str, name: &str) -> String {
    format!("{kind}/{name}")
}

/// The field manager of one object: with a shared one, two objects that merge into one Secret would delete each
/// other's keys. The name is hashed because a field manager is limited to 128 characters and a name is not.
#[must_use]
pub fn field_manager(kind: &str, name: &str) -> String {
    let digest = Sha256::digest(name.as_bytes());
    let hash: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("waxwing/{}/{hash}", kind.to_lowercase())
}
