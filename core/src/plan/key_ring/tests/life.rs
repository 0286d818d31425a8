//! The life of a key: announced, in waves, retired, destroyed; and when a ring has converged.

use super::*;

#[test]
fn a_retired_key_is_not_used_even_when_it_is_trusted_and_is_taken_up_again_by_the_spec_alone() {
    let (retired, active) = (recipient(), recipient());
    let keys = vec![key(&retired, KeyState::OpenOnly, NOW), key(&active, KeyState::Active, NOW)];
    let mut world = World::listing(keys);
    world.spec.trusted.push(retired.to_string());
    world.spec.retired.push(retired.to_string());
    assert_eq!(reasons(&world.plan(NOW)), [Reason::KeyRetired]);
    let plan = world.settle(NOW);
    assert_eq!(plan.usable, std::slice::from_ref(&active));
    assert_eq!(world.states(), [KeyState::Retired, KeyState::Active]);
    world.spec.retired.clear();
    assert_eq!(world.settle(NOW).usable.len(), 2);
    assert_eq!(world.states(), [KeyState::OpenOnly, KeyState::Active]);
    // A status is no evidence.
    world.status.keys[0].state = KeyState::Retired;
    assert_eq!(world.settle(NOW).usable.len(), 2);
}

#[test]
fn an_active_key_that_is_retired_is_replaced_at_once() {
    let leaked = recipient();
    let mut world = World::listing(vec![key(&leaked, KeyState::Active, NOW)]);
    world.spec.retired.push(leaked.to_string());
    let plan = world.settle(NOW);
    assert_eq!(world.states(), [KeyState::Retired, KeyState::Active]);
    assert!(!plan.usable.contains(&leaked));
}

#[test]
fn a_retired_key_whose_secret_is_gone_is_destroyed_and_listed_until_the_spec_forgets_it() {
    let (old, active) = (recipient(), recipient());
    let keys = vec![key(&old, KeyState::OpenOnly, NOW), key(&active, KeyState::Active, NOW)];
    let mut world = World::listing(keys);
    world.spec.retired.push(old.to_string());
    world.settle(NOW);
    world.found.remove(0);
    let plan = world.plan(NOW);
    assert_eq!(reasons(&plan), [Reason::KeyDestroyed]);
    assert_eq!(condition(&plan, ConditionType::Degraded), None, "nothing is missing");
    world.settle(NOW);
    assert_eq!(world.states(), [KeyState::Destroyed, KeyState::Active]);
    // Restored by its Secret, it is as it was before.
    world.found.push(found(&old));
    world.settle(NOW);
    assert_eq!(world.states(), [KeyState::Retired, KeyState::Active]);
    world.found.pop();
    world.settle(NOW);
    world.spec.retired.clear();
    world.settle(NOW);
    assert_eq!(world.states(), [KeyState::Active]);
}

/// K12. Guard: `sees_active` in `retire`.
#[test]
fn an_operator_that_does_not_see_the_active_key_takes_no_retired_one_for_destroyed() {
    let (old, active) = (recipient(), recipient());
    let keys = vec![key(&old, KeyState::Retired, NOW), key(&active, KeyState::Active, NOW)];
    let mut world = World::listing(keys);
    world.spec.retired.push(old.to_string());
    world.found.clear();
    world.settle(NOW);
    assert_eq!(world.states(), [KeyState::Retired, KeyState::Active]);
    // Nor one whose Secret is there and cannot be read.
    world.found = vec![found(&active), secret(&secret_name("default", &old), None)];
    world.settle(NOW);
    assert_eq!(world.states(), [KeyState::Retired, KeyState::Active]);
}

/// K12. Guard: `all_missing` where lost keys are dropped.
#[test]
fn an_operator_in_the_wrong_place_drops_no_announced_key() {
    let (active, next) = (recipient(), recipient());
    let keys = vec![key(&active, KeyState::Active, NOW), key(&next, KeyState::Pending, NOW)];
    let mut world = World::listing(keys);
    world.found.clear();
    world.waited = 10 * GRACE;
    world.settle(NOW);
    assert_eq!(world.states(), [KeyState::Active, KeyState::Pending]);
}

