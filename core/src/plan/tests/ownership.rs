//! Whose Secret it is.

use super::*;

fn controller(kind: &str, api_version: &str, name: &str) -> Owner {
    let (kind, name, uid) = (kind.to_owned(), name.to_owned(), "owner-1".to_owned());
    Owner { api_version: api_version.to_owned(), kind, name, uid, controller: true }
}

/// K01. Guard: `Claim::of` asks for our annotation or for the Secret's own consent.
#[test]
fn a_secret_that_is_not_ours_is_never_touched() {
    let mut world = World::new();
    for annotations in [
        vec![],
        vec![(names::ADOPT, "false")],
        vec![(names::ADOPT, "True")],
        vec![(names::ADOPTED, "true")],
        vec![(names::SEQ, "{}")],
    ] {
        world.target = Some(foreign(&annotations));
        refused(&world.plan(), Reason::Conflict);
    }
}

/// K01, K02. Guard: nothing in the SealedSecret consents for the Secret.
#[test]
fn the_objects_own_annotations_do_not_adopt() {
    let mut world = World::new();
    world.annotate(names::ADOPT, "true");
    world.annotate(names::OWNED_BY, "SealedSecret/db");
    world.target = Some(foreign(&[]));
    refused(&world.plan(), Reason::Conflict);
}

/// K02. Guard: `Claim::of` reads the target; what comes out has no owner reference, so it outlives us.
#[test]
fn a_secret_that_says_so_is_adopted_and_keeps_what_is_not_ours() {
    let mut world = World::new();
    world.target = Some(foreign(&[(names::ADOPT, "true")]));
    let Look { plan, report } = world.look();
    let Write::Apply { uid, stale_owners, produced } = plan.write else { panic!() };
    assert_eq!((uid.as_str(), stale_owners.len(), &produced.owner), ("secret-0", 0, &None));
    assert_eq!(produced.annotations[names::ADOPTED], "true");
    // K04. Only our own keys are in the apply; server-side apply leaves all others.
    let keys: Vec<_> = produced.data.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["password"]);
    assert_eq!(report.events.iter().map(|event| event.reason).collect::<Vec<_>>(), [Reason::Adopted]);

    // Its consent may be withdrawn once it is ours; it stays an adopted one.
    world.target.as_mut().unwrap().annotations.remove(names::ADOPT);
    world.set("password", "two");
    let Write::Apply { produced, .. } = world.look().plan.write else { panic!() };
    assert_eq!(produced.owner, None);
}

#[test]
fn another_waxwing_owner_or_another_controller_is_a_conflict() {
    let mut world = World::new();
    world.target = Some(foreign(&[(names::OWNED_BY, "ExternalSecret/db"), (names::ADOPT, "true")]));
    assert!(refused(&world.plan(), Reason::Conflict).contains("ExternalSecret/db"));

    for annotations in [vec![(names::ADOPT, "true")], vec![(names::OWNED_BY, "SealedSecret/db")]] {
        let owners = vec![controller("Certificate", "cert-manager.io/v1", "db")];
        world.target = Some(Target { owners, ..foreign(&annotations) });
        assert!(refused(&world.plan(), Reason::Conflict).contains("Certificate db"));
        let owners = vec![controller("SealedSecret", "bitnami.com/v1alpha1", "db")];
        world.target = Some(Target { owners, ..foreign(&annotations) });
        refused(&world.plan(), Reason::Conflict);
    }
}

