//! The only place that writes to standard output and standard error.
//!
//! Results go to standard output and nothing else does; notes, warnings, errors and hints go to
//! standard error. Colour and progress appear on a terminal only, and `NO_COLOR` is honoured.

use std::{
    borrow::Cow,
    io::{self, IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use serde::Serialize;

use crate::error::{Exit, Failure, Result};

/// The form of output that programs may want to parse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON document on standard output.
    Json,
}

/// How a word of the result looks on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Something went wrong.
    Bad,
    /// Less important than the rest.
    Faint,
    /// Something was checked, and holds.
    Good,
    /// A heading.
    Strong,
}

/// Where a verb says what it has to say.
pub(crate) struct Printer {
    verbose: bool,
    colour_out: bool,
    colour_err: bool,
    /// Whether a progress line stands on the terminal and must be wiped before the next line.
    progress: AtomicBool,
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

const RED: &str = "31;1";
const YELLOW: &str = "33;1";
const CYAN: &str = "36;1";
const FAINT: &str = "2";
const GREEN: &str = "32;1";
const BOLD: &str = "1";
const PLAIN: &str = "0";

/// A text in which nothing moves the cursor, changes the title or turns the direction of writing: names of files and
/// resources are somebody else's. Our own colours stay, and so do line breaks, which messages have.
fn harmless(text: &str) -> Cow<'_, str> {
    let is_harmful = |c: char| {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        (c.is_control() && !matches!(c, '\n' | '\t')) || turns
    };
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(colour) = own_colour(rest) {
            out.push_str(&rest[..colour]);
            rest = &rest[colour..];
            continue;
        }
        if is_harmful(c) {
            out.extend(c.escape_unicode())
        } else {
            out.push(c)
        }
        rest = &rest[c.len_utf8()..];
    }
    Cow::Owned(out)
}

/// The length of one of our own colours at the beginning of a text.
fn own_colour(text: &str) -> Option<usize> {
    let code = text.strip_prefix("\x1b[")?;
    let known = [RED, YELLOW, CYAN, FAINT, GREEN, BOLD, PLAIN];
    let found =
        known.iter().find(|known| code.strip_prefix(**known).is_some_and(|end| end.starts_with('m')))?;
    Some("\x1b[".len() + found.len() + 1)
}

impl Printer {
    /// Looks at the terminal and at `NO_COLOR` once.
    pub(crate) fn new(verbose: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            verbose,
            colour_out: wanted && io::stdout().is_terminal(),
            colour_err: wanted && io::stderr().is_terminal(),
            progress: AtomicBool::new(false),
        }
    }

    /// Whether standard output is a terminal.
    pub(crate) fn shows_to_a_person(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// Whether more detail is wanted.
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Bytes of the result, as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<()> {
        self.wipe_progress();
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            // Whoever read has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result.map_err(|error| Failure::from(error).at("standard output")),
        }
    }

    /// One line of the result, for people.
    pub(crate) fn line(&self, text: impl AsRef<str>) -> Result<()> {
        self.bytes(format!("{}\n", harmless(text.as_ref())).as_bytes())
    }

    /// Words of the result, coloured where standard output is a terminal.
    pub(crate) fn toned(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Bad => RED,
            Tone::Faint => FAINT,
            Tone::Good => GREEN,
            Tone::Strong => BOLD,
        };
        if self.colour_out { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// The result as one JSON document.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(value)?;
        text.push(b'\n');
        self.bytes(&text)
    }

    /// What was done, on standard error.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        self.err(&format!("waxwing: {}", harmless(text.as_ref())));
    }

    /// More detail, with `--verbose` only.
    pub(crate) fn detail(&self, text: impl AsRef<str>) {
        if self.verbose {
            self.err(&format!("waxwing: {}", harmless(text.as_ref())));
        }
    }

    /// Something to look at that stops nothing.
    pub(crate) fn warning(&self, text: impl AsRef<str>) {
        self.err(&format!("waxwing: {} {}", self.paint(YELLOW, "warning:"), harmless(text.as_ref())));
    }

    /// What to do about the line before.
    pub(crate) fn hint(&self, text: impl AsRef<str>) {
        self.err(&format!("waxwing: {} {}", self.paint(CYAN, "hint:"), harmless(text.as_ref())));
    }

    /// A failure with its hints.
    pub(crate) fn failure(&self, failure: &Failure) {
        let text = failure.to_string();
        self.err(&format!("waxwing: {} {}", self.paint(RED, "error:"), harmless(&text)));
        for hint in failure.hints() {
            self.hint(hint);
        }
    }

    /// One line that the next one replaces; on a terminal only.
    pub(crate) fn progress(&self, text: impl AsRef<str>) {
        if io::stderr().is_terminal() {
            // A progress line that can't be written is no reason to fail.
            let text = harmless(text.as_ref());
            let _ = write!(io::stderr().lock(), "\r\x1b[2Kwaxwing: {text}");
            self.progress.store(true, Ordering::Relaxed);
        }
    }

    /// What the command-line parser has to say: help and version on standard output, complaints
    /// on standard error.
    pub(crate) fn parser_says(&self, error: &clap::Error) -> Exit {
        let text = error.render();
        if error.use_stderr() {
            let text = if self.colour_err { text.ansi().to_string() } else { text.to_string() };
            self.err(
                text.strip_prefix("error: ")
                    .map_or_else(
                        || text.trim_end().to_owned(),
                        |rest| format!("waxwing: error: {}", rest.trim_end()),
                    )
                    .as_str(),
            );
            Exit::Usage
        } else {
            let text = if self.colour_out { text.ansi().to_string() } else { text.to_string() };
            self.bytes(text.as_bytes()).map_or_else(|failure| failure.code(), |()| Exit::Done)
        }
    }

    fn paint(&self, colour: &str, word: &str) -> String {
        if self.colour_err { format!("\x1b[{colour}m{word}\x1b[0m") } else { word.to_owned() }
    }

    fn err(&self, line: &str) {
        self.wipe_progress();
        // Where standard error is closed there is nowhere left to say so.
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    fn wipe_progress(&self) {
        if self.progress.swap(false, Ordering::Relaxed) {
            let _ = write!(io::stderr().lock(), "\r\x1b[2K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// L11. Guard: `harmless`.
    #[test]
    fn what_others_named_moves_no_cursor_and_turns_no_text() {
        let evil = "a\x1b[2K\rb\x1b]0;pwn\x07 \u{202e}c\u{9b}8m\x1b[8m";
        let shown = harmless(evil);
        assert!(!shown.chars().any(|c| c.is_control() || c == '\u{202e}'), "{shown:?}");
        assert!(shown.starts_with("a\\u{1b}[2K"), "{shown:?}");
        assert_eq!(harmless("two\nlines, \x1b[31;1mred\x1b[0m"), "two\nlines, \x1b[31;1mred\x1b[0m");
    }
}
