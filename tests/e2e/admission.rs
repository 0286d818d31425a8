//! What the API server refuses by the CRDs alone, and what it lets pass: the first net, before any operator.

use std::collections::{BTreeMap, BTreeSet};

use hyper::Request;
use hyper::header::CONTENT_TYPE;
use serde_json::{Value, json};
use waxwing_core::keys::Identity;
use waxwing_tests::ring::{Ring, named};
use waxwing_tests::tools::root;
use waxwing_tests::{block_on, chart, control_plane};

#[path = "../../crds/src/tests/cases.rs"]
mod cases;

/// K05, K07, F03, D02. Guard: the rules of every schema (`crds: schema`); the unit tests there make sure that each has a
/// case here.
#[test]
fn every_case_gets_the_answer_that_its_file_says() {
    let cases = cases::all(&root().join("crds/admission"));
    for case in &cases {
        match dry_run(case.kind(), &case.object) {
            Ok(_) => {
                assert!(case.is_accepted(), "{} was accepted, and not refused: {}", case.name, case.expect)
            }
            Err(error) => assert!(error.contains(&case.expect), "{}: {}: {error}", case.name, case.expect),
        }
    }
    assert!(cases.len() > 200, "the cases were found");
}

/// Whatever the API server added would be drift for a GitOps tool.
#[test]
fn the_api_server_adds_nothing_to_what_it_accepts() {
    for case in cases::all(&root().join("crds/admission")) {
        if case.is_accepted() {
            let accepted = dry_run(case.kind(), &case.object).unwrap();
            let mut spec = case.object["spec"].clone();
            // Nothing is the same as nothing said.
            spec.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            let mut stored = accepted["spec"].clone();
            stored.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            assert_eq!(stored, spec, "{}", case.name);
        }
    }
}

/// K05. Guard: `crds: schema::refused`. A manifest for `external-secrets.io/v1` is told what is not supported, where the
/// API server would drop it in silence.
#[test]
fn every_field_that_is_not_supported_is_refused_by_its_name() {
    let cases = cases::all(&root().join("crds/admission"));
    for (kind, schema) in schemas() {
        let mut left: BTreeSet<_> = cases::refused_fields(&schema).into_iter().collect();
        for case in cases.iter().filter(|case| case.kind() == kind && case.is_accepted()) {
            for (field, object) in cases::with_refused_fields(&schema, &case.object) {
                if left.remove(&field) {
                    let name = field.rsplit('.').next().unwrap();
                    let error = dry_run(&kind, &object).expect_err(&field);
                    assert!(error.contains(&format!("{name} is not supported: ")), "{kind} {field}: {error}");
                }
            }
        }
        assert!(left.is_empty(), "no accepted case of {kind} could have these: {left:?}");
    }
}

/// L03. Guard: the rule on URLs is on the object around them (`crds: schema::store::url`, `crds: schema::injection`), which
/// is not repeated.
#[test]
fn a_password_in_a_url_is_not_repeated() {
    let cases = cases::all(&root().join("crds/admission"));
    let mut tried = 0;
    for case in cases.iter().filter(|case| case.is_accepted()) {
        for field in [
            "provider/vault/server",
            "provider/aws/endpoint",
            "provider/gcpsm/endpoint",
            "provider/azurekv/vaultUrl",
            "provider/kubernetes/server/url",
            "protection/vaultTransit/server",
            "protection/awsKms/endpoint",
            "protection/awsKms/stsEndpoint",
        ] {
            let path = format!("/spec/{field}");
            if case.object.pointer(&path).is_some() {
                let object = with(&case.object, &path, json!("ftp://user:open-sesame@example.com"));
                let error = dry_run(case.kind(), &object).expect_err(&path);
                assert!(error.contains("begins with https://"), "{}: {error}", case.name);
                assert!(!error.contains("open-sesame"), "{}: {error}", case.name);
                tried += 1;
            }
        }
    }
    let bad = "ftp://user:open-sesame@example.com";
    for (field, bad) in
        [("target/reload/url", json!(bad)), ("target/url", json!(bad)), ("verify/endpoints", json!([bad]))]
    {
        let path = format!("/spec/{field}");
        let has = |case: &&cases::Case| case.is_accepted() && case.object.pointer(&path).is_some();
        for case in cases.iter().filter(has) {
            let error = dry_run(case.kind(), &with(&case.object, &path, bad.clone())).expect_err(&path);
            assert!(error.contains("begins with http"), "{}: {error}", case.name);
            assert!(!error.contains("open-sesame"), "{}: {error}", case.name);
            tried += 1;
        }
    }
    assert!(tried >= 9, "the URLs were found");
}

