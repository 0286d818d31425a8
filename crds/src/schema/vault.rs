//! Rules of Vault stores.

use schemars::Schema;
use serde_json::json;

use super::{
    MAX_NAME, exactly_one,
    refused::{Holds, refuse},
    rule, rule_here, set, set_items,
    store::{MAX_PATH, audiences, trust, url},
    text,
};

/// Characters of the name of a role, a user, or of Vault's own namespace.
const MAX_ROLE: u32 = 512;
/// Further headers.
const MAX_HEADERS: u32 = 64;
/// Characters of a header's value.
const MAX_HEADER: u32 = 8192;

/// Rules of a Vault server.
pub(crate) fn vault_provider(schema: &mut Schema) {
    url(schema, "server");
    text(schema, "path", MAX_PATH);
    text(schema, "namespace", MAX_ROLE);
    trust(schema);
    set(schema, "headers", json!({"maxProperties": MAX_HEADERS}));
    set_items(schema, "headers", "additionalProperties", json!({"maxLength": MAX_HEADER}));
    rule(
        schema,
        "headers",
        "self.all(name, !name.matches('^[Xx]-[Vv][Aa][Uu][Ll][Tt]-'))",
        "headers that begin with X-Vault- are Waxwing's to set",
    );
    rule_here(schema, "has(self.auth)", "auth must say how to log in");
    rule_here(
        schema,
        "!has(self.version) || !has(self.engine) || self.engine == 'KV'",
        "only the engine KV has versions: remove version",
    );
    refuse(schema, "checkAndSet", Holds::Object, "it is for writing, and Waxwing only reads");
}

/// Rules of a client certificate.
pub(crate) fn vault_tls(schema: &mut Schema) {
    rule_here(
        schema,
        "has(self.certSecretRef) == has(self.keySecretRef)",
        "a certificate needs its key, and a key its certificate",
    );
}

/// Rules of a login.
pub(crate) fn vault_auth(schema: &mut Schema) {
    exactly_one(
        schema,
        &["tokenSecretRef", "appRole", "kubernetes", "jwt", "userPass", "ldap", "cert"],
        "set exactly one of tokenSecretRef, appRole, kubernetes, jwt, userPass, ldap and cert",
    );
    text(schema, "namespace", MAX_ROLE);
    for method in ["iam", "gcp"] {
        refuse(schema, method, Holds::Object, "use kubernetes, jwt, cert or appRole");
    }
}

/// Rules of AppRole.
pub(crate) fn vault_app_role(schema: &mut Schema) {
    text(schema, "path", MAX_PATH);
    text(schema, "roleId", MAX_ROLE);
    exactly_one(schema, &["roleId", "roleRef"], "set one of roleId and roleRef");
}

/// Rules of a ServiceAccount's token that Vault looks up.
pub(crate) fn vault_kubernetes(schema: &mut Schema) {
    text(schema, "mountPath", MAX_PATH);
    text(schema, "role", MAX_ROLE);
    exactly_one(schema, &["serviceAccountRef", "secretRef"], "set one of serviceAccountRef and secretRef");
}

/// Rules of a JSON Web Token.
pub(crate) fn vault_jwt(schema: &mut Schema) {
    text(schema, "path", MAX_PATH);
    text(schema, "role", MAX_ROLE);
    exactly_one(
        schema,
        &["secretRef", "kubernetesServiceAccountToken"],
        "set one of secretRef and kubernetesServiceAccountToken",
    );
}

/// Rules of a token that is made for Vault.
pub(crate) fn vault_service_account_token(schema: &mut Schema) {
    audiences(schema);
    set(schema, "expirationSeconds", json!({"format": "int64"}));
}

/// Rules of name and password.
pub(crate) fn vault_user(schema: &mut Schema) {
    text(schema, "path", MAX_PATH);
    text(schema, "username", MAX_ROLE);
}

/// Rules of a certificate to log in with.
pub(crate) fn vault_cert(schema: &mut Schema) {
    text(schema, "path", MAX_PATH);
    text(schema, "vaultRole", MAX_NAME);
}
