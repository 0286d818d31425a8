//! A release of the chart, and operators that run as its ServiceAccount: with its arguments, its RBAC, and nothing else.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::DeleteParams;
use kube::{Api, Client};
use serde_json::Value;

use crate::control_plane::{self, ControlPlane};
use crate::process::{self, POLL, Process};
use crate::scrape::{self, Scrape};
use crate::{chart, tools, wait};

/// How long the operator may take to answer after it was started, or to end after SIGTERM.
const START: Duration = Duration::from_secs(30);

/// An installed chart.
pub struct Release {
    /// The cluster that it is installed in.
    pub plane: &'static ControlPlane,
    /// The release's name.
    pub name: String,
    /// What Helm has rendered, but for the definitions.
    pub objects: Vec<Value>,
    /// The operator's namespace.
    pub namespace: String,
    /// The name of its KeyRing.
    pub ring: String,
    service_account: String,
    args: Vec<String>,
    token: String,
}

impl Release {
    /// Installs the chart. Without `serves` it serves every namespace. Each of `values` is `path=value`.
    ///
    /// # Errors
    /// When Helm or the API server refuses.
    pub async fn install(
        plane: &'static ControlPlane,
        name: &str,
        serves: Option<&[String]>,
        values: &[&str],
    ) -> Result<Self> {
        let ring = if serves.is_some() { name } else { "default" };
        Self::install_as(plane, "waxwing", &format!("waxwing-{name}"), ring, serves, values).await
    }

    /// Installs the chart as the release `name` into a namespace, which is made when it is not there, with this ring.
    ///
    /// # Errors
    /// When Helm or the API server refuses.
    pub async fn install_as(
        plane: &'static ControlPlane,
        name: &str,
        namespace: &str,
        ring: &str,
        serves: Option<&[String]>,
        values: &[&str],
    ) -> Result<Self> {
        let (namespace, ring) = (namespace.to_owned(), ring.to_owned());
        let mut all = vec![format!("keyring.name={ring}"), "operator.logLevel=trace".to_owned()];
        if let Some(serves) = serves {
            all.extend([
                "rbac.mode=namespaces".to_owned(),
                format!("rbac.namespaces={{{}}}", serves.join(",")),
            ]);
        }
        all.extend(values.iter().map(|value| (*value).to_owned()));
        let namespaces: Api<Namespace> = Api::all(plane.admin.clone());
        if namespaces.get_opt(&namespace).await?.is_none() {
            plane.create_namespace(&namespace).await?;
        }
        let mut deployment = Value::Null;
        let mut objects = chart::render(name, &namespace, &all)?;
        // The control plane has them from its start.
        objects.retain(|object| object["kind"] != "CustomResourceDefinition");
        for object in &objects {
            if object["kind"] == "Deployment" {
                deployment = object.clone();
            }
            chart::apply(&plane.admin, object).await?;
        }
        let pod = &deployment["spec"]["template"]["spec"];
        let service_account =
            pod["serviceAccountName"].as_str().context("a Deployment names its account")?.to_owned();
        let args = pod["containers"][0]["args"].as_array().context("a container has arguments")?;
        let args = args.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let token = plane.token(&namespace, &service_account, &[]).await?;
        let name = name.to_owned();
        Ok(Self { plane, name, objects, namespace, ring, service_account, args, token })
    }

