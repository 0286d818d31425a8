use serde_json::{Value, json};

use super::*;

fn reply(status: u16, body: &Value) -> Reply {
    let body = Zeroizing::new(body.to_string().into_bytes());
    Reply { status, retry_after: Some(Duration::from_secs(7)), body }
}

fn not_found(kind: &str, name: &str) -> Value {
    json!({
        "kind": "Status", "status": "Failure", "reason": "NotFound", "message": "hunter2", "code": 404,
        "details": {"name": name, "kind": kind},
    })
}

#[test]
fn an_answer_that_is_no_value_is_told_by_its_status() {
    let table = [
        (401, Kind::Unauthenticated),
        (403, Kind::Forbidden),
        (400, Kind::Rejected),
        (302, Kind::Rejected),
        (410, Kind::Unavailable),
        (429, Kind::Throttled),
        (500, Kind::Unavailable),
        (503, Kind::Unavailable),
    ];
    for (status, kind) in table {
        let failure = reply(status, &json!({"message": "hunter2"})).failure("get", Some("s"));
        assert_eq!((failure.kind, failure.code), (kind, Some(status)));
        assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
        assert!(!failure.to_string().contains("hunter2"));
    }
}

/// A Secret is deleted only because of what an API server says. Guard: `is_missing`.
#[test]
fn only_an_api_server_says_that_a_secret_is_missing() {
    let kind = |body: &Value| reply(404, body).failure("get", Some("s")).kind;
    assert_eq!(kind(&not_found("secrets", "s")), Kind::EntryMissing);
    for other in [
        not_found("secrets", "t"),
        not_found("namespaces", "s"),
        json!({"kind": "Status", "reason": "NotFound"}),
        json!({"error": "no route"}),
        json!("404 page not found"),
    ] {
        assert_eq!(kind(&other), Kind::MountMissing, "{other}");
    }
    assert_eq!(reply(404, &not_found("secrets", "s")).failure("list", None).kind, Kind::MountMissing);
}

#[test]
fn credentials_that_are_none_are_told_without_being_shown() {
    let access = |identity| Access { identity, ..Access::new(OwnServer::default(), false, None).unwrap() };
    let server = || OwnServer { url: "https://api.example".to_owned(), ..OwnServer::default() };
    for identity in [
        Identity::Token(Secret::new(b"hunter2\r\nX-Other: 1".to_vec())),
        Identity::Token(Secret::new(b" \n".to_vec())),
        Identity::Certificate {
            cert: Secret::new(b"hunter2".to_vec()),
            key: Secret::new(b"hunter2".to_vec()),
        },
    ] {
        let access = Access { server: server(), ..access(identity) };
        let failure = Wire::new(access, &Arc::default()).err().unwrap();
        assert_eq!(failure.kind, Kind::BadStore);
        assert!(!failure.to_string().contains("hunter2"));
    }
    assert_eq!(
        Access::new(server(), false, Some(b"hunter2")).err().map(|failure| failure.kind),
        Some(Kind::BadStore)
    );
}
