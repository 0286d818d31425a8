//! Azure as a stub plays it: Key Vault, Microsoft Entra's token endpoint, and a managed identity of App Service's kind, on
//! one TLS port. It is a stub because neither the service nor an emulator can be run here.

use std::ops::Deref;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;
use crate::stub::{Key, Stub};

/// The tenant of every application here.
pub const TENANT: &str = "11111111-2222-3333-4444-555555555555";

/// What an application may do unless the test says otherwise.
const ALL: [&str; 2] = ["get", "list"];

/// The stub. Its `url` is both the vault's and the authority host's; [`Stub`] has more.
pub struct KeyVault {
    stub: Stub,
}

impl KeyVault {
    /// Starts one; `name` names its folder in this run's.
    ///
    /// # Errors
    /// When it ends, or takes too long.
    pub async fn start(name: &str) -> Result<Self> {
        Ok(Self { stub: Stub::start("keyvault", name, true).await? })
    }

    /// Where the managed identity is: the value of `IDENTITY_ENDPOINT`. In the clear, as machines have it.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn identity_endpoint(&self) -> Result<String> {
        let port = self.tell("plain", json!({})).await?["port"].as_u64().context("the stub listens")?;
        Ok(format!("http://127.0.0.1:{port}/msi/token"))
    }

    /// An application of [`TENANT`] with a client secret. It may get and list.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn app_with_secret(&self, client: &str, secret: &str) -> Result<()> {
        self.app(client, json!({"secret": secret})).await
    }

    /// An application with a certificate. It may get and list.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn app_with_certificate(&self, client: &str) -> Result<Key> {
        let key = self.key().await?;
        self.app(client, json!({"thumbprint": key.thumbprint, "key": key.public})).await?;
        Ok(key)
    }

    /// An application that a ServiceAccount of this cluster speaks for, by its tokens for `api://AzureADTokenExchange`.
    /// It may get and list.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn app_with_account(
        &self,
        client: &str,
        plane: &ControlPlane,
        (namespace, account): (&str, &str),
    ) -> Result<()> {
        let federated = json!({
            "issuer": "https://kubernetes.default.svc",
            "subject": format!("system:serviceaccount:{namespace}:{account}"),
            "audience": "api://AzureADTokenExchange",
            "key": std::fs::read_to_string(&plane.certs.sa_pub)?,
        });
        self.app(client, federated).await
    }

    async fn app(&self, client: &str, mut credential: Value) -> Result<()> {
        credential["tenant"] = TENANT.into();
        credential["client"] = client.into();
        credential["permissions"] = json!(ALL);
        self.tell("app", credential).await?;
        Ok(())
    }

    /// The machine's managed identity; `header` is the value of `IDENTITY_HEADER`. It may get and list.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn managed_identity(&self, client: &str, header: &str) -> Result<()> {
        self.tell("machine", json!({"client": client, "header": header, "permissions": ALL})).await?;
        Ok(())
    }

    /// What an application may do from now on: any of `get` and `list`.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn may(&self, client: &str, permissions: &[&str]) -> Result<()> {
        self.tell("permissions", json!({"client": client, "permissions": permissions})).await?;
        Ok(())
    }

    /// A further version of a secret; gives its id.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn put(&self, name: &str, value: &str) -> Result<String> {
        self.put_with(name, json!({"value": value})).await
    }

    /// The same with more fields than `value`: `contentType`, `tags`, `enabled`, `managed`.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn put_with(&self, name: &str, mut fields: Value) -> Result<String> {
        fields["name"] = name.into();
        let made = self.tell("secret", fields).await?;
        made["version"].as_str().map(str::to_owned).context("the stub makes a version")
    }

    /// Turns all versions of a secret on or off.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn set_enabled(&self, name: &str, enabled: bool) -> Result<()> {
        self.tell("enabled", json!({"name": name, "enabled": enabled})).await?;
        Ok(())
    }

    /// Deletes a secret; [`Self::put`] brings the name back.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn delete(&self, name: &str) -> Result<()> {
        self.tell("deleted", json!({"name": name})).await?;
        Ok(())
    }
}

impl Deref for KeyVault {
    type Target = Stub;

    fn deref(&self) -> &Stub {
        &self.stub
    }
}
