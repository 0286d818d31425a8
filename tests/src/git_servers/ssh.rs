//! OpenSSH's sshd as this run's own process. It serves one user by a key and one command, `git-shell`.
//!
//! As root it would want a user and a folder of the system; so there it runs as a user that only it believes in.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::net::TcpStream;

use super::{Project, run_once, script};
use crate::process::{self, POLL, Process};
use crate::tools::tool;

/// How long it may take to accept connections.
const START: Duration = Duration::from_secs(30);

/// Who serves when root runs the tests.
const UID: u32 = 12_345;

/// A running server. It is killed when this is dropped.
pub struct Ssh {
    /// The repository's address.
    pub url: String,
    /// The line of known_hosts.
    pub known_hosts: String,
    /// The user's private key.
    pub identity: PathBuf,
    /// A program that a test leaves there runs once before a push.
    pub before_push: PathBuf,
    /// The program.
    pub process: Process,
}

impl Ssh {
    /// Serves a project. Where root runs the tests, the repository belongs to somebody else from now on.
    ///
    /// # Errors
    /// When it ends, or takes too long.
    pub async fn start(project: &Project) -> Result<Self> {
        let dir = project.dir.join("ssh");
        fs::create_dir(&dir)?;
        let root = fs::canonicalize(tool("sshd"))?
            .ancestors()
            .nth(2)
            .map(Path::to_owned)
            .context("sshd lies in a folder")?;
        for name in ["host", "user"] {
            let unpacked = root.join("usr/bin/ssh-keygen");
            let keygen = if unpacked.exists() { unpacked } else { "ssh-keygen".into() };
            let made = Command::new(keygen)
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(dir.join(name))
                .status()?;
            ensure!(made.success(), "ssh-keygen: {made}");
        }
        let before_push = dir.join("before-push");
        script(
            &dir.join("shell"),
            &format!(
                "export HOME='{}'; cd \"$HOME\"\ncase \"$SSH_ORIGINAL_COMMAND\" in git-receive-pack*) {};; esac\n\
                 exec git shell -c \"$SSH_ORIGINAL_COMMAND\"",
                project.dir.join("home").display(),
                run_once(&before_push)
            ),
        )?;
        let public = fs::read_to_string(dir.join("user.pub"))?;
        fs::write(
            dir.join("authorized_keys"),
            format!("restrict,command=\"{}\" {public}", dir.join("shell").display()),
        )?;
        let port = process::free_port();
        let shown = dir.display();
        let configuration = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {shown}/host\nAuthorizedKeysFile {shown}/authorized_keys\n\
             StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nPidFile none\n\
             LogLevel VERBOSE\n"
        );
        fs::write(dir.join("sshd_config"), configuration)?;
        let (user, mut process) = start(project, &dir, &root)?;
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            process.check_alive()?;
            if began.elapsed() > START {
                bail!("sshd is not ready after {START:?}:\n{}", process.log_tail(30));
            }
            tokio::time::sleep(POLL).await;
        }
        let host_key = fs::read_to_string(dir.join("host.pub"))?;
        Ok(Self {
            url: format!("ssh://{user}@127.0.0.1:{port}{}", project.repository().display()),
            known_hosts: format!("[127.0.0.1]:{port} {host_key}"),
            identity: dir.join("user"),
            before_push,
            process,
        })
    }

    /// A folder with all that a job needs.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn credentials(&self, project: &Project) -> Result<String> {
        let identity = fs::read_to_string(&self.identity)?;
        let folder = project
            .credentials("ssh-credentials", &[("identity", &identity), ("known_hosts", &self.known_hosts)])?;
        fs::set_permissions(folder.join("identity"), fs::Permissions::from_mode(0o400))?;
        Ok(folder.display().to_string())
    }
}

/// The user that logs in, and the program.
fn start(project: &Project, dir: &Path, root: &Path) -> Result<(String, Process)> {
    let args = ["-D", "-e", "-f", "sshd_config"];
    // Who made the folder is who runs the tests.
    if fs::metadata(dir)?.uid() != 0 {
        let user = Command::new("id").arg("-un").output()?;
        let program = tool("sshd");
        return Ok((
            String::from_utf8(user.stdout)?.trim().to_owned(),
            Process::start("sshd", &program, args, &[], dir)?,
        ));
    }
    // The cache is root's alone.
    let copy = dir.join("unpacked");
    let copied = Command::new("cp").arg("-r").arg(root).arg(&copy).status()?;
    ensure!(copied.success(), "cp: {copied}");
    let libraries =
        find(&copy.join("usr/lib"), "libnss_wrapper.so").context("libnss_wrapper is not there")?;
    let shown = dir.display();
    fs::write(dir.join("passwd"), format!("tester:x:{UID}:{UID}::{shown}:/bin/sh\n"))?;
    fs::write(dir.join("group"), format!("tester:x:{UID}:\n"))?;
    for folder in [dir, &project.repository()] {
        own(folder)?;
    }
    let text = |name: &str, value: String| (name.to_owned(), value);
    let env = [
        text("NSS_WRAPPER_PASSWD", format!("{shown}/passwd")),
        text("NSS_WRAPPER_GROUP", format!("{shown}/group")),
    ];
    let id = UID.to_string();
    let preload = format!("LD_PRELOAD={}", libraries.display());
    // A change of user makes the program outlive this one, unless it is told again.
    let mut all = vec![
        "--reuid",
        &id,
        "--regid",
        &id,
        "--clear-groups",
        "--",
        "setpriv",
        "--pdeathsig",
        "KILL",
        "--",
        "env",
    ];
    let sshd = copy.join("bin/sshd").display().to_string();
    all.extend([preload.as_str(), &sshd]);
    all.extend(args);
    Ok(("tester".to_owned(), Process::start("sshd", Path::new("setpriv"), all, &env, dir)?))
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).find_map(|path| match path.is_dir() {
        true => find(&path, name),
        false => (path.file_name()? == name).then_some(path),
    })
}

fn own(path: &Path) -> Result<()> {
    chown(path, Some(UID), Some(UID))?;
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            let entry = entry?.path();
            if !entry.is_symlink() {
                own(&entry)?;
            }
        }
    }
    Ok(())
}
