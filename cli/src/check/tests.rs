mod neighbours;
mod pages;
mod teams;

use clap::Parser;
use proptest::prelude::*;
use serde_json::Value;

use super::{Options, Report, Rule, check, junit, report::Finding, sarif, tree::Tree};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

fn options(args: &[&str]) -> Options {
    Line::try_parse_from(["waxwing"].iter().chain(args)).unwrap_or_else(|error| panic!("{error}")).options
}

fn report(files: &[(&str, &str)], args: &[&str]) -> Report {
    let options = options(args);
    let mut tree = Tree::default();
    for (name, text) in files {
        tree.add(name, text, true, options.namespace());
    }
    check(&tree, &options)
}

/// `LINE RULE PLACE` of each finding.
fn found(text: &str, args: &[&str]) -> Vec<String> {
    let short = |finding: &Finding| format!("{} {} {}", finding.line, finding.rule.id(), finding.place);
    report(&[("a.yaml", text)], args).findings.iter().map(short).collect()
}

fn messages(text: &str, args: &[&str]) -> Vec<String> {
    report(&[("a.yaml", text)], args).findings.into_iter().map(|finding| finding.message).collect()
}

/// An injection whose root receiver has these integrations.
fn injection(integrations: &str) -> String {
    format!(
        "apiVersion: waxwing.dev/v1alpha1
kind: AlertmanagerInjection
metadata: {{name: main, namespace: ops}}
spec:
  config:
    route: {{receiver: root}}
    receivers:
    - name: root
{integrations}
  target: {{secretName: alertmanager, version: '0.34'}}
"
    )
}

const SLACK: &str =
    "      slack_configs:\n      - channel: '#ops'\n        api_url: {$secret: {name: chat, key: slack}}";
const SEALED: &str = "---
apiVersion: waxwing.dev/v1alpha1
kind: SealedSecret
metadata: {name: chat, namespace: ops}
spec: {data: {slack: wax1.x}, template: {data: {line: x}}}
";

#[test]
fn a_reference_that_is_met_says_nothing() {
    assert_eq!(found(&(injection(SLACK) + SEALED), &[]), [""; 0]);
}

#[test]
fn a_secret_that_nothing_makes_is_found_at_its_line() {
    assert_eq!(
        found(&injection(SLACK), &[]),
        ["11 reference-missing-secret spec.config.receivers[0].slack_configs[0].api_url"]
    );
    assert_eq!(found(&injection(SLACK), &["--elsewhere", "ops/chat"]), [""; 0]);
    assert_eq!(found(&injection(SLACK), &["--elsewhere", "other/*", "--elsewhere", "*/ch*"]), [""; 0]);
    assert_eq!(found(&injection(SLACK), &["--elsewhere", "chat"]).len(), 1);
}

#[test]
fn a_key_that_its_secret_lacks_is_found_with_those_that_there_are() {
    let text = injection(SLACK) + &SEALED.replace("slack:", "other:");
    assert_eq!(messages(&text, &[]), ["Secret/chat has no key slack; it has line, other"]);
}

#[test]
fn a_secret_of_another_namespace_is_not_reached() {
    let text = injection(SLACK) + &SEALED.replace("namespace: ops", "namespace: web");
    assert_eq!(
        messages(&text, &[]),
        ["Secret/chat is in namespace web; a reference in namespace ops does not reach it"]
    );
    assert!(found(&text, &[])[0].contains(Rule::ReferenceOtherNamespace.id()));
}

#[test]
fn objects_without_a_namespace_find_each_other_or_take_the_one_that_is_given() {
    let bare = |text: &str| text.replace(", namespace: ops", "");
    let (injection, sealed) = (injection(SLACK), SEALED.to_owned());
    assert_eq!(found(&(bare(&injection) + &bare(&sealed)), &[]), [""; 0]);
    assert_eq!(found(&(bare(&injection) + &sealed), &[]).len(), 1);
    assert_eq!(found(&(bare(&injection) + &sealed), &["-n", "ops"]), [""; 0]);
}

