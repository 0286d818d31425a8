//! `waxwing init`: writes `.waxwing.yaml`, which says who can open what is sealed in a repository.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Serialize;
use waxwing_core::{
    config::{Config, Member, Rule},
    keys::{NamedRecipient, Recipient},
};

use super::keys;
use crate::{
    args::Context,
    error::{Exit, Explain, Failure, Result},
    printer::Format,
    repository::FILE,
    ring,
    write::{self, Mode},
};

/// Write .waxwing.yaml: the recipients, and one rule by which all of them can open everything.
///
/// Public keys only; review the file like code, because it decides who can read what is sealed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  waxwing init --recipient prod=age1… --generate-recovery ~/offline/recovery.txt
  kubectl get keyring default -o yaml > ring.yaml && waxwing init --from-keyring ring.yaml=prod")]
pub(crate) struct Args {
    /// A cluster's recipient; may be repeated
    #[arg(long, value_name = "NAME=AGE1")]
    recipient: Vec<String>,
    /// The offline recovery recipient, which can open everything that is ever sealed
    #[arg(long, value_name = "AGE1", conflicts_with = "generate_recovery")]
    recovery: Option<String>,
    /// Make the offline recovery identity, and write it to this file outside the repository
    #[arg(long, value_name = "FILE")]
    generate_recovery: Option<PathBuf>,
    /// A file with a KeyRing, as `kubectl get keyring default -o yaml` prints it, and the name to give
    /// its key; may be repeated
    #[arg(long, value_name = "FILE[=NAME]")]
    from_keyring: Vec<String>,
    /// A kubeconfig context whose cluster's KeyRing to read, and the name to give its key; may be repeated
    #[cfg(feature = "cluster")]
    #[arg(long, help_heading = crate::args::CLUSTER, value_name = "CONTEXT[=NAME]")]
    from_cluster: Vec<String>,
    /// Name of the KeyRing in the cluster
    #[cfg(feature = "cluster")]
    #[arg(long, help_heading = crate::args::CLUSTER, value_name = "NAME", default_value = "default")]
    keyring: String,
    /// The folder to write .waxwing.yaml into
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Write the recovery identity even inside a Git work tree
    #[arg(long, requires = "generate_recovery")]
    force: bool,
    /// Form of the output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// What was written, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    file: String,
    recipients: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_identity: Option<String>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    recipient: String,
    cluster: bool,
    required: bool,
}

impl From<&Member> for Row {
    fn from(member: &Member) -> Self {
        Self {
            name: member.recipient.name().to_owned(),
            recipient: member.recipient.recipient().to_string(),
            cluster: member.cluster,
            required: member.required,
        }
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Result {
    let path = match &context.config {
        Some(named) => named.clone(),
        None if args.folder == Path::new(".") => PathBuf::from(FILE),
        None => args.folder.join(FILE),
    };
    if fs::symlink_metadata(&path).is_ok() {
        return Err(Failure::new(format!("{} exists already", path.display()))
            .hint("edit it by hand; waxwing recipients diff shows what the clusters publish"));
    }
    let mut members = Vec::new();
    for given in &args.recipient {
        let (name, key) = given.split_once('=').ok_or_else(|| {
            Failure::usage("--recipient takes NAME=AGE1").hint("such as --recipient prod-eu=age1…")
        })?;
        add(&mut members, member(name, key.parse()?, true, false)?)?;
    }
    for member in published(&args)? {
        add(&mut members, member)?;
    }
    if let Some(recovery) = &args.recovery {
        add(&mut members, member("recovery", recovery.parse()?, false, true)?)?;
    }
    if members.is_empty() && args.generate_recovery.is_none() {
        return Err(Failure::usage("there is nobody to seal to")
            .hint("name a cluster's recipient with --recipient or --from-keyring, and a recovery recipient with --recovery or --generate-recovery"));
    }
    // Last, because a private key can't be taken back once it is on disk.
    check(&members, args.generate_recovery.is_some())?;
    if let Some(file) = &args.generate_recovery {
        let identity = keys::create(file, args.force)?;
        context.printer.note(format!(
            "wrote the recovery identity to {}: move it to offline storage, it opens everything sealed from now on",
            file.display()
        ));
        add(&mut members, member("recovery", identity.recipient().clone(), false, true)?)?;
    }
    if !members.iter().any(|member| member.required) {
        context.printer.warning(
            "there is no recovery recipient: if the cluster's keys are lost, so is everything sealed",
        );
        context
            .printer
            .hint("make one with waxwing keys generate, and add it to the file with required: true");
    }
    let rule = Rule {
        path: None,
        namespace: None,
        recipients: members
            .iter()
            .filter(|member| !member.required)
            .map(|member| member.recipient.name().to_owned())
            .collect(),
        scope: None,
    };
    let recipients = members.iter().map(Row::from).collect();
    let config = Config::new(members, vec![rule])?;
    write::create(&path, config.render().as_bytes(), Mode::Keep).map_err(Failure::from).at(path.display())?;
    context.printer.note(format!("wrote {}; commit it", path.display()));
    if args.output == Format::Json {
        let recovery_identity = args.generate_recovery.map(|file| file.display().to_string());
        context.printer.json(&Report { file: path.display().to_string(), recipients, recovery_identity })?;
    }
    Ok(Exit::Done)
}

/// What KeyRings publish, each cluster's own key under the name that was given for it.
fn published(args: &Args) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    for given in &args.from_keyring {
        let (file, name) = ring::split(given);
        let ring = ring::read(Path::new(file))?;
        members.extend(ring::members(&ring, name.unwrap_or("cluster")).at(file)?);
    }
    #[cfg(feature = "cluster")]
    for given in &args.from_cluster {
        let (cluster, name) = ring::split(given);
        let ring = crate::cluster::Cluster::connect(Some(cluster))?.key_ring(&args.keyring)?;
        let default = ring::as_name(cluster);
        members.extend(ring::members(&ring, name.unwrap_or(&default)).at(format!("context {cluster}"))?);
    }
    Ok(members)
}

fn member(name: &str, key: Recipient, cluster: bool, required: bool) -> Result<Member> {
    let recipient = NamedRecipient::new(name, key)
        .map_err(Failure::from)
        .hint("choose another name with NAME= or =NAME")?;
    Ok(Member { recipient, cluster, required })
}

/// Two clusters may publish the same recovery recipient: once is enough.
fn add(members: &mut Vec<Member>, member: Member) -> Result<()> {
    match members.iter_mut().find(|known| known.recipient == member.recipient) {
        Some(known) => {
            known.required |= member.required;
            Ok(())
        }
        None => {
            members.push(member);
            Ok(())
        }
    }
}

/// Finds what the configuration would be refused for, before a recovery key is made.
fn check(members: &[Member], recovery: bool) -> Result<()> {
    if members.is_empty() {
        return Ok(());
    }
    if recovery && members.iter().any(|member| member.recipient.name() == "recovery") {
        return Err(Failure::usage(
            "a recipient is named recovery already; leave out --generate-recovery, or give it another name",
        ));
    }
    let rule = Rule {
        path: None,
        namespace: None,
        recipients: vec![members[0].recipient.name().to_owned()],
        scope: None,
    };
    Config::new(members.to_vec(), vec![rule])?;
    Ok(())
}
