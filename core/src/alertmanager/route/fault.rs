//! What is wrong with the part of a configuration that decides where alerts go.

use std::fmt;

use crate::{
    alertmanager::matcher::MatcherError,
    inject::{Node, Step, Steps},
};

/// One thing that is wrong, and where. Never shows what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub at: Steps,
    /// What.
    pub what: FaultKind,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.what)
    }
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultKind {
    /// Not `true` or `false`.
    #[error("must be true or false")]
    Bool,
    /// Not a duration.
    #[error("must be a duration, such as 30s or 1h30m")]
    Duration,
    /// Not a list.
    #[error("must be a list")]
    List,
    /// Not an object.
    #[error("must have names and values")]
    Map,
    /// Not a matcher.
    #[error(transparent)]
    Matcher(#[from] MatcherError),
    /// It is not there.
    #[error("is missing")]
    Missing,
    /// A time, a range of days or a place that there is not.
    #[error("is no {0}")]
    NoSuch(&'static str),
    /// A reference to a credential, where everybody may read.
    #[error("a reference can't stand here: where alerts go is no secret")]
    Reference,
    /// Something that the root of the tree can't have.
    #[error("the root route takes every alert, so it can't have this")]
    Root,
    /// Not a text.
    #[error("must be a text")]
    Text,
}

/// Walks a configuration and collects what is wrong.
#[derive(Default)]
pub(in crate::alertmanager) struct Reader {
    at: Steps,
    faults: Vec<Fault>,
}

impl Reader {
    pub(in crate::alertmanager) fn new(at: &[&str]) -> Self {
        let at = Steps(at.iter().map(|name| Step::Name((*name).to_owned())).collect());
        Self { at, faults: Vec::new() }
    }

    /// What was read, unless something is wrong.
    pub(in crate::alertmanager) fn finish<T>(self, value: T) -> Result<T, Vec<Fault>> {
        if self.faults.is_empty() { Ok(value) } else { Err(self.faults) }
    }

    pub(in crate::alertmanager) fn at(&self) -> &Steps {
        &self.at
    }

    pub(in crate::alertmanager) fn fault(&mut self, what: impl Into<FaultKind>) {
        self.faults.push(Fault { at: self.at.clone(), what: what.into() });
    }

    /// Looks at the value of a name, if there is one.
    pub(in crate::alertmanager) fn field<T>(
        &mut self,
        node: &Node,
        name: &str,
        read: impl FnOnce(&mut Self, &Node) -> Option<T>,
    ) -> Option<T> {
        let value = node.get(name)?;
        self.within(Step::Name(name.to_owned()), |reader| read(reader, value))
    }

    /// The same, where a null is as good as nothing: everywhere but for a text.
    pub(in crate::alertmanager) fn nullable<T>(
        &mut self,
        node: &Node,
        name: &str,
        read: impl FnOnce(&mut Self, &Node) -> Option<T>,
    ) -> Option<T> {
        self.field(
            node,
            name,
            |reader, value| if matches!(value, Node::Null) { None } else { read(reader, value) },
        )
    }

    fn within<T>(&mut self, step: Step, read: impl FnOnce(&mut Self) -> T) -> T {
        self.at.0.push(step);
        let value = read(self);
        self.at.0.pop();
        value
    }

    /// Whether it is an object; says so if not.
    pub(in crate::alertmanager) fn is_map(&mut self, node: &Node) -> bool {
        let is_map = node.as_map().is_some();
        if !is_map {
            self.wrong::<()>(node, FaultKind::Map);
        }
        is_map
    }

    /// What the items of a list say; items that are wrong are left out.
    pub(in crate::alertmanager) fn list<T>(
        &mut self,
        node: &Node,
        mut read: impl FnMut(&mut Self, &Node) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Some(items) = node.as_list() else {
            return self.wrong(node, FaultKind::List);
        };
        let read = |(index, item)| self.within(Step::Item(index), |reader| read(reader, item));
        Some(items.iter().enumerate().filter_map(read).collect())
    }

    /// What the values of an object say.
    pub(in crate::alertmanager) fn map<T>(
        &mut self,
        node: &Node,
        mut read: impl FnMut(&mut Self, &str, &Node) -> Option<T>,
    ) -> Vec<T> {
        if !self.is_map(node) {
            return Vec::new();
        }
        let entries = node.as_map().into_iter().flatten();
        entries
            .filter_map(|(name, value)| {
                self.within(Step::Name(name.clone()), |reader| read(reader, name, value))
            })
            .collect()
    }

    /// A text. Alertmanager takes the characters of any scalar for one.
    pub(in crate::alertmanager) fn text(&mut self, node: &Node) -> Option<String> {
        match node {
            Node::Text(text) => Some(text.clone()),
            Node::Number(number) => Some(number.to_string()),
            Node::Bool(bool) => Some(bool.to_string()),
            _ => self.wrong(node, FaultKind::Text),
        }
    }

    pub(in crate::alertmanager) fn texts(&mut self, node: &Node) -> Option<Vec<String>> {
        self.list(node, Self::text)
    }

    pub(in crate::alertmanager) fn bool(&mut self, node: &Node) -> Option<bool> {
        if let Node::Bool(bool) = node { Some(*bool) } else { self.wrong(node, FaultKind::Bool) }
    }

    fn wrong<T>(&mut self, node: &Node, what: FaultKind) -> Option<T> {
        self.fault(if matches!(node, Node::Leaf(_) | Node::Secret(_)) { FaultKind::Reference } else { what });
        None
    }
}
