//! K15. A status is a hint: whoever can write one causes work, and skips no check.

use super::*;
use waxwing_crds::{Applied, EnvelopeSpec, ProposedEnvelopes};

/// Forges the status of an object whose Secret was changed behind our back without a new resource version (which no
/// API server does): only a look that really opens and applies can put it right.
fn is_looked_at_again(what: &str, forge: impl Fn(&mut SealedSecretStatus)) {
    let mut world = World::settled();
    let honest = world.object.status.clone().unwrap();
    forge(world.status());
    assert_ne!(world.object.status.as_ref(), Some(&honest), "{what}: nothing was forged");
    let look = world.look();
    assert!(matches!(look.plan.write, Write::Apply { .. }), "{what}: {:?}", look.plan);
    assert_eq!(world.object.status.as_ref(), Some(&honest), "{what}");
}

/// Forges what decides nothing: it is put right, and no write comes of it.
fn is_put_right(what: &str, forge: impl Fn(&mut SealedSecretStatus)) {
    let mut world = World::settled();
    let honest = world.object.status.clone().unwrap();
    forge(world.status());
    let look = world.look();
    assert_eq!(look.plan.write, Write::None, "{what}");
    let kept = look.report.status.unwrap();
    let reasons = |status: &SealedSecretStatus| {
        let facts = |c: &Condition| (c.type_.clone(), c.status.clone(), c.reason.clone(), c.message.clone());
        status.conditions.iter().map(facts).collect::<Vec<_>>()
    };
    assert_eq!(reasons(&kept), reasons(&honest), "{what}");
    assert_eq!(kept.observed_generation, honest.observed_generation, "{what}");
}

/// K15. Guard: `applied` covers the keys, every field of them.
#[test]
fn forged_keys() {
    is_looked_at_again("keys removed", |status| status.keys.clear());
    is_looked_at_again("keys.seq lower", |status| status.keys[0].seq -= 1);
    is_looked_at_again("keys.seq too high", |status| status.keys[0].seq = 1 << 60);
    is_looked_at_again("keys.keyId", |status| status.keys[0].key_id = "00000000".to_owned());
    is_looked_at_again("keys.removed", |status| status.keys[0].removed = Some(true));
    is_looked_at_again("keys.name", |status| status.keys[0].name = "../x".to_owned());
}

/// K15. Guard: `applied` is an HMAC under a key of the ring, over the Secret's uid and version.
#[test]
fn forged_applied() {
    let applied = |forge: fn(&mut Applied)| {
        move |status: &mut SealedSecretStatus| forge(status.applied.as_mut().unwrap())
    };
    is_looked_at_again("applied removed", |status| status.applied = None);
    is_looked_at_again("applied.digest", applied(|applied| applied.digest = "A".repeat(43)));
    is_looked_at_again("applied.digest empty", applied(|applied| applied.digest.clear()));
    is_looked_at_again("applied.keyId", applied(|applied| applied.key_id = "00000000".to_owned()));
    is_looked_at_again("applied.keyId malformed", applied(|applied| applied.key_id = "x".to_owned()));
    is_looked_at_again(
        "applied.resourceVersion",
        applied(|applied| applied.resource_version = "1".to_owned()),
    );
    is_looked_at_again("applied.secretUid", applied(|applied| applied.secret_uid = "x".to_owned()));
}

/// K15. Guard: the mark names the object, so one object's status says nothing about another.
#[test]
fn a_genuine_mark_of_another_object_or_of_an_older_state_is_worth_nothing() {
    let mut world = World::settled();
    let old = world.object.status.clone().unwrap();
    let old_spec = world.object.spec.clone();
    world.now += 10;
    world.set("password", "two");
    world.look();
    // Old spec and old status, both genuine, put back together: the Secret has another version since.
    world.object.spec = old_spec;
    world.object.status = Some(old.clone());
    world.rollback = RollbackPolicy::Deny;
    refused(&world.plan(), Reason::RolledBack);

    let mut other = World::settled();
    other.identity = world.identity.clone();
    other.identities = world.identities.clone();
    other.object.metadata.uid = Some("object-9".to_owned());
    other.seal_as(Scope::Strict, "Opaque", &[("password", "x")]);
    other.object.status = Some(old);
    assert!(matches!(other.plan().write, Write::Apply { .. }));
}

