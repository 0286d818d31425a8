use serde_json::{Value, json};
use waxwing_crds::Reason;

use super::*;
use crate::grafana::EntryKind;

const SCOPE: Scope<'static> = Scope { namespace: "monitoring", name: "main" };

fn leaf(key: &str) -> Value {
    json!({"$secret": {"name": "receivers", "key": key}})
}

fn reference(key: &str) -> Reference {
    Reference::Secret { name: "receivers".to_owned(), key: key.to_owned() }
}

fn slack(uid: &str, key: &str) -> Value {
    json!({"uid": uid, "type": "slack", "settings": {"url": leaf(key)}})
}

fn body() -> Value {
    json!({
        "datasources": [{"name": "prom", "type": "prometheus", "uid": "prom", "url": "http://prometheus:9090",
            "secureJsonData": {"httpHeaderValue1": leaf("header")}}],
        "contactPoints": [
            {"name": "ops", "receivers": [slack("ops-slack", "ops")]},
            {"name": "db", "receivers": [slack("db-slack", "db"),
                {"uid": "db-pd", "type": "pagerduty", "settings": {"integrationKey": leaf("pd")}}]},
        ],
        "policies": [{"receiver": "ops", "routes": [{"receiver": "db", "object_matchers": [["team", "=", "db"]]}]}],
        "target": {},
    })
}

/// What a test begins with: everything is there.
struct Scene {
    body: Value,
    answers: BTreeMap<Reference, Answer>,
    last_good: BTreeMap<Reference, Secret>,
    around: Around,
}

impl Scene {
    fn new() -> Self {
        let scene = Self {
            body: body(),
            answers: BTreeMap::new(),
            last_good: BTreeMap::new(),
            around: Around::default(),
        };
        let urls = ["ops", "db"].map(|key| (key, format!("https://hooks.slack.com/{key}-canary$x")));
        let scene = urls.iter().fold(scene, |scene, (key, url)| scene.with(key, url));
        scene.with("header", "Bearer canary").with("pd", "0123456789abcdef0123456789abcdef")
    }

    fn with(mut self, key: &str, value: &str) -> Self {
        self.answers.insert(reference(key), Answer::Value(Secret::new(value.as_bytes().to_vec())));
        self
    }

    fn without(mut self, key: &str) -> Self {
        let why = "Secret/receivers is not there".to_owned();
        self.answers.insert(reference(key), Answer::Unresolved(why));
        self
    }

    fn last_good(mut self, key: &str, value: &str) -> Self {
        self.last_good.insert(reference(key), Secret::new(value.as_bytes().to_vec()));
        self
    }

    fn set(mut self, pointer: &str, value: Value) -> Self {
        *self.body.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        self
    }

    fn target(self, target: Value) -> Self {
        self.set("/target", target)
    }

    fn policy(mut self, policy: Value) -> Self {
        self.body["policy"] = policy;
        self
    }

    /// After this was published.
    fn after(mut self, made: &Made, is_read: bool) -> Self {
        let files = made.files.iter().map(|file| Secret::new(file.content.to_vec())).collect();
        self.around.published.push(Earlier { files, is_read });
        self
    }

    fn spec(&self) -> Result<Spec, Fault> {
        Spec::read("main", &serde_json::from_value(self.body.clone()).unwrap())
    }

    fn make(&self) -> Result<Made, Refused> {
        let spec = self.spec().unwrap_or_else(|fault| panic!("{fault}"));
        spec.make(SCOPE, &spec.document, &self.answers, &self.last_good, &self.around)
    }

    fn made(&self) -> Made {
        self.make().unwrap_or_else(|refused| panic!("{:?}", refused.messages()))
    }
}

impl Made {
    /// The document of one file as YAML reads it.
    fn file(&self, kind: FileKind) -> Value {
        let file = self.files.iter().find(|file| file.kind == kind).unwrap();
        crate::yaml::from_str(std::str::from_utf8(&file.content).unwrap()).unwrap()
    }

    fn states(&self) -> Vec<(&str, State)> {
        self.receivers.iter().map(|receiver| (receiver.name.as_str(), receiver.state)).collect()
    }
}

fn entry(kind: EntryKind, id: &str) -> Entry {
    Entry { kind, org: 1, id: id.to_owned() }
}

