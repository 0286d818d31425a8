//! What the API server's refusals mean, told without repeating what was sent or received.
//!
//! The client's own error texts may quote an object (a decoder quotes what it could not read), so they are never
//! logged or reported as they are.

use kube::{Error, core::Status};
use waxwing_crds::Reason;

/// The reason for conditions and metrics.
pub fn reason(error: &Error) -> Reason {
    match error {
        Error::Api(status) => match status.code {
            403 if is_terminating(status) => Reason::NamespaceTerminating,
            401 | 403 => Reason::ApiForbidden,
            409 => Reason::ApiConflict,
            429 => Reason::ApiThrottled,
            400 | 413 | 415 | 422 => Reason::ApiRejected,
            _ => Reason::ApiUnavailable,
        },
        Error::SerdeError(_) | Error::FromUtf8(_) | Error::BuildRequest(_) => Reason::InternalError,
        _ => Reason::ApiUnavailable,
    }
}

/// The API server says so in a cause; old ones in the message only.
fn is_terminating(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
        || status.message.contains("because it is being terminated")
}

/// One phrase for the log: kind and code, never the text that the API server sent.
pub fn describe(error: &Error) -> String {
    match error {
        Error::Api(status) if status.reason.is_empty() => format!("the API server answered {}", status.code),
        Error::Api(status) => format!("the API server answered {} {}", status.code, status.reason),
        Error::SerdeError(error) => {
            format!("the answer could not be decoded (line {}, column {})", error.line(), error.column())
        }
        Error::HyperError(error) => unreachable(error),
        Error::Service(error) => unreachable(&**error),
        Error::ReadEvents(error) => unreachable(error),
        Error::Auth(_) => "the credentials for the API server could not be used".into(),
        Error::FromUtf8(_) => "the answer is not UTF-8".into(),
        _ => "the request could not be made".into(),
    }
}

/// With every cause: these errors are of the transport and know nothing of what was sent.
fn unreachable(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = "the API server could not be reached".to_owned();
    let mut next = Some(error);
    while let Some(error) = next {
        let cause = error.to_string();
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
        next = error.source();
    }
    text
}

/// As [`describe`], with the API server's message: only for reads, where nothing was sent that it could repeat.
pub fn describe_read(error: &Error) -> String {
    match error {
        Error::Api(status) if !status.message.is_empty() => {
            format!("{}: {}", describe(error), status.message)
        }
        _ => describe(error),
    }
}

/// A word for metrics.
pub fn cause(error: &Error) -> &'static str {
    match error {
        Error::Api(status) => match status.code {
            401 | 403 => "forbidden",
            404 => "not_found",
            410 => "gone",
            429 => "throttled",
            500.. => "server_error",
            _ => "refused",
        },
        Error::SerdeError(_) | Error::FromUtf8(_) => "undecodable",
        _ => "unreachable",
    }
}

/// Whether the object is not there.
pub fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 404)
}

/// Whether somebody else was faster, or it exists already.
pub fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 409)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(code: u16, reason: &str, message: &str) -> Error {
        Error::Api(Box::new(Status::failure(message, reason).with_code(code)))
    }

    #[test]
    fn each_refusal_has_its_reason() {
        for (code, expected) in [
            (403, Reason::ApiForbidden),
            (409, Reason::ApiConflict),
            (422, Reason::ApiRejected),
            (429, Reason::ApiThrottled),
            (500, Reason::ApiUnavailable),
            (503, Reason::ApiUnavailable),
        ] {
            assert_eq!(reason(&api(code, "", "")), expected, "{code}");
        }
        let message = "unable to create new content in namespace a because it is being terminated";
        assert_eq!(reason(&api(403, "Forbidden", message)), Reason::NamespaceTerminating);
    }

    /// L02, L03. Guard: describe() leaves out the texts of the API server and of the decoder.
    #[test]
    fn neither_a_servers_message_nor_a_decoders_quote_is_repeated() {
        let decode = serde_json::from_str::<u8>("\"canary-value\"").unwrap_err();
        assert!(decode.to_string().contains("canary-value"));
        for error in [Error::SerdeError(decode), api(422, "Invalid", "data: Invalid value: canary-value")] {
            assert!(!describe(&error).contains("canary-value"));
        }
    }
}
