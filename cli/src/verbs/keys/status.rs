//! `waxwing keys status`: every key that is known here, and what it opens, as far as that can be seen.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::Serialize;
use waxwing_core::keys::{Identities, KeyId, Recipient};
use waxwing_crds::{KeyRing, conditions};

use super::{
    ring_keys::{self, RingKey},
    survey::{Survey, Use},
};
use crate::{
    args::Context,
    error::{Exit, Result},
    identities::{Found, Options},
    printer::{Format, Tone, count},
    repository::{self, Repository},
    ring,
};

/// Show every key that is known here, and what each opens in files and in a cluster.
///
/// What files say is a hint, no proof; an identity at hand proves it by opening. What is not looked at is said: a key
/// that nothing here needs may still be needed by Git's history, by other branches and by other repositories.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// Files, and folders with files
    #[arg(default_value = ".")]
    paths: Vec<PathBuf>,
    /// A file with a KeyRing, as `kubectl get keyring default -o yaml` prints it
    #[arg(long, value_name = "FILE")]
    from_keyring: Option<PathBuf>,
    /// Look at the KeyRing and the SealedSecrets of this kubeconfig context's cluster, or of the current one's
    #[cfg(feature = "cluster")]
    #[arg(long, help_heading = crate::args::CLUSTER, value_name = "CONTEXT", num_args = 0..=1, default_missing_value = "", conflicts_with = "from_keyring")]
    from_cluster: Option<String>,
    /// Name of the KeyRing in the cluster
    #[cfg(feature = "cluster")]
    #[arg(long, help_heading = crate::args::CLUSTER, value_name = "NAME", default_value = "default")]
    keyring: String,
    /// Look at the SealedSecrets of this namespace only; may be repeated. Default: all that there are
    #[cfg(feature = "cluster")]
    #[arg(long, help_heading = crate::args::CLUSTER, value_name = "NAMESPACE", requires = "from_cluster")]
    in_namespace: Vec<String>,
    #[command(flatten)]
    identities: Options,
    /// Form of the output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// One key.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    key_id: String,
    /// Absent where only hints name the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient: Option<String>,
    names: BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_days: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backed_up: Option<bool>,
    /// The file with its identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    /// Whether another key has the same short id, so that hints mean either.
    ambiguous: bool,
    files: Opens,
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<Opens>,
}

/// What a key opens in one place.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Opens {
    values: usize,
    resources: usize,
    /// Values of which it was seen that the key opens them.
    proven: usize,
    #[serde(rename = "in")]
    places: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    keys: &'a [Row],
    files: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    live_objects: Option<usize>,
    unreadable: &'a [String],
    not_looked_at: &'a [String],
}

pub(super) fn run(args: Status, context: &Context) -> Result {
    let found = args.identities.find(context)?;
    let identities: Identities = found.iter().map(|found| found.identity.clone()).collect();
    #[cfg_attr(not(feature = "cluster"), expect(unused_mut, reason = "only a cluster adds to it"))]
    let mut survey = Survey::of_files(&args.paths, &identities, context)?;
    #[cfg_attr(not(feature = "cluster"), expect(unused_mut, reason = "as above"))]
    let mut key_ring = args.from_keyring.as_deref().map(ring::read).transpose()?;
    #[cfg(feature = "cluster")]
    if let Some(name) = &args.from_cluster {
        let cluster = crate::cluster::Cluster::connect(Some(name.as_str()).filter(|name| !name.is_empty()))?;
        key_ring = Some(cluster.key_ring(&args.keyring)?);
        survey.add_live(&cluster.sealed_secrets(&args.in_namespace)?, &identities, context.now);
        survey.only_in.clone_from(&args.in_namespace);
    }
    let path = args.paths.first().map_or(Path::new("."), PathBuf::as_path);
    let repository = match repository::config_path(path, context) {
        Some(_) => Some(Repository::of(path, context)?),
        None => None,
    };
    let rows = rows(key_ring.as_ref(), repository.as_ref(), &found, &survey, context.now);
    let not_looked_at = not_looked_at(&survey);
    if args.output == Format::Json {
        context.printer.json(&Report {
            keys: &rows,
            files: survey.files,
            live_objects: survey.live,
            unreadable: &survey.unreadable,
            not_looked_at: &not_looked_at,
        })?;
    } else {
        print(&rows, context)?;
        for one in &survey.unreadable {
            context.printer.warning(format!("not read: {one}"));
        }
        let live = survey.live.map(|live| format!(" and {}", count(live, "live SealedSecret")));
        context.printer.note(format!(
            "looked at {}{}; what hints say is no proof",
            count(survey.files, "file"),
            live.unwrap_or_default()
        ));
        context.printer.note(format!("not looked at: {}", not_looked_at.join("; ")));
    }
    Ok(if survey.unreadable.is_empty() { Exit::Done } else { Exit::Partly })
}

