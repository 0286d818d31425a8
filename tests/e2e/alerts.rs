//! The alerts that the chart brings: rules that promtool takes and tests, of metrics that exist, with runbooks that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use kube::api::DeleteParams;
use serde_json::{Value, json};
use waxwing_tests::tools::{root, tool};
use waxwing_tests::{chart, process, scene};

/// The release and the namespace that the series of `tests/alerts` have.
const RELEASE: (&str, &str) = ("waxwing", "waxwing-system");

/// Runs promtool in a folder, and gives what it prints.
fn promtool(folder: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new(tool("promtool")).args(args).current_dir(folder).output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    ensure!(output.status.success(), "promtool {args:?}: {said}");
    Ok(said)
}

/// The PrometheusRule that the chart renders.
fn rendered(values: &[&str]) -> Result<Value> {
    let mut all = vec!["metrics.rules.enabled=true".to_owned()];
    all.extend(values.iter().map(|value| (*value).to_owned()));
    let objects = chart::render(RELEASE.0, RELEASE.1, &all)?;
    objects.into_iter().find(|object| object["kind"] == "PrometheusRule").context("a PrometheusRule")
}

/// Every alert.
fn alerts(rule: &Value) -> Vec<Value> {
    let groups = rule["spec"]["groups"].as_array().cloned().unwrap_or_default();
    let alerts: Vec<_> =
        groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect();
    assert!(alerts.len() > 10, "the alerts were found");
    alerts
}

#[test]
fn each_alert_fires_when_it_should_and_not_before() -> Result<()> {
    let folder = process::folder("alerts");
    let rules = json!({"groups": rendered(&[])?["spec"]["groups"]}).to_string();
    let mut tested = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("tests/alerts"))? {
        let path = entry?.path();
        let name = path.file_name().context("a name")?.to_string_lossy().into_owned();
        std::fs::copy(&path, folder.join(&name))?;
        let test: Value = serde_saphyr::from_str(&std::fs::read_to_string(&path)?)?;
        let file = test["rule_files"][0].as_str().context("a rules file")?;
        std::fs::write(folder.join(file), &rules)?;
        promtool(&folder, &["check", "rules", file])?;
        promtool(&folder, &["test", "rules", &name])?;
        for case in test["tests"].as_array().into_iter().flatten() {
            for expected in case["alert_rule_test"].as_array().into_iter().flatten() {
                let fires = expected["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty());
                tested.insert((expected["alertname"].as_str().context("a name")?.to_owned(), fires));
            }
        }
    }
    for alert in alerts(&rendered(&[])?) {
        let name = alert["alert"].as_str().context("a name")?;
        for fires in [true, false] {
            assert!(tested.contains(&(name.to_owned(), fires)), "{name} is tested, firing: {fires}");
        }
    }
    Ok(())
}

#[test]
fn each_alert_has_a_runbook_that_exists() -> Result<()> {
    for alert in alerts(&rendered(&[])?) {
        let url = alert["annotations"]["runbook_url"].as_str().context("a runbook")?;
        let (file, anchor) = url.split_once('#').context("an anchor")?;
        let page = std::fs::read_to_string(root().join(file)).with_context(|| file.to_owned())?;
        let headings = page.lines().filter_map(|line| line.strip_prefix("## "));
        let found = headings.filter(|heading| heading.to_lowercase() == anchor).count();
        assert_eq!(found, 1, "{url}");
        assert_eq!(alert["alert"].as_str().map(str::to_lowercase).as_deref(), Some(anchor));
        assert!(["info", "warning", "critical"].map(Value::from).contains(&alert["labels"]["severity"]));
        for text in ["summary", "description"] {
            assert!(alert["annotations"][text].is_string(), "{anchor} has a {text}");
        }
    }
    Ok(())
}

