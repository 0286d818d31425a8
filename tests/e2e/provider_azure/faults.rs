//! What goes wrong, and what is said then.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use waxwing_core::store::{Find, Kind, Read};
use waxwing_tests::block_on;
use waxwing_tests::faults::{Call, Fault, Faults};
use waxwing_tests::kept::Kept;
use waxwing_tests::keyvault::KeyVault;
use waxwing_tests::trace::Trace;

use super::{
    APP, APP_SECRET, as_reader, asking, by_secret, connect, kind, logins, read, reader, refused, value,
};

#[test]
fn a_missing_entry_a_disabled_one_and_a_missing_right_are_told_apart() -> Result<()> {
    block_on(async {
        let (vault, provider) = reader("azure-refusals").await?;
        let missing = refused(&provider, "db").await;
        assert_eq!(
            (missing.kind, missing.code, missing.place.as_deref()),
            (Kind::EntryMissing, Some(404), Some("db"))
        );
        vault.put("db", "one").await?;
        let other = Read { version: Some("0".repeat(32)), ..asking("db") };
        assert_eq!(kind(read(&provider, other).await), Some(Kind::EntryMissing));
        vault.set_enabled("db", false).await?;
        let disabled = refused(&provider, "db").await;
        assert_eq!((disabled.kind, disabled.what), (Kind::Forbidden, "the secret is disabled"));
        vault.set_enabled("db", true).await?;
        vault.may(APP, &["list"]).await?;
        let failure = refused(&provider, "db").await;
        assert_eq!((failure.kind, failure.code), (Kind::Forbidden, Some(403)));
        assert_ne!(failure.what, disabled.what);
        vault.may(APP, &["get"]).await?;
        assert_eq!(value(&provider, "db").await.unwrap().0, "one");
        vault.delete("db").await?;
        assert_eq!(refused(&provider, "db").await.kind, Kind::EntryMissing);
        Ok(())
    })
}

fn is_vault(call: &Call) -> bool {
    call.path.starts_with("/secrets")
}

fn is_login(call: &Call) -> bool {
    !is_vault(call)
}

#[test]
fn an_outage_throttling_and_answers_of_something_else_are_told_apart() -> Result<()> {
    block_on(async {
        let vault = KeyVault::start("azure-outage").await?;
        let proxy = Faults::before_tls(&vault.url, &vault.certs).await?;
        vault.put("db", "one").await?;
        let html =
            |code| Fault::Reply(code, vec![("content-type", "text/html".to_owned())], "<html>".to_owned());
        let faults = || {
            [
                (Fault::status(500), Kind::Unavailable),
                (Fault::status(503), Kind::Unavailable),
                (html(404), Kind::Unavailable),
                (Fault::Dropped, Kind::Unavailable),
                (Fault::Cut, Kind::Unavailable),
                (Fault::Body(200, "x".repeat(5 << 20)), Kind::TooLarge),
                (Fault::too_many(7), Kind::Throttled),
            ]
        };
        for is in [is_vault, is_login] {
            // One that has logged in asks for no new token.
            let provider = as_reader(&vault, &proxy.url).await?;
            for (fault, kind) in faults() {
                let said = format!("{fault:?}").chars().take(80).collect::<String>();
                let _fault = proxy.inject(fault, is);
                let failure = refused(&provider, "db").await;
                assert_eq!(failure.kind, kind, "{said}");
                let after = (kind == Kind::Throttled).then(|| Duration::from_secs(7));
                assert_eq!(failure.retry_after, after, "{said}");
            }
            assert_eq!(value(&provider, "db").await.unwrap().0, "one", "it comes back by itself");
        }
        let provider = as_reader(&vault, &proxy.url).await?;
        for body in ["<html>", "{\"value\":", "[]"] {
            let _fault = proxy.inject(Fault::Body(200, body.to_owned()), is_vault);
            assert_eq!(refused(&provider, "db").await.kind, Kind::Unavailable, "{body}");
        }
        proxy.shut();
        assert_eq!(refused(&provider, "db").await.kind, Kind::Unavailable);
        proxy.open();
        assert_eq!(value(&provider, "db").await.unwrap().0, "one");
        Ok(())
    })
}

#[test]
fn a_vault_whose_certificate_is_not_trusted_gets_nothing() -> Result<()> {
    block_on(async {
        let vault = KeyVault::start("azure-untrusted").await?;
        let other = KeyVault::start("azure-other-ca").await?;
        vault.app_with_secret(APP, APP_SECRET).await?;
        let kept = Kept::of("azure", [("id", APP), ("secret", APP_SECRET), ("ca.crt", &vault.certs.ca_pem)]);
        let provider = connect(&other, &vault.url, by_secret(), kept.clone());
        assert_eq!(refused(&provider, "db").await.kind, Kind::Untrusted);
        assert_eq!(vault.calls().await?.len(), 0);
        for kind in ["Secret", "ConfigMap"] {
            let mut fields = by_secret();
            fields["caBundle"] = json!(null);
            fields["caProvider"] = json!({"type": kind, "name": "azure"});
            let provider = connect(&vault, &vault.url, fields, kept.clone());
            assert_eq!(refused(&provider, "db").await.kind, Kind::EntryMissing, "{kind}");
        }
        Ok(())
    })
}

