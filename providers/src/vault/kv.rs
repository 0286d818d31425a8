//! The key/value engine, versions 1 and 2.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::value::RawValue;
use vaultrs::api::{
    kv1::requests::{GetSecretRequest, ListSecretRequest},
    kv2::requests::{ListSecretsRequest, ReadSecretMetadataRequest, ReadSecretRequest},
};
use waxwing_core::{
    Secret,
    store::{Entry, Failure, Kind, Read},
};

use super::{Vault, answer::Answer, location::Location, refusal, settings::Engine, wire::At};

/// An entry's value in version 2.
#[derive(Deserialize)]
struct Versioned<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
}

/// What version 2 says about an entry without its value.
#[derive(Deserialize)]
struct Entries<'a> {
    current_version: u64,
    #[serde(borrow)]
    custom_metadata: Option<&'a RawValue>,
    #[serde(default)]
    versions: HashMap<String, Version>,
}

#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    deletion_time: String,
    #[serde(default)]
    destroyed: bool,
}

/// The answer to a LIST.
#[derive(Deserialize)]
struct Keys {
    keys: Vec<String>,
}

/// What is mounted at a path.
#[derive(Deserialize)]
struct Mount {
    #[serde(rename = "type")]
    kind: String,
    options: Option<BTreeMap<String, String>>,
    /// Where it is mounted; a part of what was asked for.
    #[serde(default)]
    path: String,
}

impl Vault {
    /// Reads one entry of a key/value engine.
    pub(super) async fn read_kv(&self, read: &Read) -> Result<Entry, Failure> {
        if !read.parameters.is_empty() {
            return Err(Failure::new(Kind::BadStore, "parameters need a store with `engine: Dynamic`"));
        }
        let location = self.locate(&read.key)?;
        match self.settings.engine {
            Engine::Kv2 if read.metadata => self.custom_metadata(&location).await,
            Engine::Kv2 => self.read_versioned(&location, read.version.as_deref()).await,
            _ if read.metadata => Err(unsupported("only KV version 2 has metadata")),
            _ if read.version.is_some() => Err(unsupported("only KV version 2 has versions")),
            _ => self.read_plain(&location).await,
        }
    }

    async fn read_versioned(&self, location: &Location, version: Option<&str>) -> Result<Entry, Failure> {
        let version = version.map(number).transpose()?;
        let request =
            ReadSecretRequest { mount: location.mount.clone(), path: location.path.clone(), version };
        let answer = self.ask(&request).await?;
        if answer.status == 404 {
            return Err(self.why_missing(location, &answer).await);
        }
        let found: Versioned<'_> = answer.data()?;
        // Vault answers 404 for a deleted version, with the form of a found one.
        let Some(data) = found.data else { return Err(deleted()) };
        entry(data, Some(found.metadata.version.to_string()))
    }

    async fn read_plain(&self, location: &Location) -> Result<Entry, Failure> {
        let request = GetSecretRequest { mount: location.mount.clone(), path: location.path.clone() };
        let answer = self.ask(&request).await?;
        if answer.status == 404 {
            return Err(refusal::of_answer(&answer));
        }
        let Some(data) = answer.envelope()?.data else { return Err(answer.not_vault()) };
        entry(data, None)
    }

    /// The tags that somebody gave an entry, as a JSON object.
    async fn custom_metadata(&self, location: &Location) -> Result<Entry, Failure> {
        let answer = self.metadata(location).await?;
        let entries: Entries<'_> = answer.data()?;
        let tags = entries.custom_metadata.map_or("{}", RawValue::get);
        Ok(Entry { value: Secret::new(tags.as_bytes().to_vec()), version: None, lease: None })
    }

    /// Which version an entry has. Where that one is deleted, or will be, only reading the value tells more.
    pub(super) async fn version_of(
        &self,
        location: &Location,
        asked: Option<&str>,
    ) -> Result<Option<String>, Failure> {
        let asked = asked.map(number).transpose()?.filter(|asked| *asked != 0);
        let answer = self.metadata(location).await?;
        let entries: Entries<'_> = answer.data()?;
        let version = asked.unwrap_or(entries.current_version).to_string();
        let found = entries.versions.get(&version);
        let is_there = found.is_some_and(|found| !found.destroyed && found.deletion_time.is_empty());
        Ok(is_there.then_some(version))
    }

    async fn metadata(&self, location: &Location) -> Result<Answer, Failure> {
        let request =
            ReadSecretMetadataRequest { mount: location.mount.clone(), path: location.path.clone() };
        let answer = self.ask(&request).await?;
        match answer.status {
            404 => Err(self.why_missing(location, &answer).await),
            _ => Ok(answer),
        }
    }

