//! `waxwing keys restore`: the private keys of a backup go back into a cluster, and its ring is told to trust them.
//!
//! age does not say who wrote a file, and the recovery recipient is public: anybody can make a backup that the recovery key
//! opens. So a key is trusted only if the KeyRing names it by its full recipient, or if a person says so. What the repository at
//! hand knows of it is shown and decides nothing: who can write there could have put it there. Nothing that is in the cluster
//! is ever written over, so a restore can be done in waves and again.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::json;
use waxwing_core::{
    backup::{Backup, Saved},
    identity_secret::Stored,
    keys::{Identities, KeyId, Recipient},
};
use waxwing_crds::{KeyRing, KeyRingSpec, KeyState};

use super::{ask, ring_keys, survey::Survey};
use crate::{
    args::Context,
    cluster::{
        Cluster,
        keys::{Created, IdentitySecret},
    },
    error::{Exit, Explain, Failure, Result},
    identities::Options,
    input,
    printer::{Format, count},
    repository::{self, Repository},
};

/// Put the private keys of a backup back into a cluster, and trust them; can be done again and in waves.
///
/// Anybody who knows the recovery recipient can make a backup. A key is taken if the KeyRing names it; any other needs
/// --trust, or an answer on the terminal. What .waxwing.yaml and the files under the paths know of it is shown for that.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The backup
    file: PathBuf,
    /// Files, and folders with files: it is shown what a key opens in them
    #[arg(default_value = ".")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    identities: Options,
    /// Only this key: its short id, or its recipient; may be repeated
    #[arg(long, value_name = "KEY")]
    only: Vec<String>,
    /// Trust this key (age1…), which the KeyRing does not know; may be repeated
    #[arg(long, value_name = "RECIPIENT")]
    trust: Vec<String>,
    /// The kubeconfig context. Default: the current one
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,
    /// Name of the KeyRing. Default: the one that the backup is of
    #[arg(long, value_name = "NAME")]
    keyring: Option<String>,
    /// The operator's namespace, into which private keys are written. Default: the backup's
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Make the KeyRing if there is none
    #[arg(long)]
    create_ring: bool,
    /// Write nothing; exit with 3 if something would be written
    #[arg(long)]
    check: bool,
    /// Only say what the backup holds; talks to no cluster
    #[arg(long, conflicts_with_all = ["check", "create_ring", "trust"])]
    list: bool,
    /// Form of the output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// One key of the backup, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    key_id: String,
    recipient: String,
    /// Its state when the backup was made, as the backup says.
    state: String,
    created_at: String,
    /// Who says that it may be trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    known_by: Option<&'static str>,
    /// What the repository knows of it, which proves nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    seen: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<&'static str>,
    /// Whether it is not used, because `spec.retired` names it.
    retired: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    key_ring: &'a str,
    /// Of the backup.
    cluster: &'a str,
    /// Of the backup.
    created_at: &'a str,
    keys: Vec<Row>,
}

