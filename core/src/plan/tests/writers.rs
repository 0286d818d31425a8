//! Other writers of the Secret: drift is put right, and nobody can make us write without end.

use super::*;

#[test]
fn a_change_by_hand_is_put_right_and_told() {
    let mut world = World::settled();
    world.touch(true);
    let Look { plan, report } = world.look();
    assert!(matches!(plan.write, Write::Apply { .. }));
    assert!(report.drift_corrected);
    assert_eq!(report.events.iter().map(|event| event.reason).collect::<Vec<_>>(), [Reason::DriftCorrected]);
    assert_eq!(world.ready(), ("True", "Synced"));
    assert_eq!(world.look().plan.write, Write::None);
}

#[test]
fn a_secret_that_was_deleted_is_made_again_at_once() {
    let mut world = World::settled();
    for _ in 0..2 {
        world.target = None;
        let Look { plan, report } = world.look();
        assert!(matches!(plan.write, Write::Create(_)));
        assert!(report.drift_corrected);
    }
}

#[test]
fn a_new_spec_is_no_drift_and_neither_is_a_new_policy() {
    let mut world = World::settled();
    world.set("password", "two");
    assert!(!world.look().report.drift_corrected);
    world.rollback = RollbackPolicy::Allow;
    let report = world.look().report;
    assert!(!report.drift_corrected);
    assert_eq!(report.events, []);
}

/// Guard: `restrain` and `LOOK_INTERVAL`.
#[test]
fn a_foreign_annotator_causes_no_write_storm() {
    let mut world = World::settled();
    let (mut applies, mut statuses) = (0, 0);
    for _ in 0..600 {
        world.touch(false);
        let look = world.look();
        applies += u32::from(look.plan.write != Write::None);
        statuses += u32::from(look.report.status.is_some());
        assert_eq!(look.report.events, []);
        if let Next::After(seconds) = look.report.next {
            assert!((1..=60).contains(&seconds));
        }
        world.now += 1;
    }
    // Ten minutes, a change a second.
    assert_eq!((applies, statuses), (10, 10));
}

#[test]
fn a_change_that_the_restraint_has_put_off_is_looked_at_when_it_ends() {
    let mut world = World::settled();
    world.touch(false);
    world.look();
    world.touch(true);
    let look = world.look();
    assert_eq!(look.plan.finding, Finding::Waiting { seconds: 60 });
    assert_eq!(look.report.next, Next::After(60));
    world.now += 60;
    assert!(world.look().report.drift_corrected);
}

#[test]
fn a_new_spec_is_never_put_off() {
    let mut world = World::settled();
    world.touch(false);
    world.look();
    world.touch(false);
    world.set("password", "two");
    world.look();
    assert_eq!(world.value("password").as_deref(), Some("two"));
}

/// Guard: `restrain` and `CONTESTED`.
#[test]
fn a_field_that_is_taken_again_and_again_is_contested() {
    let mut world = World::settled();
    for _ in 0..CONTESTED {
        world.touch(true);
        assert!(world.look().report.drift_corrected);
        world.now += 10;
    }
    world.touch(true);
    let look = world.look();
    refused(&look.plan, Reason::OwnershipContested);
    assert_eq!(look.report.next, Next::Ceiling);
    assert_eq!(world.condition(ConditionType::Stalled).unwrap().status, "True");
    // At the ceiling it is put right once more, and an hour of peace ends it.
    world.now += CONTEST_INTERVAL;
    assert!(world.look().report.drift_corrected);
    assert_eq!(world.ready(), ("True", "Synced"));
    world.now += CONTEST_WINDOW;
    world.touch(true);
    assert!(world.look().report.drift_corrected);
    world.touch(true);
    assert!(world.look().report.drift_corrected);
}

#[test]
fn a_secret_that_is_deleted_again_and_again_is_missing_for_seconds_only() {
    let mut world = World::settled();
    for _ in 0..CONTESTED {
        world.target = None;
        assert!(matches!(world.look().plan.write, Write::Create(_)));
        world.now += 60;
    }
    world.target = None;
    assert!(matches!(world.look().plan.write, Write::Create(_)), "the sixth time in an hour, a minute later");
    world.now += 1;
    world.target = None;
    let finding = world.look().plan.finding;
    assert_eq!(finding, Finding::Waiting { seconds: GONE_INTERVAL.unsigned_abs() });
    world.now += GONE_INTERVAL;
    assert!(matches!(world.look().plan.write, Write::Create(_)));
}

#[test]
fn a_clock_that_goes_backward_puts_nothing_off() {
    let mut world = World::settled();
    for _ in 0..CONTESTED {
        world.touch(true);
        world.look();
    }
    world.touch(false);
    world.now += CONTEST_INTERVAL;
    world.look();
    world.now -= 7200;
    world.touch(true);
    assert!(world.look().report.drift_corrected);
}
