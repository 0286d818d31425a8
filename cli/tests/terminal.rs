//! What depends on a terminal: `script` of util-linux makes one.

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
};

use crate::transcript::{Place, config, keys};

/// Runs a shell command on a terminal of its own; types `answer` when `prompt` is shown.
fn on_a_terminal(place: &Place, shell: &str, prompt: &str, answer: &[u8]) -> String {
    let mut command: Command = place.command("script");
    let line = format!("waxwing() {{ {} \"$@\"; }}\n{shell}\necho status $?", env!("CARGO_BIN_EXE_waxwing"));
    command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").env("SHELL", "/bin/sh");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut typed, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut seen, mut byte, mut answered) = (Vec::new(), [0], false);
    while screen.read(&mut byte).unwrap() == 1 {
        seen.push(byte[0]);
        if !answered && !prompt.is_empty() && seen.ends_with(prompt.as_bytes()) {
            typed.write_all(answer).unwrap();
            typed.flush().unwrap();
            answered = true;
        }
    }
    child.wait().unwrap();
    assert!(prompt.is_empty() || answered, "no prompt: {}", String::from_utf8_lossy(&seen));
    String::from_utf8(seen).unwrap()
}

/// L06. Guard: `Silent::begin` turns echo off.
#[test]
fn a_value_typed_at_the_prompt_is_not_shown() {
    let place = Place::sealed();
    let screen = on_a_terminal(&place, "waxwing set db.yaml password", "db: ", b"tippped-Canary\x7fy\n");
    assert!(screen.contains("status 0"), "{screen}");
    assert!(!screen.contains("Canar"), "{screen}");
    assert_eq!(place.open("db.yaml", "password"), "tippped-Canary");
}

/// L06. Guard: `Silent` puts the terminal right when it is dropped.
#[test]
fn ctrl_c_at_the_prompt_changes_nothing_and_leaves_the_terminal_as_it_was() {
    let place = Place::sealed();
    let before = place.read("db.yaml");
    let screen = on_a_terminal(&place, "waxwing set db.yaml password; stty -a", "db: ", b"half\x03");
    assert!(screen.contains("interrupted; nothing was written"), "{screen}");
    assert!(screen.contains(" echo ") && screen.contains(" icanon ") && screen.contains("isig "), "{screen}");
    assert_eq!(place.read("db.yaml"), before);
}

#[test]
fn open_does_not_show_plaintext_on_a_terminal_unless_asked_to() {
    let place = Place::sealed();
    let open = "waxwing open db.yaml --identity $KEYS/cluster.txt";
    let screen = on_a_terminal(&place, open, "", b"");
    assert!(screen.contains("this would show plaintext on the terminal"), "{screen}");
    assert!(!screen.contains("hunter2"), "{screen}");
    let screen = on_a_terminal(&place, &format!("{open} --show"), "", b"");
    assert!(screen.contains("hunter2"), "{screen}");
}

#[test]
fn colour_is_for_terminals_and_can_be_turned_off() {
    let place = Place::new();
    let failing = "waxwing open missing.yaml --show";
    assert!(on_a_terminal(&place, failing, "", b"").contains("\x1b[31;1merror:"));
    assert!(
        !on_a_terminal(&place, &format!("NO_COLOR=1; export NO_COLOR; {failing}"), "", b"").contains('\x1b')
    );
    let outcome = place.waxwing(&["open", "missing.yaml"], b"");
    assert!(!outcome.stderr.contains('\x1b'), "{}", outcome.stderr);
}

#[test]
fn progress_is_shown_on_a_terminal_and_wiped() {
    let place = Place::sealed();
    place.write(".waxwing.yaml", &config(&[("prod", keys::CLUSTER), ("second", keys::SECOND)]));
    let screen = on_a_terminal(&place, "waxwing rewrap -i $KEYS/cluster.txt", "", b"");
    for progress in ["looking in .", "looked at 2 of 2 files", "wrote 1 of 1 file"] {
        assert!(screen.contains(&format!("\r\x1b[2Kwaxwing: {progress}\r")), "{progress}: {screen:?}");
    }
    assert!(screen.contains("\r\x1b[2Kwaxwing: 1 of 1 resource rewrapped\r\n"), "{screen:?}");
    let outcome = place.waxwing(&["rewrap", "-i", place.path("keys/cluster.txt").to_str().unwrap()], b"");
    assert_eq!(outcome.stderr, "waxwing: 0 of 1 resource rewrapped\n");
}
