//! Rules of a SealedSecret, and of what every produced Secret carries.

use schemars::Schema;
use serde_json::json;

use super::{
    MAX_KEYS, MAX_METADATA, MAX_NAME, MAX_TEMPLATE, data_keys, map_list, refused_types, require, rule,
    rule_here, set, set_items, strip_defaults,
};

/// Characters of a whole spec, and so of one value in it.
const MAX_SPEC: u32 = 1_363_148;
/// Characters of an envelope of 32 KiB in base64: 4 for each 3 bytes begun.
const MAX_ENVELOPE: u32 = 32_768_u32.div_ceil(3) * 4;
/// Stanzas of an envelope, and so hints.
const MAX_STANZAS: u32 = 64;

/// 32 bytes in base64url without padding.
const COMMIT: &str = "^[A-Za-z0-9_-]{43}$";
/// Base64 with padding.
const BASE64: &str = "^([A-Za-z0-9+/]{4})+([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$";
/// The name of a recipient and its short id.
const HINT: &str = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?/[0-9a-f]{8}$";

/// Rules of a SealedSecret's spec.
pub(crate) fn sealed_secret_spec(schema: &mut Schema) {
    strip_defaults(schema);
    set(schema, "format", json!({"maxLength": 32}));
    rule(schema, "format", "self == 'wax1'", "unknown format; this version opens wax1 only");
    set(schema, "scope", json!({"enum": ["strict", "namespace", "cluster"]}));
    set(schema, "type", json!({"minLength": 1, "maxLength": MAX_NAME}));
    refused_types(schema, "type");
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
