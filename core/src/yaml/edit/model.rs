//! The same edits on a parsed value: what the edited text must say.

use serde_json::{Map, Value};

use super::{Edit, EditError, Path, Step};

/// Takes an edit apart into edits of single values: setting a mapping where one stands touches
/// only what differs in it, and setting what is there already touches nothing.
pub(super) fn leaves(current: &Value, edit: &Edit) -> Result<Vec<Edit>, EditError> {
    let mut out = Vec::new();
    match edit {
        Edit::Set { path, value } => expand(find(current, path), path.clone(), value, &mut out),
        Edit::Remove { path } => {
            if path.is_empty() || find(current, path).is_some() {
                out.push(Edit::Remove { path: path.clone() });
            }
        }
    }
    Ok(out)
}

fn expand(current: Option<&Value>, path: Vec<Step>, value: &Value, out: &mut Vec<Edit>) {
    let deeper = |key: &String| path.iter().cloned().chain([Step::Key(key.clone())]).collect::<Vec<_>>();
    match (current, value) {
        (Some(current), value) if current == value => {}
        (Some(Value::Object(old)), Value::Object(new)) if !new.is_empty() => {
            for (key, value) in new {
                expand(old.get(key), deeper(key), value, out);
            }
            for key in old.keys().filter(|key| !new.contains_key(*key)) {
                out.push(Edit::Remove { path: deeper(key) });
            }
        }
        _ => out.push(Edit::Set { path, value: value.clone() }),
    }
}

/// Makes an edit.
pub(super) fn change(value: &mut Value, edit: &Edit) -> Result<(), EditError> {
    match edit {
        Edit::Set { path, value: new } => {
            let mut node = value;
            for (index, step) in path.iter().enumerate() {
                let here = || Path::from(&path[..index]);
                node = match step {
                    Step::Key(key) => {
                        if node.is_null() {
                            *node = Value::Object(Map::new());
                        }
                        let map =
                            node.as_object_mut().ok_or_else(|| EditError::NotAMapping { at: here() })?;
                        map.entry(key.clone()).or_insert(Value::Null)
                    }
                    Step::Index(item) => node
                        .get_mut(*item)
                        .ok_or_else(|| EditError::NoItem { at: Path::from(&path[..=index]) })?,
                };
            }
            *node = new.clone();
        }
        Edit::Remove { path } => {
            let Some((last, way)) = path.split_last() else {
                return Err(EditError::Unsupported { at: path[..].into(), what: "away the whole document" });
            };
            if let (Some(Value::Object(map)), Step::Key(key)) = (find_mut(value, way), last) {
                map.remove(key);
            }
        }
    }
    Ok(())
}

/// `value` inside the mappings that the steps name; none if a step is a list item.
pub(super) fn nested(steps: &[Step], value: &Value) -> Option<Value> {
    steps.iter().rev().try_fold(value.clone(), |inner, step| match step {
        Step::Key(key) => Some(Value::Object(Map::from_iter([(key.clone(), inner)]))),
        Step::Index(_) => None,
    })
}

fn find<'a>(value: &'a Value, path: &[Step]) -> Option<&'a Value> {
    path.iter().try_fold(value, |node, step| match step {
        Step::Key(key) => node.get(key),
        Step::Index(item) => node.get(item),
    })
}

fn find_mut<'a>(value: &'a mut Value, path: &[Step]) -> Option<&'a mut Value> {
    path.iter().try_fold(value, |node, step| match step {
        Step::Key(key) => node.get_mut(key),
        Step::Index(item) => node.get_mut(item),
    })
}
