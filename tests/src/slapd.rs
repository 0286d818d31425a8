//! A real LDAP directory (OpenLDAP), for Vault's LDAP auth: two people, of whom one is in a group.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use crate::certs::Certs;
use crate::process::{self, POLL, Process};
use crate::tools::tool;

/// Below this entry are the people, each named by `uid`.
pub const PEOPLE: &str = "ou=people,dc=waxwing,dc=test";

/// Below this one is the group `readers`, in which only `ann` is.
pub const GROUPS: &str = "ou=groups,dc=waxwing,dc=test";

/// Who may read everything.
pub const ADMIN: &str = "cn=admin,dc=waxwing,dc=test";

/// The password of [`ADMIN`].
pub const ADMIN_PASSWORD: &str = "password of the admin";

/// How long it may take to accept connections.
const START: Duration = Duration::from_secs(30);

/// A running directory. It is killed when this is dropped.
pub struct Slapd {
    /// Where it answers in the clear.
    pub url: String,
    /// Where it answers by TLS; `certs.ca_pem` is to be trusted.
    pub tls_url: String,
    /// Its CA.
    pub certs: Certs,
    /// The program.
    pub process: Process,
}

/// The directory that tests share.
///
/// # Panics
/// When it does not start.
pub async fn shared() -> &'static Slapd {
    static SLAPD: OnceCell<Slapd> = OnceCell::const_new();
    SLAPD.get_or_init(|| async { Slapd::start("slapd").await.expect("the shared directory starts") }).await
}

/// The password of `ann` or `bob`.
#[must_use]
pub fn password(user: &str) -> String {
    format!("password of {user}")
}

impl Slapd {
    /// Starts one; `name` names its folder in this run's.
    ///
    /// # Errors
    /// When it ends, or takes too long.
    pub async fn start(name: &str) -> Result<Self> {
        let dir = process::folder(name);
        let certs = Certs::make(&dir)?;
        let slapd = std::fs::canonicalize(tool("slapd"))?;
        std::fs::create_dir(dir.join("data"))?;
        std::fs::write(dir.join("slapd.conf"), configuration(&slapd, &certs)?)?;
        std::fs::write(dir.join("entries.ldif"), entries())?;
        let load = Command::new(slapd.with_file_name("slapadd"))
            .args(["-f", "slapd.conf", "-l", "entries.ldif"])
            .current_dir(&dir)
            .output()
            .context("slapadd")?;
        if !load.status.success() {
            bail!("slapadd: {}", String::from_utf8_lossy(&load.stderr));
        }

        let (port, tls_port) = (process::free_port(), process::free_port());
        let (url, tls_url) = (format!("ldap://127.0.0.1:{port}"), format!("ldaps://127.0.0.1:{tls_port}"));
        // With a level of debugging it stays in the foreground; 256 logs each bind and search.
        let listen = format!("{url} {tls_url}");
        let args = ["-f", "slapd.conf", "-h", &listen, "-d", "256"];
        let mut process = Process::start("slapd", &slapd, args, &[], &dir)?;
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", tls_port)).await.is_err() {
            process.check_alive()?;
            if began.elapsed() > START {
                bail!("slapd is not ready after {START:?}:\n{}", process.log_tail(30));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(Self { url, tls_url, certs, process })
    }
}

/// Schemas and modules lie beside the program where it was unpacked, else where the system has them.
fn configuration(slapd: &Path, certs: &Certs) -> Result<String> {
    let root = slapd.parent().and_then(Path::parent).context("slapd lies in a folder")?;
    let first = |places: [PathBuf; 4]| places.into_iter().find(|place| place.exists());
    let [own, system] = [root, Path::new("/")];
    let schemas = first([
        own.join("etc/ldap/schema"),
        system.join("etc/ldap/schema"),
        system.join("etc/openldap/schema"),
        own.join("etc/openldap/schema"),
    ]);
    let modules = first([
        own.join("usr/lib/ldap"),
        system.join("usr/lib/ldap"),
        system.join("usr/lib64/openldap"),
        system.join("usr/lib/openldap"),
    ]);
    let schemas = schemas.context("OpenLDAP's schemas are not there")?;
    let mut lines: Vec<String> = ["core", "cosine", "inetorgperson"]
        .map(|name| format!("include \"{}\"", schemas.join(name).with_extension("schema").display()))
        .to_vec();
    // Where there are no modules, the program has them in it.
    if let Some(modules) = modules {
        lines.extend([format!("modulepath \"{}\"", modules.display()), "moduleload back_mdb".to_owned()]);
    }
    lines.extend([
        format!("TLSCACertificateFile \"{}\"", certs.ca.display()),
        format!("TLSCertificateFile \"{}\"", certs.cert.display()),
        format!("TLSCertificateKeyFile \"{}\"", certs.key.display()),
        "database mdb".to_owned(),
        "suffix \"dc=waxwing,dc=test\"".to_owned(),
        format!("rootdn \"{ADMIN}\""),
        format!("rootpw \"{ADMIN_PASSWORD}\""),
        "directory data".to_owned(),
        "maxsize 16777216".to_owned(),
        "access to attrs=userPassword by anonymous auth by * none".to_owned(),
        "access to * by users read by * none".to_owned(),
    ]);
    Ok(lines.join("\n") + "\n")
}

fn entries() -> String {
    let people = ["ann", "bob"].map(|user| {
        format!(
            "dn: uid={user},{PEOPLE}\nobjectClass: inetOrgPerson\nuid: {user}\ncn: {user}\nsn: {user}\n\
             userPassword: {}\n\n",
            password(user)
        )
    });
    format!(
        "dn: dc=waxwing,dc=test\nobjectClass: domain\ndc: waxwing\n\n\
         dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n\n\
         dn: {GROUPS}\nobjectClass: organizationalUnit\nou: groups\n\n\
         {}\
         dn: cn=readers,{GROUPS}\nobjectClass: groupOfNames\ncn: readers\nmember: uid=ann,{PEOPLE}\n",
        people.concat()
    )
}
