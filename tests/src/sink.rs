//! Where notifications end: HTTP and SMTP on loopback, in the clear. Whatever comes is written down.

mod smtp;

use std::sync::Arc;

use anyhow::Result;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
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

    /// A header's value, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
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
    /// Starts one. It answers 200 and `{"ok":true}` until told otherwise, which satisfies the services that say so in the
    /// body.
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
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    Ok(response)
}
