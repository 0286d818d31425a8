//! The examples in `docs/examples`: each sends an alert of the real Alertmanager with its credential, and after one commit the
//! next alert with another one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use kube::api::ListParams;
use serde_json::{Map, Value, json};
use waxwing_core::{
    alertmanager::render::{literals, with_dummies},
    injection::alertmanager::Spec,
    seal::{Scope, Sealed},
};
use waxwing_crds::{
    AlertmanagerInjection, ConditionType, InjectionStatus, ReceiverState, SealedSecret, conditions,
};
use waxwing_tests::alertmanager::amtool::BOTH;
use waxwing_tests::alertmanager::server::Server;
use waxwing_tests::inject::{Mount, taken};
use waxwing_tests::scene::{self, Scene};
use waxwing_tests::sink::{Sink, Smtp};
use waxwing_tests::tools::{cli, root};
use waxwing_tests::{chart, process};

use super::server;

/// An example, and what is to arrive at the other side.
struct Example {
    /// Its folder, which is the name of its resources too.
    name: &'static str,
    /// The keys of its Secret, with two values for each. The first key is the one that is rotated. `$SINK` stands for the URL
    /// of the other side.
    keys: &'static [(&'static str, [&'static str; 2])],
    /// The field of an integration that says where the other side is, with the path; none where a credential says so.
    server: Option<(&'static str, &'static str)>,
    /// What the other side answers.
    answer: &'static str,
    /// The only place where the credential arrives, and what stands there; `$` is the value of the first key, in a URL without
    /// the server.
    arrives: (&'static str, &'static str),
    /// The amtools that know its fields.
    amtools: &'static [&'static str],
}

/// The one that knows newer fields.
const NEW: &[&str] = &["amtool"];

const PAGERDUTY: Example = Example {
    name: "pagerduty",
    keys: &[("routing-key", ["first-0123456789abcdef0123456789", "second\"': {a} [b] #c \\n &d *e $f %g"])],
    server: Some(("url", "/v2/enqueue")),
    answer: r#"{"status":"success","message":"Event processed","dedup_key":"x"}"#,
    arrives: ("body/routing_key", "$"),
    amtools: &BOTH,
};

const OPSGENIE: Example = Example {
    name: "opsgenie",
    keys: &[("api-key", ["first-0123-4567-89ab", "second-0123-4567-89ab"])],
    server: Some(("api_url", "/")),
    answer: r#"{"result":"Request will be processed","took":0.1,"requestId":"x"}"#,
    arrives: ("authorization", "GenieKey $"),
    amtools: &BOTH,
};

const SLACK_WEBHOOK: Example = Example {
    name: "slack-webhook",
    keys: &[("url", ["$SINK/services/T0/B0/first", "$SINK/services/T0/B1/second"])],
    server: None,
    answer: "ok",
    arrives: ("path", "$"),
    amtools: &BOTH,
};

const SLACK_APP: Example = Example {
    name: "slack-app",
    keys: &[("token", ["xoxb-first-0123456789", "xoxb-second-0123456789"])],
    server: Some(("app_url", "/api/chat.postMessage")),
    answer: r#"{"ok":true,"channel":"C1","ts":"1.2"}"#,
    arrives: ("authorization", "Bearer $"),
    amtools: NEW,
};

const SMTP: Example = Example {
    name: "smtp",
    keys: &[("password", ["first 0123456789", "sécond\"': {a} [b] #c \\n &d *e $f %g"])],
    server: Some(("smarthost", "")),
    answer: "",
    arrives: ("login", "alertmanager@example.com: $"),
    amtools: &BOTH,
};

const WEBHOOK: Example = Example {
    name: "webhook",
    keys: &[
        ("token", ["first-0123456789", "second\"': {a} [b] #c \\n &d *e $f {{ %g"]),
        ("url", ["$SINK/hook", ""]),
    ],
    server: None,
    answer: "taken",
    arrives: ("authorization", "Bearer $"),
    amtools: &BOTH,
};

const MSTEAMS: Example = Example {
    name: "msteams",
    keys: &[(
        "url",
        [
            "$SINK/workflows/0a/triggers/manual/paths/invoke?api-version=2024-10-01&sp=%2Ftriggers&sig=first_0-1",
            "$SINK/workflows/0a/triggers/manual/paths/invoke?api-version=2024-10-01&sp=%2Ftriggers&sig=second_0-1",
        ],
    )],
    server: None,
    answer: "",
    arrives: ("path", "$"),
    amtools: NEW,
};

