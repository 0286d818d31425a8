//! Which hosts a store may name, and which addresses are never connected to.
//!
//! A store's author chooses where credentials are sent and what the operator's network position reaches. So a URL is
//! taken apart by a grammar that is narrower than any client's, and put together again from its parts: no client can
//! read another host out of it than the one that was checked. What a name resolves to is checked once more when the
//! connection is made ([`Allow::reachable`]), because whoever owns the name can change that at any time.

mod address;

use std::{fmt, net::IpAddr, str::FromStr};

use super::{Failure, Kind};

pub use address::is_forbidden_address;

/// Who names the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller<'a> {
    /// A namespaced store: only Services of this namespace, and what the operator allows.
    Namespace(&'a str),
    /// A ClusterSecretStore: any host.
    Cluster,
    /// An injection, for the server that it configures: as [`Caller::Namespace`]; a name without a dot is a Service of the
    /// namespace, and its own Services may be spoken to without TLS, as Alertmanager and Grafana are within a cluster.
    Injection(&'a str),
}

/// What the operator allows beyond the rules: its `--allow-endpoint` list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allow(Vec<Allowed>);

/// One entry of that list: `host`, `host:port`, `*.suffix` or an IP address, with `http://` before it where plain HTTP
/// is allowed too. Without a port, every port is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    host: Pattern,
    port: Option<u16>,
    plain: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Exactly(Host),
    /// Every name that ends in this, which begins with a dot.
    Below(String),
}

/// A host as it stands in a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name, in lower case and without a trailing dot.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// A URL that passed [`check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The host.
    pub host: Host,
    /// The port, also where it is the scheme's own.
    pub port: u16,
    /// Whether it is plain HTTP.
    pub plain: bool,
    /// Empty, or begins with `/` and does not end in one.
    pub path: String,
}

/// Why a URL may not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointFault {
    /// An IP address that the operator's list does not name.
    Address,
    /// Link-local, metadata, multicast and the like.
    Forbidden,
    /// It is none of the forms that are taken.
    Malformed,
    /// Neither a Service of the namespace nor on the list.
    NotAllowed,
    /// Plain HTTP.
    Plain,
}

impl EndpointFault {
    /// The same in words.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Address => "an IP address may be named only if the operator's --allow-endpoint list has it",
            Self::Forbidden => "it is an address that is never connected to",
            Self::Malformed => "it is not a plain https://host[:port][/path] URL",
            Self::NotAllowed => {
                "it is neither a Service of this namespace nor on the operator's --allow-endpoint list"
            }
            Self::Plain => {
                "plain HTTP is used only if the operator's --allow-endpoint list says http:// for this host"
            }
        }
    }
}

impl fmt::Display for EndpointFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what())
    }
}

impl std::error::Error for EndpointFault {}

impl From<EndpointFault> for Failure {
    fn from(fault: EndpointFault) -> Self {
        Self::new(Kind::EndpointRefused, fault.what())
    }
}

/// An `--allow-endpoint` entry that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not one of host, host:port, *.suffix or an IP address, each with or without http:// before it")]
pub struct BadEntry;

/// Whether this caller may name this URL, and what it means.
///
/// # Errors
/// The rule that it breaks. A fault never repeats the URL, which may hold a password.
pub fn check(url: &str, caller: Caller<'_>, allow: &Allow) -> Result<Endpoint, EndpointFault> {
    let mut endpoint = Endpoint::parse(url)?;
    if let (Caller::Injection(namespace), Host::Name(name)) = (caller, &mut endpoint.host)
        && !name.contains('.')
        && !is_local(name)
    {
        name.push_str(&format!(".{namespace}.svc"));
    }
    let endpoint = endpoint;
    let mut is_inside_plain = false;
    let named = |plain| allow.names(&endpoint.host, Some(endpoint.port), plain);
    match &endpoint.host {
        Host::Address(address) => {
            if is_forbidden_address(*address) {
                return Err(EndpointFault::Forbidden);
            }
            if !named(false) {
                return Err(EndpointFault::Address);
            }
        }
        Host::Name(name) => {
            let inside = match caller {
                Caller::Cluster => !is_local(name),
                Caller::Namespace(namespace) | Caller::Injection(namespace) => is_service_of(name, namespace),
            };
            is_inside_plain = inside && matches!(caller, Caller::Injection(_));
            if !inside && !named(false) {
                return Err(EndpointFault::NotAllowed);
            }
        }
    }
    if endpoint.plain && !is_inside_plain && !named(true) {
        return Err(EndpointFault::Plain);
    }
    Ok(endpoint)
}

/// Whether this is one label of a host name. Whatever a resource puts into the host of a URL that a provider makes
/// itself, such as a region, has to be one.
#[must_use]
pub fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
    (1..=63).contains(&text.len())
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

impl Allow {
    /// Reads the operator's list.
    ///
    /// # Errors
    /// One of the entries is none.
    pub fn parse<S: AsRef<str>>(entries: impl IntoIterator<Item = S>) -> Result<Self, BadEntry> {
        entries.into_iter().map(|entry| entry.as_ref().parse()).collect()
    }

