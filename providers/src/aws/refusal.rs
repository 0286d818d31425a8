//! From an error of the SDK to a [`Failure`], and to what can be done about it at once.
//!
//! AWS repeats parts of requests in its messages, the `Authorization` header among them. A message is looked at here
//! where a code has more than one meaning, and goes nowhere.

use std::{
    error::Error,
    time::{Duration, SystemTime},
};

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::{DateTime, date_time::Format, error::metadata::ProvideErrorMetadata};
use waxwing_core::store::{Failure, Kind};

use super::kms;
use crate::net;

/// Why a request did not get what it asked for.
pub(super) struct Refusal {
    pub(super) failure: Failure,
    pub(super) remedy: Remedy,
}

/// What may help at once, and only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Asking again: our clock is wrong, and the SDK has learnt by how much.
    Again,
    /// A new login.
    LogIn,
    /// Nothing.
    None,
}

/// What an error of the SDK means.
pub(super) fn of<E>(error: &SdkError<E, HttpResponse>) -> Refusal
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let (raw, code, message) = match error {
        SdkError::ServiceError(error) => (error.raw(), error.err().code(), error.err().message()),
        SdkError::ResponseError(error) => (error.raw(), None, None),
        error => return Refusal { failure: net::failure(error), remedy: Remedy::None },
    };
    let status = raw.status().as_u16();
    let (kind, what) = match code.and_then(|code| meaning(code, message.unwrap_or_default())) {
        Some(meaning) => meaning,
        None => by_status(status),
    };
    let (what, remedy) = match code {
        Some("ExpiredToken" | "ExpiredTokenException") => (what, Remedy::LogIn),
        Some(code) if is_about_time(code) && is_far_off(raw, SystemTime::now()) => {
            ("the clocks of AWS and of this machine differ by more than four minutes", Remedy::Again)
        }
        _ => (what, Remedy::None),
    };
    Refusal { failure: Failure::new(kind, what).with_code(status).after(retry_after(raw)), remedy }
}

/// What one entry of a batch was refused for.
pub(super) fn of_part(code: &str, message: &str) -> Failure {
    let (kind, what) =
        meaning(code, message).unwrap_or((Kind::Rejected, "AWS rejected the request for this entry"));
    Failure::new(kind, what)
}

