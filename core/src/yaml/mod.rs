//! YAML in and out: a stream of documents, typed values, deterministic text, and edits that leave
//! every other byte alone.
//!
//! One parser reads everything (`granit-parser`; `serde-saphyr` stands on it), so no two parts of
//! the project can disagree about what a file says. JSON is read as the YAML that it is.
//! Errors give a document, a line, a column and a kind, never a piece of the input: a parse error
//! of a half-written Secret must not print the Secret.

pub mod edit;
mod error;
mod read;
mod write;

pub use error::{Problem, YamlError};
pub use read::{
    Document, MAX_BYTES, MAX_DEPTH, MAX_DOCUMENTS, documents, each_document, from_str, from_value,
};
pub(crate) use write::key_text;
pub use write::to_string;

#[cfg(test)]
mod tests;
