//! Upgrades by the real Helm, and by server-side apply: what people and commands wrote into the KeyRing stays.

use anyhow::Result;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use waxwing_core::keys::Identity;
use waxwing_crds::KeyRing;
use waxwing_tests::chart::{self, helm};
use waxwing_tests::control_plane::{self, ControlPlane};
use waxwing_tests::{block_on, wait};

/// Runs Helm as an administrator of the tenants' cluster, for one release.
struct Helm {
    plane: &'static ControlPlane,
    namespace: &'static str,
    ring: &'static str,
}

impl Helm {
    async fn new(namespace: &'static str, ring: &'static str) -> Self {
        Self { plane: control_plane::tenants().await, namespace, ring }
    }

    /// `helm VERB waxwing CHART` with these arguments.
    async fn run(&self, verb: &'static str, more: &[&str]) -> Result<String> {
        let config = self.plane.admin_kubeconfig.display().to_string();
        let chart = chart::path().display().to_string();
        let name = format!("keyring.name={}", self.ring);
        let mut args = vec!["--kubeconfig", &config, "--namespace", self.namespace, verb, "waxwing"];
        if verb != "uninstall" {
            args.extend([
                &chart,
                "--skip-crds",
                "--set",
                "crds.install=false,rbac.aggregate=false",
                "--set",
                &name,
            ]);
        }
        args.extend(more);
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        tokio::task::spawn_blocking(move || helm(args.iter().map(String::as_str))).await?
    }

    fn rings(&self) -> Api<KeyRing> {
        Api::all(self.plane.admin.clone())
    }
}

/// Three recipients.
fn recipients() -> [String; 3] {
    [(); 3].map(|()| Identity::generate().recipient().to_string())
}

