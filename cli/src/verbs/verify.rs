//! `waxwing verify`: everything that can be found wrong with resources in files without any private key and any store.
//! For editors, hooks and the pipeline before a merge.

mod pulled;
mod since;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use serde::Serialize;
use serde_json::Value;
use waxwing_core::{
    keys::NamedRecipient,
    plan::Spec,
    seal::Sealed,
    yaml::{self, Document, YamlError},
};
use waxwing_crds::{Reason, SealedSecret};

use crate::{
    args::Context,
    error::{Exit, Explain, Failure, Result},
    printer::{Format, count},
    repository::{Repositories, Repository},
    revocations::{
        self, Revocations,
        tree::{self, Tree},
    },
    sealed_file::{Found, Within, contains, find, is_sealed_secret, list_items, may_hide_words},
    stores,
};

/// Check sealed files without any key: format, limits, recipients against .waxwing.yaml.
///
/// Finds plaintext Secrets and private keys that lie beside them, too. ExternalSecrets and stores are checked as the
/// operator does it before it asks any store; none is asked here.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files, and folders with files
    #[arg(default_value = ".")]
    paths: Vec<PathBuf>,
    /// Form of the output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Fail if a revocation that the record had at this commit was taken out of it before it was done
    #[arg(long, value_name = "COMMIT")]
    since: Option<String>,
    #[command(flatten)]
    stores: stores::Options,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    file: String,
    line: usize,
    resource: String,
    reason: &'static str,
    message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    files: usize,
    resources: usize,
    findings: &'a [Finding],
}

/// What is being collected.
struct Check<'a> {
    context: &'a Context,
    stores: &'a stores::Options,
    repositories: Repositories,
    /// By folder, as far as they were read.
    trees: BTreeMap<PathBuf, Rc<Tree>>,
    findings: Vec<Finding>,
    resources: usize,
    /// ExternalSecrets and stores.
    pulled: usize,
}

pub(crate) fn run(args: Args, context: &Context) -> Result {
    let stores = &args.stores;
    let mut check = Check {
        context,
        stores,
        repositories: Repositories::default(),
        trees: BTreeMap::new(),
        findings: Vec::new(),
        resources: 0,
        pulled: 0,
    };
    // Some providers want one to be there when they are made.
    let runtime = stores::runtime()?;
    let _within = runtime.enter();
    let Found { files: paths, misnamed } = find(&args.paths, Within::Shown, context)?;
    for path in &misnamed {
        let message =
            "a control character in its name, which could be taken for lines of the output; rename it";
        check.add(Path::new(&format!("{path:?}")), 1, "", "FileName", message);
    }
    for path in &paths {
        context.printer.progress(path.display().to_string());
        check.file(path, args.paths.contains(path))?;
    }
    check.revocations(&args.paths, args.since.as_deref())?;
    let Check { findings, resources, pulled, .. } = check;
    match args.output {
        Format::Json => {
            context.printer.json(&Report {
                files: paths.len(),
                resources: resources + pulled,
                findings: &findings,
            })?;
        }
        Format::Text => {
            for finding in &findings {
                let Finding { file, line, resource, reason, message } = finding;
                let resource = if resource.is_empty() { String::new() } else { format!("{resource}: ") };
                // Names of resources and files are somebody else's: each finding stays on its line.
                let line = format!("{file}:{line}: {resource}{message} ({reason})").replace('\n', "\\n");
                context.printer.line(line)?;
            }
            let (files, found) = (count(paths.len(), "file"), count(findings.len(), "finding"));
            let others = match pulled {
                0 => String::new(),
                _ => format!(" and {} for pulling", count(pulled, "resource")),
            };
            let sealed = count(resources, "sealed resource");
            context.printer.note(format!("{sealed}{others} in {files}, {found}"));
        }
    }
    Ok(if findings.is_empty() { Exit::Done } else { Exit::Found })
}

/// A document, or an item of a list in it.
struct Object<'a> {
    document: &'a Document,
    value: &'a Value,
    text: &'a str,
    is_item: bool,
}

