//! The table of generated files. A further one is one more row.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::{api, crds, reference};

/// A generated file.
struct Output {
    /// Where it lies, from the root of the workspace.
    path: &'static str,
    /// What it holds.
    render: fn() -> Result<String>,
}

/// Every generated file. The chart cannot read files outside its own folder, so it gets copies of the CRDs.
const OUTPUTS: &[Output] = &[
    Output { path: "crds/yaml/alertmanagerinjections.yaml", render: crds::alertmanager_injections },
    Output { path: "crds/yaml/alertreceivers.yaml", render: crds::alert_receivers },
    Output { path: "crds/yaml/clusterexternalsecrets.yaml", render: crds::cluster_external_secrets },
    Output { path: "crds/yaml/clustersecretstores.yaml", render: crds::cluster_secret_stores },
    Output { path: "crds/yaml/externalsecrets.yaml", render: crds::external_secrets },
    Output { path: "crds/yaml/grafanainjections.yaml", render: crds::grafana_injections },
    Output { path: "crds/yaml/keyrings.yaml", render: crds::key_rings },
    Output { path: "crds/yaml/sealedsecrets.yaml", render: crds::sealed_secrets },
    Output { path: "crds/yaml/secretstores.yaml", render: crds::secret_stores },
    Output {
        path: "charts/waxwing/files/crds/alertmanagerinjections.yaml",
        render: crds::alertmanager_injections,
    },
    Output { path: "charts/waxwing/files/crds/alertreceivers.yaml", render: crds::alert_receivers },
    Output { path: "charts/waxwing/files/crds/grafanainjections.yaml", render: crds::grafana_injections },
    Output {
        path: "charts/waxwing/files/crds/clusterexternalsecrets.yaml",
        render: crds::cluster_external_secrets,
    },
    Output {
        path: "charts/waxwing/files/crds/clustersecretstores.yaml",
        render: crds::cluster_secret_stores,
    },
    Output { path: "charts/waxwing/files/crds/externalsecrets.yaml", render: crds::external_secrets },
    Output { path: "charts/waxwing/crds/keyrings.yaml", render: crds::key_rings },
    Output { path: "charts/waxwing/files/crds/sealedsecrets.yaml", render: crds::sealed_secrets },
    Output { path: "charts/waxwing/files/crds/secretstores.yaml", render: crds::secret_stores },
    Output { path: "docs/reference/api.md", render: api::page },
    Output { path: "docs/reference/names.md", render: reference::names },
    Output { path: "docs/reference/reasons.md", render: reference::reasons },
];

/// Writes the files that differ.
pub(crate) fn write(root: &Path) -> Result<()> {
    for output in OUTPUTS {
        let path = root.join(output.path);
        let text = (output.render)().with_context(|| format!("cannot make {}", output.path))?;
        if read(&path)?.as_ref() == Some(&text) {
            continue;
        }
        let folder = path.parent().expect("every output lies in a folder");
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", output.path))?;
    }
    Ok(())
}

/// Fails when a file on disk is not what would be written.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut stale = Vec::new();
    for output in OUTPUTS {
        let text = (output.render)().with_context(|| format!("cannot make {}", output.path))?;
        if read(&root.join(output.path))? != Some(text) {
            stale.push(output.path);
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    bail!("not up to date: {}; run `cargo xtask generate` and commit the result", stale.join(", "))
}

/// The text of a file, if there is one.
fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_generated_file_in_the_repository_is_up_to_date() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace");
        check(root).expect("up to date");
    }

    #[test]
    fn generating_twice_gives_the_same_bytes() {
        for output in OUTPUTS {
            assert_eq!(
                (output.render)().expect("renders"),
                (output.render)().expect("renders"),
                "{}",
                output.path
            );
        }
    }

    #[test]
    fn no_two_rows_write_the_same_file() {
        let paths: BTreeSet<_> = OUTPUTS.iter().map(|output| output.path).collect();
        assert_eq!(paths.len(), OUTPUTS.len());
    }

    #[test]
    fn a_stale_and_a_missing_file_are_reported_by_name_and_written() {
        let root = std::env::temp_dir().join(format!("waxwing-xtask-{}", std::process::id()));
        let message = check(&root).expect_err("nothing is there").to_string();
        assert!(message.contains("crds/yaml/keyrings.yaml"), "{message}");
        write(&root).expect("written");
        check(&root).expect("up to date");
        fs::write(root.join("docs/reference/reasons.md"), "old").expect("written");
        let message = check(&root).expect_err("one is stale").to_string();
        assert!(message.contains("docs/reference/reasons.md") && !message.contains("keyrings"), "{message}");
        fs::remove_dir_all(&root).expect("removed");
    }
}
