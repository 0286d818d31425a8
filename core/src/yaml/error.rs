//! What can be wrong with a YAML text, said without quoting it.
//!
//! The messages of serde and of the parsers quote the offending input. Nothing of theirs passes
//! through here except fixed text: field names and expectations of our own types.

use granit_parser::{ErrorKind, ScanError};
use serde_saphyr::Error;
use thiserror::Error as ThisError;

/// Why a YAML text was refused, and where. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum YamlError {
    /// The text at this place cannot be read. `document` counts from 0 (shown from 1).
    #[error("document {}, line {line}, column {column}: {problem}", .document + 1)]
    At {
        /// Index of the document in its stream, empty ones counted.
        document: usize,
        /// Line in the whole text.
        line: usize,
        /// Column in characters.
        column: usize,
        /// What is wrong there.
        problem: Problem,
    },
    /// A value already parsed does not have the shape of its type; the place is not known.
    #[error("{0}")]
    Shape(Problem),
    /// More than [`super::MAX_DOCUMENTS`] documents: split the file.
    #[error("more than {limit} documents in one file")]
    TooManyDocuments {
        /// The limit.
        limit: usize,
    },
    /// More than [`super::MAX_BYTES`]: split the file.
    #[error("the text has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Size of the text.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The value cannot be written as YAML (a map whose keys are not strings, a NaN).
    #[error("the value cannot be written as YAML")]
    Unwritable,
}

/// The kind of a problem. Its text never holds a piece of the input.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum Problem {
    /// Aliases expand to too much, or there are too many of them.
    #[error("aliases expand to more than is allowed")]
    Aliases,
    /// One key stands twice in a mapping.
    #[error("a key stands twice in one mapping")]
    DuplicateKey,
    /// Nothing but comments.
    #[error("there is no document")]
    Empty,
    /// A field that the type requires is absent.
    #[error("missing field `{0}`")]
    MissingField(String),
    /// More than one document where one is expected.
    #[error("more than one document; expected exactly one")]
    SeveralDocuments,
    /// Not YAML; the text is a fixed phrase of the parser.
    #[error("{0}")]
    Syntax(String),
    /// Nested deeper than [`super::MAX_DEPTH`].
    #[error("nested deeper than {} levels", super::MAX_DEPTH)]
    TooDeep,
    /// More nodes than the budget allows.
    #[error("too many values in one document")]
    TooManyNodes,
    /// A field that the type does not have.
    #[error("unknown field; expected {0}")]
    UnknownField(String),
    /// None of the words that are allowed here.
    #[error("unknown word; expected {0}")]
    UnknownVariant(String),
    /// Looks like a number, a boolean or a null where text is expected.
    #[error("write this in quotes: unquoted it is not text")]
    Unquoted,
    /// The type itself refused the value.
    #[error("this value is not allowed here")]
    Value,
    /// Another type of value than the field has.
    #[error("wrong type; expected {0}")]
    WrongType(String),
}

impl Problem {
    /// The parser's own kind, whose text is fixed for all kinds but those that carry input.
    fn of_scan(kind: &ErrorKind) -> Self {
        match kind {
            ErrorKind::RecursionLimitExceeded => Self::TooDeep,
            ErrorKind::UnexpectedCharacter { .. } => Self::Syntax("unexpected character".into()),
            ErrorKind::Custom(_) | ErrorKind::InputIo { .. } | ErrorKind::InputDecoding { .. } => {
                Self::Syntax("not valid YAML".into())
            }
            kind => Self::Syntax(kind.to_string()),
        }
    }

