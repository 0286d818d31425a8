//! Envelopes: a data key wrapped to all recipients as one binary age v1 file.
//!
//! The file's plaintext is `"wax1/dek\0" || DEK`. Its header is scanned for limits before the
//! `age` crate sees it, because that crate's parser is quadratic in the size of a header.

use std::{
    fmt,
    io::{Read, Write},
    str::FromStr,
};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use subtle::ConstantTimeEq;
use waxwing_crds::EnvelopeSpec;
use zeroize::Zeroizing;

use super::{EnvelopeId, FormatError, OpenError, SealError, dek::Dek, limits};
use crate::keys::{Identities, Identity, KeyId, NamedRecipient, is_recipient_name};

/// What stands before the data key in the age file's plaintext.
const DEK_TAG: &[u8; 9] = b"wax1/dek\0";

/// For whom an envelope says it is: `NAME/ID`. A hint for look-up and lint, never evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The recipient's name.
    pub name: String,
    /// The short id of its public key.
    pub id: KeyId,
}

impl FromStr for Hint {
    type Err = EnvelopeFault;

    fn from_str(text: &str) -> Result<Self, EnvelopeFault> {
        let (name, id) = text.split_once('/').ok_or(EnvelopeFault::MalformedHint)?;
        let id = id.parse().map_err(|_| EnvelopeFault::MalformedHint)?;
        if !is_recipient_name(name) {
            return Err(EnvelopeFault::MalformedHint);
        }
        Ok(Self { name: name.to_owned(), id })
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.id)
    }
}

/// What is wrong with an envelope's text; found without any key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeFault {
    /// `commit` is not 32 bytes in base64url without padding.
    #[error("commit is not 43 characters of canonical base64url")]
    MalformedCommit,
    /// The map key is not what `commit` gives.
    #[error("its name is not the beginning of its commitment")]
    WrongId,
    /// `age` is not canonical base64.
    #[error("age is not canonical base64")]
    MalformedAge,
    /// `age` does not begin with an age v1 header.
    #[error("age is not a binary age v1 file")]
    NotAnAgeFile,
    /// A stanza that asks for a passphrase: opening it would cost seconds by design.
    #[error("it holds a passphrase (scrypt) stanza, which is never accepted")]
    Passphrase,
    /// A hint in `to` is not `NAME/ID`.
    #[error("a recipient in to is not NAME/ID")]
    MalformedHint,
    /// More than [`limits::ENVELOPE_BYTES`].
    #[error("more than {} bytes", limits::ENVELOPE_BYTES)]
    TooLarge,
    /// More than [`limits::STANZAS`].
    #[error("more than {} recipient stanzas", limits::STANZAS)]
    TooManyStanzas,
}

impl EnvelopeFault {
    /// Whether it is a limit rather than a malformed text.
    pub(super) fn is_limit(self) -> bool {
        matches!(self, Self::TooLarge | Self::TooManyStanzas)
    }
}

/// One envelope, parsed and within limits; nothing about it is proven before it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    commit: [u8; 32],
    to: Vec<Hint>,
    age: Vec<u8>,
    stanzas: Stanzas,
}

/// How many stanzas a header has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stanzas {
    all: usize,
    /// Those that are not the random one that age adds to keep readers tolerant.
    readers: usize,
}

/// What may still be spent on curve operations for one object, in stanzas tried with one
/// identity each. Hints are the attacker's to write, so an identity that they lead to counts too.
pub(super) struct Tries(usize);

impl Tries {
    pub(super) fn new() -> Self {
        Self::of(limits::UNWRAP_TRIES)
    }

    pub(super) fn of(stanzas: usize) -> Self {
        Self(stanzas)
    }

    fn spend(&mut self, stanzas: usize) -> Result<(), OpenError> {
        self.0 = self.0.checked_sub(stanzas).ok_or(OpenError::TooManyTries)?;
        Ok(())
    }
}

impl Envelope {
    /// For whom it says it is.
    pub fn to(&self) -> &[Hint] {
        &self.to
    }

    /// How many can open it, by the count of its stanzas. An honest envelope names as many in [`Self::to`]; that the
    /// numbers agree proves nothing.
    pub fn readers(&self) -> usize {
        self.stanzas.readers
    }

    /// Whether it says that it is for the key with this short id.
    pub fn names(&self, id: KeyId) -> bool {
        self.to.iter().any(|hint| hint.id == id)
    }

