//! Rings whose identities are wrapped.

use super::*;

#[test]
fn another_protection_makes_a_new_key_and_leaves_the_old_one_as_it_is() {
    let old = recipient();
    let mut world = World::listing(vec![key(&old, KeyState::Active, NOW)]);
    world.status.keys[0].protection = Some(ProtectionKind::AwsKms);
    world.found[0].protection = ProtectionKind::AwsKms;
    let plan = world.settle(NOW + DAY);
    assert_eq!(world.states(), [KeyState::OpenOnly, KeyState::Active]);
    assert_eq!(world.status.keys[0].protection, Some(ProtectionKind::AwsKms));
    assert_eq!(world.status.keys[1].protection, None);
    assert!(plan.usable.contains(&old));
}

/// K31. Guard: a locked identity counts as present (`Facts::of`).
#[test]
fn identities_that_cannot_be_unwrapped_now_are_neither_used_nor_replaced() {
    let (old, active) = (recipient(), recipient());
    let keys = vec![key(&old, KeyState::OpenOnly, NOW - DAY), key(&active, KeyState::Active, NOW)];
    let mut world = World::listing(keys);
    world.found.iter_mut().for_each(|found| found.locked = true);
    let plan = world.settle(NOW);
    assert!(plan.usable.is_empty() && !plan.make);
    assert_eq!(plan.published.len(), 1, "new seals are still for it");
    assert_eq!(world.states(), [KeyState::OpenOnly, KeyState::Active]);
    assert_eq!(plan.unusable, Some(Reason::ProtectionUnavailable));
    assert_eq!(condition(&plan, ConditionType::Ready), Some((false, "ProtectionUnavailable")));
    // What nobody would use anyway is not missed.
    world.spec.retired.push(old.to_string());
    world.found.push(Found { locked: true, ..secret("planted", Some(recipient())) });
    world.found[1].locked = false;
    let plan = world.settle(NOW);
    assert_eq!(plan.usable, std::slice::from_ref(&active));
    assert_eq!(condition(&plan, ConditionType::Degraded), Some((true, "UntrustedIdentity")));
    world.spec.retired.clear();
    let plan = world.settle(NOW);
    assert_eq!(plan.usable, [active]);
    assert_eq!(condition(&plan, ConditionType::Ready), Some((true, "Synced")));
    assert_eq!(condition(&plan, ConditionType::Degraded), Some((true, "ProtectionUnavailable")));
}

/// K30. Guard: a locked Secret never stands in for one that was read (`Facts::of`).
#[test]
fn a_locked_secret_that_says_to_be_of_a_key_takes_nothing_from_the_one_that_was_read() {
    let own = recipient();
    for first in [true, false] {
        let mut world = World::listing(vec![key(&own, KeyState::Active, NOW)]);
        let planted = Found { locked: true, ..secret("planted", Some(own.clone())) };
        world.found.insert(if first { 0 } else { 1 }, planted);
        assert_eq!(world.plan(NOW).usable, std::slice::from_ref(&own));
    }
}

#[test]
fn a_new_identity_that_cannot_be_wrapped_is_told_and_the_keys_go_on() {
    let own = recipient();
    let mut world = World::listing(vec![key(&own, KeyState::Active, NOW)]);
    world.trouble = Some("Vault does not answer");
    let plan = world.plan(NOW);
    assert_eq!(plan.usable, [own]);
    assert_eq!(condition(&plan, ConditionType::Degraded), Some((true, "ProtectionUnavailable")));
    assert_eq!(condition(&plan, ConditionType::Ready), Some((true, "Synced")));
}

#[test]
fn what_a_restart_would_lock_is_told_before_it() {
    let own = recipient();
    let mut world = World::listing(vec![key(&own, KeyState::Active, NOW)]);
    world.unproven = Some("2 identities are open in memory alone");
    let plan = world.plan(NOW);
    assert_eq!((plan.usable, plan.make), (vec![own], false));
    assert_eq!(condition(&world.plan(NOW), ConditionType::Degraded), Some((true, "ProtectionUnavailable")));
    assert_eq!(condition(&world.plan(NOW), ConditionType::Ready), Some((true, "Synced")));
    assert!(plan.events.iter().any(|event| event.message.contains("in memory alone")));
}

/// K31. Guard: `activate` passes over what is locked.
#[test]
fn a_key_that_was_not_unwrapped_is_not_published() {
    let (old, new) = (recipient(), recipient());
    let keys = vec![key(&old, KeyState::Active, NOW - 1), key(&new, KeyState::Pending, NOW)];
    let mut world = World::listing(keys);
    world.found[1].locked = true;
    world.settle(NOW);
    assert_eq!(world.states(), [KeyState::Active, KeyState::Pending]);
    world.found[1].locked = false;
    world.settle(NOW);
    assert_eq!(world.states(), [KeyState::OpenOnly, KeyState::Active]);
}