#[test]
fn every_reference_gets_its_value_and_everything_is_live() {
    let made = Scene::new().made();
    let alerting = made.file(FileKind::Alerting);
    assert_eq!(
        alerting["contactPoints"][0]["receivers"][0]["settings"]["url"],
        "https://hooks.slack.com/ops-canary$$x"
    );
    assert_eq!(
        made.file(FileKind::Datasources)["datasources"][0]["secureJsonData"]["httpHeaderValue1"],
        "Bearer canary"
    );
    assert_eq!(
        made.states(),
        [
            ("data source prom", State::Live),
            ("contact point ops", State::Live),
            ("contact point db", State::Live)
        ]
    );
    assert!(made.tombstones.0.is_empty() && made.warnings.is_empty());
    assert_eq!(made.changed, made.inventory.0, "nothing had been published");
}

#[test]
fn a_sidecar_finds_each_folders_file_in_a_secret_of_its_own() {
    let names = |target: Value| {
        let spec = Scene::new().target(target).spec().unwrap();
        spec.target.carriers.into_iter().map(|it| (it.name, it.label, it.kinds.len())).collect::<Vec<_>>()
    };
    assert_eq!(
        names(json!({})),
        [
            ("main-alerting".to_owned(), Some("grafana_alert"), 1),
            ("main-datasources".to_owned(), Some("grafana_datasource"), 1)
        ]
    );
    assert_eq!(
        names(json!({"kind": "Mounted", "secretName": "provisioning"})),
        [("provisioning".to_owned(), None, 2)]
    );
}

#[test]
fn a_target_that_makes_no_sense_is_refused() {
    let auth = json!({"token": {"name": "grafana", "key": "token"}});
    for target in [
        json!({"url": "http://grafana"}),
        json!({"kind": "API", "auth": auth}),
        json!({"kind": "API", "url": "http://grafana"}),
        json!({"kind": "API", "url": "http://grafana", "auth": {}}),
        json!({"kind": "API", "url": "http://grafana", "auth": {"username": {"name": "a", "key": "b"}}}),
        json!({"reload": {"url": "http://grafana"}, "auth": auth}),
        json!({"kind": "Mounted", "reload": {"url": "http://grafana"}}),
        json!({"secretName": "n".repeat(250)}),
    ] {
        assert!(Scene::new().target(target.clone()).spec().is_err(), "{target}");
    }
    let api =
        Scene::new().target(json!({"kind": "API", "url": "http://grafana", "auth": auth})).spec().unwrap();
    let token = Reference::Secret { name: "grafana".to_owned(), key: "token".to_owned() };
    assert_eq!(api.target.auth.unwrap().references(), [&token]);
    assert!(api.target.carriers.is_empty());
}

#[test]
fn a_credential_that_was_never_had_takes_only_its_own_receiver_with_it() {
    let made = Scene::new().without("pd").without("header").made();
    let points = &made.file(FileKind::Alerting)["contactPoints"];
    assert_eq!(points[1]["receivers"].as_array().unwrap().len(), 1);
    assert_eq!(made.file(FileKind::Datasources), json!({"apiVersion": 1}));
    assert_eq!(
        made.states(),
        [
            ("data source prom", State::Quarantined),
            ("contact point ops", State::Live),
            ("contact point db", State::Quarantined)
        ]
    );
    assert_eq!(
        made.receivers[2].problems[0].at.to_string(),
        "contactPoints[1].receivers[1].settings.integrationKey"
    );
}

/// What is left out has not left. Guard: the inventory is that of the document.
#[test]
fn nothing_is_deleted_for_a_credential_that_is_missing() {
    let before = Scene::new().made();
    let made = Scene::new().after(&before, true).without("pd").without("header").made();
    assert!(made.tombstones.0.is_empty());
    assert_eq!(made.inventory, before.inventory);
}

#[test]
fn a_contact_point_that_has_nothing_left_takes_the_settings_of_the_roots() {
    let made = Scene::new().without("pd").without("db").made();
    let receivers = &made.file(FileKind::Alerting)["contactPoints"][1]["receivers"];
    assert_eq!(receivers[0]["uid"], "db-slack");
    assert_eq!(receivers[0]["settings"]["url"], "https://hooks.slack.com/ops-canary$$x");
    let refused = Scene::new().without("ops").make();
    assert!(
        matches!(refused, Err(Refused::Unresolved(_))),
        "the fallback itself has nothing left, and is not replaced"
    );
}

