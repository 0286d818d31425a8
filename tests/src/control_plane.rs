//! etcd, kube-apiserver and kube-controller-manager, as `tests/tools.sh` built them, on loopback.
//!
//! There are two: in the first one, one operator serves every namespace; in the other, releases with rings and
//! namespace lists of their own live side by side. An operator that serves everything would get in their way.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::audit::{self, Audit};
use crate::certs::Certs;
use crate::chart;
use crate::process::{self, POLL, Process};
use crate::tools::{root, tool};

/// How long a control plane may take to become ready.
const START: Duration = Duration::from_secs(90);

/// One cluster without nodes.
pub struct ControlPlane {
    /// An administrator's client. What is tested never gets it.
    pub admin: Client,
    /// Who asked what.
    pub audit: Audit,
    /// Where the API server listens.
    pub url: String,
    /// Keys and certificates.
    pub certs: Certs,
    /// An administrator's kubeconfig, for programs that are not tested here.
    pub admin_kubeconfig: PathBuf,
    dir: PathBuf,
    processes: Mutex<Vec<Process>>,
}

/// The cluster in which one operator serves every namespace.
///
/// # Panics
/// When it does not start.
pub async fn main() -> &'static ControlPlane {
    static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();
    PLANE
        .get_or_init(|| async { ControlPlane::start("main").await.expect("the main control plane starts") })
        .await
}

/// The cluster of releases that serve a list of namespaces.
///
/// # Panics
/// When it does not start.
pub async fn tenants() -> &'static ControlPlane {
    static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();
    PLANE
        .get_or_init(|| async {
            ControlPlane::start("tenants").await.expect("the tenants' control plane starts")
        })
        .await
}

impl ControlPlane {
    /// Starts one.
    ///
    /// # Errors
    /// When a program ends early or takes too long; with the end of its log.
    pub async fn start(name: &str) -> Result<Self> {
        let dir = process::folder(name);
        let certs = Certs::make(&dir)?;
        let (client_port, peer_port, port) =
            (process::free_port(), process::free_port(), process::free_port());
        let url = format!("https://127.0.0.1:{port}");
        let token = "administrator";
        std::fs::write(dir.join("tokens.csv"), format!("{token},admin,1,\"system:masters\"\n"))?;
        std::fs::write(dir.join("audit-policy.json"), audit::POLICY)?;
        let admin_kubeconfig = dir.join("admin.kubeconfig");
        std::fs::write(&admin_kubeconfig, kubeconfig(&url, &certs, token, "default"))?;

        let mut etcd = etcd(&dir, client_port, peer_port)?;
        let mut api_server = api_server(&dir, &certs, client_port, port)?;
        let admin = client(&admin_kubeconfig).await?;
        let began = Instant::now();
        while !is_ready(&admin).await {
            etcd.check_alive()?;
            api_server.check_alive()?;
            if began.elapsed() > START {
                bail!("the API server is not ready after {START:?}:\n{}", api_server.log_tail(30));
            }
            tokio::time::sleep(POLL).await;
        }
        // Before the controller manager, which looks for new kinds to collect only every 30 seconds.
        let mut crds = chart::in_folder(&root().join("crds/yaml"))?;
        crds.extend(chart::in_folder(&tool("flux-crds"))?);
        chart::install_crds(&admin, &crds).await?;
        let controllers = controllers(&dir, &certs, &admin_kubeconfig)?;
        let audit = Audit::new(dir.join("audit.log"));
        Ok(Self {
            admin,
            audit,
            url,
            certs,
            admin_kubeconfig,
            dir,
            processes: Mutex::new(vec![etcd, api_server, controllers]),
        })
    }

    /// Loses the cluster: everything ends at once, and what etcd held is deleted.
    ///
    /// # Panics
    /// When the data can't be deleted.
    pub fn lose(&self) {
        for process in self.processes.lock().expect("nobody panicked meanwhile").iter_mut().rev() {
            process.kill();
        }
        std::fs::remove_dir_all(self.dir.join("etcd")).expect("etcd's data can be deleted");
    }

