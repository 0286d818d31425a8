//! The chart's rewrap job: its rights, its pod, and its command line, run with the pod's files where the pod has them mounted.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Result;
use serde_json::{Value, json};
use waxwing_core::keys::Identity;
use waxwing_crds::names;
use waxwing_tests::git_servers::{Forge, PASSWORD, Project, TOKEN, Web};
use waxwing_tests::{block_on, chart, scene, wait};

const BRANCH: &str = "waxwing/rewrap";

const VALUES: [&str; 6] = [
    "rewrap.enabled=true",
    "rewrap.repository=https://git.example.com/team/apps.git",
    "rewrap.credentials=rewrap-git",
    "rewrap.forge.tokenSecret=rewrap-forge",
    "rewrap.forge.kind=gitlab",
    "rewrap.forge.url=https://git.example.com/api/v4",
];

/// The job's object of a kind, if there is one.
fn of_job<'a>(objects: &'a [Value], kind: &str) -> Option<&'a Value> {
    objects.iter().find(|object| {
        object["kind"] == kind
            && object["metadata"]["name"].as_str().is_some_and(|name| name.ends_with("rewrap"))
    })
}

fn pod(objects: &[Value]) -> &Value {
    &of_job(objects, "CronJob").expect("there is a job")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
}

/// What is mounted where, and whether nobody can write there.
fn mounts(pod: &Value) -> BTreeMap<&str, (&Value, bool)> {
    let volumes = pod["volumes"].as_array().unwrap();
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    assert_eq!(volumes.len(), mounts.len(), "{pod:#}");
    let of = |mount: &Value| volumes.iter().find(|volume| volume["name"] == mount["name"]).unwrap();
    mounts
        .iter()
        .map(|mount| (mount["mountPath"].as_str().unwrap(), (of(mount), mount["readOnly"] == true)))
        .collect()
}

/// Checks all that is mounted but for what opens the data keys, which is given.
fn check_mounts(pod: &Value, opens: (&str, &str, Value)) {
    let mounts = mounts(pod);
    assert_eq!(mounts.len(), 4, "{mounts:#?}");
    let (work, read_only) = mounts["/tmp"];
    assert!(work["emptyDir"]["sizeLimit"] == "1Gi" && !read_only, "{work}");
    let secret = |name: &str| json!({"secretName": name, "defaultMode": 0o440});
    let (path, kind, wanted) = opens;
    for (path, kind, wanted) in [
        ("/etc/waxwing/git", "secret", secret("rewrap-git")),
        ("/etc/waxwing/forge", "secret", secret("rewrap-forge")),
        (path, kind, wanted),
    ] {
        let (volume, read_only) = mounts[path];
        assert!(volume[kind] == wanted && read_only, "{path}: {volume}");
    }
}

/// Servers for a job of the chart, and its command line with them and with files where the pod has them.
struct Run {
    project: Project,
    web: Web,
    _forge: Forge,
    args: Vec<String>,
}

impl Run {
    async fn new(name: &str, pod: &Value) -> Result<Self> {
        let project = Project::new(&format!("git-{name}"))?;
        let web = Web::start(&project).await?;
        let forge = Forge::start(&format!("forge-{name}")).await?;
        web.credentials(&project)?;
        let mounts = project.dir.join("mounts");
        fs::create_dir_all(mounts.join("forge"))?;
        fs::rename(project.dir.join("web-credentials"), mounts.join("git"))?;
        fs::write(mounts.join("forge/token"), format!("{TOKEN}\n"))?;
        let container = &pod["containers"][0];
        assert_eq!(container["command"], json!(["waxwing"]));
        let args = container["args"].as_array().unwrap().iter().map(|arg| {
            let arg = arg.as_str().unwrap().replace("/etc/waxwing/", &format!("{}/", mounts.display()));
            arg.replace("https://git.example.com/team/apps.git", &web.url)
                .replace("https://git.example.com/api/v4", &forge.url)
        });
        Ok(Self { args: args.collect(), project, web, _forge: forge })
    }

    /// The exit code, and both outputs.
    fn job(&self, env: &[(&str, String)]) -> Result<(Option<i32>, String, String)> {
        let all: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let output = self.project.command(&all).envs(env.iter().cloned()).output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, said) = (text(&output.stdout), text(&output.stderr));
        assert!(!said.contains(PASSWORD) && !said.contains(TOKEN), "{said}");
        Ok((output.status.code(), out, said))
    }
}

