use serde_json::{Value, json};

use super::*;

/// A kubeconfig of which a cluster's and a user's field can be changed. JSON is YAML.
fn config(cluster: Value, user: Value) -> String {
    let mut file = json!({
        "apiVersion": "v1", "kind": "Config", "preferences": {}, "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "ignored"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://api.example", "certificate-authority-data": "Y2E="}}],
        "users": [{"name": "u", "user": {"token": "hunter2"}}],
    });
    for (field, value) in cluster.as_object().unwrap() {
        file["clusters"][0]["cluster"][field] = value.clone();
    }
    for (field, value) in user.as_object().unwrap() {
        file["users"][0]["user"][field] = value.clone();
    }
    file.to_string()
}

fn read(text: &str) -> Result<Kubeconfig, Failure> {
    let read = Kubeconfig::read(&Secret::new(text.as_bytes().to_vec()));
    if let Err(failure) = &read {
        assert_eq!(failure.kind, Kind::BadStore);
        // L03: no piece of it is repeated.
        assert!(!failure.to_string().contains("hunter2"), "{failure}");
    }
    read
}

fn text(secret: &Secret) -> &str {
    std::str::from_utf8(secret.expose()).unwrap()
}

#[test]
fn the_current_context_says_where_and_who() {
    let config = read(&config(json!({"tls-server-name": "kube"}), json!({}))).unwrap();
    assert_eq!(config.server, "https://api.example");
    assert_eq!(config.server_name.as_deref(), Some("kube"));
    assert_eq!(config.authorities.as_ref().map(text), Some("Y2E="));
    assert_eq!(config.token.as_ref().map(text), Some("hunter2"));
    assert!(config.certificate.is_none());

    let yaml = "
current-context: b
contexts:
- {name: a, context: {cluster: a, user: a}}
- {name: b, context: {cluster: b, user: b}}
clusters:
- {name: a, cluster: {server: 'https://a'}}
- {name: b, cluster: {server: 'https://b', insecure-skip-tls-verify: false}}
users:
- {name: a, user: {token: x}}
- {name: b, user: {client-certificate-data: Y2VydA==, client-key-data: a2V5}}
";
    let config = read(yaml).unwrap();
    assert_eq!(config.server, "https://b");
    let (cert, key) = config.certificate.unwrap();
    assert_eq!((text(&cert), text(&key)), ("Y2VydA==", "a2V5"));
}

/// K16: a kubeconfig in a Secret runs nothing, reads no file of this machine, and turns off no check.
/// Guard: the fields of `refuse`.
#[test]
fn what_could_do_more_than_log_in_is_refused_by_name() {
    let exec =
        json!({"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", "hunter2"]});
    let refused: &[(&str, Value)] = &[
        ("exec", exec),
        ("auth-provider", json!({"name": "gcp"})),
        ("tokenFile", json!("/var/run/secrets/kubernetes.io/serviceaccount/token")),
        ("client-certificate", json!("/hunter2")),
        ("client-key", json!("/hunter2")),
        ("username", json!("hunter2")),
        ("password", json!("hunter2")),
        ("as", json!("admin")),
        ("as-uid", json!("1")),
        ("as-groups", json!(["system:masters"])),
        ("as-user-extra", json!({"a": ["b"]})),
    ];
    for (field, value) in refused {
        let failure = read(&config(json!({}), json!({*field: value}))).err().unwrap();
        assert_eq!(failure.place.as_deref(), Some(*field));
    }
    for (field, value) in [
        ("insecure-skip-tls-verify", json!(true)),
        ("certificate-authority", json!("/etc/passwd")),
        ("proxy-url", json!("http://hunter2:1")),
    ] {
        let failure = read(&config(json!({field: value}), json!({}))).err().unwrap();
        assert_eq!(failure.place.as_deref(), Some(field));
    }
}

#[test]
fn fields_that_nobody_knows_are_refused() {
    assert!(read(&config(json!({"certificate-authority-dta": "hunter2"}), json!({}))).is_err());
    assert!(read(&config(json!({}), json!({"tokn": "hunter2"}))).is_err());
}

#[test]
fn a_name_that_is_missing_or_there_twice_is_refused() {
    let base: Value = serde_json::from_str(&config(json!({}), json!({}))).unwrap();
    for list in ["contexts", "clusters", "users"] {
        let mut twice = base.clone();
        let first = twice[list][0].clone();
        twice[list].as_array_mut().unwrap().push(first);
        assert!(read(&twice.to_string()).is_err(), "{list}");
        let mut none = base.clone();
        none[list] = json!([]);
        assert!(read(&none.to_string()).is_err(), "{list}");
    }
    let mut none = base;
    none.as_object_mut().unwrap().remove("current-context");
    assert!(read(&none.to_string()).is_err());
}

#[test]
fn what_is_no_kubeconfig_has_a_position() {
    let failure = read("clusters: hunter2\n").err().unwrap();
    assert_eq!(failure.place.as_deref(), Some("line 1 column 11"));
    for text in ["", "hunter2", "[]", "{", "a: &a [*a, *a]"] {
        assert!(read(text).is_err(), "{text}");
    }
    assert!(Kubeconfig::read(&Secret::new(vec![0xff, 0xfe])).is_err());
}
