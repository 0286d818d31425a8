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
        vec!["check", &key],
        vec!["render", &key],
        vec!["import", "alertmanager", &key],
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

/// L01. Guards: findings name places and rules; `YamlError` quotes nothing; `inject::Node` has no way to be shown.
#[test]
fn a_check_shows_no_value_in_any_form() {
    let place = Place::sealed();
    let canary = CANARY;
    let url = format!("https://hooks.example.com/{canary}");
    let encoded = BASE64_STANDARD.encode(format!(
        "route: {{receiver: a}}\nreceivers: [{{name: a, webhook_configs: [{{url: 'nohost {canary}'}}]}}]"
    ));
    let injection = |spec: &str| {
        format!(
            "apiVersion: waxwing.dev/v1alpha1\nkind: AlertmanagerInjection\nmetadata: {{name: main, namespace: ops}}\nspec:\n  target: {{secretName: alertmanager}}\n{spec}\n"
        )
    };
    let config = |receiver: &str| {
        injection(&format!(
            "  config:\n    route: {{receiver: root}}\n    receivers:\n    - name: root\n      {receiver}"
        ))
    };
    let slack = |spec: &str| {
        format!(
            "apiVersion: waxwing.dev/v1alpha1\nkind: GrafanaInjection\nmetadata: {{name: main, namespace: ops}}\nspec:\n  target: {{kind: Sidecar}}\n  {spec}\n"
        )
    };
    let files = [
        ("literal", config(&format!("slack_configs: [{{channel: x, api_url: '{url}'}}]"))),
        ("wrong-url", config(&format!("webhook_configs: [{{url: 'nohost {canary}'}}]"))),
        ("wrong-type", config(&format!("webhook_configs: [{{url: {{x: {canary}}}, max_alerts: {canary}}}]"))),
        ("wrong-list", config(&format!("pagerduty_configs: {canary}"))),
        ("wrong-leaf", config(&format!("slack_configs: [{{api_url: {{$secret: {canary}}}}}]"))),
        (
            "more-leaf",
            config(&format!("slack_configs: [{{api_url: {{$secret: {{name: a, key: b}}, x: {canary}}}}}]")),
        ),
        ("template", config(&format!("slack_configs: [{{channel: x, text: '{{{{ {canary}'}}]"))),
        (
            "matcher",
            injection(&format!(
                "  config: {{route: {{receiver: a, routes: [{{matchers: ['{canary}']}}]}}, receivers: [{{name: a}}]}}"
            )),
        ),
        ("typed", injection(&format!("  config: {{route: {{receiver: a}}}}\n  routeTests: {canary}"))),
        (
            "interval",
            injection(&format!("  config: {{route: {{receiver: a}}}}\n  refreshInterval: {canary}")),
        ),
        (
            "set",
            injection(&format!(
                "  config: {{route: {{receiver: a}}}}\n  set: [{{field: a, value: {{$secret: {{name: a, key: b, c: {canary}}}}}}}]"
            )),
        ),
        (
            "from-map",
            injection("  configFrom: {configMapKeyRef: {name: base, key: a}}")
                + &format!(
                    "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: base, namespace: ops}}\ndata:\n  a: |\n    route: [{canary}\n"
                ),
        ),
        (
            "from-secret",
            injection("  configFrom: {secretKeyRef: {name: base, key: a}}")
                + &format!(
                    "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: base, namespace: ops}}\ndata: {{a: {encoded}}}\n"
                ),
        ),
        (
            "from-plain",
            injection("  configFrom: {secretKeyRef: {name: base, key: a}}")
                + &format!(
                    "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: base, namespace: ops}}\nstringData: {{a: 'route: {{receiver: a}}, receivers: [{{name: a, slack_configs: [{{api_url: \"{url}\"}}]}}]'}}\n"
                ),
        ),
        (
            "receiver",
            format!(
                "apiVersion: waxwing.dev/v1alpha1\nkind: AlertReceiver\nmetadata: {{name: a, namespace: ops}}\nspec: {{injection: {{name: main, namespace: ops}}, receiver: {{slack_configs: [{{api_url: '{url}'}}], x: {canary}}}, routes: [{{matchers: ['{canary}']}}]}}\n"
            ),
        ),
        (
            "grafana",
            slack(&format!(
                "contactPoints: [{{name: a, receivers: [{{uid: a, type: slack, settings: {{url: '{url}', token: {canary}}}}}]}}]"
            )),
        ),
        (
            "grafana-type",
            slack(&format!(
                "contactPoints: [{{name: a, receivers: [{{uid: a, type: slack, settings: {canary}}}]}}]"
            )),
        ),
        (
            "grafana-source",
            slack(&format!(
                "datasources: [{{name: a, type: x, secureJsonData: {{password: {canary}}}, password: {canary}}}]"
            )),
        ),
        (
            "malformed",
            format!("apiVersion: waxwing.dev/v1alpha1\nkind: AlertmanagerInjection\nspec: {{a: \"{canary}\n"),
        ),
        (
            "twice",
            format!(
                "apiVersion: waxwing.dev/v1alpha1\nkind: AlertmanagerInjection\nspec: {{a: {canary}, a: {canary}}}\n"
            ),
        ),
        (
            "neighbour",
            format!(
                "apiVersion: monitoring.coreos.com/v1alpha1\nkind: AlertmanagerConfig\nmetadata: {{name: a, namespace: ops}}\nspec: {{receivers: [{{name: a, slackConfigs: [{{text: {canary}, apiURL: {{name: a, key: b}}}}], opsgenieConfigs: {canary}}}]}}\n"
            ),
        ),
    ];
    for (name, text) in &files {
        place.write(&format!("check/{name}.yaml"), text);
    }
    for output in ["text", "json", "sarif", "junit"] {
        for (name, _) in &files {
            let path = format!("check/{name}.yaml");
            let outcome = place.waxwing(&["-v", "check", &path, "--output", output], b"");
            assert_eq!(outcome.status, 3, "{name}: {}\n{}", outcome.stdout, outcome.stderr);
            assert!(!shown(&outcome), "{name}\n{}\n{}", outcome.stdout, outcome.stderr);
        }
        let outcome = place.waxwing(&["check", "check", "--output", output], b"");
        assert!(!shown(&outcome), "{}\n{}", outcome.stdout, outcome.stderr);
    }
    for (name, _) in &files {
        let outcome = place.waxwing(&["-v", "route", "test", &format!("check/{name}.yaml")], b"");
        assert!(!shown(&outcome), "{name}\n{}\n{}", outcome.stdout, outcome.stderr);
    }
}