pub(super) fn run(args: Args, context: &Context) -> Result {
    let identities = args.identities.load(context)?;
    let file = input::read(&args.file)?;
    // Why exposed: it is encrypted.
    let backup = Backup::open(file.expose(), &identities).map_err(|error| {
        let failure = Failure::from(error).at(args.file.display());
        match error {
            waxwing_core::backup::BackupError::NoMatchingKey => failure.exit(Exit::CannotOpen),
            _ => failure,
        }
    })?;
    let chosen = chosen(&backup, &args.only)?;
    context.printer.note(format!(
        "a backup of KeyRing {}, made {}, in the cluster {}: {}",
        backup.of.ring,
        backup.of.created_at,
        if backup.of.cluster.is_empty() { "unknown" } else { &backup.of.cluster },
        count(backup.keys.len(), "key")
    ));
    if args.list {
        let rows = chosen.iter().map(|key| Row::of(key)).collect();
        return report(&backup, rows, args.output, Exit::Done, context);
    }
    let name = args.keyring.clone().unwrap_or_else(|| backup.of.ring.clone());
    let cluster = Cluster::connect(args.context.as_deref())?;
    cluster.refuse_without_definitions()?;
    let ring = cluster.key_ring_if_any(&name)?;
    if ring.is_none() && !args.create_ring {
        return Err(Failure::new(format!(
            "there is no KeyRing {name} in the cluster of context {}",
            cluster.context()
        ))
        .hint("install the chart, which makes one, or say --create-ring"));
    }
    let is_other = |uid: String| !backup.of.cluster.is_empty() && uid != backup.of.cluster;
    if cluster.uid().is_some_and(is_other) {
        context.printer.note("this is another cluster than the one in which the backup was made");
    }
    let namespace = namespace(&cluster, &name, &backup, args.namespace.as_deref())?;
    if !cluster.has_namespace(&namespace) {
        return Err(Failure::new(format!("there is no namespace {namespace}"))
            .hint("install the chart first, or name the operator's namespace with --namespace"));
    }
    context
        .printer
        .note(format!("private keys go into namespace {namespace} of context {}", cluster.context()));
    let known = known(ring.as_ref());
    let seen = seen(&chosen, &args, context)?;
    let (taken, left) = trusted(&chosen, &known, &seen, &args, &name, context)?;
    let mut rows = Vec::new();
    let mut is_new = false;
    let there = cluster.identity_secrets(&namespace, &name)?;
    let row = |key: &Saved| Row {
        seen: seen.get(key.identity.recipient()).cloned().unwrap_or_default(),
        ..Row::of(key)
    };
    let (mut stored, mut failed) = (Vec::new(), Vec::new());
    for key in &taken {
        let recipient = key.identity.recipient();
        // It may lie there under a name that a person gave. What is wrapped only says whose it is, and what wraps it may be
        // lost.
        let is_there = |secret: &IdentitySecret| {
            matches!(&secret.stored, Stored::Identity(_)) && secret.recipient() == Some(recipient)
        };
        let done = if there.iter().any(is_there) {
            "its Secret was there"
        } else if args.check {
            is_new = true;
            "its Secret would be made"
        } else {
            match cluster.create_identity(&namespace, &name, &key.identity) {
                Ok(Created::New) => "its Secret was made",
                Ok(Created::Beside) => {
                    "its Secret was made, beside one that is wrapped or that nobody can use"
                }
                Ok(Created::Before) => "its Secret was there",
                // The others do not wait for it.
                Err(failure) => {
                    rows.push(Row { done: Some("not restored"), ..row(key) });
                    failed.push(failure);
                    continue;
                }
            }
        };
        stored.push(*key);
        rows.push(Row {
            known_by: Some(if known.contains(recipient) { "the KeyRing" } else { "you" }),
            done: Some(done),
            retired: is_retired(ring.as_ref(), key),
            ..row(key)
        });
    }
    if let Some(failure) = failed.pop_if(|_| stored.is_empty()) {
        return Err(failure);
    }
    // After the Secrets: a ring that finds none of the keys that it trusts goes on without them.
    let changes = trust(&cluster, &name, ring.as_ref(), &stored, args.check)?;
    is_new |= changes;
    rows.extend(
        left.iter().map(|key| Row { done: Some("left out: the KeyRing does not know it"), ..row(key) }),
    );
    let exit = match (left.is_empty() && failed.is_empty(), args.check) {
        (true, true) if !is_new => Exit::Done,
        (_, true) => Exit::Found,
        (false, false) => Exit::Partly,
        (true, false) => Exit::Done,
    };
    report(&backup, rows, args.output, exit, context)?;
    for failure in &failed {
        context.printer.warning(format!("not restored: {failure}"));
        failure.hints().iter().for_each(|hint| context.printer.hint(hint));
    }
    for key in &left {
        context.printer.hint(format!(
            "if you know that key {} is yours: --trust {}",
            key.identity.id(),
            key.identity.recipient()
        ));
    }
    for (place, recipient) in strangers(&there, &name, ring.as_ref(), &chosen) {
        context.printer.warning(format!(
            "Secret {namespace}/{place} holds a key that neither the backup has nor the KeyRing knows: {recipient}"
        ));
        context.printer.hint(
            "whoever may make Secrets there can have put it there: name it in spec.trusted only if you know it, for example from an \
             older .waxwing.yaml, else in spec.retired; a ring that was made anew makes no key until then",
        );
    }
    let what = match (args.check, changes) {
        (true, true) => "KeyRing would be changed",
        (true, false) | (false, false) => "KeyRing trusts them already",
        (false, true) => "KeyRing trusts them now",
    };
    context.printer.note(format!("{} into namespace {namespace}; {what}", count(stored.len(), "key")));
    Ok(exit)
}

