use serde_json::{Value, json};

use super::*;
use crate::external::StoreKind;

fn read(spec: Value) -> Result<Spec, SpecError> {
    let spec: ExternalSecretSpec = serde_json::from_value(spec).unwrap();
    Spec::read(&spec, "team-a", "db")
}

/// A spec that is right, with `change` merged into it; `null` takes a field away.
fn with(change: Value) -> Value {
    let mut spec = json!({
        "secretStoreRef": {"name": "vault"},
        "data": [{"secretKey": "password", "remoteRef": {"key": "prod/db", "property": "password"}}],
    });
    for (field, value) in change.as_object().unwrap() {
        if value.is_null() {
            spec.as_object_mut().unwrap().remove(field);
        } else {
            spec[field] = value.clone();
        }
    }
    spec
}

fn target(target: Value) -> Value {
    with(json!({"target": target}))
}

fn template(template: Value) -> Value {
    target(json!({"template": template}))
}

fn from(item: Value) -> Value {
    with(json!({"dataFrom": [item]}))
}

fn remote(remote: Value) -> Value {
    with(json!({"data": [{"secretKey": "a", "remoteRef": remote}]}))
}

fn rewrite(step: Value) -> Value {
    from(json!({"extract": {"key": "a"}, "rewrite": [step]}))
}

fn refused(spec: Value, reason: Reason, field: &str) -> SpecError {
    let shown = spec.to_string();
    let error = read(spec).expect_err(&shown);
    assert_eq!((error.reason(), error.field.as_str()), (reason, field), "{shown}: {error}");
    let message = error.to_string();
    assert!(!message.ends_with('.') && !message.contains('\n'), "{message}");
    error
}

fn invalid(spec: Value, field: &str) {
    refused(spec, Reason::InvalidSpec, field);
}

#[test]
fn defaults_are_those_of_the_neighbouring_tools() {
    let spec = read(with(json!({}))).unwrap();
    assert_eq!((spec.target.as_str(), spec.secret_type.as_str()), ("db", "Opaque"));
    assert_eq!((spec.creation, spec.deletion), (Creation::Owner, Deletion::Retain));
    assert_eq!(spec.refresh, Refresh::Periodic(Duration::from_secs(3600)));
    assert_eq!(spec.merge_policy, MergePolicy::Replace);
    assert!(!spec.immutable && spec.templates.is_empty() && spec.rollouts.is_empty());
    let store = StoreRef { kind: StoreKind::SecretStore, name: "vault".to_owned() };
    assert_eq!(spec.stores(), [&store]);
    assert_eq!(spec.single[0].reading, Reading::default());
}

#[test]
fn what_is_said_is_taken() {
    let spec = read(json!({
        "secretStoreRef": {"name": "shared", "kind": "ClusterSecretStore"},
        "refreshInterval": "1h30m",
        "target": {
            "name": "app", "creationPolicy": "Orphan", "deletionPolicy": "Delete", "immutable": true,
            "template": {
                "type": "kubernetes.io/tls", "mergePolicy": "Merge",
                "metadata": {"labels": {"a": "b", "helm.toolkit.fluxcd.io/name": "x"}, "annotations": {"c": "d"}},
            },
            "rollout": [{"kind": "StatefulSet", "name": "app"}, {"kind": "Deployment", "name": "app"}],
        },
        "dataFrom": [{"find": {"path": "team-a/", "name": {"regexp": "^x"}, "tags": {"env": "prod"}}}],
    }))
    .unwrap();
    assert_eq!((spec.target.as_str(), spec.secret_type.as_str()), ("app", "kubernetes.io/tls"));
    assert_eq!((spec.creation, spec.deletion), (Creation::Orphan, Deletion::Delete));
    assert_eq!(spec.refresh, Refresh::Periodic(Duration::from_secs(5400)));
    assert!(spec.immutable && spec.merge_policy == MergePolicy::Merge && spec.rollouts.len() == 2);
    assert_eq!(spec.labels, BTreeMap::from([("a".to_owned(), "b".to_owned())]));
    assert_eq!(spec.annotations, BTreeMap::from([("c".to_owned(), "d".to_owned())]));
    assert_eq!(spec.dropped.len(), 1);
    let tags = BTreeMap::from([("env".to_owned(), "prod".to_owned())]);
    let find = Find { path: Some("team-a/".to_owned()), name: Some("^x".to_owned()), tags };
    let stores = vec![StoreRef { kind: StoreKind::ClusterSecretStore, name: "shared".to_owned() }];
    assert_eq!(spec.needs("uid"), [Need { stores, ask: Ask::Find(find) }]);
}

