//! What the real Alertmanager thinks, by `tests/servers/amoracle`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::tools::tool;

/// Asks one command of it (`load`, `match`, `route`) many things, and gives the answers in their order.
///
/// # Panics
/// When it does not answer each.
#[must_use]
pub fn ask(command: &str, requests: Vec<Value>) -> Vec<Value> {
    let mut process = Command::new(tool("amoracle"))
        .arg(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the oracle starts");
    let mut stdin = process.stdin.take().expect("it has a standard input");
    let wanted = requests.len();
    let writer = std::thread::spawn(move || {
        for request in requests {
            writeln!(stdin, "{request}").expect("the oracle reads");
        }
    });
    let answers = BufReader::new(process.stdout.take().expect("it has a standard output")).lines();
    let answers = answers.map(|line| serde_json::from_str(&line.expect("it is UTF-8")).expect("it is JSON"));
    let answers: Vec<Value> = answers.collect();
    writer.join().expect("everything was written");
    assert!(process.wait().expect("it ends").success(), "the oracle fails");
    assert_eq!(answers.len(), wanted, "the oracle answers each request");
    answers
}