#[test]
fn a_last_good_value_stands_in_where_the_policy_lets_it() {
    let scene = || Scene::new().without("pd").last_good("pd", "before");
    let key = |made: &Made| {
        made.file(FileKind::Alerting)["contactPoints"][1]["receivers"][1]["settings"]["integrationKey"]
            .clone()
    };
    let made = scene().made();
    assert_eq!(key(&made), "before");
    assert_eq!(made.states()[2].1, State::Stale);
    let made = scene().policy(json!({"onUnresolved": "Quarantine"})).made();
    assert_eq!((key(&made), made.states()[2].1), (Value::Null, State::Quarantined));
    let blocked = scene().policy(json!({"onUnresolved": "Block"})).make();
    assert!(
        matches!(blocked, Err(Refused::Unresolved(_))),
        "it was not had before, as far as Block is concerned"
    );
}

/// T07. Guard: `fits` in `make`.
#[test]
fn a_value_that_does_not_fit_counts_as_missing_and_is_not_shown() {
    for (value, why) in [
        ("https://hooks.slack.com/canary\n", "it ends in a line break"),
        ("canary", "it is no http:// or https:// address"),
        ("[REDACTED]", "it is a placeholder, not a value: Grafana would keep what it had before"),
        ("https://hooks.slack.com/{{ canary }}", "it holds {{, which Grafana would take for a template"),
    ] {
        let made = Scene::new().with("db", value).made();
        let receiver = &made.receivers[2];
        assert_eq!((receiver.state, receiver.problems[0].message.as_str()), (State::Quarantined, why));
        assert!(!format!("{:?}", made.receivers).contains("canary"));
    }
}

#[test]
fn a_document_that_is_wrong_is_refused_whatever_its_references_give() {
    let scene = Scene::new().without("ops").set("/policies/0/receiver", json!("nobody"));
    let Err(refused) = scene.make() else { panic!("it was made") };
    assert_eq!(refused.reason(), Reason::ConfigInvalid);
    assert_eq!(
        refused.messages(),
        ["policies[0].receiver: no contact point of this organisation has this name"]
    );
}

#[test]
fn an_entry_is_known_without_any_credential() {
    for pointer in ["/datasources/0/name", "/contactPoints/0/receivers/0/uid", "/policies/0/receiver"] {
        let scene = Scene::new().with("ops-name", "ops").set(pointer, leaf("ops-name"));
        let Err(Refused::Invalid(findings)) = scene.make() else { panic!("{pointer}") };
        assert!(findings.iter().any(|finding| finding.rule == "reference"), "{findings:?}");
    }
}

#[test]
fn what_leaves_gets_a_tombstone_until_grafana_has_read_it() {
    let before = Scene::new().made();
    let left = |made: &Made, is_read| {
        let mut scene = Scene::new().after(made, is_read);
        scene.body["contactPoints"][1]["receivers"].as_array_mut().unwrap().remove(1);
        scene.body["datasources"] = json!([]);
        scene
    };
    let gone =
        Inventory([entry(EntryKind::ContactPoint, "db-pd"), entry(EntryKind::Datasource, "prom")].into());
    let first = left(&before, true).made();
    assert_eq!(first.tombstones, gone);
    assert_eq!(first.file(FileKind::Datasources)["deleteDatasources"][0]["name"], "prom");
    let second = left(&first, false).made();
    assert_eq!(second.tombstones, gone, "it is not known that Grafana has read it");
    let third = left(&second, true).made();
    assert!(third.tombstones.0.is_empty());
    // It comes back before Grafana has read that it left.
    assert!(Scene::new().after(&first, false).made().tombstones.0.is_empty());
}

