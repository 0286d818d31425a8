//! The caches, fed by hand and by an API server that is a function.

use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::time::Instant;
use waxwing_core::external::{StoreKind, StoreRef};

use super::*;
use crate::{pull::stores, testing};

fn sealed(namespace: &str, name: &str, version: u64, spec: &Value) -> Value {
    let metadata = json!({
        "name": name, "namespace": namespace, "uid": format!("uid-{name}"), "resourceVersion": version.to_string(),
    });
    json!({"apiVersion": "waxwing.dev/v1alpha1", "kind": "SealedSecret", "metadata": metadata, "spec": spec})
}

fn incoming(namespace: &str, name: &str, version: u64) -> IncomingSealed {
    serde_json::from_value(sealed(namespace, name, version, &json!({}))).unwrap()
}

/// A leading replica and its SealedSecrets.
struct World {
    context: Arc<Context>,
    cache: Cache<SealedSecrets>,
    leader: watch::Sender<Option<Instant>>,
}

impl World {
    fn new(scope: Option<&str>) -> Self {
        let (context, leader) = testing::context(testing::client(|_| (599, json!({}))), &[]);
        leader.send_replace(Some(Instant::now() + Duration::from_secs(1000)));
        let fills = SealedSecrets { context: context.clone() };
        Self { cache: Cache::new(scope.map(str::to_owned), &Synced::new(1), fills), context, leader }
    }

    fn list(&mut self, objects: &[(&str, u64)]) {
        self.cache.event(Event::Init);
        for (name, version) in objects {
            self.cache.event(Event::InitApply(incoming("a", name, *version)));
        }
        self.cache.event(Event::InitDone);
    }