/// K26. Guard: `rbac-rewrap.yaml` gives one right, and `rewrap-cronjob.yaml` a pod with nothing else.
#[test]
fn the_charts_job_takes_what_the_operator_proposes_with_the_right_to_get_sealed_secrets_alone() {
    let added = Identity::generate();
    let flag = format!("operator.rewrapRecipients={{{}}}", added.recipient());
    // A name that leaves no room for an ending: the API server takes 52 letters for a CronJob.
    let name = format!("fullnameOverride={}-{}", "n".repeat(44), "m".repeat(7));
    let values = [&[flag.as_str(), name.as_str()], &VALUES[..]].concat();
    scene::alone(&values, async |scene, release| -> Result<()> {
        let of_job =
            |kind: &str| of_job(&release.objects, kind).unwrap_or_else(|| panic!("there is no {kind}"));
        assert_eq!(
            of_job("Role")["rules"],
            json!([{"apiGroups": ["waxwing.dev"], "resources": ["sealedsecrets"], "verbs": ["get"]}])
        );
        let account = of_job("ServiceAccount")["metadata"]["name"].as_str().unwrap();
        let job = &of_job("CronJob")["spec"];
        assert_eq!(
            (&job["concurrencyPolicy"], &job["jobTemplate"]["spec"]["backoffLimit"]),
            (&json!("Forbid"), &json!(0))
        );
        let pod = pod(&release.objects);
        assert_eq!(
            (&pod["serviceAccountName"], &pod["securityContext"]["runAsNonRoot"]),
            (&json!(account), &json!(true))
        );
        assert_eq!(pod["automountServiceAccountToken"], true);
        let container = &pod["containers"][0];
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
        let file = of_job("ConfigMap");
        check_mounts(
            pod,
            ("/etc/waxwing/kubeconfig", "configMap", json!({"name": file["metadata"]["name"]})),
        );
        assert_eq!(
            container["env"],
            json!([{"name": "KUBECONFIG", "value": "/etc/waxwing/kubeconfig/kubeconfig"}])
        );

        // The pod's own file, with the API server that is at hand, and the account's folder elsewhere.
        let run = Run::new(&format!("cluster-{}", scene.namespace), pod).await?;
        let project = &run.project;
        let account_folder = project.dir.join("account");
        fs::create_dir(&account_folder)?;
        fs::copy(&scene.plane.certs.ca, account_folder.join("ca.crt"))?;
        fs::write(account_folder.join("token"), scene.plane.token(&release.namespace, account, &[]).await?)?;
        let text = file["data"]["kubeconfig"].as_str().unwrap();
        let text = text
            .replace("https://kubernetes.default.svc", &scene.plane.url)
            .replace("/var/run/secrets/kubernetes.io/serviceaccount", &account_folder.display().to_string());
        assert!(text.contains(&scene.plane.url) && text.contains("/account/token"), "{text}");
        fs::write(project.dir.join("kubeconfig"), text)?;
        let env = [("KUBECONFIG", project.dir.join("kubeconfig").display().to_string())];

        let _operator = scene.operator(release, "a").await?;
        let ring = scene.ring().await;
        let (sealed, _) = scene.sealed_and_ready("app", &[("k", "v")]).await?;
        let mut object = sealed.clone();
        object.metadata.managed_fields = None;
        object.status = None;
        fs::remove_dir_all(project.dir.join("dev/apps"))?;
        fs::write(project.dir.join("dev/app.yaml"), format!("# of the team\n{}", text_of(&object)?))?;
        let (own, other) = (ring.recipients()[0].recipient(), added.recipient());
        fs::write(
            project.dir.join("dev/.waxwing.yaml"),
            format!(
                "version: 1\nrecipients:\n  ring: {{key: {own}}}\n  added: {{key: {other}}}\nrules:\n- recipients: [ring, added]\n"
            ),
        )?;
        project.push("what the cluster runs")?;
        // Nobody has asked the operator.
        let (code, _, said) = run.job(&env)?;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("the operator proposes no envelope") && said.contains("app.yaml: "), "{said}");
        assert_eq!(project.tip(BRANCH), "");

        scene.merge("app", json!({"metadata": {"annotations": {names::PROPOSE_REWRAP: "one"}}})).await?;
        wait::until_sealed(&scene.sealed(), "app", "has a proposal", |object| {
            object.status.as_ref().is_some_and(|status| status.proposed_envelopes.is_some())
        })
        .await;
        let (code, out, said) = run.job(&env)?;
        assert_eq!(code, Some(0), "{said}");
        let report: Value = serde_json::from_str(&out)?;
        assert_eq!((&report["state"], &report["request"]["state"]), (&json!("Pushed"), &json!("Opened")));
        assert_eq!(report["repository"], run.web.url);
        let text = project.file(BRANCH, "app.yaml")?;
        assert!(
            text.starts_with("# of the team\n") && text.contains(&format!("added/{}", added.id())),
            "{text}"
        );
        Ok(())
    });
}

/// K26. Guard: `rewrap-cronjob.yaml` mounts no token, and `rbac-rewrap.yaml` gives no right, where an identity opens the data keys.
#[test]
fn the_charts_job_with_an_identity_has_no_right_in_the_cluster() -> Result<()> {
    block_on(async {
        let more = ["rewrap.identity.secret=rewrap-identity", "rewrap.identity.key=prod.txt"];
        let values: Vec<String> = VALUES.iter().chain(&more).map(ToString::to_string).collect();
        let objects = chart::render("waxwing", "waxwing-system", &values)?;
        for kind in ["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "ConfigMap"] {
            assert_eq!(of_job(&objects, kind), None);
        }
        let pod = pod(&objects);
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["containers"][0]["env"], Value::Null);
        check_mounts(
            pod,
            (
                "/etc/waxwing/identity",
                "secret",
                json!({"secretName": "rewrap-identity", "defaultMode": 0o440}),
            ),
        );
        let run = Run::new("identity", pod).await?;
        let mounted = run.project.dir.join("mounts/identity");
        fs::create_dir(&mounted)?;
        fs::copy(run.project.dir.join("prod.txt"), mounted.join("prod.txt"))?;
        run.project.make_due()?;
        let (code, out, said) = run.job(&[])?;
        assert_eq!(code, Some(0), "{said}");
        let report: Value = serde_json::from_str(&out)?;
        assert_eq!((&report["state"], &report["request"]["state"]), (&json!("Pushed"), &json!("Opened")));
        run.project.check_opens(BRANCH, "apps/db.yaml", "recovery.txt")
    })
}

fn text_of(object: &waxwing_crds::SealedSecret) -> Result<String> {
    let mut value = serde_json::to_value(object)?;
    let metadata = json!({"name": value["metadata"]["name"], "namespace": value["metadata"]["namespace"]});
    value["metadata"] = metadata;
    Ok(serde_json::to_string_pretty(&value)?.replace("\n}", "\n}\n"))
}
