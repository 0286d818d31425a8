//! The objects of a tree of files that the check knows something about.

use std::{fs, path::Path};

use serde_json::Value;
use waxwing_core::{
    external::StoreKind,
    yaml::{self, Document},
};
use waxwing_crds::names;
use zeroize::Zeroizing;

use crate::{
    error::{Explain, Result},
    input,
    sealed_file::{contains, list_items},
};

/// What a kind of object is to the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A team's receiver.
    AlertReceiver,
    /// prometheus-operator's own kind of receivers.
    AlertmanagerConfig,
    /// A configuration of Alertmanager.
    AlertmanagerInjection,
    /// It makes ExternalSecrets, of whatever project.
    ClusterExternalSecret,
    /// It may hold a document.
    ConfigMap,
    /// It makes a Secret, of whatever project.
    ExternalSecret,
    /// Provisioning of Grafana.
    GrafanaInjection,
    /// Anything of grafana-operator.
    GrafanaOperator,
    /// It has labels.
    Namespace,
    /// It makes a Secret, of whatever project.
    SealedSecret,
    /// A Secret as it is.
    Secret,
    /// A store.
    Store(StoreKind),
}

impl Kind {
    fn of(value: &Value) -> Option<Self> {
        let group = value["apiVersion"].as_str()?.split_once('/').map_or("", |(group, _)| group);
        Some(match (group, value["kind"].as_str()?) {
            ("", "ConfigMap") => Self::ConfigMap,
            ("", "Namespace") => Self::Namespace,
            ("", "Secret") => Self::Secret,
            ("bitnami.com" | names::GROUP, "SealedSecret") => Self::SealedSecret,
            ("external-secrets.io" | names::GROUP, "ClusterExternalSecret") => Self::ClusterExternalSecret,
            ("external-secrets.io" | names::GROUP, "ExternalSecret") => Self::ExternalSecret,
            ("grafana.integreatly.org", _) => Self::GrafanaOperator,
            ("monitoring.coreos.com", "AlertmanagerConfig") => Self::AlertmanagerConfig,
            (names::GROUP, "AlertReceiver") => Self::AlertReceiver,
            (names::GROUP, "AlertmanagerInjection") => Self::AlertmanagerInjection,
            (names::GROUP, "ClusterSecretStore") => Self::Store(StoreKind::ClusterSecretStore),
            (names::GROUP, "GrafanaInjection") => Self::GrafanaInjection,
            (names::GROUP, "SecretStore") => Self::Store(StoreKind::SecretStore),
            _ => return None,
        })
    }

    /// Whether objects of this kind are looked at for mistakes, not only for what they give to others.
    pub(crate) fn is_checked(self) -> bool {
        matches!(
            self,
            Self::AlertReceiver
                | Self::AlertmanagerConfig
                | Self::AlertmanagerInjection
                | Self::GrafanaInjection
                | Self::GrafanaOperator
        )
    }
}

/// A file, and what of it is looked at.
pub(crate) struct File {
    /// As it was named, or found; `stdin` for standard input.
    pub(crate) name: String,
    /// What it says.
    pub(crate) text: String,
    /// Documents with objects.
    pub(crate) documents: Vec<Document>,
    /// What of it cannot be read: the line, and why.
    pub(crate) unreadable: Vec<(usize, String)>,
}

impl File {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), text: String::new(), documents: Vec::new(), unreadable: Vec::new() }
    }

    fn unreadable(name: &str, why: &str) -> Self {
        Self { unreadable: vec![(1, why.to_owned())], ..Self::new(name) }
    }
}

/// An object.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    /// What it is.
    pub(crate) kind: Kind,
    /// The same in the words of the API.
    pub(crate) kind_name: String,
    /// Its namespace, or the one that was given for objects without; empty where there is none.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// Its file.
    pub(crate) file: usize,
    /// Its document in the file.
    pub(crate) document: usize,
    /// Its place in a list of objects, where the document is one.
    pub(crate) item: Option<usize>,
}

