//! `KeyRing`: how one cluster's identities rotate, who else can read new seals, and what the operator publishes.
//!
//! Defaults are methods here and not in the schema, so that the API server writes nothing into a spec that Git holds.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::{self, DurationError};
use crate::protection::{Protection, ProtectionKind};
use crate::{lenient, schema};

/// How the ring's identities are made, rotated and shared. Cluster administrators only.
#[expect(clippy::duplicated_attributes, reason = "each printer column repeats the words of the others")]
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "waxwing.dev",
    version = "v1alpha1",
    kind = "KeyRing",
    status = "KeyRingStatus",
    shortname = "wkr",
    category = "waxwing",
    derive = "Default",
    derive = "PartialEq",
    annotation("argocd.argoproj.io/sync-options", "Prune=false,Delete=false"),
    annotation("helm.sh/resource-policy", "keep"),
    doc = "The identities of one cluster, and the recipients that new seals are made for.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(
        name = "Active",
        type_ = "string",
        json_path = ".status.keys[?(@.state=='Active')].recipient"
    ),
    printcolumn(name = "Every", type_ = "string", json_path = ".spec.rotation.every"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    )
)]
#[schemars(transform = schema::key_ring_spec)]
#[serde(rename_all = "camelCase")]
pub struct KeyRingSpec {
    /// When a new active key is made. Older keys go on opening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// Further recipients published for new seals: other clusters, the offline recovery key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<RingRecipient>,
    /// The recipients of restored or imported identities that the operator may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted: Vec<String>,
    /// The recipients of identities that are no longer used. Taken out of this list, a key opens again as long as its
    /// Secret is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<String>,
    /// The recipients of identities that a person has backed up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backed_up: Vec<String>,
    /// Whether a new key waits, as `Pending`, until `backedUp` names it. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activate_after_backup: Option<bool>,
    /// How identities are wrapped at rest. Default `None`: as a Secret, like any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection: Option<Protection>,
    /// What the operator allows sealed objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<RingPolicy>,
}

impl KeyRingSpec {
    /// How often a new key is made when the spec says nothing.
    pub const DEFAULT_ROTATION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

    /// The age at which the active key is replaced.
    ///
    /// # Errors
    /// When `rotation.every` is no duration of the form `30d`, `12h`, `45m`.
    pub fn rotation_every(&self) -> Result<Duration, DurationError> {
        self.rotation.as_ref().map_or(Ok(Self::DEFAULT_ROTATION), |rotation| duration::parse(&rotation.every))
    }

    /// For how long a new key is listed before it becomes active.
    ///
    /// # Errors
    /// When `rotation.announce` is no duration.
    pub fn announced_for(&self) -> Result<Duration, DurationError> {
        let announce = self.rotation.as_ref().and_then(|rotation| rotation.announce.as_deref());
        announce.map_or(Ok(Duration::ZERO), duration::parse)
    }

    /// The ring whose rotation this one waits for.
    #[must_use]
    pub fn rotates_after(&self) -> Option<&RotatesAfter> {
        self.rotation.as_ref()?.after.as_ref()
    }

    /// Whether a new key waits for its backup before it becomes active.
    #[must_use]
    pub fn waits_for_backup(&self) -> bool {
        self.activate_after_backup.unwrap_or(false)
    }

    /// How identities are wrapped at rest.
    #[must_use]
    pub fn protection_kind(&self) -> ProtectionKind {
        self.protection.as_ref().map(|protection| protection.kind).unwrap_or_default()
    }

    /// What happens to a value that is older than one already seen.
    #[must_use]
    pub fn rollback(&self) -> RollbackPolicy {
        self.policy.as_ref().and_then(|policy| policy.rollback).unwrap_or_default()
    }

    /// Whether values of scope `cluster` are opened.
    #[must_use]
    pub fn cluster_scope(&self) -> ClusterScopePolicy {
        self.policy.as_ref().and_then(|policy| policy.cluster_scope).unwrap_or_default()
    }
}

/// When a new active key is made.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::rotation)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    /// The age at which the active key is replaced, such as `30d`, `12h` or `45m`.
    pub every: String,
    /// For how long a new key is announced, and opens already, before it becomes active, counted from when its Secret was
    /// read back: time to have it in `.waxwing.yaml` everywhere. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announce: Option<String>,
    /// Another cluster's ring, which rotates first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<RotatesAfter>,
}

/// Another cluster's ring, which rotates first: a rotation that is due here waits until that ring has made a key in this
/// round and every value there opens with it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::rotates_after)]
#[serde(rename_all = "camelCase")]
pub struct RotatesAfter {
    /// A kubeconfig for that cluster, in a Secret of the operator's namespace. It needs the right to `get` the one
    /// KeyRing, which holds public keys only.
    pub kubeconfig: KubeconfigKey,
    /// The name of the ring there. Default `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_ring: Option<String>,
    /// How long a rotation waits at most, such as `7d`, which is the default: a cluster that is gone must not keep this
    /// one from rotating for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<String>,
}

