use waxwing_core::{
    Secret,
    keys::{Identities, Identity, NamedRecipient},
    seal::{Binding, DataKey, Scope},
};
use waxwing_crds::{SealedSecret, SealedSecretSpec};

use super::*;

const NOW: i64 = 1_789_000_000;
const MARKERS: Markers = Markers { size: 7 };

fn named(name: &str, identity: &Identity) -> NamedRecipient {
    NamedRecipient::new(name, identity.recipient().clone()).unwrap()
}

fn sealed(keys: &[&str], recipients: &[NamedRecipient]) -> Sealed {
    let binding = Binding {
        scope: Scope::Strict,
        namespace: "web".to_owned(),
        name: "db".to_owned(),
        secret_type: "Opaque".to_owned(),
    };
    with(&Sealed::empty(binding), keys, recipients)
}

fn with(sealed: &Sealed, keys: &[&str], recipients: &[NamedRecipient]) -> Sealed {
    let mut sealed = sealed.clone();
    for key in keys {
        let value: (DataKey, Secret) = (key.parse().unwrap(), Secret::new(b"value".to_vec()));
        sealed.seal(&[value], recipients, NOW).unwrap();
    }
    sealed
}

fn text(sealed: &Sealed, template: Value) -> String {
    let mut object = SealedSecret::default();
    object.metadata.name = Some("db".to_owned());
    object.metadata.namespace = Some("web".to_owned());
    sealed.write_into(&mut object.spec);
    object.spec.template = serde_json::from_value(template).unwrap();
    waxwing_core::yaml::to_string(&object).unwrap()
}

fn plain(sealed: &Sealed) -> String {
    text(sealed, Value::Null)
}

fn merged(base: &str, ours: &str, theirs: &str) -> (String, Vec<String>) {
    let merged = merge(base.as_bytes(), ours.as_bytes(), theirs.as_bytes(), MARKERS).unwrap();
    (String::from_utf8(merged.text).unwrap(), merged.conflicts)
}

fn keys(text: &str) -> Vec<String> {
    let side = Side::read(text.as_bytes()).unwrap();
    let sealed = side.sealed(&("web".to_owned(), "db".to_owned())).unwrap();
    sealed.tokens().keys().map(ToString::to_string).collect()
}

#[test]
fn a_file_without_our_resources_is_merged_as_git_does() {
    let (text, conflicts) =
        merged("a: 1\nb: 1\nc: 1\nd: 1\n", "a: 2\nb: 1\nc: 1\nd: 1\n", "a: 1\nb: 1\nc: 1\nd: 2\n");
    assert_eq!((text.as_str(), conflicts.len()), ("a: 2\nb: 1\nc: 1\nd: 2\n", 0));
    let (text, conflicts) = merged("a: 1\n", "a: 2\n", "a: 3\n");
    assert_eq!(text, "<<<<<<< ours\na: 2\n=======\na: 3\n>>>>>>> theirs\n");
    assert_eq!(conflicts.len(), 1);
}

/// K27. Guard: `merge` takes no side that it cannot read (`not_understood`), even where Git finds no conflict.
#[test]
fn a_side_that_cannot_be_read_is_a_conflict() {
    let people = [named("prod", &Identity::generate())];
    let base = sealed(&["a"], &people);
    let ours = plain(&base).replace("name: db", "name: db\n  labels: {a: b}");
    let theirs = format!("{}---\n{{{{ if .Values.more }}}}\n", plain(&base));
    let (text, conflicts) = merged(&plain(&base), &ours, &theirs);
    assert!(text.starts_with("<<<<<<< ours\n") && text.contains("{{ if"), "{text}");
    assert!(conflicts[0].starts_with("theirs: "), "{conflicts:?}");
}

#[test]
fn keys_that_are_in_no_order_merge_too() {
    let people = [named("prod", &Identity::generate())];
    let base = sealed(&["a", "b", "z"], &people);
    let unsorted = |text: String| {
        let (head, data) = text.split_once("  data:\n").unwrap();
        let mut lines: Vec<&str> = data.lines().collect();
        lines.rotate_left(1);
        format!("{head}  data:\n{}\n", lines.join("\n"))
    };
    let old = unsorted(plain(&base));
    let change = |keys: &[&str]| {
        let mut file = SealedFile::parse(Path::new("it"), old.clone(), None).unwrap();
        file.update(0, with(&base, keys, &people)).unwrap();
        file.text().to_owned()
    };
    let (text, conflicts) = merged(&old, &change(&["m", "b"]), &change(&["k", "z"]));
    assert!(conflicts.is_empty(), "{conflicts:?}\n{text}");
    assert_eq!(keys(&text), ["a", "b", "k", "m", "z"]);
}

