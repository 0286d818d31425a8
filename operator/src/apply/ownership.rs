//! What the managed fields of a Secret say about our own two entries: the one that a POST left, and the one of applies.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde_json::{Map, Value};

/// Both entries of one manager, and those of all others.
#[derive(Debug)]
pub(super) struct Entries<'a> {
    all: &'a [ManagedFieldsEntry],
    update: &'a ManagedFieldsEntry,
    apply: &'a ManagedFieldsEntry,
}

impl<'a> Entries<'a> {
    /// The entries after an apply; `None` where no POST has left one.
    pub(super) fn of(metadata: &'a ObjectMeta, manager: &str) -> Option<Self> {
        let all = metadata.managed_fields.as_deref()?;
        let find = |operation: &str| {
            all.iter().find(|entry| {
                entry.manager.as_deref() == Some(manager)
                    && entry.operation.as_deref() == Some(operation)
                    && entry.subresource.as_deref().unwrap_or_default().is_empty()
            })
        };
        Some(Self { all, update: find("Update")?, apply: find("Apply")? })
    }

    /// Whether the apply has taken a field that the POST had set and somebody else had changed since.
    pub(super) fn took_something(&self) -> bool {
        !leaves(self.apply).is_subset(&leaves(self.update))
    }

    /// Whether the apply has left something behind that the POST had set; then the list with one entry instead.
    pub(super) fn merged(&self) -> Option<Value> {
        if leaves(self.update).is_subset(&leaves(self.apply)) {
            return None;
        }
        let mut union = fields(self.apply);
        unite(&mut union, fields(self.update));
        let kept = self.all.iter().filter(|entry| *entry != self.update).map(|entry| {
            let mut entry = serde_json::to_value(entry).unwrap_or_default();
            if entry == serde_json::to_value(self.apply).unwrap_or_default() {
                entry["fieldsV1"] = union.clone();
            }
            entry
        });
        Some(kept.collect())
    }
}

fn fields(entry: &ManagedFieldsEntry) -> Value {
    entry.fields_v1.as_ref().map_or_else(|| Value::Object(Map::new()), |fields| fields.0.clone())
}

fn unite(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        for (name, value) in from {
            match into.get_mut(&name) {
                Some(known) => unite(known, value),
                None => {
                    into.insert(name, value);
                }
            }
        }
    }
}

/// The paths of all fields that are owned. `.` stands for a map itself, which applies do not own.
fn leaves(entry: &ManagedFieldsEntry) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, leaves: &mut BTreeSet<String>) {
        let children = value.as_object().into_iter().flatten().filter(|(name, _)| *name != ".");
        let mut is_leaf = true;
        for (name, child) in children {
            is_leaf = false;
            walk(child, &format!("{path}/{name}"), leaves);
        }
        if is_leaf {
            leaves.insert(path.to_owned());
        }
    }
    let mut leaves = BTreeSet::new();
    walk(&fields(entry), "", &mut leaves);
    leaves
}
