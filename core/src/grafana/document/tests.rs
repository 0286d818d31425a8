use proptest::prelude::*;
use regex::Regex;
use serde_json::{Value, json};

use super::*;

const SCOPE: Scope<'static> = Scope { namespace: "monitoring", name: "main" };

fn node(value: &Value) -> Node {
    Node::read(value).unwrap_or_else(|error| panic!("{error}"))
}

fn yaml(document: &Value, buried: &Inventory) -> Vec<(String, String)> {
    let text = |file: File| (file.key, String::from_utf8(file.content.to_vec()).unwrap());
    files(SCOPE, &node(document), buried).into_iter().map(text).collect()
}

fn entry(kind: EntryKind, org: i64, id: &str) -> Entry {
    Entry { kind, org, id: id.to_owned() }
}

#[test]
fn a_document_becomes_one_file_for_each_folder() {
    let document = json!({
        "datasources": [{"name": "prom", "type": "prometheus", "secureJsonData": {"httpHeaderValue1": "Bearer $x"}}],
        "contactPoints": [{"name": "db", "receivers": [{"uid": "u", "type": "slack", "settings": {"url": "https://$s"}}]}],
        "policies": [{"receiver": "db", "orgId": 1}],
    });
    let buried = Inventory(
        [
            entry(EntryKind::ContactPoint, 1, "old"),
            entry(EntryKind::Datasource, 2, "o$d"),
            entry(EntryKind::Policies, 3, ""),
        ]
        .into(),
    );
    let expected_alerting = r#""apiVersion": 1
"contactPoints":
  - "name": "db"
    "receivers":
      - "settings":
          "url": "https://$$s"
        "type": "slack"
        "uid": "u"
"deleteContactPoints":
  - "orgId": 1
    "uid": "old"
"policies":
  - "orgId": 1
    "receiver": "db"
"resetPolicies":
  - 3
"#;
    let expected_datasources = r#""apiVersion": 1
"datasources":
  - "name": "prom"
    "secureJsonData":
      "httpHeaderValue1": "Bearer $$x"
    "type": "prometheus"
"deleteDatasources":
  - "name": "o$$d"
    "orgId": 2
"#;
    assert_eq!(
        yaml(&document, &buried),
        [
            ("monitoring.main.alerting.yaml".to_owned(), expected_alerting.to_owned()),
            ("monitoring.main.datasources.yaml".to_owned(), expected_datasources.to_owned()),
        ]
    );
    assert!(yaml(&json!({"datasources": [], "policies": []}), &Inventory::default()).is_empty());
}

#[test]
fn what_a_file_has_is_read_back_from_it() {
    let document = json!({
        "datasources": [{"name": "a$b", "type": "x", "secureJsonData": {"password": "p"}}, {"name": "c", "type": "x", "orgId": 2}],
        "contactPoints": [{"name": "n", "orgId": 2, "receivers": [
            {"uid": "u", "type": "t", "settings": {"a": [1, {"b": null}]}}, {"uid": "v", "type": "t", "settings": {}}]}],
        "policies": [{"receiver": "n"}],
    });
    let live = Inventory::of(&node(&document));
    assert_eq!(
        live.0.iter().map(|it| format!("{:?} {} {}", it.kind, it.org, it.id)).collect::<Vec<_>>(),
        ["ContactPoint 2 u", "ContactPoint 2 v", "Datasource 1 a$b", "Datasource 2 c", "Policies 1 "]
    );
    let buried = Inventory(
        [
            entry(EntryKind::ContactPoint, 1, "x"),
            entry(EntryKind::Datasource, 1, "y$$"),
            entry(EntryKind::Policies, 4, ""),
        ]
        .into(),
    );
    let mut read = (Inventory::default(), Inventory::default());
    for file in files(SCOPE, &node(&document), &buried) {
        let (some, others) = Inventory::read(&file.content).unwrap();
        read = (read.0.and(&some), read.1.and(&others));
    }
    assert_eq!(read, (live, buried));
    assert_eq!(Inventory::read(b"MARKER: ["), Err(InventoryError));
    assert_eq!(Inventory::read(b"datasources: MARKER"), Err(InventoryError));
    assert!(!InventoryError.to_string().contains("MARKER"));
}

#[test]
fn a_tombstone_is_for_what_has_left_and_nobody_else_claims() {
    let of = |ids: &[&str]| Inventory(ids.iter().map(|id| entry(EntryKind::ContactPoint, 1, id)).collect());
    let before = of(&["kept", "left", "moved"]);
    assert_eq!(tombstones(&before, &of(&["kept", "new"]), &of(&["moved"])), of(&["left"]));
    assert_eq!(
        tombstones(&before, &Inventory::default(), &Inventory::default()),
        before,
        "the injection goes"
    );
    // The same uid in another organisation is another contact point.
    let elsewhere = Inventory([entry(EntryKind::ContactPoint, 2, "left")].into());
    assert_eq!(tombstones(&of(&["left"]), &elsewhere, &elsewhere), of(&["left"]));
}

#[test]
fn a_long_name_still_has_a_file_of_its_own() {
    let namespace = "n".repeat(63);
    let key = |name: &str| file_key(Scope { namespace: &namespace, name }, FileKind::Datasources);
    let (one, other) = (key(&"a".repeat(253)), key(&format!("{}b", "a".repeat(252))));
    assert!(one.len() <= KEY_MAX && other.len() <= KEY_MAX);
    assert_ne!(one, other);
    assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)));
}

