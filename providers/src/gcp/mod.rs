//! Google Cloud Secret Manager.
//!
//! Requests are made and answers are taken apart by Google's client; how they are sent is ours (`wire`), and so is how a
//! store logs in (`login`). A value is taken only if its checksum is right.

mod login;
mod name;
mod refusal;
mod wire;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use google_cloud_secretmanager_v1::{
    client::SecretManagerService,
    model::{SecretPayload, secret_version::State},
};
use reqwest::Url;
use tokio::time::Instant;
use waxwing_core::{
    Secret,
    external::Pattern,
    store::{Entry, Failure, Find, Kind, Read, endpoint::is_label},
};
use waxwing_crds::{GcpAuth, GcpFederation, GcpProvider, GcpWorkloadIdentity};
use zeroize::Zeroize as _;

use self::{
    login::{Federated, Login, Origin},
    name::{NEWEST, Parent},
    wire::{Wire, failure},
};
use crate::{Provider, References, connect::Place, link::Link};

/// Makes the provider of a GCP store. Nothing is sent and no Secret is read before it is first used.
///
/// # Errors
/// `BadStore` when the spec makes no sense, `EndpointRefused` when it may not name an endpoint.
pub(crate) fn connect(
    spec: &GcpProvider,
    place: &Place,
    references: Arc<dyn References>,
) -> Result<Arc<dyn Provider>, Failure> {
    let project = spec.project_id.as_deref().ok_or(bad("a store needs its project").at("projectID"))?;
    let parent = Parent::new(project, spec.location.as_deref())?;
    let base = host(place, spec.endpoint.as_deref(), &parent.host(), "endpoint")?;
    let origin = origin(spec, place, &parent)?;
    let plain = match &origin {
        Origin::Federated(it) => [&base, &it.sts, &it.iam].iter().all(|url| url.scheme() == "http"),
        Origin::Ambient | Origin::Key { .. } => base.scheme() == "http",
    };
    let authorities = (spec.ca_bundle.clone(), spec.ca_provider.clone());
    let link = Arc::new(Link::new(place, authorities, plain, &references));
    let wire = Wire { link, base, login: Login::new(origin, references) };
    let client = SecretManagerService::from_stub::<Wire>(wire);
    Ok(Arc::new(Gcp { parent, client, refused: Mutex::default() }))
}

/// Where a service is: where the store says, or where Google has it.
fn host(place: &Place, named: Option<&str>, google: &str, field: &'static str) -> Result<Url, Failure> {
    let url = match named {
        Some(url) => place.endpoint(url).map_err(|failure| failure.at(field))?.to_string(),
        None => google.to_owned(),
    };
    Url::parse(&url).map_err(|_| bad("it is not a URL").at(field))
}

/// Where a token comes from.
fn origin(spec: &GcpProvider, place: &Place, parent: &Parent) -> Result<Origin, Failure> {
    let GcpAuth { secret_ref, workload_identity, workload_identity_federation } =
        spec.auth.clone().unwrap_or_default();
    if spec.sts_endpoint.is_some() && workload_identity.is_none() && workload_identity_federation.is_none() {
        return Err(bad("only a workload identity needs the token service").at("stsEndpoint"));
    }
    let federated = |account, audiences, pool, email| -> Result<Origin, Failure> {
        let sts = spec.sts_endpoint.as_deref();
        Ok(Origin::Federated(Box::new(Federated {
            account,
            audiences,
            pool,
            email,
            sts: host(place, sts, "https://sts.googleapis.com", "stsEndpoint")?,
            iam: host(place, sts, "https://iamcredentials.googleapis.com", "stsEndpoint")?,
        })))
    };
    match (secret_ref, workload_identity, workload_identity_federation) {
        (None, None, None) => {
            place.ambient()?;
            Ok(Origin::Ambient)
        }
        (Some(key), None, None) => {
            let key = key.secret_access_key_secret_ref;
            Ok(Origin::Key { name: key.name, key: key.key, regional: parent.is_regional() })
        }
        (None, Some(it), None) => {
            let (account, audiences, pool) = of_cluster(it, spec)?;
            federated(account, audiences, pool, None)
        }
        (None, None, Some(it)) => {
            let (account, audiences, pool, email) = of_pool(it)?;
            federated(account, audiences, pool, email)
        }
        _ => Err(bad("set one of secretRef, workloadIdentity and workloadIdentityFederation").at("auth")),
    }
}

