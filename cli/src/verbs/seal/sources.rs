//! What there is to seal: streams of manifests, and Secrets put together on the command line.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use serde_json::Value;
use waxwing_core::{
    Secret,
    manifest::{self, Content, DEFAULT_TYPE, SecretInput},
    seal::DataKey,
    yaml,
};
use waxwing_crds::{SealedSecretSpec, SealedTemplate, TemplateMetadata, names};
use zeroize::Zeroizing;

use crate::{
    error::{Explain, Failure, Result},
    input,
    sealed_file::contains,
};

/// A Secret put together from files.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "A Secret from files")]
pub(super) struct Literals {
    /// KEY=VALUE lines; may be repeated, - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "files")]
    from_env_file: Vec<PathBuf>,
    /// The bytes of a file under its name or under KEY; may be repeated, KEY=- is standard input
    #[arg(long, value_name = "[KEY=]PATH", conflicts_with = "files")]
    from_file: Vec<String>,
    /// A certificate chain and its private key, as PEM files
    #[arg(long, num_args = 2, value_names = ["CERT", "KEY"], conflicts_with = "files")]
    tls: Vec<PathBuf>,
    /// Login of a container registry; the password comes from standard input or a prompt
    #[arg(long, value_name = "SERVER", conflicts_with = "files", requires = "docker_username")]
    docker_registry: Option<String>,
    /// User name for --docker-registry
    #[arg(long, value_name = "USER", requires = "docker_registry")]
    docker_username: Option<String>,
    /// Mail address for --docker-registry
    #[arg(long, value_name = "MAIL", requires = "docker_registry")]
    docker_email: Option<String>,
    /// Name of the Secret
    #[arg(long, value_name = "NAME", conflicts_with = "files")]
    name: Option<String>,
    /// Type of the Secret. Default: Opaque, or what --tls and --docker-registry need
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "files")]
    secret_type: Option<String>,
}

/// One input.
pub(super) struct Source {
    /// Its file; none for standard input and for what the command line puts together.
    pub(super) path: Option<PathBuf>,
    what: What,
}

enum What {
    Text(Secret),
    One(Box<Plain>),
}

/// A piece of an input.
pub(super) enum Part<'a> {
    /// Nothing to seal in it.
    Other { text: &'a str, value: Value },
    /// A Secret, or a list with Secrets among other things.
    Secrets { range: Range<usize>, secrets: Vec<Plain>, others: Vec<Value> },
}

/// A Secret to be sealed.
#[derive(Clone)]
pub(super) struct Plain {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) secret_type: String,
    pub(super) data: BTreeMap<DataKey, Secret>,
    /// Labels, annotations and `immutable`, where a manifest says them.
    metadata: Option<Metadata>,
}

#[derive(Clone)]
struct Metadata {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    immutable: bool,
}

impl Source {
    /// A file with manifests, or standard input for `-`.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = input::read(path)?;
        let path = (path != Path::new("-")).then(|| path.to_owned());
        let source = Self { path, what: What::Text(text) };
        source.text()?;
        Ok(source)
    }

    /// A Secret that the command line puts together.
    pub(super) fn literal(plain: Plain) -> Self {
        Self { path: None, what: What::One(Box::new(plain)) }
    }

    /// The input as text.
    pub(super) fn text(&self) -> Result<&str> {
        match &self.what {
            // Why exposed: to be parsed.
            What::Text(text) => std::str::from_utf8(text.expose())
                .map_err(|_| Failure::new("not UTF-8 text").at(self.title())),
            What::One(_) => Ok(""),
        }
    }

    /// The name of a file that holds the sealed form.
    pub(super) fn file_name(&self) -> Option<PathBuf> {
        match (&self.path, &self.what) {
            (Some(path), _) => path.file_name().map(PathBuf::from),
            (None, What::One(plain)) => Some(PathBuf::from(format!("{}.yaml", plain.name))),
            (None, What::Text(_)) => None,
        }
    }

    /// Its documents, in order.
    pub(super) fn parts(&self) -> Result<Vec<Part<'_>>> {
        if let What::One(plain) = &self.what {
            return Ok(vec![Part::Secrets {
                range: 0..0,
                secrets: vec![(**plain).clone()],
                others: Vec::new(),
            }]);
        }
        let text = self.text()?;
        let objects = manifest::secrets(text).at(self.title())?;
        if objects.is_empty() {
            return Err(Failure::new("it is empty: there is no Secret in it").at(self.title()).hint(
                "look whether the command that makes it failed; for other input see --from-env-file and --from-file",
            ));
        }
        let mut parts: Vec<(usize, Part<'_>)> = Vec::new();
        for object in objects {
            let place = object.place;
            if parts.last().is_none_or(|(document, _)| *document != place.document) {
                let range = place.range.clone();
                parts
                    .push((place.document, Part::Secrets { range, secrets: Vec::new(), others: Vec::new() }));
            }
            let Some((_, Part::Secrets { secrets, others, .. })) = parts.last_mut() else { continue };
            match object.content {
                Content::Secret(secret) => secrets.push(secret.into()),
                Content::Other(value) => others.push(value),
            }
        }
        parts.into_iter().map(|(_, part)| whole_if_nothing_to_seal(part, text)).collect()
    }

    /// For messages.
    pub(super) fn title(&self) -> String {
        self.path.as_ref().map_or_else(|| "standard input".to_owned(), |path| path.display().to_string())
    }
}