#[test]
fn no_interval_means_once_and_again_when_the_object_changes() {
    let refresh = |policy: Value, interval: Value| {
        read(with(json!({"refreshPolicy": policy, "refreshInterval": interval}))).unwrap().refresh
    };
    for zero in ["0", "0s", "0h0m0s"] {
        assert_eq!(refresh(json!(null), json!(zero)), Refresh::OnChange);
        assert_eq!(refresh(json!("Periodic"), json!(zero)), Refresh::OnChange);
        assert_eq!(refresh(json!("CreatedOnce"), json!(zero)), Refresh::CreatedOnce);
    }
    assert_eq!(refresh(json!("OnChange"), json!("5m")), Refresh::OnChange);
    assert_eq!(refresh(json!("CreatedOnce"), json!(null)), Refresh::CreatedOnce);
    assert_eq!(refresh(json!("Periodic"), json!("1s")), Refresh::Periodic(Duration::from_secs(1)));
    // What the neighbouring tools write into objects.
    assert_eq!(refresh(json!(null), json!("1h0m0s")), Refresh::Periodic(EVERY));
    for interval in ["", "1", "500ms", "0.5s", "-1h", "1h ", "soon", "101y"] {
        invalid(with(json!({"refreshInterval": interval})), "spec.refreshInterval");
    }
    // Also where it decides nothing.
    invalid(with(json!({"refreshPolicy": "OnChange", "refreshInterval": "x"})), "spec.refreshInterval");
}

#[test]
fn names_are_those_that_an_api_server_takes() {
    let spec: ExternalSecretSpec = serde_json::from_value(with(json!({}))).unwrap();
    for name in ["", "A", "a/b", "../a", "a_b"] {
        assert_eq!(Spec::read(&spec, "team-a", name).unwrap_err().field, "metadata.name");
        invalid(target(json!({"name": name})), "spec.target.name");
        invalid(with(json!({"secretStoreRef": {"name": name}})), "spec.secretStoreRef.name");
        let rollout = json!({"rollout": [{"kind": "Deployment", "name": name}]});
        invalid(target(rollout), "spec.target.rollout[0].name");
    }
    for namespace in ["A", "a.b", "..", &"a".repeat(64)] {
        assert_eq!(Spec::read(&spec, namespace, "db").unwrap_err().field, "metadata.namespace");
    }
    assert!(Spec::read(&spec, "", "db").is_ok(), "a file need not say its namespace");
}

#[test]
fn stores_are_named_once_and_in_one_way() {
    let list = |names: &[&str]| names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
    let spec = read(with(json!({"secretStoreRef": null, "secretStoreRefs": list(&["a", "b"])}))).unwrap();
    let names: Vec<_> = spec.needs("")[0].stores.iter().map(|store| store.name.clone()).collect();
    assert_eq!(names, ["a", "b"]);
    invalid(with(json!({"secretStoreRefs": list(&["a"])})), "spec");
    invalid(
        with(json!({"secretStoreRef": null, "secretStoreRefs": list(&["a", "a"])})),
        "spec.secretStoreRefs",
    );
    let kinds = json!([{"name": "a"}, {"name": "a", "kind": "ClusterSecretStore"}]);
    assert!(read(with(json!({"secretStoreRef": null, "secretStoreRefs": kinds}))).is_ok());
    let names = list(&["a"; 9]);
    let many = with(json!({"secretStoreRef": null, "secretStoreRefs": names}));
    refused(many, Reason::LimitExceeded, "spec.secretStoreRefs");

    invalid(with(json!({"secretStoreRef": null})), "spec.data[0]");
    let own = |source: Value| {
        let data = json!([{"secretKey": "a", "remoteRef": {"key": "k"}, "sourceRef": source}]);
        with(json!({"secretStoreRef": null, "data": data}))
    };
    let spec = read(own(json!({"storeRef": {"name": "own", "kind": "ClusterSecretStore"}}))).unwrap();
    assert_eq!(spec.stores()[0].to_string(), "ClusterSecretStore/own");
    invalid(own(json!({})), "spec.data[0].sourceRef");
    invalid(own(json!({"storeRef": {"name": "X"}})), "spec.data[0].sourceRef.storeRef.name");
}

#[test]
fn something_must_be_wanted() {
    invalid(with(json!({"data": []})), "spec");
    invalid(from(json!({})), "spec.dataFrom[0]");
    invalid(from(json!({"extract": {"key": "a"}, "find": {"path": "a"}})), "spec.dataFrom[0]");
    invalid(from(json!({"find": {}})), "spec.dataFrom[0].find");
    invalid(from(json!({"find": {"name": {}}})), "spec.dataFrom[0].find.name");
}