impl Object {
    /// `KIND NAMESPACE/NAME`.
    pub(crate) fn title(&self) -> String {
        let Self { kind_name, namespace, name, .. } = self;
        if namespace.is_empty() {
            format!("{kind_name} {name}")
        } else {
            format!("{kind_name} {namespace}/{name}")
        }
    }
}

/// All files.
#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
    pub(crate) objects: Vec<Object>,
}

impl Tree {
    /// Adds a file, `-` for standard input. What is no YAML is said only where it is ours, or was `named`: templates of Helm and
    /// the like are none of our business.
    pub(crate) fn read(&mut self, path: &Path, named: bool, namespace: Option<&str>) -> Result<()> {
        // A plaintext Secret may be among it.
        let (name, bytes) = if path == Path::new("-") {
            ("stdin".into(), Zeroizing::new(input::read(path)?.expose().to_vec()))
        } else {
            (path.to_string_lossy(), Zeroizing::new(fs::read(path).at(path.display())?))
        };
        let ours = named || contains(&bytes, names::GROUP.as_bytes());
        match std::str::from_utf8(&bytes) {
            // Reading every file of a large folder as YAML takes its time.
            Ok(text) if named || text.contains("apiVersion") => self.add(&name, text, ours, namespace),
            Err(_) if ours => self.files.push(File::unreadable(&name, "not UTF-8 text")),
            Ok(_) | Err(_) => self.files.push(File::new(&name)),
        }
        Ok(())
    }

    /// Adds a text.
    pub(crate) fn add(&mut self, name: &str, text: &str, ours: bool, namespace: Option<&str>) {
        let mut file = File::new(name);
        for document in yaml::each_document(text).unwrap_or_else(|error| vec![Err(error)]) {
            match document {
                Ok(document) => self.document(&mut file, document, namespace),
                Err(error) if ours => {
                    let line = error.position().map_or(1, |(line, _)| line);
                    file.unreadable.push((line, error.to_string()));
                }
                Err(_) => {}
            }
        }
        if !file.documents.is_empty() {
            text.clone_into(&mut file.text);
        }
        self.files.push(file);
    }

    fn document(&mut self, file: &mut File, document: Document, namespace: Option<&str>) {
        let at = (self.files.len(), file.documents.len());
        let before = self.objects.len();
        match list_items(&document.value) {
            Some(items) => {
                for (index, value) in items.iter().enumerate() {
                    self.objects.extend(object(value, at, Some(index), namespace));
                }
            }
            None => self.objects.extend(object(&document.value, at, None, namespace)),
        }
        if self.objects.len() > before {
            file.documents.push(document);
        }
    }

    /// The document in which an object stands.
    pub(crate) fn document_of(&self, object: &Object) -> &Document {
        &self.files[object.file].documents[object.document]
    }

    /// What an object says.
    pub(crate) fn value(&self, object: &Object) -> &Value {
        let value = &self.document_of(object).value;
        object.item.map_or(value, |item| &value["items"][item])
    }
}

fn object(
    value: &Value,
    (file, document): (usize, usize),
    item: Option<usize>,
    namespace: Option<&str>,
) -> Option<Object> {
    let kind = Kind::of(value)?;
    let text = |field: &str| value["metadata"][field].as_str().filter(|text| !text.is_empty());
    let is_of_cluster = matches!(
        kind,
        Kind::ClusterExternalSecret | Kind::Namespace | Kind::Store(StoreKind::ClusterSecretStore)
    );
    let namespace = text("namespace").or(namespace).filter(|_| !is_of_cluster).unwrap_or_default();
    Some(Object {
        kind,
        kind_name: value["kind"].as_str().unwrap_or_default().to_owned(),
        namespace: namespace.to_owned(),
        name: text("name").unwrap_or("?").to_owned(),
        file,
        document,
        item,
    })
}
