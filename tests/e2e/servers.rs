//! The servers that provider tests stand on do what those tests rely on. Nothing of Waxwing is tested here: a failure
//! means that a test elsewhere could pass or fail for the wrong reason.

use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};
use waxwing_tests::faults::{Call, Fault, Faults};
use waxwing_tests::gsm::{self, Gsm};
use waxwing_tests::http::{self, Tls};
use waxwing_tests::keyvault::{self, KeyVault};
use waxwing_tests::moto::{self, Moto};
use waxwing_tests::tools::tool;
use waxwing_tests::vault::{self, Vault};
use waxwing_tests::{block_on, control_plane, postgres, slapd};

const READ_ALL: &str = "path \"secret/*\" { capabilities = [\"read\", \"list\"] }";

/// Logs in at `auth/PATH`, and gives the token.
async fn log_in(vault: &Vault, path: &str, body: Value) -> Result<String> {
    let answer = vault.request("", "POST", &format!("auth/{path}"), &body).await?.ok()?.json();
    Ok(answer["auth"]["client_token"].as_str().unwrap().to_owned())
}

#[test]
fn vault_keeps_both_versions_of_kv_and_writes_down_who_asked() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        vault.mount_kv("smoke-v1", 1).await?;
        vault.put_v1("smoke-v1", "db", json!({"user": "one"})).await?;
        assert_eq!(vault.read("smoke-v1/db").await?["data"]["user"], "one");
        assert_eq!(vault.put("secret", "smoke/db", json!({"user": "two"})).await?, 1);
        assert_eq!(vault.put("secret", "smoke/db", json!({"user": "three"})).await?, 2);

        vault.policy("smoke-kv", READ_ALL).await?;
        let token = vault.token("smoke-kv", "1h").await?;
        let mark = vault.mark();
        for url in [&vault.url, &vault.tls_url] {
            let tls = Tls { ca_pem: &vault.certs.ca_pem, identity: None };
            let url = format!("{url}/v1/secret/data/smoke/db");
            let answer = http::send("GET", &url, tls, &[("x-vault-token", &token)], "").await?.ok()?;
            assert_eq!(answer.json()["data"]["data"]["user"], "three");
        }
        let calls = vault.calls_since(mark);
        let mine =
            calls.iter().filter(|call| call.operation == "read" && call.path == "secret/data/smoke/db");
        assert_eq!(mine.count(), 2, "{calls:?}");
        Ok(())
    })
}

#[test]
fn vault_lets_in_by_each_method() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        let plane = control_plane::main().await;
        vault.policy("smoke-ways", READ_ALL).await?;
        plane.create_namespace("smoke-vault").await?;
        plane.service_account("smoke-vault", "reader").await?;
        let account = ("smoke-vault", "reader");

        let approle = vault.approle("approle-smoke", "reader", "smoke-ways", "1h").await?;
        let body = json!({"role_id": approle.id, "secret_id": approle.secret});
        let token = log_in(vault, "approle-smoke/login", body).await?;
        let user = vault.userpass("userpass-smoke", "ann", "smoke-ways").await?;
        log_in(vault, "userpass-smoke/login/ann", json!({"password": user.secret})).await?;

        let jwt = plane.token("smoke-vault", "reader", &["vault"]).await?;
        let other = plane.token("smoke-vault", "reader", &["elsewhere"]).await?;
        vault.kubernetes(plane, "kubernetes-smoke", "reader", account, "vault", "smoke-ways").await?;
        vault.jwt(plane, "jwt-smoke", "reader", account, "vault", "smoke-ways").await?;
        for method in ["kubernetes-smoke", "jwt-smoke"] {
            let path = format!("{method}/login");
            log_in(vault, &path, json!({"role": "reader", "jwt": jwt})).await?;
            let refused = log_in(vault, &path, json!({"role": "reader", "jwt": other})).await;
            assert!(refused.is_err(), "{method} asks for the audience");
        }

        let identity = vault.cert("cert-smoke", "reader", "ann", "smoke-ways").await?;
        let tls = Tls { ca_pem: &vault.certs.ca_pem, identity: Some(&identity) };
        for url in [&vault.tls_url, &vault.mtls_url] {
            let url = format!("{url}/v1/auth/cert-smoke/login");
            http::send("POST", &url, tls, &[], json!({"name": "reader"}).to_string()).await?.ok()?;
        }
        let without = Tls { identity: None, ..tls };
        let url = format!("{}/v1/sys/health", vault.mtls_url);
        assert!(http::send("GET", &url, without, &[], "").await.is_err(), "a certificate is asked for");

        vault.revoke_below("auth/approle-smoke").await?;
        let after = vault.request(&token, "GET", "auth/token/lookup-self", &Value::Null).await?;
        assert_eq!(after.status, 403, "the tokens of a method can be revoked together");
        Ok(())
    })
}

