//! Reading: a stream into its documents, a document into a value or a type.
//!
//! Budgets stand before the work: total size, number of documents, depth, number of nodes, and how
//! far aliases may expand. Keys may not repeat.

use std::ops::Range;

use granit_parser::{Event, Parser, ScanError};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::YamlError;

/// Most bytes of one text: three times the largest object that etcd takes.
pub const MAX_BYTES: usize = 4 << 20;
/// Most levels of nesting.
pub const MAX_DEPTH: usize = 64;
/// Most documents in one text.
pub const MAX_DOCUMENTS: usize = 4096;

/// Most values in one document: 256 keys and 256 envelopes of 64 hints each need 17,000.
const MAX_NODES: usize = 100_000;
/// Most aliases, and most anchors, in one document.
const MAX_ALIASES: usize = 256;
/// Most events that aliases may add to one document.
const MAX_REPLAYED: usize = 20_000;

/// One document of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its place in the stream, from 0. Empty documents are left out but counted.
    pub index: usize,
    /// Its bytes in the text, with its `---` line and the comments up to the next document.
    pub range: Range<usize>,
    /// The line on which `range` begins, from 1.
    pub line: usize,
    /// What it says.
    pub value: Value,
}

impl Document {
    /// Reads the document as a type, from the text that [`documents`] was given, so that an error
    /// has its position.
    pub fn typed<T: DeserializeOwned>(&self, text: &str) -> Result<T, YamlError> {
        let slice = text.get(self.range.clone()).unwrap_or_default();
        parse(slice, Reading::Typed).map_err(|error| YamlError::of_serde(&error, self.index, self.line))
    }
}

/// All documents of a text, or the first error.
pub fn documents(text: &str) -> Result<Vec<Document>, YamlError> {
    each_document(text)?.into_iter().collect()
}

/// All documents of a text, each one read or refused for itself: what stands after a malformed
/// document is still read, from its `---` on.
///
/// # Errors
/// Only the limits of the whole text.
pub fn each_document(text: &str) -> Result<Vec<Result<Document, YamlError>>, YamlError> {
    let mut found = Vec::new();
    for (index, part) in split(text)?.into_iter().enumerate() {
        if let Some(error) = part.error {
            found.push(Err(error));
            continue;
        }
        let slice = text.get(part.range.clone()).unwrap_or_default();
        match parse(slice, Reading::Value) {
            Ok(Value::Null) => {}
            Ok(value) => found.push(Ok(Document { index, range: part.range, line: part.line, value })),
            Err(error) => found.push(Err(YamlError::of_serde(&error, index, part.line))),
        }
    }
    Ok(found)
}

/// Reads a text that holds exactly one document as a type.
///
/// Where the type wants text, unquoted numbers, booleans and nulls are refused.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    check_size(text)?;
    parse(text, Reading::Typed).map_err(|error| YamlError::of_serde(&error, 0, 1))
}

/// Reads a type from a value that was parsed before (an item of a `kind: List`); the error names
/// no position, and quotes nothing.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, YamlError> {
    T::deserialize(value).map_err(|error| YamlError::of_json(&error))
}

/// The value of one document, given its bytes.
pub(super) fn value(slice: &str, document: usize, line: usize) -> Result<Value, YamlError> {
    parse(slice, Reading::Value).map_err(|error| YamlError::of_serde(&error, document, line))
}

pub(super) fn parser_options() -> granit_parser::Options {
    granit_parser::options! {
        block_nesting_limit: MAX_DEPTH,
        flow_nesting_limit: MAX_DEPTH,
        emit_comments: false,
        emit_anchor_events: true,
    }
}

/// Where a document stands, an empty one too.
pub(super) struct Part {
    pub(super) range: Range<usize>,
    /// The line on which it begins, in the whole text.
    pub(super) line: usize,
    /// Why it cannot be parsed.
    pub(super) error: Option<YamlError>,
}

