//! Rules of the stores of AWS, Google Cloud and Azure.

use schemars::Schema;
use serde_json::json;

use super::{
    MAX_LABEL, exactly_one,
    refused::{Holds, refuse, refuse_word},
    rule_here, set, set_items,
    store::{MAX_PATH, trust, url},
    text,
};

/// Characters of a role's ARN, an external id and the like.
const MAX_ROLE: u32 = 2048;
/// Tags of a session.
const MAX_TAGS: u32 = 50;

/// Rules of AWS.
pub(crate) fn aws_provider(schema: &mut Schema) {
    text(schema, "region", MAX_LABEL);
    for property in ["role", "externalID", "prefix"] {
        text(schema, property, MAX_ROLE);
    }
    set(schema, "additionalRoles", json!({"maxItems": 8}));
    set_items(schema, "additionalRoles", "items", json!({"minLength": 1, "maxLength": MAX_ROLE}));
    for property in ["sessionTags", "transitiveTagKeys"] {
        set(schema, property, json!({"maxItems": MAX_TAGS}));
    }
    set_items(schema, "transitiveTagKeys", "items", json!({"minLength": 1, "maxLength": 128}));
    url(schema, "endpoint");
    url(schema, "stsEndpoint");
    trust(schema);
    rule_here(
        schema,
        "has(self.role) || !has(self.externalID) && !has(self.sessionTags) && !has(self.transitiveTagKeys)",
        "externalID, sessionTags and transitiveTagKeys belong to a role: set role",
    );
    refuse(schema, "sessionTagsPolicy", Holds::Text, "write the tags into sessionTags");
    refuse(schema, "customSessionTags", Holds::Object, "write the tags into sessionTags");
    refuse(schema, "secretsManager", Holds::Object, "it is for deleting entries, and Waxwing only reads");
}

/// Rules of the choice of a service.
pub(crate) fn aws_service(schema: &mut Schema) {
    refuse_word(schema, "CertificateManager", "use SecretsManager or ParameterStore");
}

/// Rules of a tag.
pub(crate) fn aws_tag(schema: &mut Schema) {
    text(schema, "key", 128);
    set(schema, "value", json!({"maxLength": 256}));
}

/// Rules of credentials for AWS.
pub(crate) fn aws_auth(schema: &mut Schema) {
    exactly_one(schema, &["secretRef", "jwt"], "set one of secretRef and jwt, or no auth at all");
}

/// Rules of a ServiceAccount's token.
pub(crate) fn aws_jwt(schema: &mut Schema) {
    rule_here(schema, "has(self.serviceAccountRef)", "serviceAccountRef must name a ServiceAccount");
}

/// Rules of Google Cloud.
pub(crate) fn gcp_provider(schema: &mut Schema) {
    text(schema, "projectID", MAX_LABEL);
    text(schema, "location", MAX_LABEL);
    url(schema, "endpoint");
    url(schema, "stsEndpoint");
    trust(schema);
    rule_here(schema, "has(self.projectID)", "projectID must name the project");
}

/// Rules of what is done about a newest version that cannot be read.
pub(crate) fn gcp_version_selection(schema: &mut Schema) {
    refuse_word(schema, "LatestOrFetch", "name the version in remoteRef.version");
}

/// Rules of credentials for Google Cloud.
pub(crate) fn gcp_auth(schema: &mut Schema) {
    exactly_one(
        schema,
        &["secretRef", "workloadIdentity", "workloadIdentityFederation"],
        "set one of secretRef, workloadIdentity and workloadIdentityFederation, or no auth at all",
    );
}

/// Rules of a cluster of Google's.
pub(crate) fn gcp_workload_identity(schema: &mut Schema) {
    for property in ["clusterLocation", "clusterName", "clusterProjectID"] {
        text(schema, property, MAX_LABEL);
    }
    rule_here(
        schema,
        "has(self.clusterLocation) && has(self.clusterName)",
        "clusterLocation and clusterName must name the cluster that this runs in",
    );
    rule_here(
        schema,
        "!has(self.serviceAccountRef.audiences)",
        "the audience is always the cluster's own: remove serviceAccountRef.audiences",
    );
}

/// Rules of a workload identity pool.
pub(crate) fn gcp_federation(schema: &mut Schema) {
    text(schema, "audience", MAX_PATH);
    text(schema, "gcpServiceAccountEmail", 320);
    let instead = "use serviceAccountRef and audience";
    for property in ["credConfig", "awsSecurityCredentials"] {
        refuse(schema, property, Holds::Object, instead);
    }
    refuse(schema, "externalTokenEndpoint", Holds::Text, instead);
}

/// Rules of Azure.
pub(crate) fn azure_provider(schema: &mut Schema) {
    url(schema, "vaultUrl");
    url(schema, "authorityHost");
    for property in ["tenantId", "identityId"] {
        text(schema, property, 128);
    }
    trust(schema);
    rule_here(
        schema,
        "has(self.authType) && self.authType != 'ServicePrincipal' || \
         has(self.authSecretRef) && has(self.authSecretRef.clientId) && \
         has(self.authSecretRef.clientSecret) != has(self.authSecretRef.clientCertificate)",
        "authType ServicePrincipal needs authSecretRef with clientId and one of clientSecret and clientCertificate",
    );
    rule_here(
        schema,
        "!has(self.tenantId) || !has(self.authSecretRef) || !has(self.authSecretRef.tenantId)",
        "set either tenantId or authSecretRef.tenantId",
    );
    for (property, kind) in [("identityId", "ManagedIdentity"), ("serviceAccountRef", "WorkloadIdentity")] {
        rule_here(
            schema,
            &format!("!has(self.{property}) || has(self.authType) && self.authType == '{kind}'"),
            &format!("{property} is for authType {kind}"),
        );
    }
    refuse(schema, "customCloudConfig", Holds::Object, "set vaultUrl and authorityHost");
    refuse(schema, "useAzureSDK", Holds::Flag, "there is no other way; remove it");
}

/// Rules of the choice of a cloud.
pub(crate) fn azure_environment(schema: &mut Schema) {
    refuse_word(schema, "GermanCloud", "that cloud is closed");
    refuse_word(schema, "AzureStackCloud", "set vaultUrl and authorityHost");
}
