//! ExternalSecrets in `render`: decided by the operator's own functions, from stores that the manifests describe.
//!
//! A look of its own process asks every store for the present values. While one process goes on looking, directories are
//! asked each time, because that costs nothing, and all others when the refresh interval has passed.

use std::collections::BTreeSet;

use tokio::runtime::Runtime;
use waxwing_core::{
    external::{
        Refresh, Spec,
        plan::{Cause, Finding, First, Input, KIND, Memory, Object, Plan, first, report, then},
    },
    keys::Identities,
    plan::{Outcome, Place, Write, with_advice},
};
use waxwing_crds::{Reason, names};
use waxwing_providers::fetch::fetch;

use super::{
    Renderer, Row,
    output::Owner,
    source::{External, Key, Source},
};
use crate::{
    error::Result,
    stores::{Reach, runtime},
};

/// Stores, and everything else that objects refer to by name.
pub(super) struct Around {
    pub(super) reach: Reach,
    /// The loops of brokers end with it.
    pub(super) runtime: Runtime,
}

impl Renderer {
    /// What ExternalSecrets and injections refer to; nothing where there is neither.
    pub(super) fn around(&mut self, source: &mut Source) -> Result<Option<Around>> {
        if source.external.is_empty() && source.injections.is_empty() {
            return Ok(None);
        }
        let mut manifests = std::mem::take(&mut source.manifests);
        let wanted = manifests.referenced(self.job.stores.operator_namespace());
        source.referable(&self.job.source, self.output.folder(), &wanted, &mut manifests)?;
        for (namespace, name) in wanted {
            // What a SealedSecret here has just given.
            let key = Key::new(&namespace, &name).filter(|key| source.objects.contains_key(key));
            if let Some(key) = key
                && let Some(unit) =
                    self.output.read(&key)?.filter(|unit| unit.is_of(waxwing_core::plan::KIND, &name))
            {
                manifests.secret(&namespace, &name, unit.values());
            }
        }
        self.directories = manifests.directories().map(std::path::Path::to_owned).collect();
        Ok(Some(Around { reach: Reach::new(manifests, &self.job.stores), runtime: runtime()? }))
    }

    /// Brings every Secret that ExternalSecrets give to what stores have now.
    pub(super) fn pull(
        &mut self,
        source: &Source,
        around: &Around,
        identities: &Identities,
        now: i64,
    ) -> Vec<Row> {
        let mut rows = Vec::new();
        for (key, objects) in &source.external {
            let row = match objects.as_slice() {
                [object] => self.pull_one(key, object, around, identities, now),
                several => Ok(Row::twice(key, several.iter().map(|object| &object.file))),
            };
            let file = objects.first().map(|object| object.file.as_path());
            rows.push(row.unwrap_or_else(|failure| Row::failed(key, file, &failure)));
        }
        rows
    }

    fn pull_one(
        &mut self,
        key: &Key,
        object: &External,
        Around { reach, runtime }: &Around,
        identities: &Identities,
        now: i64,
    ) -> Result<Row> {
        let spec = object.spec.as_ref().ok();
        let spec = spec.and_then(|spec| Spec::read(spec, &key.namespace, &key.name).ok());
        let target_key = spec.as_ref().and_then(|spec| Key::new(&key.namespace, &spec.target));
        let target_key = target_key.unwrap_or_else(|| key.clone());
        let unit = self.output.read(&target_key)?;
        let mut status = self.state.pulled(key).map(|pulled| pulled.status.clone()).unwrap_or_default();
        let owner = Owner {
            kind: KIND,
            name: &key.name,
            applied: status.applied.as_ref().map(|applied| applied.secret_uid.clone()),
        };
        let target = unit.as_ref().map(|unit| unit.target(&target_key, &owner, identities));
        let stores = reach.within(&key.namespace);
        let names = spec.as_ref().map(Spec::stores).unwrap_or_default();
        let facts: Vec<_> = names.iter().map(|store| stores.fact(store)).collect();
        let memory = self.pulls.entry(key.clone()).or_default();
        let is_by_time = spec.as_ref().is_some_and(|spec| matches!(spec.refresh, Refresh::Periodic(_)));
        let is_first = memory.fetched.is_none();
        let is_asked = is_by_time && (is_first || names.iter().any(|store| stores.is_directory(store)));
        // The same as if somebody had asked just now.
        let mut asking = object.annotations.clone();
        if is_asked {
            asking.insert(names::REFRESH.to_owned(), LOOK.to_owned());
            status.refreshed = None;
        }
        let input = Input {
            object: Object {
                namespace: &key.namespace,
                name: &key.name,
                uid: "",
                generation: None,
                deleting: false,
                annotations: &object.annotations,
                spec: object.spec.as_ref().map_err(String::as_str),
                checked: None,
                status: &status,
            },
            target: target.as_ref(),
            stores: &facts,
            identities,
            unusable: identities.is_empty().then_some(Reason::KeyRingNotReady),
            place: Place { operator_namespace: "", terminating: false },
            source: None,
            now,
        };
        let mut begun = first(&input, memory);
        let is_drift = matches!(&begun, First::Fetch(wanted) if wanted.cause == Cause::Drift);
        let input = if is_asked && !is_drift {
            Input { object: Object { annotations: &asking, ..input.object }, ..input }
        } else {
            input
        };
        if is_asked && !is_drift {
            begun = first(&input, memory);
        }
        let plan = match begun {
            First::Done(plan) => *plan,
            First::Fetch(wanted) => {
                let fetched = runtime.block_on(fetch(&stores, &input, &wanted));
                then(&input, memory, &wanted, fetched)
            }
        };
        let plan = without_merge(plan);
        let (outcome, keys) = match &plan.write {
            Write::Delete { .. } => {
                self.output.remove_unit(&target_key)?;
                (Outcome::Deleted, BTreeSet::new())
            }
            write => self.output.apply(&target_key, write, unit.as_ref(), identities)?,
        };
        let report = report(&input, memory, &plan, &outcome);
        let row = Row::pulled(&target_key, &object.file, &plan, &outcome, &report, keys);
        *memory = Memory {
            secret: waxwing_core::plan::Memory { looked: None, refused: None, ..report.memory.secret },
            ..report.memory
        };
        if let Some(mut status) = report.status {
            status.refreshed = status.refreshed.filter(|refreshed| refreshed != LOOK);
            self.state.set_pulled(key, spec.as_ref(), status);
        }
        Ok(row)
    }
}

/// The value of `waxwing.dev/refresh` that a look behaves as if there were.
const LOOK: &str = "render";

/// Which key of a file is whose would have to be known to take it back; a cluster knows, files don't.
fn without_merge(plan: Plan) -> Plan {
    if !matches!(plan.write, Write::Merge { .. }) {
        return plan;
    }
    let what = "keys are merged into a Secret in a cluster only";
    let reason = Reason::NotSupportedByProvider;
    let message = with_advice(what, reason);
    Plan { write: Write::None, finding: Finding::Failing { reason, message, all_missing: false } }
}
