//! `render` as a process: exit codes, output, locks and signals. What it decides is tested beside the code.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use serde_json::Value;

use crate::transcript::Place;

/// A folder with `db.yaml`: two values, sealed to the cluster's key of the tests.
fn sealed() -> Place {
    let place = Place::new();
    let keys: Value = serde_json::from_str(
        &place
            .waxwing(
                &["keys", "list", "--output", "json", "--identity", &identity(&place, "cluster.txt")],
                b"",
            )
            .stdout,
    )
    .unwrap();
    let recipient = format!("prod={}", keys[0]["recipient"].as_str().unwrap());
    assert_eq!(place.waxwing(&["init", "--recipient", &recipient], b"").status, 0);
    let manifest = b"kind: Secret\napiVersion: v1\nmetadata: {name: db, namespace: web}\nstringData: {password: hunter2, user: app}\n";
    let outcome = place.waxwing(&["seal", "--output", "db.yaml"], manifest);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    place
}

fn identity(place: &Place, name: &str) -> String {
    place.path("keys").join(name).display().to_string()
}

fn render(place: &Place, key: &str, more: &[&str]) -> (String, String, i32) {
    let identity = identity(place, key);
    let args = [&["render", ".", "--into", "../out", "--identity", &identity], more].concat();
    let outcome = place.waxwing(&args, b"");
    (outcome.stdout, outcome.stderr, outcome.status)
}

#[test]
fn the_exit_code_tells_all_from_some_from_none() {
    let place = sealed();
    let (stdout, stderr, status) = render(&place, "cluster.txt", &[]);
    assert_eq!((stdout.as_str(), status), ("created    web/db: password, user\n", 0), "{stderr}");
    assert!(stderr.contains("1 created"), "{stderr}");
    assert_eq!(render(&place, "cluster.txt", &["--once"]).2, 0);
    place.write("broken.yaml", "apiVersion: waxwing.dev/v1alpha1\nkind: SealedSecret\nmetadata: [");
    let (stdout, stderr, status) = render(&place, "cluster.txt", &[]);
    assert_eq!(status, 5, "{stderr}");
    assert!(stdout.starts_with("unreadable broken.yaml:3: "), "{stdout}");
    fs::remove_file(place.file("broken.yaml")).unwrap();
    // Another output, so that there is something to open.
    let other = identity(&place, "second.txt");
    let outcome = place.waxwing(&["render", ".", "--into", "../other", "--identity", &other], b"");
    assert_eq!(outcome.status, 4, "{}", outcome.stdout);
    assert!(outcome.stdout.contains("NoMatchingKey"), "{}", outcome.stdout);
    let moved = place.read("db.yaml").replace("name: db", "name: renamed");
    place.write("db.yaml", &moved);
    let (stdout, _, status) = render(&place, "cluster.txt", &[]);
    assert_eq!(status, 5, "{stdout}: the Secret of the old name was removed, the new one refused");
    assert_eq!(render(&place, "cluster.txt", &[]).2, 1);
}

#[test]
fn the_result_can_be_read_by_programs() {
    let place = sealed();
    let (stdout, stderr, _) = render(&place, "cluster.txt", &["--output", "json"]);
    let rows: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(rows[0]["what"], "created");
    assert_eq!(rows[0]["secret"], "web/db");
    assert_eq!(rows[0]["keys"], serde_json::json!(["password", "user"]));
    assert_eq!(stderr, "");
}

/// A running `render --watch` and the lines that it prints.
struct Watch {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Watch {
    fn begin(place: &Place, more: &[&str]) -> Self {
        let identity = identity(place, "cluster.txt");
        let mut command: Command = place.command(env!("CARGO_BIN_EXE_waxwing"));
        command.args(["render", ".", "--into", "../out", "--watch", "--identity", &identity]).args(more);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout: ChildStdout = child.stdout.take().unwrap();
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| drop(send.send(line)));
        });
        Self { child, lines }
    }

    fn next(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(20)).unwrap()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn watching_prints_a_line_for_each_change_and_ends_well_on_ctrl_c() {
    let place = sealed();
    let mut watch = Watch::begin(&place, &[]);
    let first = watch.next();
    assert!(first.ends_with("Z created    web/db: password, user"), "{first}");
    let out = place.path("out/web/db.yaml");
    let right = fs::read_to_string(&out).unwrap();
    fs::write(&out, right.replace("type: Opaque", "type: Other")).unwrap();
    let line = watch.next();
    assert!(line.ends_with("Z repaired   web/db"), "{line}");
    assert_eq!(fs::read_to_string(&out).unwrap(), right);

    let (_, stderr, status) = render(&place, "cluster.txt", &[]);
    assert_eq!(status, 1);
    assert!(stderr.contains("another waxwing render is at work in it"), "{stderr}");

    let pid = watch.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(watch.child.wait().unwrap().code(), Some(0));
    assert_eq!(render(&place, "cluster.txt", &[]).2, 0, "the output is free again");
    let left: Vec<_> =
        fs::read_dir(place.path("out/web")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["db.yaml"]);
}

#[test]
fn watching_for_programs_is_one_json_line_a_change() {
    let place = sealed();
    let watch = Watch::begin(&place, &["--output", "json"]);
    let change: Value = serde_json::from_str(&watch.next()).unwrap();
    assert_eq!((&change["what"], &change["secret"]), (&"created".into(), &"web/db".into()));
    assert!(change["time"].as_i64().unwrap() > 1_700_000_000);
}

#[test]
fn what_cannot_be_meant_is_a_usage_error() {
    let place = sealed();
    assert_eq!(render(&place, "cluster.txt", &["--watch", "--once"]).2, 2);
    let identity = identity(&place, "cluster.txt");
    let outcome = place.waxwing(&["render", "db.yaml", "--into", "../out", "--identity", &identity], b"");
    assert_eq!(outcome.status, 2, "{}", outcome.stderr);
    let outcome = place.waxwing(&["render", ".", "--into", "out", "--identity", &identity], b"");
    assert_eq!(outcome.status, 1);
    assert!(outcome.stderr.contains("opened values could be committed"), "{}", outcome.stderr);
    assert!(!place.file("out").exists());
}
