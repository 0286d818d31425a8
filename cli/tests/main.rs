//! The tests of the command as a user runs it: transcripts from `tests/transcripts`, and what a
//! transcript cannot say.

#![expect(clippy::unwrap_used, reason = "a test that can't go on panics")]

mod bulk;
#[cfg(feature = "cluster")]
mod cluster;
mod json;
mod leaks;
mod merge;
mod process;
mod quickstart;
#[cfg(feature = "cluster")]
mod reference;
mod render;
mod reseal;
mod revocations;
mod terminal;
mod transcript;
