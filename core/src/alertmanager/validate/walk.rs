//! Types: what Alertmanager's YAML library makes of a value, and what it refuses.

use std::borrow::Cow;

use super::{
    Check,
    scalar::{self, NullWord},
};
use crate::{
    alertmanager::{
        gotemplate::{self, Functions},
        schema::{Field, Format, Names, Nulls, Object, Type, Width},
        version::Version,
    },
    inject::{Node, Step, Steps},
};

impl<'a> Check<'a> {
    /// Judges a value. A null is nobody's error here: it is as good as nothing, and rules see that.
    pub(super) fn value(&mut self, node: &'a Node, kind: &Type, templated: bool) {
        if matches!(node, Node::Null | Node::Leaf(_)) {
            return;
        }
        match (*kind, node) {
            (Type::Text(format), _) => self.text(node, format, templated),
            (Type::Any, _) => self.anything(node, templated),
            (Type::Object(object), Node::Map(_)) => self.object(node, object),
            (Type::TextOr(object), Node::Map(_)) => self.object(node, object),
            (Type::TextOr(_), Node::Text(_) | Node::Secret(_)) if is_null_word(node) => {
                self.error("type", "Alertmanager's YAML library trips over this word here");
            }
            (Type::TextOr(_), _) => self.text(node, Format::Plain, templated),
            (Type::Bool, Node::Bool(_)) => {}
            (Type::Bool, _) => self.error("type", "is neither true nor false"),
            (Type::Int(width), Node::Number(_)) => self.integer(node, width),
            (Type::Int(_), _) => self.error("type", "is no number; a number is written without quotes"),
            (Type::Float, Node::Number(_)) => {}
            (Type::Float, _) => self.error("type", "is no number; a number is written without quotes"),
            (Type::Span, Node::Number(_)) => self.integer(node, Width::Signed),
            (Type::Span, Node::Text(_) | Node::Secret(_)) => self.text(node, Format::GoDuration, false),
            (Type::List(item, nulls), Node::List(items)) => self.list(items, item, nulls, templated),
            (Type::List(..), _) => self.error("type", "is no list"),
            (Type::Map(names, value), Node::Map(map)) => {
                for (name, node) in map {
                    self.at.0.push(Step::Name(name.clone()));
                    self.name(name, names);
                    if matches!((value, node), (Type::Text(Format::Regex), Node::Null)) {
                        self.error("format", "is no regular expression");
                    }
                    self.value(node, value, templated);
                    self.at.0.pop();
                }
            }
            (Type::Span, _) => self.error("type", "is no duration"),
            (Type::Map(..) | Type::Object(_), _) => self.error("type", "is no map of names and values"),
        }
    }

    /// A structure: its fields, and then what must hold for them together.
    fn object(&mut self, node: &'a Node, object: &'static Object) {
        let Some(map) = node.as_map() else { return };
        for (name, node) in map {
            self.at.0.push(Step::Name(name.clone()));
            match object.field(name, self.version) {
                Some(field) => {
                    self.value(node, &field.kind, field.templated);
                    // Alertmanager reads these and has nothing that could resolve them.
                    if name.ends_with("_ref") && text(node).is_some_and(|text| !text.is_empty()) {
                        self.error("secret-reference", "Alertmanager has no secrets to refer to");
                    }
                }
                None => self.unknown(object, name),
            }
            self.at.0.pop();
        }
        self.rules(map, object);
    }

    fn unknown(&mut self, object: &'static Object, name: &str) {
        let mut others = object.named(name).map(|field: &Field| (field.since, field.until));
        let message = match others.next() {
            Some((since, _)) if since > self.version.minor() => {
                format!("Alertmanager {} does not have this field; 0.{since} does", self.version)
            }
            Some(_) => format!("Alertmanager {} no longer has this field", self.version),
            None => format!("this {} has no such field", object.name),
        };
        self.error("unknown-field", message);
    }

    fn list(&mut self, items: &'a [Node], kind: &'static Type, nulls: Nulls, templated: bool) {
        for (index, item) in items.iter().enumerate() {
            self.at.0.push(Step::Item(index));
            match (item, nulls) {
                (Node::Null, Nulls::Refused) => self.error("null-item", "is null"),
                (Node::Null, Nulls::Deadly) => {
                    self.error("null-item", "is null: Alertmanager would die of it when it notifies")
                }
                (Node::Null, Nulls::Empty) => self.null(kind),
                _ => self.value(item, kind, templated),
            }
            self.at.0.pop();
        }
    }

