//! What stays in memory after a value was sealed and opened: nothing.

#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test reads its own process's memory; core itself does no IO"
)]

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
};

use zeroize::Zeroize;

use super::{Binding, Scope, Sealed};
use crate::{
    Secret,
    keys::{Identities, Identity, NamedRecipient},
};

/// The value is kept masked, so that neither the test's code nor the scan holds a copy of it.
const MASK: u8 = 0xa5;
const MASKED: &[u8; 32] = b"no-value-looks-like-this\x7f\x02\xee\x19\xa7\x44\xb1\x06";

/// How often a value that is kept masked occurs in this process's writable memory.
pub(crate) fn occurrences(masked: &[u8; 32], mask: u8) -> usize {
    const PAGE: usize = 4096;
    let memory = File::open("/proc/self/mem").unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let address = |text: &str| u64::from_str_radix(text, 16).unwrap();
    let mut found = 0;
    // The end of the page before, then a page.
    let mut window = vec![0_u8; masked.len() + PAGE];
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        window.zeroize();
        window.resize(masked.len() + PAGE, 0);
        for at in (address(start)..address(end)).step_by(PAGE) {
            window.copy_within(PAGE.., 0);
            if memory.read_exact_at(&mut window[masked.len()..], at).is_err() {
                break;
            }
            let is_value = |at: usize| {
                window[at..at + masked.len()].iter().zip(masked).all(|(byte, masked)| byte ^ mask == *masked)
            };
            found += (1..=PAGE).filter(|&at| window[at] ^ mask == masked[0] && is_value(at)).count();
        }
    }
    window.zeroize();
    found
}

/// The bytes that are looked for come last: an allocator writes into the first ones of what was freed.
fn value() -> Secret {
    let mut bytes = Vec::with_capacity(64 + MASKED.len());
    bytes.resize(64, b'x');
    bytes.extend(MASKED.iter().map(|byte| byte ^ MASK));
    Secret::new(bytes)
}

/// L05. Guard: `Secret` and every buffer of `seal::{padding, dek}` wipe themselves (`Zeroizing`).
#[test]
fn neither_sealing_nor_opening_leaves_a_value_in_memory() {
    let kept = value();
    assert!(occurrences(MASKED, MASK) >= 1, "the scan finds a value that is there");
    drop(kept);
    assert_eq!(occurrences(MASKED, MASK), 0, "dropping a value wipes it");

    let identity = Identity::generate();
    let to = [NamedRecipient::new("prod", identity.recipient().clone()).unwrap()];
    let binding = Binding {
        scope: Scope::Strict,
        namespace: "a".to_owned(),
        name: "b".to_owned(),
        secret_type: "Opaque".to_owned(),
    };
    let mut sealed = Sealed::empty(binding);
    sealed.seal(&[("token".parse().unwrap(), value())], &to, 1).unwrap();
    assert_eq!(occurrences(MASKED, MASK), 0, "sealing wipes its buffers");

    let opened = sealed.open(&Identities::from_iter([identity]), 1).ok().unwrap();
    assert!(opened.values()["token"].value.same_as(&value()));
    assert!(occurrences(MASKED, MASK) >= 1, "the opened value is there");
    drop(opened);
    assert_eq!(occurrences(MASKED, MASK), 0, "dropping an opened resource wipes its values");
}
