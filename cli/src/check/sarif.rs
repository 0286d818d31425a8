//! A report as SARIF 2.1.0, with what GitHub's code scanning needs of it.

use std::path::{Component, Path};

use serde_json::{Value, json};

use super::{
    report::{Finding, Report},
    rule::Rule,
};

/// Where the format is defined.
const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The whole log: one run.
pub(super) fn log(report: &Report) -> Value {
    let results: Vec<Value> = report.findings.iter().map(result).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "waxwing",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": Rule::ALL.map(rule),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(rule: Rule) -> Value {
    json!({
        "id": rule.id(),
        "shortDescription": {"text": rule.short()},
        "fullDescription": {"text": rule.short()},
        "help": {"text": rule.help()},
        "defaultConfiguration": {"level": rule.severity().word()},
    })
}

fn result(finding: &Finding) -> Value {
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": {"uri": uri(&finding.file)},
            "region": {"startLine": finding.line, "startColumn": finding.column},
        },
    });
    if let Some(object) = &finding.object {
        let name = if finding.place.is_empty() {
            object.title.clone()
        } else {
            format!("{}: {}", object.title, finding.place)
        };
        location["logicalLocations"] = json!([{"fullyQualifiedName": name, "kind": "object"}]);
    }
    json!({
        "ruleId": finding.rule.id(),
        "ruleIndex": finding.rule.index(),
        "level": finding.severity.word(),
        "message": {"text": finding.sentence()},
        "locations": [location],
    })
}

/// A path as a reference relative to the folder of the run, or as a URI of its own where it lies elsewhere.
fn uri(path: &str) -> String {
    let folder = std::env::current_dir().unwrap_or_default();
    let path = Path::new(path);
    let path = path.strip_prefix(&folder).unwrap_or(path);
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(encoded(&name.to_string_lossy())),
            Component::ParentDir => parts.push("..".to_owned()),
            Component::CurDir | Component::Prefix(_) | Component::RootDir => {}
        }
    }
    let scheme = if path.is_absolute() { "file:///" } else { "" };
    format!("{scheme}{}", parts.join("/"))
}

/// What stands in a path of a URI as it is, and the rest in percent.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=@".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_references_relative_to_the_folder_of_the_run() {
        let folder = std::env::current_dir().unwrap();
        for (path, expected) in [
            ("deploy/a.yaml", "deploy/a.yaml"),
            ("./deploy/a.yaml", "deploy/a.yaml"),
            ("../a b.yaml", "../a%20b.yaml"),
            ("a:b/ä.yaml", "a%3Ab/%C3%A4.yaml"),
            ("/elsewhere/a.yaml", "file:///elsewhere/a.yaml"),
            (&folder.join("x.yaml").display().to_string(), "x.yaml"),
        ] {
            assert_eq!(uri(path), expected);
        }
    }
}
