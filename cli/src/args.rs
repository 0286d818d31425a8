//! The command line: the verbs, what they have in common, and the one way in and out.
//!
//! Each verb is one file under `verbs/` with its `Args` and its `run`. A new verb is a `mod` line
//! there, a variant of [`Verb`] and an arm of [`Verb::run`].

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};

use crate::{
    error::{Exit, Failure, Result},
    printer::Printer,
    protect,
    verbs::{
        compact, completion, init, keys, open, quickstart, recipients, reference, render, rewrap, seal, set,
        unset, verify,
    },
};

/// Seals secrets into resources that may lie in Git, and opens them again for those who hold a key.
#[derive(Debug, Parser)]
#[command(name = "waxwing", bin_name = "waxwing", version, max_term_width = 100)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Args)]
struct Global {
    /// The configuration file. Default: .waxwing.yaml in the folder of the file at hand or in the
    /// nearest one above
    #[arg(long, global = true, value_name = "FILE", help_heading = "Options for every command")]
    config: Option<PathBuf>,
    /// Say more about what is done
    #[arg(long, short, global = true, help_heading = "Options for every command")]
    verbose: bool,
}

/// Heading of the options that only a build with the feature has.
#[cfg(feature = "cluster")]
pub(crate) const CLUSTER: &str = "With a cluster (cargo feature `cluster`)";

/// What to do.
#[derive(Debug, Subcommand)]
enum Verb {
    Init(init::Args),
    Recipients(recipients::Args),
    Seal(seal::Args),
    Set(set::Args),
    Unset(unset::Args),
    Open(open::Args),
    Rewrap(rewrap::Args),
    Compact(compact::Args),
    Verify(verify::Args),
    Render(render::Args),
    Keys(keys::Args),
    Quickstart(quickstart::Args),
    Completion(completion::Args),
    #[command(hide = true)]
    Reference(reference::Args),
}

impl Verb {
    fn run(self, context: &Context) -> Result {
        match self {
            Self::Init(args) => init::run(args, context),
            Self::Recipients(args) => recipients::run(args, context),
            Self::Seal(args) => seal::run(args, context),
            Self::Set(args) => set::run(args, context),
            Self::Unset(args) => unset::run(args, context),
            Self::Open(args) => open::run(args, context),
            Self::Rewrap(args) => rewrap::run(args, context),
            Self::Compact(args) => compact::run(args, context),
            Self::Verify(args) => verify::run(args, context),
            Self::Render(args) => render::run(args, context),
            Self::Keys(args) => keys::run(args, context),
            Self::Quickstart(args) => quickstart::run(args, context),
            Self::Completion(args) => completion::run(args, context),
            Self::Reference(args) => reference::run(args, context),
        }
    }

    /// Whether plaintext or private keys may come into memory.
    fn holds_secrets(&self) -> bool {
        !matches!(self, Self::Completion(_) | Self::Reference(_) | Self::Verify(_))
    }
}

/// What every verb is given.
pub(crate) struct Context {
    /// Where to say things.
    pub(crate) printer: Printer,
    /// The configuration file, if one was named.
    pub(crate) config: Option<PathBuf>,
    /// Unix seconds; read once, so that one command is one moment.
    pub(crate) now: i64,
}

/// Runs one command line and says with what code to exit.
pub(crate) fn run(args: impl IntoIterator<Item = OsString>) -> Exit {
    let args: Vec<OsString> = args.into_iter().collect();
    if args.iter().any(is_private_key) {
        let failure = private_key_in_arguments();
        Printer::new(false).failure(&failure);
        return failure.code();
    }
    let parsed = command(called_as(&args))
        .try_get_matches_from(&args)
        .and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = match parsed {
        Ok(arguments) => arguments,
        Err(error) => return complain(&error, &args),
    };
    let printer = Printer::new(arguments.global.verbose);
    if arguments.verb.holds_secrets() && !protect::protect_memory() {
        printer.detail("the memory of this process could not be protected from other processes");
    }
    let context = Context { printer, config: arguments.global.config, now: now() };
    arguments.verb.run(&context).unwrap_or_else(|failure| {
        context.printer.failure(&failure);
        failure.code()
    })
}

/// The parser, with the name that it is called by in its help.
pub(crate) fn command(name: &'static str) -> clap::Command {
    let exits = Exit::TABLE.map(|(exit, meaning)| format!("  {}  {meaning}\n", exit as u8)).concat();
    Arguments::command().bin_name(name).after_help(format!("Exit codes:\n{exits}"))
}

/// `kubectl` finds a plugin by the name of its file.
fn called_as(args: &[OsString]) -> &'static str {
    let file = args.first().and_then(|first| Path::new(first).file_name());
    if file.is_some_and(|file| file.to_string_lossy().starts_with("kubectl-")) {
        "kubectl waxwing"
    } else {
        "waxwing"
    }
}

/// What the parser complains about may be a value that somebody took for an argument of `set`: it
/// must not come back on the screen and in the logs of a pipeline.
fn complain(error: &clap::Error, args: &[OsString]) -> Exit {
    let printer = Printer::new(false);
    let is_set = args
        .iter()
        .skip(1)
        .find(|arg| !arg.to_string_lossy().starts_with('-'))
        .is_some_and(|arg| arg == "set");
    if is_set && matches!(error.kind(), ErrorKind::UnknownArgument | ErrorKind::TooManyValues) {
        let failure = set::value_in_arguments();
        printer.failure(&failure);
        return failure.code();
    }
    printer.parser_says(error)
}

/// Whether an argument holds a private key, where the path of its file was meant, or in a name. No
/// verb takes one, so each is stopped before anything could repeat it.
fn is_private_key(arg: &OsString) -> bool {
    arg.to_string_lossy().to_ascii_uppercase().contains("AGE-SECRET-KEY-")
}

fn private_key_in_arguments() -> Failure {
    Failure::usage(
        "an argument holds a private key; here belongs the path of its file, or a recipient (age1…)",
    )
    .hint("put the key into a file with mode 0600, and name that with --identity FILE")
    .hint("other processes and the shell's history can read arguments: if the key is in use, replace it")
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
