//! What the API server's refusal means to a plan.

use waxwing_core::plan::Outcome;
use waxwing_crds::Reason;

use crate::{api_error, apply::Refusal};

/// The outcome of a write that was refused.
pub(super) fn of(refusal: &Refusal) -> Outcome {
    let (verb, status) = match refusal {
        Refusal::Api { verb, status } => (*verb, status),
        Refusal::Client(error) => {
            return match api_error::reason(error) {
                Reason::InternalError => Outcome::Internal,
                _ => Outcome::Unavailable,
            };
        }
    };
    match api_error::reason(&kube::Error::Api(status.clone())) {
        _ if refusal.is_other_uid() => Outcome::Replaced,
        _ if refusal.is_immutable() => Outcome::Immutable { fields: refusal.fields() },
        Reason::ApiConflict => Outcome::Conflict,
        Reason::ApiForbidden => Outcome::Forbidden { verb },
        Reason::ApiThrottled => Outcome::Throttled,
        Reason::NamespaceTerminating => Outcome::NamespaceTerminating,
        Reason::ApiRejected => Outcome::Rejected { code: status.code, fields: refusal.fields() },
        // 404: the namespace is gone; the object will be too.
        _ if status.code == 404 => Outcome::NamespaceTerminating,
        _ => Outcome::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn check(code: u16, message: &str, expected: &Outcome) {
        let status = Box::new(Status::failure(message, "").with_code(code));
        assert_eq!(of(&Refusal::Api { verb: "create", status }), *expected, "{code}");
    }

    #[test]
    fn each_answer_has_its_outcome() {
        check(403, "", &Outcome::Forbidden { verb: "create" });
        check(403, "unable to create: because it is being terminated", &Outcome::NamespaceTerminating);
        check(404, "", &Outcome::NamespaceTerminating);
        check(409, "", &Outcome::Conflict);
        check(413, "", &Outcome::Rejected { code: 413, fields: Vec::new() });
        check(422, "", &Outcome::Rejected { code: 422, fields: Vec::new() });
        check(429, "", &Outcome::Throttled);
        check(500, "", &Outcome::Unavailable);
        check(503, "", &Outcome::Unavailable);
        let lost = Refusal::Client(kube::Error::LinesCodecMaxLineLengthExceeded);
        assert_eq!(of(&lost), Outcome::Unavailable);
    }
}