#[test]
fn everything_that_makes_a_secret_counts() {
    let made = |by: &str| found(&format!("{}---\n{by}", injection(SLACK)), &[]);
    let external = |spec: &str| {
        format!(
            "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {{name: pull, namespace: ops}}\nspec: {spec}\n"
        )
    };
    for (spec, is_met) in [
        ("{target: {name: chat}, data: [{secretKey: slack}]}", true),
        ("{target: {name: chat}, data: [{secretKey: other}]}", false),
        ("{data: [{secretKey: slack}]}", false),
        ("{target: {name: chat}, dataFrom: [{extract: {key: x}}]}", true),
        ("{target: {name: chat, template: {data: {other: x}}}, data: [{secretKey: slack}]}", false),
        ("{target: {name: chat, template: {data: {other: x}}}, dataFrom: [{extract: {key: x}}]}", false),
        (
            "{target: {name: chat, template: {mergePolicy: Merge, data: {other: x}}}, data: [{secretKey: slack}]}",
            true,
        ),
        ("{target: {name: chat, template: {data: {slack: x}}}, data: [{secretKey: other}]}", true),
        ("{target: {name: chat, template: {templateFrom: [{configMap: {name: x}}]}}}", true),
        ("{target: {name: chat, creationPolicy: None}, data: [{secretKey: slack}]}", false),
        ("{target: {name: chat, creationPolicy: Merge}, data: [{secretKey: other}]}", true),
    ] {
        assert_eq!(made(&external(spec)).is_empty(), is_met, "{spec}");
    }
    for (by, is_met) in [
        (
            "apiVersion: v1\nkind: Secret\nmetadata: {name: chat, namespace: ops}\nstringData: {slack: x}\n",
            true,
        ),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: chat, namespace: ops}\ndata: {slack: eA==}\n", true),
        (
            "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: chat, namespace: ops}\nspec: {encryptedData: {slack: x}}\n",
            true,
        ),
        (
            "apiVersion: example.com/v1\nkind: SealedSecret\nmetadata: {name: chat, namespace: ops}\nspec: {data: {slack: x}}\n",
            false,
        ),
        (
            "apiVersion: waxwing.dev/v1alpha1\nkind: ClusterExternalSecret\nmetadata: {name: chat}\nspec: {namespaces: [ops], externalSecretSpec: {data: [{secretKey: slack}]}}\n",
            true,
        ),
        (
            "apiVersion: waxwing.dev/v1alpha1\nkind: ClusterExternalSecret\nmetadata: {name: chat}\nspec: {namespaces: [web], externalSecretSpec: {data: [{secretKey: slack}]}}\n",
            false,
        ),
        (
            "apiVersion: waxwing.dev/v1alpha1\nkind: ClusterExternalSecret\nmetadata: {name: x}\nspec: {namespaceSelector: {}, externalSecretName: chat, externalSecretSpec: {data: [{secretKey: slack}]}}\n",
            true,
        ),
    ] {
        assert_eq!(made(by).is_empty(), is_met, "{by}");
    }
}

#[test]
fn a_store_that_is_not_here_is_a_warning() {
    let store = |kind: &str| {
        let leaf = format!("{{$store: {{name: vault, kind: {kind}, key: chat}}}}");
        injection(&SLACK.replace("{$secret: {name: chat, key: slack}}", &leaf))
    };
    let rule = "11 reference-missing-store spec.config.receivers[0].slack_configs[0].api_url";
    assert_eq!(found(&store("SecretStore"), &[]), [rule]);
    let here = |kind: &str, namespace: &str| {
        format!(
            "---\napiVersion: waxwing.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: vault, namespace: {namespace}}}\nspec: {{}}\n"
        )
    };
    assert_eq!(found(&(store("SecretStore") + &here("SecretStore", "ops")), &[]), [""; 0]);
    assert_eq!(found(&(store("SecretStore") + &here("SecretStore", "web")), &[]), [rule]);
    assert_eq!(found(&(store("SecretStore") + &here("ClusterSecretStore", "ops")), &[]), [rule]);
    assert_eq!(found(&(store("ClusterSecretStore") + &here("ClusterSecretStore", "web")), &[]), [""; 0]);
    assert_eq!(found(&store("ClusterSecretStore"), &["--elsewhere", "vault"]), [""; 0]);
}

#[test]
fn a_literal_in_the_place_of_a_credential_is_an_error() {
    let text =
        injection(&SLACK.replace("{$secret: {name: chat, key: slack}}", "https://hooks.example.com/Qz7v"));
    assert_eq!(
        found(&text, &[]),
        ["11 literal-credential spec.config.receivers[0].slack_configs[0].api_url"]
    );
}

