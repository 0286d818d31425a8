//! What went wrong is told without what was read.

use base64::{Engine, prelude::BASE64_STANDARD};
use proptest::prelude::*;

use crate::transcript::{Outcome, Place};

/// Long enough to be found in any encoding, and with no meaning in any of them.
const CANARY: &str = "Qz7vCanaryXw93";

/// As it is, in base64 at each of the three offsets, in hex and reversed.
fn encodings() -> Vec<String> {
    let hex = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut all = vec![CANARY.to_owned(), hex, CANARY.chars().rev().collect()];
    for offset in 0..3 {
        let text = BASE64_STANDARD.encode(format!("{}{CANARY}", &"xyz"[..offset]));
        // Without the characters at both ends that mix with their neighbours.
        all.push(text[4..text.len() - 4].to_owned());
    }
    all
}

fn shown(outcome: &Outcome) -> bool {
    encodings().iter().any(|text| outcome.stdout.contains(text) || outcome.stderr.contains(text))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// L01, L03. Guards: `yaml::Problem` and `ManifestError` quote nothing.
    #[test]
    fn a_damaged_manifest_is_refused_or_sealed_without_being_shown(
        at in any::<prop::sample::Index>(),
        cut in 0..3_usize,
        put in prop::sample::select(vec!["", ":", "\"", "'", "{", "]", "\n", "\t", "&a ", "*a", "- ", "#", "\u{7}", "|", "? ", "%", "!!int "]),
        base64 in any::<bool>(),
    ) {
        let place = Place::sealed();
        let value = if base64 { BASE64_STANDARD.encode(CANARY) } else { CANARY.to_owned() };
        let field = if base64 { "data" } else { "stringData" };
        let good = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: x, namespace: web}}\n{field}:\n  one: {value}\n  two: {value}\n");
        // Only behind the name: a value that has become the name of something is not a value any more.
        let start = good.find("stringData").or_else(|| good.find("data:")).unwrap();
        let at = start + at.index(good.len() - start);
        let end = (at + cut).min(good.len());
        let damaged = format!("{}{put}{}", &good[..at], &good[end..]);
        let outcome = place.waxwing(&["-v", "seal", "-"], damaged.as_bytes());
        prop_assert!(!shown(&outcome), "{damaged}\n{}\n{}", outcome.stdout, outcome.stderr);
    }
}

/// L01. Guard: errors of `dotenv`, `tls`, `docker_config` and of the command line quote nothing.
#[test]
fn refused_values_are_not_shown() {
    let place = Place::sealed();
    place.write("a.env", &format!("KEY {CANARY}\n"));
    place.write("b.env", &format!("KEY=\"{CANARY}\n"));
    place.write("c.env", &format!("KEY=\"a\" {CANARY}\n"));
    place.write("pem", CANARY);
    place.write("identity", CANARY);
    let canary = CANARY;
    let equals = format!("password={canary}");
    let option = format!("--value={canary}");
    let refused: Vec<(Vec<&str>, &str)> = vec![
        (vec!["seal", "--from-env-file", "a.env", "--name", "x", "-n", "web"], ""),
        (vec!["seal", "--from-env-file", "b.env", "--name", "x", "-n", "web"], ""),
        (vec!["seal", "--from-env-file", "c.env", "--name", "x", "-n", "web"], ""),
        (vec!["seal", "--tls", "pem", "pem", "--name", "x", "-n", "web"], ""),
        (vec!["set", "db.yaml", "password", canary], ""),
        (vec!["set", "db.yaml", &equals], ""),
        (vec!["set", "db.yaml", "password", &option], ""),
        (vec!["--verbose", "set", "db.yaml", "password", &option], ""),
        (vec!["set", "db.yaml", "a/b"], canary),
        (vec!["set", "missing.yaml", "password"], canary),
        (vec!["open", "db.yaml", "-i", "identity"], ""),
        (vec!["init", "sub", "--recipient", &equals], ""),
    ];
    for (args, stdin) in refused {
        let outcome = place.waxwing(&args, stdin.as_bytes());
        assert_ne!(outcome.status, 0, "{args:?}");
        assert!(!shown(&outcome), "{args:?}\n{}\n{}", outcome.stdout, outcome.stderr);
    }
}

/// L01. Guard: `args::run` looks for private keys before anything else reads an argument.
#[test]
fn a_private_key_among_the_arguments_is_not_repeated() {
    let place = Place::sealed();
    let key = format!("AGE-SECRET-KEY-1{CANARY}");
    let (lower, named) = (key.to_lowercase(), format!("{key}=prod"));
    let (option, keyed) = (format!("--identity={key}"), format!("a={key}"));
    let refused: Vec<Vec<&str>> = vec![
        vec!["open", "db.yaml", "-i", &key],
        vec!["open", "db.yaml", "-i", &lower],
        vec!["open", "db.yaml", &option],
        vec!["open", &key],
        vec!["-v", "open", "db.yaml", "-o", &key, "-i", "x"],
        vec!["seal", &key],
        vec!["seal", "--from-file", &keyed, "--name", "x"],
        vec!["seal", "--from-env-file", &key, "--name", "x"],
        vec!["seal", "--tls", &key, &key, "--name", "x"],
        vec!["set", &key, "a"],
        vec!["unset", "db.yaml", &key],
        vec!["rewrap", &key],
        vec!["compact", "-i", &key],
        vec!["verify", &key],
        vec!["render", &key],
        vec!["keys", "list", "-i", &key],
        vec!["keys", "generate", &key],
        vec!["keys", "generate", "--file", &key],
        vec!["init", "--from-keyring", &named],
        vec!["init", "--recovery", &key],
        vec!["init", &key],
        vec!["--config", &key, "verify"],
        vec![&key],
    ];
    for args in refused {
        let outcome = place.waxwing(&args, b"");
        assert_eq!(outcome.status, 2, "{args:?}");
        let said = format!("{}{}", outcome.stdout, outcome.stderr).to_lowercase();
        assert!(!said.contains(&CANARY.to_lowercase()), "{args:?}\n{said}");
        assert!(said.contains("an argument holds a private key"), "{args:?}\n{said}");
    }
}

/// L01. Guard: `store check` keeps of an entry its version only, and `find` counts.
#[test]
fn a_store_that_is_tried_out_shows_none_of_its_values() {
    let place = Place::sealed();
    place.write("values/app/db", CANARY);
    place.write("values/app/json", &format!("{{\"password\": \"{CANARY}\""));
    let store = "apiVersion: waxwing.dev/v1alpha1\nkind: ClusterSecretStore\nmetadata: {name: values}\nspec: {provider: {file: {directory: values}}}\n";
    place.write("stores.yaml", store);
    for key in ["app/db", "app/json", "app/none"] {
        for output in ["text", "json"] {
            let args =
                ["-v", "store", "check", "stores.yaml", "--key", key, "--find", "^app/", "--output", output];
            let outcome = place.waxwing(&args, b"");
            assert!(outcome.stdout.contains("log in"), "{}\n{}", outcome.stdout, outcome.stderr);
            assert!(!shown(&outcome), "{args:?}\n{}\n{}", outcome.stdout, outcome.stderr);
        }
    }
}
