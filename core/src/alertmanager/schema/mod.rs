//! What Alertmanager's configuration is made of: every object, field and rule as data.
//!
//! The tables follow the structures of Alertmanager's packages, release by release. A field or rule says from which minor
//! version on it exists, and until which. What the tables cannot say is a function of [`crate::alertmanager::validate`],
//! named by a [`What`].

mod expected;
mod global;
mod http;
pub(crate) mod inherited;
mod outputs;
mod receivers;
mod route;

pub use expected::{
    Expected, Kind, Misfit, coerce, dummy, expected, fits, integration_at, is_integration, place,
};
pub(super) use global::GLOBAL;
pub(super) use http::HTTP;

use super::version::Version;

/// A structure of the configuration.
#[derive(Debug)]
pub struct Object {
    /// What users call it; stands in messages.
    pub(super) name: &'static str,
    /// Its fields, in groups: some are shared by several objects.
    pub(super) fields: &'static [&'static [Field]],
    /// What must hold beyond the types of its fields.
    pub(super) rules: &'static [Rule],
}

/// A field of an object.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Type,
    /// The minor versions that have it.
    pub(super) since: u8,
    pub(super) until: u8,
    /// Whether what stands here is a credential.
    pub(super) secret: bool,
    /// Whether Alertmanager runs it as a Go template.
    pub(super) templated: bool,
    /// Whether it has a value where the document gives none (but not where the document says null).
    pub(super) preset: bool,
}

/// What may stand in a field.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    /// A text. A number or a truth value is read as the text that it is written as.
    Text(Format),
    /// A truth value.
    Bool,
    /// A whole number. A fraction is cut off.
    Int(Width),
    /// A number.
    Float,
    /// Go's own duration: a text such as `10s`, or a number of nanoseconds.
    Span,
    /// A structure.
    Object(&'static Object),
    /// A text, or a structure.
    TextOr(&'static Object),
    /// A list, and what a null in it does.
    List(&'static Type, Nulls),
    /// Names and values.
    Map(Names, &'static Type),
    /// Anything.
    Any,
}

/// The size of a number.
#[derive(Clone, Copy, Debug)]
pub enum Width {
    /// -2⁶³ to 2⁶³ - 1.
    Signed,
    /// 0 to 2⁶⁴ - 1.
    Unsigned,
}

/// What a null in a list does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nulls {
    /// It stands for an empty item.
    Empty,
    /// The configuration is refused.
    Refused,
    /// The configuration is taken, and Alertmanager dies when it notifies.
    Deadly,
}

/// What the names of a map must be.
#[derive(Clone, Copy, Debug)]
pub enum Names {
    /// Anything.
    Free,
    /// Names of labels, as they were before 0.27.
    ClassicLabels,
    /// Names of labels.
    Labels,
}

/// What a text must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Anything.
    Plain,
    /// Anything, and an empty text counts as given.
    Given,
    /// An http or https URL.
    Url,
    /// The same, and `<secret>`.
    SecretUrl,
    /// The same, or a template of one.
    TemplateUrl,
    /// Anything that Go takes for a URL.
    ProxyUrl,
    /// `host:port`.
    HostPort,
    /// `TLS12` and so on.
    TlsVersion,
    /// `1d12h`.
    Duration,
    /// `1h30m`, with Go's units.
    GoDuration,
    /// A regular expression of Go's.
    Regex,
    /// One or several matchers.
    Matchers,
    /// A name in `group_by`: a label, or `...`.
    GroupBy,
    /// A name in `equal`: a label.
    Equal,
    /// `monday:friday`.
    Weekdays,
    /// `1:-1`.
    Days,
    /// `january:3`.
    Months,
    /// `2020:2030`.
    Years,
    /// A time zone.
    Location,
    /// One of these.
    Choice(&'static [&'static str]),
    /// PEM. Only [`fits`] insists on it: Alertmanager looks at it later than at its configuration.
    Pem,
    /// A header's value; as with PEM.
    Header,
}

/// What must hold for the fields of an object together.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub(super) what: What,
    pub(super) since: u8,
    pub(super) until: u8,
}

