//! What Grafana is provisioned with, and what teams add to an Alertmanager's configuration.

use super::{
    injected::{answers, told},
    *,
};

fn injection(uid: &str, target: &str) -> String {
    format!(
        "apiVersion: waxwing.dev/v1alpha1
kind: GrafanaInjection
metadata: {{name: main, namespace: prod}}
spec:
  datasources:
    - {{name: prom, type: prometheus, uid: prom, access: proxy, url: 'http://localhost:9090',
        secureJsonData: {{httpHeaderValue1: {{$secret: {{name: db, key: password}}}}}}}}
  contactPoints:
    - name: db
      receivers: [{{uid: {uid}, type: pagerduty, settings: {{integrationKey: {{$secret: {{name: db, key: password}}}}}}}}]
  target: {target}
"
    )
}

fn scene(target: &str) -> Scene {
    let scene = Scene { layout: Layout::Files, ..Scene::new() };
    scene.write("grafana.yaml", &injection("db-pd", target));
    scene.write("db.yaml", &scene.db("Canary$1"));
    scene
}

fn file(scene: &Scene, secret: &str, kind: &str) -> String {
    fs::read_to_string(scene.out(&format!("prod/{secret}/prod.main.{kind}.yaml"))).unwrap()
}

#[test]
fn provisioning_becomes_files_with_dollars_doubled_and_tombstones_for_what_leaves() {
    let scene = scene("{kind: Mounted}");
    scene.expect(&[(What::Created, "prod/db"), (What::Created, "prod/main")]);
    let alerting = file(&scene, "main", "alerting");
    assert!(alerting.contains("\"integrationKey\": \"Canary$$1\""), "{alerting}");
    assert!(file(&scene, "main", "datasources").contains("Canary$$1"));
    scene.expect(&[]);
    scene.write("grafana.yaml", &injection("other", "{kind: Mounted}"));
    scene.expect(&[(What::Updated, "prod/main")]);
    let alerting = file(&scene, "main", "alerting");
    assert!(alerting.contains("deleteContactPoints") && alerting.contains("\"db-pd\""), "{alerting}");
    scene.expect(&[]);
}

#[test]
fn a_sidecar_gets_a_secret_with_its_label_for_each_of_its_folders() {
    let scene = scene("{kind: Sidecar}");
    scene.expect(&[
        (What::Created, "prod/db"),
        (What::Created, "prod/main-alerting"),
        (What::Created, "prod/main-datasources"),
    ]);
    let manifest = fs::read_to_string(scene.out("prod/main-alerting/..secret.yaml")).unwrap();
    assert!(manifest.contains("grafana_alert: \"1\""), "{manifest}");
}

/// Guard: `farewell` of `render: inject`, with what other injections have.
#[test]
fn what_is_gone_is_forgotten_by_grafana_unless_another_injection_has_it() {
    let scene = scene("{kind: Mounted}");
    scene.render();
    let other = injection("db-pd", "{kind: Mounted}").replace("name: main", "name: other");
    let other: String =
        other.lines().filter(|line| !line.contains("prom")).map(|line| format!("{line}\n")).collect();
    let other = other
        .replace("  datasources:\n", "")
        .replace("        secureJsonData: {httpHeaderValue1: {$secret: {name: db, key: password}}}}\n", "");
    scene.write("grafana.yaml", &other);
    let rows = scene.expect(&[(What::Created, "prod/other"), (What::Updated, "prod/main")]);
    assert!(rows.iter().any(|row| row.line().contains("remove it when Grafana has read it")), "{rows:?}");
    let left = file(&scene, "main", "datasources");
    assert!(left.contains("deleteDatasources") && !left.contains("Canary"), "{left}");
    // Its contact point is the other's now.
    assert!(!scene.out("prod/main/prod.main.alerting.yaml").exists());
    scene.expect(&[]);
}

/// Guard: `Published::at`, where dollars are not doubled any more.
#[test]
fn the_last_good_value_stands_in_here_too() {
    let scene = scene("{kind: Mounted}");
    scene.render();
    let good = file(&scene, "main", "alerting");
    fs::remove_file(scene.source().join("db.yaml")).unwrap();
    scene.expect(&[(What::Degraded, "prod/main"), (What::Removed, "prod/db")]);
    assert_eq!(file(&scene, "main", "alerting"), good);
}

