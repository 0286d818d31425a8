//! Each way to log in, and what a login that is not enough gets.

use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use waxwing_core::store::Kind;
use waxwing_providers::Provider;
use waxwing_tests::faults::{Fault, Faults};
use waxwing_tests::moto::{self, Credentials, Moto, REGION};
use waxwing_tests::{block_on, control_plane};

use super::{Kept, anybody, as_anybody, as_user, asking, connect, count, counted, is, kind, read, text};

/// Puts a secret into another account.
async fn put_elsewhere(moto: &Moto, account: &str, name: &str, value: &str) -> Result<Credentials> {
    let credentials = moto.account(account).await?;
    let body = json!({"Name": name, "SecretString": value});
    moto.call_as(Some(&credentials), REGION, "secretsmanager.CreateSecret", &body).await?.ok()?;
    Ok(credentials)
}

#[test]
fn a_chain_of_roles_leads_into_another_account() -> Result<()> {
    block_on(async {
        let (moto, proxy) = counted().await?;
        moto.put_secret("chain/db", "ours").await?;
        put_elsewhere(moto, "444455556666", "chain/db", "theirs").await?;
        let store = as_anybody(
            &proxy.url,
            json!({
                "additionalRoles": ["arn:aws:iam::111122223333:role/hop"],
                "role": "arn:aws:iam::444455556666:role/reader", "externalID": "ours",
                "sessionTags": [{"key": "team", "value": "shop"}], "transitiveTagKeys": ["team"],
            }),
        );
        for _ in 0..3 {
            assert_eq!(text(&store, asking("chain/db")).await.as_deref(), Ok("theirs"));
        }
        assert_eq!((count(&proxy, "AssumeRole"), proxy.calls().len()), (2, 5));
        assert_eq!(text(&as_anybody(&proxy.url, json!({})), asking("chain/db")).await.as_deref(), Ok("ours"));
        Ok(())
    })
}

#[test]
fn temporary_keys_are_taken_with_their_token() -> Result<()> {
    block_on(async {
        let (moto, proxy) = counted().await?;
        let credentials = put_elsewhere(moto, "777788889999", "temporary/db", "theirs").await?;
        let store = as_user(&proxy.url, json!({}), &credentials);
        assert_eq!(text(&store, asking("temporary/db")).await.as_deref(), Ok("theirs"));
        let token = credentials.session_token.unwrap();
        assert!(proxy.calls().iter().all(|call| call.header("x-amz-security-token") == token));
        Ok(())
    })
}

/// Guard: the token is asked for by STS's audience and by none else.
#[test]
fn a_service_account_logs_in_by_a_token_for_sts_alone() -> Result<()> {
    block_on(async {
        let (moto, proxy) = counted().await?;
        let plane = control_plane::main().await;
        plane.create_namespace("aws-irsa").await?;
        plane.service_account("aws-irsa", "reader").await?;
        put_elsewhere(moto, "222233334444", "irsa/db", "theirs").await?;
        let role = "arn:aws:iam::222233334444:role/reader";
        let auth = json!({"jwt": {"serviceAccountRef": {"name": "reader"}}});
        let kept = || Kept { accounts: Some((plane, "aws-irsa")), ..Kept::default() };
        // As the store says it, and as EKS does.
        let annotated = Kept {
            annotations: [("eks.amazonaws.com/role-arn".to_owned(), role.to_owned())].into(),
            ..kept()
        };
        let stores = [
            connect(&proxy.url, json!({"auth": auth, "role": role}), kept()),
            connect(&proxy.url, json!({"auth": auth}), annotated),
        ];
        for store in &stores {
            assert_eq!(text(store, asking("irsa/db")).await.as_deref(), Ok("theirs"));
            assert_eq!(text(store, asking("irsa/db")).await.as_deref(), Ok("theirs"));
        }
        assert_eq!(count(&proxy, "AssumeRoleWithWebIdentity"), 2);
        for call in proxy.calls().iter().filter(|call| is(call, "AssumeRoleWithWebIdentity")) {
            assert_eq!(call.header("authorization"), "", "the token is the only credential");
            let body = String::from_utf8(call.body.to_vec())?;
            let token = body.split('&').find_map(|pair| pair.strip_prefix("WebIdentityToken="));
            let claims = token.and_then(|token| token.split('.').nth(1)).context("a token has claims")?;
            let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims)?)?;
            assert_eq!(claims["aud"], json!(["sts.amazonaws.com"]));
            assert_eq!(claims["sub"], "system:serviceaccount:aws-irsa:reader");
        }

        let nobody = json!({"jwt": {"serviceAccountRef": {"name": "nobody"}}});
        let store = connect(&proxy.url, json!({"auth": nobody, "role": role}), kept());
        assert_eq!(kind(read(&store, asking("irsa/db")).await), Some(Kind::CredentialMissing));
        Ok(())
    })
}

