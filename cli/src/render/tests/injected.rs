//! Injections: configurations from sealed, plain and pulled values.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread::JoinHandle,
};

use super::*;

const STORE: &str = "\
apiVersion: waxwing.dev/v1alpha1
kind: SecretStore
metadata: {name: values, namespace: prod}
spec: {provider: {file: {directory: ../values}}}
";

/// A receiver of PagerDuty with this routing key, and one that needs nothing.
fn injection(key: &str, more: &str) -> String {
    format!(
        "apiVersion: waxwing.dev/v1alpha1
kind: AlertmanagerInjection
metadata: {{name: main, namespace: prod}}
spec:
  config:
    route: {{receiver: ops, routes: [{{receiver: pager, matchers: ['team=\"db\"']}}]}}
    receivers:
      - name: ops
        webhook_configs: [{{url: 'http://localhost:9/ops'}}]
      - name: pager
        pagerduty_configs: [{{routing_key: {key}}}]
  target: {{secretName: alertmanager}}
{more}"
    )
}

const SEALED: &str = "{$secret: {name: db, key: password}}";
const STORED: &str = "{$store: {name: values, key: pager}}";

/// A file for each key, so that the configuration is one.
fn scene(files: &[(&str, &str)]) -> Scene {
    let scene = Scene { layout: Layout::Files, ..Scene::new() };
    for (name, text) in files {
        scene.write(name, text);
    }
    scene
}

fn sealed() -> Scene {
    let scene = scene(&[("main.yaml", &injection(SEALED, ""))]);
    scene.write("db.yaml", &scene.db("Canary-1"));
    scene
}

fn config(scene: &Scene) -> String {
    fs::read_to_string(scene.out("prod/alertmanager/alertmanager.yaml")).unwrap()
}

fn store(scene: &Scene, value: &str) {
    fs::create_dir_all(scene.home.path().join("values")).unwrap();
    fs::write(scene.home.path().join("values/pager"), value).unwrap();
}

/// The one row that is not quiet.
pub(super) fn told(scene: &Scene, what: What, secret: &str, reason: &str) -> Row {
    let rows = scene.expect(&[(what, secret)]);
    let row = rows.into_iter().find(|row| row.what == what).unwrap();
    assert_eq!(row.reason, Some(reason), "{row:?}");
    assert!(!row.line().contains("Canary"), "{row:?}");
    row
}

/// L01: no value in a row, nor in what is kept between runs.
#[test]
fn a_sealed_credential_stands_in_a_file_that_alertmanager_can_read() {
    let mut scene = sealed();
    let rows = scene.expect(&[(What::Created, "prod/db"), (What::Created, "prod/alertmanager")]);
    assert_eq!(rows[1].keys.iter().collect::<Vec<_>>(), ["alertmanager.yaml"]);
    // The row of the receiver with a literal URL says so.
    assert!(rows[1].line().contains("receivers[0].webhook_configs[0].url"), "{}", rows[1].line());
    assert!(config(&scene).contains("\"routing_key\": \"Canary-1\""), "{}", config(&scene));
    assert_eq!(mode(&scene.out("prod/alertmanager/alertmanager.yaml")), 0o600);
    assert!(!fs::read_to_string(scene.out(".waxwing-status.json")).unwrap().contains("Canary"));
    scene.expect(&[]);

    scene.now += 1;
    scene.write("db.yaml", &scene.db("Canary-2"));
    let rows = scene.expect(&[(What::Updated, "prod/db"), (What::Updated, "prod/alertmanager")]);
    assert!(rows.iter().all(|row| !row.line().contains("Canary")), "{rows:?}");
    assert!(config(&scene).contains("Canary-2"));
    fs::write(scene.out("prod/alertmanager/alertmanager.yaml"), "edited").unwrap();
    scene.expect(&[(What::Repaired, "prod/alertmanager")]);
    fs::remove_dir_all(scene.out("prod/alertmanager")).unwrap();
    scene.expect(&[(What::Repaired, "prod/alertmanager")]);
    assert!(config(&scene).contains("Canary-2"));
}

#[test]
fn a_manifest_holds_the_same_bytes() {
    let mut scene = sealed();
    scene.render();
    let file = config(&scene);
    scene.layout = Layout::Yaml;
    scene.render();
    assert_eq!(scene.value("prod/alertmanager", "alertmanager.yaml").unwrap(), file);
    let manifest = fs::read_to_string(scene.out("prod/alertmanager.yaml")).unwrap();
    assert!(manifest.contains("waxwing.dev/owned-by: AlertmanagerInjection/main"), "{manifest}");
    assert!(!scene.out("prod/alertmanager").exists(), "the files of the other layout are gone");
}

