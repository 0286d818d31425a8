//! AWS in trouble, and servers that are not AWS.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;
use waxwing_core::store::{Failure, Find, Kind};
use waxwing_providers::Provider;
use waxwing_tests::block_on;
use waxwing_tests::certs::Certs;
use waxwing_tests::faults::{Fault, Faults};
use waxwing_tests::process;

use super::{Kept, anybody, as_anybody, asking, connect, count, counted, is, kind, read, text};

const ROLE: &str = "arn:aws:iam::123456789012:role/reader";

async fn failure(store: &Arc<dyn Provider>) -> Failure {
    read(store, asking("faults/db")).await.unwrap_err()
}

#[test]
fn an_aws_that_is_down_slow_or_in_trouble_is_an_outage() -> Result<()> {
    block_on(async {
        let (moto, proxy) = counted().await?;
        moto.put_secret("faults/db", "good").await?;
        for fields in [json!({}), json!({"role": ROLE})] {
            let store = as_anybody(&proxy.url, fields);
            for fault in [
                Fault::Cut,
                Fault::Dropped,
                Fault::LostAnswer,
                Fault::NoAnswer,
                Fault::status(500),
                Fault::status(503),
                Fault::aws(500, "InternalServiceError", "canary"),
            ] {
                let _rule = proxy.inject(fault.clone(), |_| true);
                assert_eq!(failure(&store).await.kind, Kind::Unavailable, "{fault:?}");
            }
            proxy.shut();
            assert_eq!(failure(&store).await.kind, Kind::Unavailable);
            proxy.open();
            assert_eq!(text(&store, asking("faults/db")).await.as_deref(), Ok("good"));
        }
        let closed = as_anybody(&format!("http://127.0.0.1:{}", process::free_port()), json!({}));
        assert_eq!(failure(&closed).await.what, "the connection was refused");
        Ok(())
    })
}

#[test]
fn throttling_is_told_with_how_long_to_wait_and_not_tried_again_here() -> Result<()> {
    block_on(async {
        let (moto, proxy) = counted().await?;
        moto.put_secret("throttled/a", "a").await?;
        moto.put_secret("throttled/b", "b").await?;
        let store = as_anybody(&proxy.url, json!({}));
        {
            let rule = proxy.inject(Fault::aws_throttling(), |_| true);
            assert_eq!(failure(&store).await.kind, Kind::Throttled);
            assert_eq!(rule.hits(), 1);
            let both = store.read(&[asking("throttled/a"), asking("throttled/b")]).await;
            assert!(both.into_iter().all(|one| kind(one) == Some(Kind::Throttled)));
            assert_eq!(rule.hits(), 2, "a batch that is throttled is not taken apart");
            assert_eq!(kind(store.find(&Find::default()).await), Some(Kind::Throttled));
        }
        let _rule = proxy.inject(Fault::too_many(7), |_| true);
        assert_eq!(failure(&store).await.retry_after, Some(Duration::from_secs(7)));
        Ok(())
    })
}

/// L02. Guard: `refusal` takes no phrase from an answer.
#[test]
fn what_aws_says_gets_nowhere() -> Result<()> {
    block_on(async {
        let (moto, proxy) = counted().await?;
        moto.put_secret("faults/db", "good").await?;
        let echo = "The request signature: AWS4-HMAC-SHA256 Credential=AKIACANARY/20260101";
        for fields in [json!({}), json!({"role": ROLE}), json!({"service": "ParameterStore"})] {
            let store = as_anybody(&proxy.url, fields);
            for code in
                ["AccessDeniedException", "IncompleteSignatureException", "ValidationException", "canary"]
            {
                for status in [400, 403, 404, 500] {
                    let _rule = proxy.inject(Fault::aws(status, code, echo), |_| true);
                    let mut all = store.read(&[asking("a"), asking("b")]).await;
                    all.push(read(&store, asking("faults/db")).await);
                    let failures = all.into_iter().map(|one| one.unwrap_err());
                    let failures = failures.chain(store.find(&Find::default()).await.err());
                    for failure in failures.chain(store.check().await.err()) {
                        let said = format!("{failure} {failure:?}").to_lowercase();
                        assert!(!said.contains("canary"), "{said}");
                    }
                }
            }
        }
        Ok(())
    })
}