impl Row {
    fn of(key: &Saved) -> Self {
        Self {
            key_id: key.identity.id().to_string(),
            recipient: key.identity.recipient().to_string(),
            state: key.state.clone(),
            created_at: key.created_at.clone(),
            known_by: None,
            seen: Vec::new(),
            done: None,
            retired: was_retired(key),
        }
    }
}

fn report(backup: &Backup, rows: Vec<Row>, output: Format, exit: Exit, context: &Context) -> Result {
    if output == Format::Json {
        let of = &backup.of;
        context.printer.json(&Report {
            key_ring: &of.ring,
            cluster: &of.cluster,
            created_at: &of.created_at,
            keys: rows,
        })?;
        return Ok(exit);
    }
    for row in rows {
        let mut line = format!("{}  {}  {}", row.key_id, row.recipient, row.state);
        if let Some(known_by) = row.known_by {
            line.push_str(&format!("  known by {known_by}"));
        }
        if !row.seen.is_empty() {
            line.push_str(&format!("  ({})", row.seen.join(", ")));
        }
        if let Some(done) = row.done {
            line.push_str(&format!("  {done}"));
        }
        if row.retired && row.done.is_some() {
            line.push_str("; it stays retired");
        }
        context.printer.line(line)?;
    }
    Ok(exit)
}

fn was_retired(key: &Saved) -> bool {
    key.state == KeyState::Retired.as_str()
}

/// The keys that are meant.
fn chosen<'a>(backup: &'a Backup, only: &[String]) -> Result<Vec<&'a Saved>> {
    for wanted in only {
        let fits = backup.keys.iter().filter(|key| is_meant(key, wanted)).count();
        if fits != 1 {
            let message =
                if fits == 0 { "the backup has no such key" } else { "two keys of the backup have this id" };
            return Err(
                Failure::usage(message).hint("waxwing keys restore --list FILE -i FILE shows what it has")
            );
        }
    }
    let is_chosen = |key: &&Saved| only.is_empty() || only.iter().any(|wanted| is_meant(key, wanted));
    Ok(backup.keys.iter().filter(is_chosen).collect())
}

fn is_meant(key: &Saved, wanted: &str) -> bool {
    key.identity.recipient().as_str() == wanted
        || wanted.parse::<KeyId>().is_ok_and(|id| key.identity.id() == id)
}

/// Where the private keys go. A Secret of the identity type is no sign of the operator's namespace: whoever may make Secrets
/// in one of their own could have put it there.
fn namespace(cluster: &Cluster, ring: &str, backup: &Backup, given: Option<&str>) -> Result<String> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let own = &backup.of.namespace;
    if own.is_empty() {
        return Err(Failure::usage("the backup does not say in which namespace the keys were")
            .hint("name the operator's namespace with --namespace"));
    }
    // Who may not look for others has only the backup's word.
    let found = cluster.identity_namespaces(ring).unwrap_or_default();
    let others: Vec<&str> = found.iter().map(String::as_str).filter(|other| other != own).collect();
    if others.is_empty() {
        return Ok(own.clone());
    }
    Err(Failure::usage(format!(
        "the backup is of namespace {own}, and there are identity Secrets of KeyRing {ring} in {}",
        others.join(", ")
    ))
    .hint("name the operator's with --namespace: whoever can read Secrets there gets every private key")
    .hint("and find out who made the Secrets in the others"))
}

