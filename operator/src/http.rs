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
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
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

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, health: Arc<Health>) {
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
            Err(_) => {
                text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n".to_owned())
            }
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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::Instant,
    };

    use super::*;
    use crate::testing;

    fn connect(synced: bool) -> DuplexStream {
        let (context, _) = testing::context(testing::client(|_| (599, json!({}))), &[]);
        let health = Health { context, synced: Synced::new(usize::from(!synced)) };
        let (ours, theirs) = duplex(1 << 20);
        tokio::spawn(connection(theirs, Arc::new(health)));
        ours
    }

    async fn ask(synced: bool, request: &str) -> String {
        let mut stream = connect(synced);
        // The other side may stop listening in the middle.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn check(request: &str, code: u16, content: &str) {
        let answer = ask(true, &format!("{request} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{request}: {answer}");
        assert!(answer.contains(content), "{request}: {answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn three_paths_are_served_and_nothing_else() {
        check("GET /healthz", 200, "ok").await;
        check("GET /metrics", 200, "waxwing_objects{kind=\"SealedSecret\",ready=\"true\"} 0").await;
        check("GET /metrics", 200, "content-type: application/openmetrics-text").await;
        check("GET /readyz", 503, "KeyRingNotReady").await;
        for path in ["/", "/v1/verify", "/debug/pprof", "/healthz/", "/metrics/x", "/../metrics"] {
            check(&format!("GET {path}"), 404, "only /metrics").await;
        }
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
            check(&format!("{method} /metrics"), 405, "allow: GET, HEAD").await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_is_not_ready_before_its_caches_are_filled() {
        let answer = ask(false, "GET /readyz HTTP/1.1\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("caches"), "{answer}");
    }

    /// D11. Guard: `max_buf_size`, `max_headers`.
    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_too_large_is_refused() {
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1 << 20));
        assert!(ask(true, &long).await.starts_with("HTTP/1.1 4"));
        let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(HEADERS + 1));
        assert!(ask(true, &many).await.starts_with("HTTP/1.1 431"));
    }

    /// D11. Guard: `header_read_timeout`.
    #[tokio::test(start_paused = true)]
    async fn a_request_that_trickles_in_is_cut_off() {
        let mut stream = connect(true);
        let begin = Instant::now();
        stream.write_all(b"GET /metrics HTTP/1.1\r\n").await.unwrap();
        while stream.write_all(b"a").await.is_ok() && begin.elapsed() < CONNECTION {
            sleep(Duration::from_secs(1)).await;
        }
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        assert!(begin.elapsed() <= HEAD + Duration::from_secs(2), "{:?}", begin.elapsed());
        assert!(!answer.contains("waxwing_objects"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_serves_one_request() {
        let answer = ask(true, "GET /healthz HTTP/1.1\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n").await;
        assert!(answer.contains("connection: close") && !answer.contains("waxwing_objects"), "{answer}");
    }
}
