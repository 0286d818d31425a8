//! `waxwing keys backup`: every private key of a ring, encrypted for the recovery recipients, in one file.
//!
//! The one way in which a ring's private keys leave the cluster. They are in this process's memory, wiped after use, and
//! in the encrypted file; never in arguments, the environment, a log or an unencrypted file.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::json;
use waxwing_core::{
    backup::{self, Backup, Origin, Saved},
    keys::Recipient,
};
use waxwing_crds::{KeyRing, KeyState, conditions};

use super::{
    private_keys::PrivateKeys,
    ring_keys::{self, RingKey, State},
    target::{Target, operator_namespace},
};
use crate::{
    args::Context,
    cluster::{Cluster, wrapped::Keys},
    error::{Exit, Explain, Failure, Result},
    printer::{Format, count},
    repository::{self, Repository},
    work_tree,
    write::{self, Mode},
};

/// Write all private keys of a ring to one file, encrypted for the offline recovery key.
///
/// The file is an armored age file, which stock age opens. Then spec.backedUp of the KeyRing names the keys.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Who can open the backup: a recipient (age1…), or its name, if .waxwing.yaml and the KeyRing have the same key for it;
    /// may be repeated.
    /// Default: the required recipients, if .waxwing.yaml and the KeyRing have the same
    #[arg(long, value_name = "RECIPIENT")]
    to: Vec<String>,
    /// The file, which must not exist
    #[arg(long, short, value_name = "FILE", required_unless_present = "check")]
    out: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
    /// The operator's namespace. Default: the one that has identity Secrets of the ring
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Write nothing; exit with 3 if a key of the ring is not backed up
    #[arg(long, conflicts_with = "out")]
    check: bool,
    /// Form of the output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// One key, for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    key_id: String,
    recipient: String,
    state: &'static str,
    /// Why its private half could not be opened, where one was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    file: String,
    keys: &'a [Row],
    /// Who can open the file.
    recipients: Vec<String>,
    /// Listed keys whose private half was not found or not readable.
    missing: &'a [Row],
    acknowledged: bool,
}

pub(super) fn run(args: Args, context: &Context) -> Result {
    let cluster = args.target.connect()?;
    let name = &args.target.keyring;
    let ring = cluster.key_ring(name)?;
    let keys = ring_keys::of(&ring);
    if args.check {
        return check(&keys, args.output, context);
    }
    let out = args.out.unwrap_or_default();
    if out.exists() {
        return Err(exists(&out));
    }
    let to = recipients(&args.to, &ring, &keys, context)?;
    let namespace = operator_namespace(&cluster, name, args.namespace.as_deref())?;
    let (saved, missing) = collect(&cluster, &namespace, (name, &ring), &keys, context)?;
    let rows: Vec<Row> = keys.iter().filter(|key| is_in(&saved, &key.recipient)).map(Row::of).collect();
    let backup = Backup {
        of: Origin {
            ring: name.clone(),
            cluster: cluster.uid().unwrap_or_default(),
            namespace: namespace.clone(),
            created_at: conditions::time(context.now).0.to_string(),
        },
        keys: saved,
    };
    let names: Vec<String> = to.iter().map(|(name, key)| format!("{name} {key}").trim().to_owned()).collect();
    let readers: Vec<Recipient> = to.into_iter().map(|(_, recipient)| recipient).collect();
    let file = backup.encrypt(&readers)?;
    drop(backup);
    write::create(&out, &file, Mode::Private).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(&out),
        _ => Failure::from(error).at(out.display()),
    })?;
    verify(&out, &file, readers.len())?;
    context.printer.note(format!(
        "wrote {} of KeyRing {name} from namespace {namespace} to {}, for {}",
        count(rows.len(), "key"),
        out.display(),
        names.join(", ")
    ));
    context.printer.note(
        "read back: an age file for that many recipients; that it opens, only their private keys can prove",
    );
    context
        .printer
        .hint(format!("where the recovery key is: waxwing keys restore --list {} -i FILE", out.display()));
    if let Some(tree) = work_tree::around(&out) {
        context.printer.warning(format!(
            "it lies inside the Git work tree {}: whoever reads it and gets the recovery key has every key",
            tree.display()
        ));
    }
    // Only now: the file is complete on disk.
    let acknowledged = acknowledge(&cluster, name, &rows);
    if args.output == Format::Json {
        let (file, acknowledged) = (out.display().to_string(), acknowledged.is_ok());
        context.printer.json(&Report {
            file,
            keys: &rows,
            recipients: names,
            missing: &missing,
            acknowledged,
        })?;
    } else {
        for row in &rows {
            context.printer.line(row.shown())?;
        }
    }
    if let Err(failure) = acknowledged {
        let hint = "the file is complete; name its keys in spec.backedUp of the KeyRing";
        return Err(failure.at("the backup could not be acknowledged").hint(hint).exit(Exit::Partly));
    }
    for row in &missing {
        let why = row.why.as_deref().unwrap_or("its private key was not found");
        context.printer.warning(format!("not in it: {}: {why}", row.shown()));
    }
    if missing.iter().any(|row| row.why.is_some()) {
        context.printer.hint("make another one with the right to decrypt what is wrapped; or restore those keys from an older one, and back up again");
    }
    Ok(if missing.is_empty() { Exit::Done } else { Exit::Partly })
}

