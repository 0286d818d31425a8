//! Whether a key can be done without: what would have no other key of the ring that opens it.

use std::collections::BTreeSet;

use serde::Serialize;
use waxwing_core::{
    keys::{KeyId, Recipient},
    seal::Envelope,
};

use super::survey::{Survey, Use};

/// How sure something has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// It can be taken back: hints that name another key are enough, where nothing contradicts them.
    Reversible,
    /// It can't be: another key must have opened a live object, and whatever else the key is known or said to open.
    Final,
}

/// What needs a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Need {
    /// The file; nothing for a live object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<String>,
    /// `NAMESPACE/NAME`.
    pub(super) resource: String,
    /// The keys of the values.
    pub(super) values: Vec<String>,
    /// Why.
    pub(super) why: &'static str,
}

/// Everything in sight that needs a key; `others` are the ids of other keys of the ring that open.
pub(super) fn needs(survey: &Survey, key: &Recipient, others: &BTreeSet<KeyId>, care: Care) -> Vec<Need> {
    let id = key.id();
    // What is known of an envelope holds for the very same one everywhere: in a file as in the cluster.
    let known = |is_known: &dyn Fn(&&Use) -> bool| -> Vec<&Envelope> {
        survey.uses.iter().filter(is_known).map(|one| &one.envelope).collect()
    };
    let by_others = known(&|one| {
        let proven = one.proven.iter().any(|recipient| others.contains(&recipient.id()));
        proven || one.told.iter().any(|key| others.contains(key))
    });
    let by_it = known(&|one| one.proven.contains(key) || one.told.contains(&id));
    survey
        .uses
        .iter()
        .filter(|one| !by_others.contains(&&one.envelope))
        .filter_map(|one| {
            Some(Need {
                file: one.file.as_ref().map(|file| file.display().to_string()),
                resource: one.resource.clone(),
                values: one.values.clone(),
                why: why(one, by_it.contains(&&one.envelope), id, others, care)?,
            })
        })
        .collect()
}

/// Why one envelope that no other key is known to open needs the key, or may. `opens`: whether the key is known to.
///
/// Hints can be written by anybody who writes the file. So they never free a key for good, and a key that opens what
/// they do not name makes liars of all of them.
fn why(one: &Use, opens: bool, id: KeyId, others: &BTreeSet<KeyId>, care: Care) -> Option<&'static str> {
    let (hints, readers) = (one.envelope.to(), one.envelope.readers());
    let named = one.names(id);
    if care == Care::Final && one.file.is_none() {
        return Some("the operator has not opened it with another key of the ring");
    }
    if care == Care::Final && (named || opens) {
        return Some("no other key of the ring is known to open it");
    }
    // With more names than readers one of the names is wrong, and nobody knows which.
    let names_other = readers >= hints.len() && hints.iter().any(|hint| others.contains(&hint.id));
    if names_other {
        return (opens && !named).then_some("the key opens it, and its hints do not say so");
    }
    if named || opens {
        return Some("no other key of the ring opens it");
    }
    (!one.envelope.names_as_many_as_open()).then_some("its hints do not say who all can open it")
}

#[cfg(test)]
mod tests {
    use waxwing_core::{
        Secret,
        keys::{Identity, NamedRecipient},
        seal::{Binding, Scope, Sealed},
    };
    use waxwing_crds::EnvelopeSpec;

    use super::*;

    const NOW: i64 = 1_789_000_000;

    fn sealed_for(readers: &[(&str, &Identity)]) -> Use {
        sealed_with(readers, &|_| {})
    }

    /// With something changed in the envelope's text.
    fn sealed_with(readers: &[(&str, &Identity)], change: &dyn Fn(&mut EnvelopeSpec)) -> Use {
        let binding = Binding {
            scope: Scope::Strict,
            namespace: "web".to_owned(),
            name: "db".to_owned(),
            secret_type: "Opaque".to_owned(),
        };
        let mut sealed = Sealed::empty(binding);
        let recipients: Vec<_> = readers
            .iter()
            .map(|(name, identity)| NamedRecipient::new(name, identity.recipient().clone()).unwrap())
            .collect();
        let values = [("k".parse().unwrap(), Secret::new(b"v".to_vec()))];
        sealed.seal(&values, &recipients, NOW).unwrap();
        let (id, envelope) = sealed.envelopes().iter().next().unwrap();
        let mut spec = envelope.spec();
        change(&mut spec);
        Use {
            file: None,
            resource: "web/db".to_owned(),
            envelope: Envelope::parse(*id, &spec).unwrap(),
            values: vec!["k".to_owned()],
            proven: BTreeSet::new(),
            told: BTreeSet::new(),
        }
    }

