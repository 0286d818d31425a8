//! The ring's plans, on values.

use waxwing_crds::{ConditionType, KeyRing, ProtectionKind, RingRecipient, RotatesAfter, Rotation};

use super::*;
use crate::keys::Identity;

mod life;
mod protection;

const NOW: i64 = 1_789_000_000;
const DAY: i64 = 86_400;

fn recipient() -> Recipient {
    Identity::generate().recipient().clone()
}

fn found(recipient: &Recipient) -> Found {
    Found { secret: secret_name("default", recipient), ..secret("", Some(recipient.clone())) }
}

fn secret(name: &str, recipient: Option<Recipient>) -> Found {
    Found {
        secret: name.to_owned(),
        recipient,
        protection: ProtectionKind::None,
        wrapped_by: None,
        locked: false,
    }
}

fn key(recipient: &Recipient, state: KeyState, created_at: i64) -> RingKey {
    RingKey {
        recipient: recipient.to_string(),
        key_id: recipient.id().to_string(),
        state,
        created_at: Some(conditions::time(created_at)),
        announced_at: None,
        protection: None,
    }
}

/// A ring to plan for.
#[derive(Default)]
struct World {
    spec: KeyRingSpec,
    status: KeyRingStatus,
    found: Vec<Found>,
    waited: i64,
    forgetful: bool,
    wave: Wave,
    in_use: Option<InUse>,
    trouble: Option<&'static str>,
    unproven: Option<&'static str>,
}

impl World {
    fn listing(keys: Vec<RingKey>) -> Self {
        let found = keys.iter().map(|key| found(&key.recipient.parse().unwrap())).collect();
        Self { status: KeyRingStatus { keys, ..KeyRingStatus::default() }, found, ..Self::default() }
    }

    fn observed(&self) -> Observed<'_> {
        Observed {
            ring: "default",
            spec: &self.spec,
            status: &self.status,
            generation: Some(1),
            found: &self.found,
            waited: self.waited,
            forgetful: self.forgetful,
            wave: self.wave.clone(),
            in_use: self.in_use,
            trouble: self.trouble,
            refused: self.trouble,
            unproven: self.unproven,
        }
    }

    fn plan(&self, now: i64) -> RingPlan {
        plan(&self.observed(), now)
    }

    /// Writes the plan, makes the key if one is asked for, and plans again until nothing changes.
    fn settle(&mut self, now: i64) -> RingPlan {
        for _ in 0..10 {
            let mut plan = self.plan(now);
            if plan.make {
                let new = recipient();
                plan.list(&new, self.spec.protection_kind(), now);
                self.found.push(found(&new));
            } else if plan.status == self.status {
                return plan;
            }
            self.status = plan.status;
        }
        panic!("does not settle");
    }

    fn states(&self) -> Vec<KeyState> {
        self.status.keys.iter().map(|key| key.state).collect()
    }
}

fn condition(plan: &RingPlan, type_: ConditionType) -> Option<(bool, &str)> {
    let condition = conditions::get(&plan.status.conditions, type_)?;
    Some((condition.status == "True", &condition.reason))
}

fn reasons(plan: &RingPlan) -> Vec<Reason> {
    plan.events.iter().map(|event| event.reason).collect()
}

#[test]
fn an_empty_ring_makes_one_key_and_publishes_it_once_it_was_read_back() {
    let mut world = World::default();
    let first = world.plan(NOW);
    assert!(first.make && first.published.is_empty());
    assert_eq!(condition(&first, ConditionType::Ready), Some((false, "Progressing")));
    let settled = world.settle(NOW);
    assert_eq!(world.states(), [KeyState::Active]);
    assert_eq!(settled.published.len(), 1);
    assert_eq!(settled.published[0].name(), "default");
    assert_eq!(settled.usable, settled.active);
    assert_eq!(condition(&settled, ConditionType::Ready), Some((true, "Synced")));
    assert_eq!(settled.unusable, None);
}

