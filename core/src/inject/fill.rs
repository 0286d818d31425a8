//! Values in the places of references, and what is said of those that cannot be had.

use std::collections::BTreeMap;

use waxwing_crds::OnUnresolved;

use super::{Node, Reference, Steps};
use crate::Secret;

/// What a reference gives.
#[derive(Clone)]
pub enum Answer {
    /// A value.
    Value(Secret),
    /// None, and why: safe to show.
    Unresolved(String),
}

/// What references give, and what becomes of those that give nothing.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    /// What each reference of the document gives. One that is missing here counts as unresolved.
    pub answers: &'a BTreeMap<Reference, Answer>,
    /// The values that were published last.
    pub last_good: &'a BTreeMap<Reference, Secret>,
    /// What becomes of a reference that gives nothing.
    pub on_unresolved: OnUnresolved,
}

/// How one receiver, contact point or data source came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: State,
    /// What is wrong with its credentials.
    pub problems: Vec<Problem>,
}

/// How a receiver is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// With the credentials that it should have.
    #[default]
    Live,
    /// With the last good value of one that cannot be had now.
    Stale,
    /// It, or a part of it, is left out, because a credential of it was never had.
    Quarantined,
}

/// A credential that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it belongs.
    pub at: Steps,
    /// Where it should have come from.
    pub reference: Reference,
    /// What is wrong: never a value.
    pub message: String,
}

/// A document with all values that can be had.
pub struct Filled {
    /// The document. What is broken in it still has its reference.
    pub document: Node,
    /// References that have no value at all.
    pub broken: Vec<Problem>,
    /// References whose last good value stands in.
    pub stale: Vec<Problem>,
}

/// Puts values into a document. `check` says why one does not fit its place, and never shows it; `place` gives what then
/// stands there.
pub fn fill(
    document: &Node,
    values: &Values<'_>,
    check: &dyn Fn(&Steps, &str) -> Result<(), String>,
    place: &dyn Fn(&Steps, Secret) -> Node,
) -> Filled {
    let check = |at: &Steps, value: &Secret| {
        // To see whether it is a URL and the like.
        let text = std::str::from_utf8(value.expose()).map_err(|_| "it is not UTF-8".to_owned())?;
        check(at, text)
    };
    let mut filled = Filled { document: document.clone(), broken: Vec::new(), stale: Vec::new() };
    for (at, reference) in leaves(document) {
        let found = match values.answers.get(&reference) {
            Some(Answer::Value(value)) => check(&at, value).map(|()| value),
            Some(Answer::Unresolved(message)) => Err(message.clone()),
            None => Err("it was not looked up".to_owned()),
        };
        let value = match found {
            Ok(value) => Some(value),
            Err(message) => {
                let last = values.last_good.get(&reference);
                let last = last.filter(|_| values.on_unresolved == OnUnresolved::KeepLastGood);
                let last = last.filter(|last| check(&at, last).is_ok());
                let problems = if last.is_some() { &mut filled.stale } else { &mut filled.broken };
                problems.push(Problem { at: at.clone(), reference, message });
                last
            }
        };
        if let (Some(node), Some(value)) = (filled.document.at_mut(&at), value) {
            *node = place(&at, value.clone());
        }
    }
    filled
}

/// The document with what `stand_in` gives in the place of each reference.
pub fn replaced(document: &Node, stand_in: &dyn Fn(&Steps) -> Node) -> Node {
    let mut replaced = document.clone();
    for (at, _) in leaves(document) {
        if let Some(node) = replaced.at_mut(&at) {
            *node = stand_in(&at);
        }
    }
    replaced
}

/// The references of a document and their places.
pub fn leaves(document: &Node) -> Vec<(Steps, Reference)> {
    let mut leaves = Vec::new();
    document.leaves(&mut |at, reference| leaves.push((at.clone(), reference.clone())));
    leaves
}
