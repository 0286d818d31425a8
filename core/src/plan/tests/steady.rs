//! An object that is in order costs nothing, until something that decides about it has changed.

use super::*;

/// A restart: whatever is in memory is gone.
fn restarted(mut world: World) -> World {
    world.memory = Memory::default();
    world
}

#[test]
fn in_sync_means_no_opening_no_write_and_no_status() {
    let mut world = restarted(World::settled());
    let look = world.look();
    let Finding::Good(good) = &look.plan.finding else { panic!() };
    // Only the path that opens nothing gives this.
    assert_eq!(good.in_sync, Some(("secret-101".to_owned(), "101".to_owned())));
    assert_eq!(look.plan.write, Write::None);
    assert_eq!((look.report.status, look.report.events, look.report.next), (None, vec![], Next::OnChange));
}

/// Each of these is looked at again after a restart.
#[test]
fn whatever_decides_about_the_secret_makes_the_object_be_looked_at_again() {
    type Change = fn(&mut World);
    let changes: [(&str, Change); 8] = [
        ("spec", |world| world.set("password", "two")),
        ("template", |world| {
            let metadata = waxwing_crds::TemplateMetadata {
                labels: [("a".to_owned(), "b".to_owned())].into(),
                annotations: BTreeMap::new(),
            };
            world.object.spec.template =
                Some(waxwing_crds::SealedTemplate { metadata: Some(metadata), data: BTreeMap::new() });
        }),
        ("immutable", |world| world.object.spec.immutable = Some(true)),
        ("rollback policy", |world| world.rollback = RollbackPolicy::Allow),
        ("scope policy", |world| world.cluster_scope = ClusterScopePolicy::Allow),
        ("object's uid", |world| world.object.metadata.uid = Some("object-2".to_owned())),
        ("Secret written", |world| world.touch(false)),
        ("Secret replaced", |world| world.target.as_mut().unwrap().uid = "secret-x".to_owned()),
    ];
    for (what, change) in changes {
        let mut world = restarted(World::settled());
        change(&mut world);
        assert!(matches!(world.plan().write, Write::Apply { .. }), "{what}");
    }
    let mut world = restarted(World::settled());
    world.target = None;
    assert!(matches!(world.plan().write, Write::Create(_)), "Secret deleted");
}

#[test]
fn any_identity_of_the_ring_verifies_a_mark_and_a_new_one_changes_nothing() {
    let mut world = World::settled();
    for _ in 0..8 {
        world.identities.insert(Identity::generate());
        assert_eq!(world.look().report.status, None);
    }
    // Its maker gone, the object is looked at once, and marked by another identity.
    world.identities = [Identity::generate()].into_iter().collect();
    refused(&world.plan(), Reason::NoMatchingKey);
    // It may be one that will be unwrapped: nobody is told to seal anew.
    world.locked = true;
    refused(&world.plan(), Reason::ProtectionUnavailable);
}

/// Guard: `is_usable` in `mark::check`.
#[test]
fn what_a_retired_key_has_opened_is_opened_anew_or_fails_whichever_identity_made_the_mark() {
    let (old, new) = (Identity::generate(), Identity::generate());
    let settled = |readers: &[&Identity]| {
        let mut world = World::new();
        let named = |(place, reader): (usize, &&Identity)| {
            NamedRecipient::new(&format!("reader-{place}"), reader.recipient().clone()).unwrap()
        };
        let readers: Vec<_> = readers.iter().enumerate().map(named).collect();
        let mut sealed = Sealed::empty(world.binding(Scope::Strict, "Opaque"));
        let value = Secret::new(b"one".to_vec());
        sealed.seal(&[("password".parse().unwrap(), value)], &readers, NOW).unwrap();
        sealed.write_into(&mut world.object.spec);
        world.identities = [old.clone()].into_iter().collect();
        world.look();
        // Marked by the other one.
        let applied = world.object.status.as_ref().unwrap().applied.clone().unwrap();
        world.identities = [new.clone()].into_iter().collect();
        let status = world.object.status.clone().unwrap();
        let secret = (&*applied.secret_uid, &*applied.resource_version);
        let mark = world.with_input(|input| mark::make(input, &world.object.spec, &status, secret));
        world.status().applied = mark;
        world.identities = [old.clone(), new.clone()].into_iter().collect();
        assert_eq!(world.look().plan.write, Write::None, "both are used");
        world.identities = [new.clone()].into_iter().collect();
        world
    };
    let mut world = settled(&[&old]);
    refused(&world.look().plan, Reason::NoMatchingKey);
    assert_eq!(world.ready(), ("False", "NoMatchingKey"));
    let mut world = settled(&[&old, &new]);
    assert!(matches!(world.look().plan.write, Write::Apply { .. }));
    assert_eq!(world.ready(), ("True", "Synced"));
    assert_eq!(world.status().keys[0].key_id, new.id().to_string());
    assert_eq!(world.look().report.status, None);
}

