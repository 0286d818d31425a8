//! Whether a key can be done without: what would have no other key of the ring that opens it.

use std::collections::BTreeSet;

use serde::Serialize;
use waxwing_core::{keys::KeyId, seal::Envelope};

use super::survey::{Survey, Use};

/// How sure something has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// It can be taken back: hints that name another key are enough.
    Reversible,
    /// It can't be: a live object must have been opened by another key.
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

/// Everything in sight that needs the key `id`; `others` are the ids of other keys of the ring that open.
pub(super) fn needs(survey: &Survey, id: KeyId, others: &BTreeSet<KeyId>, care: Care) -> Vec<Need> {
    // What the operator opens with another key is proven for the very same envelope in a file, too.
    let is_opened = |one: &&Use| one.told.iter().any(|key| others.contains(key));
    let opened: Vec<&Envelope> = survey.uses.iter().filter(is_opened).map(|one| &one.envelope).collect();
    survey
        .uses
        .iter()
        .filter(|one| !opened.contains(&&one.envelope))
        .filter_map(|one| {
            Some(Need {
                file: one.file.as_ref().map(|file| file.display().to_string()),
                resource: one.resource.clone(),
                values: one.values.clone(),
                why: why(one, id, others, care)?,
            })
        })
        .collect()
}

/// Why one envelope needs the key, or may.
fn why(one: &Use, id: KeyId, others: &BTreeSet<KeyId>, care: Care) -> Option<&'static str> {
    if one.proven.iter().any(|recipient| others.contains(&recipient.id())) {
        return None;
    }
    let (hints, readers) = (one.envelope.to(), one.envelope.readers());
    // With more names than readers one of the names is wrong, and nobody knows which.
    let names_other = readers >= hints.len() && hints.iter().any(|hint| others.contains(&hint.id));
    let named = one.names(id) || one.told.contains(&id);
    if names_other {
        let is_final = care == Care::Final && one.file.is_none() && named;
        return is_final.then_some("the operator has not opened it with another key yet");
    }
    if named {
        return Some("no other key of the ring opens it");
    }
    (readers != hints.len()).then_some("its hints do not say who all can open it")
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

    fn check(one: Use, id: KeyId, others: &BTreeSet<KeyId>, reversible: bool, is_final: bool) {
        let survey = Survey { uses: vec![one], ..Survey::default() };
        assert_eq!(!needs(&survey, id, others, Care::Reversible).is_empty(), reversible);
        assert_eq!(!needs(&survey, id, others, Care::Final).is_empty(), is_final);
    }

    /// K34. Guard: `why`; each line of it decides one of these.
    #[test]
    fn a_key_is_needed_where_no_other_key_of_the_ring_is_known_to_open() {
        let (old, new, recovery) = (Identity::generate(), Identity::generate(), Identity::generate());
        let others = BTreeSet::from([new.id()]);
        let only_old = || sealed_for(&[("prod", &old), ("recovery", &recovery)]);
        check(only_old(), old.id(), &others, true, true);
        let both = || sealed_for(&[("prod", &new), ("old", &old)]);
        // Hints are enough where it can be taken back; for good, the operator must have opened it with another key.
        check(both(), old.id(), &others, false, true);
        check(Use { told: BTreeSet::from([old.id()]), ..both() }, old.id(), &others, false, true);
        check(Use { told: BTreeSet::from([new.id()]), ..both() }, old.id(), &others, false, false);
        check(sealed_for(&[("prod", &new)]), old.id(), &others, false, false);
        check(sealed_for(&[("staging", &recovery)]), old.id(), &others, false, false);
        // Hints that were taken away or added say nothing.
        let nameless = sealed_with(&[("prod", &old)], &|spec| spec.to.clear());
        check(nameless, old.id(), &others, true, true);
        let hint = format!("prod/{}", new.id());
        let lying = sealed_with(&[("old", &old)], &|spec| spec.to.push(hint.clone()));
        check(lying, old.id(), &others, true, true);
        // An identity at hand has opened it.
        let proven = BTreeSet::from([new.recipient().clone()]);
        check(Use { proven, ..only_old() }, old.id(), &others, false, false);
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
            let found = needs(&survey, old.id(), &BTreeSet::from([new.id()]), Care::Final);
            assert_eq!(!found.is_empty(), is_needed);
        }
    }
}