/// K12. Guard: `is_used` in `Facts::all_untrusted`.
#[test]
fn a_ring_that_lost_its_memory_and_knows_only_what_it_retired_makes_no_key_in_silence() {
    let (old, active) = (recipient(), recipient());
    let mut world = World { found: vec![found(&old), found(&active)], ..World::default() };
    world.spec.retired.push(old.to_string());
    let plan = world.plan(NOW);
    assert!(!plan.make);
    assert_eq!(condition(&plan, ConditionType::Stalled), Some((true, "UntrustedIdentities")));
    // Where nothing but what was retired is left, there is nothing to lose.
    world.found.pop();
    assert!(world.plan(NOW).make);
}

/// K12. Guard: `keys.is_empty` in `Facts::all_untrusted`.
#[test]
fn a_ring_that_lost_its_memory_and_trusts_one_of_its_keys_makes_none_in_silence() {
    let (trusted, active) = (recipient(), recipient());
    let mut world = World { found: vec![found(&trusted), found(&active)], ..World::default() };
    world.spec.trusted.push(trusted.to_string());
    let plan = world.plan(NOW);
    assert!(!plan.make);
    assert_eq!(plan.usable, std::slice::from_ref(&trusted));
    let stalled = conditions::get(&plan.status.conditions, ConditionType::Stalled).unwrap();
    assert_eq!((stalled.status.as_str(), stalled.reason.as_str()), ("True", "UntrustedIdentities"));
    assert!(stalled.message.ends_with(&secret_name("default", &active)), "{}", stalled.message);
    // Once it is known what the others are, the ring goes on.
    let mut known = World { found: world.found.clone(), ..World::default() };
    known.spec.trusted.push(trusted.to_string());
    known.spec.retired.push(active.to_string());
    assert!(known.plan(NOW).make);
    world.spec.trusted.push(active.to_string());
    world.settle(NOW);
    assert_eq!(world.states(), [KeyState::Active]);
}

#[test]
fn a_key_is_announced_for_its_time_and_opens_already() {
    let old = recipient();
    let mut world = World::listing(vec![key(&old, KeyState::Active, NOW)]);
    world.spec.rotation =
        Some(Rotation { every: "30d".into(), announce: Some("1d".into()), ..Rotation::default() });
    let due = NOW + 30 * DAY;
    let plan = world.settle(due);
    assert_eq!(world.states(), [KeyState::Active, KeyState::Pending]);
    assert_eq!((plan.active.as_slice(), plan.usable.len()), (std::slice::from_ref(&old), 2));
    assert_eq!(condition(&plan, ConditionType::Ready), Some((true, "Synced")));
    assert_eq!(condition(&plan, ConditionType::Degraded), None);
    world.settle(due + DAY - 1);
    assert_eq!(world.states(), [KeyState::Active, KeyState::Pending]);
    world.settle(due + DAY);
    assert_eq!(world.states(), [KeyState::OpenOnly, KeyState::Active]);
}

#[test]
fn the_time_of_an_announcement_begins_when_the_key_was_read_back() {
    let mut world = World::listing(vec![
        key(&recipient(), KeyState::Active, NOW),
        key(&recipient(), KeyState::Pending, NOW),
    ]);
    world.spec.rotation =
        Some(Rotation { every: "30d".into(), announce: Some("1d".into()), ..Rotation::default() });
    let secret = world.found.pop().unwrap();
    world.settle(NOW);
    assert_eq!(world.status.keys[1].announced_at, None, "it is being made");
    world.found.push(secret);
    world.settle(NOW + 10);
    assert_eq!(world.status.keys[1].announced_at, Some(conditions::time(NOW + 10)));
    world.settle(NOW + DAY + 9);
    assert_eq!(world.states(), [KeyState::Active, KeyState::Pending]);
    world.settle(NOW + DAY + 10);
    assert_eq!(world.states(), [KeyState::OpenOnly, KeyState::Active]);
}

