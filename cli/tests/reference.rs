//! `docs/reference/cli.md` says what `--help` says, in a build with every feature.

use std::fs;

use crate::transcript::{Place, root};

#[test]
fn the_reference_page_is_current() {
    let path = root().join("docs/reference/cli.md");
    let current = Place::new().waxwing(&["reference"], b"").stdout;
    let written = fs::read_to_string(&path).unwrap_or_default();
    if std::env::var_os("WAXWING_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, current).unwrap();
    } else {
        assert!(written == current, "docs/reference/cli.md is out of date: run with WAXWING_BLESS=1");
    }
}
