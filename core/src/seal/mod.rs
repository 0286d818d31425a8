//! The sealed format `wax1`; `docs/FORMAT.md` is its specification.
//!
//! Each sealing act makes one *envelope* (a data key wrapped to all recipients by age), and each
//! value is a *token* that points to its envelope and is encrypted under a key derived from the
//! data key and from everything the value is bound to. Nothing here knows Kubernetes beyond the
//! shape of the spec, and nothing here decides who the recipients are.

mod binding;
mod dek;
mod envelope;
mod error;
#[cfg(test)]
pub(crate) mod memory;
mod padding;
mod sealed;
#[cfg(test)]
mod tests;
mod token;
#[cfg(test)]
mod vectors;

pub use binding::{Binding, Scope};
pub use envelope::{Envelope, Hint};
pub use error::{FormatError, OpenError, SealError};
pub use sealed::{Opened, OpenedValue, Sealed};
pub use token::{DataKey, EnvelopeId, Token};

/// The only value of `spec.format`.
pub const FORMAT: &str = "wax1";

/// Limits, all checked before any cryptography (except the opened size, which padding hides).
pub mod limits {
    /// Bytes of one envelope's age file.
    pub const ENVELOPE_BYTES: usize = 32 * 1024;
    /// Stanzas in one envelope. The `age` crate parses headers in time quadratic in their number.
    pub const STANZAS: usize = 64;
    /// Envelopes of one object.
    pub const ENVELOPES: usize = 256;
    /// Bytes of all envelopes' age files together.
    pub const ENVELOPES_BYTES: usize = 256 * 1024;
    /// Keys of one object.
    pub const KEYS: usize = 256;
    /// Bytes of opened data in one object.
    pub const OPENED_BYTES: usize = 768 * 1024;
    /// Stanzas tried with an identity while one object is opened, at 54 µs each when measured:
    /// 256 envelopes of 16 stanzas, each opened by the first identity that its hints name.
    pub const UNWRAP_TRIES: usize = 4096;
    /// Bytes of all text in the spec; etcd takes 1.5 MiB for the whole object.
    pub const SPEC_BYTES: usize = 1_363_148;
    /// Seconds that a value's sequence number may lie ahead of the clock.
    pub const SEQ_AHEAD_SECONDS: u64 = 24 * 60 * 60;
    /// Sequence numbers stay below 2^53, so that every JSON reader keeps them exact.
    pub const SEQ: u64 = 1 << 53;
}
