//! Waiting for a state of an object, by watching it. There is a deadline and no sleep; what was there at the deadline
//! is in the panic.

use std::fmt::Debug;
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::runtime::watcher::{Config, watch_object};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use waxwing_crds::{ConditionType, KeyRing, Reason, SealedSecret, conditions};

use crate::process::POLL;

/// How long a test waits for one thing. Generous: a machine may be busy, and a test that passes does not wait for it.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until the object is as wanted; `None` stands for one that does not exist.
///
/// # Panics
/// At the deadline, with what the object was then.
pub async fn until_opt<K>(
    api: &Api<K>,
    name: &str,
    what: &str,
    wanted: impl Fn(Option<&K>) -> bool,
) -> Option<K>
where
    K: Clone + Debug + Send + DeserializeOwned + Resource + Serialize + 'static,
{
    within(DEADLINE, api, name, what, wanted).await
}

/// As [`until_opt`], with a deadline of one's own.
///
/// # Panics
/// At the deadline, with what the object was then.
pub async fn within<K>(
    deadline: Duration,
    api: &Api<K>,
    name: &str,
    what: &str,
    wanted: impl Fn(Option<&K>) -> bool,
) -> Option<K>
where
    K: Clone + Debug + Send + DeserializeOwned + Resource + Serialize + 'static,
{
    let mut last = None;
    let watching = async {
        let mut states = std::pin::pin!(watch_object(api.clone(), name));
        loop {
            let Some(state) = next(&mut states).await else { continue };
            if wanted(state.as_ref()) {
                return state;
            }
            last = state;
        }
    };
    match tokio::time::timeout(deadline, watching).await {
        Ok(state) => state,
        Err(_) => panic!(
            "{name}: not so within {deadline:?}: {what}; it is now:\n{}",
            last.as_ref().map_or("absent".into(), shown)
        ),
    }
}

/// The next thing that a watch brings. What it reports as an error it mends by itself: a test may have changed the CRD.
async fn next<T>(watch: &mut (impl Stream<Item = watcher::Result<T>> + Unpin)) -> Option<T> {
    match watch.next().await.expect("a watch does not end") {
        Ok(item) => Some(item),
        Err(_) => {
            tokio::time::sleep(POLL).await;
            None
        }
    }
}

/// Waits until the object is there and as wanted.
///
/// # Panics
/// At the deadline, with what the object was then.
pub async fn until<K>(
    api: &Api<K>,
    name: &str,
    what: &str,
    wanted: impl kube::runtime::wait::Condition<K>,
) -> K
where
    K: Clone + Debug + Send + DeserializeOwned + Resource + Serialize + 'static,
{
    let object = until_opt(api, name, what, |object| object.is_some() && wanted.matches_object(object)).await;
    object.expect("the condition asks for one")
}

/// Waits until the object is gone.
///
/// # Panics
/// At the deadline, with what the object was then.
pub async fn until_gone<K>(api: &Api<K>, name: &str)
where
    K: Clone + Debug + Send + DeserializeOwned + Resource + Serialize + 'static,
{
    until_opt(api, name, "is gone", |object| object.is_none()).await;
}

/// Waits until an event about an object says this.
///
/// # Panics
/// At the deadline.
pub async fn until_event(api: &Api<Event>, about: &str, reason: Reason) -> Event {
    let fits = |event: &Event| {
        event.reason.as_deref() == Some(reason.as_str())
            && event.regarding.as_ref().and_then(|object| object.name.as_deref()) == Some(about)
    };
    let watching = async {
        let mut events = std::pin::pin!(watcher(api.clone(), Config::default()).applied_objects());
        loop {
            match next(&mut events).await {
                Some(event) if fits(&event) => return event,
                _ => {}
            }
        }
    };
    let event = tokio::time::timeout(DEADLINE, watching).await;
    event.unwrap_or_else(|_| panic!("no event {reason} about {about} within {DEADLINE:?}"))
}

/// Waits until a SealedSecret is ready at its generation.
///
/// # Panics
/// At the deadline, with what the object was then.
pub async fn until_ready(api: &Api<SealedSecret>, name: &str) -> SealedSecret {
    until(api, name, "is ready at its generation", |object: Option<&SealedSecret>| {
        object.is_some_and(is_ready)
    })
    .await
}