/// The keys that the KeyRing knows. Always by the full recipient: four bytes can be made to collide.
fn known(ring: Option<&KeyRing>) -> BTreeSet<Recipient> {
    let Some(ring) = ring else { return BTreeSet::new() };
    let listed = ring_keys::of(ring).into_iter().map(|key| key.recipient);
    let saved = ring.spec.backed_up.iter().filter_map(|text| text.parse().ok());
    listed.chain(saved).collect()
}

/// The keys that are there and that neither the KeyRing names nor the backup has, with the names of their Secrets. Those of
/// other rings, by their label, are those rings' business: so the operator has it.
fn strangers<'a>(
    there: &'a [IdentitySecret],
    name: &str,
    ring: Option<&KeyRing>,
    chosen: &[&Saved],
) -> BTreeMap<&'a str, &'a Recipient> {
    let named = ring.map(ring_keys::of).unwrap_or_default();
    let is_named = |recipient: &&Recipient| {
        named.iter().any(|key| key.recipient == **recipient)
            || chosen.iter().any(|key| key.identity.recipient() == *recipient)
    };
    let ours = there.iter().filter(|secret| secret.ring.as_ref().is_none_or(|ring| ring == name));
    let all = ours.filter_map(|secret| Some((&*secret.name, secret.recipient()?)));
    all.filter(|(_, recipient)| !is_named(recipient)).collect()
}

/// What the repository at hand knows of the keys of the backup.
fn seen(chosen: &[&Saved], args: &Args, context: &Context) -> Result<BTreeMap<Recipient, Vec<String>>> {
    let mut seen: BTreeMap<Recipient, Vec<String>> = BTreeMap::new();
    let mut add = |recipient: &Recipient, what| seen.entry(recipient.clone()).or_default().push(what);
    let identities: Identities = chosen.iter().map(|key| key.identity.clone()).collect();
    let survey = Survey::of_files(&args.paths, &identities, context)?;
    for key in chosen {
        let recipient = key.identity.recipient();
        let opened = survey.uses.iter().filter(|one| one.proven.contains(recipient));
        let values: usize = opened.map(|one| one.values.len()).sum();
        if values > 0 {
            add(recipient, format!("opens {} here", count(values, "value")));
        }
    }
    let here = args.paths.first().map_or(Path::new("."), PathBuf::as_path);
    if repository::config_path(here, context).is_some() {
        for member in Repository::of(here, context)?.config().members() {
            add(member.recipient.recipient(), format!("{} in .waxwing.yaml", member.recipient.name()));
        }
    }
    Ok(seen)
}

/// The keys that are taken, and those that are left out because neither the KeyRing nor whoever runs this knows them.
fn trusted<'a>(
    chosen: &[&'a Saved],
    known: &BTreeSet<Recipient>,
    seen: &BTreeMap<Recipient, Vec<String>>,
    args: &Args,
    name: &str,
    context: &Context,
) -> Result<(Vec<&'a Saved>, Vec<&'a Saved>)> {
    let mut named: Vec<Recipient> = Vec::new();
    for text in &args.trust {
        named.push(
            text.parse()
                .at("--trust")
                .hint("say the whole public key (age1…): a short id can be made to collide")?,
        );
    }
    let (mut taken, mut left): (Vec<&Saved>, Vec<&Saved>) = chosen.iter().copied().partition(|key| {
        let recipient = key.identity.recipient();
        known.contains(recipient) || named.contains(recipient)
    });
    if !left.is_empty() && !args.check && std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        for key in &left {
            let recipient = key.identity.recipient();
            let seen = seen.get(recipient).map_or("nothing here knows it".to_owned(), |seen| seen.join(", "));
            context
                .printer
                .warning(format!("KeyRing {name} does not know {recipient} ({}): {seen}", key.state));
        }
        let what = format!("KeyRing {name} would open values with {}", count(left.len(), "more key"));
        ask::to_type(&what, "trust", None, context)?;
        taken.append(&mut left);
    }
    Ok((taken, left))
}

