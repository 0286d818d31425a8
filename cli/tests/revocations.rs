//! What a leaked value, and a record of it, may not slip through.

use std::{fs, os::unix::fs::symlink};

use crate::transcript::{Outcome, Place, config, keys, run};

fn shell(place: &Place, line: &str) -> Outcome {
    let mut command = place.command("/bin/sh");
    command.args(["-c", line]).envs([("GIT_AUTHOR_NAME", "t"), ("GIT_AUTHOR_EMAIL", "t@example.com")]);
    command.envs([("GIT_COMMITTER_NAME", "t"), ("GIT_COMMITTER_EMAIL", "t@example.com")]);
    let outcome = run(command, b"");
    assert_eq!(outcome.status, 0, "{line}: {}", outcome.stderr);
    outcome
}

fn status(place: &Place, args: &[&str]) -> i32 {
    place.waxwing(args, b"").status
}

/// A folder with `db.yaml`, whose values leaked, and nothing in plaintext.
fn leaked() -> Place {
    let place = Place::sealed();
    fs::remove_file(place.file("secret.yaml")).unwrap();
    assert_eq!(status(&place, &["revoke", "--file", "db.yaml"]), 0);
    place
}

/// K28. Guards: `may_hide_words`, and `Within::All` in `tree::read`.
#[test]
fn a_leaked_value_counts_wherever_and_however_it_is_still_deployed() {
    let place = leaked();
    let text = place.read("db.yaml");
    fs::remove_file(place.file("db.yaml")).unwrap();
    assert_eq!(status(&place, &["verify"]), 0);
    let hidden = text.replace("kind: SealedSecret", "\"k\\x69nd\": \"Sealed\\u0053ecret\"");
    assert_ne!(hidden, text);
    let utf16: Vec<u8> = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect();
    let cases: [(&str, &[u8]); 4] = [
        ("escaped.yaml", hidden.as_bytes()),
        ("wide.yaml", &utf16),
        (".deploy/db.yaml", text.as_bytes()),
        (".db.yaml", text.as_bytes()),
    ];
    for (name, bytes) in cases {
        place.write(name, "");
        fs::write(place.file(name), bytes).unwrap();
        assert_eq!(status(&place, &["verify"]), 3, "{name}");
        assert_eq!(status(&place, &["revoke", "--status"]), 3, "{name}");
        fs::remove_file(place.file(name)).unwrap();
    }
    // Behind a link, where the file itself has another name.
    place.write("values.txt", &text);
    symlink("values.txt", place.file("linked.yaml")).unwrap();
    assert_eq!(status(&place, &["revoke", "--status"]), 3);
    fs::remove_file(place.file("linked.yaml")).unwrap();
    assert_eq!(status(&place, &["revoke", "--status"]), 0);
    // What only has an escape and is no YAML is none of ours.
    place.write("chart.yaml", "a: {{ \"\\u0041\" | quote }}\n");
    let rewrap = place.waxwing(&["rewrap", "-i", place.path("keys/cluster.txt").to_str().unwrap()], b"");
    assert_eq!(rewrap.status, 0, "{}", rewrap.stderr);
}

/// Guard: `may_hide_words` in `verify`.
#[test]
fn a_plaintext_secret_hides_behind_no_escape() {
    let place = Place::new();
    place
        .write("a.yaml", "apiVersion: v1\nkind: \"Secre\\u0074\"\nmetadata: {name: a}\nstringData: {a: b}\n");
    let outcome = place.waxwing(&["verify"], b"");
    assert_eq!(outcome.status, 3);
    assert!(outcome.stdout.contains("PlaintextSecret"), "{}", outcome.stdout);
}

/// K28. Guard: `history::each` asks for every file, by whatever name.
#[test]
fn a_value_is_found_in_history_under_a_name_that_it_has_no_more() {
    let place = Place::sealed();
    fs::remove_file(place.file("secret.yaml")).unwrap();
    let both = config(&[("alice", keys::SECOND), ("prod", keys::CLUSTER)]);
    place.write(".waxwing.yaml", &both);
    let identity = place.path("keys/cluster.txt");
    let identity = identity.to_str().unwrap();
    assert_eq!(status(&place, &["rewrap", "-i", identity]), 0);
    // The same content first as a text, so that Git tells of it by that name.
    shell(&place, "git init -q && cp db.yaml a.txt && git add . && git commit -qm base");
    place.write(".waxwing.yaml", &config(&[("prod", keys::CLUSTER)]));
    assert_eq!(status(&place, &["rewrap", "-i", identity]), 0);
    shell(&place, "git rm -q --cached a.txt && rm a.txt && git commit -qam rewrapped");
    let args = ["revoke", "--recipient", keys::SECOND, "--check", "--output", "json"];
    let outcome = place.waxwing(&args, b"");
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["values"].as_array().unwrap().len(), 2, "{}", outcome.stderr);
}

