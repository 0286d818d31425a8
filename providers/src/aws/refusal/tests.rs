use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use aws_smithy_types::{body::SdkBody, error::ErrorMetadata};

use super::*;

const CANARY: &str = "AWS4-HMAC-SHA256 Credential=AKIACANARY/20260101, deletion, KMS, secret value";

fn answer(status: u16, headers: &[(&'static str, String)]) -> HttpResponse {
    let mut answer = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(CANARY));
    for (name, value) in headers {
        answer.headers_mut().insert(*name, value.clone());
    }
    answer
}

fn refusal(code: Option<&str>, message: &str, answer: HttpResponse) -> Refusal {
    let mut metadata = ErrorMetadata::builder().message(message);
    if let Some(code) = code {
        metadata = metadata.code(code);
    }
    of(&SdkError::service_error(GetSecretValueError::generic(metadata.build()), answer))
}

fn check(code: &str, message: &str, kind: Kind, remedy: Remedy) {
    let refusal = refusal(Some(code), message, answer(400, &[]));
    assert_eq!((refusal.failure.kind, refusal.remedy), (kind, remedy), "{code}");
    assert_eq!(refusal.failure.code, Some(400));
}

fn http_date(offset: i64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    DateTime::from_secs(i64::try_from(now).unwrap() + offset).fmt(Format::HttpDate).unwrap()
}

#[test]
fn every_code_has_a_kind() {
    check("ResourceNotFoundException", "", Kind::EntryMissing, Remedy::None);
    check("ParameterNotFound", "", Kind::EntryMissing, Remedy::None);
    check("ParameterVersionNotFound", "", Kind::EntryMissing, Remedy::None);
    check("AccessDeniedException", "", Kind::Forbidden, Remedy::None);
    check("AccessDenied", "", Kind::Forbidden, Remedy::None);
    check("DecryptionFailure", "", Kind::Forbidden, Remedy::None);
    check("ThrottlingException", "", Kind::Throttled, Remedy::None);
    check("RequestLimitExceeded", "", Kind::Throttled, Remedy::None);
    check("UnrecognizedClientException", "", Kind::Unauthenticated, Remedy::None);
    check("InvalidClientTokenId", "", Kind::Unauthenticated, Remedy::None);
    check("SignatureDoesNotMatch", "", Kind::Unauthenticated, Remedy::None);
    check("InvalidIdentityToken", "", Kind::Unauthenticated, Remedy::None);
    check("ExpiredToken", "", Kind::Unauthenticated, Remedy::LogIn);
    check("ExpiredTokenException", "", Kind::Unauthenticated, Remedy::LogIn);
    check("InternalServiceError", "", Kind::Unavailable, Remedy::None);
    check("ValidationException", "", Kind::Rejected, Remedy::None);
    check("SomethingNewException", "", Kind::Rejected, Remedy::None);
}

#[test]
fn only_a_deleted_secret_is_missing_among_invalid_requests() {
    let deleted = "You can't perform this operation on the secret because it was marked for deletion.";
    check("InvalidRequestException", deleted, Kind::EntryMissing, Remedy::None);
    check("InvalidRequestException", "The parameter name or value is invalid.", Kind::Rejected, Remedy::None);
}

#[test]
fn a_refused_kms_key_is_named_as_such() {
    let refusal = refusal(Some("AccessDeniedException"), "Access to KMS is not allowed", answer(400, &[]));
    assert_eq!(refusal.failure.kind, Kind::Forbidden);
    assert!(refusal.failure.what.contains("kms:Decrypt"), "{}", refusal.failure);
}

#[test]
fn a_status_without_a_code_decides() {
    let kind = |status| refusal(None, "", answer(status, &[])).failure.kind;
    let expected = [
        (301, Kind::EndpointRefused),
        (307, Kind::EndpointRefused),
        (400, Kind::Rejected),
        (401, Kind::Unauthenticated),
        (403, Kind::Forbidden),
        (404, Kind::Rejected),
        (429, Kind::Throttled),
        (500, Kind::Unavailable),
        (503, Kind::Unavailable),
    ];
    for (status, expected) in expected {
        assert_eq!(kind(status), expected, "{status}");
    }
}

#[test]
fn an_answer_that_is_no_json_is_bad_data_when_it_says_success() {
    let error: SdkError<GetSecretValueError, _> = SdkError::response_error(CANARY, answer(200, &[]));
    assert_eq!(of(&error).failure.kind, Kind::BadData);
    let error: SdkError<GetSecretValueError, _> = SdkError::response_error(CANARY, answer(502, &[]));
    assert_eq!(of(&error).failure.kind, Kind::Unavailable);
}

#[test]
fn how_long_aws_wants_to_be_left_alone_is_kept_up_to_an_hour() {
    let after = |seconds: &str| {
        let answer = answer(429, &[("retry-after", seconds.to_owned())]);
        refusal(Some("ThrottlingException"), "", answer).failure.retry_after.map(|it| it.as_secs())
    };
    assert_eq!(after("7"), Some(7));
    assert_eq!(after("86400"), Some(3600));
    assert_eq!(after("soon"), None);
}

#[test]
fn a_refused_signature_is_worth_a_second_try_only_if_the_clocks_differ() {
    let remedy = |code, offset| refusal(Some(code), "", answer(403, &[("date", http_date(offset))])).remedy;
    assert_eq!(remedy("InvalidSignatureException", 600), Remedy::Again);
    assert_eq!(remedy("SignatureDoesNotMatch", -600), Remedy::Again);
    assert_eq!(remedy("RequestTimeTooSkewed", 600), Remedy::Again);
    assert_eq!(remedy("SignatureDoesNotMatch", 30), Remedy::None);
    assert_eq!(remedy("AccessDeniedException", 600), Remedy::None);
    // The right time does not bring a dead session back.
    assert_eq!(remedy("ExpiredTokenException", 600), Remedy::LogIn);
}

/// L02. Guard: no phrase is made of a message.
#[test]
fn what_aws_says_never_gets_into_a_failure() {
    let codes = [
        "AccessDeniedException",
        "DecryptionFailure",
        "ExpiredToken",
        "InternalServiceError",
        "InvalidRequestException",
        "ParameterNotFound",
        "ResourceNotFoundException",
        "SignatureDoesNotMatch",
        "SomethingNewException",
        "ThrottlingException",
        "UnrecognizedClientException",
        "ValidationException",
        CANARY,
    ];
    for code in codes {
        for status in [200, 301, 400, 403, 500] {
            let failure = refusal(Some(code), CANARY, answer(status, &[("date", CANARY.to_owned())])).failure;
            assert!(!format!("{failure} {failure:?}").contains("CANARY"), "{code}");
        }
        let failure = of_part(code, CANARY);
        assert!(!format!("{failure} {failure:?}").contains("CANARY"), "{code}");
    }
    let errors: [SdkError<GetSecretValueError, HttpResponse>; 4] = [
        SdkError::construction_failure(CANARY),
        SdkError::timeout_error(CANARY),
        SdkError::response_error(CANARY, answer(200, &[])),
        SdkError::dispatch_failure(aws_smithy_runtime_api::client::result::ConnectorError::io(CANARY.into())),
    ];
    for error in errors {
        let failure = of(&error).failure;
        assert!(!format!("{failure} {failure:?}").contains("CANARY"));
    }
}
