//! What is lent is prolonged in time, by whatever clock.

use super::*;

/// An object with values for 600 seconds, which are asked for again for no other reason.
fn lent() -> World {
    let mut world = World::new(json!({"refreshPolicy": "OnChange"}));
    world.lease = Some(Lease { id: "creds/reader/1".to_owned(), seconds: 600, renewable: true });
    world.look();
    assert_eq!(world.ready(), ("True", "Synced"));
    world
}

fn ends_at(world: &World) -> i64 {
    let entry = &world.object.status.as_ref().unwrap().entries[0];
    entry.lease.as_ref().unwrap().expires_at.0.as_second()
}

/// Goes to each next look when it is asked for, until something is fetched, and gives the seconds that went by.
fn seconds_until_fetched(world: &mut World) -> i64 {
    let start = world.now;
    for _ in 0..100 {
        let look = world.look();
        if look.fetched {
            return world.now - start;
        }
        let Next::After(seconds) = look.report.next else { panic!("{:?}", look.report.next) };
        world.now += i64::try_from(seconds).unwrap();
    }
    panic!("never")
}

/// Guard: `Cause::Lease`, and the leases that `succeeded` remembers.
#[test]
fn a_lease_is_prolonged_two_thirds_on_its_way_and_its_object_remembers_it() {
    let mut world = lent();
    assert_eq!(world.memory.leases, ["creds/reader/1"]);
    assert_eq!(world.memory.lessor.as_ref(), Some(&world.stores[0].store));
    world.now += 399;
    assert!(!world.look().fetched);
    world.now += 1;
    let look = world.look();
    assert_eq!((look.fetched, world.cause, look.plan.write), (true, Some(Cause::Lease), Write::None));
    assert_eq!(ends_at(&world), world.now + 600);
    assert_eq!(seconds_until_fetched(&mut world), 400);
}

/// Guard: `lease_due` is kept in memory when nothing was fetched, and `due::EARLY`.
#[test]
fn another_process_prolongs_a_lease_soon_whatever_the_time_it_sees() {
    for skew in [-600, 0, 600] {
        for passed in [10, 300, 500, 550] {
            let mut world = lent();
            world.restart();
            world.now += passed + skew;
            let waited = seconds_until_fetched(&mut world);
            assert!(passed + waited < 600 && waited <= 30, "{skew} {passed}: {waited}");
            assert_eq!(world.cause, Some(Cause::Lease));
            assert_eq!(world.memory.leases, ["creds/reader/1"]);
        }
    }
}

/// Guard: `is_set_back` in `due::of`.
#[test]
fn a_clock_that_is_set_does_not_let_a_lease_end() {
    for skew in [-600, 600] {
        let mut world = lent();
        world.now += 100 + skew;
        let waited = seconds_until_fetched(&mut world);
        assert!(100 + waited <= 400, "{skew}: {waited}");
        // From there on the new time counts.
        assert_eq!(seconds_until_fetched(&mut world), 400, "{skew}");
    }
}

/// Guard: the mark is over facts, of which time is none.
#[test]
fn a_mark_is_as_good_by_any_clock() {
    for skew in [-600, 600] {
        let mut world = World::settled(json!({"refreshPolicy": "OnChange"}));
        world.restart();
        world.now += skew;
        let look = world.look();
        assert_eq!((look.fetched, look.report.status), (false, None), "{skew}");
    }
}

/// Guard: the two first questions of `first`, and `terminating` in `decide`.
#[test]
fn nothing_is_fetched_for_what_is_going() {
    let mut world = World::new(json!({}));
    world.terminating = true;
    assert!(!world.look().fetched);
    assert_eq!(world.ready(), ("False", "NamespaceTerminating"));

    let mut world = World::settled(json!({}));
    world.object.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    world.drift();
    world.annotate(names::REFRESH, "now");
    let look = world.look();
    assert_eq!((look.fetched, look.plan.write, look.report.status), (false, Write::None, None));
}

/// Guard: the mark in `Fetch::known`: an unchanged version says nothing of a Secret that is not as it was written.
#[test]
fn what_was_left_changed_until_its_time_is_put_right_then() {
    let mut world = World::settled(json!({"refreshInterval": "1m", "target": {"creationPolicy": "Orphan"}}));
    world.drift();
    assert!(!world.look().fetched);
    world.now += 120;
    world.look();
    assert_eq!(world.password(), Some(b"one".as_slice()));
}

/// Guard: `was_ready` in `cause`: what could not be prolonged is not called in order by whoever comes next.
#[test]
fn a_lease_that_could_not_be_prolonged_is_in_order_only_when_it_was() {
    let mut world = lent();
    world.trouble = Some(Reason::ProviderUnavailable);
    world.now += 400;
    // The provider is asked to prolong, and then for a new one.
    world.lease = None;
    world.look();
    assert_eq!(world.ready(), ("False", "ProviderUnavailable"));
    world.restart();
    assert!(world.look().fetched);
    assert_eq!(world.ready(), ("False", "ProviderUnavailable"));
}
