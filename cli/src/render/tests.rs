//! Each test renders a folder of its own.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use waxwing_core::{
    Secret,
    keys::{Identities, Identity, NamedRecipient},
    seal::{Binding, Scope, Sealed},
    yaml,
};
use waxwing_crds::{
    ClusterScopePolicy, RollbackPolicy, SealedSecret, SealedSecretSpec, SealedTemplate, TemplateMetadata,
};

use super::{Job, Layout, Renderer, Row, What, watch};
use crate::{
    args::Context,
    error::{Failure, Result},
    identities::Options,
    printer::Printer,
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

/// K01, K02. Guards: `claim::Claim::of`; `Unit::target` drops the adoption, which files cannot answer.
#[test]
fn a_file_that_is_not_ours_is_a_conflict_and_stays() {
    let scene = Scene::new();
    scene.write("db.yaml", &scene.db("hunter2"));
    fs::create_dir_all(scene.out("prod")).unwrap();
    let path = scene.out("prod/db.yaml");
    let adoptable = "kind: Secret\nmetadata: {annotations: {waxwing.dev/adopt: \"true\"}}\n";
    for theirs in ["kind: Secret\ndata: {a: Yg==}\n", "no manifest: [", "", adoptable] {
        fs::write(&path, theirs).unwrap();
        let rows = scene.expect(&[(What::Refused, "prod/db")]);
        assert_eq!(rows[0].reason, Some("Conflict"));
        assert!(
            rows[0].message.ends_with("Move that file away, or choose another name or folder."),
            "{rows:?}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), theirs);
    }
    fs::remove_file(&path).unwrap();
    fs::write(scene.home.path().join("elsewhere"), "theirs").unwrap();
    symlink(scene.home.path().join("elsewhere"), &path).unwrap();
    assert_eq!(scene.render()[0].reason, Some("Conflict"));
    assert_eq!(fs::read_to_string(scene.home.path().join("elsewhere")).unwrap(), "theirs");
    fs::remove_file(&path).unwrap();
    let created = scene.render();
    assert_eq!(
        (created[0].what, scene.value("prod/db", "password").unwrap().as_str()),
        (What::Created, "hunter2")
    );
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

/// A malformed resource among good ones. Guard: nothing is removed while `Source::problems` is not empty.
#[test]
fn a_malformed_manifest_is_told_and_hides_and_removes_nothing() {
    let scene = Scene::new();
    let db = scene.db("hunter2");
    scene.write("db.yaml", &db);
    scene.write("web.yaml", &text(&scene.seal(&object("web", "tls", Scope::Strict), &[("a", "1")])));
    scene.render();
    fs::remove_file(scene.source().join("web.yaml")).unwrap();
    for broken in [
        "apiVersion: waxwing.dev/v1alpha1\nkind: SealedSecret\nmetadata: {name: db, namespace: [",
        "apiVersion: waxwing.dev/v1alpha1\nkind: SealedSecret\nmetadata: {name: db}\n",
        "apiVersion: waxwing.dev/v1alpha1\nkind: SealedSecret\nmetadata: {name: db, namespace: ../../etc}\n",
        "apiVersion: waxwing.dev/v1alpha1\nkind: SealedSecret\nmetadata: {name: a/b, namespace: prod}\n",
    ] {
        scene.write(
            "db.yaml",
            &format!("# a comment\n---\n{broken}\n---\n{}", db.replace("name: db", "name: other")),
        );
        let rows = scene.render();
        let whats: Vec<_> = rows.iter().map(|row| row.what).collect();
        assert_eq!(whats, [What::Unreadable, What::Refused], "{rows:#?}");
        assert!(rows[0].file.starts_with("db.yaml:"), "{rows:?}");
        assert_eq!(scene.value("prod/db", "password").unwrap(), "hunter2");
        assert!(scene.out("web/tls.yaml").exists());
    }
    assert!(!scene.home.path().join("etc").exists());
    scene.write("db.yaml", &db);
    scene.expect(&[(What::Removed, "web/tls")]);
}

#[test]
fn two_manifests_of_one_name_are_both_refused_and_the_last_good_stays() {
    let scene = Scene::new();
    scene.write("db.yaml", &scene.db("first"));
    scene.render();
    scene.write("again.yaml", &scene.db("second"));
    let rows = scene.expect(&[(What::Refused, "prod/db")]);
    assert!(rows[0].message.contains("again.yaml, db.yaml"), "{rows:?}");
    assert_eq!(scene.value("prod/db", "password").unwrap(), "first");
}

/// C01, C02, C03, C04, C05, C07. Guard: the AAD is rebuilt from the manifest as it stands.
#[test]
fn a_moved_renamed_or_swapped_value_is_refused_and_the_last_good_stays() {
    let scene = Scene::new();
    let good = scene.seal(&object("prod", "db", Scope::Strict), &[("a", "one"), ("b", "two")]);
    scene.write("db.yaml", &text(&good));
    scene.render();
    let wrong = |change: &dyn Fn(&mut SealedSecret)| {
        let mut object = good.clone();
        change(&mut object);
        scene.write("db.yaml", &text(&object));
        let rows = scene.render();
        assert_eq!((rows[0].what, rows[0].reason), (What::Refused, Some("BindingMismatch")), "{rows:#?}");
    };
    let swap = |object: &mut SealedSecret| {
        let (a, b) = (object.spec.data["a"].clone(), object.spec.data["b"].clone());
        object.spec.data = BTreeMap::from([("a".into(), b), ("b".into(), a)]);
    };
    let later = |object: &mut SealedSecret| {
        let token = object.spec.data["a"].replace(&NOW.to_string(), &(NOW + 1).to_string());
        object.spec.data.insert("a".into(), token);
    };
    wrong(&swap);
    wrong(&later);
    wrong(&|object| object.spec.secret_type = "kubernetes.io/basic-auth".into());
    wrong(&|object| object.spec.scope = "namespace".into());
    assert_eq!(scene.value("prod/db", "a").unwrap(), "one");
    scene.write("db.yaml", &text(&good));
    scene.expect(&[(What::Recovered, "prod/db")]);
    let mut copied = good.clone();
    copied.metadata.namespace = Some("attacker".into());
    let mut renamed = good;
    renamed.metadata.name = Some("renamed".into());
    scene.write("wrong.yaml", &format!("{}---\n{}", text(&copied), text(&renamed)));
    let rows = scene.expect(&[(What::Refused, "attacker/db"), (What::Refused, "prod/renamed")]);
    assert!(
        rows.iter().filter(|row| row.is_wrong()).all(|row| row.reason == Some("BindingMismatch")),
        "{rows:?}"
    );
    assert!(!scene.out("attacker").exists() && !scene.out("prod/renamed.yaml").exists());
}

/// C06. Guards: `floor::floor`, over two runs, from the state and from the Secret's own annotation.
#[test]
fn a_value_that_comes_back_from_history_is_noticed_in_a_later_run() {
    let mut scene = Scene::new();
    let old = scene.db("old");
    scene.write("db.yaml", &old);
    scene.render();
    scene.now += 10;
    scene.write("db.yaml", &scene.db("new"));
    scene.render();
    scene.write("db.yaml", &old);
    scene.rollback = RollbackPolicy::Deny;
    let rows = scene.expect(&[(What::Refused, "prod/db")]);
    assert_eq!(rows[0].reason, Some("RolledBack"));
    assert_eq!(scene.value("prod/db", "password").unwrap(), "new");
    // Whoever puts the state away hides nothing.
    fs::remove_file(scene.out(".waxwing-status.json")).unwrap();
    assert_eq!(scene.render()[0].reason, Some("RolledBack"));
    scene.rollback = RollbackPolicy::Warn;
    let rows = scene.render();
    assert_eq!((rows[0].what, rows[0].reason), (What::Updated, Some("RolledBack")), "{rows:#?}");
    assert!(rows[0].line().ends_with("RolledBack: older than before: password"), "{}", rows[0].line());
    assert_eq!(scene.value("prod/db", "password").unwrap(), "old");
    assert_eq!(scene.render()[0].reason, Some("RolledBack"), "it is told as long as it lasts");
    scene.rollback = RollbackPolicy::Allow;
    assert_eq!(scene.render()[0].reason, None);
}

/// K15. Guards: the mark in `status.applied` is a MAC; the floor is taken from the Secret, too.
#[test]
fn a_forged_state_skips_no_check() {
    let mut scene = Scene::new();
    let old = scene.db("old");
    scene.write("db.yaml", &old);
    scene.render();
    let state_of_old = fs::read(scene.out(".waxwing-status.json")).unwrap();
    scene.now += 10;
    scene.write("db.yaml", &scene.db("new"));
    scene.render();
    // A genuine but older state, with the older manifest.
    scene.write("db.yaml", &old);
    fs::write(scene.out(".waxwing-status.json"), state_of_old).unwrap();
    scene.rollback = RollbackPolicy::Deny;
    assert_eq!(scene.render()[0].reason, Some("RolledBack"));
    // The versions of a hand-edited file put into the state.
    scene.rollback = RollbackPolicy::Warn;
    scene.render();
    let path = scene.out("prod/db.yaml");
    let right = fs::read_to_string(&path).unwrap();
    fs::write(&path, right.replace("b2xk", "b2xl")).unwrap();
    let identities = scene.identities();
    let renderer = scene.open().unwrap();
    let key = super::Key::new("prod", "db").unwrap();
    let version = renderer
        .output
        .read(&key)
        .unwrap()
        .unwrap()
        .target(&key, &Default::default(), &identities)
        .resource_version;
    drop(renderer);
    let mut state = scene.state();
    state["objects"]["prod/db"]["applied"]["resourceVersion"] = version.into();
    fs::write(scene.out(".waxwing-status.json"), state.to_string()).unwrap();
    assert_eq!(scene.render()[0].what, What::Updated);
    assert_eq!(fs::read_to_string(&path).unwrap(), right);
    for nonsense in
        ["", "{}", "[1]", "{\"version\":1,\"source\":\"\",\"objects\":{\"prod/db\":{\"keys\":7}}}"]
    {
        fs::write(scene.out(".waxwing-status.json"), nonsense).unwrap();
        assert!(!scene.render()[0].is_wrong(), "{nonsense}");
    }
}

/// L01. Guards: rows and state are made of names, numbers and reasons.
#[test]
fn no_value_is_in_the_rows_or_in_the_state() {
    let mut scene = Scene::new();
    let canary = "Canary-7f3a?&";
    let mut object = scene.seal(&object("prod", "db", Scope::Strict), &[("password", canary)]);
    object.spec.template = Some(SealedTemplate {
        metadata: Some(TemplateMetadata {
            labels: BTreeMap::from([("team".into(), "db".into())]),
            ..Default::default()
        }),
        data: BTreeMap::from([
            ("url".into(), "pg://app:{{ password }}@db".into()),
            ("bad".into(), "{{ password.x.y }}".into()),
        ]),
    });
    scene.write("db.yaml", &text(&object));
    let mut rows = scene.render();
    assert!(rows[0].is_wrong(), "{rows:?}");
    object.spec.template.as_mut().unwrap().data.remove("bad");
    scene.write("db.yaml", &text(&object));
    rows.extend(scene.render());
    assert_eq!(scene.value("prod/db", "url").unwrap(), format!("pg://app:{canary}@db"));
    let manifest = fs::read_to_string(scene.out("prod/db.yaml")).unwrap();
    assert!(manifest.contains("team: db"), "{manifest}");
    fs::write(scene.out("prod/db.yaml"), manifest.replace("type: Opaque", "type: Other")).unwrap();
    rows.extend(scene.render());
    scene.identity = Identity::generate();
    rows.extend(scene.render());
    let lines: String = rows.iter().map(Row::line).collect();
    let all = format!("{lines}{}{}", serde_json::to_string(&rows).unwrap(), scene.state());
    let hex: String = canary.bytes().map(|byte| format!("{byte:02x}")).collect();
    for form in [canary, &BASE64_STANDARD.encode(canary), &hex, "Canary-7f3a%3F%26"] {
        assert!(!all.contains(form), "{form}: {all}");
    }
}

#[test]
fn without_a_fitting_identity_the_last_good_stays() {
    let mut scene = Scene::new();
    scene.write("db.yaml", &scene.db("first"));
    scene.render();
    let ours = std::mem::replace(&mut scene.identity, Identity::generate());
    let theirs = scene.db("second");
    scene.identity = ours;
    scene.write("db.yaml", &theirs);
    let rows = scene.expect(&[(What::Refused, "prod/db")]);
    assert_eq!((rows[0].reason, rows[0].exit()), (Some("NoMatchingKey"), crate::error::Exit::CannotOpen));
    assert_eq!(scene.value("prod/db", "password").unwrap(), "first");
}

#[test]
fn scope_cluster_is_opened_only_where_it_is_allowed() {
    let mut scene = Scene::new();
    scene.write("db.yaml", &text(&scene.seal(&object("prod", "db", Scope::Cluster), &[("a", "1")])));
    let rows = scene.expect(&[(What::Refused, "prod/db")]);
    assert!(rows[0].message.contains("--allow-cluster-scope"), "{rows:?}");
    scene.cluster_scope = ClusterScopePolicy::Allow;
    scene.expect(&[(What::Created, "prod/db")]);
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

#[test]
fn what_a_killed_render_left_behind_is_removed() {
    let scene = Scene::new();
    scene.write("db.yaml", &scene.db("hunter2"));
    scene.render();
    fs::write(scene.out("prod/.waxwing-Ab12Cd"), "half a value").unwrap();
    scene.expect(&[]);
    assert!(!scene.out("prod/.waxwing-Ab12Cd").exists());
    assert!(scene.out(".waxwing-status.json").exists());
}

#[test]
fn two_renders_never_work_on_one_output() {
    let scene = Scene::new();
    let first = scene.open().unwrap();
    assert!(failure(scene.open()).to_string().contains("another waxwing render is at work"));
    drop(first);
    assert!(scene.open().is_ok());
}

#[test]
fn an_output_belongs_to_one_directory() {
    let mut scene = Scene::new();
    scene.write("db.yaml", &scene.db("hunter2"));
    scene.render();
    fs::rename(scene.source(), scene.home.path().join("moved")).unwrap();
    fs::create_dir(scene.source()).unwrap();
    let other = |force| {
        let job = Job { source: scene.home.path().join("moved"), force, ..scene.job() };
        Renderer::open(job, &context())
    };
    let refused = failure(other(false));
    assert!(refused.to_string().contains("holds what was rendered from"), "{refused}");
    other(true).unwrap().look(&scene.identities(), NOW).unwrap();
    scene.force = true;
    scene.expect(&[(What::Removed, "prod/db")]);
}

#[test]
fn opened_values_are_not_written_where_they_could_be_committed() {
    let scene = Scene::new();
    let inside = |path: &str, force| {
        let job = Job { output: scene.source().join(path), force, ..scene.job() };
        Renderer::open(job, &context())
    };
    let refused = failure(inside("out", false));
    assert!(refused.to_string().contains("opened values could be committed"), "{refused}");
    assert!(!scene.source().join("out").exists());
    for held in ["", "..", "../in/x/.."] {
        let refused = inside(held, true).err().map(|failure| failure.to_string());
        assert!(refused.is_some(), "{held:?}");
    }
    scene.write("db.yaml", &scene.db("hunter2"));
    let mut renderer = inside("out", true).unwrap();
    renderer.look(&scene.identities(), NOW).unwrap();
    assert_eq!(renderer.look(&scene.identities(), NOW).unwrap().len(), 1, "what was written is not read");
    drop(renderer);
    let git = |args: &[&str]| {
        let status = std::process::Command::new("git").current_dir(scene.home.path()).args(args).status();
        assert!(status.unwrap().success());
    };
    git(&["init", "-q"]);
    let refused = failure(scene.open());
    assert!(refused.to_string().contains("does not ignore it"), "{refused}");
    fs::write(scene.home.path().join(".gitignore"), "/out/\n").unwrap();
    assert!(scene.open().is_ok());
}

/// The loop of `--watch` in a thread, and what it told.
struct Watching {
    stop: Arc<AtomicBool>,
    told: mpsc::Receiver<Row>,
    thread: Option<thread::JoinHandle<Result<()>>>,
}

impl Watching {
    fn begin(scene: &Scene) -> Self {
        let file = scene.home.path().join("identity.txt");
        fs::write(&file, scene.identity.to_text().expose()).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let (stop, job) = (Arc::new(AtomicBool::new(false)), scene.job());
        let (send, told) = mpsc::channel();
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut renderer = Renderer::open(job, &context())?;
            let options = Options::of(vec![file]);
            watch(&mut renderer, &options, Duration::from_millis(5), &stopped, &context(), &mut |_, row| {
                send.send(row.clone()).map_err(Failure::from)
            })
        });
        Self { stop, told, thread: Some(thread) }
    }

    fn next(&self) -> (What, String) {
        let row = self.told.recv_timeout(Duration::from_secs(20)).unwrap();
        (row.what, row.secret)
    }

    fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap().unwrap();
        assert_eq!(self.told.try_iter().collect::<Vec<_>>(), []);
    }
}

#[test]
fn watching_tells_every_change_once_and_stops_when_told() {
    let scene = Scene::new();
    scene.write("db.yaml", &scene.db("hunter2"));
    let watching = Watching::begin(&scene);
    let db = |what| (what, "prod/db".to_owned());
    assert_eq!(watching.next(), db(What::Created));
    let path = scene.out("prod/db.yaml");
    let right = fs::read_to_string(&path).unwrap();
    fs::write(&path, right.replace("aHVudGVyMg==", "aHVudGVyMw==")).unwrap();
    assert_eq!(watching.next(), db(What::Repaired));
    assert_eq!(fs::read_to_string(&path).unwrap(), right);
    let good = scene.read("db.yaml");
    scene.write("db.yaml", &good.replace("format: wax1", "format: wax9"));
    assert_eq!(watching.next(), db(What::Refused));
    scene.write("unrelated.yaml", "a: 1\n");
    scene.write("db.yaml", &good);
    assert_eq!(watching.next(), db(What::Recovered));
    // A key that is added to the identity's file is used at once.
    let mut other = Scene::new();
    other.now += 5;
    scene.write("db.yaml", &other.db("by another"));
    assert_eq!(watching.next(), db(What::Refused));
    let both = [scene.identity.to_text(), other.identity.to_text()]
        .map(|key| String::from_utf8(key.expose().to_vec()).unwrap());
    fs::write(scene.home.path().join("identity.txt"), both.join("\n")).unwrap();
    assert_eq!(watching.next(), db(What::Updated));
    fs::remove_file(scene.source().join("db.yaml")).unwrap();
    assert_eq!(watching.next(), db(What::Removed));
    watching.end();
}
