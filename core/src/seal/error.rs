//! What can be wrong with sealed text, and what can go wrong when it is opened.
//!
//! Errors name the check that failed and the key it failed for, never content.

use waxwing_crds::Reason;

use super::{DataKey, EnvelopeId, Hint, envelope::EnvelopeFault, limits};
use crate::random::NoRandomness;

/// The text of a resource is not canonical `wax1`, or exceeds a limit. Found without any key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// An envelope is not as the format says.
    #[error("envelope {envelope}: {fault}")]
    Envelope {
        /// Which one.
        envelope: EnvelopeId,
        /// What is wrong with it.
        fault: EnvelopeFault,
    },
    /// A limit is exceeded.
    #[error("too much: {what} (the limit is {limit})")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: usize,
    },
    /// The key of an entry in `envelopes` is not eight base32 characters.
    #[error("a name under spec.envelopes is not eight characters of a-z and 2-7")]
    MalformedEnvelopeId,
    /// A key name is not `[-._a-zA-Z0-9]{1,253}`.
    #[error(
        "a key name is not 1 to 253 characters of letters, digits, '-', '_' and '.', or begins with '..'"
    )]
    MalformedKeyName,
    /// A value is not a canonical token.
    #[error("key {key}: not a canonical wax1 token")]
    MalformedToken {
        /// Which value.
        key: DataKey,
    },
    /// The Secret type is one that Waxwing never produces.
    #[error(
        "a Secret of type {secret_type} would be a credential for the cluster itself and is never produced"
    )]
    RefusedType {
        /// The type.
        secret_type: &'static str,
    },
    /// A value points to an envelope that is not there.
    #[error("key {key}: its envelope {envelope} is not in spec.envelopes")]
    UnknownEnvelope {
        /// Which value.
        key: DataKey,
        /// What it points to.
        envelope: EnvelopeId,
    },
    /// The scope is none of the three.
    #[error("scope is not one of strict, namespace, cluster")]
    UnknownScope,
    /// The Secret type is missing or not printable.
    #[error("type is empty, too long or has characters that a Secret type cannot have")]
    MalformedType,
    /// `spec.format` is not `wax1`.
    #[error("format is not wax1, the only one that this version opens")]
    UnsupportedFormat,
}

impl FormatError {
    /// The reason that conditions and metrics show.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Limit { .. } => Reason::LimitExceeded,
            Self::Envelope { fault, .. } if fault.is_limit() => Reason::LimitExceeded,
            Self::RefusedType { .. } => Reason::TypeRefused,
            Self::UnsupportedFormat => Reason::UnsupportedFormat,
            Self::Envelope { .. }
            | Self::MalformedEnvelopeId
            | Self::MalformedKeyName
            | Self::MalformedToken { .. }
            | Self::MalformedType
            | Self::UnknownEnvelope { .. }
            | Self::UnknownScope => Reason::InvalidSpec,
        }
    }

    /// The data key that the error is about, if it is about one.
    pub fn key(&self) -> Option<&DataKey> {
        match self {
            Self::MalformedToken { key } | Self::UnknownEnvelope { key, .. } => Some(key),
            _ => None,
        }
    }
}

/// A value does not open. The checks come in the order of `docs/FORMAT.md#opening`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No identity at hand unwraps the envelope.
    #[error("envelope {envelope}: none of the {tried} identities at hand opens it; it names {}", list(hints))]
    NoMatchingKey {
        /// Which envelope.
        envelope: EnvelopeId,
        /// For whom it says it is; a hint, no evidence.
        hints: Vec<Hint>,
        /// How many identities were tried.
        tried: usize,
    },
    /// The age file is broken, or its plaintext is no `wax1` data key.
    #[error("envelope {envelope}: {what}")]
    CorruptEnvelope {
        /// Which envelope.
        envelope: EnvelopeId,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The data key is not the one that `commit` names.
    #[error("envelope {envelope}: its data key is not the one that its commitment names")]
    CommitMismatch {
        /// Which envelope.
        envelope: EnvelopeId,
    },
    /// The value was sealed for another place, or was changed.
    #[error(
        "key {key}: sealed for another namespace, name, scope, type, key or sequence number, or changed since"
    )]
    BindingMismatch {
        /// Which value.
        key: DataKey,
    },
    /// The padding is not canonical.
    #[error("key {key}: its padding is not canonical")]
    BadPadding {
        /// Which value.
        key: DataKey,
    },
    /// The sequence number lies more than a day ahead of the clock.
    #[error("key {key}: its sequence number {seq} lies more than 24 hours ahead of the clock")]
    SeqInFuture {
        /// Which value.
        key: DataKey,
        /// Its number.
        seq: u64,
    },
    /// The envelopes would take too many curve operations.
    #[error(
        "opening would take more than {} tries of an identity on a stanza; rewrap with fewer recipients, or with true hints",
        limits::UNWRAP_TRIES
    )]
    TooManyTries,
    /// The opened values are too large together.
    #[error("the opened values are more than {} bytes together", limits::OPENED_BYTES)]
    TooLarge,
    /// No value has this key.
    #[error("there is no key {key}")]
    UnknownKey {
        /// The key asked for.
        key: DataKey,
    },
    /// Sealing anew failed ([`Sealed::rewrap`](super::Sealed::rewrap), `compact`).
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl OpenError {
    /// The reason that conditions and metrics show.
    pub fn reason(&self) -> Reason {
        match self {
            Self::BadPadding { .. } | Self::CorruptEnvelope { .. } => Reason::Corrupt,
            Self::BindingMismatch { .. } => Reason::BindingMismatch,
            Self::CommitMismatch { .. } => Reason::CommitMismatch,
            Self::NoMatchingKey { .. } => Reason::NoMatchingKey,
            Self::SeqInFuture { .. } => Reason::SeqInFuture,
            Self::TooLarge | Self::TooManyTries => Reason::LimitExceeded,
            Self::UnknownKey { .. } | Self::Seal(_) => Reason::InvalidSpec,
        }
    }

    /// The data key that the error is about, if it is about one.
    pub fn key(&self) -> Option<&DataKey> {
        match self {
            Self::BadPadding { key }
            | Self::BindingMismatch { key }
            | Self::SeqInFuture { key, .. }
            | Self::UnknownKey { key } => Some(key),
            _ => None,
        }
    }
}

/// Sealing failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// There is nobody to seal to.
    #[error("no recipient to seal to")]
    NoRecipients,
    /// More recipients than an envelope holds.
    #[error("more than {} recipients", limits::STANZAS - 1)]
    TooManyRecipients,
    /// One public key under two names, or one name twice.
    #[error("recipient {name} is listed twice")]
    DuplicateRecipient {
        /// Its name.
        name: String,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    NoRandomness,
    /// The result would exceed a limit.
    #[error("too much: {what} (the limit is {limit})")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: usize,
    },
    /// The clock, or an earlier value's number, is beyond what a sequence number can be.
    #[error("key {key}: no sequence number is left")]
    SeqExhausted {
        /// Which value.
        key: DataKey,
    },
}

impl From<NoRandomness> for SealError {
    fn from(_: NoRandomness) -> Self {
        Self::NoRandomness
    }
}

fn list(hints: &[Hint]) -> String {
    if hints.is_empty() {
        return "nobody".to_owned();
    }
    hints.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
