//! What is refused because it was moved or changed, and what a token does not show.

use super::*;

#[test]
fn what_was_sealed_opens_and_says_by_which_key() {
    let ring = Ring::new();
    let opened = parse(&spec(&sealed(&ring))).unwrap().open(&ring.identities(), NOW).ok().unwrap();
    let values: Vec<_> = opened.values().iter().map(|(k, v)| (k.as_str(), v.value.expose())).collect();
    assert_eq!(values, [("a", b"alpha".as_slice()), ("b", b"beta".as_slice())]);
    assert!(opened.values().values().all(|v| v.opened_by == ring.identity.id()));
    assert_eq!(opened.binding(), &binding(Scope::Strict));
}

/// C01. Guard: the namespace in the AAD (`Binding::aad`).
#[test]
fn a_resource_copied_to_another_namespace_is_refused() {
    let ring = Ring::new();
    let spec = spec(&sealed(&ring));
    assert_eq!(refused(&spec, ("other", "receivers"), &ring), Some(Reason::BindingMismatch));
    assert_eq!(refused(&spec, HERE, &ring), None);
}

/// C02. Guard: the name in the AAD (`Binding::aad`).
#[test]
fn a_renamed_strict_resource_is_refused_and_a_namespace_scoped_one_opens() {
    let ring = Ring::new();
    let strict = spec(&sealed(&ring));
    assert_eq!(refused(&strict, ("monitoring", "other"), &ring), Some(Reason::BindingMismatch));

    let mut wide = Sealed::empty(binding(Scope::Namespace));
    wide.seal(&[(key("a"), value("x"))], &ring.recipients, NOW).unwrap();
    assert_eq!(refused(&spec(&wide), ("monitoring", "other"), &ring), None);
    assert_eq!(refused(&spec(&wide), ("other", "other"), &ring), Some(Reason::BindingMismatch));

    let mut widest = Sealed::empty(binding(Scope::Cluster));
    widest.seal(&[(key("a"), value("x"))], &ring.recipients, NOW).unwrap();
    assert_eq!(refused(&spec(&widest), ("other", "other"), &ring), None);
}

/// C03. Guard: the key name in the AAD (`Binding::aad`).
#[test]
fn swapped_values_are_refused() {
    let ring = Ring::new();
    let mut spec = spec(&sealed(&ring));
    let (a, b) = (spec.data["a"].clone(), spec.data["b"].clone());
    spec.data.insert("a".to_owned(), b);
    spec.data.insert("b".to_owned(), a);
    assert_eq!(refused(&spec, HERE, &ring), Some(Reason::BindingMismatch));
}

/// C04. Guard: the Secret type in the AAD (`Binding::aad`).
#[test]
fn a_changed_type_is_refused() {
    let ring = Ring::new();
    let mut spec = spec(&sealed(&ring));
    spec.secret_type = "kubernetes.io/basic-auth".to_owned();
    assert_eq!(refused(&spec, HERE, &ring), Some(Reason::BindingMismatch));
}

/// C05. Guard: the scope in the AAD (`Binding::aad`).
#[test]
fn a_changed_scope_is_refused_in_every_direction() {
    let ring = Ring::new();
    let scopes = [Scope::Strict, Scope::Namespace, Scope::Cluster];
    for from in scopes {
        let mut sealed = Sealed::empty(binding(from));
        sealed.seal(&[(key("a"), value("x"))], &ring.recipients, NOW).unwrap();
        for to in scopes {
            let mut spec = spec(&sealed);
            spec.scope = to.to_string();
            let expected = (from != to).then_some(Reason::BindingMismatch);
            assert_eq!(refused(&spec, HERE, &ring), expected, "{from} -> {to}");
        }
    }
}

/// C07. Guard: the sequence number in the AAD (`Binding::aad`).
#[test]
fn an_edited_sequence_number_is_refused() {
    let ring = Ring::new();
    let mut spec = spec(&sealed(&ring));
    let token = spec.data["a"].replace(&NOW.to_string(), &(NOW + 1).to_string());
    spec.data.insert("a".to_owned(), token);
    assert_eq!(refused(&spec, HERE, &ring), Some(Reason::BindingMismatch));
}