/// Whether it is not used after the restore: because the ring says so, or because it was so and the ring does not know it.
fn is_retired(ring: Option<&KeyRing>, key: &Saved) -> bool {
    let recipient = key.identity.recipient();
    let known = ring.map(ring_keys::of).unwrap_or_default();
    match known.iter().find(|known| known.recipient == *recipient) {
        Some(known) => known.state.is_ended(),
        None => was_retired(key),
    }
}

/// Has the ring trust the keys, and says whether that was a change. A key that the ring lists itself needs no trust.
fn trust(
    cluster: &Cluster,
    name: &str,
    ring: Option<&KeyRing>,
    taken: &[&Saved],
    check: bool,
) -> Result<bool> {
    if taken.is_empty() {
        return Ok(false);
    }
    let Some(ring) = ring else {
        if !check {
            let texts = |keys: &mut dyn Iterator<Item = &&Saved>| -> Vec<String> {
                keys.map(|key| key.identity.recipient().to_string()).collect()
            };
            let spec = KeyRingSpec {
                trusted: texts(&mut taken.iter()),
                retired: texts(&mut taken.iter().filter(|key| was_retired(key))),
                ..KeyRingSpec::default()
            };
            cluster.create_ring(&KeyRing::new(name, spec))?;
        }
        return Ok(true);
    };
    let missing = |ring: &KeyRing| -> Vec<&Saved> {
        let listed = |key: &&Saved| {
            let recipient = key.identity.recipient().as_str();
            ring.spec.trusted.iter().any(|text| text == recipient)
                || ring.status.iter().flat_map(|status| &status.keys).any(|key| key.recipient == recipient)
        };
        taken.iter().copied().filter(|key| !listed(key)).collect()
    };
    if missing(ring).is_empty() {
        return Ok(false);
    }
    if !check {
        cluster.change_ring(name, &|ring| {
            let missing = missing(ring);
            if missing.is_empty() {
                return Ok(None);
            }
            let (mut trusted, mut retired) = (ring.spec.trusted.clone(), ring.spec.retired.clone());
            for key in missing {
                let recipient = key.identity.recipient().to_string();
                if was_retired(key) && !retired.contains(&recipient) {
                    retired.push(recipient.clone());
                }
                trusted.push(recipient);
            }
            Ok(Some(json!({"trusted": trusted, "retired": retired})))
        })?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{ByteString, api::core::v1::Secret};
    use waxwing_core::{identity_secret, keys::Identity};
    use waxwing_crds::names;

    use super::*;

    /// K33. Guard: the label in `strangers`; whoever follows its advice trusts the key.
    #[test]
    fn another_rings_key_beside_ours_is_no_stranger() {
        let secret = |name: &str, ring: Option<&str>| {
            let data = identity_secret::data_of(&Identity::generate());
            let data = data.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value))).collect();
            let mut secret = Secret { data: Some(data), ..Secret::default() };
            secret.metadata.name = Some(name.to_owned());
            secret.metadata.labels = ring.map(|ring| [(names::KEY_RING.to_owned(), ring.to_owned())].into());
            IdentitySecret::of(secret, "default")
        };
        let there =
            [secret("ours", Some("default")), secret("theirs", Some("team")), secret("nobodys", None)];
        let found: Vec<_> = strangers(&there, "default", None, &[]).into_keys().collect();
        assert_eq!(found, ["nobodys", "ours"]);
    }
}
