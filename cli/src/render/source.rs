//! The directory that is rendered: every SealedSecret, ExternalSecret and injection in it with the stores, and what could
//! not be read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;
use waxwing_core::{
    external::plan as external,
    plan::{is_namespace, is_object_name},
    yaml::{self, Document},
};
use waxwing_crds::{
    AlertReceiverSpec, AlertmanagerInjectionSpec, ExternalSecret, ExternalSecretSpec, GrafanaInjectionSpec,
    SealedSecret, SealedSecretSpec, names,
};
use zeroize::Zeroizing;

use super::inject;
use crate::{
    error::{Explain, Result},
    sealed_file::{contains, is_sealed_secret, list_items},
    stores::{self, Manifests},
};

/// Which Secret: both parts are checked names, so that they can be parts of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
}

impl Key {
    /// Both names as Kubernetes takes them, or nothing.
    pub(super) fn new(namespace: &str, name: &str) -> Option<Self> {
        let fits = is_namespace(namespace) && is_object_name(name);
        fits.then(|| Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One SealedSecret as it stands in a file, whose path is told from the directory on.
pub(crate) struct Sealed {
    pub(super) file: PathBuf,
    pub(super) annotations: BTreeMap<String, String>,
    /// The spec, or which field is not of its type.
    pub(super) spec: std::result::Result<SealedSecretSpec, String>,
}

/// One ExternalSecret as it stands in a file.
pub(crate) struct External {
    pub(super) file: PathBuf,
    pub(super) annotations: BTreeMap<String, String>,
    /// The spec, or which field is not of its type.
    pub(super) spec: std::result::Result<ExternalSecretSpec, String>,
}

/// One injection as it stands in a file.
pub(crate) struct Injection {
    pub(super) file: PathBuf,
    pub(super) annotations: BTreeMap<String, String>,
    /// The spec, or which field is not of its type.
    pub(super) spec: std::result::Result<InjectionSpec, String>,
}

/// A spec of one of the kinds of injections.
pub(crate) enum InjectionSpec {
    /// For Alertmanager.
    Alertmanager(Box<AlertmanagerInjectionSpec>),
    /// For Grafana.
    Grafana(Box<GrafanaInjectionSpec>),
}

/// One AlertReceiver as it stands in a file.
pub(super) struct Receiver {
    pub(super) labels: BTreeMap<String, String>,
    /// The spec, or which field is not of its type.
    pub(super) spec: std::result::Result<AlertReceiverSpec, String>,
}

/// Something of ours that cannot be read, or cannot be told by name.
pub(super) struct Problem {
    pub(super) file: PathBuf,
    pub(super) line: usize,
    pub(super) message: String,
}

/// Everything that was found.
#[derive(Default)]
pub(super) struct Source {
    /// By name; more than one of a name is a fault of all of them.
    pub(super) objects: BTreeMap<Key, Vec<Sealed>>,
    pub(super) external: BTreeMap<Key, Vec<External>>,
    /// By kind and name.
    pub(super) injections: BTreeMap<(&'static str, Key), Vec<Injection>>,
    /// AlertReceivers.
    pub(super) receivers: BTreeMap<Key, Vec<Receiver>>,
    /// Stores.
    pub(super) manifests: Manifests,
    pub(super) problems: Vec<Problem>,
}

impl Source {
    /// Reads the directory, without what was written by us.
    pub(super) fn read(folder: &Path, output: &Path) -> Result<Self> {
        let mut source = Self::default();
        for (file, _) in listing(folder, output)? {
            let bytes = match fs::read(&file) {
                Ok(bytes) => bytes,
                // Gone since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error).at(file.display()),
            };
            // Helm templates and the like are no YAML, and none of our business.
            let has = |word: &str| contains(&bytes, word.as_bytes());
            if has(names::GROUP) && KINDS.into_iter().any(has) {
                source.file(folder, file.strip_prefix(folder).unwrap_or(&file), bytes);
            }
        }
        Ok(source)
    }

    /// Reads the Secrets and ConfigMaps that stores refer to, and Namespaces; with injections all Secrets, because a document
    /// that one takes from elsewhere may refer to any. What cannot be read is none of them.
    pub(super) fn referable(
        &self,
        folder: &Path,
        output: &Path,
        wanted: &BTreeSet<(String, String)>,
        manifests: &mut Manifests,
    ) -> Result<()> {
        for (file, _) in listing(folder, output)? {
            let Ok(bytes) = fs::read(&file).map(Zeroizing::new) else { continue };
            let has = |word: &str| contains(&bytes, word.as_bytes());
            let all = !self.injections.is_empty();
            let is_wanted = || has("Secret") && (all || wanted.iter().any(|(_, name)| has(name)));
            if !(has("ConfigMap") || has("Namespace") || is_wanted()) {
                continue;
            }
            let Ok(text) = std::str::from_utf8(&bytes) else { continue };
            for document in yaml::each_document(text).unwrap_or_default().into_iter().flatten() {
                match list_items(&document.value) {
                    Some(items) => items.iter().for_each(|value| manifests.referable(value)),
                    None => manifests.referable(&document.value),
                }
            }
        }
        Ok(())
    }

    /// Whether there is an ExternalSecret, or an injection, of this kind and name.
    pub(super) fn has(&self, kind: &str, key: &Key) -> bool {
        if kind == external::KIND {
            return self.external.contains_key(key);
        }
        self.injections.keys().any(|(known, name)| *known == kind && name == key)
    }

    fn file(&mut self, folder: &Path, file: &Path, bytes: Vec<u8>) {
        let Ok(text) = String::from_utf8(bytes) else { return self.problem(file, 1, "not UTF-8 text") };
        match yaml::each_document(&text) {
            Ok(documents) => {
                for document in documents {
                    match document {
                        Ok(document) => self.document(folder, file, &document, &text),
                        Err(error) => self.malformed(file, 1, &error),
                    }
                }
            }
            Err(error) => self.malformed(file, 1, &error),
        }
    }

    fn document(&mut self, folder: &Path, file: &Path, document: &Document, text: &str) {
        let items = list_items(&document.value);
        let values = items.map_or_else(|| std::slice::from_ref(&document.value), Vec::as_slice);
        for value in values {
            if is_sealed_secret(value) {
                let typed = match items {
                    Some(_) => yaml::from_value(value),
                    None => document.typed(text),
                };
                self.object(file, document.line, value, typed);
            } else if value["kind"] == "ExternalSecret" && stores::is_ours(value) {
                self.external(file, document.line, value);
            } else if let Some(kind) = inject::KINDS.into_iter().find(|kind| value["kind"] == *kind)
                && stores::is_ours(value)
            {
                self.injection(file, document.line, kind, value);
            } else if value["kind"] == "AlertReceiver" && stores::is_ours(value) {
                self.receiver(file, document.line, value);
            } else {
                self.manifests.store(folder, file, document.line, value);
            }
        }
    }

    fn external(&mut self, file: &Path, line: usize, value: &Value) {
        let text = |field: &str| value["metadata"][field].as_str().unwrap_or_default();
        let Some(key) = Key::new(text("namespace"), text("name")) else {
            let what = "an ExternalSecret's namespace or name is missing, or not one that Kubernetes takes";
            return self.problem(file, line, what);
        };
        let (annotations, spec) = match yaml::from_value::<ExternalSecret>(value) {
            _ if value["apiVersion"] != names::API_VERSION => {
                (BTreeMap::new(), Err(format!("apiVersion is not {}", names::API_VERSION)))
            }
            Ok(object) => (object.metadata.annotations.unwrap_or_default(), Ok(object.spec)),
            Err(error) => (BTreeMap::new(), Err(error.to_string())),
        };
        self.external.entry(key).or_default().push(External { file: file.to_owned(), annotations, spec });
    }

    fn injection(&mut self, file: &Path, line: usize, kind: &'static str, value: &Value) {
        let text = |field: &str| value["metadata"][field].as_str().unwrap_or_default();
        let Some(key) = Key::new(text("namespace"), text("name")) else {
            let what = "an injection's namespace or name is missing, or not one that Kubernetes takes";
            return self.problem(file, line, what);
        };
        let spec = is_known(value).and_then(|()| inject::read(kind, &value["spec"]));
        let injection = Injection { file: file.to_owned(), annotations: texts(value, "annotations"), spec };
        self.injections.entry((kind, key)).or_default().push(injection);
    }

    fn receiver(&mut self, file: &Path, line: usize, value: &Value) {
        let text = |field: &str| value["metadata"][field].as_str().unwrap_or_default();
        let Some(key) = Key::new(text("namespace"), text("name")) else {
            let what = "an AlertReceiver's namespace or name is missing, or not one that Kubernetes takes";
            return self.problem(file, line, what);
        };
        let typed = || yaml::from_value(&value["spec"]).map_err(|error| error.to_string());
        let spec = is_known(value).and_then(|()| typed());
        let receiver = Receiver { labels: texts(value, "labels"), spec };
        self.receivers.entry(key).or_default().push(receiver);
    }

    fn object(
        &mut self,
        file: &Path,
        line: usize,
        value: &Value,
        typed: std::result::Result<SealedSecret, yaml::YamlError>,
    ) {
        let metadata = &value["metadata"];
        let text = |field: &str| metadata[field].as_str().unwrap_or_default();
        if text("namespace").is_empty() {
            return self.problem(
                file,
                line,
                "a SealedSecret has no metadata.namespace, and values are bound to it",
            );
        }
        let Some(key) = Key::new(text("namespace"), text("name")) else {
            return self.problem(
                file,
                line,
                "a SealedSecret's namespace or name is not one that Kubernetes takes",
            );
        };
        let (annotations, spec) = match typed {
            _ if value["apiVersion"] != names::API_VERSION => {
                (BTreeMap::new(), Err(format!("apiVersion is not {}", names::API_VERSION)))
            }
            Ok(object) => (object.metadata.annotations.unwrap_or_default(), Ok(object.spec)),
            Err(error) => (BTreeMap::new(), Err(error.to_string())),
        };
        self.objects.entry(key).or_default().push(Sealed { file: file.to_owned(), annotations, spec });
    }

    fn malformed(&mut self, file: &Path, line: usize, error: &yaml::YamlError) {
        let line = error.position().map_or(line, |(line, _)| line);
        self.problem(file, line, &error.to_string());
    }

    fn problem(&mut self, file: &Path, line: usize, message: &str) {
        self.problems.push(Problem { file: file.to_owned(), line, message: message.to_owned() });
    }
}

/// Labels or annotations.
fn texts(value: &Value, field: &str) -> BTreeMap<String, String> {
    let texts = value["metadata"][field].as_object().into_iter().flatten();
    texts.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// Whether an object is of a version that is known.
fn is_known(value: &Value) -> std::result::Result<(), String> {
    match value["apiVersion"] == names::API_VERSION {
        true => Ok(()),
        false => Err(format!("apiVersion is not {}", names::API_VERSION)),
    }
}

/// The kinds that are looked for.
const KINDS: [&str; 5] = ["SealedSecret", "ExternalSecret", "SecretStore", "Injection", "AlertReceiver"];

/// Every `.yaml`, `.yml` and `.json` file below a folder, in order; hidden files and folders, links to folders and `skip`
/// are passed over. What goes away meanwhile is not there.
pub(super) fn listing(folder: &Path, skip: &Path) -> Result<BTreeMap<PathBuf, fs::Metadata>> {
    let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if is_gone(&error) && !found.is_empty() => continue,
            Err(error) => return Err(error).at(folder.display()),
        };
        for entry in entries {
            let entry = entry.at(folder.display())?;
            let path = entry.path();
            if entry.file_name().as_encoded_bytes().starts_with(b".") || path == skip {
                continue;
            }
            if entry.file_type().at(path.display())?.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json") {
                match fs::metadata(&path) {
                    Ok(metadata) if metadata.is_file() => drop(found.insert(path, metadata)),
                    Ok(_) => {}
                    Err(error) if is_gone(&error) => {}
                    Err(error) => return Err(error).at(path.display()),
                }
            }
        }
    }
    Ok(found)
}