fn exists(out: &Path) -> Failure {
    Failure::new(format!("{} exists already", out.display()))
        .hint("an older backup is never overwritten: it may hold keys that are gone since. Put the date into the name")
}

impl Row {
    fn of(key: &RingKey) -> Self {
        Self {
            key_id: key.recipient.id().to_string(),
            recipient: key.recipient.to_string(),
            state: key.state.as_str(),
            why: None,
        }
    }

    fn shown(&self) -> String {
        format!("{}  {}  {}", self.key_id, self.recipient, self.state)
    }
}

/// Whether a key has a private half to back up, as far as the KeyRing says.
fn is_there(key: &RingKey) -> bool {
    match key.state {
        // One that is only listed may never get its Secret.
        State::Made(KeyState::Pending) => key.announced,
        State::Made(state) => state != KeyState::Destroyed,
        State::Trusted => true,
        // The operator never saw it, or has not looked yet.
        State::Retired => key.created_at.is_some(),
    }
}

fn check(keys: &[RingKey], output: Format, context: &Context) -> Result {
    let open: Vec<Row> = keys.iter().filter(|key| is_there(key) && !key.backed_up).map(Row::of).collect();
    if output == Format::Json {
        context.printer.json(&open)?;
    } else {
        for row in &open {
            context.printer.line(row.shown())?;
        }
    }
    context.printer.note(format!(
        "{} of {} not backed up, as spec.backedUp says",
        open.len(),
        count(keys.iter().filter(|key| is_there(key)).count(), "key")
    ));
    if open.is_empty() {
        return Ok(Exit::Done);
    }
    context.printer.hint("waxwing keys backup --to RECIPIENT --out FILE");
    Ok(Exit::Found)
}

/// Who the backup is for, by name and key. A KeyRing and a file in a repository can each be changed by others than who
/// keeps the recovery key, so a name and a default are taken only from both.
fn recipients(
    to: &[String],
    ring: &KeyRing,
    keys: &[RingKey],
    context: &Context,
) -> Result<Vec<(String, Recipient)>> {
    let here = Path::new(".");
    let repository = match repository::config_path(here, context) {
        Some(_) => Some(Repository::of(here, context)?),
        None => None,
    };
    let members = || repository.iter().flat_map(|repository| repository.config().members());
    let in_ring = || {
        ring.spec.recipients.iter().filter_map(|one| Some((one, one.recipient.parse::<Recipient>().ok()?)))
    };
    let mut chosen: BTreeMap<Recipient, String> = BTreeMap::new();
    for wanted in to {
        if wanted.starts_with("age1") {
            chosen.insert(wanted.parse().at("--to")?, String::new());
            continue;
        }
        let mut configured: Vec<&Recipient> = members()
            .filter(|member| member.recipient.name() == wanted)
            .map(|member| member.recipient.recipient())
            .collect();
        configured.dedup();
        let mut published: Vec<Recipient> =
            in_ring().filter(|(one, _)| one.name == *wanted).map(|(_, recipient)| recipient).collect();
        published.dedup();
        match (configured.as_slice(), published.as_slice()) {
            ([one], [other]) if *one == other => drop(chosen.insert(other.clone(), wanted.clone())),
            ([], []) => {
                return Err(Failure::usage(
                    "neither .waxwing.yaml nor the KeyRing has a recipient of that name",
                )
                .hint("say its public key: --to age1…"));
            }
            _ => return Err(differ(wanted)),
        }
    }
    if to.is_empty() {
        let required: BTreeMap<Recipient, String> = in_ring()
            .filter(|(one, _)| one.required == Some(true))
            .map(|(one, recipient)| (recipient, one.name.clone()))
            .collect();
        let configured: BTreeMap<Recipient, String> = members()
            .filter(|member| member.required)
            .map(|member| (member.recipient.recipient().clone(), member.recipient.name().to_owned()))
            .collect();
        if !required.keys().eq(configured.keys()) {
            return Err(differ("the required recipients"));
        }
        chosen = required;
    }
    if chosen.is_empty() {
        return Err(Failure::usage("there is nobody to encrypt the backup for")
            .hint("make a recovery key on a machine that stays offline: waxwing keys generate --file recovery.txt")
            .hint("then give its public key: --to age1…"));
    }
    for recipient in chosen.keys() {
        if keys.iter().any(|key| key.recipient == *recipient) {
            let id = recipient.id();
            return Err(Failure::usage(format!(
                "{id} is a key of this ring: a backup for it could open only itself"
            ))
            .hint("encrypt it for a key that is kept outside of the cluster"));
        }
    }
    Ok(chosen.into_iter().map(|(recipient, name)| (name, recipient)).collect())
}