#[test]
fn a_sealed_secret_of_the_cli_is_accepted_as_it_stands() {
    let accepted = dry_run("SealedSecret", &sealed()).unwrap();
    // Whatever the API server added would be drift for a GitOps tool.
    assert_eq!(accepted["spec"], sealed_like(&accepted)["spec"]);
}

/// C15. Guard: the CEL rule on `spec.format` (`crds: schema::sealed_secret_spec`).
#[test]
fn another_format_or_none_is_refused_at_admission() {
    refuses("/spec/format", json!("wax2"), "wax1 only");
    refuses("/spec/format", Value::Null, "format");
}

/// K07. Guard: the CEL rules on `spec.type` (`crds: schema::sealed_secret_spec`).
#[test]
fn types_that_give_rights_are_refused_at_admission() {
    refuses("/spec/type", json!("kubernetes.io/service-account-token"), "rights in the cluster");
    refuses("/spec/type", json!("bootstrap.kubernetes.io/token"), "rights in the cluster");
    refuses("/spec/type", json!("waxwing.dev/identity"), "Waxwing's own");
    refuses("/spec/template/metadata/labels", json!({"waxwing.dev/key-ring": "default"}), "Waxwing's own");
    refuses("/spec/template/metadata/annotations", json!({"waxwing.dev/adopt": "true"}), "Waxwing's own");
}

/// F03. Guard: the CEL rule on keys (`crds: schema::data_keys`).
#[test]
fn keys_that_are_paths_are_refused_at_admission() {
    let token = sealed()["spec"]["data"]["password"].clone();
    for key in ["../../x", "a/b", "..", ".", "..data", ""] {
        refuses("/spec/data", json!({key: token}), "a key has 1 to 253");
    }
}

/// D02. Guard: `maxProperties` and `maxLength` (`crds: schema`).
#[test]
fn too_many_keys_and_too_large_envelopes_are_refused_at_admission() {
    let token = sealed()["spec"]["data"]["password"].clone();
    let many: serde_json::Map<_, _> = (0..257).map(|n| (format!("k{n}"), token.clone())).collect();
    refuses("/spec/data", Value::Object(many), "at most 256");
    let id = sealed()["spec"]["envelopes"].as_object().unwrap().keys().next().unwrap().clone();
    refuses(&format!("/spec/envelopes/{id}/age"), json!("A".repeat(43_696)), "43692");
}

/// L03. Guard: the rule on tokens is on the whole map, whose content the API server does not repeat (`crds: schema`).
#[test]
fn a_value_that_nobody_sealed_is_refused_at_admission_and_not_repeated() {
    let error =
        dry_run("SealedSecret", &with(&sealed(), "/spec/data/password", json!("open-sesame"))).unwrap_err();
    assert!(error.contains("not sealed") && !error.contains("open-sesame"), "{error}");
}

#[test]
fn malformed_tokens_envelopes_scopes_and_collisions_are_refused_at_admission() {
    refuses("/spec/data/password", json!("wax1.short"), "spec.data");
    refuses("/spec/scope", json!("galaxy"), "strict");
    refuses("/spec/envelopes", json!({"UPPER123": {"commit": "x", "to": [], "age": "AAAA"}}), "envelope");
    refuses("/spec/template/data", json!({"password": "{{ password }}"}), "template.data");
}

/// K05, K06. Guard: the schema has no such field, and strict clients are told so (`crds`).
#[test]
fn there_is_no_field_that_reaches_another_namespace() {
    for path in [
        "/spec/namespace",
        "/spec/selector",
        "/spec/template/metadata/namespace",
        "/spec/template/metadata/name",
    ] {
        refuses(path, json!("kube-system"), "unknown field");
    }
    for (kind, schema) in schemas() {
        let names = property_names(&schema["properties"]["spec"]);
        assert!(names.len() >= 5, "the properties were found");
        let reaching: BTreeSet<_> = names
            .iter()
            .map(String::as_str)
            .filter(|name| {
                let name = name.to_lowercase();
                name.contains("namespace") || name.contains("selector")
            })
            .collect();
        // A namespace of Vault's is none of the cluster's. Another one's Secrets are read under the rights there. An
        // AlertReceiver names the one injection that may take it in, and an injection takes in only what names it.
        let expected: &[&str] = match kind.as_str() {
            "AlertReceiver" => &["namespace"],
            "AlertmanagerInjection" => &["namespaceLabel", "namespaceSelector", "receiverSelector"],
            "ClusterExternalSecret" => &["namespaceSelector", "namespaceSelectors", "namespaces"],
            "ClusterSecretStore" => &["namespace", "namespaceSelector", "namespaces", "remoteNamespace"],
            "KeyRing" => &["namespace"],
            "SecretStore" => &["namespace", "remoteNamespace"],
            _ => &[],
        };
        assert_eq!(reaching, BTreeSet::from_iter(expected.iter().copied()), "{kind}");
    }
}