/// K16. A redirect is not followed, with or without credentials.
/// Guard: the transport is ours: `redirect` in `net::client_builder`.
#[test]
fn a_redirect_is_not_followed() -> Result<()> {
    block_on(async {
        let vault = KeyVault::start("azure-redirect").await?;
        let proxy = Faults::before_tls(&vault.url, &vault.certs).await?;
        let elsewhere = Faults::before_tls(&vault.url, &vault.certs).await?;
        vault.put("db", "one").await?;
        for is in [is_vault, is_login] {
            let provider = as_reader(&vault, &proxy.url).await?;
            let _fault = proxy.inject(Fault::redirect(&format!("{}/x", elsewhere.url)), is);
            let failure = refused(&provider, "db").await;
            assert_eq!((failure.kind, failure.code), (Kind::EndpointRefused, Some(307)));
        }
        assert_eq!(elsewhere.calls().len(), 0);
        Ok(())
    })
}

/// K16. A page of a list names the next one. No token is sent to where it points, if that is another host.
/// Guard: the comparison of origins in `Wire::send`.
#[test]
fn the_next_page_is_not_fetched_from_another_host() -> Result<()> {
    block_on(async {
        let vault = KeyVault::start("azure-next-link").await?;
        let proxy = Faults::before_tls(&vault.url, &vault.certs).await?;
        let elsewhere = Faults::before_tls(&vault.url, &vault.certs).await?;
        let provider = as_reader(&vault, &proxy.url).await?;
        vault.put("db", "one").await?;
        assert_eq!(provider.find(&Find::default()).await.unwrap(), ["db"]);
        let other_name = proxy.url.replace("127.0.0.1", "localhost");
        let in_the_clear = proxy.url.replace("https:", "http:");
        for url in [&elsewhere.url, &other_name, &in_the_clear] {
            let link = format!("{url}/secrets?api-version=7.4&$skiptoken=1");
            let page = json!({"value": [], "nextLink": link}).to_string();
            let fault = proxy.inject(Fault::Body(200, page), is_vault);
            let failure = provider.find(&Find::default()).await.unwrap_err();
            assert_eq!((failure.kind, fault.hits()), (Kind::EndpointRefused, 1), "{url}: {failure}");
        }
        assert_eq!(elsewhere.calls().len(), 0);
        Ok(())
    })
}

/// K16. A vault is given a token for Key Vault only, whatever it asks for, although the operator's list has its host.
/// Guard: the comparison of scopes in `Ticket::get_token`.
#[test]
fn a_vault_that_asks_for_a_token_of_something_else_gets_none() -> Result<()> {
    block_on(async {
        let vault = KeyVault::start("azure-challenge").await?;
        let proxy = Faults::before_tls(&vault.url, &vault.certs).await?;
        let provider = as_reader(&vault, &proxy.url).await?;
        let challenge = r#"Bearer authorization="https://login.microsoftonline.com/x", resource="https://management.azure.com""#;
        let headers = vec![("www-authenticate", challenge.to_owned())];
        let _fault = proxy.inject(Fault::Reply(401, headers, String::new()), is_vault);
        let failure = refused(&provider, "db").await;
        assert_eq!(failure.kind, Kind::EndpointRefused, "{failure}");
        let asked = proxy.calls();
        assert!(
            asked.iter().filter(|call| is_vault(call)).all(|call| call.header("authorization").is_empty())
        );
        assert_eq!(logins(&vault).await?, 1, "there was one for Key Vault, that was not shown");
        Ok(())
    })
}

/// L01, L02. Neither a value nor a credential nor what the services say is in a log or a message, although the services
/// repeat what they were sent.
/// Guard: `link::exchange` and `refusal` use no text of an answer.
#[test]
fn nothing_secret_is_logged_or_said() -> Result<()> {
    let (vault, key) = block_on(async {
        let vault = KeyVault::start("azure-leak").await?;
        vault.put("db", "canary-value").await?;
        vault.app_with_secret(APP, APP_SECRET).await?;
        let key = vault.app_with_certificate("canary-other").await?;
        anyhow::Ok((vault, key))
    })?;
    let (log, said) = Trace::of(async {
        let kept = Kept::of("azure", [("id", APP), ("secret", APP_SECRET)]);
        let provider = connect(&vault, &vault.url, by_secret(), kept);
        assert!(value(&provider, "db").await.is_ok());
        let mut said = vec![refused(&provider, "nope").await.to_string()];
        let wrong = Kept::of("azure", [("id", APP), ("secret", "canary-wrong")]);
        said.push(refused(&connect(&vault, &vault.url, by_secret(), wrong), "db").await.to_string());
        let mut fields = by_secret();
        fields["authSecretRef"] = json!({"clientId": super::at("id"), "clientCertificate": super::at("pem")});
        let pem = format!("{}{}", key.private, key.certificate);
        let certificate = Kept::of("azure", [("id", APP), ("pem", &pem)]);
        said.push(refused(&connect(&vault, &vault.url, fields, certificate), "db").await.to_string());
        anyhow::Ok(said.join("\n"))
    })?;
    assert!(!log.is_empty(), "the libraries log at the most detailed level");
    let private: Vec<&str> = key.private.lines().filter(|line| line.len() > 40).collect();
    for text in [log, said] {
        let secrets = ["canary-value", "canary-wrong", APP_SECRET, "canary%7E", "eyJ0", "AADSTS", "AKV10000"];
        for secret in secrets.into_iter().chain(private.iter().copied()) {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
        assert!(!text.contains("was not found in this key vault"), "the service's words are in {text}");
    }
    Ok(())
}
