//! What a store refers to, read from the API server when a provider logs in.
//!
//! The namespace is fixed when this is made; nothing that a store says can change it. Values are not kept.

use std::{collections::BTreeMap, sync::LazyLock};

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hyper::{Method, body::Bytes};
use k8s_openapi::{ByteString, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Client, Config};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use waxwing_core::{
    Secret,
    store::{Failure, Kind},
};
use waxwing_providers::{OwnServer, References, Token};
use zeroize::Zeroizing;

use crate::apply::{Ask, JSON, Refusal, escaped, send};

/// The objects of one namespace.
pub(crate) struct InNamespace {
    client: Client,
    namespace: String,
}

impl InNamespace {
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned() }
    }

    async fn read<T: DeserializeOwned>(&self, plural: &str, kind: &str, name: &str) -> Result<T, Failure> {
        let path = format!("/api/v1/namespaces/{}/{plural}/{}", escaped(&self.namespace), escaped(name));
        let ask = Ask { verb: "get", method: Method::GET, path: &path, content: JSON };
        send(&self.client, ask, JSON, Bytes::new()).await.map_err(|refusal| failure(&refusal, kind, name))
    }

    async fn make_token(
        &self,
        service_account: &str,
        mut spec: Value,
        seconds: u32,
    ) -> Result<Token, Failure> {
        let seconds = seconds.max(600);
        spec["expirationSeconds"] = seconds.into();
        #[derive(Deserialize)]
        struct Answer {
            status: Status,
        }
        #[derive(Deserialize)]
        struct Status {
            token: String,
        }
        let path = format!(
            "/api/v1/namespaces/{}/serviceaccounts/{}/token",
            escaped(&self.namespace),
            escaped(service_account)
        );
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": spec,
        });
        let ask = Ask { verb: "create", method: Method::POST, path: &path, content: JSON };
        let answer: Answer = send(&self.client, ask, JSON, body.to_string().into())
            .await
            .map_err(|refusal| failure(&refusal, "ServiceAccount", service_account))?;
        let token = Secret::new(answer.status.token.into_bytes());
        Ok(Token { token, seconds: seconds.into() })
    }
}

#[async_trait]
impl References for InNamespace {
    async fn secret(&self, name: &str, key: &str) -> Result<Secret, Failure> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            data: Option<BTreeMap<String, ByteString>>,
        }
        let answer: Answer = self.read("secrets", "Secret", name).await?;
        let mut found = None;
        for (other, value) in answer.data.into_iter().flatten() {
            // Those that are not asked for are wiped as well.
            let value = Zeroizing::new(value.0);
            if other == key {
                found = Some(Secret::from(value));
            }
        }
        found.ok_or_else(|| missing_key("Secret", name, key))
    }

    async fn config_map(&self, name: &str, key: &str) -> Result<String, Failure> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            data: Option<BTreeMap<String, String>>,
        }
        let answer: Answer = self.read("configmaps", "ConfigMap", name).await?;
        let found = answer.data.and_then(|mut data| data.remove(key));
        found.ok_or_else(|| missing_key("ConfigMap", name, key))
    }

    async fn token(
        &self,
        service_account: &str,
        audiences: &[String],
        seconds: u32,
    ) -> Result<Token, Failure> {
        if audiences.is_empty() {
            // The API server would take this for itself, and hand out a token that opens the cluster.
            return Err(Failure::new(Kind::EndpointRefused, "a token without an audience is never made")
                .at(format!("ServiceAccount {service_account}")));
        }
        if audiences.iter().any(|audience| is_api_server(audience)) {
            let what = "a token that the API server itself would take is never given to a provider";
            return Err(Failure::new(Kind::EndpointRefused, what)
                .at(format!("ServiceAccount {service_account}, audiences")));
        }
        self.make_token(service_account, json!({"audiences": audiences}), seconds).await
    }

    async fn own_server(&self) -> Result<OwnServer, Failure> {
        let unknown = |_| Failure::new(Kind::Unavailable, "this cluster's own API server is not known");
        Config::infer().await.map(|config| OwnServer::from(&config)).map_err(unknown)
    }

    async fn own_token(&self, service_account: &str, seconds: u32) -> Result<Token, Failure> {
        // Without an audience it is the API server's.
        self.make_token(service_account, json!({}), seconds).await
    }

    async fn service_account(&self, name: &str) -> Result<BTreeMap<String, String>, Failure> {
        #[derive(Deserialize)]
        struct Answer {
            metadata: ObjectMeta,
        }
        let answer: Answer = self.read("serviceaccounts", "ServiceAccount", name).await?;
        Ok(answer.metadata.annotations.unwrap_or_default())
    }
}

