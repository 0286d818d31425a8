//! How plaintext comes in: standard input, a file, or a prompt that shows nothing.
//!
//! Never by an argument or the environment, which other processes can read. Every buffer is
//! wiped, also the ones that turned out too small.

use std::{
    fs::File,
    io::{self, IsTerminal, Read, Write},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use waxwing_core::Secret;
use zeroize::Zeroizing;

use crate::error::{Explain, Failure, Result};

/// More than this is never sealed, so it need not be read: all of one object's text, in base64.
const LIMIT: usize = 8 * 1024 * 1024;

/// A second reader would find it empty, and take that for a value.
static STANDARD_INPUT_IS_READ: AtomicBool = AtomicBool::new(false);

/// What stands at `path`, or on standard input for `-`.
pub(crate) fn read(path: &Path) -> Result<Secret> {
    if path == Path::new("-") {
        if STANDARD_INPUT_IS_READ.swap(true, Ordering::Relaxed) {
            return Err(Failure::usage("standard input can be read once, and is wanted twice")
                .hint("give one of the two by the path of a file"));
        }
        return read_all(io::stdin().lock()).at("standard input");
    }
    File::open(path)
        .map_err(Failure::from)
        .and_then(|file| read_all(file).map_err(Failure::from))
        .at(path.display())
}

/// One value: from a prompt where standard input is a terminal, else from standard input.
///
/// A single newline at the end of piped input is dropped, because `echo` and editors add it;
/// `keep_newline` keeps it.
pub(crate) fn value(prompt: &str, keep_newline: bool) -> Result<Secret> {
    if io::stdin().is_terminal() {
        return ask(prompt);
    }
    let value = read(Path::new("-"))?;
    if keep_newline {
        return Ok(value);
    }
    // Why exposed: to look at the last bytes.
    let bytes = value.expose();
    let end = bytes.strip_suffix(b"\n").map(|rest| rest.strip_suffix(b"\r").unwrap_or(rest));
    Ok(end.map_or_else(|| value.clone(), |rest| Secret::new(rest.to_vec())))
}

/// Reads to the end. A buffer that is too small is copied into one of twice its size and wiped.
fn read_all(mut input: impl Read) -> io::Result<Secret> {
    let mut bytes = Zeroizing::new(vec![0; 4096]);
    let mut filled = 0;
    loop {
        if filled == bytes.len() {
            if filled >= LIMIT {
                return Err(io::Error::other("more than 8 MiB, more than can ever be sealed"));
            }
            let mut larger = Zeroizing::new(vec![0; bytes.len() * 2]);
            larger[..filled].copy_from_slice(&bytes);
            bytes = larger;
        }
        match input.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Secret::new(bytes[..filled].to_vec()))
}

/// Asks on the terminal, without echo.
fn ask(prompt: &str) -> Result<Secret> {
    let terminal = File::options().read(true).write(true).open("/dev/tty").at("/dev/tty")?;
    // First: whatever was typed before the prompt is thrown away.
    let silent = Silent::begin(&terminal)?;
    write!(&terminal, "{prompt}: ")?;
    let answer = read_line(&mut (&terminal), &silent);
    drop(silent);
    writeln!(&terminal)?;
    answer
}

/// Reads one line of a terminal that neither echoes nor edits nor signals, so that Ctrl-C comes
/// as a byte and the terminal is put right before the program ends.
fn read_line(input: &mut impl Read, silent: &Silent) -> Result<Secret> {
    const CTRL_D: u8 = 0x04;
    const CTRL_U: u8 = 0x15;
    let codes = &silent.before.special_codes;
    let mut line = Zeroizing::new([0; 4096]);
    let mut length = 0;
    loop {
        let mut byte = Zeroizing::new([0]);
        if input.read(byte.as_mut_slice())? == 0 {
            break;
        }
        match byte[0] {
            b'\r' | b'\n' | CTRL_D => break,
            CTRL_U => length = 0,
            0x7f | 0x08 => length = character_before(&line[..length]),
            byte if byte == codes[SpecialCodeIndex::VINTR] => {
                return Err(Failure::new("interrupted; nothing was written"));
            }
            _ if length == line.len() => {
                return Err(Failure::new("more than 4096 bytes at a prompt")
                    .hint("give a long value with --from-file FILE or on standard input"));
            }
            byte => {
                line[length] = byte;
                length += 1;
            }
        }
    }
    if length == 0 {
        return Err(Failure::new("no value was typed").hint(
            "to seal an empty value, say --allow-empty: waxwing set FILE KEY --allow-empty </dev/null",
        ));
    }
    Ok(Secret::new(line[..length].to_vec()))
}

/// Where the last character of a line of UTF-8 begins.
fn character_before(line: &[u8]) -> usize {
    line.iter().rposition(|byte| byte & 0xc0 != 0x80).unwrap_or(0)
}

/// A terminal without echo, line editing and signals; as it was before when this is dropped.
struct Silent<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Silent<'a> {
    fn begin(terminal: &'a File) -> Result<Self> {
        let before = termios::tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        termios::tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        // Where the terminal is gone there is nothing to put right.
        let _ = termios::tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_of_any_length_is_read_whole() {
        for length in [0, 1, 4095, 4096, 4097, 100_000] {
            let bytes = vec![b'x'; length];
            assert_eq!(read_all(bytes.as_slice()).unwrap().expose(), bytes, "{length}");
        }
    }

    #[test]
    fn endless_input_is_refused() {
        assert!(read_all(io::repeat(b'x')).is_err());
    }

    #[test]
    fn backspace_removes_a_whole_character() {
        assert_eq!(character_before("ab".as_bytes()), 1);
        assert_eq!(character_before("aé".as_bytes()), 1);
        assert_eq!(character_before(b""), 0);
    }
}
