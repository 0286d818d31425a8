//! Rings whose identities are wrapped.

use waxwing_crds::{AwsKms, Protection, VaultTransit};

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

/// K29. Guard: `is_passed_over` in `announce`.
#[test]
fn a_key_that_was_announced_before_the_protection_changed_never_becomes_active() {
    let (old, next) = (recipient(), recipient());
    let keys = vec![key(&old, KeyState::Active, NOW), key(&next, KeyState::Pending, NOW)];
    let mut world = World::listing(keys);
    world.spec.rotation =
        Some(Rotation { every: "30d".into(), announce: Some("7d".into()), ..Rotation::default() });
    world.settle(NOW);
    assert_eq!(world.states(), [KeyState::Active, KeyState::Pending]);
    world.spec.protection = Some(vault("waxwing"));
    let plan = world.plan(NOW + DAY);
    assert!(plan.make, "a wrapped one is made at once");
    assert!(plan.usable.contains(&next), "what was sealed for it opens");
    world.settle_wrapped(NOW + DAY, "waxwing");
    assert_eq!(world.states(), [KeyState::Active, KeyState::OpenOnly, KeyState::Pending]);
    world.settle_wrapped(NOW + 9 * DAY, "waxwing");
    assert_eq!(world.states(), [KeyState::OpenOnly, KeyState::OpenOnly, KeyState::Active]);
    // The first key of a ring, without which nobody could seal, is no such key.
    let mut world = World::default();
    world.spec.activate_after_backup = Some(true);
    world.settle(NOW);
    world.spec.protection = Some(vault("waxwing"));
    world.spec.backed_up.push(world.status.keys[0].recipient.clone());
    world.settle_wrapped(NOW, "waxwing");
    assert_eq!(world.states(), [KeyState::Active, KeyState::Pending]);
}

#[test]
fn another_key_of_the_same_kind_makes_a_new_key_where_it_can_be_told() {
    let makes = |protection: Protection, by: &str| {
        let mut world = World::listing(vec![key(&recipient(), KeyState::Active, NOW)]);
        world.found[0].protection = protection.kind;
        world.found[0].wrapped_by = Some(by.to_owned());
        world.spec.protection = Some(protection);
        let made = world.plan(NOW).make;
        // What a Secret that was not opened says is no cause.
        world.found[0].locked = true;
        assert!(!world.plan(NOW).make);
        made
    };
    assert!(!makes(vault("waxwing"), "waxwing"));
    assert!(makes(vault("another"), "waxwing"));
    let arn = |id: &str| format!("arn:aws:kms:eu-central-1:111122223333:key/{id}");
    assert!(!makes(kms("a-1"), &arn("a-1")) && !makes(kms(&arn("a-1")), &arn("a-1")));
    assert!(makes(kms("a-2"), &arn("a-1")) && makes(kms(&arn("a-2")), &arn("a-1")));
    // Nobody knows here which key that is.
    assert!(!makes(kms("alias/waxwing"), &arn("a-1")));
    assert!(!makes(kms("arn:aws:kms:eu-central-1:111122223333:alias/waxwing"), &arn("a-1")));
    assert!(!makes(kms("a-2"), "alias/waxwing"));
}

fn vault(key: &str) -> Protection {
    let block = VaultTransit { key: key.to_owned(), ..VaultTransit::default() };
    Protection { kind: ProtectionKind::VaultTransit, vault_transit: Some(block), ..Protection::default() }
}

fn kms(key_id: &str) -> Protection {
    let block = AwsKms { key_id: key_id.to_owned(), ..AwsKms::default() };
    Protection { kind: ProtectionKind::AwsKms, aws_kms: Some(block), ..Protection::default() }
}

impl World {
    /// As [`World::settle`]; what is made is wrapped by this key of Vault's.
    fn settle_wrapped(&mut self, now: i64, by: &str) {
        let stored = self.found.len();
        for _ in 0..10 {
            let mut plan = self.plan(now);
            if plan.make {
                let new = recipient();
                plan.list(&new, ProtectionKind::VaultTransit, now);
                let (protection, wrapped_by) = (ProtectionKind::VaultTransit, Some(by.to_owned()));
                self.found.push(Found { protection, wrapped_by, ..found(&new) });
            } else if plan.status == self.status {
                assert!(self.found.len() <= stored + 1, "one is enough");
                return;
            }
            self.status = plan.status;
        }
        panic!("does not settle");
    }
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
