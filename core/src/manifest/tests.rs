use proptest::prelude::*;

use super::*;

const CANARY: &str = "hunter2-canary";

fn shown(values: &[(DataKey, Secret)]) -> Vec<(String, String)> {
    let text = |secret: &Secret| String::from_utf8(secret.expose().to_vec()).unwrap();
    values.iter().map(|(key, secret)| (key.to_string(), text(secret))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn only_secret(text: &str) -> SecretInput {
    let mut objects = secrets(text).unwrap();
    assert_eq!(objects.len(), 1);
    match objects.remove(0).content {
        Content::Secret(secret) => secret,
        Content::Other(_) => panic!("not a Secret"),
    }
}

const MANIFEST: &str = "\
apiVersion: v1
kind: Secret
metadata:
  name: db
  namespace: team-a
  uid: 1-2
  ownerReferences: [{kind: X}]
  labels: {app: db}
  annotations:
    note: x
    kubectl.kubernetes.io/last-applied-configuration: '{\"data\":{\"password\":\"aHVudGVyMi1jYW5hcnk=\"}}'
    kubecfg.ksonnet.io/last-applied-configuration: z
data:
  password: aHVudGVyMg==
  user: |
    YWRt
    aW4=
stringData:
  password: from text
  url: \"x\\ny\"
immutable: true
";

#[test]
fn a_manifest_gives_its_values_and_drops_what_a_cluster_added() {
    let secret = only_secret(MANIFEST);
    assert_eq!((secret.namespace.as_deref(), secret.name.as_str()), (Some("team-a"), "db"));
    assert_eq!((secret.secret_type.as_str(), secret.immutable), ("Opaque", true));
    assert_eq!(
        shown(&secret.values),
        pairs(&[("password", "from text"), ("url", "x\ny"), ("user", "admin")])
    );
    assert_eq!(secret.labels, BTreeMap::from([("app".to_owned(), "db".to_owned())]));
    assert_eq!(secret.annotations, BTreeMap::from([("note".to_owned(), "x".to_owned())]));
}

#[test]
fn streams_and_lists_are_taken_apart_and_other_kinds_are_handed_back() {
    let text = "---\n---\nkind: ConfigMap\n---\n{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\
        {\"apiVersion\": \"v1\", \"kind\": \"Secret\", \"type\": \"t/x\", \"metadata\": {\"name\": \"a\"}},\
        {\"kind\": \"Secret\", \"apiVersion\": \"other.io/v1\"}]}\n---\nkind: SecretList\nitems:\n- metadata: {name: b}\n";
    let found: Vec<_> = secrets(text)
        .unwrap()
        .into_iter()
        .map(|object| {
            let name = match object.content {
                Content::Secret(secret) => format!("{} {}", secret.name, secret.secret_type),
                Content::Other(value) => value["kind"].to_string(),
            };
            (object.place.document, object.place.item, object.place.line, name)
        })
        .collect();
    let expected = [
        (1, None, 2, "\"ConfigMap\""),
        (2, Some(0), 4, "a t/x"),
        (2, Some(1), 4, "\"Secret\""),
        (3, Some(0), 6, "b Opaque"),
    ];
    assert_eq!(found, expected.map(|(document, item, line, name)| (document, item, line, name.to_owned())));
}

/// L03. Guard: `SecretProblem` carries no content.
#[test]
fn errors_of_a_manifest_have_a_place_and_no_content() {
    let refused = |from: &str, to: &str| {
        assert!(MANIFEST.contains(from), "{from}");
        let error = secrets(&format!("a: 1\n---\n{}", MANIFEST.replacen(from, to, 1))).err().unwrap();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        error.to_string()
    };
    let canary = format!("password: {CANARY}");
    assert!(
        refused("password: aHVudGVyMg==", &canary)
            .starts_with("document 2, line 16, column 3: the value is not base64, from its character 8 on")
    );
    assert!(refused("aHVudGVyMg==", "aHVudGVyMg=").contains("not base64"));
    assert!(
        refused("aHVudGVyMg==", "aHVudGVyMh==").contains("not base64"),
        "bits that say nothing must be zero"
    );
    assert!(
        refused("password: from text", "password: 5")
            .starts_with("document 2, line 21, column 3: text belongs here")
    );
    assert!(refused("password: from text", "password:").contains("text belongs here"));
    assert!(
        refused("  name: db\n", "  generateName: db-\n")
            .starts_with("document 2, line 5, column 1: a Secret without `metadata.name`")
    );
    assert!(refused("apiVersion: v1\n", "").contains("a Secret without `apiVersion: v1`"));
    assert!(refused("immutable: true", &format!("immutable: {CANARY}")).contains("true or false"));
    assert!(
        refused("labels: {app: db}", "labels: {app: 1}").contains("line 10, column 12: text belongs here")
    );
    assert!(
        refused("stringData:\n", &format!("stringData: {CANARY}\nx:\n")).contains("a mapping belongs here")
    );
    let unclosed = format!("url: \"{CANARY}");
    assert!(refused("url: \"x\\ny\"", &unclosed).starts_with("document 2, line"));
}

/// F03. Guard: the key grammar of `seal::DataKey`.
#[test]
fn key_names_that_are_paths_are_refused() {
    for key in ["../../x", "a/b", "..", ".", "..a", "a b", "ü", "\"\""] {
        let text = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: a}}\nstringData:\n  {key}: x\n");
        let error = secrets(&text).err().unwrap();
        assert!(
            matches!(error, ManifestError::Secret { line: 5, problem: SecretProblem::Key(_), .. }),
            "{key}: {error}"
        );
        let quoted = key.trim_matches('"');
        assert!(
            matches!(
                dotenv(&format!("\n{quoted}=x")),
                Err(ManifestError::Env { line: 2, problem: EnvProblem::Key })
            ),
            "{key}"
        );
    }
}

