//! Keeps the memory of this process from being read by others once it may hold plaintext, and
//! plaintext from a message about a defect.
//!
//! No core file is written, and no other process of the same user may attach or read its memory.
//! Memory that the kernel swaps out is beyond this; `SECURITY.md` says so.

use std::panic;

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::printer::Printer;

/// To be called first: a panic is told by its place, because its message may be made of anything.
pub(crate) fn quiet_panics() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        Printer::new(false).note(format!("a defect at {place}; please report this line"));
    }));
}

/// To be called before the first plaintext or private key is read. Says whether both took hold.
pub(crate) fn protect_memory() -> bool {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).is_ok() && not_dumpable()
}

#[cfg(target_os = "linux")]
fn not_dumpable() -> bool {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    set_dumpable_behavior(DumpableBehavior::NotDumpable).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn not_dumpable() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use std::{env, process::Command};

    use super::*;

    /// L01. Guard: `quiet_panics`. The test panics in a child, which is this test again.
    #[test]
    fn a_panic_is_told_without_its_message() {
        const CANARY: &str = "Qz7vCanaryXw93";
        const CHILD: &str = "WAXWING_TEST_PANICS";
        if env::var_os(CHILD).is_some() {
            quiet_panics();
            let _ = panic::catch_unwind(|| panic!("{}", CANARY.to_owned()));
            return;
        }
        let name = "protect::tests::a_panic_is_told_without_its_message";
        let mut child = Command::new(env::current_exe().unwrap());
        let output = child.args([name, "--exact", "--nocapture"]).env(CHILD, "1").output().unwrap();
        let said = format!("{output:?}");
        assert!(said.contains("a defect at cli/src/protect.rs"), "{said}");
        assert!(!said.contains(CANARY), "{said}");
    }
}
