//! What is to be looked at next, and when again.
//!
//! New objects come before changed ones and those before refreshes; within a class the namespaces take turns, so one
//! that changes all the time delays nobody else. An object is worked on by one worker at a time and waits at most
//! once. What fails is tried again with a growing, jittered delay up to a ceiling, and never given up; a change of the
//! cause skips the delay, within a rate for each object.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::store::ObjectKey;

/// Why an object waits, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// It has not been looked at by this process.
    New,
    /// It, or what it depends on, has changed.
    Changed,
    /// Its time has come.
    Refresh,
}

impl Class {
    const ALL: [Self; 3] = [Self::New, Self::Changed, Self::Refresh];
}

/// What a worker says when it is done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing until something changes.
    Done,
    /// In order; look again after this time.
    After(Duration),
    /// The next try is likely to succeed: within a fraction of a second at first.
    Soon,
    /// Time may mend it: exponential backoff.
    Backoff,
    /// Only a change can mend it: at the ceiling of the backoff all the same.
    Ceiling,
}

/// The longest delay of a retry, before jitter.
pub const CEILING: Duration = Duration::from_secs(300);
/// The first delay of `Soon` and of `Backoff`.
const SOON: Duration = Duration::from_millis(100);
const BACKOFF: Duration = Duration::from_secs(1);
/// How many looks at one object may follow each other at once, and how long each takes to come back.
const BURST: u32 = 20;
const REFILL: Duration = Duration::from_millis(200);
/// What is to wait for long comes back at whole ticks: one timer wakes all that is due.
const TICK: Duration = Duration::from_secs(1);
/// How long that is.
const LONG: Duration = Duration::from_secs(10);
/// Each such turn goes to one of the less urgent classes, in rotation, so that neither can starve.
const FAIR_TURN: u64 = 8;

/// The queue. One task takes, any number add.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    entries: HashMap<ObjectKey, Entry>,
    lanes: [Lane; 3],
    /// By time, then by the order of adding.
    delayed: BTreeMap<(Instant, u64), ObjectKey>,
    /// What was forgotten before its bucket was full again, by when that is. At most the objects that were looked at
    /// within the last `BURST * REFILL`.
    spent: BTreeSet<(Instant, ObjectKey)>,
    /// The first tick.
    ticks: Option<Instant>,
    added: u64,
    taken: u64,
    closed: bool,
}

/// The objects of one class, by namespace.
#[derive(Default)]
struct Lane {
    /// Whose turn is next.
    turns: VecDeque<Box<str>>,
    waiting: HashMap<Box<str>, VecDeque<ObjectKey>>,
    count: usize,
}

struct Entry {
    place: Place,
    failures: u32,
    bucket: Bucket,
    /// It was forgotten: the entry stays for its worker, and for its bucket.
    gone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nowhere: nothing is to be done.
    Idle,
    /// In the lane of this class.
    Waiting(Class),
    /// In `delayed`, for this class.
    Delayed((Instant, u64), Class),
    /// With a worker, and what was added meanwhile.
    Working(Option<Class>),
}

/// How often one object may be looked at.
#[derive(Clone, Copy)]
struct Bucket {
    /// When the bucket would be full again.
    full_at: Instant,
}

impl Bucket {
    /// When the next look may begin.
    fn next(&self, now: Instant) -> Instant {
        let spent = self.full_at.saturating_duration_since(now);
        now + spent.saturating_sub(REFILL * (BURST - 1))
    }

    fn spend(&mut self, now: Instant) {
        self.full_at = self.full_at.max(now) + REFILL;
    }
}

impl Queue {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Something has changed: look as soon as the classes, the namespaces and the object's rate allow.
    pub fn add(&self, key: &ObjectKey, class: Class) {
        self.lock().add(key, class, Instant::now());
        self.wake.notify_one();
    }

    /// The object is gone.
    pub fn forget(&self, key: &ObjectKey) {
        self.lock().forget(key, Instant::now());
    }

    /// Drops whatever waits; what is worked on stays so.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// How many objects wait, by class.
    pub fn waiting(&self) -> [usize; 3] {
        let state = self.lock();
        [0, 1, 2].map(|class: usize| state.lanes[class].count)
    }