fn namespace() -> impl Strategy<Value = String> {
    "[a-c-]{1,4}"
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c.-]{1,8}",
        "[ab]{180,253}",
        Just("a.alerting.yaml".to_owned()),
        Just("a.datasources".to_owned())
    ]
}

/// What Grafana does with a text value of a provisioning file: `interpolateValue` of its `values` package, `ExpandVar` of
/// its settings, and `os.ExpandEnv` of Go. Every variable and every file has the value `LEAK`.
fn expand(value: &str) -> String {
    let pattern = Regex::new(r"\$(|__\w+)\{([^}]+)\}").unwrap();
    let piece = |piece: &str| {
        let mut text = piece.to_owned();
        for expander in ["__env", "__file"] {
            let now = text.clone();
            for found in pattern.captures_iter(&now) {
                if &found[1] == expander || (found[1].is_empty() && expander == "__env") {
                    text = text.replacen(&found[0], "LEAK", 1);
                }
            }
        }
        expand_env(&text)
    };
    value.split("$$").map(piece).collect::<Vec<_>>().join("$")
}

/// Go's `os.Expand`.
fn expand_env(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$').filter(|at| at + 1 < rest.len()) {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let taken = shell_name(after);
        match taken {
            // Bad syntax takes the character away; a lone $ stays.
            (None, 0) => out.push('$'),
            (None, _) => {}
            (Some(()), _) => out.push_str("LEAK"),
        }
        rest = &after[taken.1..];
    }
    out + rest
}

fn shell_name(text: &str) -> (Option<()>, usize) {
    let is_name = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
    let bytes = text.as_bytes();
    match bytes[0] {
        b'{' => {
            if bytes.len() > 2 && b"*#$@!?-0123456789".contains(&bytes[1]) && bytes[2] == b'}' {
                return (Some(()), 3);
            }
            match bytes.iter().position(|byte| *byte == b'}') {
                Some(1) => (None, 2),
                Some(end) => (Some(()), end + 1),
                None => (None, 1),
            }
        }
        byte if b"*#$@!?-0123456789".contains(&byte) => (Some(()), 1),
        _ => match bytes.iter().take_while(|byte| is_name(**byte)).count() {
            0 => (None, 0),
            length => (Some(()), length),
        },
    }
}

/// The model does what Grafana's own tests and issues tell.
#[test]
fn the_model_of_the_expansion_expands() {
    for (value, expanded) in [
        ("$VAR", "LEAK"),
        ("a${VAR}b", "aLEAKb"),
        ("$__env{VAR}", "LEAK"),
        ("$__file{/etc/x}", "LEAK"),
        ("$$VAR", "$VAR"),
        ("Pa$$w0rd", "Pa$w0rd"),
        ("Pa$w0rd", "PaLEAK"),
        ("$", "$"),
        ("${", ""),
        ("a$ b", "a$ b"),
        ("$1x", "LEAKx"),
        ("$$$", "$$"),
    ] {
        assert_eq!(expand(value), expanded, "{value:?}");
    }
}

fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("$".to_owned()),
        Just("$$".to_owned()),
        Just("${HOME}".to_owned()),
        Just("$__file{/etc/passwd}".to_owned()),
        Just("$__env{X}".to_owned()),
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("\n: #'\"\\".to_owned()),
        any::<String>(),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// T07. Guard: `doubled` doubles every `$`, in texts of the document and in credentials.
    #[test]
    fn any_value_comes_out_of_grafana_as_it_went_in(literal in texts(), secret in texts(), name in texts()) {
        prop_assume!(!name.starts_with('$'));
        let mut document = node(&json!({"datasources": [{"name": literal, "jsonData": {name.as_str(): [literal, 1, true]},
            "secureJsonData": {"password": "x"}}]}));
        let at = crate::inject::Steps::default().name("datasources").item(0).name("secureJsonData").name("password");
        *document.at_mut(&at).unwrap() = Node::Secret(Secret::new(secret.clone().into_bytes()));
        let file = files(SCOPE, &document, &Inventory::default()).remove(0);
        let read: Value = crate::yaml::from_str(std::str::from_utf8(&file.content).unwrap()).unwrap();
        let entry = &read["datasources"][0];
        prop_assert_eq!(expand(entry["secureJsonData"]["password"].as_str().unwrap()), secret);
        prop_assert_eq!(expand(entry["name"].as_str().unwrap()), literal.as_str());
        let list = &entry["jsonData"][name.as_str()];
        prop_assert_eq!(expand(list[0].as_str().unwrap()), literal);
        prop_assert_eq!(&list[1], &json!(1));
    }

    /// Guard: the parts of a file's name cannot be read in two ways.
    #[test]
    fn no_two_injections_share_a_file(a in (namespace(), name()), b in (namespace(), name())) {
        prop_assume!(a != b);
        for (one, other) in [
            (FileKind::Alerting, FileKind::Alerting),
            (FileKind::Alerting, FileKind::Datasources),
            (FileKind::Datasources, FileKind::Datasources),
        ] {
            let key = |of: &(String, String), kind| file_key(Scope { namespace: &of.0, name: &of.1 }, kind);
            prop_assert_ne!(key(&a, one), key(&b, other));
        }
    }
}
