//! Checks of the tree that no compiler makes: source files that no module includes, files that have grown too long,
//! and marks of unfinished work.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The length from which a file has to be split.
const MAX_LINES: usize = 600;

/// Words that no source file holds. Put together here, so that this file holds none.
const FORBIDDEN: &[&str] = &[concat!("todo", "!("), concat!("unimplemented", "!("), concat!("#[", "ignore")];

/// Folders whose files are the roots of crates of their own.
const ROOT_FOLDERS: &[&str] = &["benches", "bin", "examples", "fuzz_targets", "tests"];

/// Fails with every finding.
pub(crate) fn check(root: &Path) -> Result<()> {
    let findings = findings(root)?;
    if findings.is_empty() {
        return Ok(());
    }
    bail!("{} findings\n  {}", findings.len(), findings.join("\n  "))
}

/// Every finding, as `path: what is wrong`.
fn findings(root: &Path) -> Result<Vec<String>> {
    let mut files = BTreeSet::new();
    let mut manifests = Vec::new();
    collect(root, &mut files, &mut manifests)?;
    let mut included = BTreeSet::new();
    for file in files.iter().filter(|file| is_root(file)) {
        include(file, true, &mut included)?;
    }
    for manifest in &manifests {
        for path in target_paths(manifest)? {
            include(&path, true, &mut included)?;
        }
    }
    let mut findings = Vec::new();
    for file in &files {
        let name = file.strip_prefix(root).unwrap_or(file).display();
        let text = read(file)?;
        if !included.contains(file) {
            findings.push(format!("{name}: no module includes it"));
        }
        let lines = text.lines().count();
        if lines > MAX_LINES {
            findings.push(format!("{name}: {lines} lines; split it below {MAX_LINES}"));
        }
        findings.extend(
            FORBIDDEN.iter().filter(|word| text.contains(**word)).map(|word| format!("{name}: {word}")),
        );
    }
    Ok(findings)
}

/// Finds the sources and manifests below a folder; hidden folders and build output are none of ours.
fn collect(folder: &Path, files: &mut BTreeSet<PathBuf>, manifests: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" {
                collect(&path, files, manifests)?;
            }
        } else if name == "Cargo.toml" {
            manifests.push(path);
        } else if name.ends_with(".rs") {
            files.insert(path);
        }
    }
    Ok(())
}

/// Whether Cargo compiles a file by itself: `src/main.rs`, `src/lib.rs`, `build.rs`, and what lies in certain folders.
fn is_root(file: &Path) -> bool {
    let folder = file.parent().unwrap_or(Path::new(""));
    let folder_is = |name: &str| folder.file_name().is_some_and(|folder| folder == name);
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match name {
        "lib.rs" | "main.rs" if folder_is("src") => true,
        "main.rs" if folder.parent().is_some_and(is_root_folder) => true,
        "build.rs" => folder.join("Cargo.toml").exists(),
        _ => is_root_folder(folder),
    }
}

/// Whether each file directly in a folder is a crate: only beside a manifest, or in `src/bin`.
fn is_root_folder(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(above) = folder.parent() else { return false };
    ROOT_FOLDERS.contains(&name)
        && (above.join("Cargo.toml").exists() || above.ends_with("src") && name == "bin")
}

/// Files that a manifest names as `path = "….rs"`.
fn target_paths(manifest: &Path) -> Result<Vec<PathBuf>> {
    let folder = manifest.parent().unwrap_or(Path::new(""));
    let text = read(manifest)?;
    let values =
        text.lines().filter_map(|line| line.trim().strip_prefix("path")?.trim_start().strip_prefix('='));
    let paths = values.map(|value| folder.join(value.trim().trim_matches('"')));
    Ok(paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs") && path.exists())
        .collect())
}

