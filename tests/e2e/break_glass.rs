//! The documented way out of an emergency: stock `age` and `docs/break-glass.py`, on the published vectors.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use waxwing_core::yaml;
use waxwing_crds::SealedSecret;
use waxwing_tests::tools;

fn repository(path: &str) -> PathBuf {
    tools::root().join(path)
}

/// Runs the script on one vector: the values, or what it says.
fn break_glass(vector: &str, header: &BTreeMap<&str, &str>) -> Result<BTreeMap<String, String>, String> {
    let path = repository("tests/vectors").join(vector);
    let text = fs::read_to_string(&path).unwrap();
    let object: SealedSecret = yaml::from_str(text.split_once("\n\n").unwrap().1).unwrap();
    let output = Command::new(tools::tool("python"))
        .arg(repository("docs/break-glass.py"))
        .arg(&path)
        .arg(repository("tests/vectors/keys").join(format!("{}.txt", header["identity"])))
        .args([object.metadata.namespace.unwrap(), object.metadata.name.unwrap()])
        .args([object.spec.scope, object.spec.secret_type])
        .env("AGE", tools::tool("age"))
        .output()
        .unwrap();
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// C23. Guard: this implementation shares no code with `waxwing-core`, so a slip from the specification shows here.
#[test]
fn stock_age_and_a_short_script_open_every_vector_that_opens() {
    let mut opened = 0;
    let mut refused = 0;
    for entry in fs::read_dir(repository("tests/vectors")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = file.strip_suffix(".txt") else { continue };
        let text = fs::read_to_string(repository("tests/vectors").join(&file)).unwrap();
        let (header, _) = text.split_once("\n\n").unwrap();
        let header: BTreeMap<_, _> = header.lines().map(|line| line.split_once(": ").unwrap()).collect();
        match header["expect"] {
            "opens" => {
                let expected = header.iter().filter_map(|(key, value)| {
                    Some((key.strip_prefix("value ")?.to_owned(), (*value).to_owned()))
                });
                assert_eq!(break_glass(&file, &header), Ok(expected.collect()), "{name}");
                opened += 1;
            }
            // What is bound by authentication is refused by every implementation.
            "BindingMismatch" | "CommitMismatch" | "NoMatchingKey" | "Corrupt" => {
                let said = break_glass(&file, &header).expect_err(name);
                assert!(!said.contains("Traceback"), "{name}: {said}");
                refused += 1;
            }
            _ => {}
        }
    }
    assert!(opened >= 7 && refused >= 10, "{opened} opened, {refused} refused");
}
