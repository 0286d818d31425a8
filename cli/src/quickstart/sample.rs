//! What the quickstart seals: a sample, or the user's own file.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use waxwing_core::{Secret, yaml};

use crate::{
    error::{Explain, Failure, Result},
    input,
    write::{self, Mode},
};

/// A Secret as people have it before anything is sealed. The values belong to nobody.
const MANIFEST: &str = "\
apiVersion: v1
kind: Secret
metadata:
  name: receivers
  namespace: monitoring
stringData:
  pagerduty-key: example-routing-key-of-the-first-year
  slack-url: https://hooks.example.invalid/T000/B000/first
  smtp-password: example-smtp-password
";

/// The namespace that stands in it.
const NAMESPACE: &str = "monitoring";

/// The file to seal, and how.
pub(super) struct Sample {
    manifest: String,
    /// The user's own file, if there is one.
    own: Option<PathBuf>,
    /// Arguments of `seal` besides the output.
    pub(super) seal: Vec<String>,
    /// What the values are, where that is known beforehand.
    pub(super) values: BTreeMap<String, Secret>,
}

impl Sample {
    /// The sample, or the user's own file; in a namespace that is given, or in its own.
    pub(super) fn new(from: Option<&Path>, namespace: Option<&str>) -> Result<Self> {
        let manifest = MANIFEST.replace(NAMESPACE, namespace.unwrap_or(NAMESPACE));
        let Some(from) = from else {
            let text = manifest;
            let manifest: Value = yaml::from_str(&text)?;
            let values = manifest["stringData"].as_object().into_iter().flatten();
            let values = values.filter_map(|(key, value)| Some((key.clone(), value.as_str()?)));
            let values = values.map(|(key, value)| (key, Secret::new(value.as_bytes().to_vec()))).collect();
            return Ok(Self { manifest: text, own: None, seal: Vec::new(), values });
        };
        let from = from.canonicalize().at(from.display())?;
        let shown = from.display().to_string();
        let is_manifest = from.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
        let target = namespace.unwrap_or("default");
        let seal = if !is_manifest {
            ["--from-env-file", &shown, "--name", "app", "--namespace", target].map(str::to_owned).into()
        } else if lacks_namespace(&from)? {
            vec![shown, "--namespace".to_owned(), target.to_owned()]
        } else if namespace.is_none() {
            vec![shown]
        } else {
            return Err(Failure::new(
                "the manifest names a namespace, and in a cluster the quickstart uses one of its own",
            )
            .at(from.display())
            .hint("remove metadata.namespace from it, or leave out --cluster"));
        };
        Ok(Self { manifest, own: Some(from), seal, values: BTreeMap::new() })
    }

    /// Writes the sample, readable by its owner alone, if there is no file of the user's own.
    pub(super) fn lay_out(&mut self, folder: &Path) -> Result<()> {
        if self.own.is_none() {
            let path = folder.join("secret.yaml");
            write::create(&path, self.manifest.as_bytes(), Mode::Private).at(path.display())?;
            self.seal = vec!["../secret.yaml".to_owned()];
        }
        Ok(())
    }

    /// Removes the sample. A file of the user's own stays.
    pub(super) fn clear(&self, folder: &Path) -> Result<()> {
        if self.own.is_none() {
            fs::remove_file(folder.join("secret.yaml"))?;
        }
        Ok(())
    }

    /// Whether it is the user's own.
    pub(super) fn is_own(&self) -> bool {
        self.own.is_some()
    }
}

/// Whether a manifest says no namespace for a Secret.
fn lacks_namespace(path: &Path) -> Result<bool> {
    let bytes = input::read(path)?;
    // Why exposed: to read the metadata.
    let text =
        std::str::from_utf8(bytes.expose()).map_err(|_| Failure::new("not UTF-8 text").at(path.display()))?;
    let documents = yaml::documents(text).at(path.display())?;
    let lacks = |value: &Value| value["kind"] == "Secret" && value["metadata"]["namespace"].is_null();
    let items = |value: &Value| value["items"].as_array().is_some_and(|items| items.iter().any(lacks));
    Ok(documents.iter().any(|document| lacks(&document.value) || items(&document.value)))
}
