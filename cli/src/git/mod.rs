//! `waxwing rewrap --git`: clone, rewrap, commit, push a branch, ask for its merge. To be run again and again.
//!
//! # Flow
//! Fetch the default branch and ours; refuse if somebody else's commits are on ours. If ours holds the default branch and
//! nothing is due on it, only the request is made sure of. Else the default branch's files are rewrapped, and one commit on
//! top of it becomes our branch, by a push that says where the branch must be (a lease). Where our branch has what this job
//! can't open but another could, our commit comes on top of that job's, so that the two do not replace each other's for ever.
//!
//! # Guarantees
//! - Only the one branch below the prefix is ever written ([`branch::Branch::guard`]), and no commit of somebody else is lost.
//! - The rules are those of the default branch's `.waxwing.yaml`, whatever another branch says.
//! - Killed at any point, the next run does what is missing: all that counts is on the server. A kept clone that is damaged
//!   is made anew.

mod branch;
mod credentials;
mod environment;
mod genuine;
mod message;
mod place;
mod server;
mod work;

use std::{
    cell::OnceCell,
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use git2::{Commit, Oid, Signature, Sort, Time};
use serde::Serialize;
use waxwing_core::keys::Identities;

use self::{
    branch::Branch,
    credentials::Credentials,
    environment::Home,
    message::{Change, Left},
    place::Place,
    server::{Heads, OfClone, Pushed, Server, plain},
    work::{Tree, Work},
};
use crate::{
    args::Context,
    error::{Exit, Explain, Failure, Result},
    forge::{self, Forge, Wanted},
    printer::{Format, count},
    sealed_file,
    verbs::bulk::Outcome,
};

/// How often another try is made when the server's branches moved meanwhile.
const TRIES: usize = 5;

/// Options of a job on a repository.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "With a Git server (cargo feature `git`)")]
pub(crate) struct Options {
    /// Rewrap the default branch of this repository, and push the result to a branch of its own:
    /// https://HOST/PATH, ssh://USER@HOST/PATH, USER@HOST:PATH, or the path of a bare repository
    #[arg(long, value_name = "URL|PATH", conflicts_with = "paths")]
    git: Option<String>,
    /// Folder with the files username and password, or bearerToken, and ca.crt for https; identity
    /// and known_hosts for ssh
    #[arg(long, value_name = "DIR", requires = "git")]
    git_credentials: Option<PathBuf>,
    /// Folder that keeps the clone for the next run: new, empty, or an earlier run's. Default: a temporary one
    #[arg(long, value_name = "DIR", requires = "git")]
    work_dir: Option<PathBuf>,
    /// Beginning of every branch that may be pushed
    #[arg(long, value_name = "PREFIX", requires = "git", default_value = "waxwing/")]
    branch_prefix: String,
    /// The branch to push, without the prefix
    #[arg(long, value_name = "NAME", requires = "git", default_value = "rewrap")]
    branch: String,
    /// Author of the commit
    #[arg(
        long,
        value_name = "NAME <MAIL>",
        requires = "git",
        default_value = "waxwing <noreply@waxwing.dev>"
    )]
    author: String,
    #[command(flatten)]
    forge: forge::Options,
}

/// Rewraps the files of a folder, in memory.
pub(crate) type Rewrap<'a> = dyn Fn(&Path) -> Result<(Outcome, Vec<sealed_file::Change>)> + 'a;

/// What was done, for programs.
#[derive(Serialize)]
struct Report {
    repository: String,
    branch: String,
    base: Base,
    state: State,
    /// The commit on the branch.
    commit: Option<String>,
    resources: usize,
    changed: Vec<Change>,
    failures: Vec<Left>,
    /// The pull or merge request.
    request: Option<forge::Request>,
    /// The commit on the branch, where nothing of it is due any more and it was not merged.
    #[serde(rename = "leftOver")]
    left_over: Option<String>,
}

#[derive(Serialize)]
struct Base {
    branch: String,
    commit: String,
}

/// What became of the branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum State {
    /// Something would be pushed; it was not, by `--check`.
    Due,
    /// Every resource has the recipients of its rule.
    NothingDue,
    /// The branch had it already.
    Current,
    /// The branch was pushed.
    Pushed,
}

impl Options {
    /// Whether a repository was named.
    pub(crate) fn is_given(&self) -> bool {
        self.git.is_some()
    }

