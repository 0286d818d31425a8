//! An HTTP client for setting up servers and looking into them: a connection for each request, no redirects, no
//! retries, no proxy of the environment. What is tested has clients of its own.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderMap};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::certs::Identity;

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is empty or something else.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The answer, if it is one of success.
    ///
    /// # Errors
    /// With the status code and the body, if it is not.
    pub fn ok(self) -> Result<Self> {
        if !(200..300).contains(&self.status) {
            bail!("answered {}: {}", self.status, self.text());
        }
        Ok(self)
    }
}

/// Who is trusted, and who one is, where the URL begins with `https`.
#[derive(Clone, Copy, Default)]
pub struct Tls<'a> {
    /// The CA's certificate, PEM.
    pub ca_pem: &'a str,
    /// A client certificate.
    pub identity: Option<&'a Identity>,
}

/// Sends one request.
///
/// # Errors
/// When nobody answers in HTTP.
pub async fn send(
    method: &str,
    url: &str,
    tls: Tls<'_>,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Answer> {
    let uri: Uri = url.parse().with_context(|| url.to_owned())?;
    let host = uri.host().context("a URL has a host")?.to_owned();
    let is_tls = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder().method(method).uri(path).header(HOST, format!("{host}:{port}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into()))?;

    let stream = TcpStream::connect((host.as_str(), port)).await.with_context(|| url.to_owned())?;
    let answer = if is_tls {
        let connector = TlsConnector::from(Arc::new(tls.config()?));
        let stream = connector.connect(ServerName::try_from(host)?, stream).await;
        over(stream.with_context(|| format!("TLS to {url}"))?, request).await
    } else {
        over(stream, request).await
    };
    answer.with_context(|| format!("{method} {url}"))
}

/// Sends one request without body, in the clear.
///
/// # Errors
/// When nobody answers in HTTP.
pub async fn get(url: &str) -> Result<Answer> {
    send("GET", url, Tls::default(), &[], "").await
}

/// Sends JSON in the clear.
///
/// # Errors
/// When nobody answers in HTTP.
pub async fn post(url: &str, body: &Value) -> Result<Answer> {
    let json = [("content-type", "application/json")];
    send("POST", url, Tls::default(), &json, body.to_string()).await
}

impl Tls<'_> {
    fn config(&self) -> Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.ca_pem.as_bytes()) {
            roots.add(certificate?)?;
        }
        let config = ClientConfig::builder().with_root_certificates(roots);
        let Some(identity) = self.identity else { return Ok(config.with_no_client_auth()) };
        let chain = CertificateDer::pem_slice_iter(identity.cert_pem.as_bytes()).collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes())?;
        Ok(config.with_client_auth_cert(chain, key)?)
    }
}

async fn over(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Answer> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // How it ends is seen in the answer.
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
}
