//! The transport below the SDK: its requests by our connection.

use std::{fmt, sync::Arc};

use azure_core::{
    Bytes, Result,
    error::{Error, ErrorKind},
    http::{
        AsyncRawResponse, Body, ClientOptions, HttpClient, Method, Request, RetryOptions, StatusCode,
        Transport, Url,
        headers::{AUTHORIZATION, Headers},
    },
};
use reqwest::Client;
use waxwing_core::store::{Failure, Kind};

use super::login::Ticket;
use crate::link::{self, Answer, Link};

/// Where requests may go, and by what.
pub(super) enum Wire {
    /// To whatever the SDK finds on this machine. Nothing that a store says decides about it.
    Machine(Client),
    /// To the authority that issues tokens.
    Login {
        link: Arc<Link>,
        /// Its URL.
        authority: Url,
        /// What is made of an answer that is no token.
        refusal: fn(&Answer) -> Failure,
    },
    /// To one vault.
    Vault {
        link: Arc<Link>,
        /// Its URL.
        vault: Url,
        /// What it takes requests with.
        ticket: Arc<Ticket>,
        /// What is made of an answer that is neither the one asked for nor a challenge.
        refusal: fn(&Answer) -> Failure,
    },
}

impl Wire {
    /// What a client of the SDK is made with. The broker tries again, not the SDK.
    pub(super) fn options(self) -> ClientOptions {
        let transport = Some(Transport::new(Arc::new(self)));
        ClientOptions { transport, retry: RetryOptions::none(), ..ClientOptions::default() }
    }

    /// Sends a request, if it goes where it may. A page of a list names the next one, and could name another host.
    async fn send(&self, request: &Request) -> std::result::Result<Answer, Failure> {
        let (client, home) = match self {
            Self::Machine(client) => (client, None),
            Self::Login { link, authority, .. } => (link.client().await?, Some(authority)),
            Self::Vault { link, vault, .. } => (link.client().await?, Some(vault)),
        };
        let url = request.url();
        if home.is_some_and(|home| home.origin() != url.origin()) {
            return Err(Failure::new(Kind::EndpointRefused, "the answer points to another host"));
        }
        let mut onward = match request.method() {
            Method::Get => client.get(url.clone()),
            Method::Post => client.post(url.clone()),
            _ => return Err(Failure::new(Kind::Unsupported, "Key Vault is only read")),
        };
        for (name, value) in request.headers().iter() {
            onward = onward.header(name.as_str(), value.as_str());
        }
        if let Body::Bytes(body) = request.body() {
            onward = onward.body(body.clone());
        }
        let answer = link::exchange(onward).await?;
        match self {
            Self::Login { refusal, .. } if !answer.is_ok() => Err(refusal(&answer)),
            Self::Vault { ticket, .. } if answer.status == 401 => {
                // With a token it is no challenge: the token was revoked, or is over by the vault's clock.
                if let Some(sent) = request.headers().get_optional_str(&AUTHORIZATION) {
                    ticket.refused(sent);
                }
                Ok(answer)
            }
            Self::Vault { refusal, .. } if !answer.is_ok() => Err(refusal(&answer)),
            _ => Ok(answer),
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl HttpClient for Wire {
    async fn execute_request(&self, request: &Request) -> Result<AsyncRawResponse> {
        // The SDK hands on what its transport fails with, and `refusal` finds it there.
        let answer = self.send(request).await.map_err(|failure| Error::new(ErrorKind::Io, failure))?;
        let mut headers = Headers::new();
        for (name, value) in &answer.headers {
            // Those that are no text are none that the SDK looks at.
            if let Ok(value) = value.to_str() {
                headers.insert(name.as_str().to_owned(), value.to_owned());
            }
        }
        let body = Bytes::from_owner(answer.body);
        Ok(AsyncRawResponse::from_bytes(StatusCode::from(answer.status), headers, body))
    }
}
