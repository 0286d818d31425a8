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

/// What the objects are that stand in many places.
pub(super) const REFERENCES: &str = "\
- *key of a Secret*: `{name, key}`. *ServiceAccount*: `{name, audiences}`; the audiences are optional, and by default the
  provider's own. *certificates*: `{type: Secret | ConfigMap, name, key}`, with key `ca.crt` by default, and PEM in it.
  None of them has a namespace: it is that of the store, or the operator's for a ClusterSecretStore.
- *label selector*: as everywhere in Kubernetes.
";
