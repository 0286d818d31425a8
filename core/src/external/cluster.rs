//! What is to be done about one ClusterExternalSecret: in which namespaces its ExternalSecret is to be, and which of those
//! that are there are its own.

use std::collections::BTreeMap;

use waxwing_crds::{ClusterExternalSecretSpec, ExternalSecretSpec, FailedNamespace, Reason, names};

use super::{Spec, SpecError, SpecFault, grant::Selector};
use crate::plan::is_object_name;

/// The kind, as `waxwing.dev/owned-by` names it.
pub const KIND: &str = "ClusterExternalSecret";

/// A namespace as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Namespace<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// The ExternalSecret of the wanted name, if there is one.
    pub child: Option<Child>,
}

/// An ExternalSecret that is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Its uid.
    pub uid: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its spec, where it can be read.
    pub spec: Option<ExternalSecretSpec>,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// One write for each namespace that needs one.
    pub writes: Vec<Write>,
    /// Where the ExternalSecret is, or will be.
    pub provisioned: Vec<String>,
    /// Where it cannot be.
    pub failed: Vec<FailedNamespace>,
}

/// One write in one namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// The namespace.
    pub namespace: String,
    /// The uid of the ExternalSecret that has to be there; without one, none may be.
    pub uid: Option<String>,
    /// What it shall be; without it, it is deleted.
    pub child: Option<Wanted>,
}

/// An ExternalSecret to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its spec.
    pub spec: ExternalSecretSpec,
}

/// The name of the ExternalSecrets of an object of this name.
#[must_use]
pub fn child_name<'a>(spec: &'a ClusterExternalSecretSpec, name: &'a str) -> &'a str {
    spec.external_secret_name.as_deref().unwrap_or(name)
}

