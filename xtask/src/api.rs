//! The reference page of the API, from the schemas that the API server gets.

mod about;

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result};
use kube::CustomResourceExt;
use serde_json::Value;
use waxwing_crds::{
    AlertReceiver, AlertmanagerInjection, ClusterExternalSecret, ClusterSecretStore, ExternalSecret,
    GrafanaInjection, KeyRing, SealedSecret, SecretStore,
};

use crate::reference::NOTICE;

/// What is a part of two kinds: where it stands in the second one, and where its fields are listed.
const SAME: &[(&str, &str, &str)] = &[
    (
        "ClusterExternalSecret",
        "spec.externalSecretSpec",
        "the `spec` of an [ExternalSecret](#externalsecret)",
    ),
    ("ClusterSecretStore", "spec.provider", "the `spec.provider` of a [SecretStore](#secretstore)"),
];

/// What the name of an object matches.
const OBJECT_NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// Objects that stand in many places: what they are called, and all their fields.
const REFERENCES: &[(&str, &[&str])] = &[
    ("certificates", &["key", "name", "namespace", "type"]),
    ("key of a Secret", &["key", "name", "namespace"]),
    ("label selector", &["matchExpressions", "matchLabels"]),
    ("ServiceAccount", &["audiences", "name", "namespace"]),
];
/// The page.
pub(crate) fn page() -> Result<String> {
    let mut page = format!(
        "# API reference: waxwing.dev/v1alpha1\n\n{NOTICE}\n\n\
         The API server writes no defaults into these objects: what Git says is what the cluster holds. `[]` stands for\n\
         each element of a list, `<key>` for each key of a map. The limits and rules are checked at admission, and by the\n\
         operator and the CLI once more. Condition types and reasons are listed in [reasons.md](reasons.md), annotations\n\
         in [names.md](names.md).\n\n\
         Some types are objects that stand in many places:\n\n{}",
        about::REFERENCES
    );
    kind::<SealedSecret>(&mut page, about::SEALED_SECRET)?;
    kind::<ExternalSecret>(&mut page, about::EXTERNAL_SECRET)?;
    kind::<SecretStore>(&mut page, about::SECRET_STORE)?;
    kind::<ClusterSecretStore>(&mut page, about::CLUSTER_SECRET_STORE)?;
    kind::<ClusterExternalSecret>(&mut page, about::CLUSTER_EXTERNAL_SECRET)?;
    kind::<AlertmanagerInjection>(&mut page, about::ALERTMANAGER_INJECTION)?;
    kind::<AlertReceiver>(&mut page, about::ALERT_RECEIVER)?;
    kind::<GrafanaInjection>(&mut page, about::GRAFANA_INJECTION)?;
    kind::<KeyRing>(&mut page, about::KEY_RING)?;
    Ok(page)
}

/// One kind: its names, the text about it, and a table each for spec and status.
fn kind<K: CustomResourceExt>(page: &mut String, about: &str) -> Result<()> {
    let crd = serde_json::to_value(K::crd())?;
    let names = &crd["spec"]["names"];
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    writeln!(page, "\n## {}\n", word(&names["kind"]))?;
    writeln!(
        page,
        "{}, plural `{}`, short name `{}`, category `{}`.\n",
        word(&crd["spec"]["scope"]),
        word(&names["plural"]),
        word(&names["shortNames"][0]),
        word(&names["categories"][0]),
    )?;
    page.push_str(about);
    let mut table = Table { kind: word(&names["kind"]), rows: String::new(), refused: BTreeMap::new() };
    for part in ["spec", "status"] {
        let schema = crd
            .pointer(&format!("/spec/versions/0/schema/openAPIV3Schema/properties/{part}"))
            .with_context(|| format!("the schema has no {part}"))?;
        table.rules(part, schema)?;
        table.fields(part, schema)?;
        let rows = std::mem::take(&mut table.rows);
        writeln!(
            page,
            "\n### {} {part}\n\n| field | type | meaning |\n|---|---|---|\n{}",
            table.kind,
            rows.trim_end()
        )?;
    }
    if !table.refused.is_empty() {
        let title = "fields of `external-secrets.io/v1` that are refused";
        writeln!(page, "\n### {} {title}\n\n| field | instead |\n|---|---|", table.kind)?;
        for (instead, fields) in &table.refused {
            writeln!(page, "| {} | {instead} |", together(fields))?;
        }
    }
    Ok(())
}

