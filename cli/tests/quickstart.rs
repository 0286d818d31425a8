//! The quickstart as a user runs it. Each run is the main job from end to end, with its own checks.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::MetadataExt,
    process::{Command, Stdio},
};

use crate::transcript::{Outcome, Place, run};

fn quickstart(place: &Place, args: &[&str]) -> Outcome {
    place.waxwing(&[&["quickstart"], args].concat(), b"")
}

fn all_ok(outcome: &Outcome) {
    assert_eq!(outcome.status, 0, "{}\n{}", outcome.stdout, outcome.stderr);
    assert!(outcome.stdout.contains("11 of 11 steps ok"), "{}", outcome.stdout);
    assert!(!outcome.stdout.contains("FAILED"), "{}", outcome.stdout);
}

/// C01, C02, C03, C06, C17, C19, F04. Guards: those of `core: seal`, `core: plan` and `cli: render`, all together.
#[test]
fn every_step_works_and_leaves_a_commit() {
    let place = Place::new();
    let outcome = quickstart(&place, &["--dir", "demo"]);
    all_ok(&outcome);
    let repository = place.file("demo/repo");
    let log =
        Command::new("git").current_dir(&repository).args(["log", "--format=%an <%ae> %s"]).output().unwrap();
    let log = String::from_utf8(log.stdout).unwrap();
    assert_eq!(log.lines().count(), 12, "{log}");
    assert!(
        log.lines().all(|line| line.starts_with("waxwing quickstart <quickstart@example.invalid> ")),
        "{log}"
    );
    let status =
        Command::new("git").current_dir(&repository).args(["status", "--porcelain"]).output().unwrap();
    assert!(status.stdout.is_empty());
    for key in fs::read_dir(place.file("demo/keys")).unwrap() {
        assert_eq!(key.unwrap().metadata().unwrap().mode() & 0o777, 0o600);
    }
    assert!(!place.path("home").exists(), "nothing is written into the home folder");
    // L01: values go by standard input and files, and are shown nowhere.
    for value in [
        "example-routing-key",
        "example-smtp-password",
        "hooks.example.invalid",
        "a-new-value",
        "token-of-the-store",
    ] {
        assert!(!outcome.stdout.contains(value) && !outcome.stderr.contains(value), "{value}");
    }
}

#[test]
fn a_temporary_folder_is_removed_at_the_end_unless_it_is_to_stay() {
    let place = Place::new();
    let folder = |outcome: &Outcome| {
        let line = outcome.stdout.lines().next().unwrap().to_owned();
        std::path::PathBuf::from(line.strip_prefix("The folder of this run is ").unwrap())
    };
    let outcome = quickstart(&place, &[]);
    all_ok(&outcome);
    assert!(!folder(&outcome).exists());
    let outcome = quickstart(&place, &["--keep"]);
    all_ok(&outcome);
    let kept = folder(&outcome);
    assert!(kept.join("repo/sealed.yaml").exists());
    assert_eq!(fs::metadata(&kept).unwrap().mode() & 0o777, 0o700);
    fs::remove_dir_all(kept).unwrap();
}

#[test]
fn without_git_it_says_so_and_goes_on() {
    let place = Place::new();
    let mut command = place.command(env!("CARGO_BIN_EXE_waxwing"));
    command.env("PATH", "/nonexistent").args(["quickstart", "--dir", "demo"]);
    let outcome = run(command, b"");
    all_ok(&outcome);
    assert!(outcome.stdout.contains("There is no git on this machine"), "{}", outcome.stdout);
    assert!(!outcome.stdout.contains("git commit"), "{}", outcome.stdout);
    assert!(!place.file("demo/repo/.git").exists());
}

#[test]
fn it_takes_an_env_file_of_the_users_own() {
    let place = Place::new();
    place.write(".env", "# mine\nAPI_TOKEN=Canary-5d1c-token\nURL=https://example.invalid/?a=1\n");
    let outcome = quickstart(&place, &["--dir", "demo", "--from", ".env"]);
    all_ok(&outcome);
    assert!(!outcome.stdout.contains("Canary"), "{}", outcome.stdout);
    assert!(place.read("demo/prod-eu/default/app.yaml").contains("API_TOKEN"));
    assert!(place.file(".env").exists());
}

#[test]
fn it_takes_a_manifest_of_the_users_own_also_with_one_key_or_with_several_secrets() {
    let place = Place::new();
    place.write(
        "one.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: one}\nstringData: {only: value-of-one}\n",
    );
    all_ok(&quickstart(&place, &["--dir", "first", "--from", "one.yaml"]));
    assert!(place.file("first/prod-eu/default/one.yaml").exists());
    let two = "# a comment\napiVersion: v1\nkind: Secret\nmetadata: {name: two, namespace: web}\ndata: {a: AAECAw==, b: Yg==}\n";
    let one = "apiVersion: v1\nkind: Secret\nmetadata: {name: one, namespace: web}\nstringData: {only: value-of-one}\n";
    place.write("both.yaml", &format!("{two}---\n{one}"));
    all_ok(&quickstart(&place, &["--dir", "second", "--from", "both.yaml"]));
}

#[test]
fn it_refuses_a_folder_that_is_in_use_or_in_a_work_tree() {
    let place = Place::new();
    place.write("used/file", "x");
    let outcome = quickstart(&place, &["--dir", "used"]);
    assert_eq!(outcome.status, 1);
    assert!(outcome.stderr.contains("used is not empty"), "{}", outcome.stderr);
    place.write(".git/HEAD", "");
    let outcome = quickstart(&place, &["--dir", "demo"]);
    assert_eq!(outcome.status, 1);
    assert!(outcome.stderr.contains("lies in the Git work tree"), "{}", outcome.stderr);
    assert_eq!(fs::read_dir(place.file("demo")).unwrap().count(), 0);
}

#[test]
fn a_failed_step_is_told_and_gives_another_exit_code() {
    let place = Place::new();
    let token = "apiVersion: v1\nkind: Secret\nmetadata: {name: t, namespace: web}\ntype: kubernetes.io/service-account-token\nstringData: {a: b}\n";
    place.write("token.yaml", token);
    let outcome = quickstart(&place, &["--dir", "demo", "--from", "token.yaml"]);
    assert_eq!(outcome.status, 1, "{}", outcome.stdout);
    assert!(outcome.stdout.contains("FAILED  waxwing seal ended with"), "{}", outcome.stdout);
    assert!(!outcome.stdout.contains("steps ok"), "{}", outcome.stdout);
    assert!(outcome.stderr.contains("the folder stays as it is"), "{}", outcome.stderr);
}

/// L06. Guard: the folder, with identities and opened values in it, is removed when the run is interrupted.
#[test]
fn ctrl_c_removes_the_temporary_folder() {
    let place = Place::new();
    let temporary = place.path("tmp");
    fs::create_dir(&temporary).unwrap();
    let mut command = place.command(env!("CARGO_BIN_EXE_waxwing"));
    command.env("TMPDIR", &temporary).args(["quickstart", "--keep"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("2. ")));
    assert!(fs::read_dir(&temporary).unwrap().count() > 0);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    lines.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("interrupted; the folder is removed"), "{said}");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
}
