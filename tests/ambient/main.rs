//! Reads one entry of a store that names no credentials: as whoever this process is.
//!
//! Who that is stands in the environment, which a test cannot change for itself alone, so it starts this.
//! `ambient PROVIDER KEY`, where PROVIDER is `spec.provider` of a ClusterSecretStore as JSON. The value goes to standard
//! output; a failure ends with 1, and what it says goes to standard error.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use waxwing_core::store::Read;
use waxwing_core::store::endpoint::Allow;
use waxwing_providers::{Place, Rules};
use waxwing_tests::kept::Kept;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match read().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell.
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

async fn read() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let provider = serde_json::from_str(&args.next().context("no provider")?)?;
    let key = args.next().context("no key")?;
    let place = Place {
        namespace: None,
        store: "ambient".to_owned(),
        ambient: true,
        rules: Rules::new(Allow::parse(["http://127.0.0.1"])?),
    };
    let provider = waxwing_providers::connect(&provider, &place, Arc::new(Kept::default()))?;
    let entry = provider.read(&[Read { key, ..Read::default() }]).await.remove(0)?;
    std::io::stdout().write_all(entry.value.expose())?;
    Ok(())
}
