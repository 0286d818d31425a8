//! A store of the cluster that names no credentials acts as the operator's own process.

use anyhow::Result;
use serde_json::json;
use waxwing_tests::keyvault::{KeyVault, TENANT};
use waxwing_tests::{ambient, block_on, control_plane, process};

use super::{APP, logins};

/// Reads `db` in a process with these variables.
async fn read(vault: &KeyVault, kind: &str, env: &[(&str, &str)]) -> Result<Result<String, String>> {
    let provider = json!({"azurekv": {
        "vaultUrl": vault.url, "authorityHost": vault.url, "caBundle": vault.certs.ca_pem, "authType": kind,
    }});
    ambient::read(env!("CARGO_BIN_EXE_ambient"), &provider, "db", env).await
}

#[test]
fn a_managed_identity_is_that_of_the_machine() -> Result<()> {
    block_on(async {
        let vault = KeyVault::start("azure-managed").await?;
        vault.put("db", "one").await?;
        vault.managed_identity("machine", "canary-header").await?;
        let endpoint = vault.identity_endpoint().await?;
        let machine = |header: &'static str| {
            [("IDENTITY_ENDPOINT", endpoint.clone()), ("IDENTITY_HEADER", header.to_owned())]
        };
        let good = machine("canary-header");
        let good: Vec<_> = good.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(read(&vault, "ManagedIdentity", &good).await?, Ok("one".to_owned()));
        assert_eq!(logins(&vault).await?, 0, "Entra ID was not asked");
        let bad = machine("canary-wrong");
        let bad: Vec<_> = bad.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let said = read(&vault, "ManagedIdentity", &bad).await?.unwrap_err();
        assert_eq!(said, "db: no token was given for the identity\n");
        Ok(())
    })
}

#[test]
fn a_workload_identity_is_that_of_the_process() -> Result<()> {
    block_on(async {
        let vault = KeyVault::start("azure-process").await?;
        let plane = control_plane::main().await;
        plane.create_namespace("azure-process").await?;
        plane.service_account("azure-process", "operator").await?;
        vault.app_with_account(APP, plane, ("azure-process", "operator")).await?;
        vault.put("db", "one").await?;
        let token = plane.token("azure-process", "operator", &["api://AzureADTokenExchange"]).await?;
        let file = process::folder("azure-process-token").join("token");
        std::fs::write(&file, token)?;
        let file = file.display().to_string();
        let env = [
            ("AZURE_FEDERATED_TOKEN_FILE", file.as_str()),
            ("AZURE_CLIENT_ID", APP),
            ("AZURE_TENANT_ID", TENANT),
            // The store's own authority counts.
            ("AZURE_AUTHORITY_HOST", "https://127.0.0.1:1"),
        ];
        assert_eq!(read(&vault, "WorkloadIdentity", &env).await?, Ok("one".to_owned()));
        assert_eq!(logins(&vault).await?, 1);
        let said = read(&vault, "WorkloadIdentity", &env[..1]).await?.unwrap_err();
        assert_eq!(said, "db: no token was given for the identity\n");
        Ok(())
    })
}
