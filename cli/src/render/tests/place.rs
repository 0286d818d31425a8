//! Where may be written, and by whom.

use super::*;

#[test]
fn what_a_killed_render_left_behind_is_removed() {
    let scene = Scene::new();
    scene.write("db.yaml", &scene.db("hunter2"));
    scene.render();
    fs::write(scene.out("prod/.waxwing-Ab12Cd"), "half a value").unwrap();
    scene.expect(&[]);
    assert!(!scene.out("prod/.waxwing-Ab12Cd").exists());
    assert!(scene.out(".waxwing-status.json").exists());
}

#[test]
fn two_renders_never_work_on_one_output() {
    let scene = Scene::new();
    let first = scene.open().unwrap();
    assert!(failure(scene.open()).to_string().contains("another waxwing render is at work"));
    drop(first);
    assert!(scene.open().is_ok());
}

#[test]
fn an_output_belongs_to_one_directory() {
    let mut scene = Scene::new();
    scene.write("db.yaml", &scene.db("hunter2"));
    scene.render();
    fs::rename(scene.source(), scene.home.path().join("moved")).unwrap();
    fs::create_dir(scene.source()).unwrap();
    let other = |force| {
        let job = Job { source: scene.home.path().join("moved"), force, ..scene.job() };
        Renderer::open(job, &context())
    };
    let refused = failure(other(false));
    assert!(refused.to_string().contains("holds what was rendered from"), "{refused}");
    other(true).unwrap().look(&scene.identities(), NOW).unwrap();
    scene.force = true;
    scene.expect(&[(What::Removed, "prod/db")]);
}

#[test]
fn opened_values_are_not_written_where_they_could_be_committed() {
    let scene = Scene::new();
    let inside = |path: &str, force| {
        let job = Job { output: scene.source().join(path), force, ..scene.job() };
        Renderer::open(job, &context())
    };
    let refused = failure(inside("out", false));
    assert!(refused.to_string().contains("opened values could be committed"), "{refused}");
    assert!(!scene.source().join("out").exists());
    for held in ["", "..", "../in/x/.."] {
        let refused = inside(held, true).err().map(|failure| failure.to_string());
        assert!(refused.is_some(), "{held:?}");
    }
    scene.write("db.yaml", &scene.db("hunter2"));
    let mut renderer = inside("out", true).unwrap();
    renderer.look(&scene.identities(), NOW).unwrap();
    assert_eq!(renderer.look(&scene.identities(), NOW).unwrap().len(), 1, "what was written is not read");
    drop(renderer);
    let git = |args: &[&str]| {
        let status = std::process::Command::new("git").current_dir(scene.home.path()).args(args).status();
        assert!(status.unwrap().success());
    };
    git(&["init", "-q"]);
    let refused = failure(scene.open());
    assert!(refused.to_string().contains("does not ignore it"), "{refused}");
    fs::write(scene.home.path().join(".gitignore"), "/out/\n").unwrap();
    assert!(scene.open().is_ok());
}
