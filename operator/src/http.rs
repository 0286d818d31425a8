//! `/metrics`, `/healthz`, `/readyz`, and nothing else: nothing here opens, checks or changes anything.
//!
//! Anybody in the cluster may be able to connect, so requests are small, short and few: no body is read, a connection
//! serves one request and is closed when that takes too long.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use crate::{context::Context, watch::Synced};

/// Connections at once.
const CONNECTIONS: usize = 128;
/// How long a request's head may take, and a connection altogether.
const HEAD: Duration = Duration::from_secs(5);
const CONNECTION: Duration = Duration::from_secs(15);
/// Bytes of a request's head, and its headers.
const HEAD_BYTES: usize = 16 * 1024;
const HEADERS: usize = 50;

/// What the answers depend on.
pub(crate) struct Health {
    pub(crate) context: Arc<Context>,
    pub(crate) synced: Synced,
}

/// Opens the port.
pub(crate) async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, health: Arc<Health>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let health = health.clone();
                tokio::spawn(async move {
                    if timeout(CONNECTION, connection(stream, health)).await.is_err() {
                        debug!("a connection took too long and was closed");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of descriptors, or the like.
                warn!(kind = ?error.kind(), "a connection could not be accepted");
                sleep(HEAD).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, health: Arc<Health>) {
    let service = service_fn(move |request| {
        let health = health.clone();
        async move { Ok::<_, Infallible>(answer(&request, &health)) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if served.await.is_err() {
        debug!("a connection was broken or malformed");
    }
}

fn answer(request: &Request<Incoming>, health: &Health) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => match not_ready(health) {
            None => text(StatusCode::OK, "ok\n".to_owned()),
            Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, why),
        },
        "/metrics" => match health.context.metrics.render(&health.context.counts()) {
            Ok(metrics) => {
                let mut response = text(StatusCode::OK, metrics);
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS));
                response
            }
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n".to_owned()),
        },
        _ => text(StatusCode::NOT_FOUND, "only /metrics, /healthz and /readyz\n".to_owned()),
    }
}

/// Why this replica cannot work, if so. One that only waits for the lease is ready.
fn not_ready(health: &Health) -> Option<String> {
    if !health.synced.is_done() {
        return Some("the caches are not filled yet\n".to_owned());
    }
    let ring = health.context.ring();
    let reason = ring.unusable.map_or("KeyRingNotReady", waxwing_crds::Reason::as_str);
    (!ring.is_usable()).then(|| format!("the ring is not usable: {reason}\n"))
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
