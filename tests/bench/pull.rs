//! Pulling: Waxwing beside External Secrets Operator, 2,000 ExternalSecrets of 3 keys over 200 paths of one Vault.
//!
//! Both run on the same API server and the same Vault, one after the other. Waxwing runs with its defaults, as the chart
//! installs it; the peer with an administrator's rights and with its concurrency and client limits raised as far as
//! helps it here.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use waxwing_crds::names;
use waxwing_tests::chart;
use waxwing_tests::control_plane::ControlPlane;
use waxwing_tests::operator::{Operator, Release};
use waxwing_tests::process::{self, Process};
use waxwing_tests::tools::tool;
use waxwing_tests::vault::{Mark, Vault};

use crate::account;
use crate::floor::Floor;
use crate::load::{self, KEYS, Kind, Place};
use crate::machine::Machine;
use crate::measure::{self, Converged, Restart};
use crate::side::{Edit, Side};

/// Paths that the objects are spread over.
const PATHS: usize = 200;
/// How often values are fetched again. A round is measured over two of them, so that each object has one for certain.
const INTERVAL: &str = "60s";
const ROUND: Duration = Duration::from_secs(60);

/// What one side did.
struct Measured {
    cold: Converged,
    /// Requests to Vault from the start until all had converged.
    requests: usize,
    round: Round,
    restart: Restart,
    requests_at_restart: usize,
}

/// One interval in which no value changed.
struct Round {
    cpu: f64,
    requests: usize,
    writes: usize,
}

/// Measures both, and gives the page.
pub(crate) async fn run(plane: &'static ControlPlane, count: usize, alone: bool) -> Result<String> {
    let vault = Arc::new(Vault::start("bench-vault").await?);
    for path in 0..PATHS {
        let values: Value = KEYS
            .iter()
            .enumerate()
            .map(|(key, name)| ((*name).to_owned(), json!(load::value(path, key, 0))))
            .collect();
        vault.put("secret", &format!("bench/{path:03}"), values).await?;
    }
    vault.policy("bench", "path \"secret/*\" { capabilities = [\"read\", \"list\"] }").await?;
    let token = vault.token("bench", "4h").await?;
    load::namespaces(&plane.admin).await?;
    let mut ours = Ours::install(plane, &vault, &token).await?;
    let floor = Floor::install(plane, Ours::KIND).await?;
    let objects = Arc::new(ours.objects(count)?);
    let before = floor.existing(plane, &objects).await?;
    let of_ours = measure(plane, &vault, &mut ours, &objects).await?;
    let after = floor.existing(plane, &objects).await?;
    let mut of_peer = None;
    if !alone {
        let mut peer = Peer::install(plane, &vault, &token).await?;
        let objects = Arc::new(peer.objects(count)?);
        of_peer = Some(measure(plane, &vault, &mut peer, &objects).await?);
    }
    Ok(page(count, [before, after], &of_ours, of_peer.as_ref()))
}

async fn measure<S: Side>(
    plane: &ControlPlane,
    vault: &Vault,
    side: &mut S,
    objects: &Arc<Vec<String>>,
) -> Result<Measured> {
    let mark = vault.mark();
    let cold = measure::cold(plane, side, objects).await?;
    let requests = asked(vault, mark);
    // What was made within the first interval is refreshed within the second.
    tokio::time::sleep(ROUND).await;
    let (mark, audit, used) = (vault.mark(), plane.audit.mark(), side.process()?.cpu());
    tokio::time::sleep(ROUND).await;
    let cpu = side.process()?.cpu().saturating_sub(used).as_secs_f64();
    let calls = plane.audit.since(audit, &side.user());
    let writes = calls.iter().filter(|call| call.is_write() && call.resource() != "leases").count();
    let round = Round { cpu, requests: asked(vault, mark), writes };
    let mark = vault.mark();
    let began = Instant::now();
    let restart = measure::restart(plane, side).await?;
    let requests_at_restart = if began.elapsed() < ROUND { asked(vault, mark) } else { 0 };
    side.stop().await?;
    load::remove(&plane.admin, S::KIND).await?;
    Ok(Measured { cold, requests, round, restart, requests_at_restart })
}

fn asked(vault: &Vault, mark: Mark) -> usize {
    vault.calls_since(mark).len()
}

/// An ExternalSecret of three properties of one path.
fn object(number: usize) -> Value {
    let path = format!("bench/{:03}", number % PATHS);
    let data: Vec<Value> = KEYS
        .iter()
        .map(|key| json!({"secretKey": key, "remoteRef": {"key": path, "property": key}}))
        .collect();
    json!({
        "refreshInterval": INTERVAL,
        "secretStoreRef": {"name": "bench", "kind": "ClusterSecretStore"},
        "data": data,
    })
}

