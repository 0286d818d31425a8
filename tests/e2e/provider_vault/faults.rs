//! Vault in trouble, and servers that are no Vault.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use waxwing_core::store::{Failure, Find, Kind, Lease};
use waxwing_providers::Provider;
use waxwing_tests::block_on;
use waxwing_tests::faults::{Call, Fault, Faults};
use waxwing_tests::vault::{self, ROOT_TOKEN, Vault};

use super::{Kept, asking, by_token, connect, key, kind, read, value};

/// The failure of a read.
async fn failure(store: &Arc<dyn Provider>) -> Failure {
    value(store, "faults/db").await.unwrap_err()
}

async fn shared() -> Result<&'static Vault> {
    let vault = vault::shared().await;
    vault.put("secret", "faults/db", json!({"a": "b"})).await?;
    Ok(vault)
}

fn is_read(call: &Call) -> bool {
    call.path.starts_with("/v1/secret/")
}

#[test]
fn a_sealed_vault_is_told_from_one_in_trouble_and_comes_back_by_itself() -> Result<()> {
    block_on(async {
        let vault = Vault::start("vault-provider-sealed").await?;
        vault.put("secret", "faults/db", json!({"a": "b"})).await?;
        let store = by_token(&vault.url, json!({}), ROOT_TOKEN);
        assert_eq!(value(&store, "faults/db").await, Ok(json!({"a": "b"})));
        vault.seal().await?;
        let new = by_token(&vault.url, json!({}), ROOT_TOKEN);
        for store in [&store, &new] {
            assert_eq!(kind(value(store, "faults/db").await), Some(Kind::Sealed));
            assert_eq!(kind(store.check().await), Some(Kind::Sealed));
        }
        vault.unseal().await?;
        for store in [&store, &new] {
            assert_eq!(value(store, "faults/db").await, Ok(json!({"a": "b"})));
        }
        Ok(())
    })
}

#[test]
fn a_vault_that_is_down_slow_or_nowhere_is_an_outage() -> Result<()> {
    block_on(async {
        let vault = shared().await?;
        let proxy = Faults::before_http(&vault.url).await?;
        let store = by_token(&proxy.url, json!({}), ROOT_TOKEN);
        assert_eq!(value(&store, "faults/db").await, Ok(json!({"a": "b"})));
        proxy.shut();
        assert_eq!(failure(&store).await.kind, Kind::Unavailable);
        proxy.open();
        assert_eq!(value(&store, "faults/db").await, Ok(json!({"a": "b"})));
        for fault in [Fault::Cut, Fault::Dropped, Fault::LostAnswer] {
            let _rule = proxy.inject(fault.clone(), is_read);
            assert_eq!(failure(&store).await.kind, Kind::Unavailable, "{fault:?}");
        }
        {
            let _rule = proxy.inject(Fault::NoAnswer, is_read);
            let late = failure(&store).await;
            assert_eq!((late.kind, late.what), (Kind::Unavailable, "no answer came in time"));
        }
        assert_eq!(value(&store, "faults/db").await, Ok(json!({"a": "b"})));

        let closed = format!("http://127.0.0.1:{}", waxwing_tests::process::free_port());
        let refused = failure(&by_token(&closed, json!({}), ROOT_TOKEN)).await;
        assert_eq!((refused.kind, refused.what), (Kind::Unavailable, "the connection was refused"));
        let nowhere = failure(&by_token("https://vault.invalid", json!({}), ROOT_TOKEN)).await;
        assert_eq!(
            (nowhere.kind, nowhere.what),
            (Kind::Unavailable, "the name of the host could not be resolved")
        );
        Ok(())
    })
}

