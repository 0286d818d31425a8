//! Which replica works.

use tokio::{sync::watch, time::Instant};

/// Whether this replica holds the lease. Clones share it.
#[derive(Clone)]
pub struct Leadership {
    /// Until when it is certain that no other replica holds the lease.
    until: watch::Receiver<Option<Instant>>,
}

impl Leadership {
    /// Whether this replica may write now. It turns false by itself when the lease was not renewed in time.
    pub fn is_held(&self) -> bool {
        self.until.borrow().is_some_and(|until| Instant::now() < until)
    }
}
