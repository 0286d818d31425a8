//! A native document as a tree.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde_json::{Number, Value};

use super::leaf::{LeafError, Reference};
use crate::Secret;

/// How deep a document may nest.
pub const MAX_DEPTH: usize = 64;

/// One value of a native document.
///
/// Names are in the order of the alphabet: the API server keeps no other, and the same document gives the same bytes on the
/// command line and in the cluster. No `Debug`: a resolved tree holds credentials.
#[derive(Clone)]
pub enum Node {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text that stands in the document itself.
    Text(String),
    /// A text that came in the place of a leaf. It is UTF-8.
    Secret(Secret),
    /// A leaf that has not been resolved.
    Leaf(Reference),
    /// A list.
    List(Vec<Node>),
    /// Names and values.
    Map(BTreeMap<String, Node>),
}

/// Why JSON is no native document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A leaf that makes no sense.
    #[error("{at}: {fault}")]
    Leaf {
        /// Where it stands.
        at: Steps,
        /// What is wrong.
        fault: LeafError,
    },
    /// Too deep.
    #[error("{0}: it nests more than {MAX_DEPTH} levels deep")]
    TooDeep(Steps),
}

impl Node {
    /// Reads a document. `{$secret: …}` and `{$store: …}` become leaves, everything else stays what it is.
    ///
    /// # Errors
    /// A leaf that makes no sense, or too deep a document.
    pub fn read(value: &Value) -> Result<Self, TreeError> {
        read(value, &mut Steps::default())
    }

    /// The text that stands here, whether it came from a leaf or not.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Secret(secret) => std::str::from_utf8(secret.expose()).ok(), // to check it, or to write it out
            _ => None,
        }
    }

    /// The value of this name, if this is a map and has one.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.as_map()?.get(name)
    }

    /// The names and values, if this is a map.
    pub fn as_map(&self) -> Option<&BTreeMap<String, Self>> {
        if let Self::Map(map) = self { Some(map) } else { None }
    }

    /// The items, if this is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(list) = self { Some(list) } else { None }
    }

    /// What is at a place, if it exists.
    pub fn at(&self, steps: &Steps) -> Option<&Self> {
        steps.0.iter().try_fold(self, |node, step| match step {
            Step::Name(name) => node.get(name),
            Step::Item(index) => node.as_list()?.get(*index),
        })
    }

    /// The same, to change it.
    pub fn at_mut(&mut self, steps: &Steps) -> Option<&mut Self> {
        steps.0.iter().try_fold(self, |node, step| match (node, step) {
            (Self::Map(map), Step::Name(name)) => map.get_mut(name),
            (Self::List(list), Step::Item(index)) => list.get_mut(*index),
            _ => None,
        })
    }

    /// Looks at every node from this one on, at a list or a map before what is in it. `at` is where this one stands.
    pub fn each<'a>(&'a self, at: &mut Steps, look: &mut dyn FnMut(&Steps, &'a Self)) {
        look(at, self);
        match self {
            Self::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    at.within(Step::Item(index), |at| item.each(at, look));
                }
            }
            Self::Map(map) => {
                for (name, value) in map {
                    at.within(Step::Name(name.clone()), |at| value.each(at, look));
                }
            }
            Self::Null
            | Self::Bool(_)
            | Self::Number(_)
            | Self::Text(_)
            | Self::Secret(_)
            | Self::Leaf(_) => {}
        }
    }

    /// Looks at every leaf, and where it stands.
    pub fn leaves<'a>(&'a self, look: &mut dyn FnMut(&Steps, &'a Reference)) {
        // There are many more places than leaves, so a place is put together where there is one.
        fn walk<'a>(node: &'a Node, at: &mut Vec<Here<'a>>, look: &mut dyn FnMut(&Steps, &'a Reference)) {
            match node {
                Node::Leaf(reference) => look(&Steps(at.iter().map(Here::step).collect()), reference),
                Node::List(items) => {
                    for (index, item) in items.iter().enumerate() {
                        at.push(Here::Item(index));
                        walk(item, at, look);
                        at.pop();
                    }
                }
                Node::Map(map) => {
                    for (name, value) in map {
                        at.push(Here::Name(name));
                        walk(value, at, look);
                        at.pop();
                    }
                }
                Node::Null | Node::Bool(_) | Node::Number(_) | Node::Text(_) | Node::Secret(_) => {}
            }
        }
        walk(self, &mut Vec::new(), look);
    }
}

/// A step that is borrowed from the document.
enum Here<'a> {
    Name(&'a str),
    Item(usize),
}

impl Here<'_> {
    fn step(&self) -> Step {
        match self {
            Self::Name(name) => Step::Name((*name).to_owned()),
            Self::Item(index) => Step::Item(*index),
        }
    }
}

