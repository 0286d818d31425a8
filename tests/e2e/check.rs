//! `waxwing check` against what other projects publish: every selector that prometheus-operator's own CRD has, and a reader of
//! XML that is not ours.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Map, Value, json};
use waxwing_tests::tools::{cli, tool};
use waxwing_tests::{chart, process};

/// A value of a schema with every selector in it, and where they stand: `secret` and `configMap` paths.
fn with_selectors(schema: &Value, at: &str, found: &mut Vec<(String, bool)>) -> Option<Value> {
    let properties = schema["properties"].as_object();
    let names: BTreeSet<&str> = properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    if names == BTreeSet::from(["key", "name", "optional"]) {
        let is_config_map = at.ends_with(".configMap");
        found.push((at.to_owned(), is_config_map));
        return Some(json!({"name": format!("own-{}", found.len()), "key": "key"}));
    }
    if let Some(properties) = properties {
        let mut map = Map::new();
        for (name, inner) in properties {
            if let Some(value) = with_selectors(inner, &format!("{at}.{name}"), found) {
                map.insert(name.clone(), value);
            }
        }
        return (!map.is_empty()).then_some(Value::Object(map));
    }
    if schema["items"].is_object() {
        let item = with_selectors(&schema["items"], &format!("{at}[0]"), found)?;
        return Some(json!([item]));
    }
    let more = &schema["additionalProperties"];
    let value = if more.is_object() { with_selectors(more, &format!("{at}.X"), found) } else { None };
    value.map(|value| json!({"X": value}))
}

fn check(folder: &Path, manifest: &Value, more: &[&str]) -> Output {
    std::fs::write(folder.join("objects.json"), manifest.to_string()).unwrap();
    Command::new(cli())
        .args(["check", "objects.json"])
        .args(more)
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap()
}

#[test]
fn every_selector_in_the_crd_of_prometheus_operator_is_found() {
    let crds = chart::in_folder(&tool("prometheus-operator-crds")).unwrap();
    let crd = crds.iter().find(|crd| crd["spec"]["names"]["kind"] == "AlertmanagerConfig").unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut selectors = Vec::new();
    let spec = with_selectors(schema, "spec", &mut selectors).unwrap();
    assert!(selectors.len() > 250, "{} selectors", selectors.len());
    let object = json!({
        "apiVersion": "monitoring.coreos.com/v1alpha1", "kind": "AlertmanagerConfig",
        "metadata": {"name": "all", "namespace": "ops"}, "spec": spec,
    });
    let output = check(&process::folder("check-selectors"), &object, &["--output", "json"]);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let place = |finding: &Value| {
        let is_config_map = finding["rule"] == "reference-missing-config-map";
        (finding["place"].as_str().unwrap().to_owned(), is_config_map)
    };
    let found: BTreeSet<(String, bool)> = report["findings"].as_array().unwrap().iter().map(place).collect();
    assert_eq!(found, selectors.into_iter().collect());
}

#[test]
fn the_report_for_junit_is_xml() {
    let name = "a<b>&\"c'\u{1}\u{e4}";
    let object = json!({
        "apiVersion": "monitoring.coreos.com/v1alpha1", "kind": "AlertmanagerConfig",
        "metadata": {"name": name, "namespace": "ops"},
        "spec": {"receivers": [{"slackConfigs": [{"apiURL": {"name": name, "key": "]]>"}}]}]},
    });
    let folder = process::folder("check-junit");
    let output = check(&folder, &object, &["--output", "junit"]);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let program = "import sys, json, xml.etree.ElementTree as tree
case = tree.parse(sys.stdin).getroot().find('testsuite/testcase')
print(json.dumps([case.get('name'), case.find('failure').get('type'), case.find('failure').text.count(']]>')]))";
    std::fs::write(folder.join("report.xml"), &output.stdout).unwrap();
    let read = Command::new(tool("python"))
        .args(["-c", program])
        .stdin(std::fs::File::open(folder.join("report.xml")).unwrap())
        .output()
        .unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let read: Value = serde_json::from_slice(&read.stdout).unwrap();
    let shown = name.replace('\u{1}', "\u{fffd}");
    assert_eq!(read, json!([format!("AlertmanagerConfig ops/{shown}"), "reference-missing-secret", 1]));
}
