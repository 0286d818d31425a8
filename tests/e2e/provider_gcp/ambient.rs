//! A store of the cluster that names no credentials acts as the operator's own process.

use anyhow::Result;
use serde_json::{Value, json};
use waxwing_tests::gsm::{ACCESSOR, Gsm};
use waxwing_tests::{ambient, block_on, process};

use super::{PARENT, PROJECT, READER};

/// Reads `db` in a process with these variables.
async fn read(gsm: &Gsm, env: &[(&str, &str)]) -> Result<Result<String, String>> {
    let provider = json!({"gcpsm": {"projectID": PROJECT, "endpoint": gsm.url}});
    ambient::read(env!("CARGO_BIN_EXE_ambient"), &provider, "db", env).await
}

#[test]
fn a_machine_and_a_credentials_file_are_identities() -> Result<()> {
    block_on(async {
        let gsm = Gsm::start("gcp-ambient").await?;
        gsm.put(PARENT, "db", b"one").await?;
        gsm.grant(READER, ACCESSOR, PROJECT).await?;
        gsm.machine(READER).await?;
        let home = process::folder("gcp-ambient-home").display().to_string();
        let machine = [("HOME", home.as_str()), ("GCE_METADATA_HOST", gsm.metadata_host())];
        assert_eq!(read(&gsm, &machine).await?, Ok("one".to_owned()));
        let calls = gsm.calls().await?;
        assert!(calls.iter().any(|call| call.note.contains_key("machine")), "{calls:?}");

        let key: Value = gsm.service_account_key(READER, PROJECT).await?;
        let file = format!("{home}/key.json");
        std::fs::write(&file, key.to_string())?;
        let by_file = [("HOME", home.as_str()), ("GOOGLE_APPLICATION_CREDENTIALS", file.as_str())];
        assert_eq!(read(&gsm, &by_file).await?, Ok("one".to_owned()));

        std::fs::write(&file, "canary")?;
        let bad = read(&gsm, &by_file).await?.unwrap_err();
        assert_eq!(bad, "db: the process has no identity that Google's library finds\n");
        Ok(())
    })
}
