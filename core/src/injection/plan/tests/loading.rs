//! What is published is in effect when it is loaded, and taken back when it is not.

use super::*;

/// One whose endpoints are looked at; the first revision is loaded.
fn loaded() -> World {
    let mut world = World::new();
    world.terms.within = Some(60);
    world.terms.rolls_back = true;
    world.load = Some((0, 2));
    let look = world.look();
    assert_eq!(look.report.next, Next::After(3));
    assert_eq!(world.ready(), ("False".to_owned(), "LoadPending".to_owned()));
    assert!(!conditions::is_true(&world.status.conditions, ConditionType::Stalled), "time can mend it");
    world.load = Some((1, 2));
    assert_eq!(world.look().cause, None, "nothing is made anew for that");
    assert_eq!(world.ready().1, "LoadPending");
    world.load = Some((2, 2));
    let look = world.look();
    assert_eq!(look.report.newly_loaded, Some(1));
    assert!(world.said(&look, Reason::Loaded));
    assert_eq!(world.ready(), ("True".to_owned(), "Published".to_owned()));
    assert_eq!(world.status.loaded_replicas.as_deref(), Some("2/2"));
    world
}

/// The next revision, which nobody loads.
fn publish(world: &mut World, text: &str) {
    world.touch_source();
    world.text = Ok(text.to_owned());
    world.load = Some((0, 2));
    world.look();
}

#[test]
fn what_is_not_loaded_in_time_is_taken_back_once_and_then_left() {
    let mut world = loaded();
    publish(&mut world, "two");
    assert_eq!(world.text(), "two");
    world.now += 59;
    world.look();
    assert_eq!(world.ready().1, "LoadPending");
    world.now += 1;
    let look = world.look();
    assert_eq!(look.report.next, Next::Soon);
    assert_eq!(world.ready(), ("False".to_owned(), "NotLoaded".to_owned()));
    assert_eq!(world.text(), "two");
    let look = world.look();
    assert_eq!((look.cause, world.text().as_str()), (Some(Cause::Due), "one"));
    let published = world.status.published.clone().unwrap();
    assert_eq!((published.revision, published.rolled_back_from), (1, Some(2)));
    assert!(conditions::is_true(&world.status.conditions, ConditionType::Stalled));
    for _ in 0..3 {
        world.now += 3600;
        let look = world.look();
        assert_eq!((look.cause, world.text().as_str()), (None, "one"), "it is not tried again by itself");
        assert_eq!(world.ready().1, "NotLoaded");
    }
}

/// Guard: `Revision::failed` holds the value of `waxwing.dev/refresh`.
#[test]
fn what_was_taken_back_is_tried_again_by_wish_and_something_else_at_once() {
    let mut world = loaded();
    publish(&mut world, "two");
    world.now += 60;
    world.look();
    world.look();
    assert_eq!(world.text(), "one");
    world.touch_source();
    world.look();
    assert_eq!(world.text(), "one", "the same bytes would not be loaded either");
    world.annotations.insert(names::REFRESH.to_owned(), "again".to_owned());
    world.look();
    assert_eq!(world.text(), "two");
    world.load = Some((2, 2));
    world.look();
    assert_eq!(world.ready().0, "True");
    let mut world = loaded();
    publish(&mut world, "two");
    world.now += 60;
    world.look();
    world.look();
    publish(&mut world, "three");
    assert_eq!((world.text().as_str(), world.status.published.as_ref().unwrap().revision), ("three", 3));
}

#[test]
fn where_nothing_was_ever_loaded_nothing_is_taken_back() {
    let mut world = World::new();
    world.terms.within = Some(60);
    world.terms.rolls_back = true;
    world.load = Some((0, 1));
    world.look();
    world.now += 60;
    assert_eq!(world.look().report.next, Next::Soon);
    for _ in 0..3 {
        assert_eq!(world.look().report.next, Next::After(30), "there is no hurry any more");
        assert_eq!((world.text().as_str(), world.ready().1.as_str()), ("one", "NotLoaded"));
    }
}

#[test]
fn with_alert_it_is_only_said() {
    let mut world = loaded();
    world.terms.rolls_back = false;
    publish(&mut world, "two");
    world.now += 60;
    for _ in 0..3 {
        world.look();
        assert_eq!((world.text().as_str(), world.ready().1.as_str()), ("two", "NotLoaded"));
    }
    world.load = Some((2, 2));
    world.look();
    assert_eq!(world.ready().0, "True", "late is better than never");
}

#[test]
fn a_replica_that_falls_back_is_said_and_what_is_in_effect_stays_so() {
    let mut world = loaded();
    world.now += 3600;
    world.load = Some((1, 2));
    world.look();
    assert_eq!(world.ready().0, "True");
    let loaded = conditions::get(&world.status.conditions, ConditionType::Loaded).unwrap();
    assert_eq!((loaded.status.as_str(), world.status.loaded_replicas.as_deref()), ("False", Some("1/2")));
}

#[test]
fn the_revision_that_was_loaded_last_is_kept_however_many_come_after_it() {
    let mut world = loaded();
    for number in 2..=8 {
        publish(&mut world, &number.to_string());
    }
    let kept: Vec<_> = world.history.iter().map(|one| one.number).collect();
    assert!(kept.contains(&1) && kept.contains(&8) && kept.len() == 3, "{kept:?}");
}

/// Guard: `!revision.loaded` in `then`.
#[test]
fn what_was_loaded_after_all_is_published_again_when_it_comes_back() {
    let mut world = World::new();
    world.terms.within = Some(60);
    world.terms.rolls_back = true;
    world.load = Some((0, 1));
    world.look();
    world.now += 60;
    world.look();
    world.look();
    world.load = Some((1, 1));
    world.look();
    assert_eq!(world.ready().0, "True");
    world.touch_source();
    world.text = Ok("two".to_owned());
    world.look();
    world.touch_source();
    world.text = Ok("one".to_owned());
    world.look();
    assert_eq!((world.text().as_str(), world.ready().0.as_str()), ("one", "True"));
}

/// Guard: `begins` in `succeeded`.
#[test]
fn the_time_for_loading_begins_when_it_is_first_looked_at() {
    let mut world = loaded();
    (world.terms.within, world.load) = (None, None);
    world.spec = "{\"without\":1}".to_owned();
    world.touch_source();
    world.text = Ok("two".to_owned());
    world.look();
    world.now += 86_400;
    (world.terms.within, world.load) = (Some(60), Some((0, 1)));
    world.spec = "{\"with\":1}".to_owned();
    world.look();
    assert_eq!((world.text().as_str(), world.ready().1.as_str()), ("two", "LoadPending"));
    world.now += 60;
    world.look();
    assert_eq!(world.ready().1, "NotLoaded");
}

/// Guard: `watches_delivery` in `succeeded`.
#[test]
fn what_is_looked_at_no_more_is_failing_no_more() {
    let mut world = World::settled();
    world.memory.failing.insert("ops".to_owned(), "slack: authError".to_owned());
    world.look();
    assert_eq!(world.status.receivers[0].state, ReceiverState::Live);
}
