//! What a store refers to, read from the API server when a provider logs in.
//!
//! The namespace is fixed when this is made; nothing that a store says can change it. Values are not kept.

use std::collections::BTreeMap;

use async_trait::async_trait;
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
