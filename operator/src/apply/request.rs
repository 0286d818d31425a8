//! One request to the API server, below the client's own error handling, and what its refusal says.

use std::fmt::Write as _;

use hyper::{Method, Request, StatusCode, body::Bytes};
use kube::{
    Client,
    client::Body,
    core::{Status, response::StatusCause},
};
use serde::de::DeserializeOwned;

use crate::api_error;

/// What is asked of the API server.
pub(crate) struct Ask<'a> {
    /// The verb, as RBAC names it.
    pub(crate) verb: &'static str,
    /// The HTTP method.
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: &'a str,
    /// The type of the body.
    pub(crate) content: &'static str,
}

/// A plain body.
pub(crate) const JSON: &str = "application/json";
/// A JSON patch.
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";

/// Why nothing was written.
#[derive(Debug)]
pub enum Refusal {
    /// The API server's answer.
    Api {
        /// What was asked of it.
        verb: &'static str,
        /// Its answer.
        status: Box<Status>,
    },
    /// No answer, or one that can't be understood.
    Client(kube::Error),
}

/// Sends one request and decodes the answer.
pub(crate) async fn send<T: DeserializeOwned>(
    client: &Client,
    ask: Ask<'_>,
    accept: &str,
    body: Bytes,
) -> Result<T, Refusal> {
    let request = Request::builder()
        .method(ask.method)
        .uri(ask.path)
        .header("Accept", accept)
        .header("Content-Type", ask.content)
        .body(Body::from(body))
        .map_err(|error| Refusal::Client(kube::Error::HttpError(error)))?;
    let response = client.send(request).await.map_err(Refusal::Client)?;
    let code = response.status();
    let bytes = response.into_body().collect_bytes().await.map_err(Refusal::Client)?;
    if code.is_success() {
        return serde_json::from_slice(&bytes)
            .map_err(|error| Refusal::Client(kube::Error::SerdeError(error)));
    }
    Err(Refusal::Api { verb: ask.verb, status: Box::new(refused(code, &bytes)) })
}

/// The status in an answer, or one made of its code: a proxy answers with other texts.
fn refused(code: StatusCode, body: &[u8]) -> Status {
    let status: Option<Status> = serde_json::from_slice(body).ok();
    status.unwrap_or_else(|| Status::failure("", "")).with_code(code.as_u16())
}

/// Percent-encodes what is not unreserved in a URI. Names never contain such, as far as the API server is right.
pub(crate) fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a String does not fail");
        }
        out
    })
}

impl Refusal {
    /// Whether the Secret is another one than the plan was made for, so that a fresh look is worth it.
    pub fn is_outdated(&self) -> bool {
        match self {
            Self::Api { status, .. } => {
                (status.code == 409 && !self.is_field_conflict())
                    || self.is_other_uid()
                    || self.is_failed_test()
            }
            Self::Client(_) => false,
        }
    }

    /// Whether the body's uid is not the Secret's.
    pub fn is_other_uid(&self) -> bool {
        self.causes().iter().any(|cause| cause.field == "metadata.uid")
    }

    /// Whether another writer owns a field, in an apply without force.
    pub fn is_field_conflict(&self) -> bool {
        self.causes().iter().any(|cause| cause.reason == "FieldManagerConflict")
    }

    /// Whether a `test` of a JSON patch failed: the API server answers that without a cause.
    fn is_failed_test(&self) -> bool {
        matches!(self, Self::Api { status, .. } if status.code == 422 && self.causes().is_empty())
    }

    /// The fields that the API server names, and nothing that it says about them: its texts may quote values.
    pub fn fields(&self) -> Vec<String> {
        let mut fields: Vec<String> = self.causes().iter().map(|cause| cause.field.clone()).collect();
        fields.retain(|field| !field.is_empty());
        fields.sort();
        fields.dedup();
        fields
    }

    /// Whether Kubernetes does not change such fields.
    pub fn is_immutable(&self) -> bool {
        self.causes().iter().any(|cause| match cause.field.as_str() {
            "type" | "immutable" => true,
            "data" => cause.reason == "FieldValueForbidden",
            _ => false,
        })
    }

    fn causes(&self) -> &[StatusCause] {
        match self {
            Self::Api { status, .. } => status.details.as_ref().map_or(&[], |details| &details.causes),
            Self::Client(_) => &[],
        }
    }

    /// One phrase for the log, without anything that was sent or received.
    pub fn describe(&self) -> String {
        match self {
            Self::Api { status, .. } => format!("the API server answered {} {}", status.code, status.reason),
            Self::Client(error) => api_error::describe(error),
        }
    }
}
