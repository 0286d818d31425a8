//! The tests of the command as a user runs it: transcripts from `tests/transcripts`, and what a
//! transcript cannot say.

mod process;
mod quickstart;
mod reference;
mod render;
mod reseal;
mod terminal;
mod transcript;
