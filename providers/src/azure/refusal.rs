//! From an answer that is none, or an error of the SDK, to a [`Failure`]: by status and codes, never by words.
//!
//! The SDK's own errors repeat what a server said and what was sent. Of them only the kind is looked at.

use std::{borrow::Cow, error::Error};

use azure_core::error::ErrorKind;
use serde::Deserialize;
use waxwing_core::store::{Failure, Kind};

use crate::link::Answer;

/// Why Key Vault did not give what it was asked for. A 401 is not looked at here: it may be a challenge.
pub(super) fn of_vault(answer: &Answer) -> Failure {
    let said = Said::read(&answer.body);
    let (kind, what) = match (answer.status, said.code.as_ref(), said.inner()) {
        (300..=399, ..) => REDIRECT,
        (400, ..) => (Kind::Rejected, "Key Vault rejected the request"),
        (403, _, "SecretDisabled") => (Kind::Forbidden, "the secret is disabled"),
        (403, _, "ForbiddenByFirewall" | "ForbiddenByConnection") => {
            (Kind::Forbidden, "the vault's firewall does not let this cluster in")
        }
        (403, ..) => (Kind::Forbidden, "the account has no role and no access policy that allows it"),
        // A 404 of something else that answers there says nothing about the secret.
        (404, "SecretNotFound", _) => {
            (Kind::EntryMissing, "there is no such secret, or no such version of it")
        }
        (429, ..) => (Kind::Throttled, "Key Vault asks for fewer requests"),
        (500..=599, ..) => (Kind::Unavailable, "Key Vault is in trouble"),
        _ => NOT_THE_VAULT,
    };
    Failure::new(kind, what).with_code(answer.status).after(answer.retry_after())
}

/// Why Entra ID gave no token.
pub(super) fn of_login(answer: &Answer) -> Failure {
    let said: Entra = serde_json::from_slice(&answer.body).unwrap_or_default();
    let known = said.error_codes.iter().find_map(|code| {
        Some(match code {
            90002 => "there is no such tenant",
            700_016 => "there is no such application in the tenant",
            7_000_215 => "the client secret is wrong",
            7_000_222 => "the client secret has expired",
            700_027 => "the client certificate is not one of the application's",
            700_024 => "the assertion is not within its time: compare this clock with the right one",
            70021 | 700_211 | 700_212 | 700_213 => {
                "no federated credential of the application is for this ServiceAccount"
            }
            53003 => "a conditional access policy forbids it",
            _ => return None,
        })
    });
    let (kind, what) = match answer.status {
        300..=399 => REDIRECT,
        400 | 401 | 403 => {
            (Kind::Unauthenticated, known.unwrap_or("Entra ID did not accept the credentials"))
        }
        429 => (Kind::Throttled, "Entra ID asks for fewer requests"),
        500..=599 => (Kind::Unavailable, "Entra ID is in trouble"),
        _ => (Kind::Unavailable, "the answer is not one of Entra ID"),
    };
    Failure::new(kind, what).with_code(answer.status).after(answer.retry_after())
}

/// Why a call of the SDK failed.
pub(super) fn of_call(error: &azure_core::Error) -> Failure {
    known(error).unwrap_or_else(|| {
        let (kind, what) = match error.kind() {
            ErrorKind::HttpResponse { status, .. } if u16::from(*status) == 401 => {
                let what = "the vault did not accept the token; is it a vault of the same tenant?";
                return Failure::new(Kind::Unauthenticated, what).with_code(401);
            }
            // The SDK compares what a challenge asks for with the host.
            ErrorKind::Other => {
                (Kind::EndpointRefused, "the vault asks for a token that is not for its own domain")
            }
            _ => NOT_THE_VAULT,
        };
        Failure::new(kind, what)
    })
}

/// Why a login by the SDK failed.
pub(super) fn of_credential(error: &azure_core::Error) -> Failure {
    known(error).unwrap_or(Failure::new(Kind::Unauthenticated, "no token was given for the identity"))
}

/// What our own part of the way said.
fn known(error: &azure_core::Error) -> Option<Failure> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(failure) = error.downcast_ref::<Failure>() {
            return Some(failure.clone());
        }
        next = error.source();
    }
    None
}

/// Key Vault's errors, as far as they decide something.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
    #[serde(borrow)]
    innererror: Option<Inner<'a>>,
}

