//! `docs/BENCHMARKS.md`, made from one run. Nothing of it is written by hand.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::cli::{Cli, RUNS, SIZES};
use crate::core_cost::{OpenCost, RINGS};
use crate::load::{KEYS, WORKERS};
use crate::machine::Machine;
use crate::measure::{Converged, Latency, Restart};

/// Everything that one run has measured.
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) versions: Versions,
    /// How many per cent of the machine others have used meanwhile.
    pub(crate) others: f64,
    pub(crate) minutes: f64,
    pub(crate) open: Option<OpenCost>,
    pub(crate) cli: Option<Cli>,
    pub(crate) sizes: Vec<Size>,
}

/// What took part.
pub(crate) struct Versions {
    pub(crate) api_server: String,
    pub(crate) etcd: String,
    pub(crate) peer: String,
}

/// The measurements with one number of objects.
pub(crate) struct Size {
    pub(crate) count: usize,
    /// Seconds of the plain client: before ours and after.
    pub(crate) floor: [f64; 2],
    pub(crate) floor_live: f64,
    pub(crate) ours: Operator,
    pub(crate) peer: Option<Operator>,
}

/// One operator, with one number of objects.
pub(crate) struct Operator {
    pub(crate) cold: Converged,
    pub(crate) restart: Restart,
    /// With each pace: settled, back to back.
    pub(crate) latency: Option<[Latency; 2]>,
    pub(crate) live: Converged,
}

impl Size {
    fn floor(&self) -> f64 {
        self.floor.iter().sum::<f64>() / 2.0
    }
}

/// More per cent of the machine than this is a disturbance.
const QUIET: f64 = 5.0;

/// One row of the first table.
struct Goal {
    what: String,
    target: String,
    ours: String,
    peer: String,
    ratio: String,
    met: bool,
}

impl Results {
    /// The whole document.
    pub(crate) fn document(&self) -> String {
        let mut text = String::from("# Benchmarks\n\n");
        text.push_str(
            "Made by `tests/bench/run`, which measures Waxwing and sealed-secrets in turn on one real API server. \
             Do not edit by hand.\n\n",
        );
        if self.others > QUIET {
            line(
                &mut text,
                format_args!(
                    "**This run was disturbed: other processes used {:.0} % of the machine.** Ratios of neighbouring \
                     measurements say something, absolute times little.\n",
                    self.others,
                ),
            );
        }
        self.goals_table(&mut text);
        self.machine_section(&mut text);
        self.details(&mut text);
        text.push_str(METHOD);
        text
    }

    fn goals_table(&self, text: &mut String) {
        text.push_str(
            "## Result\n\n| | target | Waxwing | sealed-secrets | ratio | met |\n|---|---|---|---|---|---|\n",
        );
        for Goal { what, target, ours, peer, ratio, met } in self.goals() {
            let met = if met { "yes" } else { "**no**" };
            line(text, format_args!("| {what} | {target} | {ours} | {peer} | {ratio} | {met} |"));
        }
        text.push_str(
            "\nThe ratio is sealed-secrets to Waxwing; above 1, Waxwing is faster or smaller. For the time to \
             converge, the target is a multiple of the *floor*: the same writes by a plain client without \
             cryptography, in the same run.\n\n",
        );
    }

    /// The targets, and what became of them.
    fn goals(&self) -> Vec<Goal> {
        let open = self.open.iter().flat_map(OpenCost::goals);
        let sizes = self.sizes.iter().flat_map(Size::goals);
        let cli = self.cli.iter().flat_map(Cli::goals);
        open.chain(sizes).chain(cli).collect()
    }

