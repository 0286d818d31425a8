//! Verbs over many files: what a change of recipients does to a whole tree, and what a leaked value may not slip through.

use std::{collections::BTreeSet, fmt::Write as _, fs, os::unix::fs::MetadataExt};

use waxwing_core::{
    Secret,
    keys::{NamedRecipient, Recipient},
    seal::{Binding, Scope, Sealed},
    yaml,
};
use waxwing_crds::SealedSecret;

use crate::transcript::{Outcome, Place, keys, run};

/// As many files that the verb asks Git which of them it can bring back.
const FILES: usize = 60;

fn config(name: &str, recipients: &str) -> String {
    format!(
        "version: 1\nrecipients:\n  prod: {{key: {}}}\n  second: {{key: {}}}\nrules:\n- {{path: \"done/**\", recipients: [second]}}\n- {{path: \"{name}/**\", recipients: [{recipients}]}}\n- recipients: [prod]\n",
        keys::CLUSTER,
        keys::SECOND
    )
}

fn sealed(name: &str, to: (&str, &str), keys: usize) -> String {
    let recipient = NamedRecipient::new(to.0, to.1.parse::<Recipient>().unwrap()).unwrap();
    let mut sealed = Sealed::empty(Binding {
        scope: Scope::Strict,
        namespace: "web".to_owned(),
        name: name.to_owned(),
        secret_type: "Opaque".to_owned(),
    });
    for key in 0..keys {
        let value = (format!("key-{key}").parse().unwrap(), Secret::new(b"value".to_vec()));
        sealed.seal(&[value], std::slice::from_ref(&recipient), 1_789_000_000).unwrap();
    }
    let mut object = SealedSecret::default();
    object.metadata.name = Some(name.to_owned());
    object.metadata.namespace = Some("web".to_owned());
    sealed.write_into(&mut object.spec);
    yaml::to_string(&object).unwrap()
}

fn git(place: &Place, line: &str) -> Outcome {
    let mut command = place.command("/bin/sh");
    command.args(["-c", line]).envs([("GIT_AUTHOR_NAME", "t"), ("GIT_AUTHOR_EMAIL", "t@example.com")]);
    command.envs([("GIT_COMMITTER_NAME", "t"), ("GIT_COMMITTER_EMAIL", "t@example.com")]);
    let outcome = run(command, b"");
    assert_eq!(outcome.status, 0, "{line}: {}", outcome.stderr);
    outcome
}

