use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    sync::atomic::{AtomicBool, Ordering},
};

use tempfile::TempDir;

use super::*;

fn place() -> Place {
    Place { namespace: None, store: "files".to_owned(), ambient: true, rules: Arc::default() }
}

fn provider(directory: &Path) -> Arc<dyn Provider> {
    let spec = FileProvider { directory: directory.to_str().unwrap().to_owned() };
    connect(&spec, &place()).unwrap()
}

/// `in/` is the directory of the store; beside it lies what must not be reached.
fn scene() -> (TempDir, Arc<dyn Provider>) {
    let scene = tempfile::tempdir().unwrap();
    let inside = scene.path().join("in");
    fs::create_dir_all(inside.join("app/deep")).unwrap();
    fs::write(inside.join("top"), "1").unwrap();
    fs::write(inside.join("app/password"), b"\xff\x00binary\n").unwrap();
    fs::write(inside.join("app/deep/user"), "u").unwrap();
    fs::write(inside.join("empty"), "").unwrap();
    fs::create_dir(scene.path().join("out")).unwrap();
    fs::write(scene.path().join("out/secret"), "outside").unwrap();
    let provider = provider(&inside);
    (scene, provider)
}

async fn read(provider: &Arc<dyn Provider>, key: &str) -> Result<Vec<u8>, Failure> {
    let read = Read { key: key.to_owned(), ..Read::default() };
    let entry = provider.read(&[read]).await.remove(0)?;
    assert_eq!((&entry.version, &entry.lease), (&None, &None));
    Ok(entry.value.expose().to_vec())
}

async fn kind(provider: &Arc<dyn Provider>, key: &str) -> Option<Kind> {
    read(provider, key).await.err().map(|failure| failure.kind)
}

#[tokio::test]
async fn a_key_is_a_path_and_the_bytes_are_the_value() {
    let (_scene, provider) = scene();
    assert_eq!(read(&provider, "top").await.unwrap(), b"1");
    assert_eq!(read(&provider, "app/password").await.unwrap(), b"\xff\x00binary\n");
    assert_eq!(read(&provider, "empty").await.unwrap(), b"");
    let failure = read(&provider, "app/nothing").await.unwrap_err();
    assert_eq!(failure.to_string(), "app/nothing: there is no such file");
    assert_eq!(failure.kind, Kind::EntryMissing);
    assert_eq!(kind(&provider, "top/below").await, Some(Kind::EntryMissing));
    assert_eq!(provider.check().await, Ok(()));
}

#[tokio::test]
async fn keys_that_are_no_plain_path_are_refused() {
    let (scene, provider) = scene();
    let outside = scene.path().join("out/secret");
    for key in [
        "",
        "/",
        ".",
        "..",
        "../out/secret",
        "app/../../out/secret",
        "app/../top",
        "./top",
        "app//password",
        "app/",
        "/top",
        "top\0",
        outside.to_str().unwrap(),
    ] {
        assert_eq!(kind(&provider, key).await, Some(Kind::Rejected), "{key:?}");
    }
}

/// Guard: `Dir` of cap-std, which resolves below the directory.
#[tokio::test]
async fn links_out_of_the_directory_are_refused_and_links_within_it_followed() {
    let (scene, provider) = scene();
    let inside = scene.path().join("in");
    symlink(scene.path().join("out/secret"), inside.join("absolute")).unwrap();
    symlink("../out/secret", inside.join("relative")).unwrap();
    symlink("../out", inside.join("directory")).unwrap();
    symlink("app/../../out/secret", inside.join("winding")).unwrap();
    symlink("relative", inside.join("chained")).unwrap();
    symlink("/proc/self/root", inside.join("magic")).unwrap();
    for key in ["absolute", "relative", "directory/secret", "winding", "chained", "magic/etc/hostname"] {
        let failure = read(&provider, key).await.unwrap_err();
        assert_eq!((failure.kind, failure.what), (Kind::Forbidden, "it leads out of the directory"), "{key}");
    }
    symlink("circle", inside.join("circle")).unwrap();
    assert_eq!(kind(&provider, "circle").await, Some(Kind::Forbidden));
    symlink("nowhere", inside.join("dangling")).unwrap();
    assert_eq!(kind(&provider, "dangling").await, Some(Kind::EntryMissing));

    // As Kubernetes mounts a Secret.
    fs::create_dir(inside.join("..2026_01")).unwrap();
    fs::write(inside.join("..2026_01/token"), "mounted").unwrap();
    symlink("..2026_01", inside.join("..data")).unwrap();
    symlink("..data/token", inside.join("token")).unwrap();
    assert_eq!(read(&provider, "token").await.unwrap(), b"mounted");

    let keys = provider.find(&Find::default()).await.unwrap();
    assert_eq!(keys, ["app/deep/user", "app/password", "empty", "token", "top"]);
}

/// Guard: `Dir` of cap-std: checking the path first and opening it then would lose this race within a few rounds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_swapped_in_while_reading_never_leads_out() {
    let (scene, provider) = scene();
    let inside = scene.path().join("in");
    fs::create_dir(inside.join("here")).unwrap();
    fs::write(inside.join("here/secret"), "inside").unwrap();
    let swapping = Arc::new(AtomicBool::new(true));
    let (directory, goes_on) = (inside.clone(), Arc::clone(&swapping));
    let swaps = std::thread::spawn(move || {
        symlink("../out", directory.join("link")).unwrap();
        symlink("/", directory.join("root")).unwrap();
        while goes_on.load(Ordering::SeqCst) {
            for (from, to) in [("here", "kept"), ("link", "here"), ("here", "link"), ("kept", "here")] {
                fs::rename(directory.join(from), directory.join(to)).unwrap();
            }
        }
    });
    let mut seen = BTreeMap::new();
    for _ in 0..3000 {
        let found = read(&provider, "here/secret").await.map_err(|failure| failure.kind);
        *seen.entry(format!("{:?}", found.clone().map(String::from_utf8))).or_insert(0) += 1;
        assert!(found.is_err() || found == Ok(b"inside".to_vec()), "{found:?}");
        let keys = provider.find(&Find::default()).await.unwrap_or_default();
        assert!(!keys.iter().any(|key| key.starts_with("link/")), "{keys:?}");
    }
    swapping.store(false, Ordering::SeqCst);
    swaps.join().unwrap();
    // The race was on: both states were met.
    assert!(seen.len() >= 2, "{seen:?}");
}

