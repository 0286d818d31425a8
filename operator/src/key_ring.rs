//! The loop that keeps the ring: reads the KeyRing and the identities, plans, writes one step, and reads again.
//!
//! Every replica reads and publishes what it found to its own workers; only the one that holds the lease writes. The
//! order of reading (KeyRing first) and of writing (status first, Secret second) is what
//! `waxwing_core::plan::key_ring` builds its guarantees on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use kube::{Api, Client, Resource, ResourceExt, api::PostParams, core::ObjectMeta};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::{error, info, warn};
use waxwing_core::{
    keys::{Identities, KeyId, NamedRecipient, Recipient},
    plan::key_ring::{self, InUse, MAKE_WITHIN, Observed, RingEvent, RingPlan, Wave},
};
use waxwing_crds::{ConditionType, KeyRing, KeyState, Reason, RingKey, RotatesAfter, conditions};
use waxwing_providers::{Place, kubernetes};

use crate::{
    api_error,
    context::{Context, unix_now},
    identities::{self, IdentitySecret, NewIdentity},
    metrics::KEY_RING,
    protection::Safe,
    pull::references::InNamespace,
    queue::jittered,
    ring::{Policy, Ring},
    watch::Synced,
};

mod pace;

use pace::Pace;

/// How often the ring is read without a cause.
const LOOK: Duration = Duration::from_secs(300);
/// How often it is counted, in the caches alone, which keys the values need. A change is a cause to look.
const COUNT: Duration = Duration::from_secs(10);
/// The longest delay after an error, and the first one.
const CEILING: Duration = Duration::from_secs(30);
const FIRST: Duration = Duration::from_millis(500);
/// More steps than any ring takes: making a key is three.
const STEPS: u32 = 10;

/// Keeps one ring.
pub(crate) struct KeyRingLoop {
    context: Arc<Context>,
    /// Where the snapshots go.
    ring: watch::Sender<Arc<Ring>>,
    /// Rung when the KeyRing, an identity or the leadership has changed.
    wake: Arc<Notify>,
    /// Whether the caches know every object.
    synced: Synced,
    /// Wraps new identities, and opens those that are wrapped.
    safe: Safe,
    /// The listed keys that had no Secret when they were looked at, and since when.
    waiting: Option<(BTreeSet<String>, Instant)>,
    /// The newest keys of the last plan, and whether what was counted by them spoke against convergence.
    counted: (Vec<KeyId>, Option<(bool, bool)>),
    /// Whether the API server did not keep what was written last.
    forgetful: bool,
    /// The digest of the recipients that were told of as new ones, until they are in effect.
    told: Option<String>,
}

/// What went wrong.
enum Failure {
    /// The KeyRing does not exist.
    Missing,
    /// The API server.
    Api(kube::Error),
    /// The ring did not come to rest.
    Restless,
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        Self::Api(error)
    }
}

impl KeyRingLoop {
    /// Keeps the ring that the flags name.
    pub(crate) fn new(
        context: Arc<Context>,
        ring: watch::Sender<Arc<Ring>>,
        wake: Arc<Notify>,
        synced: Synced,
    ) -> Self {
        let flags = &context.flags;
        let references = InNamespace::new(context.client.clone(), &flags.operator_namespace);
        let safe = Safe::new(&flags.keyring, context.pull.rules.clone(), Arc::new(references));
        Self {
            context,
            ring,
            wake,
            synced,
            safe,
            waiting: None,
            counted: Default::default(),
            forgetful: false,
            told: None,
        }
    }

    /// Runs until it is dropped. Dropping it between two steps is as safe as a crash.
    pub(crate) async fn run(mut self) {
        let mut delay = FIRST;
        let mut pace = Pace::default();
        loop {
            sleep(pace.pause()).await;
            let begun = Instant::now();
            let result = self.settle().await;
            let failure = result.as_ref().err().map(Failure::reason);
            self.context.metrics.reconciled(KEY_RING, begun.elapsed(), failure);
            let pause = match result {
                Ok(again) => {
                    delay = FIRST;
                    again
                }
                Err(failure) => {
                    self.tell(&failure);
                    let pause = jittered(delay);
                    delay = (delay * 2).min(CEILING);
                    pause
                }
            };
            self.rest(Instant::now() + pause).await;
        }
    }

