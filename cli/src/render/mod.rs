//! `render`: the operator's own decisions, driven on a directory of manifests.
//!
//! ```text
//! source (a directory)  ->  plan (core)  ->  output (files)  ->  report (core)  ->  state (one file)
//! ```
//! Every look reads everything, decides with [`plan::plan`], writes what the plan says and lets [`plan::report`] turn the
//! outcome into the status that the next look reads. There is no API server, so a few things have no meaning here and
//! are left out on purpose: generations and uids of objects, immutability (it is written into the Secret for whoever
//! applies it), adoption, and owner references.

mod output;
mod place;
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
    keys::Identities,
    plan::{self, Input, Memory, Object, Place, Ring},
};
use waxwing_crds::{ClusterScopePolicy, Reason, RollbackPolicy, SealedSecretStatus};

use crate::{args::Context, error::Result};
pub(crate) use output::Layout;
use output::Output;
use place::Lock;
pub(crate) use row::{Row, What};
use source::{Key, Source};
use state::State;
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
    /// Write even where opened values could be committed, or where another directory was rendered to.
    pub(crate) force: bool,
}

/// One output directory at work: at most one in the whole system holds it.
pub(crate) struct Renderer {
    job: Job,
    output: Output,
    state: State,
    memory: BTreeMap<Key, Memory>,
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
        Ok(Self { job: Job { source, ..job }, output, state, memory: BTreeMap::new(), _lock: lock })
    }

    /// Looks at everything once. One that fails is told in its row, and hides no other.
    ///
    /// # Errors
    /// Only when the source cannot be listed, or the state cannot be kept; then nothing was removed.
    pub(crate) fn look(&mut self, identities: &Identities, now: i64) -> Result<Vec<Row>> {
        let source = Source::read(&self.job.source, self.output.folder())?;
        let mut rows: Vec<Row> = source.problems.iter().map(Row::unreadable).collect();
        for (key, objects) in &source.objects {
            let row = match objects.as_slice() {
                [object] => self.one(key, object, identities, now),
                several => Ok(Row::twice(key, several)),
            };
            rows.push(row.unwrap_or_else(|failure| Row::failed(key, objects, &failure)));
        }
        // A resource that cannot be read may be the very one whose Secret would be removed.
        if source.problems.is_empty() {
            rows.extend(self.remove_others(&source.objects.keys().collect())?);
        }
        self.state.write(self.output.folder())?;
        Ok(rows)
    }

    fn one(&mut self, key: &Key, object: &source::Sealed, identities: &Identities, now: i64) -> Result<Row> {
        let unit = self.output.read(key)?;
        let none = SealedSecretStatus::default();
        let status = self.state.status(key).unwrap_or(&none);
        let target = unit.as_ref().map(|unit| unit.target(key, status, identities));
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
                rollback: self.job.rollback,
                cluster_scope: self.job.cluster_scope,
                unusable: identities.is_empty().then_some(Reason::KeyRingNotReady),
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

    /// Removes the files of Secrets that are ours and that no manifest gives any more.
    fn remove_others(&mut self, wanted: &BTreeSet<&Key>) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for (layout, key) in self.output.ours()? {
            let moved = layout != self.job.layout && self.output.read(&key)?.is_some();
            if wanted.contains(&key) && !moved {
                continue;
            }
            self.output.remove(layout, &key)?;
            rows.push(Row::removed(&key));
        }
        self.state.keep(wanted);
        self.memory.retain(|key, _| wanted.contains(key));
        Ok(rows)
    }
}