/// Decides about every namespace.
///
/// # Errors
/// When the ExternalSecret could be made nowhere: its spec makes no sense.
pub fn plan(
    spec: &ClusterExternalSecretSpec,
    name: &str,
    namespaces: &[Namespace<'_>],
) -> Result<Plan, SpecError> {
    let child_name = child_name(spec, name);
    if !is_object_name(child_name) {
        let fault = SpecFault::Malformed("this is not a name that Kubernetes takes");
        return Err(SpecError { field: "spec.externalSecretName".to_owned(), fault });
    }
    // The namespace plays no part in what can be wrong with a spec.
    Spec::read(&spec.external_secret_spec, "default", child_name)?;
    let selectors = selectors(spec)?;
    let wanted = wanted(spec, name);
    let mut plan = Plan::default();
    for namespace in namespaces {
        let is_selected = selects(spec, &selectors, namespace) && !namespace.terminating;
        let is_ours =
            |child: &Child| child.annotations.get(names::OWNED_BY) == Some(&names::owned_by(KIND, name));
        let write = |uid: Option<&String>, child: Option<&Wanted>| Write {
            namespace: namespace.name.to_owned(),
            uid: uid.cloned(),
            child: child.cloned(),
        };
        match &namespace.child {
            Some(child) if is_selected && !is_ours(child) => plan.failed.push(FailedNamespace {
                namespace: namespace.name.to_owned(),
                reason: Reason::Conflict.as_str().to_owned(),
            }),
            Some(child) if is_selected => {
                if !is_as(child, &wanted) {
                    plan.writes.push(write(Some(&child.uid), Some(&wanted)));
                }
                plan.provisioned.push(namespace.name.to_owned());
            }
            None if is_selected => {
                plan.writes.push(write(None, Some(&wanted)));
                plan.provisioned.push(namespace.name.to_owned());
            }
            Some(child) if is_ours(child) && !namespace.terminating => {
                plan.writes.push(write(Some(&child.uid), None));
            }
            Some(_) | None => {}
        }
    }
    Ok(plan)
}

fn wanted(spec: &ClusterExternalSecretSpec, name: &str) -> Wanted {
    let metadata = spec.external_secret_metadata.clone().unwrap_or_default();
    let kept = |map: BTreeMap<String, String>| {
        map.into_iter().filter(|(key, _)| !names::is_reserved(key) && !names::is_dropped(key))
    };
    let mut annotations: BTreeMap<String, String> = kept(metadata.annotations).collect();
    annotations.insert(names::OWNED_BY.to_owned(), names::owned_by(KIND, name));
    for (key, value) in names::PRODUCED_ANNOTATIONS {
        annotations.insert(key.to_owned(), value.to_owned());
    }
    let mut labels: BTreeMap<String, String> = kept(metadata.labels).collect();
    labels.insert(names::MANAGED_BY.to_owned(), names::MANAGER.to_owned());
    Wanted { labels, annotations, spec: spec.external_secret_spec.clone() }
}

/// Whether it is as wanted. What others added to its metadata is theirs.
fn is_as(child: &Child, wanted: &Wanted) -> bool {
    let holds = |found: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>| {
        wanted.iter().all(|(key, value)| found.get(key) == Some(value))
    };
    child.spec.as_ref() == Some(&wanted.spec)
        && holds(&child.labels, &wanted.labels)
        && holds(&child.annotations, &wanted.annotations)
}

/// Whether any of the lists selects the namespace. Nothing is selected by nothing.
fn selects(spec: &ClusterExternalSecretSpec, selectors: &[Selector], namespace: &Namespace<'_>) -> bool {
    spec.namespaces.iter().any(|name| name == namespace.name)
        || selectors.iter().any(|selector| selector.matches(namespace.labels))
}

fn selectors(spec: &ClusterExternalSecretSpec) -> Result<Vec<Selector>, SpecError> {
    let all = spec.namespace_selector.iter().chain(&spec.namespace_selectors);
    all.map(Selector::read).collect::<Result<_, _>>().map_err(|_| SpecError {
        field: "spec.namespaceSelector".to_owned(),
        fault: SpecFault::Malformed("it is no selector of labels, or too long"),
    })
}

/// What is told when some namespaces have failed.
#[must_use]
pub fn summary(plan: &Plan) -> (Reason, String) {
    match plan.failed.as_slice() {
        [] => (Reason::Synced, format!("in {} namespaces", plan.provisioned.len())),
        failed => (
            Reason::NamespacesFailing,
            format!("in {} namespaces, and not in {}", plan.provisioned.len(), failed.len()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(more: Value) -> ClusterExternalSecretSpec {
        let mut spec = json!({"externalSecretSpec": {
            "secretStoreRef": {"name": "vault", "kind": "ClusterSecretStore"},
            "data": [{"secretKey": "a", "remoteRef": {"key": "app"}}],
        }});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn selected_namespaces_get_one_and_others_lose_theirs() {
        let (team, none) = (labels(&[("team", "a")]), labels(&[]));
        let namespace = |name, labels, child| Namespace { name, labels, terminating: false, child };
        let spec = spec(json!({
            "namespaceSelector": {"matchLabels": {"team": "a"}}, "namespaces": ["named"],
        }));
        let all =
            [namespace("one", &team, None), namespace("named", &none, None), namespace("x", &none, None)];
        let first = plan(&spec, "shared", &all).unwrap();
        assert_eq!(first.provisioned, ["one", "named"]);
        let wanted = first.writes[0].child.clone().unwrap();
        assert_eq!(wanted.annotations[names::OWNED_BY], "ClusterExternalSecret/shared");
        let child = Child {
            uid: "u".to_owned(),
            labels: wanted.labels.clone(),
            annotations: wanted.annotations.clone(),
            spec: Some(wanted.spec.clone()),
        };
        let there = [namespace("one", &team, Some(child.clone())), namespace("x", &none, Some(child))];
        let second = plan(&spec, "shared", &there).unwrap();
        assert_eq!(second.writes.len(), 1, "what is as wanted is not written");
        assert_eq!((second.writes[0].namespace.as_str(), &second.writes[0].child), ("x", &None));
    }

    /// K01. Guard: `is_ours` in `plan`.
    #[test]
    fn an_external_secret_of_others_is_neither_changed_nor_deleted() {
        let none = labels(&[]);
        let foreign =
            Child { uid: "u".to_owned(), labels: none.clone(), annotations: none.clone(), spec: None };
        let at = |name| Namespace { name, labels: &none, terminating: false, child: Some(foreign.clone()) };
        let plan = plan(&spec(json!({"namespaces": ["one"]})), "shared", &[at("one"), at("two")]).unwrap();
        assert_eq!((plan.writes.len(), plan.failed.len(), plan.provisioned.len()), (0, 1, 0));
    }

    #[test]
    fn nothing_selects_nothing_and_a_namespace_that_goes_is_left_alone() {
        let none = labels(&[]);
        let at = |terminating| Namespace { name: "one", labels: &none, terminating, child: None };
        assert_eq!(plan(&spec(json!({})), "shared", &[at(false)]).unwrap(), Plan::default());
        let spec = spec(json!({"namespaces": ["one"]}));
        assert_eq!(plan(&spec, "shared", &[at(true)]).unwrap(), Plan::default());
    }
}
