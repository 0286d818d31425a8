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
        check, compact, completion, import, init, keys, merge_driver, open, quickstart, recipients,
        reference, render, revoke, rewrap, route, seal, set, store, textconv, unset, verify,
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
    Revoke(revoke::Args),
    Compact(compact::Args),
    Verify(verify::Args),
    Check(check::Args),
    Render(render::Args),
    Store(store::Args),
    Route(route::Args),
    Import(import::Args),
    Keys(keys::Args),
    MergeDriver(merge_driver::Args),
    Textconv(textconv::Args),
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
            Self::Revoke(args) => revoke::run(args, context),
            Self::Compact(args) => compact::run(args, context),
            Self::Verify(args) => verify::run(args, context),
            Self::Check(args) => check::run(args, context),
            Self::Render(args) => render::run(args, context),
            Self::Store(args) => store::run(args, context),
            Self::Route(args) => route::run(args, context),
            Self::Import(args) => import::run(args, context),
            Self::Keys(args) => keys::run(args, context),
            Self::MergeDriver(args) => merge_driver::run(args, context),
            Self::Textconv(args) => textconv::run(args, context),
            Self::Quickstart(args) => quickstart::run(args, context),
            Self::Completion(args) => completion::run(args, context),
            Self::Reference(args) => reference::run(args, context),
        }
    }

    /// Whether plaintext or private keys may come into memory.
    fn holds_secrets(&self) -> bool {
        !matches!(
            self,
            Self::Completion(_)
                | Self::MergeDriver(_)
                | Self::Reference(_)
                | Self::Textconv(_)
                | Self::Verify(_)
        )
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
    protect::quiet_panics();
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
    let command = Arguments::command().bin_name(name).after_help(format!("Exit codes:\n{exits}"));
    let command = if cfg!(feature = "cluster") { command } else { without_cluster(command) };
    if cfg!(feature = "git") { command } else { without_git(command) }
}

/// The parser of a build that talks to no Git server.
fn without_git(command: clap::Command) -> clap::Command {
    command.mut_subcommand("rewrap", |command| {
        let before = command.get_after_help().map(|help| format!("{help}\n\n")).unwrap_or_default();
        command.after_help(format!(
            "{before}This build talks to no Git server. One that can clone, commit and push:\n  {WITH_GIT}"
        ))
    })
}

/// How to get a build with `rewrap --git`, from a checkout.
const WITH_GIT: &str = "cargo install --locked --path cli --features git";

/// The parser of a build that talks to no cluster: the commands that could say how to get one.
fn without_cluster(mut command: clap::Command) -> clap::Command {
    let note = |command: clap::Command, can: &str| {
        let before = command.get_after_help().map(|help| format!("{help}\n\n")).unwrap_or_default();
        command.after_help(format!(
            "{before}This build talks to no cluster. One that can {can}:\n  {WITH_CLUSTER}"
        ))
    };
    for (verb, can) in CLUSTER_VERBS {
        command = match verb.split_once(' ') {
            None => command.mut_subcommand(verb, |verb| note(verb, can)),
            Some((verb, inner)) => {
                command.mut_subcommand(verb, |verb| verb.mut_subcommand(inner, |verb| note(verb, can)))
            }
        };
    }
    command
}

/// How to get a build that talks to clusters, from a checkout.
const WITH_CLUSTER: &str = "cargo install --locked --path cli --features cluster";

/// The commands that do more in such a build, and what.
const CLUSTER_VERBS: [(&str, &str); 7] = [
    ("init", "read KeyRings from kubeconfig contexts"),
    ("recipients diff", "read KeyRings from kubeconfig contexts"),
    ("seal", "tell changed values by the live Secrets"),
    ("rewrap", "take the envelopes that the operator proposes"),
    ("keys", "look after a ring's keys"),
    ("keys status", "look at a cluster, too"),
    ("quickstart", "do it in a cluster"),
];

/// The options that only such a build has.
const CLUSTER_OPTIONS: [&str; 7] =
    ["--cluster", "--compare-live", "--context", "--from-cluster", "--in-namespace", "--keyring", "--yes"];

fn is_cluster_option(arg: &OsString) -> bool {
    let arg = arg.to_string_lossy();
    CLUSTER_OPTIONS.contains(&arg.split('=').next().unwrap_or_default())
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
    let exit = printer.parser_says(error);
    if cfg!(not(feature = "cluster"))
        && error.kind() == ErrorKind::UnknownArgument
        && args.iter().any(is_cluster_option)
    {
        printer.hint(format!("this build talks to no cluster; one that does: {WITH_CLUSTER}"));
    }
    let is_git = |arg: &OsString| arg.to_string_lossy().split('=').next() == Some("--git");
    if cfg!(not(feature = "git")) && error.kind() == ErrorKind::UnknownArgument && args.iter().any(is_git) {
        printer.hint(format!("this build talks to no Git server; one that does: {WITH_GIT}"));
    }
    exit
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_clusters_says_how_to_get_one() {
        for (verb, can) in CLUSTER_VERBS {
            let mut command = without_cluster(Arguments::command());
            let mut found = &mut command;
            for word in verb.split(' ') {
                found = found.find_subcommand_mut(word).unwrap();
            }
            let help = found.render_long_help().to_string();
            assert!(help.contains(can) && help.contains(WITH_CLUSTER), "{help}");
        }
    }

    #[cfg(feature = "cluster")]
    #[test]
    fn the_list_of_cluster_options_is_complete() {
        fn collect(command: &clap::Command, found: &mut std::collections::BTreeSet<String>) {
            for argument in command.get_arguments() {
                if argument.get_help_heading() == Some(CLUSTER) {
                    found.insert(format!("--{}", argument.get_long().unwrap()));
                }
            }
            command.get_subcommands().for_each(|inner| collect(inner, found));
        }
        let mut found = std::collections::BTreeSet::new();
        collect(&Arguments::command(), &mut found);
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), CLUSTER_OPTIONS);
    }

    #[test]
    fn no_help_names_an_option_that_is_not_there() {
        fn check(command: &mut clap::Command) {
            let help = command.render_long_help().to_string();
            let has = |name: &str| command.get_arguments().any(|argument| argument.get_long() == Some(name));
            for option in CLUSTER_OPTIONS.iter().filter(|option| !has(option.trim_start_matches("--"))) {
                let named =
                    help.split_whitespace().any(|word| word.trim_end_matches(['.', ',', ';']) == *option);
                assert!(!named, "{option}: {help}");
            }
            command.get_subcommands_mut().for_each(check);
        }
        let mut command = Arguments::command();
        command.build();
        check(&mut command);
    }
}
