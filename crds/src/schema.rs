//! What the derived schemas cannot say by themselves: limits, patterns and the rules that the API server checks.

use schemars::Schema;
use serde_json::{Value, json};

/// Rules of a SealedSecret's spec.
pub(crate) fn sealed_secret_spec(schema: &mut Schema) {
    strip_defaults(schema);
}

/// Rules of an envelope.
pub(crate) fn envelope(_schema: &mut Schema) {}

/// Rules of a template.
pub(crate) fn sealed_template(_schema: &mut Schema) {}

/// Rules of a template's metadata.
pub(crate) fn template_metadata(_schema: &mut Schema) {}

/// Rules of a SealedSecret's status.
pub(crate) fn sealed_secret_status(schema: &mut Schema) {
    strip_defaults(schema);
}

/// Rules of a key's progress.
pub(crate) fn key_seq(schema: &mut Schema) {
    require(schema, &["name", "seq"]);
}

/// Rules of a KeyRing's spec.
pub(crate) fn key_ring_spec(schema: &mut Schema) {
    strip_defaults(schema);
}

/// Rules of a rotation.
pub(crate) fn rotation(_schema: &mut Schema) {}

/// Rules of a recipient.
pub(crate) fn ring_recipient(_schema: &mut Schema) {}

/// Rules of a protection.
pub(crate) fn protection(_schema: &mut Schema) {}

/// Rules of a KeyRing's status.
pub(crate) fn key_ring_status(schema: &mut Schema) {
    strip_defaults(schema);
}

/// Rules of a ring's key.
pub(crate) fn ring_key(_schema: &mut Schema) {}

/// Makes properties required that the Rust type can do without.
fn require(schema: &mut Schema, names: &[&str]) {
    schema.insert("required".to_owned(), json!(names));
}

/// Removes every default: the API server would write them into objects, and a GitOps tool would see drift.
fn strip_defaults(schema: &mut Schema) {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.remove("default");
                map.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    schema.as_object_mut().into_iter().flat_map(|map| map.values_mut()).for_each(strip);
}
