//! Grafana's HTTP API: what to ask, and what an answer says.
//!
//! Everything here is a value: who sends it adds the host and the account. The endpoints are those of the data source API
//! and of the alerting provisioning API. Grafana 13 calls the latter deprecated in favour of
//! `/apis/notifications.alerting.grafana.app`, and still serves it; the new one refuses contact points with a name of one's
//! own and is in beta, so it is not used yet.
//!
//! A refusal of Grafana's repeats what it was sent, secrets included. So nothing of an answer goes into a message: only its
//! status code does.

mod contact_point;
mod datasource;
mod delivery;
mod plan;
mod policy;
mod same;

use std::fmt;

use zeroize::Zeroizing;

pub use contact_point::ContactPoint;
pub use datasource::Datasource;
pub use delivery::{Delivery, deliveries, deliveries_of};
pub use plan::{Current, Drift, Look, Options, Plan, Write, looks, looks_for, plan};
pub use policy::Policies;

use super::FileKind;

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `DELETE`
    Delete,
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
}

impl Method {
    /// As it is sent.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// A request, without the host and the account. No `Debug`: its body holds credentials.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path, with its query.
    pub path: String,
    /// The organisation; none where it is about the whole server.
    pub org: Option<i64>,
    /// Whether the entry stays editable in Grafana's own pages.
    pub is_editable: bool,
    /// JSON.
    pub body: Option<Zeroizing<Vec<u8>>>,
}

impl Request {
    fn new(method: Method, path: String, org: i64) -> Self {
        Self { method, path, org: Some(org), is_editable: false, body: None }
    }

    fn body(self, body: Zeroizing<Vec<u8>>) -> Self {
        Self { body: Some(body), ..self }
    }

    fn editable(self, is_editable: bool) -> Self {
        Self { is_editable, ..self }
    }

    /// The headers that belong to it.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![("accept", "application/json".to_owned())];
        if self.body.is_some() {
            headers.push(("content-type", "application/json".to_owned()));
        }
        // A token belongs to one organisation and this changes nothing for it; a user may have several.
        headers.extend(self.org.map(|org| ("x-grafana-org-id", org.to_string())));
        if self.is_editable {
            headers.push(("x-disable-provenance", "true".to_owned()));
        }
        headers
    }
}

/// Makes Grafana read its provisioning files again. Needs a server administrator.
#[must_use]
pub fn reload(kind: FileKind) -> Request {
    let path = format!("/api/admin/provisioning/{}/reload", kind.folder());
    Request { method: Method::Post, path, org: None, is_editable: false, body: None }
}

/// What Grafana answered.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// Whether it was done.
    ///
    /// # Errors
    /// It was not.
    pub fn done(self) -> Result<(), Refusal> {
        if (200..300).contains(&self.status) { Ok(()) } else { Err(Refusal::Status(self.status)) }
    }

    /// What it holds; none where there is no such thing.
    fn found(self) -> Result<Option<serde_json::Value>, Refusal> {
        if self.status == 404 {
            return Ok(None);
        }
        self.done()?;
        serde_json::from_slice(self.body).map(Some).map_err(|_| Refusal::Unreadable)
    }
}

/// Why a request came to nothing. Never shows what Grafana said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It answered with this code.
    Status(u16),
    /// It answered something else than its documentation says.
    Unreadable,
}

impl Refusal {
    /// Whether the same request may be taken later.
    #[must_use]
    pub fn is_passing(self) -> bool {
        matches!(self, Self::Status(408 | 425 | 429 | 500..=599))
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Status(code) = self else {
            return f.write_str("grafana's answer is not of the form that its documentation describes");
        };
        let meaning = match code {
            300..=399 => "it points to another address, and redirects are not followed",
            400 | 422 => "it does not take this entry",
            401 => "it does not accept the account",
            403 => "the account may not do this, or the entry belongs to a provisioning file",
            404 => "it has no such entry, or no such endpoint",
            409 | 412 => "the entry is in use, or collides with another",
            410 => "this version of Grafana no longer has this endpoint",
            429 => "it asks to wait",
            500..=599 => "it failed; its own log says at what",
            _ => "which means nothing here",
        };
        write!(f, "grafana answered {code}: {meaning}")
    }
}

/// One part of a path.
fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests;