impl Check<'_> {
    fn file(&mut self, path: &Path, named: bool) -> Result<()> {
        let bytes = fs::read(path).at(path.display())?;
        if contains(&bytes, b"AGE-SECRET-KEY-1") {
            self.add(
                path,
                1,
                "",
                "PrivateKey",
                "a private key lies here; it has to be replaced, wherever it was pushed to",
            );
        }
        let kinds: [&[u8]; 3] = [b"SealedSecret", b"ExternalSecret", b"SecretStore"];
        let sealed = contains(&bytes, waxwing_crds::names::GROUP.as_bytes())
            && kinds.into_iter().any(|kind| contains(&bytes, kind));
        if !sealed && !contains(&bytes, b"Secret") && !may_hide_words(&bytes) {
            return Ok(());
        }
        // Templates of Helm and the like are no YAML, and none of our business without a name of ours.
        let ours = sealed || named;
        let Ok(text) = String::from_utf8(bytes) else {
            if ours {
                self.add(path, 1, "", "Unreadable", "not UTF-8 text");
            }
            return Ok(());
        };
        match yaml::each_document(&text) {
            Ok(documents) => {
                for document in documents {
                    match document {
                        Ok(document) => self.document(path, &document, &text),
                        Err(error) if ours => self.unreadable(path, &error),
                        Err(_) => {}
                    }
                }
            }
            Err(error) if ours => self.unreadable(path, &error),
            Err(_) => {}
        }
        Ok(())
    }

    fn document(&mut self, path: &Path, document: &Document, text: &str) {
        match list_items(&document.value) {
            Some(items) => {
                for value in items {
                    self.object(path, &Object { document, value, text, is_item: true });
                }
            }
            None => self.object(path, &Object { document, value: &document.value, text, is_item: false }),
        }
    }

    fn object(&mut self, path: &Path, object: &Object<'_>) {
        let title = title(object.value);
        if is_plaintext(object.value) {
            let message = "a plaintext Secret; seal it with waxwing seal, remove the file, and replace the credential if it was pushed";
            self.add(path, object.document.line, &title, "PlaintextSecret", message);
        }
        if pulled::is_pulled(object.value) {
            self.pulled += 1;
            for fault in pulled::faults(object.value, self.stores) {
                let line = fault.line.unwrap_or(object.document.line);
                self.add(path, line, &title, fault.reason, &fault.message);
            }
        }
        if !is_sealed_secret(object.value) {
            return;
        }
        self.resources += 1;
        if object.value["apiVersion"] != waxwing_crds::names::API_VERSION {
            self.add(
                path,
                object.document.line,
                &title,
                "UnknownVersion",
                "not an apiVersion that this version knows",
            );
            return;
        }
        let typed: std::result::Result<SealedSecret, YamlError> =
            if object.is_item { Ok(SealedSecret::default()) } else { object.document.typed(object.text) };
        // The first knows lines; the second is as strict about types as the API server.
        let typed = typed.and_then(|_| yaml::from_value(object.value));
        match typed {
            Ok(typed) => self.sealed(path, object, &title, &typed),
            Err(error) => {
                let line = error.position().map_or(object.document.line, |(line, _)| line);
                self.add(path, line, &title, Reason::InvalidSpec.as_str(), &error.to_string());
            }
        }
    }

    fn sealed(&mut self, path: &Path, object: &Object<'_>, title: &str, typed: &SealedSecret) {
        let line = object.document.line;
        if path.is_symlink() {
            let message = "a link to a sealed file, which waxwing rewrap leaves alone; its rule is that of the file that it leads to";
            self.add(path, line, title, "LinkedFile", message);
        }
        for field in unknown_fields(object.value, typed) {
            self.add(path, line, title, "UnknownField", &format!("{field} is no field of a SealedSecret"));
        }
        let spec = match Spec::try_from(typed) {
            Ok(spec) => spec,
            Err(error) => {
                self.add(path, line, title, error.reason().as_str(), &Failure::from(error).to_string());
                return;
            }
        };
        let namespace = typed.metadata.namespace.clone().unwrap_or_default();
        if namespace.is_empty() {
            let message = "metadata.namespace is missing, and values are bound to it";
            self.add(path, line, title, "NoNamespace", message);
        }
        for key in spec.sealed.keys_ahead_of(self.context.now) {
            let message = format!(
                "key {key}: its sequence number is ahead of the clock, and the operator does not open it; seal it anew with waxwing set"
            );
            self.add(path, line, title, Reason::SeqInFuture.as_str(), &message);
        }
        for (id, envelope) in spec.sealed.envelopes() {
            let (named, readers) = (envelope.to().len(), envelope.readers());
            if named != readers {
                let message = format!(
                    "envelope {id} names {}, and can be opened by {readers}; run waxwing rewrap, and find out who changed it",
                    count(named, "recipient")
                );
                self.add(path, line, title, "ReadersDiffer", &message);
            }
        }
        let unused = unused(&spec.sealed);
        if unused > 0 {
            let message = format!(
                "{} for no value; the next waxwing set or unset drops that",
                count(unused, "envelope")
            );
            self.add(path, line, title, "UnusedEnvelopes", &message);
        }
        let repository = self.repositories.of(path, self.context);
        let wanted =
            repository.and_then(|repository| Ok((repository.recipients(path, &namespace)?, repository)));
        match wanted {
            Ok((wanted, repository)) => {
                for message in required(&spec.sealed, &repository) {
                    self.add(path, line, title, "RequiredRecipient", &message);
                }
                for message in recipients(&spec.sealed, &wanted, &repository) {
                    self.add(path, line, title, "RecipientsDiffer", &message);
                }
            }
            Err(failure) => self.add(path, line, title, "NoRule", &failure.to_string()),
        }
    }

    /// What was revoked in the repositories of these paths: all of each is looked at, because a value may have moved.
    fn revocations(&mut self, paths: &[PathBuf], since: Option<&str>) -> Result<()> {
        let mut repositories: BTreeMap<PathBuf, Arc<Repository>> = BTreeMap::new();
        let named = paths.iter().filter_map(|path| Repository::of(path, self.context).ok().map(Arc::new));
        for repository in self.repositories.known().into_iter().chain(named) {
            match repository.above(self.context) {
                Ok(above) => {
                    repositories
                        .extend(above.into_iter().map(|above| (above.root().to_owned(), Arc::new(above))));
                }
                Err(failure) => self.add(repository.path(), 1, "", "Unreadable", &failure.to_string()),
            }
            repositories.insert(repository.root().to_owned(), repository);
        }
        for (root, repository) in &repositories {
            let config = repository.path();
            let revocations = match Revocations::read(root) {
                Ok(revocations) => revocations,
                Err(failure) => {
                    self.add(&beside(config, revocations::FILE), 1, "", "Unreadable", &failure.to_string());
                    continue;
                }
            };
            if revocations.revocations.is_empty() {
                continue;
            }
            let tree = self.tree(root)?;
            for finding in revocations::findings(&revocations, &tree, repository)? {
                let file = beside(config, finding.file);
                self.add(&file, finding.line, &finding.resource, finding.reason, &finding.message);
            }
        }
        since.map_or(Ok(()), |since| self.taken_out(since, paths, &repositories))
    }

    /// What lies in a folder, read once.
    fn tree(&mut self, root: &Path) -> Result<Rc<Tree>> {
        if let Some(tree) = self.trees.get(root) {
            return Ok(tree.clone());
        }
        let tree = Rc::new(tree::read(root, self.context)?);
        self.trees.insert(root.to_owned(), tree.clone());
        Ok(tree)
    }

    fn unreadable(&mut self, path: &Path, error: &YamlError) {
        let line = error.position().map_or(1, |(line, _)| line);
        self.add(path, line, "", "Unreadable", &error.to_string());
    }

    fn add(&mut self, path: &Path, line: usize, resource: &str, reason: &'static str, message: &str) {
        self.findings.push(Finding {
            file: path.display().to_string(),
            line,
            resource: resource.to_owned(),
            reason,
            message: message.to_owned(),
        });
    }
}

