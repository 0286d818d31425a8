//! Requests of the clouds' own clients, sent by ours: whom to trust, and how much of an answer is read.
//!
//! Those clients bring connections of their own. They would follow redirects, connect to whatever a name points at, read
//! answers of any size and leave what they have read in memory, so theirs are never made.

use std::{sync::Arc, time::Duration};

use reqwest::{
    Client, RequestBuilder,
    header::{HeaderMap, RETRY_AFTER},
};
use tokio::sync::OnceCell;
use waxwing_core::store::{Failure, Kind};
use waxwing_crds::CaProvider;
use zeroize::Zeroizing;

use crate::{
    References,
    connect::Place,
    net::{self, Rules},
};

/// The connections of one store. They are made when they are first used, because the authorities may have to be read.
pub(crate) struct Link {
    rules: Arc<Rules>,
    /// The store's `caBundle` and `caProvider`.
    authorities: (Option<String>, Option<CaProvider>),
    references: Arc<dyn References>,
    /// Whether no TLS will be spoken. Then nobody's authorities are needed, and there may be none.
    plain: bool,
    client: OnceCell<Client>,
}

impl Link {
    pub(crate) fn new(
        place: &Place,
        authorities: (Option<String>, Option<CaProvider>),
        plain: bool,
        references: &Arc<dyn References>,
    ) -> Self {
        let (rules, references) = (Arc::clone(&place.rules), Arc::clone(references));
        Self { rules, authorities, references, plain, client: OnceCell::new() }
    }

    /// The client.
    ///
    /// # Errors
    /// `CredentialMissing` or `BadStore`, with where the authorities should be.
    pub(crate) async fn client(&self) -> Result<&Client, Failure> {
        self.client.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Result<Client, Failure> {
        let (bundle, provider) = &self.authorities;
        let ca_pem = net::authorities(bundle.as_deref(), provider.as_ref(), &*self.references).await?;
        let mut builder = net::client_builder(&self.rules, &net::Trust { ca_pem, identity_pem: None })?;
        if self.plain {
            builder = builder.tls_certs_only([]);
        }
        builder
            .build()
            .map_err(|_| Failure::new(Kind::BadStore, "no HTTP client can be made of the certificates"))
    }
}

/// An answer, whatever its status.
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// All of the body.
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Answer {
    /// Whether it is what was asked for.
    pub(crate) fn is_ok(&self) -> bool {
        self.status == 200
    }

    /// How long the server wants to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.parse::<u64>().ok()?;
        Some(Duration::from_secs(seconds.min(LONGEST_PAUSE)))
    }
}

/// Sends a request and reads the answer to its end.
///
/// # Errors
/// When there was none, or it is too large.
pub(crate) async fn exchange(request: RequestBuilder) -> Result<Answer, Failure> {
    let mut response = request.send().await.map_err(|error| net::failure(&error))?;
    let length = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    if length > LIMIT {
        return Err(TOO_LARGE);
    }
    // With its final size, where that is known: a vector that grows leaves unwiped copies behind.
    let mut body = Zeroizing::new(Vec::with_capacity(if length == 0 { 128 << 10 } else { length }));
    while let Some(chunk) = response.chunk().await.map_err(|error| net::failure(&error))? {
        if body.len() + chunk.len() > LIMIT {
            return Err(TOO_LARGE);
        }
        append(&mut body, &chunk);
    }
    let status = response.status().as_u16();
    Ok(Answer { status, headers: std::mem::take(response.headers_mut()), body })
}

/// As `extend`, but a vector that has to move is wiped where it was.
fn append(body: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    if body.len() + chunk.len() > body.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(2 * (body.len() + chunk.len())));
        larger.extend_from_slice(body);
        *body = larger;
    }
    body.extend_from_slice(chunk);
}

/// Answers that are larger are not read to their end. A page of a list is less than a tenth of it.
const LIMIT: usize = 4 << 20;
const TOO_LARGE: Failure = Failure::new(Kind::TooLarge, "the answer is larger than 4 MiB");
/// How long a server may ask to be left alone; more is not believed.
const LONGEST_PAUSE: u64 = 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_grows_keeps_its_bytes() {
        let mut body = Zeroizing::new(Vec::with_capacity(2));
        for chunk in ["ab", "cde", ""] {
            append(&mut body, chunk.as_bytes());
        }
        assert_eq!(*body, b"abcde");
    }

    #[test]
    fn a_pause_is_believed_up_to_an_hour() {
        let after = |text: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            Answer { status: 429, headers, body: Zeroizing::default() }.retry_after()
        };
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("999999"), Some(Duration::from_secs(3600)));
        assert_eq!(after("Wed, 21 Oct 2026 07:28:00 GMT"), None);
    }
}
