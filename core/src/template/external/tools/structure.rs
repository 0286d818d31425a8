//! Lists and maps, and the JSON and YAML that they come from and go to.

use std::{cell::Cell, collections::BTreeMap, fmt};

use minijinja::Value;
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
};

use super::{given, number};
use crate::{
    Secret,
    template::external::{
        Fault, limits,
        run::Run,
        value::{Fields, Kind, Text, Tree, entries},
    },
    yaml,
};

type Made = Result<Value, Fault>;

/// On one line, or with that many spaces a level.
pub(super) fn tojson(run: &Run, arguments: &[Value]) -> Made {
    run.walk(&arguments[0])?;
    let tree = Tree(&arguments[0]);
    let columns = given(&arguments[1]).map(|columns| number(columns, limits::INDENT)).transpose()?;
    run.make(|out| {
        let written = match columns {
            None => serde_json::to_writer(out, &tree),
            Some(columns) => {
                let spaces = [b' '; limits::INDENT];
                let pretty = serde_json::ser::PrettyFormatter::with_indent(&spaces[..columns]);
                serde::Serialize::serialize(&tree, &mut serde_json::Serializer::with_formatter(out, pretty))
            }
        };
        // It was walked through, so what is left to fail is the limit.
        written.map_err(|_| Fault::TooMuchWork)
    })
}

/// A block of YAML, without a line break at its end.
pub(super) fn toyaml(run: &Run, arguments: &[Value]) -> Made {
    run.walk(&arguments[0])?;
    let written = yaml::to_string(&Tree(&arguments[0])).map_err(|_| Fault::TooMuchWork)?;
    let written = Secret::new(written.into_bytes());
    run.spend(YAML * written.len())?;
    // Why exposed: its last line break is left out.
    run.made(Secret::new(written.expose().trim_ascii_end().to_vec()))
}

/// How much slower YAML is than everything else.
const YAML: usize = 8;

pub(super) fn fromjson(run: &Run, arguments: &[Value]) -> Made {
    let content = run.read(&arguments[0])?;
    let found = Cell::new(Fault::NotJson);
    let mut json = serde_json::Deserializer::from_slice(content.bytes());
    let tree = Seed { run, found: &found }.deserialize(&mut json).and_then(|tree| json.end().map(|()| tree));
    // The parser's own error quotes the value.
    tree.map_err(|_| found.get())
}

pub(super) fn fromyaml(run: &Run, arguments: &[Value]) -> Made {
    let content = run.read(&arguments[0])?;
    run.spend(YAML * content.bytes().len())?;
    let documents = yaml::documents(content.as_str()?).map_err(|_| Fault::NotYaml)?;
    let [document] = &documents[..] else {
        return Err(Fault::NotYaml);
    };
    let found = Cell::new(Fault::NotYaml);
    Seed { run, found: &found }.deserialize(&document.value).map_err(|_| found.get())
}

/// Reads JSON, or what YAML says, into values of templates.
#[derive(Clone, Copy)]
struct Seed<'a> {
    run: &'a Run,
    /// What is wrong, when reading fails.
    found: &'a Cell<Fault>,
}

