//! Opened values as the template engine sees them, and the filters that work on them.
//!
//! A [`Text`] is an opaque object: the engine itself can't print it, compare it, index it or learn its length. Only
//! the filters and the formatter of this file look inside. Each one carries its *bound*, the largest size that it could
//! have whatever the values are, and every limit is checked against bounds. Memory is wiped, and no buffer that has
//! held a value grows in place.

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine, prelude::BASE64_STANDARD};
use minijinja::{
    Environment, Error, ErrorKind, Value,
    value::{Object, ObjectRepr},
};
use zeroize::Zeroizing;

use super::{Demand, TemplateFault, limits, percent_encoded};
use crate::Secret;

/// A value on its way through a template.
pub(super) struct Text {
    bytes: Secret,
    bound: usize,
    origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// A filter whose result breaks no JSON string, whatever it was given.
    Encoded,
    /// The template itself.
    Literal,
    /// Another filter.
    Made,
    /// A filter whose result is a JSON string, quotes included, whatever it was given.
    Quoted,
    /// A key, untouched.
    Sealed,
}

impl Text {
    /// An opened value that can't be larger than `size`.
    pub(super) fn sealed(bytes: Secret, size: usize) -> Self {
        Self { bytes, bound: size, origin: Origin::Sealed }
    }

    /// What a trial writes in its place: something that stands for all that it could be. A tilde is right nowhere in
    /// JSON but within a string, not even behind a backslash. What may be empty stands for nothing.
    fn mark(&self, demand: Demand) -> Result<&str, Error> {
        match (self.origin, demand) {
            (Origin::Literal, _) => self.as_str(),
            (Origin::Quoted, _) => Ok("\"~\""),
            (Origin::Encoded, Demand::Json) => Ok("~"),
            (Origin::Made | Origin::Sealed, Demand::Json) => Err(failed(TemplateFault::NotEncoded)),
            (Origin::Encoded | Origin::Made | Origin::Sealed, Demand::NotEmpty | Demand::Nothing) => Ok(""),
        }
    }

    /// Why exposed: a filter or the formatter writes it on, into the Secret.
    fn as_str(&self) -> Result<&str, Error> {
        std::str::from_utf8(self.bytes.expose()).map_err(|_| failed(TemplateFault::NotText))
    }
}

/// Says nothing: the engine may format objects into its own messages.
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(opened value)")
    }
}

impl Object for Text {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The opened keys by name, and themselves once more under the name `data`, for keys that are no identifiers.
#[derive(Debug)]
pub(super) struct Names {
    data: Value,
    keys: Arc<Keys>,
}

impl Names {
    pub(super) fn new(keys: BTreeMap<String, Arc<Text>>) -> Arc<Self> {
        let keys = Arc::new(Keys(keys));
        Arc::new(Self { data: Value::from_dyn_object(Arc::clone(&keys)), keys })
    }

    /// What a template starts from.
    pub(super) fn root(self: &Arc<Self>) -> Value {
        Value::from_dyn_object(Arc::clone(self))
    }
}

impl Object for Names {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        if key.as_str() == Some("data") { Some(self.data.clone()) } else { self.keys.get_value(key) }
    }
}

/// The opened keys by name.
#[derive(Debug)]
struct Keys(BTreeMap<String, Arc<Text>>);

impl Object for Keys {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_str()?).map(|text| Value::from_dyn_object(Arc::clone(text)))
    }
}

/// Bytes that may still be written, counted in bounds.
#[derive(Clone)]
pub(super) struct Budget(Arc<AtomicUsize>);

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// Takes `bytes` away, if there are as many.
    pub(super) fn spend(&self, bytes: usize) -> Result<(), TemplateFault> {
        let rest = |left: usize| left.checked_sub(bytes);
        let spent = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
        spent.map(|_| ()).map_err(|_| TemplateFault::TooLarge)
    }
}

/// What a template writes; every outgrown buffer is wiped.
#[derive(Default)]
pub(super) struct Output(Zeroizing<Vec<u8>>);

