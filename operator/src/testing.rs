//! For tests: a context whose API server is a function.

use std::sync::Arc;

use clap::Parser;
use http_body_util::Full;
use hyper::{Request, Response, body::Bytes};
use kube::{Client, client::Body};
use serde_json::Value;
use tokio::{sync::watch, time::Instant};

use crate::{context::Context, events::Events, flags::Flags, lease::Leadership, ring::Ring};

/// A client whose requests are answered by `answer`: method, path and query in, code and body out. A body that is a
/// string is sent as it is.
pub(crate) fn client(answer: impl Fn(&str) -> (u16, Value) + Send + Sync + 'static) -> Client {
    client_with_body(move |line, _| answer(line))
}

/// As [`client`], with the body of the request.
pub(crate) fn client_with_body(
    answer: impl Fn(&str, &Value) -> (u16, Value) + Send + Sync + 'static,
) -> Client {
    let answer = Arc::new(answer);
    let service = tower::service_fn(move |request: Request<Body>| {
        let answer = answer.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap_or_default();
            let (code, answer) = answer(&format!("{} {}", parts.method, parts.uri), &body);
            let text = match &answer {
                Value::String(text) => text.clone(),
                answer => answer.to_string(),
            };
            Response::builder().status(code).body(Full::from(Bytes::from(text)))
        }
    });
    Client::new(service, "default")
}

/// A context with empty caches, and what says until when its replica works.
pub(crate) fn context(client: Client, args: &[&str]) -> (Arc<Context>, watch::Sender<Option<Instant>>) {
    let (sender, until) = watch::channel(None);
    let base = ["waxwing-operator", "--operator-namespace=waxwing-system"];
    let (_, ring) = watch::channel(Arc::new(Ring::unread("default")));
    let events = Events::new(client.clone(), "me");
    let flags = Flags::parse_from(base.iter().chain(args));
    let context = Context::new(client, flags, ring, Leadership::of(until), events);
    (Arc::new(context), sender)
}
