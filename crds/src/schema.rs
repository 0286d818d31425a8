//! What the derived schemas cannot say by themselves: limits, patterns, and the rules that the API server checks.
//!
//! These are the first net. `waxwing_core` checks the same and more, because an API server may hold objects that were
//! stored before a rule existed, and because the CLI has no API server at all. Rules that would have to follow a value
//! to its envelope are left to it entirely: they exceed what the API server allows a rule to cost.

use schemars::Schema;
use serde_json::{Value, json};

/// Keys and envelopes that one object may have.
const MAX_KEYS: u32 = 256;
/// Characters of a whole spec, and so of one value in it.
const MAX_SPEC: u32 = 1_363_148;
/// Characters of an envelope of 32 KiB in base64: 4 for each 3 bytes begun.
const MAX_ENVELOPE: u32 = 32_768_u32.div_ceil(3) * 4;
/// Stanzas of an envelope, and so hints.
const MAX_STANZAS: u32 = 64;
/// Characters of a template, or of an annotation.
const MAX_TEMPLATE: u32 = 262_144;
/// Characters of a name in Kubernetes.
const MAX_NAME: u32 = 253;
/// Labels or annotations of a produced Secret.
const MAX_METADATA: u32 = 64;
/// Recipients of a ring besides its own: with the active key and age's random stanza, an envelope still holds them.
const MAX_RECIPIENTS: u32 = 32;
/// Recipients in the lists that grow by one with each rotation.
const MAX_RING_KEYS: u32 = 512;

/// 32 bytes in base64url without padding.
const COMMIT: &str = "^[A-Za-z0-9_-]{43}$";
/// Base64 with padding.
const BASE64: &str = "^([A-Za-z0-9+/]{4})+([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$";
/// The name of a recipient and its short id.
const HINT: &str = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?/[0-9a-f]{8}$";
/// The name of a recipient.
const RECIPIENT_NAME: &str = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$";
/// An age X25519 recipient, without its checksum.
const RECIPIENT: &str = "^age1[02-9ac-hj-np-z]{58}$";
/// A duration, zero and centuries included.
const DURATION: &str = "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$";

/// Rules of a SealedSecret's spec.
pub(crate) fn sealed_secret_spec(schema: &mut Schema) {
    strip_defaults(schema);
    set(schema, "format", json!({"maxLength": 32}));
    rule(schema, "format", "self == 'wax1'", "unknown format; this version opens wax1 only");
    set(schema, "scope", json!({"enum": ["strict", "namespace", "cluster"]}));
    set(schema, "type", json!({"minLength": 1, "maxLength": MAX_NAME}));
    rule(
        schema,
        "type",
        "!(self in ['kubernetes.io/service-account-token', 'bootstrap.kubernetes.io/token'])",
        "Secrets of this type give rights in the cluster and are never produced",
    );
    rule(schema, "type", "!self.startsWith('waxwing.dev/')", "types under waxwing.dev/ are Waxwing's own");
    set(schema, "envelopes", json!({"maxProperties": MAX_KEYS}));
    rule(
        schema,
        "envelopes",
        "self.all(id, id.matches('^[a-z2-7]{8}$'))",
        "an envelope id has 8 characters of a to z and 2 to 7",
    );
    set(schema, "data", json!({"maxProperties": MAX_KEYS}));
    // No `pattern`: the API server would repeat the value in its answer, and what is no token may be a plaintext that
    // somebody put there by mistake. A rule on the map does not repeat what it looked at.
    set_items(schema, "data", "additionalProperties", json!({"maxLength": MAX_SPEC}));
    rule(
        schema,
        "data",
        "self.all(key, self[key].startsWith('wax1.') && self[key].size() >= 139)",
        "a value is not sealed; seal it with `waxwing set`, and replace the credential if this was its plaintext",
    );
    data_keys(schema, "data");
    rule_here(
        schema,
        "!has(self.template) || !has(self.template.data) || self.template.data.all(key, !(key in self.data))",
        "the same key stands in data and in template.data",
    );
}

/// Rules of an envelope.
pub(crate) fn envelope(schema: &mut Schema) {
    set(schema, "commit", json!({"pattern": COMMIT, "maxLength": 43}));
    set(schema, "to", json!({"maxItems": MAX_STANZAS}));
    set_items(schema, "to", "items", json!({"pattern": HINT, "maxLength": 49}));
    set(schema, "age", json!({"pattern": BASE64, "maxLength": MAX_ENVELOPE}));
}

/// Rules of a template.
pub(crate) fn sealed_template(schema: &mut Schema) {
    set(schema, "data", json!({"maxProperties": MAX_KEYS}));
    set_items(schema, "data", "additionalProperties", json!({"maxLength": MAX_TEMPLATE}));
    data_keys(schema, "data");
}