impl Output {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn into_secret(self) -> Secret {
        Secret::from(self.0)
    }
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.capacity() - self.0.len() < bytes.len() {
            let size = (self.0.len() + bytes.len()).next_power_of_two();
            let mut larger = Zeroizing::new(Vec::with_capacity(size));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Adds the filters, and the only way by which anything is written.
pub(super) fn install(environment: &mut Environment<'_>, budget: &Budget, demand: Demand, trial: bool) {
    environment.add_filter("b64decode", b64decode);
    environment.add_filter("b64encode", b64encode);
    environment.add_filter("indent", indent);
    environment.add_filter("lower", lower);
    environment.add_filter("replace", replace);
    environment.add_filter("tojson", tojson);
    environment.add_filter("trim", trim);
    environment.add_filter("upper", upper);
    environment.add_filter("urlencode", urlencode);
    let budget = budget.clone();
    environment.set_formatter(move |out, _state, value| {
        let text = text(value)?;
        let mark = text.mark(demand)?;
        budget.spend(text.bound).map_err(failed)?;
        out.write_str(if trial { mark } else { text.as_str()? }).map_err(Error::from)
    });
}

/// A fault of ours, for the engine to carry through.
fn failed(fault: TemplateFault) -> Error {
    Error::new(ErrorKind::InvalidOperation, "").with_source(fault)
}

/// A key or a literal; nothing else goes through filters or into the output.
fn text(value: &Value) -> Result<Arc<Text>, Error> {
    if let Some(text) = value.downcast_object::<Text>() {
        return Ok(text);
    }
    match value.as_str() {
        Some(literal) => {
            let bytes = Secret::new(literal.as_bytes().to_vec());
            Ok(Arc::new(Text { bytes, bound: literal.len(), origin: Origin::Literal }))
        }
        None if value.is_undefined() => Err(failed(TemplateFault::UnknownName)),
        None => Err(failed(TemplateFault::NotWritable)),
    }
}

/// A filter's result: `write` puts at most `bound` bytes into the buffer, which so never has to grow.
fn made(
    bound: usize,
    origin: Origin,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>,
) -> Result<Value, Error> {
    if bound > limits::OUTPUT_BYTES {
        return Err(failed(TemplateFault::TooLarge));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(bound));
    write(&mut bytes)?;
    Ok(Value::from_object(Text { bytes: Secret::from(bytes), bound, origin }))
}

/// Standard base64 with padding, of any bytes.
fn b64encode(value: &Value) -> Result<Value, Error> {
    let text = text(value)?;
    made(text.bound.div_ceil(3) * 4, Origin::Encoded, |out| {
        // Why exposed: it is the filter's input.
        let bytes = text.bytes.expose();
        out.resize(bytes.len().div_ceil(3) * 4, 0);
        BASE64_STANDARD.encode_slice(bytes, out).map(|_| ()).map_err(|_| failed(TemplateFault::TooLarge))
    })
}

/// Only directly behind a key: behind `replace`, whether it fails would tell what is in the value.
fn b64decode(value: &Value) -> Result<Value, Error> {
    let text = text(value)?;
    if text.origin != Origin::Sealed {
        return Err(failed(TemplateFault::BadArgument));
    }
    made(text.bound, Origin::Made, |out| {
        // Why exposed: it is the filter's input. Line breaks are common in base64 files.
        let bytes = text.bytes.expose().iter().copied().filter(|byte| !byte.is_ascii_whitespace());
        let mut packed = Zeroizing::new(Vec::with_capacity(text.bytes.len()));
        packed.extend(bytes);
        out.resize(packed.len(), 0);
        let len = BASE64_STANDARD.decode_slice(&packed, out).map_err(|_| failed(TemplateFault::NotBase64))?;
        out.truncate(len);
        Ok(())
    })
}

/// Spaces behind every line break, so that a block fits into an indented place.
fn indent(value: &Value, columns: usize) -> Result<Value, Error> {
    let text = text(value)?;
    if columns > limits::INDENT {
        return Err(failed(TemplateFault::BadArgument));
    }
    made(text.bound.saturating_mul(columns + 1), Origin::Made, |out| {
        for c in text.as_str()?.bytes() {
            out.push(c);
            if c == b'\n' {
                out.extend(std::iter::repeat_n(b' ', columns));
            }
        }
        Ok(())
    })
}

fn lower(value: &Value) -> Result<Value, Error> {
    let text = text(value)?;
    made(text.bound, Origin::Made, |out| {
        out.extend(text.as_str()?.bytes().map(|byte| byte.to_ascii_lowercase()));
        Ok(())
    })
}

fn upper(value: &Value) -> Result<Value, Error> {
    let text = text(value)?;
    made(text.bound, Origin::Made, |out| {
        out.extend(text.as_str()?.bytes().map(|byte| byte.to_ascii_uppercase()));
        Ok(())
    })
}

/// Every occurrence of a literal by another literal.
fn replace(value: &Value, from: &str, to: &str) -> Result<Value, Error> {
    let text = text(value)?;
    if from.is_empty() {
        return Err(failed(TemplateFault::BadArgument));
    }
    // All of it could be occurrences.
    let grown = (text.bound / from.len()).saturating_mul(to.len());
    made(text.bound.saturating_add(grown), Origin::Made, |out| {
        let mut rest = text.as_str()?;
        while let Some((before, after)) = rest.split_once(from) {
            out.extend_from_slice(before.as_bytes());
            out.extend_from_slice(to.as_bytes());
            rest = after;
        }
        out.extend_from_slice(rest.as_bytes());
        Ok(())
    })
}

/// A JSON string, quotes included; also a double-quoted string of YAML.
fn tojson(value: &Value) -> Result<Value, Error> {
    let text = text(value)?;
    made(text.bound.saturating_mul(6).saturating_add(2), Origin::Quoted, |out| {
        serde_json::to_writer(out, text.as_str()?).map_err(|_| failed(TemplateFault::NotText))
    })
}

/// White space off both ends.
fn trim(value: &Value) -> Result<Value, Error> {
    let text = text(value)?;
    made(text.bound, Origin::Made, |out| {
        out.extend_from_slice(text.as_str()?.trim().as_bytes());
        Ok(())
    })
}

fn urlencode(value: &Value) -> Result<Value, Error> {
    let text = text(value)?;
    made(text.bound.saturating_mul(3), Origin::Encoded, |out| {
        out.extend(percent_encoded(text.as_str()?.as_bytes()));
        Ok(())
    })
}
