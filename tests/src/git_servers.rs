//! Real Git servers on loopback: `git http-backend` behind lighttpd with TLS and passwords, and OpenSSH's sshd; the repository
//! that they serve, and the developer who works in it. The forges are a stub.

mod forge;
mod project;
mod ssh;
mod web;

pub use forge::{Forge, TOKEN};
pub use project::{Ended, Project};
pub use ssh::Ssh;
pub use web::{PASSWORD, USER, Web};

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Result;

/// Writes a program of a few lines.
///
/// # Errors
/// When it can't be written.
pub fn script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, format!("#!/bin/sh\n{text}\n"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// What a server's wrapper does before it serves a push: runs a program that a test has left there, once.
pub(crate) fn run_once(path: &Path) -> String {
    let path = path.display();
    format!("if [ -x '{path}' ]; then mv '{path}' '{path}.run' && '{path}.run' >&2; fi")
}
