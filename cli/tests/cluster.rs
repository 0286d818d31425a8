//! What the command reads from a cluster, from a stand-in for the API server.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::transcript::{Outcome, Place, config, keys};

/// Answers GET requests with these objects, anything else with 404.
struct Cluster {
    place: Place,
    objects: Arc<Mutex<BTreeMap<String, Value>>>,
}

const RING: &str = "/apis/waxwing.dev/v1alpha1/keyrings/default";
const SEALED: &str = "/apis/waxwing.dev/v1alpha1/namespaces/web/sealedsecrets/db";
const SECRET: &str = "/api/v1/namespaces/web/secrets/db";

impl Cluster {
    fn new() -> Self {
        let place = Place::sealed();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let objects = Arc::new(Mutex::new(BTreeMap::new()));
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "eu-1",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", listener.local_addr().unwrap())}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "eu-1", "context": {"cluster": "c", "user": "u"}}],
        });
        place.write("kubeconfig", &kubeconfig.to_string());
        let answers = Arc::clone(&objects);
        // Ends with the process of the tests.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &answers);
            }
        });
        Self { place, objects }
    }

    fn put(&self, path: &str, object: Value) {
        self.objects.lock().unwrap().insert(path.to_owned(), object);
    }

    fn run(&self, args: &[&str]) -> Outcome {
        let mut command = self.place.command(env!("CARGO_BIN_EXE_waxwing"));
        command.args(args).env("KUBECONFIG", self.place.file("kubeconfig"));
        crate::transcript::run(command, b"")
    }

    /// The sealed resource's spec.
    fn spec(&self) -> Value {
        let documents = waxwing_core::yaml::documents(&self.place.read("db.yaml")).unwrap();
        documents[0].value["spec"].clone()
    }

    /// The live Secret, as the operator makes it from the sealed file.
    fn put_secret(&self, password: &str, seq: u64) {
        let annotations = json!({"waxwing.dev/seq": json!({"password": seq}).to_string()});
        self.put(
            SECRET,
            json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": "db", "namespace": "web", "annotations": annotations},
                "data": {"password": BASE64_STANDARD.encode(password)},
            }),
        );
    }

    fn seq(&self) -> u64 {
        self.spec()["data"]["password"].as_str().unwrap().split('.').nth(2).unwrap().parse().unwrap()
    }
}

fn answer(stream: std::net::TcpStream, objects: &Mutex<BTreeMap<String, Value>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            lines.push(line);
        }
        let path = lines[0].split(' ').nth(1).unwrap_or_default().trim_end_matches('?').to_owned();
        let missing = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "not found", "reason": "NotFound", "code": 404});
        let (status, body) = match objects.lock().unwrap().get(&path) {
            Some(object) => ("200 OK", object.to_string()),
            None => ("404 Not Found", missing.to_string()),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        if reader.get_mut().write_all(format!("{head}{body}").as_bytes()).is_err() {
            return;
        }
    }
}

fn ring(active: &str) -> Value {
    json!({
        "apiVersion": "waxwing.dev/v1alpha1", "kind": "KeyRing", "metadata": {"name": "default"}, "spec": {},
        "status": {"keys": [{"recipient": active, "keyId": "0", "state": "Active"}]},
    })
}

#[test]
fn a_configuration_is_made_from_a_cluster_and_compared_with_it() {
    let cluster = Cluster::new();
    let missing = cluster.run(&["init", "sub", "--from-cluster", "eu-1"]);
    assert!(
        missing.stderr.contains("there is no KeyRing default in the cluster of context eu-1"),
        "{}",
        missing.stderr
    );
    cluster.put(RING, ring(keys::CLUSTER));
    let init = cluster.run(&["init", "sub", "--from-cluster", "eu-1"]);
    assert_eq!(init.status, 0, "{}", init.stderr);
    assert!(cluster.place.read("sub/.waxwing.yaml").contains(&format!("eu-1: {{key: {}", keys::CLUSTER)));
    let same = cluster.run(&["recipients", "diff", "--from-cluster", "eu-1"]);
    assert_eq!((same.status, same.stdout), (0, format!("= prod {}\n", keys::CLUSTER)));
    cluster.put(RING, ring(keys::SECOND));
    let differs = cluster.run(&["recipients", "diff", "--from-cluster", "eu-1"]);
    assert_eq!(
        (differs.status, differs.stdout),
        (3, format!("- prod {}\n+ prod {}\n", keys::CLUSTER, keys::SECOND))
    );
    let wrong = cluster.run(&["recipients", "diff", "--from-cluster", "eu-2"]);
    assert!(wrong.status == 1 && wrong.stderr.contains("kubectl config get-contexts"), "{}", wrong.stderr);
}