/// `KIND NAMESPACE/NAME`.
fn title(value: &Value) -> String {
    let named = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let metadata = &value["metadata"];
    let is_of_cluster =
        matches!(value["kind"].as_str(), Some("ClusterSecretStore" | "ClusterExternalSecret"));
    if is_of_cluster {
        return format!("{} {}", named(&value["kind"]), named(&metadata["name"]));
    }
    format!("{} {}/{}", named(&value["kind"]), named(&metadata["namespace"]), named(&metadata["name"]))
}

/// A Secret with a value in it. One that SOPS has encrypted says so.
fn is_plaintext(value: &Value) -> bool {
    let filled = |field: &str| {
        let values = value[field].as_object();
        values.is_some_and(|values| {
            values.values().any(|value| value.as_str().is_some_and(|text| !text.is_empty()))
        })
    };
    value["kind"] == "Secret"
        && value["apiVersion"] == "v1"
        && value.get("sops").is_none()
        && (filled("data") || filled("stringData"))
}

/// Envelopes that no token points to.
fn unused(sealed: &Sealed) -> usize {
    sealed.envelopes().len() - sealed.envelopes_in_use().count()
}

/// A path from the folder of the configuration, as short as the configuration's own.
fn beside(config: &Path, file: impl AsRef<Path>) -> PathBuf {
    config.parent().unwrap_or(Path::new("")).join(file)
}

