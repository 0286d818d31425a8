//! Sealing the same manifest again.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use proptest::prelude::*;
use serde_json::json;

use crate::transcript::Place;

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// C17. Guard: `Verdict::Same` in `seal::merge` keeps the token.
    #[test]
    fn an_unchanged_manifest_gives_an_unchanged_file(
        data in prop::collection::btree_map("[a-zA-Z0-9._-]{1,12}", prop::collection::vec(any::<u8>(), 0..200), 0..6),
        labels in prop::collection::btree_map("[a-z]{1,8}", "[a-z]{0,8}", 0..3),
        immutable in any::<Option<bool>>(),
        scope in prop::sample::select(vec!["strict", "namespace", "cluster"]),
        comment in "[ -~]{0,30}",
    ) {
        let data: BTreeMap<_, _> = data
            .into_iter()
            .filter(|(key, _)| key != "." && !key.starts_with(".."))
            .map(|(key, value)| (key, BASE64_STANDARD.encode(value)))
            .collect();
        let manifest = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "example.org/x", "data": data, "immutable": immutable,
            "metadata": {"name": "db", "namespace": "web", "labels": labels},
        });
        let place = Place::sealed();
        place.write("in.json", &manifest.to_string());
        let identity = place.path("keys/cluster.txt");
        let seal = ["seal", "in.json", "-o", "out.yaml", "--scope", scope, "-i", identity.to_str().unwrap()];
        let first = place.waxwing(&seal, b"");
        prop_assert_eq!(first.status, 0, "{}", first.stderr);
        // What a person adds by hand stays, too.
        let before = place.read("out.yaml").replace("\nspec:", &format!("\n# {comment}\nspec:"));
        place.write("out.yaml", &before);
        let second = place.waxwing(&seal, b"");
        prop_assert_eq!(second.status, 0, "{}", second.stderr);
        prop_assert_eq!(place.read("out.yaml"), before);
        let check = place.waxwing(&[&seal[..], &["--check"]].concat(), b"");
        prop_assert_eq!(check.status, 0, "{}", check.stderr);
    }
}
