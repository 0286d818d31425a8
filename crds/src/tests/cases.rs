//! The cases of `crds/admission`, for the tests of the types and for those with a real API server.

use std::path::Path;

use serde_json::{Value, json};

/// An object, and what the API server says of it.
pub(crate) struct Case {
    /// The file, and which document of it.
    pub(crate) name: String,
    /// `accepted`, or a part of the refusal.
    pub(crate) expect: String,
    /// The object.
    pub(crate) object: Value,
}

impl Case {
    /// Whether the API server takes it.
    #[must_use]
    pub(crate) fn is_accepted(&self) -> bool {
        self.expect == "accepted"
    }

    /// Its kind.
    #[must_use]
    pub(crate) fn kind(&self) -> &str {
        self.object["kind"].as_str().expect("has a kind")
    }
}

/// Every case. What a kind of a namespace accepts, the kind of the cluster around it accepts too.
#[must_use]
pub(crate) fn all(folder: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(folder).expect("lists") {
        let path = entry.expect("lists").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let file = path.file_stem().expect("has a name").to_string_lossy();
        let text = std::fs::read_to_string(&path).expect("reads");
        for (index, document) in text.split("\n---\n").enumerate() {
            let name = format!("{file}[{index}]");
            let expect = document.lines().next().and_then(|line| line.strip_prefix("# expect: "));
            let expect = expect.unwrap_or_else(|| panic!("{name} has a header")).to_owned();
            cases.push(Case { name, expect, object: serde_saphyr::from_str(document).expect("is YAML") });
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    let wider: Vec<_> = cases.iter().filter(|case| case.is_accepted()).filter_map(wider).collect();
    cases.extend(wider);
    cases
}

/// The same for the whole cluster, where there is such a kind.
fn wider(case: &Case) -> Option<Case> {
    let spec = &case.object["spec"];
    let (kind, spec) = match case.kind() {
        "ExternalSecret" => {
            ("ClusterExternalSecret", json!({"externalSecretSpec": spec, "namespaceSelector": {}}))
        }
        "SecretStore" => ("ClusterSecretStore", spec.clone()),
        _ => return None,
    };
    let mut object = case.object.clone();
    object["kind"] = json!(kind);
    object["spec"] = spec;
    Some(Case { name: format!("{} as {kind}", case.name), expect: case.expect.clone(), object })
}

/// Every field that a schema declares only to refuse it, as a path such as `spec.data[].sourceRef.generatorRef`.
#[must_use]
pub(crate) fn refused_fields(schema: &Value) -> Vec<String> {
    fn walk(schema: &Value, path: &str, found: &mut Vec<String>) {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if is_refused(field) {
                found.push(path);
            } else {
                walk(field, &path, found);
                walk(&field["items"], &format!("{path}[]"), found);
            }
        }
    }
    let mut found = Vec::new();
    walk(&schema["properties"]["spec"], "spec", &mut found);
    found
}

/// For each field that could be refused in an object, its path and the object with it.
#[must_use]
pub(crate) fn with_refused_fields(schema: &Value, object: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let place = |spec: Value| {
        let mut object = object.clone();
        object["spec"] = spec;
        object
    };
    walk_value(&schema["properties"]["spec"], &object["spec"], "spec", &place, &mut found);
    found
}

/// Sets each refused field in `value`; `place` puts a changed value back into its object.
fn walk_value(
    schema: &Value,
    value: &Value,
    path: &str,
    place: &dyn Fn(Value) -> Value,
    found: &mut Vec<(String, Value)>,
) {
    if let Some(elements) = value.as_array() {
        for (index, element) in elements.iter().enumerate() {
            let place = |inner: Value| {
                let mut value = value.clone();
                value[index] = inner;
                place(value)
            };
            walk_value(&schema["items"], element, &format!("{path}[]"), &place, found);
        }
    }
    let (Some(properties), true) = (schema["properties"].as_object(), value.is_object()) else { return };
    for (name, field) in properties {
        let path = format!("{path}.{name}");
        let place = |inner: Value| {
            let mut value = value.clone();
            value[name] = inner;
            place(value)
        };
        if is_refused(field) {
            found.push((path, place(sample(field))));
        } else if let Some(inner) = value.get(name) {
            walk_value(field, inner, &path, &place, found);
        }
    }
}

/// Whether a field is declared only to be refused.
fn is_refused(field: &Value) -> bool {
    field["x-kubernetes-validations"][0]["rule"] == "false"
}

/// Something of the type of a field.
fn sample(field: &Value) -> Value {
    match field["type"].as_str() {
        Some("array") => json!([sample(&field["items"])]),
        Some("boolean") => json!(true),
        Some("object") => json!({"any": {"thing": 1}}),
        _ => json!("any"),
    }
}
