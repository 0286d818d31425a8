//! Waxwing beside sealed-secrets on one real API server. Start it by `tests/bench/run`, which builds what it needs.

#![expect(clippy::print_stdout, reason = "a benchmark says how far it is, and its result")]

mod account;
mod cli;
mod core_cost;
mod floor;
mod load;
mod machine;
mod measure;
mod observe;
mod ours;
mod peer;
mod pull;
mod report;
mod side;

use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail};
use waxwing_tests::control_plane::{self, ControlPlane};
use waxwing_tests::tools::{root, tool};

use crate::floor::Floor;
use crate::load::Kind;
use crate::machine::{Machine, Others};
use crate::measure::Pace;
use crate::ours::Ours;
use crate::peer::Peer;
use crate::report::{Operator, Results, Size, Versions};
use crate::side::Side;

/// What is asked for.
struct Options {
    quick: bool,
    /// Only these numbers of objects, instead of the usual ones.
    sizes: Vec<usize>,
    /// Waxwing and the floor on the API server, and nothing else.
    alone: bool,
    /// ExternalSecrets instead of SealedSecrets.
    pull: bool,
}

fn main() -> Result<()> {
    let mut options = Options { quick: false, sizes: Vec::new(), alone: false, pull: false };
    for arg in std::env::args().skip(1) {
        match arg.as_str() {
            "--quick" => options.quick = true,
            "--alone" => options.alone = true,
            "--pull" => options.pull = true,
            number => match number.parse() {
                Ok(count) => options.sizes.push(count),
                Err(_) => bail!("unknown argument {arg}; see tests/bench/run --help"),
            },
        }
    }
    let began = Instant::now();
    if options.pull {
        let count = options.sizes.first().copied().unwrap_or(2000);
        let page = waxwing_tests::block_on(async {
            pull::run(control_plane::main().await, count, options.alone).await
        })?;
        println!("\n{page}");
        if !options.alone && options.sizes.is_empty() {
            std::fs::write(root().join("docs/BENCHMARKS-PULL.md"), &page)?;
            println!("written: docs/BENCHMARKS-PULL.md");
        }
        return Ok(());
    }
    let results = waxwing_tests::block_on(run(&options, began))?;
    let document = results.document();
    if options.quick || options.alone || !options.sizes.is_empty() {
        println!("\n{document}");
    } else {
        let path = root().join("docs/BENCHMARKS.md");
        std::fs::write(&path, &document)?;
        println!(
            "\n{}\nwritten: docs/BENCHMARKS.md",
            document.split("## Machine").next().unwrap_or_default()
        );
    }
    Ok(())
}

async fn run(options: &Options, began: Instant) -> Result<Results> {
    let sizes = match (&options.sizes[..], options.quick) {
        ([], true) => vec![200],
        ([], false) => vec![2000, 10_000],
        (sizes, _) => sizes.to_vec(),
    };
    let others = Others::watch();
    let step = |what: &str| println!("{:6.1} s  {what}", began.elapsed().as_secs_f64());
    let mut open = None;
    if !options.alone {
        step("opening, without an API server");
        open = Some(core_cost::measure()?);
    }
    step("starting etcd, kube-apiserver and kube-controller-manager");
    let plane = control_plane::main().await;
    load::namespaces(&plane.admin).await?;
    let mut ours = Ours::install(plane).await?;
    let floor = Floor::install(plane, Ours::KIND).await?;
    let (mut peer, mut cli) = (None, None);
    if !options.alone {
        step("sealing at the command line");
        let installed = Peer::install(plane).await?;
        cli = Some(cli::measure(&installed)?);
        peer = Some(installed);
    }
    let mut measured = Vec::new();
    for (place, count) in sizes.into_iter().enumerate() {
        step(&format!("{count} objects: the floor"));
        let objects = Arc::new(ours.objects(count)?);
        let before = floor.existing(plane, &objects).await?;
        step(&format!("{count} objects: {}", Ours::NAME));
        let edits = if place == 0 { 200.min(count / 10) } else { 0 };
        let of_ours = operator(plane, &mut ours, &objects, edits).await?;
        step(&format!("{count} objects: the floor again"));
        let after = floor.existing(plane, &objects).await?;
        let floor_live = floor.live(plane, &objects).await?;
        let mut of_peer = None;
        if let (0, Some(peer)) = (place, &mut peer) {
            step(&format!("{count} objects: {}", Peer::NAME));
            let objects = Arc::new(peer.objects(count)?);
            of_peer = Some(operator(plane, peer, &objects, edits).await?);
        }
        measured.push(Size { count, floor: [before, after], floor_live, ours: of_ours, peer: of_peer });
    }
    step("done");
    Ok(Results {
        machine: Machine::here(),
        versions: versions(plane).await?,
        others: others.percent(),
        minutes: began.elapsed().as_secs_f64() / 60.0,
        open,
        cli,
        sizes: measured,
    })
}

/// All measurements of one operator with one number of objects. Nothing of it is left afterwards.
async fn operator<S: Side>(
    plane: &ControlPlane,
    side: &mut S,
    objects: &Arc<Vec<String>>,
    edits: usize,
) -> Result<Operator> {
    let cold = measure::cold(plane, side, objects).await?;
    println!("          {} after a start: {:.2} s", S::NAME, cold.seconds);
    let restart = measure::restart(plane, side).await?;
    println!("          {} restarted: {:.2} s of CPU", S::NAME, restart.cpu);
    let mut latency = None;
    if edits > 0 {
        let settled = measure::latency::<S>(plane, side.edits(edits, 0)?, Pace::Settled).await?;
        let back_to_back = measure::latency::<S>(plane, side.edits(edits, 1)?, Pace::BackToBack).await?;
        latency = Some([settled, back_to_back]);
    }
    clear(plane, side, S::KIND).await?;
    let live = measure::live(plane, side, objects).await?;
    println!("          {} running: {:.2} s", S::NAME, live.seconds);
    clear(plane, side, S::KIND).await?;
    Ok(Operator { cold, restart, latency, live })
}

async fn clear<S: Side>(plane: &ControlPlane, side: &mut S, kind: Kind) -> Result<()> {
    side.stop().await?;
    load::remove(&plane.admin, kind).await
}

async fn versions(plane: &ControlPlane) -> Result<Versions> {
    let says = |program: &str| -> Result<String> {
        let output = Command::new(tool(program)).arg("--version").output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().next().unwrap_or_default().to_owned())
    };
    Ok(Versions {
        api_server: plane.admin.apiserver_version().await?.git_version,
        etcd: says("etcd")?.replace("etcd Version: ", "etcd "),
        peer: says("kubeseal")?.rsplit(' ').next().unwrap_or_default().to_owned(),
    })
}
