//! What the API server's refusal means to a plan.

use kube::core::Status;
use waxwing_core::plan::{Denier, Outcome};
use waxwing_crds::Reason;

use crate::{api_error, apply::Refusal};

/// The outcome of a write that was refused.
pub(crate) fn of(refusal: &Refusal) -> Outcome {
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
        Reason::ApiConflict if refusal.is_field_conflict() => {
            Outcome::FieldConflict { fields: refusal.fields() }
        }
        Reason::ApiConflict => Outcome::Conflict,
        Reason::ApiForbidden => {
            denier(status).map_or(Outcome::Forbidden { verb }, |by| Outcome::Denied { by })
        }
        Reason::ApiThrottled => Outcome::Throttled,
        Reason::NamespaceTerminating => Outcome::NamespaceTerminating,
        Reason::ApiRejected => Outcome::Rejected { code: status.code, fields: refusal.fields() },
        // 404: the namespace is gone; the object will be too.
        _ if status.code == 404 => Outcome::NamespaceTerminating,
        _ => Outcome::Unavailable,
    }
}

/// A 403 of a quota or of admission is not one of missing rights, and only its text tells. That is read and never
/// repeated: a policy may quote what it refuses.
fn denier(status: &Status) -> Option<Denier> {
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| status.message.contains(phrase));
    // How the API server says that rights are missing; a role's name in it could look like anything.
    if says(&["\" cannot create resource ", "\" cannot patch resource "]) {
        None
    } else if says(&["exceeded quota: ", "failed quota: "]) {
        Some(Denier::Quota)
    } else if says(&["admission webhook \"", "AdmissionPolicy '"]) {
        Some(Denier::Admission)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: u16, message: &str, expected: &Outcome) {
        let status = Box::new(Status::failure(message, "").with_code(code));
        assert_eq!(of(&Refusal::Api { verb: "create", status }), *expected, "{code}");
    }

    #[test]
    fn each_answer_has_its_outcome() {
        check(403, "", &Outcome::Forbidden { verb: "create" });
        check(403, "unable to create: because it is being terminated", &Outcome::NamespaceTerminating);
        let denied = |by| Outcome::Denied { by };
        let quota = "secrets \"db\" is forbidden: exceeded quota: few, requested: count/secrets=1, used: count/secrets=9, limited: count/secrets=9";
        check(403, quota, &denied(Denier::Quota));
        check(403, "admission webhook \"a.example.com\" denied the request: no", &denied(Denier::Admission));
        let policy =
            "secrets \"db\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no";
        check(403, policy, &denied(Denier::Admission));
        let rights = "secrets is forbidden: User \"system:serviceaccount:waxwing-system:waxwing\" cannot create resource \"secrets\" in API group \"\" in the namespace \"apps\": exceeded quota: x";
        check(403, rights, &Outcome::Forbidden { verb: "create" });
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