#[test]
fn what_iam_does_not_allow_is_forbidden_and_not_missing() -> Result<()> {
    block_on(async {
        let moto = Moto::start_enforcing("moto-provider-iam", 8).await?;
        moto.put_secret("iam/a", "of a").await?;
        moto.put_secret("iam/b", "of b").await?;
        let mut users = Vec::new();
        for (name, action) in [("reader", "GetSecretValue"), ("looker", "DescribeSecret")] {
            let user = moto.user(name).await?;
            let policy = format!(
                "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C\
                 %22Action%22%3A%22secretsmanager%3A{action}%22%2C%22Resource%22%3A%22*%22%7D%5D%7D"
            );
            let put = format!("Action=PutUserPolicy&UserName={name}&PolicyName=p&PolicyDocument={policy}");
            moto.query("iam", &put).await?;
            users.push(user);
        }
        let proxy = Faults::before_http(&moto.url).await?;
        let reader = as_user(&proxy.url, json!({}), &users[0]);
        let looker = as_user(&proxy.url, json!({}), &users[1]);

        // Without the right to batches it reads one by one, and without that to probes it has none.
        for _ in 0..2 {
            let both = reader.read(&[asking("iam/a"), asking("iam/b")]).await;
            assert!(both.iter().all(Result::is_ok));
        }
        assert_eq!((count(&proxy, "BatchGetSecretValue"), count(&proxy, "GetSecretValue")), (1, 4));
        assert_eq!(reader.version(&asking("iam/a")).await, None);
        assert_eq!(reader.check().await, Ok(()));
        assert_eq!(kind(read(&reader, asking("iam/absent")).await), Some(Kind::EntryMissing));

        let failure = read(&looker, asking("iam/a")).await.unwrap_err();
        assert_eq!((failure.kind, failure.place.as_deref()), (Kind::Forbidden, Some("iam/a")));
        assert!(looker.version(&asking("iam/a")).await.is_some_and(|version| version.is_ok()));
        assert_eq!(looker.check().await, Ok(()));
        assert_eq!(kind(looker.find(&Default::default()).await), Some(Kind::Forbidden));

        // Which kind a wrong key is, moto's XML does not tell to clients of services that speak JSON.
        let wrong = Credentials { secret_access_key: "wrong".to_owned(), ..users[0].clone() };
        assert!(read(&as_user(&proxy.url, json!({}), &wrong), asking("iam/a")).await.is_err());
        Ok(())
    })
}

