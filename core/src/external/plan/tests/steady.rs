//! What is in order costs nothing, and what has failed is not called in order.

use super::*;

#[test]
fn a_restart_in_order_fetches_nothing_writes_nothing_and_says_nothing() {
    let mut world = World::settled(json!({}));
    world.restart();
    world.now += 60;
    let look = world.look();
    assert_eq!((look.fetched, &look.plan.write, &look.report.status), (false, &Write::None, &None));
    assert!(look.report.events.is_empty());
    assert!(matches!(look.report.next, Next::After(seconds) if seconds <= 3600));
}

#[test]
fn a_refresh_of_the_same_version_writes_nothing_but_the_time_and_that_rarely() {
    let mut world = World::settled(json!({"refreshInterval": "1m"}));
    let mut written = 0;
    for _ in 0..180 {
        world.now += 60;
        let look = world.look();
        assert_eq!((look.fetched, &look.plan.write), (true, &Write::None));
        assert_eq!(world.cause, Some(Cause::Due), "without a lease, values are asked for");
        written += usize::from(look.report.status.is_some());
    }
    assert!((2..=3).contains(&written), "{written}");
}

#[test]
fn without_versions_the_values_are_compared() {
    let mut world = World::new(json!({"refreshInterval": "1m"}));
    world.entry = Some((br#"{"password":"one"}"#.to_vec(), None));
    world.look();
    world.now += 120;
    assert_eq!(world.look().plan.write, Write::None);
    world.entry = Some((br#"{"password":"two"}"#.to_vec(), None));
    world.now += 120;
    let look = world.look();
    assert!(matches!(look.plan.write, Write::Apply { .. }));
    assert_eq!(reasons(&look.report.events), [Reason::Refreshed]);
    assert_eq!(world.password(), Some(b"two".as_slice()));
}

#[test]
fn consumers_of_one_entry_refresh_together_and_others_at_other_times() {
    let next = |key: &str| {
        let data = json!([{"secretKey": "a", "remoteRef": {"key": key, "property": "password"}}]);
        let mut world = World::settled(json!({"data": data}));
        world.now += 1;
        let Next::After(seconds) = world.look().report.next else { panic!() };
        seconds
    };
    assert_eq!(next("app"), next("app"));
    let times: std::collections::BTreeSet<u64> = (0..50).map(|n| next(&format!("app-{n}"))).collect();
    assert!(times.len() > 40 && times.last().unwrap() - times.first().unwrap() > 1800, "{times:?}");
}

#[test]
fn another_store_behind_the_name_is_asked_at_once() {
    for change in [
        |fact: &mut StoreFact| fact.uid = "store-2".to_owned(),
        |fact: &mut StoreFact| {
            fact.generation = 2;
        },
    ] {
        let mut world = World::settled(json!({}));
        change(&mut world.stores[0]);
        assert!(world.look().fetched);
        assert!(!world.look().fetched);
    }
}

/// D07. Guard: a failure plans no write.
#[test]
fn whatever_the_provider_s_trouble_the_secret_stays_as_it_was_and_recovery_needs_no_hand() {
    for reason in [
        Reason::ProviderUnavailable,
        Reason::ProviderForbidden,
        Reason::ProviderUnauthenticated,
        Reason::ProviderThrottled,
        Reason::ProviderSealed,
        Reason::MountMissing,
        Reason::InvalidValue,
        Reason::NothingFound,
    ] {
        let mut world =
            World::settled(json!({"refreshInterval": "1m", "target": {"deletionPolicy": "Delete"}}));
        world.trouble = Some(reason);
        for _ in 0..5 {
            world.now += 3600;
            let look = world.look();
            assert_eq!((look.fetched, look.plan.write), (true, Write::None), "{reason}");
            assert_eq!(world.ready(), ("False", reason.as_str()));
        }
        assert_eq!(world.password(), Some(b"one".as_slice()));
        world.trouble = None;
        // Another process, which does not know that a fetch has failed, does not call it in order either.
        world.restart();
        let look = world.look();
        assert!(look.fetched, "{reason}");
        assert_eq!(world.ready(), ("True", "Synced"));
        assert_eq!(reasons(&look.report.events), [Reason::Synced]);
    }
}

#[test]
fn a_value_that_does_not_parse_is_told_by_its_position_and_never_by_its_text() {
    let mut world = World::settled(json!({"refreshInterval": "1m"}));
    world.entry = Some((b"{\"password\": canary-7f3a".to_vec(), Some("2".to_owned())));
    world.now += 120;
    let look = world.look();
    assert_eq!(world.ready(), ("False", "InvalidValue"));
    let said = format!("{:?} {:?}", look.report.status, look.report.events);
    assert!(!said.contains("canary") && said.contains("line 1"), "{said}");
    assert_eq!(world.password(), Some(b"one".as_slice()));
}

#[test]
fn without_an_identity_nothing_is_fetched() {
    let mut world = World::new(json!({}));
    world.unusable = Some(Reason::KeyRingNotReady);
    assert!(!world.look().fetched);
    assert_eq!(world.ready(), ("False", "KeyRingNotReady"));
}

#[test]
fn a_suspended_object_fetches_nothing_and_says_so() {
    let mut world = World::settled(json!({}));
    world.annotate(names::SUSPEND, "true");
    world.now += 100 * 3600;
    assert!(!world.look().fetched);
    assert_eq!(world.ready(), ("True", "Suspended"));
}
