//! Values as templates of ExternalSecrets see them.
//!
//! A [`Text`] is an opaque object: the engine itself can't print it, compare it, index it or learn its length. Every
//! operator, test and filter on it is one of `tools`, which counts what it costs. So no copy of a value is made that is
//! not wiped, and no operation of the engine grows with a value's size.

use std::{collections::BTreeMap, fmt, sync::Arc};

use minijinja::{
    Value,
    value::{Enumerator, Object, ObjectRepr, ValueKind},
};
use serde::{
    Serialize, Serializer,
    ser::{Error as _, SerializeMap, SerializeSeq},
};
use zeroize::Zeroizing;

use super::{Fault, limits};
use crate::Secret;

/// Text, or bytes that are none.
pub(super) struct Text(Secret);

impl Text {
    pub(super) fn new(bytes: Secret) -> Self {
        Self(bytes)
    }

    /// Why exposed: a filter, an operator or the output takes it on.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.expose()
    }

    pub(super) fn as_str(&self) -> Result<&str, Fault> {
        std::str::from_utf8(self.bytes()).map_err(|_| Fault::NotText)
    }
}

/// Says nothing: the engine may format objects into its own messages.
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(value)")
    }
}

impl Object for Text {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        !self.0.is_empty()
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A map whose names are text. The names are no secret, the values may be.
#[derive(Debug)]
pub(super) struct Fields(pub(super) BTreeMap<String, Value>);

impl Object for Fields {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.downcast_object_ref::<Text>() {
            // The engine asks, and counts a step for any length.
            Some(text) if text.bytes().len() > limits::NAME => None,
            Some(text) => self.0.get(text.as_str().ok()?).cloned(),
            None => self.0.get(key.as_str()?).cloned(),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys().map(|name| Value::from(name.as_str())).collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.0.len())
    }
}

/// What a template starts from: the values by name, and all of them once more under the name `secret`, for names that
/// are no identifiers.
#[derive(Debug)]
pub(super) struct Names {
    fields: Arc<Fields>,
    all: Value,
}

impl Names {
    pub(super) fn of<'a>(values: impl Iterator<Item = (&'a str, &'a Secret)>) -> Value {
        let texts =
            values.map(|(name, value)| (name.to_owned(), Value::from_object(Text::new(value.clone()))));
        let fields = Arc::new(Fields(texts.collect()));
        Value::from_object(Self { all: Value::from_dyn_object(Arc::clone(&fields)), fields })
    }
}

impl Object for Names {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        if key.as_str() == Some("secret") { Some(self.all.clone()) } else { self.fields.get_value(key) }
    }
}

/// What can be written: text, a number or a truth.
pub(super) enum Content {
    /// A value, or what a filter made of one.
    Kept(Arc<Text>),
    /// The template's own text, a number or a truth.
    Plain(Zeroizing<String>),
}

impl Content {
    pub(super) fn of(value: &Value) -> Result<Self, Fault> {
        if let Some(text) = value.downcast_object::<Text>() {
            return Ok(Self::Kept(text));
        }
        let plain = match value.kind() {
            ValueKind::String => value.as_str().ok_or(Fault::NotPlain)?.to_owned(),
            ValueKind::Number => value.to_string(),
            ValueKind::Bool => if value.is_true() { "true" } else { "false" }.to_owned(),
            ValueKind::Undefined => return Err(Fault::UnknownValue),
            _ => return Err(Fault::NotPlain),
        };
        Ok(Self::Plain(Zeroizing::new(plain)))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Kept(text) => text.bytes(),
            Self::Plain(text) => text.as_bytes(),
        }
    }

    pub(super) fn as_str(&self) -> Result<&str, Fault> {
        match self {
            Self::Kept(text) => text.as_str(),
            Self::Plain(text) => Ok(text),
        }
    }
}

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    List,
    Map,
    None,
    Number,
    Other,
    Text,
    Undefined,
}

impl Kind {
    pub(super) fn of(value: &Value) -> Self {
        if value.downcast_object_ref::<Text>().is_some() {
            return Self::Text;
        }
        match value.kind() {
            ValueKind::Undefined => Self::Undefined,
            ValueKind::None => Self::None,
            ValueKind::Bool => Self::Bool,
            ValueKind::Number => Self::Number,
            ValueKind::String => Self::Text,
            ValueKind::Seq | ValueKind::Iterable => Self::List,
            ValueKind::Map => Self::Map,
            _ => Self::Other,
        }
    }
}

/// The elements of a list, or the names in a map.
pub(super) fn elements(value: &Value) -> Result<impl Iterator<Item = Value> + use<>, Fault> {
    match Kind::of(value) {
        Kind::List | Kind::Map => value.try_iter().map_err(|_| Fault::NotAList),
        Kind::Undefined => Err(Fault::UnknownValue),
        _ => Err(Fault::NotAList),
    }
}

/// The names in a map, with what they stand for.
pub(super) fn entries(map: &Value) -> Result<impl Iterator<Item = (Value, Value)>, Fault> {
    if Kind::of(map) != Kind::Map {
        return Err(if map.is_undefined() { Fault::UnknownValue } else { Fault::BadCall });
    }
    let names = map.try_iter().map_err(|_| Fault::BadCall)?;
    Ok(names.map(|name| {
        let value = map.get_item(&name).unwrap_or_default();
        (name, value)
    }))
}

/// A value on its way into JSON or YAML. It must have been walked through before (`Run::walk`).
pub(super) struct Tree<'a>(pub(super) &'a Value);

impl Serialize for Tree<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(value) = self;
        // The fault itself does not get through a serializer, and needs not to: the walk has found it.
        let failed = |_| S::Error::custom("not walked");
        match Kind::of(value) {
            Kind::None => serializer.serialize_unit(),
            Kind::Bool => serializer.serialize_bool(value.is_true()),
            Kind::Number => value.serialize(serializer),
            Kind::Text => {
                serializer.serialize_str(Content::of(value).map_err(failed)?.as_str().map_err(failed)?)
            }
            Kind::List => {
                let mut list = serializer.serialize_seq(None)?;
                for element in elements(value).map_err(failed)? {
                    list.serialize_element(&Tree(&element))?;
                }
                list.end()
            }
            Kind::Map => {
                let mut map = serializer.serialize_map(None)?;
                for (name, value) in entries(value).map_err(failed)? {
                    map.serialize_entry(&Tree(&name), &Tree(&value))?;
                }
                map.end()
            }
            Kind::Other | Kind::Undefined => Err(S::Error::custom("nothing to write")),
        }
    }
}
