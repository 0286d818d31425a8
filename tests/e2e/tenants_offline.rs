//! A team that reads its own seals offline, by a path rule in `.waxwing.yaml`: the commands of `docs/TENANTS.md`.

use std::path::Path;

use anyhow::{Context, Result};
use waxwing_tests::folder::Folder;
use waxwing_tests::scene;
use waxwing_tests::{process, wait};

/// Makes an identity of somebody outside of the repository; gives its file and its recipient.
fn identity(folder: &Folder, place: &Path, name: &str) -> Result<(String, String)> {
    let file = place.join(format!("{name}.txt")).display().to_string();
    let said = folder.run(&["keys", "generate", "--force", "--file", &file], "")?;
    let recipient = said.split_whitespace().find(|word| word.starts_with("age1")).context("a recipient")?;
    Ok((file, recipient.to_owned()))
}

/// K36. Guard: the first rule that matches a file's path decides (`core: config`), and `verify` compares each envelope with it.
#[test]
fn a_team_opens_its_own_files_offline_and_no_others() {
    scene::shared(async |scene| -> Result<()> {
        let ring = scene.ring().await;
        let prod = ring.recipients()[0].recipient().to_string();
        let folder = Folder::new(&scene.namespace, &[("test", scene.plane)])?;
        let place = process::folder(&format!("teams-{}", scene.namespace));
        let (payments_file, payments) = identity(&folder, &place, "payments")?;
        let (shop_file, shop) = identity(&folder, &place, "shop")?;
        let (recovery_file, recovery) = identity(&folder, &place, "recovery")?;
        let config = format!(
            "version: 1
recipients:
  prod: {{key: {prod}, cluster: true}}
  payments: {{key: {payments}}}
  shop: {{key: {shop}}}
  recovery: {{key: {recovery}, required: true}}
rules:
- path: \"teams/payments/**\"
  recipients: [prod, payments]
- path: \"teams/shop/**\"
  recipients: [prod, shop]
- recipients: [prod]
"
        );
        folder.write(".waxwing.yaml", &config);
        folder.write("env", "PASSWORD=of-payments\n");
        let seal = |file: &str| {
            folder.run(
                &["seal", "--from-env-file", "env", "--name", "db", "-n", &scene.namespace, "-o", file],
                "",
            )
        };
        folder.write("teams/payments/.keep", "");
        folder.write("teams/shop/.keep", "");
        let file = "teams/payments/db.yaml";
        seal(file)?;
        seal("teams/shop/db.yaml")?;
        folder.run(&["verify"], "")?;

        for identity in [&payments_file, &recovery_file] {
            let said = folder.run(&["open", file, "--key", "PASSWORD", "-i", identity], "")?;
            assert_eq!(said, "of-payments");
        }
        let (_, said) = folder.refused(&["open", file, "--key", "PASSWORD", "-i", &shop_file])?;
        assert!(said.contains("none of the 1 identities at hand opens it; it names payments/"), "{said}");
        assert!(!said.contains("shop/"), "{said}");
        // The cluster opens both.
        folder.apply(scene, file).await?;
        wait::until_ready(&scene.sealed(), "db").await;

        // Taken out of the file, or moved to another team's folder, it is found.
        let sealed = folder.read(file);
        folder.write("teams/shop/copied.yaml", &sealed);
        let (code, said) = folder.refused(&["verify"])?;
        assert!(
            code == 3 && said.contains("is not for shop/") && said.contains("is for payments/"),
            "{said}"
        );
        std::fs::remove_file(folder.0.join("teams/shop/copied.yaml"))?;
        folder.write("careless.yaml", &config.replace("[prod, payments]", "[prod]"));
        std::fs::remove_file(folder.0.join(file))?;
        let output = ["--config", "careless.yaml", "seal", "--from-env-file", "env", "--name", "db", "-n"];
        folder.run(&[&output[..], &[&scene.namespace, "-o", file]].concat(), "")?;
        let (code, said) = folder.refused(&["verify"])?;
        assert!(code == 3 && said.contains("is not for payments/"), "{said}");
        folder.refused(&["open", file, "-i", &payments_file])?;
        folder.run(&["rewrap", file, "-i", &recovery_file], "")?;
        folder.run(&["verify"], "")?;
        let said = folder.run(&["open", file, "--key", "PASSWORD", "-i", &payments_file], "")?;
        assert_eq!(said, "of-payments");
        Ok(())
    });
}