/// Writes what `waxwing keys backup`, `retire` and `restore` write, in their way.
async fn write_as_commands(client: &Client, ring: &str, keys: &[String; 3]) -> Result<()> {
    let spec = json!({"backedUp": [keys[0], keys[1]], "retired": [keys[1]], "trusted": [keys[2]]});
    let api: Api<KeyRing> = Api::all(client.clone());
    api.patch(ring, &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await?;
    Ok(())
}

fn stays_as_written(ring: &KeyRing, keys: &[String; 3]) {
    assert_eq!(ring.spec.backed_up, keys[..2], "backedUp");
    assert_eq!(ring.spec.retired, keys[1..2], "retired");
    assert_eq!(ring.spec.trusted, keys[2..], "trusted");
}

/// K37. Guard: `charts/waxwing/templates/keyring.yaml` leaves out what the values leave empty.
#[test]
fn a_helm_upgrade_leaves_what_the_commands_wrote_into_the_ring() {
    block_on(async {
        let helm = Helm::new("waxwing-upgraded", "upgraded").await;
        helm.run("install", &["--create-namespace"]).await?;
        let keys = recipients();
        write_as_commands(&helm.plane.admin, helm.ring, &keys).await?;
        let [recovery, trusted, _] = recipients();
        let more = [
            "--set".to_owned(),
            "keyring.rotation.every=7d,keyring.activateAfterBackup=true,keyring.rotation.announce=24h"
                .to_owned(),
            "--set".to_owned(),
            format!("keyring.recipients[0].name=recovery,keyring.recipients[0].recipient={recovery}"),
        ];
        let more: Vec<_> = more.iter().map(String::as_str).collect();
        helm.run("upgrade", &more).await?;
        let ring = helm.rings().get(helm.ring).await?;
        stays_as_written(&ring, &keys);
        assert_eq!(ring.spec.recipients.len(), 1, "the upgrade took effect");
        // Back to the defaults, and uninstalled and installed again.
        helm.run("upgrade", &["--reset-values"]).await?;
        let ring = helm.rings().get(helm.ring).await?;
        stays_as_written(&ring, &keys);
        assert!(ring.spec.recipients.is_empty());
        helm.run("uninstall", &[]).await?;
        helm.run("install", &["--take-ownership"]).await?;
        helm.run("upgrade", &["--set", "keyring.rotation.every=9d"]).await?;
        stays_as_written(&helm.rings().get(helm.ring).await?, &keys);

        // What the values list is theirs: the README says not to list what a command writes.
        helm.run("upgrade", &["--set", &format!("keyring.trusted={{{trusted}}}")]).await?;
        assert_eq!(helm.rings().get(helm.ring).await?.spec.trusted, [trusted]);
        Ok::<_, anyhow::Error>(())
    })
    .unwrap();
}

/// K37. Guard: the lists of a KeyRing are sets (`crds: schema`), of which server-side apply takes away what its own manager
/// has set, and no more.
#[test]
fn a_server_side_apply_leaves_what_the_commands_wrote_into_the_ring() {
    block_on(async {
        let plane = control_plane::tenants().await;
        let render = |values: &[&str]| -> Result<serde_json::Value> {
            let mut all = vec!["keyring.name=applied".to_owned()];
            all.extend(values.iter().map(|value| (*value).to_owned()));
            let objects = chart::render("waxwing", "waxwing-applied", &all)?;
            Ok(objects.into_iter().find(|object| object["kind"] == "KeyRing").unwrap_or_default())
        };
        chart::apply(&plane.admin, &render(&["keyring.rotation.every=7d"])?).await?;
        let keys = recipients();
        write_as_commands(&plane.admin, "applied", &keys).await?;
        chart::apply(&plane.admin, &render(&["keyring.rotation.every=9d"])?).await?;
        let api: Api<KeyRing> = Api::all(plane.admin.clone());
        let ring = api.get("applied").await?;
        stays_as_written(&ring, &keys);
        assert_eq!(ring.spec.rotation.map(|rotation| rotation.every).as_deref(), Some("9d"));
        // A list in the values and one of a command's are one set here.
        let listed = recipients()[0].clone();
        let trusted = format!("keyring.trusted={{{listed}}}");
        let applied = chart::apply(&plane.admin, &render(&[&trusted])?).await?;
        let spec = applied.data["spec"]["trusted"].to_string();
        assert!(spec.contains(&listed) && spec.contains(&keys[2]), "{spec}");
        Ok::<_, anyhow::Error>(())
    })
    .unwrap();
}

#[test]
fn what_the_values_say_of_the_ring_is_what_the_api_server_takes() {
    block_on(async {
        let plane = control_plane::tenants().await;
        let (chart, values) = (chart::path().display().to_string(), "ci/full-values.yaml");
        let values = chart::path().join(values).display().to_string();
        let vault = "server=https://vault.example.com:8200,key=waxwing,auth.kubernetes.mountPath=kubernetes,auth.kubernetes.role=waxwing,auth.kubernetes.serviceAccountRef.name=waxwing";
        let vault: Vec<String> =
            vault.split(',').map(|pair| format!("keyring.protection.vaultTransit.{pair}")).collect();
        let protection = format!("keyring.protection.kind=VaultTransit,{}", vault.join(","));
        for protection in ["keyring.name=full", protection.as_str()] {
            let args = [
                "template", "waxwing", &chart, "--namespace", "waxwing-full", "--values", &values, "--set",
                protection, "--set", "keyring.name=full", "--show-only", "templates/keyring.yaml",
            ];
            let ring = chart::objects(&helm(args)?)?.remove(0);
            let taken = chart::apply(&plane.admin, &ring).await?;
            assert_eq!(taken.data["spec"], ring["spec"]);
            assert!(ring["spec"]["rotation"]["after"]["kubeconfig"]["name"].is_string());
        }
        Ok::<_, anyhow::Error>(())
    })
    .unwrap();
}

/// The commands of `docs/runbooks/disaster.md` for definitions that were deleted.
#[test]
fn definitions_that_were_deleted_come_back_with_the_chart() {
    block_on(async {
        let plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start("definitions").await?));
        let config = plane.admin_kubeconfig.display().to_string();
        let chart = chart::path().display().to_string();
        let run = async |args: &[&str]| -> Result<String> {
            let all = ["--kubeconfig", &config, "--namespace", "waxwing-system"];
            let args: Vec<String> = all.iter().chain(args).map(|arg| (*arg).to_owned()).collect();
            tokio::task::spawn_blocking(move || helm(args.iter().map(String::as_str))).await?
        };
        run(&["install", "waxwing", &chart, "--create-namespace", "--take-ownership"]).await?;
        let definitions: Api<CustomResourceDefinition> = Api::all(plane.admin.clone());
        for name in ["keyrings.waxwing.dev", "sealedsecrets.waxwing.dev"] {
            definitions.delete(name, &DeleteParams::default()).await?;
            wait::until_gone(&definitions, name).await;
        }
        // Helm never brings back what lies in crds/, and makes no KeyRing whose kind is not there.
        assert!(run(&["upgrade", "--install", "waxwing", &chart]).await.is_err());
        let shown = chart::objects(&run(&["show", "crds", &chart]).await?)?;
        chart::install_crds(&plane.admin, &shown).await?;
        run(&["upgrade", "--install", "waxwing", &chart]).await?;
        definitions.get("sealedsecrets.waxwing.dev").await?;
        Api::<KeyRing>::all(plane.admin.clone()).get("default").await?;
        Ok::<_, anyhow::Error>(())
    })
    .unwrap();
}
