//! `waxwing store check` against the real Vault: what a user learns about a store before anything is committed.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use waxwing_tests::vault::{self, Vault};
use waxwing_tests::{process, scene, tools};

const CANARY: &str = "canary-of-store-check";

/// Runs `waxwing store check` on one SecretStore that logs in with this token.
fn check(vault: &Vault, folder: &Path, mount: &str, token: &str, more: &[&str]) -> Result<Output> {
    let stores = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "waxwing.dev/v1alpha1", "kind": "SecretStore", "metadata": {"name": "vault", "namespace": "web"},
         "spec": {"provider": {"vault": {"server": vault.url, "path": mount, "version": "v2",
                  "auth": {"tokenSecretRef": {"name": "token", "key": "token"}}}}}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token", "namespace": "web"}, "stringData": {"token": token}},
    ]});
    std::fs::write(folder.join("stores.yaml"), stores.to_string())?;
    let output = Command::new(tools::cli())
        .args(["store", "check", "stores.yaml", "--allow-endpoint", "http://127.0.0.1", "--output", "json"])
        .args(more)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .output()?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains(CANARY) && !said.contains(token), "{said}");
    Ok(output)
}

/// The steps of the one store, as name and reason.
fn steps(output: &Output) -> Result<Vec<(String, String)>> {
    let said = String::from_utf8_lossy(&output.stderr);
    let rows: Value = serde_json::from_slice(&output.stdout).with_context(|| said.into_owned())?;
    let steps = rows[0]["steps"].as_array().context("steps")?;
    let text = |step: &Value, name: &str| step[name].as_str().unwrap_or_default().to_owned();
    Ok(steps.iter().map(|step| (text(step, "step"), text(step, "reason"))).collect())
}

fn pairs(steps: &[(&str, &str)]) -> Vec<(String, String)> {
    steps.iter().map(|(step, reason)| ((*step).to_owned(), (*reason).to_owned())).collect()
}

/// L01. Guard: `store check` keeps of an entry its version only.
#[test]
fn a_store_of_vault_is_reached_and_what_would_not_work_has_its_reason() {
    scene::shared(async |scene| -> Result<()> {
        let (vault, mount) = (vault::shared().await, scene.namespace.as_str());
        let folder = process::folder(&format!("store-check-{mount}"));
        vault.mount_kv(mount, 2).await?;
        vault.put(mount, "app/db", json!({"password": CANARY})).await?;
        let rules = format!(
            "path \"{mount}/data/app/*\" {{ capabilities = [\"read\"] }}
             path \"{mount}/metadata/*\" {{ capabilities = [\"read\", \"list\"] }}"
        );
        vault.policy(mount, &rules).await?;
        let token = vault.token(mount, "1h").await?;
        let well = check(vault, &folder, mount, &token, &["--key", "app/db", "--find", "^app/"])?;
        assert!(well.status.success());
        assert_eq!(steps(&well)?, pairs(&[("connect", ""), ("log in", ""), ("read", ""), ("find", "")]));

        let missing = check(vault, &folder, mount, &token, &["--key", "app/none"])?;
        assert_eq!(missing.status.code(), Some(1));
        assert_eq!(steps(&missing)?.last(), pairs(&[("read", "EntryMissing")]).first());

        let forbidden = check(vault, &folder, mount, &token, &["--key", "other/db"])?;
        assert_eq!(steps(&forbidden)?.last(), pairs(&[("read", "ProviderForbidden")]).first());

        let unknown = check(vault, &folder, mount, "hvs.unknown-to-vault", &[])?;
        assert_eq!(unknown.status.code(), Some(1));
        assert_eq!(steps(&unknown)?.last().map(|(step, _)| step.as_str()), Some("log in"));
        Ok(())
    });
}