    /// Whether it names as many as can open it. If not, anybody may be among its readers.
    pub fn names_as_many_as_open(&self) -> bool {
        self.readers() == self.to.len()
    }

    /// Whether its hints are exactly these recipients' keys, in any order and under any names, and as many can open it.
    pub(super) fn says_it_is_for(&self, recipients: &[NamedRecipient]) -> bool {
        let mut named: Vec<KeyId> = self.to.iter().map(|hint| hint.id).collect();
        let mut wanted: Vec<KeyId> = recipients.iter().map(|named| named.recipient().id()).collect();
        named.sort();
        wanted.sort();
        // As many stanzas as names: a further one would be a reader that nobody has named.
        self.names_as_many_as_open() && named == wanted
    }

    /// Calls the recipients what they are called now. Whether anything differed.
    pub(super) fn write_hints(&mut self, recipients: &[NamedRecipient]) -> bool {
        let to = hints(recipients);
        let differ = self.to != to;
        self.to = to;
        differ
    }

    /// Parses and checks the text of one envelope, without cryptography.
    pub fn parse(id: EnvelopeId, spec: &EnvelopeSpec) -> Result<Self, FormatError> {
        Self::checked(id, spec).map_err(|fault| FormatError::Envelope { envelope: id, fault })
    }

    fn checked(id: EnvelopeId, spec: &EnvelopeSpec) -> Result<Self, EnvelopeFault> {
        // Base64 makes four characters of three bytes: too long a text need not be decoded.
        if spec.age.len() > limits::ENVELOPE_BYTES.div_ceil(3) * 4 {
            return Err(EnvelopeFault::TooLarge);
        }
        if spec.to.len() > limits::STANZAS {
            return Err(EnvelopeFault::TooManyStanzas);
        }
        if spec.commit.len() != 43 {
            return Err(EnvelopeFault::MalformedCommit);
        }
        let commit: [u8; 32] = BASE64_URL_SAFE_NO_PAD
            .decode(&spec.commit)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(EnvelopeFault::MalformedCommit)?;
        if EnvelopeId::of(&commit) != id {
            return Err(EnvelopeFault::WrongId);
        }
        let age = BASE64_STANDARD.decode(&spec.age).map_err(|_| EnvelopeFault::MalformedAge)?;
        if age.len() > limits::ENVELOPE_BYTES {
            return Err(EnvelopeFault::TooLarge);
        }
        let stanzas = count_stanzas(&age)?;
        let to = spec.to.iter().map(|hint| hint.parse()).collect::<Result<_, _>>()?;
        Ok(Self { commit, to, age, stanzas })
    }

    /// The text form.
    pub fn spec(&self) -> EnvelopeSpec {
        EnvelopeSpec {
            commit: BASE64_URL_SAFE_NO_PAD.encode(self.commit),
            to: self.to.iter().map(ToString::to_string).collect(),
            age: BASE64_STANDARD.encode(&self.age),
        }
    }

    /// Wraps a data key to all recipients.
    pub(super) fn wrap(dek: &Dek, recipients: &[NamedRecipient]) -> Result<Self, SealError> {
        if recipients.is_empty() {
            return Err(SealError::NoRecipients);
        }
        // One stanza is left for the random one that age adds.
        if recipients.len() >= limits::STANZAS {
            return Err(SealError::TooManyRecipients);
        }
        for (i, one) in recipients.iter().enumerate() {
            let twice =
                |other: &NamedRecipient| other.name() == one.name() || other.recipient() == one.recipient();
            if recipients[..i].iter().any(twice) {
                return Err(SealError::DuplicateRecipient { name: one.name().to_owned() });
            }
        }
        let mut payload = Zeroizing::new([0; DEK_TAG.len() + 32]);
        payload[..DEK_TAG.len()].copy_from_slice(DEK_TAG);
        payload[DEK_TAG.len()..].copy_from_slice(dek.bytes().as_slice());

        let keys = recipients.iter().map(|r| r.recipient().age() as &dyn age::Recipient);
        let encryptor =
            age::Encryptor::with_recipients(keys).expect("X25519 recipients, at least one, never conflict");
        let mut file = Vec::with_capacity(256 + 128 * recipients.len());
        encryptor
            .wrap_output(&mut file)
            .and_then(|mut writer| {
                writer.write_all(payload.as_slice())?;
                writer.finish().map(|_| ())
            })
            .expect("writing to memory does not fail");
        let to = hints(recipients);
        let stanzas = count_stanzas(&file).expect("age writes a header within the limits");
        Ok(Self { commit: *dek.commit(), to, age: file, stanzas })
    }

