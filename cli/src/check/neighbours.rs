//! References to Secrets in the resources of other projects: prometheus-operator's AlertmanagerConfig and what grafana-operator
//! has.
//!
//! Only references are looked at. Both mean the namespace of the object that they stand in.

use serde_json::Value;
use waxwing_core::inject::{Step, Steps};

use super::Check;

/// What stands in an object and names a key of another.
struct Selector<'a> {
    at: Steps,
    is_config_map: bool,
    name: &'a str,
    key: &'a str,
}

/// Every selector in the receivers. In the CRD's schema, v1alpha1 and v1beta1, an object with `name`, `key` and at most
/// `optional` is always one, and means a ConfigMap where its field is called `configMap`. That it is optional makes no
/// difference: prometheus-operator refuses the whole object when the key is not there.
pub(super) fn alertmanager_config(check: &mut Check<'_>, index: usize) {
    let receivers = &check.tree.value(check.object(index))["spec"]["receivers"];
    let mut found = Vec::new();
    let at = Steps::default().name("spec").name("receivers");
    search(receivers, &at, &mut |value, at| {
        let map = value.as_object()?;
        if !map.keys().all(|field| matches!(field.as_str(), "key" | "name" | "optional")) {
            return None;
        }
        let (name, key) = (map.get("name")?.as_str()?, map.get("key")?.as_str()?);
        let is_config_map = matches!(at.0.last(), Some(Step::Name(field)) if field == "configMap");
        found.push(Selector { at: at.clone(), is_config_map, name, key });
        Some(())
    });
    resolve(check, index, found);
}

/// Every `valuesFrom[].valueFrom`.
pub(super) fn grafana_operator(check: &mut Check<'_>, index: usize) {
    let spec = &check.tree.value(check.object(index))["spec"];
    let mut found = Vec::new();
    search(spec, &Steps::default().name("spec"), &mut |value, at| {
        let from = value.as_object()?.get("valuesFrom")?.as_array()?;
        for (number, value) in from.iter().enumerate() {
            for (field, is_config_map) in [("secretKeyRef", false), ("configMapKeyRef", true)] {
                let selector = &value["valueFrom"][field];
                if let (Some(name), Some(key)) = (selector["name"].as_str(), selector["key"].as_str()) {
                    let at = at.name("valuesFrom").item(number).name("valueFrom").name(field);
                    found.push(Selector { at, is_config_map, name, key });
                }
            }
        }
        // There may be more of them further down.
        None
    });
    resolve(check, index, found);
}

fn resolve(check: &mut Check<'_>, index: usize, found: Vec<Selector<'_>>) {
    let namespace = check.object(index).namespace.clone();
    for Selector { at, is_config_map, name, key } in found {
        if is_config_map {
            check.config_map(index, at, &namespace, name, key);
        } else {
            check.secret(index, at, &namespace, name, key);
        }
    }
}

/// Looks at every value, and no further into one that it was looking for.
fn search<'v>(value: &'v Value, at: &Steps, look: &mut dyn FnMut(&'v Value, &Steps) -> Option<()>) {
    if look(value, at).is_some() {
        return;
    }
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                search(item, &at.item(index), look);
            }
        }
        Value::Object(map) => {
            for (name, value) in map {
                search(value, &at.name(name), look);
            }
        }
        _ => {}
    }
}
