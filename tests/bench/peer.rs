//! sealed-secrets, with its client limits off and with the rights of an administrator.
//!
//! The controller takes its configuration only from where a pod has it. It gets these files in a mount namespace of
//! its own; where that is not allowed, root writes them for the time of the run.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use waxwing_tests::chart;
use waxwing_tests::control_plane::ControlPlane;
use waxwing_tests::process::{self, Process};
use waxwing_tests::tools::tool;

use crate::account;
use crate::load::{self, KEYS, Kind, Place};
use crate::side::{Edit, Side};

/// Its namespace and its account.
const NAMESPACE: &str = "sealed-secrets";
/// Where a pod has them.
const POD: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The controller in a cluster.
pub(crate) struct Peer {
    plane: &'static ControlPlane,
    dir: PathBuf,
    pod: Pod,
    running: Option<Process>,
    sealed: Vec<Value>,
}

impl Peer {
    /// Makes its account, its CRD and a sealing key; the controller takes a key that is there.
    pub(crate) async fn install(plane: &'static ControlPlane) -> Result<Self> {
        let token = account::administrator(plane, NAMESPACE).await?;
        let crd = std::env::var_os("WAXWING_BENCH_PEER_CRD").context("WAXWING_BENCH_PEER_CRD is not set")?;
        let crd = std::fs::read_to_string(&crd).context("the CRD of sealed-secrets")?;
        chart::install_crds(&plane.admin, &chart::objects(&crd)?).await?;

        let dir = process::folder(NAMESPACE);
        call(&["keys", &dir.display().to_string()], None)?;
        let pem = |name: &str| std::fs::read_to_string(dir.join(name)).with_context(|| name.to_owned());
        let key = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {
                "name": "sealed-secrets-key", "namespace": NAMESPACE,
                "labels": {"sealedsecrets.bitnami.com/sealed-secrets-key": "active"},
            },
            "stringData": {"tls.crt": pem("tls.crt")?, "tls.key": pem("tls.key")?},
        });
        chart::apply(&plane.admin, &key).await?;
        let files = dir.join("pod");
        std::fs::create_dir(&files)?;
        std::fs::write(files.join("token"), token)?;
        std::fs::write(files.join("ca.crt"), &plane.certs.ca_pem)?;
        std::fs::write(files.join("namespace"), NAMESPACE)?;
        let pod = Pod::with(files)?;
        Ok(Self { plane, dir, pod, running: None, sealed: Vec::new() })
    }

    /// The certificate that is sealed for.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.dir.join("tls.crt")
    }

    fn seal(&self, secrets: &[Value]) -> Result<Vec<Value>> {
        let file = self.dir.join("secrets.json");
        std::fs::write(&file, secrets.iter().map(|secret| format!("{secret}\n")).collect::<String>())?;
        let sealed = call(&["seal", &self.certificate().display().to_string()], Some(&file))?;
        sealed.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// The `spec` of a Secret of one value a key, as compact JSON.
    pub(crate) fn spec_of(&self, values: &[(String, String)]) -> Result<String> {
        let data: Value = values.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        let place = Place { namespace: "monitoring".to_owned(), name: "receivers".to_owned() };
        let sealed = self.seal(&[secret(&place, &data)])?;
        Ok(sealed.first().context("one Secret is sealed to one object")?["spec"].to_string())
    }
}

impl Side for Peer {
    const KIND: Kind =
        Kind { group: "bitnami.com", version: "v1alpha1", kind: "SealedSecret", plural: "sealedsecrets" };
    const NAME: &'static str = "sealed-secrets";

    fn objects(&mut self, count: usize) -> Result<Vec<String>> {
        let of = |number| {
            let values =
                KEYS.iter().enumerate().map(|(key, name)| ((*name).to_owned(), load::value(number, key, 0)));
            secret(&Place::of(number), &values.map(|(key, value)| (key, json!(value))).collect())
        };
        self.sealed = self.seal(&(0..count).map(of).collect::<Vec<_>>())?;
        Ok(self.sealed.iter().map(Value::to_string).collect())
    }

