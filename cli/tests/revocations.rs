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

/// K28. Guards: `revoke` is not done while `Tree::unreadable` has anything, recorded or not; `--status` neither.
#[test]
fn a_revocation_is_not_done_while_a_file_cannot_be_read() {
    let both = config(&[("alice", keys::SECOND), ("prod", keys::CLUSTER)]);
    let place = Place::sealed();
    place.write(".waxwing.yaml", &both);
    let identity = place.path("keys/cluster.txt");
    assert_eq!(status(&place, &["rewrap", "-i", identity.to_str().unwrap()]), 0);
    fs::remove_file(place.file("secret.yaml")).unwrap();
    shell(&place, "git init -q && git add . && git commit -qm base");
    // Told of, and nothing that anybody could put right.
    place.write("template.yaml", "a: {{ \"\\u0041\" | quote }}\n");
    let text = place.read("db.yaml");
    let lines = text.lines().filter(|line| !line.contains("namespace:"));
    let nowhere = lines.collect::<Vec<_>>().join("\n");
    let hidden = nowhere.replace("kind: SealedSecret", "\"k\\x69nd\": \"Sealed\\u0053ecret\"");
    let latin = [b"# caf\xe9\n", text.as_bytes()].concat();
    for bytes in [nowhere.into_bytes(), hidden.into_bytes(), latin] {
        fs::write(place.file("db.yaml"), &bytes).unwrap();
        let args = ["revoke", "--recipient", "alice", "--no-rewrap"];
        let check = place.waxwing(&[&args[..], &["--check", "--output", "json"]].concat(), b"");
        let report: serde_json::Value = serde_json::from_str(&check.stdout).unwrap();
        assert_eq!((check.status, &report["unreadable"]), (5, &serde_json::json!(["db.yaml"])));
        let outcome = place.waxwing(&args, b"");
        assert_eq!(outcome.status, 5, "{}", outcome.stderr);
        assert!(outcome.stderr.contains("hint: 1 file could not be read whole"), "{}", outcome.stderr);
        assert!(!outcome.stderr.contains("not in use here"), "{}", outcome.stderr);
        assert_eq!(status(&place, &["revoke", "--status"]), 5);
        fs::write(place.file("db.yaml"), &text).unwrap();
        let outcome = place.waxwing(&["revoke", "--recipient", keys::SECOND, "--no-rewrap"], b"");
        assert_eq!(outcome.status, 0, "{}", outcome.stderr);
        assert_eq!(status(&place, &["revoke", "--status"]), 3);
        place.write(".waxwing.yaml", &both);
        fs::remove_dir_all(place.file(".waxwing")).unwrap();
    }
}

/// A repository whose history knows a value that only alice could read once, and that is in use.
fn rewrapped() -> Place {
    let place = Place::sealed();
    fs::remove_file(place.file("secret.yaml")).unwrap();
    let both = config(&[("alice", keys::SECOND), ("prod", keys::CLUSTER)]);
    let identity = place.path("keys/cluster.txt");
    let identity = identity.to_str().unwrap();
    place.write(".waxwing.yaml", &both);
    assert_eq!(status(&place, &["rewrap", "-i", identity]), 0);
    shell(&place, "git init -q && git add . && git commit -qm base && git tag base && git gc -q");
    place.write(".waxwing.yaml", &config(&[("prod", keys::CLUSTER)]));
    assert_eq!(status(&place, &["rewrap", "-i", identity]), 0);
    shell(&place, "git commit -qam rewrapped");
    place
}

const OF_ALICE: [&str; 4] = ["revoke", "--recipient", keys::SECOND, "--check"];