    /// The next object; `None` once the queue is closed.
    pub async fn take(&self) -> Option<ObjectKey> {
        loop {
            let due = {
                let mut state = self.lock();
                if state.closed {
                    return None;
                }
                let now = Instant::now();
                state.promote(now);
                if let Some(key) = state.take(now) {
                    return Some(key);
                }
                state.delayed.first_key_value().map(|((at, _), _)| *at)
            };
            match due {
                Some(at) => {
                    tokio::select! {
                        () = self.wake.notified() => {}
                        () = sleep_until(at) => {}
                    }
                }
                None => self.wake.notified().await,
            }
        }
    }

    /// The worker is done with the object.
    pub fn done(&self, key: &ObjectKey, verdict: Verdict) {
        self.lock().done(key, verdict, Instant::now());
        self.wake.notify_one();
    }

    /// No more work is given out.
    pub fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, key: &ObjectKey, class: Class, now: Instant) {
        let entry = self.entry(key, now);
        entry.gone = false;
        match entry.place {
            Place::Working(again) => {
                entry.place = Place::Working(Some(again.map_or(class, |old| old.min(class))));
            }
            Place::Waiting(old) if old <= class => {}
            Place::Waiting(_) | Place::Idle | Place::Delayed(..) => {
                let at = entry.bucket.next(now);
                self.leave(key);
                if at > now {
                    self.delay(key, at, class);
                } else {
                    self.enter(key, class);
                }
            }
        }
    }

    fn done(&mut self, key: &ObjectKey, verdict: Verdict, now: Instant) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let Place::Working(again) = entry.place else { return };
        if entry.gone {
            return self.let_go(key, now);
        }
        entry.failures = match verdict {
            Verdict::Done | Verdict::After(_) => 0,
            Verdict::Soon | Verdict::Backoff | Verdict::Ceiling => entry.failures.saturating_add(1),
        };
        let failures = entry.failures;
        entry.place = Place::Idle;
        if let Some(class) = again {
            return self.add(key, class, now);
        }
        if let Some(delay) = delay(verdict, failures) {
            let at = now + delay;
            let at = if delay < LONG { at } else { self.tick_after(at, now) };
            self.delay(key, at, Class::Refresh);
        }
    }

    fn forget(&mut self, key: &ObjectKey, now: Instant) {
        self.leave(key);
        match self.entries.get_mut(key) {
            // Its worker is still at it: an object of the same name must wait for it.
            Some(entry) if matches!(entry.place, Place::Working(_)) => {
                entry.place = Place::Working(None);
                entry.gone = true;
            }
            _ => self.let_go(key, now),
        }
    }

    /// Drops what is known of an object that nobody works on, but for a spent bucket: whoever deletes an object and
    /// creates it again gets no more looks than whoever changes it.
    fn let_go(&mut self, key: &ObjectKey, now: Instant) {
        self.drop_refilled(now);
        let Some(entry) = self.entries.get_mut(key) else { return };
        let full_at = entry.bucket.full_at;
        if full_at > now {
            *entry = Entry { place: Place::Idle, failures: 0, bucket: entry.bucket, gone: true };
            self.spent.insert((full_at, key.clone()));
        } else {
            self.entries.remove(key);
        }
    }

    /// Drops the forgotten objects whose buckets are full again.
    fn drop_refilled(&mut self, now: Instant) {
        while self.spent.first().is_some_and(|(full_at, _)| *full_at <= now)
            && let Some((full_at, key)) = self.spent.pop_first()
        {
            // Made anew meanwhile, it lives; forgotten once more, it stands further on.
            let is_over =
                |entry: &Entry| entry.gone && entry.place == Place::Idle && entry.bucket.full_at <= full_at;
            if self.entries.get(&key).is_some_and(is_over) {
                self.entries.remove(&key);
            }
        }
    }

    fn clear(&mut self) {
        self.lanes = Default::default();
        self.delayed.clear();
        self.spent.clear();
        self.entries.retain(|_, entry| matches!(entry.place, Place::Working(_)));
    }

    /// Moves what is due into the lanes.
    fn promote(&mut self, now: Instant) {
        self.drop_refilled(now);
        while let Some(first) = self.delayed.first_entry()
            && first.key().0 <= now
        {
            let key = first.remove();
            if let Some(Entry { place: Place::Delayed(_, class), .. }) = self.entries.get(&key) {
                let class = *class;
                self.enter(&key, class);
            }
        }
    }

    fn take(&mut self, now: Instant) -> Option<ObjectKey> {
        let mut order = Class::ALL;
        let turn = self.taken + 1;
        if turn.is_multiple_of(FAIR_TURN) {
            order.rotate_left(if (turn / FAIR_TURN).is_multiple_of(2) { 2 } else { 1 });
        }
        let key = order.into_iter().find_map(|class| self.lanes[class as usize].pop())?;
        self.taken = turn;
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.place = Place::Working(None);
            entry.bucket.spend(now);
        }
        Some(key)
    }

    fn entry(&mut self, key: &ObjectKey, now: Instant) -> &mut Entry {
        self.entries.entry(key.clone()).or_insert_with(|| Entry {
            place: Place::Idle,
            failures: 0,
            bucket: Bucket { full_at: now },
            gone: false,
        })
    }

    fn enter(&mut self, key: &ObjectKey, class: Class) {
        self.lanes[class as usize].push(key.clone());
        self.place(key, Place::Waiting(class));
    }

    fn delay(&mut self, key: &ObjectKey, at: Instant, class: Class) {
        self.added += 1;
        let slot = (at, self.added);
        self.delayed.insert(slot, key.clone());
        self.place(key, Place::Delayed(slot, class));
    }

    fn tick_after(&mut self, at: Instant, now: Instant) -> Instant {
        let first = *self.ticks.get_or_insert(now);
        let ticks = at.saturating_duration_since(first).as_nanos().div_ceil(TICK.as_nanos());
        first + TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
    }

    /// Takes the object out of where it waits.
    fn leave(&mut self, key: &ObjectKey) {
        match self.entries.get(key).map(|entry| entry.place) {
            Some(Place::Waiting(class)) => self.lanes[class as usize].remove(key),
            Some(Place::Delayed(slot, _)) => {
                self.delayed.remove(&slot);
            }
            Some(Place::Idle | Place::Working(_)) | None => {}
        }
    }

    fn place(&mut self, key: &ObjectKey, place: Place) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.place = place;
        }
    }
}

