//! One request to Vault, and its answer.
//!
//! What is asked are rustify's endpoints: vaultrs' own, and [`At`] for the paths that vaultrs does not know. How it is
//! sent is ours, because the clients of those libraries log what a server says, follow redirects with the token, read
//! answers of any size, and drop the headers of errors.

use bytes::Bytes;
use reqwest::{
    Body, Client, Method,
    header::{DATE, HeaderMap, HeaderName, HeaderValue},
};
use rustify::{
    endpoint::Endpoint,
    enums::{RequestMethod, RequestType, ResponseType},
    errors::ClientError,
};
use url::Url;
use waxwing_core::store::{Failure, Kind};
use zeroize::Zeroizing;

use super::answer::Answer;
use crate::link;

/// What carries the token. It is never logged, and wiped with the session.
pub(super) const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
/// The namespace, in Vault Enterprise and OpenBao.
pub(super) const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// How far a node has got, or has to have got.
pub(super) const INDEX: HeaderName = HeaderName::from_static("x-vault-index");
/// What a node does that has not got so far.
pub(super) const INCONSISTENT: HeaderName = HeaderName::from_static("x-vault-inconsistent");
/// Says that the request is not from a browser, which Vault's agent and proxies ask for.
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");

/// Any path of Vault's API.
pub(super) struct At {
    /// GET, POST, LIST and so on.
    pub(super) method: RequestMethod,
    /// The path below `v1/`.
    pub(super) path: String,
    /// A JSON document, or nothing. It may hold credentials.
    pub(super) body: Zeroizing<Vec<u8>>,
}

impl At {
    /// A read.
    pub(super) fn get(path: String) -> Self {
        Self { method: RequestMethod::GET, path, body: Zeroizing::default() }
    }

    /// A write.
    pub(super) fn post(path: String, body: Zeroizing<Vec<u8>>) -> Self {
        Self { method: RequestMethod::POST, path, body }
    }
}

impl Endpoint for At {
    type Response = ();
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.path.clone()
    }

    fn method(&self) -> RequestMethod {
        self.method.clone()
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        // The copy is wiped where it is sent.
        Ok((!self.body.is_empty()).then(|| self.body.to_vec()))
    }
}

/// A connection pool to one server.
pub(super) struct Wire {
    client: Client,
    server: Url,
}

impl Wire {
    pub(super) fn new(client: Client, server: Url) -> Self {
        Self { client, server }
    }

    /// Sends one request. Every status is an answer.
    ///
    /// # Errors
    /// When no answer came, or one that is too large.
    pub(super) async fn send<E: Endpoint>(
        &self,
        endpoint: &E,
        headers: HeaderMap,
    ) -> Result<Answer, Failure> {
        let url = url(&self.server, &endpoint.path(), endpoint.query().map_err(|_| unsendable())?)?;
        let body = endpoint.body().map_err(|_| unsendable())?.map(Zeroizing::new);
        let method: Method = endpoint.method().into();
        let mut request = self.client.request(method, url).headers(headers).header(REQUEST, "true");
        if let Some(body) = body {
            request = request.body(Body::from(Bytes::from_owner(body)));
        }
        let got = link::exchange(request).await.map_err(|failure| match failure {
            // What is wrong with a connection is wrong for all that is asked of this host.
            Failure { place: None, kind, .. } if kind != Kind::TooLarge => {
                failure.at(self.server.host_str().unwrap_or_default())
            }
            failure => failure,
        })?;
        let date = got.headers.get(DATE).and_then(|date| jiff::fmt::rfc2822::parse(date.to_str().ok()?).ok());
        Ok(Answer {
            status: got.status,
            retry_after: got.retry_after(),
            index: got.headers.get(INDEX).cloned(),
            date: date.map(|date| date.timestamp()),
            body: got.body,
        })
    }
}

/// The URL of a path. Each segment is encoded, so a key cannot leave its place or begin a query.
fn url(server: &Url, path: &str, query: Option<String>) -> Result<Url, Failure> {
    let mut url = server.clone();
    // Some of vaultrs' paths begin with a slash, some with a tab, and that of a LIST may end with a slash.
    let path = path.trim_matches(['\t', '/']);
    if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(unsendable());
    }
    url.path_segments_mut().map_err(|()| unsendable())?.pop_if_empty().push("v1").extend(path.split('/'));
    url.set_query(query.as_deref().filter(|query| !query.is_empty()));
    Ok(url)
}

fn unsendable() -> Failure {
    Failure::new(Kind::Rejected, "a path must not be empty, or have empty segments, `.` or `..`")
}

/// A header whose value is wiped when its last copy is dropped, and which no Debug shows.
///
/// # Errors
/// When the text cannot be in a header, such as with a line break in it.
pub(super) fn secret_header(text: Zeroizing<Vec<u8>>) -> Result<HeaderValue, ()> {
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(text)).map_err(|_| ())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(server: &str, path: &str, expected: &str) {
        let url = url(&Url::parse(server).unwrap(), path, None).map(String::from);
        assert_eq!(url.as_deref().unwrap_or("refused"), expected);
    }

    #[test]
    fn each_segment_of_a_path_is_encoded() {
        check("https://vault:8200", "secret/data/app", "https://vault:8200/v1/secret/data/app");
        check(
            "https://vault:8200/",
            "\t/auth/token/renew-self",
            "https://vault:8200/v1/auth/token/renew-self",
        );
        check("https://vault/base/", "kv/a b", "https://vault/base/v1/kv/a%20b");
        check("https://vault/base", "kv/a?b#c%2f..", "https://vault/base/v1/kv/a%3Fb%23c%252f..");
        check("https://vault", "kv/\\..\\x", "https://vault/v1/kv/%5C..%5Cx");
    }

    /// Guard: `url` refuses segments that a server would take as a step up.
    #[test]
    fn a_path_that_leaves_its_place_is_refused() {
        for path in ["kv/../sys", "kv/./x", "kv//x", "..", "", "/"] {
            check("https://vault", path, "refused");
        }
    }

    #[test]
    fn a_header_with_a_line_break_is_refused() {
        assert!(secret_header(Zeroizing::new(b"hvs.x\n".to_vec())).is_err());
        let value = secret_header(Zeroizing::new(b"hvs.canary".to_vec())).unwrap();
        assert!(!format!("{value:?}").contains("canary"));
    }
}
