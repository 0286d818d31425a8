//! The floor: the same Secrets and statuses, written by a plain client with as many workers and no cryptography.
//!
//! What an operator needs more than this, on this API server, is its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};
use waxwing_tests::control_plane::{self, ControlPlane};

use crate::account;
use crate::load::{self, KEYS, Kind, Place};
use crate::observe::Observer;

/// How long it may take.
const WITHIN: Duration = Duration::from_secs(180);

/// The plain client.
pub(crate) struct Floor {
    client: Client,
    kind: Kind,
}

impl Floor {
    /// With an account of its own, as the operators have.
    pub(crate) async fn install(plane: &ControlPlane, kind: Kind) -> Result<Self> {
        let token = account::administrator(plane, "floor").await?;
        let path = plane.dir().join("floor.kubeconfig");
        std::fs::write(&path, plane.kubeconfig(&plane.url, &token, "floor"))?;
        Ok(Self { client: control_plane::client(&path).await?, kind })
    }

    /// Writes Secret and status of objects that are there, and gives the seconds until all had converged.
    pub(crate) async fn existing(&self, plane: &ControlPlane, objects: &Arc<Vec<String>>) -> Result<f64> {
        load::create(&plane.admin, self.kind, objects.clone()).await?;
        let uids = Arc::new(load::uids(&plane.admin, self.kind, objects.len()).await?);
        load::calm().await;
        let (client, kind) = (self.client.clone(), self.kind);
        self.measure(plane, objects.len(), move |number| {
            let (client, uid) = (client.clone(), uids[number].clone());
            async move { finish(&client, kind, number, &uid).await }
        })
        .await
    }

    /// Makes the objects, and writes Secret and status of each at once.
    pub(crate) async fn live(&self, plane: &ControlPlane, objects: &Arc<Vec<String>>) -> Result<f64> {
        load::calm().await;
        let (client, kind, objects) = (self.client.clone(), self.kind, objects.clone());
        self.measure(plane, objects.len(), move |number| {
            let (client, body) = (client.clone(), objects[number].clone());
            async move {
                let path = kind.path(&Place::of(number).namespace);
                let made = load::send(&client, "POST", path, "application/json", body).await?;
                let made: Value = serde_json::from_str(&made)?;
                finish(&client, kind, number, made["metadata"]["uid"].as_str().unwrap_or_default()).await
            }
        })
        .await
    }

    async fn measure<F>(
        &self,
        plane: &ControlPlane,
        count: usize,
        task: impl Fn(usize) -> F + Send + Sync + 'static,
    ) -> Result<f64>
    where
        F: Future<Output = Result<()>> + Send,
    {
        let mut observer = Observer::start(&plane.admin, self.kind).await;
        let began = Instant::now();
        load::each(count, task).await?;
        let converged = observer.converged(count, WITHIN).await;
        let converged =
            converged.with_context(|| format!("the floor did not converge: {}", observer.state()))?;
        load::remove(&plane.admin, self.kind).await?;
        Ok((converged - began).as_secs_f64())
    }
}

async fn finish(client: &Client, kind: Kind, number: usize, uid: &str) -> Result<()> {
    let Place { namespace, name } = Place::of(number);
    let values = KEYS.iter().enumerate().map(|(key, text)| {
        ((*text).to_owned(), Value::from(BASE64_STANDARD.encode(load::value(number, key, 0))))
    });
    let api_version = format!("{}/{}", kind.group, kind.version);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {
            "name": name, "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "floor"},
            "annotations": {"floor/one": "a text of some length", "floor/two": "a text of some length"},
            "ownerReferences": [{
                "apiVersion": api_version, "kind": kind.kind, "name": name, "uid": uid, "controller": true,
            }],
        },
        "data": values.collect::<Value>(),
    });
    let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}?fieldManager=floor&force=true");
    load::send(client, "PATCH", path, "application/apply-patch+yaml", secret.to_string()).await?;

    let condition = |name: &str, status: &str, reason: &str| {
        json!({
            "type": name, "status": status, "reason": reason, "observedGeneration": 1,
            "lastTransitionTime": Timestamp::now().to_string().split('.').next().map(|time| format!("{time}Z")),
            "message": "the Secret holds what is sealed",
        })
    };
    let patch = json!([{"op": "add", "path": "/status", "value": {
        "observedGeneration": 1,
        "conditions": [condition("Ready", "True", "Applied")],
        "keys": KEYS.map(|key| json!({"name": key, "seq": 1_789_000_000, "keyId": "00000000"})),
        "applied": {
            "digest": "0".repeat(43), "keyId": "00000000", "resourceVersion": "100000", "secretUid": uid,
            "values": "0".repeat(43),
        },
    }}]);
    let path = format!("{}/{name}/status?fieldManager=floor", kind.path(&namespace));
    load::send(client, "PATCH", path, "application/json-patch+json", patch.to_string()).await?;
    Ok(())
}