    /// The folder of its files.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes a namespace.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn create_namespace(&self, name: &str) -> Result<()> {
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        Api::all(self.admin.clone()).create(&PostParams::default(), &namespace).await.context("namespace")?;
        Ok(())
    }

    /// Makes a ServiceAccount.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn service_account(&self, namespace: &str, name: &str) -> Result<()> {
        let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        let accounts = Api::namespaced(self.admin.clone(), namespace);
        accounts.create(&PostParams::default(), &account).await.context("service account")?;
        Ok(())
    }

    /// A token from the TokenRequest API, as a pod gets one. Without audiences it is for the API server.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn token(&self, namespace: &str, account: &str, audiences: &[&str]) -> Result<String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin.clone(), namespace);
        let audiences = audiences.iter().map(|audience| (*audience).to_owned());
        let audiences = (audiences.len() > 0).then(|| audiences.collect());
        let spec =
            TokenRequestSpec { audiences, expiration_seconds: Some(4 * 60 * 60), ..Default::default() };
        let request = TokenRequest { spec: Some(spec), ..Default::default() };
        let answer = accounts.create_token_request(account, &PostParams::default(), &request).await?;
        let token = answer.status.and_then(|status| status.token);
        token.context("a token request is answered with a token")
    }

    /// A kubeconfig for a token, of an API server at `url`: this one's own, or a proxy's with the same certificates.
    #[must_use]
    pub fn kubeconfig(&self, url: &str, token: &str, namespace: &str) -> String {
        kubeconfig(url, &self.certs, token, namespace)
    }
}

/// A client by a kubeconfig.
///
/// # Errors
/// When the file is not one.
pub async fn client(path: &Path) -> Result<Client> {
    let config =
        Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

fn kubeconfig(url: &str, certs: &Certs, token: &str, namespace: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": certs.ca}}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
        "current-context": "test",
    })
    .to_string()
}

async fn is_ready(admin: &Client) -> bool {
    let request = kube::client::Body::empty();
    let request = hyper::Request::get("/readyz").body(request).expect("a path is a request");
    admin.send(request).await.is_ok_and(|answer| answer.status().is_success())
}

fn etcd(dir: &Path, client_port: u16, peer_port: u16) -> Result<Process> {
    let (client, peer) = (format!("http://127.0.0.1:{client_port}"), format!("http://127.0.0.1:{peer_port}"));
    let args = [
        "--data-dir=etcd".to_owned(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    Process::start("etcd", &tool("etcd"), args, &[], dir)
}

fn api_server(dir: &Path, certs: &Certs, etcd_port: u16, port: u16) -> Result<Process> {
    let path = |path: &Path| path.display().to_string();
    let args = [
        format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--tls-cert-file={}", path(&certs.cert)),
        format!("--tls-private-key-file={}", path(&certs.key)),
        format!("--client-ca-file={}", path(&certs.ca)),
        "--token-auth-file=tokens.csv".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        format!("--service-account-key-file={}", path(&certs.sa_pub)),
        format!("--service-account-signing-key-file={}", path(&certs.sa_key)),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        "--allow-privileged=true".to_owned(),
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        "--audit-policy-file=audit-policy.json".to_owned(),
        "--audit-log-path=audit.log".to_owned(),
        "--audit-log-mode=blocking".to_owned(),
        // In megabytes. A mark is a place in one file, so the file must not be put aside.
        "--audit-log-maxsize=10000".to_owned(),
    ];
    Process::start("kube-apiserver", &tool("kube-apiserver"), args, &[], dir)
}

/// What the tests need of it: namespaces end, owners take what they own with them, a Deployment is counted.
fn controllers(dir: &Path, certs: &Certs, kubeconfig: &Path) -> Result<Process> {
    let kubeconfig = kubeconfig.display();
    let args = [
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        format!("--service-account-private-key-file={}", certs.sa_key.display()),
        format!("--root-ca-file={}", certs.ca.display()),
        format!("--secure-port={}", process::free_port()),
        "--bind-address=127.0.0.1".to_owned(),
        "--use-service-account-credentials=true".to_owned(),
        "--leader-elect=false".to_owned(),
        "--controllers=namespace-controller,garbage-collector-controller,serviceaccount-controller,\
         root-ca-certificate-publisher-controller"
            .to_owned(),
    ];
    Process::start("kube-controller-manager", &tool("kube-controller-manager"), args, &[], dir)
}
