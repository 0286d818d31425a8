//! Nothing is done without a cause, and everything with one.

use super::*;

#[test]
fn the_revision_is_kept_before_it_is_published_and_a_second_look_does_nothing() {
    let mut world = World::settled();
    assert_eq!(world.text(), "one");
    assert_eq!(world.history.iter().map(|one| one.number).collect::<Vec<_>>(), [1]);
    let look = world.look();
    assert_eq!((look.cause, look.writes, look.report.status.is_none()), (None, 0, true));
    assert_eq!(look.report.next, Next::OnChange);
}

/// K15. Guard: the identities of the ring in `mark::check`.
#[test]
fn a_status_that_another_key_has_marked_is_not_believed() {
    let mut world = World::settled();
    world.identities = [Identity::generate()].into_iter().collect();
    assert_eq!(world.look().cause, Some(Cause::Changed));
}

/// K15. Guard: each of the facts under the mark.
#[test]
fn whatever_decides_about_the_published_bytes_brings_a_look() {
    let changes: [fn(&mut World); 6] = [
        |world| world.spec = "{\"x\":1}".to_owned(),
        |world| world.touch_source(),
        |world| world.status.receivers[0].state = ReceiverState::Failing,
        |world| world.status.literals.push("x".to_owned()),
        |world| world.status.published.as_mut().unwrap().revision = 9,
        |world| world.status.published.as_mut().unwrap().loaded_at = Some(conditions::time(NOW)),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut world = World::settled();
        change(&mut world);
        assert_eq!(world.look().cause, Some(Cause::Changed), "{number}");
        assert_eq!(world.look().cause, None, "{number}");
    }
}

/// Guard: `Mark::Touched` where the published Secret is another one than the mark says.
#[test]
fn a_published_secret_of_another_version_is_put_right_and_that_is_said() {
    let mut world = World::settled();
    world.targets[0].as_mut().unwrap().resource_version = "7".to_owned();
    world.published = Data::default();
    let look = world.look();
    assert_eq!((look.cause, look.report.drift_corrected), (Some(Cause::Drift), true));
    assert!(world.said(&look, Reason::DriftCorrected));
    assert_eq!((world.text().as_str(), world.history.len()), ("one", 1));
    world.targets = vec![None];
    assert_eq!(world.look().cause, Some(Cause::Drift));
}

#[test]
fn new_bytes_are_a_new_revision_and_old_ones_make_room() {
    let mut world = World::settled();
    for number in 2..=6 {
        world.touch_source();
        world.text = Ok(number.to_string());
        let look = world.look();
        assert!(world.said(&look, Reason::Published));
        assert_eq!(world.status.published.as_ref().unwrap().revision, number);
        assert_eq!(world.text(), number.to_string());
    }
    assert_eq!(world.history.iter().map(|one| one.number).collect::<Vec<_>>(), [4, 5, 6]);
    world.terms.history = 1;
    world.spec = "{\"history\":1}".to_owned();
    world.look();
    assert_eq!(world.history.iter().map(|one| one.number).collect::<Vec<_>>(), [6]);
    // Bytes that were published once are a new revision all the same.
    world.touch_source();
    world.text = Ok("5".to_owned());
    world.look();
    assert_eq!(world.status.published.as_ref().unwrap().revision, 7);
}

#[test]
fn the_last_good_value_is_that_of_the_newest_revision() {
    let mut world = World::settled();
    world.touch_source();
    world.text = Ok("two".to_owned());
    world.look();
    let known = last_good(&world.history);
    let value = known.values().next().unwrap();
    assert_eq!((known.len(), value.expose()), (1, b"two".as_slice()));
}

/// Guard: `then` writes nothing where nothing was made.
#[test]
fn what_is_refused_writes_nothing_and_says_so() {
    let mut world = World::settled();
    world.generation = 2;
    world.spec = "{\"wrong\":1}".to_owned();
    world.text = Err(Reason::ConfigInvalid);
    let look = world.look();
    assert_eq!((look.writes, world.text().as_str()), (0, "one"));
    assert_eq!(world.ready(), ("False".to_owned(), "ConfigInvalid".to_owned()));
    let valid = conditions::get(&world.status.conditions, ConditionType::ConfigValid).unwrap();
    assert_eq!(valid.status, "False");
    assert!(conditions::is_true(&world.status.conditions, ConditionType::Stalled));
    assert_eq!(world.look().report.events, [], "it is said once");
}