    /// Unwraps the data key with one of `identities`, the hinted ones first, and checks it
    /// against the commitment. Says which identity opened it.
    ///
    /// Every failure is final for this envelope: a stanza that is addressed to us and malformed
    /// fails closed even if another one might open.
    pub(super) fn unwrap(
        &self,
        id: EnvelopeId,
        identities: &Identities,
        tries: &mut Tries,
    ) -> Result<(Dek, KeyId), OpenError> {
        let hinted = |identity: &&Identity| self.to.iter().any(|hint| hint.id == identity.id());
        let first = self.to.iter().flat_map(|hint| identities.with_id(hint.id));
        let rest = identities.iter().filter(|identity| !hinted(identity));
        for identity in first.chain(rest) {
            tries.spend(self.stanzas.all)?;
            if let Some(dek) = self.unwrap_with(id, identity)? {
                return Ok((dek, identity.id()));
            }
        }
        let (hints, tried) = (self.to.clone(), identities.len());
        Err(OpenError::NoMatchingKey { envelope: id, hints, tried })
    }

    fn unwrap_with(&self, id: EnvelopeId, identity: &Identity) -> Result<Option<Dek>, OpenError> {
        let corrupt = |what| OpenError::CorruptEnvelope { envelope: id, what };
        let decryptor = age::Decryptor::new_buffered(self.age.as_slice())
            .map_err(|_| corrupt("its age header is malformed"))?;
        let reader = match decryptor.decrypt(std::iter::once(identity.age() as &dyn age::Identity)) {
            Ok(reader) => reader,
            Err(age::DecryptError::NoMatchingKeys) => return Ok(None),
            Err(_) => return Err(corrupt("its age header is malformed or was changed")),
        };
        // One byte more than a data key takes, so that a longer payload is noticed.
        let mut payload = Zeroizing::new(Vec::with_capacity(DEK_TAG.len() + 33));
        reader
            .take(DEK_TAG.len() as u64 + 33)
            .read_to_end(&mut payload)
            .map_err(|_| corrupt("its age payload was changed or cut short"))?;
        let key = payload
            .strip_prefix(DEK_TAG.as_slice())
            .and_then(|key| <[u8; 32]>::try_from(key).ok())
            .map(Zeroizing::new)
            .ok_or_else(|| corrupt("its payload is not a wax1 data key"))?;
        let dek = Dek::from_bytes(key);
        if dek.commit().ct_eq(&self.commit).into() {
            Ok(Some(dek))
        } else {
            Err(OpenError::CommitMismatch { envelope: id })
        }
    }
}

fn hints(recipients: &[NamedRecipient]) -> Vec<Hint> {
    let hint = |named: &NamedRecipient| Hint { name: named.name().to_owned(), id: named.recipient().id() };
    recipients.iter().map(hint).collect()
}

/// Walks the header's lines, counting stanzas, up to the MAC line. Linear, and no line is kept.
fn count_stanzas(file: &[u8]) -> Result<Stanzas, EnvelopeFault> {
    let mut rest = file.strip_prefix(b"age-encryption.org/v1\n").ok_or(EnvelopeFault::NotAnAgeFile)?;
    let mut stanzas = Stanzas::default();
    loop {
        let end = rest.iter().position(|&b| b == b'\n').ok_or(EnvelopeFault::NotAnAgeFile)?;
        let line = &rest[..end];
        rest = &rest[end + 1..];
        if line.starts_with(b"---") {
            break;
        }
        if let Some(stanza) = line.strip_prefix(b"-> ") {
            stanzas.all += 1;
            let tag = stanza.split(|&b| b == b' ').next().unwrap_or_default();
            stanzas.readers += usize::from(!tag.ends_with(b"-grease"));
            if stanzas.all > limits::STANZAS {
                return Err(EnvelopeFault::TooManyStanzas);
            }
            if tag == b"scrypt" {
                return Err(EnvelopeFault::Passphrase);
            }
        }
    }
    if stanzas.all == 0 { Err(EnvelopeFault::NotAnAgeFile) } else { Ok(stanzas) }
}