#[test]
fn a_template_in_the_place_of_a_credential_is_a_warning() {
    let text = |field: &str| injection(&format!("      pagerduty_configs:\n      - {field}"));
    let place = "spec.config.receivers[0].pagerduty_configs[0].routing_key";
    assert_eq!(
        found(&text("routing_key: '{{ .CommonLabels.key }}'"), &[]),
        [format!("10 literal-template {place}")]
    );
    assert_eq!(found(&text("routing_key: 'Qz7v'"), &[]), [format!("10 literal-credential {place}")]);
    // Where Alertmanager runs no template, it is a credential with braces.
    let slack = injection(
        &SLACK.replace("{$secret: {name: chat, key: slack}}", "'https://hooks.example.com/{{Qz7v}}'"),
    );
    assert!(found(&slack, &[])[0].starts_with("11 literal-credential"));
}

#[test]
fn what_alertmanager_would_refuse_is_found_by_version() {
    let text = injection("      slack_configs:\n      - chanel: x");
    let findings = found(&text, &[]);
    assert!(findings.iter().any(|one| one.starts_with("10 config-invalid")), "{findings:?}");
    let jira =
        injection("      msteamsv2_configs:\n      - webhook_url: {$secret: {name: chat, key: slack}}")
            + SEALED;
    assert_eq!(found(&jira, &[]), [""; 0]);
    let older = found(&jira, &["--target", "alertmanager=0.27"]);
    assert_eq!(older, ["9 config-invalid spec.config.receivers[0].msteamsv2_configs"]);
}

#[test]
fn what_prometheus_operator_would_refuse_is_found_by_version() {
    let token = SLACK.replace("api_url", "app_token");
    let text = (injection(&token) + SEALED).replace("target: {", "target: {kind: PrometheusOperator, ");
    assert_eq!(found(&text, &[]), [""; 0]);
    let older = found(&text, &["--target", "prometheus-operator=0.85"]);
    assert_eq!(older, ["11 target-unsupported spec.config.receivers[0].slack_configs[0].app_token"]);
    // What is not merged by prometheus-operator is not judged by it.
    let plain = text.replace("PrometheusOperator", "Plain");
    assert_eq!(found(&plain, &["--target", "prometheus-operator=0.85"]), [""; 0]);
}

#[test]
fn a_version_that_is_newer_than_what_is_known_is_a_warning() {
    let text = (injection(SLACK) + SEALED).replace("'0.34'", "'0.99'");
    assert_eq!(found(&text, &[]), ["12 version-unknown spec.target.version"]);
    // The one that is given counts, and the verb warns about it.
    assert_eq!(found(&text, &["--target", "alertmanager=0.34"]), [""; 0]);
    assert_eq!(options(&["--target", "alertmanager=0.99"]).targets().newer().len(), 1);
    assert!(
        options(&["--target", "alertmanager=0.34,prometheus-operator=0.93"]).targets().newer().is_empty()
    );
    assert!(options(&["--target", "alertmanager=0.34,alertmanager=0.31"]).check().is_err());
    for wrong in ["alertmanager", "alertmanager=latest", "alertmanager=0.24", "prometheus=1.0"] {
        assert!(Line::try_parse_from(["waxwing", "--target", wrong]).is_err(), "{wrong}");
    }
}

#[test]
fn route_tests_are_run() {
    let text = (injection(SLACK) + SEALED).replacen(
        "  target:",
        "  routeTests:\n  - {name: good, expect: {receivers: [root]}}\n  - {name: bad, expect: {receivers: [other]}}\n  target:",
        1,
    );
    assert_eq!(found(&text, &[]), ["14 route-test-failed spec.routeTests[1]"]);
    assert_eq!(messages(&text, &[]), ["the alert of test \"bad\" goes to root, and should go to other"]);
}

const FROM: &str = "apiVersion: waxwing.dev/v1alpha1
kind: AlertmanagerInjection
metadata: {name: main, namespace: ops}
spec:
  configFrom: {configMapKeyRef: {name: base, key: alertmanager.yaml}}
  set:
  - {receiver: root, field: 'slack_configs[0].api_url', value: {$secret: {name: chat, key: slack}}}
  target: {secretName: alertmanager}
";
const BASE: &str = "---
apiVersion: v1
kind: ConfigMap
metadata: {name: base, namespace: ops}
data:
  alertmanager.yaml: |
    route: {receiver: root}
    receivers: [{name: root, slack_configs: [{channel: x}]}]
";

