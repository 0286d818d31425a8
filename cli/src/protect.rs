//! Keeps the memory of this process from being read by others once it may hold plaintext.
//!
//! No core file is written, and no other process of the same user may attach or read its memory.
//! Memory that the kernel swaps out is beyond this; `SECURITY.md` says so.

use rustix::process::{Resource, Rlimit, setrlimit};

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
