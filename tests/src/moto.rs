//! AWS as moto plays it: Secrets Manager, Parameter Store, STS, IAM and KMS behind one URL, in memory. It also answers as
//! instance metadata (`/latest/...`).
//!
//! What moto does not do as AWS does, and so must not be asserted: it never throttles ([`crate::faults`] does), it moves
//! version stages but a read without a stage keeps giving the old version, and it knows no limits of size or number.
//! Signatures count only in one that was started by [`Moto::start_enforcing`].

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::http::{self, Answer, Tls};
use crate::process::{self, POLL, Process};
use crate::tools::{root, tool};

/// The region of everything that is made here.
pub const REGION: &str = "eu-central-1";

/// The account of whoever moto does not know.
pub const ACCOUNT: &str = "123456789012";

/// How long it may take to answer. It loads much Python.
const START: Duration = Duration::from_secs(60);

/// A running moto. It is killed when this is dropped.
pub struct Moto {
    /// The endpoint of every service.
    pub url: String,
    /// The program.
    pub process: Process,
    /// It fails now and then when many entries are made at once.
    makes: tokio::sync::Mutex<()>,
}

/// What a client signs with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Credentials {
    /// The id of the access key.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: String,
    /// Of a role's session.
    pub session_token: Option<String>,
}

/// The moto that tests share. Names are shared, too: use your own, or [`Moto::account`].
///
/// # Panics
/// When it does not start.
pub async fn shared() -> &'static Moto {
    static MOTO: OnceCell<Moto> = OnceCell::const_new();
    MOTO.get_or_init(|| async { Moto::start("moto").await.expect("the shared moto starts") }).await
}

/// One for keys alone: under many requests at once, of which those for keys are many, it answers some with 500.
///
/// # Panics
/// When it does not start.
pub async fn for_keys() -> &'static Moto {
    static MOTO: OnceCell<Moto> = OnceCell::const_new();
    MOTO.get_or_init(|| async { Moto::start("moto-keys").await.expect("the moto for keys starts") }).await
}

impl Moto {
    /// Starts one; `name` names its folder in this run's.
    ///
    /// # Errors
    /// When it ends, or takes too long.
    pub async fn start(name: &str) -> Result<Self> {
        Self::start_with(name, &[]).await
    }

    /// Starts one that checks signatures and IAM policies, but for its first `free` requests: by those the users and
    /// policies are made. Its refusals are XML whatever the service, so that a client sees no typed error.
    ///
    /// # Errors
    /// When it ends, or takes too long.
    pub async fn start_enforcing(name: &str, free: u32) -> Result<Self> {
        Self::start_with(name, &[("INITIAL_NO_AUTH_ACTION_COUNT".to_owned(), free.to_string())]).await
    }

    async fn start_with(name: &str, env: &[(String, String)]) -> Result<Self> {
        let dir = process::folder(name);
        let port = process::free_port();
        let program = root().join("tests/servers/stubs/moto_one_at_a_time.py").display().to_string();
        let options = ["-H".to_owned(), "127.0.0.1".to_owned(), "-p".to_owned(), port.to_string()];
        // No compiled modules beside the sources.
        let args = ["-B".to_owned(), program].into_iter().chain(options);
        let mut process = Process::start("moto", &tool("moto").with_file_name("python"), args, env, &dir)?;
        let url = format!("http://127.0.0.1:{port}");
        let began = Instant::now();
        while !http::get(&format!("{url}/moto-api/data.json")).await.is_ok_and(|answer| answer.status == 200)
        {
            process.check_alive()?;
            if began.elapsed() > START {
                bail!("moto is not ready after {START:?}:\n{}", process.log_tail(30));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(Self { url, process, makes: tokio::sync::Mutex::default() })
    }

    /// Forgets everything. Not for the shared one.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn reset(&self) -> Result<()> {
        http::post(&format!("{}/moto-api/reset", self.url), &Value::Null).await?.ok()?;
        Ok(())
    }

    /// A request to a service that speaks JSON; `target` is such as `secretsmanager.CreateSecret`,
    /// `AmazonSSM.PutParameter` or `TrentService.CreateKey` (KMS).
    ///
    /// # Errors
    /// When it is refused.
    pub async fn call(&self, target: &str, body: Value) -> Result<Value> {
        let answer = self.call_as(None, REGION, target, &body).await?;
        Ok(answer.ok().with_context(|| target.to_owned())?.json())
    }

    /// The same in another region or, by the credentials, in another account; refusals are an answer here.
    ///
    /// # Errors
    /// When moto does not answer.
    pub async fn call_as(
        &self,
        credentials: Option<&Credentials>,
        region: &str,
        target: &str,
        body: &Value,
    ) -> Result<Answer> {
        let service = match target.split('.').next() {
            Some("AmazonSSM") => "ssm",
            Some("TrentService") => "kms",
            _ => "secretsmanager",
        };
        let headers = [("x-amz-target", target), ("content-type", "application/x-amz-json-1.1")];
        self.send(credentials, region, service, &headers, body.to_string()).await
    }

    /// A request to `iam` or `sts`: `Action=CreateUser&UserName=ann`. Values are to be percent-encoded. Gives XML.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn query(&self, service: &str, query: &str) -> Result<String> {
        let version = if service == "iam" { "2010-05-08" } else { "2011-06-15" };
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let body = format!("{query}&Version={version}");
        let answer = self.send(None, REGION, service, &headers, body).await?;
        Ok(answer.ok().with_context(|| query.to_owned())?.text())
    }

