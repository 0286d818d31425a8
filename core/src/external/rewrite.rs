//! The names under which the values of one `dataFrom` item come into the Secret: `rewrite`, `conversionStrategy`.

use std::collections::BTreeMap;

use waxwing_crds::ConversionStrategy;
use zeroize::Zeroizing;

use super::{
    json::{Json, JsonFault},
    pattern::Pattern,
    values::{Faulty, ValueFault},
};
use crate::{Secret, template::TransformTemplate};

/// Values by the name that they have so far.
pub(super) type Named = BTreeMap<String, Secret>;

/// One step of `rewrite`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rewrite {
    /// Puts the fields of all values, which are JSON objects, together.
    Merge(Merge),
    /// Replaces what a regular expression matches in each name.
    Regexp {
        /// The expression.
        source: Pattern,
        /// What each match becomes; `$1` and `${name}` are groups.
        target: String,
    },
    /// Makes each name anew by a template.
    Transform(TransformTemplate),
}

/// How values are merged. Later ones win: first all by name, then those in `priority`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Merge {
    /// Where the merged fields go: each becomes a value, or all together one JSON object of this name.
    pub(super) into: Option<String>,
    /// Whether a field that two values have is settled by their order, and no error.
    pub(super) ignores_conflicts: bool,
    /// The names that come last, in this order.
    pub(super) priority: Vec<String>,
    /// Whether names in `priority` may be missing.
    pub(super) ignores_missing: bool,
}

impl Rewrite {
    /// Applies one step.
    pub(super) fn apply(&self, values: Named) -> Result<Named, Faulty> {
        match self {
            Self::Merge(merge) => merge.apply(values),
            Self::Regexp { source, target } => renamed(values, |name| {
                source.replace(name, target, NAME).ok_or(ValueFault::InvalidKey { because: TOO_LONG })
            }),
            Self::Transform(template) => renamed(values, |name| {
                let new = template.apply(name).map_err(|_| ValueFault::Transform)?;
                if new.len() > NAME { Err(ValueFault::InvalidKey { because: TOO_LONG }) } else { Ok(new) }
            }),
        }
    }
}

impl Merge {
    fn apply(&self, values: Named) -> Result<Named, Faulty> {
        let mut fields = BTreeMap::new();
        for name in self.order(&values)? {
            let in_value = |fault: JsonFault| Faulty::at(name, ValueFault::Json(fault));
            // Why exposed: its fields are merged.
            let value = Json::parse(values[name].expose()).map_err(in_value)?;
            for (field, value) in value.fields().map_err(in_value)? {
                if fields.contains_key(&field) && !self.ignores_conflicts {
                    return Err(Faulty::at(&field, ValueFault::KeyCollision));
                }
                fields.insert(field, (name, value));
            }
        }
        let Some(into) = &self.into else {
            let content = |(name, (from, value)): (String, (&String, Json<'_>))| match value.content() {
                Ok(content) => Ok((name, content)),
                Err(fault) => Err(Faulty::at(from, ValueFault::Json(fault))),
            };
            return fields.into_iter().map(content).collect();
        };
        let merged = object(fields.iter().map(|(name, (_, value))| (name.as_str(), *value)));
        let mut values = values;
        values.insert(into.clone(), merged);
        Ok(values)
    }

    /// The values' names, those that win last.
    fn order<'a>(&'a self, values: &'a Named) -> Result<Vec<&'a String>, Faulty> {
        let mut order: Vec<_> = values.keys().filter(|name| !self.priority.contains(*name)).collect();
        for name in &self.priority {
            if values.contains_key(name) {
                order.push(name);
            } else if !self.ignores_missing {
                return Err(Faulty::at(name, ValueFault::PriorityMissing));
            }
        }
        Ok(order)
    }
}

/// A JSON object of these fields.
fn object<'a>(fields: impl Iterator<Item = (&'a str, Json<'a>)> + Clone) -> Secret {
    // A name takes at most 6 bytes for each of its own, two quotes, a colon and a comma.
    let size = fields.clone().map(|(name, value)| 6 * name.len() + 4 + value.size()).sum::<usize>();
    let mut out = Zeroizing::new(Vec::with_capacity(size + 2));
    out.push(b'{');
    for (name, value) in fields {
        if out.len() > 1 {
            out.push(b',');
        }
        serde_json::to_writer(&mut *out, name).expect("a vector takes any text");
        out.push(b':');
        value.write(&mut out);
    }
    out.push(b'}');
    Secret::from(out)
}

/// The values under new names. One whose name becomes empty is dropped.
fn renamed(values: Named, rename: impl Fn(&str) -> Result<String, ValueFault>) -> Result<Named, Faulty> {
    let mut named = Named::new();
    for (old, value) in values {
        let new = rename(&old).map_err(|fault| Faulty::at(&old, fault))?;
        if new.is_empty() {
            continue;
        }
        if named.contains_key(&new) {
            return Err(Faulty::at(&new, ValueFault::KeyCollision));
        }
        named.insert(new, value);
    }
    Ok(named)
}

/// `conversionStrategy`: the values under names that consist of what a key consists of.
pub(super) fn convert(strategy: ConversionStrategy, values: Named) -> Result<Named, Faulty> {
    let convert = |c: char| match strategy {
        _ if c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_') => c.to_string(),
        ConversionStrategy::Default => "_".to_owned(),
        ConversionStrategy::Unicode => format!("_U{:04x}_", u32::from(c)),
    };
    if values.contains_key("") {
        return Err(Faulty::at("", ValueFault::InvalidKey { because: EMPTY }));
    }
    renamed(values, |name| Ok(name.chars().map(convert).collect()))
}

/// Bytes of a name between two steps. The last one must be a key, of at most 253.
const NAME: usize = 1024;
const TOO_LONG: &str = "it becomes longer than 1024 bytes";
const EMPTY: &str = "it is empty";

#[cfg(test)]
mod tests;