/// K05. Guard: `check_key` and `check_path` in `read` and `find`.
#[test]
fn keys_that_climb_are_refused_for_every_store() {
    for key in ["", "../a", "a/../b", "a//b", "a/", "a\nb", "a/%2e%2e/b", " a"] {
        invalid(remote(json!({"key": key})), "spec.data[0].remoteRef.key");
        invalid(from(json!({"extract": {"key": key}})), "spec.dataFrom[0].extract.key");
    }
    for path in ["", "..", "a/../b/", "a//"] {
        invalid(from(json!({"find": {"path": path}})), "spec.dataFrom[0].find.path");
    }
}

#[test]
fn remote_references_make_sense() {
    const AT: &str = "spec.data[0].remoteRef";
    let parameters = json!({"ttl": "1h"});
    assert!(read(remote(json!({"key": "a", "parameters": parameters}))).is_ok());
    for other in [json!({"version": "1"}), json!({"metadataPolicy": "Fetch"})] {
        let mut reference = json!({"key": "a", "parameters": parameters});
        reference.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        invalid(remote(reference), &format!("{AT}.parameters"));
    }
    invalid(remote(json!({"key": "a", "parameters": {"": "x"}})), &format!("{AT}.parameters"));
    invalid(remote(json!({"key": "a", "parameters": {"a\nb": "x"}})), &format!("{AT}.parameters"));
    invalid(remote(json!({"key": "a", "version": ""})), &format!("{AT}.version"));
    invalid(remote(json!({"key": "a", "version": "1\r\n"})), &format!("{AT}.version"));
    invalid(remote(json!({"key": "a", "property": ""})), &format!("{AT}.property"));
    let long = "x".repeat(16 * 1024 + 1);
    for (field, value) in [
        ("version", json!(&long)),
        ("property", json!(&long)),
        ("parameters", json!({"a": &long})),
        ("parameters", json!({&long: "a"})),
    ] {
        refused(remote(json!({"key": "a", field: value})), Reason::LimitExceeded, &format!("{AT}.{field}"));
    }
    invalid(remote(json!({"key": &long})), &format!("{AT}.key"));
    let many: BTreeMap<String, &str> = (0..65).map(|i| (i.to_string(), "x")).collect();
    refused(
        remote(json!({"key": "a", "parameters": many})),
        Reason::LimitExceeded,
        &format!("{AT}.parameters"),
    );
    let find = "spec.dataFrom[0].find.tags";
    refused(from(json!({"find": {"tags": many}})), Reason::LimitExceeded, find);
    invalid(from(json!({"find": {"tags": {"": "x"}}})), find);
}

#[test]
fn a_key_of_the_secret_is_one_and_stands_once() {
    for key in ["", ".", "..a", "a b", "a/b", &"k".repeat(254)] {
        let data = json!([{"secretKey": key, "remoteRef": {"key": "a"}}]);
        invalid(with(json!({"data": data})), "spec.data[0].secretKey");
        invalid(template(json!({"data": {key: "x"}})), "spec.target.template.data");
    }
    let item = |key: &str| json!({"secretKey": "same", "remoteRef": {"key": key}});
    let twice = with(json!({"data": [item("a"), item("b")]}));
    let error = refused(twice, Reason::KeyCollision, "spec.data[same]");
    assert_eq!(error.to_string(), "spec.data[same]: it stands here twice");
}

#[test]
fn regular_expressions_are_compiled_at_once() {
    for text in ["", "(", "(?=a)", r"(a)\1", &"a".repeat(2000)] {
        invalid(from(json!({"find": {"name": {"regexp": text}}})), "spec.dataFrom[0].find.name.regexp");
        let step = json!({"regexp": {"source": text, "target": ""}});
        invalid(rewrite(step), "spec.dataFrom[0].rewrite[0].regexp.source");
    }
    let step = json!({"regexp": {"source": "a", "target": "x".repeat(1025)}});
    refused(rewrite(step), Reason::LimitExceeded, "spec.dataFrom[0].rewrite[0].regexp.target");
    let step = json!({"transform": {"template": "x".repeat(4097)}});
    refused(rewrite(step), Reason::LimitExceeded, "spec.dataFrom[0].rewrite[0].transform.template");
}