/// The content of a rule.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// At most one of these is set.
    AtMostOne(&'static [&'static str]),
    /// At most one of the two families has a member that is set.
    OneFamily(&'static [&'static str], &'static [&'static str]),
    /// At least one of these is set.
    OneOf(&'static [&'static str]),
    /// At least one of these is set here, or one of those under `global`.
    OrGlobal(&'static [&'static str], &'static [&'static str]),
    /// The second is set wherever the first is.
    Needs(&'static str, &'static str),
    /// It is one of these. Where it is not given, the first.
    Choice(&'static str, &'static [&'static str]),
    /// More than a table can say.
    More(More),
}

/// Rules that are functions: `validate/special.rs` has them.
#[derive(Clone, Copy, Debug)]
pub enum More {
    /// `http_config` together with its parts.
    Http,
    /// OAuth2.
    OAuth2,
    /// Proxies.
    Proxy,
    /// Names of headers that may not be set.
    ReservedHeaders,
    /// TLS certificates and keys.
    Tls,
    /// `global`'s Slack fields.
    GlobalSlack,
    /// A Slack receiver and `global`.
    Slack,
    /// Slack's `update_message`.
    SlackUpdate,
    /// Email headers and threading.
    Email,
    /// incident.io's token and `http_config`.
    Incidentio,
    /// Names of VictorOps fields that may not be set.
    VictorOps,
    /// Opsgenie's responders.
    OpsgenieResponder,
    /// Where SNS sends to.
    Sns,
    /// Webex needs an authorization.
    Webex,
    /// `global.http_config`, where this has no proxy.
    MsTeamsV2,
    /// A receiver's name among its labels.
    ReceiverLabels,
    /// `group_by`, and intervals that are not zero.
    Route,
    /// Start and end of a time range.
    TimeRange,
    /// The event recorder's batches.
    Batches,
    /// Kafka's brokers.
    Brokers,
    /// A webhook URL was read and then refused until 0.27.
    NoUrlFileAlone,
}

impl Object {
    /// The field of this name in this version.
    pub(super) fn field(&self, name: &str, version: Version) -> Option<&'static Field> {
        self.named(name).find(|field| field.exists(version))
    }

    /// The fields of this name, in whatever version.
    pub(super) fn named<'a>(&self, name: &'a str) -> impl Iterator<Item = &'static Field> + use<'a> {
        self.fields.iter().flat_map(|group| group.iter()).filter(move |field| field.name == name)
    }
}

impl Field {
    const fn new(name: &'static str, kind: Type) -> Self {
        Self { name, kind, since: 0, until: u8::MAX, secret: false, templated: false, preset: false }
    }

    const fn since(self, since: u8) -> Self {
        Self { since, ..self }
    }

    const fn until(self, until: u8) -> Self {
        Self { until, ..self }
    }

    const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    const fn templated(self) -> Self {
        Self { templated: true, ..self }
    }

    const fn preset(self) -> Self {
        Self { preset: true, ..self }
    }

    /// Whether a version has it.
    pub(super) const fn exists(&self, version: Version) -> bool {
        self.since <= version.minor() && version.minor() <= self.until
    }
}

impl Rule {
    const fn new(what: What) -> Self {
        Self { what, since: 0, until: u8::MAX }
    }

    const fn since(self, since: u8) -> Self {
        Self { since, ..self }
    }

    const fn until(self, until: u8) -> Self {
        Self { until, ..self }
    }

    /// Whether a version has it.
    pub(super) const fn applies(&self, version: Version) -> bool {
        self.since <= version.minor() && version.minor() <= self.until
    }
}

/// A plain text.
const fn text(name: &'static str) -> Field {
    Field::new(name, Type::Text(Format::Plain))
}

/// A text that is run as a template.
const fn template(name: &'static str) -> Field {
    text(name).templated()
}

/// A credential without a shape of its own.
const fn secret(name: &'static str) -> Field {
    text(name).secret()
}

const fn formatted(name: &'static str, format: Format) -> Field {
    Field::new(name, Type::Text(format))
}

const fn url(name: &'static str) -> Field {
    formatted(name, Format::Url)
}

const fn secret_url(name: &'static str) -> Field {
    formatted(name, Format::SecretUrl).secret()
}

const fn boolean(name: &'static str) -> Field {
    Field::new(name, Type::Bool)
}

const fn object(name: &'static str, object: &'static Object) -> Field {
    Field::new(name, Type::Object(object))
}

const fn list(name: &'static str, item: &'static Type, nulls: Nulls) -> Field {
    Field::new(name, Type::List(item, nulls))
}

const fn map(name: &'static str, value: &'static Type) -> Field {
    Field::new(name, Type::Map(Names::Free, value))
}

const fn at_most_one(names: &'static [&'static str]) -> Rule {
    Rule::new(What::AtMostOne(names))
}

const fn one_of(names: &'static [&'static str]) -> Rule {
    Rule::new(What::OneOf(names))
}

const fn or_global(names: &'static [&'static str], global: &'static [&'static str]) -> Rule {
    Rule::new(What::OrGlobal(names, global))
}

const fn more(more: More) -> Rule {
    Rule::new(What::More(more))
}

const PLAIN: Type = Type::Text(Format::Plain);

/// The whole configuration.
pub(super) static ROOT: Object = Object {
    name: "configuration",
    fields: &[&[
        object("global", &GLOBAL),
        object("route", &route::ROUTE),
        list("inhibit_rules", &Type::Object(&route::INHIBIT_RULE), Nulls::Empty),
        list("receivers", &Type::Object(&receivers::RECEIVER), Nulls::Empty).since(26),
        list("receivers", &Type::Object(&receivers::RECEIVER), Nulls::Refused).until(25),
        list("templates", &PLAIN, Nulls::Empty),
        list("mute_time_intervals", &Type::Object(&route::NAMED_INTERVALS), Nulls::Empty),
        list("time_intervals", &Type::Object(&route::NAMED_INTERVALS), Nulls::Empty),
        object("tracing", &outputs::TRACING).since(30),
        object("event_recorder", &outputs::EVENT_RECORDER).since(33),
    ]],
    rules: &[],
};