    /// What waits, which is then done.
    async fn waiting(&self) -> Vec<String> {
        let mut keys = Vec::new();
        while self.context.queue.waiting() != [0, 0, 0] {
            let key = self.context.queue.take().await.unwrap();
            self.context.queue.done(&key, crate::queue::Verdict::Done);
            keys.push(key.name().to_owned());
        }
        keys.sort();
        keys
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_brings_what_is_new_or_changed_and_forgets_what_is_gone() {
    let mut world = World::new(None);
    world.list(&[("one", 1), ("two", 2)]);
    assert_eq!(world.waiting().await, ["one", "two"]);
    world.list(&[("two", 2), ("three", 3)]);
    assert_eq!(world.waiting().await, ["three"], "two is the same");
    assert!(world.context.sealed_secrets.get(&ObjectKey::new("a", "one")).is_none());
    world.list(&[("two", 1), ("three", 3)]);
    assert_eq!(world.waiting().await, ["two"], "a cluster restored from a backup goes back");
}

#[tokio::test(start_paused = true)]
async fn the_echo_of_our_own_write_is_no_change() {
    let mut world = World::new(None);
    world.list(&[("one", 1)]);
    world.waiting().await;
    let (key, written): (ObjectKey, SealedRecord) = incoming("a", "one", 5).into();
    world.context.sealed_secrets.put(&key, written).unwrap();
    world.cache.event(Event::Apply(incoming("a", "one", 5)));
    world.cache.event(Event::Apply(incoming("a", "one", 4)));
    assert!(world.waiting().await.is_empty());
    world.cache.event(Event::Apply(incoming("a", "one", 6)));
    assert_eq!(world.waiting().await, ["one"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_one_namespace_forgets_nothing_of_another() {
    let mut world = World::new(Some("a"));
    let (key, other): (ObjectKey, SealedRecord) = incoming("b", "other", 1).into();
    world.context.sealed_secrets.put(&key, other).unwrap();
    world.list(&[]);
    assert!(world.context.sealed_secrets.get(&key).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_waits_for_the_lease_fills_its_caches_and_queues_nothing() {
    let mut world = World::new(None);
    world.leader.send_replace(None);
    world.list(&[("one", 1)]);
    assert_eq!(world.context.queue.waiting(), [0, 0, 0]);
    assert_eq!(world.context.sealed_secrets.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_secret_wakes_the_object_of_its_name_and_no_other() {
    let mut world = World::new(None);
    world.list(&[("one", 1), ("two", 2)]);
    world.waiting().await;
    let secret = |name: &str, version: u64| -> IncomingSecret {
        serde_json::from_value(sealed("a", name, version, &json!({}))).unwrap()
    };
    let secrets = Secrets { context: world.context.clone() };
    let mut cache = Cache::new(None, &Synced::new(1), secrets);
    cache.event(Event::Apply(secret("two", 7)));
    cache.event(Event::Apply(secret("stranger", 8)));
    assert_eq!(world.waiting().await, ["two"]);
    cache.event(Event::Delete(secret("two", 9)));
    assert_eq!(world.waiting().await, ["two"]);
}

#[tokio::test(start_paused = true)]
async fn terminating_namespaces_are_known_until_they_are_gone() {
    let (context, _) = testing::context(testing::client(|_| (599, json!({}))), &[]);
    let namespace = |name: &str, terminating: bool| -> PartialObjectMeta<Namespace> {
        let deleted = terminating.then_some("2026-01-01T00:00:00Z");
        serde_json::from_value(json!({"metadata": {"name": name, "deletionTimestamp": deleted}})).unwrap()
    };
    let mut namespaces =
        Namespaces { context: context.clone(), seen: HashSet::new(), labels: BTreeMap::new() };
    namespaces.event(Event::Init);
    namespaces.event(Event::InitApply(namespace("a", true)));
    namespaces.event(Event::InitApply(namespace("b", false)));
    namespaces.event(Event::InitDone);
    assert!(context.terminating.contains("a") && !context.terminating.contains("b"));
    namespaces.event(Event::Apply(namespace("b", true)));
    assert!(context.terminating.contains("b"));
    namespaces.event(Event::Delete(namespace("b", true)));
    assert!(!context.terminating.contains("b"));
}

/// An API server that refuses the first lists, then lists two pages with a malformed object among good ones, and then
/// says of each watch that it is too old.
#[tokio::test(start_paused = true)]
async fn whatever_goes_wrong_a_watch_is_tried_again_and_a_malformed_object_stops_nobody() {
    let refusals = Mutex::new(vec![429_u16, 403, 500]);
    let client = testing::client(move |line| {
        if let Some(code) = refusals.lock().unwrap().pop() {
            return (code, json!({"kind": "Status", "status": "Failure", "code": code, "message": "no"}));
        }
        if line.contains("watch=true") {
            let gone = json!({"kind": "Status", "status": "Failure", "code": 410, "message": "too old"});
            let added = sealed("a", "watched", 11, &json!("nonsense"));
            // In this order: the type first, as the API server writes it.
            let line = |type_: &str, object: Value| format!("{{\"type\":\"{type_}\",\"object\":{object}}}\n");
            return (200, json!(line("ADDED", added) + &line("ERROR", gone)));
        }
        let first = !line.contains("continue=");
        let items = if first {
            [sealed("a", "good", 1, &json!({})), sealed("a", "malformed", 2, &json!(["not", {"a": "spec"}]))]
        } else {
            [sealed("a", "no-spec", 3, &json!(null)), sealed("a", "last", 4, &json!({}))]
        };
        let metadata = json!({"resourceVersion": "10", "continue": if first { "next" } else { "" }});
        (
            200,
            json!({"kind": "SealedSecretList", "apiVersion": "waxwing.dev/v1alpha1", "metadata": metadata, "items": items}),
        )
    });
    let (context, leader) = testing::context(client.clone(), &[]);
    leader.send_replace(Some(Instant::now() + Duration::from_secs(1000)));
    let synced = Synced::new(1);
    let cache = Cache::new(None, &synced, SealedSecrets { context: context.clone() });
    tokio::spawn(follow(Api::all(client), page(), "sealedsecrets", context.clone(), cache));
    synced.done().await;
    for _ in 0..1000 {
        if context.sealed_secrets.get(&ObjectKey::new("a", "watched")).is_some() {
            break;
        }
        sleep(Duration::from_millis(1)).await;
    }
    let mut names: Vec<_> = context.sealed_secrets.keys().iter().map(|key| key.name().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["good", "last", "malformed", "no-spec", "watched"]);
    sleep(Duration::from_secs(100)).await;
    let metrics = context.metrics.render(&context.counts()).unwrap();
    for cause in ["forbidden", "gone", "server_error", "throttled"] {
        assert!(
            metrics.contains(&format!("{{resource=\"sealedsecrets\",cause=\"{cause}\"}}")),
            "{cause}: {metrics}"
        );
    }
}

/// K05. Guard: `forget_store` in `gone` of both kinds of store, also where another object has taken the name.
#[tokio::test(start_paused = true)]
async fn the_connection_of_a_store_goes_with_it() {
    async fn goes<F>(fills: impl Fn(Arc<Context>) -> F, namespace: &str, kind: StoreKind)
    where
        F: Fills,
        F::Incoming: DeserializeOwned,
    {
        let (context, leader) = testing::context(testing::client(|_| (599, json!({}))), &[]);
        leader.send_replace(Some(Instant::now() + Duration::from_secs(1000)));
        let mut cache = Cache::new(None, &Synced::new(1), fills(context.clone()));
        let store = |uid: &str, version: u64| -> F::Incoming {
            serde_json::from_value(json!({
                "metadata": {"name": "s", "namespace": namespace, "uid": uid, "resourceVersion": version.to_string()},
                "spec": {"provider": {"kubernetes": {
                    "remoteNamespace": "there", "auth": {"serviceAccount": {"name": "reader"}},
                }}},
            }))
            .unwrap()
        };
        let name = StoreRef { kind, name: "s".to_owned() };
        let connected = async || {
            let reached = stores::reach(&context, "apps", &name).await;
            assert!(reached.is_ok(), "{kind:?}");
            context.pull.connections()
        };
        cache.event(Event::Apply(store("one", 1)));
        assert_eq!(connected().await, 1);
        cache.event(Event::Delete(store("one", 2)));
        assert_eq!(context.pull.connections(), 0, "deleted");

        cache.event(Event::Apply(store("one", 3)));
        assert_eq!(connected().await, 1);
        cache.event(Event::Apply(store("two", 4)));
        assert_eq!(context.pull.connections(), 0, "another one, of which the watch tells");
        assert_eq!(connected().await, 1);
        cache.event(Event::Init);
        cache.event(Event::InitApply(store("three", 5)));
        cache.event(Event::InitDone);
        assert_eq!(context.pull.connections(), 0, "another one, in a list");
        assert_eq!(connected().await, 1);
        cache.event(Event::Apply(store("three", 6)));
        assert_eq!(context.pull.connections(), 1, "the same one");
        cache.event(Event::Init);
        cache.event(Event::InitDone);
        assert_eq!(context.pull.connections(), 0, "gone from the list");
    }
    goes(pull::SecretStores, "apps", StoreKind::SecretStore).await;
    goes(pull::ClusterStores, "", StoreKind::ClusterSecretStore).await;
}