impl RotatesAfter {
    /// How long a rotation waits when the spec says nothing.
    pub const DEFAULT_AT_MOST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

    /// The name of the other ring.
    #[must_use]
    pub fn ring(&self) -> &str {
        self.key_ring.as_deref().unwrap_or("default")
    }

    /// How long a rotation waits.
    ///
    /// # Errors
    /// When `atMost` is no duration.
    pub fn waits_at_most(&self) -> Result<Duration, DurationError> {
        self.at_most.as_deref().map_or(Ok(Self::DEFAULT_AT_MOST), duration::parse)
    }
}

/// Where a kubeconfig is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::kubeconfig_key)]
#[serde(rename_all = "camelCase")]
pub struct KubeconfigKey {
    /// The Secret.
    pub name: String,
    /// The key in it. Default `kubeconfig`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl KubeconfigKey {
    /// The key in the Secret.
    #[must_use]
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or("kubeconfig")
    }
}

/// A recipient that new seals are made for besides the ring's own active key.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::ring_recipient)]
#[serde(rename_all = "camelCase")]
pub struct RingRecipient {
    /// The name that hints and messages show.
    pub name: String,
    /// The age recipient, `age1…`.
    pub recipient: String,
    /// Whether `waxwing verify` refuses seals without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
}

/// What the operator allows sealed objects.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RingPolicy {
    /// What happens to a value that is older than one already seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackPolicy>,
    /// Whether values of scope `cluster` are opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_scope: Option<ClusterScopePolicy>,
}

/// What happens to a value that is older than one already seen. Default `Warn`, because a Git revert must work.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
pub enum RollbackPolicy {
    /// It is applied in silence.
    Allow,
    /// It is applied and reported.
    #[default]
    Warn,
    /// It is refused, and the last good Secret stays.
    Deny,
}

/// Whether values of scope `cluster` are opened. Default `Deny`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
pub enum ClusterScopePolicy {
    /// They are opened in any namespace, under any name.
    Allow,
    /// They are refused.
    #[default]
    Deny,
}

/// What the operator publishes about the ring.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::key_ring_status)]
#[serde(rename_all = "camelCase", default)]
pub struct KeyRingStatus {
    /// The generation that the rest of this status speaks of.
    #[serde(deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Reconciling`, `Stalled`, `Converged` and, where it applies, `Degraded`.
    #[serde(deserialize_with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Every identity that the ring has made, by its recipient. Those that the spec trusts are not copied here.
    #[serde(deserialize_with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<RingKey>,
    /// The digest of the published recipient list; a change of it is reported.
    #[serde(deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub recipients_digest: Option<String>,
}

/// One identity of the ring, by its public half.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::ring_key)]
#[serde(rename_all = "camelCase")]
pub struct RingKey {
    /// The age recipient, `age1…`.
    pub recipient: String,
    /// The first 4 bytes of the SHA-256 of the recipient, in hex: a label, never compared.
    #[serde(default)]
    pub key_id: String,
    /// What the key is used for.
    pub state: KeyState,
    /// When it was made.
    #[serde(default, deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
    /// When its Secret had been read back, and opened. A `Pending` key without it is still being made: it may never get a
    /// Secret, and is dropped then. One that has it is never dropped, and may be sealed for.
    #[serde(default, deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub announced_at: Option<Time>,
    /// How its Secret is wrapped. Absent: `None`.
    #[serde(default, deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub protection: Option<ProtectionKind>,
}

impl RingKey {
    /// Whether it is to become active, and somebody may have sealed for it already.
    #[must_use]
    pub fn is_announced(&self) -> bool {
        self.state == KeyState::Pending && self.announced_at.is_some()
    }

    /// Whether values may need it.
    #[must_use]
    pub fn opens(&self) -> bool {
        self.state.opens() || self.is_announced()
    }
}

/// What a key of the ring is used for, in the order that a key goes through.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
pub enum KeyState {
    /// Not yet published: its Secret was not read back, or the time of its announcement is not over, or its backup is awaited.
    #[default]
    Pending,
    /// Published: new seals are made for it.
    Active,
    /// Opens what was sealed for it, and is no longer published.
    OpenOnly,
    /// Not used at all: `spec.retired` names it. The private key stays, because the operator never deletes one.
    Retired,
    /// Retired, and its private key is gone from the cluster.
    Destroyed,
}

impl KeyState {
    /// The word in the status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Active => "Active",
            Self::OpenOnly => "OpenOnly",
            Self::Retired => "Retired",
            Self::Destroyed => "Destroyed",
        }
    }

    /// Whether values are opened with a key in this state.
    #[must_use]
    pub fn opens(self) -> bool {
        matches!(self, Self::Active | Self::OpenOnly)
    }
}