/// K15. Guard: conditions are computed, never read for a decision.
#[test]
fn forged_conditions_and_generation() {
    is_put_right("Ready", |status| {
        conditions::failing(&mut status.conditions, Reason::Corrupt, "forged", Some(1), NOW);
    });
    is_put_right("no conditions", |status| status.conditions.clear());
    is_put_right("observedGeneration", |status| status.observed_generation = Some(99));

    // The other way around: an object that does not open is not ready because its status says so.
    let mut world = World::new();
    world.object.metadata.namespace = Some("other".to_owned());
    conditions::ready(&mut world.status().conditions, Reason::Synced, "forged", Some(1), NOW);
    world.status().observed_generation = Some(1);
    world.look();
    assert_eq!(world.ready(), ("False", "BindingMismatch"));
}

/// K15. Guard: `applied` covers the source; nothing decides by it.
#[test]
fn forged_source() {
    is_looked_at_again("source", |status| {
        status.source =
            Some(Source { tool: "flux".to_owned(), name: "x/y".to_owned(), revision: "forged".to_owned() });
    });
    let mut world = World::settled();
    assert!(!world.with_input(wants_source));
    world.status().source = Some(Source::default());
    assert!(world.with_input(wants_source));
    world.look();
    world.set("password", "two");
    assert!(world.with_input(wants_source));
}

/// K15. Guard: `applied` covers the proposal, and one that nobody asked for is dropped.
#[test]
fn forged_proposals() {
    is_looked_at_again("proposedEnvelopes", |status| {
        let envelopes = [("aaaaaaaa".to_owned(), EnvelopeSpec::default())].into();
        status.proposed_envelopes =
            Some(ProposedEnvelopes { nonce: None, recipients: String::new(), envelopes });
    });
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// K15. Whatever stands in a status, a value that was sealed for another place is refused, and a genuine one is
        /// opened or found in sync with the very Secret that we wrote. Guard: the MAC (`mark::is_genuine`).
        #[test]
        fn no_status_makes_a_moved_value_good(
            mixed in prop::collection::vec((0_usize..8, any::<u64>(), "[a-z0-9]{0,8}"), 0..6),
            moved in any::<bool>(),
        ) {
            let mut world = World::settled();
            let secret = world.secret.clone();
            if moved {
                let token = world.object.spec.data.remove("password").unwrap();
                world.object.spec.data.insert("user".to_owned(), token);
            }
            for (field, number, text) in mixed {
                let status = world.status();
                match field {
                    0 => status.observed_generation = Some(number.cast_signed()),
                    1 => status.keys.push(KeySeq { name: text, seq: number, ..KeySeq::default() }),
                    2 => status.keys.clear(),
                    3 => status.applied.get_or_insert_default().digest = text,
                    4 => status.applied.get_or_insert_default().resource_version = number.to_string(),
                    5 => conditions::ready(&mut status.conditions, Reason::Synced, &text, Some(1), NOW),
                    6 => status.source = Some(Source { revision: text, ..Source::default() }),
                    _ => status.proposed_envelopes = Some(ProposedEnvelopes { recipients: text, ..Default::default() }),
                }
            }
            let look = world.look();
            if moved {
                prop_assert_eq!(look.report.failure, Some(Reason::BindingMismatch));
            } else {
                prop_assert_eq!(world.ready(), ("True", "Synced"));
                prop_assert_eq!(world.value("password"), Some("one".to_owned()));
            }
            let values = |secret: Option<&Produced>| secret.map(|secret| secret.data.clone());
            prop_assert_eq!(values(world.secret.as_ref()), values(secret.as_ref()));
        }
    }
}
