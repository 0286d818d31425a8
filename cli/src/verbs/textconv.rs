//! `waxwing textconv`: a file as `git diff` shows it. Nothing is opened.
//!
//! What is hidden behind a token is said in words, so that a change reads as what it is; a digest keeps two different
//! tokens or envelopes from looking the same.

use std::{fs, path::PathBuf};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};
use waxwing_core::{
    seal::{Envelope, Sealed, Token},
    yaml::edit::{Edit, Step, apply},
};
use waxwing_crds::names;

use crate::{
    args::Context,
    error::{Exit, Explain, Result},
    printer::count,
    sealed_file::{SealedFile, contains},
};

/// Print a file with its tokens and envelopes in words, for git diff; needs no key.
///
/// Git calls it after `waxwing merge-driver --install`. What cannot be read is printed as it is.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file
    file: PathBuf,
}

pub(crate) fn run(args: Args, context: &Context) -> Result {
    let bytes = fs::read(&args.file).at(args.file.display())?;
    match readable(&bytes) {
        Some(text) => context.printer.bytes(text.as_bytes())?,
        None => context.printer.bytes(&bytes)?,
    }
    Ok(Exit::Done)
}

/// The text in words; none where there is nothing to say in words.
fn readable(bytes: &[u8]) -> Option<String> {
    if ![names::GROUP, "SealedSecret"].iter().all(|word| contains(bytes, word.as_bytes())) {
        return None;
    }
    let text = String::from_utf8(bytes.to_owned()).ok()?;
    // A namespace only for reading: none is written.
    let file = SealedFile::parse("it".as_ref(), text, Some("-")).ok()?;
    let mut text = file.text().to_owned();
    for (index, item) in file.items.iter().enumerate() {
        let Ok(item) = item else { continue };
        let (document, way) = file.place(index).ok()?;
        if let Ok(edited) = apply(&text, document, &edits(&item.sealed, way)) {
            text = edited;
        }
    }
    Some(text)
}

fn edits(sealed: &Sealed, way: &[Step]) -> Vec<Edit> {
    let path = |field: &str, key: String| {
        way.iter().cloned().chain(["spec".into(), field.into(), Step::Key(key)]).collect()
    };
    let envelopes = sealed.envelopes().iter().map(|(id, envelope)| Edit::Set {
        path: path("envelopes", id.to_string()),
        value: json!(envelope_in_words(envelope)),
    });
    let tokens = sealed.tokens().iter().map(|(key, token)| Edit::Set {
        path: path("data", key.to_string()),
        value: json!(token_in_words(token, sealed.envelopes().get(&token.envelope()))),
    });
    envelopes.chain(tokens).collect()
}

fn envelope_in_words(envelope: &Envelope) -> String {
    let hints: Vec<String> = envelope.to().iter().map(ToString::to_string).collect();
    let spec = envelope.spec();
    let readers = match envelope.readers() {
        readers if readers == hints.len() => String::new(),
        readers => format!(", but {} can open it", count(readers, "reader")),
    };
    format!("for {}{readers} [{}]", hints.join(", "), digest(&format!("{}{}", spec.commit, spec.age)))
}

fn token_in_words(token: &Token, envelope: Option<&Envelope>) -> String {
    let names: Vec<&str> = envelope.iter().flat_map(|e| e.to()).map(|hint| hint.name.as_str()).collect();
    // Beyond what a calendar knows, the number says it.
    let seconds = i64::try_from(token.seq()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let sealed = seconds.map_or_else(|| token.seq().to_string(), |time| time.to_string());
    format!("sealed {sealed} for {} [{}]", names.join(", "), digest(&token.to_string()))
}

/// Enough of a digest to tell any two apart, and to make a second one of the same look too much work.
fn digest(text: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(text.as_bytes())[..15])
}
