//! Watches that tell when everything has converged: every Secret is there, and every object says so at its generation.
//!
//! The same watches run while the floor is measured, so that all sides carry their cost.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{ApiResource, NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use serde::{Deserialize, Deserializer};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::load::{Kind, NAME_PREFIX, Place};

/// Watches of one kind and of Secrets.
pub(crate) struct Observer {
    done: watch::Receiver<usize>,
    secrets: watch::Receiver<usize>,
    _tasks: JoinSet<()>,
}

impl Observer {
    /// Begins to watch, and returns when what is there now is known.
    pub(crate) async fn start(client: &Client, kind: Kind) -> Self {
        let resource = ApiResource {
            group: kind.group.to_owned(),
            version: kind.version.to_owned(),
            api_version: format!("{}/{}", kind.group, kind.version),
            kind: kind.kind.to_owned(),
            plural: kind.plural.to_owned(),
        };
        let mut tasks = JoinSet::new();
        let objects = Api::<Seen>::all_with(client.clone(), &resource);
        let (mut objects_listed, done) = count(&mut tasks, objects, Seen::is_done);
        let secrets = Api::<PartialObjectMeta<Secret>>::all(client.clone());
        let (mut secrets_listed, secrets) = count(&mut tasks, secrets, |_| true);
        for listed in [&mut objects_listed, &mut secrets_listed] {
            // A watch that ends would say nothing; it never ends.
            let _ = listed.wait_for(|listed| *listed).await;
        }
        Self { done, secrets, _tasks: tasks }
    }

    /// When so many had converged, or nothing when that took too long.
    pub(crate) async fn converged(&mut self, count: usize, within: Duration) -> Option<Instant> {
        let both = async {
            self.done.wait_for(|done| *done >= count).await.ok()?;
            self.secrets.wait_for(|secrets| *secrets >= count).await.ok()?;
            Some(Instant::now())
        };
        tokio::time::timeout(within, both).await.ok().flatten()
    }

    /// How many have converged.
    pub(crate) fn state(&self) -> String {
        format!("{} objects in sync, {} Secrets", *self.done.borrow(), *self.secrets.borrow())
    }
}

/// Counts those of the benchmark's objects that `is_done`. Also tells when the first list was read.
fn count<K>(
    tasks: &mut JoinSet<()>,
    api: Api<K>,
    is_done: impl Fn(&K) -> bool + Send + 'static,
) -> (watch::Receiver<bool>, watch::Receiver<usize>)
where
    K: Resource + Clone + Debug + for<'de> Deserialize<'de> + Send + 'static,
{
    let (listed, was_listed) = watch::channel(false);
    let (sender, receiver) = watch::channel(0);
    tasks.spawn(async move {
        let mut all: HashSet<Place> = HashSet::new();
        let mut events = std::pin::pin!(watcher(api, watcher::Config::default()));
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => all.clear(),
                Ok(Event::InitDone) => _ = listed.send(true),
                Ok(Event::Apply(object) | Event::InitApply(object)) => {
                    let Some(place) = place(object.meta()) else { continue };
                    if is_done(&object) {
                        all.insert(place)
                    } else {
                        all.remove(&place)
                    };
                }
                Ok(Event::Delete(object)) => {
                    if let Some(place) = place(object.meta()) {
                        all.remove(&place);
                    }
                }
                // The watcher tries again by itself; without a pause, since it is one of a kind.
                Err(_) => {}
            }
            sender.send_if_modified(|count| std::mem::replace(count, all.len()) != all.len());
        }
    });
    (was_listed, receiver)
}

fn place(metadata: &ObjectMeta) -> Option<Place> {
    let name = metadata.name.clone().filter(|name| name.starts_with(NAME_PREFIX))?;
    Some(Place { namespace: metadata.namespace.clone()?, name })
}

/// What matters of an object of either side, and nothing else of it is read.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    metadata: ObjectMeta,
    done: bool,
}

impl Seen {
    /// Whether it says, of its present generation, that its Secret is as it should be.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Metadata {
            name: String,
            namespace: String,
            generation: Option<i64>,
            resource_version: String,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Status {
            observed_generation: Option<i64>,
            conditions: Vec<Condition>,
        }
        #[derive(Deserialize)]
        struct Condition {
            r#type: String,
            status: String,
        }
        #[derive(Deserialize)]
        struct Wire {
            metadata: Metadata,
            #[serde(default)]
            status: Status,
        }
        let Wire { metadata, status } = Wire::deserialize(deserializer)?;
        let is_good = |condition: &Condition| {
            matches!(condition.r#type.as_str(), "Ready" | "Synced") && condition.status == "True"
        };
        // Some operators say the generation nowhere: an object that was made once has but one.
        let of_now =
            status.observed_generation.is_none() || status.observed_generation == metadata.generation;
        let done = of_now && status.conditions.iter().any(is_good);
        let metadata = ObjectMeta {
            name: Some(metadata.name),
            namespace: Some(metadata.namespace),
            resource_version: Some(metadata.resource_version),
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, done })
    }
}

impl Resource for Seen {
    type DynamicType = ApiResource;
    type Scope = NamespaceResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        (&resource.kind).into()
    }
    fn group(resource: &ApiResource) -> Cow<'_, str> {
        (&resource.group).into()
    }
    fn version(resource: &ApiResource) -> Cow<'_, str> {
        (&resource.version).into()
    }
    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        (&resource.plural).into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