/// The rows of one kind.
struct Table {
    kind: String,
    rows: String,
    /// Fields that are refused by name, by what to do instead.
    refused: BTreeMap<String, Vec<String>>,
}

impl Table {
    /// A row for each field below `schema`.
    fn fields(&mut self, path: &str, schema: &Value) -> Result<()> {
        let required = schema["required"].as_array();
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let required = required.is_some_and(|names| names.iter().any(|other| other == name));
            let path = format!("{path}.{name}");
            if let Some(instead) = refusal(name, field) {
                self.refused.entry(instead).or_default().push(path);
                continue;
            }
            let mark = if required { "" } else { ", optional" };
            let mut meaning = sentences(field);
            let same = SAME.iter().find(|(kind, place, _)| *kind == self.kind && *place == path);
            if let Some((_, _, what)) = same {
                meaning.push(format!("The fields are those of {what}."));
                writeln!(self.rows, "| `{path}` | {}{mark} | {} |", type_of(field), meaning.join(" "))?;
                continue;
            }
            if reference(field).is_none() {
                for extra in [limits(field), rule_messages(field)] {
                    meaning.extend(extra);
                }
            }
            writeln!(self.rows, "| `{path}` | {}{mark} | {} |", type_of(field), meaning.join(" "))?;
            self.inner(&path, field)?;
        }
        Ok(())
    }

    /// The rows of what a field holds. Conditions are Kubernetes' own and need none.
    fn inner(&mut self, path: &str, field: &Value) -> Result<()> {
        if path == "status.conditions" || reference(field).is_some() {
            return Ok(());
        }
        for (holder, mark) in [("items", "[]"), ("additionalProperties", ".<key>")] {
            let inner = &field[holder];
            if reference(inner).is_some() {
                continue;
            }
            let path = format!("{path}{mark}");
            if inner["properties"].is_object() {
                self.rules(&path, inner)?;
                self.fields(&path, inner)?;
            } else if inner.is_object() {
                let limits = limits(inner);
                if !limits.is_empty() {
                    writeln!(self.rows, "| `{path}` | {} | {} |", type_of(inner), limits.join(" "))?;
                }
            }
        }
        self.fields(path, field)
    }

    /// A row for the rules that span several fields.
    fn rules(&mut self, path: &str, schema: &Value) -> Result<()> {
        let messages = rule_messages(schema);
        if !messages.is_empty() {
            writeln!(self.rows, "| `{path}` | object | {} |", messages.join(" "))?;
        }
        Ok(())
    }
}

/// What to do instead, when a field is declared only to be refused.
fn refusal(name: &str, field: &Value) -> Option<String> {
    let rule = &field["x-kubernetes-validations"][0];
    let message = rule["message"].as_str().filter(|_| rule["rule"] == "false")?;
    let instead = message.strip_prefix(name).unwrap_or(message);
    Some(instead.strip_prefix(" is not supported: ").unwrap_or(instead).to_owned())
}

/// Fields of one row: many of one object are listed by their names alone.
fn together(fields: &[String]) -> String {
    let split: Vec<_> = fields.iter().filter_map(|field| field.rsplit_once('.')).collect();
    let parent = split.first().map_or("", |(parent, _)| parent);
    if fields.len() > 3 && split.iter().all(|(other, _)| *other == parent) {
        let names: Vec<_> = split.iter().map(|(_, name)| format!("`{name}`")).collect();
        return format!("in `{parent}`: {}", names.join(", "));
    }
    fields.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ")
}

/// The name of an object that stands in many places.
fn reference(schema: &Value) -> Option<&'static str> {
    let fields: Vec<_> = schema["properties"].as_object()?.keys().map(String::as_str).collect();
    REFERENCES.iter().find(|(_, own)| *own == fields).map(|(name, _)| *name)
}