    /// Whether a connection to this address may be made, when this host resolved to it.
    ///
    /// # Errors
    /// `Forbidden`. Loopback is reached only by the name `localhost` or by the address itself, if the list has them:
    /// other names are somebody else's to point anywhere.
    pub fn reachable(&self, host: &str, address: IpAddr) -> Result<(), EndpointFault> {
        let host = Host::parse(host).ok_or(EndpointFault::Malformed)?;
        let local = match &host {
            Host::Name(name) => is_local(name),
            Host::Address(named) => *named == address,
        };
        let forbidden = is_forbidden_address(address)
            || (address::is_loopback(address) && !(local && self.names(&host, None, false)));
        if forbidden { Err(EndpointFault::Forbidden) } else { Ok(()) }
    }

    /// Whether the list has this host. Without a port, whatever port the entry is for.
    fn names(&self, host: &Host, port: Option<u16>, plain: bool) -> bool {
        self.0.iter().any(|allowed| {
            let port = match (allowed.port, port) {
                (Some(allowed), Some(port)) => allowed == port,
                _ => true,
            };
            port && (allowed.plain || !plain) && allowed.host.matches(host)
        })
    }
}

impl FromIterator<Allowed> for Allow {
    fn from_iter<I: IntoIterator<Item = Allowed>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl FromStr for Allowed {
    type Err = BadEntry;

    fn from_str(entry: &str) -> Result<Self, BadEntry> {
        let (plain, rest) = match entry.strip_prefix("http://") {
            Some(rest) => (true, rest),
            None => (false, entry.strip_prefix("https://").unwrap_or(entry)),
        };
        if let Some(suffix) = rest.strip_prefix("*.") {
            let (name, port) = split_port(suffix).ok_or(BadEntry)?;
            let Some(Host::Name(name)) = Host::parse(name) else { return Err(BadEntry) };
            return Ok(Self { host: Pattern::Below(format!(".{name}")), port, plain });
        }
        // An IPv6 address without brackets has colons of its own, so it cannot have a port.
        if let Ok(address) = rest.parse() {
            return Ok(Self { host: Pattern::Exactly(Host::Address(address)), port: None, plain });
        }
        let (host, port) = split_port(rest).ok_or(BadEntry)?;
        let host = Host::parse(host).ok_or(BadEntry)?;
        Ok(Self { host: Pattern::Exactly(host), port, plain })
    }
}

impl Pattern {
    fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Exactly(allowed), host) => allowed == host,
            // `localhost` and what is below it is never meant by a suffix.
            (Self::Below(suffix), Host::Name(name)) => name.ends_with(suffix.as_str()) && !is_local(name),
            (Self::Below(_), Host::Address(_)) => false,
        }
    }
}

impl Endpoint {
    fn parse(url: &str) -> Result<Self, EndpointFault> {
        let malformed = EndpointFault::Malformed;
        if url.len() > MOST {
            return Err(malformed);
        }
        let (scheme, rest) = url.split_once("://").ok_or(malformed)?;
        let plain = match scheme {
            _ if scheme.eq_ignore_ascii_case("https") => false,
            _ if scheme.eq_ignore_ascii_case("http") => true,
            _ => return Err(malformed),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = split_port(authority).ok_or(malformed)?;
        let host = Host::parse(host).ok_or(malformed)?;
        let port = port.unwrap_or(if plain { 80 } else { 443 });
        let path = path.trim_end_matches('/');
        let plain_segment = |segment: &str| {
            !matches!(segment, "" | "." | "..")
                && segment.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~'))
        };
        if !path.split('/').skip(1).all(plain_segment) {
            return Err(malformed);
        }
        Ok(Self { host, port, plain, path: path.to_owned() })
    }
}

/// As a URL, without a slash at the end.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, own) = if self.plain { ("http", 80) } else { ("https", 443) };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port != own {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.path)
    }
}

impl Host {
    /// Only names of letters, digits, hyphens and underscores, and addresses in their usual form: anything else is
    /// something that two programs could read differently, such as `0x7f.1`, `%6c`, or a zone.
    fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            let address = inner.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(IpAddr::V6(address)));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        };
        if name.len() > 253 || !name.split('.').all(label) {
            return None;
        }
        // Clients read whatever ends in a number as an IPv4 address, also in octal and hexadecimal.
        let last = name.rsplit('.').next()?.to_ascii_lowercase();
        let number = last.bytes().all(|b| b.is_ascii_digit())
            || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        if number {
            return name.parse().ok().map(|address| Self::Address(IpAddr::V4(address)));
        }
        Some(Self::Name(name.to_ascii_lowercase()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Host and port. `None` if what stands for a port is none.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let colon = match authority.rfind(']') {
        Some(bracket) if authority.len() == bracket + 1 => None,
        Some(bracket) => Some(bracket + 1),
        None => authority.find(':'),
    };
    let Some(colon) = colon else { return Some((authority, None)) };
    let digits = authority[colon..].strip_prefix(':')?;
    let plain = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    let port = digits.parse().ok().filter(|_| plain)?;
    Some((&authority[..colon], Some(port)))
}

fn is_service_of(name: &str, namespace: &str) -> bool {
    let name = name.strip_suffix(".cluster.local").unwrap_or(name);
    name.strip_suffix(".svc")
        .and_then(|name| name.strip_suffix(namespace))
        .and_then(|name| name.strip_suffix('.'))
        .is_some_and(is_label)
}

/// Names that mean this machine, whatever any server says.
fn is_local(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// The longest URL that is looked at.
const MOST: usize = 2048;

#[cfg(test)]
mod tests;
