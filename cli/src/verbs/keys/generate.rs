//! `waxwing keys generate`: an identity on this machine.

use std::path::{Path, PathBuf};

use waxwing_core::keys::{Identity, is_recipient_name};
use zeroize::Zeroizing;

use super::list::Row;
use crate::{
    args::Context,
    error::{Exit, Failure, Result},
    identities,
    printer::Format,
    work_tree,
    write::{self, Mode},
};

/// Make an identity, and print its recipient (public key).
#[derive(Debug, clap::Args)]
pub(crate) struct Generate {
    /// Name of the identity: the file is NAME.txt in the configuration folder's identities/
    #[arg(required_unless_present = "file")]
    name: Option<String>,
    /// Write it here instead; the file must not exist
    #[arg(long, value_name = "FILE", conflicts_with = "name")]
    file: Option<PathBuf>,
    /// Write it even inside a Git work tree
    #[arg(long)]
    force: bool,
    /// Form of the output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) fn run(args: Generate, context: &Context) -> Result {
    let path = match (args.file, args.name) {
        (Some(file), _) => file,
        (None, Some(name)) if is_recipient_name(&name) => identities::folder()
            .ok_or_else(|| {
                Failure::new("there is no configuration folder: neither $XDG_CONFIG_HOME nor $HOME is set")
                    .hint("say where with --file FILE")
            })?
            .join(format!("{name}.txt")),
        _ => {
            return Err(Failure::usage(
                "the name takes lower-case letters, digits and inner dashes, 40 at most",
            ));
        }
    };
    let identity = create(&path, args.force)?;
    context.printer.note(format!("wrote a new identity to {}; keep a copy in a safe place", path.display()));
    match args.output {
        Format::Json => context.printer.json(&Row::of(&identity, &path))?,
        Format::Text => context.printer.line(identity.recipient().as_str())?,
    }
    Ok(Exit::Done)
}

/// Makes an identity and writes it to a new file, 0600, outside of any Git work tree.
pub(crate) fn create(path: &Path, force: bool) -> Result<Identity> {
    if let Some(tree) = work_tree::around(path).filter(|_| !force) {
        return Err(Failure::new(format!(
            "{} lies inside the Git work tree {}",
            path.display(),
            tree.display()
        ))
        .hint("choose a place where it can never be committed, or insist with --force"));
    }
    let identity = Identity::generate();
    let key = identity.to_text();
    let head = format!("# waxwing identity, private. Its recipient: {}\n", identity.recipient());
    // Sized beforehand, so that no unwiped copy is left behind.
    let mut text = Zeroizing::new(Vec::with_capacity(head.len() + key.len() + 1));
    text.extend_from_slice(head.as_bytes());
    // Why exposed: this file is where the key is stored.
    text.extend_from_slice(key.expose());
    text.push(b'\n');
    write::create(path, &text, Mode::Private).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::new(format!("{} exists already", path.display()))
            .hint("an identity is never overwritten: what was sealed for it could not be opened any more"),
        _ => Failure::from(error).at(path.display()),
    })?;
    Ok(identity)
}