#[test]
fn the_live_secret_tells_what_changed_only_where_it_was_made_from_this_very_token() {
    let cluster = Cluster::new();
    let seal = ["seal", "secret.yaml", "-o", "db.yaml", "--compare-live"];
    let before = cluster.place.read("db.yaml");
    cluster.put_secret("hunter2", cluster.seq());
    let one = cluster.run(&seal);
    assert_eq!(one.status, 5, "{}", one.stderr);
    assert!(one.stderr.contains("not compared user; 1 as before"), "{}", one.stderr);
    // Another value under an older sequence number says nothing about this token.
    cluster.put_secret("older", cluster.seq() - 1);
    let unknown = cluster.run(&seal);
    assert!(unknown.stderr.contains("not compared password, user"), "{}", unknown.stderr);
    assert_eq!(cluster.place.read("db.yaml"), before);
    cluster.put_secret("other", cluster.seq());
    let changed = cluster.run(&seal);
    assert!(changed.stderr.contains("changed password; not compared user"), "{}", changed.stderr);
    assert_eq!(cluster.place.open("db.yaml", "password"), "hunter2");
}

/// Guards: the comparisons of commitment and readers in `proposal::take`.
#[test]
fn proposed_envelopes_are_taken_for_the_same_data_key_and_the_right_recipients_only() {
    let cluster = Cluster::new();
    let before = cluster.place.read("db.yaml");
    cluster.place.write(".waxwing.yaml", &config(&[("prod", keys::CLUSTER), ("second", keys::SECOND)]));
    let rewrap = ["rewrap", "--from-cluster", "eu-1", "db.yaml"];
    let none = cluster.run(&rewrap);
    assert!(none.status == 1 && none.stderr.contains("waxwing.dev/propose-rewrap"), "{}", none.stderr);

    // What the operator would propose: the same done with its identity.
    let identity = cluster.place.path("keys/cluster.txt");
    let outcome = cluster.place.waxwing(&["rewrap", "db.yaml", "-i", identity.to_str().unwrap()], b"");
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    let proposed = cluster.spec();
    let propose = |envelopes: &Value| {
        cluster.put(
            SEALED,
            json!({
                "apiVersion": "waxwing.dev/v1alpha1", "kind": "SealedSecret",
                "metadata": {"name": "db", "namespace": "web"}, "spec": proposed,
                "status": {"proposedEnvelopes": {"recipients": "x", "envelopes": envelopes}},
            }),
        );
        cluster.place.write("db.yaml", &before);
        let outcome = cluster.run(&rewrap);
        (outcome.status, outcome.stderr, cluster.place.read("db.yaml") != before)
    };
    let good = &proposed["envelopes"];
    let id = good.as_object().unwrap().keys().next().unwrap().clone();

    let mut wrong = good.clone();
    wrong[&id]["commit"] = json!("A".repeat(43));
    let (status, stderr, changed) = propose(&wrong);
    assert!(status == 1 && !changed && stderr.contains("is for another data key"), "{stderr}");
    let mut wrong = good.clone();
    wrong[&id]["to"] = json!(["prod/90845bbb", "mallory/00000000"]);
    let (status, stderr, changed) = propose(&wrong);
    assert!(
        status == 1 && !changed && stderr.contains("is for 2 readers, prod/90845bbb, mallory/00000000"),
        "{stderr}"
    );
    let mut wrong = good.clone();
    wrong[&id]["age"] = json!("AAAA");
    let (status, stderr, changed) = propose(&wrong);
    assert!(status == 1 && !changed && stderr.contains("not a binary age v1 file"), "{stderr}");
    let (status, stderr, changed) = propose(good);
    assert!(status == 0 && changed, "{stderr}");
    assert_eq!(cluster.place.open("db.yaml", "password"), "hunter2");
}
