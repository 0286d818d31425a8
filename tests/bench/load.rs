//! What is put on the API server: objects in twenty namespaces, made and removed by a plain client with 32 workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::machine;

/// As many as the operator has by default.
pub(crate) const WORKERS: usize = 32;
/// Namespaces that the objects are spread over.
const NAMESPACES: usize = 20;
/// The data keys of each object.
pub(crate) const KEYS: [&str; 3] = ["database-password", "smtp-password", "webhook-token"];
/// How long the control plane may take to calm down.
const CALM: Duration = Duration::from_secs(20);

/// What all benchmarked Secrets are called, and nothing else.
pub(crate) const NAME_PREFIX: &str = "app-";

/// A kind of custom resource.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
}

impl Kind {
    /// The path of all objects of a namespace.
    pub(crate) fn path(self, namespace: &str) -> String {
        format!("/apis/{}/{}/namespaces/{namespace}/{}", self.group, self.version, self.plural)
    }
}

/// Where the object with this number is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Place {
    pub(crate) fn of(number: usize) -> Self {
        Self { namespace: namespace(number % NAMESPACES), name: format!("{NAME_PREFIX}{number:05}") }
    }
}

fn namespace(number: usize) -> String {
    format!("bench-{number:02}")
}

/// A value of 32 bytes, another one for each object, key and round.
pub(crate) fn value(number: usize, key: usize, round: usize) -> String {
    format!("value-{number:06}-{key:06}-{round:06}-bytes")
}

/// Makes the namespaces.
pub(crate) async fn namespaces(client: &Client) -> Result<()> {
    let api: Api<Namespace> = Api::all(client.clone());
    for number in 0..NAMESPACES {
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace(number)}}))?;
        api.create(&PostParams::default(), &namespace).await.context("a namespace")?;
    }
    Ok(())
}

/// One request, whose answer is not looked into.
pub(crate) async fn send(
    client: &Client,
    method: &str,
    path: String,
    content: &str,
    body: String,
) -> kube::Result<String> {
    let request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header("Content-Type", content)
        .header("Accept", "application/json")
        .body(body.into_bytes())
        .map_err(kube::Error::HttpError)?;
    client.request_text(request).await
}

/// Runs `task` for each number below `count`, so many at a time as there are workers.
pub(crate) async fn each<F>(count: usize, task: impl Fn(usize) -> F + Send + Sync + 'static) -> Result<()>
where
    F: Future<Output = Result<()>> + Send,
{
    let (task, next) = (Arc::new(task), Arc::new(AtomicUsize::new(0)));
    let workers = (0..WORKERS).map(|_| {
        let (task, next) = (task.clone(), next.clone());
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return anyhow::Ok(());
                }
                task(number).await?;
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await??;
    }
    Ok(())
}

/// Makes the objects, of which each is JSON and stands where its number says.
pub(crate) async fn create(client: &Client, kind: Kind, objects: Arc<Vec<String>>) -> Result<()> {
    let client = client.clone();
    each(objects.len(), move |number| {
        let (client, body) = (client.clone(), objects[number].clone());
        async move {
            let path = kind.path(&Place::of(number).namespace);
            send(&client, "POST", path, "application/json", body).await?;
            Ok(())
        }
    })
    .await
}

/// Removes what was made, the Secrets first: then nobody has to collect them.
pub(crate) async fn remove(client: &Client, kind: Kind) -> Result<()> {
    for number in 0..NAMESPACES {
        for path in
            [format!("/api/v1/namespaces/{}/secrets", namespace(number)), kind.path(&namespace(number))]
        {
            send(client, "DELETE", path, "application/json", String::new()).await?;
        }
    }
    calm().await;
    Ok(())
}

/// The uids of the objects, by their numbers.
pub(crate) async fn uids(client: &Client, kind: Kind, count: usize) -> Result<Vec<String>> {
    let mut uids = vec![String::new(); count];
    for number in 0..NAMESPACES {
        let path = kind.path(&namespace(number));
        let list: Value =
            serde_json::from_str(&send(client, "GET", path, "application/json", String::new()).await?)?;
        for item in list["items"].as_array().into_iter().flatten() {
            let metadata = &item["metadata"];
            let number =
                metadata["name"].as_str().and_then(|name| name.strip_prefix(NAME_PREFIX)?.parse().ok());
            if let (Some(number), Some(uid)) = (number, metadata["uid"].as_str()) {
                let slot: Option<&mut String> = uids.get_mut::<usize>(number);
                slot.context("an object with a number that was not made")?.replace_range(.., uid);
            }
        }
    }
    Ok(uids)
}

/// Waits until the control plane has almost nothing to do any more, or for [`CALM`].
pub(crate) async fn calm() {
    let began = Instant::now();
    let mut quiet = 0;
    let mut used = machine::children_cpu();
    while quiet < 3 && began.elapsed() < CALM {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = machine::children_cpu();
        quiet = if now.saturating_sub(used) <= Duration::from_millis(40) { quiet + 1 } else { 0 };
        used = now;
    }
}
