//! What stands without quotes and is no text to YAML: `0123`, `1e3`, `Yes`.
//!
//! Alertmanager reads it as it is written wherever it wants a text. A parser gives a number or a truth value, and its zeros
//! and capitals are lost, so they are looked up.

use serde_json::Value;
use waxwing_core::{
    alertmanager::schema::{self, Kind},
    inject::{Node, Step, Steps},
    yaml::{self, Document},
};

use super::at_mut;
use crate::error::{Failure, Result};

/// The document with texts wherever Alertmanager reads texts.
///
/// # Errors
/// Where it cannot be told what is written, and where Alertmanager reads another number than this program.
pub(super) fn as_written(text: &str, document: &Document) -> Result<Value> {
    let mut places = Vec::new();
    scalars(&Node::read(&document.value)?, &mut Steps::default(), &mut |at| places.push(at.clone()));
    let paths: Vec<Vec<yaml::edit::Step>> = places.iter().map(path).collect();
    let written = yaml::edit::written(text, document, paths.iter().map(Vec::as_slice));
    let mut config = document.value.clone();
    for (at, written) in places.iter().zip(written) {
        let Some(expected) = schema::expected(at) else { continue };
        let value = at_mut(&mut config, at)?;
        let (is_number, plain) = (value.is_number(), value.to_string());
        match (expected.kind, written) {
            (Kind::Bool, _) => {}
            // Anything may stand there, a number too.
            (Kind::Text, _) if is_free(at) && !is_number => {}
            (Kind::Text, Some(written)) if is_free(at) && written == plain => {}
            (Kind::Int | Kind::Float | Kind::Duration, Some(written)) if written == plain => {}
            (Kind::Int | Kind::Float | Kind::Duration, _) => {
                return Err(Failure::new(format!("{at}: a number in an unusual form")).hint(
                    "write it with the digits 0 to 9 only, without zeros before it, and import it then",
                ));
            }
            (Kind::Text, _) if is_free(at) => {
                return Err(Failure::new(format!("{at}: a number in an unusual form")).hint(
                    "write it with the digits 0 to 9 only, or in quotes if it is a text, and import it then",
                ));
            }
            (_, Some(written)) => *value = Value::String(written),
            (_, None) => {
                return Err(Failure::new(format!("{at}: it has no quotes, and looks like a number"))
                    .hint("put it into quotes in the file, and import it then"));
            }
        }
    }
    Ok(config)
}

/// Whether anything may stand at a place, and not only a text.
fn is_free(at: &Steps) -> bool {
    let is_name =
        |step: &Step, names: &[&str]| matches!(step, Step::Name(name) if names.contains(&name.as_str()));
    at.0.iter().any(|step| is_name(step, &["payload", "details", "fields", "claims"]))
}

fn path(at: &Steps) -> Vec<yaml::edit::Step> {
    let step = |step: &Step| match step {
        Step::Name(name) => yaml::edit::Step::Key(name.clone()),
        Step::Item(index) => yaml::edit::Step::Index(*index),
    };
    at.0.iter().map(step).collect()
}

/// Every number and truth value.
fn scalars(node: &Node, at: &mut Steps, look: &mut dyn FnMut(&Steps)) {
    match node {
        Node::Number(_) | Node::Bool(_) => look(at),
        Node::List(items) => {
            for (index, item) in items.iter().enumerate() {
                at.within(Step::Item(index), |at| scalars(item, at, look));
            }
        }
        Node::Map(map) => {
            for (name, value) in map {
                at.within(Step::Name(name.clone()), |at| scalars(value, at, look));
            }
        }
        Node::Null | Node::Text(_) | Node::Secret(_) | Node::Leaf(_) => {}
    }
}