#[test]
fn a_key_ring_is_checked_at_admission() {
    let ring = json!({"apiVersion": "waxwing.dev/v1alpha1", "kind": "KeyRing", "metadata": {"name": "checked"}, "spec": {}});
    assert!(dry_run("KeyRing", &ring).is_ok());
    let bad = [
        ("/spec/rotation", json!({"every": "fortnightly"}), "every"),
        ("/spec/recipients", json!([{"name": "x", "recipient": "AGE-SECRET-KEY-1QQ"}]), "recipient"),
        ("/spec/trusted", json!(["ssh-ed25519 AAAA"]), "trusted"),
        ("/spec/protection", json!({"kind": "VaultTransit"}), "needs the block vaultTransit"),
        ("/spec/policy", json!({"rollback": "Perhaps"}), "rollback"),
    ];
    for (path, value, told) in bad {
        let error = dry_run("KeyRing", &with(&ring, path, value)).unwrap_err();
        assert!(error.contains(told), "{path}: {error}");
    }
}

/// A SealedSecret of one key, for a recipient that nobody has.
fn sealed() -> Value {
    let recipient = named("nobody", Identity::generate().recipient().as_str());
    let object = Ring::of(vec![recipient]).seal("default", "checked", &[("password", "x")]);
    serde_json::to_value(object).unwrap()
}

/// The same object without what the API server sets.
fn sealed_like(accepted: &Value) -> Value {
    let spec: waxwing_crds::SealedSecretSpec = serde_json::from_value(accepted["spec"].clone()).unwrap();
    json!({"spec": spec})
}

fn refuses(path: &str, value: Value, told: &str) {
    let error = dry_run("SealedSecret", &with(&sealed(), path, value.clone())).expect_err(path);
    assert!(error.contains(told), "{path} = {value}: {error}");
}

/// A copy with one value set; null removes it.
fn with(object: &Value, path: &str, value: Value) -> Value {
    let mut copy = object.clone();
    let mut place = &mut copy;
    let (parents, last) = path[1..].rsplit_once('/').unwrap();
    for part in parents.split('/') {
        if place[part].is_null() {
            place[part] = json!({});
        }
        place = &mut place[part];
    }
    if value.is_null() {
        place.as_object_mut().unwrap().remove(last);
    } else {
        place[last] = value;
    }
    copy
}

/// Creates it in the default namespace without storing it, as a strict client; the error is the API server's message.
fn dry_run(kind: &str, object: &Value) -> Result<Value, String> {
    let path = match kind {
        "ClusterExternalSecret" | "ClusterSecretStore" | "KeyRing" => format!("{}s", kind.to_lowercase()),
        _ => format!("namespaces/default/{}s", kind.to_lowercase()),
    };
    let uri = format!("/apis/waxwing.dev/v1alpha1/{path}?dryRun=All&fieldValidation=Strict");
    let request =
        Request::post(uri).header(CONTENT_TYPE, "application/json").body(object.to_string().into_bytes());
    block_on(async {
        let client = &control_plane::main().await.admin;
        match client.request(request.unwrap()).await {
            Ok(accepted) => Ok(accepted),
            Err(kube::Error::Api(status)) => Err(status.message.clone()),
            Err(error) => panic!("{error}"),
        }
    })
}

/// The schema of each kind.
fn schemas() -> BTreeMap<String, Value> {
    let crds = chart::in_folder(&root().join("crds/yaml")).unwrap();
    let schemas = crds.into_iter().map(|crd| {
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap().to_owned();
        (kind, crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone())
    });
    schemas.collect()
}

/// The names of all properties, at any depth, that are not declared only to be refused.
fn property_names(schema: &Value) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(properties) = schema["properties"].as_object() {
        for (name, inner) in properties {
            if inner["x-kubernetes-validations"][0]["rule"] == "false" {
                continue;
            }
            names.push(name.clone());
            names.extend(property_names(inner));
        }
    }
    for inner in ["items", "additionalProperties"].into_iter().filter_map(|word| schema.get(word)) {
        names.extend(property_names(inner));
    }
    names
}
