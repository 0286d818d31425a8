//! Connections to the API server.
//!
//! Requests and watches have a client each: a request that is not answered in time is an error, while a watch may be
//! silent for a while. There is no rate limit of our own; the API server has one that knows more.

use std::time::Duration;

use anyhow::Context as _;
use hyper::header::{HeaderValue, USER_AGENT};
use kube::{Client, Config};

/// How long an answer may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a watch may be silent. The API server ends each one after [`WATCH_SECONDS`].
const WATCH_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a watch lasts, by our request.
pub(crate) const WATCH_SECONDS: u32 = 240;

/// The two clients.
#[derive(Clone)]
pub(crate) struct Clients {
    /// For requests.
    pub(crate) requests: Client,
    /// For watches.
    pub(crate) watches: Client,
}

impl Clients {
    /// From the kubeconfig if there is one, else from the pod's ServiceAccount.
    pub(crate) async fn connect() -> anyhow::Result<Self> {
        let mut config =
            Config::infer().await.context("no kubeconfig and not in a pod: nothing to connect to")?;
        config.headers.push((USER_AGENT, HeaderValue::from_static(AGENT)));
        config.connect_timeout = Some(Duration::from_secs(10));
        config.reset_reader_on_write = true;
        // The queue retries, with more knowledge of what is worth it.
        config.default_retry = false;
        let with_timeout = |timeout| {
            let mut config = config.clone();
            config.read_timeout = Some(timeout);
            Client::try_from(config).context("the client could not be made from the configuration")
        };
        Ok(Self { requests: with_timeout(REQUEST_TIMEOUT)?, watches: with_timeout(WATCH_TIMEOUT)? })
    }
}

/// How the API server's audit log names us.
const AGENT: &str = concat!("waxwing-operator/", env!("CARGO_PKG_VERSION"));
