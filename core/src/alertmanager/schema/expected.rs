//! What a place of the configuration expects, for whoever has a single value for it: a credential before it is put in, a
//! stand-in where there is none, a literal that should have been a reference.

use super::{Field, Format, Object, ROOT, Type};
use crate::{
    alertmanager::{
        gotemplate::{self, Functions},
        validate::{self, scalar},
        version::Version,
    },
    inject::{Node, Step, Steps},
};

/// What a place expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// What may stand there.
    pub kind: Kind,
    /// Whether it is a credential.
    pub secret: bool,
    /// Whether Alertmanager runs it as a Go template.
    pub templated: bool,
    /// Whether a field beside it takes the same from a file.
    pub file_twin: bool,
}

/// The kinds of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A text with a shape that Alertmanager checks when it reads it.
    Shaped(Format),
    /// An http or https URL.
    Url,
    /// The same, and the URL itself is a credential.
    SecretUrl,
    /// The URL of a proxy, which may have a password in it.
    ProxyUrl,
    /// What is sent as the value of an HTTP header.
    HeaderValue,
    /// Certificates or a key.
    Pem,
    /// A whole number; it must be written as one, see [`place`].
    Int,
    /// A number.
    Float,
    /// A truth value.
    Bool,
    /// A duration.
    Duration,
}

/// Why a value does not fit a place. Says what is wrong, never what the value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misfit {
    /// Nothing.
    #[error("it is empty")]
    Empty,
    /// Usually from a file or `echo`.
    #[error("it ends with a line break")]
    LineBreak,
    /// A space or line break around it.
    #[error("it begins or ends with a space")]
    Space,
    /// What no header and no URL may hold.
    #[error("it has control characters in it")]
    Control,
    /// `https:\/\/`, cut out of JSON.
    #[error("its slashes are escaped as in JSON")]
    Escaped,
    /// `<secret>`.
    #[error("it is the word that Alertmanager shows in the place of a secret")]
    Placeholder,
    /// Not a URL.
    #[error("it is no URL with http or https and a host")]
    Url,
    /// Not PEM.
    #[error("it is not PEM")]
    Pem,
    /// Not a number.
    #[error("it is no whole number")]
    Int,
    /// Not a number.
    #[error("it is no number")]
    Float,
    /// Not a truth value.
    #[error("it is neither true nor false")]
    Bool,
    /// Not a duration.
    #[error("it is no duration")]
    Duration,
    /// It would be run as a template.
    #[error("it has {{{{ in it, which Alertmanager would run as a template")]
    Template,
    /// Another shape.
    #[error("{0}")]
    Shape(&'static str),
}

/// What the place `at` expects: `None` where the configuration has no such place, or no single value belongs there.
///
/// Where versions differ, the newest that has the place counts.
#[must_use]
pub fn expected(at: &Steps) -> Option<Expected> {
    let mut here = Place { kind: Type::Object(&ROOT), secret: false, templated: false, file_twin: false };
    for step in &at.0 {
        here = here.step(step)?;
    }
    let kind = match here.kind {
        Type::Text(format) => kind_of(format),
        Type::TextOr(_) | Type::Any => Kind::Text,
        Type::Bool => Kind::Bool,
        Type::Int(_) => Kind::Int,
        Type::Float => Kind::Float,
        Type::Span => Kind::Duration,
        Type::Object(_) | Type::List(..) | Type::Map(..) => return None,
    };
    Some(Expected { kind, secret: here.secret, templated: here.templated, file_twin: here.file_twin })
}

const fn kind_of(format: Format) -> Kind {
    match format {
        Format::Plain | Format::Given => Kind::Text,
        Format::Url => Kind::Url,
        Format::SecretUrl | Format::TemplateUrl => Kind::SecretUrl,
        Format::ProxyUrl => Kind::ProxyUrl,
        Format::Pem => Kind::Pem,
        Format::Header => Kind::HeaderValue,
        Format::Duration | Format::GoDuration => Kind::Duration,
        _ => Kind::Shaped(format),
    }
}

/// Where a walk through the tables is.
#[derive(Clone, Copy)]
struct Place {
    kind: Type,
    secret: bool,
    templated: bool,
    file_twin: bool,
}

impl Place {
    fn step(self, step: &Step) -> Option<Self> {
        match (step, self.kind) {
            (Step::Name(name), Type::Object(object) | Type::TextOr(object)) => {
                Some(self.field(object, name)?)
            }
            (Step::Name(_), Type::Map(_, value)) => Some(Self { kind: *value, ..self }),
            (Step::Item(_), Type::List(item, _)) => Some(Self { kind: *item, ..self }),
            (_, Type::Any) => Some(self),
            _ => None,
        }
    }

    fn field(self, object: &Object, name: &str) -> Option<Self> {
        let field: &Field = object.named(name).max_by_key(|field| field.since)?;
        let file_twin = object.named(&format!("{name}_file")).next().is_some()
            || (name == "secrets" && object.named("files").next().is_some());
        Some(Self {
            kind: field.kind,
            secret: self.secret || field.secret,
            templated: self.templated || field.templated,
            file_twin,
        })
    }
}

impl Expected {
    /// Whether a text that stands in such a place is a credential: all of it, or a password within.
    #[must_use]
    pub fn holds_credential(&self, text: &str) -> bool {
        !text.is_empty() && (self.secret || self.kind == Kind::ProxyUrl && scalar::has_password(text))
    }
}

