//! From what was fetched to the values of the Secret.

use std::{collections::BTreeMap, fmt, sync::Arc};

use waxwing_crds::{ConversionStrategy, DecodingStrategy, Reason};

use super::{
    Answer, Answers, Ask, JsonFault, Need, Spec,
    decode::decode,
    json::Json,
    limits,
    property::{Miss, Property},
    rewrite::{Named, Rewrite, convert},
};
use crate::{Secret, plan::Data, seal::DataKey, store::Entry};

/// One value of the Secret, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Single {
    pub(super) key: DataKey,
    pub(super) need: Need,
    pub(super) property: Option<Property>,
    pub(super) reading: Reading,
}

/// Several values of the Secret, whose names come from where they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Several {
    pub(super) need: Need,
    /// Of an entry that is read: the part whose fields are wanted.
    pub(super) property: Option<Property>,
    pub(super) reading: Reading,
    pub(super) conversion: ConversionStrategy,
    pub(super) rewrite: Vec<Rewrite>,
}

/// How bytes become a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) decoding: DecodingStrategy,
    /// `nullBytePolicy: Fail`.
    pub(super) refuses_null_bytes: bool,
}

/// Why no Secret can be made of what was fetched: where, and one of a few fixed phrases. Never a value, and no name that
/// stands in one but that of the key that would come of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct ValueError {
    /// Where.
    pub place: Place,
    /// What.
    pub fault: ValueFault,
}

impl ValueError {
    /// The reason that conditions and metrics show.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self.fault {
            ValueFault::InvalidKey { .. } | ValueFault::Transform => Reason::InvalidKey,
            ValueFault::Json(_) | ValueFault::NotBase64 | ValueFault::NullByte => Reason::InvalidValue,
            ValueFault::KeyCollision => Reason::KeyCollision,
            ValueFault::NothingFound => Reason::NothingFound,
            ValueFault::PriorityMissing | ValueFault::PropertyMissing | ValueFault::PropertyUnsupported => {
                Reason::PropertyMissing
            }
            ValueFault::TooLarge | ValueFault::TooManyKeys => Reason::ValueTooLarge,
            ValueFault::Unanswered => Reason::InternalError,
        }
    }
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueFault {
    /// The name is no key of a Secret.
    #[error("this is no key of a Secret: {because}")]
    InvalidKey {
        /// What a key would be.
        because: &'static str,
    },
    /// It had to be JSON.
    #[error(transparent)]
    Json(JsonFault),
    /// Two values have this name.
    #[error("two values have this name")]
    KeyCollision,
    /// `decodingStrategy` says base64.
    #[error("the value is not base64")]
    NotBase64,
    /// `find` matches nothing.
    #[error("no entry matches")]
    NothingFound,
    /// `nullBytePolicy: Fail`.
    #[error("the value has a null byte, and nullBytePolicy is Fail")]
    NullByte,
    /// A name in `priority` that no value has.
    #[error("merge.priority names a value that is not there")]
    PriorityMissing,
    /// The entry has no such part.
    #[error("the entry has no such property")]
    PropertyMissing,
    /// The entry has no field of this name, which is no path that is supported.
    #[error(
        "the entry has no field of this name, and as a path it uses more than names, indexes, # and @this"
    )]
    PropertyUnsupported,
    /// All values together are too large.
    #[error("all values together are larger than {} bytes", limits::DATA_BYTES)]
    TooLarge,
    /// There are too many values.
    #[error("there are more than {} values", limits::VALUES)]
    TooManyKeys,
    /// `transform` made no name of a name.
    #[error("rewrite.transform makes no name of it")]
    Transform,
    /// Nobody has asked for it: a defect.
    #[error("it was never asked for")]
    Unanswered,
}

impl From<JsonFault> for ValueFault {
    fn from(fault: JsonFault) -> Self {
        Self::Json(fault)
    }
}

impl From<Miss> for ValueFault {
    fn from(miss: Miss) -> Self {
        match miss {
            Miss::Json(fault) => Self::Json(fault),
            Miss::Missing => Self::PropertyMissing,
            Miss::Unsupported => Self::PropertyUnsupported,
        }
    }
}

/// Where a value comes from or goes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// `data[PASSWORD]`, `dataFrom[0]`, or nothing for the whole Secret.
    pub item: String,
    /// The remote key, as the resource gives it.
    pub key: Option<String>,
    /// The property, as the resource gives it.
    pub property: Option<String>,
    /// The name of one value among those of the item: a key that was found, a field, or what became of it.
    pub name: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.item.is_empty() {
            return f.write_str("the Secret");
        }
        f.write_str(&self.item)?;
        for (what, text) in [("key", &self.key), ("property", &self.property), ("name", &self.name)] {
            if let Some(text) = text {
                let shown: String = text.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
                let rest = if text.chars().count() > SHOWN { "…" } else { "" };
                write!(f, ", {what} `{shown}{rest}`")?;
            }
        }
        Ok(())
    }
}

/// Characters that are shown of a name.
const SHOWN: usize = 120;

/// A fault of one value among those of an item, or of the item.
#[derive(Debug)]
pub(super) struct Faulty {
    pub(super) name: Option<String>,
    pub(super) fault: ValueFault,
}

impl Faulty {
    /// A fault of this one.
    pub(super) fn at(name: &str, fault: ValueFault) -> Self {
        Self { name: Some(name.to_owned()), fault }
    }
}

impl<F: Into<ValueFault>> From<F> for Faulty {
    fn from(fault: F) -> Self {
        Self { name: None, fault: fault.into() }
    }
}

