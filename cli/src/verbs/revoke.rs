//! `waxwing revoke`: what to do when a key or a value leaked. It takes a recipient out of the rules and of every file, writes
//! down what has to change, and tells what of it is left.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::Serialize;
use waxwing_core::{
    config::Config,
    keys::{KeyId, Recipient},
    seal::{Envelope, EnvelopeId},
    yaml::edit::{Edit, apply},
};

use super::bulk;
use crate::{
    args::Context,
    error::{Exit, Explain, Failure, Result},
    identities,
    printer::{Format, Tone, count},
    repository::Repository,
    revocations::{
        self, Leaked, Revocation, Revocations, Revoked, State,
        history::{self, Reach},
        tree::{self, Tree},
        unchanged::{Compared, Old},
    },
    sealed_file::changed_meanwhile,
    write::{self, Lock, Mode},
};

/// Answer a leak: of somebody's key, or of values. Records what has to change until it has.
///
/// With --recipient: takes it out of .waxwing.yaml and of every sealed file, and records every value that it could read.
/// With --file: the values themselves leaked; all of them have to change. `waxwing verify` fails until all of it is sealed
/// anew or removed. The record lies in .waxwing/revocations.yaml, to be committed.
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("what").required(true),
    after_help = "Examples:\n  waxwing revoke --recipient alice --reason \"laptop lost\"\n  waxwing revoke --file clusters/prod/db.yaml --reason \"in a build log\"\n  waxwing revoke --status"
)]
pub(crate) struct Args {
    /// Whose private key leaked: a name in .waxwing.yaml, or an age1… recipient
    #[arg(long, value_name = "NAME|age1…", group = "what")]
    recipient: Option<String>,
    /// Files with values that leaked
    #[arg(long, value_name = "FILE", group = "what", num_args = 1..)]
    file: Vec<PathBuf>,
    /// Show what is still to change; exit with 3 if anything is
    #[arg(long, group = "what")]
    status: bool,
    /// With --status and an identity: open what leaked, from Git's history, and what stands there now, and find values
    /// that were sealed again unchanged
    #[arg(long, requires = "status")]
    compare: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", conflicts_with = "status")]
    reason: Option<String>,
    /// Leave the envelopes as they are, where no identity is at hand; run waxwing rewrap elsewhere
    #[arg(long, requires = "recipient", conflicts_with = "identity")]
    no_rewrap: bool,
    /// Do not look for values in Git's history that the recipient could read once
    #[arg(long, requires = "recipient")]
    no_history: bool,
    /// Write nothing; show what would be recorded, and exit with 3 if there is any
    #[arg(long, conflicts_with = "status")]
    check: bool,
    /// Form of the output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    identities: identities::Options,
}

pub(crate) fn run(args: Args, context: &Context) -> Result {
    let start = args.file.first().map_or(Path::new("."), PathBuf::as_path);
    let repository = Repository::of(start, context)?;
    let recorded = Revocations::read(repository.root())?;
    let tree = tree::read(repository.root(), context)?;
    for file in tree.unreadable.iter().chain(&tree.templates) {
        context
            .printer
            .warning(format!("{file} cannot be read whole: what is in it is not known; see waxwing verify"));
    }
    if args.status {
        return status(&recorded, &tree, &repository, &args, context);
    }
    let leak = Leak { args: &args, context, repository: &repository, tree: &tree };
    match &args.recipient {
        Some(recipient) => leak.of_recipient(recipient, recorded),
        None => leak.of_files(recorded),
    }
}

/// What is known about a leak.
struct Leak<'a> {
    args: &'a Args,
    context: &'a Context,
    repository: &'a Repository,
    tree: &'a Tree,
}

/// What was done, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient: Option<&'a Revoked>,
    /// Values that have to change.
    values: &'a [Leaked],
    /// Values in Git's history that it could read, and that are no longer in use here.
    #[serde(skip_serializing_if = "Option::is_none")]
    earlier_values: Option<usize>,
    /// Files that could not be read whole: what is in them is not known.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    unreadable: &'a [String],
    /// Resources that were rewrapped.
    rewrapped: usize,
    failures: Vec<String>,
}

