//! PKCS#12 files, read back by a library that has nothing in common with what writes them.

use p12_keystore::{KeyStore, KeyStoreEntry, Pkcs12ImportPolicy};

use super::*;

fn file(source: &str, values: &Data) -> Vec<u8> {
    bytes(source, values).unwrap()
}

fn read(file: &[u8], password: &str) -> KeyStore {
    KeyStore::from_pkcs12(file, password, Pkcs12ImportPolicy::Strict).unwrap()
}

/// What is encoded in the only block of a text.
fn decoded(pem: &str) -> Vec<u8> {
    let inner: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    base64::Engine::decode(&base64::prelude::BASE64_STANDARD, inner).unwrap()
}

#[test]
fn a_keystore_has_the_key_and_its_certificates() {
    let store = read(&file("{{ pkcs12(cert, key, password, name='web') }}", &values()), "s3cr\"t/1");
    let entries: Vec<_> = store.entries().collect();
    let [(name, KeyStoreEntry::PrivateKeyChain(chain))] = &entries[..] else { panic!("{}", entries.len()) };
    assert_eq!(name.as_str(), "web");
    assert_eq!(chain.key().as_der(), decoded(KEY));
    let certificates: Vec<&[u8]> = chain.certs().iter().map(|certificate| certificate.as_der()).collect();
    assert_eq!(certificates, [decoded(CERT), decoded(CA)]);
}

#[test]
fn keys_of_every_form_get_in() {
    let values = data(&[
        ("cert", CERT.as_bytes()),
        ("ca", CA.as_bytes()),
        ("sec1", EC_KEY.as_bytes()),
        ("pkcs1", RSA_PKCS1.as_bytes()),
        ("pkcs8", RSA_KEY.as_bytes()),
    ]);
    let key_in = |source: &str| {
        let store = read(&file(source, &values), "pä€");
        let key = store.private_key_chain().map(|(_, chain)| chain.key().as_der().to_vec());
        key.unwrap()
    };
    assert_eq!(key_in("{{ pkcs12(cert, pkcs8, 'pä€') }}"), decoded(RSA_KEY));
    assert_eq!(key_in("{{ pkcs12(cert, pkcs1, 'pä€', ca=ca) }}"), decoded(RSA_KEY));
    // The same key, of which the one form says its curve inside and the other outside.
    let inner = decoded(EC_KEY.split_once("-----END EC PARAMETERS-----\n").unwrap().1);
    let key = key_in("{{ pkcs12(cert, sec1, 'pä€') }}");
    assert!(key.ends_with(&inner));
}

#[test]
fn a_truststore_has_certificates_alone() {
    let store = read(&file("{{ truststore(cert, 'changeit') }}", &values()), "changeit");
    let entries: Vec<_> = store
        .entries()
        .map(|(name, entry)| (name.to_owned(), matches!(entry, KeyStoreEntry::Certificate(_))))
        .collect();
    assert_eq!(entries.len(), 2);
    assert!(entries.iter().all(|(_, is_certificate)| *is_certificate));
}

#[test]
fn the_same_parts_give_the_same_bytes_and_others_other_salts() {
    let one = file("{{ pkcs12(cert, key, 'one') }}", &values());
    assert_eq!(one, file("{{ pkcs12(cert, key, 'one') }}", &values()));
    assert_ne!(one, file("{{ pkcs12(cert, key, 'one', name='x') }}", &values()));
    assert_ne!(one, file("{{ pkcs12(cert | cert_leaf, key, 'one') }}", &values()));
    assert!(KeyStore::from_pkcs12(&one, "two", Pkcs12ImportPolicy::Strict).is_err());
}

/// Guard: `File::new` leaves the password out of what salts are made of; else one could try passwords on a salt, fast.
#[test]
fn no_salt_depends_on_the_password() {
    let [one, other] =
        ["one", "two"].map(|password| file(&format!("{{{{ truststore(cert, '{password}') }}}}"), &values()));
    // The file ends with the salt of the MAC, and the number of rounds.
    assert_eq!(one[one.len() - 22..], other[other.len() - 22..]);
    assert_ne!(one, other);
}

#[test]
fn what_is_no_certificate_or_key_is_refused() {
    let values = data(&[
        ("cert", CERT.as_bytes()),
        ("key", KEY.as_bytes()),
        ("odd", b"-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----"),
        ("no", b"-----BEGIN PRIVATE KEY-----\nYWJj\n-----END PRIVATE KEY-----"),
        ("locked", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nYWJj\n-----END ENCRYPTED PRIVATE KEY-----"),
        ("sec1", b"-----BEGIN EC PRIVATE KEY-----\nYWJj\n-----END EC PRIVATE KEY-----"),
    ]);
    let fault = |source: &str| bytes(source, &values).unwrap_err().fault;
    for source in [
        "pkcs12(key, key, 'p')",
        "pkcs12(cert, cert, 'p')",
        "pkcs12(odd, key, 'p')",
        "pkcs12(cert, no, 'p')",
        "pkcs12(cert, locked, 'p')",
        "pkcs12(cert, sec1, 'p')",
        "pkcs12(cert, key, 'p', ca=odd)",
        "truststore(key, 'p')",
        "truststore('', 'p')",
    ] {
        assert_eq!(fault(&format!("{{{{ {source} }}}}")), Fault::NotKeyPair, "{source}");
    }
    assert_eq!(fault("{{ pkcs12(cert, key, '') }}"), Fault::BadCall);
}