    /// A null that is read as an empty item.
    fn null(&mut self, kind: &Type) {
        if matches!(kind, Type::Text(Format::Matchers)) {
            self.matchers("");
        }
        self.warn("null-item", "is null");
    }

    fn name(&mut self, name: &str, names: Names) {
        let is_valid = match names {
            Names::Free => true,
            Names::ClassicLabels => scalar::is_label(name, false),
            Names::Labels => scalar::is_label(name, true),
        };
        if !is_valid {
            self.error("label-name", "is no name of a label");
        }
    }

    fn integer(&mut self, node: &Node, width: Width) {
        let Node::Number(number) = node else { return };
        // Go cuts fractions off, and refuses what is too large for the field. Below, it wraps around.
        let fits = match width {
            Width::Signed => {
                number.is_i64() || number.is_f64() && number.as_f64().is_some_and(|number| number <= 9.3e18)
            }
            Width::Unsigned => {
                number.is_u64() || number.is_f64() && number.as_f64().is_some_and(|number| number <= 1.9e19)
            }
        };
        if !fits {
            self.error("range", "is too large or too small a number");
        }
    }

    /// A text, in the format of its place and as a template.
    fn text(&mut self, node: &Node, format: Format, templated: bool) {
        let Some(text) = text(node) else {
            return self.error("type", "is no text");
        };
        let fault = if format == Format::Matchers {
            return self.matchers(&text);
        } else if is_null_word(node) {
            null_word(format, &text, self.version)
        } else {
            scalar::check(format, &text, self.version).err()
        };
        if let Some(fault) = fault {
            self.error("format", fault);
        }
        if templated && format != Format::TemplateUrl {
            self.template(&text);
        }
    }

    /// Regular expressions are costly to read, and routes repeat them.
    fn matchers(&mut self, text: &str) {
        let known = self.matchers.get(text).copied();
        let reading = known.unwrap_or_else(|| scalar::matchers(text, self.version));
        if known.is_none() {
            self.matchers.insert(text.to_owned(), reading);
        }
        match reading {
            Ok(None) => {}
            Ok(Some(warning)) => self.warn("matcher-syntax", warning.to_string()),
            Err(fault) => self.error("format", fault),
        }
    }

    fn template(&mut self, text: &str) {
        if let Err(fault) = gotemplate::check(text, Functions::Alertmanager(self.version)) {
            self.error("template", format!("is a broken template: {fault}"));
        }
    }

    /// Whatever it is, its texts may be templates.
    fn anything(&mut self, node: &Node, templated: bool) {
        if !templated {
            return;
        }
        let mut broken = Vec::new();
        let mut at = std::mem::take(&mut self.at);
        node.each(&mut at, &mut |at, node| {
            let Some(text) = node.text() else { return };
            if let Err(fault) = gotemplate::check(text, Functions::Alertmanager(self.version)) {
                broken.push((at.clone(), fault));
            }
        });
        for (place, fault) in broken {
            self.at = place;
            self.error("template", format!("is a broken template: {fault}"));
        }
        self.at = at;
    }
}

/// A quoted `null` or `~`, which Alertmanager's YAML library takes for a null when it looks for a type's own reading, and
/// for a text afterwards.
fn is_null_word(node: &Node) -> bool {
    matches!(node.text(), Some("null" | "~"))
}

/// What is wrong with such a word in a place.
fn null_word(format: Format, text: &str, version: Version) -> Option<&'static str> {
    match scalar::null_word(format) {
        NullWord::Taken => None,
        NullWord::Checked => scalar::check(format, text, version).err(),
        NullWord::Refused => Some("is a word that Alertmanager's YAML library trips over here"),
    }
}

/// The text that Alertmanager reads from a value: a number and a truth value as they are written.
pub(super) fn text(node: &Node) -> Option<Cow<'_, str>> {
    match node {
        Node::Text(_) | Node::Secret(_) => node.text().map(Cow::Borrowed),
        Node::Number(number) => Some(Cow::Owned(number.to_string())),
        Node::Bool(bool) => Some(Cow::Borrowed(if *bool { "true" } else { "false" })),
        Node::Null => Some(Cow::Borrowed("")),
        Node::Leaf(_) | Node::List(_) | Node::Map(_) => None,
    }
}

/// Looks at every text of a document, and where it stands.
pub fn texts(node: &Node, look: &mut dyn FnMut(&Steps, &str)) {
    node.each(&mut Steps::default(), &mut |at, node| {
        if let Some(text) = node.text() {
            look(at, text);
        }
    });
}
