//! Sealing again, rewrapping and compacting, and what errors say.

use super::*;

#[test]
fn sequence_numbers_always_rise_even_if_the_clock_goes_back() {
    let ring = Ring::new();
    let mut sealed = sealed(&ring);
    sealed.seal(&[(key("a"), value("new"))], &ring.recipients, NOW - 500).unwrap();
    assert_eq!(sealed.tokens()["a"].seq(), NOW as u64 + 1);
    assert_eq!(sealed.tokens()["b"].seq(), NOW as u64);
}

/// C07. Guard: `Sealed::seal` takes no floor from a number that no reader accepts.
#[test]
fn a_number_planted_far_ahead_does_not_spoil_the_next_sealing() {
    let ring = Ring::new();
    let mut spec = spec(&sealed(&ring));
    let planted = spec.data["a"].replace(&NOW.to_string(), "9007199254740990");
    spec.data.insert("a".to_owned(), planted);
    let mut sealed = parse(&spec).unwrap();
    assert_eq!(sealed.keys_ahead_of(NOW).map(DataKey::as_str).collect::<Vec<_>>(), ["a"]);
    sealed.seal(&[(key("a"), value("new"))], &ring.recipients, NOW + 1).unwrap();
    assert_eq!(sealed.tokens()["a"].seq(), NOW as u64 + 1);
    assert_eq!(sealed.keys_ahead_of(NOW + 1).count(), 0);
    assert!(sealed.open(&ring.identities(), NOW + 1).is_ok());
}

#[test]
fn an_envelope_with_a_reader_that_it_does_not_name_is_rewrapped() {
    let ring = Ring::new();
    let hidden = named("hidden", &Identity::generate());
    let mut two = Sealed::empty(binding(Scope::Strict));
    two.seal(&[(key("a"), value("x"))], &[ring.recipients[0].clone(), hidden], NOW).unwrap();
    let mut spec = spec(&two);
    spec.envelopes.values_mut().for_each(|envelope| envelope.to.truncate(1));
    let mut sealed = parse(&spec).unwrap();
    let readers = |sealed: &Sealed| sealed.envelopes().values().map(Envelope::readers).collect::<Vec<_>>();
    assert_eq!(readers(&sealed), [2]);
    assert_eq!(sealed.rewrap(&ring.identities(), &ring.recipients), Ok(1));
    assert_eq!(readers(&sealed), [1]);
}

/// Guard: `Envelope::says_it_is_for` compares keys, and no names.
#[test]
fn other_names_for_the_same_recipients_rewrite_hints_and_wrap_nothing() {
    let ring = Ring::new();
    let second = Identity::generate();
    let mut sealed = sealed(&ring);
    sealed.rewrap(&ring.identities(), &[ring.recipients[0].clone(), named("second", &second)]).unwrap();
    let before = spec(&sealed);
    // The first name in a sorted list now; and nobody who could open it is needed.
    let renamed = [named("a-second", &second), ring.recipients[0].clone()];
    assert_eq!(sealed.rewrap(&Identities::from_iter([]), &renamed).unwrap(), 1);
    let after = spec(&sealed);
    for (id, envelope) in &after.envelopes {
        assert_eq!(envelope.age, before.envelopes[id].age);
        assert_eq!(envelope.to, renamed.each_ref().map(NamedRecipient::hint));
    }
    assert_eq!(sealed.rewrap(&ring.identities(), &renamed).unwrap(), 0);
    // One of them twice is not both of them.
    let mut twice = after.clone();
    twice.envelopes.values_mut().for_each(|envelope| envelope.to[1].clone_from(&renamed[0].hint()));
    let mut sealed = parse(&twice).unwrap();
    assert_eq!(sealed.rewrap(&ring.identities(), &renamed).unwrap(), 1);
    assert_ne!(
        spec(&sealed).envelopes.values().next().unwrap().age,
        after.envelopes.values().next().unwrap().age
    );
}