/// Guard: all that was published counts, not only the last of it.
#[test]
fn what_was_left_out_before_it_left_is_deleted_and_what_was_deleted_stays_so() {
    let first = Scene::new().made();
    let without = Scene::new().after(&first, true).without("header").made();
    let left = |scene: Scene| scene.set("/datasources", json!([]));
    let scene = || left(Scene::new().after(&first, true).after(&without, true));
    let gone = Inventory([entry(EntryKind::Datasource, "prom")].into());
    let third = scene().made();
    assert_eq!(third.tombstones, gone);
    let fourth = left(scene().after(&third, true)).made();
    assert!(fourth.tombstones.0.is_empty());
    let fifth = left(scene().after(&third, true).after(&fourth, false)).made();
    assert!(fifth.tombstones.0.is_empty(), "its tombstone has done its work");
}

#[test]
fn what_was_published_and_perhaps_not_read_is_written_again() {
    let (first, second) = (Scene::new().made(), Scene::new().with("header", "other").made());
    let scene = Scene::new().after(&first, true).after(&second, false);
    assert_eq!(scene.made().changed, [entry(EntryKind::Datasource, "prom")].into());
    assert_eq!(Scene::new().after(&first, false).made().changed.len(), 5, "nobody knows what was read");
}

#[test]
fn what_another_injection_has_is_not_deleted_and_may_be_named() {
    let before = Scene::new().made();
    let mut scene = Scene::new().after(&before, true);
    let moved = scene.body["contactPoints"].as_array_mut().unwrap().remove(1);
    assert!(scene.make().is_err(), "a policy names it");
    scene.around.add(&Node::read(&json!({"contactPoints": [moved]})).unwrap());
    assert!(scene.made().tombstones.0.is_empty());
    scene.body = body();
    assert!(scene.made().tombstones.0.is_empty(), "for a time both have it");
    assert_eq!(farewell(SCOPE, &scene.around).0.0.len(), 3, "the tree, ops-slack and prom");
}

#[test]
fn an_injection_that_goes_takes_everything_with_it() {
    let before = Scene::new().made();
    let scene = Scene::new().after(&before, true);
    let (tombstones, files) = farewell(SCOPE, &scene.around);
    assert_eq!(tombstones, before.inventory);
    let keys: Vec<_> = files.iter().map(|file| file.key.as_str()).collect();
    assert_eq!(keys, ["monitoring.main.alerting.yaml", "monitoring.main.datasources.yaml"]);
    assert!(files.iter().all(|file| !String::from_utf8_lossy(&file.content).contains("canary")));
}

#[test]
fn only_what_is_not_as_before_has_changed() {
    let before = Scene::new().made();
    assert!(Scene::new().after(&before, true).made().changed.is_empty());
    let rotated = Scene::new().after(&before, true).with("pd", "another").made();
    let of_db = [entry(EntryKind::ContactPoint, "db-pd"), entry(EntryKind::ContactPoint, "db-slack")];
    assert_eq!(rotated.changed, of_db.into());
    let header = Scene::new().after(&before, true).with("header", "line\\n  - \"x\"").made();
    assert_eq!(header.changed, [entry(EntryKind::Datasource, "prom")].into());
    let policies = Scene::new().after(&before, true).set("/policies/0/routes", json!([])).made();
    assert_eq!(policies.changed, [entry(EntryKind::Policies, "")].into());
    // What stood in for another is not what it should be.
    let fallen = Scene::new().without("pd").without("db").made();
    assert_eq!(Scene::new().after(&fallen, true).made().changed, of_db_entries());
}

fn of_db_entries() -> BTreeSet<Entry> {
    [entry(EntryKind::ContactPoint, "db-pd"), entry(EntryKind::ContactPoint, "db-slack")].into()
}

#[test]
fn a_check_without_credentials_takes_dummies_and_tells_literals() {
    let scene =
        Scene::new().set("/contactPoints/0/receivers/0/settings/url", json!("https://canary.example/x"));
    let spec = scene.spec().unwrap();
    let none = BTreeMap::new();
    let made = spec.make(SCOPE, &with_dummies(&spec.document), &none, &BTreeMap::new(), &Around::default());
    let made = made.unwrap_or_else(|refused| panic!("{:?}", refused.messages()));
    assert!(made.receivers.iter().all(|receiver| receiver.state == State::Live));
    let found = literals(&spec.document);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].rule, found[0].severity), ("literal-credential", Severity::Warning));
    assert!(!format!("{found:?}").contains("canary"));
    assert_eq!(made.warnings, found);
}
