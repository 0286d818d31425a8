//! `waxwing import`: from configurations with credentials in them to sealed credentials and references.

use std::path::{Path, PathBuf};

use waxwing_core::{alertmanager::Version, plan::is_object_name, yaml};
use waxwing_crds::{AlertmanagerInjection, AlertmanagerTargetKind};

use crate::{
    args::Context,
    error::{Exit, Explain, Failure, Result},
    import::{Imported, Wish, import, read},
    printer::count,
    verbs::seal,
    write::{self, Lock, Mode},
};

/// Take the credentials out of a configuration, seal them, and leave references in their places.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Alertmanager(Alertmanager),
}

/// Make a SealedSecret and an AlertmanagerInjection of an alertmanager.yaml.
///
/// FILE is a native alertmanager.yaml, or the manifest of the Secret that holds it; - is standard input. Each credential
/// gets a key of its own in one SealedSecret, for whom .waxwing.yaml names. What is made is rendered again and compared: it
/// gives the same configuration. Comments are not taken over. Nothing is written where something stands already.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  waxwing import alertmanager alertmanager.yaml --namespace monitoring --into deploy
  kubectl get secret alertmanager-main -o yaml | waxwing import alertmanager - --into deploy --target prometheus-operator")]
struct Alertmanager {
    /// The configuration; - is standard input
    file: PathBuf,
    /// Namespace of what is made. Default: that of the Secret in FILE
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Name of the injection. Default: that of the Secret in FILE, else alertmanager
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Name of the SealedSecret. Default: that of the injection, with -credentials
    #[arg(long, value_name = "NAME")]
    secret_name: Option<String>,
    /// Name of the Secret that the configuration will be published in. Default: that of the injection, with -config
    #[arg(long, value_name = "NAME")]
    target_secret: Option<String>,
    /// Who reads that Secret
    #[arg(long, value_name = "KIND", default_value = "plain")]
    target: Kind,
    /// The version of Alertmanager. Default: the newest that is known
    #[arg(long, value_name = "VERSION")]
    alertmanager: Option<Version>,
    /// The key of the Secret in FILE that holds the configuration
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Write sealed-secret.yaml and alertmanager-injection.yaml into this folder; else both to standard output
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
    /// Write over these files where they exist
    #[arg(long)]
    force: bool,
}

/// Who reads the Secret.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Kind {
    /// A pod that has it mounted, or a server beside `waxwing render`
    Plain,
    /// prometheus-operator, as the configSecret of an Alertmanager
    PrometheusOperator,
}

/// The files.
const SEALED: &str = "sealed-secret.yaml";
const INJECTION: &str = "alertmanager-injection.yaml";
/// The key of a published configuration where the spec does not say.
const KEY: &str = "alertmanager.yaml";

pub(crate) fn run(args: Args, context: &Context) -> Result {
    match args.what {
        What::Alertmanager(args) => alertmanager(&args, context),
    }
}

fn alertmanager(args: &Alertmanager, context: &Context) -> Result {
    let found = read(&args.file, args.key.as_deref())?;
    let (its_namespace, its_name, its_key) = match found.secret.clone() {
        Some((namespace, name, key)) => (namespace, Some(name), Some(key)),
        None => (None, None, None),
    };
    let namespace = args.namespace.clone().or(its_namespace).ok_or_else(|| {
        Failure::usage("values are bound to a namespace, and none is named").hint("say --namespace NAMESPACE")
    })?;
    let name = args.name.clone().or(its_name).unwrap_or_else(|| "alertmanager".to_owned());
    let secret = args.secret_name.clone().unwrap_or_else(|| format!("{name}-credentials"));
    let target = args.target_secret.clone().unwrap_or_else(|| format!("{name}-config"));
    if target == secret {
        return Err(Failure::usage("--secret-name and --target-secret must be two Secrets"));
    }
    let wish = Wish {
        secret: &secret,
        target: &target,
        key: its_key.as_deref().filter(|key| *key != KEY),
        kind: match args.target {
            Kind::Plain => AlertmanagerTargetKind::Plain,
            Kind::PrometheusOperator => AlertmanagerTargetKind::PrometheusOperator,
        },
        version: args.alertmanager,
    };
    for name in [&name, &secret, &target] {
        if !is_object_name(name) {
            return Err(Failure::usage(format!("{name} is no name that Kubernetes takes")));
        }
    }
    let is_file = args.file != Path::new("-");
    let title = if is_file { args.file.display().to_string() } else { "standard input".to_owned() };
    let Imported { spec, values, notes } = import(&found, &wish).at(&title)?;
    if values.is_empty() {
        context.printer.warning(format!("{title}: there is no credential in it"));
    }
    let number = values.len();
    let folder = args.into.as_deref().unwrap_or(Path::new("."));
    let mut object = AlertmanagerInjection { spec, ..AlertmanagerInjection::default() };
    object.metadata.name = Some(name);
    object.metadata.namespace = Some(namespace.clone());
    let mut files = vec![(INJECTION, yaml::to_string(&object)?)];
    if !values.is_empty() {
        let path = folder.join(SEALED);
        files.insert(0, (SEALED, seal::new(&namespace, &secret, values, &path, context)?));
    }
    match &args.into {
        Some(folder) => write_all(folder, &files, args.force)?,
        None => {
            let mut text = String::new();
            files.iter().for_each(|(_, document)| seal::append(&mut text, document));
            context.printer.bytes(text.as_bytes())?;
        }
    }
    for note in notes {
        context.printer.note(note);
    }
    if number > 0 {
        let sealed = count(number, "credential");
        context.printer.note(format!("{sealed} of {title} sealed into Secret {namespace}/{secret}"));
    }
    context
        .printer
        .note(format!("rendered again it is the same configuration, for Secret {namespace}/{target}"));
    if matches!(args.target, Kind::PrometheusOperator) {
        context
            .printer
            .hint(format!("say `configSecret: {target}` in the Alertmanager once that Secret is there"));
    }
    if args.into.is_some() {
        let injection = folder.join(INJECTION);
        let last = if is_file {
            format!("commit both files, and remove {title}")
        } else {
            "commit both files".to_owned()
        };
        context.printer.hint(format!("next: look at {}, {last}", injection.display()));
    }
    context.printer.hint("comments are not taken over; credentials that were ever committed in clear are in the history: replace them");
    Ok(Exit::Done)
}

/// Writes all files, or none.
fn write_all(folder: &Path, files: &[(&str, String)], force: bool) -> Result<()> {
    let paths: Vec<PathBuf> = files.iter().map(|(name, _)| folder.join(name)).collect();
    std::fs::create_dir_all(folder).at(folder.display())?;
    let _lock = Lock::beside(paths.iter().map(PathBuf::as_path))?;
    if let Some(path) = paths.iter().find(|path| !force && path.symlink_metadata().is_ok()) {
        return Err(Failure::new("exists already")
            .at(path.display())
            .hint("choose another folder, or insist with --force"));
    }
    let mut prepared = Vec::new();
    for (path, (_, text)) in paths.iter().zip(files) {
        prepared.push((path, write::prepare(path, text.as_bytes(), Mode::Keep).at(path.display())?));
    }
    prepared.into_iter().try_for_each(|(path, prepared)| prepared.commit().at(path.display()))
}
