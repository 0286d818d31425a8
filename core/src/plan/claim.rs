//! Whose Secret it is: the rule by which a Secret that exists may be written, or may not.

use waxwing_crds::{Reason, names};

use super::{Object, Owner, Target, produced::KIND};

/// What a SealedSecret may do with the Secret of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
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
    pub(super) fn is_adopted(self) -> bool {
        matches!(self, Self::Adopted | Self::Adoptable)
    }

    /// Reads the claim off the Secret itself. Nothing in the SealedSecret, and no status, can widen it: who may decide
    /// about a Secret is who may write it.
    ///
    /// # Errors
    /// `Conflict`, and a message that says whose it is.
    pub(super) fn of(object: &Object<'_>, target: Option<&Target>) -> Result<Self, (Reason, String)> {
        let Some(target) = target else { return Ok(Self::Absent) };
        let conflict = |whose: String| {
            let what = format!("Secret {} exists and {whose}", object.name);
            Err((Reason::Conflict, super::with_advice(&what, Reason::Conflict)))
        };
        let is_true = |name| target.annotations.get(name).is_some_and(|value| value == "true");
        if let Some(owner) = target.owners.iter().find(|owner| owner.controller && !owner.is(object)) {
            return conflict(format!("is controlled by {} {}", owner.kind, owner.name));
        }
        match target.annotations.get(names::OWNED_BY) {
            Some(owner) if *owner == names::owned_by(KIND, object.name) => {
                Ok(if is_true(names::ADOPTED) { Self::Adopted } else { Self::Ours })
            }
            Some(owner) => {
                // Somebody else wrote it; enough of it to find them.
                let owner: String = owner.chars().filter(|c| !c.is_control()).take(300).collect();
                conflict(format!("belongs to {owner}"))
            }
            // Whoever can write the reference could write the annotation as well.
            None if target.owners.iter().any(|owner| owner.controller && owner.is_live(object)) => {
                Ok(Self::Ours)
            }
            None if is_true(names::ADOPT) => Ok(Self::Adoptable),
            None => conflict("is not ours".to_owned()),
        }
    }
}

/// References of our kind and name with another uid, with their places in the list: the object they meant is gone.
pub(super) fn stale_owners(object: &Object<'_>, target: &Target) -> Vec<(usize, Owner)> {
    let is_stale = |owner: &Owner| owner.is(object) && owner.uid != object.uid;
    target.owners.iter().cloned().enumerate().filter(|(_, owner)| is_stale(owner)).collect()
}
