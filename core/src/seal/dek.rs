//! The data key of one sealing act, and everything that is derived from it.
//!
//! ```text
//! PRK    = HKDF-Extract-SHA256(salt = "wax1", ikm = DEK)
//! commit = HKDF-Expand(PRK, "wax1/commit", 32)
//! K      = HKDF-Expand(PRK, "wax1/value-key" || SHA-256(AAD), 32)
//! blob   = nonce || AES-256-GCM(K, nonce, plain, AAD)
//! ```
//! AES-GCM does not commit to its key: without `commit`, a crafted envelope could give two
//! recipients two data keys and with them two plaintexts of one token.

use aes_gcm::{Aes256Gcm, KeyInit, aead::AeadInOut};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Binding, DataKey, Token, padding, token::EnvelopeId};
use crate::{
    Secret,
    random::{self, NoRandomness},
};

/// A data key. Lives for one sealing act, or while one envelope is being opened.
pub(super) struct Dek {
    key: Zeroizing<[u8; 32]>,
    prk: Hkdf<Sha256>,
    commit: [u8; 32],
}

impl Dek {
    pub(super) fn generate() -> Result<Self, NoRandomness> {
        Ok(Self::from_bytes(Zeroizing::new(random::bytes()?)))
    }

    pub(super) fn from_bytes(key: Zeroizing<[u8; 32]>) -> Self {
        let prk = Hkdf::<Sha256>::new(Some(b"wax1"), key.as_slice());
        let mut commit = [0; 32];
        prk.expand(b"wax1/commit", &mut commit).expect("32 bytes are within HKDF's limit");
        Self { key, prk, commit }
    }

    pub(super) fn bytes(&self) -> &Zeroizing<[u8; 32]> {
        &self.key
    }

    /// The public commitment to this key.
    pub(super) fn commit(&self) -> &[u8; 32] {
        &self.commit
    }

    pub(super) fn id(&self) -> EnvelopeId {
        EnvelopeId::of(&self.commit)
    }

    fn cipher(&self, aad: &[u8]) -> Aes256Gcm {
        let mut key = Zeroizing::new([0; 32]);
        self.prk
            .expand_multi_info(&[b"wax1/value-key", &Sha256::digest(aad)], key.as_mut_slice())
            .expect("32 bytes are within HKDF's limit");
        Aes256Gcm::new(key.as_slice().try_into().expect("the key has 32 bytes"))
    }

    pub(super) fn seal(
        &self,
        binding: &Binding,
        key: &DataKey,
        seq: u64,
        value: &Secret,
    ) -> Result<Token, NoRandomness> {
        self.seal_padded(binding, key, seq, padding::pad(value))
    }

    /// Encrypts what [`padding::pad`] made (tests pass what it would never make).
    pub(super) fn seal_padded(
        &self,
        binding: &Binding,
        key: &DataKey,
        seq: u64,
        mut plain: Zeroizing<Vec<u8>>,
    ) -> Result<Token, NoRandomness> {
        let aad = binding.aad(key, seq, &self.commit);
        let nonce: [u8; 12] = random::bytes()?;
        self.cipher(&aad)
            .encrypt_in_place(&nonce.into(), &aad, &mut *plain)
            .expect("sizes are far below the limits of AES-GCM");
        let mut blob = Vec::with_capacity(12 + plain.len());
        blob.extend_from_slice(&nonce);
        blob.extend_from_slice(&plain);
        Ok(Token { envelope: self.id(), seq, blob })
    }

    /// The padded plaintext, or nothing if anything that the value is bound to differs.
    pub(super) fn open(&self, binding: &Binding, key: &DataKey, token: &Token) -> Option<Zeroizing<Vec<u8>>> {
        let aad = binding.aad(key, token.seq, &self.commit);
        let (nonce, sealed) = token.blob.split_first_chunk::<12>()?;
        let mut plain = Zeroizing::new(sealed.to_vec());
        self.cipher(&aad).decrypt_in_place(&(*nonce).into(), &aad, &mut *plain).ok().map(|()| plain)
    }
}
