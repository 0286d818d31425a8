//! The call that makes a server read its files again.

use std::time::Duration;

use http_body_util::Empty;
use hyper::{
    Method, Request, Uri,
    body::Bytes,
    header::{AUTHORIZATION, HeaderValue},
};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use zeroize::Zeroizing;

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// One call.
pub(super) struct Call {
    url: String,
    authorization: Option<Zeroizing<String>>,
}

impl Call {
    pub(super) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), authorization: None }
    }

    /// With this value of `Authorization`.
    pub(super) fn with(self, authorization: &Zeroizing<String>) -> Self {
        Self { authorization: Some(authorization.clone()), ..self }
    }

    /// Posts nothing to the URL. Redirects are not followed.
    ///
    /// # Errors
    /// In words that show neither the URL, which may hold a password, nor anything of the answer but its number.
    pub(super) async fn make(&self) -> Result<(), String> {
        let uri: Uri = self.url.parse().map_err(|_| "the URL is none".to_owned())?;
        if uri.scheme_str() != Some("http") {
            return Err("only URLs with http:// can be posted to from here".to_owned());
        }
        let mut request = Request::builder().method(Method::POST).uri(uri);
        if let Some(authorization) = &self.authorization {
            let mut value = HeaderValue::from_str(authorization)
                .map_err(|_| "what to log in with does not fit a header".to_owned())?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let request = request.body(Empty::new()).map_err(|_| "the URL is none".to_owned())?;
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let answer = tokio::time::timeout(PATIENCE, client.request(request)).await;
        let answer = answer.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?;
        let status = answer.map_err(|_| "nobody answers there".to_owned())?.status();
        if status.is_success() { Ok(()) } else { Err(format!("it answers {}", status.as_u16())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(url: &str) -> String {
        let runtime = crate::stores::runtime().unwrap();
        runtime.block_on(Call::new(url).make()).unwrap_err()
    }

    #[test]
    fn what_cannot_be_called_is_told_without_its_password() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        for (url, what) in [
            (format!("http://am:Canary@{address}/-/reload"), "nobody answers there"),
            (
                "https://am:Canary@localhost/-/reload".to_owned(),
                "only URLs with http:// can be posted to from here",
            ),
            ("http://am:Canary@ /".to_owned(), "the URL is none"),
        ] {
            assert_eq!(said(&url), what);
        }
    }
}
