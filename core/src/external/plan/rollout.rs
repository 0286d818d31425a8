//! Which workloads are to be restarted, because the values in their Secret are others than those they were started with.
//!
//! What a workload was restarted for is kept in the status as the keyed digest of the values, so a change that happened
//! while nobody looked is caught later. A workload that is new in the list counts as started with the present values.

use waxwing_crds::{ExternalSecretStatus, Rollout, RolloutStatus};

/// Seconds that values must have been the same before anything is restarted for them.
pub const SETTLE: i64 = 10;
/// Seconds between two restarts of one workload.
pub const APART: i64 = 60;

/// A restart that is due, or will be.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// What to restart.
    pub rollout: Rollout,
    /// For which values.
    pub digest: String,
    /// When, in Unix seconds.
    pub at: i64,
}

/// Brings the list in a status in line with the spec's, and says what is to be restarted.
pub(super) fn plan(
    rollouts: &[Rollout],
    status: &mut ExternalSecretStatus,
    values: &str,
    now: i64,
) -> Vec<Due> {
    let changed = status.refresh_time.as_ref().map_or(now, |time| time.0.as_second());
    let before = std::mem::take(&mut status.rollouts);
    let mut due = Vec::new();
    for rollout in rollouts {
        let known = before.iter().find(|known| known.kind == rollout.kind && known.name == rollout.name);
        let Some(known) = known else {
            status.rollouts.push(RolloutStatus {
                kind: rollout.kind,
                name: rollout.name.clone(),
                digest: values.to_owned(),
                restarted_at: None,
            });
            continue;
        };
        status.rollouts.push(known.clone());
        if known.digest != values {
            let last = known.restarted_at.as_ref().map_or(i64::MIN, |time| time.0.as_second());
            let at = (changed + SETTLE).max(last.saturating_add(APART));
            // A clock that was set back does not hold it up for ever.
            let at = at.min(now.saturating_add(APART));
            due.push(Due { rollout: rollout.clone(), digest: values.to_owned(), at });
        }
    }
    due
}

/// Takes note of a restart.
pub fn done(status: &mut ExternalSecretStatus, due: &Due, now: i64) {
    let of_this =
        |known: &&mut RolloutStatus| known.kind == due.rollout.kind && known.name == due.rollout.name;
    if let Some(known) = status.rollouts.iter_mut().find(of_this) {
        known.digest.clone_from(&due.digest);
        known.restarted_at = Some(waxwing_crds::conditions::time(now));
    }
}

#[cfg(test)]
mod tests {
    use waxwing_crds::{RolloutKind, conditions};

    use super::*;

    const NOW: i64 = 1_789_000_000;

    fn web() -> Vec<Rollout> {
        vec![Rollout { kind: RolloutKind::Deployment, name: "web".to_owned() }]
    }

    fn changed_at(at: i64) -> ExternalSecretStatus {
        ExternalSecretStatus { refresh_time: Some(conditions::time(at)), ..ExternalSecretStatus::default() }
    }

    #[test]
    fn a_new_workload_is_not_restarted_and_a_change_restarts_it_once() {
        let mut status = changed_at(NOW);
        assert_eq!(plan(&web(), &mut status, "a", NOW), []);
        assert_eq!(plan(&web(), &mut status, "a", NOW + 5), []);
        status.refresh_time = Some(conditions::time(NOW + 100));
        let due = plan(&web(), &mut status, "b", NOW + 100);
        assert_eq!(due[0].at, NOW + 100 + SETTLE);
        done(&mut status, &due[0], NOW + 110);
        assert_eq!(plan(&web(), &mut status, "b", NOW + 111), []);
    }

    #[test]
    fn a_change_that_was_missed_is_caught_and_changes_in_a_row_are_one_restart() {
        let mut status = changed_at(NOW);
        plan(&web(), &mut status, "a", NOW);
        status.refresh_time = Some(conditions::time(NOW + 5));
        // Long after, by another process.
        let due = plan(&web(), &mut status, "b", NOW + 5000);
        assert!(due[0].at <= NOW + 5000);
        done(&mut status, &due[0], NOW + 5000);
        for value in ["c", "d"] {
            status.refresh_time = Some(conditions::time(NOW + 5001));
            let due = plan(&web(), &mut status, value, NOW + 5001);
            assert_eq!(due[0].at, NOW + 5000 + APART, "no sooner than a minute after the last");
        }
    }

    #[test]
    fn a_workload_that_is_listed_no_more_is_forgotten() {
        let mut status = changed_at(NOW);
        plan(&web(), &mut status, "a", NOW);
        assert_eq!(plan(&[], &mut status, "b", NOW), []);
        assert!(status.rollouts.is_empty());
    }
}