/// The type as a person would say it.
fn type_of(schema: &Value) -> String {
    if let Some(name) = reference(schema) {
        return name.to_owned();
    }
    if schema["x-kubernetes-preserve-unknown-fields"] == true {
        return "native document".to_owned();
    }
    let plain = schema["type"].as_str().unwrap_or("any");
    match plain {
        "array" => format!("list of {}", type_of(&schema["items"])),
        "object" if schema["additionalProperties"].is_object() => {
            format!("map of {}", type_of(&schema["additionalProperties"]))
        }
        "string" if schema["format"] == "date-time" => "time".to_owned(),
        _ => plain.to_owned(),
    }
}

/// The description, on one line.
fn sentences(schema: &Value) -> Vec<String> {
    let text = schema["description"].as_str().unwrap_or_default();
    text.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// What the schema itself limits.
fn limits(schema: &Value) -> Vec<String> {
    let mut limits = Vec::new();
    if let Some(words) = schema["enum"].as_array() {
        let rules = schema["x-kubernetes-validations"].as_array();
        let is_refused =
            |word: &str| rules.into_iter().flatten().any(|rule| rule["rule"] == format!("self != '{word}'"));
        let words: Vec<_> = words
            .iter()
            .filter_map(Value::as_str)
            .filter(|word| !is_refused(word))
            .map(|word| format!("`{word}`"))
            .collect();
        limits.push(format!("One of {}.", words.join(", ")));
    }
    match schema["pattern"].as_str() {
        Some(OBJECT_NAME) => return vec!["A name as objects in Kubernetes have it.".to_owned()],
        Some(pattern) => limits.push(format!("Matches `{}`.", pattern.replace('|', "\\|"))),
        None => {}
    }
    for (keyword, unit) in [("maxLength", "characters"), ("maxItems", "elements"), ("maxProperties", "keys")]
    {
        if let Some(limit) = schema[keyword].as_u64() {
            limits.push(format!("At most {limit} {unit}."));
        }
    }
    limits
}

/// What the rules refuse, as the API server says it.
fn rule_messages(schema: &Value) -> Vec<String> {
    let rules = schema["x-kubernetes-validations"].as_array();
    let messages = rules.into_iter().flatten().filter_map(|rule| rule["message"].as_str());
    messages.map(|message| format!("Rule: {message}.")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_a_row_for_fields_of_maps_and_lists_and_for_rules() {
        let page = page().expect("renders");
        for start in [
            "| `spec` | object | Rule: the same key",
            "| `spec.format` | string | The sealed format",
            "| `spec.envelopes.<key>.to[]` | string | Matches",
            "| `spec.template.metadata.labels` | map of string, optional |",
            "| `spec.rotation.every` | string |",
            "| `status.keys[].seq` | integer |",
            "| `status.conditions` | list of object, optional |",
            "| `spec.dataFrom[]` | object | Rule: set either extract or find.",
            "| `spec.provider.vault.auth.tokenSecretRef` | key of a Secret, optional |",
            "| `spec.grants[].namespaceSelector` | label selector, optional |",
            "| `spec.provider` | object | The provider: exactly one. What it refers to lies in the operator's",
            "| `spec.target.creationPolicy` | string, optional |",
            "| `spec.target.name` | string, optional | The name of the Secret. Default is the name of the ExternalSecret. A name as",
            "| `spec.syncWindows` | the annotation",
            "| `spec.config` | native document, optional |",
            "| `spec.routes` | list of native document, optional |",
            "| `spec.set[].value` | native document |",
            "| `spec.routeTests[].expect` | object |",
            "| `spec.verify.endpoints[]` | string |",
            "| in `spec.provider`: `akeyless`,",
        ] {
            assert!(page.lines().any(|line| line.starts_with(start)), "{start}\n{page}");
        }
        for no in ["status.conditions[]", "tokenSecretRef.key", "`CreateOrMerge`", "externalSecretSpec."] {
            assert!(!page.contains(no), "{no}");
        }
    }
}