fn read(value: &Value, at: &mut Steps) -> Result<Node, TreeError> {
    if at.0.len() > MAX_DEPTH {
        return Err(TreeError::TooDeep(at.clone()));
    }
    Ok(match value {
        Value::Null => Node::Null,
        Value::Bool(bool) => Node::Bool(*bool),
        Value::Number(number) => Node::Number(number.clone()),
        Value::String(text) => Node::Text(text.clone()),
        Value::Array(items) => {
            let item = |(index, item)| at.within(Step::Item(index), |at| read(item, at));
            Node::List(items.iter().enumerate().map(item).collect::<Result<_, _>>()?)
        }
        Value::Object(map) => {
            let leaf = Reference::read(map).map_err(|fault| TreeError::Leaf { at: at.clone(), fault })?;
            if let Some(reference) = leaf {
                return Ok(Node::Leaf(reference));
            }
            let mut names = BTreeMap::new();
            for (name, value) in map {
                let value = at.within(Step::Name(name.clone()), |at| read(value, at))?;
                names.insert(name.clone(), value);
            }
            Node::Map(names)
        }
    })
}

/// One step into a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// To the value of a name.
    Name(String),
    /// To an item of a list.
    Item(usize),
}

/// Where something stands in a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Steps(pub Vec<Step>);

impl Steps {
    /// Does something one step further on.
    pub fn within<T>(&mut self, step: Step, work: impl FnOnce(&mut Self) -> T) -> T {
        self.0.push(step);
        let done = work(self);
        self.0.pop();
        done
    }

    /// The place one name further on.
    #[must_use]
    pub fn name(&self, name: &str) -> Self {
        Self(self.0.iter().cloned().chain([Step::Name(name.to_owned())]).collect())
    }

    /// The place one item further on.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        Self(self.0.iter().cloned().chain([Step::Item(index)]).collect())
    }
}

/// A text is no place in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a place such as slack_configs[0].api_url")]
pub struct StepsError;

impl FromStr for Steps {
    type Err = StepsError;

    /// Reads what [`Display`](fmt::Display) writes, as far as names are plain.
    fn from_str(text: &str) -> Result<Self, StepsError> {
        let mut steps = Vec::new();
        for (number, part) in text.split('.').enumerate() {
            let (name, mut items) = part.split_at(part.find('[').unwrap_or(part.len()));
            match name {
                "" if number == 0 && !items.is_empty() => {}
                "" => return Err(StepsError),
                name => steps.push(Step::Name(name.to_owned())),
            }
            while !items.is_empty() {
                let item = items.strip_prefix('[').and_then(|items| items.split_once(']'));
                let (item, rest) = item.ok_or(StepsError)?;
                steps.push(Step::Item(item.parse().map_err(|_| StepsError)?));
                items = rest;
            }
        }
        Ok(Self(steps))
    }
}

impl fmt::Display for Steps {
    /// As `receivers[0].slack_configs[0].api_url`. Names come from whoever wrote the document: what is not a plain name is
    /// quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.0.iter().enumerate() {
            match step {
                Step::Item(index) => write!(f, "[{index}]")?,
                Step::Name(name) => {
                    let is_plain = !name.is_empty()
                        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-/".contains(&byte));
                    let dot = if number == 0 { "" } else { "." };
                    if is_plain { write!(f, "{dot}{name}")? } else { write!(f, "[{name:?}]")? }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn leaves_are_found_where_they_stand() {
        let document =
            json!({"receivers": [{"slack_configs": [{"api_url": {"$secret": {"name": "a", "key": "k"}}}]}]});
        let mut found = Vec::new();
        let node = Node::read(&document).unwrap_or_else(|error| panic!("{error}"));
        node.leaves(&mut |at, reference| found.push((at.to_string(), reference.to_string())));
        assert_eq!(
            found,
            [("receivers[0].slack_configs[0].api_url".to_owned(), "Secret/a, key k".to_owned())]
        );
    }

    #[test]
    fn a_place_is_read_as_it_is_written() {
        for text in ["receivers[0].slack_configs[1].api_url", "global.slack_api_url", "[2].x", "a[0][1]"] {
            assert_eq!(text.parse::<Steps>().map(|steps| steps.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "a..b", "a[", "a[x]", "a[1", "a[0]b", ".a", "a."] {
            assert_eq!(text.parse::<Steps>(), Err(StepsError), "{text}");
        }
    }

    #[test]
    fn a_document_that_nests_too_deep_is_refused() {
        let deep = (0..=MAX_DEPTH).fold(json!(1), |inner, _| json!([inner]));
        assert!(matches!(Node::read(&deep), Err(TreeError::TooDeep(_))));
        let fair = (0..MAX_DEPTH).fold(json!(1), |inner, _| json!([inner]));
        assert!(Node::read(&fair).is_ok());
    }
}
