//! A mail server that takes every mail and every password, without TLS.

use std::sync::Arc;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::wait::DEADLINE;

/// A mail that came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mail {
    /// The user and the password that were given before.
    pub credentials: Option<(String, String)>,
    /// Who sends it.
    pub from: String,
    /// Whom it is for.
    pub to: Vec<String>,
    /// Headers and body.
    pub text: String,
}

/// A running mail server.
pub struct Smtp {
    /// Where it listens, `host:port`.
    pub address: String,
    received: watch::Receiver<Vec<Mail>>,
}

impl Smtp {
    /// Starts one.
    ///
    /// # Errors
    /// When it can't listen.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (sender, received) = watch::channel(Vec::new());
        let sender = Arc::new(sender);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sender = Arc::clone(&sender);
                // A client that breaks off is seen by what does not come.
                tokio::spawn(async move { serve(stream, &sender).await.ok() });
            }
        });
        Ok(Self { address, received })
    }

    /// What came so far.
    #[must_use]
    pub fn received(&self) -> Vec<Mail> {
        self.received.borrow().clone()
    }

    /// The first mail after so many that is as wanted, once it has come.
    ///
    /// # Panics
    /// At the deadline, with what came instead.
    pub async fn wait(&self, after: usize, wanted: impl Fn(&Mail) -> bool) -> Mail {
        let mut received = self.received.clone();
        let found = |all: &Vec<Mail>| all.iter().skip(after).any(&wanted);
        match tokio::time::timeout(DEADLINE, received.wait_for(found)).await {
            Ok(Ok(all)) => all.iter().skip(after).find(|one| wanted(one)).expect("it was found").clone(),
            _ => panic!("no mail as wanted after {DEADLINE:?}: {:?}", self.received()),
        }
    }
}

async fn serve(stream: TcpStream, sender: &watch::Sender<Vec<Mail>>) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let mut mail = Mail::default();
    say(&mut stream, "220 localhost ESMTP").await?;
    loop {
        let line = hear(&mut stream).await?;
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => say(&mut stream, "250-localhost\r\n250 AUTH PLAIN LOGIN").await?,
            "AUTH" => {
                mail.credentials = Some(authenticate(&mut stream, rest).await?);
                say(&mut stream, "235 welcome").await?;
            }
            "MAIL" => {
                mail.from = address(rest);
                say(&mut stream, "250 ok").await?;
            }
            "RCPT" => {
                mail.to.push(address(rest));
                say(&mut stream, "250 ok").await?;
            }
            "DATA" => {
                say(&mut stream, "354 go on").await?;
                loop {
                    let line = hear(&mut stream).await?;
                    if line == "." {
                        break;
                    }
                    mail.text.push_str(line.strip_prefix('.').unwrap_or(&line));
                    mail.text.push('\n');
                }
                let credentials = mail.credentials.clone();
                let mail = std::mem::replace(&mut mail, Mail { credentials, ..Mail::default() });
                sender.send_modify(|all| all.push(mail));
                say(&mut stream, "250 taken").await?;
            }
            "QUIT" => return say(&mut stream, "221 bye").await,
            _ => say(&mut stream, "250 ok").await?,
        }
    }
}

/// `AUTH PLAIN` and `AUTH LOGIN`.
async fn authenticate(stream: &mut BufReader<TcpStream>, how: &str) -> Result<(String, String)> {
    let (method, first) = how.split_once(' ').unwrap_or((how, ""));
    if method.eq_ignore_ascii_case("PLAIN") {
        let text = decode(&if first.is_empty() { ask(stream, "").await? } else { first.to_owned() })?;
        let mut parts = text.split('\0').skip(1).map(str::to_owned);
        return Ok((parts.next().context("a user")?, parts.next().context("a password")?));
    }
    let user = if first.is_empty() { ask(stream, "Username:").await? } else { first.to_owned() };
    Ok((decode(&user)?, decode(&ask(stream, "Password:").await?)?))
}

async fn ask(stream: &mut BufReader<TcpStream>, what: &str) -> Result<String> {
    say(stream, &format!("334 {}", STANDARD.encode(what))).await?;
    hear(stream).await
}

fn decode(text: &str) -> Result<String> {
    Ok(String::from_utf8(STANDARD.decode(text)?)?)
}

/// What stands between the angle brackets.
fn address(text: &str) -> String {
    let inside = text.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inside.map_or(text, |(address, _)| address).to_owned()
}

async fn say(stream: &mut BufReader<TcpStream>, line: &str) -> Result<()> {
    stream.write_all(format!("{line}\r\n").as_bytes()).await?;
    Ok(())
}

async fn hear(stream: &mut BufReader<TcpStream>) -> Result<String> {
    let mut line = String::new();
    let read = stream.read_line(&mut line).await?;
    anyhow::ensure!(read > 0, "the client is gone");
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
