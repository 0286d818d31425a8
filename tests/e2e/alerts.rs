//! The alerts that the chart brings: rules that promtool takes and tests, of metrics that exist, with runbooks that exist.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
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
    let linked = rendered(&["metrics.rules.runbooks=https://runbooks.example.com/waxwing"])?;
    let url = &alerts(&linked)[0]["annotations"]["runbook_url"];
    assert!(url.as_str().is_some_and(|url| url.starts_with("https://runbooks.example.com/waxwing/alerts-")));
    let off = chart::render(RELEASE.0, RELEASE.1, &[])?;
    assert!(off.iter().all(|object| object["kind"] != "PrometheusRule"), "it is off by default");
    Ok(())
}

#[test]
fn the_alerts_ask_for_metrics_that_the_operator_has_and_prometheus_operator_takes_the_object() {
    scene::shared(async |scene| -> Result<()> {
        scene.sealed_and_ready("app", &[("k", "v")]).await?;
        let text = scene.world().operator.metrics().await?.text().to_owned();
        let mut names = BTreeSet::new();
        for alert in alerts(&rendered(&[])?) {
            let expression = alert["expr"].as_str().context("an expression")?;
            for (at, _) in expression.match_indices("{job=") {
                let start = expression[..at].rfind(|c: char| !c.is_ascii_lowercase() && c != '_');
                names.insert(expression[start.map_or(0, |start| start + 1)..at].to_owned());
            }
        }
        assert!(names.len() > 6, "{names:?}");
        let registered = std::fs::read_to_string(root().join("operator/src/metrics.rs"))?;
        for name in names {
            // A family is described once it has a series, and a counter without its suffix.
            let family = name.strip_suffix("_total").unwrap_or(&name);
            let described = text.lines().any(|line| line.starts_with(&format!("# HELP {family} ")));
            assert!(described || registered.contains(&format!("\"{family}\"")), "there is no metric {name}");
        }
        assert!(text.contains(r#"waxwing_objects{kind="KeyRing",ready="true"} 1"#), "{text}");

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
