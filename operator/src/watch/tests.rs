//! The caches, fed by hand.
