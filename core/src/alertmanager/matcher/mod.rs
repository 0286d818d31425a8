//! Matchers: what a label has to be for a route, an inhibition rule or a silence to apply.
//!
//! Two syntaxes are read as Alertmanager reads them, the classic one and the one for any UTF-8 label name, and so is the rule
//! by which one of them is chosen. Regular expressions are those of Go, translated: what can't be translated is refused.
//! Errors say what is wrong and never what stands there.

mod classic;
mod pattern;
#[cfg(test)]
mod tests;
mod utf8;

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

pub(in crate::alertmanager) use pattern::MAX_DEPTH;
pub use pattern::{Pattern, PatternError};

/// The labels of an alert.
pub type Labels = BTreeMap<String, String>;

/// How a label's value is compared. The order is that in which Alertmanager sorts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Matches,
    /// `!~`
    NotMatches,
}

impl Operator {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Matches => "=~",
            Self::NotMatches => "!~",
        }
    }

    /// Whether its value is a regular expression.
    #[must_use]
    pub fn is_regex(self) -> bool {
        matches!(self, Self::Matches | Self::NotMatches)
    }
}

/// One condition on one label. No `Debug`: what people take for a matcher may be anything.
#[derive(Clone)]
pub struct Matcher {
    name: String,
    operator: Operator,
    value: String,
    pattern: Option<Pattern>,
}

impl Matcher {
    /// Makes one.
    ///
    /// # Errors
    /// The value has to be a regular expression, and is none that can be understood.
    pub fn new(
        name: impl Into<String>,
        operator: Operator,
        value: impl Into<String>,
    ) -> Result<Self, PatternError> {
        let (name, value) = (name.into(), value.into());
        let pattern = operator.is_regex().then(|| Pattern::read(&value)).transpose()?;
        Ok(Self { name, operator, value, pattern })
    }

    /// The label.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How its value is compared.
    #[must_use]
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// With what it is compared.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The same as a regular expression, where it is one.
    #[must_use]
    pub fn pattern(&self) -> Option<&Pattern> {
        self.pattern.as_ref()
    }

    /// Whether labels fulfil it. A label that is absent is an empty one.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.takes(labels.get(&self.name).map_or("", String::as_str))
    }

    /// Whether a value of its label fulfils it.
    #[must_use]
    pub fn takes(&self, value: &str) -> bool {
        let is_same =
            self.pattern.as_ref().map_or_else(|| value == self.value, |pattern| pattern.is_match(value));
        is_same == matches!(self.operator, Operator::Equal | Operator::Matches)
    }

    fn key(&self) -> (&str, &str, Operator) {
        (&self.name, &self.value, self.operator)
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Matcher {}

impl PartialOrd for Matcher {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Matcher {
    /// As Alertmanager sorts: by name, value and operator.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl fmt::Display for Matcher {
    /// As `team="db"`; a name that the classic syntax does not have is quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() || self.name.contains(is_reserved) {
            quote(&self.name, f)?;
        } else {
            f.write_str(&self.name)?;
        }
        f.write_str(self.operator.as_str())?;
        quote(&self.value, f)
    }
}

fn quote(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            // Nothing that moves a terminal's cursor.
            _ if character.is_control() => write!(f, "\\u{:04x}", u32::from(character))?,
            _ => f.write_char(character)?,
        }
    }
    f.write_char('"')
}

/// What ends an unquoted name or value in the UTF-8 syntax.
fn is_reserved(character: char) -> bool {
    character.is_whitespace() || "{}!=~,\\\"'`".contains(character)
}

/// Which syntax matchers are read in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// The only one before 0.27, later by `--enable-feature=classic-mode`.
    Classic,
    /// The default from 0.27 on: both, and the classic reading where they differ.
    Fallback,
    /// By `--enable-feature=utf8-strict-mode`.
    Utf8,
}

/// What Alertmanager would warn about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// Read by the classic syntax alone.
    #[error("only the classic syntax reads this: put the value into double quotes and write \\\\ for \\")]
    ClassicOnly,
    /// Read differently by the two.
    #[error("the two syntaxes read this differently, and the classic reading counts: write \\\\ for \\")]
    Disagreement,
}

/// What one text says.
#[derive(Clone)]
pub struct Reading {
    /// The conditions, in the order of the text. All must hold.
    pub matchers: Vec<Matcher>,
    /// What Alertmanager would warn about.
    pub warning: Option<Warning>,
}

/// Why a text is no matchers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MatcherError {
    /// A brace without the other one.
    #[error("a matcher's braces come in pairs")]
    Brace,
    /// Something between two matchers that is no comma.
    #[error("matchers are separated by commas")]
    Comma,
    /// An escape that there is not.
    #[error("in double quotes \\ begins an escape, and there is no such one")]
    Escape,
    /// What no matcher looks like.
    #[error("a matcher is a label name, one of =, !=, =~ and !~, and a value")]
    Format,
    /// No label name where one has to be.
    #[error("a matcher begins with a label name")]
    Name,
    /// No operator where one has to be.
    #[error("after a label name comes one of =, !=, =~ and !~")]
    Operator,
    /// The regular expression.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A quote too many or too few.
    #[error("a value's double quotes stand around it, and \\\" in it")]
    Quote,
    /// No value where one has to be.
    #[error("after an operator comes a value; an empty one is \"\"")]
    Value,
}

/// Makes a matcher of its parts, or leaves them as they are.
type Make<T> = fn(String, Operator, String) -> Result<T, MatcherError>;

/// The parts alone: regular expressions are not looked at.
fn parts(
    name: String,
    operator: Operator,
    value: String,
) -> Result<(String, Operator, String), MatcherError> {
    Ok((name, operator, value))
}

fn whole(name: String, operator: Operator, value: String) -> Result<Matcher, MatcherError> {
    Ok(Matcher::new(name, operator, value)?)
}

/// Whether the classic syntax reads this, whatever its regular expressions say.
#[must_use]
pub fn is_classic(text: &str) -> bool {
    classic::parse(text, parts).is_ok()
}

/// Reads one text of a list of matchers. It may hold several, and none.
///
/// # Errors
/// It is no matchers in this syntax, or holds a regular expression that can't be understood.
pub fn parse(text: &str, syntax: Syntax) -> Result<Reading, MatcherError> {
    let plain = |matchers| Reading { matchers, warning: None };
    match syntax {
        Syntax::Classic => classic::parse(text, whole).map(plain),
        Syntax::Utf8 => utf8::parse(text, whole).map(plain),
        // Making regular expressions takes most of the time, and where both read the same parts, once is enough.
        Syntax::Fallback
            if utf8::parse(text, parts).is_ok_and(|new| Ok(new) == classic::parse(text, parts)) =>
        {
            classic::parse(text, whole).map(plain)
        }
        Syntax::Fallback => {
            let (new, old) = (utf8::parse(text, whole), classic::parse(text, whole));
            // Alertmanager might understand it, and then the other reading would not count.
            for reading in [&new, &old] {
                if let Err(MatcherError::Pattern(PatternError::Unsupported(what))) = reading {
                    return Err(PatternError::Unsupported(what).into());
                }
            }
            match (new, old) {
                (Ok(new), Ok(old)) if new == old => Ok(plain(new)),
                (Ok(_), Ok(old)) => Ok(Reading { matchers: old, warning: Some(Warning::Disagreement) }),
                (Ok(new), Err(_)) => Ok(plain(new)),
                (Err(_), Ok(old)) => Ok(Reading { matchers: old, warning: Some(Warning::ClassicOnly) }),
                (Err(_), Err(old)) => Err(old),
            }
        }
    }
}
