//! For a holder of an identity: where a value that doesn't open was sealed for.
//!
//! Candidates come from the repository and from the name itself (a kustomize prefix or suffix).
//! The operator never looks for this, because its answer would tell names to whoever asks.

use std::{collections::BTreeSet, fs, path::PathBuf};

use serde_json::Value;
use waxwing_core::{
    keys::Identities,
    seal::{Binding, DataKey, OpenError, Scope, Sealed},
    yaml,
};
use waxwing_crds::SealedSecretSpec;

use crate::{
    args::Context,
    error::{Exit, Failure},
    sealed_file::{files, list_items},
};

/// Bindings tried at most. Each costs microseconds, so this stays under a second.
const TRIES: usize = 200_000;

/// What was learned from a repository's resources.
#[derive(Default)]
struct Names {
    namespaces: BTreeSet<String>,
    names: BTreeSet<String>,
    types: BTreeSet<String>,
}

/// Turns a failure to open into one that says what to do.
pub(crate) fn explain(
    error: OpenError,
    sealed: &Sealed,
    identities: &Identities,
    folders: &[PathBuf],
    context: &Context,
) -> Failure {
    let failure = Failure::from(error.clone());
    match &error {
        OpenError::NoMatchingKey { .. } => failure
            .exit(Exit::CannotOpen)
            .hint("name the file of an identity that it names with --identity; `waxwing keys list` shows those at hand"),
        OpenError::BindingMismatch { key } => match find(key, sealed, identities, folders, context) {
            Some(place) => failure.hint(format!("it opens as {place}; put it back there, or seal the value anew")),
            None => failure.hint("no other place for it was found in this repository; seal the value anew"),
        },
        OpenError::SeqInFuture { .. } => {
            failure.hint("check the clocks of this machine and of the one that sealed it; a value sealed now is fine")
        }
        OpenError::CommitMismatch { .. } | OpenError::CorruptEnvelope { .. } | OpenError::BadPadding { .. } => {
            failure.hint("take the file as it was before from Git; whoever made this one did not use waxwing seal")
        }
        OpenError::UnknownKey { .. } => failure.hint(format!("its keys are {}", keys_of(sealed))),
        _ => failure,
    }
}

/// The key names, for people.
pub(crate) fn keys_of(sealed: &Sealed) -> String {
    let keys = sealed.tokens().keys().map(DataKey::as_str).collect::<Vec<_>>();
    if keys.is_empty() { "none".to_owned() } else { keys.join(", ") }
}

fn find(
    key: &DataKey,
    sealed: &Sealed,
    identities: &Identities,
    folders: &[PathBuf],
    context: &Context,
) -> Option<String> {
    if let Some(other) = other_key(key, sealed, identities, context.now) {
        return Some(format!("the key {other} of this resource"));
    }
    let here = sealed.binding();
    let mut names = Names::read(folders, context);
    names.add_near(here);
    let candidates = names.bindings();
    let found = sealed.sealed_for(key, identities, candidates.iter().take(TRIES))?;
    let mut differences = Vec::new();
    if found.scope != here.scope {
        differences.push(format!("scope {}", found.scope));
    }
    if found.scope != Scope::Cluster && found.namespace != here.namespace {
        differences.push(format!("namespace {}", found.namespace));
    }
    if found.scope == Scope::Strict && found.name != here.name {
        differences.push(format!("name {}", found.name));
    }
    if found.secret_type != here.secret_type {
        differences.push(format!("type {}", found.secret_type));
    }
    Some(differences.join(", "))
}

/// Whether the value opens under another key of the same resource: two values were swapped.
fn other_key(key: &DataKey, sealed: &Sealed, identities: &Identities, now: i64) -> Option<DataKey> {
    let mut spec = SealedSecretSpec::default();
    sealed.write_into(&mut spec);
    let token = spec.data.get(key.as_str())?.clone();
    let binding = sealed.binding();
    sealed.tokens().keys().filter(|other| *other != key).find_map(|other| {
        let mut swapped = spec.clone();
        swapped.data.insert(other.to_string(), token.clone());
        let swapped = Sealed::parse(&swapped, &binding.namespace, &binding.name).ok()?;
        swapped.open_key(other, identities, now).ok().map(|_| other.clone())
    })
}

impl Names {
    /// Everything that the resources of a repository are called. Files that can't be read have
    /// nothing to say here.
    fn read(folders: &[PathBuf], context: &Context) -> Self {
        let mut names = Self::default();
        for path in files(folders, context).unwrap_or_default() {
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let documents = yaml::each_document(&text).unwrap_or_default();
            for document in documents.iter().flatten() {
                names.learn(&document.value);
            }
        }
        names
    }

    fn learn(&mut self, value: &Value) {
        if let Some(items) = list_items(value) {
            items.iter().for_each(|item| self.learn(item));
        }
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let metadata = &value["metadata"];
        self.namespaces.extend(text(&metadata["namespace"]));
        match value["kind"].as_str() {
            Some("SealedSecret" | "Secret") => {
                self.names.extend(text(&metadata["name"]));
                self.types.extend(text(&value["type"]).or_else(|| text(&value["spec"]["type"])));
            }
            Some("Namespace") => self.namespaces.extend(text(&metadata["name"])),
            Some("Kustomization") => self.namespaces.extend(text(&value["namespace"])),
            // A kustomization may leave out its kind.
            None => self.namespaces.extend(text(&value["namespace"])),
            _ => {}
        }
    }

    /// What lies near the present place: the name without a prefix or a suffix.
    fn add_near(&mut self, here: &Binding) {
        self.namespaces.extend([here.namespace.clone(), "default".to_owned()]);
        self.types.extend([here.secret_type.clone(), "Opaque".to_owned()]);
        self.names.insert(here.name.clone());
        for (at, _) in here.name.match_indices('-') {
            self.names.extend([here.name[..at].to_owned(), here.name[at + 1..].to_owned()]);
        }
    }

    fn bindings(&self) -> Vec<Binding> {
        let mut bindings = Vec::new();
        for secret_type in &self.types {
            let mut add = |scope, namespace: &str, name: &str| {
                bindings.push(Binding {
                    scope,
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                    secret_type: secret_type.clone(),
                });
            };
            add(Scope::Cluster, "", "");
            for namespace in &self.namespaces {
                add(Scope::Namespace, namespace, "");
                for name in &self.names {
                    add(Scope::Strict, namespace, name);
                }
            }
        }
        bindings
    }
}