#[test]
fn plain_pulled_and_stored_credentials_are_found() {
    let pulled = "\
apiVersion: waxwing.dev/v1alpha1
kind: ExternalSecret
metadata: {name: other, namespace: prod}
spec:
  secretStoreRef: {name: values}
  target: {name: pulled}
  data: [{secretKey: pager, remoteRef: {key: pager}}]
";
    let plain = "{apiVersion: v1, kind: Secret, metadata: {name: plain, namespace: prod}, stringData: {pager: Canary-plain}}";
    for (reference, value) in [
        ("{$secret: {name: plain, key: pager}}", "Canary-plain"),
        ("{$secret: {name: pulled, key: pager}}", "Canary-stored"),
        (STORED, "Canary-stored"),
    ] {
        let scene = scene(&[("main.yaml", &injection(reference, "")), ("store.yaml", STORE)]);
        store(&scene, "Canary-stored");
        scene.write("plain.yaml", plain);
        scene.write("pulled.yaml", pulled);
        let rows = scene.render();
        assert!(rows.iter().all(|row| !row.is_wrong()), "{rows:?}");
        assert!(config(&scene).contains(value), "{reference}");
    }
}

#[test]
fn a_document_of_somebody_else_gets_its_references() {
    let from = "apiVersion: waxwing.dev/v1alpha1
kind: AlertmanagerInjection
metadata: {name: main, namespace: prod}
spec:
  configFrom: {configMapKeyRef: {name: made-by-helm, key: config}}
  set: [{receiver: pager, field: 'pagerduty_configs[0].routing_key', value: {$secret: {name: db, key: password}}}]
  target: {secretName: alertmanager}
";
    let scene = scene(&[("main.yaml", from)]);
    scene.write("db.yaml", &scene.db("Canary-1"));
    let rows = scene.render();
    let row = rows.iter().find(|row| row.secret == "prod/alertmanager").unwrap();
    assert_eq!((row.what, row.reason), (What::Refused, Some("DocumentMissing")), "{row:?}");
    scene.write(
        "helm.yaml",
        "apiVersion: v1
kind: ConfigMap
metadata: {name: made-by-helm, namespace: prod}
data: {config: '{route: {receiver: pager}, receivers: [{name: pager, pagerduty_configs: [{}]}]}'}
",
    );
    scene.expect(&[(What::Created, "prod/alertmanager")]);
    assert!(config(&scene).contains("Canary-1"));
}

/// T07. Guard: `Refused` of `core: injection`, which leaves the file as it is.
#[test]
fn what_alertmanager_would_refuse_is_never_written() {
    let scene = sealed();
    scene.render();
    let good = config(&scene);
    let bad = injection(SEALED, "").replace("receiver: pager, matchers", "receiver: nobody, matchers");
    scene.write("main.yaml", &bad);
    let row = told(&scene, What::Refused, "prod/alertmanager", "ConfigInvalid");
    assert!(row.message.contains("nobody"), "{row:?}");
    let test = "  routeTests: [{name: db, labels: {team: db}, expect: {receivers: [ops]}}]\n";
    scene.write("main.yaml", &injection(SEALED, test));
    told(&scene, What::Refused, "prod/alertmanager", "RouteTestFailed");
    scene.write("main.yaml", &injection("{$secret: {name: db}}", ""));
    // Which Secret it would be is not known from a spec that makes no sense.
    told(&scene, What::Refused, "prod/main", "InvalidSpec");
    assert_eq!(config(&scene), good);
    scene.write("main.yaml", &injection(SEALED, ""));
    scene.expect(&[]);
}

#[test]
fn a_credential_that_was_never_had_takes_its_integration_with_it_and_nothing_else() {
    let scene = scene(&[("main.yaml", &injection(SEALED, ""))]);
    let row = told(&scene, What::Degraded, "prod/alertmanager", "CredentialUnresolved");
    assert!(row.message.contains("receivers[1].pagerduty_configs[0].routing_key"), "{row:?}");
    assert!(row.is_wrong() && row.exit() == crate::error::Exit::Partly);
    assert!(!config(&scene).contains("pagerduty"), "{}", config(&scene));
    assert_eq!(config(&scene).matches("http://localhost:9/ops").count(), 2, "{}", config(&scene));
    scene.write("main.yaml", &injection(SEALED, "  policy: {onUnresolved: Block}\n"));
    let before = config(&scene);
    told(&scene, What::Refused, "prod/alertmanager", "CredentialUnresolved");
    assert_eq!(config(&scene), before);
    scene.write("db.yaml", &scene.db("Canary-1"));
    scene.expect(&[(What::Created, "prod/db"), (What::Updated, "prod/alertmanager")]);
    assert!(config(&scene).contains("Canary-1"));
}

