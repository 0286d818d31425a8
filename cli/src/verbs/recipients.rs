//! `waxwing recipients`: what clusters publish against what `.waxwing.yaml` says. The file decides;
//! this only shows where the two differ.

use std::{
    fs,
    path::{Path, PathBuf},
};

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
    write::{self, Lock, Mode},
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
///
/// A key that the ring has announced and not made active yet is shown with `>`, and is no difference.
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
    /// Put the clusters' new keys in the place of their old ones, and leave the rest of the file as it is; other
    /// recipients are never taken from a KeyRing. Read the change, then waxwing rewrap the files
    #[arg(long)]
    write: bool,
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
    /// Whether it is the ring's own key, and not one that its spec names.
    #[serde(skip)]
    own: bool,
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
    /// Announced, and not active yet.
    Next,
}

impl State {
    fn is_difference(self) -> bool {
        !matches!(self, Self::Same | Self::Next)
    }
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
    let mut rows = compare(repository.config(), &rings)?;
    if args.write {
        update(&mut rows, &repository, context)?;
    }
    if args.output == Format::Json {
        context.printer.json(&rows)?;
    } else {
        for row in &rows {
            context.printer.line(row.describe())?;
        }
    }
    let differs = rows.iter().any(|row| row.state.is_difference());
    if differs && !args.write {
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

/// Writes the rings' own new keys into the file: an old key stands in it once, so nothing else changes. Another recipient
/// that a ring names, such as the recovery key or another cluster's, is never taken from it: whoever can write a KeyRing
/// could swap it.
fn update(rows: &mut [Row], repository: &Repository, context: &Context) -> Result<()> {
    let path = repository.path();
    let _lock = Lock::beside([path])?;
    let old = fs::read_to_string(path).at(path.display())?;
    let mut new = old.clone();
    let is_cluster = |row: &Row| {
        let mut members = repository.config().members().iter();
        members.any(|member| member.cluster && member.recipient.name() == row.name)
    };
    for row in rows.iter_mut().filter(|row| row.own && row.state == State::Changed && is_cluster(row)) {
        let (Some(configured), Some(published)) = (&row.configured, &row.published) else { continue };
        new = new.replace(configured, published);
        row.state = State::Same;
        row.configured.clone_from(&row.published);
    }
    if new == old {
        context.printer.note(format!("no cluster's key in {} has changed", path.display()));
        return Ok(());
    }
    Config::parse(&new).at(path.display())?;
    write::replace(path, new.as_bytes(), Mode::Keep).at(path.display())?;
    context.printer.note(format!("wrote the new keys into {}", path.display()));
    context
        .printer
        .hint("read the change, then waxwing rewrap the files it concerns, and commit both together");
    Ok(())
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
        // One that is only listed may never get its Secret.
        let listed = ring.status.iter().flat_map(|status| &status.keys);
        for key in listed.filter(|key| key.is_announced()) {
            let key: Recipient = key.recipient.parse().at(format!("KeyRing of {name}"))?;
            let (name, published) = (name.clone(), Some(key.to_string()));
            rows.push(Row { name, state: State::Next, configured: None, published, own: true });
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
            rows.push(Row {
                name: name.to_owned(),
                state: State::NotPublished,
                configured,
                published: None,
                own: false,
            });
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
        own: published.cluster,
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
            State::Next => format!("> {name} {published} (announced, becomes active later)"),
            State::NotRequired => format!("! {name} {published} (required: true in the KeyRing)"),
        }
    }
}
