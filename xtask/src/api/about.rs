//! What the reference page of the API says above the tables.

/// About SealedSecret.
pub(super) const SEALED_SECRET: &str = "\
Produces the Secret of the same name and namespace. `waxwing seal` writes it; [FORMAT.md](../FORMAT.md) says what the
values and envelopes are.

```yaml
apiVersion: waxwing.dev/v1alpha1
kind: SealedSecret
metadata:
  name: receivers
  namespace: monitoring
spec:
  format: wax1
  scope: strict
  type: Opaque
  envelopes:
    \"k3v7f2mq\":
      commit: …
      to: [prod-eu/3fa9c1d2, recovery/0c11de42]
      age: …
  data:
    \"pagerduty-key\": wax1.k3v7f2mq.1789000000.…
```
";

/// About KeyRing.
pub(super) const KEY_RING: &str = "\
One for each operator, which serves the ring that its flag `--keyring` names. Whoever can write a KeyRing decides who
can read new seals: let cluster administrators alone do it.

```yaml
apiVersion: waxwing.dev/v1alpha1
kind: KeyRing
metadata:
  name: default
spec:
  rotation: {every: 30d}
  recipients:
  - {name: recovery, recipient: age1…, required: true}
  policy: {rollback: Warn, clusterScope: Deny}
```
";

/// About ExternalSecret.
pub(super) const EXTERNAL_SECRET: &str = "\
Produces a Secret of values that are pulled from a store, and keeps it as the provider has them. The shape is that of
`external-secrets.io/v1` for every field that is here.

```yaml
apiVersion: waxwing.dev/v1alpha1
kind: ExternalSecret
metadata:
  name: shop-db
  namespace: shop
spec:
  secretStoreRef: {name: vault}
  refreshInterval: 15m
  target:
    rollout:
    - {kind: Deployment, name: shop}
  data:
  - secretKey: password
    remoteRef: {key: shop/db, property: password}
  dataFrom:
  - extract: {key: shop/flags}
```
";

/// About SecretStore.
pub(super) const SECRET_STORE: &str = "\
A provider, and the credentials of one namespace for it. What it refers to lies in that namespace, and a host that it
names has to be a Service of that namespace or be allowed by the operator's `--allow-endpoint`.

```yaml
apiVersion: waxwing.dev/v1alpha1
kind: SecretStore
metadata:
  name: vault
  namespace: shop
spec:
  provider:
    vault:
      server: https://vault.example.com:8200
      path: secret
      auth:
        kubernetes:
          role: shop
          serviceAccountRef: {name: shop}
```
";

/// About ClusterSecretStore.
pub(super) const CLUSTER_SECRET_STORE: &str = "\
The same for several namespaces. What it refers to lies in the operator's namespace, and it may use the operator's own
identity. It grants nothing that `grants` does not name.

```yaml
apiVersion: waxwing.dev/v1alpha1
kind: ClusterSecretStore
metadata:
  name: aws
spec:
  provider:
    aws: {service: SecretsManager, region: eu-central-1}
  grants:
  - {namespaces: [shop], paths: [shop/**]}
  - {namespaceSelector: {matchLabels: {tier: prod}}, paths: [shared/*]}
```
";

/// About ClusterExternalSecret.
pub(super) const CLUSTER_EXTERNAL_SECRET: &str = "\
Makes the same ExternalSecret in every namespace that it selects, and takes it away where it no longer does. It puts no
finalizer on namespaces.

```yaml
apiVersion: waxwing.dev/v1alpha1
kind: ClusterExternalSecret
metadata:
  name: registry
spec:
  namespaceSelector: {matchLabels: {tier: prod}}
  externalSecretSpec:
    secretStoreRef: {name: aws, kind: ClusterSecretStore}
    dataFrom:
    - extract: {key: shared/registry}
```
";

