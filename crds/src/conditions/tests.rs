//! Tests of the conditions as a tool reads them.

use super::*;

/// The conditions as `Type=Status/Reason`, and the time of the last transition.
fn shown(conditions: &[Condition]) -> Vec<String> {
    let show = |c: &Condition| {
        format!("{}={}/{} since {}", c.type_, c.status, c.reason, c.last_transition_time.0.as_second())
    };
    conditions.iter().map(show).collect()
}

#[test]
fn ready_writes_all_three_from_the_first_time_on() {
    let mut conditions = Vec::new();
    ready(&mut conditions, Reason::Synced, "all is well", Some(1), 100);
    assert_eq!(
        shown(&conditions),
        [
            "Ready=True/Synced since 100",
            "Reconciling=False/Synced since 100",
            "Stalled=False/Synced since 100"
        ]
    );
    assert!(conditions.iter().all(|condition| condition.observed_generation == Some(1)));
    assert_eq!(conditions[0].message, "all is well");
}

#[test]
fn what_only_a_commit_mends_is_stalled_and_what_time_mends_is_reconciling() {
    for reason in Reason::all() {
        let mut conditions = Vec::new();
        failing(&mut conditions, *reason, "why", Some(1), 100);
        assert!(!is_true(&conditions, ConditionType::Ready), "{reason}");
        assert_eq!(is_true(&conditions, ConditionType::Stalled), reason.stalled(), "{reason}");
        assert_eq!(is_true(&conditions, ConditionType::Reconciling), !reason.stalled(), "{reason}");
    }
}

#[test]
fn the_time_of_the_last_transition_moves_only_with_the_status() {
    let mut conditions = Vec::new();
    failing(&mut conditions, Reason::ApiUnavailable, "no answer", Some(1), 100);
    failing(&mut conditions, Reason::ApiThrottled, "too many", Some(2), 200);
    assert_eq!(
        shown(&conditions),
        [
            "Ready=False/ApiThrottled since 100",
            "Reconciling=True/ApiThrottled since 100",
            "Stalled=False/ApiThrottled since 100"
        ]
    );
    assert!(conditions.iter().all(|condition| condition.observed_generation == Some(2)));
    ready(&mut conditions, Reason::Synced, "", Some(2), 300);
    assert_eq!(
        shown(&conditions),
        [
            "Ready=True/Synced since 300",
            "Reconciling=False/Synced since 300",
            "Stalled=False/Synced since 100"
        ]
    );
}

#[test]
fn the_same_state_again_changes_nothing_so_that_nothing_is_written() {
    let mut conditions = Vec::new();
    failing(&mut conditions, Reason::Corrupt, "why", Some(1), 100);
    let before = conditions.clone();
    failing(&mut conditions, Reason::Corrupt, "why", Some(1), 900);
    assert_eq!(conditions, before);
}

#[test]
fn a_suspended_object_stays_ready_only_at_the_generation_that_was_ready() {
    let mut conditions = Vec::new();
    ready(&mut conditions, Reason::Synced, "", Some(1), 100);
    suspended(&mut conditions, "paused", Some(1), 200);
    suspended(&mut conditions, "paused", Some(1), 250);
    assert!(is_true(&conditions, ConditionType::Ready));
    suspended(&mut conditions, "paused", Some(2), 300);
    assert_eq!(
        shown(&conditions),
        [
            "Ready=False/Suspended since 300",
            "Reconciling=False/Suspended since 100",
            "Stalled=False/Suspended since 100"
        ]
    );
}

#[test]
fn conditions_of_others_stay() {
    let mut conditions = Vec::new();
    ready(&mut conditions, Reason::Synced, "", Some(1), 100);
    conditions[1].type_ = "Theirs".to_owned();
    let theirs = conditions[1].clone();
    failing(&mut conditions, Reason::Corrupt, "", Some(1), 200);
    assert_eq!(conditions.len(), 4);
    assert_eq!(conditions[1], theirs);
    remove(&mut conditions, ConditionType::Ready);
    assert_eq!(get(&conditions, ConditionType::Ready), None);
    assert_eq!(conditions.len(), 3);
}

#[test]
fn an_overlong_message_is_cut_between_characters() {
    let mut conditions = Vec::new();
    ready(&mut conditions, Reason::Synced, &"é".repeat(MESSAGE_LIMIT), Some(1), 100);
    assert_eq!(conditions[0].message.len(), MESSAGE_LIMIT);
    ready(&mut conditions, Reason::Synced, &format!("x{}", "é".repeat(MESSAGE_LIMIT)), Some(1), 100);
    assert_eq!(conditions[0].message.len(), MESSAGE_LIMIT - 1);
}

#[test]
fn a_time_outside_the_calendar_becomes_the_epoch() {
    assert_eq!(time(1_789_000_000).0.as_second(), 1_789_000_000);
    assert_eq!(time(i64::MAX).0.as_second(), 0);
}