#[test]
fn the_values_say_for_which_release_and_rotation_the_alerts_are() -> Result<()> {
    let expressions = |values: &[&str]| -> Result<String> {
        let texts = alerts(&rendered(values)?);
        Ok(texts.iter().filter_map(|alert| alert["expr"].as_str()).collect::<Vec<_>>().join("\n"))
    };
    let usual = expressions(&[])?;
    assert!(usual.contains(r#"{job="waxwing-metrics", namespace="waxwing-system"}"#), "{usual}");
    assert!(usual.contains("> 1.5 * 2592000") && !usual.contains("job=~"), "{usual}");
    let other = expressions(&[
        "keyring.rotation.every=1d12h",
        "fullnameOverride=tenant",
        r#"metrics.rules.selector=ring="a""#,
    ])?;
    assert!(other.contains("> 1.5 * 129600") && other.contains(r#"{ring="a"}"#), "{other}");
    // It would be an alert that always fires.
    let refused = rendered(&["keyring.rotation.every=0d0s"]).err().context("no rotation is endless")?;
    assert!(format!("{refused:#}").contains("every"), "{refused:#}");
    let linked = rendered(&["metrics.rules.runbooks=https://runbooks.example.com/waxwing"])?;
    let url = &alerts(&linked)[0]["annotations"]["runbook_url"];
    assert!(url.as_str().is_some_and(|url| url.starts_with("https://runbooks.example.com/waxwing/alerts-")));
    let off = chart::render(RELEASE.0, RELEASE.1, &[])?;
    assert!(off.iter().all(|object| object["kind"] != "PrometheusRule"), "it is off by default");
    Ok(())
}

/// A selector of a series in an expression, or a series of a test: the metric, and the labels that the operator gives it.
struct Selector {
    metric: String,
    labels: BTreeMap<String, String>,
}

impl Selector {
    /// Every one in a text that begins with the label of the scrape job.
    fn all(text: &str) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for (at, _) in text.match_indices("{job=") {
            let start = text[..at].rfind(|c: char| !c.is_ascii_lowercase() && c != '_');
            let metric = text[start.map_or(0, |start| start + 1)..at].to_owned();
            let (labels, _) = text[at + 1..].split_once('}').context("a selector ends")?;
            let mut own = BTreeMap::new();
            for pair in labels.split(',') {
                let (label, value) = pair.split_once('=').context("a label has a value")?;
                let (label, value) = (label.trim(), value.trim().trim_matches('"'));
                if !SCRAPED.contains(&label) {
                    // So is a label called that has the name of one of the target's.
                    let label = label.strip_prefix("exported_").unwrap_or(label);
                    own.insert(label.to_owned(), value.to_owned());
                }
            }
            all.push(Self { metric, labels: own });
        }
        Ok(all)
    }
}

/// What Prometheus adds to a series that it scrapes.
const SCRAPED: [&str; 6] = ["job", "namespace", "instance", "pod", "container", "endpoint"];

#[test]
fn the_alerts_ask_for_series_that_an_operator_has_by_names_and_values_of_labels_that_it_gives_them() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let operator = scene.operator(release, "a").await?;
        scene.sealed_and_ready("app", &[("k", "v")]).await?;
        let config = json!({"route": {"receiver": "none"}, "receivers": [{"name": "none"}]});
        let spec = json!({"config": config, "target": {"kind": "Plain", "secretName": "published"}});
        scene.put("AlertmanagerInjection", "main", spec).await?;
        scene.injected("main").await;
        // Failures are counted once there is one.
        scene.rings().delete(&scene.ring, &DeleteParams::default()).await?;
        let scrape = operator
            .until_metrics("the KeyRing could not be kept", |scrape| {
                let failures = [("controller", "KeyRing"), ("reason", "KeyRingNotReady")];
                scrape.sum("gitops_reconciliation_errors_total", &failures) > 0.0
            })
            .await;
        let of = |metric: &str| {
            let series = scrape.series().iter().filter(|series| series.name == metric);
            series.map(|series| &series.labels).collect::<Vec<_>>()
        };

        let mut seen = BTreeSet::new();
        for alert in alerts(&rendered(&[])?) {
            let expression = alert["expr"].as_str().context("an expression")?;
            let selectors = Selector::all(expression)?;
            for Selector { metric, labels } in &selectors {
                let has = |series: &BTreeMap<_, _>| labels.iter().all(|(k, v)| series.get(k) == Some(v));
                let is_there = of(metric).into_iter().any(has);
                assert!(is_there, "nothing is selected by {expression}; there is:\n{}", scrape.text());
                seen.insert(metric.clone());
            }
            let dropped = expression.split_once("without (").and_then(|(_, rest)| rest.split_once(')'));
            for label in dropped.into_iter().flat_map(|(labels, _)| labels.split(", ")) {
                let has = |selector: &Selector| {
                    of(&selector.metric).iter().any(|series| series.contains_key(label))
                };
                assert!(SCRAPED.contains(&label) || selectors.iter().any(has), "{label}: {expression}");
            }
        }
        assert!(seen.len() > 6, "{seen:?}");

        // And the tests of the alerts feed them series of the same form.
        for entry in std::fs::read_dir(root().join("tests/alerts"))? {
            for Selector { metric, labels } in Selector::all(&std::fs::read_to_string(entry?.path())?)? {
                let has_form = of(&metric).iter().any(|series| series.keys().eq(labels.keys()));
                assert!(has_form, "{metric} {labels:?} in a test; there is:\n{}", scrape.text());
            }
        }
        Ok(())
    });
}

#[test]
fn prometheus_operator_takes_the_alerts() {
    scene::shared(async |scene| -> Result<()> {
        chart::install_crds(
            &scene.client(),
            &chart::in_folder(&tool("prometheus-operator-crds"))?
                .into_iter()
                .filter(|crd| crd["spec"]["names"]["kind"] == "PrometheusRule")
                .collect::<Vec<_>>(),
        )
        .await?;
        let mut rule = rendered(&["metrics.rules.labels.release=prometheus"])?;
        rule["metadata"]["namespace"] = scene.namespace.clone().into();
        let taken = chart::apply(&scene.client(), &rule).await?;
        assert_eq!(taken.data["spec"], rule["spec"], "nothing is unknown to it");
        Ok(())
    });
}
