//! What a field of Grafana's documents expects, and whether a value fits.

use crate::inject::{Node, Step, Steps};

use super::{
    CONTACT_POINTS, DATASOURCES, REDACTED, list,
    receivers::{self, Receiver},
    text_of,
};

/// What kind of value a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whatever its plugin makes of it.
    Anything,
    /// True or false.
    Bool,
    /// Certificates, PEM.
    Certificates,
    /// A list of what has fields of its own.
    Entries,
    /// Names and values of their own kinds.
    Fields(&'static [Field]),
    /// A list of whatever.
    List,
    /// A number, or a text that is one.
    Number,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A private key, PEM.
    PrivateKey,
    /// A text.
    Text,
    /// Names and texts.
    Texts,
    /// An address that begins with `http://` or `https://`.
    Url,
}

/// What Grafana does with the value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeps {
    /// It is a credential, and Grafana stores and shows it in the clear.
    Clear,
    /// It is none.
    Open,
    /// It is a credential, and Grafana encrypts it.
    Secure,
}

/// One field that Grafana reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) keeps: Keeps,
    pub(super) is_required: bool,
}

impl Field {
    pub(super) const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, keeps: Keeps::Open, is_required: false }
    }

    pub(super) const fn required(self) -> Self {
        Self { is_required: true, ..self }
    }

    pub(super) const fn keeps(self, keeps: Keeps) -> Self {
        Self { keeps, ..self }
    }
}

/// What a place of the document expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The kind of value.
    pub kind: Kind,
    /// Whether it is a credential: a literal there is one that stands in Git.
    pub secret: bool,
    /// Whether Grafana encrypts it. What it does not, its editors can read.
    pub encrypted: bool,
}

impl From<Field> for Expected {
    fn from(field: Field) -> Self {
        let encrypted = field.keeps == Keeps::Secure;
        Self { kind: field.kind, secret: field.keeps != Keeps::Open, encrypted }
    }
}

/// What a place expects, as far as the document says what it is. None where Grafana reads nothing that Waxwing knows of.
pub fn expected(document: &Node, at: &Steps) -> Option<Expected> {
    let [Step::Name(kind), Step::Item(index), path @ ..] = at.0.as_slice() else { return None };
    let entry = list(document, kind).get(*index)?;
    match (kind.as_str(), path) {
        (DATASOURCES, path) => datasource(path),
        (CONTACT_POINTS, [Step::Name(receivers), Step::Item(index), Step::Name(settings), path @ ..])
            if receivers == "receivers" && settings == "settings" =>
        {
            let receiver = entry.get("receivers")?.as_list()?.get(*index)?;
            within(Receiver::named(text_of(receiver, "type")?)?.fields, path)
        }
        _ => None,
    }
}

fn datasource(path: &[Step]) -> Option<Expected> {
    let [Step::Name(name), path @ ..] = path else { return None };
    match (name.as_str(), path) {
        ("secureJsonData", [Step::Name(key)]) => {
            Some(Expected { kind: secure_kind(key), secret: true, encrypted: true })
        }
        ("jsonData" | "correlations", [_, ..]) => {
            Some(Expected { kind: Kind::Anything, secret: false, encrypted: false })
        }
        (name, []) => Some((*receivers::DATASOURCE.iter().find(|field| field.name == name)?).into()),
        _ => None,
    }
}

/// What a name in `secureJsonData` takes. The names belong to the plugin; these are common to many.
pub(super) fn secure_kind(name: &str) -> Kind {
    match name {
        "tlsCACert" | "tlsClientCert" => Kind::Certificates,
        "tlsClientKey" => Kind::PrivateKey,
        // Keys of cloud accounts have several lines, and forms of their own.
        "privateKey" | "serviceAccountKey" => Kind::Anything,
        _ => Kind::Text,
    }
}