/// K12. Guard: `facts.has` in `activate`.
#[test]
fn a_listed_key_without_its_secret_is_neither_published_nor_used_nor_doubled() {
    let mut world = World::listing(vec![key(&recipient(), KeyState::Pending, NOW)]);
    world.found.clear();
    let plan = world.plan(NOW);
    assert!(!plan.make && plan.published.is_empty() && plan.usable.is_empty());
    assert_eq!(plan.status.keys, world.status.keys);
    assert_eq!(plan.again, Some(GRACE));
}

#[test]
fn a_listed_key_whose_secret_never_came_is_dropped_and_replaced() {
    let mut world = World::listing(vec![key(&recipient(), KeyState::Pending, NOW)]);
    world.found.clear();
    world.waited = GRACE;
    let plan = world.plan(NOW);
    assert!(plan.make);
    assert!(plan.status.keys.is_empty());
}

/// A maker that hangs longer than it may would create a Secret that nobody lists any more.
#[test]
fn a_key_is_made_in_less_time_than_others_wait_for_it() {
    const { assert!(MAKE_WITHIN * 2 < GRACE) }
}

#[test]
fn a_published_key_is_replaced_when_its_time_has_come_and_goes_on_opening() {
    let old = recipient();
    let mut world = World::listing(vec![key(&old, KeyState::Active, NOW)]);
    world.spec.rotation = Some(Rotation { every: "30d".into(), ..Rotation::default() });
    assert_eq!(world.settle(NOW + DAY).again, Some(29 * DAY));
    world.settle(NOW + 30 * DAY - 1);
    assert_eq!(world.states(), [KeyState::Active]);
    let rotated = world.settle(NOW + 30 * DAY);
    assert_eq!(world.states(), [KeyState::OpenOnly, KeyState::Active]);
    assert_eq!(rotated.usable.len(), 2);
    assert!(rotated.usable.contains(&old));
    assert_eq!(rotated.published.len(), 1);
    assert_ne!(*rotated.published[0].recipient(), old);
}

#[test]
fn a_rotation_says_once_that_the_recipients_changed() {
    let mut world = World::listing(vec![key(&recipient(), KeyState::Active, NOW)]);
    assert!(!world.settle(NOW).recipients_changed);
    let mut changes = 0;
    for _ in 0..6 {
        let mut plan = world.plan(NOW + 31 * DAY);
        changes += u32::from(plan.recipients_changed);
        assert_eq!(plan.recipients_changed, reasons(&plan).contains(&Reason::RecipientsChanged));
        if plan.make {
            let new = recipient();
            plan.list(&new, ProtectionKind::None, NOW + 31 * DAY);
            world.found.push(found(&new));
        }
        world.status = plan.status;
    }
    assert_eq!(changes, 1);
}

#[test]
fn a_recipient_added_to_the_spec_is_published_and_reported() {
    let mut world = World::listing(vec![key(&recipient(), KeyState::Active, NOW)]);
    world.settle(NOW);
    let added = recipient();
    let entry = RingRecipient { name: "recovery".into(), recipient: added.to_string(), required: Some(true) };
    world.spec.recipients.push(entry);
    let plan = world.plan(NOW);
    assert!(plan.recipients_changed);
    assert!(plan.events[0].warning);
    assert_eq!(plan.published.iter().map(NamedRecipient::name).collect::<Vec<_>>(), ["default", "recovery"]);
    assert!(!plan.active.contains(&added), "it is none of the ring's own keys");
}

/// K08. Guard: `Facts::untrusted`; the full recipient is compared.
#[test]
fn a_planted_identity_is_reported_and_not_used() {
    let (own, planted) = (recipient(), recipient());
    let mut world = World::listing(vec![key(&own, KeyState::Active, NOW)]);
    world.found.push(secret("planted", Some(planted)));
    let plan = world.plan(NOW);
    assert_eq!(plan.usable, std::slice::from_ref(&own));
    assert_eq!(plan.active, [own]);
    assert_eq!(condition(&plan, ConditionType::Degraded), Some((true, "UntrustedIdentity")));
    assert_eq!(condition(&plan, ConditionType::Ready), Some((true, "Synced")));
    assert!(reasons(&plan).contains(&Reason::UntrustedIdentity));
    world.status = plan.status;
    assert!(world.plan(NOW).events.is_empty(), "told once");
}