fn differ(what: &str) -> Failure {
    Failure::usage(format!("{what}: .waxwing.yaml and the KeyRing do not have the same key"))
        .hint("say the public key itself: --to age1…; and where both have one, find out who changed which")
}

fn is_in(saved: &[Saved], recipient: &Recipient) -> bool {
    saved.iter().any(|one| one.identity.recipient() == recipient)
}

/// The private keys of the ring that can be had, and the keys whose private half can't.
fn collect(
    cluster: &Cluster,
    namespace: &str,
    (name, ring): (&str, &KeyRing),
    keys: &[RingKey],
    context: &Context,
) -> Result<(Vec<Saved>, Vec<Row>)> {
    let is_known = |recipient: &Recipient| keys.iter().any(|key| key.recipient == *recipient);
    let secrets = cluster.identity_secrets(namespace, name)?;
    for secret in &secrets {
        let place = format!("Secret {namespace}/{}", secret.name);
        match secret.recipient() {
            None => context
                .printer
                .warning(format!("{place} holds no identity that KeyRing {name} could use, and is left out")),
            // What the ring does not know is nobody's key, or another ring's.
            Some(recipient) if !is_known(recipient) => context
                .printer
                .warning(format!("{place}: KeyRing {name} does not know this identity; it is left out")),
            Some(_) => {}
        }
    }
    // With the rights of whoever runs this, not the operator's.
    let mut wraps = Keys::of(cluster, ring);
    let PrivateKeys { mut had, mut refused } =
        PrivateKeys::of(&secrets, &is_known, &mut |wrapped| wraps.open(wrapped));
    if had.is_empty() {
        // One reason is enough: as a rule it is the same for all.
        return Err(refused.pop_first().map(|(_, failure)| failure).unwrap_or_else(|| {
            Failure::new(format!("namespace {namespace} holds no identity that KeyRing {name} knows"))
                .hint("name the operator's namespace with --namespace")
        }));
    }
    let (mut saved, mut missing) = (Vec::new(), Vec::new());
    for key in keys {
        if let Some(identity) = had.remove(&key.recipient) {
            let created_at = key.created_at.map(|at| conditions::time(at).0.to_string()).unwrap_or_default();
            saved.push(Saved { identity, state: key.state.as_str().to_owned(), created_at });
            continue;
        }
        let why = refused.remove(&key.recipient).map(|failure| failure.to_string());
        if why.is_some() || is_there(key) {
            missing.push(Row { why, ..Row::of(key) });
        }
    }
    Ok((saved, missing))
}

/// What can be proven without the recovery key: that what lies on disk is what was made.
fn verify(out: &Path, file: &[u8], readers: usize) -> Result<()> {
    let written = fs::read(out).at(out.display())?;
    let damaged = || {
        Failure::new(format!("{} is not what was written to it", out.display()))
            .hint("do not rely on it; write another one")
    };
    if written != file || backup::readers(&written) != Ok(readers) {
        return Err(damaged());
    }
    Ok(())
}

/// Adds the keys to `spec.backedUp`.
fn acknowledge(cluster: &Cluster, name: &str, rows: &[Row]) -> Result<()> {
    cluster.change_ring(name, &|ring| {
        let mut all = ring.spec.backed_up.clone();
        let new: Vec<String> = rows
            .iter()
            .map(|row| row.recipient.clone())
            .filter(|recipient| !all.contains(recipient))
            .collect();
        if new.is_empty() {
            return Ok(None);
        }
        all.extend(new);
        Ok(Some(json!({"backedUp": all})))
    })
}