#[tokio::test]
async fn only_regular_files_of_a_bounded_size_are_read() {
    let (scene, provider) = scene();
    let inside = scene.path().join("in");
    assert_eq!(kind(&provider, "app").await, Some(Kind::BadData));
    let pipe = inside.join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    assert_eq!(kind(&provider, "pipe").await, Some(Kind::BadData));
    let _socket = std::os::unix::net::UnixListener::bind(inside.join("socket")).unwrap();
    assert!(kind(&provider, "socket").await.is_some());
    fs::write(inside.join("largest"), vec![b'x'; LARGEST]).unwrap();
    assert_eq!(read(&provider, "largest").await.unwrap().len(), LARGEST);
    fs::write(inside.join("larger"), vec![b'x'; LARGEST + 1]).unwrap();
    assert_eq!(kind(&provider, "larger").await, Some(Kind::TooLarge));
    assert!(!provider.find(&Find::default()).await.unwrap().contains(&"pipe".to_owned()));
}

/// A file of the kernel says that it is empty, and is not. Guard: the comparison of the lengths.
#[tokio::test]
async fn a_file_that_is_longer_than_it_says_is_refused() {
    let provider = provider(Path::new("/proc/self"));
    let failure = read(&provider, "stat").await.unwrap_err();
    assert_eq!(failure.what, "the file changed while it was read");
}

#[tokio::test]
async fn a_file_that_may_not_be_read_is_forbidden() {
    let (scene, provider) = scene();
    let path = scene.path().join("in/closed");
    fs::write(&path, "x").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // Whoever runs the tests as root reads everything.
    let expected = if fs::read(&path).is_ok() { None } else { Some(Kind::Forbidden) };
    assert_eq!(kind(&provider, "closed").await, expected);
}

#[tokio::test]
async fn a_search_goes_by_path_and_name() {
    let (_scene, provider) = scene();
    let find = async |path: Option<&str>, name: Option<&str>| {
        let find = Find { path: path.map(str::to_owned), name: name.map(str::to_owned), ..Find::default() };
        provider.find(&find).await
    };
    assert_eq!(find(Some("app"), None).await.unwrap(), ["app/deep/user", "app/password"]);
    assert_eq!(find(Some("app/"), Some("word$")).await.unwrap(), ["app/password"]);
    assert_eq!(find(None, Some("^app/deep/")).await.unwrap(), ["app/deep/user"]);
    assert_eq!(find(Some("nothing"), None).await.unwrap(), [""; 0]);
    assert_eq!(find(Some("top"), None).await.unwrap(), [""; 0]);
    assert_eq!(find(Some(".."), None).await.unwrap_err().kind, Kind::Rejected);
    assert_eq!(find(None, Some("(")).await.unwrap_err().kind, Kind::Rejected);
    let tagged = Find { tags: BTreeMap::from([("a".to_owned(), "b".to_owned())]), ..Find::default() };
    assert_eq!(provider.find(&tagged).await.unwrap_err().kind, Kind::Unsupported);
}

#[tokio::test]
async fn a_search_is_bounded() {
    let (scene, provider) = scene();
    let mut deep = scene.path().join("in");
    for _ in 0..=DEPTH {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    assert_eq!(provider.find(&Find::default()).await.unwrap_err().kind, Kind::TooLarge);
}

#[tokio::test]
async fn what_files_do_not_have_is_refused() {
    let (_scene, provider) = scene();
    let base = Read { key: "top".to_owned(), ..Read::default() };
    for read in [
        Read { version: Some("1".to_owned()), ..base.clone() },
        Read { metadata: true, ..base.clone() },
        Read { parameters: BTreeMap::from([("a".to_owned(), "b".to_owned())]), ..base },
    ] {
        let failure = provider.read(&[read]).await.remove(0).unwrap_err();
        assert_eq!(failure.kind, Kind::Unsupported);
    }
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_no_missing_entry() {
    let (scene, _) = scene();
    for path in ["nothing", "in/top"] {
        let provider = provider(&scene.path().join(path));
        assert_eq!(kind(&provider, "x").await, Some(Kind::MountMissing));
        assert_eq!(provider.check().await.map_err(|failure| failure.kind), Err(Kind::MountMissing));
        assert_eq!(
            provider.find(&Find::default()).await.map_err(|failure| failure.kind),
            Err(Kind::MountMissing)
        );
    }
}

/// K05: a namespaced store does not read the operator's own files, such as its token.
/// Guard: `ambient` in `connect`.
#[test]
fn only_who_runs_the_machine_names_a_directory_of_it() {
    let spec = |directory: &str| FileProvider { directory: directory.to_owned() };
    let refused = connect(&spec("/run"), &Place { ambient: false, ..place() }).err();
    assert_eq!(refused.map(|failure| failure.kind), Some(Kind::BadStore));
    assert_eq!(connect(&spec("run"), &place()).err().map(|failure| failure.kind), Some(Kind::BadStore));
}
