//! The chart: what it grants, and that Helm takes it.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::Value;
use waxwing_tests::chart::{self, KUBE_VERSION, helm};
use waxwing_tests::tools::root;

/// The values that golden renders exist for, and the namespaces with Secrets of the users in them.
const RENDERS: [(&str, &[&str]); 4] =
    [("cluster", &[]), ("namespaces", &["team-a", "team-b"]), ("full", &["team-a"]), ("tenant", &["team-a"])];

/// The namespace that the golden renders were made for.
const OWN: &str = "waxwing-system";

#[test]
fn helm_finds_nothing_to_complain_about_with_any_values() {
    let chart = chart::path().display().to_string();
    for (name, _) in RENDERS {
        let values = values_file(name);
        let said = helm([
            "lint",
            "--strict",
            &chart,
            "--namespace",
            OWN,
            "--kube-version",
            KUBE_VERSION,
            "--values",
            &values,
        ]);
        assert!(said.as_ref().is_ok_and(|said| said.contains("0 chart(s) failed")), "{name}: {said:?}");
    }
}

#[test]
fn a_misspelled_value_is_refused() {
    let chart = chart::path().display().to_string();
    let error = helm(["template", "waxwing", &chart, "--set", "keyring.nmae=x"]).unwrap_err().to_string();
    assert!(error.contains("nmae"), "{error}");
}

/// K13. Guard: the golden files; a right that is added must be added there too.
#[test]
fn the_rights_are_exactly_those_that_were_reviewed() {
    for (name, _) in RENDERS {
        let rendered = rights(name);
        let file = root().join(format!("tests/golden/rbac-{name}.yaml"));
        let golden = std::fs::read_to_string(&file).unwrap();
        let differs = rendered.lines().zip(golden.lines()).position(|(rendered, golden)| rendered != golden);
        assert!(
            rendered == golden,
            "{}, line {}: the chart renders other rights; see tests/golden/README.md for the command, and review them",
            file.display(),
            differs.map_or("(length)".to_owned(), |line| (line + 1).to_string()),
        );
    }
}

/// K13. Guard: `charts/waxwing/templates/rbac-*.yaml` name each right.
#[test]
fn no_right_is_a_wildcard_or_leads_to_further_rights() {
    for (name, _) in RENDERS {
        for (object, rule) in rules(name) {
            let words = all_words(&rule);
            for bad in ["*", "escalate", "bind", "impersonate", "nodes/proxy", "pods/exec"] {
                assert!(!words.contains(bad), "{name}: {object} grants {bad}");
            }
            // Only where the values list a namespace, and in a role of that namespace alone.
            let makes_tokens = words.contains("serviceaccounts/token");
            let is_listed = name == "full" && object.contains(":tokens");
            assert!(!makes_tokens || is_listed, "{name}: {object} makes tokens");
            assert!(rule.non_resource_urls.unwrap_or_default().is_empty(), "{name}: {object}");
        }
    }
}

/// K13. Guard: `waxwing.workRules`, which has `delete` only with `stores.deletion`.
#[test]
fn nothing_is_deleted_but_by_people_with_the_edit_role_and_what_the_values_ask_for() {
    for (name, _) in RENDERS {
        for (object, rule) in rules(name) {
            let deletes = rule.verbs.iter().any(|verb| verb.starts_with("delete"));
            let resources = rule.resources.clone().unwrap_or_default();
            let of_tenants = [
                "sealedsecrets",
                "externalsecrets",
                "secretstores",
                "alertmanagerinjections",
                "grafanainjections",
                "alertreceivers",
            ];
            let by_people = object.ends_with(":edit") && resources.iter().all(|r| of_tenants.contains(&&**r));
            // What a ClusterExternalSecret has made where it is not wanted any more.
            let own = name == "cluster" && object.ends_with(":work") && resources == ["externalsecrets"];
            let asked = name == "full" && object.contains(":work") && resources == ["secrets"];
            assert!(!deletes || by_people || own || asked, "{name}: {object} may delete {resources:?}");
        }
    }
}

/// K13. Guard: `rbac.mode: namespaces` makes Roles, and no ClusterRole with Secrets.
#[test]
fn with_a_list_of_namespaces_there_is_no_right_on_secrets_elsewhere() {
    for (name, served) in RENDERS.into_iter().filter(|(_, served)| !served.is_empty()) {
        let mut allowed: BTreeSet<&str> = served.iter().copied().collect();
        allowed.insert(OWN);
        for object in roles(name) {
            let grants = rules_of(&object).iter().any(|rule| has(rule.resources.as_deref(), "secrets"));
            let namespace = object["metadata"]["namespace"].as_str();
            let ok = !grants || (object["kind"] == "Role" && namespace.is_some_and(|n| allowed.contains(n)));
            assert!(ok, "{name}: {} in {namespace:?} reaches Secrets", title(&object));
        }
    }
}

