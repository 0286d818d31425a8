//! Rules of how identities are wrapped at rest.

use schemars::Schema;
use serde_json::json;

use super::{
    MAX_LABEL, rule_here, set,
    store::{MAX_PATH, trust, url},
    text,
};

/// The name of a key, as Vault's transit engine takes it.
const TRANSIT_KEY: &str = "^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$";
/// A key's id, its ARN, or an alias.
const KMS_KEY: &str = "^[A-Za-z0-9][A-Za-z0-9:/_-]*$";

/// Rules of a protection.
pub(crate) fn protection(schema: &mut Schema) {
    for (kind, block) in [("VaultTransit", "vaultTransit"), ("AwsKms", "awsKms")] {
        rule_here(
            schema,
            &format!("self.kind != '{kind}' || has(self.{block})"),
            &format!("kind {kind} needs the block {block}"),
        );
    }
}

/// Rules of a key in Vault.
pub(crate) fn vault_transit(schema: &mut Schema) {
    url(schema, "server");
    text(schema, "mount", MAX_PATH);
    set(schema, "key", json!({"pattern": TRANSIT_KEY, "minLength": 1, "maxLength": 128}));
    text(schema, "namespace", 512);
    trust(schema);
}

/// Rules of a key in AWS.
pub(crate) fn aws_kms(schema: &mut Schema) {
    text(schema, "region", MAX_LABEL);
    set(schema, "keyId", json!({"pattern": KMS_KEY, "minLength": 1, "maxLength": 2048}));
    text(schema, "role", 2048);
    url(schema, "endpoint");
    url(schema, "stsEndpoint");
    trust(schema);
}
