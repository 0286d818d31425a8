//! Reading a status without trusting it: what is malformed counts as absent, and the rest is still read.
//!
//! A status is a hint. One written by an older operator, by a person or by an attacker must not stop its object from
//! being reconciled, so no field of a status can make the whole object unreadable.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The value, or nothing when it is not of its type.
pub(crate) fn option<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).ok())
}

/// The elements that are of their type.
pub(crate) fn list<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let Value::Array(elements) = Value::deserialize(deserializer)? else {
        return Ok(Vec::new());
    };
    Ok(elements.into_iter().filter_map(|element| serde_json::from_value(element).ok()).collect())
}
