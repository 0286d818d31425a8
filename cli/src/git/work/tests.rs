use git2::{Signature, Time};

use super::*;

const SEALED: &str = "apiVersion: waxwing.dev/v1\nkind: SealedSecret\n";
const RULES: &str = "version: 1\n";

fn work() -> (tempfile::TempDir, Work) {
    let home = tempfile::tempdir().unwrap();
    let work = Work::open(&home.path().join("work")).unwrap();
    (home, work)
}

/// A commit with these files at its root; no name is looked at.
fn commit<'w>(work: &'w Work, files: &[(&[u8], i32, &str)]) -> Commit<'w> {
    let repository = &work.repository;
    let mut tree = repository.treebuilder(None).unwrap();
    for (name, mode, text) in files {
        let blob = repository.blob(text.as_bytes()).unwrap();
        tree.insert(*name, blob, *mode).unwrap();
    }
    let tree = repository.find_tree(tree.write().unwrap()).unwrap();
    let who = Signature::new("a", "b", &Time::new(0, 0)).unwrap();
    let id = repository.commit(None, &who, &who, "", &tree, &[]).unwrap();
    repository.find_commit(id).unwrap()
}

#[test]
fn a_folder_with_anything_of_somebody_else_is_refused_and_stays_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    for own in ["tree/thesis.txt", "repository.git/thesis.txt", "lock"] {
        let folder = tempfile::tempdir_in(home.path()).unwrap();
        let file = folder.path().join(own);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "years of work").unwrap();
        let failure = Work::open(folder.path()).err().unwrap();
        assert!(failure.to_string().contains("files that no job has put there"), "{failure}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{own}");
        assert!(file.exists());
    }
    // An empty one, one of its own, and the root of a file system.
    let folder = home.path().join("new");
    fs::create_dir_all(folder.join("lost+found")).unwrap();
    assert!(!Work::open(&folder).unwrap().is_kept());
    assert!(Work::open(&folder).unwrap().is_kept());
}

#[test]
fn what_a_killed_run_has_left_in_the_clone_goes() {
    let (home, work) = work();
    drop(work);
    let clone = home.path().join("work").join(CLONE);
    let left = ["refs/waxwing/ours.lock", "objects/pack/pack_git2_Xw12ab", "HEAD.lock"];
    for file in left {
        fs::create_dir_all(clone.join(file).parent().unwrap()).unwrap();
        fs::write(clone.join(file), "").unwrap();
    }
    let work = Work::open(&home.path().join("work")).unwrap();
    assert!(work.is_kept() && clone.join("HEAD").exists());
    assert!(left.iter().all(|file| !clone.join(file).exists()));
}

/// K26. Guard: `Work::export` takes rules from the one commit and everything else from the other.
#[test]
fn rules_of_the_content_do_not_count() {
    let (_home, work) = work();
    let mine = format!("{RULES}# and me");
    let content = commit(&work, &[(b".waxwing.yaml", REGULAR, &mine), (b"a.yaml", REGULAR, SEALED)]);
    let rules = commit(&work, &[(b".waxwing.yaml", REGULAR, RULES)]);
    let tree = work.export(&content, &rules).unwrap();
    assert_eq!(fs::read_to_string(tree.root.join(".waxwing.yaml")).unwrap(), RULES);
    assert_eq!(fs::read_to_string(tree.root.join("a.yaml")).unwrap(), SEALED);
}

#[test]
fn files_whose_names_are_no_line_of_text_are_named_and_left_out() {
    let (_home, work) = work();
    let content = commit(
        &work,
        &[
            (b".waxwing.yaml", REGULAR, RULES),
            (b"a.yaml", REGULAR, SEALED),
            (b"b\nc.yaml", REGULAR, SEALED),
            (b"d\xff.yaml", REGULAR, SEALED),
            // None of ours, and of no interest.
            (b"e\n.yaml", REGULAR, "kind: ConfigMap\n"),
            (b"f\xff.txt", REGULAR, SEALED),
        ],
    );
    let tree = work.export(&content, &content).unwrap();
    assert_eq!(tree.unnamed, ["b c.yaml", "d\u{fffd}.yaml"]);
    assert_eq!(tree.files.keys().collect::<Vec<_>>(), ["a.yaml"]);
}
