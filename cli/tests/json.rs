//! JSON in gives JSON out.

use std::fs;

use serde_json::{Value, json};

use crate::transcript::Place;

fn secret(name: &str) -> String {
    let metadata = json!({"name": name, "namespace": "web"});
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"a": "hunter2"}})
        .to_string()
}

fn read(place: &Place, file: &str) -> Value {
    serde_json::from_str(&place.read(file)).unwrap()
}

fn run(place: &Place, args: &[&str], stdin: &str) -> String {
    let outcome = place.waxwing(args, stdin.as_bytes());
    assert_eq!(outcome.status, 0, "{args:?}: {}", outcome.stderr);
    outcome.stdout
}

#[test]
fn json_stays_json_through_every_verb() {
    let place = Place::sealed();
    place.write("j.json", &secret("j"));
    let shown: Value = serde_json::from_str(&run(&place, &["seal", "j.json"], "")).unwrap();
    assert_eq!(shown["kind"], "SealedSecret");
    run(&place, &["seal", "-", "-o", "out.json"], &secret("j"));
    assert_eq!(read(&place, "out.json")["metadata"]["name"], "j");
    run(&place, &["set", "out.json", "b"], "two");
    assert!(read(&place, "out.json")["spec"]["data"]["b"].is_string());
    run(&place, &["unset", "out.json", "a"], "");
    assert!(read(&place, "out.json")["spec"]["data"]["a"].is_null());
    assert_eq!(place.open("out.json", "b"), "two");
    run(&place, &["seal", "j.json", "--in-place"], "");
    assert_eq!(read(&place, "j.json")["kind"], "SealedSecret");
    let identity = place.path("keys/cluster.txt");
    let identity = identity.to_str().unwrap();
    run(&place, &["compact", "j.json", "-i", identity], "");
    run(&place, &["rewrap", "j.json", "-i", identity], "");
    assert_eq!(place.open("j.json", "a"), "hunter2");
    assert_eq!(read(&place, "j.json")["kind"], "SealedSecret");
}

#[test]
fn a_second_resource_makes_a_list_and_sealing_again_changes_nothing() {
    let place = Place::sealed();
    let identity = place.path("keys/cluster.txt");
    for name in ["one", "two"] {
        run(&place, &["seal", "-", "-o", "all.json"], &secret(name));
    }
    let items = read(&place, "all.json")["items"].as_array().unwrap().len();
    assert_eq!(items, 2);
    let before = place.read("all.json");
    run(&place, &["seal", "-", "-o", "all.json", "-i", identity.to_str().unwrap()], &secret("two"));
    assert_eq!(place.read("all.json"), before);
    let opened = run(&place, &["open", "all.json", "--json", "-i", identity.to_str().unwrap()], "");
    let opened: Value = serde_json::from_str(&opened).unwrap();
    assert_eq!(opened["items"][1]["stringData"]["a"], "hunter2");
    let one =
        run(&place, &["open", "all.json", "--json", "--name", "one", "-i", identity.to_str().unwrap()], "");
    assert_eq!(serde_json::from_str::<Value>(&one).unwrap()["metadata"]["name"], "one");
}

#[test]
fn the_name_of_the_output_and_the_option_decide() {
    let place = Place::sealed();
    run(&place, &["seal", "-", "-o", "j.yaml"], &secret("j"));
    assert!(place.read("j.yaml").starts_with("apiVersion:"));
    let shown = run(&place, &["seal", "secret.yaml", "--json"], "");
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap()["kind"], "SealedSecret");
    fs::remove_file(place.file("j.yaml")).unwrap();
}
