//! What goes wrong, and what is said then.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use waxwing_core::store::Kind;
use waxwing_tests::faults::{Fault, Faults};
use waxwing_tests::gsm::Gsm;
use waxwing_tests::trace::Trace;
use waxwing_tests::{block_on, gsm};

use super::{PARENT, PROJECT, READER, as_reader, asking, by_key, connect, reader, refused, value};
use waxwing_tests::kept::Kept;

#[test]
fn a_missing_entry_a_disabled_one_and_a_missing_role_are_told_apart() -> Result<()> {
    block_on(async {
        let (gsm, provider) = reader("gcp-refusals").await?;
        let missing = refused(&provider, "db").await;
        assert_eq!(
            (missing.kind, missing.code, missing.place.as_deref()),
            (Kind::EntryMissing, Some(404), Some("db"))
        );
        gsm.put(PARENT, "db", b"one").await?;
        let version = waxwing_core::store::Read { version: Some("7".to_owned()), ..asking("db") };
        assert_eq!(provider.read(&[version]).await.remove(0).unwrap_err().kind, Kind::EntryMissing);
        for state in ["DISABLED", "DESTROYED"] {
            gsm.set_state(PARENT, "db", 1, state).await?;
            let failure = refused(&provider, "db").await;
            assert_eq!(
                (failure.kind, failure.what),
                (Kind::Forbidden, "the version is disabled or destroyed")
            );
        }
        gsm.set_state(PARENT, "db", 1, "ENABLED").await?;
        gsm.revoke(READER).await?;
        let failure = refused(&provider, "db").await;
        assert_eq!((failure.kind, failure.code), (Kind::Forbidden, Some(403)));
        gsm.grant(READER, gsm::ACCESSOR, PROJECT).await?;
        assert_eq!(value(&provider, "db").await.unwrap().0, "one");
        Ok(())
    })
}

/// Guard: the comparison in `checked`.
#[test]
fn a_value_that_was_damaged_on_its_way_is_not_taken() -> Result<()> {
    block_on(async {
        let (gsm, provider) = reader("gcp-damaged").await?;
        gsm.put(PARENT, "db", b"one").await?;
        gsm.damage(PARENT, "db", 1).await?;
        assert_eq!(refused(&provider, "db").await.kind, Kind::BadData);
        gsm.put(PARENT, "db", b"two").await?;
        assert_eq!(value(&provider, "db").await.unwrap().0, "two");
        Ok(())
    })
}

#[test]
fn an_outage_throttling_and_answers_of_something_else_are_told_apart() -> Result<()> {
    block_on(async {
        let gsm = Gsm::start("gcp-outage").await?;
        let proxy = Faults::before_http(&gsm.url).await?;
        let provider = as_reader(&gsm, &proxy.url, json!({})).await?;
        gsm.put(PARENT, "db", b"one").await?;
        let html =
            |code| Fault::Reply(code, vec![("content-type", "text/html".to_owned())], "<html>".to_owned());
        for (fault, kind) in [
            (Fault::status(500), Kind::Unavailable),
            (Fault::status(503), Kind::Unavailable),
            (html(404), Kind::Unavailable),
            (html(200), Kind::Unavailable),
            (Fault::Body(200, "{\"payload\":".to_owned()), Kind::Unavailable),
            (Fault::Body(200, "x".repeat(5 << 20)), Kind::TooLarge),
            (Fault::Dropped, Kind::Unavailable),
            (Fault::Cut, Kind::Unavailable),
        ] {
            let said = format!("{fault:?}").chars().take(80).collect::<String>();
            let _fault = proxy.inject(fault, |_| true);
            assert_eq!(refused(&provider, "db").await.kind, kind, "{said}");
        }
        {
            let _fault = proxy.inject(Fault::too_many(7), |_| true);
            let failure = refused(&provider, "db").await;
            assert_eq!((failure.kind, failure.retry_after), (Kind::Throttled, Some(Duration::from_secs(7))));
        }
        proxy.shut();
        assert_eq!(refused(&provider, "db").await.kind, Kind::Unavailable);
        proxy.open();
        assert_eq!(value(&provider, "db").await.unwrap().0, "one", "it comes back by itself");
        Ok(())
    })
}

/// K16. A redirect is not followed, with or without credentials.
/// Guard: the transport is ours: `redirect` in `net::client_builder`.
#[test]
fn a_redirect_is_not_followed() -> Result<()> {
    block_on(async {
        let gsm = Gsm::start("gcp-redirect").await?;
        let (proxy, elsewhere) = (Faults::before_http(&gsm.url).await?, Faults::before_http(&gsm.url).await?);
        let provider = as_reader(&gsm, &proxy.url, json!({})).await?;
        gsm.put(PARENT, "db", b"one").await?;
        let target = format!("{}/v1/{PARENT}/secrets/db/versions/latest:access", elsewhere.url);
        let _fault = proxy.inject(Fault::redirect(&target), |_| true);
        let failure = refused(&provider, "db").await;
        assert_eq!((failure.kind, failure.code), (Kind::EndpointRefused, Some(307)));
        assert_eq!(elsewhere.calls().len(), 0);
        Ok(())
    })
}

/// L01, L02. Neither a value nor a credential nor what the service says is in a log or a message, although the service
/// repeats the token that it was sent.
/// Guard: `link::exchange` and `refusal` use no text of an answer; headers with a token are marked as sensitive.
#[test]
fn nothing_secret_is_logged_or_said() -> Result<()> {
    let (gsm, key) = block_on(async {
        let gsm = Gsm::start("gcp-leak").await?;
        gsm.put(PARENT, "db", b"canary-value").await?;
        gsm.grant(READER, gsm::ACCESSOR, PROJECT).await?;
        let key = gsm.service_account_key(READER, PROJECT).await?;
        anyhow::Ok((gsm, key))
    })?;
    let (log, said) = Trace::of(async {
        let known = Kept::of("gcp", [("key.json", &key.to_string())]);
        let provider = connect(&gsm.url, json!({"auth": by_key()}), known);
        assert!(value(&provider, "db").await.is_ok());
        let mut said = Vec::new();
        said.push(refused(&provider, "nope").await.to_string());
        // From here on the token is refused, and repeated.
        gsm.delete_keys(READER).await?;
        said.push(refused(&provider, "db").await.to_string());
        said.push(provider.check().await.unwrap_err().to_string());
        anyhow::Ok(said.join("\n"))
    })?;
    assert!(!log.is_empty(), "the libraries log at the most detailed level");
    let private: Vec<&str> =
        key["private_key"].as_str().unwrap().lines().filter(|line| line.len() > 40).collect();
    for text in [log, said] {
        for secret in
            ["canary-value", "Y2FuYXJ5LXZhbHVl", "Bearer ey"].into_iter().chain(private.iter().copied())
        {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
        assert!(!text.contains("invalid authentication credentials"), "the service's words are in {text}");
    }
    Ok(())
}