/// Guards: `held::last_good`, and the comparison of versions before it.
#[test]
fn the_last_good_value_stands_in_for_one_that_a_store_does_not_give() {
    let scene = scene(&[("main.yaml", &injection(STORED, "")), ("store.yaml", STORE)]);
    store(&scene, "Canary-stored");
    scene.expect(&[(What::Created, "prod/alertmanager")]);
    let good = config(&scene);
    fs::remove_file(scene.home.path().join("values/pager")).unwrap();
    let row = told(&scene, What::Degraded, "prod/alertmanager", "CredentialStale");
    assert!(row.keys.is_empty(), "{row:?}");
    assert_eq!(config(&scene), good);
    // Where the reference stands makes no difference.
    let moved = injection(STORED, "")
        .replace("      - name: ops\n        webhook_configs: [{url: 'http://localhost:9/ops'}]\n", "")
        + "";
    scene.write("main.yaml", &moved.replace("receiver: ops, routes", "receiver: pager, routes"));
    told(&scene, What::Degraded, "prod/alertmanager", "CredentialStale");
    assert!(config(&scene).contains("Canary-stored") && !config(&scene).contains("ops"));
    // What somebody has written there is no value of ours.
    let edited = config(&scene).replace("Canary-stored", "Canary-edited");
    fs::write(scene.out("prod/alertmanager/alertmanager.yaml"), edited).unwrap();
    told(&scene, What::Refused, "prod/alertmanager", "CredentialUnresolved");
    scene.write("main.yaml", &injection(STORED, "  policy: {onUnresolved: Quarantine}\n"));
    told(&scene, What::Degraded, "prod/alertmanager", "CredentialUnresolved");
    assert!(!config(&scene).contains("Canary"));
}

#[test]
fn a_secret_of_others_is_never_written_over() {
    let scene = scene(&[]);
    scene.write("db.yaml", &scene.db("Canary-1"));
    scene.write("main.yaml", &injection(SEALED, "").replace("secretName: alertmanager", "secretName: db"));
    let rows = scene.render();
    let row = rows.iter().find(|row| row.what == What::Refused).unwrap();
    assert_eq!((row.secret.as_str(), row.reason), ("prod/db", Some("Conflict")), "{row:?}");
    assert!(scene.out("prod/db/password").exists());
}

#[test]
fn the_file_stays_when_the_injection_goes_unless_it_is_to_go_along() {
    for (policy, stays) in [("Retain", true), ("Delete", false)] {
        let scene = sealed();
        let target = format!("secretName: alertmanager, deletionPolicy: {policy}");
        scene.write("main.yaml", &injection(SEALED, "").replace("secretName: alertmanager", &target));
        scene.render();
        scene.write("main.yaml", "");
        scene.expect(if stays { &[] } else { &[(What::Removed, "prod/alertmanager")] });
        assert_eq!(scene.out("prod/alertmanager/alertmanager.yaml").exists(), stays);
        scene.expect(&[]);
    }
}

#[test]
fn a_suspended_injection_is_left_alone() {
    let scene = sealed();
    scene.render();
    let good = config(&scene);
    let metadata = "name: main, namespace: prod, annotations: {waxwing.dev/suspend: 'true'}";
    scene.write("main.yaml", &injection("'x'", "").replace("name: main, namespace: prod", metadata));
    scene.expect(&[(What::Suspended, "prod/main")]);
    assert_eq!(config(&scene), good);
}

/// A server that answers once to each of these.
pub(super) fn answers(statuses: &'static [&'static str]) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/-/reload", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let answer = |status: &&str| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            let head = "content-length: 6\r\nconnection: close";
            write!(stream, "HTTP/1.1 {status}\r\n{head}\r\n\r\nCanary").unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        };
        statuses.iter().map(answer).collect()
    });
    (url, server)
}

/// Guards: `told` in the state, and `Row::not_reloaded`.
#[test]
fn the_reader_is_told_once_of_each_change_and_again_until_it_has_heard() {
    let (url, server) = answers(&["500 No", "302 Found", "200 OK", "200 OK"]);
    let mut scene = Scene { reload: true, ..sealed() };
    let target = format!("secretName: alertmanager, reload: {{url: '{url}'}}");
    scene.write("main.yaml", &injection(SEALED, "").replace("secretName: alertmanager", &target));
    let rows = scene.expect(&[(What::Created, "prod/db"), (What::Failed, "prod/alertmanager")]);
    assert!(rows[1].message.ends_with("was not told: it answers 500"), "{rows:?}");
    assert!(config(&scene).contains("Canary-1"), "it is written all the same");
    let rows = scene.expect(&[(What::Failed, "prod/alertmanager")]);
    assert!(rows[1].message.ends_with("it answers 302"), "{rows:?}");
    let rows = scene.expect(&[]);
    assert!(rows[1].reloaded && rows[1].is_news(), "{rows:?}");
    assert!(!scene.render()[1].reloaded, "it knows already");
    scene.now += 1;
    scene.write("db.yaml", &scene.db("Canary-2"));
    let rows = scene.render();
    assert!(rows[1].reloaded && rows[1].what == What::Updated, "{rows:?}");
    let requests = server.join().unwrap();
    assert_eq!(requests.len(), 4);
    assert!(requests.iter().all(|request| request.starts_with("POST /-/reload HTTP/1.1")), "{requests:?}");
}
