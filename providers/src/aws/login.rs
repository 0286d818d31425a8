//! From what a store names to temporary credentials: keys, a ServiceAccount's token or the process's own identity
//! first, then one role after the other.
//!
//! The SDK's own providers for roles are not used: they log what AWS answers, and know no transitive tags.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_config::{
    SdkConfig, default_provider::credentials::DefaultCredentialsChain, provider_config::ProviderConfig,
};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
use aws_sdk_sts::types::Tag;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::sync::OnceCell;
use waxwing_core::store::{Failure, Kind};

use super::refusal::{self, Refusal, Remedy};
use crate::{
    references::References,
    session::{Door, Granted, Sessions},
};

/// Where the first credentials come from.
pub(super) enum Origin {
    /// The process's own identity, wherever the SDK finds it.
    Ambient(Box<Ambient>),
    /// Keys of Secrets: name and key of each.
    Keys {
        access_key_id: (String, String),
        secret_access_key: (String, String),
        session_token: Option<(String, String)>,
    },
    /// The token of a ServiceAccount.
    WebIdentity {
        /// Its name.
        account: String,
        /// Whom the token is for.
        audiences: Vec<String>,
    },
}

/// How to log in.
pub(super) struct Desk {
    pub(super) origin: Origin,
    /// The roles to assume, each with the credentials of the one before.
    pub(super) roles: Vec<String>,
    /// What comes with the last role.
    pub(super) tie: Tie,
    /// What CloudTrail shows.
    pub(super) session_name: String,
    /// STS: its endpoint and how it is reached.
    pub(super) sts: SdkConfig,
    pub(super) references: Arc<dyn References>,
}

/// What the trust policy of the last role may ask for.
#[derive(Default)]
pub(super) struct Tie {
    pub(super) external_id: Option<String>,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) transitive: Vec<String>,
}

/// A login that all requests of one store share.
pub(super) struct Login {
    desk: Desk,
    sessions: Sessions<Credentials>,
}

impl Login {
    pub(super) fn new(desk: Desk) -> Arc<Self> {
        Arc::new(Self { desk, sessions: Sessions::default() })
    }

    /// Sends a request, logged in. Once more where a new login or the right time can help.
    pub(super) async fn ask<T, E, F>(&self, call: impl Fn() -> F + Send + Sync) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
        E: ProvideErrorMetadata + std::error::Error + Send + 'static,
        T: Send,
    {
        // Before the request rather than in it: so a login has its own time, and its own failure.
        let session = self.sessions.live(&self.desk).await?;
        match in_time(&call).await {
            Err(Refusal { remedy: Remedy::LogIn, .. }) => self.sessions.forget(&session),
            result => return result.map_err(|refusal| refusal.failure),
        }
        self.sessions.live(&self.desk).await?;
        in_time(&call).await.map_err(|refusal| refusal.failure)
    }
}

/// Sends a request, and once more if it was refused for its time: the SDK takes the right one from the answer.
async fn in_time<T, E, F>(call: &(impl Fn() -> F + Send + Sync)) -> Result<T, Refusal>
where
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
    E: ProvideErrorMetadata + std::error::Error + Send + 'static,
    T: Send,
{
    // On the heap: the SDK's futures lie deep in each other.
    let refusal = match Box::pin(call()).await {
        Ok(answer) => return Ok(answer),
        Err(error) => refusal::of(&error),
    };
    match refusal.remedy {
        Remedy::Again => Box::pin(call()).await.map_err(|error| refusal::of(&error)),
        Remedy::LogIn | Remedy::None => Err(refusal),
    }
}

/// What the SDK signs with. It asks for each request, and the login is already there.
pub(super) struct Signer(pub(super) Arc<Login>);

impl ProvideCredentials for Signer {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let session = self.0.sessions.live(&self.0.desk).await;
            session.map(|session| session.pass.clone()).map_err(CredentialsError::provider_error)
        })
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

impl Door for Desk {
    type Pass = Credentials;

