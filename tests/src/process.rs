//! Programs under test: each dies with this process, writes to a log file, and is ended by its own id.

use std::ffi::OsStr;
use std::fs::File;
use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// The folder of this run, below the target folder. Those of runs that are over are removed; the newest stays, so
/// that its logs can be read.
static RUN: LazyLock<PathBuf> = LazyLock::new(|| {
    let all = std::env::var_os("WAXWING_TEST_DIR").map_or_else(
        || {
            let this = std::env::current_exe().expect("the test binary has a path");
            let profile =
                this.parent().and_then(Path::parent).expect("the test binary lies in target/PROFILE/deps");
            profile.with_file_name("e2e")
        },
        PathBuf::from,
    );
    for old in std::fs::read_dir(&all).into_iter().flatten().flatten() {
        let pid = old.file_name().to_string_lossy().into_owned();
        if !Path::new("/proc").join(&pid).exists() {
            // Another run may be removing it as well.
            let _ = std::fs::remove_dir_all(old.path());
        }
    }
    let dir = all.join(std::process::id().to_string());
    std::fs::create_dir_all(&dir).expect("the target folder can be written");
    dir
});

/// A new folder of this run.
///
/// # Panics
/// When it exists already or can't be made.
#[must_use]
pub fn folder(name: &str) -> PathBuf {
    let dir = RUN.join(name);
    std::fs::create_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    dir
}

/// A port of loopback that nobody listens on, and that was not given out before.
///
/// It is none of those that the kernel gives to outgoing connections: one of them could take it before the server does. And
/// it is every second one alone: Vault takes the next one, too, for its cluster.
///
/// # Panics
/// When all ports are taken.
#[must_use]
pub fn free_port() -> u16 {
    static GIVEN: LazyLock<AtomicU16> = LazyLock::new(|| {
        // Runs side by side begin in different places.
        let pairs = u32::from(PORTS.end - PORTS.start) / 2;
        let offset = std::process::id().wrapping_mul(997) % pairs * 2;
        AtomicU16::new(PORTS.start + u16::try_from(offset).expect("it is within the range"))
    });
    for _ in PORTS {
        let next = |port: u16| Some(if port + 2 < PORTS.end { port + 2 } else { PORTS.start });
        let port = GIVEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port of {PORTS:?} is free");
}

/// Below those of outgoing connections, which begin at 32768 unless somebody has changed it.
const PORTS: Range<u16> = 10_000..32_000;

/// A child is killed when the *thread* that started it ends, so one thread starts them all and never ends.
fn spawn(mut command: Command) -> std::io::Result<Child> {
    type Request = (Command, Sender<std::io::Result<Child>>);
    static STARTER: LazyLock<Mutex<Sender<Request>>> = LazyLock::new(|| {
        let (sender, requests) = channel::<Request>();
        std::thread::Builder::new()
            .name("starter".to_owned())
            .spawn(move || {
                for (mut command, answer) in requests {
                    // The asker may have panicked.
                    let _ = answer.send(command.spawn());
                }
            })
            .expect("a thread starts");
        Mutex::new(sender)
    });
    command.stdin(Stdio::null());
    let (sender, answer) = channel();
    STARTER.lock().unwrap().send((command, sender)).expect("the starter lives as long as the process");
    answer.recv().expect("the starter answers")
}

/// A running program.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program; its output goes to `DIR/NAME.log`.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start<I, S>(
        name: &str,
        program: &Path,
        args: I,
        env: &[(String, String)],
        dir: &Path,
    ) -> Result<Self>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let log = dir.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(args)
            .envs(env.iter().map(|(name, value)| (name, value)))
            .current_dir(dir)
            .stdout(file.try_clone()?)
            .stderr(file);
        let child = spawn(command)
            .with_context(|| format!("{name} does not start; is setpriv (util-linux) there?"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Where it writes to.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The last lines that it wrote.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Fails, with the end of its log, when it has ended by itself.
    ///
    /// # Errors
    /// When it has.
    pub fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended: {status}; the end of {}:\n{}", self.name, self.log.display(), self.log_tail(30));
        }
        Ok(())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        // It may have ended already, which is what most signals want.
        let _ = kill_process(pid(self.child.id()), signal);
    }

    /// Ends it without warning, as a crash would.
    pub fn kill(&mut self) {
        // As above.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end and waits until it has.
    ///
    /// # Errors
    /// When it takes longer than `within`.
    pub async fn terminate(&mut self, within: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM);
        self.ended(within).await
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When it takes longer than `within`.
    pub async fn ended(&mut self, within: Duration) -> Result<ExitStatus> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if began.elapsed() > within {
                bail!("{} has not ended within {within:?}:\n{}", self.name, self.log_tail(30));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Resident memory in KiB.
    ///
    /// # Panics
    /// When the process has ended.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has VmRSS");
        line.trim().trim_end_matches(" kB").parse().expect("VmRSS is a number")
    }

    /// CPU time used so far, user and system.
    ///
    /// # Panics
    /// When the process has ended.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        // The second field is the name in parentheses, which may hold spaces.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: u64 =
            fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime");
        Duration::from_millis(ticks * 10) // Linux tells every process 100 ticks a second, whatever its own are.
    }

    /// A file of `/proc/PID`.
    ///
    /// # Panics
    /// When the process has ended.
    #[must_use]
    pub fn proc(&self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.child.id());
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How often something that can't be watched is looked at.
pub(crate) const POLL: Duration = Duration::from_millis(20);

fn pid(id: u32) -> Pid {
    i32::try_from(id).ok().and_then(Pid::from_raw).expect("a process id is positive")
}
