//! Rules of a KeyRing.

use schemars::Schema;
use serde_json::json;

use super::{DURATION, map_list, require, set, set_items, strip_defaults};

/// Recipients of a ring besides its own: with the active key and age's random stanza, an envelope still holds them.
const MAX_RECIPIENTS: u32 = 32;
/// Recipients in the lists that grow by one with each rotation.
const MAX_RING_KEYS: u32 = 512;

/// The name of a recipient.
const RECIPIENT_NAME: &str = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$";
/// An age X25519 recipient, without its checksum.
const RECIPIENT: &str = "^age1[02-9ac-hj-np-z]{58}$";

/// Rules of a KeyRing's spec.
pub(crate) fn key_ring_spec(schema: &mut Schema) {
    strip_defaults(schema);
    set(schema, "recipients", json!({"maxItems": MAX_RECIPIENTS}));
    map_list(schema, "recipients", "name");
    for property in ["trusted", "retired", "backedUp"] {
        set(schema, property, json!({"maxItems": MAX_RING_KEYS, "x-kubernetes-list-type": "set"}));
        set_items(schema, property, "items", json!({"pattern": RECIPIENT, "maxLength": 62}));
    }
}

/// Rules of a rotation.
pub(crate) fn rotation(schema: &mut Schema) {
    for property in ["every", "announce"] {
        set(schema, property, json!({"pattern": DURATION, "minLength": 2, "maxLength": 32}));
    }
}

/// Rules of a ring that rotates first.
pub(crate) fn rotates_after(schema: &mut Schema) {
    set(schema, "keyRing", json!({"minLength": 1, "maxLength": 63}));
    set(schema, "atMost", json!({"pattern": DURATION, "minLength": 2, "maxLength": 32}));
}

/// Rules of a reference to a kubeconfig.
pub(crate) fn kubeconfig_key(schema: &mut Schema) {
    set(schema, "name", json!({"minLength": 1, "maxLength": 253}));
    set(schema, "key", json!({"pattern": "^[-._a-zA-Z0-9]+$", "maxLength": 253}));
}

/// Rules of a recipient.
pub(crate) fn ring_recipient(schema: &mut Schema) {
    set(schema, "name", json!({"pattern": RECIPIENT_NAME, "maxLength": 40}));
    set(schema, "recipient", json!({"pattern": RECIPIENT, "maxLength": 62}));
}

/// Rules of a KeyRing's status.
pub(crate) fn key_ring_status(schema: &mut Schema) {
    strip_defaults(schema);
    map_list(schema, "conditions", "type");
    map_list(schema, "keys", "recipient");
}

/// Rules of a ring's key.
pub(crate) fn ring_key(schema: &mut Schema) {
    require(schema, &["recipient", "state"]);
}
