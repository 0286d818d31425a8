//! PKCS#12 files (RFC 7292), as Java and OpenSSL read them: AES-256 by PBES2 (RFC 8018), and a MAC by SHA-256.
//!
//! The libraries that write such files draw their salts at random, and the Secret would change at each refresh. Here salts
//! and initialization vectors are made, by HKDF, of all that goes into the file but its password: so another content
//! never meets the same key and vector, and nobody can try passwords on a salt. The encryption is a library's; what is
//! written here is the frame around it.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use minijinja::Value;
use pkcs8::{
    ObjectIdentifier, PrivateKeyInfoRef,
    der::{
        AnyRef, Decode, Encode, Reader, SliceReader, Tag, TagNumber, Tagged,
        asn1::{ContextSpecific, OctetStringRef},
    },
    pkcs5::{EncryptionScheme, pbes2},
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{
    given,
    pem::{CERTIFICATE, blocks},
};
use crate::{
    Secret,
    template::external::{Fault, run::Run, value::Content},
};

type Made = Result<Value, Fault>;
type Bytes = Zeroizing<Vec<u8>>;

/// A private key, its certificate, and the certificates that lead to a root.
pub(super) fn keystore(run: &Run, arguments: &[Value]) -> Made {
    let [cert, key, password] = [0, 1, 2].map(|at| run.read(&arguments[at]));
    let (cert, key, password) = (cert?, key?, password?);
    let [ca, name] = [3, 4].map(|at| given(&arguments[at]).map(|value| run.read(value)).transpose());
    let (ca, name) = (ca?, name?);
    let mut certificates = certificates(cert.as_str()?)?;
    if let Some(ca) = &ca {
        certificates.extend(self::certificates(ca.as_str()?)?);
    }
    let (leaf, key) = (certificates.first().ok_or(Fault::NotKeyPair)?, private_key(key.as_str()?)?);
    let name = name.as_ref().map(Content::as_str).transpose()?;

    let mut parts: Vec<&[u8]> = certificates.iter().map(Secret::expose).collect();
    parts.extend([key.expose(), name.unwrap_or_default().as_bytes()]);
    let file = File::new(run, &parts, &password)?;
    // By this, readers see which certificate belongs to the key.
    let id =
        sequence(&[&oid(LOCAL_KEY_ID), &tlv(SET, &[&tlv(OCTETS, &[&Sha256::digest(leaf.expose())[..20]])])]);
    let attributes: Vec<Bytes> = name.map(friendly_name).into_iter().chain([id]).collect();
    let certs: Vec<Bytes> = certificates
        .iter()
        .enumerate()
        .map(|(at, certificate)| cert_bag(certificate, if at == 0 { &attributes } else { &[] }))
        .collect();
    let (scheme, encrypted) = file.encrypted("key", key.expose())?;
    let key = bag(SHROUDED_KEY_BAG, &sequence(&[&scheme, &tlv(OCTETS, &[&encrypted])]), &attributes);
    run.made(file.written(&certs, Some(&key))?)
}

/// Certificates that are trusted, without a private key.
pub(super) fn truststore(run: &Run, arguments: &[Value]) -> Made {
    let (certs, password) = (run.read(&arguments[0])?, run.read(&arguments[1])?);
    let certificates = certificates(certs.as_str()?)?;
    if certificates.is_empty() {
        return Err(Fault::NotKeyPair);
    }
    let parts: Vec<&[u8]> = certificates.iter().map(Secret::expose).collect();
    let file = File::new(run, &parts, &password)?;
    // Java takes a certificate for trusted by this attribute alone.
    let trusted = || sequence(&[&oid(TRUSTED_KEY_USAGE), &tlv(SET, &[&oid(ANY_KEY_USAGE)])]);
    let certs: Vec<Bytes> = (1..)
        .zip(&certificates)
        .map(|(at, certificate)| cert_bag(certificate, &[friendly_name(&format!("{at}")), trusted()]))
        .collect();
    run.made(file.written(&certs, None)?)
}

/// A file that is being made.
struct File<'a> {
    password: &'a str,
    /// Where salts and initialization vectors come from.
    derive: Hkdf<Sha256>,
}