#[derive(Deserialize)]
struct Inner<'a> {
    #[serde(borrow, default)]
    code: Cow<'a, str>,
}

/// Entra ID's.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entra {
    error_codes: Vec<u32>,
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

    fn inner(&self) -> &str {
        self.innererror.as_ref().map_or("", |inner| &inner.code)
    }
}

const REDIRECT: (Kind, &str) =
    (Kind::EndpointRefused, "answered with a redirect, which is not followed with credentials");
const NOT_THE_VAULT: (Kind, &str) = (Kind::Unavailable, "the answer is not one of Key Vault");

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;
    use zeroize::Zeroizing;

    use super::*;

    fn check(of: fn(&Answer) -> Failure, status: u16, body: &str, kind: Kind) -> &'static str {
        let body = Zeroizing::new(body.as_bytes().to_vec());
        let failure = of(&Answer { status, headers: HeaderMap::new(), body });
        assert_eq!((failure.kind, failure.code), (kind, Some(status)));
        assert!(!failure.to_string().contains("canary"), "{failure}");
        failure.what
    }

    fn code(code: &str, inner: &str) -> String {
        format!(r#"{{"error":{{"code":"{code}","message":"canary","innererror":{{"code":"{inner}"}}}}}}"#)
    }

    /// L02. What the service says in words goes no further.
    /// Guard: `of_vault` uses codes alone.
    #[test]
    fn every_status_of_a_vault_has_a_kind() {
        check(of_vault, 302, "", Kind::EndpointRefused);
        check(of_vault, 400, &code("BadParameter", ""), Kind::Rejected);
        check(of_vault, 403, "canary", Kind::Forbidden);
        check(of_vault, 404, &code("SecretNotFound", ""), Kind::EntryMissing);
        check(of_vault, 429, "canary", Kind::Throttled);
        check(of_vault, 500, "canary", Kind::Unavailable);
        let policy = check(of_vault, 403, &code("Forbidden", "ForbiddenByRbac"), Kind::Forbidden);
        let disabled = check(of_vault, 403, &code("Forbidden", "SecretDisabled"), Kind::Forbidden);
        let firewall = check(of_vault, 403, &code("Forbidden", "ForbiddenByFirewall"), Kind::Forbidden);
        assert_eq!(disabled, "the secret is disabled");
        assert!(policy != disabled && policy != firewall);
    }

    /// D07. Only the service itself can say that a secret does not exist.
    /// Guard: the code beside the 404 in `of_vault`.
    #[test]
    fn a_404_of_something_else_is_no_missing_entry() {
        for body in ["", "<html>canary</html>", &code("NotFound", ""), r#"{"error":"canary"}"#, "[]"] {
            check(of_vault, 404, body, Kind::Unavailable);
        }
    }

    #[test]
    fn a_refused_login_is_about_the_credentials() {
        let said =
            |code: u32| format!(r#"{{"error":"x","error_description":"canary","error_codes":[{code}]}}"#);
        let wrong = check(of_login, 401, &said(7_000_215), Kind::Unauthenticated);
        assert_eq!(wrong, "the client secret is wrong");
        check(of_login, 400, &said(90002), Kind::Unauthenticated);
        check(of_login, 400, "canary", Kind::Unauthenticated);
        check(of_login, 429, "canary", Kind::Throttled);
        check(of_login, 503, "canary", Kind::Unavailable);
        check(of_login, 404, "canary", Kind::Unavailable);
        check(of_login, 307, "canary", Kind::EndpointRefused);
    }

    #[test]
    fn what_our_own_part_said_is_found_below_the_sdk() {
        let inner = azure_core::Error::new(ErrorKind::Io, Failure::new(Kind::Untrusted, "x"));
        let outer = azure_core::Error::with_error(ErrorKind::Credential, inner, "canary");
        assert_eq!(of_call(&outer), Failure::new(Kind::Untrusted, "x"));
        assert_eq!(of_credential(&outer), Failure::new(Kind::Untrusted, "x"));
        let strange = azure_core::Error::with_message(ErrorKind::DataConversion, "canary");
        assert_eq!(of_call(&strange).kind, Kind::Unavailable);
        let challenge = azure_core::Error::with_message(ErrorKind::Other, "canary");
        assert_eq!(of_call(&challenge).kind, Kind::EndpointRefused);
    }
}
