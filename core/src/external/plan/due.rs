//! When values are fetched again.
//!
//! Refreshes lie on a grid: its step is the refresh interval, its offset follows from store and path. So the consumers
//! of one value refresh together and share the request, and different values are spread over the whole interval, after a
//! restart too.

use sha2::{Digest, Sha256};
use waxwing_crds::EntryStatus;

use super::{Ask, Input, Mark, Memory, Refresh, Spec};

/// The refresh interval where nothing else is said, in seconds.
pub(super) const DEFAULT: i64 = 3600;
/// A refresh time is written at most this often, in seconds, so on a shorter interval the status does not tell it.
pub(super) const WRITTEN: i64 = 3600;
/// So many seconds after its start, a process has prolonged the leases that it found.
const EARLY: i64 = 30;
/// So soon after one fetch, another by time is left out; on a short interval, a quarter of it.
const NEAR: i64 = 10;

/// When values are to be fetched again, as far as time decides; what is in the past is due.
pub(super) fn of(input: &Input<'_>, memory: &Memory, spec: &Spec, mark: Mark) -> Times {
    if mark == Mark::Stale {
        return Times::default();
    }
    let status = input.object.status;
    let written = status.refresh_time.as_ref().map(|time| time.0.as_second());
    let time = match (memory.fetched, written) {
        (Some(fetched), _) => by_time(spec, input, Some(fetched)),
        (None, Some(written)) => {
            let is_exact = |interval| {
                interval >= WRITTEN || input.now.saturating_sub(written) > WRITTEN.saturating_add(interval)
            };
            let exact = interval(spec).is_some_and(is_exact);
            by_time(spec, input, Some(if exact { written } else { input.now.max(written) }))
        }
        (None, None) => by_time(spec, input, None).map(|_| input.now),
    };
    // A clock that was set back says nothing of how long a lease has run.
    let is_set_back = memory.fetched.is_some_and(|fetched| fetched > input.now);
    let known = memory.lease_due.map(|due| if is_set_back { input.now } else { due });
    // A process that does not know when a lease was given, or by whose clock, prolongs it early.
    let lease = known.or_else(|| {
        let ends = status.entries.iter().filter_map(ends_at).min()?;
        Some(input.now + ((ends - input.now).max(0) / 3).min(EARLY))
    });
    Times { values: time, lease }
}

/// When something is due, in Unix seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    /// Values are to be fetched.
    pub(super) values: Option<i64>,
    /// Leases are to be prolonged.
    pub(super) lease: Option<i64>,
}

impl Times {
    /// The first of both.
    pub(super) fn first(self) -> Option<i64> {
        [self.values, self.lease].into_iter().flatten().min()
    }
}

/// The next point of the grid after `fetched`; none where time decides nothing.
pub(super) fn by_time(spec: &Spec, input: &Input<'_>, fetched: Option<i64>) -> Option<i64> {
    let interval = interval(spec)?;
    let fetched = fetched.unwrap_or(input.now);
    let offset = offset(spec, input, interval);
    let next = fetched - (fetched - offset).rem_euclid(interval) + interval;
    Some(if next - fetched < NEAR.min(interval / 4) { next + interval } else { next })
}

/// The refresh interval in seconds; none where values are not fetched again by time.
pub(super) fn interval(spec: &Spec) -> Option<i64> {
    match spec.refresh {
        Refresh::Periodic(interval) => Some(i64::try_from(interval.as_secs()).unwrap_or(i64::MAX / 4).max(1)),
        Refresh::CreatedOnce | Refresh::OnChange => None,
    }
}

/// Between 0 and the interval, the same for all that read this path of this store.
fn offset(spec: &Spec, input: &Input<'_>, interval: i64) -> i64 {
    let mut hash = Sha256::new();
    for store in input.stores {
        hash.update(store.uid.as_bytes());
        hash.update([0]);
    }
    if let Some(ask) = spec.first_ask() {
        match ask {
            Ask::Read(read) => hash.update(read.key.as_bytes()),
            Ask::Find(find) => hash.update(find.path.as_deref().unwrap_or_default().as_bytes()),
        }
    }
    let bytes: [u8; 32] = hash.finalize().into();
    let number = bytes.iter().take(7).fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
    number.rem_euclid(interval)
}

/// When the first of these leases is to be prolonged: two thirds on the way to its end.
pub(super) fn of_leases(entries: &[EntryStatus], now: i64) -> Option<i64> {
    let ends = entries.iter().filter_map(ends_at).min()?;
    Some(now + (ends - now).max(3) * 2 / 3)
}

fn ends_at(entry: &EntryStatus) -> Option<i64> {
    entry.lease.as_ref().map(|lease| lease.expires_at.0.as_second())
}