#[test]
fn a_certificate_is_trusted_by_the_stores_ca_alone() -> Result<()> {
    block_on(async {
        let vault = shared().await?;
        let other = Vault::start("vault-provider-other-ca").await?;
        let bundle = |vault: &Vault| BASE64_STANDARD.encode(&vault.certs.ca_pem);
        let me = vault.certs.client("me")?;
        let kept = Kept::of([
            ("token", ROOT_TOKEN),
            ("ca", &vault.certs.ca_pem),
            ("no-ca", "nothing"),
            ("cert", &me.cert_pem),
            ("key", &me.key_pem),
        ]);
        let store = |url: &str, mut fields: Value| {
            fields["auth"] = json!({"tokenSecretRef": key("token")});
            connect(url, fields, &kept)
        };
        let provider =
            |kind: &str, key: &str| json!({"caProvider": {"type": kind, "name": "vault", "key": key}});
        for trusted in
            [json!({"caBundle": bundle(vault)}), provider("Secret", "ca"), provider("ConfigMap", "ca")]
        {
            let store = store(&vault.tls_url, trusted);
            assert_eq!(value(&store, "faults/db").await, Ok(json!({"a": "b"})));
            assert_eq!(store.check().await, Ok(()));
        }
        for untrusted in [json!({}), json!({"caBundle": bundle(&other)})] {
            let failure = failure(&store(&vault.tls_url, untrusted)).await;
            assert_eq!(failure.kind, Kind::Untrusted, "{failure}");
        }
        let unknown = failure(&store(&vault.tls_url, json!({}))).await;
        assert_eq!(unknown.what, "the server's certificate is from an authority that is not trusted");
        assert_eq!(failure(&store(&vault.tls_url, provider("Secret", "no-ca"))).await.kind, Kind::BadStore);
        let absent = failure(&store(&vault.tls_url, provider("ConfigMap", "absent"))).await;
        assert_eq!(absent.kind, Kind::CredentialMissing);

        let bare = failure(&store(&vault.mtls_url, provider("Secret", "ca"))).await;
        assert_eq!(bare.kind, Kind::Unauthenticated, "{bare}");
        let mut presented = provider("Secret", "ca");
        presented["tls"] = json!({"certSecretRef": key("cert"), "keySecretRef": key("key")});
        assert_eq!(value(&store(&vault.mtls_url, presented), "faults/db").await, Ok(json!({"a": "b"})));

        let plain = failure(&store(&vault.url.replace("http://", "https://"), json!({}))).await;
        assert_eq!(plain.kind, Kind::Unavailable, "{plain}");
        Ok(())
    })
}

/// K16: a redirect is an answer; the token stays where it was sent.
/// Guard: `client_builder` makes all connections, and `refusal::of_answer` knows no redirect as an answer.
#[test]
fn a_redirect_is_not_followed_with_the_token() -> Result<()> {
    block_on(async {
        let vault = shared().await?;
        let (first, second) =
            (Faults::before_http(&vault.url).await?, Faults::before_http(&vault.url).await?);
        let store = by_token(&first.url, json!({}), ROOT_TOKEN);
        assert_eq!(value(&store, "faults/db").await, Ok(json!({"a": "b"})));
        for code in [301, 302, 307, 308] {
            let to = format!("{}/v1/secret/data/faults/db", second.url);
            let reply = Fault::Reply(code, vec![("location", to)], String::new());
            let _rule = first.inject(reply, |_| true);
            for store in [&store, &by_token(&first.url, json!({}), ROOT_TOKEN)] {
                let failure = failure(store).await;
                assert_eq!((failure.kind, failure.code), (Kind::EndpointRefused, Some(code)));
                assert_eq!(failure.what, "answered with a redirect, which is not followed with credentials");
            }
        }
        assert_eq!(second.count(|_| true), 0);
        Ok(())
    })
}

