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
    /// Whether no event is written.
    is_mute: bool,
    /// With what each writing of a status is refused.
    refuses: Option<u16>,
    /// Whether its definition of the kind has no `announcedAt`.
    is_old: bool,
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
            if self.is_mute {
                return (500, json!({"kind": "Status", "code": 500}));
            }
            self.events.push(body["reason"].as_str().unwrap_or_default().to_owned());
        }
        match (method, path) {
            ("GET", path) if path.contains("/keyrings/") => self
                .key_ring
                .clone()
                .map_or((404, json!({"kind": "Status", "code": 404})), |found| (200, found)),
            ("PUT", path) if path.contains("/keyrings/") => {
                if let Some(code) = self.refuses {
                    return (code, json!({"kind": "Status", "code": code}));
                }
                let known = self.key_ring.as_mut().unwrap();
                if body["metadata"]["resourceVersion"] != known["metadata"]["resourceVersion"] {
                    return (409, json!({"kind": "Status", "code": 409}));
                }
                known["status"] = body["status"].clone();
                if self.is_old {
                    for key in known["status"]["keys"].as_array_mut().unwrap() {
                        key.as_object_mut().unwrap().remove("announcedAt");
                    }
                }
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
    keeper_with(server, &[])
}

fn keeper_with(
    server: &Arc<Mutex<Server>>,
    args: &[&str],
) -> (KeyRingLoop, watch::Receiver<Arc<Ring>>, watch::Sender<Option<Instant>>) {
    let server = server.clone();
    let client = testing::client_with_body(move |line, body| server.lock().unwrap().answer(line, body));
    let (mut context, leader) = testing::context(client, args);
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

fn base64(text: &[u8]) -> Value {
    serde_json::to_value(k8s_openapi::ByteString(text.to_vec())).unwrap()
}

/// The Secret of an identity, made at a time.
fn stored(identity: &Identity, made: i64, wrapped: bool) -> Value {
    let data = if wrapped {
        let by = json!({"kind": "VaultTransit", "key": "waxwing", "ring": "default"}).to_string();
        json!({
            "wrapped": base64(b"vault:v1:canary"),
            "recipient": base64(identity.recipient().as_str().as_bytes()),
            "protection": base64(by.as_bytes()),
        })
    } else {
        json!({"identity": base64(identity.to_text().expose())})
    };
    json!({
        "metadata": {"name": format!("waxwing-{}", identity.id()), "creationTimestamp": conditions::time(made)},
        "type": names::IDENTITY_TYPE, "data": data,
    })
}

/// A ring that lists these, all of them a day old.
fn listing(keys: &[(&Identity, &str)], now: i64) -> Value {
    let made = conditions::time(now - 86_400);
    let keys: Vec<_> = keys
        .iter()
        .map(|(identity, state)| {
            let recipient = identity.recipient().as_str();
            json!({"recipient": recipient, "keyId": identity.id().to_string(), "state": state, "createdAt": made})
        })
        .collect();
    let mut ring = key_ring();
    ring["status"] = json!({"keys": keys});
    ring
}

/// K31. Guard: `open` in `KeyRingLoop::publish`, and the first lines of `rewrap_recipients`. What is proposed is committed,
/// and an object would then open with a key alone that the operator cannot use.
#[tokio::test(start_paused = true)]
async fn a_ring_whose_active_key_is_locked_proposes_nothing_and_is_not_ready() {
    let [older, active, flagged] = std::array::from_fn(|_| Identity::generate());
    let server = server(Some(listing(&[(&older, "OpenOnly"), (&active, "Active")], unix_now())));
    server.lock().unwrap().key_ring.as_mut().unwrap()["spec"] =
        json!({"protection": {"kind": "VaultTransit"}});
    server.lock().unwrap().secrets = vec![stored(&older, 1, false), stored(&active, 1, true)];
    let flag = format!("--rewrap-recipient={}", flagged.recipient());
    let (mut keeper, ring, leader) = keeper_with(&server, &[&flag]);
    lead(&leader);
    assert!(keeper.settle().await.is_ok());
    let ring = ring.borrow().clone();
    assert!(ring.is_usable() && ring.locked && !ring.ready);
    assert_eq!(ring.active, [active.recipient().clone()], "new seals are for it still");
    assert_eq!(ring.rewrap_to, []);
    let of_rings = keeper.context.counts().others.into_iter().find(|(kind, ..)| *kind == KEY_RING);
    assert_eq!(of_rings, Some((KEY_RING, 0, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_key_is_locked_or_to_be_backed_up_however_the_ring_knows_it() {
    let (active, other) = (Identity::generate(), Identity::generate());
    let [its, others] = [&active, &other].map(|identity| identity.recipient().to_string());
    let now = unix_now();
    // The other key in this state, stored since two hours, with this spec.
    let look = async |state: Option<&str>, spec: Value, wrapped: bool| {
        let listed: Vec<_> = [(&active, Some("Active")), (&other, state)]
            .into_iter()
            .filter_map(|(key, state)| Some((key, state?)))
            .collect();
        let server = server(Some(listing(&listed, now)));
        server.lock().unwrap().key_ring.as_mut().unwrap()["spec"] = spec;
        server.lock().unwrap().secrets =
            vec![stored(&active, now, false), stored(&other, now - 7200, wrapped)];
        let (mut keeper, ring, _leader) = keeper(&server);
        assert!(keeper.settle().await.is_ok());
        let ring = ring.borrow().clone();
        (ring.locked, ring.unsaved_since.map(|since| (now - since) / 3600))
    };
    let saved = json!({"backedUp": [its]});
    assert_eq!(look(None, saved.clone(), true).await, (false, None), "nobody knows it");
    let trusted = json!({"backedUp": [its], "trusted": [others]});
    assert_eq!(look(None, trusted.clone(), true).await, (true, Some(2)));
    assert_eq!(look(None, trusted, false).await, (false, Some(2)));
    assert_eq!(look(Some("Pending"), saved.clone(), true).await, (true, Some(24)));
    assert_eq!(look(Some("OpenOnly"), saved, true).await, (true, Some(24)));
    let all_saved = json!({"backedUp": [its, others], "trusted": [others]});
    assert_eq!(look(None, all_saved, true).await, (true, None));
    let retired = json!({"backedUp": [its], "trusted": [others], "retired": [others]});
    assert_eq!(look(Some("OpenOnly"), retired, true).await, (false, None));
}

/// Guard: `RingKey::is_announced` in `KeyRingLoop::plan`, and `Ring::newest`.
#[tokio::test(start_paused = true)]
async fn what_was_sealed_for_the_next_key_already_needs_no_older_one() {
    let [older, active, next] = std::array::from_fn(|_| Identity::generate());
    let now = unix_now();
    let mut ring = listing(&[(&older, "OpenOnly"), (&active, "Active"), (&next, "Pending")], now);
    ring["spec"] = json!({"rotation": {"every": "30d", "announce": "7d"}});
    let server = server(Some(ring));
    server.lock().unwrap().secrets = [&older, &active, &next].map(|key| stored(key, now, false)).to_vec();
    let (mut keeper, _ring, leader) = keeper(&server);
    keeper.synced = Synced::new(0);
    lead(&leader);
    let converged = |server: &Arc<Mutex<Server>>| {
        let ring = server.lock().unwrap().key_ring.clone();
        let status = serde_json::from_value::<KeyRing>(ring.unwrap()).unwrap().status.unwrap();
        conditions::is_true(&status.conditions, ConditionType::Converged)
    };
    for (opened_by, is_old) in [(&next, false), (&active, false), (&older, true)] {
        let object: crate::records::IncomingSealed = serde_json::from_value(json!({
            "metadata": {"name": "app", "namespace": "apps", "uid": "u", "generation": 1, "resourceVersion": "1"},
            "spec": {},
            "status": {
                "observedGeneration": 1,
                "conditions": [{
                    "type": "Ready", "status": "True", "reason": "Synced", "message": "",
                    "lastTransitionTime": conditions::time(now),
                }],
                "keys": [{"name": "k", "seq": 1, "keyId": opened_by.id().to_string()}],
            },
        }))
        .unwrap();
        let (key, record): (crate::store::ObjectKey, crate::records::SealedRecord) = object.into();
        keeper.context.sealed_secrets.replace(&key, record);
        assert!(keeper.settle().await.is_ok());
        assert_eq!(converged(&server), !is_old);
        assert_eq!(keeper.context.counts().opened_by_old_keys, i64::from(is_old));
    }
}

/// Guard: `RecipientsChanged` is told before the status is written, which nobody could tell after.
#[tokio::test(start_paused = true)]
async fn a_change_of_the_recipients_is_told_even_by_an_operator_that_dies_when_it_has_written_it() {
    let server = server(Some(key_ring()));
    let (mut keeper, _ring, leader) = keeper(&server);
    lead(&leader);
    assert!(keeper.settle().await.is_ok());
    let other = Identity::generate();
    let added = json!([{"name": "other", "recipient": other.recipient().as_str()}]);
    {
        let mut server = server.lock().unwrap();
        server.key_ring.as_mut().unwrap()["spec"]["recipients"] = added.clone();
        server.refuses = Some(500);
        server.is_mute = true;
        server.events.clear();
    }
    assert!(keeper.settle().await.is_err());
    server.lock().unwrap().is_mute = false;
    for _ in 0..3 {
        assert!(keeper.settle().await.is_err());
        assert_eq!(server.lock().unwrap().events, ["RecipientsChanged"], "once, however often it is tried");
    }
    // What never took effect and comes again is told again.
    for (recipients, told) in [(json!([]), 1), (added, 2)] {
        server.lock().unwrap().key_ring.as_mut().unwrap()["spec"]["recipients"] = recipients;
        let _ = keeper.settle().await;
        assert_eq!(server.lock().unwrap().events.len(), told);
    }
}

/// Helm leaves the definition as it was.
#[tokio::test(start_paused = true)]
async fn a_ring_serves_and_goes_on_under_a_definition_that_is_older_than_its_operator() {
    let [active, next] = std::array::from_fn(|_| Identity::generate());
    let now = unix_now();
    let mut ring = listing(&[(&active, "Active"), (&next, "Pending")], now);
    ring["spec"] = json!({"rotation": {"every": "30d", "announce": "7d"}});
    let server = server(Some(ring));
    server.lock().unwrap().secrets = [&active, &next].map(|key| stored(key, now, false)).to_vec();
    server.lock().unwrap().is_old = true;
    let (mut keeper, ring, leader) = keeper(&server);
    lead(&leader);
    assert!(keeper.settle().await.is_ok());
    assert!(ring.borrow().is_usable() && ring.borrow().ready);
    assert!(keeper.forgetful);
    let writes = server.lock().unwrap().writes.len();
    assert!(keeper.settle().await.is_ok());
    assert_eq!(server.lock().unwrap().writes.len(), writes + 1, "a look tries it once");
    server.lock().unwrap().key_ring.as_mut().unwrap()["spec"]["rotation"]["announce"] = json!("20h");
    assert!(keeper.settle().await.is_ok());
    assert_eq!(ring.borrow().active, [next.recipient().clone()], "its time went on");
    assert!(!keeper.forgetful, "nothing is left to keep");
}

#[tokio::test(start_paused = true)]
async fn a_ring_that_does_not_come_to_rest_serves_all_the_same() {
    let active = Identity::generate();
    let now = unix_now();
    let server = server(Some(listing(&[(&active, "Active")], now)));
    server.lock().unwrap().secrets = vec![stored(&active, now, false)];
    server.lock().unwrap().refuses = Some(409);
    let (mut keeper, ring, leader) = keeper(&server);
    lead(&leader);
    assert!(matches!(keeper.settle().await, Err(Failure::Restless)));
    assert!(ring.borrow().is_usable());
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
