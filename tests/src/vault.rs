//! A real Vault in dev mode, with three listeners: plain HTTP, TLS by a CA of its own, and TLS that also asks for a
//! client certificate of that CA.
//!
//! Tests share one ([`shared`]) and make mounts, roles and policies of their own names in it. What seals it or stops it
//! starts its own ([`Vault::start`]). KV v2 is at `secret/`, as dev mode has it.

mod leased;
mod ways_in;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

pub use self::ways_in::Login;
use crate::certs::Certs;
use crate::http::{self, Answer, Tls};
use crate::process::{self, POLL, Process};
use crate::tools::tool;

/// How long it may take to answer.
const START: Duration = Duration::from_secs(60);

/// The token that may do everything. What is tested gets one of its own.
pub const ROOT_TOKEN: &str = "root-of-the-tests";

/// The header by which requests of the tests themselves are told apart.
const OURS: &str = "x-waxwing-test";

/// A running Vault. It is killed when this is dropped.
pub struct Vault {
    /// Where it answers in the clear.
    pub url: String,
    /// Where it answers by TLS; `certs.ca_pem` is to be trusted.
    pub tls_url: String,
    /// The same for those only who have a client certificate of `certs`.
    pub mtls_url: String,
    /// Its CA, and a maker of client certificates.
    pub certs: Certs,
    /// The program.
    pub process: Process,
    dir: PathBuf,
    unseal_key: String,
}

/// A request that Vault wrote into its audit log. What the tests themselves asked is left out, and so is what came
/// while it was sealed, which Vault does not write down.
#[derive(Clone, Debug, Deserialize)]
pub struct Call {
    /// `read`, `list`, `create`, `update`, `delete`.
    pub operation: String,
    /// The path, such as `secret/data/db`.
    pub path: String,
    #[serde(default)]
    headers: serde_json::Map<String, Value>,
}

/// A moment in the audit log.
#[derive(Clone, Copy, Debug)]
pub struct Mark(usize);

/// The Vault that tests share.
///
/// # Panics
/// When it does not start.
pub async fn shared() -> &'static Vault {
    static VAULT: OnceCell<Vault> = OnceCell::const_new();
    VAULT.get_or_init(|| async { Vault::start("vault").await.expect("the shared Vault starts") }).await
}

impl Vault {
    /// Starts one; `name` names its folder in this run's.
    ///
    /// # Errors
    /// When it ends, or takes too long.
    pub async fn start(name: &str) -> Result<Self> {
        let dir = process::folder(name);
        let certs = Certs::make(&dir)?;
        let ports = [process::free_port(), process::free_port(), process::free_port()];
        let tls = json!({
            "address": format!("127.0.0.1:{}", ports[1]),
            "tls_cert_file": certs.cert, "tls_key_file": certs.key,
        });
        let mtls = json!({
            "address": format!("127.0.0.1:{}", ports[2]),
            "tls_cert_file": certs.cert, "tls_key_file": certs.key,
            "tls_client_ca_file": certs.ca, "tls_require_and_verify_client_cert": true,
        });
        let config = json!({"listener": [{"tcp": tls}, {"tcp": mtls}]});
        std::fs::write(dir.join("vault.json"), config.to_string())?;
        let args = [
            "server".to_owned(),
            "-dev".to_owned(),
            "-dev-no-store-token".to_owned(),
            format!("-dev-root-token-id={ROOT_TOKEN}"),
            format!("-dev-listen-address=127.0.0.1:{}", ports[0]),
            "-config=vault.json".to_owned(),
        ];
        let process = Process::start("vault", &tool("vault"), args, &[], &dir)?;
        let [url, tls_url, mtls_url] = [("http", 0), ("https", 1), ("https", 2)]
            .map(|(scheme, at)| format!("{scheme}://127.0.0.1:{}", ports[at]));
        let mut vault = Self { url, tls_url, mtls_url, certs, process, dir, unseal_key: String::new() };
        vault.until_ready().await?;
        vault.audit().await?;
        Ok(vault)
    }

