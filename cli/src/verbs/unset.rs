//! `waxwing unset`: removes values from a file, and the envelopes that nothing needs any more.

use std::{collections::BTreeMap, path::PathBuf};

use waxwing_core::seal::DataKey;

use super::set::Change;
use crate::{
    args::Context,
    error::{Exit, Failure, Result},
    origin::keys_of,
    printer::Format,
    sealed_file::{Choice, SealedFile},
    write::Lock,
};

/// Remove sealed values from a file. Needs no key; the operator removes them from the Secret.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file with the SealedSecret
    file: PathBuf,
    /// The keys of the Secret
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
    #[command(flatten)]
    choice: Choice,
    /// Form of the output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(crate) fn run(args: Args, context: &Context) -> Result {
    let keys =
        args.keys.iter().map(|key| key.parse::<DataKey>()).collect::<std::result::Result<Vec<_>, _>>()?;
    let _lock = Lock::beside([args.file.as_path()])?;
    let mut file = SealedFile::read(&args.file, args.choice.namespace())?;
    let index = file.choose(&args.choice)?;
    file.warn_of_unreadable(context);
    let item = file.item(index)?;
    let title = item.title();
    let mut sealed = item.sealed.clone();
    for key in &keys {
        if !sealed.unset(key) {
            return Err(Failure::new(format!("there is no key {key}"))
                .at(&title)
                .at(args.file.display())
                .hint(format!("its keys are {}", keys_of(&item.sealed))));
        }
    }
    file.update(index, sealed)?;
    file.save()?;
    let keys: Vec<&str> = keys.iter().map(DataKey::as_str).collect();
    context.printer.note(format!("removed {} from {title} ({})", keys.join(", "), args.file.display()));
    if args.output == Format::Json {
        let done = BTreeMap::from([("removed", keys)]);
        context.printer.json(&Change { file: args.file.display().to_string(), resource: title, done })?;
    }
    Ok(Exit::Done)
}