#[test]
fn a_document_elsewhere_is_read_where_it_is_here() {
    assert_eq!(found(&(FROM.to_owned() + BASE + SEALED), &[]), [""; 0]);
    assert_eq!(
        found(&(FROM.to_owned() + SEALED), &[]),
        ["5 document-missing spec.configFrom"],
        "a warning, because Helm may make it"
    );
    assert_eq!(
        found(&(FROM.to_owned() + &BASE.replace("alertmanager.yaml:", "x:") + SEALED), &[]),
        ["5 reference-missing-key spec.configFrom"]
    );
    assert_eq!(
        found(&(FROM.to_owned() + BASE), &[]),
        ["7 reference-missing-secret spec.set[0].value"],
        "once, where it is written"
    );
    let other = BASE.replace("channel: x", "chanel: x");
    let findings = report(&[("a.yaml", &(FROM.to_owned() + &other + SEALED))], &[]).findings;
    assert_eq!((findings[0].rule, findings[0].line), (Rule::ConfigInvalid, 5));
    assert!(
        findings[0]
            .message
            .starts_with("ConfigMap/base, key alertmanager.yaml: receivers[0].slack_configs[0].chanel: "),
        "{}",
        findings[0].message
    );
    let gone = BASE.replace("name: root, slack", "name: other, slack");
    assert_eq!(
        found(&(FROM.to_owned() + &gone + SEALED), &[]),
        ["7 spec-invalid spec.set[0]"],
        "what matches nothing is never skipped"
    );
}

#[test]
fn a_document_in_a_secret_is_read_only_where_it_is_plain() {
    let from = FROM.replace("configMapKeyRef", "secretKeyRef");
    let sealed = SEALED.replace("name: chat", "name: base").replace("slack:", "alertmanager.yaml:");
    assert_eq!(
        found(&(from.clone() + SEALED + &sealed), &[]),
        ["5 document-missing spec.configFrom"],
        "nothing is opened"
    );
    let plain = BASE.replace("ConfigMap", "Secret").replace("\ndata:", "\nstringData:");
    assert_eq!(found(&(from.clone() + SEALED + &plain), &[]), [""; 0]);
    assert_eq!(found(&(from + SEALED), &[]), ["5 reference-missing-secret spec.configFrom"]);
}

#[test]
fn a_spec_that_makes_no_sense_is_found_where_it_does_not() {
    let text = injection(SLACK) + SEALED;
    let both = text.replacen("  target:", "  configFrom: {secretKeyRef: {name: a, key: b}}\n  target:", 1);
    assert_eq!(found(&both, &[]), ["4 spec-invalid spec"]);
    let leaf = text.replace("{name: chat, key: slack}", "{name: chat}");
    assert_eq!(found(&leaf, &[]), ["11 spec-invalid spec.config.receivers[0].slack_configs[0].api_url"]);
    let unknown = text.replace("  target: {", "  target: {colour: red, ");
    assert_eq!(found(&unknown, &[])[0].split_once(' ').unwrap().1, "spec-invalid spec");
    let version = text.replacen("waxwing.dev/v1alpha1", "waxwing.dev/v9", 1);
    assert_eq!(found(&version, &[]), ["1 spec-invalid apiVersion"]);
    let fallback = text.replacen("  target:", "  policy: {fallbackReceiver: nobody}\n  target:", 1);
    assert_eq!(found(&fallback, &[]), ["12 config-warning spec.policy.fallbackReceiver"]);
}

#[test]
fn a_malformed_document_hides_no_other() {
    let text = format!("a: [\n---\n{}", injection(SLACK));
    let findings = found(&text, &[]);
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(findings[0].contains("unreadable") && findings[1].starts_with("13 reference-missing-secret"));
}

#[test]
fn items_of_a_list_are_found_at_their_lines() {
    let text = "apiVersion: v1
kind: List
items:
- apiVersion: waxwing.dev/v1alpha1
  kind: AlertmanagerInjection
  metadata: {name: main, namespace: ops}
  spec:
    config:
      route: {receiver: root}
      receivers:
      - name: root
        webhook_configs:
        - url: {$secret: {name: chat, key: slack}}
    target: {secretName: alertmanager}
";
    assert_eq!(
        found(text, &[]),
        ["13 reference-missing-secret spec.config.receivers[0].webhook_configs[0].url"]
    );
    let report = report(&[("a.yaml", text)], &[]);
    assert_eq!((report.objects[0].line, report.objects[0].name.name.as_str()), (4, "main"));
}

