//! Azure Key Vault: its secrets, and those that it keeps beside certificates.
//!
//! Requests are made and answers are taken apart by the SDK; how they are sent is ours (`wire`), and so is how long a login
//! is kept (`login`). A vault is given tokens of its own cloud's Key Vault only, whatever it asks for.

mod login;
mod name;
mod refusal;
mod wire;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use azure_core::http::Url;
use azure_security_keyvault_secrets::{
    ResourceExt as _, SecretClient, SecretClientOptions,
    models::{self, SecretClientGetSecretOptions, SecretClientListSecretPropertiesOptions, SecretProperties},
};
use futures::{TryStreamExt as _, future::join_all};
use waxwing_core::{
    Secret,
    external::Pattern,
    store::{Entry, Failure, Find, Kind, Read},
};
use waxwing_crds::{AzureAuthType, AzureProvider, SecretKeyRef};
use zeroize::Zeroizing;

use self::{
    login::{Origin, SecretKey, Tenant, Ticket},
    name::{Cloud, Key, Vault},
    wire::Wire,
};
use crate::{Provider, References, connect::Place, link::Link, session::Sessions};

/// Makes the provider of an Azure store. Nothing is sent and no Secret is read before it is first used.
///
/// # Errors
/// `BadStore` when the spec makes no sense, `EndpointRefused` when it may not name the vault or the authority.
pub(crate) fn connect(
    spec: &AzureProvider,
    place: &Place,
    references: Arc<dyn References>,
) -> Result<Arc<dyn Provider>, Failure> {
    let cloud = Cloud::from(spec.environment_type.unwrap_or_default());
    let vault = Vault::new(&spec.vault_url, cloud, place)?;
    let authorities = (spec.ca_bundle.clone(), spec.ca_provider.clone());
    let link = Arc::new(Link::new(place, authorities, false, &references));
    let ticket = Arc::new(Ticket {
        origin: origin(spec, cloud, place)?,
        tenant: tenant(spec)?,
        authority: authority(spec, cloud, place)?,
        scope: cloud.scope,
        link: Arc::clone(&link),
        references,
        sessions: Sessions::default(),
        last: Mutex::default(),
    });
    let url = Url::parse(&vault.url).map_err(|_| bad("it is not a URL").at("vaultUrl"))?;
    let wire = Wire::Vault { link, vault: url, ticket: Arc::clone(&ticket), refusal: refusal::of_vault };
    let options = SecretClientOptions {
        api_version: API_VERSION.to_owned(),
        client_options: wire.options(),
        verify_challenge_resource: Some(!vault.is_listed),
    };
    let client = SecretClient::new(&vault.url, Arc::clone(&ticket) as _, Some(options))
        .map_err(|_| bad("it is not the URL of a vault").at("vaultUrl"))?;
    Ok(Arc::new(KeyVault { url: vault.url, client, ticket }))
}

/// Where a token comes from.
fn origin(spec: &AzureProvider, cloud: Cloud, place: &Place) -> Result<Origin, Failure> {
    let auth = spec.auth_secret_ref.as_ref();
    let client = auth.and_then(|auth| auth.client_id.as_ref()).map(SecretKey::from);
    let kind = spec.auth_type.unwrap_or_default();
    if spec.identity_id.is_some() && kind != AzureAuthType::ManagedIdentity {
        return Err(bad("only a managed identity has one").at("identityId"));
    }
    if spec.service_account_ref.is_some() && kind != AzureAuthType::WorkloadIdentity {
        return Err(bad("only a workload identity has one").at("serviceAccountRef"));
    }
    match kind {
        AzureAuthType::ManagedIdentity => {
            place.ambient()?;
            Ok(Origin::Machine { identity: spec.identity_id.clone() })
        }
        AzureAuthType::ServicePrincipal => {
            let auth = auth.ok_or(bad("a service principal needs it").at("authSecretRef"))?;
            let client = client.ok_or(bad("a service principal needs it").at("authSecretRef.clientId"))?;
            match (&auth.client_secret, &auth.client_certificate) {
                (Some(secret), None) => Ok(Origin::Secret { client, secret: secret.into() }),
                (None, Some(certificate)) => {
                    Ok(Origin::Certificate { client, certificate: certificate.into() })
                }
                _ => Err(bad("set one of clientSecret and clientCertificate").at("authSecretRef")),
            }
        }
        AzureAuthType::WorkloadIdentity => {
            if auth.is_some_and(|auth| auth.client_secret.is_some() || auth.client_certificate.is_some()) {
                return Err(
                    bad("a workload identity has neither a secret nor a certificate").at("authSecretRef")
                );
            }
            let Some(account) = &spec.service_account_ref else {
                place.ambient()?;
                return Ok(Origin::Process);
            };
            let mut audiences = account.audiences.clone();
            if audiences.is_empty() {
                audiences.push(cloud.audience.to_owned());
            }
            Ok(Origin::ServiceAccount { name: account.name.clone(), audiences, client })
        }
    }
}

