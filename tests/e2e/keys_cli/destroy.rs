//! What keeps a retired key from being destroyed, and what is destroyed with it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use waxwing_tests::faults::{Fault, Faults};

use super::*;

/// The Secret of a key, by its name.
async fn secret_of(release: &Release, recipient: &str) -> Result<Secret> {
    let all = identities(release).await?;
    Ok(all.into_iter().find(|one| one.name_any().ends_with(&id_of(recipient))).unwrap())
}

fn text_of(secret: &Secret) -> String {
    String::from_utf8(wait::value_of(secret, names::IDENTITY_KEY).to_vec()).unwrap()
}

/// The data of a Secret whose key was wrapped by what is gone.
fn lost(recipient: &str, ring: &str) -> BTreeMap<String, String> {
    let by = json!({"kind": "VaultTransit", "key": "waxwing", "ring": ring}).to_string();
    let data = [
        (names::IDENTITY_WRAPPED, "vault:v1:lost"),
        (names::IDENTITY_RECIPIENT, recipient),
        (names::IDENTITY_PROTECTION, &by),
    ];
    data.map(|(name, text)| (name.to_owned(), text.to_owned())).into()
}

/// One's data over the other's.
fn joined(mut below: BTreeMap<String, String>, above: BTreeMap<String, String>) -> BTreeMap<String, String> {
    below.extend(above);
    below
}

/// Makes an identity Secret.
async fn make(release: &Release, ring: &str, name: &str, data: BTreeMap<String, String>) -> Result<()> {
    let api: Api<Secret> = Api::namespaced(release.plane.admin.clone(), &release.namespace);
    let labels = BTreeMap::from([(names::KEY_RING.to_owned(), ring.to_owned())]);
    let mut secret =
        Secret { string_data: Some(data), type_: Some(names::IDENTITY_TYPE.to_owned()), ..Secret::default() };
    secret.metadata.name = Some(name.to_owned());
    secret.metadata.labels = Some(labels);
    api.create(&Default::default(), &secret).await?;
    Ok(())
}

