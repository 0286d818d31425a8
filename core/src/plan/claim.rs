//! Whose Secret it is: the rule by which a Secret that exists may be written, or may not.

use waxwing_crds::{Reason, names};

use super::{Owner, Target};

/// Who wants a Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder<'a> {
    /// Its kind.
    pub kind: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its uid; empty outside of a cluster.
    pub uid: &'a str,
}

/// What an object may do with a Secret that it produces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// There is none: make it.
    Absent,
    /// It is ours, and ours alone.
    Ours,
    /// It is ours by adoption: keys of others stay, and it outlives us.
    Adopted,
    /// It is nobody's, and says that we may take it over.
    Adoptable,
}

impl Claim {
    /// Whether the Secret has, or gets, no owner reference.
    pub(crate) fn is_adopted(self) -> bool {
        matches!(self, Self::Adopted | Self::Adoptable)
    }

    /// Reads the claim off the Secret itself. Nothing in the object, and no status, can widen it: who may decide about a
    /// Secret is who may write it.
    ///
    /// # Errors
    /// `Conflict`, and a message that says whose it is.
    pub(crate) fn of(
        holder: &Holder<'_>,
        secret: &str,
        target: Option<&Target>,
    ) -> Result<Self, (Reason, String)> {
        let Some(target) = target else { return Ok(Self::Absent) };
        let conflict = |whose: String| {
            let what = format!("Secret {secret} exists and {whose}");
            Err((Reason::Conflict, super::with_advice(&what, Reason::Conflict)))
        };
        let is_true = |name| target.annotations.get(name).is_some_and(|value| value == "true");
        if let Some(owner) = target.owners.iter().find(|owner| owner.controller && !owner.is(holder)) {
            return conflict(format!("is controlled by {} {}", owner.kind, owner.name));
        }
        match target.annotations.get(names::OWNED_BY) {
            Some(owner) if *owner == names::owned_by(holder.kind, holder.name) => {
                Ok(if is_true(names::ADOPTED) { Self::Adopted } else { Self::Ours })
            }
            Some(owner) => {
                // Somebody else wrote it; enough of it to find them.
                let owner: String = owner.chars().filter(|c| !c.is_control()).take(300).collect();
                conflict(format!("belongs to {owner}"))
            }
            // Whoever can write the reference could write the annotation as well.
            None if target.owners.iter().any(|owner| owner.controller && owner.is_live(holder)) => {
                Ok(Self::Ours)
            }
            None if is_true(names::ADOPT) => Ok(Self::Adoptable),
            None => conflict("is not ours".to_owned()),
        }
    }
}

/// References of our kind and name with another uid, with their places in the list: the object they meant is gone.
pub(crate) fn stale_owners(holder: &Holder<'_>, target: &Target) -> Vec<(usize, Owner)> {
    let is_stale = |owner: &Owner| owner.is(holder) && owner.uid != holder.uid;
    target.owners.iter().cloned().enumerate().filter(|(_, owner)| is_stale(owner)).collect()
}
