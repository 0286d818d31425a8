//! Rules of ExternalSecrets and ClusterExternalSecrets.

use schemars::Schema;
use serde_json::json;

use super::{
    MAX_KEYS, MAX_LABEL, MAX_NAME, MAX_TEMPLATE, NAMESPACE, at_most_one, data_key, data_keys, exactly_one,
    label_selector, map_list, name, property,
    refused::{Holds, refuse, refuse_word},
    refused_types, rule_here, set, set_items, strip_defaults, template_metadata, text,
};

/// Items in `dataFrom`.
const MAX_DATA_FROM: u32 = 64;
/// Stores to be tried in their order.
const MAX_STORES: u32 = 8;
/// Workloads to restart.
const MAX_ROLLOUTS: u32 = 32;
/// Steps of a rewrite.
const MAX_REWRITES: u32 = 16;
/// Tags, or parameters.
const MAX_MAP: u32 = 64;
/// Characters of a tag or a parameter.
const MAX_MAP_VALUE: u32 = 16 * 1024;
/// Characters of a provider's key.
const MAX_REMOTE_KEY: u32 = 2048;
/// Characters of a property, a pattern and the like.
const MAX_TEXT: u32 = 1024;
/// Characters of a template for names.
const MAX_TRANSFORM: u32 = 4 * 1024;
/// Characters of a version.
const MAX_VERSION: u32 = 256;
/// Namespaces by name.
const MAX_NAMESPACES: u32 = 512;

/// A duration, or zero, which asks for no refresh at all.
const INTERVAL: &str = "^(0|([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?)$";

/// Rules of an ExternalSecret's spec.
pub(crate) fn external_secret_spec(schema: &mut Schema) {
    strip_defaults(schema);
    set(schema, "secretStoreRefs", json!({"maxItems": MAX_STORES}));
    set(schema, "refreshInterval", json!({"pattern": INTERVAL, "minLength": 1, "maxLength": 32}));
    set(schema, "data", json!({"maxItems": MAX_KEYS}));
    map_list(schema, "data", "secretKey");
    set(schema, "dataFrom", json!({"maxItems": MAX_DATA_FROM}));
    at_most_one(
        schema,
        &["secretStoreRef", "secretStoreRefs"],
        "set either secretStoreRef or secretStoreRefs",
    );
    rule_here(
        schema,
        "has(self.data) && self.data.size() > 0 || has(self.dataFrom) && self.dataFrom.size() > 0",
        "data or dataFrom must say what is wanted",
    );
    rule_here(
        schema,
        "has(self.secretStoreRef) || has(self.secretStoreRefs) && self.secretStoreRefs.size() > 0 || \
         (!has(self.data) || self.data.all(item, has(item.sourceRef))) && \
         (!has(self.dataFrom) || self.dataFrom.all(item, has(item.sourceRef)))",
        "no store is named: set secretStoreRef, or sourceRef in each item of data and dataFrom",
    );
    refuse(schema, "syncWindows", Holds::Object, "the annotation waxwing.dev/suspend pauses an object");
}

/// Rules of a reference to a store.
pub(crate) fn store_reference(schema: &mut Schema) {
    name(schema, "name");
}

/// Rules of a target.
pub(crate) fn external_target(schema: &mut Schema) {
    name(schema, "name");
    set(schema, "rollout", json!({"maxItems": MAX_ROLLOUTS}));
    let keys = json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["kind", "name"]});
    set(schema, "rollout", keys);
    rule_here(
        schema,
        "!has(self.deletionPolicy) || self.deletionPolicy != 'Delete' || \
         !has(self.creationPolicy) || self.creationPolicy in ['Owner', 'Orphan']",
        "deletionPolicy Delete needs creationPolicy Owner or Orphan: a Secret of others is never deleted",
    );
    rule_here(
        schema,
        "!has(self.immutable) || !self.immutable || !has(self.creationPolicy) || self.creationPolicy != 'Merge'",
        "a Secret of others is not made immutable: creationPolicy is Merge",
    );
    refuse(schema, "manifest", Holds::Object, "only Secrets are produced");
}

/// Rules of the choice of whose a Secret is.
pub(crate) fn creation_policy(schema: &mut Schema) {
    refuse_word(schema, "CreateOrMerge", "use Owner, or Merge where the Secret is somebody else's");
}

/// Rules of the choice of what becomes of a Secret.
pub(crate) fn deletion_policy(schema: &mut Schema) {
    refuse_word(schema, "Merge", "use Retain or Delete");
}

/// Rules of a template.
pub(crate) fn external_template(schema: &mut Schema) {
    set(schema, "type", json!({"minLength": 1, "maxLength": MAX_NAME}));
    refused_types(schema, "type");
    set(schema, "data", json!({"maxProperties": MAX_KEYS}));
    set_items(schema, "data", "additionalProperties", json!({"maxLength": MAX_TEMPLATE}));
    data_keys(schema, "data");
    refuse(schema, "engineVersion", Holds::Text, "templates are minijinja here, as docs/TEMPLATES.md says");
    refuse(schema, "templateFrom", Holds::List, "write the templates into template.data");
}

