//! What amtool thinks of a configuration.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, ensure};

use crate::process;
use crate::tools::tool;

/// The newest amtool, and the one that Debian has: 0.34 and 0.25.
pub const BOTH: [&str; 2] = ["amtool", "amtool-old"];

/// Whether a configuration is one for all of these amtools.
///
/// # Errors
/// What one of them says against it.
pub fn takes(tools: &[&str], config: &str) -> Result<()> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let file = process::folder(&format!("amtool-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
        .join("alertmanager.yaml");
    std::fs::write(&file, config)?;
    for name in tools {
        let output = Command::new(tool(name)).arg("check-config").arg(&file).output()?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        ensure!(output.status.success(), "{name}: {said}\n{config}");
    }
    Ok(())
}
