//! `waxwing set`: seals one value into a file. No private key, no cluster; one data line and one
//! envelope change, nothing else.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Serialize;
use waxwing_core::{Secret, keys::NamedRecipient, seal::DataKey};

use crate::{
    args::Context,
    cache,
    error::{Exit, Explain, Failure, Result},
    input,
    printer::Format,
    repository::Repository,
    sealed_file::{Choice, SealedFile},
    write::Lock,
};

/// Seal one value into a file: one that is added, or takes the place of the old one.
///
/// Needs no private key. The value comes from a prompt without echo, from standard input (without
/// its last line feed), or from a file.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  waxwing set secrets/db.yaml password\n  openssl rand -hex 24 | waxwing set secrets/db.yaml password\n  waxwing set secrets/db.yaml ca.crt --from-file ca.crt"
)]
pub(crate) struct Args {
    /// The file with the SealedSecret
    file: PathBuf,
    /// The key of the Secret
    key: String,
    /// Read the value from this file, to the last byte
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    /// Keep the line feed at the end of standard input
    #[arg(long, conflicts_with = "from_file")]
    keep_newline: bool,
    /// Seal an empty value from standard input, which else is taken for a command that failed
    #[arg(long)]
    allow_empty: bool,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    cache: cache::Options,
    /// Form of the output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Takes what people type after the key, so that the refusal does not repeat it.
    #[arg(hide = true)]
    value: Vec<std::ffi::OsString>,
}

pub(crate) fn run(args: Args, context: &Context) -> Result {
    if !args.value.is_empty() || args.key.contains('=') {
        return Err(value_in_arguments());
    }
    let key: DataKey = args.key.parse()?;
    // Everything that can be wrong is found before somebody is asked.
    let title = args.target(&key, context)?.title()?;
    let value = args.value(&key, &title)?;

    let _lock = Lock::beside([args.file.as_path()])?;
    let Target { mut file, index, recipients } = args.target(&key, context)?;
    file.warn_of_unreadable(context);
    let title = file.item(index)?.title();
    let mut sealed = file.item(index)?.sealed.clone();
    let existed = sealed.tokens().contains_key(&key);
    let mut cache = args.cache.open(&args.file, context)?;
    let values = [(key.clone(), value)];
    sealed.seal(&values, &recipients, context.now).at(&title)?;
    if let (Some(cache), Some(token)) = (&mut cache, sealed.tokens().get(&key)) {
        cache.remember(token, &values[0].1);
    }
    file.update(index, sealed)?;
    file.save()?;
    cache.map_or(Ok(()), |cache| cache.save())?;
    let what = if existed { "replaced" } else { "added" };
    context.printer.note(format!("{what} {key} in {title} ({})", args.file.display()));
    if args.output == Format::Json {
        let done = BTreeMap::from([(what, vec![key.as_str()])]);
        context.printer.json(&Change { file: args.file.display().to_string(), resource: title, done })?;
    }
    Ok(Exit::Done)
}

/// What was done to one resource.
#[derive(Serialize)]
pub(super) struct Change<'a> {
    pub(super) file: String,
    pub(super) resource: String,
    /// The keys that were `added`, `replaced` or `removed`.
    #[serde(flatten)]
    pub(super) done: BTreeMap<&'static str, Vec<&'a str>>,
}

/// What the value goes into.
struct Target {
    file: SealedFile,
    index: usize,
    recipients: Vec<NamedRecipient>,
}

impl Target {
    fn title(&self) -> Result<String> {
        Ok(self.file.item(self.index)?.title())
    }
}

impl Args {
    /// The resource as it is now, and who shall open the value.
    fn target(&self, key: &DataKey, context: &Context) -> Result<Target> {
        let file = SealedFile::read(&self.file, self.choice.namespace())?;
        let index = file.choose(&self.choice)?;
        let item = file.item(index)?;
        if item.template_has(key) {
            return Err(Failure::new(format!("key {key} is made by template.data already"))
                .at(item.title())
                .hint("a key is sealed or templated, not both: remove it from spec.template.data first"));
        }
        let repository = Repository::of(&self.file, context)?;
        let recipients = repository.recipients(&self.file, &item.sealed.binding().namespace)?;
        Ok(Target { file, index, recipients })
    }

    fn value(&self, key: &DataKey, title: &str) -> Result<Secret> {
        let value = match &self.from_file {
            Some(path) if path != Path::new("-") => return input::read(path),
            Some(path) => input::read(path)?,
            None => input::value(&format!("Value of {key} in {title}"), self.keep_newline)?,
        };
        if value.is_empty() && !self.allow_empty {
            return Err(Failure::new("the value from standard input is empty; nothing was written").hint(
                "look whether the command before the pipe failed, or say --allow-empty if it is meant",
            ));
        }
        Ok(value)
    }
}

/// The refusal of what may be a value among the arguments; it does not repeat it.
pub(crate) fn value_in_arguments() -> Failure {
    Failure::usage("a value is never an argument: other processes and the shell's history can read it").hint(
        "give it on standard input, with --from-file FILE, or at the prompt; if it was real, replace it",
    )
}