/// What Git's history says.
struct Past {
    reach: Reach,
    /// Envelopes that were, or may have been, for the recipient in any version.
    envelopes: BTreeSet<EnvelopeId>,
    /// Values that it could read, and that no file has any more.
    earlier: usize,
}

/// Whether the key with this id may open an envelope. One that names fewer readers than it has may be for anybody.
fn may_be_for(envelope: &Envelope, id: KeyId) -> bool {
    envelope.names(id) || !envelope.names_as_many_as_open()
}

impl Leak<'_> {
    fn of_files(&self, recorded: Revocations) -> Result {
        let root = self.repository.root();
        let mut wanted = BTreeSet::new();
        for file in &self.args.file {
            let real = file.canonicalize().at(file.display())?;
            let inside = real.strip_prefix(root).map_err(|_| {
                Failure::new(format!("{} lies outside of {}", file.display(), root.display()))
            })?;
            let inside = inside.display().to_string();
            if self.tree.unreadable.contains(&inside) {
                return Err(Failure::new(
                    "it cannot be read whole, so not all of its values could be recorded",
                )
                .at(inside)
                .hint("waxwing verify says what is wrong with it"));
            }
            if !self.tree.seen.iter().any(|seen| seen.file == inside) {
                return Err(Failure::new("there is no SealedSecret in it").at(inside));
            }
            wanted.insert(inside);
        }
        let values = self.values(|seen, _| wanted.contains(&seen.file), &recorded);
        if !self.args.check {
            self.record(None, &values, recorded, &[])?;
        }
        self.report(None, &values, None, &bulk::Outcome::default())
    }

    fn of_recipient(&self, named: &str, recorded: Revocations) -> Result {
        let root = self.repository.root();
        let revoked = self.find(named, &recorded)?;
        let id = revoked.id()?;
        let mut configs = Vec::new();
        for repository in [self.repository].into_iter().chain(&self.tree.within) {
            configs.extend(config_without(repository, &revoked)?);
        }
        let mut above = self.repository.above(self.context)?;
        above.retain(|above| above.has(&revoked.key));
        // What can be wrong is found before anything is written.
        let identities = match self.args.no_rewrap || self.args.check {
            true => None,
            false => Some(
                self.args.identities.load(self.context).hint("or say --no-rewrap, and rewrap elsewhere")?,
            ),
        };
        for above in &above {
            self.context.printer.warning(format!(
                "{} names {}, too: revoke it in that folder",
                above.path().display(),
                revoked.title()
            ));
        }
        let past = match self.args.no_history {
            true => None,
            false => Some(self.past(id).hint(
                "make Git's history readable (git fsck tells more), or say --no-history: what was taken from it is not recorded then",
            )?),
        };
        let is_whole = above.is_empty()
            && self.tree.unreadable.is_empty()
            && !past.as_ref().is_some_and(|past| matches!(past.reach, Reach::CutOff | Reach::Missing(_)));
        let partly = |exit| if is_whole || exit != Exit::Done { exit } else { Exit::Partly };
        let values = self.values(
            |seen, envelope| {
                let found = seen.sealed.envelopes().get(&envelope);
                found.is_some_and(|envelope| may_be_for(envelope, id))
                    || past.as_ref().is_some_and(|past| past.envelopes.contains(&envelope))
            },
            &recorded,
        );
        if self.args.check {
            return self
                .report(Some(&revoked), &values, past.as_ref(), &bulk::Outcome::default())
                .map(partly);
        }
        self.record(Some(&revoked), &values, recorded, &configs)?;
        let Some(identities) = identities else {
            let envelopes = self.tree.seen.iter().flat_map(|seen| seen.sealed.envelopes().values());
            if envelopes.into_iter().any(|envelope| envelope.names(id)) {
                self.context.printer.note(format!(
                    "envelopes are still for {}; run waxwing rewrap where an identity is at hand",
                    revoked.title()
                ));
            }
            return self
                .report(Some(&revoked), &values, past.as_ref(), &bulk::Outcome::default())
                .map(partly);
        };
        let outcome = bulk::each(&[here(root)], false, self.context, &|item, repository, recipients| {
            let envelopes = item.sealed.envelopes().values();
            if !envelopes.into_iter().any(|envelope| may_be_for(envelope, id)) {
                return Ok(item.sealed.clone());
            }
            bulk::opened(item, &identities, repository, self.context, |sealed| {
                sealed.rewrap(&identities, recipients).map(|_| ())
            })
        })?;
        self.report(Some(&revoked), &values, past.as_ref(), &outcome).map(partly)
    }

    /// The recipient: in the rules, or revoked before, or only a key.
    fn find(&self, named: &str, recorded: &Revocations) -> Result<Revoked> {
        let members = self.repository.config().members();
        let member = members.iter().find(|member| {
            member.recipient.name() == named || member.recipient.recipient().as_str() == named
        });
        if let Some(member) = member {
            let (name, key) = (member.recipient.name(), member.recipient.recipient());
            return Ok(Revoked { name: Some(name.to_owned()), key: key.to_string() });
        }
        let known = recorded.revocations.iter().filter_map(|revocation| revocation.recipient.as_ref());
        if let Some(known) =
            known.into_iter().find(|known| known.name.as_deref() == Some(named) || known.key == named)
        {
            return Ok(known.clone());
        }
        match named.parse::<Recipient>() {
            Ok(recipient) => Ok(Revoked { name: None, key: recipient.to_string() }),
            Err(_) => {
                let names: Vec<&str> = members.iter().map(|member| member.recipient.name()).collect();
                Err(Failure::new(format!("{} names no such recipient", self.repository.path().display()))
                    .hint(format!("there are {}; else give the public key (age1…)", names.join(", "))))
            }
        }
    }

    /// The values that have to change and are not recorded yet.
    fn values(
        &self,
        leaked: impl Fn(&tree::Seen, EnvelopeId) -> bool,
        recorded: &Revocations,
    ) -> Vec<Leaked> {
        let mut values = Vec::new();
        for seen in &self.tree.seen {
            for (key, token) in seen.sealed.tokens() {
                let mut value = Leaked::of(seen, key, token);
                if leaked(seen, token.envelope()) && !recorded.names(&value) {
                    value.note_others(self.tree);
                    values.push(value);
                }
            }
        }
        values.sort();
        values
    }

    fn past(&self, id: KeyId) -> Result<Past> {
        let mut envelopes = BTreeSet::new();
        let mut values = BTreeSet::new();
        let reach = history::each(self.repository.root(), |sealed| {
            for (key, token) in sealed.tokens() {
                let envelope = sealed.envelopes().get(&token.envelope());
                if envelope.is_some_and(|envelope| may_be_for(envelope, id)) {
                    envelopes.insert(token.envelope());
                    values.insert((key.clone(), token.envelope()));
                }
            }
        })?;
        for seen in &self.tree.seen {
            for (key, token) in seen.sealed.tokens() {
                values.remove(&(key.clone(), token.envelope()));
            }
        }
        Ok(Past { reach, envelopes, earlier: values.len() })
    }

    /// Writes the record, and then the configurations: a crash in between leaves the record.
    fn record(
        &self,
        recipient: Option<&Revoked>,
        values: &[Leaked],
        mut recorded: Revocations,
        configs: &[ConfigChange],
    ) -> Result<()> {
        let path = self.repository.root().join(revocations::FILE);
        let known = recipient.is_some_and(|recipient| {
            let known = recorded.revocations.iter().filter_map(|revocation| revocation.recipient.as_ref());
            known.into_iter().any(|known| known.key == recipient.key)
        });
        let written = configs.iter().map(|config| config.path.as_path());
        let _lock = Lock::beside(written.chain([path.as_path()]))?;
        if Revocations::read(self.repository.root())? != recorded {
            return Err(changed_meanwhile(&path));
        }
        if !values.is_empty() || recipient.is_some() && !known {
            recorded.revocations.push(Revocation {
                date: Timestamp::from_second(self.context.now)?.to_string(),
                reason: self.args.reason.clone(),
                recipient: recipient.cloned(),
                values: values.to_vec(),
            });
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).at(folder.display())?;
            }
            write::replace(&path, recorded.text()?.as_bytes(), Mode::Keep).at(path.display())?;
            self.context.printer.note(format!(
                "recorded {} in {}",
                count(values.len(), "value"),
                revocations::FILE
            ));
        }
        for ConfigChange { path, before, after } in configs {
            if fs::read_to_string(path).at(path.display())? != *before {
                return Err(changed_meanwhile(path));
            }
            write::replace(path, after.as_bytes(), Mode::Keep).at(path.display())?;
            let who = recipient.map_or("it", Revoked::title);
            self.context.printer.note(format!("took {who} out of {}", path.display()));
        }
        Ok(())
    }

    fn report(
        &self,
        recipient: Option<&Revoked>,
        values: &[Leaked],
        past: Option<&Past>,
        outcome: &bulk::Outcome,
    ) -> Result {
        let printer = &self.context.printer;
        let failures: Vec<Failure> =
            outcome.failures.iter().map(|(file, failure)| failure.clone().at(file.display())).collect();
        match self.args.output {
            Format::Json => printer.json(&Report {
                recipient,
                values,
                unreadable: &self.tree.unreadable,
                earlier_values: past.filter(|past| past.reach != Reach::None).map(|past| past.earlier),
                rewrapped: outcome.changed.len(),
                failures: failures.iter().map(ToString::to_string).collect(),
            })?,
            Format::Text => {
                for value in values {
                    printer.line(line(value))?;
                }
            }
        }
        failures.iter().for_each(|failure| printer.failure(failure));
        if recipient.is_some() && !self.args.check && !self.args.no_rewrap {
            printer.note(format!(
                "{} of {} rewrapped",
                outcome.changed.len(),
                count(outcome.seen, "resource")
            ));
        }
        let have = if values.len() == 1 { "has" } else { "have" };
        printer.note(format!("{} {have} to change", count(values.len(), "value")));
        if !values.is_empty() && !self.args.check {
            printer.hint("replace each where it is issued, then here: waxwing set FILE KEY; waxwing revoke --status tells what is left");
        }
        if let Some(recipient) = recipient {
            if !self.tree.unreadable.is_empty() {
                let files = count(self.tree.unreadable.len(), "file");
                printer.hint(format!(
                    "{files} could not be read whole: put right what waxwing verify says of them, and revoke again"
                ));
            }
            self.tell_history(recipient, past);
        }
        Ok(match (failures.is_empty(), self.args.check && !values.is_empty()) {
            (false, _) => Exit::Partly,
            (true, true) => Exit::Found,
            (true, false) => Exit::Done,
        })
    }

    /// No rewrap reaches what is in Git already.
    fn tell_history(&self, recipient: &Revoked, past: Option<&Past>) {
        let printer = &self.context.printer;
        let who = recipient.title();
        printer
            .note(format!("Git's history keeps values that {who} can open: only new credentials end that"));
        match past {
            Some(Past { reach: Reach::None, .. }) | None => {
                printer.note(
                    "the history was not looked at; values that were taken from it earlier are not recorded",
                );
            }
            Some(past) => {
                let besides = count(past.earlier, "value");
                let place = match self.tree.unreadable.is_empty() {
                    true => "not in use here any more",
                    false => "not found in any file that can be read here",
                };
                printer
                    .note(format!("in the history of this clone it could read {besides} besides, {place}"));
                match past.reach {
                    Reach::CutOff => {
                        printer.warning("this clone is shallow: git fetch --unshallow, and revoke again");
                    }
                    Reach::Missing(missing) => printer.warning(format!(
                        "{} of the history cannot be read (git fsck tells more): revoke again in a whole clone",
                        count(missing, "object")
                    )),
                    Reach::Whole | Reach::None => {}
                }
            }
        }
    }
}

