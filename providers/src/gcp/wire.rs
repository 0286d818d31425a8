//! The transport below Google's client: its requests by our connection, with the login of the store.
//!
//! The client's own transport follows redirects, connects to whatever a name points at, and trusts no other authorities
//! than the system's. The client takes another one in the form that it calls a stub.

use std::{fmt, sync::Arc};

use google_cloud_gax::{error::Error, options::RequestOptions, response::Response};
use google_cloud_secretmanager_v1::{
    Result,
    model::{
        AccessSecretVersionRequest, AccessSecretVersionResponse, GetSecretRequest, GetSecretVersionRequest,
        ListSecretsRequest, ListSecretsResponse, Secret, SecretVersion,
    },
    stub::SecretManagerService,
};
use reqwest::{Url, header::AUTHORIZATION};
use serde::de::DeserializeOwned;
use waxwing_core::store::{Failure, Kind};

use super::{login::Login, refusal};
use crate::link::{self, Link};

/// One service, with one login.
pub(super) struct Wire {
    pub(super) link: Arc<Link>,
    /// Where the service is; perhaps with a path.
    pub(super) base: Url,
    pub(super) login: Login,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl SecretManagerService for Wire {
    async fn access_secret_version(
        &self,
        request: AccessSecretVersionRequest,
        _: RequestOptions,
    ) -> Result<Response<AccessSecretVersionResponse>> {
        self.get(&format!("{}:access", request.name), &[]).await
    }

    async fn get_secret(&self, request: GetSecretRequest, _: RequestOptions) -> Result<Response<Secret>> {
        self.get(&request.name, &[]).await
    }

    async fn get_secret_version(
        &self,
        request: GetSecretVersionRequest,
        _: RequestOptions,
    ) -> Result<Response<SecretVersion>> {
        self.get(&request.name, &[]).await
    }

    async fn list_secrets(
        &self,
        request: ListSecretsRequest,
        _: RequestOptions,
    ) -> Result<Response<ListSecretsResponse>> {
        let size = request.page_size.to_string();
        let query =
            [("pageSize", size.as_str()), ("pageToken", &request.page_token), ("filter", &request.filter)];
        self.get(&format!("{}/secrets", request.parent), &query).await
    }
}

impl Wire {
    /// The client hands on what its transport fails with, and [`failure`] finds it there.
    async fn get<T: DeserializeOwned>(&self, name: &str, query: &[(&str, &str)]) -> Result<Response<T>> {
        self.fetch(name, query).await.map(Response::from).map_err(Error::io)
    }

    async fn fetch<T: DeserializeOwned>(
        &self,
        name: &str,
        query: &[(&str, &str)],
    ) -> std::result::Result<T, Failure> {
        let url = url(&self.base, name, query)?;
        let client = self.link.client().await?;
        let mut session = self.login.live(&self.link).await?;
        let mut answer = send(client, &url, &session.pass).await?;
        if answer.status == 401 {
            // It was revoked, or is over by the service's clock.
            self.login.forget(&session);
            session = self.login.live(&self.link).await?;
            answer = send(client, &url, &session.pass).await?;
        }
        if !answer.is_ok() {
            return Err(refusal::of_answer(&answer));
        }
        let strange =
            |_| Failure::new(Kind::Unavailable, "the answer is not one of Secret Manager").with_code(200);
        serde_json::from_slice(&answer.body).map_err(strange)
    }
}

async fn send(
    client: &reqwest::Client,
    url: &Url,
    pass: &reqwest::header::HeaderValue,
) -> std::result::Result<link::Answer, Failure> {
    link::exchange(client.get(url.clone()).header(AUTHORIZATION, pass.clone())).await
}

/// The URL of a resource. Its name was checked; here it is encoded all the same.
fn url(base: &Url, name: &str, query: &[(&str, &str)]) -> std::result::Result<Url, Failure> {
    let mut url = base.clone();
    let mut segments = url
        .path_segments_mut()
        .map_err(|()| Failure::new(Kind::BadStore, "it is not a URL").at("endpoint"))?;
    segments.pop_if_empty().push("v1").extend(name.split('/'));
    drop(segments);
    // Numbers for enumerations, as the client's own transport has it.
    url.query_pairs_mut().extend_pairs(query).append_pair("$alt", "json;enum-encoding=int");
    Ok(url)
}

/// What a call failed with.
pub(super) fn failure(error: &Error) -> Failure {
    crate::net::failure(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_path_below_the_base() {
        let url = |base: &str, name: &str| {
            url(&Url::parse(base).unwrap(), name, &[("pageToken", "a&b")]).map(String::from).unwrap()
        };
        assert_eq!(
            url("https://secretmanager.googleapis.com", "projects/p/secrets/s/versions/1:access"),
            "https://secretmanager.googleapis.com/v1/projects/p/secrets/s/versions/1:access\
             ?pageToken=a%26b&%24alt=json%3Benum-encoding%3Dint",
        );
        assert!(
            url("https://proxy/gsm/", "projects/p?x").starts_with("https://proxy/gsm/v1/projects/p%3Fx?")
        );
    }
}
