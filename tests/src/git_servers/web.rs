//! `git http-backend` behind lighttpd: TLS and a password.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::net::TcpStream;

use super::{Project, run_once, script};
use crate::certs::Certs;
use crate::process::{self, POLL, Process};
use crate::tools::tool;

/// Who may read and push.
pub const USER: &str = "robot";

/// Their password, and what must never be shown.
pub const PASSWORD: &str = "Qz7vCanaryXw93";

/// How long it may take to accept connections.
const START: Duration = Duration::from_secs(30);

/// A running server. It is killed when this is dropped.
pub struct Web {
    /// The repository's address.
    pub url: String,
    /// The server's own address.
    pub origin: String,
    /// Its CA.
    pub certs: Certs,
    /// A program that a test leaves there runs once before the server says which branches it has to whoever wants to fetch.
    pub before_fetch: PathBuf,
    /// The same for whoever wants to push.
    pub before_push: PathBuf,
    /// The same, after that and before the push itself.
    pub before_update: PathBuf,
    /// The server that a test names there is where everybody is led. Below `/open/` nobody is asked for a password first.
    pub moved_to: PathBuf,
    /// The program.
    pub process: Process,
}

impl Web {
    /// Serves a project.
    ///
    /// # Errors
    /// When it ends, or takes too long.
    pub async fn start(project: &Project) -> Result<Self> {
        let dir = project.dir.join("web");
        fs::create_dir(&dir)?;
        let certs = Certs::make(&dir)?;
        let port = process::free_port();
        let [before_fetch, before_push, before_update] =
            ["before-fetch", "before-push", "before-update"].map(|name| dir.join(name));
        let moved_to = dir.join("moved-to");
        script(
            &dir.join("git.sh"),
            &format!(
                "export GIT_PROJECT_ROOT='{}' GIT_HTTP_EXPORT_ALL=1 REMOTE_USER=\"$REMOTE_USER\" HOME='{}'\n\
                 if [ -e '{}' ]; then\n\
                 printf 'Status: 307 Temporary Redirect\\r\\nLocation: %s%s?%s\\r\\n\\r\\n' \"$(cat '{}')\" \"$PATH_INFO\" \"$QUERY_STRING\"\n\
                 exit\n\
                 fi\n\
                 case \"$REQUEST_METHOD $PATH_INFO?$QUERY_STRING\" in\n\
                 *service=git-upload-pack) {};;\n\
                 *service=git-receive-pack) {};;\n\
                 'POST '*git-receive-pack'?') {};;\n\
                 esac\n\
                 exec git http-backend",
                project.dir.join("repos").display(),
                project.dir.join("home").display(),
                moved_to.display(),
                moved_to.display(),
                run_once(&before_fetch),
                run_once(&before_push),
                run_once(&before_update),
            ),
        )?;
        fs::write(dir.join("users"), format!("{USER}:{PASSWORD}\n"))?;
        let shown = dir.display();
        let configuration = format!(
            r#"server.modules = ("mod_auth", "mod_authn_file", "mod_alias", "mod_cgi", "mod_openssl", "mod_accesslog", "mod_setenv")
server.document-root = "{shown}"
server.bind = "127.0.0.1"
server.port = {port}
server.errorlog = "/dev/stderr"
server.breakagelog = "/dev/stderr"
accesslog.filename = "{shown}/access.log"
ssl.engine = "enable"
ssl.pemfile = "{}"
ssl.privkey = "{}"
auth.backend = "plain"
auth.backend.plain.userfile = "{shown}/users"
$HTTP["url"] !~ "^/open/" {{
auth.require = ("/" => ("method" => "basic", "realm" => "git", "require" => "valid-user"))
}}
setenv.add-environment = ("PATH" => env.PATH)
alias.url = ("/open/" => "{shown}/git.sh/", "/" => "{shown}/git.sh/")
cgi.assign = ("git.sh" => "")
"#,
            certs.cert.display(),
            certs.key.display()
        );
        fs::write(dir.join("lighttpd.conf"), configuration)?;
        let program = tool("lighttpd");
        let mut args =
            vec!["-D".to_owned(), "-f".to_owned(), dir.join("lighttpd.conf").display().to_string()];
        // Where it was unpacked, its modules lie beside it; else it knows where they are.
        let modules =
            fs::canonicalize(&program)?.ancestors().nth(2).map(|root| root.join("usr/lib/lighttpd"));
        if let Some(modules) = modules.filter(|modules| modules.is_dir()) {
            args.extend(["-m".to_owned(), modules.display().to_string()]);
        }
        let mut process = Process::start("lighttpd", &program, args, &[], &dir)?;
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            process.check_alive()?;
            if began.elapsed() > START {
                bail!("lighttpd is not ready after {START:?}:\n{}", process.log_tail(30));
            }
            tokio::time::sleep(POLL).await;
        }
        let origin = format!("https://127.0.0.1:{port}");
        Ok(Self {
            url: format!("{origin}/team/apps.git"),
            origin,
            certs,
            before_fetch,
            before_push,
            before_update,
            moved_to,
            process,
        })
    }

    /// The file with names and passwords; it is read anew for each request.
    #[must_use]
    pub fn users(&self) -> PathBuf {
        self.before_push.with_file_name("users")
    }

    /// A folder with all that a job needs.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn credentials(&self, project: &Project) -> Result<String> {
        let files = [("username", USER), ("password", PASSWORD), ("ca.crt", self.certs.ca_pem.as_str())];
        Ok(project.credentials("web-credentials", &files)?.display().to_string())
    }
}
