//! Values that come back from history.

use super::*;

/// Sets `password` to a newer value, then puts the old token back.
fn reverted() -> World {
    let mut world = World::settled();
    let old = world.object.spec.clone();
    world.now += 100;
    world.set("password", "two");
    world.look();
    assert_eq!(world.value("password").as_deref(), Some("two"));
    world.object.spec = old;
    world.commit();
    world
}

/// C06. Guard: `floor::rolled_back`, policy Warn: a Git revert works, and is told.
#[test]
fn with_warn_an_older_value_is_applied_and_reported() {
    let mut world = reverted();
    let look = world.look();
    assert_eq!(world.value("password").as_deref(), Some("one"));
    assert_eq!(world.ready(), ("True", "Synced"));
    let degraded = world.condition(ConditionType::Degraded).unwrap();
    assert_eq!((degraded.status.as_str(), degraded.reason.as_str()), ("True", "RolledBack"));
    assert!(degraded.message.contains("password"));
    assert_eq!(look.report.rolled_back, Some(1));
    assert_eq!(look.report.events.iter().map(|event| event.reason).collect::<Vec<_>>(), [Reason::RolledBack]);
    // The highest number stays, so it goes on being told, but only once.
    assert_eq!(world.object.status.as_ref().unwrap().keys[0].seq, NOW.unsigned_abs() + 100);
    let again = world.look().report;
    assert_eq!((again.status, again.events, again.rolled_back), (None, vec![], Some(1)));

    world.now += 100;
    world.set("password", "three");
    world.look();
    assert!(world.condition(ConditionType::Degraded).is_none());
}

/// C06. Guard: policy Deny keeps the newer Secret.
#[test]
fn with_deny_an_older_value_is_refused_and_the_secret_stays() {
    let mut world = reverted();
    world.rollback = RollbackPolicy::Deny;
    let look = world.look();
    assert!(refused(&look.plan, Reason::RolledBack).contains("password"));
    assert_eq!(world.value("password").as_deref(), Some("two"));
    assert_eq!(world.ready(), ("False", "RolledBack"));
}

#[test]
fn with_allow_an_older_value_is_applied_in_silence() {
    let mut world = reverted();
    world.rollback = RollbackPolicy::Allow;
    let look = world.look();
    assert_eq!(world.value("password").as_deref(), Some("one"));
    assert_eq!((look.report.events, look.report.rolled_back), (vec![], Some(0)));
    assert!(world.condition(ConditionType::Degraded).is_none());
}

/// C06, K15. Guard: `floor` takes the maximum of status and annotation.
#[test]
fn a_status_edited_downward_hides_nothing() {
    for forge in [
        |status: &mut SealedSecretStatus| status.keys.clear(),
        |status: &mut SealedSecretStatus| status.keys[0].seq = 1,
        |status: &mut SealedSecretStatus| *status = SealedSecretStatus::default(),
    ] {
        let mut world = reverted();
        world.rollback = RollbackPolicy::Deny;
        forge(world.status());
        refused(&world.plan(), Reason::RolledBack);
    }
}

/// C06. Guard: `floor` takes the maximum: the Secret's annotation alone may be gone too.
#[test]
fn the_secrets_annotation_edited_downward_hides_nothing() {
    for annotation in ["{}", "{\"password\":1}", "not json", ""] {
        let mut world = reverted();
        world.rollback = RollbackPolicy::Deny;
        let annotations = &mut world.target.as_mut().unwrap().annotations;
        annotations.insert(names::SEQ.to_owned(), annotation.to_owned());
        refused(&world.plan(), Reason::RolledBack);
    }
}

/// C06. Guard: removed keys stay in `keys`, so removing and putting back an old value is a rollback too.
#[test]
fn a_removed_key_keeps_its_highest_number() {
    let mut world = World::settled();
    world.set("user", "x");
    world.look();
    let old = world.object.spec.clone();
    world.now += 100;
    world.set("user", "y");
    world.look();
    world.unset("user");
    world.look();
    assert_eq!(world.value("user"), None);
    let key =
        world.object.status.as_ref().unwrap().keys.iter().find(|key| key.name == "user").unwrap().clone();
    assert_eq!((key.seq, key.removed, key.key_id.as_str()), (NOW.unsigned_abs() + 100, Some(true), ""));
    world.object.spec = old;
    world.commit();
    world.rollback = RollbackPolicy::Deny;
    refused(&world.plan(), Reason::RolledBack);
}

/// K15. Guard: numbers that no value can have are not believed, else one forged status would block an object for good.
#[test]
fn a_forged_number_beyond_what_can_be_sealed_is_ignored() {
    let mut world = World::settled();
    world.status().keys[0].seq = (1 << 53) - 1;
    world.rollback = RollbackPolicy::Deny;
    let look = world.look();
    assert!(matches!(look.plan.write, Write::Apply { .. }));
    assert_eq!(world.object.status.as_ref().unwrap().keys[0].seq, NOW.unsigned_abs());
}

#[test]
fn a_policy_that_changes_is_applied_to_what_is_already_there() {
    let mut world = reverted();
    world.look();
    assert_eq!(world.ready(), ("True", "Synced"));
    world.rollback = RollbackPolicy::Deny;
    refused(&world.plan(), Reason::RolledBack);
}

#[test]
fn only_so_many_removed_keys_are_remembered() {
    let mut world = World::settled();
    for i in 0..2000 {
        let key = KeySeq { name: format!("old-{i}"), seq: i, removed: Some(true), ..KeySeq::default() };
        world.status().keys.push(key);
    }
    world.look();
    let keys = &world.object.status.as_ref().unwrap().keys;
    assert_eq!(keys.len(), 257);
    // The ones that were forgotten are the oldest.
    assert!(keys.iter().all(|key| key.seq >= 1744));
}