    fn edits(&mut self, count: usize, turn: usize) -> Result<Vec<Edit>> {
        let step = self.sealed.len() / count;
        let what = |round: usize| {
            let (number, key) = (round * step, (round + turn) % KEYS.len());
            (Place::of(number), KEYS[key], load::value(number, key, turn + 1))
        };
        let secrets: Vec<_> =
            (0..count).map(what).map(|(place, key, value)| secret(&place, &json!({key: value}))).collect();
        let sealed = self.seal(&secrets)?;
        let edit = |(round, sealed): (usize, Value)| {
            let (place, key, value) = what(round);
            let patch = json!({"spec": {"encryptedData": sealed["spec"]["encryptedData"]}});
            Edit { place, patch, key, value }
        };
        Ok(sealed.into_iter().enumerate().map(edit).collect())
    }

    fn start(&mut self) -> Result<()> {
        let listen = |flag: &str| format!("--{flag}=127.0.0.1:{}", process::free_port());
        let args = ["--kubeclient-qps=-1".to_owned(), listen("listen-addr"), listen("listen-metrics-addr")];
        let (host, port) =
            self.plane.url.trim_start_matches("https://").split_once(':').context("host and port")?;
        let env = [("KUBERNETES_SERVICE_HOST", host), ("KUBERNETES_SERVICE_PORT", port)];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let command = self.pod.command(&tool("sealed-secrets-controller"), &args);
        self.running = Some(Process::start("controller", Path::new("bash"), command, &env, &self.dir)?);
        Ok(())
    }

    async fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.running.take() {
            process.terminate(Duration::from_secs(30)).await?;
        }
        Ok(())
    }

    fn process(&mut self) -> Result<&mut Process> {
        self.running.as_mut().context("the controller is not started")
    }

    fn user(&self) -> String {
        account::user(NAMESPACE)
    }
}

fn secret(Place { namespace, name }: &Place, values: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": namespace, "name": name}, "stringData": values})
}

/// Runs the program that is linked with the peer's library.
pub(crate) fn call(args: &[&str], input: Option<&Path>) -> Result<String> {
    let program = std::env::var_os("WAXWING_BENCH_PEER").context("WAXWING_BENCH_PEER is not set")?;
    let input = input.map_or_else(|| Ok(Stdio::null()), |path| File::open(path).map(Stdio::from))?;
    let output = Command::new(program).args(args).stdin(input).output().context("the peer's program")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// The files that a pod has.
struct Pod {
    files: PathBuf,
    /// How a program gets them.
    unshare: Option<&'static [&'static str]>,
}

impl Pod {
    fn with(files: PathBuf) -> Result<Self> {
        let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
        let works = |way: &&&[&str]| {
            let probe = ["mount", "-t", "tmpfs", "tmpfs", "/run"];
            Command::new("unshare")
                .args(**way)
                .args(probe)
                .output()
                .is_ok_and(|output| output.status.success())
        };
        let unshare = ways.iter().find(works).copied();
        if unshare.is_none() {
            ensure!(
                !Path::new(POD).exists(),
                "{POD} exists: this is a pod, and the benchmark would overwrite its files"
            );
            std::fs::create_dir_all(POD)
                .context("neither mount namespaces nor root's rights to write a pod's files")?;
            for file in std::fs::read_dir(&files)? {
                let file = file?;
                std::fs::copy(file.path(), Path::new(POD).join(file.file_name()))?;
            }
        }
        Ok(Self { files, unshare })
    }

    /// Arguments for bash that start a program; each step replaces the one before, so that the process id stays.
    fn command(&self, program: &Path, args: &[String]) -> Vec<String> {
        let inner = "mount -t tmpfs tmpfs /run && mkdir -p \"$1\" && cp \"$2\"/* \"$1\" && shift 2 \
                     && exec setpriv --pdeathsig KILL -- \"$@\"";
        let mut command = vec!["-c".to_owned()];
        match self.unshare {
            Some(way) => {
                command.extend([
                    format!("exec unshare {} bash -c '{inner}' in-pod \"$@\"", way.join(" ")),
                    "pod".to_owned(),
                ]);
                command.extend([POD.to_owned(), self.files.display().to_string()]);
            }
            None => command.extend(["exec \"$@\"".to_owned(), "pod".to_owned()]),
        }
        command.push(program.display().to_string());
        command.extend_from_slice(args);
        command
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if self.unshare.is_none() {
            // Only what was made here; folders go only when nothing else is in them.
            let _ = std::fs::remove_dir_all(POD);
            let _ = std::fs::remove_dir(Path::new(POD).parent().unwrap_or(Path::new(POD)));
        }
    }
}