#[test]
fn answers_that_are_not_those_of_aws_are_told_apart() -> Result<()> {
    block_on(async {
        let (moto, proxy) = counted().await?;
        moto.put_secret("faults/db", "good").await?;
        let store = as_anybody(&proxy.url, json!({}));
        let page = |code| Fault::Reply(code, vec![], "<html>canary</html>".to_owned());
        let cases = [
            (page(200), Kind::BadData),
            (Fault::Reply(200, vec![], "{}".to_owned()), Kind::BadData),
            (page(404), Kind::Rejected),
            (page(403), Kind::Forbidden),
            (page(502), Kind::Unavailable),
            (Fault::redirect("https://evil.test/"), Kind::EndpointRefused),
            (Fault::Reply(200, vec![], "x".repeat(9 << 20)), Kind::TooLarge),
            (Fault::aws(400, "DecryptionFailure", "canary"), Kind::Forbidden),
        ];
        for (fault, expected) in cases {
            let _rule = proxy.inject(fault, |_| true);
            assert_eq!(failure(&store).await.kind, expected);
        }
        Ok(())
    })
}

#[test]
fn a_session_that_expires_midway_is_replaced_once() -> Result<()> {
    block_on(async {
        let (moto, proxy) = counted().await?;
        moto.put_secret("expired/db", "good").await?;
        let store = as_anybody(&proxy.url, json!({"role": ROLE}));
        assert_eq!(text(&store, asking("expired/db")).await.as_deref(), Ok("good"));
        let old = proxy.calls().last().unwrap().header("x-amz-security-token").to_owned();
        assert!(!old.is_empty());
        {
            let once = AtomicBool::new(true);
            let _rule = proxy.inject(Fault::aws(400, "ExpiredTokenException", "canary"), move |call| {
                is(call, "GetSecretValue") && once.swap(false, Ordering::SeqCst)
            });
            assert_eq!(text(&store, asking("expired/db")).await.as_deref(), Ok("good"));
        }
        assert_eq!((count(&proxy, "AssumeRole"), count(&proxy, "GetSecretValue")), (2, 3));
        let _rule = proxy
            .inject(Fault::aws(400, "ExpiredTokenException", "canary"), |call| is(call, "GetSecretValue"));
        assert_eq!(kind(read(&store, asking("expired/db")).await), Some(Kind::Unauthenticated));
        assert_eq!((count(&proxy, "AssumeRole"), count(&proxy, "GetSecretValue")), (3, 5));
        Ok(())
    })
}

#[test]
fn a_certificate_is_trusted_by_the_stores_ca_alone() -> Result<()> {
    block_on(async {
        let (moto, _) = counted().await?;
        moto.put_secret("faults/db", "good").await?;
        let certs = Certs::make(&process::folder("aws-tls"))?;
        let other = Certs::make(&process::folder("aws-other-tls"))?;
        let proxy = Faults::before_tls(&moto.url, &certs).await?;
        let key = |key: &str| json!({"name": "aws", "key": key});
        let auth = json!({"secretRef": {
            "accessKeyIDSecretRef": key("id"), "secretAccessKeySecretRef": key("key"),
        }});
        let store = |mut fields: serde_json::Value| {
            fields["auth"] = auth.clone();
            // STS goes by the same connections.
            fields["role"] = json!(ROLE);
            let mut kept = Kept::keys(&anybody());
            kept.values.insert("ca", certs.ca_pem.clone());
            kept.values.insert("no-ca", "nothing".to_owned());
            connect(&proxy.url, fields, kept)
        };
        let bundle = |certs: &Certs| json!({"caBundle": BASE64_STANDARD.encode(&certs.ca_pem)});
        let provider =
            |kind: &str, key: &str| json!({"caProvider": {"type": kind, "name": "aws", "key": key}});
        for trusted in [bundle(&certs), provider("Secret", "ca"), provider("ConfigMap", "ca")] {
            assert_eq!(text(&store(trusted), asking("faults/db")).await.as_deref(), Ok("good"));
        }
        for untrusted in [json!({}), bundle(&other)] {
            let failure = failure(&store(untrusted)).await;
            assert_eq!(failure.kind, Kind::Untrusted, "{failure}");
        }
        assert_eq!(failure(&store(provider("Secret", "no-ca"))).await.kind, Kind::BadStore);
        assert_eq!(failure(&store(provider("Secret", "absent"))).await.kind, Kind::CredentialMissing);
        Ok(())
    })
}
