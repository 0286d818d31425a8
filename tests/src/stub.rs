//! The stubs of `tests/servers/stubs`: what stands in for services that no test can run. They verify tokens, signatures
//! and permissions, so that a provider that sends the wrong ones gets nothing, and their errors repeat what was sent.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::certs::Certs;
use crate::http::{self, Tls};
use crate::process::{self, POLL, Process};
use crate::tools::{root, tool};

/// How long one may take to answer.
const START: Duration = Duration::from_secs(30);

/// A running stub. It is killed when this is dropped.
pub struct Stub {
    /// Where it answers.
    pub url: String,
    /// The CA that is to be trusted where the URL begins with `https`.
    pub certs: Certs,
    /// The program.
    pub process: Process,
}

/// A request that a stub answered.
#[derive(Clone, Debug, Deserialize)]
pub struct Call {
    /// The HTTP method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query, decoded.
    pub query: Map<String, Value>,
    /// The answer's status code.
    pub status: u16,
    /// What the stub noticed: who asked, the number of the token, the claims of an assertion.
    pub note: Map<String, Value>,
}

/// An RSA key with a certificate by itself, PEM.
#[derive(Clone, Deserialize)]
pub struct Key {
    /// The private key, PKCS#8.
    pub private: String,
    /// The public key.
    pub public: String,
    /// The certificate.
    pub certificate: String,
    /// The certificate's SHA-256, as `x5t#S256` has it.
    pub thumbprint: String,
}

impl Stub {
    /// Starts `SCRIPT.py`, by TLS or in the clear; `name` names its folder in this run's.
    pub(crate) async fn start(script: &str, name: &str, tls: bool) -> Result<Self> {
        let dir = process::folder(name);
        let certs = Certs::make(&dir)?;
        let port = process::free_port();
        let text = |path: &Path| path.display().to_string();
        let program = root().join("tests/servers/stubs").join(script).with_extension("py");
        // No compiled modules beside the sources.
        let mut args = vec!["-B".to_owned(), text(&program), port.to_string()];
        if tls {
            args.extend([text(&certs.cert), text(&certs.key)]);
        }
        let process = Process::start(script, &tool("python"), args, &[], &dir)?;
        let scheme = if tls { "https" } else { "http" };
        let mut stub = Self { url: format!("{scheme}://127.0.0.1:{port}"), certs, process };
        let began = Instant::now();
        while stub.calls().await.is_err() {
            stub.process.check_alive()?;
            if began.elapsed() > START {
                bail!("the stub {script} is not ready after {START:?}:\n{}", stub.process.log_tail(30));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(stub)
    }

    /// One request, which trusts the stub's CA.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<http::Answer> {
        let tls = Tls { ca_pem: &self.certs.ca_pem, identity: None };
        http::send(method, &format!("{}{path}", self.url), tls, headers, body.to_owned()).await
    }

    /// Calls one of the stub's own functions.
    pub(crate) async fn tell(&self, function: &str, body: Value) -> Result<Value> {
        let answer = self.request("POST", &format!("/stub/{function}"), &[], &body.to_string()).await?;
        Ok(answer.ok().with_context(|| format!("{function} of the stub"))?.json())
    }

    /// Every request so far.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn calls(&self) -> Result<Vec<Call>> {
        let answer = self.request("GET", "/stub/log", &[], "").await?.ok()?;
        Ok(Vec::deserialize(answer.json())?)
    }

    /// Every token that it gave out is refused from now on.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn revoke_tokens(&self) -> Result<()> {
        self.tell("revoke", json!({})).await?;
        Ok(())
    }

    /// From now on its clock, also that of its `Date` headers, is off by so many seconds.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn set_clock_off(&self, seconds: i32) -> Result<()> {
        self.tell("clock", json!({"seconds": seconds})).await?;
        Ok(())
    }

    /// A new key: rcgen makes none of RSA.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn key(&self) -> Result<Key> {
        Ok(Key::deserialize(self.tell("key", json!({})).await?)?)
    }
}
