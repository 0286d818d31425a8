//! The metrics. No label names an object: a label's values come from lists in the code.
//!
//! What is a count of objects is computed from the caches when it is asked for, so it cannot outlive them.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use waxwing_crds::Reason;

use crate::{inject::STATES, store::ObjectKey};

/// A family of counters with labels `L`.
type Counters<L> = Family<L, Counter<u64, AtomicU64>>;
/// A family of histograms with labels `L`.
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Everything that the operator measures.
pub struct Metrics {
    registry: Registry,
    reconcile_seconds: Histograms<Controller>,
    reconcile_errors: Counters<Failure>,
    objects: Family<Readiness, Gauge>,
    drift_corrected: Counters<Kind>,
    commit_to_applied_seconds: Histogram,
    rolled_back: Mutex<HashMap<ObjectKey, u32>>,
    rolled_back_values: Gauge,
    active_key_age: Gauge,
    key_backup_age: Gauge,
    opened_by_old_keys: Gauge,
    recipients_changed: Counter,
    watch_errors: Counters<Watch>,
    queue_depth: Family<Class, Gauge>,
    leader: Gauge,
    provider_requests: Counters<Request>,
    provider_seconds: Histograms<Call>,
    freshness_seconds: Histograms<Kind>,
    oldest_refresh: Family<Kind, Gauge>,
    receivers: Family<Receivers, Gauge>,
    unloaded: Family<Namespace, Gauge>,
}

/// Which loop.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Controller {
    controller: &'static str,
}

/// Which loop, and why it failed.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Failure {
    controller: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Readiness {
    kind: &'static str,
    ready: &'static str,
}

/// The receivers of a namespace in one state.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Receivers {
    namespace: String,
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Namespace {
    namespace: String,
}

/// What a provider was asked, and what came of it.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    provider: &'static str,
    call: &'static str,
    outcome: &'static str,
}