#[test]
fn each_step_of_rewrite_does_one_thing() {
    const AT: &str = "spec.dataFrom[0].rewrite[0]";
    invalid(rewrite(json!({})), AT);
    let both = json!({"regexp": {"source": "a", "target": "b"}, "transform": {"template": "x"}});
    invalid(rewrite(both), AT);
    let merge = |merge: Value| rewrite(json!({"merge": merge}));
    assert!(read(merge(json!({}))).is_ok());
    // The neighbouring tools write an empty one where there is none.
    assert!(read(merge(json!({"into": ""}))).is_ok());
    assert!(read(merge(json!({"strategy": "JSON", "into": "all.json"}))).is_ok());
    invalid(merge(json!({"into": "all"})), &format!("{AT}.merge.into"));
    invalid(merge(json!({"strategy": "JSON"})), &format!("{AT}.merge.into"));
    invalid(merge(json!({"strategy": "JSON", "into": "a b"})), &format!("{AT}.merge.into"));
    invalid(merge(json!({"priority": ["a", "b", "a"]})), &format!("{AT}.merge.priority"));
    let many: Vec<_> = (0..257).map(|i| i.to_string()).collect();
    refused(merge(json!({"priority": many})), Reason::LimitExceeded, &format!("{AT}.merge.priority"));
    let long = json!({"priority": ["x".repeat(1025)]});
    refused(merge(long), Reason::LimitExceeded, &format!("{AT}.merge.priority"));
    invalid(rewrite(json!({"transform": {"template": ""}})), &format!("{AT}.transform.template"));
    let steps = vec![json!({"regexp": {"source": "a", "target": "b"}}); 17];
    let many = from(json!({"extract": {"key": "a"}, "rewrite": steps}));
    refused(many, Reason::LimitExceeded, "spec.dataFrom[].rewrite");
}

#[test]
fn policies_never_delete_or_freeze_a_secret_of_others() {
    for creation in ["Merge", "None"] {
        let both = json!({"creationPolicy": creation, "deletionPolicy": "Delete"});
        invalid(target(both), "spec.target.deletionPolicy");
        assert!(read(target(json!({"creationPolicy": creation}))).is_ok());
    }
    invalid(target(json!({"creationPolicy": "Merge", "immutable": true})), "spec.target.immutable");
    assert!(read(target(json!({"creationPolicy": "Owner", "immutable": true}))).is_ok());
    let twice = json!([{"kind": "Deployment", "name": "a"}, {"kind": "Deployment", "name": "a"}]);
    invalid(target(json!({"rollout": twice})), "spec.target.rollout[1]");
}

#[test]
fn templates_that_cannot_work() {
    const DATA: &str = "spec.target.template.data";
    const STEP: &str = "spec.dataFrom[0].rewrite[0].transform.template";
    for source in ["{{ oops", "{% include 'x' %}", "{{ a | nope }}", "{{ env('HOME') }}"] {
        let error = refused(template(json!({"data": {"url": source}})), Reason::TemplateError, DATA);
        assert!(error.to_string().contains("template url"), "{error}");
        refused(rewrite(json!({"transform": {"template": source}})), Reason::TemplateError, STEP);
    }
    let spec =
        read(template(json!({"data": {"url": "db://{{ user }}:{{ password | urlencode }}@h"}}))).unwrap();
    assert!(!spec.templates.is_empty());
}

/// K07. Guard: `names::is_refused_secret_type` in `secret_type`.
#[test]
fn types_that_are_credentials_for_the_cluster() {
    const FIELD: &str = "spec.target.template.type";
    for secret_type in
        ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token", "waxwing.dev/identity"]
    {
        refused(template(json!({"type": secret_type})), Reason::TypeRefused, FIELD);
    }
    for secret_type in ["", "a b", "a\n", "é", &"x".repeat(254)] {
        invalid(template(json!({"type": secret_type})), FIELD);
    }
}

/// Guard: `kept` refuses reserved keys, so nothing we produce can say that it is adopted, owned or an identity.
#[test]
fn keys_of_ours_cannot_be_planted_through_the_template() {
    for field in ["labels", "annotations"] {
        let at = format!("spec.target.template.metadata.{field}");
        for key in [names::OWNED_BY, names::ADOPT, names::KEY_RING, "waxwing.dev/anything"] {
            let metadata = json!({"metadata": {field: {key: "x"}}});
            refused(template(metadata), Reason::MetadataRefused, &at);
        }
        invalid(template(json!({"metadata": {field: {"a b": "x"}}})), &at);
    }
    let metadata = json!({"metadata": {"annotations": {"a": "x".repeat(70_000)}}});
    invalid(template(metadata), "spec.target.template.metadata.annotations");
}