impl<'a> File<'a> {
    fn new(run: &Run, parts: &[&[u8]], password: &'a Content) -> Result<Self, Fault> {
        let password = password.as_str()?;
        if password.is_empty() {
            return Err(Fault::BadCall);
        }
        // It takes less time than one hash of the usual cost.
        run.hash(1 << 10)?;
        let mut all = Sha256::new();
        for part in parts.iter().copied().chain([run.place().as_bytes()]) {
            all.update((part.len() as u64).to_be_bytes());
            all.update(part);
        }
        let derive = Hkdf::new(Some(b"waxwing.dev/pkcs12/v1"), &all.finalize());
        Ok(Self { password, derive })
    }

    fn salt<const N: usize>(&self, of: &str) -> [u8; N] {
        let mut salt = [0; N];
        self.derive.expand(of.as_bytes(), &mut salt).expect("HKDF gives some bytes");
        salt
    }

    /// How it is encrypted, and the result.
    fn encrypted(&self, of: &str, content: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Fault> {
        let (salt, iv) = (self.salt::<16>(&format!("{of} salt")), self.salt::<16>(&format!("{of} iv")));
        let parameters = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(ROUNDS, &salt, iv);
        let scheme = EncryptionScheme::from(parameters.map_err(|_| Fault::NotKeyPair)?);
        let encrypted = scheme.encrypt(self.password, content).map_err(|_| Fault::NotKeyPair)?;
        Ok((scheme.to_der().map_err(|_| Fault::NotKeyPair)?, encrypted))
    }

    fn written(&self, certs: &[Bytes], key: Option<&Bytes>) -> Result<Secret, Fault> {
        let (scheme, encrypted) = self.encrypted("certificates", &sequence(&slices(certs)))?;
        let info = sequence(&[&oid(DATA), &scheme, &tlv(CONTEXT, &[&encrypted])]);
        let certs = content_info(ENCRYPTED_DATA, &sequence(&[&tlv(INTEGER, &[&[0]]), &info]));
        let key = key.map(|key| content_info(DATA, &tlv(OCTETS, &[&sequence(&[key])])));
        let safe = sequence(&slices(&key.into_iter().chain([certs]).collect::<Vec<_>>()));

        let salt: [u8; 16] = self.salt("mac salt");
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&*mac_key(self.password, &salt)).expect("HMAC takes any key");
        mac.update(&safe);
        let digest = sequence(&[
            &sequence(&[&oid(SHA_256), &tlv(NULL, &[])]),
            &tlv(OCTETS, &[&mac.finalize().into_bytes()]),
        ]);
        let mac = sequence(&[&digest, &tlv(OCTETS, &[&salt]), &tlv(INTEGER, &[&ROUNDS.to_be_bytes()[2..]])]);
        let file = sequence(&[&tlv(INTEGER, &[&[3]]), &content_info(DATA, &tlv(OCTETS, &[&safe])), &mac]);
        Ok(Secret::from(file))
    }
}

/// RFC 7292, appendix B.2, for SHA-256 and a key of its size: the first block is all there is, so no block is added up.
fn mac_key(password: &str, salt: &[u8]) -> Zeroizing<[u8; 32]> {
    const BLOCK: usize = 64;
    let password =
        Zeroizing::new(password.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect::<Vec<u8>>());
    // Each is repeated until it fills whole blocks.
    let filled = |bytes: &[u8]| {
        let length = bytes.len().next_multiple_of(BLOCK);
        Zeroizing::new(bytes.iter().copied().cycle().take(length).collect::<Vec<u8>>())
    };
    let mut digest = Sha256::new();
    // 3 asks for a key of a MAC.
    digest.update([3; BLOCK]);
    digest.update(filled(salt));
    digest.update(filled(&password));
    let mut key = Zeroizing::new(<[u8; 32]>::from(digest.finalize()));
    for _ in 1..ROUNDS {
        key = Zeroizing::new(Sha256::digest(*key).into());
    }
    key
}

/// The certificates in a text.
fn certificates(text: &str) -> Result<Vec<Secret>, Fault> {
    let certificates = blocks(text)?.into_iter().filter(|block| block.kind == CERTIFICATE);
    certificates
        .map(|block| {
            let certificate = block.decoded()?;
            // Why exposed: whether it is one value of DER, as a certificate is.
            let any = AnyRef::from_der(certificate.expose());
            let is_sequence = any.is_ok_and(|any| any.tag() == Tag::Sequence);
            if is_sequence { Ok(certificate) } else { Err(Fault::NotKeyPair) }
        })
        .collect()
}

