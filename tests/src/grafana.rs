//! Grafana as a stub plays it: its provisioning folder with the expansion of `$`, the reload call, the data source API and
//! the alerting provisioning API. It is a stub because no real Grafana can be had here: `docs/GRAFANA.md` says what it was
//! written from.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::StreamExt;
use k8s_openapi::ByteString;
use kube::Api;
use kube::api::ListParams;
use kube::runtime::watcher::{self, Event, watch_object};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use waxwing_core::grafana::api::{Answer, Refusal, Request, reload};
use waxwing_core::grafana::{File, FileKind};
use waxwing_crds::{ConditionType, GrafanaInjection, InjectionStatus, conditions};

use crate::scene::Scene;
use crate::stub::Stub;
use crate::{http, process, wait};

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

/// What brings Secrets into Grafana's folder, until this is dropped.
pub struct Courier(Vec<JoinHandle<()>>);

impl Drop for Courier {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl Grafana {
    /// A sidecar: it copies every key of the Secrets of a namespace that have its label into the folder of that label, and
    /// makes Grafana read the folder.
    #[must_use]
    pub fn sidecar(&self, scene: &Scene) -> Courier {
        let tasks = [FileKind::Alerting, FileKind::Datasources].map(|kind| {
            let (secrets, folder) = (scene.secrets(), self.folder.join(kind.folder()));
            let (url, admin) = (format!("{}{}", self.url, reload(kind).path), self.admin());
            tokio::spawn(async move {
                let config = watcher::Config::default().labels(kind.label());
                let mut events = std::pin::pin!(watcher::watcher(secrets.clone(), config));
                while let Some(event) = events.next().await {
                    if !matches!(event, Ok(Event::Apply(_) | Event::Delete(_) | Event::InitDone)) {
                        continue;
                    }
                    let all = ListParams::default().labels(kind.label());
                    let Ok(all) = secrets.list(&all).await else { continue };
                    let files = all.items.into_iter().flat_map(|secret| secret.data.unwrap_or_default());
                    bring(&folder, &files.collect(), |_| true);
                    let headers = [("authorization", admin.as_str())];
                    let tls = http::Tls { ca_pem: "", identity: None };
                    // Grafana may refuse what it finds; so does a real one, and its sidecar goes on.
                    let _answer = http::send("POST", &url, tls, &headers, String::new()).await;
                }
            })
        });
        Courier(tasks.into())
    }

    /// A kubelet: Grafana's pod has this Secret mounted, each key in the folder of its kind. Grafana is not told.
    #[must_use]
    pub fn mount(&self, scene: &Scene, secret: &str) -> Courier {
        let (secrets, secret, folder) = (scene.secrets(), secret.to_owned(), self.folder.clone());
        Courier(vec![tokio::spawn(async move {
            let mut states = std::pin::pin!(watch_object(secrets, &secret));
            while let Some(state) = states.next().await {
                let Ok(state) = state else { continue };
                let files = state.and_then(|secret| secret.data).unwrap_or_default();
                for kind in [FileKind::Alerting, FileKind::Datasources] {
                    let end = format!(".{}.yaml", kind.folder());
                    bring(&folder.join(kind.folder()), &files, |key| key.ends_with(&end));
                }
            }
        })])
    }

    /// Waits until what there is in the first organisation is as wanted.
    ///
    /// # Panics
    /// At the deadline, with what it was then.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let effective = self.effective(1).await.expect("the stub tells");
            if wanted(&effective) {
                return effective;
            }
            assert!(began.elapsed() < wait::DEADLINE, "not so in time: {what}; it is now:\n{effective:#}");
            tokio::time::sleep(process::POLL).await;
        }
    }
}

/// Makes a folder hold these files and no others.
fn bring(folder: &Path, files: &BTreeMap<String, ByteString>, is_wanted: impl Fn(&str) -> bool) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !files.contains_key(&name) || !is_wanted(&name) {
            std::fs::remove_file(entry.path()).expect("the test's folder lets go of files");
        }
    }
    for (name, content) in files.iter().filter(|(name, _)| is_wanted(name)) {
        std::fs::write(folder.join(name), &content.0).expect("the test's folder takes files");
    }
}

/// A contact point's receiver in what [`Grafana::effective`] gives.
#[must_use]
pub fn receiver<'a>(effective: &'a Value, uid: &str) -> Option<&'a Value> {
    effective["contactPoints"].as_array()?.iter().find(|receiver| receiver["uid"] == uid)
}

/// A data source in it.
#[must_use]
pub fn datasource<'a>(effective: &'a Value, name: &str) -> Option<&'a Value> {
    effective["datasources"].as_array()?.iter().find(|source| source["name"] == name)
}

impl Scene {
    /// The GrafanaInjections here.
    #[must_use]
    pub fn grafana_injections(&self) -> Api<GrafanaInjection> {
        Api::namespaced(self.client(), &self.namespace)
    }

    /// Waits until the status of one is as wanted, which speaks of its present generation.
    pub async fn grafana_is(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&InjectionStatus) -> bool,
    ) -> InjectionStatus {
        let is_so = |object: Option<&GrafanaInjection>| {
            object.is_some_and(|object| {
                let status = object.status.as_ref();
                let status = status.filter(|it| it.observed_generation == object.metadata.generation);
                status.is_some_and(&wanted)
            })
        };
        wait::until(&self.grafana_injections(), name, what, is_so).await.status.unwrap_or_default()
    }

    /// Waits until one is ready.
    pub async fn grafana_ready(&self, name: &str) -> InjectionStatus {
        self.grafana_is(name, "ready", |status| conditions::is_true(&status.conditions, ConditionType::Ready))
            .await
    }
}
