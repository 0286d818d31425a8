//! AWS Secrets Manager, Parameter Store and KMS, by the SDK.
//!
//! The SDK makes, signs and takes apart requests. It does not send them ([`wire`]), try them again (the broker does), or
//! log in ([`login`]): its own ways of doing that would leave the rules about hosts, and log what AWS answers.

mod kms;
mod login;
mod name;
mod parameter_store;
mod refusal;
mod secrets_manager;
mod shelf;
mod wire;

use std::{collections::BTreeMap, sync::Arc};

use aws_config::{
    AppName, BehaviorVersion, Region, SdkConfig, identity::IdentityCache, provider_config::ProviderConfig,
    retry::RetryConfig, stalled_stream_protection::StalledStreamProtectionConfig, timeout::TimeoutConfig,
};
use aws_credential_types::provider::SharedCredentialsProvider;
use waxwing_core::{
    Secret,
    store::{Entry, Failure, Kind, endpoint},
};
use waxwing_crds::{AwsProvider, AwsService, SecretKeyRef};

pub use self::kms::protector;
use self::{
    login::{Ambient, Desk, Login, Origin, Signer, Tie},
    name::{Names, Service},
    parameter_store::ParameterStore,
    secrets_manager::SecretsManager,
    shelf::Abstinence,
    wire::Trust,
};
use crate::{Provider, References, connect::Place, net};

/// Makes the provider of an AWS store. Nothing is sent and no Secret is read before it is first used.
///
/// # Errors
/// `BadStore` when the spec makes no sense, `EndpointRefused` when it may not name an endpoint.
pub fn connect(
    spec: &AwsProvider,
    place: &Place,
    references: Arc<dyn References>,
) -> Result<Arc<dyn Provider>, Failure> {
    let Access { client, login } = Access::of(spec, place, references)?;
    let prefix = spec.prefix.as_deref();
    Ok(match spec.service {
        AwsService::ParameterStore => Arc::new(ParameterStore {
            client: aws_sdk_ssm::Client::new(&client),
            login,
            names: Names::new(prefix, Service::ParameterStore)?,
            no_batches: Abstinence::default(),
        }),
        AwsService::SecretsManager => Arc::new(SecretsManager {
            client: aws_sdk_secretsmanager::Client::new(&client),
            login,
            names: Names::new(prefix, Service::SecretsManager)?,
            no_batches: Abstinence::default(),
            no_probes: Abstinence::default(),
        }),
    })
}

/// How an account is reached, and as whom.
struct Access {
    /// What the clients of its services are made of.
    client: SdkConfig,
    login: Arc<Login>,
}

impl Access {
    fn of(spec: &AwsProvider, place: &Place, references: Arc<dyn References>) -> Result<Self, Failure> {
        // It becomes a part of the endpoint's host.
        if !endpoint::is_label(&spec.region) {
            return Err(bad("it is not the name of a region").at("region"));
        }
        let checked = |url: &Option<String>, field: &'static str| match url {
            Some(url) => {
                place.endpoint(url).map(|it| Some(it.to_string())).map_err(|failure| failure.at(field))
            }
            None => Ok(None),
        };
        let endpoint = checked(&spec.endpoint, "endpoint")?;
        let sts_endpoint = checked(&spec.sts_endpoint, "stsEndpoint")?;

        let http = wire::client(&place.rules, trust(spec)?, &references);
        let base = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(spec.region.clone()))
            .app_name(AppName::new("waxwing").expect("it is a token"))
            .http_client(http)
            // The client has its own.
            .timeout_config(TimeoutConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .retry_config(RetryConfig::disabled())
            // The login is kept once for all clients.
            .identity_cache(IdentityCache::no_cache())
            .build();
        let sts = base.to_builder();
        let sts = match sts_endpoint {
            Some(url) => sts.endpoint_url(url),
            None => sts,
        };

        let (roles, tie) = roles(spec)?;
        let login = Login::new(Desk {
            origin: origin(spec, place, &references)?,
            roles,
            tie,
            session_name: session_name(place),
            sts: sts.build(),
            references,
        });

        let client = base
            .to_builder()
            .credentials_provider(SharedCredentialsProvider::new(Signer(Arc::clone(&login))));
        let client = match endpoint {
            Some(url) => client.endpoint_url(url),
            None => client,
        };
        Ok(Self { client: client.build(), login })
    }
}

