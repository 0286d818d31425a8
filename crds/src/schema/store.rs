//! Rules of stores, and of what they refer to.

use schemars::Schema;
use serde_json::json;

use super::{
    DURATION, MAX_LABEL, NAMESPACE, at_most_one, data_key, exactly_one, label_selector, map_list, name,
    property,
    refused::{Holds, refuse, refuse_namespace},
    rule_here, set, set_items, strip_defaults, text,
};

/// Grants, and namespaces and paths in one.
const MAX_GRANTS: u32 = 256;
/// Characters of a pattern of paths, of a mount and the like.
pub(super) const MAX_PATH: u32 = 1024;
/// Characters of a URL.
const MAX_URL: u32 = 2048;
/// Characters of certificates.
const MAX_CERTIFICATES: u32 = 262_144;

/// The providers of `external-secrets.io/v1` that are none of Waxwing's.
const OTHER_PROVIDERS: &[&str] = &[
    "akeyless",
    "alibaba",
    "barbican",
    "beyondtrust",
    "beyondtrustworkloadcredentials",
    "bitwardensecretsmanager",
    "chef",
    "cloudrusm",
    "conjur",
    "delinea",
    "device42",
    "doppler",
    "dvls",
    "fake",
    "fortanix",
    "github",
    "gitlab",
    "ibm",
    "infisical",
    "keepersecurity",
    "nebiusmysterybox",
    "ngrok",
    "onboardbase",
    "onepassword",
    "onepasswordSDK",
    "oracle",
    "ovh",
    "passbolt",
    "passworddepot",
    "previder",
    "pulumi",
    "scaleway",
    "secretserver",
    "senhasegura",
    "volcengine",
    "webhook",
    "yandexcertificatemanager",
    "yandexlockbox",
];

/// Rules of a SecretStore's spec. Whoever writes one must not act as the operator.
pub(crate) fn secret_store_spec(schema: &mut Schema) {
    store_spec(schema);
    refuse(schema, "conditions", Holds::List, "a SecretStore is for its own namespace");
    let azure = "self.provider.azurekv";
    let has_own = [
        ("aws", "has(self.provider.aws.auth)".to_owned()),
        ("gcpsm", "has(self.provider.gcpsm.auth)".to_owned()),
        (
            "azurekv",
            format!(
                "!has({azure}.authType) || {azure}.authType == 'ServicePrincipal' || \
                 {azure}.authType == 'WorkloadIdentity' && has({azure}.serviceAccountRef)"
            ),
        ),
    ];
    for (provider, has_own) in has_own {
        let message = format!(
            "{provider} needs credentials of its own here: the operator's own identity is for ClusterSecretStores"
        );
        rule_here(schema, &format!("!has(self.provider.{provider}) || {has_own}"), &message);
    }
    let message = "file is for ClusterSecretStores: the files are the operator's own";
    rule_here(schema, "!has(self.provider.file)", message);
}

/// Rules of a ClusterSecretStore's spec.
pub(crate) fn cluster_secret_store_spec(schema: &mut Schema) {
    store_spec(schema);
    set(schema, "grants", json!({"maxItems": MAX_GRANTS}));
    refuse(schema, "conditions", Holds::List, "say in grants which namespaces may read which paths");
}

/// What both kinds of stores have.
fn store_spec(schema: &mut Schema) {
    strip_defaults(schema);
    set(schema, "refreshInterval", json!({"pattern": DURATION, "minLength": 2, "maxLength": 32}));
    refuse(
        schema,
        "controller",
        Holds::Text,
        "which operator serves a namespace is set where it is installed",
    );
    refuse(
        schema,
        "retrySettings",
        Holds::Object,
        "the operator tries again by itself, at a pace that suits the provider",
    );
}

