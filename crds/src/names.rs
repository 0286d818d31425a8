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
/// Annotation of a produced Secret that was adopted: it outlives its owner, so it gets no owner reference.
pub const ADOPTED: &str = "waxwing.dev/adopted";
/// Annotation of a Waxwing object: `"true"` pauses it.
pub const SUSPEND: &str = "waxwing.dev/suspend";
/// Annotation of a SealedSecret: any new value asks for proposed envelopes.
pub const PROPOSE_REWRAP: &str = "waxwing.dev/propose-rewrap";
/// Annotation of a Waxwing object: any new value asks for a look right now.
pub const REFRESH: &str = "waxwing.dev/refresh";
/// Annotation of a produced Secret: the highest sequence number of each key, as JSON.
pub const SEQ: &str = "waxwing.dev/seq";
/// Annotation of a produced Secret with composed values: a digest of the templates' text.
pub const TEMPLATE: &str = "waxwing.dev/template";
/// Annotation of a workload's pod template: a keyed digest of the Secret that the workload was restarted for.
pub const RESTARTED_FOR: &str = "waxwing.dev/restarted-for";
/// Label of a history Secret: the uid of the injection whose revision it holds.
pub const HISTORY_OF: &str = "waxwing.dev/history-of";
/// Annotation of a history Secret: the number of the revision.
pub const REVISION: &str = "waxwing.dev/revision";
/// Annotation of a history Secret: the number of its revision when every endpoint was seen with it.
pub const LOADED: &str = "waxwing.dev/loaded";
/// Annotation of a history Secret whose revision was not loaded in time: its number, a slash, and the value that
/// [`REFRESH`] had then.
pub const FAILED: &str = "waxwing.dev/failed";
/// Finalizer of a GrafanaInjection: what it has put into Grafana is deleted there first.
pub const GRAFANA_FINALIZER: &str = "waxwing.dev/grafana";
/// Label of an identity Secret: the ring it belongs to.
pub const KEY_RING: &str = "waxwing.dev/key-ring";
/// Label of a produced Secret, with the value [`MANAGER`].
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`].
pub const MANAGER: &str = "waxwing";
/// The type of Secrets that hold an identity.
pub const IDENTITY_TYPE: &str = "waxwing.dev/identity";
/// The data key of an identity Secret: one `AGE-SECRET-KEY-1…` line, comments allowed.
pub const IDENTITY_KEY: &str = "identity";
/// The data key of a wrapped identity, in place of [`IDENTITY_KEY`]: what Vault or AWS KMS made of it.
pub const IDENTITY_WRAPPED: &str = "wrapped";
/// The data key of a wrapped identity's recipient, which is public.
pub const IDENTITY_RECIPIENT: &str = "recipient";
/// The data key of how an identity is wrapped: a [`crate::WrappedBy`] as JSON.
pub const IDENTITY_PROTECTION: &str = "protection";
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
pub const DROPPED_KEYS: [&str; 5] = [
    "argocd.argoproj.io/instance",
    "argocd.argoproj.io/tracking-id",
    "config.k8s.io/owning-inventory",
    "kubecfg.ksonnet.io/last-applied-configuration",
    "kubectl.kubernetes.io/last-applied-configuration",
];

/// Prefixes of keys that are dropped like [`DROPPED_KEYS`].
pub const DROPPED_PREFIXES: [&str; 6] = [
    "applyset.kubernetes.io/",
    "helm.toolkit.fluxcd.io/",
    "kapp.k14s.io/",
    "kustomize.toolkit.fluxcd.io/",
    "meta.helm.sh/",
    "objectset.rio.cattle.io/",
];

/// What is deliberately not dropped, for the reference page. Argo CD can be set to track by the label
/// `app.kubernetes.io/instance`, but charts and selectors use it for their own ends, so a template may set it;
/// [`PRODUCED_ANNOTATIONS`] keep Argo CD from acting on it. Its labels that give a Secret a meaning, such as
/// `argocd.argoproj.io/secret-type`, are no marks at all.
pub const DROPPED_NOTE: &str = "
`app.kubernetes.io/instance` is kept, although Argo CD can be set to track by it: charts and selectors use it for
their own ends, and the two annotations above keep Argo CD from acting on it. `argocd.argoproj.io/secret-type` is kept
too, because it gives a Secret its meaning and marks no owner.
";

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
    Name {
        name: OWNED_BY,
        on: "annotation of a produced Secret",
        meaning: "The owner, as `<Kind>/<name>`. A Secret without it is never touched unless it says `waxwing.dev/adopt: \"true\"`.",
    },
    Name {
        name: ADOPT,
        on: "annotation of an existing Secret",
        meaning: "`\"true\"` lets Waxwing take over the keys that it has a value for. Keys of others stay.",
    },
    Name {
        name: ADOPTED,
        on: "annotation of a produced Secret",
        meaning: "`\"true\"` on an adopted Secret: it has no owner reference, and stays when its owner is deleted.",
    },
    Name {
        name: SEQ,
        on: "annotation of a produced Secret",
        meaning: "The highest sequence number seen for each key of a SealedSecret, as a JSON map; the floor for rollback detection.",
    },
    Name {
        name: TEMPLATE,
        on: "annotation of a produced Secret",
        meaning: "A digest of the text of `template.data`, so that a new template always gives the Secret a new version and an unchanged version tells nothing about a value.",
    },
    Name { name: MANAGED_BY, on: "label of a produced Secret", meaning: "Always `waxwing`." },
    Name {
        name: SUSPEND,
        on: "annotation of a Waxwing object",
        meaning: "`\"true\"` pauses it; the produced Secret stays as it is.",
    },
    Name {
        name: REFRESH,
        on: "annotation of a Waxwing object",
        meaning: "Any new value asks for a look right now; of an ExternalSecret, for its values as the provider has them now.",
    },
    Name {
        name: RESTARTED_FOR,
        on: "annotation of a workload's pod template",
        meaning: "A keyed digest of the Secret that `target.rollout` of an ExternalSecret restarted the workload for.",
    },
    Name {
        name: PROPOSE_REWRAP,
        on: "annotation of a SealedSecret",
        meaning: "Any new value asks for `status.proposedEnvelopes`, once for each list of recipients.",
    },
    Name {
        name: HISTORY_OF,
        on: "label of a history Secret",
        meaning: "The uid of the injection whose revision the Secret holds.",
    },
    Name {
        name: REVISION,
        on: "annotation of a history Secret",
        meaning: "The number of the revision, as in `status.published.revision` of the injection.",
    },
    Name {
        name: LOADED,
        on: "annotation of a history Secret",
        meaning: "The number of its revision when every endpoint of `verify` was seen with it.",
    },
    Name {
        name: FAILED,
        on: "annotation of a history Secret",
        meaning: "The revision was not loaded in time: its number, a slash, and the value of `waxwing.dev/refresh` at that time; a new one there lets it be tried again.",
    },
    Name {
        name: KEY_RING,
        on: "label of an identity Secret",
        meaning: "The KeyRing that the identity was made for.",
    },
    Name {
        name: IDENTITY_TYPE,
        on: "type of an identity Secret",
        meaning: "Only Secrets of this type, in the operator's namespace, are read as identities.",
    },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_ours_stands_once_in_the_table() {
        let mut names: Vec<_> = TABLE.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
        for name in [
            OWNED_BY,
            ADOPT,
            ADOPTED,
            SUSPEND,
            PROPOSE_REWRAP,
            REFRESH,
            SEQ,
            TEMPLATE,
            RESTARTED_FOR,
            HISTORY_OF,
            REVISION,
            LOADED,
            FAILED,
            KEY_RING,
            MANAGED_BY,
            IDENTITY_TYPE,
        ] {
            assert!(names.contains(&name), "{name}");
            assert!(is_reserved(name) || name == MANAGED_BY, "{name}");
        }
    }

    #[test]
    fn api_version_is_group_and_version() {
        assert_eq!(API_VERSION, format!("{GROUP}/{VERSION}"));
        assert_eq!(RESERVED_PREFIX, format!("{GROUP}/"));
    }

    /// K-cases: an identity planted through our own output. Guard: types under `waxwing.dev/` are refused.
    #[test]
    fn identity_token_and_reserved_types_are_refused() {
        for secret_type in
            [IDENTITY_TYPE, "waxwing.dev/other", REFUSED_SECRET_TYPES[0], REFUSED_SECRET_TYPES[1]]
        {
            assert!(is_refused_secret_type(secret_type), "{secret_type}");
        }
        for secret_type in ["Opaque", "kubernetes.io/tls", "example.com/waxwing.dev/identity", ""] {
            assert!(!is_refused_secret_type(secret_type), "{secret_type}");
        }
    }

    #[test]
    fn tracking_marks_are_dropped_and_labels_with_a_meaning_are_kept() {
        for key in [
            "argocd.argoproj.io/tracking-id",
            "kustomize.toolkit.fluxcd.io/name",
            "kustomize.toolkit.fluxcd.io/namespace",
            "helm.toolkit.fluxcd.io/name",
            "meta.helm.sh/release-name",
            "kubectl.kubernetes.io/last-applied-configuration",
        ] {
            assert!(is_dropped(key), "{key}");
        }
        for key in
            ["argocd.argoproj.io/secret-type", "app.kubernetes.io/instance", "app.kubernetes.io/name", "team"]
        {
            assert!(!is_dropped(key), "{key}");
        }
    }

    #[test]
    fn a_field_manager_tells_names_and_kinds_apart_and_fits_the_limit() {
        assert_eq!(field_manager("SealedSecret", "receivers"), "waxwing/sealedsecret/dba8fc3ba316");
        assert_ne!(field_manager("SealedSecret", "a"), field_manager("SealedSecret", "b"));
        assert_ne!(field_manager("SealedSecret", "a"), field_manager("KeyRing", "a"));
        assert!(field_manager("SealedSecret", &"a".repeat(253)).len() <= 128);
    }
}