/// Which tenant the store says.
fn tenant(spec: &AzureProvider) -> Result<Tenant, Failure> {
    let secret = spec.auth_secret_ref.as_ref().and_then(|auth| auth.tenant_id.as_ref());
    match (&spec.tenant_id, secret) {
        (Some(_), Some(_)) => Err(bad("set one of tenantId and authSecretRef.tenantId").at("tenantId")),
        (Some(tenant), None) if login::is_tenant(tenant) => Ok(Tenant::Named(tenant.clone())),
        (Some(_), None) => Err(bad("it is neither the id nor a domain of a tenant").at("tenantId")),
        (None, Some(secret)) => Ok(Tenant::Secret(secret.into())),
        (None, None) => Ok(Tenant::Nowhere),
    }
}

/// Where tokens are issued: where the store says, or where the cloud has it.
fn authority(spec: &AzureProvider, cloud: Cloud, place: &Place) -> Result<Url, Failure> {
    let field = "authorityHost";
    let url = match &spec.authority_host {
        Some(url) => {
            let endpoint = place.endpoint(url).map_err(|failure| failure.at(field))?;
            if endpoint.plain {
                let what = "credentials are not sent over plain HTTP";
                return Err(Failure::new(Kind::EndpointRefused, what).at(field));
            }
            if !endpoint.path.is_empty() {
                return Err(bad("it is a host, without a path").at(field));
            }
            endpoint.to_string()
        }
        None => cloud.authority.to_owned(),
    };
    Url::parse(&url).map_err(|_| bad("it is not a URL").at(field))
}

impl From<&SecretKeyRef> for SecretKey {
    fn from(reference: &SecretKeyRef) -> Self {
        Self { name: reference.name.clone(), key: reference.key.clone() }
    }
}

/// The secrets of one vault.
struct KeyVault {
    url: String,
    client: SecretClient,
    ticket: Arc<Ticket>,
}

#[async_trait]
impl Provider for KeyVault {
    fn name(&self) -> &'static str {
        "azurekv"
    }

    async fn read(&self, reads: &[Read]) -> Vec<Result<Entry, Failure>> {
        join_all(
            reads
                .iter()
                .map(async |read| self.read_one(read).await.map_err(|failure| placed(failure, &read.key))),
        )
        .await
    }

    async fn find(&self, find: &Find) -> Result<Vec<String>, Failure> {
        self.list(find).await.map_err(|failure| placed(failure, &self.url))
    }

    async fn check(&self) -> Result<(), Failure> {
        // Any answer that is about this secret, which need not be there, shows that the credentials are taken.
        match self.fetch(CHECKED, None).await {
            Ok(_) => Ok(()),
            Err(failure) if matches!(failure.kind, Kind::EntryMissing | Kind::Forbidden) => Ok(()),
            Err(failure) => Err(placed(failure, &self.url)),
        }
    }
}