    /// The whole job. `identities` are filled by `rewrap`, if it opens anything by itself.
    pub(crate) fn run(
        &self,
        check: bool,
        output: Format,
        rewrap: &Rewrap<'_>,
        identities: &OnceCell<Identities>,
        context: &Context,
    ) -> Result {
        if context.config.is_some() {
            return Err(Failure::usage(
                "--config does not go with --git: the rules are those of the default branch",
            ));
        }
        // In the second life its folder goes however this ends.
        let settled = Home::settled();
        let place = Place::parse(self.git.as_deref().unwrap_or_default())?;
        let branch = Branch::new(&self.branch_prefix, &self.branch)?;
        let author = author(&self.author, context.now)?;
        let credentials = Credentials::read(self.git_credentials.as_deref())?;
        credentials.check(&place)?;
        let home = settled.map_or_else(|| Home::settle(&place, &credentials), Ok)?;
        // Not before: it may come from what can be read once.
        let forge =
            self.forge.forge(place.host().as_deref(), place.project(), credentials.authority.as_ref())?;
        let work = Work::open(&self.work_dir.clone().unwrap_or_else(|| home.path.join("work")))?;
        let (place, credentials) = (&place, &credentials);
        let mut job = Job { check, work, place, credentials, context, branch, author, rewrap, identities };
        let done = job.done()?;
        job.finish(done, forge.as_ref(), output)
    }
}

struct Job<'a> {
    check: bool,
    work: Work,
    place: &'a Place,
    credentials: &'a Credentials,
    context: &'a Context,
    branch: Branch,
    author: Signature<'static>,
    rewrap: &'a Rewrap<'a>,
    identities: &'a OnceCell<Identities>,
}

/// What one try came to.
struct Done {
    heads: Heads,
    state: State,
    commit: Option<Oid>,
    rewrapped: Rewrapped,
}

/// What rewrapping the files of a commit came to, with paths as the repository has them.
struct Rewrapped {
    exit: Exit,
    seen: usize,
    files: Vec<sealed_file::Change>,
    changes: Vec<Change>,
    failures: Vec<(String, Failure)>,
    /// Where these stand.
    failed: BTreeSet<(PathBuf, Option<usize>)>,
}

impl Rewrapped {
    /// Whether all that fails here fails there as well, and something else does, too. Then the other content holds what a job
    /// with other identities has done. Words say nothing here: they have line numbers.
    fn does_more_than(&self, there: &Self) -> bool {
        self.failed.len() < there.failed.len() && self.failed.is_subset(&there.failed)
    }
}

