//! From an answer that is none to a [`Failure`]: by its status and the codes in it, never by its words.

use std::{borrow::Cow, time::Duration};

use serde::Deserialize;
use waxwing_core::store::{Failure, Kind};

use crate::link::Answer;

/// Why a request to Secret Manager or IAM did not get what it asked for.
pub(super) fn of_answer(answer: &Answer) -> Failure {
    let said = Said::read(&answer.body);
    let (kind, what) = match (answer.status, said.status.as_ref()) {
        (300..=399, _) => {
            (Kind::EndpointRefused, "answered with a redirect, which is not followed with credentials")
        }
        (400, "FAILED_PRECONDITION") => (Kind::Forbidden, "the version is disabled or destroyed"),
        (400, _) => (Kind::Rejected, "Secret Manager rejected the request"),
        (401, _) => (Kind::Unauthenticated, "the credentials were not accepted"),
        (403, _) => of_reason(&said),
        // A 404 of something else that answers there says nothing about the secret.
        (404, "NOT_FOUND") => (Kind::EntryMissing, "there is no such secret, or no such version of it"),
        (429, _) => (Kind::Throttled, "Secret Manager asks for fewer requests"),
        (500..=599, _) => (Kind::Unavailable, "Secret Manager is in trouble"),
        _ => (Kind::Unavailable, "the answer is not one of Secret Manager"),
    };
    let after = answer.retry_after().or_else(|| said.retry_delay());
    Failure::new(kind, what).with_code(answer.status).after(after)
}

/// The reasons of a 403 (`google.rpc.ErrorInfo`) that call for something else than a role.
fn of_reason(said: &Said<'_>) -> (Kind, &'static str) {
    let known = said.details.iter().find_map(|detail| {
        Some(match detail.reason.as_deref()? {
            "ACCESS_TOKEN_SCOPE_INSUFFICIENT" => {
                (Kind::Forbidden, "the machine's access scopes leave out cloud-platform")
            }
            "BILLING_DISABLED" => (Kind::Forbidden, "billing is turned off for the project"),
            "CONSUMER_INVALID" | "RESOURCE_PROJECT_INVALID" => {
                (Kind::MountMissing, "there is no such project")
            }
            "CONSUMER_SUSPENDED" => (Kind::Forbidden, "the project is suspended"),
            "SECURITY_POLICY_VIOLATED" => (Kind::Forbidden, "a VPC service perimeter forbids it"),
            "SERVICE_DISABLED" => {
                (Kind::MountMissing, "the Secret Manager API is not enabled in the project")
            }
            _ => return None,
        })
    });
    known.unwrap_or((Kind::Forbidden, "the account has no role that allows it, or there is no such secret"))
}

/// Why the token service did not exchange a token.
pub(super) fn of_exchange(answer: &Answer) -> Failure {
    let said: OAuth<'_> = serde_json::from_slice(&answer.body).unwrap_or_default();
    let (kind, what) = match (answer.status, said.error.as_ref()) {
        (400..=403, "invalid_target") => {
            (Kind::Unauthenticated, "there is no such workload identity pool or provider")
        }
        (400..=403, _) => (Kind::Unauthenticated, "the ServiceAccount's token was not accepted"),
        (429, _) => (Kind::Throttled, "the token service asks for fewer requests"),
        (300..=399, _) => return of_answer(answer),
        _ => (Kind::Unavailable, "the token service is in trouble"),
    };
    Failure::new(kind, what).with_code(answer.status).after(answer.retry_after())
}

/// Why a workload may not act as a Google service account.
pub(super) fn of_impersonation(answer: &Answer) -> Failure {
    let (kind, what) = match answer.status {
        403 | 404 => (
            Kind::Unauthenticated,
            "the ServiceAccount may not act as the Google service account, or there is none",
        ),
        _ => return of_answer(answer),
    };
    Failure::new(kind, what).with_code(answer.status)
}

/// `google.rpc.Status`, as far as it decides something.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    details: Vec<Detail<'a>>,
}

#[derive(Deserialize)]
struct Detail<'a> {
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "retryDelay")]
    retry_delay: Option<Cow<'a, str>>,
}

/// The token service answers as OAuth has it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct OAuth<'a> {
    #[serde(borrow)]
    error: Cow<'a, str>,
}

impl<'a> Said<'a> {
    fn read(body: &'a [u8]) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Envelope<'a> {
            #[serde(borrow)]
            error: Said<'a>,
        }
        serde_json::from_slice::<Envelope<'_>>(body).unwrap_or_default().error
    }

