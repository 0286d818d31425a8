//! AWS Secrets Manager.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use aws_sdk_secretsmanager::{
    Client,
    types::{Filter, FilterNameStringType, SecretListEntry, SecretValueEntry, Tag},
};
use aws_smithy_types::Blob;
use waxwing_core::{
    Secret,
    store::{Entry, Failure, Find, Kind, Read},
};

use super::{
    NO_PARAMETERS, PAGES, TOO_MANY, about,
    login::Login,
    name::{self, Names, Wanted},
    refusal,
    shelf::{self, Abstinence, Parts, Shelf},
};
use crate::{Pace, Provider};

/// The secrets of one account in one region.
pub(super) struct SecretsManager {
    pub(super) client: Client,
    pub(super) login: Arc<Login>,
    pub(super) names: Names,
    /// Batches need a permission of their own.
    pub(super) no_batches: Abstinence,
    /// So do probes.
    pub(super) no_probes: Abstinence,
}

#[async_trait]
impl Provider for SecretsManager {
    fn name(&self) -> &'static str {
        "aws"
    }

    fn batch(&self) -> usize {
        Self::BATCH
    }

    /// AWS takes 100 batches a second from an account and region, for all of its clients together.
    fn pace(&self) -> Pace {
        Pace { per_second: 50, burst: 100 }
    }

    async fn read(&self, reads: &[Read]) -> Vec<Result<Entry, Failure>> {
        shelf::read_all(self, reads).await
    }

    /// By DescribeSecret, which costs a request, but no use of the KMS key.
    async fn version(&self, read: &Read) -> Option<Result<String, Failure>> {
        let Wanted::Stage(stage) = name::wanted(read.version.as_deref()) else { return None };
        if read.metadata || self.no_probes.holds() {
            return None;
        }
        let id = match self.names.id(&read.key) {
            Ok(id) => id,
            Err(failure) => return Some(Err(failure)),
        };
        let request = self.client.describe_secret().secret_id(id);
        let secret = match self.login.ask(|| request.clone().send()).await {
            Ok(secret) => secret,
            Err(failure) if failure.kind == Kind::Forbidden => {
                self.no_probes.begin();
                return None;
            }
            Err(failure) => return Some(Err(about(failure, &read.key))),
        };
        let has_stage = |stages: &Vec<String>| stages.iter().any(|has| has == stage);
        let versions = secret.version_ids_to_stages.unwrap_or_default();
        let version = versions.into_iter().find_map(|(id, stages)| has_stage(&stages).then_some(id));
        if secret.deleted_date.is_some() {
            return Some(Err(about(refusal::of_part("InvalidRequestException", "deletion"), &read.key)));
        }
        version.map(Ok)
    }

    async fn find(&self, find: &Find) -> Result<Vec<String>, Failure> {
        let search = self.names.search(find)?;
        let request = self
            .client
            .list_secrets()
            .max_results(PAGE)
            .set_filters(Some(filters(&search.start, &find.tags)));
        let mut found = Vec::new();
        let mut next = None;
        for _ in 0..PAGES {
            let page = request.clone().set_next_token(next.take());
            let page = self.login.ask(|| page.clone().send()).await?;
            let secrets = page.secret_list.unwrap_or_default();
            let matching = secrets.into_iter().filter(|secret| has_tags(secret, &find.tags));
            found.extend(matching.filter_map(|secret| search.key(&secret.name?)));
            next = page.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                found.sort_unstable();
                return Ok(found);
            }
        }
        Err(TOO_MANY)
    }

    /// Whether there is a secret of this name or not, and whether one may look or not: all of that is an answer.
    async fn check(&self) -> Result<(), Failure> {
        let request = self.client.describe_secret().secret_id(self.names.of_nobody());
        match self.login.ask(|| request.clone().send()).await {
            Ok(_) => Ok(()),
            Err(failure) if matches!(failure.kind, Kind::EntryMissing | Kind::Forbidden) => Ok(()),
            Err(failure) => Err(failure),
        }
    }
}

impl Shelf for SecretsManager {
    const BATCH: usize = 20;

