//! From what a store names to a token of Entra ID.
//!
//! The SDK's credentials ask for tokens; each is made for one login, and what it gave is kept here. Theirs are kept until
//! shortly before their end even when the vault no longer takes them. An assertion by a certificate is signed here,
//! because the SDK would bring in OpenSSL for it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use azure_core::{
    Result, Uuid,
    cloud::{CloudConfiguration, CustomConfiguration},
    credentials::{AccessToken, Secret as Text, TokenCredential, TokenRequestOptions},
    error::{Error, ErrorKind},
    http::{ClientMethodOptions, ClientOptions, Url},
    time::OffsetDateTime,
};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use waxwing_core::{
    Secret,
    store::{Failure, Kind},
};

use super::{refusal, wire::Wire};
use crate::{
    assertion::{Algorithm, Key},
    link::Link,
    net,
    references::References,
    session::{Door, Granted, Session, Sessions},
};

/// A key of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SecretKey {
    /// The Secret.
    pub(super) name: String,
    /// The key.
    pub(super) key: String,
}

impl fmt::Display for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret {}, key {}", self.name, self.key)
    }
}

/// Where a token comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A client certificate.
    Certificate { client: SecretKey, certificate: SecretKey },
    /// The identity of the machine, or one of those assigned to it.
    Machine { identity: Option<String> },
    /// The process's own ServiceAccount, as Azure's webhook has told the process about it.
    Process,
    /// A client secret.
    Secret { client: SecretKey, secret: SecretKey },
    /// A ServiceAccount that the application trusts.
    ServiceAccount {
        name: String,
        audiences: Vec<String>,
        /// The client id, if not in the ServiceAccount's annotation.
        client: Option<SecretKey>,
    },
}

/// Which tenant, if not in a ServiceAccount's annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tenant {
    /// This one.
    Named(String),
    /// Nobody says.
    Nowhere,
    /// What a Secret holds.
    Secret(SecretKey),
}

/// What requests to a vault are sent with. The SDK asks it for a token when it has none, or has been refused.
pub(super) struct Ticket {
    pub(super) origin: Origin,
    pub(super) tenant: Tenant,
    /// Where tokens are issued.
    pub(super) authority: Url,
    /// The only thing that tokens are asked for, whatever a vault says.
    pub(super) scope: &'static str,
    pub(super) link: Arc<Link>,
    pub(super) references: Arc<dyn References>,
    pub(super) sessions: Sessions<AccessToken>,
    /// The last login, to be dropped when it is refused.
    pub(super) last: Mutex<Option<Arc<Session<AccessToken>>>>,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl TokenCredential for Ticket {
    async fn get_token(&self, scopes: &[&str], _: Option<TokenRequestOptions<'_>>) -> Result<AccessToken> {
        let token = if scopes == [self.scope] { self.live().await } else { Err(OTHER_SCOPE) };
        token.map_err(|failure| Error::new(ErrorKind::Credential, failure))
    }
}

impl Ticket {
    /// A token that holds.
    pub(super) async fn live(&self) -> std::result::Result<AccessToken, Failure> {
        let session = self.sessions.live(self).await?;
        *self.last() = Some(Arc::clone(&session));
        Ok(session.pass.clone())
    }