/// What a code means, as AWS documents it. The message tells apart what has one code.
fn meaning(code: &str, message: &str) -> Option<(Kind, &'static str)> {
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    Some(match code {
        "ResourceNotFoundException" if says(&["secret value"]) => {
            (Kind::EntryMissing, "the secret has no such version")
        }
        "ResourceNotFoundException" | "ParameterNotFound" | "InvalidResourceId" => {
            (Kind::EntryMissing, "there is no such entry")
        }
        "ParameterVersionNotFound" => (Kind::EntryMissing, "the parameter has no such version"),
        "InvalidRequestException" if says(&["deletion", "deleted"]) => {
            (Kind::EntryMissing, "the secret is marked for deletion")
        }

        "NotFoundException" => (Kind::EntryMissing, "there is no such KMS key"),
        "InvalidCiphertextException" | "IncorrectKeyException" => {
            (Kind::Rejected, "the KMS key did not wrap this for this ring and recipient")
        }
        "InvalidKeyUsageException" => (Kind::Rejected, "the KMS key is not one that encrypts"),
        "DisabledException" | "KMSInvalidStateException" => (Kind::Forbidden, kms::DISABLED),
        "DependencyTimeoutException" | "KMSInternalException" | "KeyUnavailableException" => {
            (Kind::Unavailable, "AWS is in trouble")
        }

        "DecryptionFailure" | "DecryptionFailureException" | "InvalidKeyId" | "KMSAccessDeniedException" => {
            (Kind::Forbidden, NO_KEY)
        }
        "AccessDeniedException" | "AccessDenied" if says(&["KMS", "kms:", "ciphertext"]) => {
            (Kind::Forbidden, NO_KEY)
        }
        "AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation" | "OptInRequired" => {
            (Kind::Forbidden, "the IAM policy does not allow it")
        }
        "RegionDisabledException" => (Kind::Forbidden, "the account has not enabled AWS STS in this region"),

        "UnrecognizedClientException" | "InvalidClientTokenId" | "InvalidAccessKeyId" => {
            (Kind::Unauthenticated, "AWS does not know the access key")
        }
        "SignatureDoesNotMatch" | "InvalidSignatureException" => {
            (Kind::Unauthenticated, "the secret access key does not belong to the access key")
        }
        "ExpiredToken" | "ExpiredTokenException" => (Kind::Unauthenticated, "the session token has expired"),
        "RequestTimeTooSkewed" | "RequestExpired" => {
            (Kind::Unauthenticated, "AWS finds the time of the request wrong")
        }
        "InvalidIdentityToken" | "InvalidIdentityTokenException" | "IDPRejectedClaim" => (
            Kind::Unauthenticated,
            "AWS does not take the ServiceAccount's token: the account needs an OIDC provider for this cluster's \
             issuer, and the role a trust policy for this ServiceAccount",
        ),
        "AuthFailure"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "InvalidToken"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException" => {
            (Kind::Unauthenticated, "the credentials were not accepted")
        }

        "BandwidthLimitExceeded"
        | "LimitExceededException"
        | "PriorRequestNotComplete"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "SlowDown"
        | "Throttling"
        | "ThrottledException"
        | "ThrottlingException"
        | "TooManyRequestsException" => (Kind::Throttled, "AWS asks for fewer requests"),

        "IDPCommunicationError" => (Kind::Unavailable, "AWS cannot reach this cluster's OIDC issuer"),
        "InternalError"
        | "InternalFailure"
        | "InternalServerError"
        | "InternalServiceError"
        | "InternalServiceErrorException"
        | "RequestTimeout"
        | "RequestTimeoutException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException" => (Kind::Unavailable, "AWS is in trouble"),

        "ExpiredNextTokenException" | "InvalidNextToken" | "InvalidNextTokenException" => {
            (Kind::Unavailable, "the list changed while it was read")
        }
        "PackedPolicyTooLarge" => (Kind::Rejected, "the session tags are larger than AWS takes"),
        "InvalidFilterKey"
        | "InvalidFilterOption"
        | "InvalidFilterValue"
        | "InvalidParameterException"
        | "InvalidParameterValue"
        | "InvalidRequestException"
        | "MalformedPolicyDocument"
        | "ValidationError"
        | "ValidationException" => (Kind::Rejected, "AWS finds the request malformed"),
        _ => return None,
    })
}

/// What a status means whose code says nothing, or which came from something that is not AWS.
fn by_status(status: u16) -> (Kind, &'static str) {
    match status {
        200..=299 => (Kind::BadData, "the answer could not be understood"),
        300..=399 => {
            (Kind::EndpointRefused, "answered with a redirect, which is not followed with credentials")
        }
        401 => (Kind::Unauthenticated, "the credentials were not accepted"),
        403 => (Kind::Forbidden, "the IAM policy does not allow it"),
        408 | 500..=599 => (Kind::Unavailable, "AWS is in trouble"),
        413 => (Kind::TooLarge, "AWS finds the request too large"),
        429 => (Kind::Throttled, "AWS asks for fewer requests"),
        400..=499 => (Kind::Rejected, "AWS rejected the request"),
        _ => (Kind::Unavailable, "the answer is not one of AWS"),
    }
}

/// Whether a wrong time in a request can be what the code means.
fn is_about_time(code: &str) -> bool {
    matches!(
        code,
        "AuthFailure"
            | "InvalidSignatureException"
            | "RequestExpired"
            | "RequestTimeTooSkewed"
            | "SignatureDoesNotMatch"
    )
}

/// Whether the answer's `Date` is so far from `now` that a signature is refused for it alone. AWS takes five minutes; the
/// SDK believes the header from four on.
fn is_far_off(answer: &HttpResponse, now: SystemTime) -> bool {
    let date = answer.headers().get("date").and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
    let Some(date) = date.and_then(|date| SystemTime::try_from(date).ok()) else { return false };
    let apart = date.duration_since(now).unwrap_or_else(|earlier| earlier.duration());
    apart > Duration::from_secs(4 * 60)
}

fn retry_after(answer: &HttpResponse) -> Option<Duration> {
    let seconds: u64 = answer.headers().get("retry-after")?.parse().ok()?;
    // More than an hour is not believed.
    Some(Duration::from_secs(seconds.min(3600)))
}

const NO_KEY: &str = "the KMS key that encrypts the entry may not be used, or is gone: kms:Decrypt is needed";

#[cfg(test)]
mod tests;
