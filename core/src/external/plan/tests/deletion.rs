//! `deletionPolicy: Delete` acts on a positive word, twice, and on nothing else.

use super::*;

fn world() -> World {
    World::settled(json!({"refreshInterval": "1m", "target": {"deletionPolicy": "Delete"}}))
}

#[test]
fn a_secret_goes_when_the_provider_has_said_twice_a_refresh_apart_that_there_is_no_entry() {
    let mut world = world();
    world.entry = None;
    world.now += 120;
    let first = world.look();
    assert_eq!(first.plan.write, Write::None);
    assert_eq!(world.ready(), ("False", "EntryMissing"));
    // Another look at once is not another word.
    world.now += 2;
    assert_eq!(world.look().plan.write, Write::None);
    world.now += 60;
    let second = world.look();
    assert!(matches!(second.plan.write, Write::Delete { .. }));
    assert_eq!(world.ready(), ("True", "EntryDeleted"));
    assert_eq!(reasons(&second.report.events), [Reason::Synced, Reason::EntryDeleted]);
    // While there is none, all is well; when the entry comes back, so does the Secret.
    world.now += 120;
    let look = world.look();
    assert_eq!((look.plan.write, world.ready()), (Write::None, ("True", "EntryDeleted")));
    world.rotate("two", "2");
    world.now += 120;
    world.look();
    assert_eq!((world.password(), world.ready()), (Some(b"two".as_slice()), ("True", "Synced")));
}

/// Guard: `is_deletion_due` counts from this process's memory, and trouble between forgets it.
#[test]
fn neither_a_restart_nor_trouble_between_counts_as_a_word() {
    for between in ["restart", "trouble", "forged"] {
        let mut world = world();
        world.entry = None;
        world.now += 120;
        world.look();
        match between {
            "restart" => world.restart(),
            "trouble" => {
                world.trouble = Some(Reason::ProviderUnavailable);
                world.look();
                world.trouble = None;
            }
            _ => {
                world.restart();
                let status = world.object.status.as_mut().unwrap();
                status.missing_since = Some(conditions::time(0));
            }
        }
        world.now += 120;
        assert_eq!(world.look().plan.write, Write::None, "{between}");
        assert!(world.secret.is_some(), "{between}");
    }
}

#[test]
fn a_secret_that_stays_stays() {
    let mut world = World::settled(json!({"refreshInterval": "1m"}));
    world.entry = None;
    for _ in 0..5 {
        world.now += 120;
        assert_eq!(world.look().plan.write, Write::None);
        assert_eq!(world.ready(), ("False", "EntryMissing"));
    }
    assert!(world.secret.is_some());
}

/// Guard: the claim in `is_deletion_due`: only what is ours alone is deleted.
#[test]
fn an_adopted_secret_is_never_deleted() {
    let mut world = World::new(json!({"refreshInterval": "1m", "target": {"deletionPolicy": "Delete"}}));
    world.found(&[(names::ADOPT, "true")]);
    world.look();
    world.entry = None;
    for _ in 0..4 {
        world.now += 120;
        assert_eq!(world.look().plan.write, Write::None);
    }
}
