//! A proxy in front of the API server that answers wrongly, late or not at all, as a test orders.
//!
//! It ends TLS with the API server's own certificate, so that for the operator it *is* the API server.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use kube::client::Body;
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::control_plane::ControlPlane;
use crate::wait;

type Answer = Response<UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>>;

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is answered by this status code, a message, and headers.
    Answer(u16, &'static str, Vec<(&'static str, String)>),
    /// It is answered by this status code and body, whatever they are.
    Body(u16, String),
    /// It is answered, but late.
    Late(Duration),
    /// It takes effect, and the answer is lost with the connection.
    LostAnswer,
    /// It never gets an answer.
    NoAnswer,
}

/// A request, as far as rules look at it.
#[derive(Clone, Debug)]
pub struct Call {
    /// The HTTP method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query, or nothing.
    pub query: String,
}

impl Call {
    /// Whether it would change something.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.method != "GET"
    }

    /// Whether its path ends in `/RESOURCE` or `/RESOURCE/NAME`, status included.
    #[must_use]
    pub fn is_for(&self, resource: &str) -> bool {
        self.path.split('/').any(|part| part == resource)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}?{}", self.method, self.path, self.query)
    }
}

type Matches = Box<dyn Fn(&Call) -> bool + Send + Sync>;

struct Rule {
    id: u64,
    matches: Matches,
    fault: Fault,
    hits: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    rules: Mutex<VecDeque<Rule>>,
    calls: Mutex<Vec<Call>>,
}

/// The proxy. It ends when it is dropped.
pub struct Faults {
    /// What a kubeconfig names instead of the API server.
    pub url: String,
    state: Arc<State>,
    gate: watch::Sender<Gate>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Gate {
    Open,
    Shut,
}

/// A rule that holds until this is dropped.
#[must_use]
pub struct InForce {
    id: u64,
    state: Arc<State>,
    hits: watch::Receiver<u64>,
}

impl InForce {
    /// How many requests it has met.
    #[must_use]
    pub fn hits(&self) -> u64 {
        *self.hits.borrow()
    }

    /// Waits until it has met a request.
    ///
    /// # Panics
    /// At the deadline.
    pub async fn until_hit(&self) {
        self.until_hits(1).await;
    }

    /// Waits until it has met so many requests.
    ///
    /// # Panics
    /// At the deadline.
    pub async fn until_hits(&self, number: u64) {
        let mut hits = self.hits.clone();
        let reached = tokio::time::timeout(wait::DEADLINE, hits.wait_for(|hits| *hits >= number)).await;
        assert!(reached.is_ok(), "{} of {number} requests met the fault", self.hits());
    }
}

impl Drop for InForce {
    fn drop(&mut self) {
        self.state.rules.lock().unwrap().retain(|rule| rule.id != self.id);
    }
}

impl Faults {
    /// Starts a proxy in front of a control plane.
    ///
    /// # Errors
    /// When it can't listen.
    pub async fn before(plane: &ControlPlane) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://127.0.0.1:{}", listener.local_addr()?.port());
        let certs = CertificateDer::pem_file_iter(&plane.certs.cert)?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&plane.certs.key)?;
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(certs, key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));

        // Without credentials of its own: each request carries the operator's.
        let mut onward = Config::new(plane.url.parse()?);
        let ca = CertificateDer::from_pem_slice(plane.certs.ca_pem.as_bytes()).context("the CA")?;
        onward.root_cert = Some(vec![ca.to_vec()]);
        let onward = Client::try_from(onward)?;

        let state = Arc::new(State::default());
        let (gate, shut) = watch::channel(Gate::Open);
        tokio::spawn(accept(listener, acceptor, onward, Arc::clone(&state), shut));
        Ok(Self { url, state, gate })
    }

    /// From now on, requests that match get this fault, until the guard is dropped. The newest rule wins.
    pub fn inject(&self, fault: Fault, matches: impl Fn(&Call) -> bool + Send + Sync + 'static) -> InForce {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::SeqCst);
        let (hits, seen) = watch::channel(0);
        let rule = Rule { id, matches: Box::new(matches), fault, hits };
        self.state.rules.lock().unwrap().push_front(rule);
        InForce { id, state: Arc::clone(&self.state), hits: seen }
    }

    /// The API server is gone: connections break, and new ones are closed at once.
    pub fn shut(&self) {
        self.gate.send_replace(Gate::Shut);
    }

    /// It is there again.
    pub fn open(&self) {
        self.gate.send_replace(Gate::Open);
    }

    /// Every request so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.state.calls.lock().unwrap().clone()
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    onward: Client,
    state: Arc<State>,
    mut gate: watch::Receiver<Gate>,
) {
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                if *gate.borrow() == Gate::Open {
                    tokio::spawn(serve(stream, acceptor.clone(), onward.clone(), Arc::clone(&state), gate.clone()));
                }
            }
            changed = gate.changed() => if changed.is_err() { return },
        }
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    onward: Client,
    state: Arc<State>,
    mut gate: watch::Receiver<Gate>,
) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(|request| answer(request, onward.clone(), Arc::clone(&state)));
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // The peer may break off, and so may a fault: neither is this task's concern.
        _ = connection => {}
        // Shut, or the proxy was dropped.
        _ = gate.wait_for(|gate| *gate == Gate::Shut) => {}
    }
}