/// Guard: `Observed::forgetful` in `announce`.
#[test]
fn where_the_time_of_an_announcement_is_not_kept_it_begins_when_the_key_was_made() {
    let mut world = World::listing(vec![
        key(&recipient(), KeyState::Active, NOW),
        key(&recipient(), KeyState::Pending, NOW),
    ]);
    world.spec.rotation =
        Some(Rotation { every: "30d".into(), announce: Some("1d".into()), ..Rotation::default() });
    world.forgetful = true;
    for (now, expected) in [(NOW + DAY - 1, KeyState::Pending), (NOW + DAY, KeyState::Active)] {
        let plan = world.plan(now);
        assert_eq!(plan.status.keys[1].state, expected);
        assert_eq!(plan.status.keys[1].announced_at, Some(conditions::time(NOW)));
    }
}

/// Guard: `announce` makes a lost key one that opens, and what is dropped was never announced.
#[test]
fn an_announced_key_whose_secret_is_gone_is_missed_like_any_other() {
    let old = recipient();
    let mut world = World::listing(vec![key(&old, KeyState::Active, NOW)]);
    world.spec.rotation =
        Some(Rotation { every: "30d".into(), announce: Some("1d".into()), ..Rotation::default() });
    world.settle(NOW + 30 * DAY);
    assert_eq!(world.states(), [KeyState::Active, KeyState::Pending]);
    let lost = world.found.pop().unwrap();
    world.waited = 10 * GRACE;
    let plan = world.settle(NOW + 30 * DAY + 60);
    assert_eq!(world.states(), [KeyState::Active, KeyState::OpenOnly, KeyState::Pending]);
    assert_eq!(condition(&plan, ConditionType::Degraded), Some((true, "IdentityMissing")));
    assert_eq!(plan.active, [old]);
    // Restored, it opens what somebody has sealed for it.
    world.found.push(lost.clone());
    let plan = world.settle(NOW + 30 * DAY + 90);
    assert!(plan.usable.contains(&lost.recipient.unwrap()));
    assert_eq!(condition(&plan, ConditionType::Degraded), None);
}

/// Guard: `RingKey::opens` in `Facts::all_missing`.
#[test]
fn a_first_key_that_was_announced_and_lost_is_not_replaced_in_silence() {
    let mut world = World::default();
    world.spec.activate_after_backup = Some(true);
    world.settle(NOW);
    world.found.clear();
    world.waited = 10 * GRACE;
    let plan = world.settle(NOW);
    assert_eq!(world.states(), [KeyState::Pending]);
    assert!(!plan.make);
    assert_eq!(condition(&plan, ConditionType::Ready), Some((false, "IdentityMissing")));
}

#[test]
fn the_first_key_of_a_ring_is_announced_to_nobody() {
    let mut world = World::default();
    world.spec.rotation =
        Some(Rotation { every: "30d".into(), announce: Some("1d".into()), ..Rotation::default() });
    world.settle(NOW);
    assert_eq!(world.states(), [KeyState::Active]);
}

/// A ring that rotates after another one.
fn second_wave() -> World {
    let mut world = World::listing(vec![key(&recipient(), KeyState::Active, NOW)]);
    world.spec.rotation = Some(Rotation {
        every: "30d".into(),
        after: Some(RotatesAfter { at_most: Some("5d".into()), ..RotatesAfter::default() }),
        ..Rotation::default()
    });
    world
}

/// The ring that rotates first.
fn first_wave(created_at: i64, converged: bool) -> KeyRing {
    let mut status =
        KeyRingStatus { keys: vec![key(&recipient(), KeyState::Active, created_at)], ..Default::default() };
    let type_ = ConditionType::Converged;
    conditions::set(&mut status.conditions, type_, converged, Reason::Synced, "", None, created_at);
    KeyRing { status: Some(status), ..KeyRing::default() }
}

