//! `waxwing store check`: reaches stores of manifests with the user's own credentials, and says what would work.
//!
//! Nothing that a store gives is ever printed: of a value, whether it can be read, and its version.

use std::path::{Path, PathBuf};

use serde::Serialize;
use waxwing_core::{
    external::{Grants, Pattern, StoreKind, StoreRef, check_key},
    store::{Failure as Refusal, Find, Read},
    yaml,
};
use waxwing_crds::Reason;
use waxwing_providers::{Provider, fetch::Refused};

use crate::{
    args::Context,
    error::{Exit, Explain, Failure, Result},
    input,
    printer::{Format, Tone, count},
    sealed_file::list_items,
    stores::{self, Manifests, Reach, Store, runtime},
};

/// Try out SecretStores and ClusterSecretStores.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Check(Check),
}

/// Reach the stores in these manifests with your own credentials, and say what works: connect, log in, read, find.
///
/// What a store refers to (Secrets, ConfigMaps) is read from the same files. No value is ever shown.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  waxwing store check stores.yaml\n  waxwing store check stores.yaml credentials.yaml --name vault --key app/db --find '^app/'"
)]
struct Check {
    /// Files with manifests; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only the store of this name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Only SecretStores of this namespace; those that say none are taken for being in it
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Read this entry, too
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Count the entries whose names match, too
    #[arg(long, value_name = "REGEXP")]
    find: Option<String>,
    /// Form of the output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    stores: stores::Options,
}

/// One store.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    /// `KIND/NAME`, for a SecretStore `KIND/NAMESPACE/NAME`.
    store: String,
    file: String,
    ok: bool,
    steps: Vec<Step>,
}

/// One thing that was tried. What comes after a failure is not.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    step: &'static str,
    ok: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'static str>,
}

impl Step {
    fn ok(step: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { step, ok: true, message, version: None, found: None, reason: None, cause: None, next: None }
    }