/// An error breaks the connection.
async fn answer(
    request: Request<Incoming>,
    onward: Client,
    state: Arc<State>,
) -> Result<Answer, LostConnection> {
    let uri = request.uri();
    let call = Call {
        method: request.method().to_string(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
    };
    state.calls.lock().unwrap().push(call.clone());
    let fault = {
        let rules = state.rules.lock().unwrap();
        rules.iter().find(|rule| (rule.matches)(&call)).map(|rule| (rule.fault.clone(), rule.hits.clone()))
    };
    let Some((fault, hits)) = fault else { return forward(request, &onward).await };
    if let Fault::LostAnswer = fault {
        // Counted once it has taken effect.
        let answer = forward(request, &onward).await;
        hits.send_modify(|hits| *hits += 1);
        return answer.and(Err(LostConnection));
    }
    hits.send_modify(|hits| *hits += 1);
    match fault {
        Fault::Answer(code, message, headers) => Ok(status(code, message, headers)),
        Fault::Body(code, body) => Ok(of(code, body)),
        Fault::Late(delay) => {
            tokio::time::sleep(delay).await;
            forward(request, &onward).await
        }
        Fault::LostAnswer | Fault::NoAnswer => std::future::pending().await,
    }
}

async fn forward(request: Request<Incoming>, onward: &Client) -> Result<Answer, LostConnection> {
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| LostConnection)?.to_bytes();
    // The next leg has a host of its own.
    parts.headers.remove(hyper::header::HOST);
    let request = Request::from_parts(parts, Body::from(body.to_vec()));
    let answer = onward.send(request).await.map_err(|_| LostConnection)?;
    Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
}

/// What the API server sends with a status code.
fn status(code: u16, message: &str, headers: Vec<(&'static str, String)>) -> Answer {
    let reason = match code {
        403 => "Forbidden",
        409 => "Conflict",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        _ => "Unknown",
    };
    let body: Value = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    let mut answer = of(code, body.to_string());
    for (name, value) in headers {
        let value = HeaderValue::from_str(&value).expect("a header value");
        answer.headers_mut().insert(HeaderName::from_static(name), value);
    }
    answer
}

fn of(code: u16, body: String) -> Answer {
    let body = Full::new(Bytes::from(body)).map_err(|never: Infallible| match never {});
    let mut answer = Response::new(body.boxed_unsync());
    *answer.status_mut() = StatusCode::from_u16(code).expect("a status code");
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// The connection ends without an answer.
#[derive(Debug)]
struct LostConnection;

impl fmt::Display for LostConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer is lost, as the test ordered")
    }
}

impl std::error::Error for LostConnection {}