/// A configuration that is to be written.
struct ConfigChange {
    path: PathBuf,
    before: String,
    after: String,
}

/// A configuration without the recipient; none where it is not in it.
fn config_without(repository: &Repository, revoked: &Revoked) -> Result<Option<ConfigChange>> {
    let config = repository.config();
    let members = config.members().iter().map(|member| &member.recipient);
    let found = members.into_iter().find(|member| member.recipient().as_str() == revoked.key);
    let Some(name) = found.map(|member| member.name()) else { return Ok(None) };
    let path = repository.path();
    let place = path.display();
    let before = fs::read_to_string(path).at(&place)?;
    let mut edits = vec![Edit::Remove { path: vec!["recipients".into(), name.into()] }];
    for (index, rule) in config.rules().iter().enumerate() {
        let left: Vec<&String> = rule.recipients.iter().filter(|other| *other != name).collect();
        if left.len() == rule.recipients.len() {
            continue;
        }
        if left.is_empty() {
            return Err(Failure::new(format!(
                "rule {} ({rule}) would be left without recipients",
                index + 1
            ))
            .at(&place)
            .hint(format!("add the recipient that takes the place of {name} to the rule, then revoke {name}"))
            .hint("for a cluster's key: make the next one there first, waxwing recipients diff shows it"));
        }
        let path = vec!["rules".into(), index.into(), "recipients".into()];
        edits.push(Edit::Set { path, value: serde_json::json!(left) });
    }
    let after = apply(&before, 0, &edits).at(&place)?;
    Config::parse(&after).at(&place).hint(format!("without {name} it would not be valid"))?;
    Ok(Some(ConfigChange { path: path.to_owned(), before, after }))
}