fn objects(api_version: &str, count: usize) -> Vec<String> {
    let one = |number| {
        let Place { namespace, name } = Place::of(number);
        json!({
            "apiVersion": api_version, "kind": "ExternalSecret",
            "metadata": {"name": name, "namespace": namespace}, "spec": object(number),
        })
        .to_string()
    };
    (0..count).map(one).collect()
}

/// Waxwing.
struct Ours {
    release: Release,
    running: Option<Operator>,
    starts: usize,
}

impl Ours {
    async fn install(plane: &'static ControlPlane, vault: &Vault, token: &str) -> Result<Self> {
        let values = ["operator.logLevel=info", "stores.allowEndpoints={http://127.0.0.1}"];
        let release = Release::install(plane, "bench", None, &values).await?;
        let mut operator = release.start("first")?;
        operator.until_ready().await?;
        operator.terminate().await?;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "vault-token", "namespace": release.namespace},
            "stringData": {"token": token},
        });
        chart::apply(&plane.admin, &secret).await?;
        let store = json!({
            "apiVersion": names::API_VERSION, "kind": "ClusterSecretStore", "metadata": {"name": "bench"},
            "spec": {
                "provider": {"vault": {
                    "server": vault.url, "path": "secret", "version": "v2",
                    "auth": {"tokenSecretRef": {"name": "vault-token", "key": "token"}},
                }},
                "grants": [{"namespaceSelector": {}, "paths": ["bench/**"]}],
            },
        });
        chart::apply(&plane.admin, &store).await?;
        Ok(Self { release, running: None, starts: 0 })
    }
}

impl Side for Ours {
    const KIND: Kind = Kind {
        group: names::GROUP,
        version: names::VERSION,
        kind: "ExternalSecret",
        plural: "externalsecrets",
    };
    const NAME: &'static str = "waxwing";

    fn objects(&mut self, count: usize) -> Result<Vec<String>> {
        Ok(objects(names::API_VERSION, count))
    }

    fn edits(&mut self, _: usize, _: usize) -> Result<Vec<Edit>> {
        Ok(Vec::new())
    }

    fn start(&mut self) -> Result<()> {
        self.starts += 1;
        self.running = Some(self.release.start(&format!("replica-{}", self.starts))?);
        Ok(())
    }

    async fn stop(&mut self) -> Result<()> {
        if let Some(mut operator) = self.running.take() {
            operator.terminate().await?;
        }
        Ok(())
    }

    fn process(&mut self) -> Result<&mut Process> {
        Ok(self.running.as_mut().context("the operator is not started")?.process_mut())
    }

    fn user(&self) -> String {
        self.release.user()
    }
}

/// External Secrets Operator.
struct Peer {
    kubeconfig: PathBuf,
    dir: PathBuf,
    running: Option<Process>,
}

/// Its namespace and its account.
const NAMESPACE: &str = "external-secrets";

impl Peer {
    async fn install(plane: &'static ControlPlane, vault: &Vault, token: &str) -> Result<Self> {
        let account = account::administrator(plane, NAMESPACE).await?;
        let folder =
            std::env::var_os("WAXWING_BENCH_PULL_CRDS").context("WAXWING_BENCH_PULL_CRDS is not set")?;
        let mut crds = Vec::new();
        for file in std::fs::read_dir(Path::new(&folder)).context("the CRDs of External Secrets Operator")? {
            let path = file?.path();
            let text = std::fs::read_to_string(&path)?;
            if text.contains("kind: CustomResourceDefinition") {
                crds.extend(chart::objects(&text)?);
            }
        }
        chart::install_crds(&plane.admin, &crds).await?;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "vault-token", "namespace": NAMESPACE},
            "stringData": {"token": token},
        });
        chart::apply(&plane.admin, &secret).await?;
        let store = json!({
            "apiVersion": "external-secrets.io/v1", "kind": "ClusterSecretStore", "metadata": {"name": "bench"},
            "spec": {"provider": {"vault": {
                "server": vault.url, "path": "secret", "version": "v2",
                "auth": {"tokenSecretRef": {"name": "vault-token", "key": "token", "namespace": NAMESPACE}},
            }}},
        });
        chart::apply(&plane.admin, &store).await?;
        let dir = process::folder(NAMESPACE);
        let kubeconfig = dir.join("kubeconfig");
        std::fs::write(&kubeconfig, plane.kubeconfig(&plane.url, &account, NAMESPACE))?;
        Ok(Self { kubeconfig, dir, running: None })
    }
}

