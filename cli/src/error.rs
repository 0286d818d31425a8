//! How a verb fails: a message, hints that say what to do, and the exit code.
//!
//! Every error type of the libraries turns into a [`Failure`] by `?`; a verb adds the place and
//! the hint where it knows them. Nothing here prints or exits.

use std::{error::Error, fmt, sync::Arc};

/// The exit codes; `--help` and `docs/reference/cli.md` show this table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// It failed; nothing was written.
    Error = 1,
    /// The command line is wrong.
    Usage = 2,
    /// `--check`, `check`, `verify`, `route`, `revoke`, `recipients diff`, `keys retire` or `keys destroy` found something.
    Found = 3,
    /// No identity at hand opens it.
    CannotOpen = 4,
    /// Some of it was done, or could be told; the rest is named.
    Partly = 5,
}

impl Exit {
    /// Every code with its meaning.
    pub(crate) const TABLE: [(Self, &str); 6] = [
        (Self::Done, "done, or nothing to do"),
        (Self::Error, "an error; nothing was written"),
        (Self::Usage, "the command line is wrong"),
        (
            Self::Found,
            "--check, check, verify, route, revoke, recipients diff, keys retire or destroy found something",
        ),
        (Self::CannotOpen, "no identity at hand opens it"),
        (Self::Partly, "partly done: the rest is named"),
    ];
}

/// What a verb returns.
pub(crate) type Result<T = Exit> = std::result::Result<T, Failure>;

/// A failed verb.
#[derive(Clone)]
pub(crate) struct Failure {
    exit: Exit,
    /// From the outside in.
    context: Vec<String>,
    source: Option<Arc<dyn Error + Send + Sync>>,
    hints: Vec<String>,
}

impl Failure {
    /// A failure in words: a lower-case phrase without a period.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { exit: Exit::Error, context: vec![message.into()], source: None, hints: Vec::new() }
    }

    /// A command line that can't be meant.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(message).exit(Exit::Usage)
    }

    /// With another exit code.
    pub(crate) fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// With one more hint: a sentence fragment that says what to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// With the place where it happened put before the message.
    pub(crate) fn at(mut self, place: impl fmt::Display) -> Self {
        self.context.insert(0, place.to_string());
        self
    }

    /// Without this place before the message, for who says it by themselves.
    pub(crate) fn not_at(mut self, place: impl fmt::Display) -> Self {
        if self.context.len() > 1 && self.context.first() == Some(&place.to_string()) {
            self.context.remove(0);
        }
        self
    }

    /// The exit code.
    pub(crate) fn code(&self) -> Exit {
        self.exit
    }

    /// Whether it came from an error of this type.
    #[cfg(feature = "git")]
    pub(crate) fn came_from<E: Error + 'static>(&self) -> bool {
        self.source.as_deref().is_some_and(|source| source.is::<E>())
    }

    /// The hints, in the order in which they were given.
    pub(crate) fn hints(&self) -> &[String] {
        &self.hints
    }
}

impl fmt::Display for Failure {
    /// Everything in one line, from the outside in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = self.context.clone();
        let mut next = self.source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = next {
            parts.push(error.to_string());
            next = error.source();
        }
        f.write_str(&parts.join(": "))
    }
}

// For tests and `expect`.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let source: Arc<dyn Error + Send + Sync> = Arc::new(error);
        Self { exit: Exit::Error, context: Vec::new(), source: Some(source), hints: Vec::new() }
    }
}

/// The same additions on a `Result`.
pub(crate) trait Explain<T> {
    /// Puts the place before the message.
    fn at(self, place: impl fmt::Display) -> Result<T>;
    /// Adds a hint.
    fn hint(self, hint: impl Into<String>) -> Result<T>;
}

impl<T, E: Into<Failure>> Explain<T> for std::result::Result<T, E> {
    fn at(self, place: impl fmt::Display) -> Result<T> {
        self.map_err(|error| error.into().at(place))
    }

    fn hint(self, hint: impl Into<String>) -> Result<T> {
        self.map_err(|error| error.into().hint(hint))
    }
}