    fn machine_section(&self, text: &mut String) {
        let Machine { cores, processor, memory_gib, kernel, rust, go } = &self.machine;
        let Versions { api_server, etcd, peer } = &self.versions;
        text.push_str("## Machine and versions\n\n");
        line(
            text,
            format_args!(
                "- {cores} cores ({processor}), {memory_gib} GiB of memory, Linux {kernel}; all that takes part shares them"
            ),
        );
        line(
            text,
            format_args!(
                "- Waxwing {} (release build, {rust}), sealed-secrets {peer} ({go})",
                env!("CARGO_PKG_VERSION")
            ),
        );
        line(
            text,
            format_args!(
                "- kube-apiserver {api_server}, {etcd} (without fsync), kube-controller-manager with the garbage collector"
            ),
        );
        line(
            text,
            format_args!(
                "- the measurements took {:.0} minutes; other processes used {:.1} % of the machine meanwhile\n",
                self.minutes, self.others,
            ),
        );
    }

    fn details(&self, text: &mut String) {
        if let Some(open) = &self.open {
            open.details(text);
        }
        for size in &self.sizes {
            size.details(text);
        }
    }
}

impl OpenCost {
    fn goals(&self) -> Vec<Goal> {
        let most = self.ours.into_iter().fold(0.0, f64::max);
        let least = self.ours.into_iter().fold(f64::MAX, f64::min);
        let ([ours, _, ours_120], [peer, _, peer_120]) = (self.ours, self.peer);
        vec![
            Goal {
                what: "open a resource of 3 values, one core".to_owned(),
                target: "≥ 100 × faster".to_owned(),
                ours: microseconds(ours),
                peer: microseconds(peer),
                ratio: times(peer / ours),
                met: peer / ours >= 100.0,
            },
            Goal {
                what: "the same with 120 keys at hand".to_owned(),
                target: "as with one".to_owned(),
                ours: microseconds(ours_120),
                peer: microseconds(peer_120),
                ratio: times(peer_120 / ours_120),
                met: most / least <= 1.15,
            },
        ]
    }

    fn details(&self, text: &mut String) {
        text.push_str(
            "## Opening\n\nMedian to open one resource of three values of 32 bytes, on one core.\n\n",
        );
        text.push_str("| identities at hand | Waxwing | sealed-secrets | ratio |\n|---|---|---|---|\n");
        for (place, count) in RINGS.into_iter().enumerate() {
            let (ours, peer) = (self.ours[place], self.peer[place]);
            let (ratio, ours, peer) = (times(peer / ours), microseconds(ours), microseconds(peer));
            line(text, format_args!("| {count} | {ours} | {peer} | {ratio} |"));
        }
        text.push('\n');
    }
}

impl Cli {
    fn goals(&self) -> Vec<Goal> {
        let &Self { ours_ms, peer_ms, ours_bytes, peer_bytes } = self;
        vec![
            Goal {
                what: "command line: seal a small manifest".to_owned(),
                target: "≤ 10 ms".to_owned(),
                ours: milliseconds(ours_ms),
                peer: milliseconds(peer_ms),
                ratio: times(peer_ms / ours_ms),
                met: ours_ms <= 10.0,
            },
            Goal {
                what: "`spec` of 10 keys × 32 bytes; ours for 3 recipients, theirs for 1".to_owned(),
                target: "≤ 2,800 bytes".to_owned(),
                ours: format!("{} bytes", thousands(ours_bytes)),
                peer: format!("{} bytes", thousands(peer_bytes)),
                ratio: times(peer_bytes as f64 / ours_bytes as f64),
                met: ours_bytes <= 2800,
            },
        ]
    }
}

