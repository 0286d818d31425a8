//! The reference page of the API, from the schemas that the API server gets.

use std::fmt::Write;

use anyhow::{Context, Result};
use kube::CustomResourceExt;
use serde_json::Value;
use waxwing_crds::{KeyRing, SealedSecret};

use crate::reference::NOTICE;

/// What stands above the tables of one kind.
const SEALED_SECRET: &str = "\
Produces the Secret of the same name and namespace. `waxwing seal` writes it; [FORMAT.md](../FORMAT.md) says what the
values and envelopes are.

```yaml
apiVersion: waxwing.dev/v1alpha1
kind: SealedSecret
metadata:
  name: receivers
  namespace: monitoring
spec:
  format: wax1
  scope: strict
  type: Opaque
  envelopes:
    \"k3v7f2mq\":
      commit: …
      to: [prod-eu/3fa9c1d2, recovery/0c11de42]
      age: …
  data:
    \"pagerduty-key\": wax1.k3v7f2mq.1789000000.…
```
";
const KEY_RING: &str = "\
One for each operator, which serves the ring that its flag `--keyring` names. Whoever can write a KeyRing decides who
can read new seals: let cluster administrators alone do it.

```yaml
apiVersion: waxwing.dev/v1alpha1
kind: KeyRing
metadata:
  name: default
spec:
  rotation: {every: 30d}
  recipients:
  - {name: recovery, recipient: age1…, required: true}
  policy: {rollback: Warn, clusterScope: Deny}
```
";

/// The page.
pub(crate) fn page() -> Result<String> {
    let mut page = format!(
        "# API reference: waxwing.dev/v1alpha1\n\n{NOTICE}\n\n\
         The API server writes no defaults into these objects: what Git says is what the cluster holds. `[]` stands for\n\
         each element of a list, `<key>` for each key of a map. The limits and rules are checked at admission, and by the\n\
         operator and the CLI once more. Condition types and reasons are listed in [reasons.md](reasons.md), annotations\n\
         in [names.md](names.md).\n"
    );
    kind::<SealedSecret>(&mut page, SEALED_SECRET)?;
    kind::<KeyRing>(&mut page, KEY_RING)?;
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
    for part in ["spec", "status"] {
        let schema = crd
            .pointer(&format!("/spec/versions/0/schema/openAPIV3Schema/properties/{part}"))
            .with_context(|| format!("the schema has no {part}"))?;
        writeln!(page, "\n### {} {part}\n\n| field | type | meaning |\n|---|---|---|", word(&names["kind"]))?;
        rules(page, part, schema)?;
        fields(page, part, schema)?;
    }
    Ok(())
}

/// A row for each field below `schema`.
fn fields(page: &mut String, path: &str, schema: &Value) -> Result<()> {
    let required = schema["required"].as_array();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let required = required.is_some_and(|names| names.iter().any(|other| other == name));
        let path = format!("{path}.{name}");
        let mark = if required { "" } else { ", optional" };
        let mut meaning = sentences(field);
        for extra in [limits(field), rule_messages(field)] {
            meaning.extend(extra);
        }
        let kind = type_of(field);
        writeln!(page, "| `{path}` | {kind}{mark} | {} |", meaning.join(" "))?;
        inner(page, &path, field)?;
    }
    Ok(())
}

/// The rows of what a field holds. Conditions are Kubernetes' own and need none.
fn inner(page: &mut String, path: &str, field: &Value) -> Result<()> {
    if path == "status.conditions" {
        return Ok(());
    }
    for (holder, mark) in [("items", "[]"), ("additionalProperties", ".<key>")] {
        if field[holder]["properties"].is_object() {
            fields(page, &format!("{path}{mark}"), &field[holder])?;
        } else if field[holder].is_object() {
            let limits = limits(&field[holder]);
            if !limits.is_empty() {
                writeln!(page, "| `{path}{mark}` | {} | {} |", type_of(&field[holder]), limits.join(" "))?;
            }
        }
    }
    fields(page, path, field)
}

/// A row for the rules that span several fields.
fn rules(page: &mut String, path: &str, schema: &Value) -> Result<()> {
    let messages = rule_messages(schema);
    if !messages.is_empty() {
        writeln!(page, "| `{path}` | object | {} |", messages.join(" "))?;
    }
    Ok(())
}

/// The type as a person would say it.
fn type_of(schema: &Value) -> String {
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
        let words: Vec<_> = words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`")).collect();
        limits.push(format!("One of {}.", words.join(", ")));
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        limits.push(format!("Matches `{}`.", pattern.replace('|', "\\|")));
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
        ] {
            assert!(page.lines().any(|line| line.starts_with(start)), "{start}\n{page}");
        }
        assert!(!page.contains("status.conditions[]"));
    }
}