/// K36. Guard: `Sealed::rewrap_all` believes no hint.
#[test]
fn an_envelope_whose_hints_lie_is_put_right_by_wrapping_all_anew() {
    let ring = Ring::new();
    let [recovery, stranger] = [(); 2].map(|()| Identity::generate());
    let rule = [ring.recipients[0].clone(), named("recovery", &recovery)];
    let mut lying = Sealed::empty(binding(Scope::Strict));
    lying.seal(&[(key("a"), value("x"))], &[rule[0].clone(), named("recovery", &stranger)], NOW).unwrap();
    let mut spec = spec(&lying);
    spec.envelopes.values_mut().for_each(|envelope| envelope.to[1] = rule[1].hint());
    let mut sealed = parse(&spec).unwrap();
    let opens = |sealed: &Sealed, identity: &Identity| {
        sealed.open(&Identities::from_iter([identity.clone()]), NOW).is_ok()
    };
    assert_eq!(sealed.rewrap(&ring.identities(), &rule), Ok(0), "the hints fit");
    assert!(opens(&sealed, &stranger) && !opens(&sealed, &recovery));
    assert_eq!(sealed.rewrap_all(&ring.identities(), &rule), Ok(1));
    assert!(!opens(&sealed, &stranger) && opens(&sealed, &recovery));
    assert_eq!(sealed.tokens(), lying.tokens());
}

#[test]
fn changing_one_value_changes_one_token_and_adds_one_envelope() {
    let ring = Ring::new();
    let before = spec(&sealed(&ring));
    let mut after = parse(&before).unwrap();
    after.seal(&[(key("a"), value("new"))], &ring.recipients, NOW + 1).unwrap();
    let after = spec(&after);
    assert_eq!(after.data["b"], before.data["b"]);
    assert_ne!(after.data["a"], before.data["a"]);
    assert_eq!(after.envelopes.len(), 2);
    assert!(before.envelopes.iter().all(|(id, envelope)| after.envelopes.get(id) == Some(envelope)));
}

#[test]
fn envelopes_that_nothing_refers_to_are_dropped_by_every_write() {
    let ring = Ring::new();
    let mut sealed = sealed(&ring);
    for i in 0..600 {
        sealed.seal(&[(key("a"), value("x"))], &ring.recipients, NOW + i).unwrap();
    }
    assert_eq!(sealed.envelopes().len(), 2);
    assert!(sealed.unset(&key("b")));
    assert!(!sealed.unset(&key("b")));
    assert_eq!(sealed.envelopes().len(), 1);
    sealed.unset(&key("a"));
    assert!(sealed.envelopes().is_empty());
}

/// C19. Guard: `Sealed::rewrap` writes envelopes only.
#[test]
fn rewrap_changes_envelopes_and_no_token_and_both_readers_open() {
    let ring = Ring::new();
    let second = Identity::generate();
    let before = spec(&sealed(&ring));
    let mut wrapped = parse(&before).unwrap();
    let both = [ring.recipients[0].clone(), named("prod-us", &second)];
    assert_eq!(wrapped.rewrap(&ring.identities(), &both).unwrap(), 1);
    let after = spec(&wrapped);
    assert_eq!(after.data, before.data);
    assert_eq!(after.envelopes.keys().collect::<Vec<_>>(), before.envelopes.keys().collect::<Vec<_>>());
    for identity in [ring.identity.clone(), second] {
        assert!(wrapped.open(&Identities::from_iter([identity]), NOW).is_ok());
    }
    assert_eq!(wrapped.rewrap(&ring.identities(), &both).unwrap(), 0, "a second time changes nothing");
    assert_eq!(spec(&wrapped), after);
}