#[test]
fn a_due_rotation_waits_until_the_other_ring_has_rotated_and_converged() {
    let mut world = second_wave();
    let due = NOW + 30 * DAY;
    assert!(!world.plan(due - 1).asks_wave, "nobody is asked before it is due");
    let plan = world.settle(due);
    assert!(plan.asks_wave && !plan.make);
    assert_eq!(plan.again, Some(wave::ASK));
    // Made when ours was: that is the round before, although it is younger than ours.
    let answers = [
        (first_wave(NOW + 60, true), false),
        (first_wave(due - DAY, false), false),
        (KeyRing::default(), false),
        (first_wave(due - DAY, true), true),
    ];
    for (other, passes) in answers {
        world.wave = judge(&world.observed(), &other, due);
        assert_eq!(world.plan(due).make, passes, "{:?}", world.wave);
        let ready = world.plan(due).status.conditions;
        let ready = conditions::get(&ready, ConditionType::Ready).unwrap();
        assert_eq!(
            ready.message.contains("a rotation is due and waits: the ring"),
            !passes,
            "{}",
            ready.message
        );
    }
}

#[test]
fn a_wave_that_never_comes_delays_a_rotation_and_does_not_prevent_it() {
    let mut world = second_wave();
    world.wave = Wave::Waiting("it cannot be reached".into());
    assert!(!world.plan(NOW + 35 * DAY - 1).make);
    assert!(world.plan(NOW + 35 * DAY).make);
}

#[test]
fn a_ring_without_an_active_key_waits_for_nobody() {
    let mut world = second_wave();
    world.status.keys.clear();
    world.found.clear();
    assert!(world.plan(NOW).make);
}

#[test]
fn a_ring_has_converged_once_no_value_needs_an_older_key() {
    let mut world = World::listing(vec![key(&recipient(), KeyState::Active, NOW)]);
    let now_is = |world: &mut World, by_older, unsettled| {
        world.in_use = Some(InUse { by_older, unsettled });
        let plan = world.settle(NOW);
        condition(&plan, ConditionType::Converged).map(|(is, reason)| (is, reason.to_owned()))
    };
    assert_eq!(condition(&world.plan(NOW), ConditionType::Converged), None, "not known yet");
    assert_eq!(now_is(&mut world, 3, 0), Some((false, "OlderKeysInUse".into())));
    assert_eq!(now_is(&mut world, 0, 1), Some((false, "Progressing".into())));
    assert_eq!(now_is(&mut world, 0, 0), Some((true, "Synced".into())));
    // The count speaks of the key that was active when it was made.
    let rotating = world.settle(NOW + 31 * DAY);
    assert_eq!(condition(&rotating, ConditionType::Converged).map(|(is, _)| is), Some(true), "counted anew");
    world.status.keys.last_mut().unwrap().state = KeyState::Pending;
    world.status.keys[0].state = KeyState::Active;
    let plan = world.plan(NOW + 31 * DAY);
    assert_eq!(condition(&plan, ConditionType::Converged), Some((false, "Progressing")));
    world.settle(NOW + 31 * DAY);
    world.in_use = None;
    let known = condition(&world.settle(NOW), ConditionType::Converged).map(|(is, _)| is);
    assert_eq!(known, Some(true), "a restart forgets nothing");
    // Nor does one that has a new key to make active speak for that.
    let plan = world.settle(NOW + 100 * DAY);
    assert_eq!(condition(&plan, ConditionType::Converged), Some((false, "Progressing")));
}

#[test]
fn a_ring_that_lost_everything_begins_anew_once_its_keys_are_retired() {
    let lost = recipient();
    let mut world = World::listing(vec![key(&lost, KeyState::Active, NOW)]);
    world.found.clear();
    assert!(!world.plan(NOW).make);
    world.spec.retired.push(lost.to_string());
    assert!(world.plan(NOW).make);
    world.status = world.plan(NOW).status;
    world.settle(NOW);
    assert_eq!(world.states(), [KeyState::Destroyed, KeyState::Active]);
}

#[test]
fn a_ring_that_lists_too_many_keys_stops_rotating_and_says_so() {
    let identity = recipient();
    let mut keys: Vec<_> = (0..KEY_LIMIT).map(|_| key(&identity, KeyState::OpenOnly, 0)).collect();
    keys.push(key(&recipient(), KeyState::Active, 0));
    let world = World::listing(keys);
    let plan = world.plan(NOW);
    assert!(!plan.make);
    assert_eq!(condition(&plan, ConditionType::Degraded), Some((true, "LimitExceeded")));
}
