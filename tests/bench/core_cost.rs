//! What opening costs on one core, without any API server.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::peer;

/// How many identities are at hand.
pub(crate) const RINGS: [usize; 3] = [1, 12, 120];

/// Medians in microseconds, for [`RINGS`].
pub(crate) struct OpenCost {
    pub(crate) ours: [f64; 3],
    pub(crate) peer: [f64; 3],
}

/// Runs the benchmarks of both libraries.
pub(crate) fn measure() -> Result<OpenCost> {
    let program = std::env::var_os("WAXWING_BENCH_SEAL").context("WAXWING_BENCH_SEAL is not set")?;
    let output = Command::new(program)
        .args(["--bench", "open_three_values"])
        .output()
        .context("the core's benchmark")?;
    ensure!(output.status.success(), "the core's benchmark: {}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8(output.stdout)?;
    let lines = peer::call(&["open", "1", "12", "120"], None)?;
    let (mut ours, mut peer) = ([0.0; 3], [0.0; 3]);
    for (place, count) in RINGS.into_iter().enumerate() {
        ours[place] = median(&table, count).with_context(|| format!("there is no row {count}:\n{table}"))?;
        let line = lines.lines().find_map(|line| line.strip_prefix(&format!("{count} ")));
        peer[place] = line.context("the peer's program has no such line")?.parse::<f64>()? / 1000.0;
    }
    Ok(OpenCost { ours, peer })
}

/// The median of one row of divan's table, in microseconds.
fn median(table: &str, row: usize) -> Option<f64> {
    let line = table.lines().find_map(|line| {
        let line = line.trim_start_matches(['│', '├', '╰', '─', ' ']);
        line.strip_prefix(&format!("{row} "))
    })?;
    let (value, unit) = line.split('│').nth(2)?.trim().split_once(' ')?;
    let factor = match unit {
        "ns" => 1e-3,
        "µs" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => return None,
    };
    value.parse::<f64>().ok().map(|value| value * factor)
}