/// L01. Guards: `import` tells places only, and puts every credential into the SealedSecret or refuses the file.
#[test]
fn an_import_shows_no_credential_and_writes_none_in_clear() {
    let place = Place::sealed();
    let canary = CANARY;
    let config = |receiver: &str| {
        format!("# {canary} in a comment\nroute: {{receiver: a}}\nreceivers:\n- name: a\n  {receiver}\n")
    };
    let taken = [
        config(&format!("pagerduty_configs: [{{routing_key: {canary}}}, {{service_key: '{canary}'}}]")),
        config(&format!("slack_configs: [{{channel: x, api_url: 'https://hooks.example.com/{canary}'}}]")),
        config(&format!(
            "webhook_configs: [{{url: 'http://u:{canary}@example.com/', http_config: {{basic_auth: {{username: u, password: {canary}}}, http_headers: {{X-A: {{secrets: [{canary}]}}}}}}}}]"
        )),
        config(&format!("telegram_configs: [{{chat_id: 5, bot_token: '{canary}'}}]"))
            + &format!(
                "global: {{smtp_auth_password: {canary}, http_config: {{proxy_url: 'http://u:{canary}@example.com'}}}}\n"
            ),
        config(&format!("pushover_configs: [{{user_key: {canary}, token: {canary}}}]")),
    ];
    for text in &taken {
        place.write("alertmanager.yaml", text);
        let args = ["-v", "import", "alertmanager", "alertmanager.yaml", "-n", "web"];
        let outcome = place.waxwing(&args, b"");
        assert_eq!(outcome.status, 0, "{text}\n{}", outcome.stderr);
        assert!(!shown(&outcome), "{text}\n{}\n{}", outcome.stdout, outcome.stderr);
        assert!(outcome.stdout.contains("$secret"), "{}", outcome.stdout);
    }
    let refused = [
        config(&format!("nonsense_configs: [{{key: {canary}}}]")),
        config(&format!("pagerduty_configs: [{{routing_key: \"{canary}\\n\"}}]")),
        config(&format!("slack_configs: [{{channel: x, api_url: '{canary}'}}]")),
        config(&format!("webhook_configs: [{{url: {{x: {canary}}}, max_alerts: {canary}}}]")),
        config(&format!("pagerduty_configs: [{{routing_key: \"{canary}")),
        config(&format!("pagerduty_configs: [{{routing_key: {{$secret: {canary}}}}}]")),
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: a, namespace: web}}\ndata: {{alertmanager.yaml: {canary}}}\n"
        ),
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: a, namespace: web}}\nstringData: {{a: {canary}, b: {canary}}}\n"
        ),
        canary.to_owned(),
    ];
    for text in &refused {
        place.write("alertmanager.yaml", text);
        let args = ["-v", "import", "alertmanager", "alertmanager.yaml", "-n", "web", "--into", "new"];
        let outcome = place.waxwing(&args, b"");
        assert_eq!(outcome.status, 1, "{text}\n{}", outcome.stdout);
        assert!(!shown(&outcome), "{text}\n{}\n{}", outcome.stdout, outcome.stderr);
        assert!(!place.file("new/alertmanager-injection.yaml").exists());
    }
}