    /// Waits until then, or until there is a cause to look.
    async fn rest(&self, until: Instant) {
        while Instant::now() < until {
            tokio::select! {
                () = sleep_until(until.min(Instant::now() + COUNT)) => {}
                () = self.wake.notified() => return,
            }
            let (newest, before) = &self.counted;
            let now = self.in_use(newest).map(InUse::verdict);
            if self.context.leadership.is_held() && now != *before {
                return;
            }
        }
    }

    /// Plans and writes until nothing is left to write. Gives the time until the next look.
    async fn settle(&mut self) -> Result<Duration, Failure> {
        for left in (0..STEPS).rev() {
            let key_ring = self.read_key_ring().await?;
            let found = self.read_identities(&key_ring).await?;
            let (plan, new) = self.prepare(&key_ring, &found).await;
            let steady = !plan.make && key_ring.status.as_ref() == Some(&plan.status);
            if steady {
                self.forgetful = false;
            }
            if !plan.recipients_changed {
                self.told = None;
            }
            if steady || !self.context.leadership.is_held() {
                self.publish(&key_ring, &found, &plan);
                return Ok(self.until_next_look(&plan));
            }
            match self.step(&key_ring, plan.clone(), new).await {
                Ok(true) => {}
                // Nothing that is written changes that.
                Ok(false) if self.forgetful => {
                    self.publish(&key_ring, &found, &plan);
                    return Ok(self.until_next_look(&plan));
                }
                Ok(false) => {
                    self.forgetful = true;
                    warn!(
                        key_ring = key_ring.name_any(),
                        "the API server does not keep all of the KeyRing's status: apply the resource definitions \
                         (see the chart's README, Upgrade)"
                    );
                }
                // Somebody else was faster: read again.
                Err(error) if api_error::is_conflict(&error) => {}
                Err(error) => {
                    self.publish(&key_ring, &found, &plan);
                    return Err(error.into());
                }
            }
            if left == 0 {
                self.publish(&key_ring, &found, &plan);
            }
        }
        Err(Failure::Restless)
    }

    fn until_next_look(&self, plan: &RingPlan) -> Duration {
        let again = plan.again.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        let again = again.into_iter().chain(self.safe.again()).min();
        again.map_or(LOOK, |again| again.clamp(Duration::from_secs(1), LOOK))
    }