    /// Dev mode first unseals itself, then makes `secret/`, then prints the unseal key.
    async fn until_ready(&mut self) -> Result<()> {
        let began = Instant::now();
        loop {
            let log = self.process.log();
            if let Some(key) = log.lines().find_map(|line| line.strip_prefix("Unseal Key: ")) {
                key.trim().clone_into(&mut self.unseal_key);
            }
            if !self.unseal_key.is_empty() && self.read("sys/mounts/secret/tune").await.is_ok() {
                return Ok(());
            }
            self.process.check_alive()?;
            if began.elapsed() > START {
                bail!("Vault is not ready after {START:?}:\n{}", self.process.log_tail(30));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn audit(&self) -> Result<()> {
        let header = format!("sys/config/auditing/request-headers/{OURS}");
        self.write(&header, json!({"hmac": false})).await?;
        let file = self.dir.join("audit.log");
        self.write("sys/audit/file", json!({"type": "file", "options": {"file_path": file}})).await?;
        Ok(())
    }

    /// One request with any token; `path` is what follows `/v1/`. The body is sent unless it is null.
    ///
    /// # Errors
    /// When Vault does not answer.
    pub async fn request(&self, token: &str, method: &str, path: &str, body: &Value) -> Result<Answer> {
        let url = format!("{}/v1/{path}", self.url);
        let headers = [("x-vault-token", token), (OURS, "yes")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http::send(method, &url, Tls::default(), &headers, body).await
    }

    /// Writes as root, and gives the answer.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn write(&self, path: &str, body: Value) -> Result<Value> {
        let answer = self.request(ROOT_TOKEN, "POST", path, &body).await?;
        Ok(answer.ok().with_context(|| format!("write {path}"))?.json())
    }

    /// Reads as root.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn read(&self, path: &str) -> Result<Value> {
        let answer = self.request(ROOT_TOKEN, "GET", path, &Value::Null).await?;
        Ok(answer.ok().with_context(|| format!("read {path}"))?.json())
    }

    /// The keys at a path; none where there is nothing.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn list(&self, path: &str) -> Result<Vec<String>> {
        let answer = self.request(ROOT_TOKEN, "LIST", path, &Value::Null).await?;
        if answer.status == 404 {
            return Ok(Vec::new());
        }
        let answer = answer.ok().with_context(|| format!("list {path}"))?.json();
        Ok(Vec::deserialize(&answer["data"]["keys"])?)
    }

    /// Deletes as root.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn delete(&self, path: &str) -> Result<()> {
        let answer = self.request(ROOT_TOKEN, "DELETE", path, &Value::Null).await?;
        answer.ok().with_context(|| format!("delete {path}"))?;
        Ok(())
    }

    /// Mounts KV, version 1 or 2.
    ///
    /// # Errors
    /// When the mount exists.
    pub async fn mount_kv(&self, mount: &str, version: u8) -> Result<()> {
        let body = json!({"type": "kv", "options": {"version": version.to_string()}});
        self.write(&format!("sys/mounts/{mount}"), body).await?;
        // A new mount of version 2 says for a moment that it is still upgrading.
        let began = Instant::now();
        let probe = format!("{mount}/{}", if version == 2 { "config" } else { "none" });
        while !matches!(self.request(ROOT_TOKEN, "GET", &probe, &Value::Null).await?.status, 200 | 404) {
            if began.elapsed() > START {
                bail!("the mount {mount} is not ready after {START:?}");
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Writes into KV version 1.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn put_v1(&self, mount: &str, path: &str, data: Value) -> Result<()> {
        self.write(&format!("{mount}/{path}"), data).await?;
        Ok(())
    }

    /// Writes into KV version 2, and gives the number of the version.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn put(&self, mount: &str, path: &str, data: Value) -> Result<u64> {
        let answer = self.write(&format!("{mount}/data/{path}"), json!({"data": data})).await?;
        answer["data"]["version"].as_u64().context("a version is a number")
    }

    /// Seals it: from now on it answers 503. Not for the shared one.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn seal(&self) -> Result<()> {
        self.write("sys/seal", Value::Null).await?;
        Ok(())
    }

    /// Unseals it; nothing was lost.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn unseal(&self) -> Result<()> {
        self.write("sys/unseal", json!({"key": self.unseal_key})).await?;
        let began = Instant::now();
        while self.read("sys/mounts/secret/tune").await.is_err() {
            if began.elapsed() > START {
                bail!("Vault is not active {START:?} after it was unsealed");
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Now.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.audit_log().len())
    }

    /// What was asked since by others than the tests.
    ///
    /// # Panics
    /// When the audit log can't be read.
    #[must_use]
    pub fn calls_since(&self, mark: Mark) -> Vec<Call> {
        #[derive(Deserialize)]
        struct Entry {
            #[serde(rename = "type")]
            type_: String,
            request: Call,
        }
        // The last line may be half written.
        let log = self.audit_log();
        let entries = log[mark.0..].lines().filter_map(|line| serde_json::from_str::<Entry>(line).ok());
        let asked = entries.filter(|entry| entry.type_ == "request").map(|entry| entry.request);
        asked.filter(|call| !call.headers.contains_key(OURS)).collect()
    }

    fn audit_log(&self) -> String {
        std::fs::read_to_string(self.dir.join("audit.log")).expect("Vault writes an audit log in UTF-8")
    }
}

fn text(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).context("Vault's answer lacks a text")
}