/// What this command can't see.
pub(super) fn not_looked_at(survey: &Survey) -> Vec<String> {
    let mut all = vec![
        "Git's history and other branches".to_owned(),
        "other repositories and files outside of the paths".to_owned(),
        "hidden files and folders, folders behind symbolic links, files that do not end in .yaml, .yml or .json"
            .to_owned(),
    ];
    if !survey.only_in.is_empty() {
        all.push(format!("live objects of other namespaces than {}", survey.only_in.join(", ")));
    }
    all.push(match survey.live {
        Some(_) => "other clusters".to_owned(),
        None => "what is applied in clusters".to_owned(),
    });
    all
}

fn rows(
    key_ring: Option<&KeyRing>,
    repository: Option<&Repository>,
    found: &[Found],
    survey: &Survey,
    now: i64,
) -> Vec<Row> {
    let mut keys: BTreeMap<Recipient, (Option<RingKey>, BTreeSet<String>)> = BTreeMap::new();
    let mut order: Vec<Recipient> = Vec::new();
    let mut name = |recipient: &Recipient, name: Option<&str>, key: Option<RingKey>| {
        let entry = keys.entry(recipient.clone()).or_insert_with(|| {
            order.push(recipient.clone());
            (None, BTreeSet::new())
        });
        entry.0 = entry.0.take().or(key);
        entry.1.extend(name.map(str::to_owned));
    };
    for key in key_ring.map(ring_keys::of).unwrap_or_default() {
        name(&key.recipient.clone(), None, Some(key));
    }
    for further in key_ring.iter().flat_map(|ring| &ring.spec.recipients) {
        if let Ok(recipient) = further.recipient.parse() {
            name(&recipient, Some(&further.name), None);
        }
    }
    for member in repository.iter().flat_map(|repository| repository.config().members()) {
        name(member.recipient.recipient(), Some(member.recipient.name()), None);
    }
    for found in found {
        name(found.identity.recipient(), None, None);
    }
    let shared = |id: KeyId| order.iter().filter(|other| other.id() == id).count() > 1;
    let mut rows: Vec<Row> = order
        .iter()
        .map(|recipient| {
            let (key, names) = &keys[recipient];
            let id = recipient.id();
            let created_at = key.as_ref().and_then(|key| key.created_at);
            let file = found.iter().find(|found| found.identity.recipient() == recipient);
            let opens = |live: bool| Opens::of(survey, live, id, Some(recipient), shared(id));
            Row {
                key_id: id.to_string(),
                recipient: Some(recipient.to_string()),
                names: if names.is_empty() { names_in(survey, id) } else { names.clone() },
                state: key.as_ref().map(|key| key.state.as_str()),
                created_at: created_at.map(|at| conditions::time(at).0.to_string()),
                age_days: created_at.map(|at| (now - at).max(0) / 86400),
                backed_up: key.as_ref().map(|key| key.backed_up),
                identity: file.map(|found| found.path.display().to_string()),
                ambiguous: shared(id),
                files: opens(false),
                live: survey.live.map(|_| opens(true)),
            }
        })
        .collect();
    let known: BTreeSet<KeyId> = order.iter().map(Recipient::id).collect();
    let hints = survey.uses.iter().flat_map(|one| one.envelope.to());
    let unknown: BTreeSet<KeyId> = hints.map(|hint| hint.id).filter(|id| !known.contains(id)).collect();
    rows.extend(unknown.into_iter().map(|id| Row {
        key_id: id.to_string(),
        recipient: None,
        names: names_in(survey, id),
        state: None,
        created_at: None,
        age_days: None,
        backed_up: None,
        identity: None,
        ambiguous: false,
        files: Opens::of(survey, false, id, None, false),
        live: survey.live.map(|_| Opens::of(survey, true, id, None, false)),
    }));
    rows
}

