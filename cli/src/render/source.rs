//! The directory that is rendered: every SealedSecret in it, and what could not be read.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;
use waxwing_core::{
    plan::{is_namespace, is_object_name},
    yaml::{self, Document},
};
use waxwing_crds::{SealedSecret, SealedSecretSpec, names};

use crate::{
    error::{Explain, Result},
    sealed_file::{contains, is_sealed_secret, list_items},
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
            if [names::GROUP, "SealedSecret"].iter().all(|word| contains(&bytes, word.as_bytes())) {
                source.file(file.strip_prefix(folder).unwrap_or(&file), bytes);
            }
        }
        Ok(source)
    }

    fn file(&mut self, file: &Path, bytes: Vec<u8>) {
        let Ok(text) = String::from_utf8(bytes) else { return self.problem(file, 1, "not UTF-8 text") };
        match yaml::each_document(&text) {
            Ok(documents) => {
                for document in documents {
                    match document {
                        Ok(document) => self.document(file, &document, &text),
                        Err(error) => self.malformed(file, 1, &error),
                    }
                }
            }
            Err(error) => self.malformed(file, 1, &error),
        }
    }

    fn document(&mut self, file: &Path, document: &Document, text: &str) {
        match list_items(&document.value) {
            Some(items) => {
                for value in items.iter().filter(|value| is_sealed_secret(value)) {
                    self.object(file, document.line, value, yaml::from_value(value));
                }
            }
            None if is_sealed_secret(&document.value) => {
                self.object(file, document.line, &document.value, document.typed(text));
            }
            None => {}
        }
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