    /// Drops the login that this header was made of, unless it was replaced already.
    pub(super) fn refused(&self, sent: &str) {
        let last = self.last().clone();
        if let Some(session) = last
            && sent.strip_prefix("Bearer ") == Some(session.pass.token.secret())
        {
            self.sessions.forget(&session);
        }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<Arc<Session<AccessToken>>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the SDK for a token.
    async fn token(&self) -> std::result::Result<AccessToken, Failure> {
        match &self.origin {
            Origin::Certificate { client, certificate } => {
                let (tenant, client) = (self.tenant(None).await?, self.text(client).await?);
                let held = self.references.secret(&certificate.name, &certificate.key).await?;
                let audience =
                    format!("{}/{tenant}/oauth2/v2.0/token", self.authority.as_str().trim_end_matches('/'));
                let assertion = assertion(&held, &client, &audience, now()).map_err(|what| {
                    Failure::new(Kind::CredentialMissing, what).at(certificate.to_string())
                })?;
                self.assert(tenant, client, assertion).await
            }
            Origin::Machine { identity } => {
                let options = ManagedIdentityCredentialOptions {
                    user_assigned_id: identity.clone().map(UserAssignedId::ClientId),
                    client_options: Wire::Machine(machine()?).options(),
                };
                ask(ManagedIdentityCredential::new(Some(options)), self.scope).await
            }
            Origin::Process => {
                let options = WorkloadIdentityCredentialOptions {
                    credential_options: ClientAssertionCredentialOptions { client_options: self.options() },
                    ..WorkloadIdentityCredentialOptions::default()
                };
                ask(WorkloadIdentityCredential::new(Some(options)), self.scope).await
            }
            Origin::Secret { client, secret } => {
                let (tenant, client) = (self.tenant(None).await?, self.text(client).await?);
                let secret = Text::new(self.text(secret).await?);
                let options = ClientSecretCredentialOptions { client_options: self.options() };
                ask(ClientSecretCredential::new(&tenant, client, secret, Some(options)), self.scope).await
            }
            Origin::ServiceAccount { name, audiences, client } => {
                let mut annotations = self.references.service_account(name).await?;
                let tenant = self.tenant(annotations.remove(TENANT).map(|tenant| (tenant, name))).await?;
                let client = match (client, annotations.remove(CLIENT)) {
                    (Some(client), _) => self.text(client).await?,
                    (None, Some(client)) => client,
                    (None, None) => {
                        let missing =
                            Failure::new(Kind::CredentialMissing, "nothing says which application it is");
                        return Err(missing.at(format!("ServiceAccount {name}, annotation {CLIENT}")));
                    }
                };
                let token = self.references.token(name, audiences, ACCOUNT_SECONDS).await?;
                self.assert(tenant, client, utf8(&token.token).ok_or(NOT_TEXT)?.to_owned()).await
            }
        }
    }

    async fn assert(
        &self,
        tenant: String,
        client: String,
        assertion: String,
    ) -> std::result::Result<AccessToken, Failure> {
        let options = ClientAssertionCredentialOptions { client_options: self.options() };
        let credential = ClientAssertionCredential::new(tenant, client, Assertion(assertion), Some(options));
        ask(credential, self.scope).await
    }

    /// With an authority in any case: without one, the SDK takes what it finds in the environment.
    fn options(&self) -> ClientOptions {
        let mut cloud = CustomConfiguration::default();
        self.authority.as_str().clone_into(&mut cloud.authority_host);
        let wire = Wire::Login {
            link: Arc::clone(&self.link),
            authority: self.authority.clone(),
            refusal: refusal::of_login,
        };
        ClientOptions { cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))), ..wire.options() }
    }

    /// The tenant; `annotated` is what a ServiceAccount says, and its name.
    async fn tenant(&self, annotated: Option<(String, &String)>) -> std::result::Result<String, Failure> {
        let (tenant, place) = match (&self.tenant, annotated) {
            (Tenant::Named(tenant), _) => (tenant.clone(), "tenantId".to_owned()),
            (Tenant::Secret(at), _) => (self.text(at).await?, at.to_string()),
            (Tenant::Nowhere, Some((tenant, account))) => {
                (tenant, format!("ServiceAccount {account}, annotation {TENANT}"))
            }
            (Tenant::Nowhere, None) => {
                return Err(
                    Failure::new(Kind::CredentialMissing, "nothing says which tenant it is").at("tenantId")
                );
            }
        };
        // It becomes a part of a URL.
        if is_tenant(&tenant) {
            Ok(tenant)
        } else {
            Err(Failure::new(Kind::CredentialMissing, "it is neither the id nor a domain of a tenant")
                .at(place))
        }
    }

    /// What a Secret holds, without the line break that tools put at the end of a file.
    async fn text(&self, at: &SecretKey) -> std::result::Result<String, Failure> {
        let held = self.references.secret(&at.name, &at.key).await?;
        let text = utf8(&held).map(str::trim_end).filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or_else(|| NOT_TEXT.at(at.to_string()))
    }
}

impl Door for Ticket {
    type Pass = AccessToken;