#[test]
fn vault_gives_certificates_for_a_time() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        vault.pki("pki-smoke", "web", "1h").await?;
        let name = json!({"common_name": "a.example.test"});
        let issued = vault.write("pki-smoke/issue/web", name).await?;
        assert!(issued["data"]["private_key"].is_string());
        assert_eq!(issued["renewable"], false);
        let lease = issued["lease_id"].as_str().unwrap().to_owned();
        assert_eq!(vault.leases("pki-smoke/issue/web").await?, [lease]);
        vault.revoke_below("pki-smoke").await?;
        assert!(vault.leases("pki-smoke/issue/web").await?.is_empty());
        Ok(())
    })
}

#[test]
fn vault_makes_users_of_a_database_for_a_time() -> Result<()> {
    block_on(async {
        let (vault, database) = (vault::shared().await, postgres::shared().await);
        vault.database(database, "database-smoke", "reader", ("1h", "2h")).await?;
        let made = vault.read("database-smoke/creds/reader").await?;
        let text = |key: &str| made["data"][key].as_str().unwrap();
        assert!(database.lets_in(text("username"), text("password")));
        assert!(!database.lets_in(text("username"), "another"));
        assert_eq!(made["renewable"], true);
        let lease = made["lease_id"].as_str().unwrap();
        assert_eq!(vault.leases("database-smoke/creds/reader").await?, [lease]);
        vault.write("sys/leases/renew", json!({"lease_id": lease})).await?;
        vault.revoke_below("database-smoke/creds/reader").await?;
        assert!(!database.lets_in(text("username"), text("password")), "a revoked user is gone");
        Ok(())
    })
}

#[test]
fn vault_asks_the_directory_for_passwords_and_groups() -> Result<()> {
    block_on(async {
        let (vault, directory) = (vault::shared().await, slapd::shared().await);
        vault.policy("smoke-ldap", READ_ALL).await?;
        vault.ldap(directory, "ldap-smoke", "smoke-ldap").await?;
        for user in ["ann", "bob"] {
            let login = format!("auth/ldap-smoke/login/{user}");
            let right = json!({"password": slapd::password(user)});
            let answer = vault.request("", "POST", &login, &right).await?.ok()?.json();
            assert_eq!(answer["auth"]["policies"], json!(["default", "smoke-ldap"]));
            let wrong = vault.request("", "POST", &login, &json!({"password": "another"})).await?;
            assert_eq!(wrong.status, 400, "{}", wrong.text());
        }
        Ok(())
    })
}

#[test]
fn vault_can_be_sealed_and_unsealed() -> Result<()> {
    block_on(async {
        let vault = Vault::start("vault-sealed").await?;
        vault.put("secret", "kept", json!({"a": "b"})).await?;
        vault.seal().await?;
        let sealed = vault.request(vault::ROOT_TOKEN, "GET", "secret/data/kept", &Value::Null).await?;
        assert_eq!(sealed.status, 503);
        vault.unseal().await?;
        assert_eq!(vault.read("secret/data/kept").await?["data"]["data"]["a"], "b");
        Ok(())
    })
}

