//! Backups of a ring's identities: one armored age file for the recovery recipients, with a JSON document inside.
//!
//! Stock `age --decrypt` opens it, and what comes out is for people, too (`docs/KEYS.md#the-backup-file`). age does not
//! say who wrote a file: whoever knows the recovery recipient can make one. So what a backup holds is a proposal, and
//! whoever restores it compares it with what is known from elsewhere. Everything in it is checked before it is shown:
//! its texts are printable ASCII.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    io::{BufReader, Read, Write},
};

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    Secret,
    keys::{Identities, Identity, Recipient},
};

/// What `kind` says.
const KIND: &str = "waxwing-backup";
/// The only value of `version`.
const VERSION: u64 = 1;
/// Bytes of a backup file: more than 512 keys take.
pub const FILE_BYTES: usize = 1024 * 1024;
/// Keys of one backup; a ring has 512 at most.
const KEYS: usize = 1024;
/// Characters of one text.
const TEXT: usize = 253;
/// Bytes that one key takes at most, with everything about it and the indentation.
const KEY_BYTES: usize = 4 * TEXT + 512;

/// The identities of one ring.
#[derive(Clone)]
pub struct Backup {
    /// Whose identities, and when.
    pub of: Origin,
    /// The identities.
    pub keys: Vec<Saved>,
}

/// What a backup says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The KeyRing's name.
    pub ring: String,
    /// The uid of the namespace `kube-system`, which tells clusters apart; empty where it could not be read.
    pub cluster: String,
    /// The namespace of the identity Secrets.
    pub namespace: String,
    /// When it was made.
    pub created_at: String,
}

/// One identity.
#[derive(Clone)]
pub struct Saved {
    /// The private key.
    pub identity: Identity,
    /// Its state in the ring, or `Trusted` for one that the ring did not make.
    pub state: String,
    /// When it was made; empty where nobody knows.
    pub created_at: String,
}

/// Why a file is no backup that can be used. Says nothing of what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The age file was changed or cut short.
    #[error("the age file was changed or cut short")]
    Corrupt,
    /// What was encrypted is not a backup of this version.
    #[error("it was opened, and is no Waxwing backup: {0}")]
    Malformed(&'static str),
    /// No identity opens it.
    #[error("none of the identities opens it")]
    NoMatchingKey,
    /// There is nobody to encrypt it for.
    #[error("a backup needs a recipient")]
    NoRecipients,
    /// Not an age file.
    #[error("not an age file")]
    NotAnAgeFile,
    /// Larger than any backup.
    #[error("more than {FILE_BYTES} bytes, more than a backup ever has")]
    TooLarge,
}

/// The document as it is written and read. Texts are borrowed, so that no private key is copied on the way.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    kind: &'a str,
    version: u64,
    key_ring: &'a str,
    #[serde(default)]
    cluster: &'a str,
    #[serde(default)]
    namespace: &'a str,
    created_at: &'a str,
    #[serde(borrow)]
    keys: Vec<Key<'a>>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Key<'a> {
    recipient: &'a str,
    state: &'a str,
    #[serde(default)]
    created_at: &'a str,
    identity: &'a str,
}