/// Puts the values of the Secret together: of two items in `dataFrom` that give the same key the later one wins, and
/// `data` wins over both.
///
/// # Errors
/// The first value that is not what the resource says it is. There is no partial result.
pub fn assemble(spec: &Spec, answers: &Answers) -> Result<Data, ValueError> {
    let mut values = BTreeMap::new();
    for (index, item) in spec.several.iter().enumerate() {
        let named = item.values(answers).map_err(|faulty| item.error(index, faulty))?;
        for (name, value) in named {
            let because = "a key has 1 to 253 letters, digits, '-', '_' and '.', is no single dot and does not begin with two";
            let key = name.parse::<DataKey>();
            let key =
                key.map_err(|_| item.error(index, Faulty::at(&name, ValueFault::InvalidKey { because })))?;
            values.insert(key, value);
        }
    }
    for item in &spec.single {
        let value = item.value(answers).map_err(|fault| item.error(fault))?;
        values.insert(item.key.clone(), value);
    }
    let values = values.into_iter().collect();
    check_size(&values).map(|()| values)
}

/// Whether a Secret can hold all this, composed values too.
///
/// # Errors
/// When it is too much, by number or by size.
pub fn check_size(values: &Data) -> Result<(), ValueError> {
    let fault = if values.len() > limits::VALUES {
        ValueFault::TooManyKeys
    } else if values.iter().map(|(_, value)| value.len()).sum::<usize>() > limits::DATA_BYTES {
        ValueFault::TooLarge
    } else {
        return Ok(());
    };
    Err(ValueError { place: Place::default(), fault })
}

impl Single {
    fn value(&self, answers: &Answers) -> Result<Secret, ValueFault> {
        let entry = entry(&self.need, answers)?;
        self.reading.apply(part(entry, self.property.as_ref())?)
    }

    fn error(&self, fault: ValueFault) -> ValueError {
        let item = format!("data[{}]", self.key);
        ValueError { place: place(item, &self.need, self.property.as_ref(), None), fault }
    }
}

impl Several {
    fn values(&self, answers: &Answers) -> Result<Named, Faulty> {
        let mut values = match (&self.need.ask, answers.get(&self.need)) {
            (Ask::Find(_), Some(Answer::Found(found))) => found_values(found)?,
            (Ask::Find(_), _) => return Err(ValueFault::Unanswered.into()),
            (Ask::Read(_), _) => fields(&part(entry(&self.need, answers)?, self.property.as_ref())?)?,
        };
        // Before work is done for each of them, and on whatever they become.
        for step in &self.rewrite {
            few(&values)?;
            values = step.apply(values)?;
        }
        few(&values)?;
        if self.rewrite.is_empty() {
            values = convert(self.conversion, values)?;
        }
        let read = |(name, value): (String, Secret)| match self.reading.apply(value) {
            Ok(value) => Ok((name, value)),
            Err(fault) => Err(Faulty::at(&name, fault)),
        };
        values.into_iter().map(read).collect()
    }

    fn error(&self, index: usize, faulty: Faulty) -> ValueError {
        let place = place(format!("dataFrom[{index}]"), &self.need, self.property.as_ref(), faulty.name);
        ValueError { place, fault: faulty.fault }
    }
}

impl Reading {
    /// The value as it comes into the Secret.
    fn apply(self, value: Secret) -> Result<Secret, ValueFault> {
        let value = decode(self.decoding, value).map_err(|_| ValueFault::NotBase64)?;
        // Why exposed: to look for a null byte.
        if self.refuses_null_bytes && value.expose().contains(&0) {
            return Err(ValueFault::NullByte);
        }
        Ok(value)
    }
}

fn entry<'a>(need: &Need, answers: &'a Answers) -> Result<&'a Entry, ValueFault> {
    match answers.get(need) {
        Some(Answer::Entry(entry)) => Ok(entry),
        _ => Err(ValueFault::Unanswered),
    }
}

/// The entry's bytes as they are, or one part of the JSON that they have to be then.
fn part(entry: &Entry, property: Option<&Property>) -> Result<Secret, ValueFault> {
    match property {
        // Why exposed: a part of it is taken out.
        Some(property) => Ok(property.of(Json::parse(entry.value.expose())?)?),
        None => Ok(entry.value.clone()),
    }
}

/// The fields of a JSON object, by their names.
fn fields(value: &Secret) -> Result<Named, Faulty> {
    // Why exposed: its fields are taken out.
    let fields = Json::parse(value.expose())?.fields()?;
    let content = |(name, value): (String, Json<'_>)| match value.content() {
        Ok(content) => Ok((name, content)),
        Err(fault) => Err(Faulty::at(&name, fault.into())),
    };
    fields.into_iter().map(content).collect()
}

fn few(values: &Named) -> Result<(), ValueFault> {
    if values.len() > limits::VALUES { Err(ValueFault::TooManyKeys) } else { Ok(()) }
}

/// What was found, by the keys.
fn found_values(found: &[(String, Arc<Entry>)]) -> Result<Named, Faulty> {
    let mut values = Named::new();
    for (key, entry) in found {
        if values.insert(key.clone(), entry.value.clone()).is_some() {
            return Err(Faulty::at(key, ValueFault::KeyCollision));
        }
    }
    if values.is_empty() { Err(ValueFault::NothingFound.into()) } else { Ok(values) }
}

fn place(item: String, need: &Need, property: Option<&Property>, name: Option<String>) -> Place {
    let key = match &need.ask {
        Ask::Read(read) => Some(read.key.clone()),
        Ask::Find(find) => find.path.clone(),
    };
    Place { item, key, property: property.map(|property| property.as_str().to_owned()), name }
}

#[cfg(test)]
mod tests;