/// Rules of a grant.
pub(crate) fn grant(schema: &mut Schema) {
    set(schema, "namespaces", json!({"maxItems": MAX_GRANTS}));
    set_items(schema, "namespaces", "items", json!({"pattern": NAMESPACE, "maxLength": MAX_LABEL}));
    label_selector(property(schema, "namespaceSelector"));
    set(schema, "paths", json!({"maxItems": MAX_GRANTS}));
    set_items(schema, "paths", "items", json!({"minLength": 1, "maxLength": MAX_PATH}));
    exactly_one(schema, &["namespaces", "namespaceSelector"], "set either namespaces or namespaceSelector");
    rule_here(schema, "has(self.paths) && self.paths.size() > 0", "it names no paths; `**` is all of them");
}

/// Rules of the choice of a provider.
pub(crate) fn store_provider(schema: &mut Schema) {
    exactly_one(
        schema,
        &["vault", "aws", "gcpsm", "azurekv", "kubernetes", "file"],
        "set exactly one of vault, aws, gcpsm, azurekv, kubernetes and file",
    );
    for other in OTHER_PROVIDERS {
        refuse(schema, other, Holds::Object, "use vault, aws, gcpsm, azurekv, kubernetes or file");
    }
}

/// Rules of a Kubernetes store.
pub(crate) fn kubernetes_provider(schema: &mut Schema) {
    set(schema, "remoteNamespace", json!({"pattern": NAMESPACE, "maxLength": MAX_LABEL}));
    exactly_one(schema, &["auth", "authRef"], "set either auth or authRef");
    at_most_one(schema, &["server", "authRef"], "a kubeconfig names the server: remove server or authRef");
}

/// Rules of an API server.
pub(crate) fn kubernetes_server(schema: &mut Schema) {
    text(schema, "url", MAX_URL);
    // This cluster's own API server goes by a short name.
    rule_here(
        schema,
        "!has(self.url) || self.url.matches('^(https?://|kubernetes[.]default)')",
        "url begins with https://, or with http:// where the operator allows that; this cluster's is kubernetes.default",
    );
    trust(schema);
}

/// Rules of a login at an API server.
pub(crate) fn kubernetes_auth(schema: &mut Schema) {
    exactly_one(
        schema,
        &["serviceAccount", "token", "cert"],
        "set exactly one of serviceAccount, token and cert",
    );
}

/// Rules of a directory.
pub(crate) fn file_provider(schema: &mut Schema) {
    text(schema, "directory", MAX_URL);
}

/// Rules of a reference to a key of a Secret.
pub(crate) fn secret_key_ref(schema: &mut Schema) {
    name(schema, "name");
    data_key(schema, "key");
    refuse_namespace(schema);
}

/// Rules of a reference to a ServiceAccount.
pub(crate) fn service_account_ref(schema: &mut Schema) {
    name(schema, "name");
    audiences(schema);
    refuse_namespace(schema);
}

/// Rules of a reference to certificates.
pub(crate) fn ca_provider(schema: &mut Schema) {
    name(schema, "name");
    data_key(schema, "key");
    refuse_namespace(schema);
}

/// Rules of a store's status.
pub(crate) fn secret_store_status(schema: &mut Schema) {
    strip_defaults(schema);
    map_list(schema, "conditions", "type");
}

/// For whom tokens are made.
pub(super) fn audiences(schema: &mut Schema) {
    set(schema, "audiences", json!({"maxItems": 8}));
    set_items(schema, "audiences", "items", json!({"minLength": 1, "maxLength": MAX_PATH}));
}

/// A URL, in one property. A pattern or a rule of the text itself would have the API server repeat it, and it may hold a
/// password.
pub(super) fn url(schema: &mut Schema, property: &str) {
    text(schema, property, MAX_URL);
    rule_here(
        schema,
        &format!("!has(self.{property}) || self.{property}.matches('^https?://')"),
        &format!(
            "{property} is a URL that begins with https://, or with http:// where the operator allows that"
        ),
    );
}

/// Certificates to trust, here or elsewhere.
pub(super) fn trust(schema: &mut Schema) {
    set(schema, "caBundle", json!({"minLength": 1, "maxLength": MAX_CERTIFICATES}));
    at_most_one(schema, &["caBundle", "caProvider"], "set either caBundle or caProvider");
}
