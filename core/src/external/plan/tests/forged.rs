//! A status that somebody else wrote can cost work, and nothing else.

use super::*;

/// K15. Guard: the MAC in `mark::check`.
#[test]
fn no_forged_status_makes_an_object_look_in_order_or_names_a_lease() {
    type Forgery = fn(&mut ExternalSecretStatus);
    let forgeries: [(&str, Forgery); 7] = [
        ("resource version", |status| {
            status.applied.as_mut().unwrap().resource_version = "999".to_owned();
        }),
        ("values", |status| status.applied.as_mut().unwrap().values = "AAAA".to_owned()),
        ("digest", |status| status.applied.as_mut().unwrap().digest = "AAAA".to_owned()),
        ("version", |status| status.entries[0].version = Some("2".to_owned())),
        ("store", |status| status.store.as_mut().unwrap().name = "other".to_owned()),
        ("lease", |status| {
            status.entries[0].lease = Some(waxwing_crds::LeaseStatus {
                id: "database/creds/theirs/1".to_owned(),
                renewable: true,
                expires_at: conditions::time(NOW),
            });
        }),
        ("nothing applied", |status| status.applied = None),
    ];
    for (what, forge) in forgeries {
        let mut world = World::settled(json!({}));
        world.restart();
        world.rotate("two", "2");
        forge(world.object.status.as_mut().unwrap());
        let known = world.with_input(|input| match first(input, &Memory::default()) {
            First::Fetch(fetch) => fetch.known(input).map(<[_]>::to_vec),
            First::Done(_) => panic!("{what}: taken for in order"),
        });
        assert_eq!(known, None, "{what}");
        assert!(world.look().fetched, "{what}");
        assert_eq!(world.password(), Some(b"two".as_slice()), "{what}");
        assert!(world.memory.leases.is_empty(), "{what}");
    }
}

/// Guard: the identity in `mark::check`: another ring's mark is none.
#[test]
fn a_mark_of_an_identity_that_is_not_ours_is_none() {
    let mut world = World::settled(json!({}));
    world.identities = [Identity::generate()].into_iter().collect();
    assert!(world.look().fetched);
}

/// Guard: the object's name and uid in `mark::values`.
#[test]
fn equal_values_of_two_objects_do_not_show_as_equal() {
    let tag = |uid: &str, world: &mut World| {
        world.object.metadata.uid = Some(uid.to_owned());
        world.look();
        world.object.status.as_ref().unwrap().applied.as_ref().unwrap().values.clone()
    };
    let mut world = World::new(json!({}));
    let first = tag("object-1", &mut world);
    world.delete();
    assert_ne!(first, tag("object-2", &mut world));
}

#[test]
fn a_clock_that_was_wrong_by_minutes_neither_hides_a_refresh_for_long_nor_deletes() {
    for skew in [-600, 600] {
        let mut world =
            World::settled(json!({"refreshInterval": "1m", "target": {"deletionPolicy": "Delete"}}));
        world.now += skew;
        world.look();
        world.now += 120 + skew.abs();
        assert!(world.look().fetched, "{skew}");
        assert!(world.secret.is_some());
    }
}