/// Whether an audience is one that API servers take for themselves: the name that their certificates have, which is also
/// the default issuer, and that of our own token.
fn is_api_server(audience: &str) -> bool {
    let name = audience.trim_start_matches("https://").trim_end_matches('/').to_ascii_lowercase();
    let is_default = ["kubernetes", "kubernetes.default", "api"].contains(&name.as_str())
        || name.starts_with("kubernetes.default.svc");
    is_default || own_audiences().iter().any(|own| own == audience)
}

/// The audiences of the pod's own token, which are the API server's. Empty outside of a pod.
fn own_audiences() -> &'static [String] {
    static OWN: LazyLock<Vec<String>> = LazyLock::new(|| {
        let token = std::fs::read_to_string("/var/run/secrets/kubernetes.io/serviceaccount/token");
        token.ok().and_then(|token| audiences_of(&token)).unwrap_or_default()
    });
    &OWN
}

/// The `aud` of a token, whoever signed it.
fn audiences_of(token: &str) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Claims {
        aud: Vec<String>,
    }
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Claims>(&claims).ok().map(|claims| claims.aud)
}

fn missing_key(kind: &str, name: &str, key: &str) -> Failure {
    Failure::new(Kind::CredentialMissing, "it has no such key").at(format!("{kind} {name}, key {key}"))
}

/// What the API server's refusal means; its text stays here.
fn failure(refusal: &Refusal, kind: &str, name: &str) -> Failure {
    let place = format!("{kind} {name}");
    let (kind, what) = match refusal {
        Refusal::Api { status, .. } => match status.code {
            404 => (Kind::CredentialMissing, "it does not exist"),
            401 | 403 => (Kind::CredentialMissing, "the operator may not read it; see the chart's RBAC"),
            429 => (Kind::Throttled, "the API server asks for fewer requests"),
            _ => (Kind::Unavailable, "the API server could not give it"),
        },
        Refusal::Client(_) => (Kind::Unavailable, "the API server did not answer"),
    };
    Failure::new(kind, what).at(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// K16. Guard: `is_api_server` in `InNamespace::token`.
    #[tokio::test]
    async fn no_token_is_made_that_the_api_server_would_take() {
        let client = testing::client(|_| (201, json!({"status": {"token": "made"}})));
        let references = InNamespace::new(client, "apps");
        for audience in [
            "https://kubernetes.default.svc",
            "https://kubernetes.default.svc.cluster.local",
            "HTTPS://KUBERNETES.DEFAULT.SVC/".to_ascii_lowercase().as_str(),
            "kubernetes.default.svc",
            "kubernetes",
            "api",
        ] {
            let made = references.token("app", &[audience.to_owned(), "vault".to_owned()], 600).await;
            assert_eq!(made.err().map(|failure| failure.kind), Some(Kind::EndpointRefused), "{audience}");
        }
        assert!(references.token("app", &[], 600).await.is_err());
        assert!(references.token("app", &["vault".to_owned()], 600).await.is_ok());
    }

    #[test]
    fn audiences_are_read_from_a_token() {
        let claims = BASE64_URL_SAFE_NO_PAD.encode(r#"{"aud":["https://example.com"],"sub":"x"}"#);
        assert_eq!(audiences_of(&format!("e30.{claims}.sig")), Some(vec!["https://example.com".to_owned()]));
        assert_eq!(audiences_of("opaque"), None);
    }
}
