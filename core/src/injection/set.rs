//! References that are put into a document of somebody else.

use waxwing_crds::SetField;

use super::Fault;
use crate::inject::{Node, Reference, Step, Steps};

/// A reference, and where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// The receiver within which the field lies.
    pub receiver: Option<String>,
    /// The field, in the receiver or in the document.
    pub field: Steps,
    /// What stands there from now on.
    pub reference: Reference,
}

impl Set {
    /// # Errors
    /// The field is no path, or the value no reference.
    pub(super) fn read(index: usize, set: &SetField) -> Result<Self, Fault> {
        let wrong = |what: &str| Fault::spec(format!("set[{index}]: {what}"));
        let field: Steps = set.field.parse().map_err(|error| wrong(&format!("field: {error}")))?;
        if field.0.is_empty() {
            return Err(wrong("field is empty"));
        }
        match Node::read(&set.value.0) {
            Ok(Node::Leaf(reference)) => Ok(Self { receiver: set.receiver.clone(), field, reference }),
            Ok(_) => Err(wrong("value must be a reference, {$secret: …} or {$store: …}")),
            Err(error) => Err(wrong(&format!("value: {error}"))),
        }
    }

    /// Puts the reference into a document.
    ///
    /// # Errors
    /// There is no such place: a reference that matches nothing is never skipped.
    pub(super) fn apply(&self, index: usize, document: &mut Node) -> Result<(), Fault> {
        let wrong = |what: String| Fault::spec(format!("set[{index}]: {what}"));
        let scope = match &self.receiver {
            None => document,
            Some(name) => {
                let Some(Node::List(receivers)) = document.at_mut(&Steps::default().name("receivers")) else {
                    return Err(wrong("the document has no receivers".to_owned()));
                };
                let named = |receiver: &&mut Node| receiver.get("name").and_then(Node::text) == Some(name);
                let mut found = receivers.iter_mut().filter(named);
                match (found.next(), found.next()) {
                    (Some(receiver), None) => receiver,
                    (None, _) => return Err(wrong(format!("the document has no receiver {name}"))),
                    (Some(_), Some(_)) => {
                        return Err(wrong(format!("the document has two receivers {name}")));
                    }
                }
            }
        };
        let (last, parents) = self.field.0.split_last().ok_or_else(|| wrong("field is empty".to_owned()))?;
        let absent = || wrong(format!("the document has no {}", Steps(parents.to_vec())));
        let parent = scope.at_mut(&Steps(parents.to_vec())).ok_or_else(absent)?;
        let leaf = Node::Leaf(self.reference.clone());
        match (parent, last) {
            (Node::Map(map), Step::Name(name)) => {
                map.insert(name.clone(), leaf);
            }
            (Node::List(items), Step::Item(item)) => {
                *items
                    .get_mut(*item)
                    .ok_or_else(|| wrong(format!("the document has no {}", self.field)))? = leaf;
            }
            _ => return Err(wrong(format!("{} is not of that shape in the document", self.field))),
        }
        Ok(())
    }
}
