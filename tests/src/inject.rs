//! Injections in a test's namespace, and what a kubelet does for a mounted Secret.

use std::path::PathBuf;

use anyhow::{Context, Result};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::watcher::watch_object;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use waxwing_core::{inject::Node, yaml};
use waxwing_crds::{
    AlertmanagerInjection, Condition, ConditionType, InjectionStatus, ReceiverState, conditions, names,
};

use crate::alertmanager::{amtool, server::Server};
use crate::scene::Scene;
use crate::wait;

impl Scene {
    /// The AlertmanagerInjections here.
    #[must_use]
    pub fn injections(&self) -> Api<AlertmanagerInjection> {
        Api::namespaced(self.client(), &self.namespace)
    }

    /// Waits until an injection is as wanted, which speaks of its present generation.
    pub async fn injection_is(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&InjectionStatus) -> bool,
    ) -> InjectionStatus {
        let found = wait::until(&self.injections(), name, what, |object: Option<&AlertmanagerInjection>| {
            object.and_then(current).is_some_and(&wanted)
        })
        .await;
        found.status.unwrap_or_default()
    }

    /// Waits until an injection is ready.
    pub async fn injected(&self, name: &str) -> InjectionStatus {
        self.injection_is(name, "ready", |status| {
            conditions::is_true(&status.conditions, ConditionType::Ready)
        })
        .await
    }

    /// Waits until an injection is not ready for this reason, and gives the message.
    pub async fn not_injected(&self, name: &str, reason: &str) -> String {
        let failing = |condition: &Condition| condition.status == "False" && condition.reason == reason;
        let status = self
            .injection_is(name, reason, |status| {
                conditions::get(&status.conditions, ConditionType::Ready).is_some_and(failing)
            })
            .await;
        let ready = conditions::get(&status.conditions, ConditionType::Ready);
        ready.map(|ready| ready.message.clone()).unwrap_or_default()
    }

    /// Waits until a receiver of an injection is in this state.
    pub async fn receiver_is(&self, name: &str, receiver: &str, state: ReceiverState) -> InjectionStatus {
        self.injection_is(name, &format!("{receiver} is {state:?}"), |status| {
            status.receivers.iter().any(|found| found.name == receiver && found.state == state)
        })
        .await
    }

    /// The published configuration, which both amtools take.
    ///
    /// # Errors
    /// When it is not there, is no YAML, or an amtool refuses it.
    pub async fn published(&self, secret: &str) -> Result<Value> {
        taken(&self.secrets().get(secret).await?, &amtool::BOTH)
    }

    /// Waits until the published configuration is as wanted.
    ///
    /// # Errors
    /// When it is no YAML.
    pub async fn published_is(
        &self,
        secret: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let found = wait::until(&self.secrets(), secret, what, |secret: Option<&Secret>| {
            secret.and_then(|secret| document(secret).ok()).is_some_and(|config| wanted(&config))
        })
        .await;
        taken(&found, &amtool::BOTH)
    }

    /// The history Secrets of an injection, by number.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn revisions(&self, name: &str) -> Result<Vec<(i64, Secret)>> {
        let uid = self.injections().get(name).await?.metadata.uid.context("it has a uid")?;
        let of = ListParams::default().labels(&format!("{}={uid}", names::HISTORY_OF));
        let found = self.secrets().list(&of).await?.items.into_iter().map(|secret| {
            let number = secret.metadata.annotations.as_ref().and_then(|all| all.get(names::REVISION));
            (number.and_then(|number| number.parse().ok()).unwrap_or_default(), secret)
        });
        let mut found: Vec<_> = found.collect();
        found.sort_by_key(|(number, _)| *number);
        Ok(found)
    }

    /// Asks for a look now.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn look_again(&self, name: &str, nonce: &str) -> kube::Result<()> {
        let patch = json!({"metadata": {"annotations": {names::REFRESH: nonce}}});
        self.injections().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
    }

    /// From now on the server's file has what this Secret has, as a kubelet would have it. The server is not told.
    #[must_use]
    pub fn mount(&self, secret: &str, server: &Server) -> Mount {
        Mount::start(self.secrets(), secret, server.config.clone())
    }
}

/// A Secret that is mounted into a server's folder, until this is dropped.
pub struct Mount(JoinHandle<()>);

impl Mount {
    fn start(api: Api<Secret>, secret: &str, file: PathBuf) -> Self {
        let secret = secret.to_owned();
        Self(tokio::spawn(async move {
            let mut states = std::pin::pin!(watch_object(api, &secret));
            while let Some(state) = states.next().await {
                let Ok(Some(secret)) = state else { continue };
                let data = secret.data.unwrap_or_default();
                let Some(text) = data.get("alertmanager.yaml") else { continue };
                let new = file.with_extension("new");
                let written = std::fs::write(&new, &text.0).and_then(|()| std::fs::rename(&new, &file));
                written.expect("the test's folder takes files");
            }
        }))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The status of an injection, where it speaks of the present generation.
#[must_use]
pub fn current(object: &AlertmanagerInjection) -> Option<&InjectionStatus> {
    let status = object.status.as_ref()?;
    (status.observed_generation == object.metadata.generation).then_some(status)
}

/// A reference to a key of a Secret.
#[must_use]
pub fn secret(name: &str, key: &str) -> Value {
    json!({"$secret": {"name": name, "key": key}})
}

/// The configuration in a Secret, which these amtools take.
///
/// # Errors
/// When one refuses it.
pub fn taken(secret: &Secret, tools: &[&str]) -> Result<Value> {
    amtool::takes(tools, text(secret)?)?;
    document(secret)
}

fn text(secret: &Secret) -> Result<&str> {
    let data = secret.data.as_ref().context("it has data")?;
    Ok(std::str::from_utf8(&data.get("alertmanager.yaml").context("it has a configuration")?.0)?)
}

fn document(secret: &Secret) -> Result<Value> {
    let text = text(secret)?;
    let document = yaml::documents(text)?.pop().context("it has a document")?;
    Node::read(&document.value).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(document.value)
}
