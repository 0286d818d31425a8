//! Verbs over many files: what a change of recipients does to a whole tree, and what a leaked value may not slip through.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    os::unix::fs::{MetadataExt, symlink},
    process::Stdio,
};

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

/// The first words of all lines that a diff takes away or adds.
fn changed_words(diff: &str) -> BTreeSet<&str> {
    let changed = diff
        .lines()
        .filter(|line| line.starts_with(['+', '-']) && !line.starts_with("+++") && !line.starts_with("---"));
    changed.map(|line| line[1..].trim().split(':').next().unwrap()).collect()
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
    assert_eq!(changed_words(&diff), BTreeSet::from(["age", "to"]));
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

/// Guards: `own_files` leaves out links that were only found; `Repository::relative` and `config_path` follow those that
/// were named.
#[test]
fn a_link_gives_nobody_a_file_that_its_own_rule_keeps_from_them() {
    let place = Place::new();
    place.write(".waxwing.yaml", &config("zz", "prod, second"));
    let text = sealed("db", ("prod", keys::CLUSTER), 2);
    place.write("pay/db.yaml", &text);
    fs::create_dir(place.file("zz")).unwrap();
    let outside = place.path("outside.yaml");
    fs::write(&outside, &text).unwrap();
    symlink("../pay/db.yaml", place.file("zz/app.yaml")).unwrap();
    symlink(&outside, place.file("zz/outside.yaml")).unwrap();
    symlink("../pay", place.file("zz/folder")).unwrap();
    let identity = place.path("keys/cluster.txt");
    let rewrap =
        |args: &[&str]| place.waxwing(&[&["rewrap", "-i", identity.to_str().unwrap()], args].concat(), b"");
    for args in
        [&["."][..], &["zz"], &["zz/app.yaml"], &["zz/folder/db.yaml"], &["zz/app.yaml", "pay/db.yaml"]]
    {
        let outcome = rewrap(args);
        assert_eq!(outcome.status, 0, "{args:?}: {}", outcome.stderr);
        assert_eq!(place.read("pay/db.yaml"), text, "{args:?}");
    }
    let outcome = rewrap(&["zz/outside.yaml"]);
    assert_eq!(outcome.status, 1, "{}", outcome.stderr);
    assert_eq!(fs::read_to_string(&outside).unwrap(), text);
    let verify = place.waxwing(&["verify"], b"");
    assert_eq!(verify.status, 3);
    assert_eq!(verify.stdout.matches("(LinkedFile)").count(), 2, "{}", verify.stdout);
    // The nearest configuration above is that of the file, too.
    place.write("pay/.waxwing.yaml", &config("none", "prod"));
    place.write(".waxwing.yaml", &config("**", "prod, second"));
    assert_eq!(rewrap(&["zz/app.yaml"]).status, 0);
    assert_eq!(place.read("pay/db.yaml"), text);
}

/// Guard: `sealed_file::files` refuses such names; `verify` tells of them.
#[test]
fn no_name_of_a_file_fakes_a_line_of_the_output() {
    let place = Place::new();
    place.write(".waxwing.yaml", &config("due", "prod"));
    place.write("a\nb.yaml", &sealed("db", ("second", keys::SECOND), 1));
    place.write("c\nd/e.txt", "");
    let outcome = place.waxwing(&["rewrap"], b"");
    let identity = place.path("keys/cluster.txt");
    let rewrap = place.waxwing(&["rewrap", "-i", identity.to_str().unwrap()], b"");
    assert_eq!((outcome.status, rewrap.status), (4, 1));
    assert!(
        rewrap.stderr.contains("\"a\\nb.yaml\" has a control character in its name"),
        "{}",
        rewrap.stderr
    );
    let verify = place.waxwing(&["verify"], b"");
    assert_eq!(verify.status, 3);
    assert_eq!(verify.stdout.lines().count(), 2, "{}", verify.stdout);
    assert!(verify.stdout.lines().all(|line| line.ends_with("(FileName)")), "{}", verify.stdout);
    // Nor does a resource's.
    fs::remove_file(place.file("a\nb.yaml")).unwrap();
    fs::remove_dir_all(place.file("c\nd")).unwrap();
    let named = sealed("db", ("prod", keys::CLUSTER), 1).replace("name: db", "name: \"db\\nx.yaml:1: fine\"");
    place.write("named.yaml", &named);
    let verify = place.waxwing(&["verify"], b"");
    assert!(verify.stdout.lines().all(|line| line.starts_with("named.yaml:")), "{}", verify.stdout);
}

/// Many files that Git can bring back, one of which becomes larger than the limit that a test sets.
fn committed(place: &Place) -> String {
    place.write(".waxwing.yaml", &config("due", "prod, second"));
    for index in 0..FILES {
        let rest =
            if index == FILES / 2 { "# A file of more than one block.\n".repeat(400) } else { String::new() };
        let text = rest + &sealed(&format!("s-{index}"), ("prod", keys::CLUSTER), 1);
        place.write(&format!("due/{index}.yaml"), &text);
    }
    git(place, "git init -q && git add . && git commit -qm base");
    format!("exec {} rewrap -i {}/keys/cluster.txt", env!("CARGO_BIN_EXE_waxwing"), place.path("").display())
}

/// F02. Guard: `bulk::write` has all new files complete before it replaces the first, also where they are synced together.
/// The kernel kills the command, or fails its write as on a full disk, within one of many files.
#[test]
fn a_crash_or_a_full_disk_amid_many_files_changes_none() {
    let place = Place::new();
    let rewrap = committed(&place);
    let limited = |trap: &str| {
        let mut command = place.command("/bin/bash");
        command.args(["-c", &format!("{trap} ulimit -f 4; {rewrap}")]);
        let outcome = run(command, b"");
        assert_ne!(outcome.status, 0);
        assert_eq!(git(&place, "git diff --stat").stdout, "", "{}", outcome.stderr);
        outcome
    };
    let full = limited("trap '' XFSZ;");
    assert!(full.stderr.contains(&format!("due/{}.yaml: ", FILES / 2)), "{}", full.stderr);
    assert_eq!(git(&place, "git status --short").stdout, "", "nothing is left behind");
    limited("");
    // What a killed command leaves behind is in nobody's way.
    assert!(git(&place, "git status --short").stdout.contains("?? due/.waxwing-"));
    // Killed once all new files are there, before or while they take the places of the old ones.
    git(&place, "git clean -qf");
    let mut command = place.command("/bin/bash");
    let mut child = command.args(["-c", &rewrap]).stderr(Stdio::null()).spawn().unwrap();
    let is_new = |name: &str| name.starts_with(".waxwing-");
    let new = || {
        let names = fs::read_dir(place.file("due")).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| is_new(name.to_str().unwrap())).count()
    };
    while new() < FILES && child.try_wait().unwrap().is_none() {}
    // It may be done by now.
    let _ = child.kill();
    child.wait().unwrap();
    let diff = git(&place, "git diff --unified=0 --no-color").stdout;
    assert_eq!(changed_words(&diff).difference(&BTreeSet::from(["age", "to"])).next(), None);
    let mut command = place.command("/bin/bash");
    command.args(["-c", &rewrap]);
    let outcome = run(command, b"");
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    let diff = git(&place, "git diff --unified=0 --no-color").stdout;
    assert_eq!(changed_words(&diff), BTreeSet::from(["age", "to"]));
    assert_eq!(git(&place, "git diff --name-only").stdout.lines().count(), FILES);
}