/// K28. Guards: `history::each` takes no failure for an empty history, counts objects that are missing, and a shallow
/// clone is not all there is.
#[test]
fn a_history_that_cannot_be_read_is_no_short_one() {
    let place = rewrapped();
    assert_eq!(status(&place, &OF_ALICE), 3);
    // Without HEAD there are tags and branches still.
    let head = place.read(".git/HEAD");
    place.write(".git/HEAD", "ref: refs/heads/unborn\n");
    assert_eq!(status(&place, &OF_ALICE), 3);
    place.write(".git/HEAD", &head);
    shell(&place, "git clone -q --depth 1 file://$PWD ../shallow");
    let mut command = place.command(env!("CARGO_BIN_EXE_waxwing"));
    command.args(OF_ALICE).current_dir(place.path("shallow"));
    let outcome = run(command, b"");
    assert_eq!(outcome.status, 5, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("git fetch --unshallow"), "{}", outcome.stderr);

    // Loose objects, so that one can be taken away.
    shell(&place, "mv .git/objects/pack ../pack && mkdir .git/objects/pack");
    shell(&place, "for pack in ../pack/*.pack; do git unpack-objects -q <$pack; done");
    assert_eq!(status(&place, &OF_ALICE), 3);
    let object = |name: &str| {
        let id = shell(&place, &format!("git rev-parse {name}")).stdout;
        let (folder, file) = id.trim().split_at(2);
        place.file(&format!(".git/objects/{folder}/{file}"))
    };
    // A file of the old commit: damaged, and then the tree that leads to it gone.
    let blob = object("base:db.yaml");
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, "damaged").unwrap();
    let outcome = place.waxwing(&OF_ALICE, b"");
    assert_eq!(outcome.status, 5, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("1 object of the history cannot be read"), "{}", outcome.stderr);
    fs::remove_file(object("base^{tree}")).unwrap();
    let outcome = place.waxwing(&OF_ALICE, b"");
    assert_eq!(outcome.status, 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("--no-history"), "{}", outcome.stderr);
    assert_eq!(status(&place, &[&OF_ALICE[..], &["--no-history"]].concat()), 0);
}

