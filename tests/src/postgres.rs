//! A real PostgreSQL, for Vault's database engine. It refuses to run as root: as root it is started as nobody, who keeps
//! just the right to reach the program and the data in folders of root's.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Signal, geteuid};
use tokio::sync::OnceCell;

use crate::process::{self, POLL, Process};
use crate::tools::tool;

/// How long it may take to accept connections.
const START: Duration = Duration::from_secs(60);

/// Who it runs as when the tests run as root.
const NOBODY: u32 = 65534;

/// A running server with one database, `postgres`. It is stopped when this is dropped.
pub struct Postgres {
    /// The port of loopback.
    pub port: u16,
    /// The superuser.
    pub user: &'static str,
    /// The superuser's password.
    pub password: &'static str,
    /// The program.
    pub process: Process,
}

/// The server that tests share.
///
/// # Panics
/// When it does not start.
pub async fn shared() -> &'static Postgres {
    static POSTGRES: OnceCell<Postgres> = OnceCell::const_new();
    POSTGRES
        .get_or_init(|| async { Postgres::start("postgres").await.expect("the shared PostgreSQL starts") })
        .await
}

impl Postgres {
    /// Starts one; `name` names its folder in this run's.
    ///
    /// # Errors
    /// When it ends, or takes too long.
    pub async fn start(name: &str) -> Result<Self> {
        let dir = process::folder(name);
        let (user, password) = ("postgres", "password of the superuser");
        let data = dir.join("data");
        std::fs::create_dir(&data)?;
        std::fs::set_permissions(&data, Permissions::from_mode(0o700))?;
        if geteuid().is_root() {
            chown(&data, Some(NOBODY), Some(NOBODY))?;
        }
        std::fs::write(dir.join("password"), password)?;
        let init = Command::new("setpriv")
            .args(unprivileged())
            .arg(program("initdb")?)
            .args(["--pgdata=data", "--auth=scram-sha-256", "--pwfile=password", "--locale=C"])
            .args(["--encoding=UTF8", "--no-sync", &format!("--username={user}")])
            .current_dir(&dir)
            .output()
            .context("setpriv (util-linux)")?;
        if !init.status.success() {
            bail!("initdb: {}", String::from_utf8_lossy(&init.stderr));
        }

        let port = process::free_port();
        let mut args = unprivileged();
        args.push(program("postgres")?.display().to_string());
        // An empty folder of sockets: loopback only. No compiler, whose library is not unpacked.
        let port_text = port.to_string();
        let more =
            ["-D", "data", "-h", "127.0.0.1", "-p", &port_text, "-k", "", "-c", "fsync=off", "-c", "jit=off"];
        args.extend(more.map(str::to_owned));
        let process = Process::start("postgres", Path::new("setpriv"), args, &[], &dir)?;
        let mut postgres = Self { port, user, password, process };
        let began = Instant::now();
        while postgres.sql("SELECT 1").is_err() {
            postgres.process.check_alive()?;
            if began.elapsed() > START {
                bail!("PostgreSQL is not ready after {START:?}:\n{}", postgres.process.log_tail(30));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(postgres)
    }

    /// A connection string in which Vault fills in name and password.
    #[must_use]
    pub fn url_template(&self) -> String {
        format!(
            "postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/postgres?sslmode=disable",
            self.port
        )
    }

    /// Runs SQL as the superuser: one line a row, columns parted by `|`.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn sql(&self, sql: &str) -> Result<String> {
        self.sql_as(self.user, self.password, sql)
    }

    /// Whether one can log in so.
    #[must_use]
    pub fn lets_in(&self, user: &str, password: &str) -> bool {
        self.sql_as(user, password, "SELECT 1").is_ok()
    }

    /// Runs SQL as somebody.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn sql_as(&self, user: &str, password: &str, sql: &str) -> Result<String> {
        let output = Command::new(program("psql")?)
            .args(["--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1"])
            .args(["--host=127.0.0.1", "--dbname=postgres", &format!("--port={}", self.port)])
            .arg(format!("--username={user}"))
            .arg(format!("--command={sql}"))
            .env("PGPASSWORD", password)
            .output()
            .context("psql")?;
        if !output.status.success() {
            bail!("psql: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }
}

impl Drop for Postgres {
    /// Without warning, but by the signal on which it also gives back its shared memory.
    fn drop(&mut self) {
        self.process.signal(Signal::QUIT);
        let began = Instant::now();
        while self.process.check_alive().is_ok() && began.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(POLL);
        }
    }
}

/// A program beside `postgres`.
fn program(name: &str) -> Result<PathBuf> {
    let postgres = std::fs::canonicalize(tool("postgres"))?;
    Ok(postgres.with_file_name(OsStr::new(name)))
}

/// The arguments of setpriv. A change of user forgets what was to happen at the parent's death, so it is said again. The
/// secure bit lets access(2) see the capability, by which PostgreSQL asks whether its own files can be read.
fn unprivileged() -> Vec<String> {
    let mut args = vec!["--pdeathsig".to_owned(), "QUIT".to_owned()];
    if geteuid().is_root() {
        let more = format!(
            "--reuid {NOBODY} --regid {NOBODY} --clear-groups --inh-caps +dac_override --ambient-caps +dac_override \
             --securebits +no_setuid_fixup"
        );
        args.extend(more.split(' ').map(str::to_owned));
    }
    args.push("--".to_owned());
    args
}