    /// Deletes what `helm uninstall` does: all but what says that it is to be kept.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn uninstall(&self) -> Result<()> {
        for object in &self.objects {
            if object["metadata"]["annotations"]["helm.sh/resource-policy"] != "keep" {
                let (api, name) = chart::api_of(&self.plane.admin, object)?;
                api.delete(&name, &DeleteParams::default()).await?;
            }
        }
        Ok(())
    }

    /// Starts an operator of this release.
    ///
    /// # Errors
    /// When the binary can't be started.
    pub fn start(&self, replica: &str) -> Result<Operator> {
        self.start_at(replica, &self.plane.url, &[])
    }

    /// Starts one that reaches the API server at `url`, with further arguments.
    ///
    /// # Errors
    /// When the binary can't be started.
    pub fn start_at(&self, replica: &str, url: &str, more: &[&str]) -> Result<Operator> {
        let dir = process::folder(&format!("{}-{}-{replica}", self.namespace, self.name));
        let kubeconfig = dir.join("kubeconfig");
        std::fs::write(&kubeconfig, self.plane.kubeconfig(url, &self.token, &self.namespace))?;
        let port = process::free_port();
        let listen = format!("--listen=127.0.0.1:{port}");
        let args =
            self.args.iter().map(|arg| if arg.starts_with("--listen=") { &listen } else { arg }.clone());
        let args = args.chain(more.iter().map(|arg| (*arg).to_owned())).collect();
        let env = vec![
            ("KUBECONFIG".to_owned(), kubeconfig.display().to_string()),
            ("POD_NAME".to_owned(), replica.to_owned()),
            ("POD_NAMESPACE".to_owned(), self.namespace.clone()),
            ("RUST_BACKTRACE".to_owned(), "1".to_owned()),
        ];
        let process = Process::start("operator", &tools::operator(), &args, &env, &dir)?;
        Ok(Operator { process, port, args, env, dir })
    }

    /// The name by which the API server knows the operator.
    #[must_use]
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.service_account)
    }

    /// A client with the operator's rights.
    ///
    /// # Errors
    /// When its configuration can't be written.
    pub async fn client(&self) -> Result<Client> {
        let path = self.plane.dir().join(format!("{}-{}.kubeconfig", self.namespace, self.name));
        std::fs::write(&path, self.plane.kubeconfig(&self.plane.url, &self.token, &self.namespace))?;
        control_plane::client(&path).await
    }
}

/// A running operator. It is killed when this is dropped.
pub struct Operator {
    process: Process,
    /// Where it serves `/metrics`, `/healthz` and `/readyz`.
    pub port: u16,
    args: Vec<String>,
    env: Vec<(String, String)>,
    dir: PathBuf,
}

impl Operator {
    /// Waits until `/readyz` answers 200.
    ///
    /// # Errors
    /// When it ends, or takes too long.
    pub async fn until_ready(&mut self) -> Result<()> {
        let began = Instant::now();
        loop {
            self.process.check_alive()?;
            if scrape::get(self.port, "/readyz").await.is_ok_and(|(code, _)| code == 200) {
                return Ok(());
            }
            if began.elapsed() > START {
                bail!("the operator is not ready after {START:?}:\n{}", self.process.log_tail(30));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Ends it as a rollout does, and gives its exit status.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn terminate(&mut self) -> Result<std::process::ExitStatus> {
        self.process.terminate(START).await
    }

    /// Starts it again where it has ended; the log goes on.
    ///
    /// # Errors
    /// When the binary can't be started.
    pub fn start_again(&mut self) -> Result<()> {
        self.process.kill();
        self.process = Process::start("operator", &tools::operator(), &self.args, &self.env, &self.dir)?;
        Ok(())
    }

    /// Its metrics.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<Scrape> {
        let (code, body) = scrape::get(self.port, "/metrics").await?;
        anyhow::ensure!(code == 200, "/metrics answers {code}");
        Ok(Scrape::parse(&body))
    }

    /// Waits until its metrics are as wanted. They can't be watched, so they are read again and again.
    ///
    /// # Panics
    /// At the deadline, with what they were then.
    pub async fn until_metrics(&self, what: &str, wanted: impl Fn(&Scrape) -> bool) -> Scrape {
        let began = Instant::now();
        loop {
            let scrape = self.metrics().await.expect("the operator answers");
            if wanted(&scrape) {
                return scrape;
            }
            assert!(
                began.elapsed() < wait::DEADLINE,
                "not so in time: {what}; the metrics are:\n{}",
                scrape.text()
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The process, to look whether it lives.
    pub fn process_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}
