//! AWS Systems Manager Parameter Store.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use aws_sdk_ssm::{
    Client,
    types::{Parameter, ParameterStringFilter, ResourceTypeForTagging},
};
use waxwing_core::{
    Secret,
    store::{Entry, Failure, Find, Kind, Read},
};

use super::{
    NO_PARAMETERS, PAGES, TOO_MANY,
    login::Login,
    name::{Names, Search},
    shelf::{self, Abstinence, Parts, Shelf},
};
use crate::{Pace, Provider};

/// The parameters of one account in one region.
pub(super) struct ParameterStore {
    pub(super) client: Client,
    pub(super) login: Arc<Login>,
    pub(super) names: Names,
    /// Batches need a permission of their own.
    pub(super) no_batches: Abstinence,
}

#[async_trait]
impl Provider for ParameterStore {
    fn name(&self) -> &'static str {
        "aws"
    }

    fn batch(&self) -> usize {
        Self::BATCH
    }

    /// AWS takes 40 reads a second from an account and region, for all of its clients together, until the account pays
    /// for more.
    fn pace(&self) -> Pace {
        Pace { per_second: 20, burst: 40 }
    }

    async fn read(&self, reads: &[Read]) -> Vec<Result<Entry, Failure>> {
        shelf::read_all(self, reads).await
    }

    async fn find(&self, find: &Find) -> Result<Vec<String>, Failure> {
        let search = self.names.search(find)?;
        let is_path = search.start.starts_with('/') && search.start.ends_with('/');
        let mut found = if find.tags.is_empty() && is_path {
            self.below(&search).await?
        } else {
            self.described(&search, &find.tags).await?
        };
        found.sort_unstable();
        Ok(found)
    }

    /// Whether there is a parameter of this name or not, and whether one may look or not: all of that is an answer.
    async fn check(&self) -> Result<(), Failure> {
        let request = self.client.get_parameter().name(self.names.of_nobody());
        match self.login.ask(|| request.clone().send()).await {
            Ok(_) => Ok(()),
            Err(failure) if matches!(failure.kind, Kind::EntryMissing | Kind::Forbidden) => Ok(()),
            Err(failure) => Err(failure),
        }
    }
}

impl ParameterStore {
    /// What lies below a path. It needs a right to that path only.
    async fn below(&self, search: &Search<'_>) -> Result<Vec<String>, Failure> {
        let path = match search.start.trim_end_matches('/') {
            "" => "/",
            path => path,
        };
        // Without decryption, the values of SecureStrings stay ciphertext; the others come, and are dropped.
        let request = self
            .client
            .get_parameters_by_path()
            .path(path)
            .recursive(true)
            .with_decryption(false)
            .max_results(10);
        let mut found = Vec::new();
        let mut next = None;
        for _ in 0..PAGES {
            let page = request.clone().set_next_token(next.take());
            let page = self.login.ask(|| page.clone().send()).await?;
            found.extend(page.parameters().iter().filter_map(|parameter| search.key(parameter.name()?)));
            next = page.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(found);
            }
        }
        Err(TOO_MANY)
    }

    /// What has these tags, or a name that begins so. It needs a right to the list of all names.
    async fn described(
        &self,
        search: &Search<'_>,
        tags: &BTreeMap<String, String>,
    ) -> Result<Vec<String>, Failure> {
        let filter = |key: String, option: &str, value: &str| {
            let filter = ParameterStringFilter::builder().key(key).option(option).values(value).build();
            filter.map_err(|_| Failure::new(Kind::Rejected, "a tag to search for has no name"))
        };
        let mut filters = Vec::new();
        if !search.start.is_empty() {
            filters.push(filter("Name".to_owned(), "BeginsWith", &search.start)?);
        }
        for (key, value) in tags {
            filters.push(filter(format!("tag:{key}"), "Equals", value)?);
        }
        let request = self
            .client
            .describe_parameters()
            .set_parameter_filters((!filters.is_empty()).then_some(filters))
            .max_results(50);
        let mut found = Vec::new();
        let mut next = None;
        for _ in 0..PAGES {
            let page = request.clone().set_next_token(next.take());
            let page = self.login.ask(|| page.clone().send()).await?;
            found.extend(page.parameters().iter().filter_map(|parameter| search.key(parameter.name()?)));
            next = page.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(found);
            }
        }
        Err(TOO_MANY)
    }
}

impl Shelf for ParameterStore {
    const BATCH: usize = 10;

    fn is_plain(read: &Read) -> bool {
        read.version.is_none() && !read.metadata && read.parameters.is_empty()
    }

    fn id(&self, key: &str) -> Result<String, Failure> {
        self.names.id(key)
    }

    fn no_batches(&self) -> &Abstinence {
        &self.no_batches
    }

    async fn batch(&self, ids: Vec<String>) -> Result<Parts, Failure> {
        let request = self.client.get_parameters().set_names(Some(ids)).with_decryption(true);
        let answer = self.login.ask(|| request.clone().send()).await?;
        let mut parts = Parts::default();
        for missing in answer.invalid_parameters.unwrap_or_default() {
            let failure = Failure::new(Kind::EntryMissing, "there is no such entry");
            parts.add(Err(failure), move |id| id == missing);
        }
        for mut parameter in answer.parameters.unwrap_or_default() {
            let (name, arn) = (parameter.name.take(), parameter.arn.take());
            parts.add(entry(parameter), move |id| name.as_deref() == Some(id) || arn.as_deref() == Some(id));
        }
        Ok(parts)
    }

    async fn one(&self, read: &Read) -> Result<Entry, Failure> {
        if !read.parameters.is_empty() {
            return Err(NO_PARAMETERS);
        }
        let id = self.names.id(&read.key)?;
        if read.metadata {
            let request = self
                .client
                .list_tags_for_resource()
                .resource_type(ResourceTypeForTagging::Parameter)
                .resource_id(id);
            let answer = self.login.ask(|| request.clone().send()).await?;
            return super::metadata(answer.tag_list().iter().map(|tag| (tag.key(), tag.value())));
        }
        let name = match read.version.as_deref() {
            None => id,
            Some(version) if version.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) => {
                format!("{id}:{version}")
            }
            Some(_) => {
                return Err(Failure::new(Kind::Rejected, "its version is neither a number nor a label"));
            }
        };
        let request = self.client.get_parameter().name(name).with_decryption(true);
        let answer = self.login.ask(|| request.clone().send()).await?;
        entry(answer.parameter.ok_or(NO_VALUE)?)
    }
}

fn entry(parameter: Parameter) -> Result<Entry, Failure> {
    let version = Some(parameter.version.to_string());
    let value = parameter.value.ok_or(NO_VALUE)?;
    Ok(Entry { value: Secret::new(value.into_bytes()), version, lease: None })
}

const NO_VALUE: Failure = Failure::new(Kind::BadData, "the answer has no value");
