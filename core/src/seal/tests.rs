//! The format's promises, one test each; ids are those of `SECURITY.md`.

use std::collections::BTreeMap;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use proptest::prelude::*;
use waxwing_crds::{EnvelopeSpec, Reason, SealedSecretSpec};

use super::{dek::Dek, *};
use crate::{
    Secret,
    keys::{Identities, Identity, NamedRecipient},
};

const NOW: i64 = 1_789_000_000;

struct Ring {
    identity: Identity,
    recipients: Vec<NamedRecipient>,
}

impl Ring {
    fn new() -> Self {
        let identity = Identity::generate();
        let recipients = vec![named("prod-eu", &identity)];
        Self { identity, recipients }
    }

    fn identities(&self) -> Identities {
        Identities::from_iter([self.identity.clone()])
    }
}

fn named(name: &str, identity: &Identity) -> NamedRecipient {
    NamedRecipient::new(name, identity.recipient().clone()).unwrap()
}

fn key(name: &str) -> DataKey {
    name.parse().unwrap()
}

fn binding(scope: Scope) -> Binding {
    Binding {
        scope,
        namespace: "monitoring".to_owned(),
        name: "receivers".to_owned(),
        secret_type: "Opaque".to_owned(),
    }
}

fn value(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

/// Two values of one sealing act.
fn sealed(ring: &Ring) -> Sealed {
    let mut sealed = Sealed::empty(binding(Scope::Strict));
    let values = [(key("a"), value("alpha")), (key("b"), value("beta"))];
    sealed.seal(&values, &ring.recipients, NOW).unwrap();
    sealed
}

fn spec(sealed: &Sealed) -> SealedSecretSpec {
    let mut spec = SealedSecretSpec::default();
    sealed.write_into(&mut spec);
    spec
}

fn parse(spec: &SealedSecretSpec) -> Result<Sealed, FormatError> {
    Sealed::parse(spec, "monitoring", "receivers")
}

/// Parses as `namespace/name` and opens: the reason why it does not.
fn refused(spec: &SealedSecretSpec, place: (&str, &str), ring: &Ring) -> Option<Reason> {
    match Sealed::parse(spec, place.0, place.1) {
        Err(error) => Some(error.reason()),
        Ok(sealed) => sealed.open(&ring.identities(), NOW).err().map(|error| error.reason()),
    }
}

const HERE: (&str, &str) = ("monitoring", "receivers");

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
        let token = dek.seal_padded(&binding(Scope::Strict), &key("a"), 1, zeroize::Zeroizing::new(plain.to_vec())).unwrap();
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
    assert!(matches!(one.seal(&big(limits::OPENED_BYTES + 1), &ring.recipients, NOW), Err(SealError::Limit { .. })));
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
    let many: Identities =
        (0..1_000).map(|_| Identity::generate()).chain([ring.identity.clone()]).collect();
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
