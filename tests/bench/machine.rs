//! Facts of the machine and of the processes on it, from `/proc`.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use waxwing_tests::process::Process;

/// What the figures depend on.
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) memory_gib: u64,
    pub(crate) kernel: String,
    pub(crate) rust: String,
    pub(crate) go: String,
}

impl Machine {
    pub(crate) fn here() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map_or("", |(_, value)| value).trim().to_owned()
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: field(&read("/proc/cpuinfo"), "model name"),
            memory_gib: (kib + (1 << 19)) >> 20,
            kernel: read("/proc/sys/kernel/osrelease").split('.').take(2).collect::<Vec<_>>().join("."),
            rust: first_words("rustc", &["--version"], 2),
            go: first_words("go", &["version"], 3),
        }
    }
}

/// The first words that a command prints.
fn first_words(program: &str, args: &[&str], count: usize) -> String {
    let output = Command::new(program).args(args).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.split_whitespace().take(count).collect::<Vec<_>>().join(" ")
}

/// The resident memory of a process: now, and the most that it ever was.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Resident {
    pub(crate) now_mb: f64,
    pub(crate) most_mb: f64,
}

impl Resident {
    pub(crate) fn of(process: &Process) -> Self {
        let status = process.proc("status");
        let megabytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap_or(f64::NAN);
            kib * 1024.0 / 1e6
        };
        Self { now_mb: megabytes("VmRSS:"), most_mb: megabytes("VmHWM:") }
    }
}

/// The CPU time of all children of this process: the control plane, and whoever is measured.
pub(crate) fn children_cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let children =
        tasks.map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default());
    let ids: Vec<String> =
        children.flat_map(|ids| ids.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
    ids.iter().map(|id| cpu(Path::new("/proc").join(id).join("stat").as_path())).sum()
}

/// Tells how much of the machine others have used since.
pub(crate) struct Others {
    since: Instant,
    used: Duration,
}

impl Others {
    pub(crate) fn watch() -> Self {
        Self { since: Instant::now(), used: others_cpu() }
    }

    /// In per cent of all cores.
    pub(crate) fn percent(&self) -> f64 {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let whole = self.since.elapsed().as_secs_f64() * cores as f64;
        others_cpu().saturating_sub(self.used).as_secs_f64() / whole * 100.0
    }
}

/// The CPU time of everything that is not of this benchmark.
fn others_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<u64> = fields.map(|field| field.parse().unwrap_or_default()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are counted in the first two.
    let busy =
        [0, 1, 2, 5, 6, 7].map(|place| ticks.get(place).copied().unwrap_or_default()).iter().sum::<u64>();
    let own = stat(Path::new("/proc/self/stat"), &[11, 12, 13, 14]);
    Duration::from_millis(busy * 10).saturating_sub(children_cpu() + own)
}

/// User and system time, by a `stat` file; none for a process that has ended.
fn cpu(file: &Path) -> Duration {
    stat(file, &[11, 12])
}

/// The sum of some times, counted from the field after the name.
fn stat(file: &Path, places: &[usize]) -> Duration {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    // The second field is the name in parentheses, which may hold spaces.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |place: &usize| fields.get(*place).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    Duration::from_millis(places.iter().map(ticks).sum::<u64>() * 10) // Linux tells every process 100 ticks a second.
}