impl Job<'_> {
    /// All but the request. What fails in a clone that was kept is tried once more in a new one.
    fn done(&mut self) -> Result<Done> {
        let mut done = self.tries();
        if let Err(failure) = &done
            && self.work.is_kept()
            && is_local(failure)
        {
            self.context.printer.note(format!("the clone is made anew: {failure}"));
            self.work.renew()?;
            done = self.tries();
        }
        done.map_err(|failure| match is_local(&failure) && is_full(&failure) {
            true => {
                failure.hint("free some space, or name another folder with --work-dir; nothing was pushed")
            }
            false => failure,
        })
    }

    /// Tries until the server's branches stay where they are meanwhile.
    fn tries(&self) -> Result<Done> {
        for _ in 0..TRIES {
            if let Some(done) = self.once()? {
                return Ok(done);
            }
            self.context.printer.note("the branches on the server have moved meanwhile; once more");
        }
        Err(Failure::new(format!("the branches moved {TRIES} times while this ran; nothing was pushed"))
            .at(self.place)
            .hint("run it again when less is going on there"))
    }

    fn server(&self) -> Server<'_> {
        let (place, credentials, context) = (self.place, self.credentials, self.context);
        Server { repository: &self.work.repository, place, credentials, context }
    }

    /// One try; nothing if the server's branches have moved meanwhile.
    fn once(&self) -> Result<Option<Done>> {
        let heads = self.server().fetch(&self.branch)?;
        self.branch.guard(&self.branch.reference(), &heads.default)?;
        let base = self.commit(heads.base)?;
        let mut on_tip = None;
        if let Some(tip) = heads.tip {
            self.refuse_others(tip, heads.base)?;
            if self.work.repository.graph_descendant_of(tip, heads.base)? {
                let commit = self.commit(tip)?;
                let (tree, rewrapped) = self.rewrapped(&commit, &base)?;
                let opens = self.still_opens(&base, &commit)?;
                if opens && rewrapped.changes.is_empty() {
                    return Ok(Some(Done { heads, state: State::Current, commit: Some(tip), rewrapped }));
                }
                on_tip = opens.then_some((commit, tree, rewrapped));
            }
        }
        let (tree, rewrapped) = self.rewrapped(&base, &base)?;
        let state = if rewrapped.changes.is_empty() { State::NothingDue } else { State::Due };
        let (parent, tree, rewrapped) = match on_tip {
            Some(tip) if state == State::Due && tip.2.does_more_than(&rewrapped) => tip,
            _ => (base, tree, rewrapped),
        };
        if state == State::NothingDue || self.check {
            return Ok(Some(Done { heads, state, commit: None, rewrapped }));
        }
        let commit = self.make(&tree, &parent, &rewrapped)?;
        match self.server().push(&heads, &self.branch, commit)? {
            Pushed::Done => Ok(Some(Done { heads, state: State::Pushed, commit: Some(commit), rewrapped })),
            Pushed::Moved => Ok(None),
        }
    }

    /// Whether the identities at hand, if any, open on our branch what they open on the default branch. Hints prove nothing.
    fn still_opens(&self, base: &Commit<'_>, tip: &Commit<'_>) -> Result<bool> {
        let Some(identities) = self.identities.get() else { return Ok(true) };
        let damaged = genuine::damaged(&self.work.repository, base, tip, identities, self.context.now)?;
        if let Some(path) = &damaged {
            let (path, branch) = (plain(&path.to_string_lossy()), self.branch.name());
            self.context.printer.warning(format!(
                "{path} of {branch} does not open, though it names an identity at hand; what others did there is left out"
            ));
        }
        Ok(damaged.is_none())
    }

    /// The files of one commit, rewrapped by the rules of another.
    fn rewrapped(&self, content: &Commit<'_>, rules: &Commit<'_>) -> Result<(Tree, Rewrapped)> {
        let tree = self.work.export(content, rules)?;
        let (mut outcome, files) = (self.rewrap)(&tree.root).map_err(|failure| tree.told(&failure))?;
        for path in &tree.unnamed {
            outcome.seen += 1;
            let failure = Failure::new("its name is not text that can stand in a line").hint("rename it");
            outcome.failed.insert((tree.root.join(path), None));
            outcome.failures.push((tree.root.join(path), failure));
        }
        let change = |changed: &crate::verbs::bulk::Changed| Change {
            file: tree.inside(&changed.file),
            resource: changed.resource.clone(),
            from: changed.from.clone(),
            to: changed.to.clone(),
        };
        let rewrapped = Rewrapped {
            exit: outcome.exit(self.check),
            seen: outcome.seen,
            files,
            failed: outcome.failed,
            changes: outcome.changed.iter().map(change).collect(),
            failures: outcome
                .failures
                .iter()
                .map(|(file, failure)| (tree.inside(file), tree.told(failure)))
                .collect(),
        };
        Ok((tree, rewrapped))
    }

    fn make(&self, tree: &Tree, parent: &Commit<'_>, rewrapped: &Rewrapped) -> Result<Oid> {
        let repository = &self.work.repository;
        let tree = repository.find_tree(tree.with(repository, parent, &rewrapped.files)?)?;
        let message = message::commit(&rewrapped.changes, &left(rewrapped));
        Ok(repository.commit(None, &self.author, &self.author, &message, &tree, &[parent])?)
    }

    /// The commits of our branch that the default branch does not have, the first one first.
    fn proposed(&self, tip: Oid, base: Oid) -> Result<Vec<Commit<'_>>> {
        let mut walk = self.work.repository.revwalk()?;
        walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE)?;
        walk.push(tip)?;
        walk.hide(base)?;
        walk.map(|id| self.commit(id?)).collect()
    }

    /// Refuses to replace a branch with commits that no job made.
    fn refuse_others(&self, tip: Oid, base: Oid) -> Result<()> {
        let mut others = Vec::new();
        for commit in self.proposed(tip, base)? {
            if !is_ours(&commit) || !genuine::changes_envelopes_only(&self.work.repository, &commit)? {
                let who = plain(&String::from_utf8_lossy(commit.author().name_bytes()));
                let id = commit.id().to_string();
                others.push(format!("{} by {who}", &id[..12]));
            }
        }
        if others.is_empty() {
            return Ok(());
        }
        let shown = others.iter().take(10).map(String::as_str).collect::<Vec<_>>().join(", ");
        Err(Failure::new(format!(
            "{} of somebody else on the branch {}: {shown}",
            count(others.len(), "commit"),
            self.branch.name()
        ))
        .at(self.place)
        .hint("merge or delete the branch, or name another with --branch; nothing was pushed"))
    }

    fn commit(&self, id: Oid) -> Result<Commit<'_>> {
        self.work.repository.find_commit(id).at(format!("the commit {id}")).at(self.place)
    }

    /// Our branch's commit, if nothing is due, not even for a job that opens what this one can't, and the default branch does
    /// not have it.
    fn left_over(&self, heads: &Heads, state: State, rewrapped: &Rewrapped) -> Result<Option<Oid>> {
        let nothing_due = state == State::NothingDue && rewrapped.failures.is_empty();
        let Some(tip) = heads.tip.filter(|tip| nothing_due && *tip != heads.base) else {
            return Ok(None);
        };
        let merged = self.work.repository.graph_descendant_of(heads.base, tip)?;
        Ok(Some(tip).filter(|_| !merged))
    }

    /// Says what was done.
    fn finish(&self, done: Done, forge: Option<&Forge>, output: Format) -> Result {
        let printer = &self.context.printer;
        let Done { heads, state, commit, rewrapped } = done;
        for (file, failure) in &rewrapped.failures {
            printer.failure(&failure.clone().at(file));
        }
        let (changed, seen) = (rewrapped.changes.len(), count(rewrapped.seen, "resource"));
        let branch = self.branch.name();
        let left_over = self.left_over(&heads, state, &rewrapped)?;
        if left_over.is_some() {
            printer.warning(format!(
                "{branch} is left over: nothing is due any more; delete it, and close its request: merged later, it would \
                 bring back the recipients that it names"
            ));
        }
        printer.note(match state {
            State::Due => format!("{changed} of {seen} would be rewrapped"),
            State::NothingDue if rewrapped.failures.is_empty() => {
                format!("nothing to do: all of {seen} are as their rules say")
            }
            State::NothingDue => format!("none of {seen} rewrapped"),
            State::Current => format!("nothing to do: {branch} has it already"),
            State::Pushed => format!("{changed} of {seen} rewrapped and pushed to {branch}"),
        });
        let mut exit = rewrapped.exit;
        let request = match (forge, commit) {
            (Some(forge), Some(commit)) if !self.check => {
                match self.ask(forge, &heads, commit, state == State::Pushed) {
                    Ok(request) => Some(request),
                    Err(failure) => {
                        printer.failure(
                            &failure
                                .hint(format!("the branch {branch} is pushed; only the request is missing")),
                        );
                        exit = Exit::Partly;
                        None
                    }
                }
            }
            _ => None,
        };
        if output == Format::Json {
            printer.json(&Report {
                repository: self.place.to_string(),
                branch: branch.to_owned(),
                base: Base {
                    branch: heads.default.trim_start_matches(branch::HEADS).to_owned(),
                    commit: heads.base.to_string(),
                },
                state,
                commit: commit.map(|id| id.to_string()),
                resources: rewrapped.seen,
                failures: left(&rewrapped),
                changed: rewrapped.changes,
                request,
                left_over: left_over.map(|id| id.to_string()),
            })?;
        }
        Ok(exit)
    }
}