impl Backup {
    /// The armored age file. Only the private keys of `recipients` open it.
    pub fn encrypt(&self, recipients: &[Recipient]) -> Result<Vec<u8>, BackupError> {
        if recipients.is_empty() {
            return Err(BackupError::NoRecipients);
        }
        let text = self.document()?;
        let once: BTreeSet<&Recipient> = recipients.iter().collect();
        let keys = once.into_iter().map(|recipient| recipient.age() as &dyn age::Recipient);
        let encryptor =
            age::Encryptor::with_recipients(keys).expect("X25519 recipients, at least one, never conflict");
        let file = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor)
            .and_then(|armored| encryptor.wrap_output(armored))
            .and_then(|mut writer| {
                writer.write_all(&text)?;
                writer.finish()
            })
            .and_then(ArmoredWriter::finish)
            .expect("writing to memory does not fail");
        if file.len() > FILE_BYTES { Err(BackupError::TooLarge) } else { Ok(file) }
    }

    /// Opens a backup file. What it says is nobody's word: see the head of this module.
    pub fn open(file: &[u8], identities: &Identities) -> Result<Self, BackupError> {
        let decryptor = decryptor(file)?;
        let keys = identities.iter().map(|identity| identity.age() as &dyn age::Identity);
        let reader = match decryptor.decrypt(keys) {
            Ok(reader) => reader,
            Err(age::DecryptError::NoMatchingKeys) => return Err(BackupError::NoMatchingKey),
            Err(_) => return Err(BackupError::Corrupt),
        };
        // As large as it can become, so that no unwiped copy is left behind.
        let mut text = Zeroizing::new(Vec::with_capacity(file.len() + 1));
        reader.take(file.len() as u64).read_to_end(&mut text).map_err(|_| BackupError::Corrupt)?;
        Self::read(&text)
    }

    fn document(&self) -> Result<Zeroizing<Vec<u8>>, BackupError> {
        // Why exposed: to be encrypted.
        let identities: Vec<Secret> = self.keys.iter().map(|key| key.identity.to_text()).collect();
        let document = Document {
            kind: KIND,
            version: VERSION,
            key_ring: checked(&self.of.ring)?,
            cluster: checked(&self.of.cluster)?,
            namespace: checked(&self.of.namespace)?,
            created_at: checked(&self.of.created_at)?,
            keys: self
                .keys
                .iter()
                .zip(&identities)
                .map(|(key, identity)| {
                    Ok(Key {
                        recipient: key.identity.recipient().as_str(),
                        state: checked(&key.state)?,
                        created_at: checked(&key.created_at)?,
                        identity: std::str::from_utf8(identity.expose()).expect("an identity is ASCII"),
                    })
                })
                .collect::<Result<_, BackupError>>()?,
        };
        let size = KEY_BYTES * (self.keys.len() + 2);
        let mut text = Zeroizing::new(Vec::with_capacity(size));
        serde_json::to_writer_pretty(&mut *text, &document).expect("strings and numbers can be written");
        text.push(b'\n');
        debug_assert!(text.len() <= size, "the buffer did not grow");
        Ok(text)
    }

    fn read(text: &[u8]) -> Result<Self, BackupError> {
        let malformed = BackupError::Malformed;
        // Errors of the parser would quote it.
        let document: Document<'_> =
            serde_json::from_slice(text).map_err(|_| malformed("not the JSON of a backup"))?;
        if document.kind != KIND {
            return Err(malformed("its kind is another"));
        }
        if document.version != VERSION {
            return Err(malformed("its version is not known here"));
        }
        if document.keys.len() > KEYS {
            return Err(malformed("it has more keys than any ring"));
        }
        let mut seen = BTreeSet::new();
        let mut keys = Vec::new();
        for key in &document.keys {
            let identity =
                Identity::parse(key.identity).map_err(|_| malformed("an identity is malformed"))?;
            if identity.recipient().as_str() != key.recipient {
                return Err(malformed("an identity belongs to another recipient than it says"));
            }
            if !seen.insert(key.recipient) {
                return Err(malformed("an identity is in it twice"));
            }
            let (state, created_at) = (checked(key.state)?.to_owned(), checked(key.created_at)?.to_owned());
            keys.push(Saved { identity, state, created_at });
        }
        let of = Origin {
            ring: checked(document.key_ring)?.to_owned(),
            cluster: checked(document.cluster)?.to_owned(),
            namespace: checked(document.namespace)?.to_owned(),
            created_at: checked(document.created_at)?.to_owned(),
        };
        Ok(Self { of, keys })
    }
}

/// For how many recipients a file is encrypted, by its header. Who they are, the header does not say.
pub fn readers(file: &[u8]) -> Result<usize, BackupError> {
    decryptor(file)?;
    let mut header = Vec::new();
    ArmoredReader::new(file)
        .take(FILE_BYTES as u64)
        .read_to_end(&mut header)
        .map_err(|_| BackupError::Corrupt)?;
    let lines = header.split(|byte| *byte == b'\n').take_while(|line| !line.starts_with(b"---"));
    Ok(lines.filter(|line| line.starts_with(b"-> X25519 ")).count())
}

fn decryptor(file: &[u8]) -> Result<age::Decryptor<ArmoredReader<BufReader<&[u8]>>>, BackupError> {
    if file.len() > FILE_BYTES {
        return Err(BackupError::TooLarge);
    }
    let decryptor =
        age::Decryptor::new_buffered(ArmoredReader::new(file)).map_err(|_| BackupError::NotAnAgeFile)?;
    // A passphrase is no recovery key, and trying one costs as much as the file says.
    if decryptor.is_scrypt() { Err(BackupError::NoMatchingKey) } else { Ok(decryptor) }
}

/// A text that may be shown on a terminal.
fn checked(text: &str) -> Result<&str, BackupError> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if plain && text.len() <= TEXT { Ok(text) } else { Err(BackupError::Malformed("a text is not plain")) }
}
