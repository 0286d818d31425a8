//! The one type that holds an opened value.
//!
//! It deliberately has no `Debug`, `Display`, `Serialize` or `PartialEq`: an opened value cannot
//! be formatted or compared by accident. Its memory is wiped when it is dropped.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Plaintext bytes, wiped on drop.
///
/// ```compile_fail
/// fn shown(value: &waxwing_core::Secret) -> String { format!("{value:?}") }
/// ```
/// ```compile_fail
/// fn written(value: &waxwing_core::Secret) -> String { serde_json::to_string(value).unwrap() }
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over. The vector must have its final size: growing it later would leave
    /// an unwiped copy behind.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The plaintext. Every use says why it needs it.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares in time that depends on the lengths only.
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl From<Zeroizing<Vec<u8>>> for Secret {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}
