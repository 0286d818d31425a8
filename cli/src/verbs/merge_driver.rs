//! `waxwing merge-driver`: merges files with sealed resources for Git, without any key.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    args::Context,
    error::{Exit, Explain, Failure, Result},
    merge::{self, Markers},
    printer::Format,
    sealed_file::changed_meanwhile,
    work_tree::{git, output},
    write::{self, Lock, Mode},
};

/// Merge a file with sealed resources for Git; needs no key. Git calls it after --install.
///
/// Changes of different keys always merge. The same key changed on both sides is a conflict, marked at its line.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  waxwing merge-driver --install")]
pub(crate) struct Args {
    /// The file as both sides had it (%O)
    #[arg(required_unless_present = "install")]
    base: Option<PathBuf>,
    /// The file of the branch that is merged into; the result is written here (%A)
    #[arg(required_unless_present = "install")]
    ours: Option<PathBuf>,
    /// The file of the branch that is merged (%B)
    #[arg(required_unless_present = "install")]
    theirs: Option<PathBuf>,
    /// Where the file lies in the repository (%P)
    path: Option<PathBuf>,
    /// How many signs mark a conflict (%L)
    #[arg(long, value_name = "NUMBER", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1000))]
    marker_size: u16,
    /// Have Git of this repository call it: writes lines to .gitattributes and to its configuration
    #[arg(long, conflicts_with_all = ["base", "marker_size"])]
    install: bool,
    /// With --install: the files that it is for; may be repeated
    #[arg(long, value_name = "PATTERN", requires = "install", default_values = ["*.yaml", "*.yml", "*.json"])]
    pattern: Vec<String>,
    /// With --install: form of the output
    #[arg(long, value_name = "FORMAT", default_value = "text", requires = "install")]
    output: Format,
}

pub(crate) fn run(args: Args, context: &Context) -> Result {
    match (&args.base, &args.ours, &args.theirs) {
        (Some(base), Some(ours), Some(theirs)) => {
            let markers = Markers { size: usize::from(args.marker_size) };
            let path = args.path.as_deref().unwrap_or(ours);
            merge_files([base, ours, theirs], path, markers, context)
        }
        _ => install(&args, context),
    }
}

/// Any failure here is a conflict to Git, which keeps our side's file.
fn merge_files(files: [&Path; 3], path: &Path, markers: Markers, context: &Context) -> Result {
    let read = |path: &Path| fs::read(path).at(path.display());
    let [base, ours, theirs] = files;
    let merged = merge::merge(&read(base)?, &read(ours)?, &read(theirs)?, markers).at(path.display())?;
    write::replace(ours, &merged.text, Mode::Keep).at(ours.display())?;
    for conflict in &merged.conflicts {
        context.printer.note(format!("conflict: {}: {conflict}", path.display()));
    }
    Ok(if merged.conflicts.is_empty() { Exit::Done } else { Exit::Error })
}

/// The configuration of the driver and of `textconv`.
const CONFIG: [(&str, &str); 3] = [
    ("merge.waxwing.name", "merge of sealed resources"),
    ("merge.waxwing.driver", "waxwing merge-driver --marker-size=%L -- %O %A %B %P"),
    ("diff.waxwing.textconv", "waxwing textconv --"),
];
/// What `.gitattributes` says of the files.
const ATTRIBUTES: &str = "diff=waxwing merge=waxwing";

/// What was done, for programs.
#[derive(Serialize)]
struct Installed {
    attributes: String,
    /// Lines that were added.
    added: Vec<String>,
    /// Settings that were made.
    config: Vec<String>,
}

fn install(args: &Args, context: &Context) -> Result {
    if let Some(bad) = args.pattern.iter().find(|pattern| !is_plain(pattern)) {
        return Err(Failure::usage(format!("{bad:?} is no pattern for .gitattributes"))
            .hint("it takes no spaces, no quotes, and no ! or # at its beginning"));
    }
    let top = output(git(&std::env::current_dir()?).args(["rev-parse", "--show-toplevel"]))
        .hint("run it inside of the work tree that the files lie in")?;
    let top = PathBuf::from(String::from_utf8_lossy(&top).trim_end_matches('\n'));
    let attributes = top.join(".gitattributes");
    let mut done =
        Installed { attributes: ".gitattributes".to_owned(), added: Vec::new(), config: Vec::new() };

    let _lock = Lock::beside([attributes.as_path()])?;
    let before = match fs::read_to_string(&attributes) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        read => Some(read.at(attributes.display())?),
    };
    let mut text = before.clone().unwrap_or_default();
    for pattern in &args.pattern {
        let line = format!("{pattern} {ATTRIBUTES}");
        if !text.lines().any(|old| old.split_whitespace().eq(line.split_whitespace())) {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&format!("{line}\n"));
            done.added.push(line);
        }
    }
    if !done.added.is_empty() {
        if fs::read_to_string(&attributes).ok() != before {
            return Err(changed_meanwhile(&attributes));
        }
        write::replace(&attributes, text.as_bytes(), Mode::Keep).at(attributes.display())?;
    }
    for (name, value) in CONFIG {
        let is_set = git(&top).args(["config", "--local", "--get", name]).output().at("git config")?;
        if is_set.stdout.strip_suffix(b"\n") != Some(value.as_bytes()) {
            output(git(&top).args(["config", "--local", "--replace-all", name, value]))?;
            done.config.push(format!("{name}={value}"));
        }
    }
    say(&done, args, context)?;
    Ok(Exit::Done)
}

fn say(done: &Installed, args: &Args, context: &Context) -> Result<()> {
    if args.output == Format::Json {
        context.printer.json(done)?;
    } else {
        for line in &done.added {
            context.printer.line(format!(".gitattributes: {line}"))?;
        }
        for line in &done.config {
            context.printer.line(format!("git config: {line}"))?;
        }
    }
    if done.added.is_empty() && done.config.is_empty() {
        context.printer.note("it is installed already");
    } else {
        context.printer.note(
            "commit .gitattributes; the configuration is this clone's own: everybody runs this once in theirs",
        );
    }
    Ok(())
}

fn is_plain(pattern: &str) -> bool {
    !pattern.is_empty()
        && !pattern.starts_with(['!', '#', '[', '-'])
        && pattern.chars().all(|char| !char.is_whitespace() && !char.is_control() && char != '"')
}
