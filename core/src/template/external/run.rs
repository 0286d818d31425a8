//! One rendering: what it may still cost, and what it has written.

use std::{
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use minijinja::Value;
use zeroize::Zeroizing;

use super::{
    Fault, limits,
    value::{Content, Kind, Text, elements, entries},
};
use crate::{Secret, template::text::Output};

/// One rendering of all templates of an object.
pub(super) struct Run {
    /// Bytes that tools may still read and write.
    work: AtomicUsize,
    /// What may still be spent on slow hashing, in rounds of bcrypt.
    hashing: AtomicUsize,
    /// Bytes that may still be written.
    room: AtomicUsize,
    written: Mutex<Written>,
    /// The object's namespace and name.
    place: String,
}

/// What one template has written.
#[derive(Default)]
struct Written {
    text: Output,
    /// A value that is no text.
    binary: Option<Secret>,
    /// Its key.
    key: String,
    /// How many hashes it has made that are of no user.
    nameless: usize,
}

impl Run {
    /// `place` is the object's namespace and name.
    pub(super) fn new(place: String) -> Self {
        Self {
            work: AtomicUsize::new(limits::WORK_BYTES),
            hashing: AtomicUsize::new(limits::HASHING),
            room: AtomicUsize::new(limits::OUTPUT_BYTES),
            written: Mutex::default(),
            place,
        }
    }

    /// The next template is this one.
    pub(super) fn begin(&self, key: &str) {
        self.written().key = key.to_owned();
    }

    /// The object's namespace and name.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// What no other hash in the object has in common: of one user or, without a user, a number.
    pub(super) fn own_of_hash(&self, user: Option<&str>) -> [String; 3] {
        let mut written = self.written();
        let which = user.map_or_else(
            || {
                written.nameless += 1;
                format!("number {}", written.nameless)
            },
            |user| format!("user {user}"),
        );
        [self.place.clone(), written.key.clone(), which]
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        // Nothing that holds it can leave it half changed.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts work on so many bytes.
    pub(super) fn spend(&self, bytes: usize) -> Result<(), Fault> {
        take(&self.work, bytes).ok_or(Fault::TooMuchWork)
    }

    /// Counts slow hashing of so many rounds.
    pub(super) fn hash(&self, rounds: usize) -> Result<(), Fault> {
        take(&self.hashing, rounds).ok_or(Fault::TooManyHashes)
    }

    /// What a tool reads.
    pub(super) fn read(&self, value: &Value) -> Result<Content, Fault> {
        let content = Content::of(value)?;
        self.spend(content.bytes().len())?;
        Ok(content)
    }

    /// What a tool makes.
    pub(super) fn made(&self, bytes: Secret) -> Result<Value, Fault> {
        if bytes.len() > limits::TEXT_BYTES {
            return Err(Fault::TooMuchWork);
        }
        self.spend(bytes.len() + limits::ELEMENT)?;
        Ok(Value::from_object(Text::new(bytes)))
    }

    /// What a tool makes piece by piece.
    pub(super) fn make(
        &self,
        write: impl FnOnce(&mut Piecewise<'_>) -> Result<(), Fault>,
    ) -> Result<Value, Fault> {
        self.spend(limits::ELEMENT)?;
        let mut pieces = Piecewise { run: self, output: Output::default() };
        write(&mut pieces)?;
        Ok(Value::from_object(Text::new(pieces.output.into_secret())))
    }

    /// Looks at all of a value before it is written as JSON or YAML: whether it can be, and whether it is too large. What
    /// is in it more than once counts as often.
    pub(super) fn walk(&self, value: &Value) -> Result<(), Fault> {
        let mut left = limits::TEXT_BYTES;
        self.walk_into(value, 0, &mut left)
    }

    fn walk_into(&self, value: &Value, depth: usize, left: &mut usize) -> Result<(), Fault> {
        if depth > limits::DEPTH {
            return Err(Fault::TooDeep);
        }
        let mut count = |bytes: usize| {
            *left = left.checked_sub(bytes).ok_or(Fault::TooMuchWork)?;
            self.spend(bytes)
        };
        match Kind::of(value) {
            Kind::List => {
                for element in elements(value)? {
                    self.spend(limits::ELEMENT)?;
                    self.walk_into(&element, depth + 1, left)?;
                }
            }
            Kind::Map => {
                for (name, value) in entries(value)? {
                    self.spend(limits::ELEMENT)?;
                    if Kind::of(&name) != Kind::Text {
                        return Err(Fault::BadCall);
                    }
                    self.walk_into(&name, depth + 1, left)?;
                    self.walk_into(&value, depth + 1, left)?;
                }
            }
            Kind::None => count(4)?,
            _ => count(Content::of(value)?.as_str()?.len() + 1)?,
        }
        Ok(())
    }

    /// What a template writes. A value that is no text must stand alone.
    pub(super) fn write(&self, value: &Value) -> Result<(), Fault> {
        let content = Content::of(value)?;
        let bytes = content.bytes();
        take(&self.room, bytes.len()).ok_or(Fault::TooMuchOutput)?;
        let mut written = self.written();
        if content.as_str().is_ok() {
            io::Write::write_all(&mut written.text, bytes).map_err(|_| Fault::TooMuchOutput)
        } else if written.binary.is_none() {
            written.binary = Some(Secret::new(bytes.to_vec()));
            Ok(())
        } else {
            Err(Fault::NotText)
        }
    }

    /// What was written since the last time.
    pub(super) fn finish(&self) -> Result<Secret, Fault> {
        let Written { text, binary, .. } = std::mem::take(&mut *self.written());
        let text = text.into_secret();
        match binary {
            None => Ok(text),
            // Why exposed: whether anything but white space, a line break at the end of the template say, stands there.
            Some(binary) if text.expose().iter().all(u8::is_ascii_whitespace) => Ok(binary),
            Some(_) => Err(Fault::NotText),
        }
    }
}

/// A text that grows, within its limits.
pub(super) struct Piecewise<'run> {
    run: &'run Run,
    output: Output,
}

impl Piecewise<'_> {
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if self.output.len() + bytes.len() > limits::TEXT_BYTES {
            return Err(Fault::TooMuchWork);
        }
        self.run.spend(bytes.len())?;
        io::Write::write_all(&mut self.output, bytes).map_err(|_| Fault::TooMuchWork)
    }
}

/// For serializers. The only thing that fails is a limit.
impl io::Write for Piecewise<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes).map_err(|_| io::Error::from(io::ErrorKind::QuotaExceeded))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes that are wiped, from an iterator that knows how many there are at most.
pub(super) fn collected(at_most: usize, bytes: impl Iterator<Item = u8>) -> Zeroizing<Vec<u8>> {
    let mut collected = Zeroizing::new(Vec::with_capacity(at_most));
    collected.extend(bytes);
    collected
}

fn take(left: &AtomicUsize, amount: usize) -> Option<()> {
    let rest = |left: usize| left.checked_sub(amount);
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest).is_ok().then_some(())
}
