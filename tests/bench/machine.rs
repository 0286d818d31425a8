//! Facts of the machine and of the processes on it, from `/proc`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

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

/// User and system time, by a `stat` file; none for a process that has ended.
fn cpu(stat: &Path) -> Duration {
    let text = std::fs::read_to_string(stat).unwrap_or_default();
    // The second field is the name in parentheses, which may hold spaces.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |place: usize| fields.get(place).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    Duration::from_millis((ticks(11) + ticks(12)) * 10) // Linux tells every process 100 ticks a second.
}