    fn check(one: Use, key: &Identity, others: &BTreeSet<KeyId>, reversible: bool, is_final: bool) {
        let survey = Survey { uses: vec![one], ..Survey::default() };
        assert_eq!(!needs(&survey, key.recipient(), others, Care::Reversible).is_empty(), reversible);
        assert_eq!(!needs(&survey, key.recipient(), others, Care::Final).is_empty(), is_final);
    }

    /// K34. Guard: `why`; each line of it decides one of these.
    #[test]
    fn a_key_is_needed_where_no_other_key_of_the_ring_is_known_to_open() {
        let (old, new, recovery) = (Identity::generate(), Identity::generate(), Identity::generate());
        let others = BTreeSet::from([new.id()]);
        let told = |identity: &Identity| BTreeSet::from([identity.id()]);
        let filed = |one: Use| Use { file: Some("db.yaml".into()), ..one };
        let only_old = || sealed_for(&[("prod", &old), ("recovery", &recovery)]);
        check(only_old(), &old, &others, true, true);
        check(filed(only_old()), &old, &others, true, true);
        let both = || sealed_for(&[("prod", &new), ("old", &old)]);
        // Hints are enough where it can be taken back; for good, another key must have opened it.
        check(both(), &old, &others, false, true);
        check(filed(both()), &old, &others, false, true);
        check(Use { told: told(&old), ..both() }, &old, &others, false, true);
        check(Use { told: told(&new), ..both() }, &old, &others, false, false);
        // Live, and nobody has opened it: nobody knows who can.
        check(sealed_for(&[("prod", &new)]), &old, &others, false, true);
        check(sealed_for(&[("staging", &recovery)]), &old, &others, false, true);
        check(filed(sealed_for(&[("prod", &new)])), &old, &others, false, false);
        check(filed(sealed_for(&[("staging", &recovery)])), &old, &others, false, false);
        // Hints that were taken away or added say nothing.
        let nameless = sealed_with(&[("prod", &old)], &|spec| spec.to.clear());
        check(filed(nameless), &old, &others, true, true);
        let hint = format!("prod/{}", new.id());
        let lying = sealed_with(&[("old", &old)], &|spec| spec.to.push(hint.clone()));
        check(filed(lying), &old, &others, true, true);
        // An identity at hand has opened it.
        let proven = BTreeSet::from([new.recipient().clone()]);
        check(Use { proven, ..only_old() }, &old, &others, false, false);
    }

    /// K34. Guard: `opens && !named` in `why`, and `by_it` in `needs`.
    #[test]
    fn a_hint_at_another_key_frees_nothing_that_the_key_itself_was_seen_to_open() {
        let (old, new) = (Identity::generate(), Identity::generate());
        let others = BTreeSet::from([new.id()]);
        let hint = format!("prod/{}", new.id());
        let lying = || sealed_with(&[("old", &old)], &|spec| spec.to = vec![hint.clone()]);
        let told = BTreeSet::from([old.id()]);
        check(Use { told: told.clone(), ..lying() }, &old, &others, true, true);
        let (proven, file) = (BTreeSet::from([old.recipient().clone()]), Some("db.yaml".into()));
        check(Use { proven, file, ..lying() }, &old, &others, true, true);
        // The same envelope in a file, of which nothing else is known.
        let live = Use { told, ..lying() };
        let file = Use { file: Some("db.yaml".into()), envelope: live.envelope.clone(), ..lying() };
        let survey = Survey { uses: vec![live, file], ..Survey::default() };
        for care in [Care::Reversible, Care::Final] {
            assert_eq!(needs(&survey, old.recipient(), &others, care).len(), 2);
        }
    }

    /// K34. Guard: `needs` compares whole envelopes, not their ids, which a rewrap leaves.
    #[test]
    fn what_the_operator_opens_with_another_key_frees_the_same_envelope_in_a_file_and_no_older_one() {
        let (old, new) = (Identity::generate(), Identity::generate());
        let live = sealed_for(&[("prod", &old)]);
        let told = BTreeSet::from([new.id()]);
        for (envelope, is_needed) in
            [(live.envelope.clone(), false), (sealed_for(&[("prod", &old)]).envelope, true)]
        {
            let file = Use { file: Some("db.yaml".into()), envelope, ..sealed_for(&[("prod", &old)]) };
            let live =
                Use { told: told.clone(), envelope: live.envelope.clone(), ..sealed_for(&[("prod", &old)]) };
            let survey = Survey { uses: vec![live, file], ..Survey::default() };
            let found = needs(&survey, old.recipient(), &BTreeSet::from([new.id()]), Care::Final);
            assert_eq!(!found.is_empty(), is_needed);
        }
    }
}