/// The ServiceAccount, its audiences and the pool of a GKE cluster.
fn of_cluster(it: GcpWorkloadIdentity, spec: &GcpProvider) -> Result<(String, Vec<String>, String), Failure> {
    let project = it.cluster_project_id.or_else(|| spec.project_id.clone()).unwrap_or_default();
    let part = |text: Option<String>, field: &'static str| {
        let place = format!("auth.workloadIdentity.{field}");
        text.filter(|text| is_label(text))
            .ok_or(bad("it has to name the cluster that this runs in").at(place))
    };
    let location = part(it.cluster_location, "clusterLocation")?;
    let cluster = part(it.cluster_name, "clusterName")?;
    if !name::is_project(&project) {
        return Err(bad("it is not the id of a project").at("auth.workloadIdentity.clusterProjectID"));
    }
    if !it.service_account_ref.audiences.is_empty() {
        // It is always for the cluster's own pool; one for more would be good for more.
        return Err(
            bad("the audience is the cluster's own").at("auth.workloadIdentity.serviceAccountRef.audiences")
        );
    }
    let pool = format!("{project}.svc.id.goog");
    let provider = format!(
        "identitynamespace:{pool}:https://container.googleapis.com/v1/projects/{project}/locations/{location}/clusters/{cluster}"
    );
    Ok((it.service_account_ref.name, vec![pool], provider))
}

/// The same of a pool that the store names, and the Google service account.
fn of_pool(it: GcpFederation) -> Result<(String, Vec<String>, String, Option<String>), Failure> {
    let field = |field: &str| format!("auth.workloadIdentityFederation.{field}");
    if !it.audience.starts_with("//iam.googleapis.com/") {
        return Err(bad("it has to begin with //iam.googleapis.com/").at(field("audience")));
    }
    if it.gcp_service_account_email.as_deref().is_some_and(|email| !login::is_email(email)) {
        return Err(
            bad("it is not the e-mail address of a service account").at(field("gcpServiceAccountEmail"))
        );
    }
    let mut audiences = it.service_account_ref.audiences;
    if audiences.is_empty() {
        // What a provider takes whose allowed audiences nobody has set.
        audiences.push(format!("https:{}", it.audience));
    }
    Ok((it.service_account_ref.name, audiences, it.audience, it.gcp_service_account_email))
}

/// The secrets of one project, or of one location of it.
struct Gcp {
    parent: Parent,
    client: SecretManagerService,
    /// When the account was last refused what is told about versions. The least role allows values alone.
    refused: Mutex<Option<Instant>>,
}

#[async_trait]
impl Provider for Gcp {
    fn name(&self) -> &'static str {
        "gcpsm"
    }

    async fn read(&self, reads: &[Read]) -> Vec<Result<Entry, Failure>> {
        join_all(reads.iter().map(async |read| {
            let result = if read.metadata { self.describe(read).await } else { self.access(read).await };
            result.map_err(|failure| placed(failure, &read.key))
        }))
        .await
    }

    async fn version(&self, read: &Read) -> Option<Result<String, Failure>> {
        let is_newest = read.version.as_deref().is_none_or(|version| version == NEWEST);
        if read.metadata || !is_newest || self.refused().is_some_and(|at| at.elapsed() < AGAIN) {
            return None;
        }
        match self.newest(&read.key).await {
            // A disabled version is no matter of roles.
            Err(failure) if failure.kind == Kind::Forbidden && failure.code == Some(403) => {
                *self.refused() = Some(Instant::now());
                None
            }
            result => Some(result.map_err(|failure| placed(failure, &read.key))),
        }
    }

    async fn find(&self, find: &Find) -> Result<Vec<String>, Failure> {
        let found = self.list(find).await;
        found.map_err(|failure| match failure.kind {
            Kind::EntryMissing => {
                let missing = Failure {
                    kind: Kind::MountMissing,
                    what: "there is no such project or location",
                    ..failure
                };
                placed(missing, &self.parent.to_string())
            }
            _ => placed(failure, &self.parent.to_string()),
        })
    }

    async fn check(&self) -> Result<(), Failure> {
        // Any answer that is about this secret, which need not be there, shows that the credentials are taken.
        match self.newest(CHECKED).await {
            Ok(_) => Ok(()),
            Err(failure) if matches!(failure.kind, Kind::EntryMissing | Kind::Forbidden) => Ok(()),
            Err(failure) => Err(placed(failure, &self.parent.to_string())),
        }
    }
}