const TELEGRAM: Example = Example {
    name: "telegram",
    keys: &[("token", ["123456:first-ABC_DEF", "123456:second-ABC_DEF"])],
    server: Some(("api_url", "")),
    answer: r#"{"ok":true,"result":{"message_id":1,"date":1,"chat":{"id":-1001234567890,"type":"group"}}}"#,
    arrives: ("path", "/bot$/sendMessage"),
    amtools: &BOTH,
};

const ALL: [&Example; 8] =
    [&PAGERDUTY, &OPSGENIE, &SLACK_WEBHOOK, &SLACK_APP, &SMTP, &WEBHOOK, &MSTEAMS, &TELEGRAM];

#[test]
fn pagerduty_gets_its_key_in_the_body_and_a_new_one_with_the_next_alert() {
    rotate(&PAGERDUTY);
}

#[test]
fn opsgenie_gets_its_key_in_a_header_and_a_new_one_with_the_next_alert() {
    rotate(&OPSGENIE);
}

#[test]
fn a_webhook_of_slack_gets_its_secret_in_the_path_and_a_new_one_with_the_next_alert() {
    rotate(&SLACK_WEBHOOK);
}

#[test]
fn an_app_of_slack_gets_its_token_in_a_header_and_a_new_one_with_the_next_alert() {
    rotate(&SLACK_APP);
}

#[test]
fn a_mail_server_gets_its_password_at_the_login_and_a_new_one_with_the_next_alert() {
    rotate(&SMTP);
}

#[test]
fn a_webhook_gets_its_token_in_a_header_and_a_new_one_with_the_next_alert() {
    rotate(&WEBHOOK);
}

#[test]
fn microsoft_teams_gets_its_signature_in_the_url_and_a_new_one_with_the_next_alert() {
    rotate(&MSTEAMS);
}

#[test]
fn telegram_gets_its_token_in_the_path_and_a_new_one_with_the_next_alert() {
    rotate(&TELEGRAM);
}

/// L02. Guard: of deliveries only Alertmanager's metrics are read, never what a service has answered.
#[test]
fn what_a_service_says_of_a_credential_that_it_refuses_is_repeated_nowhere() {
    scene::shared(async |scene| -> Result<()> {
        let running = Running::start(scene, &WEBHOOK).await?;
        let value = running.other.value(&WEBHOOK, 0);
        let OtherSide::Http(sink) = &running.other else { anyhow::bail!("a webhook speaks HTTP") };
        sink.answer(401, &format!("canary-9d: the token {value} is not known"));
        running.other.gets(&running.server, "AlertOne", &value).await?;
        for turn in 1.. {
            ensure!(turn < 400, "it is seen that nothing is delivered");
            scene.look_again(WEBHOOK.name, &turn.to_string()).await?;
            let looked = |status: &InjectionStatus| status.refreshed.as_deref() == Some(&turn.to_string());
            let status = scene.injection_is(WEBHOOK.name, "looked at", looked).await;
            if status.receivers.iter().any(|receiver| receiver.state == ReceiverState::Failing) {
                break;
            }
        }
        for text in [&value, "canary-9d"] {
            is_not_told(scene, &WEBHOOK, text).await?;
        }
        Ok(())
    });
}

/// From the example's files to the wire, and again with another credential: one `waxwing set` and one commit, no restart.
fn rotate(example: &'static Example) {
    scene::shared(async |scene| -> Result<()> {
        let Running { other, mut server, repository, revision, _mount } =
            Running::start(scene, example).await?;
        let started = server.metrics().await?.sum("process_start_time_seconds", &[]);
        let first = other.value(example, 0);
        ensure!(other.gets(&server, "AlertOne", &first).await? == [example.arrives()], "the first one");
        taken(&scene.secrets().get("published").await?, example.amtools)?;

        let second = other.value(example, 1);
        repository.waxwing(&["set", "sealed-secret.yaml", example.keys[0].0], &second)?;
        ensure!(repository.commit()?.trim() == "sealed-secret.yaml", "nothing else is committed");
        repository.sync(scene).await?;
        loaded(scene, example, revision + 1).await;
        ensure!(other.gets(&server, "AlertTwo", &second).await? == [example.arrives()], "the second one");
        ensure!(
            other.gets(&server, "AlertThree", &first).await?.is_empty(),
            "the first one is not sent again"
        );
        taken(&scene.secrets().get("published").await?, example.amtools)?;

        server.process.check_alive()?;
        let starts = server.metrics().await?.sum("process_start_time_seconds", &[]);
        ensure!(started > 0.0 && starts == started, "it was not restarted");
        server.delivered(3.0).await?;
        for value in [first, second] {
            let secret = value.strip_prefix(&other.url()).unwrap_or(&value);
            is_not_told(scene, example, secret).await?;
        }
        Ok(())
    });
}