#[test]
fn moto_keeps_secrets_and_parameters_of_several_accounts() -> Result<()> {
    block_on(async {
        let moto = moto::shared().await;
        let arn = moto.put_secret("smoke/db", "one").await?;
        assert!(
            arn.starts_with(&format!("arn:aws:secretsmanager:{}:{}:", moto::REGION, moto::ACCOUNT)),
            "{arn}"
        );
        assert_eq!(moto.put_secret("smoke/db", "two").await?, arn);
        let which = json!({"SecretId": "smoke/db", "VersionStage": "AWSCURRENT"});
        let value = moto.call("secretsmanager.GetSecretValue", which.clone()).await?;
        assert_eq!(value["SecretString"], "two");
        assert_eq!(moto.put_parameter("/smoke/db", "one").await?, 1);
        assert_eq!(moto.put_parameter("/smoke/db", "two").await?, 2);
        assert!(moto.role("smoke").await?.ends_with(":role/smoke"));

        let other = moto.account("111111111111").await?;
        let target = "secretsmanager.GetSecretValue";
        let absent = moto.call_as(Some(&other), moto::REGION, target, &which).await?;
        assert!(absent.text().contains("ResourceNotFoundException"), "{}", absent.text());
        Ok(())
    })
}

#[test]
fn moto_can_be_made_to_check_signatures() -> Result<()> {
    let read = "import boto3, sys; print(boto3.client('secretsmanager', endpoint_url=sys.argv[1], \
                region_name=sys.argv[2], aws_access_key_id=sys.argv[3], aws_secret_access_key=sys.argv[4]) \
                .get_secret_value(SecretId='db', VersionStage='AWSCURRENT')['SecretString'])";
    block_on(async {
        let moto = Moto::start_enforcing("moto-enforcing", 4).await?;
        moto.put_secret("db", "the value").await?;
        let ann = moto.user("ann").await?;
        let policy = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C\
                      %22Action%22%3A%22secretsmanager%3AGetSecretValue%22%2C%22Resource%22%3A%22*%22%7D%5D%7D";
        let put = format!("Action=PutUserPolicy&UserName=ann&PolicyName=read&PolicyDocument={policy}");
        moto.query("iam", &put).await?;

        let run = |secret: &str| {
            let mut python = Command::new(tool("moto").with_file_name("python"));
            python.args(["-c", read, &moto.url, moto::REGION, &ann.access_key_id, secret]).output()
        };
        let good = run(&ann.secret_access_key)?;
        assert_eq!(String::from_utf8_lossy(&good.stdout).trim(), "the value");
        let bad = run("not the secret key")?;
        let why = String::from_utf8_lossy(&bad.stderr).into_owned();
        assert!(why.contains("(403)"), "{why}");
        Ok(())
    })
}

