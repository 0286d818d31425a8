//! How fast a provider is asked: a bucket of tokens, one a request.

use std::time::Duration;

use tokio::time::Instant;

use crate::Pace;

/// The bucket. It counts in nanoseconds of waiting, so that nothing is lost by rounding.
pub(super) struct Bucket {
    /// How long one token takes to come.
    each: Duration,
    /// How far in the past [`Self::next`] may lie: all tokens that can be there at once.
    depth: Duration,
    /// When the bucket was, or will be, without a token.
    next: Instant,
}

impl Bucket {
    pub(super) fn new(pace: Pace, now: Instant) -> Self {
        let each = Duration::from_secs(1) / pace.per_second.max(1);
        let depth = each * pace.burst.max(1);
        // Full at the start. An instant before the clock's first cannot be had, so the bucket is filled by reference.
        Self { each, depth, next: now.checked_sub(depth).unwrap_or(now) }
    }

    /// Takes a token if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        if let Some(full) = now.checked_sub(self.depth) {
            self.next = self.next.max(full);
        }
        let ready = self.ready_at() <= now;
        if ready {
            self.next += self.each;
        }
        ready
    }

    /// When there will be one.
    pub(super) fn ready_at(&self) -> Instant {
        self.next + self.each
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_followed_by_the_pace() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Pace { per_second: 10, burst: 3 }, start);
        let taken = |bucket: &mut Bucket, at: Instant| (0..100).take_while(|_| bucket.take(at)).count();
        assert_eq!(taken(&mut bucket, start), 3);
        assert_eq!(bucket.ready_at(), start + Duration::from_millis(100));
        assert_eq!(taken(&mut bucket, start + Duration::from_millis(99)), 0);
        assert_eq!(taken(&mut bucket, start + Duration::from_millis(100)), 1);
        assert_eq!(taken(&mut bucket, start + Duration::from_millis(310)), 2);
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(60)), 3);
    }

    #[test]
    fn a_pace_of_nothing_is_one_a_second() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Pace { per_second: 0, burst: 0 }, start);
        assert!(bucket.take(start));
        assert!(!bucket.take(start));
        assert!(bucket.take(start + Duration::from_secs(1)));
    }
}