/// Guard: `Claim::of` in `decide`.
#[test]
fn a_secret_of_somebody_else_is_not_written() {
    let mut world = World::new();
    world.targets =
        vec![Some(Target { uid: "x".to_owned(), resource_version: "1".to_owned(), ..Target::default() })];
    let look = world.look();
    assert_eq!((look.cause, look.writes), (None, 0));
    assert_eq!(world.ready().1, "Conflict");
    world.targets[0].as_mut().unwrap().annotations.insert(names::ADOPT.to_owned(), "true".to_owned());
    let look = world.look();
    assert!(world.said(&look, Reason::Adopted));
    assert_eq!(world.targets[0].as_ref().unwrap().annotations[names::ADOPTED], "true");
}

#[test]
fn the_secret_stays_when_the_injection_goes_unless_it_is_to_go_along() {
    let mut world = World::settled();
    assert!(world.targets[0].as_ref().unwrap().owners.is_empty());
    assert_eq!(world.history[0].number, 1);
    world.deleting = true;
    assert_eq!(world.look().writes, 0);
    let mut world = World::new();
    world.terms.goes_along = true;
    world.look();
    assert_eq!(world.targets[0].as_ref().unwrap().owners[0].uid, "00000000-object");
}

#[test]
fn a_paused_injection_is_left_alone() {
    let mut world = World::settled();
    world.annotations.insert(names::SUSPEND.to_owned(), "true".to_owned());
    world.touch_source();
    assert_eq!(world.look().writes, 0);
    assert_eq!(world.ready().1, "Suspended");
}

#[test]
fn stores_are_read_again_by_time_and_by_wish() {
    let mut world = World::new();
    world.terms.refresh = Some(600);
    world.look();
    assert_eq!(world.look().report.next, Next::After(600));
    world.now += 600;
    assert_eq!(world.look().cause, Some(Cause::Due));
    assert_eq!(world.look().cause, None);
    world.annotations.insert(names::REFRESH.to_owned(), "1".to_owned());
    assert_eq!(world.look().cause, Some(Cause::Forced));
    assert_eq!(world.look().cause, None);
}

#[test]
fn what_is_stale_is_tried_again_stays_ready_and_expires() {
    let mut world = World::settled();
    world.touch_source();
    world.receivers = vec![stale(NOW)];
    let look = world.look();
    assert_eq!(look.report.next, Next::Backoff);
    assert!(world.said(&look, Reason::CredentialStale));
    assert_eq!(world.ready().0, "True");
    assert!(conditions::is_true(&world.status.conditions, ConditionType::Degraded));
    world.now += 60;
    let look = world.look();
    assert_eq!((look.cause, look.report.events.len()), (Some(Cause::Due), 0), "it is said once");
    world.now = NOW + 3600;
    world.look();
    assert_eq!(world.ready(), ("False".to_owned(), "CredentialExpired".to_owned()));
    world.receivers = World::new().receivers;
    world.look();
    assert_eq!(world.ready().0, "True");
    assert!(conditions::get(&world.status.conditions, ConditionType::Degraded).is_none());
}

#[test]
fn a_refused_write_leaves_no_mark_behind() {
    let mut world = World::new();
    world.answer = Some(Outcome::Unavailable);
    let look = world.look();
    assert_eq!(look.report.failure, Some(Reason::ApiUnavailable));
    assert!(world.status.published.is_none());
    world.look();
    assert_eq!(
        (world.ready().0.as_str(), world.history.len()),
        ("True", 1),
        "the revision is not kept twice"
    );
}

/// Guard: `check_size` in `then`.
#[test]
fn what_no_secret_can_hold_is_not_published_and_that_is_said() {
    let mut world = World::settled();
    world.touch_source();
    world.text = Ok("x".repeat(600 * 1024));
    let look = world.look();
    assert_eq!(
        (look.writes, world.text().as_str()),
        (0, "one"),
        "with its credentials it has more than a Secret holds"
    );
    assert_eq!(world.ready().1, "ValueTooLarge");
}