    /// `google.rpc.RetryInfo`: seconds, perhaps with a fraction.
    fn retry_delay(&self) -> Option<Duration> {
        let delay = self.details.iter().find_map(|detail| detail.retry_delay.as_deref())?;
        let seconds = delay.strip_suffix('s')?.parse::<f64>().ok()?;
        (0.0..=3600.0).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;
    use zeroize::Zeroizing;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, headers: HeaderMap::new(), body: Zeroizing::new(body.as_bytes().to_vec()) }
    }

    fn check(of: fn(&Answer) -> Failure, status: u16, body: &str, kind: Kind) -> Failure {
        let failure = of(&answer(status, body));
        assert_eq!((failure.kind, failure.code), (kind, Some(status)), "{body}");
        assert!(!failure.to_string().contains("canary"), "{failure}");
        failure
    }

    fn status(code: &str) -> String {
        format!(r#"{{"error":{{"code":1,"message":"canary","status":"{code}"}}}}"#)
    }

    fn reason(reason: &str) -> String {
        let detail = format!(r#"{{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"{reason}"}}"#);
        format!(r#"{{"error":{{"message":"canary","status":"PERMISSION_DENIED","details":[{detail}]}}}}"#)
    }

    /// L02. What the service says in words goes no further.
    /// Guard: `of_answer` uses codes alone.
    #[test]
    fn every_status_has_a_kind() {
        check(of_answer, 302, "", Kind::EndpointRefused);
        check(of_answer, 400, &status("INVALID_ARGUMENT"), Kind::Rejected);
        check(of_answer, 400, &status("FAILED_PRECONDITION"), Kind::Forbidden);
        check(of_answer, 401, &status("UNAUTHENTICATED"), Kind::Unauthenticated);
        check(of_answer, 403, &status("PERMISSION_DENIED"), Kind::Forbidden);
        check(of_answer, 403, "canary", Kind::Forbidden);
        check(of_answer, 404, &status("NOT_FOUND"), Kind::EntryMissing);
        check(of_answer, 429, &status("RESOURCE_EXHAUSTED"), Kind::Throttled);
        check(of_answer, 500, "canary", Kind::Unavailable);
        check(of_answer, 503, &status("UNAVAILABLE"), Kind::Unavailable);
        check(of_answer, 204, "", Kind::Unavailable);
    }

    /// D07. Only the service itself can say that a secret does not exist.
    /// Guard: the status word beside the 404 in `of_answer`.
    #[test]
    fn a_404_of_something_else_is_no_missing_entry() {
        for body in ["", "<html>canary</html>", r#"{"error":"canary"}"#, r#"{"error":{"code":404}}"#, "[]"] {
            check(of_answer, 404, body, Kind::Unavailable);
        }
    }

    #[test]
    fn a_403_says_what_else_than_a_role_is_missing() {
        check(of_answer, 403, &reason("CONSUMER_INVALID"), Kind::MountMissing);
        check(of_answer, 403, &reason("SERVICE_DISABLED"), Kind::MountMissing);
        check(of_answer, 403, &reason("SECURITY_POLICY_VIOLATED"), Kind::Forbidden);
        check(of_answer, 403, &reason("canary"), Kind::Forbidden);
    }

    #[test]
    fn a_throttled_request_says_how_long_to_wait() {
        let body = r#"{"error":{"status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"2.5s"}]}}"#;
        let failure = check(of_answer, 429, body, Kind::Throttled);
        assert_eq!(failure.retry_after, Some(Duration::from_millis(2500)));
        let body = r#"{"error":{"status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"1e9s"}]}}"#;
        assert_eq!(check(of_answer, 429, body, Kind::Throttled).retry_after, None);
    }

    #[test]
    fn a_refused_login_is_about_the_credentials() {
        let body = r#"{"error":"invalid_grant","error_description":"canary"}"#;
        check(of_exchange, 400, body, Kind::Unauthenticated);
        check(
            of_exchange,
            400,
            r#"{"error":"invalid_target","error_description":"canary"}"#,
            Kind::Unauthenticated,
        );
        check(of_exchange, 503, "canary", Kind::Unavailable);
        check(of_exchange, 404, "canary", Kind::Unavailable);
        check(of_exchange, 429, "canary", Kind::Throttled);
        check(of_impersonation, 403, &status("PERMISSION_DENIED"), Kind::Unauthenticated);
        check(of_impersonation, 401, &status("UNAUTHENTICATED"), Kind::Unauthenticated);
        check(of_impersonation, 500, "canary", Kind::Unavailable);
    }
}
