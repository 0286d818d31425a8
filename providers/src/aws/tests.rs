use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use aws_smithy_types::{DateTime, date_time::Format};
use futures::future::join_all;
use serde_json::{Value, json};
use waxwing_core::store::{Find, Read};

use super::{
    stub::{Asked, Namespace, Reply, Stub, place},
    *,
};

const ROLE: &str = "arn:aws:iam::444455556666:role/reader";

/// A store of Secrets Manager with static keys, as its YAML says, with these fields added or replaced.
fn spec(url: &str, more: Value) -> AwsProvider {
    let mut spec = json!({
        "service": "SecretsManager", "region": "eu-central-1", "endpoint": url, "stsEndpoint": url,
        "auth": {"secretRef": {
            "accessKeyIDSecretRef": {"name": "keys", "key": "id"},
            "secretAccessKeySecretRef": {"name": "keys", "key": "secret"},
        }},
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(spec).unwrap()
}

fn store(stub: &Stub, more: Value) -> Arc<dyn Provider> {
    connect(&spec(&stub.url, more), &place(Some("shop")), Arc::new(Namespace)).unwrap()
}

fn refused(more: Value) -> Failure {
    connect(&spec("http://127.0.0.1:1", more), &place(Some("shop")), Arc::new(Namespace))
        .err()
        .expect("it is refused")
}

fn read(key: &str) -> Read {
    Read { key: key.to_owned(), ..Read::default() }
}

async fn one(store: &dyn Provider, key: &str) -> Result<String, Failure> {
    let entry = store.read(&[read(key)]).await.remove(0)?;
    // It is a test's own.
    Ok(String::from_utf8(entry.value.expose().to_vec()).unwrap())
}

fn fails(result: &Result<String, Failure>) -> Option<Kind> {
    result.as_ref().err().map(|failure| failure.kind)
}

/// Whether a request's time is within five minutes of a clock that is so many seconds off.
fn is_timely(asked: &Asked, offset: i64) -> bool {
    let stamp = &asked.headers["x-amz-date"];
    let (date, time) = (&stamp[..8], &stamp[9..15]);
    let spread = format!(
        "{}-{}-{}T{}:{}:{}Z",
        &date[..4],
        &date[4..6],
        &date[6..],
        &time[..2],
        &time[2..4],
        &time[4..]
    );
    let sent = DateTime::from_str(&spread, Format::DateTime).unwrap().secs();
    (sent - clock(offset)).abs() < 300
}

fn clock(offset: i64) -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() + offset
}

/// Guard: `login::in_time` asks again after a refusal whose `Date` is far off.
#[tokio::test]
async fn a_clock_that_is_ten_minutes_off_costs_one_request() {
    for offset in [600, -600] {
        let stub = Stub::start(move |asked| {
            let date = DateTime::from_secs(clock(offset)).fmt(Format::HttpDate).unwrap();
            let reply = if is_timely(asked, offset) {
                Reply::secret("db", "good")
            } else {
                Reply::error("InvalidSignatureException")
            };
            reply.with("date", &date)
        })
        .await;
        let store = store(&stub, json!({}));
        assert_eq!(one(&*store, "db").await.as_deref(), Ok("good"), "{offset}");
        assert_eq!(stub.actions().len(), 2);
        // From then on it knows.
        assert_eq!(one(&*store, "db").await.as_deref(), Ok("good"));
        assert_eq!(stub.actions().len(), 3);
    }
}

/// The same of STS, whose answer is XML.
#[tokio::test]
async fn a_wrong_clock_does_not_keep_from_assuming_a_role() {
    let stub = Stub::start(|asked| {
        let date = DateTime::from_secs(clock(600)).fmt(Format::HttpDate).unwrap();
        let reply = match (asked.action.as_str(), is_timely(asked, 600)) {
            ("AssumeRole", true) => Reply::session("AssumeRole", "ASIAONE"),
            ("AssumeRole", false) => Reply::sts_error("SignatureDoesNotMatch"),
            (_, true) => Reply::secret("db", "good"),
            (_, false) => Reply::error("InvalidSignatureException"),
        };
        reply.with("date", &date)
    })
    .await;
    let store = store(&stub, json!({"role": ROLE}));
    // As far as the SDK knows, each service has a clock of its own.
    assert_eq!(one(&*store, "db").await.as_deref(), Ok("good"));
    assert_eq!(stub.actions(), ["AssumeRole", "AssumeRole", "GetSecretValue", "GetSecretValue"]);
}

/// Guard: `Login::ask` forgets the session that was refused.
#[tokio::test]
async fn an_expired_session_is_replaced_once() {
    let logins = AtomicU64::new(0);
    let stub = Stub::start(move |asked| match asked.action.as_str() {
        "AssumeRole" => {
            Reply::session("AssumeRole", &format!("ASIA{}", logins.fetch_add(1, Ordering::SeqCst)))
        }
        _ if asked.key() == "ASIA0" => Reply::error("ExpiredTokenException"),
        _ => Reply::secret("db", "good"),
    })
    .await;
    let store = store(&stub, json!({"role": ROLE}));
    assert_eq!(one(&*store, "db").await.as_deref(), Ok("good"));
    assert_eq!(stub.actions(), ["AssumeRole", "GetSecretValue", "AssumeRole", "GetSecretValue"]);
}

#[tokio::test]
async fn a_session_that_is_never_taken_is_not_replaced_without_end() {
    let stub = Stub::start(|asked| match asked.action.as_str() {
        "AssumeRole" => Reply::session("AssumeRole", "ASIAONE"),
        _ => Reply::error("ExpiredTokenException"),
    })
    .await;
    let store = store(&stub, json!({"role": ROLE}));
    assert_eq!(fails(&one(&*store, "db").await), Some(Kind::Unauthenticated));
    assert_eq!(stub.actions().len(), 4);
}

/// Guard: one login for all who wait for it.
#[tokio::test]
async fn many_readers_share_one_login() {
    let stub = Stub::start(|asked| match asked.action.as_str() {
        "AssumeRole" => Reply::session("AssumeRole", "ASIAONE"),
        _ => Reply::secret("db", "good"),
    })
    .await;
    let store = store(&stub, json!({"role": ROLE}));
    let all = join_all((0..20).map(|_| one(&*store, "db"))).await;
    assert!(all.iter().all(|one| one.as_deref() == Ok("good")));
    assert_eq!(stub.actions().iter().filter(|action| *action == "AssumeRole").count(), 1);
}

/// Guard: those who wait for a login that fails do not try one after the other.
#[tokio::test]
async fn many_readers_share_a_failed_login() {
    let stub = Stub::start(|_| Reply::sts_error("AccessDenied")).await;
    let store = store(&stub, json!({"role": ROLE}));
    let all = join_all((0..20).map(|_| one(&*store, "db"))).await;
    for result in all {
        let failure = result.unwrap_err();
        assert_eq!((failure.kind, failure.place.as_deref()), (Kind::Forbidden, Some(ROLE)));
        assert!(!format!("{failure:?}").contains("canary"));
    }
    assert!(stub.actions().len() <= 2, "{:?}", stub.actions());
}

#[tokio::test]
async fn roles_are_assumed_one_after_the_other_and_the_last_one_with_what_ties_it() {
    let stub = Stub::start(|asked| match asked.action.as_str() {
        "AssumeRole" if asked.body.contains("first") => Reply::session("AssumeRole", "ASIAFIRST"),
        "AssumeRole" => Reply::session("AssumeRole", "ASIASECOND"),
        _ => Reply::secret("db", "good"),
    })
    .await;
    let more = json!({
        "additionalRoles": ["arn:aws:iam::111122223333:role/first"], "role": ROLE, "externalID": "ours",
        "sessionTags": [{"key": "team", "value": "shop"}], "transitiveTagKeys": ["team"],
    });
    assert_eq!(one(&*store(&stub, more), "db").await.as_deref(), Ok("good"));
    let asked = stub.asked();
    let signed_by: Vec<_> = asked.iter().map(Asked::key).collect();
    assert_eq!(signed_by, ["AKIASTATIC", "ASIAFIRST", "ASIASECOND"]);
    let has = |index: usize, text: &str| asked[index].body.contains(text);
    assert!(has(0, "RoleSessionName=waxwing-shop-aws") && !has(0, "ExternalId") && !has(0, "Tags.member"));
    assert!(
        has(1, "ExternalId=ours")
            && has(1, "Tags.member.1.Key=team")
            && has(1, "TransitiveTagKeys.member.1=team")
    );
}

#[tokio::test]
async fn a_service_account_takes_the_role_of_its_annotation_and_then_the_stores() {
    let stub = Stub::start(|asked| match asked.action.as_str() {
        action @ ("AssumeRole" | "AssumeRoleWithWebIdentity") => Reply::session(action, action),
        _ => Reply::secret("db", "good"),
    })
    .await;
    let jwt = |name: &str| json!({"auth": {"jwt": {"serviceAccountRef": {"name": name}}}, "role": ROLE});
    assert_eq!(one(&*store(&stub, jwt("eks")), "db").await.as_deref(), Ok("good"));
    assert_eq!(stub.actions(), ["AssumeRoleWithWebIdentity", "AssumeRole", "GetSecretValue"]);
    let first = &stub.asked()[0];
    assert!(first.body.contains("role%2Feks"), "{}", first.body);
    assert!(first.body.contains("WebIdentityToken=token-of-eks-for-sts.amazonaws.com"), "{}", first.body);
    assert_eq!(first.key(), "", "it is not signed");

    assert_eq!(one(&*store(&stub, jwt("plain")), "db").await.as_deref(), Ok("good"));
    assert_eq!(stub.actions()[3..], ["AssumeRoleWithWebIdentity", "GetSecretValue"]);
    assert!(stub.asked()[3].body.contains("role%2Freader"));
}

#[tokio::test]
async fn a_service_account_that_can_take_no_role_is_a_fault_of_the_store() {
    let stub = Stub::start(|_| Reply::new(500, "")).await;
    let jwt = |name: &str| json!({"auth": {"jwt": {"serviceAccountRef": {"name": name}}}});
    assert_eq!(fails(&one(&*store(&stub, jwt("plain")), "db").await), Some(Kind::BadStore));
    assert_eq!(fails(&one(&*store(&stub, jwt("nobody")), "db").await), Some(Kind::CredentialMissing));
    let mut tied = jwt("plain");
    tied["role"] = json!(ROLE);
    tied["externalID"] = json!("ours");
    assert_eq!(fails(&one(&*store(&stub, tied), "db").await), Some(Kind::BadStore));
    assert!(stub.actions().is_empty());
}

#[tokio::test]
async fn keys_that_are_none_are_not_sent() {
    let stub = Stub::start(|_| Reply::secret("db", "good")).await;
    let keys = |secret: &str, key: &str| {
        json!({"auth": {"secretRef": {
            "accessKeyIDSecretRef": {"name": "keys", "key": "id"},
            "secretAccessKeySecretRef": {"name": secret, "key": key},
        }}})
    };
    assert_eq!(fails(&one(&*store(&stub, keys("keys", "broken")), "db").await), Some(Kind::BadData));
    assert_eq!(
        fails(&one(&*store(&stub, keys("gone", "secret")), "db").await),
        Some(Kind::CredentialMissing)
    );
    assert!(stub.actions().is_empty());
}

#[tokio::test]
async fn certificates_that_are_not_there_are_a_missing_credential() {
    let stub = Stub::start(|_| Reply::secret("db", "good")).await;
    let store = store(&stub, json!({"caProvider": {"type": "ConfigMap", "name": "roots"}}));
    assert_eq!(fails(&one(&*store, "db").await), Some(Kind::CredentialMissing));
    assert!(stub.actions().is_empty());
}

/// Guard: `Place::ambient`. A namespaced store must not act as the operator.
#[test]
fn a_namespaced_store_needs_credentials_of_its_own() {
    let bare = json!({"service": "SecretsManager", "region": "eu-central-1"});
    let bare: AwsProvider = serde_json::from_value(bare).unwrap();
    let connected = connect(&bare, &place(Some("shop")), Arc::new(Namespace));
    assert_eq!(connected.err().map(|failure| failure.kind), Some(Kind::BadStore));
    assert!(connect(&bare, &place(None), Arc::new(Namespace)).is_ok());
}

#[test]
fn a_spec_that_makes_no_sense_is_refused() {
    let cases = [
        (json!({"region": "eu.evil.test/"}), "region"),
        (json!({"region": ""}), "region"),
        (json!({"role": "reader"}), "reader"),
        (json!({"externalID": "ours"}), "role"),
        (json!({"sessionTags": [{"key": "team", "value": "shop"}]}), "role"),
        (json!({"prefix": "a b"}), "prefix"),
        (json!({"caBundle": "bm90aGluZw=="}), "caBundle"),
        (json!({"auth": {"jwt": {}}}), "auth.jwt"),
    ];
    for (more, place) in cases {
        let failure = refused(more);
        assert_eq!((failure.kind, failure.place.as_deref()), (Kind::BadStore, Some(place)));
    }
}

/// K05. Guard: both endpoints pass `Place::endpoint`.
#[test]
fn an_endpoint_that_the_namespace_may_not_name_is_refused() {
    for field in ["endpoint", "stsEndpoint"] {
        for url in [
            "https://evil.test",
            "http://169.254.169.254",
            "https://aws.other.svc",
            "https://u:p@aws.shop.svc",
        ] {
            let failure = refused(json!({field: url}));
            assert_eq!(
                (failure.kind, failure.place.as_deref()),
                (Kind::EndpointRefused, Some(field)),
                "{url}"
            );
        }
    }
}

/// Guard: `Shelf::no_batches`.
#[tokio::test]
async fn where_batches_are_forbidden_entries_are_read_one_by_one_and_batches_not_tried_again() {
    let stub = Stub::start(|asked| match asked.action.as_str() {
        "BatchGetSecretValue" => Reply::error("AccessDeniedException"),
        _ => Reply::secret("any", "good"),
    })
    .await;
    let store = store(&stub, json!({}));
    for _ in 0..2 {
        let all = store.read(&[read("a"), read("b"), read("c")]).await;
        assert!(all.iter().all(Result::is_ok));
    }
    let batches = stub.actions().iter().filter(|action| *action == "BatchGetSecretValue").count();
    assert_eq!((batches, stub.actions().len()), (1, 7));
}

#[tokio::test]
async fn one_bad_entry_does_not_spoil_its_batch() {
    let stub = Stub::start(|asked| match asked.action.as_str() {
        "BatchGetSecretValue" => Reply::error("ValidationException"),
        _ if asked.body.contains("bad") => Reply::error("ValidationException"),
        _ => Reply::secret("any", "good"),
    })
    .await;
    let store = store(&stub, json!({}));
    for round in 1..=2 {
        let all = store.read(&[read("a"), read("bad"), read("no name"), read("c")]).await;
        let kinds: Vec<_> = all.iter().map(|one| one.as_ref().err().map(|failure| failure.kind)).collect();
        assert_eq!(kinds, [None, Some(Kind::Rejected), Some(Kind::Rejected), None]);
        // It is tried again the next time: the next batch may be a good one.
        assert_eq!(stub.actions().len(), 4 * round);
    }
}

#[tokio::test]
async fn a_batch_that_meets_an_outage_is_not_taken_apart() {
    for (code, kind) in
        [("ThrottlingException", Kind::Throttled), ("InternalServiceError", Kind::Unavailable)]
    {
        let stub = Stub::start(move |_| Reply::error(code)).await;
        let all = store(&stub, json!({})).read(&[read("a"), read("b")]).await;
        assert!(all.iter().all(|one| one.as_ref().is_err_and(|failure| failure.kind == kind)));
        assert_eq!(stub.actions().len(), 1);
    }
}

#[tokio::test]
async fn what_a_batch_does_not_answer_is_asked_for_by_itself() {
    let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:c";
    let batch = json!({
        "SecretValues": [
            {"Name": "a", "ARN": "arn:aws:x:a-aaaaaa", "SecretString": "of a", "VersionId": "1"},
            {"Name": "c", "ARN": format!("{arn}-cccccc"), "SecretBinary": "/w==", "VersionId": "2"},
            {"Name": "unasked", "SecretString": "x"},
        ],
        "Errors": [{"SecretId": "b", "ErrorCode": "ResourceNotFoundException", "Message": "canary"}],
    });
    let stub = Stub::start(move |asked| match asked.action.as_str() {
        "BatchGetSecretValue" => Reply::new(200, batch.to_string()),
        _ => Reply::secret("d", "of d"),
    })
    .await;
    let all = store(&stub, json!({})).read(&[read("a"), read("b"), read(arn), read("d")]).await;
    // They are a test's own.
    let values: Vec<_> = all
        .iter()
        .map(|one| one.as_ref().map(|entry| entry.value.expose().to_vec()).map_err(Clone::clone))
        .collect();
    assert_eq!(values[0], Ok(b"of a".to_vec()));
    assert_eq!(values[1].as_ref().map_err(|failure| failure.kind), Err(Kind::EntryMissing));
    assert_eq!(values[2], Ok(vec![0xff]));
    assert_eq!(values[3], Ok(b"of d".to_vec()));
    assert_eq!(stub.actions(), ["BatchGetSecretValue", "GetSecretValue"]);
}

#[tokio::test]
async fn an_answer_without_end_is_not_read() {
    let stub = Stub::start(|_| Reply::new(200, "x".repeat(9 << 20))).await;
    let result = one(&*store(&stub, json!({})), "db").await;
    assert_eq!(fails(&result), Some(Kind::TooLarge));
}

/// Guard: the client follows no redirect.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Stub::start(|_| Reply::secret("db", "stolen")).await;
    let to = other.url.clone();
    let stub = Stub::start(move |_| Reply::new(307, "").with("location", &to)).await;
    assert_eq!(fails(&one(&*store(&stub, json!({})), "db").await), Some(Kind::EndpointRefused));
    assert!(other.actions().is_empty());
}