/// Checks a value before it is put into a place.
///
/// # Errors
/// What is wrong with it.
pub fn fits(expected: Expected, value: &str) -> Result<(), Misfit> {
    let is_line =
        !matches!(expected.kind, Kind::Pem) && (expected.secret || !matches!(expected.kind, Kind::Text));
    if expected.secret && value.is_empty() {
        return Err(Misfit::Empty);
    }
    if value.trim() == scalar::PLACEHOLDER {
        return Err(Misfit::Placeholder);
    }
    if is_line {
        if value.ends_with('\n') {
            return Err(Misfit::LineBreak);
        }
        if value.chars().any(char::is_control) {
            return Err(Misfit::Control);
        }
    }
    if expected.templated && expected.secret && value.contains(gotemplate::OPEN) {
        return Err(Misfit::Template);
    }
    match expected.kind {
        Kind::Text if expected.templated => {
            gotemplate::check(value, Functions::Alertmanager(Version::NEWEST))
                .map_err(|_| Misfit::Shape("it is a broken template"))
        }
        Kind::Text => Ok(()),
        Kind::Url | Kind::SecretUrl | Kind::ProxyUrl if value.contains("\\/") => Err(Misfit::Escaped),
        Kind::Url | Kind::SecretUrl | Kind::ProxyUrl | Kind::HeaderValue if value.trim() != value => {
            Err(Misfit::Space)
        }
        Kind::Url | Kind::SecretUrl => scalar::url(value).map_err(|_| Misfit::Url),
        Kind::ProxyUrl => scalar::proxy_url(value).map_err(|_| Misfit::Url),
        Kind::HeaderValue => Ok(()),
        Kind::Pem => is_pem(value).then_some(()).ok_or(Misfit::Pem),
        Kind::Int => value.parse::<i64>().map(drop).map_err(|_| Misfit::Int),
        Kind::Float => value.parse::<f64>().map(drop).map_err(|_| Misfit::Float),
        Kind::Bool => matches!(value, "true" | "false").then_some(()).ok_or(Misfit::Bool),
        Kind::Duration => scalar::any_duration(value).map_err(|_| Misfit::Duration),
        Kind::Shaped(format) => scalar::check(format, value, Version::NEWEST).map_err(Misfit::Shape),
    }
}

fn is_pem(value: &str) -> bool {
    let value = value.trim();
    let Some(rest) = value.strip_prefix("-----BEGIN ") else { return false };
    let Some((label, _)) = rest.split_once("-----") else { return false };
    value.ends_with("-----") && value.contains(&format!("-----END {label}-----"))
}

/// A value that stands for one that is not there, to check the rest of a configuration with. It [`fits`].
#[must_use]
pub const fn dummy(expected: Expected) -> &'static str {
    match expected.kind {
        Kind::Text | Kind::HeaderValue => "0123456789abcdef0123456789abcdef",
        Kind::Url | Kind::SecretUrl | Kind::ProxyUrl => "https://dummy.invalid/waxwing",
        Kind::Pem => "-----BEGIN DUMMY-----\nd2F4d2luZw==\n-----END DUMMY-----\n",
        Kind::Int => "-1",
        Kind::Float => "1",
        Kind::Bool => "true",
        Kind::Duration => "1m",
        Kind::Shaped(format) => match format {
            Format::HostPort => "dummy.invalid:25",
            Format::TlsVersion => "TLS12",
            Format::Matchers => "dummy=\"dummy\"",
            Format::Weekdays => "monday",
            Format::Days | Format::Months => "1",
            Format::Years => "2020",
            Format::Location => "UTC",
            Format::Choice([first, ..]) => first,
            _ => "dummy",
        },
    }
}

/// The node to write for a value that [`fits`] a place. A number or truth value must be written plainly: Alertmanager
/// refuses a quoted one.
#[must_use]
pub fn place(expected: Expected, value: crate::Secret) -> Node {
    let text = std::str::from_utf8(value.expose()).ok(); // to see whether it is a number
    let plain = match expected.kind {
        Kind::Int => text.and_then(|text| text.parse::<i64>().ok()).map(|number| Node::Number(number.into())),
        Kind::Float => {
            text.and_then(|text| text.parse().ok()).and_then(serde_json::Number::from_f64).map(Node::Number)
        }
        Kind::Bool => text.and_then(|text| text.parse().ok()).map(Node::Bool),
        _ => None,
    };
    plain.unwrap_or(Node::Secret(value))
}

/// Writes every text that stands in the place of a number or truth value plainly, as [`place`] does.
pub fn coerce(config: &mut Node) {
    let mut places = Vec::new();
    validate::texts(config, &mut |at, text| {
        if let Some(expected @ Expected { kind: Kind::Int | Kind::Float | Kind::Bool, .. }) = expected(at)
            && fits(expected, text).is_ok()
        {
            places.push((at.clone(), expected));
        }
    });
    for (at, expected) in places {
        if let Some(node) = config.at_mut(&at)
            && let Node::Secret(_) = node
        {
            let Node::Secret(secret) = std::mem::replace(node, Node::Null) else { continue };
            *node = place(expected, secret);
        }
    }
}