/// How hints call a key.
fn names_in(survey: &Survey, id: KeyId) -> BTreeSet<String> {
    let hints = survey.uses.iter().flat_map(|one| one.envelope.to());
    hints.filter(|hint| hint.id == id).map(|hint| hint.name.clone()).collect()
}

impl Opens {
    fn of(survey: &Survey, live: bool, id: KeyId, recipient: Option<&Recipient>, shared: bool) -> Self {
        // Which of two keys with one id the operator means, it does not say.
        let is_told = |one: &Use| !shared && one.told.contains(&id);
        let is_proven = |one: &Use| recipient.is_some_and(|key| one.proven.contains(key)) || is_told(one);
        let mut opens = Self::default();
        let mut resources = BTreeSet::new();
        for one in survey.uses.iter().filter(|one| one.file.is_none() == live) {
            let proven = is_proven(one);
            if proven || one.names(id) {
                opens.values += one.values.len();
                opens.proven += if proven { one.values.len() } else { 0 };
                resources.insert((&one.file, &one.resource));
                opens.places.push(one.place());
            }
        }
        opens.resources = resources.len();
        opens
    }

    fn shown(&self) -> String {
        if self.values == 0 {
            return "-".to_owned();
        }
        let all = format!("{} in {}", count(self.values, "value"), count(self.resources, "resource"));
        match self.proven {
            0 => all,
            proven if proven == self.values => format!("{all}, opened"),
            proven => format!("{all}, {proven} opened"),
        }
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let dash = || "-".to_owned();
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let id = if self.ambiguous { format!("{} (ambiguous)", self.key_id) } else { self.key_id.clone() };
        let state = match (self.state, &self.recipient) {
            (Some(state), _) => state,
            (None, Some(_)) => "-",
            (None, None) => "unknown",
        };
        let mut cells = vec![
            id,
            if names.is_empty() { dash() } else { names.join(",") },
            state.to_owned(),
            self.age_days.map_or_else(dash, |days| format!("{days}d")),
            self.backed_up.map_or_else(dash, |yes| if yes { "yes" } else { "no" }.to_owned()),
            if self.identity.is_some() { "yes".to_owned() } else { dash() },
            self.files.shown(),
        ];
        cells.extend(self.live.as_ref().map(Opens::shown));
        cells
    }
}

fn print(rows: &[Row], context: &Context) -> Result<()> {
    if rows.is_empty() {
        context.printer.note("no key is known here");
        return Ok(());
    }
    let mut table =
        vec![["KEY", "NAME", "STATE", "AGE", "BACKED UP", "AT HAND", "FILES"].map(str::to_owned).to_vec()];
    if rows.iter().any(|row| row.live.is_some()) {
        table[0].push("LIVE".to_owned());
    }
    table.extend(rows.iter().map(Row::cells));
    let widths: Vec<usize> = (0..table[0].len())
        .map(|column| table.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0))
        .collect();
    for (place, cells) in table.iter().enumerate() {
        let line: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let line = line.join("  ");
        let line = line.trim_end();
        let is_head = place == 0;
        context.printer.line(if is_head {
            context.printer.toned(Tone::Faint, line)
        } else {
            line.to_owned()
        })?;
        if let Some(row) =
            place.checked_sub(1).and_then(|row| rows.get(row)).filter(|_| context.printer.is_verbose())
        {
            let live = row.live.iter().flat_map(|live| &live.places);
            for one in row.files.places.iter().chain(live) {
                context.printer.line(format!("    {one}"))?;
            }
        }
    }
    if rows.iter().any(|row| row.ambiguous) {
        context.printer.warning("two keys share a short id: hints mean either, and only opening tells which");
    }
    Ok(())
}
