//! A proxy in front of a server that answers wrongly, late or not at all, as a test orders.
//!
//! Where it speaks TLS, it does so with the server's own certificate, so that for a client it *is* the server.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::{FutureExt, StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Collected, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
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

use crate::certs::Certs;
use crate::control_plane::ControlPlane;
use crate::wait;

type Answer = Response<UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>>;

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is answered by this status code, a message, and headers, as the API server would.
    Answer(u16, &'static str, Vec<(&'static str, String)>),
    /// It is answered by this status code and body, whatever they are.
    Body(u16, String),
    /// The connection breaks in the middle of the answer's body.
    Cut,
    /// The connection breaks before the request gets anywhere.
    Dropped,
    /// It is answered, but late.
    Late(Duration),
    /// It takes effect, and the answer is lost with the connection.
    LostAnswer,
    /// It never gets an answer.
    NoAnswer,
    /// It is answered by this status code, headers and body, whatever they are.
    Reply(u16, Vec<(&'static str, String)>, String),
}

impl Fault {
    /// A status code and nothing more.
    #[must_use]
    pub fn status(code: u16) -> Self {
        Self::Reply(code, Vec::new(), String::new())
    }

    /// "Too many requests": come back after so many seconds.
    #[must_use]
    pub fn too_many(retry_after: u32) -> Self {
        Self::Reply(429, vec![("retry-after", retry_after.to_string())], String::new())
    }

    /// What AWS answers to a client that asks too often.
    #[must_use]
    pub fn aws_throttling() -> Self {
        Self::aws(400, "ThrottlingException", "Rate exceeded")
    }

    /// An error as AWS's services that speak JSON put it.
    #[must_use]
    pub fn aws(code: u16, kind: &str, message: &str) -> Self {
        let headers = vec![("content-type", "application/x-amz-json-1.1".to_owned())];
        Self::Reply(code, headers, json!({"__type": kind, "message": message}).to_string())
    }

    /// A redirect that keeps the method.
    #[must_use]
    pub fn redirect(to: &str) -> Self {
        Self::Reply(307, vec![("location", to.to_owned())], String::new())
    }
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
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Call {
    /// Whether it would change something.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.method != "GET"
    }

    /// A header's value, or nothing. AWS says in `x-amz-target` what is asked.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
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
    /// What a client is given instead of the server's URL.
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
        Self::start(&plane.url, Some(&plane.certs), Some(&plane.certs)).await
    }

    /// Starts a proxy in the clear in front of any server that is itself asked in the clear, such as `vault.url`.
    ///
    /// # Errors
    /// When it can't listen.
    pub async fn before_http(url: &str) -> Result<Self> {
        Self::start(url, None, None).await
    }

    /// Starts a proxy that speaks TLS by these certificates, in front of a server that has them (`https`) or is asked in
    /// the clear (`http`).
    ///
    /// # Errors
    /// When it can't listen.
    pub async fn before_tls(url: &str, certs: &Certs) -> Result<Self> {
        let onward = url.starts_with("https:").then_some(certs);
        Self::start(url, onward, Some(certs)).await
    }

    async fn start(upstream: &str, trusts: Option<&Certs>, shows: Option<&Certs>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let scheme = if shows.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://127.0.0.1:{}", listener.local_addr()?.port());
        let acceptor = shows.map(acceptor).transpose()?;

        // Without credentials of its own: each request carries its client's.
        let mut onward = Config::new(upstream.parse()?);
        if let Some(certs) = trusts {
            let ca = CertificateDer::from_pem_slice(certs.ca_pem.as_bytes()).context("the CA")?;
            onward.root_cert = Some(vec![ca.to_vec()]);
        }
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

    /// The server is gone: connections break, and new ones are closed at once.
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

    /// How many of the requests so far match.
    #[must_use]
    pub fn count(&self, matches: impl Fn(&Call) -> bool) -> usize {
        self.state.calls.lock().unwrap().iter().filter(|call| matches(call)).count()
    }
}

fn acceptor(certs: &Certs) -> Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(&certs.cert)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&certs.key)?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
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
    acceptor: Option<TlsAcceptor>,
    onward: Client,
    state: Arc<State>,
    mut gate: watch::Receiver<Gate>,
) {
    let service = service_fn(|request| answer(request, onward.clone(), Arc::clone(&state)));
    let server = hyper::server::conn::http1::Builder::new();
    let connection = async {
        // The peer may break off, and so may a fault: neither is this task's concern.
        let _ = match acceptor {
            None => server.serve_connection(TokioIo::new(stream), service).await,
            Some(acceptor) => {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                server.serve_connection(TokioIo::new(stream), service).await
            }
        };
    };
    tokio::select! {
        () = connection => {}
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
    let (parts, body) = request.into_parts();
    let call = Call {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers.clone(),
        body: body.collect().await.map_err(|_| LostConnection)?.to_bytes(),
    };
    let request = Request::from_parts(parts, Body::from(call.body.to_vec()));
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
        Fault::Cut => forward(request, &onward).await.map(cut),
        Fault::Dropped => Err(LostConnection),
        Fault::Late(delay) => {
            tokio::time::sleep(delay).await;
            forward(request, &onward).await
        }
        Fault::LostAnswer | Fault::NoAnswer => std::future::pending().await,
        Fault::Reply(code, headers, body) => Ok(with(of(code, body), headers)),
    }
}

/// The next leg keeps the host that the client named: a server may put it into URLs that it hands out.
async fn forward(request: Request<Body>, onward: &Client) -> Result<Answer, LostConnection> {
    let answer = onward.send(request).await.map_err(|_| LostConnection)?;
    Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
}

/// The answer with half its body.
fn cut(answer: Answer) -> Answer {
    answer.map(|body| {
        let half = body.collect().into_stream().flat_map(|whole| {
            let whole = whole.map(Collected::to_bytes).unwrap_or_default();
            let half = whole.slice(..whole.len() / 2);
            stream::iter([Ok(Frame::data(half)), Err(LostConnection.into())])
        });
        StreamBody::new(half).boxed_unsync()
    })
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
    with(of(code, body.to_string()), headers)
}

fn with(mut answer: Answer, headers: Vec<(&'static str, String)>) -> Answer {
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