/// Where the first credentials come from.
fn origin(spec: &AwsProvider, place: &Place, references: &Arc<dyn References>) -> Result<Origin, Failure> {
    let auth = spec.auth.clone().unwrap_or_default();
    let pair = |it: SecretKeyRef| (it.name, it.key);
    match (auth.secret_ref, auth.jwt) {
        (None, None) => {
            place.ambient()?;
            // Not by the store's authorities: where the process's identity comes from is not the store's to say.
            let http = wire::client(&place.rules, Trust::default(), references);
            let config = ProviderConfig::default()
                .with_http_client(http)
                .with_behavior_version(Some(BehaviorVersion::v2026_01_12()))
                .with_region(Some(Region::new(spec.region.clone())));
            Ok(Origin::Ambient(Box::new(Ambient::new(config))))
        }
        (Some(keys), None) => Ok(Origin::Keys {
            access_key_id: pair(keys.access_key_id_secret_ref),
            secret_access_key: pair(keys.secret_access_key_secret_ref),
            session_token: keys.session_token_secret_ref.map(pair),
        }),
        (None, Some(jwt)) => {
            let account = jwt.service_account_ref.ok_or(bad("it names no ServiceAccount").at("auth.jwt"))?;
            let audiences =
                if account.audiences.is_empty() { vec![AUDIENCE.to_owned()] } else { account.audiences };
            Ok(Origin::WebIdentity { account: account.name, audiences })
        }
        (Some(_), Some(_)) => Err(bad("set one of secretRef and jwt").at("auth")),
    }
}

/// The roles in the order in which they are assumed, and what comes with the last one.
fn roles(spec: &AwsProvider) -> Result<(Vec<String>, Tie), Failure> {
    let roles: Vec<_> = spec.additional_roles.iter().chain(&spec.role).cloned().collect();
    if let Some(other) = roles.iter().find(|role| !role.starts_with("arn:")) {
        return Err(bad("a role is named by its ARN").at(other.as_str()));
    }
    let tie = Tie {
        external_id: spec.external_id.clone(),
        tags: spec.session_tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect(),
        transitive: spec.transitive_tag_keys.clone(),
    };
    if spec.role.is_none() && !tie.is_empty() {
        return Err(bad("externalID and session tags belong to a role, and there is none").at("role"));
    }
    Ok((roles, tie))
}

/// What CloudTrail shows: whose session it is.
fn session_name(place: &Place) -> String {
    let whose = place.namespace.as_deref().unwrap_or("cluster");
    let name = format!("waxwing-{whose}-{}", place.store);
    // AWS takes at most 64 characters; those of names in Kubernetes are among the allowed ones.
    name.chars().filter(|c| c.is_ascii_alphanumeric() || "-.".contains(*c)).take(64).collect()
}

/// The store's certificate authorities. Those in the spec itself are looked at now, the others when they are used.
fn trust(spec: &AwsProvider) -> Result<Trust, Failure> {
    if let Some(bundle) = &spec.ca_bundle {
        net::bundle(bundle)?;
    }
    Ok(Trust { bundle: spec.ca_bundle.clone(), provider: spec.ca_provider.clone() })
}

/// Says which entry a failure is about, where it is about one and does not say so.
fn about(failure: Failure, key: &str) -> Failure {
    if failure.place.is_none() && shelf::is_about_entries(failure.kind) { failure.at(key) } else { failure }
}

/// Tags as a JSON object.
fn metadata<'a>(tags: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Entry, Failure> {
    let tags: BTreeMap<_, _> = tags.collect();
    let json = serde_json::to_vec(&tags).map_err(|_| Failure::new(Kind::BadData, "the tags are not text"))?;
    Ok(Entry { value: Secret::new(json), version: None, lease: None })
}

const fn bad(what: &'static str) -> Failure {
    Failure::new(Kind::BadStore, what)
}

/// Whom STS wants ServiceAccount tokens to be for.
const AUDIENCE: &str = "sts.amazonaws.com";
/// How many pages of a list are read.
const PAGES: usize = 100;

const TOO_MANY: Failure =
    Failure::new(Kind::TooLarge, "more entries are there than are looked at; narrow the search");
const NO_PARAMETERS: Failure = Failure::new(Kind::Unsupported, "AWS takes no parameters");

#[cfg(test)]
mod stub;
#[cfg(test)]
mod tests;