fn within(fields: &'static [Field], path: &[Step]) -> Option<Expected> {
    let [Step::Name(name), path @ ..] = path else { return None };
    let field = fields.iter().find(|field| field.name == name)?;
    match (field.kind, path) {
        (_, []) => Some((*field).into()),
        (Kind::Fields(fields), path) => within(fields, path),
        (Kind::Texts, [Step::Name(_)]) => {
            Some(Expected { kind: Kind::Text, secret: field.keeps != Keeps::Open, encrypted: false })
        }
        (Kind::Anything | Kind::List, _) => {
            Some(Expected { kind: Kind::Anything, secret: false, encrypted: false })
        }
        _ => None,
    }
}

/// Why a value does not fit its field. Never shows the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// Bytes that no credential has.
    #[error("it holds control characters")]
    Control,
    /// Nothing.
    #[error("it is empty")]
    Empty,
    /// The slip that is made most often.
    #[error("it ends in a line break")]
    LineBreak,
    /// A text where a number belongs.
    #[error("it is no number")]
    Number,
    /// Not a PEM block of the right kind.
    #[error("it is no {0} in PEM")]
    Pem(&'static str),
    /// What a server or a tool shows in the place of a secret.
    #[error("it is a placeholder, not a value: Grafana would keep what it had before")]
    Placeholder,
    /// Spaces around it.
    #[error("it begins or ends with white space")]
    Space,
    /// Grafana takes the address for a template.
    #[error("it holds {{{{, which Grafana would take for a template")]
    Template,
    /// Not an address.
    #[error("it is no http:// or https:// address")]
    Url,
    /// Another word.
    #[error("it is none of the few words that Grafana knows here")]
    Word,
}

/// Whether a credential fits its field.
///
/// # Errors
/// With the reason, which never shows the value.
pub fn fits(kind: Kind, value: &str) -> Result<(), Misfit> {
    if value.is_empty() {
        return Err(Misfit::Empty);
    }
    if value == REDACTED || value == "<secret>" {
        return Err(Misfit::Placeholder);
    }
    match kind {
        Kind::Certificates => return pem(value, "certificate", &["CERTIFICATE"]),
        Kind::PrivateKey => {
            return pem(value, "private key", &["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"]);
        }
        _ => {}
    }
    if value.ends_with(['\n', '\r']) {
        return Err(Misfit::LineBreak);
    }
    let multiline = kind == Kind::Anything;
    if value.chars().any(|c| c.is_control() && !(multiline && matches!(c, '\n' | '\r' | '\t'))) {
        return Err(Misfit::Control);
    }
    if value.trim() != value {
        return Err(Misfit::Space);
    }
    match kind {
        Kind::Url if value.contains("{{") => Err(Misfit::Template),
        Kind::Url if !is_url(value) => Err(Misfit::Url),
        Kind::Number if value.parse::<f64>().is_err() => Err(Misfit::Number),
        Kind::OneOf(options) if !options.contains(&value) => Err(Misfit::Word),
        _ => Ok(()),
    }
}

/// Whether it is an absolute address with a host.
pub(super) fn is_url(value: &str) -> bool {
    let scheme = |prefix: &str| {
        value.get(..prefix.len()).filter(|start| start.eq_ignore_ascii_case(prefix))?;
        value.get(prefix.len()..)
    };
    let Some(rest) = scheme("https://").or_else(|| scheme("http://")) else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let name = host.strip_prefix('[').map_or_else(|| host.split(':').next(), |ip| ip.split(']').next());
    !name.unwrap_or_default().is_empty() && !value.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn pem(value: &str, what: &'static str, labels: &[&str]) -> Result<(), Misfit> {
    let is_block = |label: &&str| {
        let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
        value.trim_start().starts_with(&begin) && value.trim_end().ends_with(&end)
    };
    if value.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(Misfit::Control);
    }
    if labels.iter().any(is_block) { Ok(()) } else { Err(Misfit::Pem(what)) }
}