/// What a provider was asked.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Call {
    provider: &'static str,
    call: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Watch {
    resource: &'static str,
    cause: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Class {
    class: &'static str,
}

/// What is read from the caches when the metrics are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// SealedSecrets whose present generation is in effect.
    pub ready: i64,
    /// The other SealedSecrets.
    pub not_ready: i64,
    /// Values that were opened by an older key than the active one.
    pub opened_by_old_keys: i64,
    /// Seconds since the active key was made.
    pub active_key_age: i64,
    /// Seconds since the oldest key in use that is not backed up was made; 0 when all are.
    pub key_backup_age: i64,
    /// Objects that wait to be looked at: new, changed, to be refreshed.
    pub waiting: [i64; 3],
    /// Whether this replica is the one that works.
    pub leader: bool,
    /// Objects of the other kinds: kind, those whose present generation is in effect, and the others.
    pub others: Vec<(&'static str, i64, i64)>,
    /// By namespace: the receivers of injections in each state, and the replicas that lack what is published.
    pub injections: BTreeMap<String, ([i64; 4], i64)>,
    /// Seconds since the values of an ExternalSecret were fetched that are fetched by time, the longest.
    pub oldest_refresh: i64,
}

/// The kind that the labels name, and the loop that serves it.
pub const SEALED_SECRET: &str = "SealedSecret";
/// The ring's kind and loop.
pub const KEY_RING: &str = "KeyRing";

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers every metric.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            reconcile_seconds: Family::new_with_constructor(reconcile_histogram),
            reconcile_errors: Family::default(),
            objects: Family::default(),
            drift_corrected: Family::default(),
            commit_to_applied_seconds: Histogram::new(COMMIT_BUCKETS),
            rolled_back: Mutex::default(),
            rolled_back_values: Gauge::default(),
            active_key_age: Gauge::default(),
            key_backup_age: Gauge::default(),
            opened_by_old_keys: Gauge::default(),
            recipients_changed: Counter::default(),
            watch_errors: Family::default(),
            queue_depth: Family::default(),
            leader: Gauge::default(),
            provider_requests: Family::default(),
            provider_seconds: Family::new_with_constructor(reconcile_histogram),
            freshness_seconds: Family::new_with_constructor(freshness_histogram),
            oldest_refresh: Family::default(),
            receivers: Family::default(),
            unloaded: Family::default(),
        };
        metrics.register();
        metrics
    }

    /// `prometheus-client` adds `_total` to counters.
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register(
            "gitops_reconciliation_duration_seconds",
            "How long one look at an object took",
            self.reconcile_seconds.clone(),
        );
        r.register(
            "gitops_reconciliation_errors",
            "Looks at an object that did not bring it into effect, by reason",
            self.reconcile_errors.clone(),
        );
        r.register(
            "waxwing_objects",
            "Objects, by whether their present generation is in effect",
            self.objects.clone(),
        );
        r.register(
            "waxwing_drift_corrected",
            "Produced Secrets that somebody had changed and that were restored",
            self.drift_corrected.clone(),
        );
        r.register(
            "waxwing_commit_to_applied_seconds",
            "From the GitOps tool's sync to the Secret applied",
            self.commit_to_applied_seconds.clone(),
        );
        r.register(
            "waxwing_rolled_back_values",
            "Values that are older than one their object has already had",
            self.rolled_back_values.clone(),
        );
        r.register(
            "waxwing_active_key_age_seconds",
            "Age of the ring's active key",
            self.active_key_age.clone(),
        );
        r.register(
            "waxwing_key_backup_age_seconds",
            "Age of the oldest key in use that nobody has backed up; 0 when all are",
            self.key_backup_age.clone(),
        );
        r.register(
            "waxwing_values_opened_by_old_keys",
            "Values of live objects that an older key than the active one opens",
            self.opened_by_old_keys.clone(),
        );
        r.register(
            "waxwing_recipients_changed",
            "Changes of the list of recipients that new seals are made for",
            self.recipients_changed.clone(),
        );
        r.register(
            "waxwing_watch_errors",
            "Failures of watches, each tried again",
            self.watch_errors.clone(),
        );
        r.register("waxwing_queue_depth", "Objects that wait to be looked at", self.queue_depth.clone());
        r.register(
            "waxwing_leader",
            "1 on the replica that works, 0 on the one that waits",
            self.leader.clone(),
        );
        r.register(
            "waxwing_provider_requests",
            "Requests to providers, by what was asked and what came of it",
            self.provider_requests.clone(),
        );
        r.register(
            "waxwing_provider_requests_duration_seconds",
            "How long providers took to answer",
            self.provider_seconds.clone(),
        );
        r.register(
            "waxwing_secret_freshness_seconds",
            "How old a Secret's values were when they were fetched again",
            self.freshness_seconds.clone(),
        );
        r.register(
            "waxwing_oldest_refresh_seconds",
            "Age of the values that were fetched longest ago, of those that are fetched again by time",
            self.oldest_refresh.clone(),
        );
        r.register(
            "waxwing_injection_receivers",
            "Receivers, contact points and data sources of injections, by state",
            self.receivers.clone(),
        );
        r.register(
            "waxwing_injection_unloaded_replicas",
            "Replicas that were not seen with the published configuration",
            self.unloaded.clone(),
        );
    }

    /// One look at an object of `controller` is over; `failure` says why the object is not in effect.
    pub fn reconciled(&self, controller: &'static str, took: Duration, failure: Option<Reason>) {
        self.reconcile_seconds.get_or_create(&Controller { controller }).observe(took.as_secs_f64());
        if let Some(reason) = failure {
            self.reconcile_errors.get_or_create(&Failure { controller, reason: reason.as_str() }).inc();
        }
    }

    /// A produced Secret was restored after somebody had changed it.
    pub fn drift_corrected(&self, kind: &'static str) {
        self.drift_corrected.get_or_create(&Kind { kind }).inc();
    }

    /// A Secret was applied this long after the GitOps tool had synced the object.
    pub fn commit_applied(&self, after: Duration) {
        self.commit_to_applied_seconds.observe(after.as_secs_f64());
    }

    /// So many values of this object are older than one that it has already had.
    pub fn rolled_back(&self, key: &ObjectKey, values: u32) {
        let mut objects = self.rolled_back.lock().unwrap_or_else(PoisonError::into_inner);
        if values == 0 {
            objects.remove(key);
        } else {
            objects.insert(key.clone(), values);
        }
        self.rolled_back_values.set(objects.values().map(|values| i64::from(*values)).sum());
    }

    /// The object is gone, and with it whatever is known of it.
    pub fn forget(&self, key: &ObjectKey) {
        self.rolled_back(key, 0);
    }

    /// The list of published recipients is another one.
    pub fn recipients_changed(&self) {
        self.recipients_changed.inc();
    }

    /// A provider was asked.
    pub(crate) fn provider_asked(
        &self,
        provider: &'static str,
        call: &'static str,
        outcome: &'static str,
        took: Duration,
    ) {
        self.provider_requests.get_or_create(&Request { provider, call, outcome }).inc();
        self.provider_seconds.get_or_create(&Call { provider, call }).observe(took.as_secs_f64());
    }

    /// Values were fetched again after this long.
    pub(crate) fn refreshed(&self, kind: &'static str, after: Duration) {
        self.freshness_seconds.get_or_create(&Kind { kind }).observe(after.as_secs_f64());
    }

    /// A watch failed.
    pub(crate) fn watch_failed(&self, resource: &'static str, cause: &'static str) {
        self.watch_errors.get_or_create(&Watch { resource, cause }).inc();
    }

    /// The text that `/metrics` answers.
    pub fn render(&self, counts: &Counts) -> Result<String, fmt::Error> {
        let objects = |ready| self.objects.get_or_create_owned(&Readiness { kind: SEALED_SECRET, ready });
        objects("true").set(counts.ready);
        objects("false").set(counts.not_ready);
        for (kind, ready, not_ready) in &counts.others {
            self.objects.get_or_create_owned(&Readiness { kind, ready: "true" }).set(*ready);
            self.objects.get_or_create_owned(&Readiness { kind, ready: "false" }).set(*not_ready);
        }
        // A namespace without injections has no series.
        self.receivers.clear();
        self.unloaded.clear();
        for (namespace, (states, unloaded)) in &counts.injections {
            for (state, count) in STATES.into_iter().zip(states) {
                let label = Receivers { namespace: namespace.clone(), state };
                self.receivers.get_or_create_owned(&label).set(*count);
            }
            self.unloaded.get_or_create_owned(&Namespace { namespace: namespace.clone() }).set(*unloaded);
        }
        self.oldest_refresh.get_or_create(&Kind { kind: "ExternalSecret" }).set(counts.oldest_refresh);
        self.opened_by_old_keys.set(counts.opened_by_old_keys);
        self.active_key_age.set(counts.active_key_age);
        self.key_backup_age.set(counts.key_backup_age);
        for (class, waiting) in ["new", "changed", "refresh"].into_iter().zip(counts.waiting) {
            self.queue_depth.get_or_create(&Class { class }).set(waiting);
        }
        self.leader.set(i64::from(counts.leader));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// From a cached look (well under a millisecond) to an API server that hangs.
fn reconcile_histogram() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0])
}

