//! ExternalSecrets over stores that are directories.

use super::*;

const STORE: &str = "\
apiVersion: waxwing.dev/v1alpha1
kind: ClusterSecretStore
metadata: {name: values}
spec:
  provider: {file: {directory: ../values}}
  grants: [{namespaces: [prod], paths: ['app/*']}]
";

fn external(namespace: &str, name: &str, more: &str, key: &str) -> String {
    format!(
        "apiVersion: waxwing.dev/v1alpha1
kind: ExternalSecret
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  secretStoreRef: {{kind: ClusterSecretStore, name: values}}
{more}  data: [{{secretKey: password, remoteRef: {{key: '{key}'}}}}]
"
    )
}

fn scene() -> Scene {
    let scene = Scene::new();
    put(&scene, "app/db", "Canary-pulled-1");
    scene.write("store.yaml", STORE);
    scene
}

fn put(scene: &Scene, key: &str, value: &str) {
    let path = scene.home.path().join("values").join(key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, value).unwrap();
}

/// The one row that is not quiet, and its reason.
fn refused(scene: &Scene, secret: &str, reason: &str) -> Row {
    let rows = scene.expect(&[(What::Refused, secret)]);
    let row = rows.into_iter().find(|row| row.what == What::Refused).unwrap();
    assert_eq!(row.reason, Some(reason), "{row:?}");
    assert!(!row.line().contains("Canary"), "{row:?}");
    row
}

#[test]
fn an_external_secret_becomes_a_file_and_follows_its_source() {
    let mut scene = scene();
    scene.write("db.yaml", &external("prod", "db", "", "app/db"));
    let rows = scene.expect(&[(What::Created, "prod/db")]);
    assert_eq!(rows[0].keys.iter().map(String::as_str).collect::<Vec<_>>(), ["password"]);
    assert_eq!(scene.value("prod/db", "password").unwrap(), "Canary-pulled-1");
    assert_eq!(mode(&scene.out("prod/db.yaml")), 0o600);
    assert!(!fs::read_to_string(scene.out(".waxwing-status.json")).unwrap().contains("Canary"));
    scene.expect(&[]);
    scene.now += 1;
    put(&scene, "app/db", "Canary-pulled-2");
    scene.expect(&[(What::Updated, "prod/db")]);
    assert_eq!(scene.value("prod/db", "password").unwrap(), "Canary-pulled-2");
    fs::write(scene.out("prod/db.yaml"), "edited").unwrap();
    scene.expect(&[(What::Repaired, "prod/db")]);
    assert_eq!(scene.value("prod/db", "password").unwrap(), "Canary-pulled-2");
    fs::remove_file(scene.source().join("db.yaml")).unwrap();
    scene.expect(&[(What::Removed, "prod/db")]);
    assert!(!scene.out("prod").exists());
}

/// K18. Guard: the default of `Grants`, and `InNamespace::grants` in `cli: stores`.
#[test]
fn a_store_gives_nothing_to_whom_it_grants_nothing() {
    let scene = scene();
    scene.write("db.yaml", &external("other", "db", "", "app/db"));
    refused(&scene, "other/db", "PathNotGranted");
    // Of labels that no manifest tells nobody knows that they are right, nor that they are wrong.
    for selector in ["{matchLabels: {team: a}}", "{matchExpressions: [{key: team, operator: DoesNotExist}]}"]
    {
        let grants = format!("grants: [{{namespaceSelector: {selector}, paths: ['**']}}]");
        scene
            .write("store.yaml", &STORE.replace("grants: [{namespaces: [prod], paths: ['app/*']}]", &grants));
        refused(&scene, "other/db", "PathNotGranted");
    }
    scene.write("store.yaml", &STORE.replace("  grants: [{namespaces: [prod], paths: ['app/*']}]\n", ""));
    refused(&scene, "other/db", "PathNotGranted");
    assert!(!scene.out("other").exists());
    let by_label = "grants: [{namespaceSelector: {matchLabels: {team: a}}, paths: ['**']}]";
    scene.write("store.yaml", &STORE.replace("grants: [{namespaces: [prod], paths: ['app/*']}]", by_label));
    scene.write("ns.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: other, labels: {team: a}}\n");
    scene.expect(&[(What::Created, "other/db")]);
}