/// The documents found so far.
struct Parts<'a> {
    text: &'a str,
    found: Vec<Part>,
    /// Behind the line of a `...`, when that ended the last document: directives may stand there.
    behind_marker: Option<usize>,
    /// Between a start and its end.
    open: bool,
}

impl Parts<'_> {
    /// A document reaches from where the one before ended up to its own end. A `...` ends one with
    /// its line, anything else where the next `---` begins.
    fn start(&mut self, at: Option<usize>) -> Result<(), YamlError> {
        if self.found.len() == MAX_DOCUMENTS {
            return Err(YamlError::TooManyDocuments { limit: MAX_DOCUMENTS });
        }
        let at = self.behind_marker.take().or(at).unwrap_or(self.text.len());
        let (start, line) = match self.found.last_mut() {
            None => (0, 1),
            Some(before) => {
                let start = at.max(before.range.start);
                let lines = self.text.as_bytes().get(before.range.start..start).unwrap_or_default();
                before.range.end = start;
                (start, before.line + lines.iter().filter(|byte| **byte == b'\n').count())
            }
        };
        self.found.push(Part { range: start..self.text.len(), line, error: None });
        self.open = true;
        Ok(())
    }

    fn end(&mut self, marker: Option<Range<usize>>) {
        self.open = false;
        self.behind_marker = marker.filter(|range| !range.is_empty()).map(|range| {
            let rest = self.text.get(range.end..).unwrap_or_default();
            range.end + rest.find('\n').map_or(rest.len(), |newline| newline + 1)
        });
    }

    fn fail(&mut self, error: &ScanError) -> Result<(), YamlError> {
        if !self.open {
            self.start(error.marker().byte_offset())?;
        }
        let document = self.found.len() - 1;
        if let Some(part) = self.found.last_mut() {
            part.error = Some(YamlError::of_scan(error, document));
        }
        self.open = false;
        Ok(())
    }
}

/// Finds the documents of a text.
pub(super) fn split(text: &str) -> Result<Vec<Part>, YamlError> {
    check_size(text)?;
    let mut parts = Parts { text, found: Vec::new(), behind_marker: None, open: false };
    let mut parser = Parser::new_from_str_with_options(text, parser_options());
    while let Some(next) = parser.next() {
        match next {
            Ok((Event::DocumentStart(..), span)) => parts.start(span.start.byte_offset())?,
            Ok((Event::DocumentEnd, span)) => parts.end(span.byte_range()),
            Ok(_) => {}
            Err(error) => {
                parts.fail(&error)?;
                if !matches!(parser.proceed_next_document(), Ok(true)) {
                    break;
                }
            }
        }
    }
    Ok(parts.found)
}

fn check_size(text: &str) -> Result<(), YamlError> {
    if text.len() > MAX_BYTES {
        return Err(YamlError::TooLarge { bytes: text.len(), limit: MAX_BYTES });
    }
    Ok(())
}

/// What a document is read into.
#[derive(PartialEq)]
enum Reading {
    /// A type that wants text gets it only where the text cannot be taken for something else.
    Typed,
    /// A value takes everything for what it looks like; keys are text, also bare `1` and `y`.
    Value,
}

fn parse<T: DeserializeOwned>(text: &str, reading: Reading) -> Result<T, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_aliases: MAX_ALIASES,
            max_anchors: MAX_ALIASES,
            max_recorded_anchor_events: MAX_REPLAYED,
            max_recorded_anchor_bytes: MAX_BYTES,
            max_total_scalar_bytes: MAX_BYTES,
            max_documents: 1,
            max_merge_keys: MAX_ALIASES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_REPLAYED,
            max_replay_stack_depth: 16,
            max_alias_expansions_per_anchor: MAX_ALIASES,
        },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        no_schema: reading == Reading::Typed,
        // A snippet would keep a copy of the input inside the error.
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options)
}