/// From a refresh that was asked for to one a week.
fn freshness_histogram() -> Histogram {
    Histogram::new([10.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 21_600.0, 86_400.0, 604_800.0])
}

/// The service levels are 1 and 5 minutes.
const COMMIT_BUCKETS: [f64; 10] = [0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_documents() {
        let metrics = Metrics::new();
        metrics.reconciled(SEALED_SECRET, Duration::from_millis(3), Some(Reason::Corrupt));
        metrics.drift_corrected(SEALED_SECRET);
        metrics.commit_applied(Duration::from_secs(2));
        metrics.recipients_changed();
        let text = metrics.render(&Counts { ready: 7, not_ready: 1, ..Counts::default() }).unwrap();
        for line in [
            "gitops_reconciliation_duration_seconds_count{controller=\"SealedSecret\"} 1",
            "gitops_reconciliation_errors_total{controller=\"SealedSecret\",reason=\"Corrupt\"} 1",
            "waxwing_objects{kind=\"SealedSecret\",ready=\"true\"} 7",
            "waxwing_objects{kind=\"SealedSecret\",ready=\"false\"} 1",
            "waxwing_drift_corrected_total{kind=\"SealedSecret\"} 1",
            "waxwing_rolled_back_values 0",
            "waxwing_commit_to_applied_seconds_count 1",
            "waxwing_active_key_age_seconds 0",
            "waxwing_values_opened_by_old_keys 0",
            "waxwing_key_backup_age_seconds 0",
            "waxwing_recipients_changed_total 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    /// L07. Guard: no label is made of an object's name, and what is kept for each object is dropped with it.
    #[test]
    fn ten_thousand_objects_make_no_more_series_than_one() {
        let series = |objects: u32| {
            let metrics = Metrics::new();
            for number in 0..objects {
                let key = ObjectKey::new("apps", &format!("object-{number}"));
                metrics.reconciled(SEALED_SECRET, Duration::ZERO, Some(Reason::Conflict));
                metrics.rolled_back(&key, 2);
            }
            let full = metrics.render(&Counts::default()).unwrap();
            assert!(full.contains(&format!("waxwing_rolled_back_values {}\n", 2 * objects)));
            for number in 0..objects {
                metrics.forget(&ObjectKey::new("apps", &format!("object-{number}")));
            }
            let text = metrics.render(&Counts::default()).unwrap();
            assert!(text.contains("waxwing_rolled_back_values 0\n"));
            text.lines().count()
        };
        assert_eq!(series(10_000), series(1));
    }
}
