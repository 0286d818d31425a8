//! Each test renders a folder of its own.

mod injected;
mod place;
mod provisioned;
mod pulled;
mod refused;
mod watching;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use waxwing_core::{
    Secret,
    keys::{Identities, Identity, NamedRecipient},
    seal::{Binding, Scope, Sealed},
    yaml,
};
use waxwing_crds::{ClusterScopePolicy, RollbackPolicy, SealedSecret, SealedSecretSpec};

use super::{Job, Key, Layout, Renderer, Row, What};
use crate::{
    args::Context,
    error::{Failure, Result},
    printer::Printer,
    stores,
};

const NOW: i64 = 1_789_000_000;

/// A folder with manifests, one for Secrets beside it, and an identity.
struct Scene {
    home: tempfile::TempDir,
    identity: Identity,
    now: i64,
    layout: Layout,
    rollback: RollbackPolicy,
    cluster_scope: ClusterScopePolicy,
    reload: bool,
    force: bool,
}

impl Scene {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("in")).unwrap();
        Self {
            home,
            identity: Identity::generate(),
            now: NOW,
            layout: Layout::Yaml,
            rollback: RollbackPolicy::Warn,
            cluster_scope: ClusterScopePolicy::Deny,
            reload: false,
            force: false,
        }
    }

    fn source(&self) -> PathBuf {
        self.home.path().join("in")
    }

    fn out(&self, path: &str) -> PathBuf {
        self.home.path().join("out").join(path)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.source().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.source().join(name)).unwrap()
    }

    fn job(&self) -> Job {
        Job {
            source: self.source(),
            output: self.out(""),
            layout: self.layout,
            rollback: self.rollback,
            cluster_scope: self.cluster_scope,
            stores: stores::Options::default(),
            reload: self.reload,
            force: self.force,
        }
    }

    fn open(&self) -> Result<Renderer> {
        Renderer::open(self.job(), &context())
    }

    fn identities(&self) -> Identities {
        [self.identity.clone()].into_iter().collect()
    }

    /// One whole run, as a process of its own.
    fn render(&self) -> Vec<Row> {
        self.open().unwrap().look(&self.identities(), self.now).unwrap()
    }

    /// A run in which only these rows are not quiet.
    fn expect(&self, expected: &[(What, &str)]) -> Vec<Row> {
        let rows = self.render();
        let told: Vec<_> = rows
            .iter()
            .filter(|row| row.what != What::Unchanged)
            .map(|row| (row.what, row.secret.as_str()))
            .collect();
        assert_eq!(told, expected, "{rows:#?}");
        rows
    }

    fn seal(&self, object: &SealedSecret, values: &[(&str, &str)]) -> SealedSecret {
        let mut object = object.clone();
        let (namespace, name) =
            (object.metadata.namespace.clone().unwrap(), object.metadata.name.clone().unwrap());
        let mut sealed = if object.spec.data.is_empty() {
            let scope: Scope = object.spec.scope.parse().unwrap();
            Sealed::empty(Binding { scope, namespace, name, secret_type: "Opaque".into() })
        } else {
            Sealed::parse(&object.spec, &namespace, &name).unwrap()
        };
        let values: Vec<_> = values
            .iter()
            .map(|(key, value)| (key.parse().unwrap(), Secret::new(value.as_bytes().to_vec())))
            .collect();
        let recipient = NamedRecipient::new("test", self.identity.recipient().clone()).unwrap();
        sealed.seal(&values, &[recipient], self.now).unwrap();
        sealed.write_into(&mut object.spec);
        object
    }

    /// A manifest of `prod/db` with one value.
    fn db(&self, password: &str) -> String {
        text(&self.seal(&object("prod", "db", Scope::Strict), &[("password", password)]))
    }

    fn value(&self, secret: &str, key: &str) -> Option<String> {
        let manifest: Value =
            yaml::from_str(&fs::read_to_string(self.out(&format!("{secret}.yaml"))).unwrap()).unwrap();
        let text = manifest["data"][key].as_str()?;
        Some(String::from_utf8(BASE64_STANDARD.decode(text).unwrap()).unwrap())
    }

    fn state(&self) -> Value {
        serde_json::from_slice(&fs::read(self.out(".waxwing-status.json")).unwrap()).unwrap()
    }
}

fn context() -> Context {
    Context { printer: Printer::new(false), config: None, now: NOW }
}

fn object(namespace: &str, name: &str, scope: Scope) -> SealedSecret {
    let mut object =
        SealedSecret::new(name, SealedSecretSpec { scope: scope.to_string(), ..Default::default() });
    object.metadata.namespace = Some(namespace.into());
    object
}