/// C19. Guard: `Sealed::rewrap` replaces envelopes only, and `SealedFile::update` writes what differs only.
#[test]
fn the_diff_of_a_rewrapped_tree_has_envelope_lines_and_nothing_else() {
    let place = Place::new();
    place.write(".waxwing.yaml", &config("due", "prod"));
    for index in 0..FILES {
        let mut text = format!("# file {index}\n");
        for part in 0..=index % 3 {
            let _ = writeln!(
                text,
                "{}---",
                sealed(&format!("s-{index}-{part}"), ("prod", keys::CLUSTER), 1 + index % 4)
            );
        }
        text.push_str("kind: ConfigMap # not ours\n");
        let text = if index % 7 == 0 { text.replace('\n', "\r\n") } else { text };
        place.write(&format!("due/{}/{index}.yaml", index % 5), &text);
    }
    // What is right already is neither opened, which would fail here, nor written.
    place.write("done/a.yaml", &sealed("a", ("second", keys::SECOND), 2));
    git(&place, "git init -q && git add . && git -c core.autocrlf=false commit -qm base");
    let inode = || fs::metadata(place.file("done/a.yaml")).unwrap().ino();
    let before = inode();
    place.write(".waxwing.yaml", &config("due", "prod, second"));
    git(&place, "git commit -qam rules");

    let identity = place.path("keys/cluster.txt");
    let identity = identity.to_str().unwrap();
    let check = place.waxwing(&["rewrap", "--check", "-i", identity], b"");
    assert_eq!(check.status, 3, "{}", check.stderr);
    assert_eq!(git(&place, "git status --short").stdout, "");
    let outcome = place.waxwing(&["rewrap", "-i", identity, "--output", "json"], b"");
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let files: Vec<&str> =
        report["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
    assert_eq!(files.len(), FILES);
    assert!(files.is_sorted(), "{files:?}");
    assert_eq!(inode(), before);

    let diff = git(&place, "git diff --unified=0 --no-color").stdout;
    let changed = diff
        .lines()
        .filter(|line| line.starts_with(['+', '-']) && !line.starts_with("+++") && !line.starts_with("---"));
    let words: BTreeSet<&str> = changed.map(|line| line[1..].trim().split(':').next().unwrap()).collect();
    assert_eq!(words.into_iter().collect::<Vec<_>>(), ["age", "to"]);
    let left: Vec<String> = fs::read_dir(place.file("due/0"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let again = place.waxwing(&["rewrap", "-i", identity], b"");
    assert_eq!(again.status, 0, "{}", again.stderr);
    assert!(again.stderr.contains(": 0 of "), "{}", again.stderr);
}

/// K28. Guard: `Old::compare`.
#[test]
fn a_leaked_value_that_was_sealed_again_is_found_by_who_can_open_both() {
    let place = Place::sealed();
    fs::remove_file(place.file("secret.yaml")).unwrap();
    git(&place, "git init -q && git add . && git commit -qm base");
    let identity = place.path("keys/cluster.txt");
    let compare = ["revoke", "--status", "--compare", "--output", "json", "-i", identity.to_str().unwrap()];
    assert_eq!(place.waxwing(&["revoke", "--file", "db.yaml"], b"").status, 0);
    assert_eq!(place.waxwing(&["set", "db.yaml", "password"], b"hunter2").status, 0);
    assert_eq!(place.waxwing(&["set", "db.yaml", "user"], b"other").status, 0);
    let outcome = place.waxwing(&compare, b"");
    assert_eq!(outcome.status, 3, "{}", outcome.stderr);
    let rows: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let states: Vec<_> = rows.as_array().unwrap().iter().map(|row| (&row["key"], &row["state"])).collect();
    assert_eq!(states, [(&"password".into(), &"open".into()), (&"user".into(), &"resealed".into())]);
    assert!(!outcome.stdout.contains("hunter2") && !outcome.stderr.contains("hunter2"));
    assert_eq!(place.waxwing(&["set", "db.yaml", "password"], b"better").status, 0);
    assert_eq!(place.waxwing(&compare, b"").status, 0);
}

/// K28. Guard: `compact` asks `Revocations::open_keys`: it would give the old value a new token.
#[test]
fn a_leaked_value_is_not_done_by_new_tokens_moves_or_old_versions() {
    let place = Place::sealed();
    let identity = place.path("keys/cluster.txt");
    let identity = identity.to_str().unwrap();
    let run = |args: &[&str], stdin: &[u8]| place.waxwing(args, stdin).status;
    // Two envelopes, so that there is something to compact.
    assert_eq!(run(&["set", "db.yaml", "more"], b"x"), 0);
    let old = place.read("db.yaml");
    assert_eq!(run(&["revoke", "--file", "db.yaml"], b""), 0);
    fs::remove_file(place.file("secret.yaml")).unwrap();
    assert_eq!(run(&["verify"], b""), 3);
    assert_eq!(run(&["compact", "-i", identity], b""), 1);
    assert_eq!(run(&["rewrap", "-i", identity], b""), 0);
    assert_eq!(run(&["revoke", "--status"], b""), 3);
    for key in ["password", "user", "more"] {
        assert_eq!(run(&["verify"], b""), 3);
        assert_eq!(run(&["set", "db.yaml", key], b"new"), 0);
    }
    assert_eq!(run(&["verify"], b""), 0);
    assert_eq!(run(&["revoke", "--status"], b""), 0);
    let new = place.read("db.yaml");
    // It comes back, here or elsewhere.
    place.write("db.yaml", &old);
    assert_eq!(run(&["verify"], b""), 3);
    place.write("db.yaml", &new);
    place.write("elsewhere/copy.yaml", &old);
    assert_eq!(run(&["verify", "db.yaml"], b""), 3);
    fs::remove_file(place.file("elsewhere/copy.yaml")).unwrap();
    assert_eq!(run(&["verify"], b""), 0);
    assert_eq!(run(&["compact", "-i", identity], b""), 0);
    assert_eq!(run(&["verify"], b""), 0);
}