#[test]
fn grafana_is_told_by_whoever_may_and_its_api_is_left_to_the_operator() {
    let (url, server) = answers(&["200 OK", "200 OK"]);
    let url = url.replace("/-/reload", "");
    let auth = "{username: {name: db, key: password}, password: {name: db, key: password}}";
    let target = format!("{{kind: Mounted, reload: {{url: '{url}'}}, auth: {auth}}}");
    let scene = Scene { reload: true, ..scene(&target) };
    let rows = scene.render();
    let row = rows.iter().find(|row| row.secret == "prod/main").unwrap();
    assert!(row.reloaded, "{row:?}");
    let requests = server.join().unwrap();
    assert_eq!(requests[0].lines().next().unwrap(), "POST /api/admin/provisioning/alerting/reload HTTP/1.1");
    let account = BASE64_STANDARD.encode("Canary$1:Canary$1");
    assert!(
        requests.iter().all(|request| request.contains(&format!("authorization: Basic {account}"))),
        "{requests:?}"
    );
    let token = "{token: {name: db, key: password}}";
    scene.write("grafana.yaml", &injection("db-pd", &format!("{{kind: API, url: '{url}', auth: {token}}}")));
    told(&scene, What::Refused, "prod/main", "TargetUnsupported");
}

const ALERTMANAGER: &str = "\
apiVersion: waxwing.dev/v1alpha1
kind: AlertmanagerInjection
metadata: {name: main, namespace: prod}
spec:
  config:
    route: {receiver: ops}
    receivers: [{name: ops, email_configs: [{to: ops@example.com, from: am@example.com, smarthost: 'localhost:25'}]}]
  include: [{receiverSelector: {matchLabels: {page: 'yes'}}, namespaceSelector: {matchLabels: {team: 'yes'}}}]
  target: {secretName: alertmanager}
";
const TEAM: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: 'yes'}}
---
apiVersion: waxwing.dev/v1alpha1
kind: AlertReceiver
metadata: {name: on-call, namespace: shop, labels: {page: 'yes'}}
spec:
  injection: {name: main, namespace: prod}
  receiver: {pagerduty_configs: [{routing_key: {$secret: {name: db, key: password}}}]}
---
apiVersion: waxwing.dev/v1alpha1
kind: AlertReceiver
metadata: {name: elsewhere, namespace: shop, labels: {page: 'yes'}}
spec:
  injection: {name: other, namespace: prod}
  receiver: {pagerduty_configs: [{routing_key: x}]}
";

#[test]
fn a_team_is_taken_in_with_a_credential_of_its_own_namespace() {
    let scene = Scene { layout: Layout::Files, ..Scene::new() };
    scene.write("main.yaml", ALERTMANAGER);
    scene.write("team.yaml", TEAM);
    for (namespace, value) in [("prod", "Canary-prod"), ("shop", "Canary-shop")] {
        let sealed = scene.seal(&object(namespace, "db", Scope::Strict), &[("password", value)]);
        scene.write(&format!("{namespace}.yaml"), &text(&sealed));
    }
    scene.expect(&[
        (What::Created, "prod/db"),
        (What::Created, "shop/db"),
        (What::Created, "prod/alertmanager"),
    ]);
    let config = fs::read_to_string(scene.out("prod/alertmanager/alertmanager.yaml")).unwrap();
    assert!(config.contains("Canary-shop") && config.contains("\"shop/on-call\""), "{config}");
    assert!(!config.contains("Canary-prod") && !config.contains("elsewhere"), "{config}");
    // One that makes no sense is left out, and told.
    scene.write(
        "team.yaml",
        &TEAM.replace("pagerduty_configs: [{routing_key: {$", "nonsense: [{routing_key: {$"),
    );
    let row = told(&scene, What::Degraded, "prod/alertmanager", "ReceiverRefused");
    assert!(row.message.contains("AlertReceiver shop/on-call"), "{row:?}");
}
