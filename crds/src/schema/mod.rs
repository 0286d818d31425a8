//! What the derived schemas cannot say by themselves: limits, patterns, and the rules that the API server checks.
//!
//! These are the first net. `waxwing_core` checks the same and more, because an API server may hold objects that were
//! stored before a rule existed, and because the CLI has no API server at all. Rules that would have to follow a value
//! to its envelope are left to it entirely: they exceed what the API server allows a rule to cost.

mod clouds;
mod external;
mod injection;
mod protection;
mod refused;
mod ring;
mod sealed;
mod store;
mod vault;

use schemars::Schema;
use serde_json::{Value, json};

pub(crate) use clouds::*;
pub(crate) use external::*;
pub(crate) use injection::*;
pub(crate) use protection::*;
pub(crate) use ring::*;
pub(crate) use sealed::*;
pub(crate) use store::*;
pub(crate) use vault::*;

/// Keys and envelopes that one object may have.
const MAX_KEYS: u32 = 256;
/// Characters of a template, or of an annotation.
const MAX_TEMPLATE: u32 = 262_144;
/// Characters of a name in Kubernetes.
const MAX_NAME: u32 = 253;
/// Labels or annotations of a produced Secret.
const MAX_METADATA: u32 = 64;
/// Characters of a label's value, and of a namespace's name.
const MAX_LABEL: u32 = 63;

/// A duration, zero and centuries included.
const DURATION: &str = "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$";
/// The name of an object.
const NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// The name of a namespace.
const NAMESPACE: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// A key of a Secret.
const KEY: &str = r"^\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]*$";

/// Rules of an enum: what the word is for is said where it is used.
pub(crate) fn words(schema: &mut Schema) {
    schema.remove("description");
}

/// The keys that a Secret can have, as Kubernetes defines them, for a map by key.
fn data_keys(schema: &mut Schema, name: &str) {
    rule(
        schema,
        name,
        "self.all(key, key.matches('^[-._a-zA-Z0-9]{1,253}$') && key != '.' && !key.startsWith('..'))",
        "a key has 1 to 253 letters, digits, - _ and ., is no single dot and does not begin with two",
    );
}

/// A key of a Secret, in one property.
fn data_key(schema: &mut Schema, property: &str) {
    set(schema, property, json!({"pattern": KEY, "maxLength": MAX_NAME}));
}

/// Types that are never produced.
fn refused_types(schema: &mut Schema, name: &str) {
    rule(
        schema,
        name,
        "!(self in ['kubernetes.io/service-account-token', 'bootstrap.kubernetes.io/token'])",
        "Secrets of this type give rights in the cluster and are never produced",
    );
    rule(schema, name, "!self.startsWith('waxwing.dev/')", "types under waxwing.dev/ are Waxwing's own");
}

/// The name of an object, in one property.
fn name(schema: &mut Schema, property: &str) {
    set(schema, property, json!({"pattern": NAME, "maxLength": MAX_NAME}));
}

/// A text that says something, in one property.
fn text(schema: &mut Schema, property: &str, max_length: u32) {
    set(schema, property, json!({"minLength": 1, "maxLength": max_length}));
}

/// Exactly one of these properties.
fn exactly_one(schema: &mut Schema, names: &[&str], message: &str) {
    rule_here(schema, &format!("{}.exists_one(is_set, is_set)", which(names)), message);
}

/// None or one of these properties.
fn at_most_one(schema: &mut Schema, names: &[&str], message: &str) {
    rule_here(schema, &format!("{}.filter(is_set, is_set).size() <= 1", which(names)), message);
}

/// A list in CEL of which properties are set.
fn which(names: &[&str]) -> String {
    let set: Vec<_> = names.iter().map(|name| format!("has(self.{name})")).collect();
    format!("[{}]", set.join(", "))
}

/// Limits of a label selector.
fn label_selector(selector: &mut Value) {
    let few = 64;
    let labels = &mut selector["properties"]["matchLabels"];
    merge(labels, json!({"maxProperties": few}));
    merge(&mut labels["additionalProperties"], json!({"maxLength": MAX_LABEL}));
    let expressions = &mut selector["properties"]["matchExpressions"];
    merge(expressions, json!({"maxItems": few}));
    let expression = &mut expressions["items"]["properties"];
    merge(&mut expression["key"], json!({"maxLength": MAX_NAME + 1 + MAX_LABEL}));
    merge(&mut expression["operator"], json!({"enum": ["In", "NotIn", "Exists", "DoesNotExist"]}));
    merge(&mut expression["values"], json!({"maxItems": few}));
    merge(&mut expression["values"]["items"], json!({"maxLength": MAX_LABEL}));
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
    let mut own = Value::Object(std::mem::take(schema.ensure_object()));
    push_rule(&mut own, rule, message);
    if let Value::Object(own) = own {
        *schema.ensure_object() = own;
    }
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
