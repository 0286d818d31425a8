//! What chooses: comparisons, tests and `default`.

use std::cmp::Ordering;

use minijinja::Value;

use super::given;
use crate::template::external::{
    Fault, limits,
    run::Run,
    value::{Kind, Text, elements, entries},
};

type Made = Result<Value, Fault>;

pub(super) fn equals(run: &Run, arguments: &[Value]) -> Made {
    same(run, &arguments[0], &arguments[1], 0).map(Value::from)
}

pub(super) fn differs(run: &Run, arguments: &[Value]) -> Made {
    same(run, &arguments[0], &arguments[1], 0).map(|same| Value::from(!same))
}

pub(super) fn less(run: &Run, arguments: &[Value]) -> Made {
    order(run, arguments).map(|order| Value::from(order == Ordering::Less))
}

pub(super) fn at_most(run: &Run, arguments: &[Value]) -> Made {
    order(run, arguments).map(|order| Value::from(order != Ordering::Greater))
}

pub(super) fn more(run: &Run, arguments: &[Value]) -> Made {
    order(run, arguments).map(|order| Value::from(order == Ordering::Greater))
}

pub(super) fn at_least(run: &Run, arguments: &[Value]) -> Made {
    order(run, arguments).map(|order| Value::from(order != Ordering::Less))
}

/// Whether two values are the same: text by its bytes, numbers by what they count, lists and maps by what is in them.
fn same(run: &Run, one: &Value, other: &Value, depth: usize) -> Result<bool, Fault> {
    if depth > limits::DEPTH {
        return Err(Fault::TooDeep);
    }
    run.spend(limits::ELEMENT)?;
    match (Kind::of(one), Kind::of(other)) {
        (Kind::Undefined, _) | (_, Kind::Undefined) => Err(Fault::UnknownValue),
        (Kind::Text, Kind::Text) => Ok(run.read(one)?.bytes() == run.read(other)?.bytes()),
        (Kind::List, Kind::List) => {
            if one.len() != other.len() {
                return Ok(false);
            }
            for (one, other) in elements(one)?.zip(elements(other)?) {
                if !same(run, &one, &other, depth + 1)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Kind::Map, Kind::Map) => {
            if one.len() != other.len() {
                return Ok(false);
            }
            for ((name, one), (other_name, other)) in entries(one)?.zip(entries(other)?) {
                if !same(run, &name, &other_name, depth + 1)? || !same(run, &one, &other, depth + 1)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (kind, other_kind) if kind != other_kind => Ok(false),
        // Neither can be long.
        (Kind::Bool | Kind::None | Kind::Number, _) => Ok(one == other),
        _ => Err(Fault::BadCall),
    }
}

/// Which comes first, of two texts or two numbers.
fn order(run: &Run, arguments: &[Value]) -> Result<Ordering, Fault> {
    let [one, other] = [&arguments[0], &arguments[1]];
    match (Kind::of(one), Kind::of(other)) {
        (Kind::Undefined, _) | (_, Kind::Undefined) => Err(Fault::UnknownValue),
        (Kind::Text, Kind::Text) => Ok(run.read(one)?.bytes().cmp(run.read(other)?.bytes())),
        (Kind::Number, Kind::Number) => Ok(one.cmp(other)),
        _ => Err(Fault::BadCall),
    }
}

/// A text in a text, an element in a list, a name in a map.
pub(super) fn is_in(run: &Run, arguments: &[Value]) -> Made {
    let [part, whole] = [&arguments[0], &arguments[1]];
    match Kind::of(whole) {
        Kind::Text => {
            let (whole, part) = (run.read(whole)?, run.read(part)?);
            Ok(Value::from(whole.as_str()?.contains(part.as_str()?)))
        }
        Kind::List | Kind::Map => {
            for element in elements(whole)? {
                if same(run, &element, part, 0)? {
                    return Ok(Value::from(true));
                }
            }
            Ok(Value::from(false))
        }
        Kind::Undefined => Err(Fault::UnknownValue),
        _ => Err(Fault::BadCall),
    }
}

/// Another value for one that there is not; with `empty`, also for one that is empty, zero, false or none.
pub(super) fn default(_: &Run, arguments: &[Value]) -> Made {
    let [value, other] = [&arguments[0], &arguments[1]];
    let or_empty = given(&arguments[2]).is_some_and(Value::is_true);
    let is_missing = value.is_undefined() || or_empty && !value.is_true();
    Ok(if is_missing { other.clone() } else { value.clone() })
}

pub(super) fn starts_with(run: &Run, arguments: &[Value]) -> Made {
    let (text, start) = (run.read(&arguments[0])?, run.read(&arguments[1])?);
    Ok(Value::from(text.as_str()?.starts_with(start.as_str()?)))
}

pub(super) fn ends_with(run: &Run, arguments: &[Value]) -> Made {
    let (text, end) = (run.read(&arguments[0])?, run.read(&arguments[1])?);
    Ok(Value::from(text.as_str()?.ends_with(end.as_str()?)))
}

pub(super) fn is_defined(_: &Run, arguments: &[Value]) -> Made {
    Ok(Value::from(!arguments[0].is_undefined()))
}

pub(super) fn is_undefined(_: &Run, arguments: &[Value]) -> Made {
    Ok(Value::from(arguments[0].is_undefined()))
}

/// Text that is UTF-8.
pub(super) fn is_text(run: &Run, arguments: &[Value]) -> Made {
    let is_text = kind(arguments)? == Kind::Text && run.read(&arguments[0])?.as_str().is_ok();
    Ok(Value::from(is_text))
}

/// Bytes that are no UTF-8.
pub(super) fn is_binary(run: &Run, arguments: &[Value]) -> Made {
    let text = arguments[0].downcast_object_ref::<Text>();
    kind(arguments)?;
    if let Some(text) = text {
        run.spend(text.bytes().len())?;
    }
    Ok(Value::from(text.is_some_and(|text| text.as_str().is_err())))
}

pub(super) fn is_boolean(_: &Run, arguments: &[Value]) -> Made {
    kind(arguments).map(|kind| Value::from(kind == Kind::Bool))
}

pub(super) fn is_list(_: &Run, arguments: &[Value]) -> Made {
    kind(arguments).map(|kind| Value::from(kind == Kind::List))
}

pub(super) fn is_map(_: &Run, arguments: &[Value]) -> Made {
    kind(arguments).map(|kind| Value::from(kind == Kind::Map))
}

pub(super) fn is_none(_: &Run, arguments: &[Value]) -> Made {
    kind(arguments).map(|kind| Value::from(kind == Kind::None))
}

pub(super) fn is_number(_: &Run, arguments: &[Value]) -> Made {
    kind(arguments).map(|kind| Value::from(kind == Kind::Number))
}

/// What a value is, if there is one.
fn kind(arguments: &[Value]) -> Result<Kind, Fault> {
    match Kind::of(&arguments[0]) {
        Kind::Undefined => Err(Fault::UnknownValue),
        kind => Ok(kind),
    }
}