impl KeyVault {
    async fn read_one(&self, read: &Read) -> Result<Entry, Failure> {
        if !read.parameters.is_empty() {
            return Err(Failure::new(Kind::Unsupported, "Key Vault takes no parameters"));
        }
        let key = Key::read(&read.key)?;
        let version = read.version.as_deref().map(name::version).transpose()?;
        let mut found = self.fetch(key.name, version).await?;
        let value = Zeroizing::new(found.value.take().unwrap_or_default());
        if key.is_certificate && found.managed != Some(true) {
            return Err(Failure::new(
                Kind::Rejected,
                "this secret is not one that Key Vault keeps beside a certificate",
            ));
        }
        let version = found.resource_id().ok().and_then(|id| id.version);
        if read.metadata {
            let tags: BTreeMap<_, _> = found.tags.unwrap_or_default().into_iter().collect();
            let tags = serde_json::json!(tags).to_string().into_bytes();
            // Tags change without a new version.
            return Ok(Entry { value: Secret::new(tags), version: None, lease: None });
        }
        Ok(Entry { value: Secret::new(value.as_bytes().to_vec()), version, lease: None })
    }

    /// Before the request rather than in it, where the SDK lets callers in one by one, each to try and fail for itself.
    async fn log_in(&self) -> Result<(), Failure> {
        self.ticket.live().await.map(drop)
    }

    async fn fetch(&self, name: &str, version: Option<&str>) -> Result<models::Secret, Failure> {
        self.log_in().await?;
        let options = version.map(|version| SecretClientGetSecretOptions {
            secret_version: Some(version.to_owned()),
            ..SecretClientGetSecretOptions::default()
        });
        let answer = self.client.get_secret(name, options).await.map_err(|error| refusal::of_call(&error))?;
        answer.into_model().map_err(|error| refusal::of_call(&error))
    }

    async fn list(&self, find: &Find) -> Result<Vec<String>, Failure> {
        if find.path.is_some() {
            return Err(Failure::new(Kind::Unsupported, "Key Vault has no paths; find by name or by tags"));
        }
        let pattern =
            match &find.name {
                Some(text) => {
                    let pattern = Pattern::new(text);
                    Some(pattern.ok_or(Failure::new(
                        Kind::Rejected,
                        "it is not a regular expression that is taken",
                    ))?)
                }
                None => None,
            };
        let options =
            SecretClientListSecretPropertiesOptions { maxresults: Some(PAGE), ..Default::default() };
        let pager =
            self.client.list_secret_properties(Some(options)).map_err(|error| refusal::of_call(&error))?;
        let (mut pages, mut keys, mut seen) = (pager.into_pages(), Vec::new(), 0);
        while let Some(page) = pages.try_next().await.map_err(|error| refusal::of_call(&error))? {
            let page = page.into_model().map_err(|error| refusal::of_call(&error))?;
            keys.extend(page.value.iter().filter_map(|secret| matching(secret, find, pattern.as_ref())));
            seen += 1;
            if seen == PAGES && page.next_link.is_some() {
                return Err(Failure::new(Kind::TooLarge, "there are more secrets than are looked through"));
            }
        }
        keys.sort_unstable();
        Ok(keys)
    }
}

/// The secret's name, if it can be read and is one of those looked for.
fn matching(secret: &SecretProperties, find: &Find, pattern: Option<&Pattern>) -> Option<String> {
    let name = secret.resource_id().ok()?.name;
    let is_enabled = secret.attributes.as_ref().is_none_or(|attributes| attributes.enabled != Some(false));
    let has =
        |(key, value): (&String, &String)| secret.tags.as_ref().and_then(|tags| tags.get(key)) == Some(value);
    let matches =
        is_enabled && pattern.is_none_or(|pattern| pattern.is_match(&name)) && find.tags.iter().all(has);
    matches.then_some(name)
}

/// The failure, with a place if it has none yet.
fn placed(failure: Failure, place: &str) -> Failure {
    if failure.place.is_some() { failure } else { failure.at(place) }
}

const fn bad(what: &'static str) -> Failure {
    Failure::new(Kind::BadStore, what)
}

/// The SDK's own is a preview, which not every cloud has.
const API_VERSION: &str = "7.4";
/// Secrets on one page; Key Vault gives no more.
const PAGE: i32 = 25;
const PAGES: usize = 1000;
/// What [`Provider::check`] asks for.
const CHECKED: &str = "waxwing-check";

#[cfg(test)]
mod tests;