fn text(object: &SealedSecret) -> String {
    yaml::to_string(object).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn failure(result: Result<Renderer>) -> Failure {
    result.err().unwrap()
}

/// F04. Guards: `Mode::Private` and the mode of the folders in `Output::replace`.
#[test]
fn a_sealed_secret_becomes_a_file_for_its_owner_alone() {
    let scene = Scene::new();
    scene.write("deep/er/db.yaml", &scene.db("hunter2"));
    let rows = scene.expect(&[(What::Created, "prod/db")]);
    assert_eq!(rows[0].file, "deep/er/db.yaml");
    assert_eq!(scene.value("prod/db", "password").unwrap(), "hunter2");
    assert_eq!(mode(&scene.out("prod/db.yaml")), 0o600);
    assert_eq!(mode(&scene.out(".waxwing-status.json")), 0o600);
    assert_eq!((mode(&scene.out("")), mode(&scene.out("prod"))), (0o700, 0o700));
    let manifest = fs::read_to_string(scene.out("prod/db.yaml")).unwrap();
    assert!(manifest.contains("waxwing.dev/owned-by: SealedSecret/db"), "{manifest}");
    assert!(!manifest.contains("ownerReferences"), "{manifest}");
}

#[test]
fn every_document_and_list_item_is_found_and_other_kinds_are_passed_over() {
    let scene = Scene::new();
    let one = scene.seal(&object("prod", "one", Scope::Strict), &[("a", "1")]);
    let two = scene.seal(&object("prod", "two", Scope::Strict), &[("a", "2")]);
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [two,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}]});
    let other =
        "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: theirs, namespace: prod}\n";
    scene.write("all.yaml", &format!("{}---\n{other}---\n{}", text(&one), yaml::to_string(&list).unwrap()));
    scene.write("chart/templates/x.yaml", "kind: SealedSecret\n{{ if .Values.x }}\n");
    scene.write(".hidden/three.yaml", &scene.db("x"));
    scene.expect(&[(What::Created, "prod/one"), (What::Created, "prod/two")]);
}

#[test]
fn a_second_run_writes_nothing() {
    let scene = Scene::new();
    scene.write("db.yaml", &scene.db("hunter2"));
    scene.render();
    let stamps =
        || ["prod/db.yaml", ".waxwing-status.json"].map(|name| fs::metadata(scene.out(name)).unwrap().ino());
    let before = stamps();
    let rows = scene.expect(&[]);
    assert_eq!(rows.len(), 1);
    assert_eq!(stamps(), before, "a file that is written is another file");
}

#[test]
fn a_changed_value_and_a_removed_key_reach_the_file() {
    let mut scene = Scene::new();
    let both = scene.seal(&object("prod", "db", Scope::Strict), &[("password", "old"), ("user", "app")]);
    scene.write("db.yaml", &text(&both));
    scene.render();
    scene.now += 1;
    let mut changed = scene.seal(&both, &[("password", "new")]);
    changed.spec.data.remove("user");
    scene.write("db.yaml", &text(&changed));
    let rows = scene.expect(&[(What::Updated, "prod/db")]);
    assert_eq!(rows[0].keys.iter().map(String::as_str).collect::<Vec<_>>(), ["password", "user"]);
    assert_eq!(scene.value("prod/db", "password").unwrap(), "new");
    assert_eq!(scene.value("prod/db", "user"), None);
}