/// C08. Guard: the commitment in the AAD and the value key's dependence on the data key (`Dek`).
#[test]
fn a_value_pointed_at_another_envelope_is_refused() {
    let ring = Ring::new();
    let mut two = sealed(&ring);
    two.seal(&[(key("c"), value("gamma"))], &ring.recipients, NOW).unwrap();
    let mut spec = spec(&two);
    let other = spec.data["c"].split('.').nth(1).unwrap().to_owned();
    let own = spec.data["a"].split('.').nth(1).unwrap().to_owned();
    let token = spec.data["a"].replace(&own, &other);
    spec.data.insert("a".to_owned(), token);
    assert_eq!(refused(&spec, HERE, &ring), Some(Reason::BindingMismatch));

    let gone = spec.data["c"].replace(&other, "aaaaaaaa");
    spec.data.insert("c".to_owned(), gone);
    assert_eq!(refused(&spec, HERE, &ring), Some(Reason::InvalidSpec));
}

/// An envelope whose age file holds `payload`, under the commitment of `dek`.
fn envelope_with(dek: &Dek, payload: &[u8], ring: &Ring) -> EnvelopeSpec {
    let file = age::encrypt(ring.identity.recipient().age(), payload).unwrap();
    let mut spec = Envelope::wrap(dek, &ring.recipients).unwrap().spec();
    spec.age = BASE64_STANDARD.encode(file);
    spec
}

fn tagged(dek: &Dek) -> Vec<u8> {
    [b"wax1/dek\0".as_slice(), dek.bytes().as_slice()].concat()
}

/// C09. Guard: the commitment is recomputed from the unwrapped key (`Envelope::unwrap_with`).
#[test]
fn an_envelope_that_holds_another_data_key_than_it_commits_to_is_refused() {
    let ring = Ring::new();
    let (named, held) = (Dek::generate().unwrap(), Dek::generate().unwrap());
    let mut spec = spec(&Sealed::empty(binding(Scope::Strict)));
    // The value is sealed under the key that is really held, for the commitment that is shown:
    // without the check it would open.
    let token = held.seal(&binding(Scope::Strict), &key("a"), 1, &value("x")).unwrap();
    let text = token.to_string().replace(held.id().as_str(), named.id().as_str());
    spec.data.insert("a".to_owned(), text);
    spec.envelopes.insert(named.id().to_string(), envelope_with(&named, &tagged(&held), &ring));
    assert_eq!(refused(&spec, HERE, &ring), Some(Reason::CommitMismatch));
}

/// C10. Guard: `Envelope::parse` compares the map key with the commitment.
#[test]
fn an_envelope_under_another_name_is_refused() {
    let ring = Ring::new();
    let mut spec = spec(&sealed(&ring));
    let (id, envelope) = spec.envelopes.pop_first().unwrap();
    spec.envelopes.insert("aaaaaaaa".to_owned(), envelope);
    for token in spec.data.values_mut() {
        *token = token.replace(&id, "aaaaaaaa");
    }
    assert_eq!(refused(&spec, HERE, &ring), Some(Reason::InvalidSpec));
}

/// C11. Guard: tag and length of the age payload (`Envelope::unwrap_with`).
#[test]
fn an_age_file_that_is_no_wax1_data_key_is_refused() {
    let ring = Ring::new();
    let dek = Dek::generate().unwrap();
    let token = dek.seal(&binding(Scope::Strict), &key("a"), 1, &value("x")).unwrap();
    let with = |payload: &[u8]| {
        let mut spec = spec(&Sealed::empty(binding(Scope::Strict)));
        spec.data.insert("a".to_owned(), token.to_string());
        spec.envelopes.insert(dek.id().to_string(), envelope_with(&dek, payload, &ring));
        refused(&spec, HERE, &ring)
    };
    let good = tagged(&dek);
    assert_eq!(with(&good), None);
    let other_tag = [b"wax2/dek\0".as_slice(), dek.bytes().as_slice()].concat();
    let longer = [good.as_slice(), b"\0"].concat();
    for bad in [dek.bytes().as_slice(), &good[..40], &longer, &other_tag, b""] {
        assert_eq!(with(bad), Some(Reason::Corrupt), "{} bytes", bad.len());
    }
}