    async fn log_in(&self) -> Result<Granted<Credentials>, Failure> {
        let (mut credentials, roles) = self.first().await?;
        for (index, role) in roles.iter().enumerate() {
            let tie = (index + 1 == roles.len()).then_some(&self.tie);
            credentials = self.assume(role, credentials, tie).await?;
        }
        let lasts = credentials.expiry().map(|ends| lifetime(ends, SystemTime::now()));
        Ok(Granted { pass: credentials, lasts, renewable: false })
    }

    async fn renew(&self, _: &Credentials) -> Result<Granted<Credentials>, Failure> {
        Err(Failure::new(Kind::Unsupported, "sessions of AWS cannot be prolonged"))
    }
}

impl Desk {
    /// The first credentials, and the roles that are still to be assumed with them.
    async fn first(&self) -> Result<(Credentials, &[String]), Failure> {
        match &self.origin {
            Origin::Ambient(ambient) => Ok((ambient.credentials().await?, &self.roles)),
            Origin::Keys { access_key_id, secret_access_key, session_token } => {
                let id = self.secret(access_key_id).await?;
                let key = self.secret(secret_access_key).await?;
                let token = match session_token {
                    Some(reference) => Some(self.secret(reference).await?),
                    None => None,
                };
                Ok((Credentials::new(id, key, token, None, PROVIDER), &self.roles))
            }
            Origin::WebIdentity { account, audiences } => {
                let annotations = self.references.service_account(account).await?;
                // EKS's own way to say it comes first; the store's roles are then assumed from there.
                let (role, rest) = match (annotations.get(ROLE_ANNOTATION), self.roles.split_first()) {
                    (Some(role), Some((same, rest))) if role == same => (role, rest),
                    (Some(role), _) => (role, self.roles.as_slice()),
                    (None, Some((role, rest))) => (role, rest),
                    (None, None) => return Err(NO_ROLE.at(account.as_str())),
                };
                if rest.is_empty() && !self.tie.is_empty() {
                    return Err(UNTIED);
                }
                Ok((self.web_identity(account, audiences, role).await?, rest))
            }
        }
    }

    /// A part of a key. AWS has no keys with blanks, and editors leave line breaks.
    async fn secret(&self, (name, key): &(String, String)) -> Result<String, Failure> {
        let secret = self.references.secret(name, key).await?;
        // It is what requests are signed with.
        let text = std::str::from_utf8(secret.expose()).unwrap_or_default().trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::new(Kind::BadData, "it is not a part of an AWS access key")
                .at(format!("Secret {name}, key {key}")));
        }
        Ok(text.to_owned())
    }

    async fn web_identity(
        &self,
        account: &str,
        audiences: &[String],
        role: &str,
    ) -> Result<Credentials, Failure> {
        let token = self.references.token(account, audiences, TOKEN_SECONDS).await?;
        // It is what STS checks.
        let token = std::str::from_utf8(token.token.expose())
            .map_err(|_| Failure::new(Kind::BadData, "the ServiceAccount's token is not text"))?;
        let request = aws_sdk_sts::Client::new(&self.sts)
            .assume_role_with_web_identity()
            .role_arn(role)
            .role_session_name(&self.session_name)
            .web_identity_token(token);
        let answer =
            in_time(&|| request.clone().send()).await.map_err(|refusal| refused(refusal, role, NO_TRUST))?;
        taken(answer.credentials, role)
    }

    async fn assume(&self, role: &str, with: Credentials, tie: Option<&Tie>) -> Result<Credentials, Failure> {
        let with = SharedCredentialsProvider::new(with);
        let sts = self.sts.to_builder().credentials_provider(with).build();
        let mut request =
            aws_sdk_sts::Client::new(&sts).assume_role().role_arn(role).role_session_name(&self.session_name);
        if let Some(tie) = tie {
            let tags: Result<Vec<_>, _> =
                tie.tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
            let tags =
                tags.map_err(|_| Failure::new(Kind::BadStore, "a session tag has no name or value"))?;
            request = request
                .set_external_id(tie.external_id.clone())
                .set_tags((!tags.is_empty()).then_some(tags))
                .set_transitive_tag_keys((!tie.transitive.is_empty()).then(|| tie.transitive.clone()));
        }
        let answer =
            in_time(&|| request.clone().send()).await.map_err(|refusal| refused(refusal, role, NO_CHAIN))?;
        taken(answer.credentials, role)
    }
}