impl Size {
    fn goals(&self) -> Vec<Goal> {
        let (count, floor) = (thousands(self.count), self.floor());
        let peer = |value: &dyn Fn(&Operator) -> f64, show: fn(f64) -> String, ours: f64| match &self.peer {
            Some(peer) => (show(value(peer)), times(value(peer) / ours)),
            None => ("—".to_owned(), "—".to_owned()),
        };
        let mut goals = Vec::new();
        let mut push = |what: String,
                        target: String,
                        value: &dyn Fn(&Operator) -> f64,
                        show: fn(f64) -> String,
                        met: &dyn Fn(f64) -> bool| {
            let ours = value(&self.ours);
            let (peer, ratio) = peer(value, show, ours);
            goals.push(Goal { what, target, ours: show(ours), peer, ratio, met: met(ours) });
        };
        push(
            format!("{count} objects converged after a start"),
            format!("≤ 1.5 × floor, {}", seconds(1.5 * floor)),
            &|side| side.cold.seconds,
            seconds,
            &|ours| ours <= 1.5 * floor,
        );
        let limit = match self.count {
            ..=2000 => 40.0,
            _ => 90.0,
        };
        push(
            format!("most memory until then, {count} objects"),
            format!("≤ {limit} MB"),
            &|side| side.cold.memory.most_mb,
            megabytes,
            &|ours| ours <= limit,
        );
        if self.ours.latency.is_some() {
            push(
                format!("restart with nothing to do, {count} objects: CPU"),
                "≤ 1 s".to_owned(),
                &|side| side.restart.cpu,
                seconds,
                &|ours| ours <= 1.0,
            );
        }
        push(
            format!("restart with nothing to do, {count} objects: writes"),
            "none but the Lease".to_owned(),
            &|side| side.restart.writes.values().sum::<usize>() as f64,
            |writes| thousands(writes as usize),
            &|ours| ours < 1.0,
        );
        if self.ours.latency.is_some() {
            for (what, target, p99) in [("median", 8.0, false), ("p99", 25.0, true)] {
                let value = move |side: &Operator| {
                    side.latency
                        .map_or(f64::NAN, |[latency, _]| if p99 { latency.p99 } else { latency.median })
                };
                let what = format!("edit to Secret with {count} objects, {what}");
                push(what, format!("≤ {target} ms"), &value, milliseconds, &|ours| ours <= target);
            }
        }
        goals
    }