#[test]
fn hand_edits_are_repaired_and_told() {
    let scene = Scene::new();
    scene.write("db.yaml", &scene.db("hunter2"));
    scene.render();
    let path = scene.out("prod/db.yaml");
    let right = fs::read_to_string(&path).unwrap();
    let edits: [&dyn Fn(); 4] = [
        &|| fs::write(&path, right.replace("aHVudGVyMg==", "aHVudGVyMw==")).unwrap(),
        &|| fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap(),
        &|| fs::write(&path, "data: {").unwrap(),
        &|| fs::remove_file(&path).unwrap(),
    ];
    for (index, edit) in edits.iter().enumerate() {
        edit();
        let rows = scene.expect(&[(What::Repaired, "prod/db")]);
        assert_eq!(rows[0].keys.is_empty(), index == 1, "{rows:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), right);
        assert_eq!(mode(&path), 0o600);
    }
    // What was not changed is no drift.
    let same = fs::read(&path).unwrap();
    fs::write(&path, same).unwrap();
    scene.expect(&[]);
}

/// Guard: `Renderer::one` forgets when it last looked in vain, which another first identity makes it do.
#[test]
fn a_hand_edit_right_after_a_rotation_is_repaired_at_once() {
    let scene = Scene::new();
    scene.write("db.yaml", &scene.db("hunter2"));
    let mut renderer = scene.open().unwrap();
    renderer.look(&scene.identities(), NOW).unwrap();
    let mut both = scene.identities();
    while both.iter().next().unwrap().id() == scene.identity.id() {
        both.insert(Identity::generate());
    }
    assert_eq!(renderer.look(&both, NOW).unwrap()[0].what, What::Unchanged);
    fs::write(scene.out("prod/db.yaml"), "data: {").unwrap();
    assert_eq!(renderer.look(&both, NOW + 1).unwrap()[0].what, What::Repaired);
}

/// F02. Guard: only what says that it is ours is removed (`Unit::is_marked`).
#[test]
fn the_file_of_a_removed_sealed_secret_is_removed_and_others_stay() {
    let scene = Scene::new();
    scene.write("db.yaml", &scene.db("hunter2"));
    scene.write("web.yaml", &text(&scene.seal(&object("web", "tls", Scope::Strict), &[("a", "1")])));
    scene.render();
    fs::write(scene.out("prod/mine.yaml"), "kind: Secret\n").unwrap();
    let owned = "kind: Secret\nmetadata: {annotations: {waxwing.dev/owned-by: SealedSecret/another}}\n";
    fs::write(scene.out("prod/copied.yaml"), owned).unwrap();
    fs::remove_file(scene.source().join("db.yaml")).unwrap();
    fs::remove_file(scene.source().join("web.yaml")).unwrap();
    scene.expect(&[(What::Removed, "prod/db"), (What::Removed, "web/tls")]);
    assert!(!scene.out("prod/db.yaml").exists() && !scene.out("web").exists());
    assert!(scene.out("prod/mine.yaml").exists() && scene.out("prod/copied.yaml").exists());
    assert_eq!(scene.state()["objects"], serde_json::json!({}));
}

#[test]
fn a_suspended_sealed_secret_leaves_its_secret_as_it_is() {
    let scene = Scene::new();
    scene.write("db.yaml", &scene.db("hunter2"));
    scene.render();
    let mut paused = scene.seal(&object("prod", "db", Scope::Strict), &[("password", "other")]);
    paused.metadata.annotations = Some(BTreeMap::from([("waxwing.dev/suspend".into(), "true".into())]));
    scene.write("db.yaml", &text(&paused));
    fs::write(scene.out("prod/db.yaml"), "edited").unwrap();
    scene.expect(&[(What::Suspended, "prod/db")]);
    assert_eq!(fs::read_to_string(scene.out("prod/db.yaml")).unwrap(), "edited");
}

/// F03. Guard: the grammar of keys; a key is the name of a file here.
#[test]
fn a_secret_can_be_a_folder_with_a_file_for_each_key() {
    let mut scene = Scene::new();
    scene.layout = Layout::Files;
    let both =
        scene.seal(&object("prod", "db.yaml", Scope::Strict), &[("password", "hunter2\n"), ("-u", "app")]);
    scene.write("db.yaml", &text(&both));
    scene.expect(&[(What::Created, "prod/db.yaml")]);
    let path = scene.out("prod/db.yaml/password");
    assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("hunter2\n", 0o600));
    scene.expect(&[]);
    fs::write(&path, "edited").unwrap();
    fs::write(scene.out("prod/db.yaml/added"), "x").unwrap();
    let rows = scene.expect(&[(What::Repaired, "prod/db.yaml")]);
    assert_eq!(rows[0].keys.iter().map(String::as_str).collect::<Vec<_>>(), ["added", "password"]);
    assert!(!scene.out("prod/db.yaml/added").exists());
    fs::remove_file(scene.out("prod/db.yaml/..secret.yaml")).unwrap();
    scene.expect(&[(What::Repaired, "prod/db.yaml")]);
    let mut escaping = both.clone();
    let token = escaping.spec.data["password"].clone();
    escaping.spec.data.insert("../../../x".into(), token);
    scene.write("db.yaml", &text(&escaping));
    assert_eq!(scene.render()[0].reason, Some("InvalidSpec"));
    assert!(!scene.home.path().join("x").exists());
    scene.write("db.yaml", &text(&both));
    scene.layout = Layout::Yaml;
    scene.expect(&[(What::Repaired, "prod/db.yaml"), (What::Removed, "prod/db.yaml")]);
    assert_eq!(scene.value("prod/db.yaml", "-u").unwrap(), "app");
    fs::remove_file(scene.source().join("db.yaml")).unwrap();
    scene.expect(&[(What::Removed, "prod/db.yaml")]);
    assert!(!scene.out("prod").exists());
}

#[test]
fn another_layout_replaces_the_first_one() {
    let mut scene = Scene::new();
    scene.write("db.yaml", &scene.db("hunter2"));
    scene.render();
    scene.layout = Layout::Files;
    scene.render();
    assert_eq!(fs::read_to_string(scene.out("prod/db/password")).unwrap(), "hunter2");
    assert!(!scene.out("prod/db.yaml").exists());
    scene.expect(&[]);
    // As long as the new one cannot be written, the old one stays.
    scene.write("db.yaml", &scene.db("other").replace("format: wax1", "format: wax9"));
    fs::remove_dir_all(scene.out("prod/db")).unwrap();
    scene.layout = Layout::Yaml;
    scene.write("db.yaml", &scene.db("again"));
    scene.render();
    scene.write("db.yaml", &scene.db("other").replace("format: wax1", "format: wax9"));
    scene.layout = Layout::Files;
    scene.expect(&[(What::Refused, "prod/db")]);
    assert_eq!(scene.value("prod/db", "password").unwrap(), "again");
}
