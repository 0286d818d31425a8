//! `render`: the operator's own decisions, driven on a directory of manifests.
//!
//! ```text
//! source (a directory)  ->  plan (core)  ->  output (files)  ->  report (core)  ->  state (one file)
//! ```
//! Every look reads everything, decides with [`plan::plan`], writes what the plan says and lets [`plan::report`] turn the
//! outcome into the status that the next look reads. ExternalSecrets go the same way by [`waxwing_core::external::plan`],
//! with stores between ([`pull`]). Injections come last, because they take what the others give ([`inject`]). There is no API server, so a few things have no meaning here and
//! are left out on purpose: generations and uids of objects, immutability (it is written into the Secret for whoever
//! applies it), adoption, and owner references.

mod inject;
mod output;
mod place;
mod pull;
mod row;
mod source;
mod state;
#[cfg(test)]
mod tests;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use waxwing_core::{
    external::plan as external,
    keys::Identities,
    plan::{self, Input, Memory, Object, Place, Ring},
};
use waxwing_crds::{ClusterScopePolicy, Reason, RollbackPolicy, SealedSecretStatus};

use crate::{args::Context, error::Result, stores};
pub(crate) use output::Layout;
use output::{Output, Owner};
use place::Lock;
pub(crate) use row::{Row, What};
use source::{Key, Source};
use state::{Given, State};
pub(crate) use watch::{INTERVAL, watch};

/// What is rendered, where to, and under which policy.
pub(crate) struct Job {
    /// The directory with the manifests.
    pub(crate) source: PathBuf,
    /// The directory for the Secrets.
    pub(crate) output: PathBuf,
    /// How a Secret becomes files.
    pub(crate) layout: Layout,
    /// What happens to values that are older than one already seen.
    pub(crate) rollback: RollbackPolicy,
    /// Whether values of scope `cluster` are opened.
    pub(crate) cluster_scope: ClusterScopePolicy,
    /// How stores are reached.
    pub(crate) stores: stores::Options,
    /// Tell the readers of injections' files that there is something new.
    pub(crate) reload: bool,
    /// Write even where opened values could be committed, or where another directory was rendered to.
    pub(crate) force: bool,
}

/// One output directory at work: at most one in the whole system holds it.
pub(crate) struct Renderer {
    job: Job,
    output: Output,
    state: State,
    memory: BTreeMap<Key, Memory>,
    /// The same of ExternalSecrets.
    pulls: BTreeMap<Key, external::Memory>,
    /// What stores gave to injections.
    fetched: inject::Fetched,
    /// The directories that stores read.
    directories: BTreeSet<PathBuf>,
    _lock: Lock,
}

impl Renderer {
    /// Checks the two directories, takes the output for itself and reads what is known about it.
    pub(crate) fn open(job: Job, context: &Context) -> Result<Self> {
        let (source, folder) = place::check(&job)?;
        let lock = Lock::take(&folder)?;
        let output = Output::new(folder, job.layout);
        output.clean()?;
        let state = State::read(output.folder(), &source, job.force, context)?;
        let (memory, pulls, fetched, directories) = Default::default();
        let job = Job { source, ..job };
        Ok(Self { job, output, state, memory, pulls, fetched, directories, _lock: lock })
    }

    /// Looks at everything once. One that fails is told in its row, and hides no other.
    ///
    /// # Errors
    /// Only when the source cannot be listed, or the state cannot be kept; then nothing was removed.
    pub(crate) fn look(&mut self, identities: &Identities, now: i64) -> Result<Vec<Row>> {
        let mut source = Source::read(&self.job.source, self.output.folder())?;
        let before = self.state.targets();
        let mut rows: Vec<Row> = source.problems.iter().map(Row::unreadable).collect();
        for (key, objects) in &source.objects {
            let row = match objects.as_slice() {
                [object] => self.one(key, object, identities, now),
                several => Ok(Row::twice(key, several.iter().map(|object| &object.file))),
            };
            let file = objects.first().map(|object| object.file.as_path());
            rows.push(row.unwrap_or_else(|failure| Row::failed(key, file, &failure)));
        }
        if let Some(around) = self.around(&mut source)? {
            rows.extend(self.pull(&source, &around, identities, now));
            rows.extend(self.inject(&source, &around, identities, now));
        }
        // A resource that cannot be read may be the very one whose Secret would be removed.
        if source.problems.is_empty() {
            rows.extend(self.remove_others(&source, &before, identities)?);
        }
        self.state.write(self.output.folder())?;
        Ok(rows)
    }