    /// Moto finds the service by the credential scope of a signature and, unless it enforces, does not check it.
    async fn send(
        &self,
        credentials: Option<&Credentials>,
        region: &str,
        service: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<Answer> {
        let key = credentials.map_or("AKIAOFTHETESTS", |credentials| &credentials.access_key_id);
        let scope = format!("{key}/20260101/{region}/{service}/aws4_request");
        let signature = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
        let mut all = vec![("authorization", signature.as_str())];
        all.extend(headers);
        if let Some(token) = credentials.and_then(|credentials| credentials.session_token.as_deref()) {
            all.push(("x-amz-security-token", token));
        }
        http::send("POST", &self.url, Tls::default(), &all, body).await
    }

    /// Makes a secret, or gives it a new value. Gives its ARN.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn put_secret(&self, name: &str, value: &str) -> Result<String> {
        let _alone = self.makes.lock().await;
        let body = json!({"Name": name, "SecretString": value});
        let made = self.call_as(None, REGION, "secretsmanager.CreateSecret", &body).await?;
        let answer = if made.text().contains("ResourceExistsException") {
            let body = json!({"SecretId": name, "SecretString": value});
            self.call("secretsmanager.PutSecretValue", body).await?
        } else {
            made.ok()?.json()
        };
        answer["ARN"].as_str().map(str::to_owned).context("a secret has an ARN")
    }

    /// Makes a SecureString parameter, or gives it a new value. Gives its version.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn put_parameter(&self, name: &str, value: &str) -> Result<u64> {
        let _alone = self.makes.lock().await;
        let body = json!({"Name": name, "Value": value, "Type": "SecureString", "Overwrite": true});
        self.call("AmazonSSM.PutParameter", body).await?["Version"].as_u64().context("a version is a number")
    }

    /// Makes a user with an access key.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn user(&self, name: &str) -> Result<Credentials> {
        self.query("iam", &format!("Action=CreateUser&UserName={name}")).await?;
        let key = self.query("iam", &format!("Action=CreateAccessKey&UserName={name}")).await?;
        Ok(Credentials {
            access_key_id: element(&key, "AccessKeyId")?,
            secret_access_key: element(&key, "SecretAccessKey")?,
            session_token: None,
        })
    }

    /// Makes a role that anybody may assume, and gives its ARN.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn role(&self, name: &str) -> Result<String> {
        let query = format!("Action=CreateRole&RoleName={name}&AssumeRolePolicyDocument=%7B%7D");
        element(&self.query("iam", &query).await?, "Arn")
    }

    /// Credentials in another account: of twelve digits, with a state of its own.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn account(&self, account: &str) -> Result<Credentials> {
        let role = format!("arn%3Aaws%3Aiam%3A%3A{account}%3Arole%2Ftests");
        let query = format!("Action=AssumeRole&RoleArn={role}&RoleSessionName=tests");
        let session = self.query("sts", &query).await?;
        Ok(Credentials {
            access_key_id: element(&session, "AccessKeyId")?,
            secret_access_key: element(&session, "SecretAccessKey")?,
            session_token: Some(element(&session, "SessionToken")?),
        })
    }
}

/// The text of the first element of this name.
fn element(xml: &str, name: &str) -> Result<String> {
    let rest = xml.split_once(&format!("<{name}>")).map(|(_, rest)| rest);
    let text = rest.and_then(|rest| rest.split_once("</")).map(|(text, _)| text.to_owned());
    text.with_context(|| format!("moto's answer has no {name}"))
}
