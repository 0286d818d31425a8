//! Where notifications end: HTTP and SMTP on loopback, in the clear. Whatever comes is written down.

mod smtp;

use std::sync::Arc;

use anyhow::Result;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use self::smtp::{Mail, Smtp};
use crate::wait::DEADLINE;

/// A request that came.
#[derive(Clone, Debug)]
pub struct Received {
    /// The HTTP method.
    pub method: String,
    /// The path, with the query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Received {
    /// The body as JSON; null when it is something else.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Everywhere that it has a text, with what stands there: `path`, the name of a header, or a place in a JSON body as
    /// `body/payload/summary`; another body as a whole is `body`.
    #[must_use]
    pub fn texts(&self) -> Vec<(String, String)> {
        let mut texts = vec![("path".to_owned(), self.path.clone())];
        let headers = self.headers.iter();
        texts.extend(
            headers.map(|(name, value)| {
                (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            }),
        );
        match self.json() {
            Value::Null => texts.push(("body".to_owned(), self.text())),
            body => texts_of(&body, "body", &mut texts),
        }
        texts
    }

    /// A header's value, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

fn texts_of(value: &Value, at: &str, texts: &mut Vec<(String, String)>) {
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| texts_of(item, &format!("{at}/{index}"), texts))
        }
        Value::Object(map) => {
            for (name, item) in map {
                texts.push((format!("{at}, a name"), name.clone()));
                texts_of(item, &format!("{at}/{name}"), texts);
            }
        }
        Value::String(text) => texts.push((at.to_owned(), text.clone())),
        other => texts.push((at.to_owned(), other.to_string())),
    }
}

/// An HTTP server that takes everything.
pub struct Sink {
    /// Where it answers.
    pub url: String,
    received: watch::Receiver<Vec<Received>>,
    answer: watch::Sender<(u16, String)>,
}

impl Sink {
    /// Starts one. It answers 200 and `{"ok":true}` until told otherwise, which is what services say that say so in the body. What
    /// looks like JSON is called so.
    ///
    /// # Errors
    /// When it can't listen.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (sender, received) = watch::channel(Vec::new());
        let sender = Arc::new(sender);
        let (answer, answers) = watch::channel((200, r#"{"ok":true}"#.to_owned()));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (sender, answers) = (Arc::clone(&sender), answers.clone());
                tokio::spawn(async move {
                    let service = service_fn(|request| take(request, &sender, &answers));
                    // The peer may break off, which is no concern of this task.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Ok(Self { url, received, answer })
    }

    /// From now on it answers so.
    pub fn answer(&self, status: u16, body: &str) {
        self.answer.send_replace((status, body.to_owned()));
    }

    /// What came so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.received.borrow().clone()
    }

    /// The first request after so many that is as wanted, once it has come.
    ///
    /// # Panics
    /// At the deadline, with what came instead.
    pub async fn wait(&self, after: usize, wanted: impl Fn(&Received) -> bool) -> Received {
        let mut received = self.received.clone();
        let found = |all: &Vec<Received>| all.iter().skip(after).any(&wanted);
        match tokio::time::timeout(DEADLINE, received.wait_for(found)).await {
            Ok(Ok(all)) => all.iter().skip(after).find(|one| wanted(one)).expect("it was found").clone(),
            _ => panic!("nothing as wanted after {DEADLINE:?}: {:?}", self.received()),
        }
    }
}

async fn take(
    request: Request<Incoming>,
    sender: &watch::Sender<Vec<Received>>,
    answers: &watch::Receiver<(u16, String)>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let received = Received {
        method: head.method.to_string(),
        path: head.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
        headers: head.headers,
        body: body.collect().await?.to_bytes(),
    };
    sender.send_modify(|all| all.push(received));
    let (status, body) = answers.borrow().clone();
    let kind = if body.starts_with('{') { "application/json" } else { "text/plain" };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}