impl Tie {
    pub(super) fn is_empty(&self) -> bool {
        self.external_id.is_none() && self.tags.is_empty() && self.transitive.is_empty()
    }
}

/// The process's own identity: EKS Pod Identity, IRSA, an instance's role, or what is in the environment.
pub(super) struct Ambient {
    config: ProviderConfig,
    chain: OnceCell<DefaultCredentialsChain>,
}

impl Ambient {
    pub(super) fn new(config: ProviderConfig) -> Self {
        Self { config, chain: OnceCell::new() }
    }

    async fn credentials(&self) -> Result<Credentials, Failure> {
        let chain = DefaultCredentialsChain::builder().configure(self.config.clone());
        let chain = self.chain.get_or_init(|| chain.build()).await;
        chain.provide_credentials().await.map_err(|error| match error {
            CredentialsError::CredentialsNotLoaded(_) => Failure::new(
                Kind::Unauthenticated,
                "this process has no AWS identity: no EKS Pod Identity, no IRSA, no instance role, and nothing in its \
                 environment",
            ),
            CredentialsError::ProviderTimedOut(_) => {
                Failure::new(Kind::Unavailable, "this process's AWS identity could not be had in time")
            }
            _ => Failure::new(Kind::Unauthenticated, "this process's AWS identity could not be had"),
        })
    }
}

/// What STS gave.
fn taken(credentials: Option<aws_sdk_sts::types::Credentials>, role: &str) -> Result<Credentials, Failure> {
    let unclear = || Failure::new(Kind::BadData, "STS's answer has no credentials").at(role);
    let credentials = credentials.ok_or_else(unclear)?;
    let ends = SystemTime::try_from(credentials.expiration).map_err(|_| unclear())?;
    let token = Some(credentials.session_token);
    Ok(Credentials::new(
        credentials.access_key_id,
        credentials.secret_access_key,
        token,
        Some(ends),
        PROVIDER,
    ))
}

/// Why a role was not given. It stands in the store, or in the ServiceAccount that the store names.
fn refused(refusal: Refusal, role: &str, forbidden: &'static str) -> Failure {
    let failure = refusal.failure.at(role);
    if failure.kind == Kind::Forbidden { Failure { what: forbidden, ..failure } } else { failure }
}

/// How long credentials are good that end at this time by AWS's clock. Ours may be wrong: at least a minute, so that not
/// every request logs in, and no longer than AWS gives any. What expires earlier is refused, and then replaced.
pub(super) fn lifetime(ends: SystemTime, now: SystemTime) -> Duration {
    let left = ends.duration_since(now).unwrap_or_default();
    left.clamp(Duration::from_secs(60), Duration::from_secs(12 * 3600))
}

/// What the SDK calls whoever gave the credentials.
const PROVIDER: &str = "waxwing";
/// For how long the token is asked for. It is used at once; the API server gives none for less.
const TOKEN_SECONDS: u32 = 600;
/// How EKS says which role a ServiceAccount takes.
const ROLE_ANNOTATION: &str = "eks.amazonaws.com/role-arn";

const NO_TRUST: &str = "the role's trust policy does not let this ServiceAccount assume it";
const NO_CHAIN: &str = "the role may not be assumed: its trust policy and the policy of whoever assumes it both have to allow that";
const NO_ROLE: Failure = Failure::new(
    Kind::BadStore,
    "no role: the store names none, and its ServiceAccount has no annotation eks.amazonaws.com/role-arn",
);
const UNTIED: Failure = Failure::new(
    Kind::BadStore,
    "externalID and session tags need a role that is assumed after the ServiceAccount's own",
);