/// An example whose first revision is loaded.
struct Running {
    other: OtherSide,
    server: Server,
    repository: Repository,
    revision: i64,
    _mount: Mount,
}

impl Running {
    async fn start(scene: &Scene, example: &Example) -> Result<Self> {
        let other = OtherSide::of(example).await?;
        let server = server(&scene.namespace).await?;
        let mount = scene.mount("published", &server);
        scene.ring().await;
        let repository = Repository::of(scene)?;
        let (secret, injection) = example.secret_and_injection(scene, &other, &server)?;
        repository.write("injection.yaml", &injection.to_string())?;
        repository.waxwing(&["seal", "-", "-o", "sealed-secret.yaml"], &secret.to_string())?;
        ensure!(repository.commit()?.contains("sealed-secret.yaml"), "the sealed file is committed");
        repository.sync(scene).await?;

        let status = loaded(scene, example, 1).await;
        let revision = status.published.as_ref().context("it is published")?.revision;
        let from = format!("Secret/{}, key {}", example.name, example.keys[0].0);
        let mut credentials = status.receivers.iter().flat_map(|receiver| &receiver.credentials);
        ensure!(credentials.any(|credential| credential.from == from), "{status:?}");
        Ok(Self { other, server, repository, revision, _mount: mount })
    }
}

/// Waits until a revision from this one on is loaded, with every receiver as it should be.
async fn loaded(scene: &Scene, example: &Example, revision: i64) -> InjectionStatus {
    let what = format!("has loaded revision {revision}");
    scene
        .injection_is(example.name, &what, |status| {
            let published = status.published.as_ref();
            published.is_some_and(|one| one.revision >= revision && one.loaded_at.is_some())
                && conditions::is_true(&status.conditions, ConditionType::Ready)
                && conditions::is_true(&status.conditions, ConditionType::Loaded)
                && status.receivers.iter().all(|receiver| receiver.state == ReceiverState::Live)
        })
        .await
}

/// Whether a value is in nothing that the operator says of it: the injection, its events, the log.
async fn is_not_told(scene: &Scene, example: &Example, value: &str) -> Result<()> {
    let injection = serde_json::to_string(&scene.injections().get(example.name).await?)?;
    let events = serde_json::to_string(&scene.events().list(&ListParams::default()).await?.items)?;
    let log = scene.world().operator.process().log();
    let written = serde_json::to_string(value)?;
    for (what, text) in [("the injection", injection), ("an event", events), ("the log", log)] {
        ensure!(!text.contains(value) && !text.contains(written.trim_matches('"')), "{what} has the value");
    }
    Ok(())
}

impl Example {
    fn folder(&self) -> PathBuf {
        root().join("docs/examples").join(self.name)
    }

    /// The one object in a file of it.
    fn object(&self, file: &str) -> Result<Value> {
        let path = self.folder().join(file);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let mut objects = chart::objects(&text)?;
        ensure!(objects.len() == 1, "{} has one object", path.display());
        Ok(objects.remove(0))
    }

    /// Its Secret with the first values, and its injection, in which only what must differ does: the namespace, whom it tells,
    /// the other side, and that Alertmanager does not wait.
    fn secret_and_injection(
        &self,
        scene: &Scene,
        other: &OtherSide,
        server: &Server,
    ) -> Result<(Value, Value)> {
        let sealed = self.object("sealed-secret.yaml")?;
        let values = self.keys.iter().enumerate().map(|(index, (key, values))| {
            let value = if index == 0 { other.value(self, 0) } else { other.fill(values[0]) };
            ((*key).to_owned(), json!(value))
        });
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": sealed["spec"]["type"],
            "metadata": {"name": sealed["metadata"]["name"], "namespace": scene.namespace},
            "stringData": values.collect::<Map<_, _>>(),
        });

        let mut injection = self.object("injection.yaml")?;
        injection["metadata"]["namespace"] = json!(scene.namespace);
        let spec = &mut injection["spec"];
        spec["target"] = json!({
            "kind": "Plain", "secretName": "published", "version": "0.31",
            "reload": {"url": format!("{}/-/reload", server.url)},
        });
        spec["verify"]["endpoints"] = json!([server.url]);
        spec["config"]["route"]["group_wait"] = json!("1ms");
        let receivers = spec["config"]["receivers"].as_array_mut().context("it has receivers")?;
        let integrations = receivers
            .iter_mut()
            .filter_map(Value::as_object_mut)
            .flat_map(Map::values_mut)
            .filter_map(Value::as_array_mut)
            .flatten();
        for integration in integrations {
            if let Some((field, path)) = self.server {
                ensure!(integration[field].is_string(), "the example says {field}");
                integration[field] = json!(format!("{}{path}", other.address()));
            }
            if self.name == SMTP.name {
                // There is no TLS on loopback.
                integration["require_tls"] = json!(false);
            }
        }
        Ok((secret, injection))
    }

    /// Where the credential arrives, and what stands there.
    fn arrives(&self) -> (String, String) {
        (self.arrives.0.to_owned(), self.arrives.1.to_owned())
    }
}

