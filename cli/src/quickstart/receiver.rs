//! The step from a sealed value to the configurations of Alertmanager and Grafana.

use std::fs;

use serde_json::Value;
use waxwing_core::{
    Secret,
    alertmanager::{
        Version,
        validate::{self, Severity},
    },
    inject::Node,
    yaml,
};

use super::{
    demo::{Demo, check},
    steps::set,
};
use crate::{
    error::{Explain, Failure, Result},
    render::What,
};

/// Two configurations with the same reference in them.
const RECEIVERS: &str = r#"apiVersion: waxwing.dev/v1alpha1
kind: AlertmanagerInjection
metadata:
  name: quickstart-alertmanager
  namespace: NAMESPACE
spec:
  config:
    global: {smtp_smarthost: 'smtp.example.invalid:587', smtp_from: alerts@example.invalid}
    route:
      receiver: ops
      routes: [{matchers: ['team="db"'], receiver: db-pager}]
    receivers:
    - name: ops
      email_configs: [{to: ops@example.invalid}]
    - name: db-pager
      pagerduty_configs:
      - routing_key: {$secret: {name: SECRET, key: KEY}}
  routeTests:
  - {name: the database pages, labels: {team: db}, expect: {receivers: [db-pager]}}
  target: {secretName: quickstart-alertmanager}
---
apiVersion: waxwing.dev/v1alpha1
kind: GrafanaInjection
metadata:
  name: quickstart-grafana
  namespace: NAMESPACE
spec:
  contactPoints:
  - name: db-pager
    receivers:
    - uid: db-pager
      type: pagerduty
      settings: {integrationKey: {$secret: {name: SECRET, key: KEY}}}
  target: {kind: Mounted}
"#;
/// The file.
const FILE: &str = "receivers.yaml";
/// The Secrets that come of it.
const ALERTMANAGER: &str = "quickstart-alertmanager";
const GRAFANA: &str = "quickstart-grafana";
/// What stands for a value on the screen.
const MASK: &str = "********";

/// The step.
pub(super) fn receiver(demo: &mut Demo<'_>) -> Result<()> {
    let (namespace, name) = demo.subject.clone();
    let key = demo.keys.0.clone();
    let text = RECEIVERS.replace("NAMESPACE", &namespace).replace("SECRET", &name).replace("KEY", &key);
    demo.show(&format!(
        "$EDITOR {FILE}     # a receiver with a reference, for Alertmanager and for Grafana"
    ))?;
    demo.write(FILE, &text)?;
    demo.waxwing(&["check", "."])?;
    demo.waxwing(&["route", "test", FILE, "team=db", "--expect", "db-pager"])?;
    demo.commit("Page whoever looks after the database")?;
    let both = |what| [ALERTMANAGER, GRAFANA].map(|secret| (what, format!("{namespace}/{secret}")));
    let expect = |demo: &Demo<'_>, what| {
        let both = both(what);
        demo.expect(&both.each_ref().map(|(what, secret)| (*what, secret.as_str()))).map(drop)
    };
    expect(demo, What::Created)?;
    demo.show(&format!("# what is in {namespace}/{ALERTMANAGER} now, with the value masked:"))?;
    let value = demo.live()?.remove(&key).ok_or_else(|| Failure::new("the value is gone"))?;
    let config = configuration(demo, &value)?;
    let masked = config.text.replace(&config.value, MASK);
    masked
        .lines()
        .skip_while(|line| !line.contains("db-pager"))
        .take(3)
        .try_for_each(|line| demo.tell(line))?;

    set(demo, &key, "a-new-value-for-the-receiver", "Rotate the credential of a receiver")?;
    expect(demo, What::Updated)?;
    let value = demo.live()?.remove(&key).ok_or_else(|| Failure::new("the value is gone"))?;
    configuration(demo, &value)?;
    demo.ok("both configurations were checked before they were written, and have the new value: one waxwing set, one commit")
}

/// A configuration for Alertmanager, and the value in it.
struct Configuration {
    text: String,
    value: String,
}

/// What was rendered for both, checked by other means: the value stands where it belongs, and Alertmanager would take it.
fn configuration(demo: &Demo<'_>, value: &Secret) -> Result<Configuration> {
    // Why exposed: to be looked for.
    let value = String::from_utf8_lossy(value.expose()).into_owned();
    let file = |secret: &str| -> Result<String> {
        let path = demo.path("prod-eu").join(&demo.subject.0).join(format!("{secret}.yaml"));
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path).at(path.display())?) & 0o777;
        check(mode == 0o600, "what is rendered is readable by its owner alone")?;
        let files = demo.values_in(&path, secret)?.into_values();
        // Why exposed: to be looked at.
        Ok(files.map(|file| String::from_utf8_lossy(file.expose()).into_owned()).collect())
    };
    let text = file(ALERTMANAGER)?;
    let config: Value = yaml::from_str(&text)?;
    let key = config.pointer("/receivers/1/pagerduty_configs/0/routing_key").and_then(Value::as_str);
    check(key == Some(value.as_str()), "the routing key is the sealed value")?;
    let findings = validate::check(&Node::read(&config)?, Version::NEWEST);
    check(findings.iter().all(|finding| finding.severity != Severity::Error), "Alertmanager takes it")?;
    check(file(GRAFANA)?.contains(&format!("\"{value}\"")), "Grafana's contact point has the same value")?;
    Ok(Configuration { text, value })
}