/// K27. Guard: `is_expected` looks whether the operator would take what both sides made together.
#[test]
fn a_key_that_one_side_seals_and_the_other_composes_is_a_conflict() {
    let people = [named("prod", &Identity::generate())];
    let base = sealed(&["a"], &people);
    let ours = plain(&with(&base, &["b"], &people));
    let theirs = text(&base, json!({"data": {"b": "{{ a }}"}}));
    let (text, conflicts) = merged(&plain(&base), &ours, &theirs);
    assert!(!conflicts.is_empty(), "{text}");
    assert!(text.contains("<<<<<<< "), "{text}");
}

/// K27. Guard: `has_all_comments`.
#[test]
fn a_comment_above_a_key_that_the_other_side_removes_is_a_conflict() {
    let people = [named("prod", &Identity::generate())];
    let base = sealed(&["a", "b", "c"], &people);
    let noted = plain(&base).replacen("    b: ", "    # never without c\n    b: ", 1);
    let mut less = base.clone();
    less.unset(&"b".parse().unwrap());
    for (ours, theirs) in [(&noted, &plain(&less)), (&plain(&less), &noted)] {
        let (text, conflicts) = merged(&plain(&base), ours, theirs);
        assert!(conflicts[0].contains("comment"), "{conflicts:?}");
        assert!(text.contains("# never without c") && text.contains("<<<<<<< "), "{text}");
    }
    // One that was there before goes with its key.
    let (text, conflicts) = merged(&noted, &noted.replacen("name: db", "name: db # here", 1), &plain(&less));
    assert!(
        conflicts.is_empty() && text.contains("# here") && !text.contains("never"),
        "{conflicts:?}{text}"
    );
}

/// K27. Guard: `rewrapped`.
#[test]
fn of_two_wrappings_the_one_with_other_recipients_is_taken_and_two_such_are_a_conflict() {
    let [prod, alice, bob] = [(); 3].map(|()| Identity::generate());
    let both = [named("prod", &prod), named("alice", &alice)];
    let identities = Identities::from_iter([prod.clone()]);
    let base = sealed(&["a"], &both);
    let wrapped = |sealed: &Sealed, recipients: &[NamedRecipient]| {
        // By way of another one, so that the wrapping is a new one in any case.
        let mut sealed = sealed.clone();
        sealed.rewrap(&identities, &[named("prod", &prod), named("x", &bob)]).unwrap();
        sealed.rewrap(&identities, recipients).unwrap();
        sealed
    };
    let same = wrapped(&base, &both);
    let less = wrapped(&base, &both[..1]);
    let other = wrapped(&base, &[named("prod", &prod), named("bob", &bob)]);
    let added = with(&base, &["b"], &both);
    for (ours, theirs) in [
        (&same, &less),
        (&less, &same),
        (&less, &wrapped(&base, &both[..1])),
        (&less, &added),
        (&added, &less),
    ] {
        let (text, conflicts) = merged(&plain(&base), &plain(ours), &plain(theirs));
        assert!(conflicts.is_empty(), "{conflicts:?}");
        let side = Side::read(text.as_bytes()).unwrap();
        let sealed = side.sealed(&("web".to_owned(), "db".to_owned())).unwrap();
        let id = base.envelopes().keys().next().unwrap();
        assert_eq!(sealed.envelopes()[id].to().len(), 1);
        sealed.open(&identities, NOW).unwrap();
    }
    let (text, conflicts) = merged(&plain(&base), &plain(&less), &plain(&other));
    assert!(conflicts[0].contains("was wrapped for different recipients"), "{conflicts:?}");
    assert!(text.contains("<<<<<<< "), "{text}");
}

#[test]
fn envelopes_that_nothing_needs_are_dropped() {
    let people = [named("prod", &Identity::generate())];
    let base = sealed(&["a", "b"], &people);
    let (ours, theirs) = (with(&base, &["a"], &people), with(&base, &["b"], &people));
    let (text, conflicts) = merged(&plain(&base), &plain(&ours), &plain(&theirs));
    assert!(conflicts.is_empty());
    let object: SealedSecret = waxwing_core::yaml::from_str(&text).unwrap();
    let mut spec = SealedSecretSpec::default();
    with(&ours, &[], &people).write_into(&mut spec);
    assert_eq!(object.spec.envelopes.len(), 2);
    assert!(spec.envelopes.keys().any(|id| object.spec.envelopes.contains_key(id)));
}
