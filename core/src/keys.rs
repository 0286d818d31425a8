//! Identities (private), recipients (public) and their short ids.
//!
//! A short id is a label for people and a hint for look-up. Trust decisions compare the full
//! recipient string, never the id: four bytes can be made to collide.

use std::{collections::BTreeMap, fmt, str::FromStr};

use age::secrecy::ExposeSecret;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::Secret;

/// What is wrong with the text of a key. Never says what the text was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not an `age1…` X25519 recipient in canonical spelling.
    #[error("not an age X25519 recipient (age1…, 62 characters, lower case)")]
    MalformedRecipient,
    /// A private key stands where a public one belongs.
    #[error(
        "this is a private key; a recipient (age1…) belongs here. Remove it, and replace the key: it has been exposed"
    )]
    PrivateKeyGiven,
    /// Not exactly one `AGE-SECRET-KEY-1…` line.
    #[error("not an age X25519 identity (one AGE-SECRET-KEY-1… line; lines that begin with # are comments)")]
    MalformedIdentity,
    /// A recipient's name is not `[a-z0-9]([a-z0-9-]*[a-z0-9])?` of at most 40 characters.
    #[error("a recipient's name takes lower-case letters, digits and inner dashes, 40 at most")]
    MalformedName,
}

/// First four bytes of SHA-256 of a recipient's string, shown as eight hex digits. A label.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 4]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 8 || !text.bytes().all(lower_hex) {
            return Err(KeyError::MalformedRecipient);
        }
        let id = u32::from_str_radix(text, 16).map_err(|_| KeyError::MalformedRecipient)?;
        Ok(Self(id.to_be_bytes()))
    }
}

/// A public key that values are sealed to: an age X25519 recipient, `age1…`.
#[derive(Clone)]
pub struct Recipient {
    key: age::x25519::Recipient,
    text: String,
}

impl Recipient {
    /// The short id, a label.
    pub fn id(&self) -> KeyId {
        let digest = Sha256::digest(self.text.as_bytes());
        KeyId([digest[0], digest[1], digest[2], digest[3]])
    }

    /// The `age1…` text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn age(&self) -> &age::x25519::Recipient {
        &self.key
    }
}

