//! `waxwing check`: what would go wrong with injections, before they are merged.

use std::path::{Path, PathBuf};

use crate::{
    args::Context,
    check::{self, Form, Options, Severity, Tree},
    error::{Exit, Failure, Result},
    sealed_file::files,
};

/// Check injections without cluster and secrets: references, literals, configurations, route tests.
///
/// Resolves every reference against the SealedSecrets, ExternalSecrets and stores in the same files, puts stand-ins in the
/// places of credentials, and judges what comes of it as Alertmanager, prometheus-operator and Grafana would. AlertmanagerConfig
/// of prometheus-operator and valuesFrom of grafana-operator are looked at for their references. Never shows a value.
/// `waxwing verify` checks the sealed files themselves.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  waxwing check deploy/ --target alertmanager=0.34,prometheus-operator=0.93\n  helm template monitoring charts/monitoring | waxwing check - secrets/ --output sarif"
)]
pub(crate) struct Args {
    /// Files, and folders with files; - is standard input
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    /// Form of the output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Form,
    /// Fail on warnings, too
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    options: Options,
}

pub(crate) fn run(args: Args, context: &Context) -> Result {
    args.options.check()?;
    for (_, message) in args.options.targets().newer() {
        context.printer.warning(format!("--target: {message}"));
    }
    let tree = tree(&args, context)?;
    let report = check::check(&tree, &args.options);
    report.print(args.output, args.strict, &context.printer)?;
    let fails = report.count(Severity::Error) > 0 || args.strict && report.count(Severity::Warning) > 0;
    Ok(if fails { Exit::Found } else { Exit::Done })
}

fn tree(args: &Args, context: &Context) -> Result<Tree> {
    let standard_input = Path::new("-");
    let (input, paths): (Vec<PathBuf>, Vec<PathBuf>) =
        args.paths.iter().cloned().partition(|path| path == standard_input);
    let mut tree = Tree::default();
    if input.len() > 1 {
        return Err(Failure::usage("standard input is named twice"));
    }
    if !input.is_empty() {
        tree.read(standard_input, true, args.options.namespace())?;
    }
    for path in files(&paths, context)? {
        context.printer.progress(path.display().to_string());
        tree.read(&path, args.paths.contains(&path), args.options.namespace())?;
    }
    Ok(tree)
}
