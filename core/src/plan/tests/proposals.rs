//! Envelopes for the ring's present recipients, when somebody asks.

use super::*;

/// A world whose ring has a second key, and somebody who asks.
fn asked() -> (World, Identity) {
    let mut world = World::settled();
    let new = Identity::generate();
    world.identities.insert(new.clone());
    world.rewrap_to = world.recipients();
    world.rewrap_to.push(NamedRecipient::new("new", new.recipient().clone()).unwrap());
    world.annotate(names::PROPOSE_REWRAP, "please-1");
    (world, new)
}

fn proposed(world: &World) -> Option<&ProposedEnvelopes> {
    world.object.status.as_ref()?.proposed_envelopes.as_ref()
}

#[test]
fn a_rotation_alone_proposes_nothing() {
    let (mut world, _) = asked();
    world.object.metadata.annotations = None;
    assert_eq!(world.look().report.status, None);
}

#[test]
fn who_asks_gets_envelopes_that_hold_the_same_data_keys_and_open_with_the_new_key_alone() {
    let (mut world, new) = asked();
    let look = world.look();
    assert_eq!(look.plan.write, Write::None);
    assert_eq!(
        look.report.events.iter().map(|event| event.reason).collect::<Vec<_>>(),
        [Reason::EnvelopesProposed]
    );
    let proposal = proposed(&world).unwrap().clone();
    assert_eq!(proposal.nonce.as_deref(), Some("please-1"));
    let ids: Vec<_> = proposal.envelopes.keys().collect();
    assert_eq!(ids, world.object.spec.envelopes.keys().collect::<Vec<_>>());

    let mut spec = world.object.spec.clone();
    spec.envelopes = proposal.envelopes;
    let sealed = Sealed::parse(&spec, "apps", "db").unwrap();
    assert!(sealed.open(&[new].into_iter().collect(), NOW).is_ok());
}

#[test]
fn once_asked_means_once_made() {
    let (mut world, _) = asked();
    world.look();
    let made = proposed(&world).cloned();
    for _ in 0..3 {
        assert_eq!(world.look().report.status, None);
    }
    // Also across a write of the Secret.
    world.touch(true);
    let report = world.look().report;
    assert_eq!(report.events.iter().map(|event| event.reason).collect::<Vec<_>>(), [Reason::DriftCorrected]);
    assert_eq!(proposed(&world), made.as_ref());
}

#[test]
fn a_new_nonce_another_list_or_a_new_value_makes_a_new_one() {
    let changes: [fn(&mut World); 3] = [
        |world| world.annotate(names::PROPOSE_REWRAP, "please-2"),
        |world| {
            let third = Identity::generate();
            world.rewrap_to.push(NamedRecipient::new("third", third.recipient().clone()).unwrap());
        },
        |world| world.set("user", "x"),
    ];
    for change in changes {
        let (mut world, _) = asked();
        world.look();
        let made = proposed(&world).cloned();
        change(&mut world);
        world.look();
        assert!(proposed(&world).is_some() && proposed(&world) != made.as_ref());
    }
}

#[test]
fn a_proposal_is_removed_when_the_spec_holds_it_or_nobody_asks_any_more() {
    let (mut world, _) = asked();
    world.look();
    world.object.spec.envelopes = proposed(&world).unwrap().envelopes.clone();
    world.commit();
    world.look();
    assert_eq!((proposed(&world), world.ready()), (None, ("True", "Synced")));
    assert_eq!(world.look().report.status, None);

    let (mut world, _) = asked();
    world.look();
    world.object.metadata.annotations = None;
    world.look();
    assert_eq!(proposed(&world), None);
}

#[test]
fn names_and_order_of_recipients_are_the_repositorys_business() {
    let mut world = World::settled();
    world.rewrap_to =
        vec![NamedRecipient::new("named-otherwise", world.identity.recipient().clone()).unwrap()];
    world.annotate(names::PROPOSE_REWRAP, "please");
    assert_eq!(world.look().report.status, None);
}

/// Guard: the recipients are an input of the operator's own; nothing in the object names one.
#[test]
fn nothing_in_the_object_adds_a_recipient() {
    let (mut world, _) = asked();
    let stranger = Identity::generate();
    let text = stranger.recipient().to_string();
    world.annotate(names::PROPOSE_REWRAP, &text);
    let envelope = world.object.spec.envelopes.values_mut().next().unwrap();
    envelope.to.push(format!("stranger/{}", stranger.id()));
    world.look();
    let mut spec = world.object.spec.clone();
    spec.envelopes = proposed(&world).unwrap().envelopes.clone();
    let sealed = Sealed::parse(&spec, "apps", "db").unwrap();
    assert!(sealed.open(&[stranger].into_iter().collect(), NOW).is_err());
}

#[test]
fn a_proposal_that_can_not_be_made_is_told_once() {
    let (mut world, _) = asked();
    // Two recipients of one name: an envelope could not tell them apart.
    let third = Identity::generate();
    world.rewrap_to.push(NamedRecipient::new("new", third.recipient().clone()).unwrap());
    let told = |world: &mut World| {
        let report = world.look().report;
        report.events.into_iter().map(|event| (event.warning, event.note)).collect::<Vec<_>>()
    };
    let first = told(&mut world);
    let [(true, note)] = &first[..] else { panic!("{first:?}") };
    assert!(note.starts_with("no envelopes are proposed: "), "{note}");
    assert_eq!((proposed(&world).unwrap().envelopes.len(), world.ready()), (0, ("True", "Synced")));
    for _ in 0..3 {
        assert_eq!(told(&mut world), []);
    }
    // Another generation, another question or other recipients: it is tried again.
    world.set("user", "x");
    assert_eq!(told(&mut world).len(), 1);
    world.annotate(names::PROPOSE_REWRAP, "please-2");
    assert_eq!(told(&mut world).len(), 1);
    world.rewrap_to.pop();
    assert_eq!(
        told(&mut world),
        [(false, "run `waxwing rewrap --from-cluster` and commit the result".to_owned())]
    );
}

/// Guard: `propose::lacking`.
#[test]
fn an_envelope_that_does_not_name_a_required_recipient_is_applied_and_reported_until_it_does() {
    let mut world = World::settled();
    let recovery = Identity::generate();
    world.required.push(NamedRecipient::new("recovery", recovery.recipient().clone()).unwrap());
    let report = world.look();
    let degraded = |world: &World| {
        let status = world.object.status.clone().unwrap_or_default();
        conditions::get(&status.conditions, ConditionType::Degraded).map(|found| found.message.clone())
    };
    assert_eq!(world.ready(), ("True", "Synced"), "the last good Secret stays in effect");
    let message = degraded(&world).unwrap();
    assert!(message.contains(&format!("not for recovery/{}", recovery.id())), "{message}");
    assert_eq!(report.report.events.len(), 1);
    assert!(world.look().report.events.is_empty(), "told once");
    // Whatever the repository calls it, the key counts.
    let mut sealed = world.sealed();
    let both =
        [world.recipients(), vec![NamedRecipient::new("vault", recovery.recipient().clone()).unwrap()]];
    sealed.rewrap(&world.identities, &both.concat()).unwrap();
    sealed.write_into(&mut world.object.spec);
    world.commit();
    world.look();
    assert_eq!(degraded(&world), None);
}