impl FromStr for Recipient {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.to_ascii_uppercase().contains("AGE-SECRET-KEY-") {
            return Err(KeyError::PrivateKeyGiven);
        }
        let key: age::x25519::Recipient = text.parse().map_err(|_| KeyError::MalformedRecipient)?;
        // One spelling only, so that strings can be compared.
        if key.to_string() != text {
            return Err(KeyError::MalformedRecipient);
        }
        Ok(Self { key, text: text.to_owned() })
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Recipient {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Recipient {}

impl PartialOrd for Recipient {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Recipient {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl std::hash::Hash for Recipient {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// A recipient with the name that `.waxwing.yaml` or a KeyRing gives it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedRecipient {
    name: String,
    recipient: Recipient,
}

impl NamedRecipient {
    /// Checks the name and joins the two.
    pub fn new(name: &str, recipient: Recipient) -> Result<Self, KeyError> {
        if !is_recipient_name(name) {
            return Err(KeyError::MalformedName);
        }
        Ok(Self { name: name.to_owned(), recipient })
    }

    /// The name, such as `prod-eu`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key.
    pub fn recipient(&self) -> &Recipient {
        &self.recipient
    }

    /// `NAME/ID`, as it stands in an envelope's `to` list.
    pub fn hint(&self) -> String {
        format!("{}/{}", self.name, self.recipient.id())
    }
}

/// Whether `name` can name a recipient: `[a-z0-9]([a-z0-9-]*[a-z0-9])?`, at most 40 characters.
pub fn is_recipient_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    !bytes.is_empty()
        && bytes.len() <= 40
        && bytes.iter().all(inner)
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
}

/// A private key: an age X25519 identity. Has no `Debug`.
#[derive(Clone)]
pub struct Identity {
    key: age::x25519::Identity,
    recipient: Recipient,
}

impl Identity {
    /// A new key from OS randomness.
    pub fn generate() -> Self {
        Self::from_age(age::x25519::Identity::generate())
    }

    /// Reads an identity file: exactly one `AGE-SECRET-KEY-1…` line; blank lines and lines that
    /// begin with `#` are passed over.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut keys = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (Some(line), None) = (keys.next(), keys.next()) else {
            return Err(KeyError::MalformedIdentity);
        };
        let key = line.parse().map_err(|_| KeyError::MalformedIdentity)?;
        Ok(Self::from_age(key))
    }

    fn from_age(key: age::x25519::Identity) -> Self {
        let public = key.to_public();
        let text = public.to_string();
        Self { key, recipient: Recipient { key: public, text } }
    }

    /// The `AGE-SECRET-KEY-1…` line, to be stored and nowhere else.
    pub fn to_text(&self) -> Secret {
        let text = self.key.to_string();
        Secret::new(text.expose_secret().as_bytes().to_vec())
    }

    /// The public key that is derived from this private one.
    pub fn recipient(&self) -> &Recipient {
        &self.recipient
    }

    /// The short id of the recipient.
    pub fn id(&self) -> KeyId {
        self.recipient.id()
    }

    /// HMAC-SHA256 of `message` under a key that only a holder of this identity can derive; each
    /// `label` gives an independent key. For facts that must be told apart without revealing
    /// them, and for marks that nobody else can forge.
    pub fn mac(&self, label: &str, message: &[u8]) -> [u8; 32] {
        let text = self.to_text();
        let mut key = Zeroizing::new([0; 32]);
        // Why exposed: the MAC key is derived from the private key itself.
        Hkdf::<Sha256>::new(Some(b"waxwing/mac"), text.expose())
            .expand(label.as_bytes(), key.as_mut_slice())
            .expect("32 bytes are within HKDF's limit");
        let mut mac =
            <Hmac<Sha256> as KeyInit>::new_from_slice(key.as_slice()).expect("HMAC takes keys of any length");
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    /// Whether `tag` is [`Self::mac`] of the same arguments, in constant time.
    pub fn mac_matches(&self, label: &str, message: &[u8], tag: &[u8]) -> bool {
        self.mac(label, message).as_slice().ct_eq(tag).into()
    }

    pub(crate) fn age(&self) -> &age::x25519::Identity {
        &self.key
    }
}

/// The identities that may be tried for one namespace, looked up by short id.
///
/// Two identities may share an id (ids are labels), so each id leads to a list.
#[derive(Clone, Default)]
pub struct Identities {
    by_id: BTreeMap<KeyId, Vec<Identity>>,
}

impl Identities {
    /// The identities with this short id.
    pub fn with_id(&self, id: KeyId) -> impl Iterator<Item = &Identity> {
        self.by_id.get(&id).into_iter().flatten()
    }

    /// The identity whose full recipient string is this one.
    pub fn for_recipient(&self, recipient: &Recipient) -> Option<&Identity> {
        self.with_id(recipient.id()).find(|identity| identity.recipient() == recipient)
    }

    /// All of them, ordered by id.
    pub fn iter(&self) -> impl Iterator<Item = &Identity> {
        self.by_id.values().flatten()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.values().map(Vec::len).sum()
    }

    /// Adds one; adding the same key twice changes nothing.
    pub fn insert(&mut self, identity: Identity) {
        let same_id = self.by_id.entry(identity.id()).or_default();
        if !same_id.iter().any(|known| known.recipient() == identity.recipient()) {
            same_id.push(identity);
        }
    }
}

impl FromIterator<Identity> for Identities {
    fn from_iter<I: IntoIterator<Item = Identity>>(identities: I) -> Self {
        let mut set = Self::default();
        identities.into_iter().for_each(|identity| set.insert(identity));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_being_written_and_read() {
        let identity = Identity::generate();
        let text = String::from_utf8(identity.to_text().expose().to_vec()).unwrap();
        let read = Identity::parse(&format!("# a comment\n\n{text}\n")).ok().unwrap();
        assert_eq!(read.recipient(), identity.recipient());
        assert_eq!(read.mac("a", b"x"), identity.mac("a", b"x"));
        assert_ne!(read.mac("b", b"x"), identity.mac("a", b"x"));
    }

    #[test]
    fn two_identities_in_one_file_are_refused() {
        let text = |i: &Identity| String::from_utf8(i.to_text().expose().to_vec()).unwrap();
        let (a, b) = (Identity::generate(), Identity::generate());
        let both = format!("{}\n{}\n", text(&a), text(&b));
        assert_eq!(Identity::parse(&both).err(), Some(KeyError::MalformedIdentity));
    }

    #[test]
    fn a_recipient_has_one_spelling() {
        let text = Identity::generate().recipient().to_string();
        assert!(text.parse::<Recipient>().is_ok());
        for bad in [text.to_uppercase(), format!(" {text}"), format!("{text}\n"), text[1..].to_owned()] {
            assert_eq!(bad.parse::<Recipient>().err(), Some(KeyError::MalformedRecipient));
        }
    }

    #[test]
    fn a_private_key_given_as_a_recipient_is_named_as_such_and_not_echoed() {
        let secret = Identity::generate().to_text();
        let text = String::from_utf8(secret.expose().to_vec()).unwrap();
        let error = text.to_lowercase().parse::<Recipient>().unwrap_err();
        assert_eq!(error, KeyError::PrivateKeyGiven);
        assert!(!error.to_string().contains(&text[20..]));
    }

    #[test]
    fn names_of_recipients_are_checked() {
        for good in ["a", "prod-eu", "0", &"a".repeat(40)] {
            assert!(is_recipient_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a/b", "a b", &"a".repeat(41)] {
            assert!(!is_recipient_name(bad), "{bad}");
        }
    }
}
