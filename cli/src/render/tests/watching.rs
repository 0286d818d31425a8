//! The loop of `--watch`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use super::*;
use crate::{identities::Options, render::watch};

/// The loop of `--watch` in a thread, and what it told.
struct Watching {
    stop: Arc<AtomicBool>,
    told: mpsc::Receiver<Row>,
    thread: Option<thread::JoinHandle<Result<()>>>,
}

impl Watching {
    fn begin(scene: &Scene) -> Self {
        let file = scene.home.path().join("identity.txt");
        fs::write(&file, scene.identity.to_text().expose()).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let (stop, job) = (Arc::new(AtomicBool::new(false)), scene.job());
        let (send, told) = mpsc::channel();
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut renderer = Renderer::open(job, &context())?;
            let options = Options::of(vec![file]);
            watch(&mut renderer, &options, Duration::from_millis(5), &stopped, &context(), &mut |_, row| {
                send.send(row.clone()).map_err(Failure::from)
            })
        });
        Self { stop, told, thread: Some(thread) }
    }

    fn next(&self) -> (What, String) {
        let row = self.told.recv_timeout(Duration::from_secs(20)).unwrap();
        (row.what, row.secret)
    }

    fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap().unwrap();
        assert_eq!(self.told.try_iter().collect::<Vec<_>>(), []);
    }
}

#[test]
fn watching_tells_every_change_once_and_stops_when_told() {
    let scene = Scene::new();
    scene.write("db.yaml", &scene.db("hunter2"));
    let watching = Watching::begin(&scene);
    let db = |what| (what, "prod/db".to_owned());
    assert_eq!(watching.next(), db(What::Created));
    let path = scene.out("prod/db.yaml");
    let right = fs::read_to_string(&path).unwrap();
    fs::write(&path, right.replace("aHVudGVyMg==", "aHVudGVyMw==")).unwrap();
    assert_eq!(watching.next(), db(What::Repaired));
    assert_eq!(fs::read_to_string(&path).unwrap(), right);
    let good = scene.read("db.yaml");
    scene.write("db.yaml", &good.replace("format: wax1", "format: wax9"));
    assert_eq!(watching.next(), db(What::Refused));
    scene.write("unrelated.yaml", "a: 1\n");
    scene.write("db.yaml", &good);
    assert_eq!(watching.next(), db(What::Recovered));
    // A key that is added to the identity's file is used at once.
    let mut other = Scene::new();
    other.now += 5;
    scene.write("db.yaml", &other.db("by another"));
    assert_eq!(watching.next(), db(What::Refused));
    let both = [scene.identity.to_text(), other.identity.to_text()]
        .map(|key| String::from_utf8(key.expose().to_vec()).unwrap());
    fs::write(scene.home.path().join("identity.txt"), both.join("\n")).unwrap();
    assert_eq!(watching.next(), db(What::Updated));
    fs::remove_file(scene.source().join("db.yaml")).unwrap();
    assert_eq!(watching.next(), db(What::Removed));
    watching.end();
}