    async fn log_in(&self) -> std::result::Result<Granted<AccessToken>, Failure> {
        let token = self.token().await?;
        let lasts = (token.expires_on - OffsetDateTime::now_utc()).try_into().unwrap_or(Duration::ZERO);
        Ok(Granted { pass: token, lasts: Some(lasts), renewable: false })
    }

    async fn renew(&self, _: &AccessToken) -> std::result::Result<Granted<AccessToken>, Failure> {
        self.log_in().await
    }
}

/// Asks a credential that was made for this.
async fn ask<C: TokenCredential>(
    credential: Result<Arc<C>>,
    scope: &str,
) -> std::result::Result<AccessToken, Failure> {
    let credential = credential.map_err(|error| refusal::of_credential(&error))?;
    credential.get_token(&[scope], None).await.map_err(|error| refusal::of_credential(&error))
}

/// A client for what is on this machine. No TLS is spoken there.
fn machine() -> std::result::Result<reqwest::Client, Failure> {
    net::ring();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(net::CONNECT)
        .timeout(net::REQUEST)
        .tls_certs_only([])
        .build()
        .map_err(|_| Failure::new(Kind::Unavailable, "no HTTP client can be made"))
}

/// An assertion by which an application says who it is.
struct Assertion(String);

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assertion").finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl ClientAssertion for Assertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> Result<String> {
        Ok(self.0.clone())
    }
}

/// An assertion that this certificate's key signs, as Entra ID documents it.
///
/// It begins before now and ends some time after, so that a clock that is wrong by less than [`SKEW`] does no harm.
fn assertion(
    pem: &Secret,
    client: &str,
    audience: &str,
    now: u64,
) -> std::result::Result<String, &'static str> {
    // To sign with what is in it.
    let pem = pem.expose();
    let certificate = CertificateDer::from_pem_slice(pem).map_err(|_| "it has no certificate in PEM")?;
    let key = Key::from_pem(pem).map_err(|_| NO_KEY)?;
    let header = json!({"x5t#S256": BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&certificate))});
    let claims = json!({
        "aud": audience,
        "iss": client,
        "sub": client,
        "jti": Uuid::new_v4().to_string(),
        "nbf": now.saturating_sub(SKEW),
        "exp": now + SKEW,
    });
    key.token(Algorithm::Ps256, header, &claims).map_err(|_| NO_KEY)
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// To be sent.
fn utf8(secret: &Secret) -> Option<&str> {
    std::str::from_utf8(secret.expose()).ok()
}

/// Whether it can be the id of a tenant or one of its domains.
pub(super) fn is_tenant(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
        && !text.starts_with('.')
}

const OTHER_SCOPE: Failure = Failure::new(
    Kind::EndpointRefused,
    "the vault asks for a token that is for something else than this cloud's vaults",
);
const NOT_TEXT: Failure = Failure::new(Kind::CredentialMissing, "the credentials are not text");
const NO_KEY: &str = "it has no RSA private key in PEM beside the certificate";
/// What names the application and the tenant of a ServiceAccount, as Azure's own webhook has it.
const CLIENT: &str = "azure.workload.identity/client-id";
const TENANT: &str = "azure.workload.identity/tenant-id";
/// How many seconds our clock may be off.
const SKEW: u64 = 12 * 60;
/// The least that the API server gives.
const ACCOUNT_SECONDS: u32 = 600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_cannot_leave_its_place_in_a_url() {
        for good in ["72f988bf-86f1-41af-91ab-2d7cd011db47", "contoso.onmicrosoft.com"] {
            assert!(is_tenant(good), "{good}");
        }
        for bad in ["", "..", "a/b", "a?b", "a#b", "a b", "a%2fb"] {
            assert!(!is_tenant(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_no_certificate_with_its_key_says_what_is_missing() {
        let certificate = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
        let check = |pem: &str| assertion(&Secret::new(pem.as_bytes().to_vec()), "c", "a", 0).unwrap_err();
        assert_eq!(check(""), "it has no certificate in PEM");
        assert_eq!(check("canary"), "it has no certificate in PEM");
        assert_eq!(check(certificate), NO_KEY);
    }
}
