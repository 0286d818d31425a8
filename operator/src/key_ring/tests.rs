//! The loop against an API server that is a function.

use std::sync::Mutex;

use serde_json::{Value, json};
use waxwing_core::keys::Identity;
use waxwing_crds::names;

use super::*;
use crate::testing;

/// A KeyRing and its identities behind a client, and every write in order.
#[derive(Default)]
struct Server {
    key_ring: Option<Value>,
    secrets: Vec<Value>,
    writes: Vec<String>,
    /// The reasons of the events.
    events: Vec<String>,
    version: u64,
}

impl Server {
    fn answer(&mut self, line: &str, body: &Value) -> (u16, Value) {
        let (method, path) = line.split_once(' ').unwrap_or_default();
        let is_write = method != "GET" && !path.contains("/events");
        if is_write {
            self.version += 1;
            self.writes.push(format!("{method} {}", path.rsplit('/').next().unwrap_or_default()));
        }
        if path.contains("/events") {
            self.events.push(body["reason"].as_str().unwrap_or_default().to_owned());
        }
        match (method, path) {
            ("GET", path) if path.contains("/keyrings/") => self
                .key_ring
                .clone()
                .map_or((404, json!({"kind": "Status", "code": 404})), |found| (200, found)),
            ("PUT", path) if path.contains("/keyrings/") => {
                let known = self.key_ring.as_mut().unwrap();
                if body["metadata"]["resourceVersion"] != known["metadata"]["resourceVersion"] {
                    return (409, json!({"kind": "Status", "code": 409}));
                }
                known["status"] = body["status"].clone();
                known["metadata"]["resourceVersion"] = json!(self.version.to_string());
                (200, known.clone())
            }
            ("POST", path) if path.ends_with("/secrets?") || path.ends_with("/secrets") => {
                self.secrets.push(body.clone());
                (201, body.clone())
            }
            ("GET", path) if path.contains("/secrets") => (
                200,
                json!({"kind": "SecretList", "apiVersion": "v1", "metadata": {}, "items": self.secrets}),
            ),
            _ => (201, body.clone()),
        }
    }
}

fn server(key_ring: Option<Value>) -> Arc<Mutex<Server>> {
    Arc::new(Mutex::new(Server { key_ring, ..Server::default() }))
}

fn key_ring() -> Value {
    json!({
        "apiVersion": names::API_VERSION, "kind": "KeyRing",
        "metadata": {"name": "default", "uid": "r", "generation": 1, "resourceVersion": "0"},
        "spec": {},
    })
}

/// A loop, what it publishes, and what says until when it leads.
fn keeper(
    server: &Arc<Mutex<Server>>,
) -> (KeyRingLoop, watch::Receiver<Arc<Ring>>, watch::Sender<Option<Instant>>) {
    let server = server.clone();
    let client = testing::client_with_body(move |line, body| server.lock().unwrap().answer(line, body));
    let (mut context, leader) = testing::context(client, &[]);
    let (sender, ring) = watch::channel(Arc::new(Ring::unread("default")));
    Arc::get_mut(&mut context).unwrap().ring = ring.clone();
    (KeyRingLoop::new(context, sender, Arc::default(), Synced::new(1)), ring, leader)
}

fn lead(leader: &watch::Sender<Option<Instant>>) {
    leader.send_replace(Some(Instant::now() + Duration::from_secs(1000)));
}

#[tokio::test(start_paused = true)]
async fn a_key_is_listed_then_made_then_published_by_three_writes() {
    let server = server(Some(key_ring()));
    let (mut keeper, ring, leader) = keeper(&server);
    lead(&leader);
    assert!(keeper.settle().await.is_ok());
    assert_eq!(server.lock().unwrap().writes, ["PUT status?", "POST secrets?", "PUT status?"]);
    assert!(ring.borrow().is_usable());
    assert_eq!(ring.borrow().active.len(), 1);
    assert!(keeper.settle().await.is_ok());
    assert_eq!(server.lock().unwrap().writes.len(), 3, "a ring in order is not written again");
}

/// K12. Guard: `Leadership::is_held` in `settle`.
#[tokio::test(start_paused = true)]
async fn a_replica_without_the_lease_reads_and_writes_nothing() {
    let server = server(Some(key_ring()));
    let (mut keeper, ring, _leader) = keeper(&server);
    assert!(keeper.settle().await.is_ok());
    assert!(server.lock().unwrap().writes.is_empty());
    assert!(!ring.borrow().is_usable());
}

