//! When a store is no longer asked, and when it is asked whether it is back.

use std::time::Duration;

use tokio::time::Instant;
use waxwing_core::store::{Failure, Kind};

/// Counts what fails for everybody.
pub(super) struct Breaker {
    /// Requests that failed so in a row.
    failures: u32,
    state: State,
}

enum State {
    /// Requests go through.
    Closed,
    /// The store asked to be left alone.
    Paused { until: Instant, failure: Failure },
    /// One probe at a time, and nothing else.
    Open { failure: Failure, next: Instant, delay: Duration, probing: bool },
}

impl Breaker {
    pub(super) const fn new() -> Self {
        Self { failures: 0, state: State::Closed }
    }

    /// What callers are told instead of a request being made.
    pub(super) fn refusal(&self, now: Instant) -> Option<Failure> {
        match &self.state {
            State::Closed => None,
            State::Paused { until, failure } => {
                (*until > now).then(|| failure.clone().after(Some(*until - now)))
            }
            State::Open { failure, .. } => Some(failure.clone()),
        }
    }

    /// The store has answered.
    pub(super) fn answered(&mut self) {
        *self = Self::new();
    }

    /// A request has failed in a way that is everybody's.
    pub(super) fn failed(&mut self, failure: &Failure, now: Instant) {
        let failure = shared(failure);
        if failure.kind == Kind::Throttled {
            self.pause(failure, now);
            return;
        }
        self.failures += 1;
        match &mut self.state {
            State::Open { failure: last, .. } => *last = failure,
            State::Closed if self.failures >= ENOUGH => self.open(failure, FIRST, now),
            State::Closed | State::Paused { .. } => {}
        }
    }

    /// The probe has failed in such a way.
    pub(super) fn probe_failed(&mut self, failure: &Failure, now: Instant) {
        let failure = shared(failure);
        if failure.kind == Kind::Throttled {
            self.pause(failure, now);
            return;
        }
        let delay = match self.state {
            State::Open { delay, .. } => (delay * 2).min(LAST),
            State::Closed | State::Paused { .. } => FIRST,
        };
        self.open(failure, delay, now);
    }

    /// How many requests may be in flight. After a failure only as many as it takes to find out whether that is the store:
    /// who waits behind more would be held for another request's time.
    pub(super) fn room(&self, most: usize) -> usize {
        if self.failures == 0 { most } else { ENOUGH.saturating_sub(self.failures).max(1) as usize }
    }

    /// When to call [`Self::probe_due`] next.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        match &self.state {
            State::Closed | State::Open { probing: true, .. } => None,
            State::Paused { until, .. } => Some(*until),
            State::Open { next, .. } => Some(*next),
        }
    }

    /// Whether to probe now. Whoever is told so does it, and says what came of it.
    pub(super) fn probe_due(&mut self, now: Instant) -> bool {
        if self.next_probe().is_none_or(|next| next > now) {
            return false;
        }
        match &mut self.state {
            State::Open { probing, .. } => *probing = true,
            // The store named the time itself: callers need not wait for the probe, which only tells those who gave up.
            State::Closed | State::Paused { .. } => self.state = State::Closed,
        }
        true
    }

    fn open(&mut self, failure: Failure, delay: Duration, now: Instant) {
        // Stores that fell together are not probed together: up to half as long again.
        let next = now + delay.mul_f64(1.0 + fastrand::f64() / 2.0);
        self.state = State::Open { failure, next, delay, probing: false };
    }

    fn pause(&mut self, failure: Failure, now: Instant) {
        let wait = failure.retry_after.unwrap_or(PAUSE).clamp(SHORTEST, LONGEST);
        let until = match &self.state {
            State::Paused { until, .. } => (now + wait).max(*until),
            _ => now + wait,
        };
        self.state = State::Paused { until, failure };
    }
}

/// The failure as others may see it: where it happened may be the name of something that is not theirs.
fn shared(failure: &Failure) -> Failure {
    Failure { place: None, ..failure.clone() }
}

/// Failures in a row that mean the store and not the request.
const ENOUGH: u32 = 3;
/// The first probe comes after 1 to 1.5 seconds, later ones after 20 to 30.
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(20);
/// How long a store is left alone that does not say for how long.
const PAUSE: Duration = Duration::from_secs(5);
const SHORTEST: Duration = Duration::from_millis(100);
/// Nobody is left alone for longer, whatever they ask for.
const LONGEST: Duration = Duration::from_secs(300);