/// The first private key in a text, as PKCS#8.
fn private_key(text: &str) -> Result<Secret, Fault> {
    for block in blocks(text)? {
        // Why exposed: it is put into the form that the file wants.
        let key = match block.kind {
            "PRIVATE KEY" => block.decoded()?,
            "RSA PRIVATE KEY" => {
                let null = tlv(NULL, &[]);
                Secret::from(key_info(&[&oid(RSA), &null], block.decoded()?.expose()))
            }
            "EC PRIVATE KEY" => {
                let key = block.decoded()?;
                let curve = curve(key.expose()).map_err(|_| Fault::NotKeyPair)?;
                Secret::from(key_info(&[&oid(EC), &oid(curve)], key.expose()))
            }
            _ => continue,
        };
        return match PrivateKeyInfoRef::from_der(key.expose()) {
            Ok(_) => Ok(key),
            Err(_) => Err(Fault::NotKeyPair),
        };
    }
    Err(Fault::NotKeyPair)
}

fn key_info(algorithm: &[&[u8]], key: &[u8]) -> Bytes {
    sequence(&[&tlv(INTEGER, &[&[0]]), &sequence(algorithm), &tlv(OCTETS, &[key])])
}

/// The curve that a key of RFC 5915 names.
fn curve(key: &[u8]) -> pkcs8::der::Result<ObjectIdentifier> {
    let mut reader = SliceReader::new(key)?;
    reader.sequence(|reader| {
        u8::decode(reader)?;
        <&OctetStringRef>::decode(reader)?;
        let curve = ContextSpecific::<ObjectIdentifier>::decode_explicit(reader, TagNumber(0))?;
        let curve = curve.ok_or_else(|| reader.error(pkcs8::der::ErrorKind::Failed))?;
        reader.read_slice(reader.remaining_len())?;
        Ok(curve.value)
    })
}

fn cert_bag(certificate: &Secret, attributes: &[Bytes]) -> Bytes {
    // Why exposed: it goes into the file.
    let octets = tlv(OCTETS, &[certificate.expose()]);
    bag(CERT_BAG, &sequence(&[&oid(X509_CERTIFICATE), &tlv(EXPLICIT, &[&octets])]), attributes)
}

fn bag(of: ObjectIdentifier, content: &[u8], attributes: &[Bytes]) -> Bytes {
    let mut attributes = slices(attributes);
    // DER sorts a set.
    attributes.sort_unstable();
    let attributes = if attributes.is_empty() { Bytes::default() } else { tlv(SET, &attributes) };
    sequence(&[&oid(of), &tlv(EXPLICIT, &[content]), &attributes])
}

fn friendly_name(name: &str) -> Bytes {
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
    sequence(&[&oid(FRIENDLY_NAME), &tlv(SET, &[&tlv(BMP_STRING, &[&name])])])
}

fn content_info(of: ObjectIdentifier, content: &[u8]) -> Bytes {
    sequence(&[&oid(of), &tlv(EXPLICIT, &[content])])
}

fn sequence(parts: &[&[u8]]) -> Bytes {
    tlv(SEQUENCE, parts)
}

fn oid(oid: ObjectIdentifier) -> Bytes {
    tlv(OID, &[oid.as_bytes()])
}

/// One value of DER: what it is, how long, and its parts.
fn tlv(tag: u8, parts: &[&[u8]]) -> Bytes {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut value = Zeroizing::new(Vec::with_capacity(length + 6));
    value.push(tag);
    let digits = length.to_be_bytes();
    let significant = &digits[digits.iter().take_while(|digit| **digit == 0).count()..];
    match length {
        0..0x80 => value.push(length as u8),
        _ => {
            value.push(0x80 | significant.len() as u8);
            value.extend_from_slice(significant);
        }
    }
    parts.iter().for_each(|part| value.extend_from_slice(part));
    value
}

fn slices(parts: &[Bytes]) -> Vec<&[u8]> {
    parts.iter().map(|part| part.as_slice()).collect()
}

/// As many as Java makes. It has to fit two bytes, and to begin with a zero bit.
const ROUNDS: u32 = 10_000;

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const NULL: u8 = 0x05;
const OID: u8 = 0x06;
const BMP_STRING: u8 = 0x1e;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0] IMPLICIT OCTET STRING`.
const CONTEXT: u8 = 0x80;
/// `[0] EXPLICIT`.
const EXPLICIT: u8 = 0xa0;

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const ENCRYPTED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.6");
const SHROUDED_KEY_BAG: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.2");
const CERT_BAG: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.3");
const X509_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.22.1");
const FRIENDLY_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.20");
const LOCAL_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.21");
const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const TRUSTED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.113894.746875.1.1");
const ANY_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");