/// A value that fits, for checks that have no secrets.
#[must_use]
pub fn dummy(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "true",
        Kind::Certificates => "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
        Kind::Number => "1",
        Kind::OneOf(options) => options.first().copied().unwrap_or("dummy"),
        Kind::PrivateKey => "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n",
        Kind::Url => "https://dummy.invalid/path",
        Kind::Anything | Kind::Entries | Kind::Fields(_) | Kind::List | Kind::Text | Kind::Texts => {
            "0123456789abcdef0123456789abcdef"
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(path: &[&str]) -> Steps {
        let step = |text: &&str| text.parse().map_or_else(|_| Step::Name((*text).to_owned()), Step::Item);
        Steps(path.iter().map(step).collect())
    }

    #[test]
    fn a_place_is_known_by_the_type_of_its_contact_point() {
        let document = Node::read(&json!({
            "datasources": [{"secureJsonData": {"tlsClientKey": "x", "password": "y"}}],
            "contactPoints": [{"receivers": [
                {"type": "slack", "settings": {}},
                {"type": "teams", "settings": {}},
                {"type": "webhook", "settings": {}},
            ]}],
        }))
        .unwrap();
        let settings = |index: &'static str, field: &'static str| {
            let path = ["contactPoints", "0", "receivers", index, "settings", field];
            expected(&document, &at(&path)).map(|it| (it.kind, it.secret, it.encrypted))
        };
        assert_eq!(settings("0", "url"), Some((Kind::Url, true, true)));
        assert_eq!(settings("0", "token"), Some((Kind::Text, true, true)));
        assert_eq!(settings("0", "recipient"), Some((Kind::Text, false, false)));
        assert_eq!(settings("0", "routing_key"), None);
        assert_eq!(
            settings("1", "url"),
            Some((Kind::Url, true, false)),
            "Teams addresses are stored in the clear"
        );
        let hmac = ["contactPoints", "0", "receivers", "2", "settings", "hmacConfig", "secret"];
        assert!(expected(&document, &at(&hmac)).unwrap().encrypted);
        let key = expected(&document, &at(&["datasources", "0", "secureJsonData", "tlsClientKey"])).unwrap();
        assert_eq!((key.kind, key.secret), (Kind::PrivateKey, true));
        assert_eq!(expected(&document, &at(&["datasources", "1", "secureJsonData", "x"])), None);
        assert_eq!(expected(&document, &at(&["policies", "0", "receiver"])), None);
    }

    #[test]
    fn a_value_that_does_not_fit_is_told_by_its_reason() {
        for (kind, value, outcome) in [
            (Kind::Text, "Pa$$w0rd ${HOME} $__file{/etc/passwd}", Ok(())),
            (Kind::Text, "{{ not a template }}", Ok(())),
            (Kind::Text, "", Err(Misfit::Empty)),
            (Kind::Text, "[REDACTED]", Err(Misfit::Placeholder)),
            (Kind::Text, "token\n", Err(Misfit::LineBreak)),
            (Kind::Text, "to\u{0}ken", Err(Misfit::Control)),
            (Kind::Text, " token", Err(Misfit::Space)),
            (Kind::Url, "https://hooks.example/T0/B0", Ok(())),
            (Kind::Url, "HTTP://user:pw@[::1]:8080?x", Ok(())),
            (Kind::Url, r"https:\/\/hooks.example\/T0", Err(Misfit::Url)),
            (Kind::Url, "https:///path", Err(Misfit::Url)),
            (Kind::Url, "https://a b", Err(Misfit::Url)),
            (Kind::Url, "hooks.example/T0", Err(Misfit::Url)),
            (Kind::Url, "https://hooks.example/{{ .x }}", Err(Misfit::Template)),
            (Kind::Number, "-1.5", Ok(())),
            (Kind::Number, "one", Err(Misfit::Number)),
            (Kind::OneOf(&["a", "b"]), "b", Ok(())),
            (Kind::OneOf(&["a", "b"]), "c", Err(Misfit::Word)),
            (Kind::Certificates, "secret", Err(Misfit::Pem("certificate"))),
            (Kind::PrivateKey, dummy(Kind::Certificates), Err(Misfit::Pem("private key"))),
        ] {
            assert_eq!(fits(kind, value), outcome, "{value:?}");
        }
    }

    #[test]
    fn a_dummy_fits_its_own_kind() {
        for kind in
            [Kind::Anything, Kind::Certificates, Kind::Number, Kind::PrivateKey, Kind::Text, Kind::Url]
        {
            assert_eq!(fits(kind, dummy(kind)), Ok(()), "{kind:?}");
        }
    }
}