fn whole_if_nothing_to_seal<'a>(part: Part<'a>, text: &'a str) -> Result<Part<'a>> {
    match part {
        Part::Secrets { range, secrets, .. } if secrets.is_empty() => {
            let text = text.get(range).unwrap_or_default();
            Ok(Part::Other { text, value: yaml::from_str(text)? })
        }
        part => Ok(part),
    }
}

impl Literals {
    /// The Secret that the options put together, if there is one.
    pub(super) fn read(&self, namespace: Option<&str>) -> Result<Option<Plain>> {
        let mut values = Vec::new();
        for path in &self.from_env_file {
            let text = input::read(path)?;
            // Why exposed: to be parsed.
            let text = std::str::from_utf8(text.expose())
                .map_err(|_| Failure::new("not UTF-8 text"))
                .at(path.display())?;
            values.extend(manifest::dotenv(text).at(path.display())?);
        }
        for given in &self.from_file {
            values.push(one_file(given)?);
        }
        let mut default_type = DEFAULT_TYPE;
        if let [certificate, key] = self.tls.as_slice() {
            default_type = manifest::TLS_TYPE;
            values.extend(manifest::tls(input::read(certificate)?, input::read(key)?).at("--tls")?);
        }
        if let (Some(server), Some(user)) = (&self.docker_registry, &self.docker_username) {
            default_type = manifest::DOCKER_CONFIG_TYPE;
            let password = input::value(&format!("Password of {user} at {server}"), false)?;
            if password.is_empty() {
                return Err(Failure::new("the password from standard input is empty")
                    .hint("look whether the command before the pipe failed"));
            }
            let config = manifest::docker_config(server, user, &password, self.docker_email.as_deref())
                .at("--docker-registry")?;
            values.push((manifest::DOCKER_CONFIG_KEY.parse()?, config));
        }
        if values.is_empty() && !self.from_env_file.is_empty() {
            return Err(Failure::new("--from-env-file has no KEY=VALUE line: there is nothing to seal")
                .hint("look whether the command that makes it failed"));
        }
        if values.is_empty() {
            return match (&self.name, &self.secret_type) {
                (None, None) => Ok(None),
                _ => Err(Failure::usage("--name and --type are for a Secret from files")
                    .hint("see --from-env-file, --from-file, --tls and --docker-registry")),
            };
        }
        let name = self
            .name
            .clone()
            .ok_or_else(|| Failure::usage("a Secret from files needs a name: --name NAME"))?;
        let mut data = BTreeMap::new();
        for (key, value) in values {
            if data.insert(key.clone(), value).is_some() {
                return Err(Failure::usage(format!("key {key} is given twice")));
            }
        }
        Ok(Some(Plain {
            namespace: namespace.unwrap_or_default().to_owned(),
            name,
            secret_type: self.secret_type.clone().unwrap_or_else(|| default_type.to_owned()),
            data,
            metadata: None,
        }))
    }
}

