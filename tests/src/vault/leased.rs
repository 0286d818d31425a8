//! What Vault gives out for a time: engines with leases, and how a test looks at leases and ends them.

use anyhow::Result;
use serde_json::json;

use super::Vault;
use crate::postgres::Postgres;

impl Vault {
    /// The database engine at `mount`, with a role that makes PostgreSQL users: `MOUNT/creds/ROLE` is to be read. The
    /// times are such as `1h`.
    ///
    /// # Errors
    /// When Vault or the database refuses.
    pub async fn database(
        &self,
        database: &Postgres,
        mount: &str,
        role: &str,
        (ttl, max_ttl): (&str, &str),
    ) -> Result<()> {
        self.write(&format!("sys/mounts/{mount}"), json!({"type": "database"})).await?;
        let config = json!({
            "plugin_name": "postgresql-database-plugin", "allowed_roles": [role],
            "connection_url": database.url_template(),
            "username": database.user, "password": database.password,
        });
        self.write(&format!("{mount}/config/postgres"), config).await?;
        let make = "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'";
        let body = json!({
            "db_name": "postgres", "creation_statements": [make], "default_ttl": ttl, "max_ttl": max_ttl,
        });
        self.write(&format!("{mount}/roles/{role}"), body).await?;
        Ok(())
    }

    /// PKI at `mount`, with a role for names below `example.test`: `MOUNT/issue/ROLE` is to be written. Its leases do not
    /// renew.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn pki(&self, mount: &str, role: &str, ttl: &str) -> Result<()> {
        self.write(&format!("sys/mounts/{mount}"), json!({"type": "pki"})).await?;
        let root = json!({"common_name": "example.test", "key_type": "ec", "ttl": "24h"});
        self.write(&format!("{mount}/root/generate/internal"), root).await?;
        let body = json!({
            "allowed_domains": ["example.test"], "allow_subdomains": true, "key_type": "ec", "ttl": ttl,
            "generate_lease": true,
        });
        self.write(&format!("{mount}/roles/{role}"), body).await?;
        Ok(())
    }

    /// The ids of the leases that are alive below a path such as `database/creds/reader`.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn leases(&self, path: &str) -> Result<Vec<String>> {
        let keys = self.list(&format!("sys/leases/lookup/{path}")).await?;
        Ok(keys.into_iter().map(|key| format!("{path}/{key}")).collect())
    }

    /// Revokes all leases below a path. Of `auth/MOUNT` these are the tokens that logged in there.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn revoke_below(&self, path: &str) -> Result<()> {
        self.write(&format!("sys/leases/revoke-prefix/{path}"), json!({"sync": true})).await?;
        Ok(())
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn revoke(&self, token: &str) -> Result<()> {
        self.write("auth/token/revoke", json!({"token": token})).await?;
        Ok(())
    }
}
