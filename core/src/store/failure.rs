//! Why something could not be had from a provider.
//!
//! A provider's own words never go further than the code that parses its answer: they repeat what was sent, credentials
//! included. A [`Failure`] can hold only fixed phrases, numbers, and names that stand in the resource.

use std::{fmt, time::Duration};

use waxwing_crds::Reason;

/// What kind of failure it is. Each kind is one [`Reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The store's spec makes no sense.
    BadStore,
    /// The endpoint is not one that this object may name.
    EndpointRefused,
    /// A Secret, ConfigMap or ServiceAccount that the store refers to, or a key in it, is not there.
    CredentialMissing,
    /// The credentials were not accepted.
    Unauthenticated,
    /// They were, but this is not allowed.
    Forbidden,
    /// The provider says positively that this entry does not exist.
    EntryMissing,
    /// What the entry would lie in does not exist: the mount, the vault, the project.
    MountMissing,
    /// The request makes no sense to the provider.
    Rejected,
    /// No answer, or an answer that says that the provider is in trouble.
    Unavailable,
    /// The provider's certificate is not trusted, or not for this host.
    Untrusted,
    /// Vault is sealed.
    Sealed,
    /// The provider asks for fewer requests.
    Throttled,
    /// The answer, or the value in it, is larger than what is taken.
    TooLarge,
    /// The answer could not be understood, or the value is not what the resource says.
    BadData,
    /// What is asked for is not something that this provider can do.
    Unsupported,
}

impl Kind {
    /// The reason that conditions, events and metrics carry.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::BadStore => Reason::InvalidStore,
            Self::EndpointRefused => Reason::EndpointRefused,
            Self::CredentialMissing => Reason::CredentialMissing,
            Self::Unauthenticated => Reason::ProviderUnauthenticated,
            Self::Forbidden => Reason::ProviderForbidden,
            Self::EntryMissing => Reason::EntryMissing,
            Self::MountMissing => Reason::MountMissing,
            Self::Rejected => Reason::ProviderRejected,
            Self::Unavailable => Reason::ProviderUnavailable,
            Self::Untrusted => Reason::ProviderUntrusted,
            Self::Sealed => Reason::ProviderSealed,
            Self::Throttled => Reason::ProviderThrottled,
            Self::TooLarge => Reason::ValueTooLarge,
            Self::BadData => Reason::InvalidValue,
            Self::Unsupported => Reason::NotSupportedByProvider,
        }
    }

    /// Whether the whole store is in trouble, so that another store may be asked instead, and others need not try.
    #[must_use]
    pub const fn is_outage(self) -> bool {
        matches!(self, Self::Unavailable | Self::Untrusted | Self::Sealed | Self::Throttled)
    }
}

/// A failure, in words that are safe to show to anybody who can read the resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind.
    pub kind: Kind,
    /// A fixed phrase, lower case, without a period: "the certificate has expired".
    pub what: &'static str,
    /// Where: a key, path, host or field that stands in the resource itself, or a position such as "line 3 column 7".
    pub place: Option<String>,
    /// The HTTP status, where there was one.
    pub code: Option<u16>,
    /// How long the provider wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure of this kind.
    #[must_use]
    pub const fn new(kind: Kind, what: &'static str) -> Self {
        Self { kind, what, place: None, code: None, retry_after: None }
    }

    /// The same, with where it happened.
    #[must_use]
    pub fn at(self, place: impl Into<String>) -> Self {
        // It comes from a resource that somebody else may have written: enough of it to find the place.
        let place = place.into().chars().filter(|c| !c.is_control()).take(300).collect();
        Self { place: Some(place), ..self }
    }

    /// The same, with the HTTP status.
    #[must_use]
    pub fn with_code(self, code: u16) -> Self {
        Self { code: Some(code), ..self }
    }

    /// The same, with how long to wait.
    #[must_use]
    pub fn after(self, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..self }
    }

    /// The reason that conditions, events and metrics carry.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.kind.reason()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(self.what)?;
        match self.code {
            Some(code) => write!(f, " (HTTP {code})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_where_what_and_the_code() {
        let failure = Failure::new(Kind::Forbidden, "the policy does not allow reading it");
        let failure = failure.at("secret/data/app\n").with_code(403);
        assert_eq!(failure.to_string(), "secret/data/app: the policy does not allow reading it (HTTP 403)");
    }

    #[test]
    fn a_place_is_cut() {
        let failure = Failure::new(Kind::EntryMissing, "there is no such entry").at("k".repeat(5000));
        assert_eq!(failure.place.map(|place| place.len()), Some(300));
    }
}