impl Gcp {
    async fn access(&self, read: &Read) -> Result<Entry, Failure> {
        if !read.parameters.is_empty() {
            return Err(Failure::new(Kind::Unsupported, "Secret Manager takes no parameters"));
        }
        let name = self.parent.version(&read.key, read.version.as_deref())?;
        let answer = self.client.access_secret_version().set_name(name).send().await;
        let answer = answer.map_err(|error| failure(&error))?;
        let value = checked(answer.payload.unwrap_or_default())?;
        let version = name::last(&answer.name);
        let version = (!version.is_empty()).then(|| version.to_owned());
        Ok(Entry { value, version, lease: None })
    }

    /// The labels and annotations.
    async fn describe(&self, read: &Read) -> Result<Entry, Failure> {
        let name = self.parent.secret(&read.key)?;
        let answer = self.client.get_secret().set_name(name).send().await.map_err(|error| failure(&error))?;
        let sorted =
            |map: std::collections::HashMap<String, String>| map.into_iter().collect::<BTreeMap<_, _>>();
        let told = serde_json::json!({
            "annotations": sorted(answer.annotations),
            "labels": sorted(answer.labels),
        });
        Ok(Entry { value: Secret::new(told.to_string().into_bytes()), version: None, lease: None })
    }

    fn refused(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the newest version.
    async fn newest(&self, key: &str) -> Result<String, Failure> {
        let name = self.parent.version(key, None)?;
        let answer = self.client.get_secret_version().set_name(name).send().await;
        let answer = answer.map_err(|error| failure(&error))?;
        if answer.state != State::Enabled {
            return Err(Failure::new(Kind::Forbidden, "the version is disabled or destroyed"));
        }
        Ok(name::last(&answer.name).to_owned())
    }

    async fn list(&self, find: &Find) -> Result<Vec<String>, Failure> {
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
        let filter = name::filter(find);
        let (mut keys, mut token) = (Vec::new(), String::new());
        for _ in 0..PAGES {
            let page = self
                .client
                .list_secrets()
                .set_parent(self.parent.to_string())
                .set_filter(filter.clone())
                .set_page_size(PAGE)
                .set_page_token(token)
                .send()
                .await
                .map_err(|error| failure(&error))?;
            keys.extend(page.secrets.iter().filter_map(|secret| {
                let id = name::last(&secret.name);
                let matches = find.path.as_deref().is_none_or(|path| id.starts_with(path))
                    && pattern.as_ref().is_none_or(|pattern| pattern.is_match(id))
                    && find.tags.iter().all(|(key, value)| secret.labels.get(key) == Some(value));
                matches.then(|| id.to_owned())
            }));
            if page.next_page_token.is_empty() {
                keys.sort_unstable();
                return Ok(keys);
            }
            token = page.next_page_token;
        }
        Err(Failure::new(Kind::TooLarge, "there are more secrets than are looked through"))
    }
}

/// The value, if its checksum is right.
fn checked(payload: SecretPayload) -> Result<Secret, Failure> {
    let sum = i64::from(crc32c::crc32c(&payload.data));
    let value = Secret::new(payload.data.to_vec());
    wipe(payload.data);
    match payload.data_crc32c {
        Some(expected) if expected != sum => {
            Err(Failure::new(Kind::BadData, "the checksum is wrong: the value was damaged on its way"))
        }
        _ => Ok(value),
    }
}

/// Wipes bytes that nobody else holds.
fn wipe(bytes: Bytes) {
    if let Ok(mut bytes) = bytes.try_into_mut() {
        bytes.as_mut().zeroize();
    }
}

/// The failure, with a place if it has none yet.
fn placed(failure: Failure, place: &str) -> Failure {
    if failure.place.is_some() { failure } else { failure.at(place) }
}

const fn bad(what: &'static str) -> Failure {
    Failure::new(Kind::BadStore, what)
}

/// How long what the account's roles do not allow is not asked for again.
const AGAIN: Duration = Duration::from_secs(3600);
/// Secrets on one page. With labels and replication each takes a kilobyte or two.
const PAGE: i32 = 500;
const PAGES: usize = 200;
/// What [`Provider::check`] asks for.
const CHECKED: &str = "waxwing-check";

#[cfg(test)]
mod tests;