    fn details(&self, text: &mut String) {
        line(text, format_args!("## {} objects of {} values\n", thousands(self.count), KEYS.len()));
        let [before, after] = self.floor;
        let (floor, live) = (self.floor(), self.floor_live);
        line(
            text,
            format_args!(
                "The floor: {} for Secrets and statuses of objects that are there ({} before, {} after Waxwing's turn), \
                 {} when the objects are made as well; {WORKERS} workers.\n",
                seconds(floor),
                seconds(before),
                seconds(after),
                seconds(live),
            ),
        );
        let sides: Vec<&Operator> = [Some(&self.ours), self.peer.as_ref()].into_iter().flatten().collect();
        text.push_str(if sides.len() == 2 {
            "| | Waxwing | sealed-secrets |\n|---|---|---|\n"
        } else {
            "| | Waxwing |\n|---|---|\n"
        });
        let mut row = |what: &str, cell: &dyn Fn(&Operator) -> String| {
            let cells: Vec<_> = sides.iter().map(|side| cell(side)).collect();
            line(text, format_args!("| {what} | {} |", cells.join(" | ")));
        };
        row("start to converged", &|side| {
            format!("{}, {} floor", seconds(side.cold.seconds), times(side.cold.seconds / floor))
        });
        row("— CPU", &|side| seconds(side.cold.cpu));
        row("— memory: most, and a second later", &|side| memory(&side.cold.memory));
        row("— writes", &|side| writes(&side.cold.writes));
        row("running, objects made by 32 workers: to converged", &|side| {
            format!("{}, {} floor", seconds(side.live.seconds), times(side.live.seconds / live))
        });
        row("— CPU", &|side| seconds(side.live.cpu));
        row("— memory: most, and a second later", &|side| memory(&side.live.memory));
        row("— writes", &|side| writes(&side.live.writes));
        row("restart with nothing to do: CPU", &|side| seconds(side.restart.cpu));
        row("— memory: most, and at rest", &|side| memory(&side.restart.memory));
        row("— writes but for leases", &|side| writes(&side.restart.writes));
        if self.ours.latency.is_some() {
            for (pace, what) in ["edit to Secret: median, p99", "— back to back"].into_iter().enumerate() {
                row(what, &|side| {
                    side.latency.map_or_else(String::new, |latency| {
                        let Latency { edits, median, p99, request } = latency[pace];
                        let [median, p99, request] = [median, p99, request].map(milliseconds);
                        format!("{median}, {p99} ({edits} edits; of it {request} for the edit's own request)")
                    })
                });
            }
        }
        text.push('\n');
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("writing to a String does not fail");
    text.push('\n');
}

fn memory(memory: &crate::machine::Resident) -> String {
    format!("{}, {}", megabytes(memory.most_mb), megabytes(memory.now_mb))
}

fn writes(writes: &BTreeMap<String, usize>) -> String {
    if writes.is_empty() {
        return "none".to_owned();
    }
    let each = writes.iter().map(|(what, count)| format!("{} {what}", thousands(*count)));
    each.collect::<Vec<_>>().join(", ")
}

fn seconds(value: f64) -> String {
    if value < 10.0 { format!("{value:.2} s") } else { format!("{value:.1} s") }
}

fn milliseconds(value: f64) -> String {
    format!("{value:.1} ms")
}

fn microseconds(value: f64) -> String {
    if value < 1000.0 { format!("{value:.0} µs") } else { milliseconds(value / 1000.0) }
}

fn megabytes(value: f64) -> String {
    format!("{value:.0} MB")
}

fn times(value: f64) -> String {
    if !value.is_finite() {
        return "—".to_owned();
    }
    if value < 10.0 { format!("{value:.2} ×") } else { format!("{value:.0} ×") }
}

fn thousands(value: usize) -> String {
    let digits = value.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// The parts that no run changes.
const METHOD: &str = "\
## How it is measured

- One etcd, kube-apiserver and kube-controller-manager on loopback serve all sides in turn. Between two measurements
  the objects are removed and the control plane is left to calm down.
- Waxwing runs as the chart's ServiceAccount with the chart's RBAC and default arguments, and seals for two recipients:
  the ring's key and an offline recovery key. sealed-secrets runs as an administrator with `--kubeclient-qps=-1`, so
  that its own rate limit (5 requests a second by default) does not hold it back, and otherwise with its defaults.
- *Converged*: every Secret is there, and every object says so at its generation (`Ready=True`; the peer:
  `Synced=True`). Two watches see that; they run for all sides, the floor included. Objects lie in twenty namespaces.
- *After a start*: the objects are there, then the operator is started; the clock runs from the start of its process.
  *Running*: the operator waits, then a plain client with 32 workers makes the objects; the clock runs from the first.
- *Floor*: one server-side apply for each Secret and one patch for each status, of the size that Waxwing writes, by a
  client with 32 workers through the same client library and with a ServiceAccount's token. An apply that makes a
  Secret costs the API server more than a POST, by which Waxwing makes them; so it can be below the floor.
- *Memory* is resident memory as Linux counts it (`VmRSS`, at most `VmHWM`), in megabytes of 10⁶ bytes.
- *Restart*: the operator is ended and started again, and has come to rest when it has used less than 60 ms of CPU in
  three seconds. Writes are counted in the API server's audit log.
- *Edit to Secret*: one value of one object is changed, each time of another object and after the one before has
  converged; the clock runs from before the request to the watch event that brings the changed Secret. *Back to back*:
  the next edit follows as soon as the Secret has arrived, while the status of the one before is still being written.
- *Opening* is measured without an API server: `cargo bench -p waxwing-core --bench seal`, and a program that is linked
  with the peer's library (`tests/bench/peer`; its CPU time). The peer tries its keys in random order; for its row of 120, few
  distinct wrong keys stand in several times, which costs the same.
- *Command line*: mean wall-clock time of 50 processes. *Size*: compact JSON, the largest of 100 runs.
- sealed-secrets is measured with 2,000 objects only: with 10,000 it would take minutes for each row.

## Repeat it

    tests/bench/run             about 15 minutes after the first build of the servers; writes this page
    tests/bench/run --quick     200 objects, prints the page and writes nothing

Needed are Rust, Go and, for the peer, either root or mount namespaces; see `tests/bench/run --help`. Use a machine that
does nothing else. These are benchmarks, not tests: nothing fails when a figure is worse.
";

const _: () = assert!(RUNS == 50 && SIZES == 100, "METHOD names these numbers");