/// Adds a file and every file that its `mod` lines name.
fn include(file: &Path, is_root: bool, included: &mut BTreeSet<PathBuf>) -> Result<()> {
    if !included.insert(file.to_owned()) {
        return Ok(());
    }
    let folder = file.parent().unwrap_or(Path::new(""));
    let stem = file.file_stem().unwrap_or_default();
    let below = if is_root || stem == "mod" { folder.to_owned() } else { folder.join(stem) };
    let text = read(file)?;
    let mut path_attribute = None;
    for line in text.lines().map(str::trim) {
        if let Some(path) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
            path_attribute = Some(folder.join(path));
        } else if let Some(name) = module_name(line) {
            let named = [below.join(format!("{name}.rs")), below.join(name).join("mod.rs")];
            let candidates = path_attribute.take().into_iter().chain(named);
            if let Some(path) = candidates.into_iter().find(|path| path.exists()) {
                include(&path, false, included)?;
            }
        } else if !line.starts_with("#[") {
            path_attribute = None;
        }
    }
    Ok(())
}

/// The name in `mod name;`, whatever its visibility.
fn module_name(line: &str) -> Option<&str> {
    let name = line.strip_suffix(';')?.rsplit_once("mod ")?;
    let visibility = name.0.trim_end();
    let visible = visibility.is_empty()
        || visibility == "pub"
        || visibility.starts_with("pub(") && visibility.ends_with(')');
    (visible && name.1.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')).then_some(name.1)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lays out a tree in a folder of its own, and gives the findings.
    fn check(name: &str, tree: &[(&str, &str)]) -> Vec<String> {
        let root = std::env::temp_dir().join(format!("waxwing-tidy-{}-{name}", std::process::id()));
        for (path, text) in tree {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("in a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        let findings = findings(&root).expect("checked");
        fs::remove_dir_all(&root).expect("removed");
        findings
    }

    #[test]
    fn modules_in_all_their_places_count_as_included() {
        let tree = [
            ("a/Cargo.toml", "[[bench]]\npath = \"speed/open.rs\"\n"),
            (
                "a/src/lib.rs",
                "mod one;\npub(crate) mod two;\n#[cfg(test)]\n#[path = \"odd/name.rs\"]\nmod three;\n",
            ),
            ("a/src/one.rs", "#[cfg(test)]\nmod tests;\n"),
            ("a/src/one/tests.rs", ""),
            ("a/src/two/mod.rs", "pub mod deep;\n"),
            ("a/src/two/deep.rs", ""),
            ("a/src/odd/name.rs", ""),
            ("a/src/bin/tool.rs", ""),
            ("a/tests/all.rs", "mod helpers;"),
            ("a/tests/helpers.rs", ""),
            ("a/tests/main.rs", ""),
            ("a/tests/large/main.rs", ""),
            ("a/build.rs", ""),
            ("a/speed/open.rs", ""),
            ("a/target/debug/made.rs", ""),
        ];
        assert_eq!(check("included", &tree), Vec::<String>::new());
    }

    #[test]
    fn a_file_that_no_module_names_is_found() {
        let tree = [("a/Cargo.toml", ""), ("a/src/lib.rs", "// mod lost;\n"), ("a/src/lost.rs", "")];
        assert_eq!(check("lost", &tree), ["a/src/lost.rs: no module includes it"]);
    }

    #[test]
    fn long_files_and_unfinished_work_are_found() {
        let long = "\n".repeat(MAX_LINES + 1);
        let marked = format!("fn f() {{ {}) }}\n#[test]\n{}]\nfn g() {{}}\n", FORBIDDEN[0], FORBIDDEN[2]);
        let tree = [
            ("a/Cargo.toml", ""),
            ("a/src/lib.rs", "mod long;\nmod marked;"),
            ("a/src/long.rs", &long),
            ("a/src/marked.rs", &marked),
        ];
        let findings = check("marked", &tree);
        assert_eq!(findings.len(), 3, "{findings:?}");
        assert!(findings[0].starts_with("a/src/long.rs: 601 lines"), "{findings:?}");
        assert!(findings[1..].iter().all(|finding| finding.starts_with("a/src/marked.rs: ")), "{findings:?}");
    }
}
