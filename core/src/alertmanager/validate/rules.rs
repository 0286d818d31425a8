//! Rules that the tables state: at most one of these, one of these, this needs that.

use super::{Check, Map, walk};
use crate::{
    alertmanager::schema::{Format, GLOBAL, Object, Type, What},
    inject::Node,
};

impl<'a> Check<'a> {
    /// Judges a structure as a whole.
    pub(super) fn rules(&mut self, map: &'a Map, object: &'static Object) {
        for rule in object.rules {
            if rule.applies(self.version) {
                self.rule(map, object, rule.what);
            }
        }
    }

    fn rule(&mut self, map: &'a Map, object: &'static Object, what: What) {
        match what {
            What::AtMostOne(names) => {
                if names.iter().filter(|name| self.is_set(map, object, name)).count() > 1 {
                    self.error("one-of", format!("at most one of {} may be set", join(names, "and")));
                }
            }
            What::OneFamily(these, those) => {
                let mut any =
                    [these, those].map(|names| names.iter().any(|name| self.is_set(map, object, name)));
                if any.iter_mut().all(|any| *any) {
                    let message = format!("{} exclude {}", join(these, "and"), join(those, "and"));
                    self.error("one-of", message);
                }
            }
            What::OneOf(names) => {
                if !names.iter().any(|name| self.is_set(map, object, name)) {
                    self.missing(object, names);
                }
            }
            What::OrGlobal(names, global) => {
                let is_set = names.iter().any(|name| self.is_set(map, object, name));
                if !is_set && !global.iter().any(|name| self.is_global(name)) {
                    let message = format!(
                        "this {} needs {}, here or as {} under global",
                        object.name,
                        join(names, "or"),
                        join(global, "or")
                    );
                    self.error("required", message);
                }
            }
            What::Needs(name, other) => {
                if self.is_set(map, object, name) && !self.is_set(map, object, other) {
                    self.error("required", format!("{name} needs {other}"));
                }
            }
            What::Choice(name, choices) => {
                if let Some(text) = map.get(name).and_then(walk::text)
                    && object.field(name, self.version).is_some()
                    && !choices.contains(&&*text)
                {
                    let known: Vec<&str> =
                        choices.iter().copied().filter(|choice| !choice.is_empty()).collect();
                    self.error_at(name, "choice", format!("is none of {}", join(&known, "and")));
                }
            }
            What::More(more) => self.special(map, object, more),
        }
    }

    fn missing(&mut self, object: &Object, names: &[&str]) {
        let is_there = |name: &&&str| object.field(name, self.version).is_some();
        let names: Vec<&str> = names.iter().filter(is_there).copied().collect();
        self.error("required", format!("this {} needs {}", object.name, join(&names, "or")));
    }

    /// Whether Alertmanager sees something in a field of a structure.
    pub(super) fn is_set(&self, map: &Map, object: &Object, name: &str) -> bool {
        let Some(field) = object.field(name, self.version) else { return false };
        map.get(name).map_or(field.preset, |node| is_set(node, &field.kind))
    }

    /// The same for a field of `global`.
    pub(super) fn is_global(&self, name: &str) -> bool {
        let nothing = Map::new();
        self.is_set(self.global.unwrap_or(&nothing), &GLOBAL, name)
    }
}

/// Whether a value is more than what Go has where there is none.
fn is_set(node: &Node, kind: &Type) -> bool {
    match (node, kind) {
        (Node::Null, _) => false,
        (Node::Text(_) | Node::Secret(_), Type::Text(Format::Url | Format::SecretUrl | Format::Given)) => {
            true
        }
        (Node::Text(_) | Node::Secret(_), _) => node.text().is_none_or(|text| !text.is_empty()),
        (Node::Bool(bool), Type::Bool) => *bool,
        (Node::Number(number), Type::Int(_) | Type::Span) => {
            number.as_f64().is_none_or(|number| number.trunc() != 0.0)
        }
        (Node::List(items), _) => !items.is_empty(),
        (Node::Map(map), Type::Map(..)) => !map.is_empty(),
        _ => true,
    }
}

/// `a, b and c`.
pub(super) fn join(names: &[&str], word: &str) -> String {
    match names {
        [] => String::new(),
        [name] => (*name).to_owned(),
        [names @ .., last] => format!("{} {word} {last}", names.join(", ")),
    }
}