#[test]
fn without_a_usable_ring_nothing_is_done_and_the_secret_stays() {
    for reason in [Reason::KeyRingNotReady, Reason::UntrustedIdentities] {
        let mut world = World::settled();
        let before = world.secret.clone();
        world.unusable = Some(reason);
        world.set("password", "two");
        refused(&world.look().plan, reason);
        assert_eq!(world.secret, before);
        world.unusable = None;
        world.look();
        assert_eq!((world.value("password").as_deref(), world.ready()), (Some("two"), ("True", "Synced")));
    }
}

#[test]
fn a_suspended_object_is_left_as_it_is_and_still_says_which_generation_it_saw() {
    let mut world = World::settled();
    world.set("password", "two");
    world.annotate(names::SUSPEND, "true");
    let look = world.look();
    assert_eq!(look.plan, Plan { write: Write::None, finding: Finding::Suspended });
    assert_eq!(world.object.status.as_ref().unwrap().observed_generation, Some(2));
    assert_eq!(world.condition(ConditionType::Ready).unwrap().reason, "Suspended");
    assert_eq!(world.look().report.status, None);
    world.annotate(names::SUSPEND, "false");
    world.look();
    assert_eq!(world.value("password").as_deref(), Some("two"));
}

#[test]
fn a_failure_is_told_once_and_so_is_the_recovery() {
    let mut world = World::settled();
    let good = world.object.spec.clone();
    world.object.spec.format = "wax2".to_owned();
    world.commit();
    assert_eq!(world.look().report.events.len(), 1);
    let again = world.look().report;
    assert_eq!((again.events, again.status), (vec![], None));
    world.object.spec = good;
    world.commit();
    let recovered = world.look().report;
    assert_eq!(recovered.events.iter().map(|event| event.reason).collect::<Vec<_>>(), [Reason::Synced]);
    // The very same spec as before: the mark still holds, so nothing was opened.
    assert_eq!(world.ready(), ("True", "Synced"));
}

#[test]
fn the_commit_is_read_when_the_generation_is_new_and_kept_after_that() {
    let source = |revision: &str| {
        Some(Source {
            tool: "flux".to_owned(),
            name: "flux-system/apps".to_owned(),
            revision: revision.to_owned(),
        })
    };
    let mut world = World::new();
    world.source = source("a");
    world.look();
    world.source = source("b");
    world.look();
    assert_eq!(world.object.status.as_ref().unwrap().source, source("a"));
    world.set("password", "two");
    world.look();
    assert_eq!(world.object.status.as_ref().unwrap().source, source("b"));
}

/// An upgrade of the operator. Each of these is in the mark.
#[test]
fn another_version_or_list_of_rules_makes_every_object_be_looked_at() {
    let world = World::settled();
    let mark = |rules| {
        world.with_input(|input| mark::check(rules, input, &world.object.spec, world.target.as_ref()))
    };
    assert_eq!(mark(mark::RULES), Mark::InSync);
    let changes: [fn(&mut mark::Rules); 5] = [
        |rules| rules.render_version += 1,
        |rules| rules.refused_types = &rules.refused_types[1..],
        |rules| rules.dropped_keys = &rules.dropped_keys[1..],
        |rules| rules.dropped_prefixes = &rules.dropped_prefixes[1..],
        |rules| rules.produced_annotations = &rules.produced_annotations[1..],
    ];
    for (place, change) in changes.into_iter().enumerate() {
        let mut rules = mark::RULES;
        change(&mut rules);
        assert_eq!(mark(rules), Mark::Stale, "{place}");
    }
    // Another namespace of the operator's refuses other names.
    let elsewhere = world.with_input(|input| {
        let place = Place { operator_namespace: "elsewhere", ..input.place };
        let input = Input { place, ..*input };
        mark::check(mark::RULES, &input, &world.object.spec, world.target.as_ref())
    });
    assert_eq!(elsewhere, Mark::Stale);
}
