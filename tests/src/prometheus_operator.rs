//! The real prometheus-operator in front of a test API server, as an administrator. There is no kubelet: it makes the
//! generated Secret and the StatefulSet, and no pod ever runs.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;
use crate::process::{self, Process};
use crate::tools::tool;
use crate::{chart, wait};

/// A running operator. It is killed when this is dropped.
pub struct PrometheusOperator {
    /// The program.
    pub process: Process,
}

/// Who it is for the API server.
const USER: &str = "prometheus-operator";

impl PrometheusOperator {
    /// Starts one that sees only the Alertmanagers of some namespaces; `name` names its folder in this run's. Its CRDs are
    /// made first.
    ///
    /// # Errors
    /// When the API server refuses something.
    pub async fn start(name: &str, plane: &ControlPlane, namespaces: &[&str]) -> Result<Self> {
        chart::install_crds(&plane.admin, &chart::in_folder(&tool("prometheus-operator-crds"))?).await?;
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": USER},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}],
        });
        chart::apply(&plane.admin, &binding).await?;
        let dir = process::folder(name);
        let identity = plane.certs.client(USER)?;
        std::fs::write(dir.join("client.crt"), &identity.cert_pem)?;
        std::fs::write(dir.join("client.key"), &identity.key_pem)?;
        let args = [
            format!("--apiserver={}", plane.url),
            format!("--ca-file={}", plane.certs.ca.display()),
            "--cert-file=client.crt".to_owned(),
            "--key-file=client.key".to_owned(),
            format!("--web.listen-address=127.0.0.1:{}", process::free_port()),
            format!("--namespaces={}", namespaces.join(",")),
        ];
        let process = Process::start("prometheus-operator", &tool("prometheus-operator"), args, &[], &dir)?;
        Ok(Self { process })
    }

    /// An Alertmanager that reads its configuration from a Secret. `spec` is merged into its spec.
    #[must_use]
    pub fn alertmanager(namespace: &str, name: &str, config_secret: &str, spec: &Value) -> Value {
        let mut all = json!({"replicas": 1, "version": "v0.31.1", "configSecret": config_secret});
        if let (Some(all), Some(spec)) = (all.as_object_mut(), spec.as_object()) {
            all.extend(spec.clone());
        }
        json!({
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "Alertmanager",
            "metadata": {"namespace": namespace, "name": name},
            "spec": all,
        })
    }

    /// The configuration that Alertmanager's pods would be given, once it is as wanted.
    ///
    /// # Errors
    /// When it is not gzip.
    ///
    /// # Panics
    /// At the deadline, with what the Secret was then.
    pub async fn generated(
        plane: &ControlPlane,
        namespace: &str,
        name: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let api: Api<Secret> = Api::namespaced(plane.admin.clone(), namespace);
        let name = format!("alertmanager-{name}-generated");
        let is_wanted = |secret: Option<&Secret>| {
            secret.is_some_and(|secret| configuration(secret).is_ok_and(|config| wanted(&config)))
        };
        let secret = wait::until_opt(&api, &name, "has the configuration", is_wanted).await;
        configuration(&secret.context("it was there")?)
    }
}

fn configuration(secret: &Secret) -> Result<String> {
    let data = secret.data.as_ref().context("no data")?;
    let Some(packed) = data.get("alertmanager.yaml.gz") else { bail!("no alertmanager.yaml.gz") };
    let mut gunzip = Command::new("gzip")
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("gzip")?;
    gunzip.stdin.take().context("a standard input")?.write_all(&packed.0)?;
    let output = gunzip.wait_with_output()?;
    ensure!(output.status.success(), "it is not gzip");
    Ok(String::from_utf8(output.stdout)?)
}