/// Who gets the notifications.
enum OtherSide {
    Http(Sink),
    Mail(Smtp),
}

impl OtherSide {
    async fn of(example: &Example) -> Result<Self> {
        if example.name == SMTP.name {
            return Ok(Self::Mail(Smtp::start().await?));
        }
        let sink = Sink::start().await?;
        sink.answer(200, example.answer);
        Ok(Self::Http(sink))
    }

    /// What a field for a server takes.
    fn address(&self) -> &str {
        match self {
            Self::Http(sink) => &sink.url,
            Self::Mail(smtp) => &smtp.address,
        }
    }

    /// What a credential that is a URL begins with.
    fn url(&self) -> String {
        match self {
            Self::Http(sink) => sink.url.clone(),
            Self::Mail(_) => "no URL".to_owned(),
        }
    }

    fn fill(&self, value: &str) -> String {
        value.replace("$SINK", &self.url())
    }

    /// The value of the first key.
    fn value(&self, example: &Example, number: usize) -> String {
        self.fill(example.keys[0].1[number])
    }

    /// Fires an alert and gives every place of its notification that has a value, with what stands there; the value is `$`.
    async fn gets(&self, server: &Server, alert: &str, value: &str) -> Result<Vec<(String, String)>> {
        let labels = json!({"alertname": alert, "severity": "critical", "namespace": "shop"});
        server.fire(&labels).await?;
        let texts = match self {
            Self::Http(sink) => sink.wait(0, |request| request.text().contains(alert)).await.texts(),
            Self::Mail(smtp) => {
                let mail = smtp.wait(0, |mail| mail.text.contains(alert)).await;
                let (user, password) = mail.credentials.context("it has logged in")?;
                vec![("login".to_owned(), format!("{user}: {password}")), ("mail".to_owned(), mail.text)]
            }
        };
        let value = value.strip_prefix(&self.url()).unwrap_or(value);
        let found = texts.into_iter().filter(|(_, text)| text.contains(value));
        Ok(found.map(|(place, text)| (place, text.replace(value, "$"))).collect())
    }
}

/// A repository of a developer, and nothing else of theirs.
struct Repository(PathBuf);

impl Repository {
    /// A new one, with `.waxwing.yaml` made from what the cluster publishes.
    fn of(scene: &Scene) -> Result<Self> {
        let repository = Self(process::folder(&format!("repository-{}", scene.namespace)));
        repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        let config = scene.plane.admin_kubeconfig.display().to_string();
        repository.run(
            Command::new(cli()).env("KUBECONFIG", config).args([
                "init",
                "--from-cluster",
                "test=prod",
                "--keyring",
                &scene.ring,
            ]),
            "",
        )?;
        Ok(repository)
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        Ok(std::fs::write(self.0.join(file), text)?)
    }

    /// Runs `waxwing`, without a cluster.
    fn waxwing(&self, args: &[&str], input: &str) -> Result<String> {
        self.run(Command::new(cli()).args(args), input)
    }

    /// Makes one commit of all changes, and gives the names of the files in it.
    fn commit(&self) -> Result<String> {
        self.git(&["add", "--all"])?;
        let author = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
        self.git(&[&author[..], &["commit", "--quiet", "--message=change"]].concat())?;
        self.git(&["show", "--format=", "--name-only", "HEAD"])
    }

    /// Applies the manifests of the last commit, as a GitOps tool does.
    async fn sync(&self, scene: &Scene) -> Result<()> {
        for file in ["injection.yaml", "sealed-secret.yaml"] {
            for object in chart::objects(&self.git(&["show", &format!("HEAD:{file}")])?)? {
                chart::apply(&scene.client(), &object).await?;
            }
        }
        Ok(())
    }

    fn git(&self, args: &[&str]) -> Result<String> {
        self.run(Command::new("git").args(args).env("GIT_CONFIG_NOSYSTEM", "1"), "")
    }

