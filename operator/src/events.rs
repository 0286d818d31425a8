//! Kubernetes events: for people who look at an object. They hold reason codes and names, never a value.
//!
//! An event is written when something has changed, by the caller's judgement; the same one again within minutes only
//! raises its count. An event that cannot be written is a line in the log and nothing else.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tracing::debug;
use waxwing_crds::Reason;

use crate::api_error;

/// The longest note that the API takes is 1 KiB.
const NOTE_LIMIT: usize = 1000;

/// Writes events.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

impl Events {
    /// Events of the replica `instance`.
    pub fn new(client: Client, instance: &str) -> Self {
        let reporter =
            Reporter { controller: "waxwing-operator".into(), instance: Some(instance.to_owned()) };
        Self { recorder: Recorder::new(client, reporter) }
    }

    /// Something happened that is as it should be.
    pub async fn normal(&self, about: &ObjectReference, reason: Reason, note: &str) {
        self.publish(about, reason, note, EventType::Normal).await;
    }

    /// Something happened that deserves attention.
    pub async fn warning(&self, about: &ObjectReference, reason: Reason, note: &str) {
        self.publish(about, reason, note, EventType::Warning).await;
    }

    async fn publish(&self, about: &ObjectReference, reason: Reason, note: &str, type_: EventType) {
        let note = note[..note.floor_char_boundary(NOTE_LIMIT)].to_owned();
        let event = Event {
            type_,
            reason: reason.as_str().to_owned(),
            note: Some(note).filter(|note| !note.is_empty()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, about).await {
            debug!(
                reason = reason.as_str(),
                error = api_error::describe(&error),
                "an event could not be written"
            );
        }
    }
}
