//! `waxwing import` and `waxwing render` with the real Alertmanager: what is taken out of a configuration and put back is
//! the same configuration, and a server without Kubernetes takes a new credential.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use waxwing_core::alertmanager::Version;
use waxwing_core::inject::{Node, to_yaml};
use waxwing_tests::alertmanager::server::Server;
use waxwing_tests::alertmanager::{mutations, oracle};
use waxwing_tests::sink::Sink;
use waxwing_tests::tools::{self, tool};
use waxwing_tests::{block_on, process};

/// As people write it: with every field, in their own order, with comments. Its keys are none, which Alertmanager finds out
/// only when it notifies, and Waxwing at once.
fn every_field() -> String {
    let key = "\"-----BEGIN PRIVATE KEY-----\\nMC4CAQAw\\n-----END PRIVATE KEY-----\\n\"";
    include_str!("../src/alertmanager/every-field.yaml")
        .replace("cert: cert, key: key,", &format!("cert: cert, key: {key},"))
        .replace("client_certificate_key: key", &format!("client_certificate_key: {key}"))
}

/// A repository, the key beside it, and the folder for what is opened.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Result<Self> {
        let place = Self(process::folder(name));
        std::fs::create_dir_all(place.0.join("repo"))?;
        // The folders of a run lie in the work tree.
        let key = place.run(&["keys", "generate", "--file", "../key.txt", "--force"], "")?;
        place.run(&["init", "--recipient", &format!("prod={}", key.trim())], "")?;
        Ok(place)
    }

    fn run(&self, args: &[&str], input: &str) -> Result<String> {
        let output = self.try_run(args, input)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "waxwing {args:?}: {}{said}",
            String::from_utf8_lossy(&output.stdout)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    fn try_run(&self, args: &[&str], input: &str) -> Result<Output> {
        let mut command = Command::new(tools::cli());
        command.args(args).current_dir(self.0.join("repo")).env_clear().env("HOME", &self.0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        std::io::Write::write_all(&mut child.stdin.take().context("a pipe")?, input.as_bytes())?;
        Ok(child.wait_with_output()?)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.0.join("repo").join(name);
        std::fs::create_dir_all(path.parent().context("a folder")?)?;
        Ok(std::fs::write(path, text)?)
    }

    const RENDER: &[&str] =
        &["render", "deploy", "--into", "../out", "--layout", "files", "--identity", "../key.txt", "--force"];

    fn render(&self, more: &[&str]) -> Result<String> {
        self.run(&[Self::RENDER, more].concat(), "")
    }

    fn rendered(&self) -> PathBuf {
        self.0.join("out/monitoring/alertmanager-config/alertmanager.yaml")
    }
}

/// What Alertmanager has understood of a configuration, secrets and all.
fn loaded(config: &str) -> String {
    let mut answers = oracle::ask("load", vec![json!({"config": config, "show": true})]);
    let answer = answers.remove(0);
    assert_eq!(answer["error"], "", "Alertmanager refuses it");
    answer["loaded"].as_str().unwrap_or_default().to_owned()
}

fn amtool_takes(name: &str, config: &Path) -> Result<()> {
    let output = Command::new(tool(name)).arg("check-config").arg(config).output()?;
    ensure!(
        output.status.success(),
        "{name}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Guard: the comparison in `cli: import`, and `to_yaml` of `core: inject`.
#[test]
fn an_imported_configuration_is_the_same_to_alertmanager_and_holds_no_credential() -> Result<()> {
    let place = Place::new("import-newest")?;
    let original = every_field();
    place.write("alertmanager.yaml", &original)?;
    place
        .run(&["import", "alertmanager", "alertmanager.yaml", "-n", "monitoring", "--into", "deploy"], "")?;
    place.render(&[])?;
    let rendered = std::fs::read_to_string(place.rendered())?;
    let config: Value = waxwing_core::yaml::from_str(&original)?;
    assert_eq!(rendered.as_bytes(), to_yaml(&Node::read(&config)?).as_slice());
    let (before, after) = (loaded(&original), loaded(&rendered));
    assert!(before.contains("password") && before == after, "{before}\n---\n{after}");
    amtool_takes("amtool", &place.rendered())?;

    let injection: Value = waxwing_core::yaml::from_str(&std::fs::read_to_string(
        place.0.join("repo/deploy/alertmanager-injection.yaml"),
    )?)?;
    let node = Node::read(&injection["spec"]["config"])?;
    let left = waxwing_core::alertmanager::render::literals(&node);
    let left: Vec<String> = left.iter().map(|finding| finding.at.to_string()).collect();
    assert_eq!(left, ["receivers[0].webhook_configs[0].url"], "a template, which is told");
    Ok(())
}

#[test]
fn an_old_alertmanager_takes_what_is_imported_for_it() -> Result<()> {
    let version: Version = "0.25".parse()?;
    let (config, _) = mutations::every_field(version);
    let place = Place::new("import-oldest")?;
    place.write("alertmanager.yaml", std::str::from_utf8(&to_yaml(&Node::read(&config)?))?)?;
    let args = ["import", "alertmanager", "alertmanager.yaml", "-n", "monitoring", "--into", "deploy"];
    place.run(&[args.as_slice(), &["--alertmanager", "0.25"]].concat(), "")?;
    place.render(&[])?;
    assert_eq!(
        std::fs::read(place.rendered())?,
        std::fs::read(place.0.join("repo/alertmanager.yaml"))?,
        "it was in the form that everything is written in"
    );
    amtool_takes("amtool-old", &place.rendered())
}

fn config(sink: &Sink, token: &str) -> String {
    json!({
        "route": {"receiver": "all", "group_wait": "1ms", "group_by": ["..."]},
        "receivers": [{"name": "all", "webhook_configs": [{
            "url": format!("{}/hook", sink.url),
            "http_config": {"authorization": {"credentials": token}},
        }]}],
    })
    .to_string()
}

/// Guard: `Renderer::inject` leaves the file as it is where the configuration is refused, and `One::tell`.
#[test]
fn a_server_without_kubernetes_takes_a_new_credential_and_keeps_the_last_good_configuration() -> Result<()> {
    block_on(async {
        let (sink, place) = (Sink::start().await?, Place::new("render-alertmanager")?);
        place.write("alertmanager.yaml", &config(&sink, "first-token"))?;
        place.run(
            &["import", "alertmanager", "alertmanager.yaml", "-n", "monitoring", "--into", "deploy"],
            "",
        )?;
        place.render(&[])?;
        let server = Server::reading("render-server", place.rendered()).await?;
        server.fire(&json!({"alertname": "one"})).await?;
        let request = sink.wait(0, |request| request.path == "/hook").await;
        assert_eq!(request.header("authorization"), "Bearer first-token");

        let path = "deploy/alertmanager-injection.yaml";
        let mut injection: Value =
            waxwing_core::yaml::from_str(&std::fs::read_to_string(place.0.join("repo").join(path))?)?;
        injection["spec"]["target"]["reload"] = json!({"url": format!("{}/-/reload", server.url)});
        place.write(path, &injection.to_string())?;
        let key = "all-webhook-http-config-authorization-credentials";
        place.run(&["set", "deploy/sealed-secret.yaml", key], "second-token")?;
        let hash = server.config_hash().await?;
        let said = place.render(&["--reload"])?;
        assert!(
            said.contains("updated    monitoring/alertmanager-config") && said.contains("reloaded"),
            "{said}"
        );
        assert_ne!(server.config_hash().await?, hash);
        let before = sink.received().len();
        server.fire(&json!({"alertname": "two"})).await?;
        let request = sink.wait(before, |request| request.text().contains("two")).await;
        assert_eq!(request.header("authorization"), "Bearer second-token");

        let hash = server.config_hash().await?;
        injection["spec"]["config"]["route"]["receiver"] = json!("nobody");
        place.write(path, &injection.to_string())?;
        let output = place.try_run(&[Place::RENDER, &["--reload"]].concat(), "")?;
        assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).contains("ConfigInvalid"));
        server.reload().await?.ok()?;
        assert_eq!(server.config_hash().await?, hash, "the last good file is there");
        Ok(())
    })
}

/// Scalars that YAML reads as something else than they look, in each kind of field.
#[test]
fn what_has_no_quotes_means_the_same_to_alertmanager_or_is_refused() -> Result<()> {
    const SCALARS: [&str; 18] = [
        "007",
        "+5",
        "-5",
        "1.10",
        "1e3",
        "0x1F",
        "0o17",
        "0b11",
        "1_000",
        "12:30:45",
        "2020-01-01",
        "yes",
        "No",
        "TRUE",
        "off",
        "y",
        "\"010\"",
        "!!str 010",
    ];
    const FIELDS: [&str; 6] = [
        "pagerduty_configs: [{routing_key: VALUE}]",
        "pagerduty_configs: [{routing_key: key, class: VALUE, details: {a: VALUE}}]",
        "slack_configs: [{api_url: 'https://slack.example.com/', channel: VALUE}]",
        "webhook_configs: [{url: 'http://example.com/', max_alerts: VALUE}]",
        "webhook_configs: [{url: 'http://example.com/', send_resolved: VALUE}]",
        "webhook_configs: [{url: 'http://example.com/', payload: {a: VALUE}}]",
    ];
    let place = Place::new("import-scalars")?;
    let (mut imported, mut wrong) = (0, Vec::new());
    for (field, value) in FIELDS.iter().flat_map(|field| SCALARS.map(|value| (field, value))) {
        let config =
            format!("route: {{receiver: a}}\nreceivers:\n- name: a\n  {}\n", field.replace("VALUE", value));
        let args = ["import", "alertmanager", "-", "-n", "monitoring", "--into", "deploy", "--force"];
        if !place.try_run(&args, &config)?.status.success() {
            continue;
        }
        imported += 1;
        place.render(&[])?;
        let rendered = std::fs::read_to_string(place.rendered())?;
        if loaded(&config) != loaded(&rendered) {
            wrong.push(format!("{config}---\n{rendered}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(imported > SCALARS.len() * FIELDS.len() / 2, "{imported}");
    Ok(())
}