    async fn read_key_ring(&self) -> Result<KeyRing, Failure> {
        match self.api().get(&self.context.flags.keyring).await {
            Ok(key_ring) => Ok(key_ring),
            Err(error) if api_error::is_not_found(&error) => {
                // Without the ring's memory no identity is trusted.
                self.send(Ring::unread(&self.context.flags.keyring));
                Err(Failure::Missing)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The identities that could be this ring's: those that are labelled for another ring are passed over, unless
    /// this one knows them.
    async fn read_identities(&mut self, key_ring: &KeyRing) -> Result<Vec<IdentitySecret>, Failure> {
        let known: BTreeSet<&str> = key_ring
            .status
            .iter()
            .flat_map(|status| &status.keys)
            .map(|key| key.recipient.as_str())
            .chain(key_ring.spec.trusted.iter().map(String::as_str))
            .collect();
        let flags = &self.context.flags;
        let mut found = identities::read_all(&self.context.client, &flags.operator_namespace).await?;
        let is_known = |recipient: &Recipient| known.contains(recipient.as_str());
        found.retain(|secret| {
            secret.recipient().is_some_and(is_known)
                || secret.ring.as_ref().is_none_or(|ring| *ring == flags.keyring)
        });
        let is_used = |recipient: &Recipient| {
            is_known(recipient) && !key_ring.spec.retired.contains(&recipient.to_string())
        };
        self.safe.follow(key_ring.spec.protection.as_ref());
        self.safe.open(&mut found, is_used).await;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Plans, and makes the identity that the plan asks for: before it is listed, because wrapping it can take a while,
    /// or not be possible. Then there is none, whatever the plan asks for.
    async fn prepare(
        &mut self,
        key_ring: &KeyRing,
        found: &[IdentitySecret],
    ) -> (RingPlan, Option<NewIdentity>) {
        let plan = self.plan(key_ring, found, None).await;
        if !plan.make || !self.context.leadership.is_held() {
            self.safe.rest();
            // A key that is due is made by the replica that leads, and what it writes wakes this one.
            let again = plan.again.filter(|_| !plan.make);
            return (RingPlan { again, ..plan }, None);
        }
        match self.safe.make().await {
            Ok(new) => (plan, Some(new)),
            Err(failure) => {
                let plan = self.plan(key_ring, found, Some(&failure.to_string())).await;
                // The rotation is due all the time; when it can be tried again, the safe knows.
                (RingPlan { make: false, again: None, ..plan }, None)
            }
        }
    }

    /// Plans, and asks the ring that rotates first where that matters.
    async fn plan(
        &mut self,
        key_ring: &KeyRing,
        found: &[IdentitySecret],
        trouble: Option<&str>,
    ) -> RingPlan {
        let status = key_ring.status.clone().unwrap_or_default();
        let newest = status.keys.iter().filter(|key| key.state == KeyState::Active || key.is_announced());
        let newest: Vec<_> =
            newest.filter_map(|key| Some(key.recipient.parse::<Recipient>().ok()?.id())).collect();
        let in_use = self.in_use(&newest);
        self.counted = (newest, in_use.map(InUse::verdict));
        let found: Vec<_> = found.iter().map(IdentitySecret::found).collect();
        let (refused, unproven) = (self.safe.refused(), self.safe.unproven());
        let mut observed = Observed {
            ring: &self.context.flags.keyring,
            spec: &key_ring.spec,
            status: &status,
            generation: key_ring.metadata.generation,
            found: &found,
            waited: 0,
            forgetful: self.forgetful,
            wave: Wave::Unknown,
            in_use,
            trouble,
            refused: refused.as_deref(),
            unproven: unproven.as_deref(),
        };
        observed.waited = waited(&mut self.waiting, &observed);
        let plan = key_ring::plan(&observed, unix_now());
        match key_ring.spec.rotates_after().filter(|_| plan.asks_wave && self.context.leadership.is_held()) {
            Some(after) => {
                observed.wave = match self.ask(after).await {
                    Ok(other) => key_ring::judge(&observed, &other, unix_now()),
                    Err(failure) => {
                        Wave::Waiting(format!("the other cluster's ring cannot be read: {failure}"))
                    }
                };
                key_ring::plan(&observed, unix_now())
            }
            None => plan,
        }
    }

    /// The ring that rotates first.
    async fn ask(&self, after: &RotatesAfter) -> Result<KeyRing, waxwing_core::store::Failure> {
        let context = &self.context;
        let references = InNamespace::new(context.client.clone(), &context.flags.operator_namespace);
        let place = Place {
            // As of a ClusterSecretStore: whoever writes KeyRings runs the cluster.
            namespace: None,
            store: format!("KeyRing {}", context.flags.keyring),
            ambient: true,
            rules: context.pull.rules.clone(),
        };
        kubernetes::key_ring(&after.kubeconfig, after.ring(), &place, &references).await
    }

    /// Which keys the live values need, by what the last openings said, once every object is known.
    fn in_use(&self, newest: &[KeyId]) -> Option<InUse> {
        if !self.synced.is_done() {
            return None;
        }
        let mut in_use = InUse::default();
        self.context.sealed_secrets.each(|_, record| {
            in_use.unsettled += u64::from(!record.is_ready());
            in_use.by_older += record.opened_by().iter().filter(|id| !newest.contains(id)).count() as u64;
        });
        Some(in_use)
    }

    /// Writes one step: the status, and after it the Secret of a key that it lists. Gives whether the status is another
    /// one by that.
    async fn step(
        &mut self,
        key_ring: &KeyRing,
        mut plan: RingPlan,
        identity: Option<NewIdentity>,
    ) -> kube::Result<bool> {
        // Told before it is so: a crash in between tells it twice, and not never.
        let digest = &plan.status.recipients_digest;
        for event in plan.events.extract_if(.., |event| event.reason == Reason::RecipientsChanged) {
            if self.told != *digest && self.say(key_ring, &event).await {
                self.told.clone_from(digest);
            }
        }
        let begun = Instant::now();
        if let Some(identity) = &identity {
            plan.list(identity.recipient(), identity.protection(), unix_now());
        }
        let object = KeyRing {
            metadata: ObjectMeta {
                name: key_ring.metadata.name.clone(),
                // The precondition: whoever wrote in between is read first.
                resource_version: key_ring.metadata.resource_version.clone(),
                ..ObjectMeta::default()
            },
            spec: key_ring.spec.clone(),
            status: Some(plan.status.clone()),
        };
        let written =
            self.api().replace_status(&key_ring.name_any(), &PostParams::default(), &object).await?;
        if written.status == key_ring.status {
            return Ok(false);
        }
        if let Some(identity) = identity {
            self.make(&written, &identity, begun).await?;
        }
        if plan.recipients_changed {
            self.context.metrics.recipients_changed();
        }
        for event in &plan.events {
            self.say(&written, event).await;
        }
        Ok(true)
    }

    /// Gives whether the event was written.
    async fn say(&self, key_ring: &KeyRing, event: &RingEvent) -> bool {
        let about = key_ring.object_ref(&());
        let events = &self.context.events;
        if event.warning {
            warn!(reason = event.reason.as_str(), "{}", event.message);
            events.warning(&about, event.reason, &event.message).await
        } else {
            info!(reason = event.reason.as_str(), "{}", event.message);
            events.normal(&about, event.reason, &event.message).await
        }
    }

    /// Creates the Secret of a key that was just listed: soon, or not at all, because others wait for it only so long.
    async fn make(&self, key_ring: &KeyRing, identity: &NewIdentity, begun: Instant) -> kube::Result<()> {
        let flags = &self.context.flags;
        let deadline = begun + Duration::from_secs(MAKE_WITHIN.unsigned_abs());
        let mut result = Ok(());
        while Instant::now() < deadline && self.context.leadership.is_held() {
            let left = deadline.saturating_duration_since(Instant::now());
            let create =
                identities::create(&self.context.client, &flags.operator_namespace, &flags.keyring, identity);
            result = match timeout(left, create).await {
                Ok(Ok(())) => {
                    let id = identity.recipient().id();
                    info!(key = %id, "a key was made");
                    let about = key_ring.object_ref(&());
                    self.context
                        .events
                        .normal(&about, Reason::KeyCreated, &format!("key {id} was made"))
                        .await;
                    return Ok(());
                }
                // An earlier try that we had no answer to, or a name that somebody took: the next reading tells.
                Ok(Err(error)) if api_error::is_conflict(&error) => return Ok(()),
                Ok(Err(error)) => Err(error),
                Err(_) => return Ok(()),
            };
            sleep(FIRST).await;
        }
        result
    }

    /// Sends a snapshot to the workers.
    fn publish(&self, key_ring: &KeyRing, found: &[IdentitySecret], plan: &RingPlan) {
        let flags = &self.context.flags;
        let identities: Identities = found
            .iter()
            .filter_map(|secret| secret.identity.as_ref())
            .filter(|identity| plan.usable.contains(identity.recipient()))
            .cloned()
            .collect();
        // Only those that open: what is proposed may be all that an object has afterwards.
        let open: Vec<_> =
            plan.active.iter().filter(|recipient| plan.usable.contains(recipient)).cloned().collect();
        let rewrap_to = rewrap_recipients(&open, &plan.published, &flags.rewrap_recipients);
        let keys = &plan.status.keys;
        let active = keys.iter().filter(|key| key.state == KeyState::Active);
        let required = key_ring.spec.recipients.iter().filter(|other| other.required == Some(true));
        let required =
            required.filter_map(|other| NamedRecipient::new(&other.name, other.recipient.parse().ok()?).ok());
        self.send(Ring {
            name: flags.keyring.clone(),
            required: required.collect(),
            active: plan.active.clone(),
            states: keys.iter().filter_map(|key| Some((key.recipient.parse().ok()?, key.state))).collect(),
            published: plan.published.clone(),
            rewrap_to,
            policy: Policy::from(&key_ring.spec),
            active_since: active.filter_map(made_at).max(),
            unsaved_since: unsaved_since(key_ring, keys, found),
            ready: conditions::is_true(&plan.status.conditions, ConditionType::Ready),
            unusable: plan.unusable,
            locked: found.iter().map(IdentitySecret::found).any(|found| {
                // One that was restored beside it can be used.
                let is_used = |recipient: &Recipient| {
                    is_used(key_ring, keys, recipient.as_str()) && !plan.usable.contains(recipient)
                };
                found.locked && found.recipient.as_ref().is_some_and(is_used)
            }),
            identities,
        });
    }

    fn send(&self, ring: Ring) {
        let concerns = ring.concerns_objects(&self.context.ring());
        let ring = Arc::new(ring);
        self.ring.send_if_modified(|known| {
            *known = ring;
            concerns
        });
    }

    fn tell(&self, failure: &Failure) {
        let ring = &self.context.flags.keyring;
        match failure {
            Failure::Missing => error!(
                key_ring = ring,
                "the KeyRing does not exist: nothing is opened until somebody creates it (the Helm chart does)"
            ),
            Failure::Api(error) => {
                error!(
                    key_ring = ring,
                    error = api_error::describe(error),
                    "the ring could not be kept; trying again"
                );
            }
            Failure::Restless => {
                warn!(key_ring = ring, "somebody else changes the KeyRing all the time; trying again")
            }
        }
    }

    fn api(&self) -> Api<KeyRing> {
        let client: Client = self.context.client.clone();
        Api::all(client)
    }
}

impl Failure {
    fn reason(&self) -> Reason {
        match self {
            Self::Missing => Reason::KeyRingNotReady,
            Self::Api(error) => api_error::reason(error),
            Self::Restless => Reason::ApiConflict,
        }
    }
}

/// Whether values are opened with this key, if its Secret is there and can be read: the ring lists it or the spec trusts
/// it, and does not retire it.
fn is_used(key_ring: &KeyRing, keys: &[RingKey], recipient: &str) -> bool {
    let names = |list: &[String]| list.iter().any(|text| text == recipient);
    let is_listed = keys.iter().any(|key| key.recipient == recipient);
    (is_listed || names(&key_ring.spec.trusted)) && !names(&key_ring.spec.retired)
}

fn made_at(key: &RingKey) -> Option<i64> {
    key.created_at.as_ref().map(|time| time.0.as_second())
}

/// Since when the cluster has the oldest key in use that nobody has backed up. One that the ring has not made is as old as
/// its Secret.
fn unsaved_since(key_ring: &KeyRing, keys: &[RingKey], found: &[IdentitySecret]) -> Option<i64> {
    let stored: BTreeMap<&str, Option<i64>> =
        found.iter().filter_map(|secret| Some((secret.recipient()?.as_str(), secret.created_at))).collect();
    let is_there = |key: &&RingKey| key.opens() || stored.contains_key(&*key.recipient);
    let listed = keys.iter().filter(is_there).map(|key| (&*key.recipient, made_at(key)));
    let is_listed = |recipient: &str| keys.iter().any(|key| key.recipient == recipient);
    let trusted = stored.iter().filter(|(recipient, _)| !is_listed(recipient));
    let trusted = trusted.map(|(recipient, created_at)| (*recipient, *created_at));
    let saved = &key_ring.spec.backed_up;
    listed
        .chain(trusted)
        .filter(|(recipient, _)| is_used(key_ring, keys, recipient))
        .filter(|(recipient, _)| saved.iter().all(|saved| saved != recipient))
        .filter_map(|(_, since)| since)
        .min()
}

/// For how many seconds the listed keys without a Secret have been so.
fn waited(waiting: &mut Option<(BTreeSet<String>, Instant)>, observed: &Observed<'_>) -> i64 {
    let present: BTreeSet<_> =
        observed.found.iter().filter_map(|found| found.recipient.as_ref()).map(ToString::to_string).collect();
    let pending = observed.status.keys.iter().filter(|key| key.state == KeyState::Pending);
    let without_secret: BTreeSet<_> =
        pending.map(|key| key.recipient.clone()).filter(|recipient| !present.contains(recipient)).collect();
    let waited = match waiting {
        Some((known, since)) if *known == without_secret => since.elapsed(),
        _ => {
            *waiting = Some((without_secret, Instant::now()));
            Duration::ZERO
        }
    };
    i64::try_from(waited.as_secs()).unwrap_or(i64::MAX)
}

/// To whom an existing data key may be wrapped again: the ring's own active keys and those of the operator's flag, each
/// once and under a name of its own. Nobody where there is no such key of the ring: the operator could not open it any
/// more. The names are for people; what a file calls them is its repository's business.
fn rewrap_recipients(
    active: &[Recipient],
    published: &[NamedRecipient],
    flagged: &[Recipient],
) -> Vec<NamedRecipient> {
    let mut all: Vec<NamedRecipient> = Vec::new();
    if active.is_empty() {
        return all;
    }
    for recipient in active.iter().chain(flagged) {
        let is_new = |named: &NamedRecipient| all.iter().all(|other| other.name() != named.name());
        let known =
            published.iter().find(|named| named.recipient() == recipient).filter(|named| is_new(named));
        let named = known.cloned().or_else(|| {
            NamedRecipient::new(&format!("{FLAGGED}-{}", recipient.id()), recipient.clone()).ok()
        });
        if all.iter().all(|other| other.recipient() != recipient) {
            all.extend(named);
        }
    }
    all
}

/// What the name of a recipient that only the operator's flag names begins with.
const FLAGGED: &str = "flag";

#[cfg(test)]
mod tests;
