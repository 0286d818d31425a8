//! How fast looks follow each other.

use std::time::Duration;

use tokio::time::Instant;

/// Lets a few looks follow each other at once, and then one every second: two operators that serve one ring by
/// mistake would otherwise answer each other without end.
#[derive(Default)]
pub(super) struct Pace {
    /// The looks so far, of which one is forgotten each second.
    looks: u32,
    last: Option<Instant>,
}

impl Pace {
    pub(super) const BURST: u32 = 20;

    /// How long to wait before the next look.
    pub(super) fn pause(&mut self) -> Duration {
        let passed = self.last.map_or(0, |last| last.elapsed().as_secs());
        if passed > 0 || self.last.is_none() {
            self.last = Some(Instant::now());
        }
        self.looks = self.looks.saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX)) + 1;
        if self.looks > Self::BURST { Duration::from_secs(1) } else { Duration::ZERO }
    }
}
