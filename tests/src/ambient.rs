//! Starts `tests/ambient`: a process with an identity of its own, which reads one entry as that.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// Reads an entry in a process with only these variables. Gives the value, or what the failure says.
///
/// # Errors
/// When the program cannot be started.
pub async fn read(
    program: &str,
    provider: &Value,
    key: &str,
    env: &[(&str, &str)],
) -> Result<Result<String, String>> {
    let output = tokio::process::Command::new(Path::new(program))
        .args([&provider.to_string(), key])
        .env_clear()
        .envs(env.iter().copied())
        .kill_on_drop(true)
        .output()
        .await
        .context("tests/ambient starts")?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) })
}
