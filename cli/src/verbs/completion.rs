//! `waxwing completion`: a script for the user's shell.

use clap_complete::Shell;

use crate::{
    args::{self, Context},
    error::{Exit, Result},
};

/// Print a completion script for a shell.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  waxwing completion bash > ~/.local/share/bash-completion/completions/waxwing"
)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: Args, context: &Context) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command("waxwing"), "waxwing", &mut script);
    context.printer.bytes(&script)?;
    Ok(Exit::Done)
}
