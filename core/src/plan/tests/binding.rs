//! Values that were moved, mixed up or altered: nothing is produced, and the last good Secret stays.

use super::*;

/// A Secret is there; `change` does something to the object; the plan refuses it for `reason` and writes nothing.
fn refuses(reason: Reason, change: impl FnOnce(&mut World)) {
    let mut world = World::new();
    world.seal_as(Scope::Strict, "Opaque", &[("password", "one"), ("user", "two")]);
    world.look();
    let before = world.secret.clone();
    change(&mut world);
    world.commit();
    let look = world.look();
    refused(&look.plan, reason);
    assert_eq!(world.secret, before);
    assert_eq!(world.ready(), ("False", reason.as_str()));
    let stalled = world.condition(ConditionType::Stalled).unwrap();
    assert_eq!(stalled.status, "True");
    assert_eq!(look.report.next, Next::Ceiling);
    assert_eq!(look.report.events.len(), 1);
}

/// Moves the sealed text of `from` to another place of the object's own spec.
fn edit(world: &mut World, change: impl FnOnce(&mut BTreeMap<String, String>)) {
    change(&mut world.object.spec.data);
}

/// C01. Guard: the live namespace in the AAD (`seal::binding`).
#[test]
fn copied_to_another_namespace() {
    let mut world = World::new();
    world.object.metadata.namespace = Some("other".to_owned());
    let plan = world.plan();
    let message = refused(&plan, Reason::BindingMismatch);
    assert!(message.contains("key password") && message.contains("`namePrefix:`"), "{message}");
}

/// C02. Guard: the live name in the AAD (`seal::binding`).
#[test]
fn renamed() {
    let mut world = World::new();
    world.object.metadata.name = Some("db2".to_owned());
    refused(&world.plan(), Reason::BindingMismatch);
}

/// C03. Guard: the key's name in the AAD (`seal::binding`).
#[test]
fn two_values_swapped() {
    refuses(Reason::BindingMismatch, |world| {
        edit(world, |data| {
            let (a, b) = (data["password"].clone(), data["user"].clone());
            data.insert("password".to_owned(), b);
            data.insert("user".to_owned(), a);
        });
    });
}

/// C04. Guard: the type in the AAD (`seal::binding`).
#[test]
fn another_type() {
    refuses(Reason::BindingMismatch, |world| world.object.spec.secret_type = "example.com/other".to_owned());
}

/// C05. Guard: the scope in the AAD (`seal::binding`).
#[test]
fn a_wider_scope() {
    refuses(Reason::BindingMismatch, |world| world.object.spec.scope = "namespace".to_owned());
    refuses(Reason::ScopeDenied, |world| world.object.spec.scope = "cluster".to_owned());
    refuses(Reason::BindingMismatch, |world| {
        world.cluster_scope = ClusterScopePolicy::Allow;
        world.object.spec.scope = "cluster".to_owned();
    });
}

/// C05. Guard: no annotation is read but `suspend` and `propose-rewrap` (`plan`).
#[test]
fn annotations_widen_nothing() {
    let mut world = World::new();
    for key in
        ["waxwing.dev/scope", "waxwing.dev/cluster-wide", "waxwing.dev/adopt", "waxwing.dev/namespace-wide"]
    {
        world.annotate(key, "cluster");
        world.annotate(key, "true");
    }
    world.object.metadata.namespace = Some("other".to_owned());
    refused(&world.plan(), Reason::BindingMismatch);
}

/// C07. Guard: the sequence number in the AAD (`seal::binding`).
#[test]
fn another_sequence_number() {
    refuses(Reason::BindingMismatch, |world| {
        edit(world, |data| {
            let token = data["password"].replacen(&NOW.to_string(), &(NOW + 1).to_string(), 1);
            assert_ne!(token, data["password"]);
            data.insert("password".to_owned(), token);
        });
    });
}

/// C08. Guard: `commit` in the AAD and the data key that it names (`seal::dek`).
#[test]
fn another_envelope() {
    refuses(Reason::BindingMismatch, |world| {
        edit(world, |data| {
            let envelope = data["user"].split('.').nth(1).unwrap().to_owned();
            let own = data["password"].split('.').nth(1).unwrap().to_owned();
            let token = data["password"].replacen(&own, &envelope, 1);
            data.insert("password".to_owned(), token);
        });
    });
}

/// C15. Guard: `Sealed::parse` looks at the format first.
#[test]
fn another_format() {
    for format in ["wax2", "", "WAX1", "wax1 ", "gss2"] {
        refuses(Reason::UnsupportedFormat, |world| world.object.spec.format = format.to_owned());
    }
}

#[test]
fn no_identity_fits() {
    refuses(Reason::NoMatchingKey, |world| {
        let other = Identity::generate();
        let recipients = [NamedRecipient::new("other", other.recipient().clone()).unwrap()];
        let mut sealed = world.sealed();
        sealed.seal(&[("password".parse().unwrap(), Secret::new(b"x".to_vec()))], &recipients, NOW).unwrap();
        sealed.write_into(&mut world.object.spec);
    });
}

#[test]
fn sealed_by_a_clock_that_is_days_ahead() {
    refuses(Reason::SeqInFuture, |world| {
        world.now += 3 * 86_400;
        world.set("password", "later");
        world.now -= 3 * 86_400;
    });
}

#[test]
fn one_bad_key_stops_the_whole_object() {
    refuses(Reason::BindingMismatch, |world| {
        world.set("new", "fine");
        edit(world, |data| {
            let token = data["user"].clone();
            data.insert("password".to_owned(), token);
        });
    });
}

#[test]
fn namespace_scope_opens_under_any_name_and_cluster_scope_anywhere_if_the_ring_allows_it() {
    let mut world = World::new();
    world.seal_as(Scope::Namespace, "Opaque", &[("password", "one")]);
    world.object.metadata.name = Some("renamed".to_owned());
    assert!(matches!(world.plan().write, Write::Create(_)));

    world.seal_as(Scope::Cluster, "Opaque", &[("password", "one")]);
    world.object.metadata.namespace = Some("elsewhere".to_owned());
    refused(&world.plan(), Reason::ScopeDenied);
    world.cluster_scope = ClusterScopePolicy::Allow;
    assert!(matches!(world.plan().write, Write::Create(_)));
}

/// K05. Guard: `produce` takes namespace and name from the binding under which the values opened.
#[test]
fn only_the_objects_own_namespace_and_name_are_ever_written() {
    let mut world = World::new();
    world.seal_as(Scope::Cluster, "Opaque", &[("password", "one")]);
    world.cluster_scope = ClusterScopePolicy::Allow;
    for (namespace, name) in [("apps", "db"), ("kube-system", "db"), ("apps", "other")] {
        world.object.metadata.namespace = Some(namespace.to_owned());
        world.object.metadata.name = Some(name.to_owned());
        let Write::Create(produced) = world.plan().write else { panic!() };
        assert_eq!((produced.namespace.as_str(), produced.name.as_str()), (namespace, name));
    }
}