#[test]
fn compact_brings_all_values_into_one_envelope() {
    let ring = Ring::new();
    let mut sealed = sealed(&ring);
    sealed.seal(&[(key("a"), value("new"))], &ring.recipients, NOW).unwrap();
    sealed.compact(&ring.identities(), &ring.recipients, NOW + 9).unwrap();
    assert_eq!(sealed.envelopes().len(), 1);
    let opened = sealed.open(&ring.identities(), NOW + 9).ok().unwrap();
    assert_eq!(opened.values()["a"].value.expose(), b"new");
    assert_eq!(opened.values()["b"].value.expose(), b"beta");
}

#[test]
fn without_a_fitting_identity_the_error_names_who_could_open_it() {
    let ring = Ring::new();
    let stranger = Identities::from_iter([Identity::generate()]);
    let error = sealed(&ring).open(&stranger, NOW).err().unwrap();
    assert_eq!(error.reason(), Reason::NoMatchingKey);
    assert!(error.to_string().contains(&ring.recipients[0].hint()), "{error}");
}

#[test]
fn the_holder_of_an_identity_learns_where_a_moved_value_belongs() {
    let ring = Ring::new();
    let moved = Sealed::parse(&spec(&sealed(&ring)), "staging", "receivers").unwrap();
    let home = binding(Scope::Strict);
    let elsewhere = Binding { namespace: "elsewhere".to_owned(), ..home.clone() };
    let candidates = [elsewhere, home.clone()];
    assert_eq!(moved.sealed_for(&key("a"), &ring.identities(), &candidates), Some(&home));
}

#[test]
fn recipients_are_checked_before_sealing() {
    let ring = Ring::new();
    let mut sealed = Sealed::empty(binding(Scope::Strict));
    let one = [(key("a"), value("x"))];
    assert_eq!(sealed.seal(&one, &[], NOW), Err(SealError::NoRecipients));
    let twice = [ring.recipients[0].clone(), named("other-name", &ring.identity)];
    assert!(matches!(sealed.seal(&one, &twice, NOW), Err(SealError::DuplicateRecipient { .. })));
    let crowd: Vec<_> = (0..64).map(|i| named(&format!("r{i}"), &Identity::generate())).collect();
    assert_eq!(sealed.seal(&one, &crowd, NOW), Err(SealError::TooManyRecipients));
    assert!(sealed.seal(&one, &crowd[..63], NOW).is_ok());
}

#[test]
fn ten_keys_for_three_recipients_stay_small() {
    let recipients: Vec<_> =
        ["prod-eu", "prod-us", "recovery"].map(|name| named(name, &Identity::generate())).into();
    let worst = (0..100)
        .map(|_| {
            let mut sealed = Sealed::empty(binding(Scope::Strict));
            let values: Vec<_> =
                (0..10).map(|i| (key(&format!("key-{i}")), Secret::new(vec![b'x'; 32]))).collect();
            sealed.seal(&values, &recipients, NOW).unwrap();
            serde_json::to_string(&spec(&sealed)).unwrap().len()
        })
        .max()
        .unwrap();
    assert!(worst <= 2_800, "{worst} bytes");
}

/// L01. Guard: errors are made of key names, ids and numbers only.
#[test]
fn no_error_of_sealing_or_opening_carries_a_value() {
    let ring = Ring::new();
    let canary = "canary-7d1f2a";
    let mut sealed = Sealed::empty(binding(Scope::Strict));
    sealed.seal(&[(key("a"), value(canary))], &ring.recipients, NOW).unwrap();
    let mut texts = Vec::new();
    let moved = Sealed::parse(&spec(&sealed), "x", "y").unwrap();
    texts.push(moved.open(&ring.identities(), NOW).err().unwrap().to_string());
    texts.push(sealed.open(&Identities::default(), NOW).err().unwrap().to_string());
    let mut bad = spec(&sealed);
    bad.data.insert("a".to_owned(), format!("wax1.{canary}"));
    texts.push(parse(&bad).unwrap_err().to_string());
    assert!(texts.iter().all(|text| !text.contains(canary)), "{texts:?}");
}