/// K08. Guard: a key becomes the ring's by being listed, never by its Secret's name.
#[test]
fn a_secret_that_is_named_like_the_rings_next_key_is_not_taken_for_it() {
    let planted = recipient();
    let world = World { found: vec![found(&planted)], ..World::default() };
    let plan = world.plan(NOW);
    assert!(!plan.make && plan.usable.is_empty() && plan.published.is_empty());
    assert_eq!(condition(&plan, ConditionType::Stalled), Some((true, "UntrustedIdentities")));
    assert_eq!(plan.unusable, Some(Reason::UntrustedIdentities));
    assert_eq!(reasons(&plan), [Reason::UntrustedIdentities]);
}

#[test]
fn a_ring_that_lost_its_memory_goes_on_once_its_identities_are_trusted() {
    let restored = recipient();
    let mut world = World { found: vec![found(&restored)], ..World::default() };
    assert!(!world.plan(NOW).make);
    world.spec.trusted.push(restored.to_string());
    let plan = world.settle(NOW);
    assert!(plan.usable.contains(&restored));
    assert_eq!(plan.usable.len(), 2, "a key of its own was made");
    assert!(!plan.active.contains(&restored));
}

/// K09. Guard: `Found::recipient` is optional.
#[test]
fn a_malformed_identity_is_reported_and_nothing_else_happens() {
    let own = recipient();
    let mut world = World::listing(vec![key(&own, KeyState::Active, NOW)]);
    world.found.push(secret("broken", None));
    let plan = world.plan(NOW);
    assert_eq!(plan.usable, [own]);
    assert_eq!(condition(&plan, ConditionType::Degraded), Some((true, "MalformedIdentity")));
    let message = &conditions::get(&plan.status.conditions, ConditionType::Degraded).unwrap().message;
    assert_eq!(message, "1 Secrets hold no usable identity: broken");
}

#[test]
fn a_thousand_planted_identities_make_a_short_message() {
    let mut world = World::listing(vec![key(&recipient(), KeyState::Active, NOW)]);
    for number in 0..1000 {
        world.found.push(secret(&format!("broken-{number:04}"), None));
    }
    let plan = world.plan(NOW);
    let message = &conditions::get(&plan.status.conditions, ConditionType::Degraded).unwrap().message;
    assert!(message.ends_with("broken-0004 and 995 more"), "{message}");
}

#[test]
fn a_new_key_waits_for_its_backup_when_that_is_asked_for() {
    let old = recipient();
    let mut world = World::listing(vec![key(&old, KeyState::Active, NOW)]);
    world.spec.activate_after_backup = Some(true);
    let waiting = world.settle(NOW + 40 * DAY);
    assert_eq!(world.states(), [KeyState::Active, KeyState::Pending]);
    assert_eq!(waiting.active, [old]);
    assert_eq!(condition(&waiting, ConditionType::Ready), Some((true, "Synced")));
    assert_eq!(condition(&waiting, ConditionType::Degraded), Some((true, "BackupAwaited")));
    world.spec.backed_up.push(world.status.keys[1].recipient.clone());
    world.settle(NOW + 41 * DAY);
    assert_eq!(world.states(), [KeyState::OpenOnly, KeyState::Active]);
}

#[test]
fn the_first_key_waits_for_its_backup_too() {
    let mut world = World::default();
    world.spec.activate_after_backup = Some(true);
    world.waited = 10 * GRACE;
    let plan = world.settle(NOW);
    assert_eq!(world.states(), [KeyState::Pending]);
    assert_eq!(condition(&plan, ConditionType::Ready), Some((false, "BackupAwaited")));
    assert!(plan.active.is_empty() && plan.published.is_empty());
}