    fn is_plain(read: &Read) -> bool {
        name::wanted(read.version.as_deref()) == Wanted::Stage(name::CURRENT)
            && !read.metadata
            && read.parameters.is_empty()
    }

    fn id(&self, key: &str) -> Result<String, Failure> {
        self.names.id(key)
    }

    fn no_batches(&self) -> &Abstinence {
        &self.no_batches
    }

    async fn batch(&self, ids: Vec<String>) -> Result<Parts, Failure> {
        let request = self.client.batch_get_secret_value().set_secret_id_list(Some(ids));
        let answer = self.login.ask(|| request.clone().send()).await?;
        let mut parts = Parts::default();
        for error in answer.errors.unwrap_or_default() {
            let failure = refusal::of_part(
                error.error_code.as_deref().unwrap_or_default(),
                error.message.as_deref().unwrap_or_default(),
            );
            parts.add(Err(failure), move |id| error.secret_id.as_deref() == Some(id));
        }
        for value in answer.secret_values.unwrap_or_default() {
            let SecretValueEntry { arn, name, version_id, secret_string, secret_binary, .. } = value;
            let entry = entry(secret_string, secret_binary, version_id);
            parts.add(entry, move |id| is_it(id, name.as_deref(), arn.as_deref()));
        }
        Ok(parts)
    }

    async fn one(&self, read: &Read) -> Result<Entry, Failure> {
        if !read.parameters.is_empty() {
            return Err(NO_PARAMETERS);
        }
        let id = self.names.id(&read.key)?;
        if read.metadata {
            let request = self.client.describe_secret().secret_id(id);
            let secret = self.login.ask(|| request.clone().send()).await?;
            return super::metadata(secret.tags().iter().filter_map(pair));
        }
        let request = self.client.get_secret_value().secret_id(id);
        let request = match name::wanted(read.version.as_deref()) {
            Wanted::Id(id) => request.version_id(id),
            Wanted::Stage(stage) => request.version_stage(stage),
        };
        let answer = self.login.ask(|| request.clone().send()).await?;
        entry(answer.secret_string, answer.secret_binary, answer.version_id)
    }
}

/// Whether an entry is what was asked for, by its name, its ARN, or its ARN without the six characters that AWS adds.
fn is_it(id: &str, name: Option<&str>, arn: Option<&str>) -> bool {
    let added = || arn?.strip_prefix(id)?.strip_prefix('-');
    let is_partial =
        || id.starts_with("arn:") && added().is_some_and(|added| added.len() == 6 && !added.contains('-'));
    name == Some(id) || arn == Some(id) || is_partial()
}

fn entry(text: Option<String>, binary: Option<Blob>, version: Option<String>) -> Result<Entry, Failure> {
    let bytes = match (text, binary) {
        (Some(text), _) => text.into_bytes(),
        (None, Some(binary)) => binary.into_inner(),
        (None, None) => return Err(Failure::new(Kind::BadData, "the answer has neither text nor bytes")),
    };
    Ok(Entry { value: Secret::new(bytes), version, lease: None })
}

/// As narrow as AWS can: names by their beginning, and tag keys and values each by themselves.
fn filters(start: &str, tags: &BTreeMap<String, String>) -> Vec<Filter> {
    let filter = |key, value: &str| Filter::builder().key(key).values(value).build();
    let mut filters = Vec::new();
    if !start.is_empty() {
        filters.push(filter(FilterNameStringType::Name, start));
    }
    // At most ten are taken, and an exclamation mark would mean the opposite. What is found is looked at in any case.
    for (key, value) in tags.iter().take(4) {
        filters.push(filter(FilterNameStringType::TagKey, key));
        filters.push(filter(FilterNameStringType::TagValue, value));
    }
    filters.retain(|filter| filter.values().iter().all(|value| !value.is_empty() && !value.starts_with('!')));
    filters
}

fn has_tags(secret: &SecretListEntry, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| secret.tags().iter().any(|tag| pair(tag) == Some((key, value))))
}

fn pair(tag: &Tag) -> Option<(&str, &str)> {
    Some((tag.key()?, tag.value().unwrap_or_default()))
}

/// What AWS gives in one ListSecrets.
const PAGE: i32 = 100;
