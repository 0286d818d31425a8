//! What sealing costs at the command line: the time of a process, and the size of what comes out.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use waxwing_core::Secret;
use waxwing_core::keys::{Identity, NamedRecipient};
use waxwing_core::seal::Sealed;
use waxwing_crds::SealedSecretSpec;
use waxwing_tests::tools::{cli, tool};
use waxwing_tests::{process, ring};

use crate::peer::Peer;

/// Runs of each program, and of each size.
pub(crate) const RUNS: usize = 50;
pub(crate) const SIZES: usize = 100;

/// Both sides.
pub(crate) struct Cli {
    /// Mean wall-clock time of one process, in milliseconds.
    pub(crate) ours_ms: f64,
    pub(crate) peer_ms: f64,
    /// Ten keys of 32 bytes, for three recipients: the largest of [`SIZES`].
    pub(crate) ours_bytes: usize,
    /// The same, for the one recipient that the peer knows.
    pub(crate) peer_bytes: usize,
}

const MANIFEST: &str = "\
apiVersion: v1
kind: Secret
metadata:
  name: receivers
  namespace: monitoring
type: Opaque
stringData:
  pagerduty-key: 0123456789abcdef0123456789abcdef
";

/// Measures both.
pub(crate) fn measure(peer: &Peer) -> Result<Cli> {
    let dir = process::folder("cli");
    let manifest = dir.join("secret.yaml");
    std::fs::write(&manifest, MANIFEST)?;
    let recipients = recipients()?;
    let config = dir.join(".waxwing.yaml");
    let members: String = recipients
        .iter()
        .map(|named| format!("  {}: {{key: {}}}\n", named.name(), named.recipient()))
        .collect();
    let names: Vec<_> = recipients.iter().map(NamedRecipient::name).collect();
    let rules = format!("rules:\n- recipients: [{}]\n", names.join(", "));
    std::fs::write(&config, format!("version: 1\nrecipients:\n{members}{rules}"))?;

    let mut ours = Command::new(cli());
    ours.args(["--config".as_ref(), config.as_os_str(), "seal".as_ref(), manifest.as_os_str()]);
    let mut theirs = Command::new(tool("kubeseal"));
    theirs.args(["--format", "yaml", "--cert"]).arg(peer.certificate()).arg("--secret-file").arg(&manifest);
    let (ours_ms, peer_ms) = (mean(&mut ours, &dir)?, mean(&mut theirs, &dir)?);

    let values: Vec<_> = (0..10).map(|key| (format!("key-{key}"), format!("{key:032}"))).collect();
    let ours_bytes = (0..SIZES).map(|_| size(&recipients, &values)).collect::<Result<Vec<_>>>()?;
    Ok(Cli {
        ours_ms,
        peer_ms,
        ours_bytes: ours_bytes.into_iter().max().unwrap_or_default(),
        peer_bytes: peer.spec_of(&values)?.len(),
    })
}

fn recipients() -> Result<Vec<NamedRecipient>> {
    let new = |name| Ok(NamedRecipient::new(name, Identity::generate().recipient().clone())?);
    ["prod-eu", "prod-us", "recovery"].into_iter().map(new).collect()
}

fn size(recipients: &[NamedRecipient], values: &[(String, String)]) -> Result<usize> {
    let values = values.iter().map(|(key, value)| Ok((key.parse()?, Secret::new(value.as_bytes().to_vec()))));
    let values: Vec<_> = values.collect::<Result<_>>()?;
    let mut sealed = Sealed::empty(ring::binding("monitoring", "receivers"));
    sealed.seal(&values, recipients, ring::now())?;
    let mut spec = SealedSecretSpec::default();
    sealed.write_into(&mut spec);
    Ok(serde_json::to_string(&spec)?.len())
}

/// The mean wall-clock time of [`RUNS`] processes, in milliseconds; the first one, which fills caches, not counted.
fn mean(command: &mut Command, dir: &Path) -> Result<f64> {
    command.current_dir(dir).env("KUBECONFIG", "/dev/null").env("HOME", dir).stdin(Stdio::null());
    let mut sum = 0.0;
    for run in 0..=RUNS {
        command.stdout(File::create(dir.join("out"))?).stderr(File::create(dir.join("err"))?);
        let began = Instant::now();
        let status = command.status().context("a program to seal with")?;
        let took = began.elapsed().as_secs_f64() * 1000.0;
        ensure!(status.success(), "{}", std::fs::read_to_string(dir.join("err"))?);
        if run > 0 {
            sum += took;
        }
    }
    let out = std::fs::read_to_string(dir.join("out"))?;
    ensure!(out.contains("kind: SealedSecret"), "the output is no SealedSecret");
    Ok(sum / RUNS as f64)
}
