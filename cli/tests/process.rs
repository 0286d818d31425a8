//! What the operating system sees of a running command, and what a crash leaves behind.

use std::{fs, io::Write, os::unix::fs::MetadataExt, process::Stdio};

use crate::transcript::{Place, run};

/// L05, L06. Guards: `protect::protect_memory`; values come by standard input only.
#[test]
fn while_a_value_is_in_memory_nothing_outside_shows_it() {
    let place = Place::sealed();
    let mut command = place.command(env!("CARGO_BIN_EXE_waxwing"));
    command.args(["set", "db.yaml", "password"]).stdin(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"Canary-3b1f").unwrap();
    let process = |name: &str| format!("/proc/{}/{name}", child.id());
    // Until it has protected itself, at most for ten seconds.
    let protected = || {
        fs::read_to_string(process("limits")).unwrap().lines().any(|line| {
            line.starts_with("Max core file size") && line.split_whitespace().skip(4).take(2).eq(["0", "0"])
        })
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !protected() {
        assert!(std::time::Instant::now() < deadline, "core files are not turned off");
        std::thread::yield_now();
    }
    for name in ["cmdline", "environ"] {
        let bytes = fs::read(process(name)).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains("Canary"), "{name}");
    }
    // What belongs to a process that can't be dumped belongs to root.
    if fs::metadata(place.path("work")).unwrap().uid() != 0 {
        assert_eq!(fs::metadata(process("environ")).unwrap().uid(), 0);
    }
    let files: Vec<_> =
        fs::read_dir(place.path("work")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    drop(stdin);
    assert!(child.wait().unwrap().success());
    for entry in fs::read_dir(place.path("work")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("Canary"));
    }
}

/// F02. Guard: `write::prepare` writes beside the file. The kernel kills the command in the middle
/// of its write, because the new file is larger than the limit.
#[test]
fn a_command_that_is_killed_while_it_writes_leaves_the_old_file() {
    let place = Place::sealed();
    let before = format!("{}{}", "# A file of more than one block.\n".repeat(100), place.read("db.yaml"));
    place.write("db.yaml", &before);
    let mut command = place.command("/bin/bash");
    let line = format!("ulimit -f 1; exec {} set db.yaml password", env!("CARGO_BIN_EXE_waxwing"));
    command.args(["-c", &line]);
    let outcome = run(command, b"another");
    assert_ne!(outcome.status, 0);
    assert_eq!(place.read("db.yaml"), before);
}

/// Guard: `write::Lock` in `set`.
#[test]
fn writers_side_by_side_lose_nothing() {
    let place = Place::sealed();
    let children: Vec<_> = (0..8)
        .map(|number| {
            let mut command = place.command(env!("CARGO_BIN_EXE_waxwing"));
            command.args(["set", "db.yaml", &format!("key{number}")]);
            let mut child =
                command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(format!("value{number}").as_bytes()).unwrap();
            child
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    for number in 0..8 {
        assert_eq!(place.open("db.yaml", &format!("key{number}")), format!("value{number}"));
    }
    assert_eq!(place.open("db.yaml", "password"), "hunter2");
    // The lock leaves nothing behind.
    assert_eq!(fs::read_dir(place.path("work")).unwrap().count(), 3);
}