/// A rotation may be due for as long as Vault is away.
#[tokio::test(start_paused = true)]
async fn a_key_that_cannot_be_made_keeps_no_replica_busy_that_does_not_lead() {
    let mut wrapped = key_ring();
    wrapped["spec"] = json!({"protection": {"kind": "VaultTransit"}});
    let server = server(Some(wrapped));
    let (mut keeper, _ring, leader) = keeper(&server);
    lead(&leader);
    assert!(
        matches!(keeper.settle().await, Ok(again) if again < Duration::from_secs(5)),
        "it is tried again"
    );
    leader.send_replace(None);
    sleep(Duration::from_secs(60)).await;
    assert!(matches!(keeper.settle().await, Ok(again) if again == LOOK));
    assert!(server.lock().unwrap().secrets.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_missing_key_ring_makes_no_key_and_ends_the_use_of_those_there_were() {
    let server = server(Some(key_ring()));
    let (mut keeper, ring, leader) = keeper(&server);
    lead(&leader);
    assert!(keeper.settle().await.is_ok());
    server.lock().unwrap().key_ring = None;
    assert!(matches!(keeper.settle().await, Err(Failure::Missing)));
    assert!(!ring.borrow().is_usable());
    assert_eq!(server.lock().unwrap().writes.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_a_person_retires_is_told_of_once_and_by_the_replica_that_leads() {
    let server = server(Some(key_ring()));
    let (mut leading, ring, leader) = keeper(&server);
    let (mut waiting, _, _held_by_the_other) = keeper(&server);
    lead(&leader);
    assert!(leading.settle().await.is_ok() && waiting.settle().await.is_ok());
    let told = || server.lock().unwrap().events.iter().filter(|reason| *reason == "KeyRetired").count();
    assert_eq!(told(), 0);
    let retired = {
        let mut server = server.lock().unwrap();
        let ring = server.key_ring.as_mut().unwrap();
        let recipient = ring["status"]["keys"][0]["recipient"].as_str().unwrap().to_owned();
        ring["spec"]["retired"] = json!([recipient]);
        recipient
    };
    assert!(waiting.settle().await.is_ok());
    assert_eq!(told(), 0, "whoever does not lead says nothing");
    for _ in 0..2 {
        assert!(leading.settle().await.is_ok());
        assert_eq!(told(), 1);
    }
    assert_eq!(ring.borrow().states[&retired.parse().unwrap()], KeyState::Retired);
    assert!(ring.borrow().active.iter().all(|active| active.as_str() != retired), "another one is active");
}

/// Whoever else lists a key in between is read first: one of the two keys is made.
#[tokio::test(start_paused = true)]
async fn of_two_replicas_that_make_a_key_at_once_one_makes_it() {
    let server = server(Some(key_ring()));
    let (mut one, _, first) = keeper(&server);
    let (mut two, ring, second) = keeper(&server);
    lead(&first);
    lead(&second);
    let (a, b) = tokio::join!(one.settle(), two.settle());
    assert!(a.is_ok() && b.is_ok());
    assert!(two.settle().await.is_ok());
    assert_eq!(server.lock().unwrap().secrets.len(), 1);
    assert_eq!(ring.borrow().active.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn many_looks_in_a_row_are_slowed_down() {
    let mut pace = Pace::default();
    let begin = Instant::now();
    for _ in 0..Pace::BURST {
        sleep(pace.pause()).await;
    }
    assert_eq!(begin.elapsed(), Duration::ZERO);
    for _ in 0..10 {
        sleep(pace.pause()).await;
    }
    assert!(begin.elapsed() >= Duration::from_secs(9), "{:?}", begin.elapsed());
}

#[test]
fn whom_existing_keys_are_wrapped_for_has_each_recipient_once_and_no_name_twice() {
    let [ring, one, two, named, same_name] =
        std::array::from_fn(|_| Identity::generate().recipient().clone());
    let published = [("default", &ring), ("recovery", &named), ("default", &same_name)]
        .map(|(name, recipient)| NamedRecipient::new(name, recipient.clone()).unwrap());
    let flagged = [&one, &two, &named, &one, &ring, &same_name].map(Clone::clone);
    let hints: Vec<_> = rewrap_recipients(std::slice::from_ref(&ring), &published, &flagged)
        .iter()
        .map(NamedRecipient::hint)
        .collect();
    let flag = |recipient: &Recipient| format!("flag-{0}/{0}", recipient.id());
    let expected = [
        format!("default/{}", ring.id()),
        flag(&one),
        flag(&two),
        format!("recovery/{}", named.id()),
        flag(&same_name),
    ];
    assert_eq!(hints, expected);
}