    /// An entry's tags, if it has any.
    pub(super) async fn tags(&self, location: &Location) -> Result<BTreeMap<String, String>, Failure> {
        let answer = self.metadata(location).await?;
        let entries: Entries<'_> = answer.data()?;
        let Some(tags) = entries.custom_metadata else { return Ok(BTreeMap::new()) };
        serde_json::from_str(tags.get()).map_err(|_| answer.not_vault())
    }

    /// What lies directly below a path, which is empty or ends with a slash. Names of folders end with a slash.
    pub(super) async fn list(&self, mount: &str, path: &str) -> Result<Vec<String>, Failure> {
        // An empty last segment is no name: the path of a LIST ends with a slash or without, to Vault that is the same.
        let (mount, path) = (mount.to_owned(), path.trim_end_matches('/').to_owned());
        let location = Location { mount: mount.clone(), path: path.clone() };
        let answer = match self.settings.engine {
            Engine::Kv2 => self.ask(&ListSecretsRequest { mount, path }).await?,
            _ => self.ask(&ListSecretRequest { mount, path }).await?,
        };
        if answer.status != 404 {
            return Ok(answer.data::<Keys>()?.keys);
        }
        match self.why_missing(&location, &answer).await {
            // Nothing lies there, which is an answer.
            failure if failure.kind == Kind::EntryMissing => Ok(Vec::new()),
            failure => Err(failure),
        }
    }

    /// What a 404 means. A mount of version 1 answers a question for version 2 as if the entry were missing, and a
    /// missing entry may be a reason to delete a Secret: so the mount is looked at before that is said.
    async fn why_missing(&self, location: &Location, answer: &Answer) -> Failure {
        let deleted_version = answer.data::<Versioned<'_>>().is_ok_and(|found| found.data.is_none());
        if deleted_version {
            return deleted();
        }
        let failure = refusal::of_answer(answer);
        if failure.kind != Kind::EntryMissing || self.settings.engine != Engine::Kv2 {
            return failure;
        }
        match self.check_mount(&location.mount).await {
            Ok(()) => failure,
            Err(other) => other,
        }
    }

    /// Whether a mount is there and is what the store says. Vault tells that to every token that may do something in it.
    pub(super) async fn check_mount(&self, mount: &str) -> Result<(), Failure> {
        let answer = self.ask(&At::get(format!("sys/internal/ui/mounts/{mount}"))).await;
        let answer = match answer {
            Err(failure) if failure.kind == Kind::Forbidden => {
                let what = "the mount does not exist, or the token's policies allow nothing in it";
                return Err(Failure { what, ..failure }.at(mount));
            }
            answer => answer?,
        };
        if answer.status == 404 {
            return Err(refusal::of_answer(&answer).at(mount));
        }
        let found: Mount = answer.data()?;
        let version = found.options.as_ref().and_then(|options| options.get("version")).map(String::as_str);
        let is_kv = matches!(found.kind.as_str(), "kv" | "generic");
        let wrong = match self.settings.engine {
            Engine::Kv2 if !is_kv => "the mount is not a key/value engine",
            Engine::Kv2 if found.path.trim_matches('/') != mount => "`path` names more than the mount",
            Engine::Kv2 if version != Some("2") => "the mount is KV version 1; the store says version 2",
            Engine::Kv1 if is_kv && version == Some("2") => {
                "the mount is KV version 2; the store says version 1"
            }
            Engine::Dynamic if is_kv => "the mount is a key/value engine; the store says `engine: Dynamic`",
            _ => return Ok(()),
        };
        Err(Failure::new(Kind::MountMissing, wrong).at(mount))
    }
}

fn entry(data: &RawValue, version: Option<String>) -> Result<Entry, Failure> {
    let text = data.get();
    if !text.starts_with('{') {
        return Err(Failure::new(Kind::BadData, "the entry is not a set of fields"));
    }
    Ok(Entry { value: Secret::new(text.as_bytes().to_vec()), version, lease: None })
}

fn number(version: &str) -> Result<u64, Failure> {
    let digits = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { version.parse().ok() } else { None };
    number.ok_or_else(|| Failure::new(Kind::Rejected, "in KV version 2 a version is a number"))
}

fn deleted() -> Failure {
    Failure::new(Kind::EntryMissing, "this version is deleted").with_code(404)
}

fn unsupported(what: &'static str) -> Failure {
    Failure::new(Kind::Unsupported, what)
}
