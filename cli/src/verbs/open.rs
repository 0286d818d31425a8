//! `waxwing open`: break-glass. Takes an identity, and writes plaintext where it is told to.

use std::{collections::BTreeMap, path::PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;
use waxwing_core::{
    Secret,
    seal::{DataKey, Opened},
    yaml,
};
use zeroize::Zeroizing;

use crate::{
    args::Context,
    error::{Exit, Explain, Failure, Result},
    identities::Options,
    origin, repository,
    sealed_file::{Choice, SealedFile},
    work_tree,
    write::{self, Mode},
};

/// Open sealed values with an identity (break-glass): a Secret manifest, or one bare value.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file with the SealedSecret
    file: PathBuf,
    /// Only the value of this key, as it is
    #[arg(long, short, value_name = "KEY")]
    key: Option<String>,
    /// Write it to this file, readable by you alone (mode 0600)
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write JSON: one Secret manifest, or a List of them
    #[arg(long, conflicts_with = "key")]
    json: bool,
    /// Show plaintext on a terminal
    #[arg(long)]
    show: bool,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    identities: Options,
}

pub(crate) fn run(args: Args, context: &Context) -> Result {
    if args.output.is_none() && !args.show && context.printer.shows_to_a_person() {
        return Err(Failure::usage("this would show plaintext on the terminal")
            .hint("write it to a file with --output FILE, pipe it on, or insist with --show"));
    }
    let key = args.key.as_deref().map(str::parse::<DataKey>).transpose()?;
    let file = SealedFile::read(&args.file, args.choice.namespace())?;
    let identities = args.identities.load(context)?;
    let chosen = match key {
        Some(_) => vec![file.choose(&args.choice)?],
        None => file.choose_any(&args.choice)?,
    };
    let incomplete = file.warn_of_unreadable(context) && !args.choice.is_made() && key.is_none();
    let (is_list, last) = (chosen.len() > 1, chosen.last().copied().unwrap_or_default());
    let mut out = Zeroizing::new(Vec::new());
    for index in chosen {
        let item = file.item(index)?;
        let fail = |error| {
            let folders = repository::root_of(&args.file, context).into_iter().collect::<Vec<_>>();
            origin::explain(error, &item.sealed, &identities, &folders, context)
                .at(item.title())
                .at(args.file.display())
        };
        if let Some(key) = &key {
            let opened = item.sealed.open_key(key, &identities, context.now).map_err(fail)?;
            // Why exposed: to be handed to whoever asked for it, by a pipe or a private file.
            out = Zeroizing::new(opened.value.expose().to_vec());
            break;
        }
        let opened = item.sealed.open(&identities, context.now).map_err(fail)?;
        let text = manifest(item.name(), &opened, args.json)?;
        let between: &[u8] = match (out.is_empty(), args.json) {
            (true, true) if is_list => LIST_HEAD,
            (true, _) => b"",
            (false, true) => b",",
            (false, false) => b"---\n",
        };
        let mut joined = Zeroizing::new(Vec::with_capacity(out.len() + text.len() + LIST_HEAD.len() + 4));
        joined.extend_from_slice(&out);
        joined.extend_from_slice(between);
        joined.extend_from_slice(text.as_bytes());
        if args.json && is_list && index == last {
            joined.extend_from_slice(b"]}\n");
        }
        out = joined;
    }
    match &args.output {
        Some(path) => {
            write::replace(path, &out, Mode::Private).at(path.display())?;
            context.printer.note(format!(
                "wrote plaintext to {} (mode 0600); remove it when you are done",
                path.display()
            ));
            if let Some(tree) = work_tree::around(path) {
                context.printer.warning(format!(
                    "it lies inside the Git work tree {}: do not commit it",
                    tree.display()
                ));
            }
        }
        None => context.printer.bytes(&out)?,
    }
    Ok(if incomplete { Exit::Partly } else { Exit::Done })
}

const LIST_HEAD: &[u8] = br#"{"apiVersion":"v1","kind":"List","items":["#;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    #[serde(rename = "type")]
    secret_type: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    data: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    string_data: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
}

/// A Secret manifest: text under `stringData`, anything else under `data`.
fn manifest(name: &str, opened: &Opened, json: bool) -> Result<Zeroizing<String>> {
    let encoded: BTreeMap<&DataKey, Zeroizing<String>> = opened
        .values()
        .iter()
        .filter(|(_, opened)| text(&opened.value).is_none())
        // Why exposed: to be written where the user asked for it.
        .map(|(key, opened)| (key, Zeroizing::new(BASE64_STANDARD.encode(opened.value.expose()))))
        .collect();
    let data = encoded.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect();
    let string_data = opened
        .values()
        .iter()
        .filter_map(|(key, opened)| Some((key.as_str(), text(&opened.value)?)))
        .collect();
    let binding = opened.binding();
    let manifest = Manifest {
        api_version: "v1",
        kind: "Secret",
        metadata: Metadata { name, namespace: &binding.namespace },
        secret_type: &binding.secret_type,
        data,
        string_data,
    };
    if json {
        // An escaped byte takes six. Sized beforehand, so that no unwiped copy is left behind.
        let values: usize =
            opened.values().iter().map(|(key, opened)| key.as_str().len() + opened.value.len()).sum();
        let mut text = Zeroizing::new(Vec::with_capacity(values * 6 + opened.values().len() * 32 + 4096));
        serde_json::to_writer_pretty(&mut *text, &manifest)?;
        text.push(b'\n');
        return Ok(Zeroizing::new(std::str::from_utf8(&text)?.to_owned()));
    }
    Ok(Zeroizing::new(yaml::to_string(&manifest)?))
}

/// What a person can read; other bytes would not survive as YAML text.
fn text(value: &Secret) -> Option<&str> {
    // Why exposed: to look whether it is text.
    let text = std::str::from_utf8(value.expose()).ok()?;
    let readable = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars().all(readable).then_some(text)
}
