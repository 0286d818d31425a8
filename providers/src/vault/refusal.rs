//! From an answer that is not what was asked for to a [`Failure`].

use waxwing_core::store::{Failure, Kind};

use super::answer::Answer;

/// Why a request did not get what it asked for. Vault's words decide only where its statuses do not, and never leave.
pub(super) fn of_answer(answer: &Answer) -> Failure {
    let (kind, what) = match answer.status {
        300..=399 => {
            (Kind::EndpointRefused, "answered with a redirect, which is not followed with credentials")
        }
        400 if answer.says("Upgrading from non-versioned to versioned data") => {
            (Kind::Unavailable, "the mount is being upgraded to KV version 2")
        }
        400 if answer.says("unknown role") => (Kind::Rejected, "the secrets engine knows no such role"),
        400 if answer.says("encryption key not found") => {
            (Kind::EntryMissing, "there is no such transit key")
        }
        400 if answer.says("message authentication failed") => {
            (Kind::Rejected, "the transit key did not wrap this for this ring and recipient")
        }
        400 if answer.says("disallowed by policy (too old)") => {
            (Kind::Rejected, "the transit key's min_decryption_version excludes what this was wrapped by")
        }
        400 => (Kind::Rejected, "Vault rejected the request"),
        401 => (Kind::Unauthenticated, "the credentials were not accepted"),
        403 => (Kind::Forbidden, "the token's policies do not allow it"),
        404 => return missing(answer),
        405 => (Kind::Rejected, "the path does not take such a request"),
        412 => (Kind::Unavailable, "the node that answered is behind; it has not seen the login yet"),
        413 => (Kind::TooLarge, "Vault finds the request too large"),
        429 => (Kind::Throttled, "Vault asks for fewer requests"),
        503 if answer.says(SEALED) => (Kind::Sealed, SEALED_WHAT),
        500..=599 => (Kind::Unavailable, "Vault is in trouble"),
        _ => (Kind::Unavailable, "the answer is not one of Vault"),
    };
    Failure::new(kind, what).with_code(answer.status).after(answer.retry_after)
}

/// What a 404 means. Only one form of it says that the entry, and nothing around it, is missing.
fn missing(answer: &Answer) -> Failure {
    let (kind, what) = if answer.is_nothing() {
        (Kind::EntryMissing, "there is no such entry")
    } else if answer.says("no handler for route") {
        (Kind::MountMissing, "no secrets engine is mounted at this path")
    } else if answer.says("Invalid path for a versioned K/V secrets engine") {
        (
            Kind::MountMissing,
            "the mount is KV version 2 and this is no path of it; look at the store's `path` and `version`",
        )
    } else if answer.says("unsupported path") {
        (Kind::Rejected, "the secrets engine has no such path")
    } else {
        return answer.not_vault();
    };
    Failure::new(kind, what).with_code(answer.status)
}

/// Why a login was refused. 400 and 403 both mean the credentials; each method has its own preference.
pub(super) fn of_login(answer: &Answer) -> Failure {
    let (kind, what) = match answer.status {
        400 | 403 | 404 if answer.says("no handler for route") || answer.says("missing client token") => {
            (Kind::MountMissing, "no auth method is mounted at this path")
        }
        400 if answer.says("error connecting to host") => {
            (Kind::Unavailable, "Vault cannot reach the directory that it asks about logins")
        }
        // Vault says the same for a method that is not there, and for a ServiceAccount that the role does not name.
        403 => (Kind::Unauthenticated, "the login was refused, or no auth method is mounted at this path"),
        400 | 401 => (Kind::Unauthenticated, "the login was refused"),
        _ => return of_answer(answer),
    };
    Failure::new(kind, what).with_code(answer.status)
}

const SEALED: &str = "Vault is sealed";
const SEALED_WHAT: &str = "Vault is sealed; someone has to unseal it";

/// The failure of a Vault whose health says that it is sealed.
pub(super) fn sealed() -> Failure {
    Failure::new(Kind::Sealed, SEALED_WHAT).with_code(503)
}

#[cfg(test)]
mod tests {
    use super::{super::answer::answer, *};

    fn check(status: u16, body: &str, kind: Kind) {
        let failure = of_answer(&answer(status, body));
        assert_eq!((failure.kind, failure.code), (kind, Some(status)), "{body}");
        assert!(!failure.to_string().contains("canary"), "{failure}");
    }

    #[test]
    fn every_status_has_a_kind() {
        check(307, "", Kind::EndpointRefused);
        check(301, "", Kind::EndpointRefused);
        check(400, r#"{"errors":["canary"]}"#, Kind::Rejected);
        check(403, r#"{"errors":["canary"]}"#, Kind::Forbidden);
        check(412, r#"{"errors":["canary"]}"#, Kind::Unavailable);
        check(429, r#"{"errors":["canary"]}"#, Kind::Throttled);
        check(500, r#"{"errors":["canary"]}"#, Kind::Unavailable);
        check(503, r#"{"errors":["Vault is sealed"]}"#, Kind::Sealed);
        check(503, r#"{"errors":["canary"]}"#, Kind::Unavailable);
        check(418, "canary", Kind::Unavailable);
    }

    #[test]
    fn only_the_empty_404_means_that_the_entry_is_missing() {
        check(404, r#"{"errors":[]}"#, Kind::EntryMissing);
        check(
            404,
            r#"{"errors":["no handler for route \"x/data/y\". route entry not found."]}"#,
            Kind::MountMissing,
        );
        check(
            404,
            r#"{"errors":[],"warnings":["Invalid path for a versioned K/V secrets engine."]}"#,
            Kind::MountMissing,
        );
        check(404, r#"{"errors":["canary"]}"#, Kind::Unavailable);
        check(404, "404 page not found", Kind::Unavailable);
        check(404, "", Kind::Unavailable);
    }

    #[test]
    fn a_refused_login_is_about_the_credentials() {
        for status in [400, 403] {
            let failure = of_login(&answer(status, r#"{"errors":["invalid role or secret ID"]}"#));
            assert_eq!(failure.kind, Kind::Unauthenticated);
        }
        let failure = of_login(&answer(403, r#"{"errors":["missing client token"]}"#));
        assert_eq!(failure.kind, Kind::MountMissing);
        assert_eq!(of_login(&answer(500, "")).kind, Kind::Unavailable);
    }
}
