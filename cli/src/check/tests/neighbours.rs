//! Resources of other projects.

use super::{SEALED, found};

#[test]
fn selectors_of_prometheus_operator_are_resolved() {
    let text = "apiVersion: monitoring.coreos.com/v1alpha1
kind: AlertmanagerConfig
metadata: {name: team, namespace: ops}
spec:
  route: {receiver: team}
  receivers:
  - name: team
    slackConfigs:
    - apiURL: {name: chat, key: slack}
      httpConfig:
        proxyConnectHeader: {X: [{name: chat, key: header, optional: true}]}
        tlsConfig:
          ca: {configMap: {name: ca, key: ca.crt}}
          cert: {secret: {name: tls, key: tls.crt}}
    pagerdutyConfigs:
    - details: [{key: name, value: chat}]
";
    assert_eq!(
        found(&(text.to_owned() + SEALED), &[]),
        [
            "11 reference-missing-key spec.receivers[0].slackConfigs[0].httpConfig.proxyConnectHeader.X[0]",
            "13 reference-missing-config-map spec.receivers[0].slackConfigs[0].httpConfig.tlsConfig.ca.configMap",
            "14 reference-missing-secret spec.receivers[0].slackConfigs[0].httpConfig.tlsConfig.cert.secret",
        ]
    );
}

#[test]
fn values_of_grafana_operator_are_resolved() {
    let text = "apiVersion: grafana.integreatly.org/v1beta1
kind: GrafanaContactPoint
metadata: {name: team, namespace: ops}
spec:
  receivers:
  - type: slack
    valuesFrom:
    - {targetPath: url, valueFrom: {secretKeyRef: {name: chat, key: other}}}
---
apiVersion: grafana.integreatly.org/v1beta1
kind: GrafanaDatasource
metadata: {name: team, namespace: ops}
spec:
  valuesFrom:
  - {targetPath: a, valueFrom: {configMapKeyRef: {name: chat, key: slack}}}
  - {targetPath: b, valueFrom: {secretKeyRef: {name: chat, key: slack}}}
";
    assert_eq!(
        found(&(text.to_owned() + SEALED), &[]),
        [
            "8 reference-missing-key spec.receivers[0].valuesFrom[0].valueFrom.secretKeyRef",
            "15 reference-missing-config-map spec.valuesFrom[0].valueFrom.configMapKeyRef",
        ]
    );
}
