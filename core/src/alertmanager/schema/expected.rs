//! What a place of the configuration expects, for whoever has a single value for it: a credential before it is put in, a
//! stand-in where there is none, a literal that should have been a reference.

use super::{Field, Format, Object, ROOT, Type, receivers::INTEGRATIONS};
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

/// Whether a field of a receiver lists integrations.
#[must_use]
pub fn is_integration(name: &str) -> bool {
    INTEGRATIONS.iter().any(|field| field.name == name)
}

/// The integration that a place lies in, such as `receivers[0].slack_configs[1]`.
#[must_use]
pub fn integration_at(at: &Steps) -> Option<Steps> {
    match at.0.get(..4) {
        Some(at @ [Step::Name(list), Step::Item(_), Step::Name(name), Step::Item(_)])
            if list == "receivers" && is_integration(name) =>
        {
            Some(Steps(at.to_vec()))
        }
        _ => None,
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
    /// Whether a text that stands in such a place is a credential: all of it, or a password within. The one URL for all of
    /// Slack's apps is none, though it stands where others are.
    #[must_use]
    pub fn holds_credential(&self, text: &str) -> bool {
        let is_public = text.is_empty() || text == validate::SLACK_APP_URL;
        !is_public && (self.secret || self.kind == Kind::ProxyUrl && scalar::has_password(text))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Secret;

    /// A place, written as it is shown.
    fn place_of(text: &str) -> Steps {
        let steps = text.split('.').flat_map(|part| {
            let (name, items) = part.split_once('[').unwrap_or((part, ""));
            let items = items.split(['[', ']']).filter_map(|item| item.parse().ok()).map(Step::Item);
            [Step::Name(name.to_owned())].into_iter().chain(items).collect::<Vec<_>>()
        });
        Steps(steps.collect())
    }

    fn at(text: &str) -> Expected {
        expected(&place_of(text)).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn places_say_what_belongs_there() {
        for (place, kind, secret, templated, file_twin) in [
            ("receivers[0].slack_configs[0].api_url", Kind::SecretUrl, true, false, true),
            ("receivers[3].pagerduty_configs[1].routing_key", Kind::Text, true, true, true),
            ("receivers[0].webhook_configs[0].url", Kind::SecretUrl, true, true, true),
            ("receivers[0].telegram_configs[0].chat_id", Kind::Int, false, false, true),
            ("receivers[0].sns_configs[0].sigv4.secret_key", Kind::Text, true, false, false),
            ("receivers[0].webhook_configs[0].http_config.tls_config.key", Kind::Pem, true, false, true),
            ("global.http_config.http_headers.X-Key.secrets[1]", Kind::HeaderValue, true, false, true),
            ("global.http_config.proxy_connect_header.X-Key[0]", Kind::HeaderValue, true, false, false),
            ("global.http_config.proxy_url", Kind::ProxyUrl, false, false, false),
            ("global.smtp_auth_password", Kind::Text, true, false, true),
            ("global.smtp_require_tls", Kind::Bool, false, false, false),
            ("receivers[0].webhook_configs[0].payload.deep[0].text", Kind::Text, false, true, false),
            ("receivers[0].email_configs[0].headers.Subject", Kind::Text, false, true, false),
            ("route.routes[0].routes[1].matchers[0]", Kind::Shaped(Format::Matchers), false, false, false),
        ] {
            assert_eq!(at(place), Expected { kind, secret, templated, file_twin }, "{place}");
        }
        for none in
            ["receivers[0]", "global.http_config", "global.nonsense", "receivers[0].name.x", "route[0]"]
        {
            assert_eq!(expected(&place_of(none)), None, "{none}");
        }
    }

    /// Guard: each branch of `fits`.
    #[test]
    fn values_that_do_not_fit_are_told_apart() {
        let url = at("receivers[0].slack_configs[0].api_url");
        let key = at("receivers[0].pagerduty_configs[0].routing_key");
        let header = at("receivers[0].slack_configs[0].app_token");
        for (expected, value, misfit) in [
            (url, "", Misfit::Empty),
            (url, "https://example.com/\n", Misfit::LineBreak),
            (url, "https://example.com/\u{7}x", Misfit::Control),
            (url, " https://example.com/", Misfit::Space),
            (url, "https:\\/\\/example.com", Misfit::Escaped),
            (url, "<secret>", Misfit::Placeholder),
            (url, "example.com", Misfit::Url),
            (key, "a{{b", Misfit::Template),
            (key, "key\n", Misfit::LineBreak),
            (header, "xoxb ", Misfit::Space),
            (at("receivers[0].telegram_configs[0].chat_id"), "12a", Misfit::Int),
            (at("receivers[0].webhook_configs[0].http_config.tls_config.key"), "MIIE", Misfit::Pem),
            (at("global.smtp_require_tls"), "yes", Misfit::Bool),
            (at("global.resolve_timeout"), "5", Misfit::Duration),
            (at("tracing.sampling_fraction"), "half", Misfit::Float),
        ] {
            assert_eq!(fits(expected, value), Err(misfit), "{misfit}");
        }
        assert_eq!(fits(url, "https://hooks.example.com/services/T/B/x"), Ok(()));
        assert_eq!(fits(at("global.smtp_auth_password"), "a{{b $(x) \"'"), Ok(()));
        assert_eq!(fits(at("receivers[0].telegram_configs[0].chat_id"), "-100123"), Ok(()));
    }

    /// Every leaf of the tables has a dummy, and it fits. Guard: `dummy`.
    #[test]
    fn dummies_fit_wherever_they_are_put() {
        fn walk(object: &'static Object, depth: usize, count: &mut usize) {
            for field in object.fields.iter().flat_map(|group| group.iter()) {
                let place = Place {
                    kind: field.kind,
                    secret: field.secret,
                    templated: field.templated,
                    file_twin: false,
                };
                leaf(place, depth, count);
            }
        }
        fn leaf(place: Place, depth: usize, count: &mut usize) {
            let kind = match place.kind {
                Type::Object(object) | Type::TextOr(object) if depth > 0 => {
                    return walk(object, depth - 1, count);
                }
                Type::List(item, _) | Type::Map(_, item) => {
                    return leaf(Place { kind: *item, ..place }, depth, count);
                }
                Type::Text(format) => kind_of(format),
                Type::Bool => Kind::Bool,
                Type::Int(_) => Kind::Int,
                Type::Float => Kind::Float,
                Type::Span => Kind::Duration,
                _ => return,
            };
            let expected =
                Expected { kind, secret: place.secret, templated: place.templated, file_twin: false };
            assert_eq!(fits(expected, dummy(expected)), Ok(()), "{expected:?}");
            *count += 1;
        }
        let mut count = 0;
        walk(&ROOT, 7, &mut count);
        assert!(count > 500, "{count}");
    }

    #[test]
    fn numbers_are_written_as_numbers() {
        let chat = at("receivers[0].telegram_configs[0].chat_id");
        let secret = |text: &str| Secret::new(text.as_bytes().to_vec());
        assert!(matches!(place(chat, secret("-100")), Node::Number(number) if number.as_i64() == Some(-100)));
        assert!(matches!(place(at("global.smtp_auth_password"), secret("5")), Node::Secret(_)));

        let document = json!({"receivers": [{"telegram_configs": [{"chat_id": "5", "bot_token": "5"}]}]});
        let mut node = Node::read(&document).unwrap_or_else(|error| panic!("{error}"));
        let at = place_of("receivers[0].telegram_configs[0].chat_id");
        *node.at_mut(&at).unwrap() = Node::Secret(secret("7"));
        coerce(&mut node);
        assert!(matches!(node.at(&at), Some(Node::Number(number)) if number.as_i64() == Some(7)));
        assert!(matches!(
            node.at(&place_of("receivers[0].telegram_configs[0].bot_token")),
            Some(Node::Text(_))
        ));
    }

    #[test]
    fn a_password_in_a_proxys_url_is_a_credential() {
        let proxy = at("global.http_config.proxy_url");
        assert!(proxy.holds_credential("http://user:password@proxy.example.com/"));
        assert!(!proxy.holds_credential("http://user@proxy.example.com/"));
        assert!(at("global.slack_api_url").holds_credential("https://example.com/"));
        assert!(!at("global.slack_api_url").holds_credential("https://slack.com/api/chat.postMessage"));
        assert!(!at("global.slack_api_url").holds_credential(""));
    }
}
