//! Google Cloud as a stub plays it: Secret Manager, the Security Token Service, IAM credentials and the metadata server,
//! on one port in the clear. It is a stub because neither the service nor an emulator that speaks REST can be run here.

use std::ops::Deref;

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;
use crate::stub::Stub;

/// May read values.
pub const ACCESSOR: &str = "roles/secretmanager.secretAccessor";

/// May list secrets and versions, and see what they are but not their values.
pub const VIEWER: &str = "roles/secretmanager.viewer";

/// May impersonate a service account.
pub const WORKLOAD_IDENTITY_USER: &str = "roles/iam.workloadIdentityUser";

/// The stub. Its `url` is the endpoint of Secret Manager; [`Stub`] has more.
pub struct Gsm {
    stub: Stub,
}

impl Gsm {
    /// Starts one; `name` names its folder in this run's.
    ///
    /// # Errors
    /// When it ends, or takes too long.
    pub async fn start(name: &str) -> Result<Self> {
        Ok(Self { stub: Stub::start("gsm", name, false).await? })
    }

    /// Where a ServiceAccount's token is exchanged: `token_url` of a credential configuration.
    #[must_use]
    pub fn sts_url(&self) -> String {
        format!("{}/v1/token", self.url)
    }

    /// Where an account is impersonated: `service_account_impersonation_url` of a credential configuration.
    #[must_use]
    pub fn impersonation_url(&self, email: &str) -> String {
        format!("{}/v1/projects/-/serviceAccounts/{email}:generateAccessToken", self.url)
    }

    /// The value of `GCE_METADATA_HOST`.
    #[must_use]
    pub fn metadata_host(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// A service account with a new key: gives the key's file. It may do nothing yet: see [`Self::grant`].
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn service_account_key(&self, email: &str, project: &str) -> Result<Value> {
        let key = self.key().await?;
        self.tell("account", json!({"email": email, "id": key.thumbprint, "key": key.public})).await?;
        Ok(json!({
            "type": "service_account", "project_id": project, "private_key_id": key.thumbprint,
            "private_key": key.private, "client_email": email, "client_id": "1".repeat(21),
            "auth_uri": format!("{}/auth", self.url), "token_uri": format!("{}/token", self.url),
            "universe_domain": "googleapis.com",
        }))
    }

    /// Deletes all keys of a service account.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn delete_keys(&self, email: &str) -> Result<()> {
        self.tell("keyless", json!({"email": email})).await?;
        Ok(())
    }

    /// Grants a role to a principal (an email, or what [`Self::pool`] makes of a ServiceAccount) `on` a project or, for
    /// [`WORKLOAD_IDENTITY_USER`], on a service account.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn grant(&self, principal: &str, role: &str, on: &str) -> Result<()> {
        self.tell("grant", json!({"principal": principal, "role": role, "on": on})).await?;
        Ok(())
    }

    /// Takes every role and every token from a principal, and every token from everybody else.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn revoke(&self, principal: &str) -> Result<()> {
        self.tell("revoke", json!({"principal": principal})).await?;
        Ok(())
    }

    /// A workload identity pool: a token of the cluster's ServiceAccounts for `token_audience` is exchanged, where
    /// `audience` is asked for, for one of the principal `PREFIX` + `system:serviceaccount:NAMESPACE:NAME`.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn pool(
        &self,
        audience: &str,
        plane: &ControlPlane,
        token_audience: &str,
        prefix: &str,
    ) -> Result<()> {
        let pool = json!({
            "name": audience, "issuer": "https://kubernetes.default.svc", "audience": token_audience,
            "principal": prefix, "key": std::fs::read_to_string(&plane.certs.sa_pub)?,
        });
        self.tell("pool", pool).await?;
        Ok(())
    }

    /// From now on there is a metadata server, and this is the machine's service account.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn machine(&self, email: &str) -> Result<()> {
        self.tell("machine", json!({"email": email})).await?;
        Ok(())
    }

    /// A further version of a secret; gives its number. `parent` is such as `projects/p` or `projects/p/locations/l`.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn put(&self, parent: &str, name: &str, value: &[u8]) -> Result<u64> {
        self.put_with(parent, name, value, json!({})).await
    }

    /// The same with more fields: `labels`, `annotations`, and `aliases` from names to versions.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn put_with(&self, parent: &str, name: &str, value: &[u8], mut fields: Value) -> Result<u64> {
        fields["name"] = format!("{parent}/secrets/{name}").into();
        fields["data"] = BASE64_STANDARD.encode(value).into();
        self.tell("secret", fields).await?["version"].as_u64().context("the stub makes a version")
    }

    /// Sets a version's state: `ENABLED`, `DISABLED`, `DESTROYED`.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn set_state(&self, parent: &str, name: &str, version: u64, state: &str) -> Result<()> {
        let name = format!("{parent}/secrets/{name}");
        self.tell("state", json!({"name": name, "version": version, "state": state})).await?;
        Ok(())
    }

    /// From now on a version's data is not what its checksum says.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn damage(&self, parent: &str, name: &str, version: u64) -> Result<()> {
        let name = format!("{parent}/secrets/{name}");
        self.tell("damage", json!({"name": name, "version": version})).await?;
        Ok(())
    }
}

impl Deref for Gsm {
    type Target = Stub;

    fn deref(&self) -> &Stub {
        &self.stub
    }
}