/// Rules of a template's metadata.
pub(crate) fn template_metadata(schema: &mut Schema) {
    for (property, max_length) in [("labels", 63), ("annotations", MAX_TEMPLATE)] {
        set(schema, property, json!({"maxProperties": MAX_METADATA}));
        set_items(schema, property, "additionalProperties", json!({"maxLength": max_length}));
        rule(
            schema,
            property,
            "self.all(key, !key.startsWith('waxwing.dev/'))",
            "keys under waxwing.dev/ are Waxwing's own",
        );
    }
}

/// Rules of a SealedSecret's status.
pub(crate) fn sealed_secret_status(schema: &mut Schema) {
    strip_defaults(schema);
    map_list(schema, "conditions", "type");
    map_list(schema, "keys", "name");
}

/// Rules of a key's progress.
pub(crate) fn key_seq(schema: &mut Schema) {
    require(schema, &["name", "seq"]);
    set(schema, "seq", json!({"format": "int64"}));
}

/// Rules of a KeyRing's spec.
pub(crate) fn key_ring_spec(schema: &mut Schema) {
    strip_defaults(schema);
    set(schema, "recipients", json!({"maxItems": MAX_RECIPIENTS}));
    map_list(schema, "recipients", "name");
    for property in ["trusted", "backedUp"] {
        set(schema, property, json!({"maxItems": MAX_RING_KEYS, "x-kubernetes-list-type": "set"}));
        set_items(schema, property, "items", json!({"pattern": RECIPIENT, "maxLength": 62}));
    }
}

/// Rules of a rotation.
pub(crate) fn rotation(schema: &mut Schema) {
    set(schema, "every", json!({"pattern": DURATION, "minLength": 2, "maxLength": 32}));
}

/// Rules of a recipient.
pub(crate) fn ring_recipient(schema: &mut Schema) {
    set(schema, "name", json!({"pattern": RECIPIENT_NAME, "maxLength": 40}));
    set(schema, "recipient", json!({"pattern": RECIPIENT, "maxLength": 62}));
}

/// Rules of a protection.
pub(crate) fn protection(schema: &mut Schema) {
    rule(schema, "kind", "self == 'None'", "this protection is not supported yet by this version");
    let text = "'protection kind ' + self + ' is not supported yet by this version'";
    if let Some(rules) = property(schema, "kind").get_mut("x-kubernetes-validations") {
        rules[0]["messageExpression"] = json!(text);
    }
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

/// The keys that a Secret can have, as Kubernetes defines them.
fn data_keys(schema: &mut Schema, name: &str) {
    rule(
        schema,
        name,
        "self.all(key, key.matches('^[-._a-zA-Z0-9]{1,253}$') && key != '.' && !key.startsWith('..'))",
        "a key has 1 to 253 letters, digits, - _ and ., is no single dot and does not begin with two",
    );
}

/// The schema of one property.
///
/// # Panics
/// When there is none: then a field was renamed and its rules were not.
fn property<'a>(schema: &'a mut Schema, name: &str) -> &'a mut Value {
    schema
        .pointer_mut(&format!("/properties/{name}"))
        .unwrap_or_else(|| panic!("the schema has a property {name}"))
}

/// Sets keywords of one property.
fn set(schema: &mut Schema, name: &str, keywords: Value) {
    merge(property(schema, name), keywords);
}

/// Sets keywords of what one list or map holds.
fn set_items(schema: &mut Schema, name: &str, items: &str, keywords: Value) {
    merge(&mut property(schema, name)[items], keywords);
}

/// Makes one list a map by one field of its elements, so that no two can have the same.
fn map_list(schema: &mut Schema, name: &str, key: &str) {
    set(schema, name, json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}));
}

/// Adds a rule to one property.
fn rule(schema: &mut Schema, name: &str, rule: &str, message: &str) {
    push_rule(property(schema, name), rule, message);
}

/// Adds a rule to the object itself.
fn rule_here(schema: &mut Schema, rule: &str, message: &str) {
    let mut own = json!({});
    push_rule(&mut own, rule, message);
    schema.insert("x-kubernetes-validations".to_owned(), own["x-kubernetes-validations"].take());
}

/// Adds a rule to a schema.
fn push_rule(schema: &mut Value, rule: &str, message: &str) {
    let rule = json!({"rule": rule, "message": message});
    match schema["x-kubernetes-validations"].as_array_mut() {
        Some(rules) => rules.push(rule),
        None => schema["x-kubernetes-validations"] = json!([rule]),
    }
}

/// Sets keywords over those that are there.
fn merge(schema: &mut Value, keywords: Value) {
    if let (Some(schema), Value::Object(keywords)) = (schema.as_object_mut(), keywords) {
        schema.extend(keywords);
    }
}

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
    if let Some(properties) = schema.get_mut("properties") {
        strip(properties);
    }
}
