//! What each creation policy does under each refresh policy, in one table, and what each does on its own.

use super::*;

/// What happens to a Secret that this object gives.
#[derive(Debug, PartialEq)]
struct Behaviour {
    /// Somebody changed it: it is put right at once.
    repaired: bool,
    /// Somebody deleted it: it is made again at once.
    remade: bool,
    /// The provider's value changed and the interval is over: the Secret has it.
    refreshed: bool,
    /// The spec changed: the Secret follows.
    follows: bool,
    /// The annotation asks: the Secret has the provider's value.
    forced: bool,
}

fn behaviour(creation: &str, refresh: &str) -> Behaviour {
    let spec = || {
        json!({
            "refreshPolicy": refresh,
            "refreshInterval": "1h",
            "target": {"creationPolicy": creation},
        })
    };
    let settled = || {
        let mut world = World::new(spec());
        if creation == "Merge" {
            world.found(&[(names::ADOPT, "true")]);
        }
        world.look();
        assert_eq!(world.ready(), ("True", "Synced"), "{creation} {refresh}");
        world
    };
    let has = |world: &World, value: &str| world.password() == Some(value.as_bytes());

    let mut world = settled();
    let repaired = world.target.is_some() && {
        world.drift();
        world.look();
        has(&world, "one")
    };
    let mut world = settled();
    world.delete();
    world.look();
    let remade = world.secret.is_some();
    let mut world = settled();
    world.rotate("two", "2");
    world.now += 2 * 3600;
    world.look();
    let refreshed = has(&world, "two");
    let mut world = settled();
    world.rotate("two", "2");
    world.edit(json!({"data": [
        {"secretKey": "password", "remoteRef": {"key": "app", "property": "password"}},
        {"secretKey": "again", "remoteRef": {"key": "app", "property": "password"}},
    ]}));
    world.look();
    let follows = has(&world, "two");
    let mut world = settled();
    world.rotate("two", "2");
    world.annotate(names::REFRESH, "now");
    let look = world.look();
    assert!(look.fetched, "{creation} {refresh}");
    let forced = has(&world, "two");
    assert!(!world.look().fetched, "a wish is granted once: {creation} {refresh}");
    Behaviour { repaired, remade, refreshed, follows, forced }
}

#[test]
fn every_creation_policy_under_every_refresh_policy() {
    let table = [
        // creation, refresh, repaired, remade, refreshed, follows, forced
        ("Owner", "Periodic", true, true, true, true, true),
        ("Owner", "OnChange", true, true, false, true, true),
        ("Owner", "CreatedOnce", false, true, false, false, true),
        // What is left to itself is neither repaired nor made again before its time.
        ("Orphan", "Periodic", false, false, true, true, true),
        ("Orphan", "OnChange", false, false, false, true, true),
        ("Orphan", "CreatedOnce", false, false, false, false, true),
        // A Secret of others is never made.
        ("Merge", "Periodic", true, false, true, true, true),
        ("Merge", "OnChange", true, false, false, true, true),
        ("Merge", "CreatedOnce", false, false, false, false, true),
        ("None", "Periodic", false, false, false, false, false),
        ("None", "OnChange", false, false, false, false, false),
        ("None", "CreatedOnce", false, false, false, false, false),
    ];
    for (creation, refresh, repaired, remade, refreshed, follows, forced) in table {
        let expected = Behaviour { repaired, remade, refreshed, follows, forced };
        assert_eq!(behaviour(creation, refresh), expected, "{creation} {refresh}");
    }
}

#[test]
fn an_interval_of_zero_fetches_once_and_follows_the_spec() {
    let mut world = World::settled(json!({"refreshInterval": "0"}));
    world.rotate("two", "2");
    world.now += 100 * 3600;
    assert!(!world.look().fetched);
    world.edit(json!({"target": {"template": {"metadata": {"labels": {"a": "b"}}}}}));
    assert!(world.look().fetched);
    assert_eq!(world.password(), Some(b"two".as_slice()));
}

#[test]
fn an_owned_secret_goes_with_its_object_and_an_orphan_stays() {
    let owned = World::settled(json!({})).produced.unwrap();
    assert_eq!(owned.owner.unwrap().uid, "object-1");
    let orphan = World::settled(json!({"target": {"creationPolicy": "Orphan"}})).produced.unwrap();
    assert_eq!(orphan.owner, None);
    assert_eq!(orphan.annotations[names::OWNED_BY], "ExternalSecret/db");
}

/// K01. Guard: `claim_of` asks for our annotation or for the Secret's own consent.
#[test]
fn a_secret_of_others_is_never_touched_without_its_consent() {
    for creation in ["Owner", "Orphan", "Merge"] {
        let mut world = World::new(json!({"target": {"creationPolicy": creation}}));
        world.found(&[]);
        let look = world.look();
        assert_eq!((look.plan.write, look.fetched), (Write::None, false), "{creation}");
        assert_eq!(world.ready(), ("False", "Conflict"), "{creation}");
        world.found(&[(names::ADOPT, "true")]);
        world.look();
        assert_eq!(world.ready(), ("True", "Synced"), "{creation}");
    }
}

#[test]
fn merging_adds_keys_without_force_and_waits_for_a_secret_that_is_not_there() {
    let mut world = World::new(json!({"target": {"creationPolicy": "Merge", "name": "theirs"}}));
    world.look();
    assert_eq!(world.ready(), ("False", "TargetMissing"));
    world.found(&[(names::OWNED_BY, "SealedSecret/theirs")]);
    let Write::Merge { name, data, manager, .. } = world.look().plan.write else { panic!() };
    assert_eq!((name.as_str(), data.len()), ("theirs", 1));
    assert_eq!(manager, names::field_manager(KIND, "db"));
    assert_eq!(world.secret.as_ref().unwrap().len(), 2);
}

/// Guard: a refused write is remembered, and an event is written only for a new reason.
#[test]
fn a_key_that_another_writer_owns_is_reported_once_and_not_fought_over() {
    let mut world = World::new(json!({"target": {"creationPolicy": "Merge"}}));
    world.found(&[(names::ADOPT, "true")]);
    world.answer = Some(Outcome::FieldConflict { fields: vec![".data.password".to_owned()] });
    let look = world.look();
    assert_eq!(reasons(&look.report.events), [Reason::FieldConflict]);
    assert_eq!(look.report.next, Next::Ceiling);
    assert_eq!(world.ready(), ("False", "FieldConflict"));
    for _ in 0..3 {
        world.now += 10;
        let look = world.look();
        assert_eq!((look.fetched, look.report.events.len(), look.report.status), (false, 0, None));
    }
}

/// K08. Guard: the reserved prefix in `decide`.
#[test]
fn no_secret_is_produced_that_could_pass_for_an_identity() {
    let mut world = World::new(json!({"target": {"name": "waxwing-default-x"}}));
    let take = |input: &Input<'_>| {
        let place = Place { operator_namespace: "apps", terminating: false };
        matches!(first(&Input { place, ..*input }, &Memory::default()), First::Fetch(_))
    };
    assert!(!world.with_input(take));
    world.look();
    assert_eq!(world.ready(), ("True", "Synced"), "in another namespace the name means nothing");
}
