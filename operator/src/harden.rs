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
    use std::{env, process::Command};

    use clap::Parser;
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;
    use crate::{flags::Flags, logs};

    /// L01. Guard: the hook in `quiet_panics`, which names the place alone. The panic is in a process of its own, with
    /// the log as it is started there, and all of its output is searched.
    #[test]
    fn a_panic_says_where_and_nothing_of_its_payload() {
        const CHILD: &str = "WAXWING_TEST_PANIC";
        const CANARY: &str = "canary-9b1f44d07c";
        if env::var_os(CHILD).is_some() {
            logs::start(&Flags::parse_from(["waxwing-operator", "--operator-namespace=waxwing-system"]));
            quiet_panics();
            assert!(panic::catch_unwind(|| panic!("{CANARY}")).is_err());
            let read = || CANARY.parse::<u8>().map_err(|_| CANARY).unwrap();
            assert!(panic::catch_unwind(read).is_err());
            return;
        }
        let test = "harden::tests::a_panic_says_where_and_nothing_of_its_payload";
        let child = Command::new(env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(child.status.success());
        for (name, output) in [("stdout", &child.stdout), ("stderr", &child.stderr)] {
            assert!(!String::from_utf8_lossy(output).contains(CANARY), "in {name}");
        }
        let said = String::from_utf8_lossy(&child.stdout);
        assert_eq!(said.matches("a defect of the operator").count(), 2, "{said}");
        assert!(said.contains("harden.rs:"), "{said}");
    }

    /// L05. Guard: both calls in `harden`.
    #[test]
    fn the_process_leaves_no_core_and_cannot_be_attached_to() {
        harden();
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        assert_eq!(getrlimit(Resource::Core).maximum, Some(0));
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
    }
}
