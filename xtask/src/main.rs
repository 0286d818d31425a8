//! Generation and checks that need the Rust types: `cargo xtask generate [--check]` and `cargo xtask tidy`.

mod api;
mod crds;
mod generate;
mod reference;
mod tidy;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "usage: cargo xtask generate [--check] | tidy";

fn main() -> ExitCode {
    let Err(error) = run() else { return ExitCode::SUCCESS };
    // Nothing can be said when even standard error is closed; the exit code tells.
    let _ = writeln!(io::stderr(), "xtask: error: {error:#}");
    ExitCode::FAILURE
}

fn run() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace");
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["generate"] => generate::write(root),
        ["generate", "--check"] => generate::check(root),
        ["tidy"] => tidy::check(root),
        _ => bail!(USAGE),
    }
}