    fn failed(step: &'static str, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            ok: false,
            reason: Some(reason.as_str()),
            cause: Some(reason.cause()),
            next: Some(reason.advice()),
            ..Self::ok(step, message)
        }
    }

    fn line(&self) -> String {
        let after = if self.message.is_empty() { String::new() } else { format!(": {}", self.message) };
        format!("{}{after}", self.step)
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Result {
    let What::Check(args) = args.what;
    if let Some(key) = &args.key {
        check_key(key).map_err(|fault| Failure::usage(format!("--key: {fault}")))?;
    }
    if let Some(regexp) = &args.find
        && Pattern::new(regexp).is_none()
    {
        return Err(Failure::usage("--find: this is no regular expression that is supported"));
    }
    let manifests = read(&args)?;
    let reach = Reach::new(manifests, &args.stores);
    let runtime = runtime()?;
    let mut rows = Vec::new();
    for ((namespace, store), found) in &reach.manifests().stores {
        let is_wanted = args.name.as_ref().is_none_or(|name| *name == store.name)
            && (store.kind == StoreKind::ClusterSecretStore
                || args.namespace.as_ref().is_none_or(|wanted| wanted == namespace));
        if is_wanted {
            for manifest in found {
                let title = title(namespace, store);
                context.printer.progress(&title);
                let steps = runtime.block_on(check(&args, &reach, namespace, store, manifest));
                let file = format!("{}:{}", manifest.file.display(), manifest.line);
                rows.push(Row { store: title, file, ok: steps.iter().all(|step| step.ok), steps });
            }
        }
    }
    if rows.is_empty() {
        return Err(Failure::new("there is no such SecretStore and no such ClusterSecretStore in it")
            .hint("name the files with the manifests; --name and --namespace choose among them"));
    }
    tell(&rows, args.output, context)?;
    Ok(match rows.iter().filter(|row| row.ok).count() {
        0 => Exit::Error,
        ok if ok < rows.len() => Exit::Partly,
        _ => Exit::Done,
    })
}

fn read(args: &Check) -> Result<Manifests> {
    let mut manifests = Manifests::default();
    for path in &args.files {
        let content = input::read(path)?;
        // Why exposed: to be read as YAML; a Secret that a store refers to may stand in it.
        let text = std::str::from_utf8(content.expose())
            .map_err(|_| Failure::new("not UTF-8 text").at(path.display()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let folder = std::path::absolute(folder.join(".")).at(path.display())?;
        for document in yaml::each_document(text).at(path.display())? {
            let mut document = document.at(path.display())?;
            let items = match list_items(&document.value).cloned() {
                Some(items) => items,
                None => vec![document.value.take()],
            };
            for mut value in items {
                if let (Some(namespace), Some(metadata)) =
                    (&args.namespace, value["metadata"].as_object_mut())
                {
                    metadata.entry("namespace").or_insert_with(|| namespace.as_str().into());
                }
                if !manifests.store(&folder, path, document.line, &value) {
                    manifests.referable(&value);
                }
            }
        }
    }
    Ok(manifests)
}

/// `KIND/NAME`, or with the namespace between.
fn title(namespace: &str, store: &StoreRef) -> String {
    if namespace.is_empty() {
        store.to_string()
    } else {
        format!("{}/{namespace}/{}", store.kind, store.name)
    }
}

async fn check(
    args: &Check,
    reach: &Reach,
    namespace: &str,
    store: &StoreRef,
    manifest: &Store,
) -> Vec<Step> {
    let (mut steps, provider) = match connect(reach, namespace, store, manifest) {
        Ok((provider, notes)) => (vec![Step::ok("connect", notes)], provider),
        Err(Refused { reason, message, .. }) => return vec![Step::failed("connect", reason, message)],
    };
    let failed = |step, failure: &Refusal| Step::failed(step, failure.reason(), failure.to_string());
    if let Err(failure) = provider.check().await {
        steps.push(failed("log in", &failure));
        return steps;
    }
    steps.push(Step::ok("log in", ""));
    if let Some(key) = &args.key {
        let read = Read { key: key.clone(), ..Read::default() };
        let answer = provider.read(std::slice::from_ref(&read)).await.into_iter().next();
        steps.push(match answer {
            Some(Ok(entry)) => {
                let version = entry.version.as_ref().map(|version| format!(", version {version}"));
                let message = format!("{key} can be read{}", version.unwrap_or_default());
                Step { version: entry.version, ..Step::ok("read", message) }
            }
            Some(Err(failure)) => failed("read", &failure),
            None => Step::failed("read", Reason::ProviderUnavailable, "the provider gave no answer"),
        });
    }
    if let Some(regexp) = &args.find {
        let find = Find { name: Some(regexp.clone()), ..Find::default() };
        steps.push(match provider.find(&find).await {
            Ok(keys) => {
                let matches = if keys.len() == 1 { "entry matches" } else { "entries match" };
                Step { found: Some(keys.len()), ..Step::ok("find", format!("{} {matches}", keys.len())) }
            }
            Err(failure) => failed("find", &failure),
        });
    }
    steps
}

/// The provider, and what is to be known about the store besides.
fn connect(
    reach: &Reach,
    namespace: &str,
    store: &StoreRef,
    manifest: &Store,
) -> std::result::Result<(std::sync::Arc<dyn Provider>, String), Refused> {
    let malformed = |what: String| Refused::new(Reason::InvalidStore, what);
    let spec = manifest.spec.as_ref().map_err(|what| malformed(what.clone()))?;
    Grants::read(&spec.grants).map_err(|error| malformed(error.to_string()))?;
    let provider = reach.connect(namespace, store, &spec.provider)?;
    let notes = match store.kind {
        StoreKind::ClusterSecretStore if spec.grants.is_empty() => "it grants no namespace anything",
        _ => "",
    };
    Ok((provider, notes.to_owned()))
}

fn tell(rows: &[Row], format: Format, context: &Context) -> Result<()> {
    let say = &context.printer;
    if format == Format::Json {
        return say.json(&rows);
    }
    for row in rows {
        say.line(&row.store)?;
        for step in &row.steps {
            let (word, tone) = if step.ok { ("ok    ", Tone::Good) } else { ("failed", Tone::Bad) };
            let reason = step.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
            say.line(format!("  {}  {}{reason}", say.toned(tone, word), step.line()))?;
            for (word, text) in [("cause", step.cause), ("next", step.next)] {
                if let Some(text) = text {
                    say.line(format!("          {word}: {text}"))?;
                }
            }
        }
    }
    let ok = rows.iter().filter(|row| row.ok).count();
    say.note(format!("{ok} of {} can be used", count(rows.len(), "store")));
    Ok(())
}
