//! The chart as an administrator installs it: rendered by the real Helm, applied by server-side apply.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::wait::conditions;
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::Value;

use crate::tools::{root, tool};
use crate::wait;

/// A Helm that is built from source takes itself for one of an ancient Kubernetes when no cluster is asked.
pub const KUBE_VERSION: &str = "1.36";

/// The chart's folder.
#[must_use]
pub fn path() -> PathBuf {
    root().join("charts/waxwing")
}

/// Runs Helm and gives what it prints.
///
/// # Errors
/// With what it says, when it fails.
pub fn helm<'a>(args: impl IntoIterator<Item = &'a str>) -> Result<String> {
    let mut command = Command::new(tool("helm"));
    // Nothing of the user's own Helm: no repositories, no plugins, no cluster.
    let home = std::env::temp_dir().join("waxwing-no-helm-home");
    for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(variable, &home);
    }
    let output = command.args(args).env("KUBECONFIG", "/dev/null").output().context("helm")?;
    if !output.status.success() {
        bail!("helm: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Renders the chart, CRDs included. Each of `values` is `path=value`, as for `--set`.
///
/// # Errors
/// When Helm refuses, or what it renders is no list of objects.
pub fn render(release: &str, namespace: &str, values: &[String]) -> Result<Vec<Value>> {
    let chart = path().display().to_string();
    let mut args = vec![
        "template",
        release,
        &chart,
        "--namespace",
        namespace,
        "--include-crds",
        "--kube-version",
        KUBE_VERSION,
    ];
    for value in values {
        args.extend(["--set", value]);
    }
    objects(&helm(args)?)
}

/// The objects of a YAML stream; empty documents are passed over.
///
/// # Errors
/// When it is no YAML.
pub fn objects(text: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).context("a rendered document is no YAML")?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// Applies one object, as `kubectl apply --server-side` would, by a field manager of its own.
///
/// # Errors
/// When the API server refuses it.
pub async fn apply(client: &Client, object: &Value) -> Result<DynamicObject> {
    let (api, name) = api_of(client, object)?;
    let params = PatchParams::apply("test-administrator").force();
    api.patch(&name, &params, &Patch::Apply(object)).await.with_context(|| format!("apply {name}"))
}

/// Which API an object belongs to, and its name.
///
/// # Errors
/// When it has no kind or no name.
pub fn api_of(client: &Client, object: &Value) -> Result<(Api<DynamicObject>, String)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Head {
        api_version: String,
        kind: String,
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        name: String,
        namespace: Option<String>,
    }
    let head = Head::deserialize(object).context("an object without kind or name")?;
    let (group, version) = head.api_version.split_once('/').unwrap_or(("", &head.api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &head.kind));
    let api = match &head.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    Ok((api, head.metadata.name))
}

/// Applies CRDs and waits until the API server serves them.
///
/// # Errors
/// When it refuses one.
pub async fn install_crds(client: &Client, crds: &[Value]) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in crds {
        apply(client, crd).await?;
    }
    for crd in crds {
        let name = crd["metadata"]["name"].as_str().context("a CRD without a name")?;
        wait::until(&api, name, "is served", conditions::is_crd_established()).await;
    }
    Ok(())
}

/// The objects of all YAML files in one folder.
///
/// # Errors
/// When one can't be read.
pub fn in_folder(folder: &Path) -> Result<Vec<Value>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .with_context(|| folder.display().to_string())?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let mut all = Vec::new();
    for file in files {
        all.extend(objects(&std::fs::read_to_string(&file)?)?);
    }
    Ok(all)
}
