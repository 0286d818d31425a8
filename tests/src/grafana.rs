//! Grafana as a stub plays it: its provisioning folder with the expansion of `$`, the reload call, the data source API and
//! the alerting provisioning API. It is a stub because no real Grafana can be had here: `docs/GRAFANA.md` says what it was
//! written from.

use std::ops::Deref;
use std::path::PathBuf;

use anyhow::Result;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use waxwing_core::grafana::api::{Answer, Refusal, Request, reload};
use waxwing_core::grafana::{File, FileKind};

use crate::stub::Stub;
use crate::{http, process};

/// The stub. Its `url` is Grafana's; [`Stub`] has more.
pub struct Grafana {
    stub: Stub,
    folder: PathBuf,
}

impl Grafana {
    /// Starts one with an empty provisioning folder; `name` names its folder in this run's.
    ///
    /// # Errors
    /// When it ends, or takes too long.
    pub async fn start(name: &str) -> Result<Self> {
        let folder = process::folder(&format!("{name}-provisioning"));
        for kind in [FileKind::Alerting, FileKind::Datasources] {
            std::fs::create_dir(folder.join(kind.folder()))?;
        }
        let stub = Stub::start("grafana", name, false).await?;
        stub.tell("folder", json!({"path": folder})).await?;
        Ok(Self { stub, folder })
    }

    /// The account of the server administrator, as the value of `Authorization`.
    #[must_use]
    pub fn admin(&self) -> String {
        basic("admin", "admin")
    }

    /// A service account's token of the first organisation, as the value of `Authorization`.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn token(&self, token: &str, role: &str) -> Result<String> {
        self.tell("token", json!({"token": token, "role": role})).await?;
        Ok(format!("Bearer {token}"))
    }

    /// Puts a file where Grafana reads it, as a mounted Secret or a sidecar does.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn publish(&self, file: &File) -> Result<()> {
        self.publish_as(file.kind, &file.key, &file.content)
    }

    /// Puts any bytes there.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn publish_as(&self, kind: FileKind, key: &str, content: &[u8]) -> Result<()> {
        Ok(std::fs::write(self.folder.join(kind.folder()).join(key), content)?)
    }

    /// The names of the files that it reads.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn published(&self, kind: FileKind) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(self.folder.join(kind.folder()))?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names = names.collect::<Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    /// Sends a request of Waxwing's with these credentials.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn send(&self, request: &Request, authorization: &str) -> Result<http::Answer> {
        let own = request.headers();
        let mut headers: Vec<_> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
        headers.push(("authorization", authorization));
        let body = request.body.as_ref().map_or("", |body| std::str::from_utf8(body).unwrap());
        self.stub.request(request.method.as_str(), &request.path, &headers, body).await
    }

    /// Makes it read its files again, as the administrator. Gives what Waxwing makes of the answer, and the answer's text.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn reload(&self, kind: FileKind) -> Result<(Result<(), Refusal>, String)> {
        let answer = self.send(&reload(kind), &self.admin()).await?;
        Ok((Answer { status: answer.status, body: &answer.body }.done(), answer.text()))
    }

    /// What there is in an organisation, credentials included: `datasources`, `contactPoints` and `policies`.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn effective(&self, org: i64) -> Result<Value> {
        Ok(self.tell("effective", json!({})).await?[org.to_string()].take())
    }

    /// From now on `times` calls of paths that begin so are answered with this status and with what was sent.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn fail(&self, path: &str, status: u16, times: u32) -> Result<()> {
        self.tell("failure", json!({"path": path, "status": status, "times": times})).await?;
        Ok(())
    }

    /// The last delivery of an integration failed with this text.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn failed_delivery(&self, contact_point: &str, integration: usize, error: &str) -> Result<()> {
        let body = json!({"contactPoint": contact_point, "integration": integration, "error": error});
        self.tell("attempt", body).await?;
        Ok(())
    }

    /// Somebody changes settings of a receiver in Grafana's own pages.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn edit_receiver(&self, uid: &str, settings: Value) -> Result<()> {
        self.tell("edit", json!({"uid": uid, "settings": settings})).await?;
        Ok(())
    }

    /// Somebody changes fields of a data source there.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn edit_datasource(&self, name: &str, fields: Value) -> Result<()> {
        self.tell("edit", json!({"name": name, "settings": fields})).await?;
        Ok(())
    }

    /// A new process; `ephemeral`: with an empty database. Gives whether it starts.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn restart(&self, ephemeral: bool) -> Result<bool> {
        Ok(self.tell("restart", json!({"ephemeral": ephemeral})).await?["started"] == true)
    }

    /// Variables of its environment, and files of its disk that `$__file{}` may name.
    ///
    /// # Errors
    /// When the stub refuses.
    pub async fn surroundings(&self, environment: Value, files: Value) -> Result<()> {
        self.tell("environment", environment).await?;
        self.tell("readable", files).await?;
        Ok(())
    }
}

/// The value of `Authorization` for a user.
#[must_use]
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

impl Deref for Grafana {
    type Target = Stub;

    fn deref(&self) -> &Stub {
        &self.stub
    }
}