    /// Runs a program in it and gives what it prints.
    fn run(&self, command: &mut Command, input: &str) -> Result<String> {
        command.current_dir(&self.0).env("HOME", &self.0);
        printed(command, input)
    }
}

/// Runs a program and gives what it prints.
fn printed(command: &mut Command, input: &str) -> Result<String> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("a pipe")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{command:?}: {}: {said}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn every_example_passes_check_and_verify_and_is_in_the_table() -> Result<()> {
    let examples = root().join("docs/examples");
    let report = printed(
        Command::new(cli()).current_dir(&examples).args(["check", ".", "--strict", "--output", "json"]),
        "",
    )?;
    let report: Value = serde_json::from_str(&report)?;
    assert_eq!(report["objects"].as_array().map(Vec::len), Some(ALL.len()), "{report}");
    printed(Command::new(cli()).current_dir(&examples).args(["verify", "."]), "")?;

    let page = std::fs::read_to_string(examples.join("README.md"))?;
    let mut folders = BTreeSet::new();
    for entry in std::fs::read_dir(&examples)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.insert(entry.file_name().into_string().unwrap());
        }
    }
    assert_eq!(folders, ALL.iter().map(|example| example.name.to_owned()).collect());
    for example in ALL {
        assert_eq!(names_in(&example.folder())?, ["injection.yaml", "sealed-secret.yaml"]);
        for (key, _) in example.keys {
            let set = format!("waxwing set {}/sealed-secret.yaml {key}", example.name);
            assert!(page.contains(&set), "the page says: {set}");
        }
    }
    Ok(())
}

#[test]
fn every_example_makes_a_configuration_and_its_secret_is_bound_to_its_name() -> Result<()> {
    for example in ALL {
        let sealed: SealedSecret = serde_json::from_value(example.object("sealed-secret.yaml")?)?;
        let injection: AlertmanagerInjection = serde_json::from_value(example.object("injection.yaml")?)?;
        for metadata in [&sealed.metadata, &injection.metadata] {
            assert_eq!(metadata.namespace.as_deref(), Some("monitoring"), "{}", example.name);
            assert_eq!(metadata.name.as_deref(), Some(example.name));
        }
        let content = Sealed::parse(&sealed.spec, "monitoring", example.name)
            .map_err(|error| anyhow::anyhow!("{}: {error}", example.name))?;
        assert_eq!(content.binding().scope, Scope::Strict);
        let keys: BTreeSet<&str> = sealed.spec.data.keys().map(String::as_str).collect();
        assert_eq!(keys, example.keys.iter().map(|(key, _)| *key).collect(), "{}", example.name);

        let spec = Spec::read(&injection.spec).map_err(|error| anyhow::anyhow!("{error}"))?;
        let document = spec.document(None).map_err(|error| anyhow::anyhow!("{error}"))?;
        let made = spec.make(&with_dummies(&document), &BTreeMap::new(), &BTreeMap::new());
        ensure!(made.is_ok(), "{}: it is refused", example.name);
        assert!(literals(&document).is_empty(), "{}", example.name);
        assert!(!injection.spec.route_tests.is_empty() && injection.spec.policy.is_some());
        assert!(injection.spec.verify.is_some());
    }
    Ok(())
}

/// What the page says to do with an example: a recipient of one's own, and one's own values.
#[test]
fn an_example_becomes_ones_own_by_init_and_set() -> Result<()> {
    let repository = Repository(process::folder("own-examples"));
    for example in ALL {
        let folder = repository.0.join(example.name);
        std::fs::create_dir(&folder)?;
        for file in names_in(&example.folder())? {
            std::fs::copy(example.folder().join(&file), folder.join(&file))?;
        }
    }
    let identity = process::folder("own-identity").join("identity.txt");
    let identity = identity.to_str().context("a path")?;
    let recipient = repository.waxwing(&["keys", "generate", "--file", identity, "--force"], "")?;
    repository.waxwing(&["init", "--recipient", &format!("prod={}", recipient.trim())], "")?;
    for example in ALL {
        let file = format!("{}/sealed-secret.yaml", example.name);
        for (key, values) in example.keys {
            repository.waxwing(&["set", &file, key], values[0])?;
            let opened = repository.waxwing(&["open", &file, "--key", key, "--identity", identity], "")?;
            assert_eq!(opened, values[0], "{file}");
        }
    }
    repository.waxwing(&["verify", "."], "")?;
    repository.waxwing(&["check", ".", "--strict"], "")?;
    Ok(())
}

/// The names of the files in a folder, in order.
fn names_in(folder: &Path) -> Result<Vec<String>> {
    let names = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().into_string().unwrap()));
    let mut names = names.collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}