/// D02. Guard: `check_limits` comes before everything else.
#[test]
fn thousands_of_items() {
    let item = json!({"secretKey": "not a key", "remoteRef": {"key": "../x"}});
    refused(with(json!({"data": vec![item; 257]})), Reason::LimitExceeded, "spec.data");
    let many = vec![json!({}); 65];
    refused(with(json!({"dataFrom": many})), Reason::LimitExceeded, "spec.dataFrom");
    let rollout = vec![json!({"kind": "Deployment", "name": ""}); 33];
    refused(target(json!({"rollout": rollout})), Reason::LimitExceeded, "spec.target.rollout");
    let data: BTreeMap<_, _> = (0..257).map(|i| (format!("k{i}"), "")).collect();
    refused(template(json!({"data": data})), Reason::LimitExceeded, "spec.target.template.data");
}

#[test]
fn one_entry_is_needed_once_whatever_is_taken_of_it() {
    let item = |key: &str, reference: Value| json!({"secretKey": key, "remoteRef": reference});
    let spec = read(with(json!({
        "data": [
            item("a", json!({"key": "db", "property": "user"})),
            item("b", json!({"key": "db", "property": "password", "decodingStrategy": "Base64"})),
            item("c", json!({"key": "api"})),
            item("d", json!({"key": "db", "version": "2"})),
            item("e", json!({"key": "db", "metadataPolicy": "Fetch"})),
            item("f", json!({"key": "db", "metadataPolicy": "None", "nullBytePolicy": "Fail"})),
            {"secretKey": "g", "remoteRef": {"key": "db"}, "sourceRef": {"storeRef": {"name": "other"}}},
            {"secretKey": "h", "remoteRef": {"key": "db"}, "sourceRef": {"storeRef": {"name": "vault"}}},
        ],
        "dataFrom": [
            {"extract": {"key": "db", "property": "more"}},
            {"find": {"name": {"regexp": "x"}}},
            {"find": {"name": {"regexp": "x"}, "decodingStrategy": "Auto"}, "rewrite": [{"merge": {}}]},
        ],
    })))
    .unwrap();
    let needs = spec.needs("uid-1");
    let shown: Vec<_> = needs.iter().map(|need| (need.stores[0].name.as_str(), &need.ask)).collect();
    let read = |key: &str| Read { key: key.to_owned(), ..Read::default() };
    let expected = [
        ("vault", &Ask::Read(read("db"))),
        ("vault", &Ask::Read(read("api"))),
        ("vault", &Ask::Read(Read { version: Some("2".to_owned()), ..read("db") })),
        ("vault", &Ask::Read(Read { metadata: true, ..read("db") })),
        ("other", &Ask::Read(read("db"))),
        ("vault", &Ask::Find(Find { name: Some("x".to_owned()), ..Find::default() })),
    ];
    assert_eq!(shown, expected);
    assert_eq!(spec.needs("uid-2"), needs, "what is only read is shared");
}

/// Guard: `needs` sets the consumer, so that no two objects share what is issued.
#[test]
fn what_is_issued_belongs_to_the_object_that_asked() {
    let reference = json!({"key": "pki/issue/web", "parameters": {"common_name": "a.example"}});
    let spec = read(remote(reference)).unwrap();
    let consumer = |uid: &str| match spec.needs(uid).remove(0).ask {
        Ask::Read(read) => read.consumer,
        Ask::Find(_) => unreachable!("it reads"),
    };
    assert_eq!((consumer("uid-1").as_str(), consumer("uid-2").as_str()), ("uid-1", "uid-2"));
    assert_ne!(spec.needs("uid-1"), spec.needs("uid-2"));
}

/// Guard: `#[serde(deny_unknown_fields)]` on every type of the spec.
#[test]
fn fields_that_are_not_supported_are_not_skipped() {
    for spec in [
        json!({"syncWindows": {}}),
        json!({"data": [{"secretKey": "a", "remoteRef": {"key": "b", "namespace": "other"}}]}),
        json!({"secretStoreRef": {"name": "a", "namespace": "other"}}),
        json!({"dataFrom": [{"sourceRef": {"generatorRef": {"kind": "Password", "name": "a"}}}]}),
        json!({"target": {"manifest": {"kind": "ConfigMap"}}}),
        json!({"target": {"creationPolicy": "CreateOrMerge"}}),
    ] {
        assert!(serde_json::from_value::<ExternalSecretSpec>(with(spec.clone())).is_err(), "{spec}");
    }
}
