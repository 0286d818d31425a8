//! How the SDK's requests are sent: by the same client as every other provider's.
//!
//! The SDK brings a client of its own. This one keeps to the rules about hosts, follows no redirect, reads no answer
//! without a bound, and wipes what it has read.

use std::{fmt, sync::Arc, time::Duration};

use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector,
    },
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use reqwest::{Client, Method};
use tokio::sync::OnceCell;
use waxwing_core::store::{Failure, Kind};
use waxwing_crds::CaProvider;
use zeroize::Zeroizing;

use crate::{
    net::{self, Rules},
    references::References,
};

/// An HTTP client for the SDK. It is made when it is first used, because the authorities may have to be read.
pub(super) fn client(rules: &Arc<Rules>, trust: Trust, references: &Arc<dyn References>) -> SharedHttpClient {
    let pool =
        Pool { rules: Arc::clone(rules), trust, references: Arc::clone(references), client: OnceCell::new() };
    SharedHttpClient::new(Wire { pool: Arc::new(pool), within: net::REQUEST })
}

/// The certificate authorities that a store names. Without any, the system's.
#[derive(Default)]
pub(super) struct Trust {
    pub(super) bundle: Option<String>,
    pub(super) provider: Option<CaProvider>,
}

struct Pool {
    rules: Arc<Rules>,
    trust: Trust,
    references: Arc<dyn References>,
    client: OnceCell<Client>,
}

impl Pool {
    async fn client(&self) -> Result<&Client, Failure> {
        self.client
            .get_or_try_init(|| async {
                let Trust { bundle, provider } = &self.trust;
                let authorities =
                    net::authorities(bundle.as_deref(), provider.as_ref(), &*self.references).await?;
                let trust = net::Trust { ca_pem: authorities, identity_pem: None };
                net::client_builder(&self.rules, &trust)?
                    .build()
                    .map_err(|_| Failure::new(Kind::BadStore, "no client can be made of the certificates"))
            })
            .await
    }
}

#[derive(Clone)]
struct Wire {
    pool: Arc<Pool>,
    /// For one request, with everything that belongs to it.
    within: Duration,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl HttpClient for Wire {
    /// Who sets shorter times gets them: the SDK does, when it looks for an identity at addresses where nobody may be.
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let within = match (settings.connect_timeout(), settings.read_timeout()) {
            (Some(connect), Some(read)) => self.within.min(connect + read),
            _ => self.within,
        };
        SharedHttpConnector::new(Self { pool: Arc::clone(&self.pool), within })
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let wire = self.clone();
        HttpConnectorFuture::new(async move {
            match tokio::time::timeout(wire.within, exchange(&wire.pool, request)).await {
                Ok(result) => result,
                Err(late) => Err(late.into()),
            }
            .map_err(|error| ConnectorError::io(net::failure(&*error).into()))
        })
    }
}

async fn exchange(
    pool: &Pool,
    request: HttpRequest,
) -> Result<HttpResponse, Box<dyn std::error::Error + Send + Sync>> {
    let client = pool.client().await?;
    let mut onward = client.request(Method::from_bytes(request.method().as_bytes())?, request.uri());
    for (name, value) in request.headers() {
        onward = onward.header(name, value);
    }
    let body = Zeroizing::new(request.body().bytes().unwrap_or_default().to_vec());
    let mut answer = onward.body(Bytes::from_owner(body)).send().await?;

    let length = answer.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    if length > LIMIT {
        return Err(TOO_LARGE.into());
    }
    // Without a length, twice what one entry takes: a vector that grows leaves unwiped copies behind.
    let mut body = Zeroizing::new(Vec::with_capacity(if length == 0 { 128 << 10 } else { length }));
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > LIMIT {
            return Err(TOO_LARGE.into());
        }
        body.extend_from_slice(&chunk);
    }
    let mut response =
        HttpResponse::new(answer.status().as_u16().try_into()?, SdkBody::from(Bytes::from_owner(body)));
    for (name, value) in answer.headers() {
        // Those that are no text are none that anybody here looks at.
        if let Ok(value) = value.to_str() {
            response.headers_mut().append(name.as_str().to_owned(), value.to_owned());
        }
    }
    Ok(response)
}

/// Twenty entries of 64 KiB in one answer, each character escaped.
const LIMIT: usize = 8 << 20;
const TOO_LARGE: Failure = Failure::new(Kind::TooLarge, "the answer is larger than 8 MiB");