/// L01. Guards: rows and findings name places and references; the state keeps no value.
#[test]
fn a_render_of_injections_shows_no_value() {
    let place = Place::new();
    let canary = CANARY;
    let identity = place.path("keys/cluster.txt");
    let injection = |config: &str, more: &str| {
        format!(
            "apiVersion: waxwing.dev/v1alpha1\nkind: AlertmanagerInjection\nmetadata: {{name: main, namespace: ops}}\nspec:\n  config: {config}\n  target: {{secretName: alertmanager{more}}}\n"
        )
    };
    let receiver =
        |receiver: &str| format!("{{route: {{receiver: a}}, receivers: [{{name: a, {receiver}}}]}}");
    let leaf = "{$secret: {name: plain, key: key}}";
    let reload = format!(", reload: {{url: 'http://u:{canary}@localhost:1/{canary}'}}");
    let files = [
        injection(&receiver(&format!("pagerduty_configs: [{{routing_key: {leaf}}}]")), &reload),
        injection(&receiver(&format!("slack_configs: [{{channel: x, api_url: {leaf}}}]")), ""),
        injection(&receiver(&format!("telegram_configs: [{{chat_id: {leaf}, bot_token: {leaf}}}]")), ""),
        injection(
            &receiver(&format!("pagerduty_configs: [{{routing_key: {canary}, nonsense: {canary}}}]")),
            "",
        ),
        injection(&receiver(&format!("webhook_configs: [{{url: 'nohost {canary}'}}]")), ""),
        injection(&receiver(&format!("webhook_configs: {canary}")), ""),
        injection(&format!("\"{canary}\""), ""),
    ];
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: plain, namespace: ops}}\nstringData: {{key: {canary}}}\n"
    );
    place.write("deploy/plain.yaml", &secret);
    for text in &files {
        place.write("deploy/main.yaml", text);
        for output in ["text", "json"] {
            let identity = identity.display().to_string();
            let args = [
                "-v",
                "render",
                "deploy",
                "--into",
                "../out",
                "--reload",
                "--output",
                output,
                "--identity",
                &identity,
            ];
            let outcome = place.waxwing(&args, b"");
            assert_ne!(outcome.status, 0, "{text}\n{}", outcome.stdout);
            assert!(!shown(&outcome), "{text}\n{}\n{}", outcome.stdout, outcome.stderr);
            let state = std::fs::read_to_string(place.path("out/.waxwing-status.json")).unwrap();
            assert!(!state.contains(canary), "{state}");
        }
    }
}