/// About AlertmanagerInjection.
pub(super) const ALERTMANAGER_INJECTION: &str = "\
Publishes an alertmanager.yaml whose credentials come from Secrets and stores. `config` is native YAML of Alertmanager,
fields of later versions included. `{$secret: {name, key}}` and `{$store: {name, kind, key, property, version}}` may stand
for any text in it, and nothing else is interpreted; `kind` is `SecretStore` by default. They mean Secrets and stores of
this namespace. [TEAMS.md](../TEAMS.md) says what `include` takes in, and under which limits.

```yaml
apiVersion: waxwing.dev/v1alpha1
kind: AlertmanagerInjection
metadata:
  name: main
  namespace: monitoring
spec:
  config:
    route:
      receiver: ops
      routes:
      - {matchers: ['team=\"db\"'], receiver: db}
    receivers:
    - name: ops
      slack_configs:
      - {channel: '#ops', api_url: {$secret: {name: receivers, key: slack-url}}}
    - name: db
      pagerduty_configs:
      - routing_key: {$store: {name: vault, key: alerting/pagerduty, property: db}}
  target: {kind: PrometheusOperator, secretName: alertmanager-main-config, version: \"0.31\"}
  policy: {onUnresolved: KeepLastGood, fallbackReceiver: ops, maxStale: 72h}
  verify: {endpoints: ['http://alertmanager-operated:9093'], within: 3m, onFailure: Rollback}
  routeTests:
  - {name: databases page, labels: {team: db}, expect: {receivers: [db]}}
```

`configFrom` with `set` does the same to a document that somebody else makes, such as a chart:

```yaml
spec:
  configFrom: {secretKeyRef: {name: alertmanager-base, key: alertmanager.yaml}}
  set:
  - receiver: db
    field: pagerduty_configs[0].routing_key
    value: {$secret: {name: receivers, key: pagerduty}}
```
";

/// About AlertReceiver.
pub(super) const ALERT_RECEIVER: &str = "\
A team's own receiver and the routes to it, which an AlertmanagerInjection of somebody else takes in. Each side names the
other. Whatever the routes say, only alerts of this namespace come to it. [TEAMS.md](../TEAMS.md) lists what is refused.

```yaml
apiVersion: waxwing.dev/v1alpha1
kind: AlertReceiver
metadata:
  name: on-call
  namespace: shop
  labels: {alerts: main}
spec:
  injection: {name: main, namespace: monitoring}
  receiver:
    slack_configs:
    - {channel: '#shop', api_url: {$secret: {name: slack, key: url}}}
  routes:
  - {matchers: ['severity=\"critical\"'], repeat_interval: 1h}
```
";

/// About GrafanaInjection.
pub(super) const GRAFANA_INJECTION: &str = "\
Provisions data sources, contact points and notification policies of Grafana. Each is native provisioning YAML with the
same references as in an [AlertmanagerInjection](#alertmanagerinjection). [GRAFANA.md](../GRAFANA.md) says how it gets to
Grafana.

```yaml
apiVersion: waxwing.dev/v1alpha1
kind: GrafanaInjection
metadata:
  name: main
  namespace: monitoring
spec:
  datasources:
  - name: Prometheus
    uid: prometheus
    type: prometheus
    url: http://prometheus-operated:9090
    jsonData: {httpHeaderName1: Authorization}
    secureJsonData: {httpHeaderValue1: {$secret: {name: grafana, key: prometheus-token}}}
  contactPoints:
  - name: db
    receivers:
    - uid: db-pagerduty
      type: pagerduty
      settings: {integrationKey: {$secret: {name: receivers, key: pagerduty}}}
  target: {kind: Sidecar}
```
";

/// What the objects are that stand in many places.
pub(super) const REFERENCES: &str = "\
- *key of a Secret*: `{name, key}`. *ServiceAccount*: `{name, audiences}`; the audiences are optional, and by default the
  provider's own. *certificates*: `{type: Secret | ConfigMap, name, key}`, with key `ca.crt` by default, and PEM in it.
  None of them has a namespace: it is that of the store, or the operator's for a ClusterSecretStore.
- *label selector*: as everywhere in Kubernetes.
- *native document*: YAML of Alertmanager or Grafana as it is, with references in the place of credentials.
";