/// K28. Guards: `revoke` edits `Tree::within`, and tells of `Repository::above`; `verify` reads the records above.
#[test]
fn a_recipient_is_taken_out_of_every_configuration() {
    let both = config(&[("alice", keys::SECOND), ("prod", keys::CLUSTER)]);
    let place = Place::new();
    place.write(".waxwing.yaml", &both);
    place.write("team/.waxwing.yaml", &both.replace("alice", "al"));
    place.write("team/a.env", "password=x\n");
    let seal = "$WAXWING seal --from-env-file team/a.env --name a -n web -o team/a.yaml && rm team/a.env";
    shell(&place, seal);
    let identity = place.path("keys/cluster.txt");
    let identity = identity.to_str().unwrap();
    let within = |args: &[&str]| {
        let mut command = place.command(env!("CARGO_BIN_EXE_waxwing"));
        run(
            {
                command.args(args).current_dir(place.file("team"));
                command
            },
            b"",
        )
    };
    let partly = within(&["revoke", "--recipient", "al", "--no-rewrap"]);
    assert_eq!(partly.status, 5, "{}", partly.stderr);
    assert!(partly.stderr.contains("names al, too: revoke it in that folder"), "{}", partly.stderr);
    fs::remove_dir_all(place.file("team/.waxwing")).unwrap();
    place.write("team/.waxwing.yaml", &both.replace("alice", "al"));

    let done = place.waxwing(&["revoke", "--recipient", "alice", "-i", identity], b"");
    assert_eq!(done.status, 0, "{}", done.stderr);
    for file in [".waxwing.yaml", "team/.waxwing.yaml"] {
        assert!(!place.read(file).contains(keys::SECOND), "{file}");
    }
    assert!(!place.read("team/a.yaml").contains("al/"), "{}", place.read("team/a.yaml"));
    // The record lies above.
    assert_eq!(within(&["verify"]).status, 3);
    assert_eq!(place.waxwing(&["set", "team/a.yaml", "password"], b"y").status, 0);
    assert_eq!(within(&["verify"]).status, 0);
    let back = place.read("team/.waxwing.yaml");
    place.write("team/.waxwing.yaml", &both.replace("alice", "al"));
    let outcome = place.waxwing(&["verify"], b"");
    assert!(outcome.stdout.contains("team/.waxwing.yaml:3: alice was revoked on "), "{}", outcome.stdout);
    place.write("team/.waxwing.yaml", &back);
    assert_eq!(status(&place, &["verify"]), 0);
}

/// K28. Guard: `Leaked::has_its_place` leaves out `others`.
#[test]
fn a_leak_is_done_though_another_cluster_has_an_older_value_of_the_same_name() {
    let place = Place::sealed();
    fs::remove_file(place.file("secret.yaml")).unwrap();
    fs::create_dir(place.file("staging")).unwrap();
    fs::copy(place.file("db.yaml"), place.file("staging/db.yaml")).unwrap();
    assert_eq!(place.waxwing(&["set", "staging/db.yaml", "password"], b"staging").status, 0);
    assert_eq!(place.waxwing(&["unset", "staging/db.yaml", "user"], b"").status, 0);
    // Newer than what staging has.
    assert_eq!(place.waxwing(&["set", "db.yaml", "password"], b"again").status, 0);
    assert_eq!(status(&place, &["revoke", "--file", "db.yaml"]), 0);
    assert_eq!(status(&place, &["verify"]), 3);
    let leaked = place.read("db.yaml");
    assert_eq!(place.waxwing(&["set", "db.yaml", "password"], b"new").status, 0);
    assert_eq!(place.waxwing(&["set", "db.yaml", "user"], b"new").status, 0);
    let outcome = place.waxwing(&["verify"], b"");
    assert_eq!(outcome.status, 0, "{}", outcome.stdout);
    fs::remove_file(place.file("db.yaml")).unwrap();
    assert_eq!(status(&place, &["verify"]), 0);
    // The very value is found there, too.
    place.write("staging/db.yaml", &leaked);
    assert_eq!(status(&place, &["verify"]), 3);
}

/// K28. Guard: `record` adds nothing where there is nothing to add.
#[test]
fn the_same_leak_is_recorded_once() {
    let place = leaked();
    let before = place.read(".waxwing/revocations.yaml");
    assert_eq!(status(&place, &["revoke", "--file", "db.yaml"]), 0);
    assert_eq!(place.read(".waxwing/revocations.yaml"), before);
}

/// K28. Guard: `revocations::taken_out`.
#[test]
fn a_revocation_that_is_taken_out_of_the_record_is_missed() {
    let place = leaked();
    shell(&place, "git init -q && git add . && git commit -qm base");
    let record = place.read(".waxwing/revocations.yaml");
    let since = ["verify", "--since", "HEAD"];
    fs::remove_dir_all(place.file(".waxwing")).unwrap();
    assert_eq!(status(&place, &["verify"]), 0);
    let outcome = place.waxwing(&since, b"");
    assert_eq!(outcome.status, 3, "{}", outcome.stderr);
    assert_eq!(outcome.stdout.matches("RevocationRemoved").count(), 2, "{}", outcome.stdout);
    // One that says less is none.
    place.write(".waxwing/revocations.yaml", &record.replace("key: user", "key: other"));
    assert!(place.waxwing(&since, b"").stdout.contains("key user, revoked on "));
    for key in ["password", "user"] {
        assert_eq!(place.waxwing(&["set", "db.yaml", key], b"new").status, 0);
    }
    fs::remove_dir_all(place.file(".waxwing")).unwrap();
    assert_eq!(status(&place, &since), 0);
    for nonsense in ["--since=nothing", "--since=--output=x"] {
        let outcome = place.waxwing(&["verify", nonsense], b"");
        assert_eq!(outcome.status, 1);
        assert!(outcome.stderr.contains("Git has no commit"), "{}", outcome.stderr);
    }
}
