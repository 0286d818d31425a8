//! What is refused, and what stays then.

use std::os::unix::fs::symlink;

use waxwing_crds::{SealedTemplate, TemplateMetadata};

use super::*;

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
    let key = Key::new("prod", "db").unwrap();
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