#[tokio::test]
async fn a_server_that_is_gone_is_an_outage() {
    let stub = Stub::start(|_| Reply::secret("db", "good")).await;
    let store = store(&stub, json!({}));
    drop(stub);
    assert_eq!(fails(&one(&*store, "db").await), Some(Kind::Unavailable));
}

/// L02. Guard: `refusal` makes no phrase of a message.
#[tokio::test]
async fn what_aws_says_does_not_leave() {
    for code in
        ["AccessDeniedException", "ResourceNotFoundException", "InvalidSignatureException", "NewException"]
    {
        let stub = Stub::start(move |_| Reply::error(code)).await;
        let failure = one(&*store(&stub, json!({})), "db").await.unwrap_err();
        assert!(!format!("{failure} {failure:?}").contains("canary"), "{failure:?}");
    }
}

#[tokio::test]
async fn a_probe_that_is_forbidden_is_none() {
    let stub = Stub::start(|_| Reply::error("AccessDeniedException")).await;
    let store = store(&stub, json!({}));
    assert!(store.version(&read("db")).await.is_none());
    assert!(store.version(&read("db")).await.is_none());
    assert_eq!(stub.actions(), ["DescribeSecret"]);
}

#[tokio::test]
async fn a_store_answers_whoever_may_look_at_nothing() {
    let kinds = [
        ("ResourceNotFoundException", None),
        ("AccessDeniedException", None),
        ("UnrecognizedClientException", Some(Kind::Unauthenticated)),
        ("ThrottlingException", Some(Kind::Throttled)),
    ];
    for (code, expected) in kinds {
        let stub = Stub::start(move |_| Reply::error(code)).await;
        let checked = store(&stub, json!({"prefix": "team-a/"})).check().await;
        assert_eq!(checked.err().map(|failure| failure.kind), expected, "{code}");
        assert!(stub.asked()[0].body.contains("\"team-a/"), "within what the policy may be limited to");
    }
}

