use waxwing_core::{
    Secret,
    keys::{Identities, Identity, NamedRecipient},
    seal::{Binding, Scope, Sealed},
};

use super::*;

const NOW: i64 = 1_789_000_000;

struct Case {
    prod: Identity,
    alice: Identity,
    leaked: Seen,
    value: Leaked,
}

impl Case {
    fn new() -> Self {
        let [prod, alice] = [(); 2].map(|()| Identity::generate());
        let leaked = seal("web", "db", &[named("prod", &prod), named("alice", &alice)], NOW, None);
        let leaked = Seen::of("web/db.yaml", leaked);
        let (key, token) = leaked.sealed.tokens().iter().next().unwrap();
        let value = Leaked::of(&leaked, key, token);
        Self { prod, alice, leaked, value }
    }

    fn state(&self, seen: Vec<Seen>, unreadable: &[&str]) -> &'static str {
        let unreadable = unreadable.iter().map(|file| (*file).to_owned()).collect();
        let tree = Tree { seen, unreadable, ..Tree::default() };
        match state(&self.value, Some(self.alice.recipient().id()), &tree) {
            State::Open { .. } => "open",
            State::Removed => "removed",
            State::Resealed => "resealed",
        }
    }
}

fn named(name: &str, identity: &Identity) -> NamedRecipient {
    NamedRecipient::new(name, identity.recipient().clone()).unwrap()
}

fn seal(namespace: &str, name: &str, to: &[NamedRecipient], now: i64, after: Option<&Sealed>) -> Sealed {
    let (namespace, name) = (namespace.to_owned(), name.to_owned());
    let binding = Binding { scope: Scope::Cluster, namespace, name, secret_type: "Opaque".to_owned() };
    let mut sealed = after.cloned().unwrap_or_else(|| Sealed::empty(binding));
    sealed.seal(&[("password".parse().unwrap(), Secret::new(b"x".to_vec()))], to, now).unwrap();
    sealed
}

/// K28. Guards: `state` looks for the value under every name, compares sequence numbers, wants an envelope that is not for
/// the revoked recipient, and calls nothing removed while a file cannot be read.
#[test]
fn a_value_counts_as_replaced_only_where_another_one_stands() {
    let case = Case::new();
    let prod = [named("prod", &case.prod)];
    let old = &case.leaked.sealed;
    let at = |file: &str, sealed: &Sealed| vec![Seen::of(file, sealed.clone())];
    assert_eq!(case.state(at("web/db.yaml", old), &[]), "open");
    assert_eq!(case.state(at("elsewhere.yaml", old), &[]), "open");

    let mut rewrapped = old.clone();
    rewrapped.rewrap(&Identities::from_iter([case.prod.clone()]), &prod).unwrap();
    assert_eq!(case.state(at("web/db.yaml", &rewrapped), &[]), "open");

    // The same token under another name; the scope allows it.
    let mut spec = waxwing_crds::SealedSecretSpec::default();
    old.write_into(&mut spec);
    let renamed = Sealed::parse(&spec, "api", "other").unwrap();
    assert_eq!(case.state(at("web/db.yaml", &renamed), &[]), "open");
    let new = seal("web", "db", &prod, NOW + 1, Some(old));
    assert_eq!(case.state(vec![Seen::of("a", new.clone()), Seen::of("b", renamed)], &[]), "open");

    // One from Git's history, older than the one that leaked.
    let older = seal("web", "db", &prod, NOW - 1000, None);
    assert_eq!(case.state(at("web/db.yaml", &older), &[]), "open");
    let again = seal("web", "db", &[prod[0].clone(), named("alice", &case.alice)], NOW + 1, Some(old));
    assert_eq!(case.state(at("web/db.yaml", &again), &[]), "open");

    assert_eq!(case.state(at("web/db.yaml", &new), &[]), "resealed");
    assert_eq!(case.state(at("web/moved.yaml", &new), &["broken.yaml"]), "resealed");
    assert_eq!(case.state(Vec::new(), &[]), "removed");
    assert_eq!(case.state(Vec::new(), &["broken.yaml"]), "open");
}

#[test]
fn the_record_is_read_as_it_was_written_and_holds_no_more_than_places() {
    let case = Case::new();
    let written = Revocations {
        version: VERSION,
        revocations: vec![Revocation {
            date: "2026-11-21T20:00:00Z".to_owned(),
            reason: Some("a: laptop # lost".to_owned()),
            recipient: Some(Revoked { name: Some("on".to_owned()), key: case.alice.recipient().to_string() }),
            values: vec![
                Leaked { envelope: "22222222".to_owned(), ..case.value.clone() },
                case.value.clone(),
            ],
        }],
    };
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".waxwing")).unwrap();
    fs::write(home.path().join(FILE), written.text().unwrap()).unwrap();
    let read = Revocations::read(home.path()).unwrap();
    assert_eq!(read, written);
    assert_eq!(read.open_keys(&case.leaked.sealed), ["password"]);
    assert!(read.names(&case.value));
    assert!(!written.text().unwrap().contains("wax1."));
}