    fn one(&mut self, key: &Key, object: &source::Sealed, identities: &Identities, now: i64) -> Result<Row> {
        let unit = self.output.read(key)?;
        let none = SealedSecretStatus::default();
        let status = self.state.status(key).unwrap_or(&none);
        let owner = Owner {
            kind: plan::KIND,
            name: &key.name,
            applied: status.applied.as_ref().map(|applied| applied.secret_uid.clone()),
        };
        let target = unit.as_ref().map(|unit| unit.target(key, &owner, identities));
        let input = Input {
            object: Object {
                namespace: &key.namespace,
                name: &key.name,
                uid: "",
                generation: None,
                deleting: false,
                annotations: &object.annotations,
                spec: object.spec.as_ref().map_err(String::as_str),
                status,
            },
            target: target.as_ref(),
            ring: Ring {
                identities,
                rewrap_to: &[],
                required: &[],
                rollback: self.job.rollback,
                cluster_scope: self.job.cluster_scope,
                unusable: identities.is_empty().then_some(Reason::KeyRingNotReady),
                locked: false,
            },
            place: Place { operator_namespace: "", terminating: false },
            source: None,
            now,
        };
        let memory = self.memory.entry(key.clone()).or_default();
        let plan = plan::plan(&input, memory);
        let (outcome, keys) = self.output.apply(key, &plan.write, unit.as_ref(), identities)?;
        let report = plan::report(&input, memory, &plan, &outcome);
        let row = Row::new(key, object, &plan, &outcome, &report, keys);
        // A look costs nothing here, so another writer of the file need not be waited out.
        *memory = Memory { looked: None, refused: None, ..report.memory };
        if let Some(status) = report.status {
            self.state.set(key, status);
        }
        Ok(row)
    }

    /// Removes the files of Secrets that are ours and that no manifest gives any more. `before` is what ExternalSecrets
    /// and injections gave before this look.
    fn remove_others(
        &mut self,
        source: &Source,
        before: &BTreeMap<Key, Given>,
        identities: &Identities,
    ) -> Result<Vec<Row>> {
        let now = self.state.targets();
        let mut rows = Vec::new();
        for (layout, key, owner) in self.output.ours()? {
            let (kind, name) = owner;
            let holder = Key { namespace: key.namespace.clone(), name };
            let (ours, wanted) = if kind == plan::KIND {
                (holder == key, source.objects.contains_key(&key))
            } else {
                let is_its = |given: &&Given| given.kind == kind && given.by == holder;
                let given = before.get(&key).filter(is_its);
                let wanted = source.has(&kind, &holder) && now.get(&key).filter(is_its).is_some();
                (wanted || given.is_some_and(|given| !given.stays), wanted)
            };
            let moved = layout != self.job.layout && self.output.read(&key)?.is_some();
            if !ours || wanted && !moved {
                continue;
            }
            let is_left = !wanted && layout == self.job.layout;
            if is_left && let Some(row) = self.farewell(source, &kind, &holder, &key, identities)? {
                rows.push(row);
                continue;
            }
            self.output.remove(layout, &key)?;
            rows.push(Row::removed(&key));
        }
        self.state.keep(source);
        self.memory.retain(|key, _| source.objects.contains_key(key));
        self.pulls.retain(|key, _| source.external.contains_key(key));
        Ok(rows)
    }
}
