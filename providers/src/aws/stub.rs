//! A server that plays AWS for unit tests: it answers as a test says, and keeps what it was asked.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use waxwing_core::{
    Secret,
    store::{Failure, Kind, endpoint::Allow},
};

use crate::{Place, References, Rules, Token};

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Such as `GetSecretValue` or `AssumeRole`.
    pub(super) action: String,
    /// Names are in lower case.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

impl Asked {
    /// The id of the access key that it is signed with.
    pub(super) fn key(&self) -> &str {
        let signature = self.headers.get("authorization").map_or("", String::as_str);
        signature.split_once("Credential=").and_then(|(_, rest)| rest.split('/').next()).unwrap_or_default()
    }
}

/// An answer.
pub(super) struct Reply {
    status: u16,
    headers: String,
    body: String,
}

impl Reply {
    pub(super) fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, headers: String::new(), body: body.into() }
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// An error of a service that speaks JSON.
    pub(super) fn error(code: &str) -> Self {
        Self::new(400, format!(r#"{{"__type":"{code}","message":"canary"}}"#))
    }

    /// A secret of this value.
    pub(super) fn secret(name: &str, value: &str) -> Self {
        Self::new(200, format!(r#"{{"Name":"{name}","SecretString":"{value}","VersionId":"v1"}}"#))
    }

    /// Credentials of STS, good for an hour.
    pub(super) fn session(action: &str, key: &str) -> Self {
        Self::new(
            200,
            format!(
                "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><Credentials>\
                 <AccessKeyId>{key}</AccessKeyId><SecretAccessKey>k</SecretAccessKey><SessionToken>t</SessionToken>\
                 <Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></{action}Result></{action}Response>"
            ),
        )
    }

    /// A refusal by STS.
    pub(super) fn sts_error(code: &str) -> Self {
        Self::new(
            403,
            format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>canary</Message></Error>\
                 </ErrorResponse>"
            ),
        )
    }
}

/// The server. It ends when it is dropped.
pub(super) struct Stub {
    pub(super) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Stub {
    pub(super) async fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answer = Arc::new(answer);
        let seen = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                tokio::spawn(async move {
                    // A client that breaks off is none of ours.
                    let _ = serve(stream, &*answer, &seen).await;
                });
            }
        });
        Self { url, asked, task }
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// What was asked, by name.
    pub(super) fn actions(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.action).collect()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers one connection's requests, one after the other.
async fn serve(
    mut stream: TcpStream,
    answer: &(dyn Fn(&Asked) -> Reply + Send + Sync),
    seen: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let mut read = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        let headers: BTreeMap<_, _> = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        while read.len() < end + length {
            if stream.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        }
        let body = String::from_utf8_lossy(&read[end..end + length]).into_owned();
        read.drain(..end + length);
        let by_query = || body.split('&').find_map(|pair| pair.strip_prefix("Action="));
        let target = headers.get("x-amz-target").and_then(|target| target.split_once('.'));
        let action = target.map(|(_, action)| action).or_else(by_query).unwrap_or_default().to_owned();
        let asked = Asked { action, headers, body };
        seen.lock().unwrap().push(asked.clone());
        let Reply { status, headers, body } = answer(&asked);
        let reply = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len());
        stream.write_all(reply.as_bytes()).await?;
    }
}

/// A namespace with a Secret `keys`, a ServiceAccount `plain`, and one with a role, `eks`.
pub(super) struct Namespace;

#[async_trait]
impl References for Namespace {
    async fn secret(&self, name: &str, key: &str) -> Result<Secret, Failure> {
        let value = match (name, key) {
            ("keys", "id") => "AKIASTATIC\n",
            ("keys", "secret") => "static-key",
            ("keys", "broken") => "a b",
            _ => return Err(Failure::new(Kind::CredentialMissing, "there is no such Secret").at(name)),
        };
        Ok(Secret::new(value.as_bytes().to_vec()))
    }

    async fn config_map(&self, name: &str, _: &str) -> Result<String, Failure> {
        Err(Failure::new(Kind::CredentialMissing, "there is no such ConfigMap").at(name))
    }

    async fn token(&self, service_account: &str, audiences: &[String], _: u32) -> Result<Token, Failure> {
        let token = format!("token-of-{service_account}-for-{}", audiences.join("-"));
        Ok(Token { token: Secret::new(token.into_bytes()), seconds: 600 })
    }

    async fn service_account(&self, name: &str) -> Result<BTreeMap<String, String>, Failure> {
        let role = ("eks.amazonaws.com/role-arn".to_owned(), "arn:aws:iam::111122223333:role/eks".to_owned());
        match name {
            "eks" => Ok(BTreeMap::from([role])),
            "plain" => Ok(BTreeMap::new()),
            _ => Err(Failure::new(Kind::CredentialMissing, "there is no such ServiceAccount").at(name)),
        }
    }
}

/// A store of the namespace `shop`, or of the cluster, that may reach stubs.
pub(super) fn place(namespace: Option<&str>) -> Place {
    Place {
        namespace: namespace.map(str::to_owned),
        store: "aws".to_owned(),
        ambient: namespace.is_none(),
        rules: Rules::new(Allow::parse(["http://127.0.0.1"]).unwrap()),
    }
}