/// Envelopes that do not name a recipient which every file must carry.
fn required(sealed: &Sealed, repository: &Repository) -> Vec<String> {
    let members = repository.config().members().iter().filter(|member| member.required);
    let required: Vec<String> = members.map(|member| member.recipient.hint()).collect();
    let mut messages = Vec::new();
    for (id, envelope) in sealed.envelopes() {
        let named: Vec<String> = envelope.to().iter().map(ToString::to_string).collect();
        for hint in required.iter().filter(|hint| !named.contains(hint)) {
            messages.push(format!(
                "envelope {id} is not for {hint}, which is required in every file; run waxwing rewrap (this goes by the hints, which are no proof: only an identity shows who can open it)"
            ));
        }
    }
    messages
}

/// What the hints of the envelopes say against the rule. Hints prove nothing, but whoever seals
/// with this command leaves them true. Required recipients are told of by themselves.
fn recipients(sealed: &Sealed, wanted: &[NamedRecipient], repository: &Repository) -> Vec<String> {
    let required: Vec<&NamedRecipient> = repository
        .config()
        .members()
        .iter()
        .filter(|member| member.required)
        .map(|member| &member.recipient)
        .collect();
    let all: Vec<String> = wanted.iter().map(NamedRecipient::hint).collect();
    let wanted: Vec<String> =
        wanted.iter().filter(|named| !required.contains(named)).map(NamedRecipient::hint).collect();
    let mut messages = Vec::new();
    for (id, envelope) in sealed.envelopes() {
        let named: Vec<String> = envelope.to().iter().map(ToString::to_string).collect();
        let lacks: Vec<&str> =
            wanted.iter().filter(|hint| !named.contains(hint)).map(String::as_str).collect();
        let extra: Vec<&str> = named.iter().filter(|hint| !all.contains(hint)).map(String::as_str).collect();
        if !lacks.is_empty() {
            messages.push(format!("envelope {id} is not for {}; run waxwing rewrap", lacks.join(", ")));
        }
        if !extra.is_empty() {
            messages.push(format!(
                "envelope {id} is for {}, whom no rule names; run waxwing rewrap",
                extra.join(", ")
            ));
        }
    }
    messages
}

/// Fields that the type does not have: the API server would drop them, or refuse them, by its mode.
fn unknown_fields(value: &Value, typed: &SealedSecret) -> Vec<String> {
    let Ok(known) = serde_json::to_value(typed) else { return Vec::new() };
    let mut unknown = Vec::new();
    compare("spec", &value["spec"], &known["spec"], &mut unknown);
    unknown
}

fn compare(path: &str, value: &Value, known: &Value, unknown: &mut Vec<String>) {
    let (Some(value), Some(known)) = (value.as_object(), known.as_object()) else { return };
    for (field, inner) in value {
        let path = format!("{path}.{field}");
        match known.get(field) {
            Some(known) => compare(&path, inner, known, unknown),
            None if OMITTED.contains(&field.as_str()) && is_empty(inner) => {}
            None => unknown.push(path),
        }
    }
}

/// Fields that are not written when they are empty.
const OMITTED: [&str; 6] = ["annotations", "data", "immutable", "labels", "metadata", "template"];

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty)
}