#[test]
fn a_status_says_what_can_be_done() -> Result<()> {
    block_on(async {
        let vault = shared().await?;
        let proxy = Faults::before_http(&vault.url).await?;
        let store = by_token(&proxy.url, json!({}), ROOT_TOKEN);
        let words = |text: &str| json!({"errors": [text]}).to_string();
        let table = [
            (Fault::too_many(7), Kind::Throttled),
            (Fault::status(400), Kind::Rejected),
            (Fault::Body(403, words("1 error occurred:\n\t* permission denied\n\n")), Kind::Forbidden),
            (Fault::Body(404, json!({"errors": []}).to_string()), Kind::EntryMissing),
            (Fault::Body(404, words("no handler for route \"secret/\"")), Kind::MountMissing),
            (Fault::Body(404, "<html>404 page not found</html>".to_owned()), Kind::Unavailable),
            (Fault::status(404), Kind::Unavailable),
            (Fault::status(412), Kind::Unavailable),
            (Fault::status(500), Kind::Unavailable),
            (Fault::status(502), Kind::Unavailable),
            (Fault::Body(503, words("Vault is sealed")), Kind::Sealed),
            (Fault::Body(503, words("no active node")), Kind::Unavailable),
            (Fault::Body(200, "<html>Welcome</html>".to_owned()), Kind::Unavailable),
            (Fault::Body(200, json!({"data": {}}).to_string()), Kind::Unavailable),
            (
                Fault::Body(200, json!({"data": {"data": [1], "metadata": {"version": 1}}}).to_string()),
                Kind::BadData,
            ),
            (Fault::Body(200, " ".repeat(5 << 20)), Kind::TooLarge),
        ];
        for (fault, kind) in table {
            let shown = format!("{fault:?}").chars().take(200).collect::<String>();
            let _rule = proxy.inject(fault, is_read);
            let failure = failure(&store).await;
            assert_eq!(failure.kind, kind, "{shown}: {failure}");
            assert_eq!(failure.place.as_deref(), Some("faults/db"));
            let wait = (kind == Kind::Throttled).then_some(Duration::from_secs(7));
            assert_eq!(failure.retry_after, wait);
        }
        assert_eq!(value(&store, "faults/db").await, Ok(json!({"a": "b"})));
        Ok(())
    })
}

/// L02: what a server says about a credential or a value, it says to nobody else.
/// Guard: `refusal` knows fixed phrases only.
#[test]
fn what_a_server_repeats_is_in_no_failure() -> Result<()> {
    const CANARY: &str = "canary-7f3a9c";
    block_on(async {
        let vault = shared().await?;
        let proxy = Faults::before_http(&vault.url).await?;
        let role = vault.approle("faults-echo", "app", "logins", "1h").await?;
        let kept = Kept::of([("token", ROOT_TOKEN), ("secret", CANARY), ("good", &role.secret)]);
        let approle = |secret: &str| {
            let method = json!({"path": "faults-echo", "roleId": role.id, "secretRef": key(secret)});
            connect(&proxy.url, json!({"auth": {"appRole": method}}), &kept)
        };
        let by_token = connect(&proxy.url, json!({"auth": {"tokenSecretRef": key("token")}}), &kept);
        let dynamic =
            json!({"engine": "Dynamic", "path": "database", "auth": {"tokenSecretRef": key("token")}});
        let dynamic = connect(&proxy.url, dynamic, &kept);
        for store in [&by_token, &dynamic] {
            store.keep_alive().await;
        }
        let lease = Lease { id: format!("database/creds/{CANARY}@00000000"), seconds: 1, renewable: true };
        let words =
            format!("{CANARY}: permission denied, no handler for route, unsupported path, unknown role");
        let bodies = [
            json!({"errors": [words.clone()]}).to_string(),
            json!({"errors": [], "warnings": [words.clone()]}).to_string(),
            json!({"data": {"data": words.clone(), "metadata": words.clone()}, "auth": words.clone()})
                .to_string(),
            json!({"data": words.clone(), "auth": {"client_token": format!("{CANARY}\n")}}).to_string(),
            format!("{{\"data\": {{\"{CANARY}\": tru}}}}"),
            words,
        ];
        for (code, body) in [200, 204, 307, 400, 401, 403, 404, 405, 412, 429, 472, 500, 503, 999]
            .into_iter()
            .flat_map(|code| bodies.iter().map(move |body| (code, body)))
        {
            let headers = vec![("retry-after", CANARY.to_owned()), ("location", format!("http://{CANARY}/"))];
            let _rule = proxy.inject(Fault::Reply(code, headers, body.clone()), |_| true);
            let mut failures = vec![
                read(&approle("secret"), asking("faults/db")).await.err(),
                approle("good").check().await.err(),
                read(&by_token, asking("faults/db")).await.err(),
                by_token.find(&Find::default()).await.err(),
                by_token.check().await.err(),
                read(&dynamic, asking("creds/app")).await.err(),
                dynamic.renew(&lease).await.err(),
                dynamic.revoke(&lease.id).await.err(),
            ];
            failures.extend(by_token.version(&asking("faults/db")).await.map(Result::err));
            assert!(failures.iter().flatten().count() >= 4, "{code} {body}");
            for failure in failures.into_iter().flatten() {
                let shown = format!("{failure} {failure:?}");
                assert!(!shown.contains(CANARY), "{code} {body}: {shown}");
            }
        }
        Ok(())
    })
}