#[test]
fn an_env_file_is_read_line_by_line() {
    let text = "\u{feff}# head\n\nexport A=1\r\n B = two words  # note\nC='#x\\n $y' # c\nD=\"a\\n\\t\\\"b\\\"\\\\\\$\"\nE=\nF=a#b\n\
        G=\"-----BEGIN\nline # two\n-----END\"\nH= # nothing\nexported=x=y\nI='a\nb'\nJ.k-l=\"\"";
    let expected = [
        ("A", "1"),
        ("B", "two words"),
        ("C", "#x\\n $y"),
        ("D", "a\n\t\"b\"\\$"),
        ("E", ""),
        ("F", "a#b"),
        ("G", "-----BEGIN\nline # two\n-----END"),
        ("H", ""),
        ("exported", "x=y"),
        ("I", "a\nb"),
        ("J.k-l", ""),
    ];
    assert_eq!(shown(&dotenv(text).unwrap()), pairs(&expected));
}

/// L03. Guard: `EnvProblem` carries no content.
#[test]
fn errors_of_an_env_file_name_the_line_and_no_content() {
    for (text, line, problem) in [
        (format!("A=1\n{CANARY}\n"), 2, EnvProblem::NoEquals),
        (format!("A=\"x\ny\"\n\nB='{CANARY}\n\n"), 4, EnvProblem::OpenQuote),
        (format!("A=\"{CANARY}\\d\""), 1, EnvProblem::Escape),
        (format!("A='x'{CANARY}"), 1, EnvProblem::BehindQuote),
        ("A='x'#c".to_owned(), 1, EnvProblem::BehindQuote),
        (format!("A=1\nB=2\nA={CANARY}"), 3, EnvProblem::DuplicateKey),
        (format!("{CANARY} {CANARY}=1"), 1, EnvProblem::Key),
        ("=1".to_owned(), 1, EnvProblem::Key),
    ] {
        let error = dotenv(&text).err().unwrap();
        assert_eq!(error, ManifestError::Env { line, problem }, "{text}");
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}

#[test]
fn registry_credentials_have_the_form_that_kubelets_read() {
    let password = Secret::new(b"p\"w\x01".to_vec());
    let json = docker_config("registry.example.com", "me", &password, Some("me@example.com")).unwrap();
    let value: Value = serde_json::from_slice(json.expose()).unwrap();
    let expected = serde_json::json!({"auths": {"registry.example.com": {
        "username": "me", "password": "p\"w\u{1}", "email": "me@example.com", "auth": "bWU6cCJ3AQ=="
    }}});
    assert_eq!(value, expected);
    for (server, user, password) in
        [("", "a", &b"x"[..]), ("a", "", b"x"), ("a", "b", b""), ("a", "b:c", b"x"), ("a", "b", b"\xff")]
    {
        assert!(docker_config(server, user, &Secret::new(password.to_vec()), None).is_err());
    }
}

fn pem(label: &str) -> String {
    format!("-----BEGIN {label}-----\nMTIzNDU2\nNzg5MA==\n-----END {label}-----\n")
}

#[test]
fn a_tls_pair_is_what_it_says() {
    let secret = |text: &str| Secret::new(text.as_bytes().to_vec());
    let (certificate, key) = (pem("CERTIFICATE"), pem("EC PRIVATE KEY"));
    let chain = format!("subject=x\n{certificate}{}", certificate.replace('\n', "\r\n"));
    let values = tls(secret(&chain), secret(&(pem("EC PARAMETERS") + &key))).unwrap();
    assert_eq!(shown(&values), pairs(&[("tls.crt", &chain), ("tls.key", &(pem("EC PARAMETERS") + &key))]));
    let refused =
        |certificate: &str, key: &str| tls(secret(certificate), secret(key)).err().unwrap().to_string();
    assert_eq!(refused(&key, &certificate), "certificate: certificate and private key are swapped");
    assert!(refused(&(certificate.clone() + &key), &key).contains("among the certificates"));
    assert!(refused(&pem("PUBLIC KEY"), &key).contains("CERTIFICATE belong"));
    assert!(refused(&certificate, &pem("ENCRYPTED PRIVATE KEY")).contains("encrypted"));
    let legacy = key.replacen('\n', "\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\n", 1);
    assert!(refused(&certificate, &legacy).contains("encrypted"));
    assert!(refused(&certificate, &(key.clone() + &key)).contains("exactly one"));
    assert!(refused(&certificate, &certificate).contains("PRIVATE KEY"));
    assert!(refused("", &key).contains("no -----BEGIN"));
    assert!(refused(&certificate[..50], &key).contains("not closed"));
    assert!(refused(&certificate.replace("MTIz", "M*Iz"), &key).contains("base64"));
    assert!(refused(&certificate.replace("END CERT", "END CART"), &key).contains("do not match"));
}

proptest! {
    #[test]
    fn every_value_survives_a_manifest_and_an_env_file(value in "\\PC{0,40}", extra in "[\n\t\r\"\\\\$'# =]{0,8}") {
        let value = value + &extra;
        let manifest = serde_json::json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "stringData": {"k": value}});
        let secret = only_secret(&crate::yaml::to_string(&manifest).unwrap());
        prop_assert_eq!(shown(&secret.values), pairs(&[("k", &value)]));

        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\t', "\\t").replace('\r', "\\r");
        prop_assert_eq!(shown(&dotenv(&format!("A=1\nk=\"{escaped}\" # c\nB=2")).unwrap())[1..2].to_vec(), pairs(&[("k", &value)]));
    }

    #[test]
    fn no_text_makes_it_panic(text in "(apiVersion: v1\n|kind: (Secret|List)\n|metadata: \\{name: a\\}\n|(data|items):\n|  a: |- |\\PC|[\n\r\t'\"=#\\\\]){0,30}", bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = secrets(&text);
        let _ = dotenv(&text);
        let pem = format!("-----BEGIN {text}-----\n{text}\n-----END {text}-----");
        let _ = tls(Secret::new(pem.into_bytes()), Secret::new(bytes.clone()));
        let _ = docker_config(&text, &text, &Secret::new(bytes), Some(&text));
    }
}