/// K28. Guard: `may_be_for` in `Leak::past`.
#[test]
fn an_old_envelope_that_hid_a_reader_counts_as_one_for_the_recipient() {
    let place = rewrapped();
    // The old commit is told anew, with a file that names one reader less.
    let hidden = shell(&place, "git show base:db.yaml").stdout;
    let line = hidden.lines().find(|line| line.trim().starts_with("to: [")).unwrap();
    let prod = line.split(&['"', '[', ']', ',', ' ']).find(|word| word.starts_with("prod/")).unwrap();
    let (head, _) = line.split_once('[').unwrap();
    let honest = format!("{head}[\"{prod}\"]");
    let now = place.read("db.yaml");
    place.write("db.yaml", &hidden.replace(line, &honest));
    shell(&place, "rm -rf .git && git init -q && git add . && git commit -qm base");
    place.write("db.yaml", &now);
    shell(&place, "git commit -qam now");
    assert_eq!(status(&place, &OF_ALICE), 3);
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

/// K28. Guards: `earlier::records` lists the commit, and `earlier::gone` looks in the whole work tree.
#[test]
fn a_revocation_is_missed_though_its_configuration_went_with_it() {
    let place = Place::new();
    let rules = config(&[("prod", keys::CLUSTER)]);
    for folder in ["", "team/"] {
        place.write(&format!("{folder}.waxwing.yaml"), &rules);
        place.write(&format!("{folder}a.env"), "password=x\n");
        let seal = "$WAXWING seal --from-env-file a.env --name a -n web -o a.yaml && rm a.env";
        shell(&place, &format!("cd ./{folder} && {seal}"));
    }
    shell(&place, "cd team && $WAXWING revoke --file a.yaml");
    shell(&place, "git init -q && git add . && git commit -qm base");
    let missed = |what: &str| {
        shell(&place, &format!("git checkout -q -- . && git clean -qfd && {what}"));
        let found = place.waxwing(&["verify", "--since", "HEAD"], b"");
        // The value itself is told of where a record still counts.
        found.stdout.contains("RevocationRemoved")
    };
    assert!(!missed("true"));
    assert!(missed("rm -r team/.waxwing.yaml team/.waxwing"));
    assert!(missed("rm team/.waxwing.yaml"), "the record alone says nothing");
    assert!(missed("mkdir other && mv team/a.yaml other/ && rm -r team"), "moved");
    assert!(!missed("rm -r team"), "nothing has the value any more");
    let set = "printf y | $WAXWING set team/a.yaml password";
    assert!(!missed(&format!("rm -r team/.waxwing.yaml team/.waxwing && {set}")), "it is done");
    let above = "rm -r team/.waxwing.yaml team/.waxwing && $WAXWING revoke --file team/a.yaml";
    assert!(!missed(above), "it is in the record above");
    // Renamed: the record goes on where the folder is now.
    assert!(!missed("mv team team2"), "it is in the record as it was");
    assert!(!missed("mkdir deep && mv team deep/t"), "below another folder");
    let less = "mv team team2 && sed -i 's/seq: /seq: 9/' team2/.waxwing/revocations.yaml";
    assert!(missed(less), "another record");
    assert!(missed("mv team team2 && mkdir other && cp team2/a.yaml other/"), "a copy that it does not see");
    assert!(missed("mv team team2 && mkdir team && cp team2/a.yaml team/"), "a copy where it was");
    assert!(missed("mv team .team"), "a record that is not looked at");
    // With no configuration left at all.
    assert!(missed("rm -r .waxwing.yaml team/.waxwing.yaml team/.waxwing"));
}

/// K28. Guard: `earlier::gone` lets go of recipients only with the last sealed file.
#[test]
fn a_recipient_is_missed_while_the_folder_has_sealed_files() {
    let place = Place::new();
    let both = config(&[("alice", keys::SECOND), ("prod", keys::CLUSTER)]);
    place.write(".waxwing.yaml", &config(&[("prod", keys::CLUSTER)]));
    place.write("team/.waxwing.yaml", &both);
    shell(&place, "git init -q && cd team && $WAXWING revoke --recipient alice --no-rewrap --no-history");
    place.write("a.env", "password=x\n");
    shell(&place, "$WAXWING seal --from-env-file a.env --name a -n web -o team/a.yaml && rm a.env");
    shell(&place, "git add . && git commit -qm base && rm -r team/.waxwing.yaml team/.waxwing");
    let outcome = place.waxwing(&["verify", "--since", "HEAD"], b"");
    assert_eq!(outcome.status, 3, "{}", outcome.stderr);
    assert!(
        outcome.stdout.starts_with("team/.waxwing/revocations.yaml:1: alice, revoked on "),
        "{}",
        outcome.stdout
    );
    fs::remove_file(place.file("team/a.yaml")).unwrap();
    assert_eq!(status(&place, &["verify", "--since", "HEAD"]), 0);
}

/// K28. Guard: the examples compare with an earlier commit.
#[test]
fn the_examples_for_pipelines_miss_a_record_that_was_taken_out() {
    let place = leaked();
    shell(&place, "mkdir deploy && mv .waxwing.yaml .waxwing db.yaml deploy && git init -q && git add .");
    shell(&place, "git commit -qm base && rm -r deploy/.waxwing && mkdir bin && ln -s $WAXWING bin/waxwing");
    let run = |since: &str| {
        let pages =
            [include_str!("../../docs/ci/github-actions.yml"), include_str!("../../docs/ci/gitlab-ci.yml")];
        pages.map(|page| {
            let (_, rest) = page.split_once("since=$(").unwrap();
            let (find, rest) = rest.split_once("waxwing verify deploy/").unwrap();
            let options = rest.lines().next().unwrap();
            let lines = format!("since=$({find}waxwing verify deploy/{options}");
            let mut command = place.command("/bin/sh");
            command.args(["-ec", &format!("PATH=$PWD/bin:$PATH; {lines}")]).env("SINCE", since);
            let outcome = run(command, b"");
            assert_eq!(
                outcome.status == 3,
                outcome.stdout.contains("RevocationRemoved"),
                "{}",
                outcome.stdout
            );
            (outcome.status, outcome.stderr)
        })
    };
    let fails = |since: &str| run(since).iter().all(|(status, _)| *status == 3);
    let passes = |since: &str| run(since).iter().all(|(status, _)| *status == 0);
    assert!(fails("HEAD"), "{:?}", run("HEAD"));
    // The first of a branch, one that a forced push took away, and none: then the one before the last.
    let unknown = ["0".repeat(40), "1".repeat(40), String::new()];
    for since in &unknown {
        assert!(passes(since), "{since}: {:?}", run(since));
    }
    shell(&place, "git commit -qam removed");
    for since in &unknown {
        assert!(fails(since), "{since}: {:?}", run(since));
    }
    // Several commits were pushed.
    shell(&place, "git commit -q --allow-empty -m more");
    assert!(fails("HEAD~2") && passes("HEAD~1"), "{:?}", run("HEAD~2"));
}
