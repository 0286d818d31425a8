//! Regular expressions of Go, as far as Rust's can do the same.
//!
//! The expression is read by Go's grammar and written anew, so that nothing depends on where the two languages look alike:
//! every literal is written as its number, every class as its ranges, every flag where it applies. Which of several matches
//! would be found first does not matter to a matcher, so lazy repetition is written as the ordinary one.

mod class;
mod names;
mod write;

use regex::{Regex, RegexBuilder};

/// An expression that has to match a whole value.
#[derive(Clone)]
pub struct Pattern {
    regex: Regex,
}

/// Why an expression can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Go does not take it either.
    #[error("the regular expression is not valid: {0}")]
    Invalid(&'static str),
    /// Go might take it.
    #[error("the regular expression can't be checked: {0}")]
    Unsupported(&'static str),
}

impl Pattern {
    /// Reads an expression.
    ///
    /// # Errors
    /// It is not valid, or uses what only Go has.
    pub fn read(expression: &str) -> Result<Self, PatternError> {
        // As Alertmanager does it: an expression such as `a)|(b` is valid, and anchored at one end of each half.
        let translated = write::translate(&format!("^(?:{expression})$"))?;
        let built = RegexBuilder::new(&translated).nest_limit(MAX_DEPTH).build();
        let regex = built.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => PatternError::Unsupported("it is too large"),
            _ => PatternError::Unsupported("it nests too deep"),
        })?;
        Ok(Self { regex })
    }

    /// Whether a value matches.
    #[must_use]
    pub fn is_match(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }

    /// The expression in Rust's syntax.
    pub(in crate::alertmanager) fn translated(&self) -> &str {
        self.regex.as_str()
    }
}

/// Of groups in groups; Go's own limit.
pub(in crate::alertmanager) const MAX_DEPTH: u32 = 1000;