#[test]
fn credentials_that_are_not_accepted_are_told_from_rights_that_are_missing() -> Result<()> {
    block_on(async {
        let (moto, proxy) = counted().await?;
        moto.put_secret("accepted/db", "x").await?;
        let store = as_anybody(&proxy.url, json!({}));
        for code in ["UnrecognizedClientException", "InvalidSignatureException"] {
            let _rule = proxy.inject(Fault::aws(400, code, "canary"), |_| true);
            assert_eq!(
                kind(read(&store, asking("accepted/db")).await),
                Some(Kind::Unauthenticated),
                "{code}"
            );
            assert_eq!(kind(store.check().await), Some(Kind::Unauthenticated), "{code}");
        }
        let role = "arn:aws:iam::444455556666:role/reader";
        let store = as_anybody(&proxy.url, json!({"role": role}));
        for (code, expected) in
            [("AccessDenied", Kind::Forbidden), ("InvalidClientTokenId", Kind::Unauthenticated)]
        {
            let refusal = format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>canary</Message></Error>\
                 </ErrorResponse>"
            );
            let _rule = proxy.inject(Fault::Reply(403, vec![], refusal), |call| is(call, "AssumeRole"));
            let failure = read(&store, asking("accepted/db")).await.unwrap_err();
            assert_eq!((failure.kind, failure.place.as_deref()), (expected, Some(role)), "{code}");
        }
        Ok(())
    })
}

/// The identity of EKS Pod Identity comes by the environment, so this runs in a process of its own: this test again.
#[test]
fn a_cluster_store_without_credentials_is_the_operator_itself_by_pod_identity() -> Result<()> {
    block_on(async {
        if let Ok(url) = std::env::var(CHILD) {
            let store: Arc<dyn Provider> = connect(&url, json!({}), Kept::default());
            assert_eq!(text(&store, asking("pod/db")).await.as_deref(), Ok("theirs"));
            return Ok(());
        }
        let (moto, proxy) = counted().await?;
        let credentials = put_elsewhere(moto, "555566667777", "pod/db", "theirs").await?;
        let identity = json!({
            "AccessKeyId": credentials.access_key_id, "SecretAccessKey": credentials.secret_access_key,
            "Token": credentials.session_token, "Expiration": "2100-01-01T00:00:00Z",
        });
        let agent = Faults::before_http(&moto.url).await?;
        let json = vec![("content-type", "application/json".to_owned())];
        let asked = agent.inject(Fault::Reply(200, json, identity.to_string()), |_| true);
        let token = waxwing_tests::process::folder("aws-pod-identity").join("token");
        std::fs::write(&token, "of the pod")?;

        let itself = "a_cluster_store_without_credentials_is_the_operator_itself_by_pod_identity";
        let test = format!("provider_aws::logins::{itself}");
        let mut child = Command::new(std::env::current_exe()?);
        child
            .args(["--exact", &test])
            .env(CHILD, &proxy.url)
            .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/v1/credentials", agent.url))
            .env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token)
            // A home without anybody's configuration.
            .env("HOME", token.parent().context("a folder")?);
        for name in ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"] {
            child.env_remove(name);
        }
        let output = tokio::task::spawn_blocking(move || child.output()).await??;
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        assert_eq!(asked.hits(), 1);
        let calls = agent.calls();
        assert_eq!(
            (calls[0].path.as_str(), calls[0].header("authorization")),
            ("/v1/credentials", "of the pod")
        );
        Ok(())
    })
}

/// Says to this test that it is the child, and where AWS is.
const CHILD: &str = "WAXWING_TEST_AWS_POD";

#[test]
fn a_secret_that_lacks_a_part_of_the_key_is_a_missing_credential() -> Result<()> {
    block_on(async {
        let moto = moto::shared().await;
        let key = |key: &str| json!({"name": "aws", "key": key});
        let keys = json!({"accessKeyIDSecretRef": key("id"), "secretAccessKeySecretRef": key("absent")});
        let store = connect(&moto.url, json!({"auth": {"secretRef": keys}}), Kept::keys(&anybody()));
        let failure = read(&store, asking("any")).await.unwrap_err();
        assert_eq!(
            (failure.kind, failure.place.as_deref()),
            (Kind::CredentialMissing, Some("aws, key absent"))
        );
        Ok(())
    })
}