/// Waits until a SealedSecret is not ready at its generation, for this reason.
///
/// # Panics
/// At the deadline, with what the object was then.
pub async fn until_failing(api: &Api<SealedSecret>, name: &str, reason: Reason) -> SealedSecret {
    let what = format!("is not ready at its generation: {reason}");
    until(api, name, &what, move |object: Option<&SealedSecret>| {
        object.is_some_and(|object| is_failing(object, reason))
    })
    .await
}

/// Waits until a SealedSecret is as wanted.
///
/// # Panics
/// At the deadline, with what the object was then.
pub async fn until_sealed(
    api: &Api<SealedSecret>,
    name: &str,
    what: &str,
    wanted: impl Fn(&SealedSecret) -> bool,
) -> SealedSecret {
    until(api, name, what, move |object: Option<&SealedSecret>| object.is_some_and(&wanted)).await
}

/// Waits until a Secret is as wanted.
///
/// # Panics
/// At the deadline, with what the object was then, without its values.
pub async fn until_secret(
    api: &Api<Secret>,
    name: &str,
    what: &str,
    wanted: impl Fn(&Secret) -> bool,
) -> Secret {
    until(api, name, what, move |object: Option<&Secret>| object.is_some_and(&wanted)).await
}

/// Waits until a KeyRing is as wanted.
///
/// # Panics
/// At the deadline, with what the object was then.
pub async fn until_ring(
    api: &Api<KeyRing>,
    name: &str,
    what: &str,
    wanted: impl Fn(&KeyRing) -> bool,
) -> KeyRing {
    until(api, name, what, move |object: Option<&KeyRing>| object.is_some_and(&wanted)).await
}

/// The `Ready` condition's reason, where it speaks of the object's generation.
#[must_use]
pub fn reason(object: &SealedSecret) -> Option<&str> {
    let status =
        object.status.as_ref().filter(|status| status.observed_generation == object.metadata.generation)?;
    conditions::get(&status.conditions, ConditionType::Ready).map(|ready| ready.reason.as_str())
}

/// Whether it is ready at its generation.
#[must_use]
pub fn is_ready(object: &SealedSecret) -> bool {
    object.status.as_ref().is_some_and(|status| {
        status.observed_generation == object.metadata.generation
            && conditions::is_true(&status.conditions, ConditionType::Ready)
    })
}

/// Whether it is not ready at its generation, for this reason, and says so in the way of kstatus.
#[must_use]
pub fn is_failing(object: &SealedSecret, reason: Reason) -> bool {
    let Some(status) = &object.status else { return false };
    let is_true = |type_| conditions::is_true(&status.conditions, type_);
    status.observed_generation == object.metadata.generation
        && conditions::get(&status.conditions, ConditionType::Ready)
            .is_some_and(|ready| ready.status == "False" && ready.reason == reason.as_str())
        && is_true(ConditionType::Stalled) == reason.stalled()
        && is_true(ConditionType::Reconciling) != reason.stalled()
}

/// The message of the `Ready` condition.
#[must_use]
pub fn message(object: &SealedSecret) -> String {
    let status = object.status.as_ref();
    let ready = status.and_then(|status| conditions::get(&status.conditions, ConditionType::Ready));
    ready.map(|ready| ready.message.clone()).unwrap_or_default()
}

/// An object as JSON. Of a Secret only the keys are shown: what fails may be printed where more people read it.
pub fn shown<K: Serialize + Resource>(object: &K) -> String {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    value["metadata"]["managedFields"] = Value::Null;
    if let Some(data) = value.get_mut("data").and_then(Value::as_object_mut) {
        data.values_mut().for_each(|value| *value = "…".into());
    }
    serde_json::to_string_pretty(&value).unwrap_or_default()
}

/// One value of a Secret.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn value_of<'a>(secret: &'a Secret, key: &str) -> &'a [u8] {
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    &value.unwrap_or_else(|| panic!("the Secret {} has no key {key}", secret.name_any())).0
}