/// K01. Guards: `check_key` in `core: external`, and the directory of `providers: file`, which nothing leads out of.
#[test]
fn nothing_outside_of_the_directory_is_read() {
    let scene = scene();
    fs::write(scene.home.path().join("outside"), "Canary-outside").unwrap();
    for key in ["../outside", "app/../../outside", "/outside", "%2e%2e/outside"] {
        scene.write("db.yaml", &external("prod", "db", "", key));
        let rows = scene.render();
        assert_eq!(rows[0].what, What::Refused, "{key}: {rows:?}");
    }
    std::os::unix::fs::symlink("../../outside", scene.home.path().join("values/app/link")).unwrap();
    scene.write("db.yaml", &external("prod", "db", "", "app/link"));
    assert_eq!(scene.render()[0].what, What::Refused);
    assert!(!scene.out("prod").exists());
}

#[test]
fn a_store_that_cannot_be_reached_is_told_with_the_next_step() {
    let scene = scene();
    scene.write("db.yaml", &external("prod", "db", "", "app/db"));
    fs::remove_file(scene.source().join("store.yaml")).unwrap();
    let row = refused(&scene, "prod/db", "StoreNotFound");
    assert!(row.message.contains("no manifest here gives ClusterSecretStore/values"), "{row:?}");
    #[cfg(not(feature = "vault"))]
    {
        let vault = "provider: {vault: {server: 'https://vault.example', path: secret}}";
        let store = STORE.replace("provider: {file: {directory: ../values}}", vault);
        scene.write("store.yaml", &store);
        let row = refused(&scene, "prod/db", "NotSupportedByProvider");
        assert!(row.message.contains("--features vault"), "{row:?}");
    }
    scene.write("store.yaml", STORE);
    scene.write("again.yaml", STORE);
    refused(&scene, "prod/db", "InvalidStore");
    fs::remove_file(scene.source().join("again.yaml")).unwrap();
    scene.write("db.yaml", &external("prod", "db", "", "app/none"));
    refused(&scene, "prod/db", "EntryMissing");
}

#[test]
fn what_one_resource_gives_no_other_one_takes() {
    let scene = scene();
    scene.write("sealed.yaml", &scene.db("hunter2"));
    scene.render();
    scene.write("db.yaml", &external("prod", "pulled", "  target: {name: db}\n", "app/db"));
    refused(&scene, "prod/db", "Conflict");
    assert_eq!(scene.value("prod/db", "password").unwrap(), "hunter2");
}

#[test]
fn the_secret_of_another_target_follows_and_an_orphan_stays() {
    let scene = scene();
    scene.write("db.yaml", &external("prod", "db", "  target: {name: first}\n", "app/db"));
    scene.expect(&[(What::Created, "prod/first")]);
    scene.write("db.yaml", &external("prod", "db", "  target: {name: second}\n", "app/db"));
    scene.expect(&[(What::Created, "prod/second"), (What::Removed, "prod/first")]);
    // What cannot be read is no reason to remove anything.
    scene.write("db.yaml", &external("prod", "db", "  unknown: 1\n", "app/db"));
    assert_eq!(scene.render()[0].what, What::Refused);
    assert!(scene.out("prod/second.yaml").exists());
    let orphan = "  target: {name: second, creationPolicy: Orphan}\n";
    scene.write("db.yaml", &external("prod", "db", orphan, "app/db"));
    scene.render();
    fs::remove_file(scene.source().join("db.yaml")).unwrap();
    scene.expect(&[]);
    assert!(scene.out("prod/second.yaml").exists());
}

#[test]
fn keys_are_merged_into_a_rendered_secret_only() {
    let scene = scene();
    let merge = "  target: {name: db, creationPolicy: Merge}\n";
    scene.write("merge.yaml", &external("prod", "more", merge, "app/db"));
    refused(&scene, "prod/db", "TargetMissing");
    assert!(!scene.out("prod").exists());
}