impl Side for Peer {
    const KIND: Kind = Kind {
        group: "external-secrets.io",
        version: "v1",
        kind: "ExternalSecret",
        plural: "externalsecrets",
    };
    const NAME: &'static str = "external-secrets";

    fn objects(&mut self, count: usize) -> Result<Vec<String>> {
        Ok(objects("external-secrets.io/v1", count))
    }

    fn edits(&mut self, _: usize, _: usize) -> Result<Vec<Edit>> {
        Ok(Vec::new())
    }

    fn start(&mut self) -> Result<()> {
        let listen = format!("--metrics-addr=127.0.0.1:{}", process::free_port());
        let tuned = ["--concurrent=100", "--client-qps=2000", "--client-burst=4000"].map(str::to_owned);
        let args: Vec<String> = tuned.into_iter().chain([listen]).collect();
        let env = vec![("KUBECONFIG".to_owned(), self.kubeconfig.display().to_string())];
        self.running = Some(Process::start("controller", &tool("external-secrets"), &args, &env, &self.dir)?);
        Ok(())
    }

    async fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.running.take() {
            process.terminate(Duration::from_secs(30)).await?;
        }
        Ok(())
    }

    fn process(&mut self) -> Result<&mut Process> {
        self.running.as_mut().context("the controller is not started")
    }

    fn user(&self) -> String {
        account::user(NAMESPACE)
    }
}

fn page(count: usize, floor: [f64; 2], ours: &Measured, peer: Option<&Measured>) -> String {
    let mean = (floor[0] + floor[1]) / 2.0;
    let mut rows = String::new();
    let mut row = |what: &str, target: String, met: bool, of: &dyn Fn(&Measured) -> String| {
        let theirs = peer.map_or_else(|| "—".to_owned(), of);
        let met = if met { "yes" } else { "**no**" };
        rows.push_str(&format!("| {what} | {target} | {} | {theirs} | {met} |\n", of(ours)));
    };
    let mb = |megabytes: f64| format!("{megabytes:.0} MB");
    let writes = |measured: &Measured| measured.restart.writes.values().sum::<usize>();
    row(
        "converged after a start",
        format!("≤ 1.5 × floor, {:.2} s", 1.5 * mean),
        ours.cold.seconds <= 1.5 * mean,
        &|side| format!("{:.2} s", side.cold.seconds),
    );
    row("requests to Vault until then", "≤ 210".to_owned(), ours.requests <= 210, &|side| {
        side.requests.to_string()
    });
    row("most memory until then", "≤ 60 MB".to_owned(), ours.cold.memory.most_mb <= 60.0, &|side| {
        mb(side.cold.memory.most_mb)
    });
    row("CPU until then", "—".to_owned(), true, &|side| format!("{:.2} s", side.cold.cpu));
    row(
        "a refresh round without a change: requests to Vault",
        "≤ 210".to_owned(),
        ours.round.requests <= 210,
        &|side| side.round.requests.to_string(),
    );
    row("the same: CPU", "≤ 1 s".to_owned(), ours.round.cpu <= 1.0, &|side| {
        format!("{:.2} s", side.round.cpu)
    });
    row("the same: writes", "none".to_owned(), ours.round.writes == 0, &|side| side.round.writes.to_string());
    row("restart with nothing to do: CPU", "—".to_owned(), true, &|side| {
        format!("{:.2} s", side.restart.cpu)
    });
    row("the same: writes", "none".to_owned(), writes(ours) == 0, &|side| writes(side).to_string());
    row("the same: requests to Vault", "—".to_owned(), true, &|side| side.requests_at_restart.to_string());
    format!(
        "# Benchmarks of pulling\n\n\
         Made by `tests/bench/run --pull`, which measures Waxwing and External Secrets Operator v0.19.2 in turn on one \
         real API server and one real Vault 1.19. Do not edit by hand.\n\n\
         {count} ExternalSecrets of {} keys over {PATHS} paths of one Vault, through a ClusterSecretStore, with a \
         refresh interval of {INTERVAL}. Waxwing runs with its defaults, the peer with 100 workers and raised limits. \
         The floor of this run, the same writes by a plain client: {:.2} s before and {:.2} s after Waxwing's turn.\n\n\
         | | target | Waxwing | External Secrets Operator | met |\n|---|---|---|---|---|\n{rows}\n\
         {}\n",
        KEYS.len(),
        floor[0],
        floor[1],
        machine(),
    )
}

fn machine() -> String {
    let Machine { cores, processor, memory_gib, kernel, rust, go } = Machine::here();
    format!("{cores} cores ({processor}), {memory_gib} GiB of memory, Linux {kernel}, {rust}, {go}")
}