#[test]
fn the_fault_proxy_stands_before_any_server() -> Result<()> {
    block_on(async {
        let vault = vault::shared().await;
        vault.put("secret", "smoke/fault", json!({"a": "b".repeat(100)})).await?;
        let clear = Faults::before_http(&vault.url).await?;
        let tls = Faults::before_tls(&vault.tls_url, &vault.certs).await?;
        let get = async |proxy: &Faults| {
            let trusted = Tls { ca_pem: &vault.certs.ca_pem, identity: None };
            let url = format!("{}/v1/secret/data/smoke/fault?version=1", proxy.url);
            http::send("GET", &url, trusted, &[("x-vault-token", vault::ROOT_TOKEN)], "").await
        };
        for proxy in [&clear, &tls] {
            assert_eq!(get(proxy).await?.json()["data"]["data"]["a"], "b".repeat(100));
            {
                let rule = proxy.inject(Fault::too_many(7), |call| call.path.ends_with("/fault"));
                let answer = get(proxy).await?;
                assert_eq!((answer.status, answer.headers["retry-after"].to_str()?), (429, "7"));
                assert_eq!(rule.hits(), 1);
            }
            for fault in [Fault::Cut, Fault::Dropped, Fault::LostAnswer] {
                let _rule = proxy.inject(fault.clone(), |_| true);
                assert!(get(proxy).await.is_err(), "{fault:?}");
            }
            {
                let _rule = proxy.inject(Fault::redirect("http://127.0.0.1:1/"), |_| true);
                let answer = get(proxy).await?;
                assert_eq!(
                    (answer.status, answer.headers["location"].to_str()?),
                    (307, "http://127.0.0.1:1/")
                );
            }
            proxy.shut();
            assert!(get(proxy).await.is_err(), "shut");
            proxy.open();
            assert_eq!(get(proxy).await?.status, 200);
            let asked =
                |call: &Call| call.query == "version=1" && call.header("x-vault-token") == vault::ROOT_TOKEN;
            assert_eq!(proxy.count(asked), 7);
        }

        let moto = moto::shared().await;
        moto.put_secret("smoke/fault", "value").await?;
        let proxy = Faults::before_http(&moto.url).await?;
        let _rule = proxy.inject(Fault::aws_throttling(), |call| {
            call.header("x-amz-target").ends_with(".GetSecretValue")
                && call.body.ends_with(b"\"smoke/fault\"}")
        });
        let asked = [("x-amz-target", "secretsmanager.GetSecretValue")];
        let answer =
            http::send("POST", &proxy.url, Tls::default(), &asked, r#"{"SecretId":"smoke/fault"}"#).await?;
        assert_eq!((answer.status, answer.json()["__type"].as_str()), (400, Some("ThrottlingException")));
        Ok(())
    })
}

#[test]
fn the_stub_of_key_vault_verifies_who_asks() -> Result<()> {
    block_on(async {
        let azure = KeyVault::start("keyvault").await?;
        let plane = control_plane::main().await;
        plane.create_namespace("smoke-azure").await?;
        plane.service_account("smoke-azure", "reader").await?;
        let first = azure.put("db", "one").await?;
        azure.put("db", "two").await?;
        let read = async |path: &str, token: &str| {
            let bearer = format!("Bearer {token}");
            azure
                .request(
                    "GET",
                    &format!("/secrets/{path}?api-version=7.6"),
                    &[("authorization", &bearer)],
                    "",
                )
                .await
        };
        let challenge = azure.request("GET", "/secrets/db/?api-version=7.6", &[], "").await?;
        assert_eq!(challenge.status, 401);
        assert!(
            challenge.headers["www-authenticate"].to_str()?.contains("resource=\"https://vault.azure.net\"")
        );

        azure.app_with_secret("app", "the secret").await?;
        azure.app_with_account("app", plane, ("smoke-azure", "reader")).await?;
        let jwt = plane.token("smoke-azure", "reader", &["api://AzureADTokenExchange"]).await?;
        let other = plane.token("smoke-azure", "reader", &["elsewhere"]).await?;
        let assertion =
            "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
        let mut tokens = Vec::new();
        for (credential, status) in [
            ("client_secret=the+secret".to_owned(), 200),
            ("client_secret=another".to_owned(), 401),
            (format!("{assertion}&client_assertion={jwt}"), 200),
            (format!("{assertion}&client_assertion={other}"), 401),
        ] {
            let form = format!(
                "client_id=app&grant_type=client_credentials&scope=https%3A%2F%2Fvault.azure.net%2F.default&{credential}"
            );
            let path = format!("/{}/oauth2/v2.0/token", keyvault::TENANT);
            let answer = azure.request("POST", &path, &[], &form).await?;
            assert_eq!(answer.status, status, "{}", answer.text());
            tokens.extend(answer.json()["access_token"].as_str().map(str::to_owned));
        }
        azure.managed_identity("machine", "header").await?;
        let managed = "/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fvault.azure.net";
        let managed = azure.request("GET", managed, &[("x-identity-header", "header")], "").await?.ok()?;
        tokens.push(managed.json()["access_token"].as_str().unwrap().to_owned());
        for token in &tokens {
            assert_eq!(read("db/", token).await?.json()["value"], "two");
            assert_eq!(read(&format!("db/{first}"), token).await?.json()["value"], "one");
        }
        azure.may("app", &["list"]).await?;
        assert_eq!(read("db/", &tokens[0]).await?.status, 403);
        azure.may("app", &["get"]).await?;
        azure.set_enabled("db", false).await?;
        assert_eq!(read("db/", &tokens[0]).await?.json()["error"]["innererror"]["code"], "SecretDisabled");
        azure.set_clock_off(3600).await?;
        assert_eq!(read("db/", &tokens[0]).await?.status, 401, "tokens expire");
        assert_eq!(azure.calls().await?.iter().filter(|call| call.status == 401).count(), 4);
        azure.app_with_certificate("other").await?;
        Ok(())
    })
}

#[test]
fn the_stub_of_secret_manager_verifies_who_asks() -> Result<()> {
    block_on(async {
        let gsm = Gsm::start("gsm").await?;
        let plane = control_plane::main().await;
        plane.create_namespace("smoke-gcp").await?;
        plane.service_account("smoke-gcp", "reader").await?;
        gsm.put("projects/smoke", "db", b"one").await?;
        assert_eq!(gsm.put("projects/smoke", "db", b"two").await?, 2);
        let alt = "%24alt=json%3Benum-encoding%3Dint";
        let read = async |version: &str, token: &str| {
            let path = format!("/v1/projects/smoke/secrets/db/versions/{version}:access?{alt}");
            gsm.request("GET", &path, &[("authorization", &format!("Bearer {token}"))], "").await
        };
        assert_eq!(read("latest", "nobody's").await?.status, 401);

        let pool = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/c";
        gsm.pool(pool, plane, "smoke", "principal:").await?;
        let mut tokens = Vec::new();
        for (audience, status) in [("smoke", 200), ("elsewhere", 400)] {
            let jwt = plane.token("smoke-gcp", "reader", &[audience]).await?;
            let form = format!(
                "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&audience={pool}&subject_token={jwt}\
                 &requested_token_type=urn:ietf:params:oauth:token-type:access_token\
                 &subject_token_type=urn:ietf:params:oauth:token-type:jwt\
                 &scope=https://www.googleapis.com/auth/cloud-platform"
            );
            let answer = gsm.request("POST", "/v1/token", &[], &form).await?;
            assert_eq!(answer.status, status, "{}", answer.text());
            tokens.extend(answer.json()["access_token"].as_str().map(str::to_owned));
        }
        assert_eq!(read("latest", &tokens[0]).await?.status, 403);
        let principal = "principal:system:serviceaccount:smoke-gcp:reader";
        gsm.grant(principal, gsm::ACCESSOR, "smoke").await?;
        assert_eq!(read("latest", &tokens[0]).await?.json()["payload"]["data"], "dHdv");
        assert_eq!(read("1", &tokens[0]).await?.json()["payload"]["data"], "b25l");
        gsm.set_state("projects/smoke", "db", 1, "DISABLED").await?;
        assert_eq!(read("1", &tokens[0]).await?.status, 400);

        gsm.grant(principal, gsm::WORKLOAD_IDENTITY_USER, "sa@smoke").await?;
        gsm.grant("sa@smoke", gsm::ACCESSOR, "smoke").await?;
        let path = "/v1/projects/-/serviceAccounts/sa@smoke:generateAccessToken";
        let bearer = format!("Bearer {}", tokens[0]);
        let scope = json!({"scope": ["https://www.googleapis.com/auth/cloud-platform"]}).to_string();
        let account = gsm.request("POST", path, &[("authorization", &bearer)], &scope).await?.ok()?.json();
        assert_eq!(read("latest", account["accessToken"].as_str().unwrap()).await?.status, 200);
        gsm.revoke_tokens().await?;
        assert_eq!(read("latest", &tokens[0]).await?.status, 401);
        let key = gsm.service_account_key("sa@smoke", "smoke").await?;
        assert!(key["private_key"].as_str().unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
        Ok(())
    })
}
