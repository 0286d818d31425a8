//! What is refused because it is too much, or is no name, type or number that can be.

use super::*;

/// D01. Guard: `count_stanzas` runs before the age crate, whose parser is quadratic.
#[test]
fn a_header_of_many_stanzas_is_refused_before_it_is_parsed() {
    let ring = Ring::new();
    let stanza = format!("-> X25519 {}\n{}\n", "A".repeat(43), "B".repeat(43));
    let with = |count: usize| {
        let file = format!("age-encryption.org/v1\n{}--- {}\n", stanza.repeat(count), "C".repeat(43));
        let mut spec = spec(&sealed(&ring));
        let envelope = spec.envelopes.first_entry().unwrap().into_mut();
        envelope.age = BASE64_STANDARD.encode(file);
        parse(&spec).err().map(|error| error.reason())
    };
    assert_eq!(with(64), None);
    assert_eq!(with(65), Some(Reason::LimitExceeded));
    assert_eq!(with(14_000), Some(Reason::LimitExceeded));
}

/// D01. Guard: `Tries`, a budget of curve operations for one object, whatever its hints say.
#[test]
fn envelopes_that_ask_for_too_many_tries_are_refused() {
    let ring = Ring::new();
    let crowd: Vec<_> = (0..30).map(|i| named(&format!("r{i}"), &Identity::generate())).collect();
    let recipients: Vec<_> = crowd.into_iter().chain(ring.recipients.clone()).collect();
    let mut many = Sealed::empty(binding(Scope::Strict));
    for i in 0..3 {
        many.seal(&[(key(&format!("k{i}")), value("x"))], &recipients, NOW).unwrap();
    }
    // 120 identities, and the right one is tried last because the hints name others.
    let mut spec = spec(&many);
    let strangers: Vec<_> = (0..119).map(|_| Identity::generate()).collect();
    let hints: Vec<_> = strangers.iter().take(64).map(|i| named("x", i).hint()).collect();
    spec.envelopes.values_mut().for_each(|envelope| envelope.to = hints.clone());
    let identities: Identities = strangers.into_iter().chain([ring.identity.clone()]).collect();
    let error = parse(&spec).unwrap().open(&identities, NOW).err().unwrap();
    assert_eq!(error, OpenError::TooManyTries);
}

/// D02. Guard: `check_limits`, before anything is decoded.
#[test]
fn too_many_keys_and_envelopes_are_refused() {
    let ring = Ring::new();
    let good = spec(&sealed(&ring));
    let mut keys = good.clone();
    keys.data = (0..10_000).map(|i| (format!("k{i}"), good.data["a"].clone())).collect();
    assert_eq!(refused(&keys, HERE, &ring), Some(Reason::LimitExceeded));

    let mut envelopes = good.clone();
    let envelope = good.envelopes.first_key_value().unwrap().1;
    envelopes.envelopes = (0..1_000).map(|i| (format!("e{i}"), envelope.clone())).collect();
    assert_eq!(refused(&envelopes, HERE, &ring), Some(Reason::LimitExceeded));

    let mut large = good.clone();
    large.data.insert("a".to_owned(), format!("{}{}", good.data["a"], "A".repeat(1_400_000)));
    assert_eq!(refused(&large, HERE, &ring), Some(Reason::LimitExceeded));
}

/// D02. Guard: `Sealed::seal` refuses to write what `parse` would refuse to read.
#[test]
fn sealing_never_makes_a_resource_that_is_too_large_to_open() {
    let ring = Ring::new();
    let mut one = Sealed::empty(binding(Scope::Strict));
    let big = |len| [(key("a"), Secret::new(vec![7; len]))];
    assert!(one.seal(&big(limits::OPENED_BYTES), &ring.recipients, NOW).is_ok());
    let before = one.clone();
    assert!(matches!(
        one.seal(&big(limits::OPENED_BYTES + 1), &ring.recipients, NOW),
        Err(SealError::Limit { .. })
    ));
    let many: Vec<_> = (0..257).map(|i| (key(&format!("k{i}")), value("x"))).collect();
    assert!(matches!(one.seal(&many, &ring.recipients, NOW), Err(SealError::Limit { what: "keys", .. })));
    assert_eq!(one, before, "a refused act changes nothing");
}

/// D03. Guard: `count_stanzas` refuses scrypt before the age crate sees it.
#[test]
fn a_passphrase_stanza_is_refused() {
    let ring = Ring::new();
    let mut spec = spec(&sealed(&ring));
    let file = format!(
        "age-encryption.org/v1\n-> scrypt {} 30\n{}\n--- {}\n",
        "A".repeat(22),
        "B".repeat(43),
        "C".repeat(43)
    );
    spec.envelopes.first_entry().unwrap().into_mut().age = BASE64_STANDARD.encode(file);
    let error = parse(&spec).unwrap_err();
    assert!(error.to_string().contains("scrypt"), "{error}");
}

/// D09. Guard: `Envelope::unwrap` tries hinted identities first.
#[test]
fn a_hinted_identity_is_tried_first_among_many() {
    let ring = Ring::new();
    let sealed = sealed(&ring);
    let many: Identities = (0..1_000).map(|_| Identity::generate()).chain([ring.identity.clone()]).collect();
    // Two stanzas each (ours and age's random one): within the budget only if no other is tried.
    let (id, envelope) = sealed.envelopes().first_key_value().unwrap();
    let mut tries = envelope::Tries::of(4);
    assert!(envelope.unwrap(*id, &many, &mut tries).is_ok());
}

/// F03. Guard: `DataKey` follows the API server's own rule.
#[test]
fn a_key_name_that_could_leave_its_directory_is_refused() {
    for bad in ["", ".", "..", "../../x", "..x", "a/b", "/a", "a\0", "a b", "ä", &"a".repeat(254)] {
        assert!(bad.parse::<DataKey>().is_err(), "{bad:?}");
    }
    for good in ["a", ".a", "a..b", "tls.crt", ".dockerconfigjson", "A_B-c.1", &"a".repeat(253)] {
        assert!(good.parse::<DataKey>().is_ok(), "{good:?}");
    }
}

/// K07. Guard: `checked_type`.
#[test]
fn types_that_would_be_cluster_credentials_are_refused() {
    let ring = Ring::new();
    for refused_type in ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"] {
        let mut spec = spec(&sealed(&ring));
        spec.secret_type = refused_type.to_owned();
        assert_eq!(refused(&spec, HERE, &ring), Some(Reason::TypeRefused));
    }
}

#[test]
fn a_sequence_number_far_ahead_of_the_clock_is_refused() {
    let ring = Ring::new();
    let mut sealed = Sealed::empty(binding(Scope::Strict));
    sealed.seal(&[(key("a"), value("x"))], &ring.recipients, NOW + 24 * 3600 + 1).unwrap();
    let error = sealed.open(&ring.identities(), NOW).err().unwrap();
    assert_eq!(error.reason(), Reason::SeqInFuture);
    assert!(sealed.open(&ring.identities(), NOW + 1).is_ok());
}