    fn of_serde(error: &Error) -> Self {
        match error.without_snippet() {
            Error::AliasError { error, .. } => Self::of_serde(error),
            Error::AliasReplayCounterOverflow { .. }
            | Error::AliasReplayLimitExceeded { .. }
            | Error::AliasExpansionLimitExceeded { .. }
            | Error::AliasReplayStackDepthExceeded { .. } => Self::Aliases,
            Error::Budget { breach, .. } => Self::of_breach(breach),
            Error::DuplicateMappingKey { .. } => Self::DuplicateKey,
            Error::Eof { .. } => Self::Empty,
            Error::ExternalMessage { source, .. } => match source.as_ref() {
                serde_saphyr::localizer::ExternalMessageSource::Parser(scan) => Self::of_scan(scan.kind()),
                _ => Self::Syntax("not valid YAML".into()),
            },
            Error::InvalidScalar { ty, .. } => Self::WrongType((*ty).into()),
            Error::InvalidBooleanStrict { .. } => Self::WrongType("true or false".into()),
            Error::MultipleDocuments { .. } => Self::SeveralDocuments,
            Error::QuotingRequired { .. } | Error::NullIntoString { .. } | Error::NonFiniteFloat { .. } => {
                Self::Unquoted
            }
            Error::SerdeInvalidLength { expected, .. } | Error::SerdeInvalidType { expected, .. } => {
                Self::WrongType(expected.clone())
            }
            Error::SerdeMissingField { field, .. } => Self::MissingField((*field).into()),
            Error::SerdeUnknownField { expected, .. } => Self::UnknownField(one_of(expected)),
            Error::SerdeUnknownVariant { expected, .. } => Self::UnknownVariant(one_of(expected)),
            Error::Unexpected { expected, .. } => Self::WrongType((*expected).into()),
            Error::UnknownAnchor { .. } => Self::Syntax("an alias without its anchor".into()),
            _ => Self::Value,
        }
    }

    fn of_breach(breach: &serde_saphyr::budget::BudgetBreach) -> Self {
        use serde_saphyr::budget::BudgetBreach::{
            AliasAnchorRatio, Aliases, Anchors, Depth, Documents, MergeKeys, RecordedAnchorBytes,
            RecordedAnchorEvents,
        };
        match breach {
            AliasAnchorRatio { .. }
            | Aliases { .. }
            | Anchors { .. }
            | MergeKeys { .. }
            | RecordedAnchorBytes { .. }
            | RecordedAnchorEvents { .. } => Self::Aliases,
            Depth { .. } => Self::TooDeep,
            Documents { .. } => Self::SeveralDocuments,
            _ => Self::TooManyNodes,
        }
    }

    /// `serde_json` keeps its kinds private, so its text is taken apart: the head of a message and
    /// what stands after the last "expected" are fixed words of our types, all else is input.
    fn of_json(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let expected = || text.rsplit_once("expected ").map(|(_, tail)| tail.to_owned()).unwrap_or_default();
        if let Some(field) = text.strip_prefix("missing field `").and_then(|rest| rest.split_once('`')) {
            return Self::MissingField(field.0.to_owned());
        }
        match text.split(' ').take(2).collect::<Vec<_>>()[..] {
            ["invalid", "type:" | "length"] => Self::WrongType(expected()),
            ["unknown", "field"] => Self::UnknownField(expected()),
            ["unknown", "variant"] => Self::UnknownVariant(expected()),
            _ => Self::Value,
        }
    }
}

impl YamlError {
    pub(super) fn of_scan(error: &ScanError, document: usize) -> Self {
        let at = error.marker();
        Self::At { document, line: at.line(), column: at.col() + 1, problem: Problem::of_scan(error.kind()) }
    }

    /// `line` is the line on which the text given to serde begins, in the whole text.
    pub(super) fn of_serde(error: &Error, document: usize, line: usize) -> Self {
        let (row, column) = match error.location() {
            Some(at) if at != serde_saphyr::Location::UNKNOWN => (at.line() as usize, at.column() as usize),
            _ => (1, 1),
        };
        Self::At { document, line: line + row - 1, column, problem: Problem::of_serde(error) }
    }

    pub(super) fn of_json(error: &serde_json::Error) -> Self {
        Self::Shape(Problem::of_json(error))
    }

    /// Line and column, where known.
    pub fn position(&self) -> Option<(usize, usize)> {
        match self {
            Self::At { line, column, .. } => Some((*line, *column)),
            _ => None,
        }
    }
}

fn one_of(words: &[&'static str]) -> String {
    match words {
        [] => "no field at all".into(),
        words => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
    }
}