/// K13. Guard: only status subresources are writable, and those of a KeyRing by name.
#[test]
fn the_operator_writes_no_spec_of_ours() {
    for (name, _) in RENDERS {
        for (object, rule) in rules(name).into_iter().filter(|(object, _)| !object.ends_with(":edit")) {
            let writes = rule.verbs.iter().any(|verb| !["get", "list", "watch"].contains(&verb.as_str()));
            for resource in rule.resources.unwrap_or_default() {
                let of_others = [
                    "keyrings",
                    "sealedsecrets",
                    "secretstores",
                    "clustersecretstores",
                    "clusterexternalsecrets",
                    "alertmanagerinjections",
                    "alertreceivers",
                    "configmaps",
                ];
                assert!(!writes || !of_others.contains(&resource.as_str()), "{name}: {object}");
                // Its finalizer is among its metadata, for which there is no right of its own.
                let finalizes = object.contains(":work") && rule.verbs == ["patch"];
                assert!(!writes || resource != "grafanainjections" || finalizes, "{name}: {object}");
                // A ClusterExternalSecret makes them; nobody else does.
                let makes = name == "cluster" && object.ends_with(":work");
                assert!(!writes || resource != "externalsecrets" || makes, "{name}: {object}");
                let named = !rule.resource_names.as_deref().unwrap_or_default().is_empty();
                assert!(
                    !writes || resource != "keyrings/status" || named,
                    "{name}: {object} writes every KeyRing's status"
                );
            }
        }
    }
}

/// K13. Guard: `rbac-aggregate.yaml`; who may write a KeyRing decides who can read new seals.
#[test]
fn no_built_in_role_learns_about_key_rings() {
    for (name, _) in RENDERS {
        for object in roles(name) {
            let labels = object["metadata"]["labels"].as_object().cloned().unwrap_or_default();
            let aggregated = labels.keys().any(|label| label.contains("aggregate-to-"));
            let rings = rules_of(&object)
                .iter()
                .any(|rule| rule.resources.iter().flatten().any(|r| r.contains("keyring")));
            assert!(!aggregated || !rings, "{name}: {}", title(&object));
        }
    }
}

/// K13. Guard: the file names; a role elsewhere in the chart would not be in the golden files.
#[test]
fn every_role_of_the_chart_is_in_a_file_that_is_reviewed_as_such() {
    for (name, _) in RENDERS {
        let chart = chart::path().display().to_string();
        let all = helm([
            "template",
            "waxwing",
            &chart,
            "--namespace",
            OWN,
            "--kube-version",
            KUBE_VERSION,
            "--values",
            &values_file(name),
        ]);
        let all = chart::objects(&all.unwrap()).unwrap();
        let count =
            all.iter().filter(|object| object["apiVersion"] == "rbac.authorization.k8s.io/v1").count();
        assert_eq!(count, chart::objects(&rights(name)).unwrap().len(), "{name}");
    }
}

#[test]
fn the_pod_runs_as_nobody_with_nothing_to_write_to() {
    let objects = chart::render("waxwing", OWN, &[]).unwrap();
    let pod =
        &objects.iter().find(|object| object["kind"] == "Deployment").unwrap()["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let containers = pod["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 1);
    let container = &containers[0]["securityContext"];
    assert_eq!(container["allowPrivilegeEscalation"], false);
    assert_eq!(container["readOnlyRootFilesystem"], true);
    assert_eq!(container["capabilities"]["drop"], serde_json::json!(["ALL"]));
    for field in ["hostNetwork", "hostPID", "hostIPC", "volumes"] {
        assert!(pod[field].is_null(), "{field}");
    }
}

#[test]
fn the_chart_installs_the_generated_definitions_and_they_outlive_it() {
    let generated = chart::in_folder(&root().join("crds/yaml")).unwrap();
    let rendered = chart::render("waxwing", OWN, &[]).unwrap();
    for crd in generated {
        let name = &crd["metadata"]["name"];
        let in_chart: Vec<&Value> =
            rendered.iter().filter(|object| object["metadata"]["name"] == *name).collect();
        assert_eq!(in_chart.len(), 1, "{name} is rendered once");
        assert_eq!(in_chart[0]["spec"], crd["spec"], "{name}");
        assert_eq!(in_chart[0]["metadata"]["annotations"]["helm.sh/resource-policy"], "keep", "{name}");
    }
}

fn values_file(name: &str) -> String {
    chart::path().join(format!("ci/{name}-values.yaml")).display().to_string()
}

/// The roles and bindings as Helm renders them, byte for byte.
fn rights(name: &str) -> String {
    let (chart, values) = (chart::path().display().to_string(), values_file(name));
    let only = ["--show-only", "templates/rbac-*.yaml"];
    let args = [
        "template",
        "waxwing",
        &chart,
        "--namespace",
        OWN,
        "--kube-version",
        KUBE_VERSION,
        "--values",
        &values,
    ];
    helm(args.into_iter().chain(only)).unwrap()
}

fn roles(name: &str) -> Vec<Value> {
    let objects = chart::objects(&rights(name)).unwrap();
    objects.into_iter().filter(|object| !object["rules"].is_null()).collect()
}

/// Every rule, with the name of its role.
fn rules(name: &str) -> Vec<(String, PolicyRule)> {
    let of = |role: &Value| rules_of(role).into_iter().map(|rule| (title(role), rule)).collect::<Vec<_>>();
    let all: Vec<_> = roles(name).iter().flat_map(of).collect();
    assert!(all.len() > 5, "{name}: the roles were found");
    all
}

fn rules_of(role: &Value) -> Vec<PolicyRule> {
    serde_json::from_value(role["rules"].clone()).unwrap()
}

fn title(object: &Value) -> String {
    format!("{} {}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap())
}

fn has(words: Option<&[String]>, word: &str) -> bool {
    words.unwrap_or_default().iter().any(|w| w == word)
}

fn all_words(rule: &PolicyRule) -> BTreeSet<&str> {
    let lists = [rule.api_groups.as_deref(), rule.resources.as_deref(), Some(rule.verbs.as_slice())];
    lists.into_iter().flatten().flatten().map(String::as_str).collect()
}