#[test]
fn nothing_is_published_for_a_key_whose_secret_is_gone() {
    let (lost, kept) = (recipient(), recipient());
    let keys = vec![key(&kept, KeyState::OpenOnly, NOW - DAY), key(&lost, KeyState::Active, NOW)];
    let mut world = World::listing(keys);
    world.found.pop();
    let plan = world.settle(NOW);
    assert_eq!(world.states(), [KeyState::OpenOnly, KeyState::OpenOnly, KeyState::Active]);
    assert!(!plan.active.contains(&lost));
    assert_eq!(condition(&plan, ConditionType::Degraded), Some((true, "IdentityMissing")));
}

/// K12. Guard: `Facts::all_missing`.
#[test]
fn a_second_operator_in_another_namespace_makes_no_keys_against_the_first() {
    let keys =
        vec![key(&recipient(), KeyState::OpenOnly, NOW - DAY), key(&recipient(), KeyState::Active, NOW)];
    let mut world = World::listing(keys);
    world.found.clear();
    let plan = world.settle(NOW + 100 * DAY);
    assert_eq!(world.states(), [KeyState::OpenOnly, KeyState::Active], "nor does it demote one");
    assert!(!plan.recipients_changed);
    assert_eq!(condition(&plan, ConditionType::Ready), Some((false, "IdentityMissing")));
    assert_eq!(plan.unusable, Some(Reason::KeyRingNotReady));
}

/// K15. A status that names two active keys, or a key from the far past, costs work and skips nothing.
/// Guard: `keep_one_active`.
#[test]
fn a_forged_status_leaves_one_active_key_and_one_rotation() {
    let (a, b) = (recipient(), recipient());
    let mut world = World::listing(vec![key(&a, KeyState::Active, 0), key(&b, KeyState::Active, 5)]);
    assert_eq!(world.plan(10).active, [b]);
    world.settle(NOW);
    assert_eq!(world.states(), [KeyState::OpenOnly, KeyState::OpenOnly, KeyState::Active]);
    let before = world.status.clone();
    world.settle(NOW + 1);
    assert_eq!(world.status, before);
}

#[test]
fn what_is_malformed_in_the_spec_is_named_and_the_keys_go_on() {
    let own = recipient();
    let check = |change: fn(&mut KeyRingSpec), expected: &str| {
        let mut world = World::listing(vec![key(&own, KeyState::Active, NOW)]);
        change(&mut world.spec);
        let plan = world.plan(NOW + 400 * DAY);
        let stalled = conditions::get(&plan.status.conditions, ConditionType::Stalled).unwrap();
        assert_eq!((stalled.status.as_str(), stalled.reason.as_str()), ("True", "InvalidSpec"));
        assert!(stalled.message.starts_with(expected), "{}", stalled.message);
        assert_eq!(plan.usable, std::slice::from_ref(&own));
    };
    check(
        |spec| spec.rotation = Some(Rotation { every: "monthly".into(), ..Rotation::default() }),
        "spec.rotation.every",
    );
    check(|spec| spec.trusted = vec!["age1nope".into()], "spec.trusted[0]");
    check(|spec| spec.backed_up = vec!["age1nope".into()], "spec.backedUp[0]");
    let entry = RingRecipient { name: "x".into(), recipient: "age1nope".into(), required: None };
    let mut world = World::listing(vec![key(&own, KeyState::Active, NOW)]);
    world.spec.recipients.push(entry);
    assert_eq!(world.plan(NOW).published.len(), 1);
}

#[test]
fn a_secrets_name_derives_from_the_ring_and_the_recipient() {
    let recipient = recipient();
    assert_eq!(secret_name("prod.eu", &recipient), format!("waxwing-prod.eu-{}", recipient.id()));
}