#[test]
fn namespaces_indexes_and_headers_are_sent_where_they_belong() -> Result<()> {
    block_on(async {
        let vault = shared().await?;
        let proxy = Faults::before_http(&vault.url).await?;
        let role = vault.approle("faults-headers", "app", "faults-headers", "1h").await?;
        vault.policy("faults-headers", "path \"secret/data/faults/*\" { capabilities = [\"read\"] }").await?;
        let kept = Kept::of([("secret", &role.secret)]);
        let login =
            json!({"appRole": {"path": "faults-headers", "roleId": role.id, "secretRef": key("secret")}});
        let mut auth = login.clone();
        auth["namespace"] = json!("logins");
        let fields = json!({
            "namespace": "team", "readYourWrites": true, "forwardInconsistent": true, "headers": {"X-Extra": "yes"},
            "auth": auth,
        });
        // This Vault has no namespaces: what is sent is looked at, and answered by the proxy.
        let token = json!({"auth": {"client_token": "hvs.x", "lease_duration": 60}}).to_string();
        let index = |index: &str| vec![("x-vault-index", index.to_owned())];
        let entry = json!({"data": {"data": {"a": "b"}, "metadata": {"version": 1}}}).to_string();
        let _reads = proxy.inject(Fault::Reply(200, index("second"), entry), is_read);
        let _login =
            proxy.inject(Fault::Reply(200, index("first"), token), |call| call.path.ends_with("/login"));
        let store = connect(&proxy.url, fields, &kept);
        for _ in 0..2 {
            assert_eq!(value(&store, "faults/db").await, Ok(json!({"a": "b"})));
        }
        let seen: Vec<Vec<String>> = proxy
            .calls()
            .iter()
            .map(|call| {
                let headers = [
                    "x-vault-namespace",
                    "x-vault-token",
                    "x-vault-index",
                    "x-vault-inconsistent",
                    "x-extra",
                ];
                headers.iter().map(|name| call.header(name).to_owned()).collect()
            })
            .collect();
        assert_eq!(
            seen,
            [
                ["logins", "", "", "", "yes"],
                ["team", "hvs.x", "first", "forward-active-node", "yes"],
                ["team", "hvs.x", "second", "forward-active-node", "yes"],
            ]
        );

        // Without these fields there is nothing of them, and the login is in the namespace of the entries.
        let before = proxy.calls().len();
        let store = connect(&proxy.url, json!({"namespace": "team", "auth": login}), &kept);
        assert_eq!(value(&store, "faults/db").await, Ok(json!({"a": "b"})));
        for call in &proxy.calls()[before..] {
            assert_eq!(call.header("x-vault-namespace"), "team", "{call}");
            assert_eq!(call.header("x-vault-index"), "", "{call}");
            assert_eq!(call.header("x-vault-inconsistent"), "", "{call}");
        }
        Ok(())
    })
}

/// Older versions of Vault say of a token that they do not know what they say of one that may not read.
#[test]
fn a_refusal_without_a_reason_is_no_cause_for_login_after_login() -> Result<()> {
    block_on(async {
        let vault = shared().await?;
        let proxy = Faults::before_http(&vault.url).await?;
        let role = vault.approle("faults-old", "app", "default", "1h").await?;
        let kept = Kept::of([("secret", &role.secret)]);
        let method = json!({"path": "faults-old", "roleId": role.id, "secretRef": key("secret")});
        let store = connect(&proxy.url, json!({"auth": {"appRole": method}}), &kept);
        let refused = Fault::Body(403, json!({"errors": ["permission denied"]}).to_string());
        let _rule = proxy.inject(refused, |call| !call.path.ends_with("/login"));
        for _ in 0..5 {
            assert_eq!(failure(&store).await.kind, Kind::Forbidden);
        }
        assert_eq!(proxy.count(|call| call.path.ends_with("/login")), 1);
        Ok(())
    })
}
