//! Where the programs and the work tree are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The root of the work tree.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in a folder of the work tree")
}

/// A program that `tests/tools.sh` builds, such as `kube-apiserver`: by its variable, else where that script says it is.
///
/// # Panics
/// When it is not there: a test that needs the program has failed, not been skipped.
#[must_use]
pub fn tool(name: &str) -> PathBuf {
    let variable = format!("WAXWING_TEST_{}", name.replace('-', "_").to_uppercase());
    let path = std::env::var_os(&variable).map(PathBuf::from).or_else(|| BUILT.get(&variable).cloned());
    match path {
        Some(path) if path.exists() => path,
        _ => panic!("{name} is not there; run ./tests/run e2e, or tests/tools.sh {name}, or set {variable}"),
    }
}

/// What `tests/tools.sh --env` prints: a variable and a path for each tool that is built.
static BUILT: LazyLock<BTreeMap<String, PathBuf>> = LazyLock::new(|| {
    let output =
        Command::new(root().join("tests/tools.sh")).arg("--env").output().expect("tests/tools.sh runs");
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let pair = |line: &str| {
        let (variable, path) = line.strip_prefix("export ")?.split_once('=')?;
        Some((variable.to_owned(), PathBuf::from(path)))
    };
    lines.lines().filter_map(pair).collect()
});

/// A program of this workspace: `WAXWING_TEST_OPERATOR` for `waxwing-operator`, `WAXWING_TEST_CLI` for `waxwing`;
/// else the one that was built beside this test binary.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn built(name: &str, variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).map_or_else(
        || {
            let this = std::env::current_exe().expect("the test binary has a path");
            let profile =
                this.parent().and_then(Path::parent).expect("the test binary lies in target/PROFILE/deps");
            profile.join(name)
        },
        PathBuf::from,
    );
    assert!(path.exists(), "{} is not there; run ./tests/run, or: cargo build -p {name}", path.display());
    path
}

/// The operator's binary.
#[must_use]
pub fn operator() -> PathBuf {
    built("waxwing-operator", "WAXWING_TEST_OPERATOR")
}

/// The CLI's binary.
#[must_use]
pub fn cli() -> PathBuf {
    built("waxwing", "WAXWING_TEST_CLI")
}