impl Lane {
    fn push(&mut self, key: ObjectKey) {
        self.count += 1;
        let namespace = key.namespace();
        match self.waiting.get_mut(namespace) {
            Some(waiting) => waiting.push_back(key),
            None => {
                self.turns.push_back(namespace.into());
                self.waiting.insert(namespace.into(), VecDeque::from([key]));
            }
        }
    }

    fn pop(&mut self) -> Option<ObjectKey> {
        let namespace = self.turns.pop_front()?;
        let waiting = self.waiting.get_mut(&namespace)?;
        let key = waiting.pop_front()?;
        self.count -= 1;
        if waiting.is_empty() {
            self.waiting.remove(&namespace);
        } else {
            self.turns.push_back(namespace);
        }
        Some(key)
    }

    fn remove(&mut self, key: &ObjectKey) {
        let Some(waiting) = self.waiting.get_mut(key.namespace()) else { return };
        let before = waiting.len();
        waiting.retain(|other| other != key);
        self.count -= before - waiting.len();
        if waiting.is_empty() {
            self.waiting.remove(key.namespace());
            self.turns.retain(|namespace| &**namespace != key.namespace());
        }
    }
}

/// How long until the next look; `None` when only a change brings one.
fn delay(verdict: Verdict, failures: u32) -> Option<Duration> {
    let grown = |first: Duration| {
        let factor = 2_u32.saturating_pow(failures.saturating_sub(1).min(20));
        first.saturating_mul(factor).min(CEILING)
    };
    match verdict {
        Verdict::Done => None,
        Verdict::After(time) => Some(time),
        Verdict::Soon => Some(jittered(grown(SOON))),
        Verdict::Backoff => Some(jittered(grown(BACKOFF))),
        Verdict::Ceiling => Some(jittered(CEILING)),
    }
}

/// Between 80 and 120 in a hundred of it, so that what failed together is not tried again together.
pub(crate) fn jittered(delay: Duration) -> Duration {
    delay.mul_f64(0.8 + 0.4 * fastrand::f64())
}

#[cfg(test)]
mod tests;
