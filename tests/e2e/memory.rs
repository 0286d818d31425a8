//! What stays in memory after a value was sealed and opened: nothing.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
};

use waxwing_core::{
    Secret,
    keys::{Identities, Identity, NamedRecipient},
    seal::{Binding, Scope, Sealed},
};

const MASK: u8 = 0xa5;

/// How often the masked needle occurs, unmasked, in this process's writable memory.
fn occurrences(masked: &[u8]) -> usize {
    let memory = File::open("/proc/self/mem").unwrap();
    let mut found = 0;
    for line in fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let mut fields = line.split_whitespace();
        let (range, mode) = (fields.next().unwrap(), fields.next().unwrap());
        let (start, end) = range.split_once('-').unwrap();
        let (start, end) =
            (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
        if !mode.starts_with("rw") {
            continue;
        }
        // One page at a time, masked at once, so that this scan leaves no copy that it would find.
        let mut window: Vec<u8> = Vec::with_capacity(8192);
        let mut page = [0_u8; 4096];
        for at in (start..end).step_by(4096) {
            if memory.read_exact_at(&mut page, at).is_err() {
                break;
            }
            page.iter_mut().for_each(|byte| *byte ^= MASK);
            let tail = window.len().saturating_sub(masked.len() - 1);
            window.drain(..tail);
            window.extend_from_slice(&page);
            found += window.windows(masked.len()).filter(|w| *w == masked).count();
        }
    }
    found
}

fn unmasked(masked: &[u8]) -> Secret {
    Secret::new(masked.iter().map(|byte| byte ^ MASK).collect())
}

/// L05. Guard: `Secret` and every buffer of `seal::{padding, dek}` wipe themselves (`Zeroizing`).
#[test]
fn neither_sealing_nor_opening_leaves_a_value_in_memory() {
    let masked = *b"\x11\x93\xd8\x21no-value-looks-like-this\x7f\x02\xee\x19\xa7\x44\xb1\x06";
    let key = "token".parse().unwrap();
    let kept = unmasked(&masked);
    assert_eq!(occurrences(&masked), 1, "the scan finds a value that is there");
    drop(kept);
    assert_eq!(occurrences(&masked), 0, "dropping a value wipes it");

    let identity = Identity::generate();
    let to = [NamedRecipient::new("prod", identity.recipient().clone()).unwrap()];
    let binding = Binding {
        scope: Scope::Strict,
        namespace: "a".to_owned(),
        name: "b".to_owned(),
        secret_type: "Opaque".to_owned(),
    };
    let mut sealed = Sealed::empty(binding);
    sealed.seal(&[(key, unmasked(&masked))], &to, 1).unwrap();
    assert_eq!(occurrences(&masked), 0, "sealing wipes its buffers");

    let opened = sealed.open(&Identities::from_iter([identity]), 1).ok().unwrap();
    assert!(opened.values()["token"].value.same_as(&unmasked(&masked)));
    assert_eq!(occurrences(&masked), 1, "only the opened value itself is there");
    drop(opened);
    assert_eq!(occurrences(&masked), 0, "dropping an opened resource wipes its values");
}
