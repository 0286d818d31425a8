//! `waxwing keys list`: the identities on this machine.

use std::path::Path;

use serde::Serialize;
use waxwing_core::keys::Identity;

use crate::{
    args::Context,
    error::{Exit, Result},
    identities::Options,
    printer::Format,
};

/// List the identities at hand: which would be tried, and where they lie.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    identities: Options,
    /// Form of the output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) fn run(args: List, context: &Context) -> Result {
    let found = args.identities.find(context)?;
    let rows: Vec<Row> = found.iter().map(|found| Row::of(&found.identity, &found.path)).collect();
    if args.output == Format::Json {
        context.printer.json(&rows)?;
    } else {
        for row in &rows {
            context.printer.line(format!("{}  {}  {}", row.key_id, row.recipient, row.file))?;
        }
        if rows.is_empty() {
            context.printer.note("there is no identity at hand");
        }
    }
    Ok(Exit::Done)
}

/// One identity, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    key_id: String,
    recipient: String,
    file: String,
}

impl Row {
    /// An identity and its file.
    pub(super) fn of(identity: &Identity, path: &Path) -> Self {
        Self {
            key_id: identity.id().to_string(),
            recipient: identity.recipient().to_string(),
            file: path.display().to_string(),
        }
    }
}
