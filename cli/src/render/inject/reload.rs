//! The call that makes a server read its files again.

use std::time::Duration;

use http_body_util::Empty;
use hyper::{Method, Request, Uri, body::Bytes};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Posts nothing to a URL. Redirects are not followed.
///
/// # Errors
/// In words that show neither the URL, which may hold a password, nor anything of the answer but its number.
pub(super) async fn call(url: &str) -> Result<(), String> {
    let uri: Uri = url.parse().map_err(|_| "the URL is none".to_owned())?;
    if uri.scheme_str() != Some("http") {
        return Err("only URLs with http:// can be posted to from here".to_owned());
    }
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let request = Request::builder().method(Method::POST).uri(uri).body(Empty::new());
    let request = request.map_err(|_| "the URL is none".to_owned())?;
    let answer = tokio::time::timeout(PATIENCE, client.request(request)).await;
    let answer = answer.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?;
    let status = answer.map_err(|_| "nobody answers there".to_owned())?.status();
    if status.is_success() { Ok(()) } else { Err(format!("it answers {}", status.as_u16())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(url: &str) -> String {
        let runtime = crate::stores::runtime().unwrap();
        runtime.block_on(call(url)).unwrap_err()
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
