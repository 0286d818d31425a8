//! Kubernetes events: for people who look at an object. They hold reason codes and names, never a value.
//!
//! An event is written when something has changed, by the caller's judgement; the same one again within minutes only
//! raises its count. An event that cannot be written is a line in the log, and the caller is told.

use std::sync::{Arc, Mutex, PoisonError};

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

/// After so many events the recorder is replaced. It keeps each for six minutes, up to 3 KB with its note, and looks
/// through all of them for each further one: without an end, 10,000 objects that fail at once would take 30 MB and
/// 10^8 looks.
const KEPT: usize = 1000;

/// Writes events.
#[derive(Clone)]
pub struct Events {
    client: Client,
    reporter: Reporter,
    /// What knows the latest events, and how many it was given.
    recorder: Arc<Mutex<(Recorder, usize)>>,
}

impl Events {
    /// Events of the replica `instance`.
    pub fn new(client: Client, instance: &str) -> Self {
        let reporter =
            Reporter { controller: "waxwing-operator".into(), instance: Some(instance.to_owned()) };
        let recorder = Recorder::new(client.clone(), reporter.clone());
        Self { client, reporter, recorder: Arc::new(Mutex::new((recorder, 0))) }
    }

    /// The recorder for one more event. One that begins anew writes an event that the old one had written as another
    /// event, instead of raising its count, and that is all.
    fn recorder(&self) -> Recorder {
        let mut held = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        let (recorder, given) = &mut *held;
        if *given == KEPT {
            *recorder = Recorder::new(self.client.clone(), self.reporter.clone());
            *given = 0;
        }
        *given += 1;
        recorder.clone()
    }

    /// Something happened that is as it should be. Gives whether the event was written.
    pub async fn normal(&self, about: &ObjectReference, reason: Reason, note: &str) -> bool {
        self.publish(about, reason, note, EventType::Normal).await
    }

    /// Something happened that deserves attention. Gives whether the event was written.
    pub async fn warning(&self, about: &ObjectReference, reason: Reason, note: &str) -> bool {
        self.publish(about, reason, note, EventType::Warning).await
    }

    async fn publish(&self, about: &ObjectReference, reason: Reason, note: &str, type_: EventType) -> bool {
        let note = note[..note.floor_char_boundary(NOTE_LIMIT)].to_owned();
        let event = Event {
            type_,
            reason: reason.as_str().to_owned(),
            note: Some(note).filter(|note| !note.is_empty()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        let result = self.recorder().publish(&event, about).await;
        if let Err(error) = &result {
            debug!(
                reason = reason.as_str(),
                error = api_error::describe(error),
                "an event could not be written"
            );
        }
        result.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// Guard: `KEPT`.
    #[tokio::test]
    async fn the_same_event_again_raises_its_count_and_of_many_others_nothing_is_kept() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let log = written.clone();
        let client = testing::client_with_body(move |line, body| {
            log.lock().unwrap().push(line.split(' ').next().unwrap_or_default().to_owned());
            (200, body.clone())
        });
        let events = Events::new(client, "me");
        let about = |number: usize| ObjectReference {
            name: Some(number.to_string()),
            namespace: Some("a".to_owned()),
            ..ObjectReference::default()
        };
        for _ in 0..2 {
            events.warning(&about(0), Reason::NoMatchingKey, "none fits").await;
        }
        assert_eq!(*written.lock().unwrap(), ["POST", "PATCH"]);
        for number in 1..=KEPT {
            events.warning(&about(number), Reason::NoMatchingKey, "none fits").await;
        }
        events.warning(&about(0), Reason::NoMatchingKey, "none fits").await;
        assert_eq!(written.lock().unwrap().last().unwrap(), "POST", "the first one is forgotten");
    }
}
