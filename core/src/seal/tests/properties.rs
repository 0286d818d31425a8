//! The same promises on random input.

use super::*;

proptest! {
    #[test]
    fn round_trip(bytes in prop::collection::vec(any::<u8>(), 0..3000), name in "[a-zA-Z0-9_-]{1,40}") {
        let ring = Ring::new();
        let mut sealed = Sealed::empty(binding(Scope::Strict));
        let key = key(&name);
        sealed.seal(&[(key.clone(), Secret::new(bytes.clone()))], &ring.recipients, NOW).unwrap();
        let opened = sealed.open(&ring.identities(), NOW).ok().unwrap();
        prop_assert_eq!(opened.values()[&key].value.expose(), bytes.as_slice());
    }

    /// D10. Guard: every parser refuses or re-encodes to the same bytes.
    #[test]
    fn whatever_parses_prints_to_the_same_bytes(text in token_like()) {
        if let Ok(token) = text.parse::<Token>() {
            prop_assert_eq!(token.to_string(), text);
        }
    }

    #[test]
    fn whatever_envelope_parses_is_written_back_unchanged(age in prop::collection::vec(any::<u8>(), 0..200), commit in "[A-Za-z0-9_=-]{42,44}", hint in "[a-z0-9/-]{0,20}") {
        let header = [b"age-encryption.org/v1\n-> X25519 x\n--- y\n".as_slice(), &age].concat();
        let spec = EnvelopeSpec { commit: commit.clone(), to: vec![hint], age: BASE64_STANDARD.encode(header) };
        if let Ok(bytes) = BASE64_URL_SAFE_NO_PAD.decode(&commit)
            && let Ok(bytes) = <[u8; 32]>::try_from(bytes)
            && let Ok(envelope) = Envelope::parse(EnvelopeId::of(&bytes), &spec)
        {
            prop_assert_eq!(envelope.spec(), spec);
        }
    }

    #[test]
    fn no_text_makes_parsing_panic(format in ".{0,6}", scope in ".{0,10}", kind in ".{0,20}", id in ".{0,10}", commit in ".{0,50}", age in ".{0,80}", key in ".{0,10}", token in ".{0,200}") {
        let envelope = EnvelopeSpec { commit, to: vec![kind.clone()], age };
        for format in [format, "wax1".to_owned()] {
            for scope in [scope.clone(), "strict".to_owned()] {
                let spec = SealedSecretSpec {
                    format: format.clone(),
                    scope,
                    secret_type: kind.clone(),
                    envelopes: BTreeMap::from([(id.clone(), envelope.clone())]),
                    data: BTreeMap::from([(key.clone(), token.clone())]),
                    ..Default::default()
                };
                let _ = parse(&spec);
            }
        }
    }
}

/// Texts near the token grammar, so that a fair share parses.
fn token_like() -> impl Strategy<Value = String> {
    let id = prop_oneof!["[a-z2-7]{8}", "[A-Za-z0-9]{7,9}"];
    let seq = prop_oneof!["0", "[1-9][0-9]{0,15}", "0[0-9]{1,3}", "[+-]?[0-9]{1,18}"];
    let blob = prop_oneof![
        prop::collection::vec(any::<u8>(), 92).prop_map(|b| BASE64_URL_SAFE_NO_PAD.encode(b)),
        "[A-Za-z0-9_-]{123}",
        "[A-Za-z0-9_=+/-]{0,200}",
    ];
    (id, seq, blob).prop_map(|(id, seq, blob)| format!("wax1.{id}.{seq}.{blob}"))
}