/// C12. Guard: GCM, the age header's MAC and payload tags, and canonical text.
#[test]
fn every_flipped_bit_of_a_resource_is_refused() {
    let ring = Ring::new();
    let good = spec(&sealed(&ring));
    let flip_base64 = |text: &str, byte: usize, bit: u8, standard: bool| {
        let engine: &dyn Fn(&[u8]) -> String =
            if standard { &|b| BASE64_STANDARD.encode(b) } else { &|b| BASE64_URL_SAFE_NO_PAD.encode(b) };
        let mut bytes = if standard {
            BASE64_STANDARD.decode(text).unwrap()
        } else {
            BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
        };
        let index = byte % bytes.len();
        bytes[index] ^= 1 << bit;
        engine(&bytes)
    };
    let (id, envelope) = good.envelopes.first_key_value().unwrap();
    let (head, blob) = good.data["a"].rsplit_once('.').unwrap();
    for byte in 0..BASE64_STANDARD.decode(&envelope.age).unwrap().len() {
        let mut bad = good.clone();
        let age = flip_base64(&envelope.age, byte, (byte % 8) as u8, true);
        bad.envelopes.get_mut(id).unwrap().age = age;
        assert!(refused(&bad, HERE, &ring).is_some(), "byte {byte} of the age file");
    }
    for byte in 0..92 {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad.data.insert("a".to_owned(), format!("{head}.{}", flip_base64(blob, byte, bit, false)));
            assert!(refused(&bad, HERE, &ring).is_some(), "bit {bit} of byte {byte} of the blob");
        }
    }
    for byte in 0..32 {
        let mut bad = good.clone();
        let commit = flip_base64(&envelope.commit, byte, 0, false);
        bad.envelopes.get_mut(id).unwrap().commit = commit;
        assert!(refused(&bad, HERE, &ring).is_some(), "byte {byte} of the commitment");
    }
}

/// C13. Guard: `padding::unpad`; here through a value whose plaintext is sealed by hand.
#[test]
fn a_value_with_bad_padding_is_refused_after_it_authenticates() {
    let ring = Ring::new();
    let sealed = sealed(&ring);
    let (dek, _) = sealed
        .envelopes()
        .iter()
        .next()
        .map(|(id, e)| e.unwrap(*id, &ring.identities(), &mut envelope::Tries::new()).ok().unwrap())
        .unwrap();
    for plain in [[0xff; 64], [1; 64]] {
        let token = dek
            .seal_padded(&binding(Scope::Strict), &key("a"), 1, zeroize::Zeroizing::new(plain.to_vec()))
            .unwrap();
        let mut spec = spec(&sealed);
        spec.data.insert("a".to_owned(), token.to_string());
        let sealed = parse(&spec).unwrap();
        let error = sealed.open(&ring.identities(), NOW).err().unwrap();
        assert_eq!(error, OpenError::BadPadding { key: key("a") });
    }
}

/// C15. Guard: `Sealed::parse` knows one format and negotiates none.
#[test]
fn another_format_is_refused_by_name() {
    let ring = Ring::new();
    for format in ["", "wax2", "WAX1", "wax1 "] {
        let mut spec = spec(&sealed(&ring));
        spec.format = format.to_owned();
        assert_eq!(refused(&spec, HERE, &ring), Some(Reason::UnsupportedFormat), "{format:?}");
    }
}

/// C16. Guard: `padding::padded_len`.
#[test]
fn tokens_of_all_values_up_to_60_bytes_have_one_length() {
    let ring = Ring::new();
    let token_len = |len: usize| {
        let mut sealed = Sealed::empty(binding(Scope::Strict));
        sealed.seal(&[(key("a"), Secret::new(vec![b'x'; len]))], &ring.recipients, NOW).unwrap();
        spec(&sealed).data["a"].rsplit_once('.').unwrap().1.len()
    };
    assert!((0..=60).all(|len| token_len(len) == 123));
    assert_eq!(token_len(61), (12_usize + 128 + 16).div_ceil(3) * 4);
}

/// C18. Guard: a fresh data key for each sealing act and a fresh nonce for each value.
#[test]
fn equal_values_have_unrelated_tokens() {
    let ring = Ring::new();
    let mut sealed = Sealed::empty(binding(Scope::Strict));
    let same = || value("the same value");
    sealed.seal(&[(key("a"), same()), (key("b"), same())], &ring.recipients, NOW).unwrap();
    sealed.seal(&[(key("c"), same())], &ring.recipients, NOW).unwrap();
    let blobs: Vec<_> = sealed.tokens().values().map(|token| token.blob.clone()).collect();
    for (i, one) in blobs.iter().enumerate() {
        for other in &blobs[..i] {
            let common = one.iter().zip(other).filter(|(x, y)| x == y).count();
            // 92 random bytes agree in 0.36 places on average; 12 or more has odds below 1e-13.
            assert!(common < 12, "{common} bytes agree");
        }
    }
}
