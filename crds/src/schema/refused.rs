//! What `external-secrets.io/v1` has and Waxwing does not. Each field is declared, so that the API server does not drop it
//! in silence, and refused by a rule that says what to use instead.

use schemars::Schema;
use serde_json::{Value, json};

use super::push_rule;

/// Characters of a text that is refused whatever it says.
const MAX_TEXT: u32 = 4096;

/// What a refused field holds. A rule needs to know that much.
#[derive(Clone, Copy)]
pub(super) enum Holds {
    Flag,
    List,
    Names,
    Object,
    Text,
}

/// Refuses a field.
///
/// # Panics
/// When there is such a field: then it is supported by now.
pub(super) fn refuse(schema: &mut Schema, name: &str, holds: Holds, instead: &str) {
    let any = || json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let text = || json!({"type": "string", "maxLength": MAX_TEXT});
    let mut field = match holds {
        Holds::Flag => json!({"type": "boolean"}),
        Holds::List => json!({"type": "array", "maxItems": 64, "items": any()}),
        Holds::Names => json!({"type": "array", "maxItems": 64, "items": text()}),
        Holds::Object => any(),
        Holds::Text => text(),
    };
    push_rule(&mut field, "false", &format!("{name} is not supported: {instead}"));
    let properties = schema.ensure_object().entry("properties").or_insert_with(|| json!({}));
    let before = properties.as_object_mut().and_then(|properties| properties.insert(name.to_owned(), field));
    assert!(before.is_none(), "{name} is supported");
}

/// Refuses the namespace of a reference.
pub(super) fn refuse_namespace(schema: &mut Schema) {
    let instead =
        "a reference stays in the store's own namespace, or the operator's for a ClusterSecretStore";
    refuse(schema, "namespace", Holds::Text, instead);
}

/// Refuses a word among those that a field can be.
pub(super) fn refuse_word(schema: &mut Schema, word: &str, instead: &str) {
    super::words(schema);
    let words = schema.ensure_object().get_mut("oneOf").and_then(Value::as_array_mut);
    words.expect("an enum with documented words").push(json!({"type": "string", "const": word}));
    super::rule_here(schema, &format!("self != '{word}'"), &format!("{word} is not supported: {instead}"));
}