/// Rules of a template's metadata.
pub(crate) fn external_metadata(schema: &mut Schema) {
    template_metadata(schema);
    refuse(schema, "finalizers", Holds::Names, "a produced Secret has none");
}

/// Rules of a workload.
pub(crate) fn rollout(schema: &mut Schema) {
    name(schema, "name");
}

/// Rules of one key.
pub(crate) fn external_data(schema: &mut Schema) {
    data_key(schema, "secretKey");
}

/// Rules of a reference to an entry.
pub(crate) fn remote_ref(schema: &mut Schema) {
    text(schema, "key", MAX_REMOTE_KEY);
    text(schema, "property", MAX_TEXT);
    text(schema, "version", MAX_VERSION);
    small_map(schema, "parameters");
    rule_here(
        schema,
        "!has(self.parameters) || self.parameters.size() == 0 || \
         !has(self.version) && (!has(self.metadataPolicy) || self.metadataPolicy == 'None')",
        "what is issued has neither a version nor metadata: remove parameters, or the other two",
    );
}

/// Rules of many keys.
pub(crate) fn external_data_from(schema: &mut Schema) {
    set(schema, "rewrite", json!({"maxItems": MAX_REWRITES}));
    exactly_one(schema, &["extract", "find"], "set either extract or find");
}

/// Rules of a search.
pub(crate) fn find_ref(schema: &mut Schema) {
    text(schema, "path", MAX_REMOTE_KEY);
    small_map(schema, "tags");
    rule_here(
        schema,
        "has(self.name) || has(self.path) || has(self.tags) && self.tags.size() > 0",
        "name, path or tags must say what to find",
    );
}

/// Rules of a search by name.
pub(crate) fn find_name(schema: &mut Schema) {
    text(schema, "regexp", MAX_TEXT);
    rule_here(schema, "has(self.regexp)", "regexp must say which names");
}

/// Rules of a reference to another store.
pub(crate) fn source_ref(schema: &mut Schema) {
    rule_here(schema, "has(self.storeRef)", "storeRef must name a store");
    let instead =
        "a Vault store with engine Dynamic issues values, and others take them from where they are made";
    refuse(schema, "generatorRef", Holds::Object, instead);
}

/// Rules of a change of names.
pub(crate) fn rewrite(schema: &mut Schema) {
    let message = "set exactly one of merge, regexp and transform";
    exactly_one(schema, &["merge", "regexp", "transform"], message);
}

/// Rules of a change by a regular expression.
pub(crate) fn rewrite_regexp(schema: &mut Schema) {
    text(schema, "source", MAX_TEXT);
    set(schema, "target", json!({"maxLength": MAX_TEXT}));
}

/// Rules of a change by a template.
pub(crate) fn rewrite_transform(schema: &mut Schema) {
    text(schema, "template", MAX_TRANSFORM);
}

/// Rules of putting fields together.
pub(crate) fn rewrite_merge(schema: &mut Schema) {
    set(schema, "into", json!({"maxLength": MAX_NAME}));
    set(schema, "priority", json!({"maxItems": MAX_KEYS}));
    set_items(schema, "priority", "items", json!({"maxLength": MAX_TEXT}));
    rule_here(
        schema,
        "(has(self.strategy) && self.strategy == 'JSON') == (has(self.into) && self.into != '')",
        "strategy JSON needs into, and no other takes it",
    );
}

/// Rules of an ExternalSecret's status.
pub(crate) fn external_secret_status(schema: &mut Schema) {
    strip_defaults(schema);
    map_list(schema, "conditions", "type");
}

/// Rules of a ClusterExternalSecret's spec.
pub(crate) fn cluster_external_secret_spec(schema: &mut Schema) {
    strip_defaults(schema);
    name(schema, "externalSecretName");
    label_selector(property(schema, "namespaceSelector"));
    set(schema, "namespaceSelectors", json!({"maxItems": MAX_MAP}));
    label_selector(&mut property(schema, "namespaceSelectors")["items"]);
    set(schema, "namespaces", json!({"maxItems": MAX_NAMESPACES}));
    set_items(schema, "namespaces", "items", json!({"pattern": NAMESPACE, "maxLength": MAX_LABEL}));
    rule_here(
        schema,
        "has(self.namespaceSelector) || has(self.namespaceSelectors) || has(self.namespaces)",
        "no namespace is selected: set namespaceSelector, namespaceSelectors or namespaces",
    );
    refuse(schema, "refreshTime", Holds::Text, "namespaces are watched");
}

/// Rules of a ClusterExternalSecret's status.
pub(crate) fn cluster_external_secret_status(schema: &mut Schema) {
    strip_defaults(schema);
    map_list(schema, "conditions", "type");
}

/// A map of tags or parameters.
fn small_map(schema: &mut Schema, property: &str) {
    set(schema, property, json!({"maxProperties": MAX_MAP}));
    set_items(schema, property, "additionalProperties", json!({"maxLength": MAX_MAP_VALUE}));
}