/// A list that AWS gives in pages.
#[tokio::test]
async fn a_search_reads_all_pages_and_ends() {
    let pages = Mutex::new(0);
    let stub = Stub::start(move |asked| {
        let mut page = pages.lock().unwrap();
        *page += 1;
        let next = if asked.body.contains("never") || *page < 3 { json!("more") } else { Value::Null };
        Reply::new(
            200,
            json!({"SecretList": [{"Name": format!("app/{page}")}], "NextToken": next}).to_string(),
        )
    })
    .await;
    let store = store(&stub, json!({}));
    let found = store.find(&Find { path: Some("app".to_owned()), ..Find::default() }).await;
    assert_eq!(found.as_deref(), Ok(&["app/1".to_owned(), "app/2".to_owned(), "app/3".to_owned()][..]));
    let endless = store.find(&Find { path: Some("never".to_owned()), ..Find::default() }).await;
    assert_eq!(endless.err().map(|failure| failure.kind), Some(Kind::TooLarge));
}

#[tokio::test]
async fn one_missing_parameter_is_missing_and_the_others_are_there() {
    let answer = json!({
        "Parameters": [{"Name": "/a", "Value": "of a", "Version": 3}],
        "InvalidParameters": ["/b"],
    });
    let stub = Stub::start(move |_| Reply::new(200, answer.to_string())).await;
    let store = store(&stub, json!({"service": "ParameterStore"}));
    let all = store.read(&[read("/a"), read("/b")]).await;
    assert_eq!(
        all[0].as_ref().map(|entry| entry.version.clone()).map_err(Clone::clone),
        Ok(Some("3".to_owned()))
    );
    assert_eq!(all[1].as_ref().err().map(|failure| failure.kind), Some(Kind::EntryMissing));
    assert_eq!(stub.actions(), ["GetParameters"]);
}

#[test]
fn a_session_is_kept_for_what_it_is_good_for() {
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let lifetime = |ends, now| login::lifetime(at(ends), at(now)).as_secs();
    assert_eq!(lifetime(3600, 0), 3600);
    // Our clock is ahead: the session would be over at once.
    assert_eq!(lifetime(3600, 7200), 60);
    assert_eq!(lifetime(1_000_000, 0), 43_200);
}