/// A hand edit, or `kubectl replace` with a manifest that has no annotations.
#[test]
fn a_secret_that_lost_its_mark_and_still_refers_to_the_live_object_is_put_right() {
    let mut world = World::settled();
    world.target.as_mut().unwrap().annotations.clear();
    world.touch(true);
    let Look { plan, report } = world.look();
    let Write::Apply { produced, .. } = plan.write else { panic!("{:?}", plan.finding) };
    assert_eq!(produced.annotations[names::OWNED_BY], "SealedSecret/db");
    assert!(report.drift_corrected);
    assert_eq!(world.ready(), ("True", "Synced"));

    // A reference to an object that is gone, one that controls nothing, or one of another group is no such mark.
    let changes: [fn(&mut Owner); 4] = [
        |owner| owner.uid = "object-0".to_owned(),
        |owner| owner.uid.clear(),
        |owner| owner.controller = false,
        |owner| owner.api_version = "bitnami.com/v1alpha1".to_owned(),
    ];
    for change in changes {
        let mut world = World::settled();
        let target = world.target.as_mut().unwrap();
        target.annotations.clear();
        change(&mut target.owners[0]);
        refused(&world.plan(), Reason::Conflict);
    }
    // Outside of a cluster, nothing has a uid.
    let mut world = World::settled();
    world.object.metadata.uid = None;
    let target = world.target.as_mut().unwrap();
    target.annotations.clear();
    target.owners[0].uid.clear();
    refused(&world.plan(), Reason::Conflict);
}

#[test]
fn an_owner_that_is_no_controller_is_no_conflict() {
    let mut world = World::settled();
    let mut owner = controller("Backup", "example.com/v1", "x");
    owner.controller = false;
    world.target.as_mut().unwrap().owners.insert(0, owner);
    world.set("password", "two");
    let Write::Apply { stale_owners, .. } = world.plan().write else { panic!() };
    assert_eq!(stale_owners, []);
}

/// After a restore the object has a new uid, and the Secret still refers to the old one.
#[test]
fn an_object_created_anew_takes_its_secret_back() {
    let mut world = World::settled();
    world.object.metadata.uid = Some("object-2".to_owned());
    world.object.status = None;
    let Write::Apply { stale_owners, produced, .. } = world.plan().write else { panic!() };
    let stale: Vec<_> = stale_owners.iter().map(|(place, owner)| (*place, owner.uid.as_str())).collect();
    assert_eq!(stale, [(0, "object-1")]);
    assert_eq!(produced.owner.unwrap().uid, "object-2");
}

/// Guard: `check_place`. Identities are Secrets of the operator's namespace whose names begin so.
#[test]
fn no_secret_named_like_an_identity_is_produced_beside_the_identities() {
    let mut world = World::new();
    for (namespace, name, is_refused) in [
        ("waxwing-system", "waxwing-key-default-1", true),
        ("waxwing-system", "waxwing-a", true),
        ("waxwing-system", "store-credentials", false),
        ("apps", "waxwing-key-default-1", false),
    ] {
        world.object.metadata.namespace = Some(namespace.to_owned());
        world.object.metadata.name = Some(name.to_owned());
        world.seal_as(Scope::Strict, "Opaque", &[("password", "one")]);
        let plan = world.plan();
        if is_refused {
            refused(&plan, Reason::NameReserved);
        } else {
            assert!(matches!(plan.write, Write::Create(_)), "{namespace}/{name}");
        }
    }
}

/// K10. Guards: `plan` does nothing for an object that goes; the owner reference takes its Secret along.
#[test]
fn an_object_that_is_being_deleted_is_left_alone() {
    let mut world = World::new();
    world.object.metadata.deletion_timestamp = Some(conditions::time(NOW));
    let look = world.look();
    assert_eq!(look.plan, Plan { write: Write::None, finding: Finding::Deleting });
    assert_eq!((look.report.status, look.report.next), (None, Next::OnChange));
}

/// K10. Guard: nothing is made in a namespace that is being deleted.
#[test]
fn a_namespace_that_is_being_deleted_gets_no_secret() {
    let mut world = World::new();
    world.terminating = true;
    refused(&world.plan(), Reason::NamespaceTerminating);
    let look = world.look();
    assert_eq!(look.report.next, Next::Backoff);
    assert_eq!(world.condition(ConditionType::Reconciling).unwrap().status, "True");
}
