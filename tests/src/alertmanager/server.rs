//! A real Alertmanager on loopback, without peers, with a configuration that tests replace.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::process::{self, POLL, Process};
use crate::scrape::Scrape;
use crate::tools::tool;
use crate::wait::DEADLINE;

/// How long it may take to answer.
const START: Duration = Duration::from_secs(30);

/// A running Alertmanager. It is killed when this is dropped.
pub struct Server {
    /// Where it answers.
    pub url: String,
    /// The program.
    pub process: Process,
    /// The file that it reads.
    pub config: PathBuf,
}

impl Server {
    /// Starts one with this configuration; `name` names its folder in this run's.
    ///
    /// # Errors
    /// When it ends, for example because the configuration is refused, or takes too long.
    pub async fn start(name: &str, config: &str) -> Result<Self> {
        let dir = process::folder(name);
        let file = dir.join("alertmanager.yaml");
        std::fs::write(&file, config)?;
        Self::begin(&dir, file).await
    }

    /// Starts one that reads a file of somebody else.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn reading(name: &str, file: PathBuf) -> Result<Self> {
        Self::begin(&process::folder(name), file).await
    }

    async fn begin(dir: &Path, file: PathBuf) -> Result<Self> {
        let port = process::free_port();
        let args = [
            format!("--config.file={}", file.display()),
            "--storage.path=data".to_owned(),
            format!("--web.listen-address=127.0.0.1:{port}"),
            // Nobody to gossip with.
            "--cluster.listen-address=".to_owned(),
        ];
        let process = Process::start("alertmanager", &tool("alertmanager"), args, &[], dir)?;
        let mut server = Self { url: format!("http://127.0.0.1:{port}"), process, config: file };
        let began = Instant::now();
        while !http::get(&server.at("/-/ready")).await.is_ok_and(|answer| answer.status == 200) {
            server.process.check_alive()?;
            if began.elapsed() > START {
                bail!("Alertmanager is not ready after {START:?}:\n{}", server.process.log_tail(30));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(server)
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Replaces the configuration's file, which it does not notice before it is told to.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write(&self, config: &str) -> Result<()> {
        let new = self.config.with_extension("new");
        std::fs::write(&new, config)?;
        std::fs::rename(&new, &self.config)?;
        Ok(())
    }

    /// Tells it to read the file again. A refusal is an answer: 500, with the reason.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn reload(&self) -> Result<Answer> {
        http::post(&self.at("/-/reload"), &Value::Null).await
    }

    /// Its metrics.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<Scrape> {
        Ok(Scrape::parse(&http::get(&self.at("/metrics")).await?.ok()?.text()))
    }

    /// What `alertmanager_config_hash` is: a number of 48 bits, which a float holds.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn config_hash(&self) -> Result<u64> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it has 48 bits")]
        Ok(self.metrics().await?.sum("alertmanager_config_hash", &[]) as u64)
    }

    /// What it says of itself: version, configuration without secrets.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn status(&self) -> Result<Value> {
        Ok(http::get(&self.at("/api/v2/status")).await?.ok()?.json())
    }

    /// Waits until so many notifications were sent, all of them with success.
    ///
    /// # Errors
    /// When one fails.
    pub async fn delivered(&self, count: f64) -> Result<()> {
        let began = Instant::now();
        loop {
            let metrics = self.metrics().await?;
            let failed = metrics.sum("alertmanager_notification_requests_failed_total", &[]);
            let sent = metrics.sum("alertmanager_notification_requests_total", &[]);
            if failed > 0.0 || began.elapsed() > DEADLINE {
                bail!("{sent} were sent, of which {failed} failed:\n{}", self.process.log_tail(30));
            }
            if sent >= count {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Sends an alert with these labels, firing from now on.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn fire(&self, labels: &Value) -> Result<()> {
        self.alerts(&json!([{"labels": labels}])).await
    }

    /// Sends alerts as Prometheus does.
    ///
    /// # Errors
    /// When they are refused.
    pub async fn alerts(&self, alerts: &Value) -> Result<()> {
        http::post(&self.at("/api/v2/alerts"), alerts).await?.ok()?;
        Ok(())
    }
}