/// K34. Guard: `cli: keys::private_keys`, by which `destroy` counts keys and tries the one that goes; `refuse_if_changed`; and
/// `IdentitySecret::keys`, which finds a key in a Secret that nobody can use.
#[test]
fn a_key_is_not_destroyed_for_one_that_nobody_can_open_and_no_copy_of_it_is_left() {
    scene::alone(&[], async |scene, release| -> Result<()> {
        let operator = scene.operator(release, "a").await?;
        scene.ring().await;
        let (first, second) = (rotate(scene).await?, rotate(scene).await?);
        let (id, ring) = (id_of(&first), scene.ring.as_str());
        let work = Work::new(&scene.namespace);
        work.use_cluster(&scene.plane.admin_kubeconfig)?;
        let run = |args: &[&str]| work.run(&[args, &["--keyring", ring]].concat());
        assert_eq!(run(&["keys", "retire", &id, "--in-namespace", &scene.namespace])?.code, 0);
        wait::until_ring(&scene.rings(), ring, "has retired the key", |ring| {
            keys_in(ring, KeyState::Retired).contains(&first) && is_serving(ring)
        })
        .await;
        let both = vec![named("first", &first), named("second", &second)];
        scene
            .commit(&waxwing_tests::ring::Ring::of(both).seal(&scene.namespace, "app", &[("k", "v")]))
            .await?;
        wait::until_sealed(&scene.sealed(), "app", "was opened by the key that still opens", |object| {
            let keys = object.status.iter().flat_map(|status| &status.keys);
            keys.map(|key| &key.key_id).eq([&id_of(&second)])
        })
        .await;
        drop(operator);

        // The Vault is lost that wraps the key which has opened it.
        let secrets: Api<Secret> = Api::namespaced(scene.client(), &release.namespace);
        let [of_first, of_second] = [secret_of(release, &first).await?, secret_of(release, &second).await?];
        secrets.delete(&of_second.name_any(), &DeleteParams::default()).await?;
        make(release, ring, &of_second.name_any(), lost(&second, ring)).await?;
        let destroy = ["keys", "destroy", &id, "--yes", &id, "--in-namespace", &scene.namespace];
        let kept = run(&destroy)?;
        assert!(kept.code == 3 && kept.stderr.contains("has not opened it with another key"), "{kept:?}");
        assert!(kept.stderr.contains(&format!("key {} counts for nothing", id_of(&second))), "{kept:?}");
        assert_eq!(identities(release).await?.len(), 3);

        // It comes back as it was. Then the one that is to go can't be tried on files.
        let clear = |secret: &Secret| BTreeMap::from([(names::IDENTITY_KEY.to_owned(), text_of(secret))]);
        make(release, ring, "second-restored", clear(&of_second)).await?;
        secrets.delete(&of_first.name_any(), &DeleteParams::default()).await?;
        make(release, ring, &of_first.name_any(), lost(&first, ring)).await?;
        let kept = run(&destroy)?;
        assert!(kept.code == 3 && kept.stderr.contains("opens in files could not be tried"), "{kept:?}");
        assert_eq!(identities(release).await?.len(), 4);

        // A Secret that is both is used by nobody, and has the private key all the same.
        let copy = || joined(clear(&of_first), lost(&first, ring));
        make(release, ring, "copy", joined(copy(), lost(&second, ring))).await?;
        let mixed = run(&destroy)?;
        assert!(mixed.code == 1 && mixed.stderr.contains("copy holds another key, too"), "{mixed:?}");
        secrets.delete("copy", &DeleteParams::default()).await?;
        make(release, ring, "copy", copy()).await?;

        // Between the question and the answer somebody takes the key up again.
        let faults = Faults::before(scene.plane).await?;
        let kubeconfig = work.read("kubeconfig");
        work.write("kubeconfig", &kubeconfig.replace(&scene.plane.url, &faults.url))?;
        let mut taken_up = scene.rings().get(ring).await?;
        taken_up.spec.retired.clear();
        let (path, asked) = (format!("/keyrings/{ring}"), AtomicUsize::new(0));
        let second_time = faults.inject(Fault::Body(200, serde_json::to_string(&taken_up)?), move |call| {
            call.path.ends_with(&path) && asked.fetch_add(1, Ordering::SeqCst) == 1
        });
        let kept = run(&destroy)?;
        assert!(kept.code == 1 && kept.stderr.contains("is not retired"), "{kept:?}");
        assert_eq!((second_time.hits(), identities(release).await?.len()), (1, 5));
        drop(second_time);
        work.write("kubeconfig", &kubeconfig)?;

        let gone = run(&destroy)?;
        assert!(gone.code == 0 && !gone.stderr.contains("right to decrypt"), "{gone:?}");
        let is_first = |secret: &Secret| {
            let data = secret.data.iter().flatten();
            data.clone()
                .any(|(_, value)| value.0 == text_of(&of_first).into_bytes() || value.0 == first.as_bytes())
        };
        let left = identities(release).await?;
        assert_eq!((left.len(), left.iter().filter(|secret| is_first(secret)).count()), (3, 0));

        // What turns up when the operator calls it destroyed already goes the same way.
        let mut keys = scene.rings().get(ring).await?.status.unwrap_or_default().keys;
        keys.iter_mut().find(|key| key.recipient == first).unwrap().state = KeyState::Destroyed;
        let destroyed = Patch::Merge(json!({"status": {"keys": keys}}));
        scene.rings().patch_status(ring, &Default::default(), &destroyed).await?;
        make(release, ring, "copy", copy()).await?;
        let again = run(&destroy)?;
        assert_eq!((again.code, identities(release).await?.len()), (0, 3), "{again:?}");
        let nothing = run(&destroy)?;
        assert!(nothing.code == 0 && nothing.stderr.contains("there is no private key"), "{nothing:?}");
        assert_eq!(identities(release).await?.len(), 3);
        Ok(())
    });
}