/// `[KEY=]PATH`.
fn one_file(given: &str) -> Result<(DataKey, Secret)> {
    let (key, path) = match given.split_once('=') {
        Some((key, path)) => (key.to_owned(), Path::new(path)),
        None => {
            let path = Path::new(given);
            let name = path.file_name().filter(|_| given != "-").ok_or_else(|| {
                Failure::usage("--from-file needs a key here").hint("write --from-file KEY=PATH")
            })?;
            (name.to_string_lossy().into_owned(), path)
        }
    };
    let key = key.parse::<DataKey>().at("--from-file").hint("name the key: --from-file KEY=PATH")?;
    let value = input::read(path)?;
    if value.is_empty() && path == Path::new("-") {
        return Err(Failure::new(format!("the value of {key} from standard input is empty")).hint(
            "look whether the command before the pipe failed; if it is meant, name an empty file, such as /dev/null",
        ));
    }
    Ok((key, value))
}

impl From<SecretInput> for Plain {
    fn from(secret: SecretInput) -> Self {
        Self {
            namespace: secret.namespace.unwrap_or_default(),
            name: secret.name,
            secret_type: secret.secret_type,
            data: secret.values.into_iter().collect(),
            metadata: Some(Metadata {
                labels: secret.labels.into_iter().filter(|(key, value)| is_carried(key, value)).collect(),
                annotations: secret
                    .annotations
                    .into_iter()
                    .filter(|(key, value)| is_carried(key, value))
                    .collect(),
                immutable: secret.immutable,
            }),
        }
    }
}

const SHORTEST_COPY: usize = 6;

/// What Waxwing and other tools write on a Secret in a cluster is not the author's.
fn is_carried(key: &str, value: &str) -> bool {
    let ours = names::is_reserved(key)
        || (key == names::MANAGED_BY && value == names::MANAGER)
        || names::PRODUCED_ANNOTATIONS.contains(&(key, value));
    !ours && !names::is_dropped(key)
}

impl Plain {
    /// A Secret of nothing but values.
    pub(super) fn new(namespace: &str, name: &str, data: BTreeMap<DataKey, Secret>) -> Self {
        let (namespace, name, secret_type) = (namespace.to_owned(), name.to_owned(), DEFAULT_TYPE.to_owned());
        Self { namespace, name, secret_type, data, metadata: None }
    }

    /// The values to be sealed.
    pub(super) fn values(&self) -> Vec<(DataKey, Secret)> {
        self.data.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Removes annotations in which a value stands in clear, as tools write that keep a copy of the
    /// object, and gives their names.
    pub(super) fn drop_copies(&mut self) -> Vec<String> {
        let Some(metadata) = &mut self.metadata else { return Vec::new() };
        let mut copied = Vec::new();
        for value in self.data.values() {
            // Why exposed: to be looked for. A shorter one stands anywhere by chance.
            let value = value.expose();
            if value.len() < SHORTEST_COPY {
                continue;
            }
            let encoded = Zeroizing::new(BASE64_STANDARD_NO_PAD.encode(value));
            let has_it = |text: &str| contains(text.as_bytes(), value) || text.contains(encoded.as_str());
            metadata.annotations.retain(|name, text| {
                let keep = !has_it(text);
                if !keep {
                    copied.push(name.clone());
                }
                keep
            });
        }
        copied
    }

    /// Writes what is not secret into a spec: labels, annotations, `immutable`. Templates of the
    /// spec stay; so does everything where the input can't say it.
    pub(super) fn describe(&self, spec: &mut SealedSecretSpec) {
        let Some(given) = &self.metadata else { return };
        // `immutable: false` says nothing, so what is there stays if it says the same.
        if spec.immutable.unwrap_or(false) != given.immutable {
            spec.immutable = given.immutable.then_some(true);
        }
        let metadata =
            TemplateMetadata { labels: given.labels.clone(), annotations: given.annotations.clone() };
        let is_empty = metadata.labels.is_empty() && metadata.annotations.is_empty();
        let mut template = spec.template.take().unwrap_or_default();
        template.metadata = (!is_empty).then_some(metadata);
        spec.template = (template != SealedTemplate::default()).then_some(template);
    }
}
