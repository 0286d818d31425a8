//! `waxwing recipients`: what clusters publish against what `.waxwing.yaml` says. The file decides;
//! this only shows where the two differ.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;
use waxwing_core::{
    config::{Config, Member},
    keys::Recipient,
};
use waxwing_crds::KeyRing;

use crate::{
    args::Context,
    error::{Exit, Explain, Failure, Result},
    printer::Format,
    repository::Repository,
    ring,
};

/// Compare the recipients of .waxwing.yaml with what clusters publish.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Diff(Diff),
}

/// Show where a KeyRing publishes other recipients than .waxwing.yaml has; exit with 3 if it does.
#[derive(Debug, clap::Args)]
struct Diff {
    /// A file with a KeyRing, as `kubectl get keyring default -o yaml` prints it, and the name that its
    /// key has in .waxwing.yaml; may be repeated
    #[arg(long, value_name = "FILE[=NAME]")]
    from_keyring: Vec<String>,
    /// A kubeconfig context whose cluster's KeyRing to read, and the name that its key has; may be repeated
    #[cfg(feature = "cluster")]
    #[arg(long, help_heading = crate::args::CLUSTER, value_name = "CONTEXT[=NAME]")]
    from_cluster: Vec<String>,
    /// Name of the KeyRing in the cluster
    #[cfg(feature = "cluster")]
    #[arg(long, help_heading = crate::args::CLUSTER, value_name = "NAME", default_value = "default")]
    keyring: String,
    /// Form of the output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// One recipient, in both places.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    configured: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum State {
    /// Equal.
    Same,
    /// Another key under the name.
    Changed,
    /// Published only.
    NotConfigured,
    /// Required by the ring, and not by the file.
    NotRequired,
    /// A cluster's key in the file that no KeyRing at hand publishes.
    NotPublished,
}

pub(crate) fn run(args: Args, context: &Context) -> Result {
    let What::Diff(args) = args.what;
    let repository = Repository::of(Path::new("."), context)?;
    let rings = args.rings()?;
    if rings.is_empty() {
        return Err(
            Failure::usage("there is no KeyRing to compare with").hint("name one with --from-keyring FILE")
        );
    }
    let rows = compare(repository.config(), &rings)?;
    if args.output == Format::Json {
        context.printer.json(&rows)?;
    } else {
        for row in &rows {
            context.printer.line(row.describe())?;
        }
    }
    let differs = rows.iter().any(|row| row.state != State::Same);
    if differs {
        context.printer.hint(format!(
            "make sure that a change was meant, edit {}, then waxwing rewrap the files it concerns",
            repository.path().display()
        ));
    }
    Ok(if differs { Exit::Found } else { Exit::Done })
}

impl Diff {
    /// The rings, with the name that each one's key has.
    fn rings(&self) -> Result<Vec<(KeyRing, Option<String>)>> {
        let mut rings = Vec::new();
        for given in &self.from_keyring {
            let (file, name) = ring::split(given);
            rings.push((ring::read(&PathBuf::from(file))?, name.map(str::to_owned)));
        }
        #[cfg(feature = "cluster")]
        for given in &self.from_cluster {
            let (cluster, name) = ring::split(given);
            let ring = crate::cluster::Cluster::connect(Some(cluster))?.key_ring(&self.keyring)?;
            rings.push((ring, name.map(str::to_owned)));
        }
        Ok(rings)
    }
}

fn compare(config: &Config, rings: &[(KeyRing, Option<String>)]) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    for (ring, name) in rings {
        let name = name.clone().unwrap_or_else(|| name_of(config, ring));
        for member in ring::members(ring, &name).at(format!("KeyRing of {name}"))? {
            let row = row(config, &member);
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
    }
    for member in config.members().iter().filter(|member| member.cluster) {
        let name = member.recipient.name();
        // A ring that was not given is not to blame.
        let ours = |row: &Row| {
            row.name == name || row.configured.as_deref() == Some(member.recipient.recipient().as_str())
        };
        let given = rings.len() == config.members().iter().filter(|member| member.cluster).count();
        if given && !rows.iter().any(ours) {
            let configured = Some(member.recipient.recipient().to_string());
            rows.push(Row { name: name.to_owned(), state: State::NotPublished, configured, published: None });
        }
    }
    Ok(rows)
}

/// The name under which a ring's key, also an older one, stands in the file.
fn name_of(config: &Config, ring: &KeyRing) -> String {
    let keys: Vec<Recipient> = ring
        .status
        .iter()
        .flat_map(|status| &status.keys)
        .filter_map(|key| key.recipient.parse().ok())
        .collect();
    let mut clusters = config.members().iter().filter(|member| member.cluster);
    let known = clusters.clone().find(|member| keys.contains(member.recipient.recipient()));
    let only = clusters.next().filter(|_| clusters.next().is_none());
    known.or(only).map_or_else(|| "cluster".to_owned(), |member| member.recipient.name().to_owned())
}

fn row(config: &Config, published: &Member) -> Row {
    let key = published.recipient.recipient();
    let same_key = config.members().iter().find(|member| member.recipient.recipient() == key);
    let same_name =
        config.members().iter().find(|member| member.recipient.name() == published.recipient.name());
    let (state, found) = match (same_key, same_name) {
        (Some(found), _) if published.required && !found.required => (State::NotRequired, Some(found)),
        (Some(found), _) => (State::Same, Some(found)),
        (None, Some(found)) => (State::Changed, Some(found)),
        (None, None) => (State::NotConfigured, None),
    };
    Row {
        name: found.unwrap_or(published).recipient.name().to_owned(),
        state,
        configured: found.map(|member| member.recipient.recipient().to_string()),
        published: Some(key.to_string()),
    }
}

impl Row {
    fn describe(&self) -> String {
        let (configured, published) =
            (self.configured.as_deref().unwrap_or_default(), self.published.as_deref().unwrap_or_default());
        let name = &self.name;
        match self.state {
            State::Same => format!("= {name} {configured}"),
            State::Changed => format!("- {name} {configured}\n+ {name} {published}"),
            State::NotConfigured => format!("+ {name} {published}"),
            State::NotPublished => format!("- {name} {configured} (published by no KeyRing)"),
            State::NotRequired => format!("! {name} {published} (required: true in the KeyRing)"),
        }
    }
}