impl Seed<'_> {
    /// Keeps what is wrong, because it does not get through a deserializer.
    fn or<T, E: serde::de::Error>(self, outcome: Result<T, Fault>) -> Result<T, E> {
        outcome.map_err(|fault| {
            self.found.set(fault);
            E::custom("")
        })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::from(()))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::from(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Value, E> {
        // From here on not every whole number has a value of its own: a long one would come out as another.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if number.is_finite() && number.abs() < EXACT { Ok(Value::from(number)) } else { Err(E::custom("")) }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        self.or(self.run.made(Secret::new(text.as_bytes().to_vec())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = access.next_element_seed(self)? {
            self.or(self.run.spend(limits::ELEMENT))?;
            list.push(element);
        }
        Ok(Value::from(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some(name) = access.next_key::<String>()? {
            self.or(self.run.spend(limits::ELEMENT + name.len()))?;
            // The same name twice: what it means would depend on who reads it.
            if fields.insert(name, access.next_value_seed(self)?).is_some() {
                return Err(A::Error::custom(""));
            }
        }
        Ok(Value::from_object(Fields(fields)))
    }
}

/// Names and values of a map, as lists of two.
pub(super) fn items(run: &Run, arguments: &[Value]) -> Made {
    let pairs = entries(&arguments[0])?.map(|(name, value)| {
        run.spend(2 * limits::ELEMENT)?;
        Ok(Value::from(vec![name, value]))
    });
    pairs.collect::<Result<Vec<_>, Fault>>().map(Value::from)
}

/// The first element of a list, or character of a text; if there is none, an undefined value.
pub(super) fn first(run: &Run, arguments: &[Value]) -> Made {
    end_of(run, &arguments[0], |list| list.get_item_by_index(0).ok(), |text| text.chars().next())
}

/// The last element of a list, or character of a text; if there is none, an undefined value.
pub(super) fn last(run: &Run, arguments: &[Value]) -> Made {
    let last = |list: &Value| list.get_item_by_index(list.len()?.checked_sub(1)?).ok();
    end_of(run, &arguments[0], last, |text| text.chars().next_back())
}

fn end_of(
    run: &Run,
    value: &Value,
    of_list: impl Fn(&Value) -> Option<Value>,
    of_text: impl Fn(&str) -> Option<char>,
) -> Made {
    match Kind::of(value) {
        Kind::List => Ok(of_list(value).unwrap_or_default()),
        Kind::Text => {
            let end = of_text(run.read(value)?.as_str()?);
            end.map_or(Ok(Value::UNDEFINED), |end| {
                run.made(Secret::new(end.encode_utf8(&mut [0; 4]).as_bytes().to_vec()))
            })
        }
        Kind::Undefined => Err(Fault::UnknownValue),
        _ => Err(Fault::BadCall),
    }
}

/// Characters of a text, bytes of what is none, elements of a list, entries of a map.
pub(super) fn length(run: &Run, arguments: &[Value]) -> Made {
    let value = &arguments[0];
    match Kind::of(value) {
        Kind::Text => {
            let content = run.read(value)?;
            Ok(Value::from(content.as_str().map_or(content.bytes().len(), |text| text.chars().count())))
        }
        Kind::List | Kind::Map => value.len().map(Value::from).ok_or(Fault::BadCall),
        Kind::Undefined => Err(Fault::UnknownValue),
        _ => Err(Fault::BadCall),
    }
}

/// Numbers from the first, or from 0, up to the other, which is left out.
pub(super) fn range(run: &Run, arguments: &[Value]) -> Made {
    let first = number(&arguments[0], usize::MAX)?;
    let (start, end) = match given(&arguments[1]) {
        None => (0, first),
        Some(end) => (first, number(end, usize::MAX)?),
    };
    if end.saturating_sub(start) > limits::RANGE {
        return Err(Fault::BadCall);
    }
    run.spend(limits::ELEMENT * end.saturating_sub(start))?;
    Ok(Value::from((start..end).map(Value::from).collect::<Vec<_>>()))
}

/// What belongs under `.dockerconfigjson`, for one registry.
pub(super) fn dockerconfigjson(run: &Run, arguments: &[Value]) -> Made {
    let registry = run.read(&arguments[0])?;
    let [username, password] = [run.read(&arguments[1])?, run.read(&arguments[2])?];
    // The user ends at the first colon.
    if username.as_str()?.contains(':') || registry.bytes().is_empty() {
        return Err(Fault::BadCall);
    }
    let both = run.make(|out| {
        out.push(username.as_str()?.as_bytes())?;
        out.push(b":")?;
        out.push(password.as_str()?.as_bytes())
    })?;
    let text = |text: &str| Value::from_object(Text::new(Secret::new(text.as_bytes().to_vec())));
    let mut login = BTreeMap::from([
        ("auth".to_owned(), super::encoding::b64encode(run, &[both])?),
        ("password".to_owned(), text(password.as_str()?)),
        ("username".to_owned(), text(username.as_str()?)),
    ]);
    if let Some(email) = given(&arguments[3]) {
        login.insert("email".to_owned(), text(run.read(email)?.as_str()?));
    }
    let object = |fields| Value::from_object(Fields(fields));
    let registries = BTreeMap::from([(registry.as_str()?.to_owned(), object(login))]);
    let config = object(BTreeMap::from([("auths".to_owned(), object(registries))]));
    tojson(run, &[config, Value::from(())])
}
