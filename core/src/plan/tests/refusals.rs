//! What the API server's answers turn into.

use super::*;

/// `answer` meets the first write; the reason, when to look again, and whether only a person can help.
fn check(answer: Outcome, reason: Reason, next: Next) {
    let mut world = World::settled();
    let before = world.secret.clone();
    world.set("password", "two");
    world.answer = Some(answer.clone());
    let report = world.look().report;
    assert_eq!((report.failure, report.next), (Some(reason), next), "{answer:?}");
    assert_eq!(world.ready(), ("False", reason.as_str()));
    let is_stalled = world.condition(ConditionType::Stalled).unwrap().status == "True";
    assert_eq!(is_stalled, next == Next::Ceiling);
    let message = world.condition(ConditionType::Ready).unwrap().message.clone();
    assert!(message.ends_with(reason.advice()), "{message}");
    // Nothing is lost: the Secret stays, and so does what is known of its keys.
    assert_eq!(world.secret, before);
    assert_eq!(world.object.status.as_ref().unwrap().keys.len(), 1);

    world.now += 400;
    world.look();
    assert_eq!(
        (world.value("password").as_deref(), world.ready()),
        (Some("two"), ("True", "Synced")),
        "{answer:?}"
    );
}

#[test]
fn each_answer_has_its_reason_and_its_pace_and_loses_nothing() {
    let fields = || vec!["data".to_owned()];
    check(Outcome::Conflict, Reason::ApiConflict, Next::Soon);
    check(Outcome::Replaced, Reason::TargetReplaced, Next::Soon);
    check(Outcome::Forbidden { verb: "patch" }, Reason::ApiForbidden, Next::Backoff);
    check(Outcome::Immutable { fields: fields() }, Reason::ImmutableTarget, Next::Ceiling);
    check(Outcome::Denied { by: Denier::Quota }, Reason::ApiRejected, Next::Ceiling);
    check(Outcome::Denied { by: Denier::Admission }, Reason::ApiRejected, Next::Ceiling);
    check(Outcome::Rejected { code: 422, fields: fields() }, Reason::ApiRejected, Next::Ceiling);
    check(Outcome::NamespaceTerminating, Reason::NamespaceTerminating, Next::Backoff);
    check(Outcome::Throttled, Reason::ApiThrottled, Next::Backoff);
    check(Outcome::Unavailable, Reason::ApiUnavailable, Next::Backoff);
    check(Outcome::Internal, Reason::InternalError, Next::Backoff);
}

#[test]
fn messages_name_verb_and_fields() {
    let mut world = World::new();
    world.answer = Some(Outcome::Forbidden { verb: "create" });
    world.look();
    assert!(world.condition(ConditionType::Ready).unwrap().message.contains("may not create Secrets"));
    world.answer =
        Some(Outcome::Rejected { code: 422, fields: vec!["data".to_owned(), "metadata.labels".to_owned()] });
    world.look();
    assert!(
        world.condition(ConditionType::Ready).unwrap().message.contains("with 422 (data, metadata.labels)")
    );
}

/// K14, D06. Guard: `restrain` and `Memory::refused`.
#[test]
fn an_immutable_target_is_not_tried_again_and_again() {
    let mut world = World::settled();
    world.set("password", "two");
    world.answer = Some(Outcome::Immutable { fields: vec!["data".to_owned()] });
    assert!(matches!(world.look().plan.write, Write::Apply { .. }));
    for _ in 0..50 {
        world.touch(false);
        let look = world.look();
        refused(&look.plan, Reason::ImmutableTarget);
        assert_eq!((look.report.status, look.report.events), (None, vec![]));
    }
    // Once a person has deleted the Secret, it is made anew at once.
    world.target = None;
    assert!(matches!(world.look().plan.write, Write::Create(_)));
    assert_eq!((world.value("password").as_deref(), world.ready()), (Some("two"), ("True", "Synced")));
}

/// K14. Guard: the restraint is for this generation only.
#[test]
fn a_new_commit_is_tried_at_once_and_so_is_who_asks_for_it() {
    let mut world = World::settled();
    world.set("password", "two");
    world.answer = Some(Outcome::Immutable { fields: vec!["data".to_owned()] });
    world.look();
    refused(&world.plan(), Reason::ImmutableTarget);
    world.annotate(names::REFRESH, "now");
    assert!(matches!(world.plan().write, Write::Apply { .. }));
    world.object.metadata.annotations = None;
    world.set("password", "three");
    assert!(matches!(world.plan().write, Write::Apply { .. }));
}

#[test]
fn a_write_that_was_planned_and_not_made_is_a_defect_and_not_a_success() {
    let mut world = World::new();
    world.answer = Some(Outcome::None);
    assert_eq!(world.look().report.failure, Some(Reason::InternalError));
}
