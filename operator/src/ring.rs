//! What the rest of the operator knows of the ring: one snapshot at a time, sent over a watch channel.
//!
//! It holds only identities that were found trustworthy; which ones those are is decided in
//! `waxwing_core::plan::key_ring`.

use std::collections::BTreeMap;

use waxwing_core::keys::{Identities, KeyId, NamedRecipient, Recipient};
use waxwing_crds::{ClusterScopePolicy, KeyRingSpec, KeyState, Reason, RollbackPolicy};

/// One state of the ring.
#[derive(Clone, Default)]
pub struct Ring {
    /// The ring's name.
    pub name: String,
    /// The identities that may be tried: what the ring made and what an administrator trusts.
    pub identities: Identities,
    /// The public halves of the keys that new seals are made for, of the ring's own.
    pub active: Vec<Recipient>,
    /// Every key that the ring has made, also those not in use.
    pub states: BTreeMap<Recipient, KeyState>,
    /// Who new seals are made for: the active keys, and the recipients of the spec.
    pub published: Vec<NamedRecipient>,
    /// Who an existing data key may be wrapped to again: the active keys that can be used, and the operator's own flag;
    /// nobody where there is no such key. Never the recipients of the spec, because whoever can write the KeyRing could
    /// add one.
    pub rewrap_to: Vec<NamedRecipient>,
    /// Who has to be able to open every seal, by the spec: the offline recovery key.
    pub required: Vec<NamedRecipient>,
    /// What the ring allows sealed objects.
    pub policy: Policy,
    /// When the active key was made, in Unix seconds.
    pub active_since: Option<i64>,
    /// Since when the cluster has the oldest key in use that nobody has backed up, in Unix seconds.
    pub unsaved_since: Option<i64>,
    /// Whether the KeyRing is `Ready`.
    pub ready: bool,
    /// Why nothing can be opened, when that is so.
    pub unusable: Option<Reason>,
    /// Whether an identity that is in use could not be unwrapped yet.
    pub locked: bool,
}

/// What a ring allows sealed objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// What happens to a value that is older than one already seen.
    pub rollback: RollbackPolicy,
    /// Whether values of scope `cluster` are opened.
    pub cluster_scope: ClusterScopePolicy,
}

impl From<&KeyRingSpec> for Policy {
    fn from(spec: &KeyRingSpec) -> Self {
        Self { rollback: spec.rollback(), cluster_scope: spec.cluster_scope() }
    }
}

impl Ring {
    /// A ring that was not read yet.
    pub fn unread(name: &str) -> Self {
        Self { name: name.to_owned(), unusable: Some(Reason::KeyRingNotReady), ..Self::default() }
    }

    /// The keys that new seals are made for, and the next ones, which somebody may seal for already: what they open is up
    /// to date.
    pub fn newest(&self) -> Vec<KeyId> {
        let is_newest = |state: &KeyState| matches!(state, KeyState::Active | KeyState::Pending);
        let newest = self.states.iter().filter(|(_, state)| is_newest(state));
        newest.map(|(recipient, _)| recipient.id()).collect()
    }

    /// Whether values can be opened.
    pub fn is_usable(&self) -> bool {
        self.unusable.is_none() && !self.identities.is_empty()
    }

    /// Whether objects have to be looked at again because of this change.
    pub fn concerns_objects(&self, older: &Self) -> bool {
        let keys = |ring: &Self| -> Vec<String> {
            ring.identities.iter().map(|identity| identity.recipient().to_string()).collect()
        };
        self.policy != older.policy
            || self.is_usable() != older.is_usable()
            || self.rewrap_to != older.rewrap_to
            || self.required != older.required
            || self.states != older.states
            || self.locked != older.locked
            || keys(self) != keys(older)
    }
}