#[test]
fn grafana_documents_are_judged_with_their_references() {
    let text = |contact: &str, policies: &str| {
        format!(
            "apiVersion: waxwing.dev/v1alpha1
kind: GrafanaInjection
metadata: {{name: team, namespace: ops}}
spec:
  contactPoints:
  - name: team
    receivers:
    - uid: team-slack
      type: slack
      settings: {contact}
{policies}  target: {{kind: Sidecar}}
"
        )
    };
    let leaf = "{url: {$secret: {name: chat, key: slack}}}";
    assert_eq!(found(&(text(leaf, "") + SEALED), &[]), [""; 0]);
    let at = "spec.contactPoints[0].receivers[0].settings";
    assert_eq!(found(&text(leaf, ""), &[]), [format!("10 reference-missing-secret {at}.url")]);
    let literal = found(&text("{url: 'https://hooks.example.com/Qz7v'}", ""), &[]);
    assert_eq!(literal, [format!("10 literal-credential {at}.url")]);
    let wrong = text(leaf, "  policies:\n  - receiver: nobody\n") + SEALED;
    assert_eq!(found(&wrong, &[]), ["12 grafana-invalid spec.policies[0].receiver"]);
    // A policy may name the contact point of another injection.
    let other = text(leaf, "").replace("name: team", "name: nobody").replace("team-slack", "other");
    assert_eq!(found(&format!("{wrong}---\n{other}"), &[]), [""; 0]);
}

#[test]
fn sarif_has_what_code_scanning_needs() {
    let log = sarif::log(&report(&[("deploy/a b.yaml", &injection(SLACK))], &[]));
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert_eq!((run["tool"]["driver"]["name"].as_str(), rules.len()), (Some("waxwing"), Rule::ALL.len()));
    for rule in rules {
        for text in ["shortDescription", "fullDescription", "help"] {
            assert!(rule[text]["text"].as_str().is_some_and(|text| text.len() > 10), "{rule}");
        }
        assert!(["error", "warning"].iter().any(|level| rule["defaultConfiguration"]["level"] == *level));
    }
    let result = &run["results"][0];
    let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
    assert_eq!(rules[index]["id"], result["ruleId"]);
    assert_eq!((&result["ruleId"], &result["level"]), (&"reference-missing-secret".into(), &"error".into()));
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "deploy/a%20b.yaml");
    assert_eq!((&place["region"]["startLine"], &place["region"]["startColumn"]), (&11.into(), &9.into()));
    // Nothing found is a list of nothing, and not nothing.
    let log = sarif::log(&report(&[], &[]));
    assert_eq!(log["runs"][0]["results"], Value::Array(Vec::new()));
}

/// Two thousand objects, each with a finding: what is done for each of them does not grow with the others.
#[test]
fn many_objects_are_checked_in_one_go() {
    use std::fmt::Write as _;
    let mut text = String::new();
    for number in 0..1000 {
        let one = injection(SLACK).replace("name: main", &format!("name: i{number}"));
        let _ = writeln!(text, "{one}---");
    }
    let report = report(&[("a.yaml", &text), ("b.yaml", &text)], &[]);
    assert_eq!((report.objects.len(), report.findings.len()), (2000, 2000));
}

#[test]
fn warnings_are_output_for_junit_unless_they_count() {
    let report = report(&[("a.yaml", &(FROM.to_owned() + SEALED))], &[]);
    let (lenient, strict) = (junit::document(&report, false), junit::document(&report, true));
    assert!(
        lenient.contains(" failures=\"0\"") && lenient.contains("<system-out>a.yaml:5: warning: "),
        "{lenient}"
    );
    assert!(
        strict.contains("<failure type=\"document-missing\"") && !strict.contains("system-out"),
        "{strict}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever somebody has broken, something can be said of the rest.
    #[test]
    fn no_text_makes_it_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..12_usize, prop::sample::select(WORDS.to_vec())), 0..6),
    ) {
        let mut text = format!("{}{SEALED}---\n{FROM}{BASE}{}---\n{GRAFANA}", teams::including("{namespaceSelector: {}}"), teams::TEAM);
        for (at, cut, put) in edits {
            let at = at.index(text.len());
            let end = (at + cut).min(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(end) {
                text.replace_range(at..end, put);
            }
        }
        let report = report(&[("a.yaml", &text)], &[]);
        let _ = (sarif::log(&report), junit::document(&report, true));
    }
}

const WORDS: &[&str] =
    &["", ":", "\n", "- ", "[", "]", "{", "}", "'", "null", "a", "0", " ", "*x", "&x ", "$store", "name"];
const GRAFANA: &str = "apiVersion: waxwing.dev/v1alpha1
kind: GrafanaInjection
metadata: {name: team, namespace: ops}
spec:
  datasources: [{name: a, type: prometheus, secureJsonData: {password: {$secret: {name: chat, key: slack}}}}]
  contactPoints: [{name: team, receivers: [{uid: a, type: slack, settings: {url: {$secret: {name: chat, key: slack}}}}]}]
  policies: [{receiver: team}]
  target: {kind: Sidecar}
";
