//! What keeps the memory of this process to itself: no core dumps, no attaching, and panics that say where and not
//! what.

use std::panic;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tracing::{error, warn};

/// Closes what can be closed. A kernel that refuses is reported and no reason to stop.
pub(crate) fn harden() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if setrlimit(Resource::Core, none).is_err() {
        warn!("core dumps could not be turned off");
    }
    // Also keeps other processes of the same user from attaching and from reading /proc/<pid>/mem.
    if set_dumpable_behavior(DumpableBehavior::NotDumpable).is_err() {
        warn!("the process could not be made undumpable");
    }
}

/// Panics are logged by place: a payload may be made of anything.
pub(crate) fn quiet_panics() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        error!(place, "a defect of the operator: please report this line");
    }));
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    /// L05. Guard: both calls in `harden`.
    #[test]
    fn the_process_leaves_no_core_and_cannot_be_attached_to() {
        harden();
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        assert_eq!(getrlimit(Resource::Core).maximum, Some(0));
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
    }
}