/// The folder as the user would write it.
fn here(root: &Path) -> PathBuf {
    let current = std::env::current_dir().and_then(|folder| folder.canonicalize());
    if current.is_ok_and(|current| current == root) { PathBuf::from(".") } else { root.to_owned() }
}

fn line(value: &Leaked) -> String {
    let title = crate::sealed_file::title(&value.namespace, &value.name);
    format!("{}: {title}: {}", value.file, value.key)
}

/// One value in the status, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    date: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient: Option<&'a Revoked>,
    #[serde(flatten)]
    value: &'a Leaked,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

fn status(
    recorded: &Revocations,
    tree: &Tree,
    repository: &Repository,
    args: &Args,
    context: &Context,
) -> Result {
    let mut rows = Vec::new();
    let identities = if args.compare { Some(args.identities.load(context)?) } else { None };
    let old = identities
        .as_ref()
        .map(|identities| Old::read(repository.root(), recorded, identities, context.now))
        .transpose()?;
    for revocation in &recorded.revocations {
        let recipient = revocation.recipient.as_ref();
        let id = recipient.map(Revoked::id).transpose()?;
        for value in &revocation.values {
            let (state, message) = match revocations::state(value, id, tree) {
                State::Open { why, .. } => ("open", Some(why)),
                State::Removed => ("removed", None),
                State::Resealed => match old.as_ref().map(|old| old.compare(value, tree)) {
                    Some(Compared::Same) => ("open", Some("was sealed again with the same value".to_owned())),
                    Some(Compared::Unknown) => ("resealed", Some("the values cannot be compared".to_owned())),
                    Some(Compared::Another) | None => ("resealed", None),
                },
            };
            let (date, reason) = (revocation.date.as_str(), revocation.reason.as_deref());
            rows.push(Row { date, reason, recipient, value, state, message });
        }
    }
    let open = rows.iter().filter(|row| row.state == "open").count();
    let unknown = rows.iter().any(|row| row.state == "resealed" && row.message.is_some())
        || !recorded.revocations.is_empty() && !tree.unreadable.is_empty();
    if args.output == Format::Json {
        context.printer.json(&rows)?;
    } else {
        for row in &rows {
            let tone = if row.state == "open" { Tone::Bad } else { Tone::Good };
            let state = context.printer.toned(tone, &format!("{:8}", row.state));
            let message = row.message.as_deref().map(|message| format!(" ({message})")).unwrap_or_default();
            context.printer.line(format!("{state}  {}{message}", line(row.value)))?;
        }
    }
    let left = findings(recorded, tree, repository)?;
    for finding in &left {
        context.printer.warning(finding);
    }
    let are = if rows.len() == 1 { "is" } else { "are" };
    context.printer.note(format!("{open} of {} {are} still to change", count(rows.len(), "value")));
    Ok(match (open == 0 && left.is_empty(), unknown) {
        (false, _) => Exit::Found,
        (true, true) => Exit::Partly,
        (true, false) => Exit::Done,
    })
}

/// Envelopes that are still, or again, for somebody who was revoked.
fn findings(recorded: &Revocations, tree: &Tree, repository: &Repository) -> Result<Vec<String>> {
    let found = revocations::findings(recorded, tree, repository)?;
    let found = found.into_iter().filter(|finding| finding.reason == "RevokedRecipient");
    Ok(found.map(|finding| format!("{}: {}", finding.file.display(), finding.message)).collect())
}