impl Job<'_> {
    /// Makes sure that a request is open for what is on the branch.
    fn ask(&self, forge: &Forge, heads: &Heads, commit: Oid, pushed: bool) -> Result<forge::Request> {
        let message = |commit: &Commit<'_>| commit.message().unwrap_or_default().to_owned();
        let messages: Vec<String> = self.proposed(commit, heads.base)?.iter().map(message).collect();
        let (title, body) = message::request(&messages);
        let base = heads.default.trim_start_matches(branch::HEADS);
        let wanted = Wanted { branch: self.branch.name(), base, title: &title, body: &body };
        let request = forge.ensure(&wanted, pushed, self.context)?;
        self.context.printer.note(format!(
            "request {} {}: {}",
            request.number,
            match request.state {
                forge::State::Kept => "is open",
                forge::State::Opened => "opened",
                forge::State::Updated => "updated",
            },
            plain(&request.url)
        ));
        Ok(request)
    }
}

/// Whether it happened in the folder of the job, not at the server.
fn is_local(failure: &Failure) -> bool {
    failure.came_from::<git2::Error>() || failure.came_from::<OfClone>() || failure.came_from::<io::Error>()
}

fn is_full(failure: &Failure) -> bool {
    let text = failure.to_string();
    ["No space left", "File too large", "uota exceeded"].iter().any(|words| text.contains(words))
}

fn left(rewrapped: &Rewrapped) -> Vec<Left> {
    let left = |(file, failure): &(String, Failure)| Left { file: file.clone(), why: failure.to_string() };
    rewrapped.failures.iter().map(left).collect()
}

/// Whether it says that a job made it, and that nobody amended it.
fn is_ours(commit: &Commit<'_>) -> bool {
    let (author, committer) = (commit.author(), commit.committer());
    let same = author.name_bytes() == committer.name_bytes()
        && author.email_bytes() == committer.email_bytes()
        && author.when() == committer.when();
    same && commit.parent_count() == 1 && commit.message().is_ok_and(message::is_ours)
}

/// `Name <mail>`.
fn author(text: &str, now: i64) -> Result<Signature<'static>> {
    let wrong = || Failure::usage("--author is not of the form NAME <MAIL>");
    let (name, mail) = text.strip_suffix('>').and_then(|text| text.split_once('<')).ok_or_else(wrong)?;
    let (name, mail) = (name.trim(), mail.trim());
    if mail.is_empty() || text.contains(|letter: char| letter.is_control()) {
        return Err(wrong());
    }
    Signature::new(name, mail, &Time::new(now, 0)).map_err(|_| wrong())
}
